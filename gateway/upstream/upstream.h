/* upstream.h - who can answer: targets, balance, deadlines, ejection, retry.
 *
 * The registry (struct upstreams) is the process': the state of each target, keyed by
 * upstream name and URL, in atomics; it survives reloads. Each worker has a pool (struct
 * upstream_pool) with its client. Callbacks as in client.h: from the loop's turn only. */
#ifndef GATEWAY_UPSTREAM_H
#define GATEWAY_UPSTREAM_H
#include "base/base.h"
#include "client/client.h"
#include "config/config.h"
#include "events/events.h"

struct upstreams; /* any thread */
struct upstreams *upstreams_new(void) MUST_USE;
void upstreams_free(struct upstreams **upstreams);
/* Where ejections are told (borrowed; outlives it). Before upstreams_adopt(). */
void upstreams_tell(struct upstreams *upstreams, struct events *events);
/* Makes states for new targets of a snapshot; before the snapshot is used. Known ones keep theirs.
 * False: out of memory. */
bool upstreams_adopt(struct upstreams *upstreams, const struct config *config) MUST_USE;
/* Is there a target that stands (neither ejected nor failing), for every required upstream? On
 * false `name` says which lacks one. */
bool upstreams_are_ready(struct upstreams *upstreams, const struct config *config, uint64_t now_us,
                         struct str *name);

/* FAILING: it would be ejected, but too few others stand: it is tried, and not counted on. Ends by
 * itself, too. UNHEALTHY: its checks say so; nothing is sent. DRAINING and DOWN: an operator said
 * so; nothing new is sent, and what is under way may end. A target that is down is not checked. */
enum target_state {
    TARGET_UP,
    TARGET_FAILING,
    TARGET_EJECTED,
    TARGET_UNHEALTHY,
    TARGET_DRAINING,
    TARGET_DOWN
};
enum { TARGET_STATES = TARGET_DOWN + 1 };
const char *target_state_name(enum target_state state);
enum ejection_cause { EJECTED_BY_FAILURES, EJECTED_BY_SUCCESS_RATE, EJECTION_CAUSES };
const char *ejection_cause_name(enum ejection_cause cause); /* failures, success_rate */
struct target_status {
    struct str url;
    struct str address; /* of upstreams_address_status(): lives as long as the registry */
    enum target_state state;
    bool is_backup;
    uint32_t weight, addresses; /* addresses: that a name has now; 0: not looked up */
    uint32_t in_flight;
    uint64_t requests, failures;
    uint32_t consecutive_failures;
    double latency_s;          /* moving average of the time to the first byte; 0: none yet */
    uint64_t ejected_until_us; /* 0: not */
    enum ejection_cause ejected_by;
    double share;        /* of its weight, in its slow start; else 1 */
    double success_rate; /* in the last interval of ejection.success_rate; below 0: not known */
};
/* The state of a target of an upstream; false when the index is past the end. */
bool upstreams_status(struct upstreams *upstreams, const struct upstream_config *upstream,
                      uint32_t target, uint64_t now_us, struct target_status *status);
/* The same of one address of a name, by its place; false when there is none. The state is DRAINING
 * or DOWN when the target is. */
bool upstreams_address_status(struct upstreams *upstreams, const struct upstream_config *upstream,
                              uint32_t target, uint32_t nth, uint64_t now_us,
                              struct target_status *status);
/* An operator's word on a target: UP, DRAINING or DOWN. It outlives reloads, as the target does.
 * False: the index is past the end. */
bool upstreams_set_target(struct upstreams *upstreams, const struct upstream_config *upstream,
                          uint32_t target, enum target_state state) MUST_USE;

/* BREAKER_HALF_OPEN: trials are let through. The values are those of circuit_breaker_state. */
enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN };
/* What was decided about requests. */
enum upstream_verdict {
    VERDICT_SHED, /* over the adaptive limit */
    VERDICT_QUEUE_FULL,
    VERDICT_QUEUE_TIMEOUT,
    VERDICT_RETRY_BUDGET, /* not tried again, or not hedged, for want of budget */
    VERDICT_HEDGE,        /* sent to a second target */
    VERDICT_BREAKER,      /* refused, as it is open */
    VERDICT_NO_TARGET,
    UPSTREAM_VERDICTS
};
const char *upstream_verdict_name(enum upstream_verdict verdict);
struct upstream_status { /* of an upstream as a whole; counts are since the start of the process */
    enum breaker_state breaker;
    uint64_t breaker_open_us; /* time left; 0: not open */
    uint32_t in_flight, retrying, queued;
    uint32_t limit; /* of an adaptive upstream; 0: it is none, or nothing is known yet */
    uint64_t breaker_opened;
    uint64_t verdicts[UPSTREAM_VERDICTS];
    uint64_t ejected[EJECTION_CAUSES];
    uint64_t checks_good, checks_bad; /* active ones */
};
void upstreams_upstream_status(struct upstreams *upstreams, const struct upstream_config *upstream,
                               uint64_t now_us, struct upstream_status *status);

/* The main thread's: runs the active checks for all workers, and looks names up again when their
 * dns_ttl is over, off the loop. What it finds is in the registry at once. */
struct upstream_keeper;
struct upstream_keeper *upstream_keeper_new(struct loop *loop, struct upstreams *upstreams,
                                            struct fail *why) MUST_USE;
/* After the loop has ended, or before it began. */
void upstream_keeper_free(struct upstream_keeper **keeper);
/* Goes by this snapshot (held) from now on; it is adopted already. False: out of memory, and some
 * targets are not looked after. */
