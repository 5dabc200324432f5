/* request.h - the story of one request: what the server room drives, step by step.
 *
 * The only struct that flows. The walk is one table in stages.c; each step asks the room of its
 * skill and leaves what it learned in the request. The server room tells a request what
 * the connection brings (head, body, the client's leaving) and asks it what to do next;
 * a request never touches the network. One worker's thread, but for what says otherwise. */
#ifndef GATEWAY_REQUEST_H
#define GATEWAY_REQUEST_H
#include "advise/advise.h"
#include "base/base.h"
#include "cache/cache.h"
#include "config/config.h"
#include "events/events.h"
#include "http/http.h"
#include "identify/identify.h"
#include "image/image.h"
#include "jobs/jobs.h"
#include "limit/limit.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "route/route.h"
#include "trace/trace.h"
#include "upstream/upstream.h"

/* ---- what all workers share ---- */
/* The decision records of recent requests: see the end of this file. */
struct request_records;
struct request_system; /* a question for the admin room on its way to the main thread and back */
/* Answers one /system question. From a worker it posts to the main thread; request_system_done()
 * comes later, on the asking loop's thread. */
typedef void request_system_fn(void *arg, struct request_system *question);
struct request_shared {
    struct cache *cache;
    struct limiter *limiter;
    struct limit_store *store; /* the main thread's way to the counters; NULL: in memory */
    struct limit_share *share; /* the main thread's alone; NULL: nothing is shared */
    struct upstreams *upstreams;
    struct identify_shared *identify; /* NULL (in tests): no key sets, nothing is revoked */
    struct metrics *metrics;
    struct job_board *jobs;          /* what workers have read of jobs */
    struct advise *advise;           /* NULL: nothing is observed */
    struct events *events;           /* may be NULL */
    struct request_records *records; /* NULL: none are kept */
    struct tracer *tracer;           /* NULL: nothing is traced */
    /* A request dropped entries here: tells the other gateways. Any worker; NULL: there are none.
     */
    void (*purged)(void *arg, const struct purge *purge);
    void *purged_arg;
    struct hash_key seed; /* of client hashes, where identity.hash_secret is empty */
    request_system_fn *system;
    void *system_arg;
    bool is_loading; /* the process is about to serve, and reads what it must know; main thread */
    _Atomic bool is_draining;
    _Atomic uint32_t pictures, decoding; /* of bodies: waiting and under way; under way */
    _Atomic int64_t in_flight;           /* requests begun and not finished, all workers */
};

/* A snapshot with what was built from it. Counted; immutable. */
struct request_rules;
struct request_rules *request_rules_new(struct config *config /* held */,
                                        const struct request_shared *shared,
                                        struct fail *why) MUST_USE;
struct request_rules *request_rules_hold(struct request_rules *rules); /* any thread */
void request_rules_release(struct request_rules **rules);              /* any thread */
const struct config *request_rules_config(const struct request_rules *rules);
const struct identify *request_rules_identify(const struct request_rules *rules);
const struct routes *request_rules_routes(const struct request_rules *rules);

/* ---- one worker's ---- */
struct request_context;
/* pool may be NULL for the main thread, whose requests are all for the admin room. */
struct request_context *request_context_new(struct loop *loop, struct request_shared *shared,
                                            struct upstream_pool *pool,
                                            struct sheet *sheet) MUST_USE;
void request_context_free(struct request_context **context); /* when it has no request left */
/* Where routes with job are answered from; borrowed, and must outlive the context. */
void request_context_use_jobs(struct request_context *context, struct jobs *jobs);
/* Answers for pictures are there, too; borrowed, and must outlive the context. */
void request_context_use_pictures(struct request_context *context, struct picture_store *store);
/* Counters live there from now on; borrowed, and must outlive the context. */
void request_context_use_store(struct request_context *context, struct limit_store *store);
/* The cache has a second level there; borrowed, and must outlive the context. */
void request_context_use_level(struct request_context *context, struct cache_level *level);
void request_context_use(
    struct request_context *context,
    struct request_rules *rules); /* holds them; requests under way keep theirs */
