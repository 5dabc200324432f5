/* adaptive.c - how many requests at a time an upstream bears, learned from its latency.
 *
 * Little's law seen from outside: while more requests in flight mean more answers, latency
 * stays what it was; when they only wait inside, it grows. At the end of each window the
 * limit is multiplied by (twice the base latency / the latency of the window), at most by
 * one, and a square root of it is added as room to grow. The base is not measured by
 * holding requests back: it follows the least mean of a window. It grows only while the
 * requests in flight cannot be the cause, being few or at the floor; were it to grow with
 * the queue inside the upstream, it would call every queue normal in the end. An upstream
 * that became slower for good is so found at the floor, below which the limit never falls,
 * or a slow moment would starve itself of the samples that end it.
 *
 * Who is let in at how much of the limit is the caller's to say: low tiers at less, so
 * they are turned away first.
 *
 * Threads: any; atomics. One thread ends a window: whose exchange moves its end. */
#include "upstream/upstream_priv.h"

#include <math.h>

enum { WINDOW_US = 250000, LEAST_SAMPLES = 10 };
#define TOLERANCE  2.0 /* latency may be so many times the base before the limit falls */
#define LEAST_FALL 0.5 /* a window at most halves the limit */
#define FOLLOW     0.1 /* of the way to the present mean, each window */

bool adaptive_allows(const struct adaptive *adaptive, uint32_t in_flight, double share)
{
    uint32_t limit = atomic_load_explicit(&adaptive->limit, memory_order_relaxed);

    if (share > 1)
        return true;
    if (limit == 0)
        limit = ADAPTIVE_FIRST;
    if (!(share > 0))
        share = 1;
    return (double)in_flight < fmax(share * (double)limit, 1);
}

uint32_t adaptive_next(uint32_t limit, uint64_t base_us, uint64_t mean_us, uint32_t most_in_flight)
{
    double gradient = TOLERANCE * (double)base_us / (double)(mean_us > 0 ? mean_us : 1);
    double now = (double)limit, next;

    gradient = fmin(1, fmax(LEAST_FALL, gradient));
    next = now * gradient + sqrt(now);
    if (next > now && (double)most_in_flight < now / 2)
        return limit; /* nothing was learned about more than was asked for */
    return (uint32_t)fmin(fmax(next, ADAPTIVE_FLOOR), ADAPTIVE_MOST);
}

static uint64_t next_base(uint64_t base_us, uint64_t mean_us, uint32_t limit, uint32_t most)
{
    if (base_us == 0)
        return mean_us;
    if (mean_us < base_us)
        return (base_us + mean_us) / 2;
    if (limit > 2 * ADAPTIVE_FLOOR && most > limit / 2)
        return base_us;
    return base_us + (uint64_t)((double)(mean_us - base_us) * FOLLOW);
}

static void end_window(struct adaptive *adaptive)
{
    uint32_t samples = atomic_exchange(&adaptive->samples, 0);
    uint64_t sum_us = atomic_exchange(&adaptive->sum_us, 0), mean_us;
    uint32_t most = atomic_exchange(&adaptive->most_in_flight, 0);
    uint32_t limit = atomic_load(&adaptive->limit);
    uint64_t base_us = atomic_load(&adaptive->base_us);

    if (samples < LEAST_SAMPLES)
        return;
    mean_us = sum_us / samples + 1;
    limit = limit == 0 ? ADAPTIVE_FIRST : limit;
    base_us = next_base(base_us, mean_us, limit, most);
    atomic_store(&adaptive->base_us, base_us);
    atomic_store(&adaptive->limit, adaptive_next(limit, base_us, mean_us, most));
}

void adaptive_note(struct adaptive *adaptive, uint64_t took_us, uint32_t in_flight, uint64_t now_us)
{
    uint64_t ends_us = atomic_load_explicit(&adaptive->window_ends_us, memory_order_relaxed);

    atomic_fetch_add_explicit(&adaptive->sum_us, took_us, memory_order_relaxed);
    atomic_fetch_add_explicit(&adaptive->samples, 1, memory_order_relaxed);
    if (in_flight > atomic_load_explicit(&adaptive->most_in_flight, memory_order_relaxed))
        atomic_store_explicit(&adaptive->most_in_flight, in_flight, memory_order_relaxed);
    if (now_us >= ends_us &&
        atomic_compare_exchange_strong(&adaptive->window_ends_us, &ends_us, now_us + WINDOW_US) &&
        ends_us != 0)
        end_window(adaptive);
}