bool upstream_keeper_use(struct upstream_keeper *keeper, struct config *config) MUST_USE;

struct upstream_pool; /* one worker's */
struct upstream_pool *upstream_pool_new(struct loop *loop, struct upstreams *upstreams,
                                        const struct client_options *options,
                                        struct fail *why) MUST_USE;
void upstream_pool_free(struct upstream_pool **pool);
/* The worker's client, for exchanges with services that are no upstream's. */
struct client *upstream_pool_client(const struct upstream_pool *pool);
struct client_counts upstream_pool_counts(const struct upstream_pool *pool);

struct upstream_request {
    const struct upstream_config *upstream; /* borrowed until done, with its snapshot */
    struct str method, path;                /* copied */
    struct str
        client_host; /* Host as the client sent it; used when upstream->host says so; copied */
    const struct http_fields *fields; /* as client_request; copied (they may be sent again) */
    enum client_body body;
    uint64_t body_length;
    int64_t timeout_ms; /* whole exchange with its retries */
    bool has_idempotency_key;
    bool upgrades;       /* 101 is an answer; then body and read carry the other protocol's bytes */
    struct str hash_key; /* for balance "hash": same key, same target; not kept */
    /* How much of an adaptive limit may be in use for this one to be let in, 0 to 1; above 1 it is
     * let in whatever is. 0 counts as 1. */
    double share;
};
/* How it ended, beside the client's outcome. */
enum upstream_kind { /* of an error, for metrics: connect dns tls timeout reset empty protocol
                        header_limit truncated no_target ports memory aborted breaker
                        overload shed */
                     UPSTREAM_OK,
                     UPSTREAM_CONNECT,
                     UPSTREAM_DNS,
                     UPSTREAM_TLS,
                     UPSTREAM_CONNECT_TIMEOUT,
                     UPSTREAM_FIRST_BYTE_TIMEOUT,
                     UPSTREAM_TOTAL_TIMEOUT,
                     UPSTREAM_IDLE_TIMEOUT,
                     UPSTREAM_RESET,
                     UPSTREAM_EMPTY,
                     UPSTREAM_PROTOCOL,
                     UPSTREAM_HEADER_LIMIT,
                     UPSTREAM_TRUNCATED,
                     UPSTREAM_NO_TARGET,
                     UPSTREAM_NO_PORTS,
                     UPSTREAM_NO_MEMORY,
                     UPSTREAM_BODY_ABORTED,
                     UPSTREAM_BREAKER,  /* it is open */
                     UPSTREAM_OVERLOAD, /* every target has max_requests, and no place was free in
                                           the queue or none became so in time */
                     UPSTREAM_SHED      /* over the adaptive limit */
};
const char *upstream_kind_name(enum upstream_kind kind);
/* 502, 503 or 504 for an error before the head (contract §2 "Retries"). */
int upstream_kind_status(enum upstream_kind kind);
struct upstream_result {
    enum upstream_kind kind;
    const char *reason; /* static slug of the client's */
    struct str target;  /* url of the last target tried; borrowed from the snapshot; empty: none */
    uint32_t attempts;  /* tries in all, 0 when there was no target */
    uint64_t first_byte_us; /* from start to the head; 0: none came */
    uint32_t retry_after_s; /* for Retry-After of a 503, at least 1 */
};
/* How one try against one target ended. */
struct upstream_try {
    uint32_t number;   /* from 1 */
    struct str target; /* url; borrowed from the snapshot */
    enum upstream_kind kind;
    int status; /* 0: no head came */
    bool will_retry;
};
struct upstream_handler {
    void (*interim)(void *arg, int status, const struct http_fields *fields); /* may be NULL */
    /* The head that will be delivered: no retry after it. */
    void (*head)(void *arg, int status, const struct http_fields *fields,
                 const struct http_answer_facts *facts, const struct upstream_result *so_far);
    bool (*body)(void *arg, struct str bytes);
    void (*trailers)(void *arg, const struct http_fields *fields);
    ptrdiff_t (*read)(void *arg, char *to, size_t room);
    void (*done)(
        void *arg,
        const struct upstream_result *result); /* once; the exchange is freed when it returns */
    /* A try begins. `traceparent`: of the request's field of that name, where it has one as long
     * as a sound one (55), the bytes that this try sends; they may be written over. Else NULL. May
     * be NULL. */
    void (*trying)(void *arg, uint32_t number, const struct target_config *target,
                   char *traceparent);
    /* A try has ended; not called for one that was given up. May be NULL. */
    void (*tried)(void *arg, const struct upstream_try *ended);
    char *(*place)(void *arg, size_t *room); /* as client_handler's; may be NULL */
    void (*placed)(void *arg, size_t len);
};
struct upstream_exchange;
struct upstream_exchange *upstream_start(struct upstream_pool *pool,
                                         const struct upstream_request *request,
                                         const struct upstream_handler *handler,
                                         void *arg) MUST_USE;
void upstream_resume_answer(struct upstream_exchange *exchange);
void upstream_resume_body(struct upstream_exchange *exchange);
void upstream_cancel(struct upstream_exchange *
                         *exchange); /* the client left: no callback, not a failure of the target */
/* The answer is an event stream: no total deadline; silence is bounded by stream_idle_timeout_ms
 * instead. From the head callback. */
void upstream_is_stream(struct upstream_exchange *exchange, int64_t idle_timeout_ms);
void upstream_check(const struct config *config, struct faults *faults);

#endif