const struct config *request_context_config(const struct request_context *context);
struct sheet *request_context_sheet(const struct request_context *context);
uint32_t request_context_live(
    const struct request_context *context); /* requests, with fetches whose client has left */
/* Ends the fetches whose client has left, now and from now on: nobody may wait for them. */
void request_context_abort(struct request_context *context);

/* ---- one request ---- */
struct request;
struct request_io {
    /* The request can go on: resume the connection in this turn and call request_run() or
     * request_read() again. */
    void (*wake)(void *arg);
    /* The upstream sent an interim answer (102, 103 ...) while the request waits: tell the client
     * now, or not at all (false). The fields live during the call. NULL: nobody is told. */
    bool (*interim)(void *arg, int status, const struct http_fields *fields);
};
struct request_arrival {
    struct str peer; /* the socket's address; "" for unix sockets */
    /* the verified certificate as Client-Cert says it (RFC 9440 §2.1); STR_NONE without one */
    struct str client_cert;
    bool is_tls, is_admin; /* is_admin: it came on the admin listener */
    bool has_hidden_bytes; /* the server saw what the parser hid (library-facts: pointer adjacency)
                            */
    uint64_t started_us;   /* loop_now_us() at the request line */
};
/* A new request with an arena of its own. NULL: out of memory. */
struct request *request_new(struct request_context *context, const struct request_io *io,
                            void *io_arg) MUST_USE;
struct arena *request_arena(struct request *request);
/* Where the server writes the head: slices may borrow from the connection's memory, which must live
 * until request_finish(). */
struct http_request_head *request_head(struct request *request);

enum request_next {
    REQUEST_GOES_ON,    /* from request_check() only: sound so far */
    REQUEST_WAITS,      /* suspend the connection; wake() comes */
    REQUEST_WANTS_BODY, /* give it the body through request_body() and request_body_end() */
    REQUEST_ANSWERS     /* request_answer() is there */
};
/* Validates the head. ANSWERS: refused, and the connection must be closed after the answer. */
enum request_next request_check(struct request *request, const struct request_arrival *arrival);
bool request_has_body(const struct request *request); /* after request_check() */
/* It has a body, and the client does not wait for 100 (Continue) before it sends it. */
bool request_body_is_coming(const struct request *request);
/* Walks on as far as it can. */
enum request_next request_run(struct request *request);
enum {
    REQUEST_BODY_REFUSED = -1
}; /* too large, or the walk has ended: request_answer() says how; send it as you can, and close */
/* Takes some bytes of the body: how many, fewer than given when full (then suspend; wake() comes),
 * or REFUSED. */
ptrdiff_t request_body(struct request *request, struct str bytes);
void request_body_end(struct request *request);
/* Nothing of the body came for too long, or the header block is late: makes the 408. `arrival` is
 * for a request whose head was never checked. */
void request_timed_out(struct request *request, const struct request_arrival *arrival,
                       const char *reason);

enum request_body_kind {
    REQUEST_BODY_EMPTY,
    REQUEST_BODY_MEMORY,
    REQUEST_BODY_STREAM,
    /* 101, and its fields are all of them: then bytes both ways, up by request_tunnel_write() and
     * request_body_end(), down by request_read() */
    REQUEST_BODY_TUNNEL
};
struct request_answer {
    int status;
    const struct http_fields *fields; /* without Content-Length, Connection, Transfer-Encoding */
    bool closes;                      /* the connection must end after it */
    enum request_body_kind body;
    struct str bytes; /* MEMORY: valid until request_finish() */
    bool has_length;  /* STREAM: known; EMPTY (HEAD, 304): what the Content-Length would be */
    uint64_t length;
};
const struct request_answer *request_answer(struct request *request);
/* How many bytes request_tunnel_write() takes now; 0: wake() comes when there is room again. */
size_t request_tunnel_room(struct request *request);
/* Has all that was written gone upstream, if anybody wants it? False: wake() comes when more has.
 */
