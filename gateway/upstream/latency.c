/* latency.c - how long targets take: a peak-sensitive average, and a quantile.
 *
 * The average (peak EWMA) jumps to a sample that is worse than it and comes down with
 * time, so a target that begins to stall is avoided after one slow answer; it decays while
 * nothing is sent there, or a target that was slow once would never be asked again.
 *
 * The quantile comes from buckets of an eighth of a power of two. When they hold enough
 * they are halved, so that yesterday does not speak for now. Two threads at once may lose
 * a count: it is an estimate.
 *
 * Threads: any; atomics. The arithmetic is pure. */
#include "upstream/upstream_priv.h"

#include <math.h>

enum { HALVE_AT = 2048, STEPS = 8 };
#define DECAY_US 5e6 /* an average loses 63 % of itself in this time */

uint64_t latency_decayed(uint64_t average_us, uint64_t age_us)
{
    return (uint64_t)((double)average_us * exp(-(double)age_us / DECAY_US));
}

uint64_t latency_peak(uint64_t average_us, uint64_t age_us, uint64_t sample_us)
{
    double keep = exp(-(double)age_us / DECAY_US);

    if (average_us == 0 || sample_us >= average_us)
        return sample_us > 0 ? sample_us : 1;
    return 1 + (uint64_t)((double)average_us * keep + (double)sample_us * (1 - keep));
}

/* ---- the quantile ------------------------------------------------------ */

static uint32_t bucket_of(uint64_t us)
{
    uint32_t power, step, bucket;

    if (us < STEPS)
        return (uint32_t)us;
    power = 63 - (uint32_t)__builtin_clzll(us);
    step = (uint32_t)(us >> (power - 3)) & (STEPS - 1);
    bucket = (power - 2) * STEPS + step;
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

static uint64_t upper_end(uint32_t bucket)
{
    uint32_t power = bucket / STEPS + 2;

    if (bucket < STEPS)
        return bucket;
    return ((uint64_t)(STEPS + bucket % STEPS + 1) << (power - 3)) - 1;
}

static void halve(struct latency *latency)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) {
        uint32_t count = atomic_load_explicit(&latency->counts[i], memory_order_relaxed) / 2;

        atomic_store_explicit(&latency->counts[i], count, memory_order_relaxed);
        left += count;
    }
    atomic_store_explicit(&latency->total, left, memory_order_relaxed);
}

void latency_note(struct latency *latency, uint64_t us)
{
    atomic_fetch_add_explicit(&latency->counts[bucket_of(us)], 1, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&latency->total, 1, memory_order_relaxed) + 1 == HALVE_AT)
        halve(latency);
}

uint64_t latency_quantile_us(const struct latency *latency, double share)
{
    uint32_t total = atomic_load_explicit(&latency->total, memory_order_relaxed), seen = 0;

    if (total < LATENCY_ENOUGH)
        return 0;
    for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += atomic_load_explicit(&latency->counts[i], memory_order_relaxed);
        if ((double)seen >= share * (double)total)
            return upper_end(i);
    }
    return upper_end(LATENCY_BUCKETS - 1);
}
