/* window.c - the arithmetic of one window: bucket, sliding, fixed, strict, calendar.
 *
 * What each kind promises, L a limit in a period W: a bucket lets its burst and then L in W
 * pass (GCRA: one timestamp stands for the level). A sliding window allows exactly L in the
 * first W after the first request and never 2 L in any W: the previous window's count fades
 * linearly. A fixed one starts at the first request and may pass 2 L around its border. A strict
 * one never passes more than L in any W: eighths of W are counted whole, so a steady caller
 * gets 8/9 of L. A calendar window is a month in UTC (or a day, or less, aligned to it).
 *
 * Whole numbers only, so that the wait we name is exactly the wait that is needed. Pure
 * functions; any thread. */
#include "limit/limit_priv.h"

enum { US_PER_MS = 1000, NS_PER_US = 1000 };
static const uint64_t FAR_NS = UINT64_MAX / 4;     /* 146 years: no sum of two overflows */
static const uint64_t CLOCK_SLACK_NS = 1000000000; /* workers read the clock once a turn */
static const uint64_t CLOCK_SLACK_US = 1000000;

__extension__ typedef unsigned __int128 wide;

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* A charge that nobody was asked for may pass any limit: it stays at the most that fits. */
static uint32_t plus32(uint32_t a, uint64_t b)
{
    return (uint32_t)smaller(a + smaller(b, UINT32_MAX), UINT32_MAX);
}

/* a * b / c, rounded down. Counts times periods pass 64 bits only for huge windows. */
static uint64_t share(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t product;

    if (!__builtin_mul_overflow(a, b, &product))
        return product / c;
    return (uint64_t)((wide)a * b / c);
}

static uint64_t share_up(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t product;

    if (a == 0) /* a division is a tenth of a decision, and most windows have no older count */
        return 0;
    if (!__builtin_mul_overflow(a, b, &product))
        return product / c + (product % c != 0);
    return (uint64_t)(((wide)a * b + c - 1) / c);
}

static uint64_t period_us(const struct window_config *window)
{
    return window->period_ms > 0 ? (uint64_t)window->period_ms * US_PER_MS : 1;
}

uint32_t window_words(enum window_kind kind)
{
    switch (kind) {
    case WINDOW_BUCKET:
        return 1;
    case WINDOW_SLIDING:
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        return 2;
    case WINDOW_STRICT:
        return RECORD_WORDS;
    }
    return RECORD_WORDS;
}

/* Sliding and strict windows count in 32 bits; limit_check() refuses more. */
static uint64_t limit_of(const struct window_config *window)
{
    return smaller(window->limit, UINT32_MAX);
}

uint64_t window_capacity(const struct window_config *window)
{
    switch (window->kind) {
    case WINDOW_BUCKET:
        return window->burst > 0 ? window->burst : window->limit;
    case WINDOW_SLIDING:
    case WINDOW_STRICT:
        return limit_of(window);
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        return window->limit;
    }
    return window->limit;
}

/* ---- bucket: nanoseconds, so that a third of a second is a third ---- */

/* Time that one request costs; rounded up, so the rate is never passed. */
uint64_t window_interval_ns(const struct window_config *window)
{
    uint64_t period_ns = period_us(window) * NS_PER_US, limit = window->limit;

    if (limit == 0)
        return FAR_NS;
    return period_ns / limit + (period_ns % limit != 0);
}

static uint64_t bucket_span_ns(uint64_t requests, uint64_t interval_ns)
{
    uint64_t span;

    return __builtin_mul_overflow(requests, interval_ns, &span) || span > FAR_NS ? FAR_NS : span;
}

static uint64_t bucket_full_ns(const struct window_config *window, uint64_t interval_ns)
{
    return bucket_span_ns(window_capacity(window), interval_ns);
}

static uint64_t now_ns(struct limit_time now)
{
    return now.mono_us * NS_PER_US;
}

static void bucket_roll(const struct window_config *window, union window_record *record,
                        struct limit_time now)
{
    uint64_t at = now_ns(now), most;

    if (record->bucket.tat_ns <= at) {
        record->bucket.tat_ns = at;
        return;
    }
    most = at + bucket_full_ns(window, window_interval_ns(window));
    if (record->bucket.tat_ns > most + CLOCK_SLACK_NS) /* a reload made the bucket smaller */
        record->bucket.tat_ns = most;
}

static uint64_t bucket_wait_us(const struct window_config *window,
                               const union window_record *record, uint64_t cost,
                               struct limit_time now)
{
    uint64_t interval = window_interval_ns(window), need = bucket_span_ns(cost, interval);
    uint64_t wait =
        minus(record->bucket.tat_ns + need, now_ns(now) + bucket_full_ns(window, interval));

    return wait / NS_PER_US + (wait % NS_PER_US != 0);
}

/* ---- sliding: two counts; the older one fades over the current window ---- */

