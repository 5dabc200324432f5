/* series_test.c - many series, and many threads.
 *
 * The ceiling turns what is too much into "other" instead of memory; two threads
 * count and register while a third scrapes (run under SAN=thread as well). */
#include "metrics_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { COUNTS = 20000, SCRAPES_LEAST = 5 };

static struct cell *numbered(struct sheet *sheet, int number)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "reason-%d", number);
    struct str value = {text, (size_t)len};

    return metrics_series(sheet, M_REJECTED, 1, &value);
}

static void too_many_series_become_other(void **state)
{
    struct metrics *metrics = metrics_new();
    struct sheet *a = metrics_sheet(metrics), *b = metrics_sheet(metrics);
    struct str other[] = {STR("other"), STR("other"), STR("other")};
    char *text;

    (void)state;
    for (int i = 0; i < METRICS_MAX_SERIES; i++) {
        cell_add(numbered(a, i), 1);
        cell_add(numbered(b, i), 1); /* the same series: not counted twice */
    }
    assert_int_equal(cell_count(metrics_cell(a, M_EVICTED_SERIES)), 0);
    cell_add(numbered(a, METRICS_MAX_SERIES), 10);
    cell_add(numbered(a, METRICS_MAX_SERIES + 1), 10);
    cell_add(numbered(b, METRICS_MAX_SERIES + 1), 10);
    assert_int_equal(cell_count(metrics_cell(a, M_EVICTED_SERIES)), 2);
    assert_ptr_equal(numbered(a, -1), metrics_series(a, M_REJECTED, 1, other));
    cell_add(metrics_series(b, M_REQUESTS, 3, (struct str[]){STR("r"), STR("GET"), STR("200")}), 1);

    text = scrape(metrics);
    assert_line(text, "gateway_rejected_total{reason=\"reason-0\"} 2");
    assert_line(text, "gateway_rejected_total{reason=\"reason-19999\"} 2");
    assert_line(text, "gateway_rejected_total{reason=\"other\"} 30");
    assert_no_text(text, "reason-20000");
    assert_line(text,
                "gateway_requests_total{route=\"other\",method=\"other\",status=\"other\"} 1");
    assert_line(text, "gateway_evicted_series_total 5");
    free(text);
    assert_true(metrics_sum(metrics, M_REJECTED, -1, STR_NONE) == 2.0 * METRICS_MAX_SERIES + 30);
    metrics_free(&metrics);
}

static void a_series_named_other_is_the_overflow_series(void **state)
{
    struct metrics *metrics = metrics_new();
    struct sheet *sheet = metrics_sheet(metrics);
    struct str other = STR("other");
    char *text;

    (void)state;
    cell_add(metrics_series(sheet, M_SHED, 1, &other), 1);
    cell_add(metrics_series(sheet, M_SHED, 1, &other), 1);
    text = scrape(metrics);
    assert_line(text, "gateway_shed_total{cause=\"other\"} 2");
    assert_line(text, "gateway_evicted_series_total 0");
    free(text);
    metrics_free(&metrics);
}

static void values_that_run_together_are_not_mixed_up(void **state)
{
    struct metrics *metrics = metrics_new();
    struct sheet *sheet = metrics_sheet(metrics);
    struct str ab_c[] = {STR("ab"), STR("c")}, a_bc[] = {STR("a"), STR("bc")};

    (void)state;
    assert_ptr_not_equal(metrics_series(sheet, M_AUTH, 2, ab_c),
                         metrics_series(sheet, M_AUTH, 2, a_bc));
    metrics_free(&metrics);
}

struct counter {
    struct sheet *sheet;
    atomic_int *running;
};

static void *count(void *arg)
{
    struct counter *counter = arg;
    struct cell *decision = metrics_cell(counter->sheet, M_RATE_LIMIT_DECISION);
    struct cell *connections = metrics_cell(counter->sheet, M_CONNECTIONS_ACTIVE);

    for (int i = 0; i < COUNTS; i++) {
        cell_add(numbered(counter->sheet, i % 500), 1);
        cell_observe(decision, 2e-6);
        cell_gauge_add(connections, i % 2 == 0 ? 1 : -1);
    }
    atomic_fetch_sub(counter->running, 1);
    return NULL;
}

/* Reads counts on one line after another and finds them never to go back. */
static uint64_t observed(struct metrics *metrics)
{
    static const char name[] = "\ngateway_rate_limit_decision_seconds_count ";
    char *text = scrape(metrics), *at = strstr(text, name);
    uint64_t value;

    assert_non_null(at);
    value = strtoull(at + sizeof(name) - 1, NULL, 10);
    free(text);
    return value;
}

static void two_threads_count_while_a_third_scrapes(void **state)
{
    struct metrics *metrics = metrics_new();
    atomic_int running = 2;
    struct counter counters[2];
    pthread_t threads[2];
    uint64_t last = 0;
    int scrapes = 0;

    (void)state;
    for (int t = 0; t < 2; t++) {
        counters[t] = (struct counter){metrics_sheet(metrics), &running};
        assert_int_equal(pthread_create(&threads[t], NULL, count, &counters[t]), 0);
    }
    while (atomic_load(&running) > 0 || scrapes < SCRAPES_LEAST) {
        uint64_t now = observed(metrics);

        assert_true(now >= last && now <= 2 * (uint64_t)COUNTS);
        last = now;
        scrapes++;
    }
    for (int t = 0; t < 2; t++)
        assert_int_equal(pthread_join(threads[t], NULL), 0);
    assert_int_equal(observed(metrics), 2 * COUNTS);
    assert_true(metrics_sum(metrics, M_REJECTED, -1, STR_NONE) == 2.0 * COUNTS);
    assert_true(metrics_sum(metrics, M_REJECTED, 0, STR("reason-7")) == 2.0 * COUNTS / 500);
    assert_true(metrics_sum(metrics, M_CONNECTIONS_ACTIVE, -1, STR_NONE) == 0.0);
    metrics_free(&metrics);
}

static void *scrape_once(void *arg)
{
    free(scrape(arg));
    return NULL;
}

static void set_open_fds(void *arg, struct sheet *sheet)
{
    (void)arg;
    cell_gauge_set(metrics_cell(sheet, M_OPEN_FDS), 1);
}

static void two_scrapes_at_once_take_turns(void **state)
{
    struct metrics *metrics = metrics_new();
    pthread_t threads[4];

    (void)state;
    metrics_collector(metrics, set_open_fds, NULL);
    for (size_t t = 0; t < COUNT_OF(threads); t++)
        assert_int_equal(pthread_create(&threads[t], NULL, scrape_once, metrics), 0);
    for (size_t t = 0; t < COUNT_OF(threads); t++)
        assert_int_equal(pthread_join(threads[t], NULL), 0);
    metrics_free(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_series_become_other),
        cmocka_unit_test(a_series_named_other_is_the_overflow_series),
        cmocka_unit_test(values_that_run_together_are_not_mixed_up),
        cmocka_unit_test(two_threads_count_while_a_third_scrapes),
        cmocka_unit_test(two_scrapes_at_once_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
