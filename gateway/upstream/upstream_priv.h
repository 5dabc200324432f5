/* upstream_priv.h - what the files of upstream/ know of each other.
 *
 * registry.c  states of targets, one for the process
 * status.c    what of them people see, and set
 * balance.c   which target next: pure
 * choose.c    who may be asked now, and a place there
 * queue.c     who waits for one
 * latency.c   how long targets take: peak average, quantile
 * eject.c     a target that fails is left alone for a while
 * outlier.c   so is one that fails more often than the others
 * breaker.c   so is an upstream
 * adaptive.c  how many requests an upstream bears
 * retry.c     may it be tried again, and when: pure but for the budget's counters
 * kind.c      how a try ended, in the words of logs and metrics
 * pool.c      one worker's client and its view of the registry
 * verdict.c   what was decided about requests, counted and told
 * exchange.c  a request's life
 * try.c       its tries
 * attempt.c   where one goes, and what it tells the target
 * note.c      what they tell of their targets
 * hedge.c     a second one beside the first
 * keeper.c    the main thread's part: active checks and names
 * health.c    is a target well
 * names.c     what addresses a name has
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

/* ---- breaker.c ---- */
enum { BREAKER_SLICES = 10 };
struct breaker {
    struct events *events;     /* may be NULL */
    atomic_uint state;         /* enum breaker_state */
    _Atomic uint64_t until_us; /* open: until then */
    atomic_int trials;         /* half open: that may still begin */
    atomic_uint successes;     /* half open */
    _Atomic uint64_t opened;   /* since the start */
    struct {
        _Atomic uint64_t epoch; /* number of the slice of time that is counted here */
        atomic_uint total, failed;
    } slices[BREAKER_SLICES];
};
enum breaker_answer { BREAKER_PASS, BREAKER_TRIAL, BREAKER_REFUSE };
/* TRIAL: what comes of it must be told by breaker_note(), or it is given back. */
enum breaker_answer breaker_ask(struct breaker *breaker, const struct upstream_config *config,
                                uint64_t now_us);
/* An exchange came to its end. */
void breaker_note(struct breaker *breaker, const struct upstream_config *config, bool is_trial,
                  bool has_failed, uint64_t now_us);
void breaker_give_back(struct breaker *breaker); /* a trial that nothing was learned from */
enum breaker_state breaker_state(const struct breaker *breaker, uint64_t now_us);

/* ---- latency.c ---- */
/* Time to the head: one bucket each eighth of a power of two, halved as it fills, so that it
 * follows what is going on now. */
enum { LATENCY_BUCKETS = 192, LATENCY_ENOUGH = 64 };
struct latency {
    atomic_uint counts[LATENCY_BUCKETS];
    atomic_uint total;
};
void latency_note(struct latency *latency, uint64_t us);
/* 0: too few are known. `share` 0 to 1. Never less than the true quantile. */
uint64_t latency_quantile_us(const struct latency *latency, double share);
/* A sample into a peak-sensitive average: up at once, down with time. */
uint64_t latency_peak(uint64_t average_us, uint64_t age_us, uint64_t sample_us);
/* What is left of an average that nothing was added to for so long. */
uint64_t latency_decayed(uint64_t average_us, uint64_t age_us);

/* ---- adaptive.c ---- */
struct adaptive {
    atomic_uint limit; /* 0: none yet */
    _Atomic uint64_t window_ends_us;
    atomic_uint samples; /* of this window */
    _Atomic uint64_t sum_us;
    atomic_uint most_in_flight;
    _Atomic uint64_t base_us; /* what it takes when it is not busy */
};
enum { ADAPTIVE_FLOOR = 8, ADAPTIVE_FIRST = 64, ADAPTIVE_MOST = 100000 };
/* May one more begin when so many are in flight? */
bool adaptive_allows(const struct adaptive *adaptive, uint32_t in_flight, double share);
void adaptive_note(struct adaptive *adaptive, uint64_t took_us, uint32_t in_flight,
                   uint64_t now_us);
