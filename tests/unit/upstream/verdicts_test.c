/* verdicts_test.c - breaker, adaptive limit and latencies: no network, time passed in. */
#include "upstream/upstream_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#define SECOND UINT64_C(1000000)

static struct upstream_config breaking(uint32_t failures, double ratio, uint32_t half_open)
{
    struct upstream_config config = {.name = STR("u")};

    config.breaker.failures = failures;
    config.breaker.ratio = ratio;
    config.breaker.window_ms = 10000;
    config.breaker.open_for_ms = 5000;
    config.breaker.half_open = half_open;
    return config;
}

static void note(struct breaker *breaker, const struct upstream_config *config, uint32_t good,
                 uint32_t bad, uint64_t now_us)
{
    for (uint32_t i = 0; i < good; i++)
        breaker_note(breaker, config, false, false, now_us);
    for (uint32_t i = 0; i < bad; i++)
        breaker_note(breaker, config, false, true, now_us);
}

static const struct {
    const char *name;
    uint32_t failures;
    double ratio;
    uint32_t good, bad;
    bool opens;
} breakers[] = {
    {"enough of both", 5, 0.5, 5, 5, true},     {"too few failures", 5, 0.5, 0, 4, false},
    {"too small a share", 5, 0.5, 6, 5, false}, {"all of them", 5, 1.0, 0, 5, true},
    {"not quite all", 5, 1.0, 1, 9, false},     {"off", 0, 0.5, 0, 999, false},
};

static void breaker_opens(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(breakers); i++) {
        struct upstream_config config = breaking(breakers[i].failures, breakers[i].ratio, 1);
        struct breaker breaker = {0};

        note(&breaker, &config, breakers[i].good, breakers[i].bad, 100 * SECOND);
        if ((breaker_ask(&breaker, &config, 100 * SECOND) == BREAKER_REFUSE) != breakers[i].opens)
            fail_msg("%s: want %d", breakers[i].name, breakers[i].opens);
    }
}

static void breaker_forgets(void **state)
{
    struct upstream_config config = breaking(4, 0.5, 1);
    struct breaker breaker = {0};

    (void)state;
    note(&breaker, &config, 0, 3, 100 * SECOND);
    note(&breaker, &config, 0, 1, 111 * SECOND); /* the three are out of the window */
    assert_int_equal(breaker_ask(&breaker, &config, 111 * SECOND), BREAKER_PASS);
    note(&breaker, &config, 0, 3, 112 * SECOND);
    assert_int_equal(breaker_ask(&breaker, &config, 112 * SECOND), BREAKER_REFUSE);
    assert_int_equal(atomic_load(&breaker.opened), 1);
}

static void breaker_tries_and_closes(void **state)
{
    struct upstream_config config = breaking(1, 0.5, 2);
    struct breaker breaker = {0};
    uint64_t at = 100 * SECOND;

    (void)state;
    note(&breaker, &config, 0, 1, at);
    assert_int_equal(breaker_state(&breaker, at), BREAKER_OPEN);
    assert_int_equal(breaker_ask(&breaker, &config, at + 5 * SECOND - 1), BREAKER_REFUSE);
    at += 5 * SECOND;
    assert_int_equal(breaker_state(&breaker, at), BREAKER_HALF_OPEN);
    assert_int_equal(breaker_ask(&breaker, &config, at), BREAKER_TRIAL);
    assert_int_equal(breaker_ask(&breaker, &config, at), BREAKER_TRIAL);
    assert_int_equal(breaker_ask(&breaker, &config, at), BREAKER_REFUSE);
    breaker_give_back(&breaker); /* a client left */
    assert_int_equal(breaker_ask(&breaker, &config, at), BREAKER_TRIAL);
    breaker_note(&breaker, &config, false, false, at); /* began before: says nothing */
    assert_int_equal(breaker_state(&breaker, at), BREAKER_HALF_OPEN);
    breaker_note(&breaker, &config, true, false, at);
    assert_int_equal(breaker_state(&breaker, at), BREAKER_HALF_OPEN);
    breaker_note(&breaker, &config, true, false, at);
    assert_int_equal(breaker_state(&breaker, at), BREAKER_CLOSED);
    assert_int_equal(breaker_ask(&breaker, &config, at), BREAKER_PASS);
}

static void breaker_opens_again(void **state)
{
    struct upstream_config config = breaking(1, 0.5, 1);
    struct breaker breaker = {0};
    uint64_t at = 100 * SECOND;

    (void)state;
    note(&breaker, &config, 0, 1, at);
    at += 6 * SECOND;
    assert_int_equal(breaker_ask(&breaker, &config, at), BREAKER_TRIAL);
    breaker_note(&breaker, &config, true, true, at);
    assert_int_equal(breaker_ask(&breaker, &config, at + SECOND), BREAKER_REFUSE);
    assert_int_equal(breaker_ask(&breaker, &config, at + 5 * SECOND), BREAKER_TRIAL);
    config.breaker.failures = 0; /* a reload switches it off */
    assert_int_equal(breaker_ask(&breaker, &config, at + 5 * SECOND), BREAKER_PASS);
}

