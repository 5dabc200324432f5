/* deny.c - refusals that are known to hold: a caller who hammers does not cost the server.
 *
 * Exact: room comes with time alone, so what was refused stays refused until the wait that was
 * said has passed. Three things can make room sooner: a gift back (a later limit refused, an
 * answer that cost less), an operator who forgets a client on another gateway, and a new
 * configuration; therefore a quarter of a second at most. Direct-mapped: a collision costs a
 * question. The records are kept, so that every refusal tells its own wait.
 * One worker's thread. */
#include "limit/link_priv.h"

#include <stdatomic.h>

static const uint64_t LONGEST_US = 250000;

static struct denial *place_of(struct limit_store *store, const struct limit_call *call)
{
    return &store->denials[(call->policies[0].key.lo ^ call->policies[0].key.hi) % DENY_PLACES];
}

static bool is_of(const struct denial *denial, const struct limit_call *call)
{
    const struct limit_policy *one = &call->policies[0], *other = &call->policies[1];

    if (denial->key.lo != one->key.lo || denial->key.hi != one->key.hi ||
        denial->windows[0] != one->windows || denial->cost > call->cost)
        return false;
    if (call->policy_count == 1)
        return denial->windows[1] == NULL;
    return denial->windows[1] == other->windows && denial->second.lo == other->key.lo &&
           denial->second.hi == other->key.hi;
}

void deny_note(struct limit_store *store, const struct limit_call *call,
               const struct packed_answer *answer)
{
    struct denial *denial = place_of(store, call);
    uint64_t now_us = loop_now_us(store->loop);
    uint64_t wait_us = call->state->windows[call->state->worst].retry_us;

    if (answer->now.mono_us < now_us)
        return; /* a server whose clock stands at 1970 */
    *denial = (struct denial){
        .key = call->policies[0].key,
        .windows = {call->policies[0].windows},
        .cost = call->cost,
        .until_us = now_us + (wait_us < LONGEST_US ? wait_us : LONGEST_US),
        .ahead_us = answer->now.mono_us - now_us,
        .forgets = atomic_load_explicit(&store->limiter->forgets, memory_order_relaxed),
    };
    if (call->policy_count == 2) {
        denial->windows[1] = call->policies[1].windows;
        denial->second = call->policies[1].key;
    }
    memcpy(denial->records, answer->records, sizeof(denial->records));
}

bool deny_answers(struct limit_store *store, struct limit_call *call, struct limit_time now)
{
    const struct denial *denial = place_of(store, call);
    const struct window_config *windows[LIMIT_MAX_WINDOWS];
    union window_record records[LIMIT_MAX_WINDOWS];
    struct limit_time server = {now.mono_us + denial->ahead_us,
                                (int64_t)(now.mono_us + denial->ahead_us)};
    uint32_t count;

    if (denial->until_us <= now.mono_us || !is_of(denial, call) ||
        denial->forgets != atomic_load_explicit(&store->limiter->forgets, memory_order_relaxed))
        return false;
    count = decision_windows(call->policies, call->policy_count, windows);
    memcpy(records, denial->records, count * sizeof(records[0]));
    decision_take(windows, records, count, call->cost, server, call->state);
    call->origin = LIMIT_FROM_STORE;
    return !call->state->allowed;
}
