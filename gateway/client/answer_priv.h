/* answer_priv.h - an answer's head and trailers, line by line, apart from libcurl.
 *
 * libcurl hands over one line at a time and accepts what a gateway must not pass on
 * (two lengths, other versions, bare CR, any number of fields). The collector keeps
 * the lines of one head and judges it at its blank line, never before: a head that
 * breaks off is no answer. Pure but for the arena, hence the fuzzer. Any thread. */
#ifndef GATEWAY_CLIENT_ANSWER_PRIV_H
#define GATEWAY_CLIENT_ANSWER_PRIV_H
#include "base/base.h"
#include "http/http.h"

enum { ANSWER_MOST_INTERIMS = 32 };

enum answer_place { ANSWER_AT_STATUS, ANSWER_AT_FIELDS, ANSWER_AT_BODY, ANSWER_AT_TRAILERS };
enum answer_step {
    ANSWER_MORE,
    ANSWER_INTERIM,   /* a 1xx head is whole */
    ANSWER_HEAD,      /* the final head is whole and sound */
    ANSWER_NONSENSE,  /* see `reason` */
    ANSWER_TOO_LARGE, /* see `reason` */
    ANSWER_NO_MEMORY
};
struct answer {
    struct arena *arena; /* borrowed; nobody else's: emptied at each status line */
    struct http_answer_limits limits;
    enum answer_place place;
    bool may_be_http2; /* it was asked for; else such a status line is nonsense */
    bool is_http2;
    int status;
    uint32_t interims;
    size_t bytes; /* of this head, or of the trailers */
    struct http_fields fields;
    struct http_answer_facts facts; /* after ANSWER_HEAD */
    const char *reason;
};
void answer_begin(struct answer *answer, struct arena *arena,
                  const struct http_answer_limits *limits);
/* One line, with or without its CR LF; copied. */
enum answer_step answer_line(struct answer *answer, struct str line) MUST_USE;
/* The arena that limits like these need at most. */
size_t answer_most_bytes(const struct http_answer_limits *limits);

#endif
