/* request_priv.h - the struct that flows, and what the steps share. */
#ifndef GATEWAY_REQUEST_PRIV_H
#define GATEWAY_REQUEST_PRIV_H
#include "request/cells_priv.h"
#include "request/collect_priv.h"
#include "request/limits_priv.h"

#define REQUEST_ARENA_BLOCK (16 * 1024)
#define REQUEST_ARENA_MAX   (512 * 1024)
#define REQUEST_SPARES      256          /* recycled requests kept by a worker */
#define REQUEST_DRAIN_BYTES (256 * 1024) /* of a body that nobody wants, before its answer */
#define REQUEST_BODY_ROOM   (64 * 1024)  /* of a body on its way upstream */
#define REQUEST_SYSTEM_BODY (256 * 1024) /* of a question for the admin room: in the arena */
#define REQUEST_REFRESHES   256          /* without a client, at a time, each worker */
#define REQUEST_RETRIES     3            /* look-ups after a flight before fetching alone */

/* A snapshot as one worker uses it; counted by its requests, on that worker's thread. */
struct context_rules {
    struct request_rules *rules;
    const struct config *config;
    uint32_t references;
    struct route_cells *routes; /* config->route_count, then one for "none" */
    uint32_t line_fields;       /* of the access log: bits, see line.c */
};

struct request_context {
    struct loop *loop;
    struct request_shared *shared;
    struct limit_store *store; /* NULL: counters live in memory */
    struct cache_level *level; /* the cache's second; NULL: none */
    struct jobs *jobs;         /* NULL: there is no store for them */
    struct upstream_pool *pool;
    struct sheet *sheet;
    struct context_rules *now;
    struct request *spares;
    uint32_t spare_count, live, refreshing;
    struct warm_run *warming; /* under way here */
    uint32_t encoders;        /* of answers that are coded as they flow */
    struct request *orphans;  /* whose fetch goes on though their client has left */
    bool is_aborting;         /* no fetch may go on for others any more */
    struct buf line;          /* of the access log, reused */
    struct buf text;          /* one part of an answer while it is written, reused */
    struct mirror *mirrors;   /* copies of requests */
    uint32_t mirror_count;
    size_t collected;         /* bytes of bodies that make keys */
    struct pictures pictures; /* that are decoded for them */
    struct cell *in_flight, *collapsed, *decision;
    uint64_t next_slow_line_us;
    struct ring *recent, *notable; /* decision records; owned by shared->records; NULL: none */
    struct cell *auth_ok[IDENTIFY_METHODS]; /* made at first use */
    struct identify_memory *memory;
    struct advise_observer *observer; /* NULL: nothing is observed */
    struct trace_queue *traces;       /* NULL: nothing is traced */
};

struct request_rules {
    struct config *config;
    struct routes *routes;
    struct identify *identify;
    _Atomic uint32_t references;
};

struct request {
    struct request_context *context;
    struct context_rules *crules;
    const struct config *config;
    const struct request_io *io;
    void *io_arg;
    struct arena *arena;
    struct request *next_spare;
    struct request *next_orphan, **orphan_back; /* NULL: it is none */
    uint32_t references; /* the server's, the fetch's, the admin question's */
    bool is_warm;        /* nobody's: it is not counted for clients */
    bool is_explained;   /* an operator asks for its decision record */
    bool is_finished, is_waiting, is_answered, is_walking;

    struct http_request_head head;
    struct http_request_facts facts;
    struct request_arrival arrival;
    enum http_refusal refusal;
    struct str id;
    struct str client; /* for the log line, where it is known before the end */
    struct http_target target;
    struct str path; /* normalised */

    uint32_t step;
    const struct walk *walk;
    uint64_t waits_since_us; /* 0: the step does not wait */
    uint32_t wait_count, try_count;