static uint64_t sliding_elapsed_us(const struct window_config *window,
                                   const union window_record *record, struct limit_time now)
{
    if (record->sliding.current == 0 && record->sliding.previous == 0)
        return 0;
    return smaller(minus(now.mono_us, record->sliding.start_us), period_us(window));
}

static void sliding_roll(const struct window_config *window, union window_record *record,
                         struct limit_time now)
{
    uint64_t period = period_us(window);
    uint64_t elapsed = minus(now.mono_us, record->sliding.start_us);

    if (record->sliding.start_us > now.mono_us + CLOCK_SLACK_US)
        record->sliding.start_us =
            now.mono_us; /* the store's new clock is far behind its old one */
    if (elapsed < period)
        return;
    record->sliding.previous = elapsed < 2 * period ? record->sliding.current : 0;
    record->sliding.current = 0;
    record->sliding.start_us += period;
}

static bool sliding_allows(const struct window_config *window, const union window_record *record,
                           uint64_t cost, struct limit_time now)
{
    uint64_t period = period_us(window), elapsed = sliding_elapsed_us(window, record, now);
    uint64_t limit = limit_of(window), taken = record->sliding.current;

    if (taken > limit || cost > limit - taken)
        return false;
    return (wide)(limit - taken - cost) * period >=
           (wide)record->sliding.previous * (period - elapsed);
}

static uint64_t sliding_wait_us(const struct window_config *window,
                                const union window_record *record, uint64_t cost,
                                struct limit_time now)
{
    uint64_t period = period_us(window), elapsed = sliding_elapsed_us(window, record, now);
    uint64_t limit = limit_of(window), taken = record->sliding.current;

    if (cost > limit)
        return period;
    if (taken <= limit && cost <= limit - taken) {
        uint64_t fading = record->sliding.previous;
        uint64_t bearable = /* how much of the window may be left for the older count to fit */
            fading > 0 ? share(limit - taken - cost, period, fading) : period;
        return minus(period - smaller(bearable, period), elapsed);
    }
    /* only after the border, when what is current now fades */
    return period - elapsed + period - smaller(share(limit - cost, period, taken), period);
}

static uint64_t sliding_remaining(const struct window_config *window,
                                  const union window_record *record, struct limit_time now)
{
    uint64_t period = period_us(window), elapsed = sliding_elapsed_us(window, record, now);
    uint64_t fading = share_up(record->sliding.previous, period - elapsed, period);

    return minus(limit_of(window), record->sliding.current + fading);
}

/* ---- strict: eighths of the period, every touched one counted whole ---- */

/* A whole number of µs, because a period is whole ms and 8 divides 1000. */
uint64_t window_slice_us(const struct window_config *window)
{
    return period_us(window) >= STRICT_SLICES ? period_us(window) / STRICT_SLICES : 1;
}

