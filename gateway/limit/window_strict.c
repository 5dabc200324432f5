/* window_strict.c - the strict window: never more than the limit in any interval of its length.
 *
 * Eighths of the period are counted apart, and every one that an interval may touch is counted
 * whole, so a steady caller gets eight ninths of the limit: the price of a promise that two
 * counters cannot give. Whole numbers, as in window.c. Pure functions; any thread. */
#include "limit/window_priv.h"

/* A whole number of µs, because a period is whole ms and 8 divides 1000. */
uint64_t window_slice_us(const struct window_config *window)
{
    return period_us(window) >= STRICT_SLICES ? period_us(window) / STRICT_SLICES : 1;
}

void strict_roll(const struct window_config *window, union window_record *record,
                 struct limit_time now)
{
    enum { SLICES = STRICT_SLICES + 1, CLOCK_SLACK = 64 };
    uint32_t *counts = record->strict.counts;
    uint32_t index = (uint32_t)(now.mono_us / window_slice_us(window));
    uint32_t gone = index - record->strict.index;

    if (gone > UINT32_MAX - CLOCK_SLACK) /* a clock that was read a little earlier */
        return;
    if (gone >= SLICES) {
        memset(counts, 0, sizeof(record->strict.counts));
    } else if (gone > 0) {
        memmove(counts + gone, counts, (SLICES - gone) * sizeof(counts[0]));
        memset(counts, 0, gone * sizeof(counts[0]));
    }
    record->strict.index = index;
}

uint64_t strict_used(const union window_record *record, uint32_t slices)
{
    uint64_t used = 0;

    for (uint32_t i = 0; i < slices; i++)
        used += record->strict.counts[i];
    return used;
}

/* Until `steps` slices from the newest one's begin on have passed. */
static uint64_t strict_until_us(const struct window_config *window,
                                const union window_record *record, uint64_t steps,
                                struct limit_time now)
{
    uint64_t slice = window_slice_us(window), index = now.mono_us / slice;
    uint64_t ahead = (uint32_t)(record->strict.index - (uint32_t)index); /* 0 but for old clocks */

    return (index + ahead + steps) * slice - now.mono_us;
}

uint64_t strict_wait_us(const struct window_config *window, const union window_record *record,
                        uint64_t cost, struct limit_time now)
{
    uint64_t limit = limit_of(window);

    if (cost > limit)
        return period_us(window);
    for (uint32_t steps = 0; steps <= STRICT_SLICES + 1; steps++) {
        if (strict_used(record, STRICT_SLICES + 1 - steps) + cost <= limit)
            return steps == 0 ? 0 : strict_until_us(window, record, steps, now);
    }
    return period_us(window);
}

uint64_t strict_idle_us(const struct window_config *window, const union window_record *record,
                        struct limit_time now)
{
    for (uint32_t age = 0; age <= STRICT_SLICES; age++) {
        if (record->strict.counts[age] > 0)
            return strict_until_us(window, record, STRICT_SLICES + 1 - age, now);
    }
    return 0;
}