    const struct route_config *route;
    const struct upstream_config *upstream; /* the route's, or one of its split's; NULL: none */
    struct str split_cookie;                /* to be set; empty: none */
    struct authorize *authorize;            /* NULL: nobody has been asked */
    struct job_call *job;                   /* NULL: no job has been asked for */
    struct mirror *mirror;                  /* gathers the body; NULL: none, or under way */
    struct route_cells *cells;
    struct identify_answer who;
    bool is_known, is_limited;
    enum identify_result identity;
    struct identify_wait identity_wait;
    bool has_waited_for_identity, has_asked_tier;
    struct limit_tier_ask tier_ask;
    const struct tier_config *kept_tier; /* that a billing system keeps; NULL: none */
    bool is_refused_by_limit;
    uint64_t wait_s;  /* Retry-After of the refusal */
    uint64_t taken;   /* of each window so far */
    uint64_t charged; /* the same as `limits` tells it; for the record */
    enum limit_phase limit_phase;
    uint32_t hold_count; /* of policies.holds that are held, without a store */
    int hold_full;       /* the one of them that is full; -1: none */
    struct lookup cache;
    struct fetch fetch;
    struct request_trace *trace; /* NULL: it is not traced */
    struct fill_reader *reader;
    struct coding coding;
    struct body_buffer body;
    struct collected collected;
    struct request_system system;
    bool is_asked, takes_question_body;
    struct str upstream_target;
    bool asks_tunnel;    /* a WebSocket, where the route allows it: tunnel.c */
    struct cell *tunnel; /* counts it while it is open; NULL: it is not */

    struct http_fields out;
    struct request_answer answer;
    const char *reason; /* static slug for the log, or NULL */

    /* Large, and written by their step before anybody reads them: from here on a recycled
     * request is not zeroed. */
    struct record_wait waits[RECORD_WAITS]; /* how long each step waited */
    struct request_try tries[REQUEST_TRIES];
    struct route_match match;
    struct limit_state limits;
    struct policies policies;
    struct limit_call limit_call; /* valid while limit_phase says so */
    struct limit_hold_call hold_call;
    struct limit_state route_limits;
    uint64_t limit_started_us;
};

/* stages.c */
struct walk {
    const char *name;
    stage_fn *const *stages;
};
extern const struct walk walk_limit_first, walk_cache_first, walk_body_first, walk_system,
    walk_warm;
stage_fn stage_system, stage_route, stage_identify, stage_limit, stage_authorize, stage_answer,
    stage_collect, stage_lookup, stage_picture, stage_fetch, stage_job;
enum request_next walk_on(struct request *r);

/* stage_identify.c: 401 for what r->identity and r->who say; the refusal of that step, whatever it
 * was, or STEP_NEXT */
enum step refuse_credential(struct request *r);
enum step refuse_identity(struct request *r);

/* context.c */
struct context_rules *context_rules_hold(struct context_rules *crules);
void context_rules_release(struct context_rules **crules);
struct route_cells *context_cells(struct context_rules *crules, const struct route_config *route);
/* A request without a client, under the other's snapshot; ended by its last release. */
struct request *request_new_without_client(const struct request *other) MUST_USE;
void request_hold(struct request *r);
void request_release(struct request *r);
void request_wake(struct request *r);
bool request_keep_head(struct request *r);
uint64_t request_body_limit(const struct request *r);

/* tunnel.c */
bool tunnel_is_asked(const struct request *r);
bool tunnel_add_fields(struct http_fields *fields); /* those of this hop */
enum step reply_tunnel(struct request *r, const struct fill_head *head);
void tunnel_finish(struct request *r);

/* reply.c: the answer; each returns STEP_ANSWER */
enum step reply_problem(struct request *r, int status, const char *reason, const char *message,
                        struct str extra);
enum step reply_text(struct request *r, int status, struct str content_type, struct str body);
enum step reply_entry(struct request *r, struct cache_entry *entry, enum cache_status status);
enum step reply_reader(struct request *r);
enum step reply_empty(struct request *r, int status); /* without a body */
enum step reply_out_of_memory(struct request *r);
bool reply_field(struct request *r, enum http_name name, struct str value);
bool reply_common(struct request *r);
struct str reply_number(struct request *r, uint64_t value);
/* A place to write one part of the answer, empty; until the next call for any request. */
struct buf *reply_draft(struct request *r);
/* What was written there, in the arena, with a NUL behind it; ptr NULL when it did not fit. */
struct str reply_keep(struct request *r);