/* Pure: the limit after a window. */
uint32_t adaptive_next(uint32_t limit, uint64_t base_us, uint64_t mean_us, uint32_t most_in_flight);

/* ---- registry.c ---- */
enum trial { TRIAL_NONE, TRIAL_DUE, TRIAL_ON /* a request is on its way to it */ };
struct target {
    struct str url;            /* owned */
    struct str address;        /* owned; of a name that was resolved; empty: as the URL says */
    struct target *named;      /* that the URL names: itself, or whose address this is */
    struct target **addresses; /* of a name, as last resolved; under the lock; count 0: not yet */
    uint32_t address_count;
    struct target *next_address; /* all that it ever had, under the lock */
    atomic_uint word; /* an operator's: TARGET_UP, TARGET_DRAINING, TARGET_DOWN; of a named one */
    atomic_bool is_unhealthy;  /* by its checks */
    uint32_t good, bad;        /* checks in a row; the main thread's */
    _Atomic uint64_t since_us; /* it returned, or was new in a reload; 0: was always there */
    _Atomic uint64_t peak_us, peak_at_us; /* latency.c */
    atomic_uint in_flight, consecutive;
    _Atomic uint64_t requests, failures;
    _Atomic uint64_t ejected_until_us; /* 0: not */
    atomic_uint trial;                 /* enum trial: it was ejected, and has not answered since */
    atomic_uint ejected_by;            /* enum ejection_cause, the last time */
    uint64_t judged_tries, judged_failures; /* outlier.c's, before the interval; main thread's */
    atomic_uint success_ppm;           /* of its tries in the last interval, plus 1; 0: not known */
    _Atomic uint64_t failing_until_us; /* would be ejected if it were not among the last; 0: not */
    _Atomic uint64_t latency_us;       /* moving average; 0: none yet */
};
struct group { /* an upstream, by name; lives as long as the registry */
    struct str name;
    struct target **targets; /* all that a configuration ever named */
    uint32_t count;
    struct group *next;
    atomic_uint generation; /* grows when a name's addresses change */
    atomic_uint in_flight;  /* exchanges */
    atomic_uint retrying;   /* of them in a retry or a hedge, or waiting for one */
    atomic_uint queued;     /* of them waiting for a target */
    _Atomic uint64_t ejected[EJECTION_CAUSES], checks_good, checks_bad; /* since the start */
    struct verdict {
        _Atomic uint64_t count, tell_at_us;
    } verdicts[UPSTREAM_VERDICTS];
    struct breaker breaker;
    struct latency latency;
    struct adaptive adaptive;
};
struct upstreams {
    pthread_mutex_t lock; /* of the lists, and of the decision to eject */
    struct group *groups;
    struct events *events; /* may be NULL */
};
/* Who can be asked: the targets of an upstream in its order, a name by its addresses. */
struct members {
    struct group *group;
    uint32_t generation;
    struct target **targets;
    uint32_t *origins; /* place of each in the upstream's targets */
    uint32_t count;
};
/* Makes what is missing. False: out of memory, and there is nothing to clear. */
bool registry_resolve(struct upstreams *upstreams, const struct upstream_config *upstream,
                      struct members *members) MUST_USE;
void members_clear(struct members *members);
/* What a name stands for now: at least one address, each once, as they go into a URL. False: out
 * of memory, and what was known stays. */
bool registry_set_addresses(struct upstreams *upstreams, const struct upstream_config *upstream,
                            uint32_t origin, const struct str *addresses, uint32_t count,
                            bool *has_changed) MUST_USE;
/* For callers that hold the lock. NULL: not adopted. */
struct group *registry_group(const struct upstreams *upstreams, struct str name);
struct target *registry_named(const struct group *group, struct str url);
bool target_is_ejected(const struct target *target, uint64_t now_us);
bool target_is_failing(const struct target *target, uint64_t now_us);
/* May anything be sent to it, but for an ejection? */
bool target_is_usable(const struct target *target);
/* An event: its state has become `state`, by `cause` (may be NULL), for so long (0: until further
 * notice). */
