/* caching.h - what HTTP says about storing and reusing answers (RFC 9111, 9213,
 * 5861, 9211; conditionals and ranges of RFC 9110 §13 and §14).
 *
 * Pure functions: times are passed in as seconds since 1970 (wall) where dates are
 * compared. Lifetimes saturate at 2^31-1 seconds. Any thread. */
#ifndef GATEWAY_HTTP_CACHING_H
#define GATEWAY_HTTP_CACHING_H
#include "http/fields.h"

#define HTTP_NO_TIME   INT64_MIN            /* absent or not a date */
#define HTTP_FOREVER_S ((int64_t)INT32_MAX) /* the largest lifetime or age */

/* ---- dates (RFC 9110 §5.6.7) ---- */
/* IMF-fixdate, RFC 850 and asctime; month, weekday and GMT in any case; nothing else. now_s decides
 * the century of RFC 850 years. HTTP_NO_TIME when it is none of them. */
int64_t http_date_parse(struct str text, int64_t now_s);
/* "Sun, 06 Nov 1994 08:49:37 GMT": 29 characters and a NUL. */
void http_date_write(char out[30], int64_t time_s);

/* ---- Cache-Control ---- */
struct http_cache_control {
    bool no_store, no_cache, is_private, is_public, must_revalidate, proxy_revalidate,
        must_understand, immutable, no_transform, only_if_cached, max_stale_any;
    bool no_cache_fields, private_fields;   /* the directive had a field list */
    struct str no_cache_list, private_list; /* borrowed */
    /* -1: absent; -2: present but not usable (stale, never "fall through") */
    int64_t max_age, s_maxage, min_fresh, max_stale, stale_while_revalidate, stale_if_error;
};
/* All lines of Cache-Control (request or answer), a real list parser; the first of a repeated
 * directive counts. A missing field gives all absent. Pragma: no-cache counts for requests without
 * Cache-Control when is_request. */
void http_cache_control_parse(const struct http_fields *fields, bool is_request,
                              struct http_cache_control *out);
/* The targeted field CDN-Cache-Control (RFC 9213) as a structured-field dictionary: false when
 * absent, empty or invalid (then Cache-Control counts), else *out alone decides. */
bool http_targeted_parse(const struct http_fields *fields, struct arena *arena,
                         struct http_cache_control *out);

/* ---- freshness (RFC 9111 §4.2) ---- */
enum http_lifetime_source {
    HTTP_LIFETIME_NONE,
    HTTP_LIFETIME_OVERRIDE,
    HTTP_LIFETIME_TARGETED,
    HTTP_LIFETIME_S_MAXAGE,
    HTTP_LIFETIME_MAX_AGE,
    HTTP_LIFETIME_EXPIRES,
    HTTP_LIFETIME_ROUTE,
    HTTP_LIFETIME_HEURISTIC,
    HTTP_LIFETIME_DEFAULT
};
/* Did the answer itself name it? */
bool http_lifetime_is_explicit(enum http_lifetime_source source);
/* What the operator set; contract §2 "Caching". -1: not set. */
struct http_cache_policy {
    int64_t route_ttl_s;
    bool ttl_override;
    int64_t default_ttl_s;  /* for 200, 203, 301, 308 */
    int64_t negative_ttl_s; /* for this status, or -1 */
    bool heuristic;
    bool store_set_cookie;
    int64_t stale_while_revalidate_s; /* where the answer says nothing */
    int64_t stale_if_error_s, stale_if_unreachable_s;
    bool honor_client; /* the request's own no-store counts */
    bool stores_parts; /* a 206 may be kept, by its own explicit lifetime */
    /* the request, as identity sees it */
    bool shared_by_operator; /* per_user: false was written */
    bool per_user;           /* per_user: true: an entry per caller */
    bool has_authorization;  /* Authorization or the API-key header was there */
    bool has_cookie;
};
/* Everything the cache must know of one answer. */
struct http_verdict {
    bool may_store;
    /* static: "stored", or why not: "method", "partial" (a 206, where parts are not kept),
     * "status", "request-no-store", "must-understand", "no-store", "private", "authorization",
     * "vary-star", "set-cookie", "cookie" (a request with Cookie, and no lifetime of the answer's
     * own), "no-cache" (without a validator), "no-freshness" */
    const char *why;
    int64_t lifetime_s; /* freshness lifetime, 0 when stale at once */
    enum http_lifetime_source source;
    int64_t initial_age_s; /* corrected initial age (RFC 9111 §4.2.3) at response_time */
    int64_t date_s;        /* of Date, or response_time */
    int64_t stale_while_revalidate_s, stale_if_error_s,
        stale_if_unreachable_s; /* after the lifetime; 0: never */
    bool must_revalidate;   /* never stale: must-revalidate, proxy-revalidate, s-maxage, no-cache */
    bool always_revalidate; /* no-cache: stored, and validated at each use */
    bool has_validator;     /* ETag or Last-Modified */
};
/* Judges an answer to `method`. request_s and response_s are wall seconds of sending and of the
 * head's arrival. `request` may be NULL: it is asked for its own no-store only. Whether the body
 * came whole is the caller's to know.
 * - The operator's ttl (override too) and default_ttl speak of 200, 203, 301 and 308; negative_ttl
 * of the other statuses.
 * - `private`, with or without a field list, is stored only where per_user is true: an entry per
 * caller is that caller's private cache.
 * - no-cache, with or without a field list, is always_revalidate.
 * - After a 304: judge the fields http_freshen() made, with the stored status; when may_store is
 * false then, this client still gets that head, and the entry goes. */
