/* headers_test.c - which window is shown, how long to wait, and the structured fields. */
#include "limit/limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct window_config second = {STR("second"), WINDOW_BUCKET, 5, 10, 1000};
static const struct window_config minute = {STR("minute"), WINDOW_SLIDING, 100, 100, 60000};
static const struct window_config hour = {STR("hour"), WINDOW_SLIDING, 1000, 1000, 3600000};
static const struct window_config day = {STR("day"), WINDOW_SLIDING, 9, 9, 86400000};
static const struct window_config month = {STR("month"), WINDOW_CALENDAR, 7, 7,
                                           INT64_C(2678400000)};
static const struct window_config ten = {STR("burst"), WINDOW_SLIDING, 10, 10, 10000};
static const struct window_config odd = {STR("a\"b\\c\xff"), WINDOW_FIXED, 2, 2, 1500};

#define LEFT(w, n)                                                                                 \
    {                                                                                              \
        .window = &(w), .remaining = (n), .reset_us = 17500000                                     \
    }
#define REFUSES(w, us)                                                                             \
    {                                                                                              \
        .window = &(w), .refuses = true, .retry_us = (us), .next_us = (us)                         \
    }

static const struct {
    const char *name;
    struct limit_state state;
    const char *report;
    int want; /* index; -1: none */
} reported[] = {
    {"none", {.allowed = true}, "minute", -1},
    {"the named one",
     {{LEFT(second, 1), LEFT(minute, 50), LEFT(hour, 2)}, 3, true, 0},
     "minute",
     1},
    {"of two so named the fuller one",
     {{LEFT(minute, 50), LEFT(hour, 2), LEFT(minute, 3)}, 3, true, 0},
     "minute",
     2},
    {"else the shortest of at least a minute",
     {{LEFT(second, 1), LEFT(day, 5), LEFT(hour, 2)}, 3, true, 0},
     "minute",
     2},
    {"else the longest", {{LEFT(second, 1), LEFT(ten, 5)}, 2, true, 0}, "minute", 1},
    {"an operator's choice", {{LEFT(second, 1), LEFT(minute, 5)}, 2, true, 0}, "second", 0},
    {"on a refusal the longest wait",
     {{REFUSES(second, 1), LEFT(minute, 5), REFUSES(hour, 99)}, 3, false, 2},
     "minute",
     2},
};

static void the_reported_window(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(reported); i++) {
        const struct limit_window *want =
            reported[i].want < 0 ? NULL : &reported[i].state.windows[reported[i].want];

        if (limit_reported(&reported[i].state, str_of(reported[i].report)) != want)
            fail_msg("%s", reported[i].name);
    }
}

static const struct {
    const char *name;
    uint64_t retry_us;
    double jitter, draw;
    uint64_t want_s;
} waits[] = {
    {"never 0", 0, 0, 0, 1},
    {"a microsecond is a second", 1, 0, 0, 1},
    {"a whole second", 1000000, 0, 0, 1},
    {"never early", 1000001, 0, 0, 2},
    {"one slot more", 60600000, 0, 0, 61},
    {"jitter only adds", 10000000, 0.5, 0.5, 13},
    {"jitter without luck", 10000000, 0.5, 0, 10},
};

static void retry_after_of_every_wait(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(waits); i++) {
        struct limit_state it = {{REFUSES(minute, waits[i].retry_us)}, 1, false, 0};
        uint64_t got = limit_retry_after_s(&it, waits[i].jitter, waits[i].draw);

        if (got != waits[i].want_s)
            fail_msg("%s: got %" PRIu64, waits[i].name, got);
    }
}

static const struct {
    const char *name;
    struct limit_state state;
    const char *want_policy, *want_ratelimit;
} fields[] = {
    {"a tier",
     {{LEFT(second, 9), LEFT(minute, 42), LEFT(hour, 999)}, 3, true, 0},
     "\"second\";q=5;w=1;gw-burst=10, \"minute\";q=100;w=60, \"hour\";q=1000;w=3600",
     "\"second\";r=9;t=18, \"minute\";r=42;t=18, \"hour\";r=999;t=18"},
    {"a refusal tells the wait",
     {{REFUSES(minute, 60600000)}, 1, false, 0},
     "\"minute\";q=100;w=60",
     "\"minute\";r=0;t=61"},
    {"with nothing left, when there is one more",
     {{{.window = &minute, .limit = 100, .reset_us = 5000000, .next_us = 5600000}}, 1, true, 0},
     "\"minute\";q=100;w=60",
     "\"minute\";r=0;t=6"},
    {"a month", {{LEFT(month, 3)}, 1, true, 0}, "\"month\";q=7;w=2678400", "\"month\";r=3;t=18"},
    {"names are escaped, parts of seconds rounded up",
     {{LEFT(odd, 2)}, 1, true, 0},
     "\"a\\\"b\\\\c?\";q=2;w=2",
     "\"a\\\"b\\\\c?\";r=2;t=18"},
    {"none", {.allowed = true}, "", ""},
};