bool request_tunnel_is_drained(struct request *request);
void request_tunnel_write(struct request *request, struct str bytes);
enum { REQUEST_READ_WAIT = 0, REQUEST_READ_END = -1, REQUEST_READ_ERROR = -2 };
ptrdiff_t request_read(struct request *request, char *to, size_t room); /* STREAM */
const struct http_fields *
request_trailers(const struct request *request); /* after END; NULL: none */

enum request_outcome {
    REQUEST_DONE,
    REQUEST_CLIENT_LEFT,
    REQUEST_CUT /* we ended it: timeout, drain, upstream died mid-body */
};
/* The connection is through with it: logs and counts it, once, and lets it go. bytes: of the body
 * sent, as far as known. */
void request_finish(struct request **request, enum request_outcome outcome, uint64_t bytes_in,
                    uint64_t bytes_out);
/* The answer's head does not fit the connection's memory beside the request's: turns it into a 502.
 */
void request_head_does_not_fit(struct request *request);
/* The connection must end after the answer. */
void request_close_after(struct request *request);
/* The library answered by itself (a bad chunk, a malformed Content-Length): the record says 400. */
void request_refused_by_library(struct request *request, const struct request_arrival *arrival);
/* For what the server room does without a request: counts shed_total{cause}, timeouts_total{kind},
 * rejected_total{reason}. */
void request_count_shed(struct request_context *context, const char *cause);
void request_count_timeout(struct request_context *context, const char *kind);
void request_count_rejected(struct request_context *context, const char *reason);

/* ---- warming: URLs fetched before anybody asks ---- */
struct warm_target {
    struct str url;               /* as an operator wrote it */
    struct str authority, target; /* the Host field and the target of its request */
    bool is_tls;                  /* as a client of a TLS listener would ask */
};
enum warm_state {
    WARM_WAITING,
    WARM_FETCHING,
    WARM_STORED,
    WARM_FRESH,      /* it was stored already */
    WARM_NOT_STORED, /* answered, but not to be kept */
    WARM_FAILED
};
struct warm_result {
    struct str url; /* lives as long as the warming */
    enum warm_state state;
    int status;      /* of the answer; 0: none */
    const char *why; /* a slug, static; NULL: nothing to say */
};
struct warming;                                        /* counted */
struct warming *warming_hold(struct warming *warming); /* any thread */
/* Copies the targets. *over (copied) is posted to `home` when the last one has its result or the
 * gateway drains; whoever made it keeps its reference until then. NULL: out of memory. */
struct warming *warming_new(uint64_t id, const struct warm_target *targets, uint32_t count,
                            struct loop *home, const struct post *over) MUST_USE;
void warming_release(struct warming **warming); /* any thread */
/* Any thread, at any time. */
uint64_t warming_id(const struct warming *warming);
uint32_t warming_count(const struct warming *warming);
bool warming_is_over(const struct warming *warming);
struct warm_result warming_result(const struct warming *warming, uint32_t index);
/* Fetches them on this worker: four at a time, fifty a second; holds it. */
void request_warm(struct request_context *context, struct warming *warming);

/* ---- questions for the admin room ---- */
struct request_system {
    /* the question; valid until done */
    struct str method, path /* normalised */, query, body, peer;
    const struct http_fields *fields;
    struct arena *arena; /* the request's: the answer may live here */
    struct str request_id;
    bool is_public; /* came on server.listen */
    struct request_rules *rules;
    struct loop *loop; /* the asking one */
    /* the answer */
    int status;
    struct str content_type, answer; /* in the arena, or static */
    struct str allow;                /* for 405 */
    struct str content_policy;       /* a page's Content-Security-Policy; ptr NULL: no page */
    struct buf text;                 /* a place for long answers: freed with the request */
    struct post post;                /* for the way there and back */
    void *way_back;                  /* whoever carries it may keep something here */
    struct fill_reader *stream;      /* request_system_stream() */
    struct request *request;
    bool is_cancelled; /* the client left: the answer is thrown away */
};
/* Hands the answer over; on the asking loop's thread. */
void request_system_done(struct request_system *question);
/* The answer is what `fill` brings, head and bytes, for as long as its writer goes on: makes the
 * question's status the head's. Before request_system_done(), on the thread that answers, with the
 * fill's head begun there. False: out of memory. A HEAD has the head alone. */