/* ---- adaptive ---------------------------------------------------------- */

static const struct {
    const char *name;
    uint32_t limit;
    uint64_t base_us, mean_us;
    uint32_t most;
    uint32_t want;
} limits[] = {
    {"calm and used: grows", 100, 1000, 1000, 100, 110},
    {"calm and idle: stays", 100, 1000, 1000, 10, 100},
    {"twice as slow is borne", 100, 1000, 2000, 100, 110},
    {"four times: falls", 100, 1000, 4000, 100, 60},
    {"a hundred times: halved at most", 100, 1000, 100000, 100, 60},
    {"never below the floor", 8, 1000, 100000, 8, 8},
    {"nor above the ceiling", ADAPTIVE_MOST, 1000, 1000, ADAPTIVE_MOST, ADAPTIVE_MOST},
};

static void limit_after_a_window(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        uint32_t got =
            adaptive_next(limits[i].limit, limits[i].base_us, limits[i].mean_us, limits[i].most);

        if (got != limits[i].want)
            fail_msg("%s: got %" PRIu32, limits[i].name, got);
    }
}

static void low_tiers_go_first(void **state)
{
    struct adaptive adaptive = {.limit = 100};

    (void)state;
    assert_true(adaptive_allows(&adaptive, 69, 0.7));
    assert_false(adaptive_allows(&adaptive, 70, 0.7));
    assert_true(adaptive_allows(&adaptive, 99, 1));
    assert_false(adaptive_allows(&adaptive, 100, 1));
    assert_false(adaptive_allows(&adaptive, 100, 0)); /* not given: as the highest */
    assert_true(adaptive_allows(&adaptive, 9999, 2)); /* critical */
}

/* Full load for so many windows on a service that answers 50 at a time and queues what is more. */
static uint32_t after_load(struct adaptive *adaptive, int windows, uint64_t calm_us,
                           uint64_t *now_us)
{
    uint32_t limit = ADAPTIVE_FIRST;

    for (int i = 0; i < windows * 50; i++) {
        uint32_t now = atomic_load(&adaptive->limit);

        limit = now != 0 ? now : limit;
        adaptive_note(adaptive, limit <= 50 ? calm_us : limit * calm_us / 50, limit, *now_us);
        *now_us += 6000;
    }
    return limit;
}

/* The limit finds what the service bears, also when it has become slower for good. */
static void limit_converges(void **state)
{
    struct adaptive adaptive = {0};
    uint64_t now_us = SECOND;

    (void)state;
    assert_in_range(after_load(&adaptive, 400, 10000, &now_us), 40, 200);
    assert_in_range(after_load(&adaptive, 10, 80000, &now_us), ADAPTIVE_FLOOR, 30);
    assert_in_range(after_load(&adaptive, 400, 80000, &now_us), 40, 200);
}

/* ---- latencies --------------------------------------------------------- */

static void quantiles(void **state)
{
    struct latency latency = {0};
    uint64_t p95;

    (void)state;
    for (uint64_t i = 1; i < LATENCY_ENOUGH; i++)
        latency_note(&latency, 1000);
    assert_int_equal(latency_quantile_us(&latency, 0.95), 0);
    for (uint64_t i = 0; i < 20000; i++)
        latency_note(&latency, i % 100 < 90 ? 1000 : 50000);
    p95 = latency_quantile_us(&latency, 0.95);
    assert_in_range(p95, 50000, 57400);
    for (uint64_t i = 0; i < 20000; i++) /* what was, is forgotten */
        latency_note(&latency, 3000);
    assert_in_range(latency_quantile_us(&latency, 0.95), 3000, 3400);
    latency_note(&latency, UINT64_MAX);
    latency_note(&latency, 0);
}

static void peaks_stay_a_while(void **state)
{
    uint64_t average = latency_peak(0, 0, 1000);

    (void)state;
    assert_int_equal(average, 1000);
    assert_int_equal(latency_peak(1000, 5, 90000), 90000); /* up at once */
    assert_in_range(latency_peak(90000, 100000, 1000), 85000, 90000);
    assert_in_range(latency_peak(90000, 60 * SECOND, 1000), 1000, 1300);
    assert_in_range(latency_decayed(90000, 5 * SECOND), 33000, 33200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(breaker_opens),
        cmocka_unit_test(breaker_forgets),
        cmocka_unit_test(breaker_tries_and_closes),
        cmocka_unit_test(breaker_opens_again),
        cmocka_unit_test(limit_after_a_window),
        cmocka_unit_test(low_tiers_go_first),
        cmocka_unit_test(limit_converges),
        cmocka_unit_test(quantiles),
        cmocka_unit_test(peaks_stay_a_while),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
