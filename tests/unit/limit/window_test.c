/* window_test.c - the arithmetic of each kind of window, against tables and against slow
 * models that keep every admission and count them anew each time.
 *
 * The models share nothing with window.c but the promise: they are what an operator would
 * say with a pencil. Every refusal is also asked whether its wait is honest: admitted when it is
 * over, and not a microsecond sooner. */
#include "limit/limit_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { STEPS = 100000 };
static const uint64_t S = 1000000; /* microseconds */
__extension__ typedef unsigned __int128 wide;

static struct window_config window_of(enum window_kind kind, uint64_t limit, uint64_t burst,
                                      int64_t period_ms)
{
    return (struct window_config){STR("w"), kind, limit, burst, period_ms};
}

static struct limit_time at(uint64_t mono_us)
{
    return (struct limit_time){mono_us, INT64_C(1700000000000000) + (int64_t)mono_us};
}

static void add(const struct window_config *window, union window_record *record, uint64_t cost,
                struct limit_time now)
{
    struct limit_window unused;

    window_take(window, record, cost, now, &unused);
}

/* ---- admissions, all of them ---- */

struct history {
    uint64_t when[STEPS], cost[STEPS];
    size_t count;
};
static struct history history;

static void history_add(uint64_t when, uint64_t cost)
{
    history.when[history.count] = when;
    history.cost[history.count++] = cost;
}

/* What was admitted in [from, to). */
static uint64_t admitted(uint64_t from, uint64_t to)
{
    uint64_t sum = 0;

    for (size_t i = history.count; i-- > 0 && history.when[i] >= from;) {
        if (history.when[i] < to)
            sum += history.cost[i];
    }
    return sum;
}

/* ---- the models: may `cost` pass now? ---- */

struct model {
    const struct window_config *window;
    uint64_t anchor, credit_ns, last;
    bool is_anchored;
};

static uint64_t interval_ns(const struct window_config *w)
{
    return ((uint64_t)w->period_ms * 1000000 + w->limit - 1) / w->limit;
}

static bool model_bucket(struct model *m, uint64_t now, uint64_t cost)
{
    uint64_t full = interval_ns(m->window) * m->window->burst;

    m->credit_ns += (now - m->last) * 1000;
    m->last = now;
    if (m->credit_ns > full)
        m->credit_ns = full;
    if (m->credit_ns < cost * interval_ns(m->window))
        return false;
    m->credit_ns -= cost * interval_ns(m->window);
    return true;
}

static bool model_sliding(struct model *m, uint64_t now, uint64_t cost)
{
    uint64_t w = (uint64_t)m->window->period_ms * 1000, current = 0, previous = 0, begin = now;

    if (m->is_anchored) {
        begin = m->anchor + (now - m->anchor) / w * w;
        current = admitted(begin, now + 1);
        previous = begin >= w ? admitted(begin - w, begin) : 0;
    }
    if (current == 0 && previous == 0)
        begin = now;
    if ((wide)(current + cost) * w + (wide)previous * (begin + w - now) >
        (wide)m->window->limit * w)
        return false;
    m->anchor = begin;
    m->is_anchored = true;
    return true;
}

static bool model_fixed(struct model *m, uint64_t now, uint64_t cost)
{
    if (!m->is_anchored || now - m->anchor >= (uint64_t)m->window->period_ms * 1000) {
        m->anchor = now;
        m->is_anchored = true;
    }
    if (admitted(m->anchor, now + 1) + cost > m->window->limit)
        return false;
    if (admitted(m->anchor, now + 1) == 0)
        m->anchor = now;
    return true;
}

static bool model_strict(struct model *m, uint64_t now, uint64_t cost)
{
    uint64_t slice = (uint64_t)m->window->period_ms * 1000 / 8, index = now / slice;
    uint64_t from = index >= 8 ? (index - 8) * slice : 0;

    return admitted(from, now + 1) + cost <= m->window->limit;
}

static bool model_calendar(struct model *m, uint64_t now, uint64_t cost)
{
    time_t wall = (time_t)(at(now).wall_us / 1000000);
    struct tm tm;

    assert_non_null(gmtime_r(&wall, &tm));
    struct tm first = {.tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = 1};
    int64_t begin = (int64_t)timegm(&first) * 1000000 - INT64_C(1700000000000000);
    return admitted(begin > 0 ? (uint64_t)begin : 0, now + 1) + cost <= m->window->limit;
}

/* ---- random walks ---- */

static uint64_t seed = 88172645463325252U;

