/* link_priv.h - the Redis store's own struct: what store.c, deny.c and debts.c share.
 *
 * One worker's; everything in it is touched by its thread alone. */
#ifndef GATEWAY_LIMIT_LINK_PRIV_H
#define GATEWAY_LIMIT_LINK_PRIV_H
#include "limit/store_priv.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "redis/redis.h"

enum {
    STORE_MOST_GROUPS = 64,  /* questions in one call */
    STORE_MAX_BATCHES = 256, /* calls on their way, late ones included */
    DENY_PLACES = 512,
    LEASE_PLACES = 256,
    LEASE_MOST = 256,
    DEBT_PLACES = 4096
};

/* One question: every call in it asks for the same. */
struct limit_group {
    struct limit_policy policies[2];
    uint32_t policy_count, want;
    uint64_t cost;
    struct config *config; /* the batch's */
    enum packed_op op;
    struct limit_call *first, *last; /* who waits, in the order of asking */
};
struct limit_batch {
    struct limit_store *store;
    struct config *config; /* held: windows of the groups are its */
    struct limit_batch *next;
    uint64_t generation;
    uint32_t slot, count;
    bool is_late;
    struct limit_group groups[STORE_MOST_GROUPS];
};

/* Tells the server alone; away: a charge is owed, what is given back is lost. */
void store_change(struct limit_store *store, const struct limit_call *call, enum packed_op op,
                  uint64_t cost);

void batch_free(struct limit_batch *batch);

/* ---- answer.c ---- */
redis_reply_fn batch_on_reply;
redis_late_fn batch_on_late;
/* Decides from the memory store, or as on_failure says. Owed: the server has not counted it. */
void decide_without(struct limit_store *store, struct limit_call *call, bool is_owed);
void group_without(struct limit_store *store, struct limit_group *group, bool is_owed);

/* The script and window.c agree; should they ever not, the script's word counts. */
void obey(struct limit_state *state, bool is_granted);

/* ---- deny.c ---- */
struct denial {
    struct hash128 key, second; /* of the policies */
    const struct window_set *windows[2];
    uint64_t cost, until_us; /* monotonic */
    uint64_t ahead_us;       /* the server's clock over ours */
    uint32_t forgets;
    union window_record records[LIMIT_MAX_WINDOWS];
};
/* Remembers a refusal: until more room can be there, and a quarter of a second at most. */
void deny_note(struct limit_store *store, const struct limit_call *call,
               const struct packed_answer *answer);
/* True: refused again, and call->state says how. */
bool deny_answers(struct limit_store *store, struct limit_call *call, struct limit_time now);

/* ---- lease.c ---- */
struct lease {
    struct hash128 key, second;
    const struct window_set *windows[2];
    uint64_t cost, counted_from_us, until_us, ahead_us, wish_until_us;
    uint32_t asked, left, forgets; /* decisions since counted_from_us; tokens that are paid for */
    uint64_t remaining;            /* in the fullest window, as last told */
    union window_record records[LIMIT_MAX_WINDOWS];
};
/* True: a token that was taken ahead is spent on it, and call->state says what is left. */
bool lease_answers(struct limit_store *store, struct limit_call *call, struct limit_time now);
/* How many more tokens to ask for along with this question. */
uint32_t lease_wish(struct limit_store *store, const struct limit_group *group);
/* `granted` tokens more came than there were calls; records are those before they are spent. */
void lease_note(struct limit_store *store, const struct limit_group *group, uint32_t granted,
                const struct packed_answer *answer);

/* ---- debts.c ---- */
struct debt {
    struct limit_policy policies[2];
    uint32_t policy_count;
    uint64_t cost;
    struct config *config; /* held; NULL: none */
};
/* What was admitted here and counted nowhere else. */
void debts_add(struct limit_store *store, const struct limit_call *call);
/* A charge that the server has not taken. */
void debts_owe(struct limit_store *store, const struct limit_group *group);
void debts_pay(struct limit_store *store);
void debts_pay_soon(struct limit_store *store); /* the server answers: at most once a second */
void debts_drop(struct limit_store *store);

/* ---- tiers.c ---- */
struct limit_tiers;
void tiers_use(struct limit_store *store, const struct config *config); /* at first and on reload */
void tiers_free(struct limit_tiers **tiers); /* when no reply comes any more */

/* ---- hold_store.c, hold_link.c ---- */
struct limit_holds;
struct limit_holds *shared_holds_new(struct limit_store *store) MUST_USE;
void shared_holds_free(struct limit_holds **holds); /* when no reply comes any more */
void shared_holds_tell(struct limit_holds *holds); /* the server, or a node of it, is there again */

struct limit_store {
    struct loop *loop;
    struct limiter *limiter;
    struct sheet *sheet;
    struct redis *redis;
    struct limit_tiers *tiers; /* NULL: never was identity.tiers_from set */
    struct limit_holds *holds; /* NULL: nobody ever asked for requests at a time */
    struct redis_script script;
    struct str prefix;
    char prefix_text[64];
    size_t prefix_len;
    int64_t deadline_ms;
    uint32_t groups_most;
    bool is_flush_asked;
    struct turn_end flush;
    struct cell *fallbacks;
    struct limit_batch *turn;  /* what leaves at its end */
    struct limit_batch *spare; /* all of `batches` that are free */
    struct limit_batch *batches[STORE_MAX_BATCHES];
    uint32_t batch_count;
    struct denial denials[DENY_PLACES];
    struct lease leases[LEASE_PLACES];
    bool has_leases;
    struct debt debts[DEBT_PLACES];
    uint32_t debt_count;
    uint64_t pay_again_us;
};

#endif
