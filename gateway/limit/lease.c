/* lease.c - tokens taken ahead for hot callers, so that most of their decisions stay here.
 *
 * Debited at the server before they are spent, so all gateways together never admit more than the
 * limit. A caller who is asked for at least twice in a tenth of a second gets what the last tenth
 * needed, but no more than the part of what remains that is this gateway's (half of it,
 * shared by all gateways): towards the end leases shrink to nothing and every decision is
 * asked for. What is not spent within the tenth is given back with the caller's next request.
 *
 * Only where every window allows a thousand, a shorter one than a minute a thousand a minute: of
 * small limits a token that lies with one gateway is one that the others refuse, so they are asked
 * for one by one. Direct-mapped: a collision costs a question. One worker's thread. */
#include "limit/link_priv.h"

#include <stdatomic.h>

static const uint64_t TERM_US = 100000;
static const uint64_t LEAST_LIMIT = 1000;

static struct lease *place_of(struct limit_store *store, const struct limit_policy *policies)
{
    return &store->leases[(policies[0].key.lo ^ policies[0].key.hi >> 7) % LEASE_PLACES];
}

static bool is_of(const struct lease *lease, const struct limit_policy *policies, uint32_t count,
                  uint64_t cost)
{
    if (lease->windows[0] != policies[0].windows || lease->key.lo != policies[0].key.lo ||
        lease->key.hi != policies[0].key.hi || lease->cost != cost)
        return false;
    if (count == 1)
        return lease->windows[1] == NULL;
    return lease->windows[1] == policies[1].windows && lease->second.lo == policies[1].key.lo &&
           lease->second.hi == policies[1].key.hi;
}

static bool is_large(const struct limit_policy *policies, uint32_t count)
{
    static const int64_t MINUTE_MS = 60000;

    for (uint32_t p = 0; p < count; p++)
        for (uint32_t i = 0; i < policies[p].windows->count; i++) {
            const struct window_config *window = &policies[p].windows->at[i];
            int64_t times = window->period_ms < MINUTE_MS ? MINUTE_MS / window->period_ms : 1;

            if (window->limit < LEAST_LIMIT / (uint64_t)times)
                return false;
        }
    return true;
}

static void start_over(struct limit_store *store, struct lease *lease,
                       const struct limit_call *call, uint64_t now_us)
{
    *lease = (struct lease){
        .key = call->policies[0].key,
        .windows = {call->policies[0].windows},
        .cost = call->cost,
        .counted_from_us = now_us,
        .forgets = atomic_load_explicit(&store->limiter->forgets, memory_order_relaxed),
    };
    if (call->policy_count == 2) {
        lease->windows[1] = call->policies[1].windows;
        lease->second = call->policies[1].key;
    }
}

bool lease_answers(struct limit_store *store, struct limit_call *call, struct limit_time now)
{
    const struct window_config *windows[LIMIT_MAX_WINDOWS];
    struct lease *lease = place_of(store, call->policies);
    struct limit_time server;
    uint32_t count;

    if (!store->has_leases || call->cost == 0 || !is_large(call->policies, call->policy_count))
        return false;
    if (!is_of(lease, call->policies, call->policy_count, call->cost) ||
        lease->forgets != atomic_load_explicit(&store->limiter->forgets, memory_order_relaxed))
        start_over(store, lease, call, now.mono_us);
    if (now.mono_us - lease->counted_from_us > TERM_US) {
        lease->asked = 0;
        lease->counted_from_us = now.mono_us;
    }
    lease->asked++;
    if (lease->left > 0 && now.mono_us >= lease->until_us) {
        store_change(store, call, PACKED_GIVE_BACK, lease->left * lease->cost);
        lease->left = 0;
    }
    if (lease->left == 0)
        return false;
    lease->left--;
    server.mono_us = now.mono_us + lease->ahead_us;
    server.wall_us = (int64_t)server.mono_us;
    count = decision_windows(call->policies, call->policy_count, windows);
    decision_take(windows, lease->records, count, call->cost, server, call->state);
    obey(call->state, true);
    call->origin = LIMIT_FROM_STORE;
    return true;
}

uint32_t lease_wish(struct limit_store *store, const struct limit_group *group)
{
    uint64_t gateways = atomic_load_explicit(&store->limiter->live_gateways, memory_order_relaxed);
    struct lease *lease = place_of(store, group->policies);
    uint64_t now_us = loop_now_us(store->loop), share, room = PACKED_MOST_WANT - group->want;

    if (!store->has_leases || group->op != PACKED_TAKE || lease->left > 0 || lease->asked < 2 ||
        now_us < lease->wish_until_us ||
        !is_of(lease, group->policies, group->policy_count, group->cost))
        return 0;
    share = lease->remaining / (2 * (gateways > 0 ? gateways : 1));
    share = share < lease->asked ? share : lease->asked;
    share = share < LEASE_MOST ? share : LEASE_MOST;
    share = share < room ? share : room;
    if (share > 0)
        lease->wish_until_us = now_us + TERM_US; /* one at a time */
    return (uint32_t)share;
}

void lease_note(struct limit_store *store, const struct limit_group *group, uint32_t granted,
                const struct packed_answer *answer)
{
    const struct window_config *windows[LIMIT_MAX_WINDOWS];
    struct lease *lease = place_of(store, group->policies);
    uint32_t count = decision_windows(group->policies, group->policy_count, windows);
    uint64_t now_us = loop_now_us(store->loop), least = UINT64_MAX;

    if (!store->has_leases || answer->now.mono_us < now_us ||
        !is_of(lease, group->policies, group->policy_count, group->cost))
        return; /* tokens of a lease that nobody holds any more are lost: at most LEASE_MOST */
    for (uint32_t i = 0; i < count; i++) {
        struct limit_window shown;

        window_describe(windows[i], &answer->records[i], answer->now, &shown);
        least = shown.remaining < least ? shown.remaining : least;
    }
    least /= group->cost > 0 ? group->cost : 1;
    lease->remaining = least > granted ? least - granted : 0;
    lease->left += granted;
    if (granted > 0)
        lease->wish_until_us = 0;
    lease->until_us = now_us + TERM_US;
    lease->ahead_us = answer->now.mono_us - now_us;
    memcpy(lease->records, answer->records, sizeof(lease->records));
}