void target_tell(const struct upstreams *upstreams, struct str upstream,
                 const struct target *target, const char *state, const char *cause, int64_t for_ms);
/* Two events at most: it is up again, by `cause`, and gets its share little by little. */
void target_tell_return(const struct upstreams *upstreams, const struct upstream_config *config,
                        const struct target *target, const char *cause);
/* How much of its weight it has now, 0 to 1, in its slow start. */
double target_share(const struct target *target, const struct upstream_config *config,
                    uint64_t now_us);
/* It returns after the checks, or an operator, had kept it out. */
void target_set_healthy(struct target *target, bool is_healthy, uint64_t now_us);

/* ---- balance.c ---- */
enum standing { /* lower is better */
                STANDING_GOOD,
                STANDING_BACKUP,
                STANDING_TRIED, /* by this exchange */
                STANDING_TRIED_BACKUP,
                STANDING_EJECTED, /* asked only when nobody else may be */
                STANDING_OUT      /* never picked */
};
struct balance_entry {
    uint32_t weight, in_flight;
    uint32_t standing; /* enum standing */
    int64_t current;   /* smooth weighted round robin's own */
    uint64_t peak_us;  /* p2c: latency as it counts now; 0: unknown */
    uint64_t name;     /* hash: of the target */
};
struct balance_question {
    enum balance_kind kind;
    uint64_t random; /* or, for a hash, that of the key */
};
/* The place of the next target among those of the best standing; count is at least 1 and one of
 * them is not OUT. */
uint32_t balance_pick(const struct balance_question *question, struct balance_entry *entries,
                      uint32_t count);
uint64_t balance_hash(struct str text); /* the same in every gateway */

/* ---- choose.c ---- */
struct slot;
enum choice { CHOICE_TARGET, CHOICE_FULL, CHOICE_NONE };
struct choose_question {
    const struct upstream_config *upstream;
    uint64_t tried; /* bits of the first 64 places */
    uint64_t hash;
    uint32_t worst; /* enum standing: none that stands worse */
    uint64_t now_us;
};
/* TARGET: *place is its place in the slot, and it has one more in flight. */
enum choice choose_target(struct slot *slot, const struct choose_question *question,
                          uint32_t *place);
/* The same for an address of the other family that stands for the same name as `from`, was not
 * tried, and may be asked now. False: there is none. */
bool choose_across(struct slot *slot, const struct choose_question *question,
                   const struct target *from, uint32_t *place);

/* ---- eject.c ---- */
/* How many of `count` may be ejected at once. */
uint32_t eject_most(double share, uint32_t count);
void eject_note_success(struct target *target);
/* It has answered, though the answer is not whole yet: what it may get is no longer held back. */
void eject_note_answer(const struct upstreams *upstreams, const struct upstream_config *config,
                       struct target *target, uint64_t now_us);
void eject_note_failure(struct upstreams *upstreams, const struct upstream_config *config,
                        const struct members *members, struct target *target, uint64_t now_us);
/* For its success rate, unless too many are out already. `why`: for the log. */
void eject_outlier(struct upstreams *upstreams, const struct upstream_config *config,
                   const struct members *members, struct target *target, uint64_t now_us,
                   const char *why);

/* ---- outlier.c: the main thread's ---- */
/* The least rate that is not too far below the others; below 0: there are too few to say. */
double outlier_least(const double *rates, uint32_t count, const struct upstream_config *upstream);
/* Compares what was counted since the last time, and ejects. False: out of memory. */
bool outlier_judge(struct upstreams *upstreams, const struct upstream_config *upstream,
                   uint64_t now_us);