static uint64_t drawn(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static void wait_is_honest(const char *name, const struct window_config *w,
                           const union window_record *record, uint64_t cost, uint64_t now)
{
    uint64_t wait = window_wait_us(w, record, cost, at(now));
    union window_record later = *record;

    if (wait == 0)
        fail_msg("%s: refused at %" PRIu64 ", but no wait", name, now);
    if (cost > window_capacity(w))
        return;
    window_roll(w, &later, at(now + wait));
    if (!window_allows(w, &later, cost, at(now + wait)))
        fail_msg("%s: still refused after %" PRIu64 " us", name, wait);
    later = *record;
    window_roll(w, &later, at(now + wait - 1));
    if (window_allows(w, &later, cost, at(now + wait - 1)))
        fail_msg("%s: allowed before %" PRIu64 " us", name, wait);
}

static void idle_is_idle(const char *name, const struct window_config *w,
                         const union window_record *record, uint64_t now)
{
    union window_record later = *record;
    uint64_t idle = window_idle_us(w, record, at(now));
    struct limit_window seen;

    window_roll(w, &later, at(now + idle));
    window_describe(w, &later, at(now + idle), &seen);
    if (seen.remaining != window_capacity(w))
        fail_msg("%s: idle after %" PRIu64 " us, but %" PRIu64 " left", name, idle, seen.remaining);
}

static const struct {
    const char *name;
    struct window_config window;
    bool (*model)(struct model *, uint64_t, uint64_t);
    uint64_t most_in_any_period; /* of admitted requests */
} walks[] = {
    {"5 a second, burst 10", {STR("w"), WINDOW_BUCKET, 5, 10, 1000}, model_bucket, 15},
    {"3 a second", {STR("w"), WINDOW_BUCKET, 3, 3, 1000}, model_bucket, 6},
    {"1000 a second, burst 2000", {STR("w"), WINDOW_BUCKET, 1000, 2000, 1000}, model_bucket, 3000},
    {"100 a minute", {STR("w"), WINDOW_SLIDING, 100, 100, 60000}, model_sliding, 199},
    {"7 in 10 s", {STR("w"), WINDOW_SLIDING, 7, 7, 10000}, model_sliding, 13},
    {"1 an hour", {STR("w"), WINDOW_SLIDING, 1, 1, 3600000}, model_sliding, 1},
    {"500000 an hour", {STR("w"), WINDOW_SLIDING, 500000, 0, 3600000}, model_sliding, 999999},
    {"fixed 20 in 5 s", {STR("w"), WINDOW_FIXED, 20, 20, 5000}, model_fixed, 40},
    {"strict 50 in 1 s", {STR("w"), WINDOW_STRICT, 50, 50, 1000}, model_strict, 50},
    {"strict 3 in 60 s", {STR("w"), WINDOW_STRICT, 3, 3, 60000}, model_strict, 3},
    {"40 a month", {STR("w"), WINDOW_CALENDAR, 40, 40, INT64_C(2678400000)}, model_calendar, 80},
};

/* Loads from a hammer to long silences, so that every branch of time is met. */
static uint64_t next_gap(uint64_t period_us, uint64_t limit)
{
    uint64_t fair = period_us / limit + 1;

    switch (drawn(16)) {
    case 0:
        return drawn(3 * period_us);
    case 1:
        return drawn(period_us);
    case 2:
    case 3:
    case 4:
        return 0;
    default:
        return drawn(2 * fair);
    }
}

static void walk(size_t row)
{
    const struct window_config *w = &walks[row].window;
    uint64_t period = (uint64_t)w->period_ms * 1000, now = 12345678;
    struct model model = {.window = w, .credit_ns = UINT64_MAX / 4, .last = now};
    union window_record record = {{0}};

    history.count = 0;
    for (int step = 0; step < STEPS; step++) {
        uint64_t cost = drawn(8) == 0 ? 1 + drawn(w->limit < 4 ? 1 : 3) : 1;
        struct limit_window before, after;

        now += next_gap(period, w->limit);
        union window_record copy = record;
        bool asked = window_ask(w, &copy, cost, at(now));

        window_roll(w, &record, at(now));
        window_describe(w, &record, at(now), &before);
        bool got = window_allows(w, &record, cost, at(now));
        if (asked != got)
            fail_msg("%s, step %d: in one step %d, in two %d", walks[row].name, step, asked, got);
        bool want = walks[row].model(&model, now, cost);
        if (got != want)
            fail_msg("%s, step %d: got %d, want %d", walks[row].name, step, got, want);
        if ((before.remaining >= cost) != got)
            fail_msg("%s, step %d: %" PRIu64 " left, cost %" PRIu64 ", got %d", walks[row].name,
                     step, before.remaining, cost, got);
        if (!got) {
            wait_is_honest(walks[row].name, w, &record, cost, now);
            continue;
        }
        add(w, &record, cost, at(now));
        window_describe(w, &record, at(now), &after);
        if (after.remaining + cost != before.remaining)
            fail_msg("%s, step %d: %" PRIu64 " left became %" PRIu64, walks[row].name, step,
                     before.remaining, after.remaining);
        history_add(now, cost);
        idle_is_idle(walks[row].name, w, &record, now);
        if (step % 8 == 0 && admitted(now + 1 > period ? now + 1 - period : 0, now + 1) >
                                 walks[row].most_in_any_period)
            fail_msg("%s, step %d: too many in one period", walks[row].name, step);
    }
}

static void random_walks_agree_with_the_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(walks); i++)
        walk(i);
}

