/* h1_parse.h - an HTTP/1.1 answer out of bytes as they come (RFC 9112).
 *
 * Incremental and pure: no network, no allocation. The caller keeps what is not used up and
 * gives it again with more behind it: an unfinished head or trailer section stays whole that
 * way, and its fields are slices of the caller's bytes. Of a body nothing is ever kept back.
 * Strict: lines of a head may end with LF alone (RFC 9112 §2.2), everything else must be as
 * written there. Each length has a ceiling. Any thread; hence the fuzzer. */
#ifndef GATEWAY_CLIENT_H1_PARSE_H
#define GATEWAY_CLIENT_H1_PARSE_H
#include "base/base.h"
#include "http/http.h"

enum { H1_MOST_INTERIMS = 32, H1_MOST_EXTENSION = 1024 };

enum h1_place {
    H1_AT_HEAD,
    H1_AT_BODY, /* `left` bytes; UINT64_MAX: to the end of the connection */
    H1_AT_SIZE,
    H1_AT_PAD, /* blanks after a chunk's size */
    H1_AT_EXTENSION,
    H1_AT_SIZE_LF,
    H1_AT_CHUNK,
    H1_AT_CHUNK_CR,
    H1_AT_CHUNK_LF,
    H1_AT_TRAILERS,
    H1_AT_END
};
enum h1_event {
    H1_MORE,      /* nothing further without more bytes */
    H1_INTERIM,   /* a 1xx head: `status`, `fields` */
    H1_HEAD,      /* the final head, sound: `status`, `fields`, `facts`. 101 only if asked for */
    H1_BODY,      /* `body` */
    H1_END,       /* the answer is whole; `fields`: its trailers that may pass */
    H1_NONSENSE,  /* see `reason` */
    H1_TOO_LARGE, /* see `reason` */
};
struct h1_parser {
    struct http_answer_limits limits;
    struct http_fields fields; /* slices of the bytes given last */
    enum h1_place place;
    bool is_head;     /* answers a HEAD: no body */
    bool may_upgrade; /* 101 is an answer, and what follows it goes on to the end */
    bool keeps;       /* after the head: the connection may serve another request */
    int status;
    uint32_t interims;
    size_t scanned, head_bytes; /* of the unfinished section: looked at; counted */
    uint32_t lines;
    uint32_t digits, extension; /* of a chunk's line */
    uint64_t left;
    struct http_answer_facts facts;
    struct str body;
    const char *reason;
};
/* room: for limits.max_headers fields; borrowed for as long as the parser is used. */
void h1_parse_begin(struct h1_parser *parser, const struct http_answer_limits *limits,
                    struct http_field *room);
/* The next event in `bytes`, which may be written to. *used: how many are done with; give the rest
 * again, at first for the next event, with more behind it after H1_MORE. */
enum h1_event h1_parse(struct h1_parser *parser, char *bytes, size_t len, size_t *used) MUST_USE;
/* How many of the next bytes are body and nothing else; 0: none are known to be. */
uint64_t h1_parse_body_left(const struct h1_parser *parser);
/* So many of those have gone past the parser. */
void h1_parse_skip_body(struct h1_parser *parser, size_t len);
/* The connection has ended: is the answer whole? (One that ends with the connection is.) */
bool h1_parse_ends_here(const struct h1_parser *parser);
bool h1_parse_has_head(const struct h1_parser *parser);

#endif