/* A stored answer as it is read for one reply; all slices are the entry's or the arena's. */
struct stored {
    struct cache_entry *entry;
    struct cache_meta meta;
    struct http_validators validators;
    struct http_fields fields;
};

/* reply_coding.c: each false when no coding that the client accepts can be had (406) */
bool coding_of_entry(struct request *r, const struct stored *stored);
bool coding_of_reader(struct request *r, const struct fill_head *head);
/* Vary, Content-Encoding and a weak ETag, after the answer's own are in r->out. False: memory. */
bool coding_fields(struct request *r);
/* As fill_read(), coded; for r->coding.codec. */
ptrdiff_t coding_read(struct request *r, char *to, size_t room);
void coding_end(struct request *r); /* fine without one */

/* stage_route.c: allow and deny, once who is asked is known */
bool route_address_may(const struct request *r);

/* stage_authorize.c, stage_job.c */
void authorize_cancel(struct request *r); /* fine without one */
/* What the service said of who asks takes its place among what goes upstream. False: out of
 * memory. */
bool authorize_tell(const struct request *r, struct http_fields *fields);
void job_cancel(struct request *r);

/* split.c: sets r->upstream. False: out of memory. */
bool split_choose(struct request *r);

/* mirror.c */
/* A copy of what goes upstream, by the route's share; with a body it is sent when that is whole. */
void mirror_request(struct request *r, const struct http_fields *fields,
                    const struct upstream_request *request);
void mirror_body(struct request *r, struct str bytes); /* for r->mirror: what was just sent */
void mirror_drop(struct mirror **mirror);              /* NULL is fine */
void mirrors_end(struct request_context *context);

/* route_fields.c: what the route's headers and cors make of fields. False: out of memory. */
bool route_request_fields(const struct request *r, struct http_fields *fields);
bool route_answer_fields(struct request *r);
/* Is it a cross-origin question that its route answers? Then *step is the answer. */
bool route_preflight(struct request *r, enum step *step);

/* fetch.c */
bool fetch_start(struct request *r);
void fetch_client_left(struct request *r);
void fetch_join_orphans(struct request *r);
void fetch_leave_orphans(struct request *r); /* fine when it is none */
/* Ends the exchange and everything that hangs on it; r may be freed. */
void fetch_drop(struct request *r, enum flight_outcome outcome);
/* Has the client left, and is nobody reading or storing what still comes? */
bool fetch_is_for_nobody(const struct request *r);
struct cache_intent fetch_intent(struct request *r, const struct http_verdict *verdict);

/* seen.c: what a refetch tells the advice */
void fetch_saw_same(struct request *r); /* a 304; r's entry is still the old one */
void fetch_saw_other(struct request *r, const struct cache_replaced *replaced);

/* fetch_answer.c */
void fetch_on_head(struct request *r, int status, const struct http_fields *fields,
                   const struct http_answer_facts *facts);
void fetch_on_failure(struct request *r);
void fetch_close_flight(struct request *r, enum flight_outcome outcome, bool set_aside);

/* fetch_for.c */
struct str fetch_hash_key(const struct request *r);
double fetch_share(const struct request *r); /* 0..1, more: never turned away */

/* second.c */
bool second_ask(struct request *r);        /* true: asked, the walk waits */
void second_cancel(struct request *r);     /* fine when nothing is asked */
void second_note_place(struct request *r); /* when a fetch begins */
void second_put(struct request *r);        /* its answer is in memory now */

/* fetch_post.c: before this request's own purges, and after them */
bool fetch_post_is_for_get(struct request *r, int status, const struct http_fields *fields);
void fetch_post_take_place(struct request *r);

void fetch_pass_on(struct request *r, int status, const struct http_fields *fields,
                   const struct http_answer_facts *facts);

