/* origin.h - the sample backend that stands behind the gateway in tests, benches and demos.
 *
 * One thread, one epoll, no library and nothing of the gateway: its parser is a second opinion on
 * what the gateway forwards, so it shares no code with the first. A connection reads one request,
 * then answers it: at once, or by a step function that is called again each time the output has
 * drained or the connection's timer has passed. Single thread throughout. */
#ifndef TESTS_ORIGIN_H
#define TESTS_ORIGIN_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- text.c: slices, growing text, queries, hashes ---- */

struct slice {
    const char *ptr;
    size_t len;
};
#define SLICE(literal) ((struct slice){("" literal), sizeof(literal) - 1})
#define SLICE_ARG(s)   (int)(s).len, (s).ptr

struct text {
    char *ptr; /* owned */
    size_t len, room;
};
void text_add(struct text *text, const void *bytes, size_t len);
void text_put(struct text *text, const char *words);
void text_addf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_json(struct text *text, struct slice s); /* quoted; a byte >= 0x80 becomes \u00XX */
void text_reserve(struct text *text, size_t more);
struct slice text_slice(const struct text *text);

bool slice_is(struct slice s, const char *words);
bool slice_is_folded(struct slice s, const char *words);
bool slice_starts(struct slice s, const char *words);
bool slice_number(struct slice s, uint64_t *value); /* digits only, at most 18 */
int hex_value(char c);
/* The raw value of name= in a query; false when it is not there. */
bool query_find(struct slice query, const char *name, struct slice *value);
uint64_t query_number(struct slice query, const char *name, uint64_t otherwise);
/* The value with its escapes decoded, as a header may hold it: CR, LF and NUL are left out. */
struct slice query_words(struct slice query, const char *name, char *room, size_t room_len);

#define FNV_START UINT64_C(0xcbf29ce484222325)
uint64_t fnv1a64(uint64_t hash, const void *bytes, size_t len);

/* ---- parse.c: strict, and knows only one reading ---- */

#define MAX_FIELDS     512
#define MAX_HEAD_BYTES ((size_t)1 << 20)

struct field {
    struct slice name, value;
};
enum body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED };
struct head {
    struct slice method, target, path, query; /* query without its "?" */
    struct field fields[MAX_FIELDS];
    size_t field_count;
    uint64_t length;
    enum body_kind body;
    int minor; /* HTTP/1.minor */
    bool keep_alive, is_head, expects_continue;
};
/* The bytes of the head; 0: more are needed; -1: unsound, with the reason in `fault`. */
long parse_head(struct head *head, const char *bytes, size_t len, const char **fault);

enum chunk_state { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILERS, CHUNK_DONE };
#define BODY_KEPT_BYTES 16384
struct body {
    enum body_kind kind;
    enum chunk_state chunk;
    uint64_t left, length, hash;
    struct text first;    /* at most BODY_KEPT_BYTES */
    struct text trailers; /* as JSON: [["name","value"],…] without the brackets */
};
/* Takes what it can of `bytes`; the number taken, or -1. *is_done when the body is whole. */
long body_take(struct body *body, const char *bytes, size_t len, bool *is_done, const char **fault);
bool is_token(struct slice s);

/* ---- connection.c ---- */

struct conn;
typedef bool step_fn(struct conn *conn); /* false: that was the last of this answer */
typedef void timer_fn(struct conn *conn);
enum phase { PHASE_HEAD, PHASE_BODY, PHASE_ANSWER, PHASE_LINGER };
enum ending { END_KEEP, END_CLOSE, END_RESET };
struct conn {
    int fd;
    uint32_t watched; /* epoll bits */
    uint64_t number, requests;
    enum phase phase;
    enum ending ending;
    struct text in, out, head_bytes;
    size_t in_at, out_at;
    struct head head;
    struct body body;
    bool is_body_behind; /* answered before the body was read */
    bool is_shut, is_chunked;
    step_fn *step;
    struct {
        uint64_t left, interval_ms, sent;
        int status;
    } plan; /* the step function's own */
    timer_fn *on_timer;
    uint64_t timer_at; /* ms; 0: none */
    struct conn *timer_next, **timer_link;
};
void conn_accept(int epoll, int fd);
void conn_ready(struct conn *conn, uint32_t events);
void conn_run(struct conn *conn);
void conn_after_ms(struct conn *conn, uint64_t ms,
                   timer_fn *fn); /* NULL fn: goes on with the step */
/* Calls what is due; how long epoll may wait, or -1. */
int conn_timers(void);
uint64_t now_ms(void);

/* ---- record.c ---- */

bool record_open(const char *path);
void record_request(const struct conn *conn, const char *fault, bool is_complete);
void text_headers(struct text *out, const struct head *head); /* [["name","value"],…] */

/* ---- answer.c: whole answers and streamed ones ---- */

void answer(struct conn *conn, int status, const char *type, struct slice body);
void answer_json(struct conn *conn, int status, const struct text *body);
void answer_with(struct conn *conn, int status, const char *headers, struct slice body);
void answer_fault(struct conn *conn, int status, const char *message);
/* The head of an answer; length < 0: chunked, or up to the close for HTTP/1.0. */
void answer_head(struct conn *conn, int status, const char *headers, int64_t length);
void answer_piece(struct conn *conn, const void *bytes, size_t len); /* of a chunked answer */
void answer_piece_end(struct conn *conn, const char *trailers);
extern char filler[65536];
void filler_fill(void);

/* ---- routes.c and the rest of the paths ---- */

typedef void path_fn(struct conn *conn, struct slice rest);
bool route_is_early(const struct head *head);
void route_answer(struct conn *conn);
uint64_t count_of(struct slice target);
void count_one(struct slice target);
void count_reset(void);

path_fn show_bytes, show_chunked, show_echo, show_headers, show_status_code, show_upload,
    show_canary, show_health, show_count, show_set_cookie, show_private, show_cache;
path_fn show_slow, show_slow_body, show_events, show_analyze, show_jobs, show_job_status;
path_fn show_changing; /* changing.c */
path_fn show_products, show_categories, show_accounts, show_profiles, show_transactions,
    show_models, show_analytics;
path_fn show_broken, show_anomaly;
path_fn broken_drip, broken_endless, broken_early_413; /* broken_stream.c */
path_fn broken_extra, broken_idle_408, broken_flood, broken_big_header, broken_many_headers,
    broken_close_reused, broken_never;
/* cache.c: the first header of this name, or an empty slice with a NULL pointer */
struct slice find_header(const struct head *head, const char *name);

#endif
