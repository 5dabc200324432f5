/* note.c - what a try tells of its target: that it failed, how long it took.
 *
 * Only what the settings use is kept: a peak average costs a division and an exponential, a
 * quantile a shared counter.
 *
 * Thread: the worker's; what is noted are atomics. */
#include "upstream/upstream_priv.h"

static uint64_t now_us(const struct attempt *attempt)
{
    return loop_now_us(attempt->exchange->pool->loop);
}

/* A target that fails at once must not look like a quick one. */
#define FAILED_COUNTS_US UINT64_C(1000000)

static void note_peak(const struct attempt *attempt, bool has_failed)
{
    struct target *target = attempt->target;
    uint64_t now = now_us(attempt), took_us = now - attempt->started_us + 1;
    uint64_t before = atomic_load_explicit(&target->peak_us, memory_order_relaxed);
    uint64_t at_us = atomic_load_explicit(&target->peak_at_us, memory_order_relaxed);

    if (has_failed && took_us < FAILED_COUNTS_US)
        took_us = FAILED_COUNTS_US;
    atomic_store_explicit(&target->peak_us,
                          latency_peak(before, now > at_us ? now - at_us : 0, took_us),
                          memory_order_relaxed);
    atomic_store_explicit(&target->peak_at_us, now, memory_order_relaxed);
}

void attempt_note_failure(const struct attempt *attempt)
{
    struct upstream_exchange *exchange = attempt->exchange;
    struct slot *slot = pool_slot(exchange->pool, exchange->upstream);

    if (exchange->upstream->balance == BALANCE_P2C_EWMA)
        note_peak(attempt, true);
    if (slot != NULL)
        eject_note_failure(exchange->pool->upstreams, exchange->upstream, &slot->members,
                           attempt->target, now_us(attempt));
}

void attempt_note_latency(const struct attempt *attempt)
{
    const struct upstream_exchange *exchange = attempt->exchange;
    struct group *group = exchange->group;
    uint64_t now = now_us(attempt), took_us = now - attempt->started_us + 1;
    uint64_t before = atomic_load_explicit(&attempt->target->latency_us, memory_order_relaxed);
    uint64_t after = before == 0 ? took_us : before - before / 8 + took_us / 8;

    /* of two workers at once one sample is lost: it is an average */
    atomic_store_explicit(&attempt->target->latency_us, after, memory_order_relaxed);
    if (exchange->upstream->balance == BALANCE_P2C_EWMA)
        note_peak(attempt, false);
    if (exchange->upstream->hedge)
        latency_note(&group->latency, took_us);
    if (exchange->upstream->adaptive)
        adaptive_note(&group->adaptive, took_us,
                      atomic_load_explicit(&group->in_flight, memory_order_relaxed), now);
}

void attempt_note_answer(const struct attempt *attempt)
{
    const struct upstream_exchange *exchange = attempt->exchange;

    eject_note_answer(exchange->pool->upstreams, exchange->upstream, attempt->target,
                      now_us(attempt));
}

void attempt_note_success(const struct attempt *attempt)
{
    attempt_note_answer(attempt);
    eject_note_success(attempt->target);
}

/* Where two begin at once one of them is the trial, and the other an ordinary request. */
void attempt_begin_trial(struct attempt *attempt)
{
    unsigned due = TRIAL_DUE;

    attempt->is_trial =
        atomic_load_explicit(&attempt->target->trial, memory_order_relaxed) == TRIAL_DUE &&
        atomic_compare_exchange_strong(&attempt->target->trial, &due, TRIAL_ON);
}

void attempt_end_trial(struct attempt *attempt)
{
    unsigned on = TRIAL_ON;

    if (attempt->is_trial) /* unless it has answered: that was the end of it */
        (void)atomic_compare_exchange_strong(&attempt->target->trial, &on, TRIAL_DUE);
    attempt->is_trial = false;
}
