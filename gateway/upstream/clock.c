/* clock.c - an exchange's deadlines: first byte, silence, the whole.
 *
 * One entry in the loop's heap serves all three. It is not moved when something happens,
 * only looked at when it fires: then the true moment is computed and, if it has not come,
 * waited for. So bytes cost a store. The connection's own deadline is the client room's.
 *
 * Waiting for our own side (a client slow to read or to send) is not the upstream's
 * silence: its deadlines are elsewhere.
 *
 * The clock is set for as long as the exchange lives, if only for a look an hour: moving
 * a deadline that has its place in the heap needs no memory, so it cannot fail.
 *
 * Thread: the worker's. */
#include "upstream/upstream_priv.h"

#define LOOK_AT_LEAST_EVERY_US UINT64_C(3600000000)

static uint64_t later(uint64_t at_us, int64_t ms)
{
    return ms <= 0 ? UINT64_MAX : at_us + (uint64_t)ms * 1000;
}

static uint64_t now_us(const struct upstream_exchange *exchange)
{
    return loop_now_us(exchange->pool->loop);
}

/* When the present wait becomes too long; UINT64_MAX: there is none. */
static uint64_t phase_ends(const struct upstream_exchange *exchange)
{
    const struct attempt *main = exchange->main;
    int64_t first_byte_ms = exchange->upstream->first_byte_timeout_ms;
    struct client_times times;
    uint64_t since_us;

    if (main->current == NULL)
        return UINT64_MAX;
    if (exchange->has_head) {
        since_us = exchange->waits_for_reader ? now_us(exchange) : exchange->active_us;
        return exchange->idle_us == 0 ? UINT64_MAX : since_us + exchange->idle_us;
    }
    times = client_exchange_times(main->current);
    if (times.connected_us == 0 || exchange->waits_for_body)
        return later(now_us(exchange), first_byte_ms);
    since_us = times.sent_us > times.connected_us ? times.sent_us : times.connected_us;
    return later(since_us, first_byte_ms);
}

static uint64_t next_look(const struct upstream_exchange *exchange)
{
    uint64_t at_us = phase_ends(exchange), most_us = now_us(exchange) + LOOK_AT_LEAST_EVERY_US;

    if (at_us > exchange->total_at_us)
        at_us = exchange->total_at_us;
    return at_us < most_us ? at_us : most_us;
}

static void on_clock(void *arg)
{
    struct upstream_exchange *exchange = arg;
    uint64_t now = now_us(exchange);

    /* into the place that it just left, before anything else takes that */
    CHECK(deadline_set(exchange->pool->loop, &exchange->clock, now + LOOK_AT_LEAST_EVERY_US));
    if (exchange->total_at_us <= now) {
        attempt_drop(attempt_other(exchange->main)); /* there is no time for either */
        try_end(exchange->main, UPSTREAM_TOTAL_TIMEOUT, "timeout");
        return;
    }
    if (phase_ends(exchange) <= now) {
        if (exchange->has_head)
            try_end(exchange->main, UPSTREAM_IDLE_TIMEOUT, "idle_timeout");
        else
            try_end(exchange->main, UPSTREAM_FIRST_BYTE_TIMEOUT, "first_byte_timeout");
        return;
    }
    clock_look(exchange);
}

bool clock_start(struct upstream_exchange *exchange, int64_t timeout_ms)
{
    exchange->clock = (struct deadline){.fn = on_clock, .arg = exchange};
    exchange->total_at_us = later(now_us(exchange), timeout_ms);
    exchange->idle_us = 0;
    if (exchange->upstream->idle_timeout_ms > 0)
        exchange->idle_us = (uint64_t)exchange->upstream->idle_timeout_ms * 1000;
    return deadline_set(exchange->pool->loop, &exchange->clock, next_look(exchange));
}

/* Brings a look forward; a later moment is found out when the clock fires. */
void clock_look(struct upstream_exchange *exchange)
{
    uint64_t at_us = next_look(exchange);

    if (at_us < exchange->clock.at_us)
        CHECK(deadline_set(exchange->pool->loop, &exchange->clock, at_us));
}

void clock_stop(struct upstream_exchange *exchange)
{
    deadline_clear(exchange->pool->loop, &exchange->clock);
    deadline_clear(exchange->pool->loop, &exchange->backoff);
    deadline_clear(exchange->pool->loop, &exchange->hedge);
}

void upstream_is_stream(struct upstream_exchange *exchange, int64_t idle_timeout_ms)
{
    /* its end may be far away, and says little: a target that restarts ends all of its streams */
    attempt_note_success(exchange->main);
    exchange_tell_breaker(exchange, false);
    exchange->is_stream = true;
    exchange->total_at_us = UINT64_MAX;
    exchange->idle_us = idle_timeout_ms > 0 ? (uint64_t)idle_timeout_ms * 1000 : 0;
    clock_look(exchange);
}
