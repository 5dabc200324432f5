/* hedge.c - a second attempt beside one that takes unusually long.
 *
 * A GET that has waited longer than 95 of 100 do is sent to a second target too, and the
 * first good answer is delivered; the other is dropped and counts neither for nor against
 * its target. Hedges are charged to the budget of retries, so an upstream that becomes
 * slow as a whole is not asked twice as often. Nobody waits for a place to hedge.
 *
 * Thread: the worker's. */
#include "upstream/upstream_priv.h"

#define HEDGE_AFTER_SHARE 0.95

void hedge_plan(struct upstream_exchange *exchange)
{
    uint64_t wait_us = latency_quantile_us(&exchange->group->latency, HEDGE_AFTER_SHARE);

    exchange->may_hedge = false; /* once an exchange */
    if (wait_us == 0)
        return;
    /* without memory for it there is no hedge, and nothing else is amiss */
    (void)!deadline_set(exchange->pool->loop, &exchange->hedge,
                        loop_now_us(exchange->pool->loop) + wait_us);
}

static bool charge(struct upstream_exchange *exchange)
{
    struct group *group = exchange->group;

    if (!retry_budget_allows(exchange->upstream->retry.budget,
                             atomic_load_explicit(&group->in_flight, memory_order_relaxed),
                             atomic_load_explicit(&group->retrying, memory_order_relaxed))) {
        verdict_note(exchange->pool->upstreams, group, VERDICT_RETRY_BUDGET,
                     loop_now_us(exchange->pool->loop));
        return false;
    }
    atomic_fetch_add_explicit(&group->retrying, 1, memory_order_relaxed);
    exchange->is_charged = true;
    return true;
}

static void drop_charge(struct upstream_exchange *exchange)
{
    atomic_fetch_sub_explicit(&exchange->group->retrying, 1, memory_order_relaxed);
    exchange->is_charged = false;
}

void hedge_now(void *arg)
{
    struct upstream_exchange *exchange = arg;
    struct attempt *second = attempt_other(exchange->main);
    struct slot *slot = pool_slot(exchange->pool, exchange->upstream);
    struct choose_question question = {.upstream = exchange->upstream,
                                       .tried = exchange->tried,
                                       .hash = exchange->hash,
                                       .worst = STANDING_BACKUP,
                                       .now_us = loop_now_us(exchange->pool->loop)};
    uint32_t place;

    if (slot == NULL || exchange->has_head || exchange->is_charged ||
        !attempt_is_on(exchange->main) || !charge(exchange))
        return;
    if (choose_target(slot, &question, &place) != CHOICE_TARGET) {
        drop_charge(exchange);
        return;
    }
    verdict_note(exchange->pool->upstreams, exchange->group, VERDICT_HEDGE, question.now_us);
    second->stale_tries = 0;
    if (!attempt_start(second, slot, place))
        attempt_drop(second); /* the first goes on */
}
