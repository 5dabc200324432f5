/* fields.h - the header list of a message (RFC 9110 §5).
 *
 * Order and duplicates are kept, names keep their case. Names and values are
 * borrowed slices: they live in the connection's or the arena's memory. Known
 * names carry an id, so that looking one up compares numbers. Any thread. */
#ifndef GATEWAY_HTTP_FIELDS_H
#define GATEWAY_HTTP_FIELDS_H
#include "base/base.h"

/* The names the gateway itself reads or writes; HTTP_OTHER is every other one. */
/* clang-format off */
#define HTTP_KNOWN_FIELDS(X) \
    X(ACCEPT, "Accept") X(ACCEPT_ENCODING, "Accept-Encoding") \
    X(ACCEPT_LANGUAGE, "Accept-Language") X(ACCEPT_RANGES, "Accept-Ranges") X(AGE, "Age") \
    X(ALLOW, "Allow") X(AUTHORIZATION, "Authorization") X(CACHE_CONTROL, "Cache-Control") \
    X(CACHE_GROUPS, "Cache-Groups") X(CACHE_GROUP_INVALIDATION, "Cache-Group-Invalidation") \
    X(CACHE_STATUS, "Cache-Status") X(CACHE_TAG, "Cache-Tag") X(CDN_CACHE_CONTROL, "CDN-Cache-Control") \
    X(CLIENT_CERT, "Client-Cert") \
    X(CLIENT_CERT_CHAIN, "Client-Cert-Chain") X(CONNECTION, "Connection") X(CONTENT_ENCODING, "Content-Encoding") \
    X(CONTENT_LANGUAGE, "Content-Language") X(CONTENT_LENGTH, "Content-Length") \
    X(CONTENT_LOCATION, "Content-Location") X(CONTENT_RANGE, "Content-Range") \
    X(CONTENT_TYPE, "Content-Type") X(COOKIE, "Cookie") X(DATE, "Date") X(ETAG, "ETag") \
    X(EXPECT, "Expect") X(EXPIRES, "Expires") X(FORWARDED, "Forwarded") X(HOST, "Host") \
    X(HTTP2_SETTINGS, "HTTP2-Settings") X(IDEMPOTENCY_KEY, "Idempotency-Key") \
    X(IF_MATCH, "If-Match") X(IF_MODIFIED_SINCE, "If-Modified-Since") \
    X(IF_NONE_MATCH, "If-None-Match") X(IF_RANGE, "If-Range") \
    X(IF_UNMODIFIED_SINCE, "If-Unmodified-Since") X(KEEP_ALIVE, "Keep-Alive") \
    X(LAST_MODIFIED, "Last-Modified") X(LOCATION, "Location") \
    X(MAX_FORWARDS, "Max-Forwards") X(ORIGIN, "Origin") X(PRAGMA, "Pragma") \
    X(PROXY_AUTHENTICATE, "Proxy-Authenticate") \
    X(PROXY_AUTHORIZATION, "Proxy-Authorization") X(PROXY_CONNECTION, "Proxy-Connection") \
    X(RANGE, "Range") X(RATELIMIT, "RateLimit") X(RATELIMIT_POLICY, "RateLimit-Policy") \
    X(REFERER, "Referer") X(RETRY_AFTER, "Retry-After") X(SEC_FETCH_SITE, "Sec-Fetch-Site") \
    X(SERVER, "Server") X(SET_COOKIE, "Set-Cookie") X(SURROGATE_KEY, "Surrogate-Key") \
    X(TE, "TE") \
    X(TRACEPARENT, "traceparent") X(TRACESTATE, "tracestate") X(TRAILER, "Trailer") \
    X(TRANSFER_ENCODING, "Transfer-Encoding") X(UPGRADE, "Upgrade") \
    X(USER_AGENT, "User-Agent") X(VARY, "Vary") X(VIA, "Via") X(WARNING, "Warning") \
    X(WWW_AUTHENTICATE, "WWW-Authenticate") X(X_API_KEY, "X-API-Key") \
    X(X_CACHE_STATUS, "X-Cache-Status") X(X_FORWARDED_FOR, "X-Forwarded-For") \
    X(X_FORWARDED_HOST, "X-Forwarded-Host") X(X_FORWARDED_PROTO, "X-Forwarded-Proto") \
    X(X_GATEWAY_EXPLAIN, "X-Gateway-Explain") \
    X(X_ORIGINAL_URL, "X-Original-URL") X(X_RATELIMIT_LIMIT, "X-RateLimit-Limit") \
    X(X_RATELIMIT_REMAINING, "X-RateLimit-Remaining") \
    X(X_RATELIMIT_RESET, "X-RateLimit-Reset") X(X_REQUEST_ID, "X-Request-Id") \
    X(X_REWRITE_URL, "X-Rewrite-URL") X(XKEY, "xkey")
/* clang-format on */

enum http_name {
    HTTP_OTHER = 0,
#define X(id, text) HTTP_##id,
    HTTP_KNOWN_FIELDS(X)
#undef X
        HTTP_NAMES
};
/* The id of a name in any case; a hash look-up without allocation. */
enum http_name http_name_of(struct str name);
/* The canonical spelling; STR_NONE for HTTP_OTHER. */
struct str http_name_text(enum http_name id);

struct http_field {
    struct str name, value; /* value without blanks at its ends */
    enum http_name id;
};
struct http_fields {
    struct http_field *at;
    uint32_t count, room;
    struct arena *arena; /* grows there; borrowed */
};
/* room: the first guess; grows in the arena. False: out of memory. */
bool http_fields_init(struct http_fields *fields, struct arena *arena, uint32_t room) MUST_USE;
/* Appends; name and value are borrowed. False: out of memory. */
bool http_fields_add(struct http_fields *fields, struct str name, struct str value) MUST_USE;
bool http_fields_add_id(struct http_fields *fields, enum http_name id, struct str value) MUST_USE;
/* Appends a field of another list as it is. */
bool http_fields_add_field(struct http_fields *fields, const struct http_field *field) MUST_USE;
/* The first one's value, or STR_NONE (ptr NULL) when absent; an empty value has a ptr. */
struct str http_fields_get(const struct http_fields *fields, enum http_name id);
/* By any name, case-insensitive. */
struct str http_fields_find(const struct http_fields *fields, struct str name);
uint32_t http_fields_count_of(const struct http_fields *fields, enum http_name id);
/* All values of the name joined with ", " (RFC 9110 §5.3); borrowed when there is one, else in
 * the arena. STR_NONE when absent or out of memory. */
struct str http_fields_joined(const struct http_fields *fields, struct arena *arena,
                              enum http_name id);
struct str http_fields_joined_name(const struct http_fields *fields, struct arena *arena,
                                   struct str name);
/* Removes every one, keeping the order of the rest; how many went. */
uint32_t http_fields_remove(struct http_fields *fields, enum http_name id);
uint32_t http_fields_remove_name(struct http_fields *fields, struct str name);
/* Removes the id's others and sets one value. */
bool http_fields_set(struct http_fields *fields, enum http_name id, struct str value) MUST_USE;
/* Bytes as on the wire: name, ": ", value, CRLF each. */
size_t http_fields_bytes(const struct http_fields *fields);

/* The next member of a comma-separated list (RFC 9110 §5.6.1): trimmed, empty members skipped,
 * commas inside quoted strings do not separate. False at the end. */
bool http_list_next(struct str *rest, struct str *member);
/* Does a list (all lines of it) hold this token, case-insensitively? */
bool http_fields_has_token(const struct http_fields *fields, enum http_name id, struct str token);

#endif