/* What came is of no use: once more, without what made it so; or, when the client has left, for
 * nobody. From the head's callback. */
void fetch_start_over(struct request *r);

/* part.c */
bool part_answers(struct request *r); /* r's entry is a part that holds what it asks for */
bool part_add_range(struct request *r, struct http_fields *fields);
bool part_on_head(struct request *r, int status, const struct http_fields *fields,
                  const struct http_answer_facts *facts);
bool part_intent(struct request *r, const struct http_fields *fields, const struct fill_head *head,
                 struct cache_intent *intent);
void part_on_stored(struct request *r);

/* refresh.c */
enum refresh { REFRESH_STARTED, REFRESH_BY_ANOTHER, REFRESH_NOT_NOW };
/* Fetches r's entry anew, for the next ones. */
enum refresh refresh_start(struct request *r);
void refresh_ended(const struct request *r);
/* What came could not take the entry's place. */
void refresh_failed(struct request *r);

/* stage_picture.c */
/* The entry would answer a POST: counted, and told by X-Cache-Match. False: in shadow, ask. */
bool picture_may_answer(struct request *r);
void picture_on_stored(struct request *r); /* from now on it can be found by likeness */

/* stage_lookup.c */
enum step lookup_bypass(struct request *r, const char *why);
enum step lookup_serve(struct request *r, enum cache_status status);
enum step lookup_unsatisfiable(struct request *r); /* only-if-cached, and it is not */
bool lookup_may_share(const struct request *r, const struct cache_entry *entry);
enum http_use lookup_judge(const struct request *r, const struct cache_entry *entry);
bool lookup_build_key(const struct request *r, struct cache_key *key);
/* Has another stored an answer since the look-up? */
bool lookup_has_changed(struct request *r);
bool lookup_serves_stale(const struct request *r, int64_t window_s);
struct http_cache_policy lookup_policy(const struct request *r, int status);

/* warm.c: ends what is under way */
void warm_abort(struct request_context *context);

/* tell.c: events */
void tell_refused(struct request *r);
void tell_invalidated(struct request *r);

/* observe.c */
void observe(struct request *r, enum request_outcome outcome, uint64_t bytes_in,
             uint64_t bytes_out);
/* What the log line, the counts and the decision record say alike. */
struct request_end {
    int status;
    uint64_t duration_us, bytes_in, bytes_out;
};
const char *cache_status_name(enum cache_status status);
struct str observe_method(struct str method); /* the usual ones; "other" */
void count_series(struct request_context *context, enum metric_id id, size_t count,
                  const struct str *values);

/* trace.c: each is fine for a request that is not traced */
struct request_trace;
void trace_request(struct request *r);      /* its head is there: which trace is it of? */
struct str trace_parent(struct request *r); /* for what goes upstream; empty: as it came */
/* The span of a try, written into what it sends; 0: it has none. */
uint64_t trace_try(const struct request *r, char *traceparent);
/* The trace of an exemplar: of a span that is or will be told, here or by the caller. */
bool trace_is_told(const struct request *r, bool has_failed, struct trace_context *context);
void trace_finish(struct request *r, const struct request_end *end, bool has_failed);

/* tries.c */
void try_begins(void *request, uint32_t number, const struct target_config *target,
                char *traceparent); /* as upstream_handler.trying */
void try_ends(struct request *r, const struct upstream_try *ended);

/* line.c */
uint32_t line_fields(const struct str_list *names); /* none: all */
void line_write(struct request *r, const struct request_end *end);
struct str observe_client(struct request *r); /* as logs may name it */

/* record.c */
bool records_join(struct request_records *records, struct request_context *context) MUST_USE;
void record_write(struct request *r, const struct request_end *end);
/* What is known of it now. */
void record_fill(struct request_record *record, struct request *r, const struct request_end *end);

/* explain.c */
/* Sets r->is_explained when an operator asks, and takes the token out of the head. */
void explain_ask(struct request *r);
bool explain_answer(struct request *r); /* adds the field; false: out of memory */

#endif
