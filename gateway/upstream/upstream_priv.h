/* upstream_priv.h - what the files of upstream/ know of each other.
 *
 * registry.c  states of targets, one for the process
 * balance.c   which target next: pure
 * eject.c     a target that fails is left alone for a while
 * retry.c     may it be tried again, and when: pure but for the budget's counters
 * kind.c      how a try ended, in the words of logs and metrics
 * pool.c      one worker's client and its view of the registry
 * exchange.c  a request's life
 * try.c       its tries
 * body.c      its body, kept for another try
 * clock.c     its deadlines
 * check.c     judges the settings
 *
 * Threads: the registry's atomics any, all else one worker. */
#ifndef GATEWAY_UPSTREAM_PRIV_H
#define GATEWAY_UPSTREAM_PRIV_H
#include "upstream/upstream.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- registry.c ---- */
struct target {
    struct str url; /* owned */
    atomic_uint in_flight, consecutive;
    atomic_ullong requests, failures;
    atomic_ullong ejected_until_us; /* 0: not */
    atomic_ullong failing_until_us; /* would be ejected if it were not among the last; 0: not */
    atomic_ullong latency_us;       /* moving average; 0: none yet */
};
struct group { /* an upstream, by name; lives as long as the registry */
    struct str name;
    struct target **targets; /* all that a configuration ever named */
    uint32_t count;
    struct group *next;
    atomic_uint in_flight; /* exchanges */
    atomic_uint retrying;  /* of them in a retry, or waiting for one */
};
struct upstreams {
    pthread_mutex_t lock; /* of the lists, and of the decision to eject */
    struct group *groups;
};
/* The group and the state of each target of `upstream`, in its order; makes what is missing. False:
 * out of memory. */
bool registry_resolve(struct upstreams *upstreams, const struct upstream_config *upstream,
                      struct group **group, struct target **targets) MUST_USE;
bool target_is_ejected(const struct target *target, uint64_t now_us);
bool target_is_failing(const struct target *target, uint64_t now_us);

/* ---- balance.c ---- */
struct balance_entry {
    uint32_t weight, in_flight;
    bool is_ejected, is_tried;
    int64_t current; /* smooth weighted round robin's own */
};
/* The place of the next target; count is at least 1. One that is neither ejected nor tried, else
 * not ejected, else any. */
uint32_t balance_pick(enum balance_kind kind, struct balance_entry *entries, uint32_t count,
                      uint64_t random);

/* ---- eject.c ---- */
/* How many of `count` may be ejected at once. */
uint32_t eject_most(double share, uint32_t count);
void eject_note_success(struct target *target);
/* `targets`: all of the upstream. */
void eject_note_failure(struct upstreams *upstreams, const struct upstream_config *config,
                        struct target *const *targets, struct target *target, uint64_t now_us);

/* ---- retry.c ---- */
struct retry_case {
    enum upstream_kind kind; /* UPSTREAM_OK: an answer with `status` */
    int status;
    uint32_t on; /* RETRY_* */
    uint32_t attempts_left;
    bool is_repeatable; /* an idempotent method, or an Idempotency-Key */
    bool has_head;      /* delivered */
    bool body_is_lost;  /* read and not kept */
    bool is_charged;    /* counts as retrying already */
    double budget;
    uint32_t in_flight, retrying;
};
bool retry_is_allowed(const struct retry_case *c);
/* Wait before it, in microseconds; `nth` counts from 1. */
uint64_t retry_delay_us(enum upstream_kind kind, bool is_other_target, uint32_t nth,
                        uint64_t random);

/* ---- kind.c ---- */
enum upstream_kind kind_of_outcome(enum client_outcome outcome);
bool kind_is_unsent(enum upstream_kind kind);        /* nothing reached the upstream */
bool kind_is_targets_fault(enum upstream_kind kind); /* counts against it */

/* ---- pool.c ---- */
struct slot { /* the worker's view of one upstream of the present snapshot */
    struct group *group;
    struct target **targets;
    struct balance_entry *entries;
    uint32_t count;
};
struct upstream_pool {
    struct loop *loop;
    struct client *client;
    struct upstreams *upstreams;
    struct slot *slots; /* by the upstream's index */
    uint32_t slot_count;
    struct upstream_exchange *spare, *all;
    uint32_t spares;
};
/* NULL: out of memory. */
struct slot *pool_slot(struct upstream_pool *pool, const struct upstream_config *upstream);

/* ---- exchange.c ---- */
struct upstream_exchange {
    struct upstream_pool *pool;
    struct upstream_exchange *next, *before; /* in the pool's list of all, or of spare ones */
    struct turn_end end;
    struct arena *arena;
    const struct upstream_config *upstream;
    const struct upstream_handler *handler;
    void *arg;
    struct str method, path, client_host;
    struct http_fields fields;
    enum client_body body;
    uint64_t body_length;
    bool is_repeatable;

    struct group *group;
    struct target *target; /* of the present try; NULL between tries */
    struct client_exchange *current;
    struct client_target client_target;
    uint32_t target_index;
    uint64_t tried; /* bits of the first 64 targets */
    uint32_t attempts_left, stale_tries;
    bool needs_fresh, has_head, is_stream, is_ended, is_charged;
    int status; /* of the present try; 0: no head yet */

    struct deadline clock, backoff;
    uint64_t started_us, try_started_us, active_us; /* active: the last sign of life of the body */
    uint64_t total_at_us;                           /* UINT64_MAX: none */
    uint64_t idle_us;
    bool waits_for_reader; /* of the answer: our own side is slow */
    bool waits_for_body;   /* of the request: likewise */

    struct buf kept; /* the request's body as far as it was read */
    size_t kept_at;  /* sent again up to here */
    bool body_is_lost, body_has_ended;
    struct upstream_result result;
};
/* Over, with done(). */
void exchange_end(struct upstream_exchange *exchange, enum upstream_kind kind, const char *reason);
void exchange_leave_target(struct upstream_exchange *exchange);
void pool_free_exchanges(struct upstream_pool *pool); /* unanswered */

/* ---- try.c ---- */
/* False: out of memory. `slot` has at least one target. */
bool try_begin(struct upstream_exchange *exchange, struct slot *slot) MUST_USE;
void try_after_backoff(void *exchange); /* deadline */
/* The present try ended (client outcome or deadline): again, or the end. */
void try_end(struct upstream_exchange *exchange, enum upstream_kind kind, const char *reason);

/* ---- body.c ---- */
ptrdiff_t body_read(void *exchange, char *to, size_t room);
void body_rewind(struct upstream_exchange *exchange);
void body_forget(struct upstream_exchange *exchange); /* no other try will come */

/* ---- clock.c ---- */
bool clock_start(struct upstream_exchange *exchange, int64_t timeout_ms) MUST_USE;
void clock_look(struct upstream_exchange *exchange); /* a try began, or a head came */
void clock_stop(struct upstream_exchange *exchange);

#endif