struct upstream_keeper;
bool outlier_begin(struct upstream_keeper *keeper) MUST_USE;
void outlier_end(struct upstream_keeper *keeper);

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
bool retry_lacks_budget(const struct retry_case *c); /* and nothing else forbids it */
bool retry_budget_allows(double budget, uint32_t in_flight, uint32_t retrying);
/* Wait before it, in microseconds; `nth` counts from 1. */
uint64_t retry_delay_us(enum upstream_kind kind, bool is_other_target, uint32_t nth,
                        uint64_t random);

/* ---- kind.c ---- */
enum upstream_kind kind_of_outcome(enum client_outcome outcome);
bool kind_is_unsent(enum upstream_kind kind);        /* nothing reached the upstream */
bool kind_is_targets_fault(enum upstream_kind kind); /* counts against it */

/* ---- pool.c ---- */
struct slot { /* the worker's view of one upstream of the present snapshot */
    struct members members;
    struct str *urls; /* of the named ones, as the snapshot had them */
    uint32_t named_count;
    struct balance_entry *entries;
};
struct upstream_pool {
    struct loop *loop;
    struct client *client;
    struct upstreams *upstreams;
    struct slot *slots; /* by the upstream's index */
    uint32_t slot_count;
    struct upstream_exchange *spare, *all;
    uint32_t spares;
    struct upstream_exchange *waiting, *last_waiting; /* queue.c */
    struct deadline look;
};
/* NULL: out of memory. */
struct slot *pool_slot(struct upstream_pool *pool, const struct upstream_config *upstream);

/* ---- exchange.c ---- */
struct attempt { /* one exchange of the client room with one target */
    struct upstream_exchange *exchange;
    struct client_exchange *current;
    struct target *target; /* NULL: none is under way */
    struct client_target client_target;
    uint32_t origin; /* place of the target in the upstream's */
    uint32_t number; /* from 1, of the exchange */
    uint32_t stale_tries;
    bool is_trial;                 /* of its target */
    bool needs_fresh, has_crossed; /* crossed: to the other family of a name's addresses */
    int status;                    /* 0: no head yet */
    uint64_t started_us;
};
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
    char *traceparent;      /* its value in fields; NULL: it has none */
    char deadline_text[24]; /* the value of the field that tells it */
    enum client_body body;
    uint64_t body_length, hash;
    bool is_repeatable, may_hedge, upgrades;

    struct group *group;
    struct attempt attempts[2], *main; /* the other is a hedge */
    uint64_t tried;                    /* bits of the first 64 places */
    uint32_t attempts_left;
    bool has_head, is_ended, is_charged;
    bool is_stream;             /* from its head on: how it ends is no failure of the target */
    bool is_trial, is_judged;   /* of the breaker */
    enum upstream_kind refusal; /* UPSTREAM_OK: none */

    struct deadline clock, backoff, hedge;
    uint64_t started_us, active_us; /* active: the last sign of life of the body */
    uint64_t total_at_us;           /* UINT64_MAX: none */
    uint64_t idle_us;
    bool waits_for_reader; /* of the answer: our own side is slow */
    bool waits_for_body;   /* of the request: likewise */

    bool is_waiting; /* for a target */
    struct upstream_exchange *next_waiting, *before_waiting;
    uint64_t wait_ends_us;

    struct buf kept; /* the request's body as far as it was read */
    size_t kept_at;  /* sent again up to here */
    bool body_is_lost, body_has_ended;
    struct upstream_result result;
};
/* Over, with done(). */
void exchange_end(struct upstream_exchange *exchange, enum upstream_kind kind, const char *reason);
/* Silent, and no longer anywhere in flight. */
void attempt_drop(struct attempt *attempt);
void pool_free_exchanges(struct upstream_pool *pool); /* unanswered */
/* Tells the breaker how the exchange went, once. */
void exchange_tell_breaker(struct upstream_exchange *exchange, bool has_failed);

