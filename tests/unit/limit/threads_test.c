/* threads_test.c - many threads on the same keys admit exactly what the windows allow.
 *
 * Meant for ThreadSanitizer too. Time stands still in it, so the counts are known: a race
 * that lost or doubled one request would be seen as a wrong sum. */
#include "limit/limit.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* What a row leaves out is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

enum { THREADS = 8, TAKES = 2000, CLIENTS = 5 };

static const struct window_set tier = {.at = {{STR("second"), WINDOW_BUCKET, 1000, 4000, 1000},
                                              {STR("minute"), WINDOW_SLIDING, 3000, 3000, 60000},
                                              {STR("hour"), WINDOW_SLIDING, 5000, 5000, 3600000}},
                                       .count = 3};
static const struct window_set route = {.at = {{STR("minute"), WINDOW_STRICT, 2500, 2500, 60000}},
                                        .count = 1};

struct hammer {
    struct limiter *limiter;
    uint64_t admitted[CLIENTS];
    bool with_route;
    pthread_t thread;
};

static void *hammer_run(void *arg)
{
    struct hammer *hammer = arg;
    struct limit_time now = {77000000, INT64_C(1700000000000000)};

    for (uint64_t i = 0; i < TAKES * CLIENTS; i++) {
        struct hash128 caller = {i % CLIENTS, 99};
        struct limit_policy policies[] = {{&tier, caller},
                                          {&route, limit_key(caller, 1, STR("r"))}};
        struct limit_state state;

        if (hammer->with_route && i % 2 == 0) { /* the other way round: locks must not cross */
            struct limit_policy first = policies[0];

            policies[0] = policies[1];
            policies[1] = first;
        }
        limit_hint(hammer->limiter, caller); /* while another thread makes the table grow */
        if (i % 8 == 0) {
            struct limit_policy newcomer = {&route, {i, (uint64_t)(uintptr_t)hammer}};

            limit_take(hammer->limiter, &newcomer, 1, 1, now, &state);
        }
        limit_take(hammer->limiter, policies, hammer->with_route ? 2 : 1, 1, now, &state);
        hammer->admitted[i % CLIENTS] += state.allowed;
        if (i % 512 == 0)
            (void)limiter_counts(hammer->limiter);
    }
    return NULL;
}

static void all_admit(bool with_route, uint64_t want)
{
    static const struct hash_key seed = {{3, 4}};
    struct limiter *limiter = limiter_new(100000, &seed);
    struct hammer hammers[THREADS] = {0};

    assert_non_null(limiter);
    for (int i = 0; i < THREADS; i++) {
        hammers[i].limiter = limiter;
        hammers[i].with_route = with_route;
        assert_int_equal(pthread_create(&hammers[i].thread, NULL, hammer_run, &hammers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(hammers[i].thread, NULL);
    for (int c = 0; c < CLIENTS; c++) {
        uint64_t sum = 0;

        for (int i = 0; i < THREADS; i++)
            sum += hammers[i].admitted[c];
        assert_int_equal(sum, want);
    }
    limiter_free(&limiter);
}

static void eight_threads_admit_exactly_the_limit(void **state)
{
    (void)state;
    all_admit(false, 3000);
}

static void two_policies_in_any_order_neither_block_nor_leak(void **state)
{
    (void)state;
    all_admit(true, 2500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_threads_admit_exactly_the_limit),
        cmocka_unit_test(two_policies_in_any_order_neither_block_nor_leak),
    };
    return cmocka_run_group_tests_name("limit/threads", tests, NULL, NULL);
}