void http_judge_answer(struct str method, const struct http_fields *request, int status,
                       const struct http_fields *answer, int64_t request_s, int64_t response_s,
                       const struct http_cache_policy *policy, struct arena *arena,
                       struct http_verdict *verdict);
/* Is the status one whose caching rules are known (must-understand)? Heuristically cacheable
 * (§4.2.2)? */
bool http_status_is_understood(int status);
bool http_status_is_heuristic(int status);
/* The received Age: first member of the first line, digits only, saturating; 0 when it is nonsense
 * or absent. */
int64_t http_age_parse(const struct http_fields *answer);

/* ---- may a stored answer be used for this request? ---- */
enum http_use { HTTP_USE_FRESH, HTTP_USE_STALE /* within max-stale */, HTTP_USE_VALIDATE };
/* Applies the request's directives (max-age, min-fresh, max-stale, no-cache; §5.2.1) to an entry of
 * this age. max-age=0 always validates; a number that cannot be read is the strictest one;
 * only-if-cached is the caller's. `request` may be NULL where the route ignores them. */
enum http_use http_may_use(const struct http_cache_control *request, int64_t age_s,
                           int64_t lifetime_s, bool must_revalidate, bool always_revalidate);

/* ---- Vary (§4.1) ---- */
/* The names of all Vary lines, lower case, sorted, without duplicates, joined with ','; arena.
 * *is_star when any member is '*'. Empty: none. */
struct str http_vary_names(const struct http_fields *answer, struct arena *arena, bool *is_star);
/* Appends the selecting values of a request for these names (as above) in a form where absent,
 * empty and present differ and no two requests collide: lines joined, blanks round list members
 * gone. With `normalize`, Accept-Encoding and Accept-Language by case, blanks and the order of q;
 * what is accepted or refused always stays in the key. */
bool http_vary_key(struct buf *out, struct str names, const struct http_fields *request,
                   bool normalize, struct arena *arena);

/* May a stored answer that was chosen by other values (`stored`, a key as above) answer a request
 * whose key is `asked`, because it says that it is in the one language that this request likes
 * best? All but Accept-Language must be equal, and `asked` made with `normalize`. Case of
 * content_language does not matter; several languages never fit. */
bool http_vary_language_fits(struct str stored, struct str asked, struct str content_language);

/* ---- conditionals (RFC 9110 §13) ---- */
struct http_validators {
    struct str etag;         /* with quotes and W/ as stored; ptr NULL: none */
    int64_t last_modified_s; /* or HTTP_NO_TIME */
    int64_t date_s;
};
enum http_condition {
    HTTP_COND_NONE /* send the whole */,
    HTTP_COND_NOT_MODIFIED /* 304 */,
    HTTP_COND_FAILED /* 412 */
};
/* What a GET or HEAD with these fields gets from a stored 200 (If-None-Match wins over
 * If-Modified-Since, weak comparison; If-Match and If-Unmodified-Since are left to the origin: a
 * cache ignores them, HTTP_COND_NONE). */
