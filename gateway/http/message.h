/* message.h - one request or answer: is it sound, what does its target say, what
 * goes on to the next hop (RFC 9110, 9112, 7239, 3986, 9457).
 *
 * Everything here is strict: what two parsers could read differently is refused.
 * Any thread; no allocation but in the arena that is passed. */
#ifndef GATEWAY_HTTP_MESSAGE_H
#define GATEWAY_HTTP_MESSAGE_H
#include "http/fields.h"

/* ---- bytes ---- */
bool http_is_token(struct str s);       /* RFC 9110 §5.6.2, at least one byte */
bool http_is_field_value(struct str s); /* no CTL but HTAB, no DEL; obs-text may pass */

/* ---- requests: check.c ---- */
enum http_version { HTTP_1_0, HTTP_1_1 };

/* A request's head as it came; slices borrowed. */
struct http_request_head {
    struct str method, target, version; /* version as text, "HTTP/1.1" */
    struct http_fields fields;
};
struct http_limits {
    uint32_t max_headers;
    size_t max_header_bytes, max_uri_bytes;
};
/* What the validator learned. */
struct http_request_facts {
    enum http_version version;
    struct str authority; /* of an absolute-form target, else the Host; checked; lower case is NOT
                             applied */
    struct str host;      /* without port, trailing dot cut; case as it came; STR_NONE on HTTP/1.0
                             without Host */
    uint16_t port;        /* 0: none given */
    struct str
        origin_form; /* target without scheme and authority: path and query; "*" for OPTIONS * */
    bool has_body, is_chunked; /* has_body: chunked, or a length above 0 */
    uint64_t content_length;   /* when has_body and not chunked */
    bool expects_continue;     /* and has a body to wait with */
    bool keep_alive;
};
/* Why a request is refused; each has a slug for logs and metrics and a status. */
enum http_refusal {
    HTTP_SOUND = 0,
    HTTP_BAD_METHOD,
    HTTP_CONNECT_REFUSED,
    HTTP_TRACE_REFUSED,
    HTTP_BAD_TARGET,
    HTTP_BAD_ESCAPE,
    HTTP_URI_TOO_LONG,
    HTTP_BAD_VERSION,
    HTTP_BAD_HEADER_NAME,
    HTTP_BAD_HEADER_VALUE,
    HTTP_SUSPICIOUS_HEADER,
    HTTP_TOO_MANY_HEADERS,
    HTTP_HEADERS_TOO_LARGE,
    HTTP_HIDDEN_BYTES /* obs-fold, NUL, bare LF */,
    HTTP_TE_AND_CL,
    HTTP_MULTI_CL,
    HTTP_BAD_CL,
    HTTP_CL_TOO_LARGE,
    HTTP_BAD_TE,
    HTTP_MULTI_TE,
    HTTP_TE_HTTP10,
    HTTP_BAD_HOST,
    HTTP_AUTHORITY_MISMATCH,
    HTTP_BAD_EXPECT,
    HTTP_BODY_ON_HTTP10_GET,
    HTTP_PATH_CONFUSION,
    HTTP_REFUSALS
};
/* slug ("te_and_cl"), status (400, 405, 413, 414, 417, 431, 505) and one sentence for the client.
 */
struct http_refusal_text {
    const char *slug;
    int status;
    const char *message;
};
struct http_refusal_text http_refusal_text(enum http_refusal refusal);
/* The whole validator: faults R01-R29, R31, S01-S17, H06-H09 of the catalogue. facts is written
 * only when HTTP_SOUND is returned (version and keep_alive always). */
enum http_refusal http_check_request(const struct http_request_head *head,
                                     const struct http_limits *limits,
                                     struct http_request_facts *facts) MUST_USE;

/* A Host or authority: reg-name, IPv4 or [IPv6], optional port. host is borrowed from text,
 * one trailing dot cut, brackets kept. */
bool http_parse_authority(struct str text, struct str *host, uint16_t *port) MUST_USE;

/* ---- answers from upstreams ---- */
struct http_answer_facts {
    bool has_length, is_chunked;
    uint64_t content_length;
};
struct http_answer_limits {
    uint32_t max_headers;
    size_t max_header_bytes;
};
/* False with a short reason (static: "multi_cl", "bad_cl", "te_and_cl", "bad_te",
 * "bad_header_name", "bad_header_value", "bad_status", "headers_too_large", "too_many_headers"):
 * answer 502. fields whose value is merely odd stay. */
bool http_check_answer(int status, const struct http_fields *fields,
                       const struct http_answer_limits *limits, struct http_answer_facts *facts,
                       const char **reason) MUST_USE;
/* May an answer with this status to this method have a body? (RFC 9110 §6.4.1) */
bool http_answer_has_body(struct str method, int status);
/* The reason phrase; "Unknown" when there is none. */
const char *http_reason(int status);
bool http_method_is_safe(struct str method); /* GET HEAD OPTIONS TRACE and the safe ones of the IANA
                                                registry (PROPFIND, REPORT, SEARCH, QUERY) */
bool http_method_is_idempotent(
    struct str method); /* the contract's retry list: GET HEAD OPTIONS PUT DELETE */

/* ---- targets: path.c ---- */
/* The normalised path (RFC 3986 §6.2.2): dot segments removed, unreserved octets decoded, other
 * escapes in upper case, "//" merged; %2F and %5C stay encoded. Written to the arena, or borrowed
 * when it is normal already. HTTP_SOUND, HTTP_PATH_CONFUSION (above the root, encoded NUL) or
 * HTTP_BAD_ESCAPE; memory shortage: HTTP_BAD_TARGET. */