bool request_system_stream(struct request_system *question, struct fill *fill) MUST_USE;

/* {"client": …, "tier": …, "windows": {…}}: a look at a caller's counters, nothing is charged. Any
 * thread. */
bool request_write_limit_status(const struct request_rules *rules,
                                const struct request_shared *shared, const struct caller *caller,
                                struct limit_time now, struct buf *out);
/* The same of a state that is known already. */
bool request_write_limit_state(const struct request_rules *rules, const struct caller *caller,
                               const struct limit_state *state, int64_t wall_us, struct buf *out);
/* ---- decision records: what became of a request, and why ---- */
/* One request as the log line, the metrics and the explanation tell it. Times in microseconds
 * from its first byte. No credential, no query value, no raw address. */
enum {
    RECORD_TEXT = 1024,
    RECORD_WINDOWS = 8, /* more are left out, of these and of those below */
    RECORD_TRIES = 4,
    RECORD_WAITS = 4
};
struct record_text {
    uint16_t at, len; /* in request_record.text; cut where the room ends */
};
struct request_record {
    int64_t wall_us; /* of its end */
    uint64_t total_us, upstream_started_us, upstream_first_byte_us, bytes_in, bytes_out;
    int status, fwd_status;
    uint32_t attempts, window_count;
    bool was_limited, was_stored, was_collapsed, has_cache;
    const char *cache, *fwd, *detail, *reason, *walk; /* static, or NULL */
    struct record_text id, client, tier, method, host, path, query_names, route, user, upstream,
        target;
    struct record_text match_host, match_path; /* of the route, as configured */
    uint32_t try_count, wait_count;
    struct record_try {
        struct record_text target;
        const char *outcome; /* static: "ok", a kind of failure, "given_up" */
        int status;          /* 0: no head came */
        uint64_t started_us, took_us;
    } tries[RECORD_TRIES];
    struct record_wait {
        const char *step; /* static */
        uint64_t us;
    } waits[RECORD_WAITS];
    struct record_window {
        struct record_text name;
        uint64_t limit, before, after, reset_us;
        bool refuses;
    } windows[RECORD_WINDOWS];
    uint32_t text_len;
    char text[RECORD_TEXT];
};
/* Any thread. Keeps two rings for each worker: of all requests, and of those that failed, were
 * refused or slow, which so stay longer. */
struct request_records *request_records_new(void) MUST_USE;
void request_records_free(struct request_records **records); /* after the contexts */
/* The newest of this id. False: it is forgotten, or never came. */
bool request_records_find(struct request_records *records, struct str id,
                          struct request_record *record);
struct str request_record_str(const struct request_record *record, struct record_text text);
/* As one JSON object, compact, UTF-8. `out` too small: it is broken. */
void request_record_write(struct buf *out, const struct request_record *record);

/* ---- the admin token ---- */
/* The credentials of the one Authorization field; ptr NULL: none, several, or not Bearer. */
struct str request_bearer(const struct http_fields *fields);
enum token_verdict {
    TOKEN_RIGHT,
    TOKEN_WRONG,
    TOKEN_TOO_MANY /* sixty wrong ones came from the peer in a minute: nothing was compared */
};
/* Is `given` the admin token of `config`? In constant time; wrong ones are counted for `peer` under
 * `where`. With no token set none is right. Any thread. */
enum token_verdict request_judge_token(const struct request_shared *shared,
                                       const struct config *config, struct str given,
                                       struct str peer, struct str where, struct limit_time now);

#endif
