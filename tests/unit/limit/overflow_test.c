/* overflow_test.c - clients whose slot had to go: nobody is admitted more for it.
 *
 * The bound of the table is far below the number of clients, all of them busy, and each
 * client's admissions are compared with a table that holds everybody. */
#include "limit/limit_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct hash_key seed = {{17, 42}};
static const uint64_t S = 1000000;

static struct limit_time at(uint64_t mono_us)
{
    return (struct limit_time){mono_us, INT64_C(1700000000000000) + (int64_t)mono_us};
}

static uint64_t next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return *state >> 33;
}

#define MONTH_MS INT64_C(2678400000)
static const struct window_set sets[] = {
    {.at = {{STR("second"), WINDOW_BUCKET, 2, 10, 1000},
            {STR("minute"), WINDOW_SLIDING, 30, 30, 60000},
            {STR("hour"), WINDOW_SLIDING, 200, 200, 3600000}},
     .count = 3},
    {.at = {{STR("strict"), WINDOW_STRICT, 10, 10, 60000}}, .count = 1},
    {.at = {{STR("fixed"), WINDOW_FIXED, 10, 10, 60000},
            {STR("month"), WINDOW_CALENDAR, 50, 50, MONTH_MS}},
     .count = 2},
};

static void nobody_gains_by_being_dropped(void **state)
{
    enum { CLIENTS = 500, STEPS = 100000 };
    uint64_t random = 7;

    (void)state;
    for (size_t set = 0; set < COUNT_OF(sets); set++) {
        struct limiter *small = limiter_new(20, &seed), *whole = limiter_new(100000, &seed);
        uint64_t now_us = 1000 * S, admitted = 0;

        for (int i = 0; i < STEPS; i++) {
            uint64_t number = next(&random) % CLIENTS;
            struct limit_policy policy = {.windows = &sets[set], .key = {number * 977, number}};
            struct limit_state in_small, in_whole;

            now_us += next(&random) % (S / 100);
            /* asked first: what the small one admits is charged to the one that forgets nobody */
            limit_take(whole, &policy, 1, 0, at(now_us), &in_whole);
            limit_take(small, &policy, 1, 1, at(now_us), &in_small);
            if (!in_small.allowed)
                continue;
            admitted++;
            limit_take(whole, &policy, 1, 1, at(now_us), &in_whole);
            if (!in_whole.allowed)
                fail_msg("set %d, step %d: admitted one too many", (int)set, i);
        }
        assert_true(admitted > 0);
        assert_true(limiter_counts(small).evicted_busy > 0);
        assert_int_equal(limiter_counts(small).overflow_cells, 1);
        limiter_free(&small);
        limiter_free(&whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nobody_gains_by_being_dropped)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
