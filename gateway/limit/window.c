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
#include "limit/window_priv.h"

static const uint64_t FAR_NS = UINT64_MAX / 4;     /* 146 years: no sum of two overflows */
static const uint64_t CLOCK_SLACK_NS = 1000000000; /* workers read the clock once a turn */
static const uint64_t CLOCK_SLACK_US = 1000000;

__extension__ typedef unsigned __int128 wide;

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

static void bucket_roll_to(union window_record *record, uint64_t at, uint64_t full)
{
    if (record->bucket.tat_ns <= at)
        record->bucket.tat_ns = at;
    else if (record->bucket.tat_ns > at + full + CLOCK_SLACK_NS)
        record->bucket.tat_ns = at + full; /* a reload made the bucket smaller */
}

static void bucket_roll(const struct window_config *window, union window_record *record,
                        struct limit_time now)
{
    bucket_roll_to(record, now_ns(now), bucket_full_ns(window, window_interval_ns(window)));
}

/* Both in one, because each has to divide. */
static bool bucket_ask(const struct window_config *window, union window_record *record,
                       uint64_t cost, struct limit_time now)
{
    uint64_t interval = window_interval_ns(window), full = bucket_full_ns(window, interval);
    uint64_t at = now_ns(now);

    bucket_roll_to(record, at, full);
    return cost <= window_capacity(window) &&
           record->bucket.tat_ns + bucket_span_ns(cost, interval) <= at + full;
}

static void bucket_take(const struct window_config *window, union window_record *record,
                        uint64_t cost, struct limit_time now, struct limit_window *out)
{
    uint64_t interval = window_interval_ns(window), full = bucket_full_ns(window, interval);
    uint64_t at = now_ns(now), wait;

    record->bucket.tat_ns += bucket_span_ns(cost, interval);
    wait = minus(record->bucket.tat_ns, at);
    out->remaining = minus(at + full, record->bucket.tat_ns) / interval;
    out->reset_us = (wait + NS_PER_US - 1) / NS_PER_US;
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
    return record->sliding.previous == 0 || (wide)(limit - taken - cost) * period >=
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

static void sliding_take(const struct window_config *window, union window_record *record,
                         uint64_t cost, struct limit_time now, struct limit_window *out)
{
    uint64_t period = period_us(window), left, fading;

    if (cost > 0) {
        if (record->sliding.current == 0 && record->sliding.previous == 0)
            record->sliding.start_us = now.mono_us;
        record->sliding.current = plus32(record->sliding.current, cost);
    }
    left = period - sliding_elapsed_us(window, record, now);
    fading = share_up(record->sliding.previous, left, period);
    out->remaining = minus(limit_of(window), record->sliding.current + fading);
    out->reset_us = left;
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

bool window_ask(const struct window_config *window, union window_record *record, uint64_t cost,
                struct limit_time now)
{
    switch (window->kind) {
    case WINDOW_BUCKET:
        return bucket_ask(window, record, cost, now);
    case WINDOW_SLIDING:
        sliding_roll(window, record, now);
        return sliding_allows(window, record, cost, now);
    case WINDOW_FIXED:
    case WINDOW_STRICT:
    case WINDOW_CALENDAR:
        break;
    }
    window_roll(window, record, now);
    return window_allows(window, record, cost, now);
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

struct window_rest window_rest(const struct window_config *window,
                               const union window_record *record, uint64_t remaining,
                               struct limit_time now)
{
    uint64_t capacity = window_capacity(window);
    struct window_rest rest = {.idle_us = window_idle_us(window, record, now)};

    if (remaining < capacity)
        rest.load =
            (uint16_t)((double)LOAD_SHARE * (double)(capacity - remaining) / (double)capacity);
    return rest;
}

void window_take(const struct window_config *window, union window_record *record, uint64_t cost,
                 struct limit_time now, struct limit_window *out)
{
    out->window = window;
    out->limit = window->limit;
    switch (window->kind) {
    case WINDOW_BUCKET:
        bucket_take(window, record, cost, now, out);
        break;
    case WINDOW_SLIDING:
        sliding_take(window, record, cost, now, out);
        break;
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        record->fixed.count += cost;
        out->remaining = minus(window->limit, record->fixed.count);
        out->reset_us = fixed_end_us(window, record, now);
        break;
    case WINDOW_STRICT:
        record->strict.counts[0] = plus32(record->strict.counts[0], cost);
        out->remaining = minus(limit_of(window), strict_used(record, STRICT_SLICES + 1));
        out->reset_us = window_idle_us(window, record, now);
        break;
    }
    out->next_us = out->remaining == 0 ? window_wait_us(window, record, 1, now) : 0;
}

void window_describe(const struct window_config *window, const union window_record *record,
                     struct limit_time now, struct limit_window *out)
{
    union window_record copy = *record;

    window_take(window, &copy, 0, now, out);
}