/* ---- tables ---- */

/* One step a row: at `ms`, `count` requests of cost 1; how many pass, and what is left. */
struct step {
    const char *name;
    uint64_t ms, count, want_passed, want_remaining, want_reset_ms;
};

static void run_steps(struct window_config w, const struct step *steps, size_t count)
{
    union window_record record = {{0}};

    for (size_t i = 0; i < count; i++) {
        struct limit_time now = at(steps[i].ms * 1000);
        struct limit_window seen;
        uint64_t passed = 0;

        window_roll(&w, &record, now);
        for (uint64_t k = 0; k < steps[i].count; k++) {
            if (!window_allows(&w, &record, 1, now))
                continue;
            add(&w, &record, 1, now);
            passed++;
        }
        window_describe(&w, &record, now, &seen);
        if (passed != steps[i].want_passed || seen.remaining != steps[i].want_remaining ||
            seen.reset_us != steps[i].want_reset_ms * 1000)
            fail_msg("%s: %" PRIu64 " passed, %" PRIu64 " left, reset in %" PRIu64 " us",
                     steps[i].name, passed, seen.remaining, seen.reset_us);
    }
}

static void a_bucket_holds_its_burst_and_fills_at_its_rate(void **state)
{
    static const struct step steps[] = {
        {"the burst", 1000, 12, 10, 0, 2000},
        {"a fifth of a second is one", 1200, 2, 1, 0, 2000},
        {"a second is five", 2200, 9, 5, 0, 2000},
        {"full after two", 4200, 0, 0, 10, 0},
        {"never fuller", 9000, 1, 1, 9, 200},
    };
    (void)state;
    run_steps(window_of(WINDOW_BUCKET, 5, 10, 1000), steps, COUNT_OF(steps));
}

static void a_sliding_window_fades(void **state)
{
    static const struct step steps[] = {
        {"fresh", 500, 0, 0, 100, 60000},
        {"the first anchors it", 1000, 1, 1, 99, 60000},
        {"the rest", 31000, 120, 99, 0, 30000},
        {"at the border all still count", 61000, 1, 0, 0, 60000},
        {"a hundredth later one may pass", 61600, 2, 1, 0, 59400},
        {"half has faded", 91000, 0, 0, 49, 30000},
        {"long after it is new", 400000, 1, 1, 99, 60000},
    };
    (void)state;
    run_steps(window_of(WINDOW_SLIDING, 100, 100, 60000), steps, COUNT_OF(steps));
}

static void a_fixed_window_begins_at_the_first_request(void **state)
{
    static const struct step steps[] = {
        {"first", 7000, 1, 1, 2, 10000},
        {"the rest", 16000, 5, 2, 0, 1000},
        {"not yet", 16999, 1, 0, 0, 1},
        {"anew", 17000, 4, 3, 0, 10000},
    };
    (void)state;
    run_steps(window_of(WINDOW_FIXED, 3, 3, 10000), steps, COUNT_OF(steps));
}

static void a_strict_window_counts_eighths_whole(void **state)
{
    static const struct step steps[] = {
        {"all at once", 8000, 9, 8, 0, 9000},
        {"a whole period is not enough", 16999, 1, 0, 0, 1},
        {"nine eighths are", 17000, 1, 1, 7, 9000},
        {"eighths go one by one", 18000, 7, 7, 0, 9000},
        {"the first is free again", 26000, 3, 1, 0, 9000},
    };
    (void)state;
    run_steps(window_of(WINDOW_STRICT, 8, 8, 8000), steps, COUNT_OF(steps));
}

