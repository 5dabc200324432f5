/* queue.c - who waits for a target, because all of them have max_requests.
 *
 * One list a worker, first come first served; how many may wait in all is counted by the
 * upstream. A place that becomes free on this worker is seen in the same turn, one that
 * another worker gives up within a look of a few milliseconds: passing it on from thread
 * to thread would cost every request something, for the sake of those that already wait.
 *
 * Thread: the worker's. */
#include "upstream/upstream_priv.h"

enum { LOOK_EVERY_US = 5000 };

/* Without a queue the count is above zero only while somebody is being refused. */
bool queue_has_others(const struct upstream_exchange *exchange)
{
    return exchange->upstream->queue > 0 &&
           atomic_load_explicit(&exchange->group->queued, memory_order_relaxed) > 0;
}

bool queue_join(struct upstream_exchange *exchange)
{
    struct upstream_pool *pool = exchange->pool;
    uint64_t now_us = loop_now_us(pool->loop);

    if (atomic_fetch_add(&exchange->group->queued, 1) >= exchange->upstream->queue ||
        (!deadline_is_set(&pool->look) &&
         !deadline_set(pool->loop, &pool->look, now_us + LOOK_EVERY_US))) {
        atomic_fetch_sub(&exchange->group->queued, 1);
        return false;
    }
    exchange->is_waiting = true;
    exchange->wait_ends_us = now_us + (uint64_t)exchange->upstream->queue_timeout_ms * 1000;
    exchange->before_waiting = pool->last_waiting;
    exchange->next_waiting = NULL;
    if (pool->last_waiting != NULL)
        pool->last_waiting->next_waiting = exchange;
    else
        pool->waiting = exchange;
    pool->last_waiting = exchange;
    return true;
}

void queue_leave(struct upstream_exchange *exchange)
{
    struct upstream_pool *pool = exchange->pool;

    if (!exchange->is_waiting)
        return;
    exchange->is_waiting = false;
    atomic_fetch_sub(&exchange->group->queued, 1);
    if (exchange->before_waiting != NULL)
        exchange->before_waiting->next_waiting = exchange->next_waiting;
    else
        pool->waiting = exchange->next_waiting;
    if (exchange->next_waiting != NULL)
        exchange->next_waiting->before_waiting = exchange->before_waiting;
    else
        pool->last_waiting = exchange->before_waiting;
    exchange->next_waiting = exchange->before_waiting = NULL;
}

/* False: it waits on, and with it everybody of its upstream. */
static bool goes_on(struct upstream_exchange *exchange, uint64_t now_us)
{
    switch (try_begin(exchange)) {
    case TRY_BEGUN:
        queue_leave(exchange);
        break;
    case TRY_NO_TARGET:
        exchange_end(exchange, UPSTREAM_NO_TARGET, "no_target");
        break;
    case TRY_NO_MEMORY:
        exchange_end(exchange, UPSTREAM_NO_MEMORY, "memory");
        break;
    case TRY_FULL:
        if (now_us < exchange->wait_ends_us)
            return false;
        exchange_end(exchange, UPSTREAM_OVERLOAD, "queue_timeout");
        break;
    }
    return true;
}

/* An exchange that ends may be the neighbour of the next: each walk begins anew after a change. */
void queue_look(void *arg)
{
    struct upstream_pool *pool = arg;
    uint64_t now_us = loop_now_us(pool->loop);
    const struct group *full = NULL;
    struct upstream_exchange *exchange = pool->waiting;

    /* into the place that it just left, before anything else takes that */
    CHECK(deadline_set(pool->loop, &pool->look, now_us + LOOK_EVERY_US));
    while (exchange != NULL) {
        struct upstream_exchange *next = exchange->next_waiting;

        if (exchange->group == full && now_us < exchange->wait_ends_us) {
            exchange = next;
            continue;
        }
        if (goes_on(exchange, now_us)) {
            exchange = pool->waiting;
            continue;
        }
        full = exchange->group;
        exchange = next;
    }
    if (pool->waiting == NULL)
        deadline_clear(pool->loop, &pool->look);
}

void queue_note_room(struct upstream_pool *pool)
{
    if (pool->waiting != NULL && deadline_is_set(&pool->look))
        CHECK(deadline_set(pool->loop, &pool->look, loop_now_us(pool->loop)));
}