/* ---- queue.c ---- */
/* Does anybody wait already? Who comes first is served first. */
bool queue_has_others(const struct upstream_exchange *exchange);
/* False: no place. */
bool queue_join(struct upstream_exchange *exchange) MUST_USE;
void queue_leave(struct upstream_exchange *exchange); /* fine when it is not in it */
void queue_look(void *pool);                          /* deadline */
void queue_note_room(struct upstream_pool *pool);     /* a target has a place */

/* ---- try.c ---- */
enum try_result { TRY_BEGUN, TRY_FULL, TRY_NO_TARGET, TRY_NO_MEMORY };
enum try_result try_begin(struct upstream_exchange *exchange) MUST_USE;
void try_now(void *exchange); /* deadline: begins one, waits for one, or ends the exchange */
/* The attempt ended (client outcome or deadline): again, or the end. */
void try_end(struct attempt *attempt, enum upstream_kind kind, const char *reason);
/* On a target that was chosen. False: out of memory. */
bool attempt_start(struct attempt *attempt, struct slot *slot, uint32_t place) MUST_USE;
struct attempt *attempt_other(struct attempt *attempt);
bool attempt_is_on(const struct attempt *attempt);

/* ---- note.c ---- */
void attempt_note_failure(const struct attempt *attempt);
void attempt_note_latency(const struct attempt *attempt); /* its head has come */
void attempt_note_answer(const struct attempt *attempt);  /* and is none of a failure */
void attempt_note_success(const struct attempt *attempt); /* the answer is whole */
/* Its target has come back from an ejection: this is the one request that it gets. */
void attempt_begin_trial(struct attempt *attempt);
void attempt_end_trial(struct attempt *attempt); /* it is over; nothing if it was none */

/* ---- verdict.c ---- */
void verdict_note(struct upstreams *upstreams, struct group *group, enum upstream_verdict verdict,
                  uint64_t now_us);
/* Of an exchange that was refused; of another nothing. */
void verdict_note_end(const struct upstream_exchange *exchange, enum upstream_kind kind);

/* ---- attempt.c ---- */
/* The Host field's value. */
struct str attempt_host(const struct upstream_exchange *exchange,
                        const struct target_config *target);
/* How long this try's answer is waited for, into its field. */
void attempt_tell_deadline(struct upstream_exchange *exchange, uint64_t now);
struct client_target target_for_client(const struct upstream_config *upstream, uint32_t origin,
                                       const struct target *target);

/* ---- keeper.c, health.c, names.c: the main thread's ---- */
struct check;
struct name;
struct judge;
enum { ADDRESS_ROOM = 64 };
struct upstream_keeper {
    struct loop *loop;
    struct upstreams *upstreams;
    struct client *client;
    struct config *config;
    struct check *checks;
    struct name *names;
    struct judge *judges;
};
/* Anew for the snapshot and the addresses that are known now. False: out of memory. */
bool health_begin(struct upstream_keeper *keeper) MUST_USE;
void health_end(struct upstream_keeper *keeper);
bool names_begin(struct upstream_keeper *keeper) MUST_USE;
void names_end(struct upstream_keeper *keeper);
/* A check's outcome. True: the target's state has changed. */
bool health_note(struct target *target, const struct upstream_config *upstream, bool is_good,
                 uint64_t now_us);

/* ---- hedge.c ---- */
void hedge_plan(struct upstream_exchange *exchange); /* the first try has begun */
void hedge_now(void *exchange);                      /* deadline */

/* ---- body.c ---- */
ptrdiff_t body_read(void *exchange, char *to, size_t room);
void body_rewind(struct upstream_exchange *exchange);
void body_forget(struct upstream_exchange *exchange); /* no other try will come */

/* ---- clock.c ---- */
bool clock_start(struct upstream_exchange *exchange, int64_t timeout_ms) MUST_USE;
void clock_look(struct upstream_exchange *exchange); /* a try began, or a head came */
void clock_stop(struct upstream_exchange *exchange);

#endif