enum http_refusal http_normalize_path(struct arena *arena, struct str raw_path,
                                      struct str *normal) MUST_USE;
struct http_target {
    struct str path, query; /* query without '?'; ptr NULL when there is no '?' */
};
struct http_target http_split_target(struct str origin_form);
/* Does the normalised path hold %2F or %5C (or a ';' parameter that hides a dot segment)? Refused
 * with 400 where auth is identity. */
bool http_path_is_ambiguous(struct str normal);
/* A segment such as "..;x": a dot segment for servers that cut parameters first. Refused with 400
 * on every route. */
bool http_path_hides_dots(struct str normal);

/* ---- the next hop: forward.c ---- */
struct http_peer {
    struct str address; /* the client as the gateway believes it, "192.0.2.1" or "2001:db8::1" */
    struct str socket;  /* the connected peer's own address */
    bool is_trusted;    /* the connected peer may speak for a client */
    bool is_tls;
    struct str host;        /* Host as it came */
    struct str traceparent; /* what the next hop is told; empty: as it came, or a new one */
};
/* Fills `out` with what goes upstream: hop-by-hop fields and those named by Connection removed
 * (never the protected: Host, Authorization, Cookie, X-Forwarded-*, Forwarded …), Expect,
 * X-Original-URL, X-Rewrite-URL and X-RateLimit-* removed, X-Forwarded-For, -Proto, -Host,
 * Forwarded and Via written (appended after a trusted peer, else replaced; contract §3),
 * X-Request-Id set, traceparent passed on when valid else started (not sampled). Host,
 * Content-Length and Transfer-Encoding are left out (the client room writes them). Also removed:
 * Proxy*, method overrides, a stranger's other X-Forwarded-*. `out` is initialised here, in
 * `arena`; it borrows from in, peer and request_id. False: out of memory. */
bool http_forward_request(const struct http_fields *in, const struct http_peer *peer,
                          struct str request_id, enum http_version version, struct arena *arena,
                          struct http_fields *out) MUST_USE;
/* Fills `out` with what goes to the client or the cache from an upstream answer: hop-by-hop and
 * listed fields removed, X-RateLimit-*, RateLimit*, X-Cache-Status, X-Request-Id of the upstream
 * removed, Via appended. Content-Length stays. `out` is initialised here. False: out of memory. */
bool http_forward_answer(const struct http_fields *in, struct arena *arena,
                         struct http_fields *out) MUST_USE;
/* Is this trailer field one that may be forwarded? (not framing, routing, auth, caching or content
 * fields) */
bool http_trailer_may_pass(struct str name);

/* Walks X-Forwarded-For and Forwarded (whichever is there; X-Forwarded-For wins) from the right
 * past trusted proxies: the first address that is not trusted, or the peer's when a member is
 * nonsense. trusted(arg, address) says which are. Result borrowed from the fields or `peer`. At
 * most 50 members are read. */
typedef bool http_trusted_fn(void *arg, struct str address);
struct str http_client_address(const struct http_fields *fields, struct str peer,
                               http_trusted_fn *trusted, void *arg);

/* An X-Request-Id that may be taken over: 1..128 of A-Za-z0-9._- */
bool http_request_id_is_sane(struct str id);
/* 00-<32 hex>-<16 hex>-<2 hex>, not all zero (W3C Trace Context). */
bool http_traceparent_is_valid(struct str value);

/* The value of a cookie, empty where it is; ptr NULL when there is none of the name: cookie.c. */
struct str http_cookie(const struct http_fields *request, struct str name);

/* ---- multipart/form-data (RFC 7578): form.c ---- */
/* One form is read as one program reads it, or not at all: no preamble, nothing after a boundary
 * but CRLF, one Content-Disposition with one name a part. */
enum { HTTP_FORM_MOST_PARTS = 64, HTTP_FORM_MOST_HEAD = 4096 };
struct http_form {
    struct str rest;    /* borrowed from the body */
    char delimiter[76]; /* CRLF, two dashes, the boundary (1 to 70 bytes) */
    size_t delimiter_len;
    uint32_t parts;
};
struct http_form_part { /* slices of the body */
    struct str name, content;
    struct str whole; /* its head and its content */
};
/* False: the Content-Type names no such form, or the body does not begin as it says. */
bool http_form_begin(struct http_form *form, struct str content_type, struct str body) MUST_USE;
enum http_form_step { HTTP_FORM_PART, HTTP_FORM_END, HTTP_FORM_BROKEN };
enum http_form_step http_form_next(struct http_form *form, struct http_form_part *part) MUST_USE;

/* ---- what the gateway itself answers: problem.c ---- */
struct http_problem {
    int status;
    const char *error; /* NULL: the reason phrase */
    struct str message;
    struct str request_id;
    struct str extra; /* further members as JSON text `"limit":5,"tier":"free"`, or empty */
};
/* Appends the JSON body; as application/problem+json (RFC 9457: type, title, status, detail,
 * instance besides ours) when `as_problem`. */
bool http_problem_write(struct buf *out, const struct http_problem *problem, bool as_problem);
/* Does Accept name application/problem+json (q > 0)? */
bool http_accepts_problem(const struct http_fields *request);

#endif