/* One request, then all the rest at the window's end, then a hammer. */
static void the_best_adversary_stays_under_twice_a_sliding_limit(void **state)
{
    struct window_config w = window_of(WINDOW_SLIDING, 100, 100, 60000);
    union window_record record = {{0}};

    (void)state;
    history.count = 0;
    for (uint64_t now = S; now < 200 * S; now += 10000) {
        bool asks = now == S || now >= 61 * S - 10000;

        window_roll(&w, &record, at(now));
        for (int k = 0; k < 120 && asks; k++) {
            if (now == S && k > 0)
                break;
            if (!window_allows(&w, &record, 1, at(now)))
                break;
            add(&w, &record, 1, at(now));
            history_add(now, 1);
        }
        assert_true(admitted(now > 60 * S ? now - 60 * S : 0, now + 1) < 200);
    }
}

static const struct {
    const char *name;
    uint64_t limit, at_ms;
    uint64_t most_s;
} sliding_waits[] = {
    {"100 a minute, all at once", 100, 0, 61},
    {"100 a minute, at the end", 100, 59999, 61},
    {"1000 a minute", 1000, 0, 61},
    {"one a minute", 1, 0, 120},
};

static void a_sliding_wait_is_the_length_and_one_slot_at_most(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sliding_waits); i++) {
        struct window_config w = window_of(WINDOW_SLIDING, sliding_waits[i].limit, 0, 60000);
        union window_record record = {{0}};

        add(&w, &record, 1, at(S));
        if (sliding_waits[i].limit > 1)
            add(&w, &record, sliding_waits[i].limit - 1, at(S + sliding_waits[i].at_ms * 1000));
        uint64_t wait = window_wait_us(&w, &record, 1, at(S + sliding_waits[i].at_ms * 1000));
        if ((wait + S - 1) / S > sliding_waits[i].most_s)
            fail_msg("%s: %" PRIu64 " us", sliding_waits[i].name, wait);
    }
}

static void what_is_given_back_was_never_taken(void **state)
{
    static const enum window_kind kinds[] = {WINDOW_BUCKET, WINDOW_SLIDING, WINDOW_FIXED,
                                             WINDOW_STRICT, WINDOW_CALENDAR};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct window_config w = window_of(kinds[i], 10, 10, 1000);
        union window_record record = {{0}};
        struct limit_window seen;

        window_roll(&w, &record, at(S));
        add(&w, &record, 4, at(S));
        window_give_back(&w, &record, 3, at(S));
        window_describe(&w, &record, at(S), &seen);
        if (seen.remaining != 9)
            fail_msg("kind %zu: %" PRIu64 " left", i, seen.remaining);
        window_give_back(&w, &record, 50, at(S));
        window_describe(&w, &record, at(S), &seen);
        if (seen.remaining != 10)
            fail_msg("kind %zu: %" PRIu64 " left, want all", i, seen.remaining);
    }
}

/* Workers read the clock once a turn, so a record may be newer than `now`. */
static void a_clock_read_earlier_takes_nothing_away(void **state)
{
    static const enum window_kind kinds[] = {WINDOW_BUCKET, WINDOW_SLIDING, WINDOW_FIXED,
                                             WINDOW_STRICT};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct window_config w = window_of(kinds[i], 1000, 1000, 1000);
        union window_record record = {{0}};
        uint64_t passed = 0;

        for (int k = 0; k < 3000; k++) {
            struct limit_time now = at(100 * S + 124 - (uint64_t)(k % 2) * 7000);

            window_roll(&w, &record, now);
            if (window_allows(&w, &record, 1, now)) {
                add(&w, &record, 1, now);
                passed++;
            }
        }
        if (passed > 1000)
            fail_msg("kind %zu: %" PRIu64 " passed", i, passed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_holds_its_burst_and_fills_at_its_rate),
        cmocka_unit_test(a_sliding_window_fades),
        cmocka_unit_test(a_fixed_window_begins_at_the_first_request),
        cmocka_unit_test(a_strict_window_counts_eighths_whole),
        cmocka_unit_test(the_best_adversary_stays_under_twice_a_sliding_limit),
        cmocka_unit_test(a_sliding_wait_is_the_length_and_one_slot_at_most),
        cmocka_unit_test(what_is_given_back_was_never_taken),
        cmocka_unit_test(a_clock_read_earlier_takes_nothing_away),
        cmocka_unit_test(random_walks_agree_with_the_models),
    };
    return cmocka_run_group_tests_name("limit/window", tests, NULL, NULL);
}