static void equals(const char *name, const struct buf *got, const char *want)
{
    if (!str_eq(buf_str(got), str_of(want)))
        fail_msg("%s: got %.*s", name, STR_ARG(buf_str(got)));
}

static void the_drafts_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        struct buf out = buf_new(4096);

        assert_true(limit_write_policy(&out, &fields[i].state));
        equals(fields[i].name, &out, fields[i].want_policy);
        buf_clear(&out);
        assert_true(limit_write_ratelimit(&out, &fields[i].state));
        equals(fields[i].name, &out, fields[i].want_ratelimit);
        buf_free(&out);
    }
}

/* A client that waits for t whenever r is 0, and asks at once otherwise. */
static void who_paces_himself_by_ratelimit_is_never_refused(void **state)
{
    static const struct hash_key seed = {{5, 6}};
    static const struct window_set tier = {.at = {{STR("second"), WINDOW_BUCKET, 5, 10, 1000},
                                                  {STR("minute"), WINDOW_SLIDING, 100, 100, 60000},
                                                  {STR("eighths"), WINDOW_STRICT, 150, 150, 120000},
                                                  {STR("fixed"), WINDOW_FIXED, 300, 300, 300000}},
                                           .count = 4};
    struct limiter *limiter = limiter_new(10, &seed);
    struct limit_policy policy = {.windows = &tier, .key = {1, 2}};
    struct limit_time now = {1000000, INT64_C(1700000000000000)};

    (void)state;
    assert_non_null(limiter);
    for (int i = 0; i < 5000; i++) {
        struct limit_state got;
        uint64_t wait_us = 0;

        limit_take(limiter, &policy, 1, 1, now, &got);
        assert_true(got.allowed);
        for (uint32_t w = 0; w < got.count; w++) {
            if (got.windows[w].remaining == 0 && got.windows[w].next_us > wait_us)
                wait_us = got.windows[w].next_us;
        }
        now.mono_us += (wait_us + 999999) / 1000000 * 1000000;
    }
    limiter_free(&limiter);
}

/* A client that hammers, and on a refusal waits for exactly Retry-After. */
static void who_obeys_retry_after_is_admitted(void **state)
{
    static const struct hash_key seed = {{5, 6}};
    static const struct window_set tier = {
        .at = {{STR("second"), WINDOW_BUCKET, 7, 10, 1000},
               {STR("minute"), WINDOW_SLIDING, 100, 100, 60000},
               {STR("hour"), WINDOW_SLIDING, 777, 777, 3600000},
               {STR("month"), WINDOW_CALENDAR, 90000, 90000, INT64_C(2678400000)}},
        .count = 4};
    struct limiter *limiter = limiter_new(10, &seed);
    struct limit_policy policy = {.windows = &tier, .key = {1, 2}};
    struct limit_time now = {1000000, INT64_C(1700000000000000)};
    bool has_waited = false;

    (void)state;
    assert_non_null(limiter);
    for (int i = 0; i < 200000; i++) {
        struct limit_state got;
        uint64_t step_us = 3333;

        limit_take(limiter, &policy, 1, 1, now, &got);
        if (has_waited)
            assert_true(got.allowed);
        has_waited = !got.allowed;
        if (has_waited)
            step_us = limit_retry_after_s(&got, 0, 0) * 1000000;
        now.mono_us += step_us;
        now.wall_us += (int64_t)step_us;
    }
    limiter_free(&limiter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reported_window),
        cmocka_unit_test(retry_after_of_every_wait),
        cmocka_unit_test(the_drafts_fields),
        cmocka_unit_test(who_paces_himself_by_ratelimit_is_never_refused),
        cmocka_unit_test(who_obeys_retry_after_is_admitted),
    };
    return cmocka_run_group_tests_name("limit/headers", tests, NULL, NULL);
}