enum http_condition http_evaluate(const struct http_fields *request,
                                  const struct http_validators *stored, int64_t now_s);
bool http_has_conditionals(const struct http_fields *request); /* any of the five */
/* Has the list (without '*') this entity tag? Members that are no tags match nothing. */
bool http_etag_list_has(struct str list, struct str etag, bool weak_comparison);

/* ---- ranges (§14) ---- */
struct http_range {
    uint64_t first, last; /* inclusive */
};
enum http_range_result {
    HTTP_RANGE_NONE /* ignore: send the whole */,
    HTTP_RANGE_ONE,
    HTTP_RANGE_UNSATISFIABLE /* 416 */
};
/* A single satisfiable bytes range of a representation `size` bytes long; several ranges or
 * nonsense: NONE. If-Range is evaluated (strong). */
enum http_range_result http_range_parse(const struct http_fields *request,
                                        const struct http_validators *stored, uint64_t size,
                                        struct http_range *range);

/* ---- content codings (§12.5.3) ---- */
enum { HTTP_CODING_IDENTITY = -1, HTTP_CODING_NONE = -2 };
/* Which of `offered` (names, the best first) a request wants: the one with the highest q, of equal
 * ones the first offered. HTTP_CODING_IDENTITY when it accepts none of them or wants identity more
 * (without Accept-Encoding too); HTTP_CODING_NONE when it refuses identity as well. At most 64
 * members are read; one that cannot be read is not there. */
int http_choose_coding(const struct http_fields *request, const struct str *offered,
                       uint32_t count);

/* What a 206 holds. */
struct http_content_range {
    uint64_t first, last, size; /* first <= last < size */
};
/* Exactly one Content-Range of bytes with a known size; false: none, several, or nonsense. */
bool http_content_range_parse(const struct http_fields *answer, struct http_content_range *range);
bool http_range_is_whole(const struct http_content_range *range);

/* ---- updating a stored answer from a 304 (§3.2, §4.3.4) ---- */
/* stored fields with those of the 304 in their place (not Content-Length, -Encoding, -Type, -Range,
 * hop-by-hop); into `out`, which this initialises. Stored Age and Date go when the 304 has none. */
bool http_freshen(const struct http_fields *stored, const struct http_fields *update,
                  struct arena *arena, struct http_fields *out) MUST_USE;

/* ---- names for purges: Cache-Tag, Surrogate-Key, xkey, Cache-Groups (RFC 9875) ---- */
enum { HTTP_MAX_TAGS = 256, HTTP_MAX_TAG_BYTES = 1024 };
struct http_cache_tag {
    struct str name; /* borrowed from the fields, or arena */
    bool is_group;   /* from Cache-Groups: means its own origin alone */
};
struct http_cache_tags {
    struct http_cache_tag *at; /* arena; names may come twice */
    uint32_t count;
    bool is_too_much; /* more of them, or a longer one, than can be kept */
};
bool http_has_cache_tags(const struct http_fields *fields); /* any of the four fields */
/* All names of an answer. False: more than can be kept (is_too_much), or out of memory: do not
 * store it, for a purge could miss it. A malformed Cache-Groups names nothing. */
bool http_cache_tags(const struct http_fields *fields, struct arena *arena,
                     struct http_cache_tags *tags) MUST_USE;
/* The members of Cache-Group-Invalidation (RFC 9875 §3), for answers to unsafe methods; what is too
 * much is left out. False: out of memory. */
bool http_invalidated_groups(const struct http_fields *fields, struct arena *arena,
                             struct http_cache_tags *tags) MUST_USE;
/* Cache-Tag, Surrogate-Key, xkey: words between an origin and its cache, not for clients.
 * Cache-Groups is for every cache on the way. */
bool http_is_tag_field(enum http_name id);

/* ---- Cache-Status (RFC 9211) ---- */
struct http_cache_status {
    bool hit, stored, collapsed;
    const char
        *fwd; /* NULL, "uri-miss", "vary-miss", "stale", "request", "bypass", "method", "partial" */
    int fwd_status; /* 0: not said */
    bool has_ttl;
    int64_t ttl_s;      /* may be negative */
    const char *detail; /* NULL, a token, or any text (written as a string) */
};
/* "gateway; hit; ttl=37". */
bool http_cache_status_write(struct buf *out, const struct http_cache_status *status);

#endif