static void strict_roll(const struct window_config *window, union window_record *record,
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

static uint64_t strict_used(const union window_record *record, uint32_t slices)
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

static uint64_t strict_wait_us(const struct window_config *window,
                               const union window_record *record, uint64_t cost,
                               struct limit_time now)
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

static uint64_t strict_idle_us(const struct window_config *window,
                               const union window_record *record, struct limit_time now)
{
    for (uint32_t age = 0; age <= STRICT_SLICES; age++) {
        if (record->strict.counts[age] > 0)
            return strict_until_us(window, record, STRICT_SLICES + 1 - age, now);
    }
    return 0;
}

/* ---- fixed and calendar: one count until an instant ---- */

static void fixed_roll(const struct window_config *window, union window_record *record,
                       struct limit_time now)
{
    if (minus(now.mono_us, record->fixed.start_us) >= period_us(window))
        record->fixed.count = 0;
    if (record->fixed.count == 0 || record->fixed.start_us > now.mono_us + CLOCK_SLACK_US)
        record->fixed.start_us = now.mono_us;
}

/* A wall clock that was set back over a border starts a period anew: better than a count that
 * stays until a wrong year comes. */
static void calendar_roll(const struct window_config *window, union window_record *record,
                          struct limit_time now)
{
    uint64_t start = calendar_span(window->period_ms, now.wall_us).start_us;

    if (record->fixed.start_us != start)
        record->fixed.count = 0;
    record->fixed.start_us = start;
}

static uint64_t fixed_end_us(const struct window_config *window, const union window_record *record,
                             struct limit_time now)
{
    if (window->kind == WINDOW_FIXED)
        return minus(record->fixed.start_us + period_us(window), now.mono_us);
    return minus(calendar_span(window->period_ms, now.wall_us).end_us,
                 now.wall_us > 0 ? (uint64_t)now.wall_us : 0);
}

/* ---- all kinds ---- */

void window_roll(const struct window_config *window, union window_record *record,
                 struct limit_time now)
{
    switch (window->kind) {
    case WINDOW_BUCKET:
        bucket_roll(window, record, now);
        break;
    case WINDOW_SLIDING:
        sliding_roll(window, record, now);
        break;
    case WINDOW_FIXED:
        fixed_roll(window, record, now);
        break;
    case WINDOW_STRICT:
        strict_roll(window, record, now);
        break;
    case WINDOW_CALENDAR:
        calendar_roll(window, record, now);
        break;
    }
}

bool window_allows(const struct window_config *window, const union window_record *record,
                   uint64_t cost, struct limit_time now)
{
    uint64_t capacity = window_capacity(window);

    if (cost > capacity)
        return false;
    switch (window->kind) {
    case WINDOW_BUCKET:
        return bucket_wait_us(window, record, cost, now) == 0;
    case WINDOW_SLIDING:
        return sliding_allows(window, record, cost, now);
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        return record->fixed.count <= capacity - cost;
    case WINDOW_STRICT:
        return strict_used(record, STRICT_SLICES + 1) <= capacity - cost;
    }
    return false;
}

void window_add(const struct window_config *window, union window_record *record, uint64_t cost,
                struct limit_time now)
{
    switch (window->kind) {
    case WINDOW_BUCKET:
        record->bucket.tat_ns += bucket_span_ns(cost, window_interval_ns(window));
        break;
    case WINDOW_SLIDING:
        if (record->sliding.current == 0 && record->sliding.previous == 0)
            record->sliding.start_us = now.mono_us;
        record->sliding.current = plus32(record->sliding.current, cost);
        break;
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        record->fixed.count += cost;
        break;
    case WINDOW_STRICT:
        record->strict.counts[0] = plus32(record->strict.counts[0], cost);
        break;
    }
}

void window_give_back(const struct window_config *window, union window_record *record,
                      uint64_t cost, struct limit_time now)
{
    uint64_t back;

    switch (window->kind) {
    case WINDOW_BUCKET:
        back = bucket_span_ns(cost, window_interval_ns(window));
        record->bucket.tat_ns -= smaller(back, minus(record->bucket.tat_ns, now_ns(now)));
        break;
    case WINDOW_SLIDING:
        record->sliding.current -= (uint32_t)smaller(cost, record->sliding.current);
        break;
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        record->fixed.count -= smaller(cost, record->fixed.count);
        break;
    case WINDOW_STRICT:
        record->strict.counts[0] -= (uint32_t)smaller(cost, record->strict.counts[0]);
        break;
    }
}

uint64_t window_wait_us(const struct window_config *window, const union window_record *record,
                        uint64_t cost, struct limit_time now)
{
    if (cost > window_capacity(window))
        return period_us(window);
    switch (window->kind) {
    case WINDOW_BUCKET:
        return bucket_wait_us(window, record, cost, now);
    case WINDOW_SLIDING:
        return sliding_wait_us(window, record, cost, now);
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        if (window_allows(window, record, cost, now))
            return 0;
        return fixed_end_us(window, record, now);
    case WINDOW_STRICT:
        return strict_wait_us(window, record, cost, now);
    }
    return 0;
}

uint64_t window_idle_us(const struct window_config *window, const union window_record *record,
                        struct limit_time now)
{
    uint64_t wait;

    switch (window->kind) {
    case WINDOW_BUCKET:
        wait = minus(record->bucket.tat_ns, now_ns(now));
        return wait / NS_PER_US + (wait % NS_PER_US != 0);
    case WINDOW_SLIDING:
        if (record->sliding.current == 0 && record->sliding.previous == 0)
            return 0;
        return period_us(window) * (record->sliding.current > 0 ? 2 : 1) -
               sliding_elapsed_us(window, record, now);
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        return record->fixed.count > 0 ? fixed_end_us(window, record, now) : 0;
    case WINDOW_STRICT:
        return strict_idle_us(window, record, now);
    }
    return 0;
}

void window_describe(const struct window_config *window, const union window_record *record,
                     struct limit_time now, struct limit_window *out)
{
    uint64_t interval;

    out->window = window;
    out->limit = window->limit;
    switch (window->kind) {
    case WINDOW_BUCKET:
        interval = window_interval_ns(window);
        out->remaining =
            minus(now_ns(now) + bucket_full_ns(window, interval), record->bucket.tat_ns) / interval;
        out->reset_us = window_idle_us(window, record, now);
        break;
    case WINDOW_SLIDING:
        out->remaining = sliding_remaining(window, record, now);
        out->reset_us = period_us(window) - sliding_elapsed_us(window, record, now);
        break;
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        out->remaining = minus(window->limit, record->fixed.count);
        out->reset_us = fixed_end_us(window, record, now);
        break;
    case WINDOW_STRICT:
        out->remaining = minus(limit_of(window), strict_used(record, STRICT_SLICES + 1));
        out->reset_us = window_idle_us(window, record, now);
        break;
    }
    out->next_us = out->remaining == 0 ? window_wait_us(window, record, 1, now) : 0;
}
