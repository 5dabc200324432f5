/* exposition_test.c - what a scrape shows: names, labels, numbers, sums over sheets. */
#include "metrics_fixture.h"

#include <math.h>
#include <stdio.h>

static void what_has_no_labels_is_there_from_the_start(void **state)
{
    static const char *const lines[] = {
        "# TYPE gateway_requests_total counter",
        "# TYPE gateway_request_duration_seconds histogram",
        "# TYPE gateway_connections_active gauge",
        "gateway_connections_active 0",
        "gateway_cache_evictions_total 0",
        "gateway_evicted_series_total 0",
        "gateway_rate_limit_decision_seconds_bucket{le=\"1e-07\"} 0",
        "gateway_rate_limit_decision_seconds_bucket{le=\"+Inf\"} 0",
        "gateway_rate_limit_decision_seconds_sum 0",
        "gateway_rate_limit_decision_seconds_count 0",
    };
    struct metrics *metrics = metrics_new();
    char *text = scrape(metrics);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        assert_line(text, lines[i]);
    assert_no_text(text, "\"other\"");
    assert_no_text(text, "gateway_requests_total{");
    free(text);
    metrics_free(&metrics);
    assert_null(metrics);
    metrics_free(&metrics);
}

static void every_metric_has_a_name_a_help_and_a_type(void **state)
{
    struct metrics *metrics = metrics_new();
    char *text = scrape(metrics);
    size_t helps = 0, types = 0;

    (void)state;
    for (const char *at = strstr(text, "# HELP gateway_"); at != NULL;
         at = strstr(at + 1, "# HELP gateway_"))
        helps++;
    for (const char *at = strstr(text, "# TYPE gateway_"); at != NULL;
         at = strstr(at + 1, "# TYPE gateway_"))
        types++;
    assert_int_equal(helps, M_COUNT);
    assert_int_equal(types, M_COUNT);
    free(text);
    metrics_free(&metrics);
}

static const struct {
    const char *name, *value, *want;
} labels[] = {
    {"plain", "a", "a"},
    {"empty", "", ""},
    {"a quote", "say \"x\"", "say \\\"x\\\""},
    {"a backslash", "a\\b", "a\\\\b"},
    {"a newline", "a\nb", "a\\nb"},
    {"all three", "\\\"\n", "\\\\\\\"\\n"},
    {"braces and commas are plain", "{x=\"", "{x=\\\""},
    {"UTF-8", "z\xC3\xBCrich \xF0\x9F\x98\x80", "z\xC3\xBCrich \xF0\x9F\x98\x80"},
    {"a lone byte", "a\xFFz", "a?z"},
    {"a cut character", "a\xC3", "a?"},
    {"too long a form", "\xC0\x80", "??"},
    {"a surrogate", "\xED\xA0\x80", "???"},
    {"past the last character", "\xF4\x90\x80\x80", "????"},
};

static void label_values_are_escaped(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(labels); i++) {
        struct metrics *metrics = metrics_new();
        struct str value = str_of(labels[i].value);
        char line[256], *text;

        cell_add(metrics_series(metrics_sheet(metrics), M_REJECTED, 1, &value), 3);
        text = scrape(metrics);
        (void)snprintf(line, sizeof(line), "gateway_rejected_total{reason=\"%s\"} 3",
                       labels[i].want);
        if (strstr(text, line) == NULL)
            fail_msg("%s: no %s", labels[i].name, line);
        free(text);
        metrics_free(&metrics);
    }
}

static void a_long_value_is_cut(void **state)
{
    struct metrics *metrics = metrics_new();
    struct sheet *sheet = metrics_sheet(metrics);
    char bytes[1000];
    struct str value = {bytes, sizeof(bytes)}, cut = {bytes, METRICS_MAX_LABEL_BYTES};

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    assert_ptr_equal(metrics_series(sheet, M_REJECTED, 1, &value),
                     metrics_series(sheet, M_REJECTED, 1, &cut));
    metrics_free(&metrics);
}

static void sheets_are_added_up(void **state)
{
    struct metrics *metrics = metrics_new();
    struct sheet *a = metrics_sheet(metrics), *b = metrics_sheet(metrics);
    struct str get[] = {STR("api"), STR("GET"), STR("200")};
    struct str put[] = {STR("api"), STR("PUT"), STR("204")};
    struct str elsewhere[] = {STR("web"), STR("GET"), STR("200")};
    struct cell *cell = metrics_series(a, M_REQUESTS, 3, get);
    char *text;

    (void)state;
    assert_ptr_equal(metrics_series(a, M_REQUESTS, 3, get), cell);
    cell_add(cell, 5);
    cell_add(metrics_series(b, M_REQUESTS, 3, get), UINT64_C(9007199254740993));
    cell_add(metrics_series(b, M_REQUESTS, 3, put), 2);
    cell_add(metrics_series(a, M_REQUESTS, 3, elsewhere), 4);
    cell_gauge_add(metrics_cell(a, M_CONNECTIONS_ACTIVE), 7);
    cell_gauge_add(metrics_cell(b, M_CONNECTIONS_ACTIVE), 5);
    cell_gauge_add(metrics_cell(b, M_CONNECTIONS_ACTIVE), -2);
    assert_int_equal(cell_count(cell), 5);

    text = scrape(metrics);
    assert_line(text, "gateway_requests_total{route=\"api\",method=\"GET\",status=\"200\"} "
                      "9007199254740998"); /* more than a double holds */
    assert_line(text, "gateway_requests_total{route=\"api\",method=\"PUT\",status=\"204\"} 2");
    assert_line(text, "gateway_connections_active 10");
    free(text);
    assert_true(metrics_sum(metrics, M_REQUESTS, 1, STR("PUT")) == 2.0);
    assert_true(metrics_sum(metrics, M_REQUESTS, 0, STR("web")) == 4.0);
    assert_true(metrics_sum(metrics, M_REQUESTS, 0, STR("nowhere")) == 0.0);
    assert_true(metrics_sum2(metrics, M_REQUESTS, 0, STR("api"), 1, STR("PUT")) == 2.0);
    assert_true(metrics_sum2(metrics, M_REQUESTS, 0, STR("web"), 1, STR("PUT")) == 0.0);
    assert_true(metrics_sum(metrics, M_CONNECTIONS_ACTIVE, -1, STR_NONE) == 10.0);
    metrics_free(&metrics);
}

static const struct {
    double value;
    const char *want;
} gauges[] = {
    {0, "0"},
    {-3, "-3"},
    {0.1, "0.1"},
    {0.5, "0.5"},
    {268435456, "268435456"},
    {1753000000.25, "1753000000.25"},
    {1.0 / 3, "0.33333333333333331"},
    {INFINITY, "+Inf"},
    {-INFINITY, "-Inf"},
    {NAN, "NaN"},
};

static void gauges_show_what_was_set(void **state)
{
    struct metrics *metrics = metrics_new();
    struct cell *cell = metrics_cell(metrics_sheet(metrics), M_CONFIG_LAST_RELOAD);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(gauges); i++) {
        char line[128], *text;

        cell_gauge_set(cell, gauges[i].value);
        text = scrape(metrics);
        (void)snprintf(line, sizeof(line), "gateway_config_last_reload_timestamp_seconds %s",
                       gauges[i].want);
        assert_line(text, line);
        free(text);
    }
    metrics_free(&metrics);
}

static void histograms_cumulate(void **state)
{
    struct metrics *metrics = metrics_new();
    struct sheet *a = metrics_sheet(metrics), *b = metrics_sheet(metrics);
    struct str route = STR("api");
    struct cell *cell = metrics_series(a, M_REQUEST_DURATION, 1, &route);
    char *text;

    (void)state;
    cell_observe(cell, 0.0005); /* on a bound: in its bucket */
    cell_observe(cell, 0.000500001);
    cell_observe(cell, 0.3);
    cell_observe(cell, 11.0);
    cell_observe(cell, -1.0);
    cell_observe(cell, NAN);
    cell_observe(metrics_series(b, M_REQUEST_DURATION, 1, &route), 10.0);
    assert_int_equal(cell_count(cell), 6);
    text = scrape(metrics);
#define SERIES "gateway_request_duration_seconds_"
    assert_line(text, SERIES "bucket{route=\"api\",le=\"0.0005\"} 3");
    assert_line(text, SERIES "bucket{route=\"api\",le=\"0.001\"} 4");
    assert_line(text, SERIES "bucket{route=\"api\",le=\"0.25\"} 4");
    assert_line(text, SERIES "bucket{route=\"api\",le=\"0.5\"} 5");
    assert_line(text, SERIES "bucket{route=\"api\",le=\"5\"} 5");
    assert_line(text, SERIES "bucket{route=\"api\",le=\"10\"} 6");
    assert_line(text, SERIES "bucket{route=\"api\",le=\"+Inf\"} 7");
    assert_line(text, SERIES "sum{route=\"api\"} 21.301000001");
    assert_line(text, SERIES "count{route=\"api\"} 7");
    free(text);
    assert_true(metrics_sum(metrics, M_REQUEST_DURATION, 0, route) == 7.0);
    metrics_free(&metrics);
}

static void every_bound_is_inclusive(void **state)
{
    static const double bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                    0.1,    0.25,  0.5,    1,     2.5,  5,     10};
    struct metrics *metrics = metrics_new();
    struct str up = STR("u");
    struct cell *cell = metrics_series(metrics_sheet(metrics), M_UPSTREAM_DURATION, 1, &up);
    char line[128], *text;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bounds); i++)
        cell_observe(cell, bounds[i]);
    text = scrape(metrics);
    for (size_t i = 0; i < COUNT_OF(bounds); i++) {
        (void)snprintf(line, sizeof(line),
                       "gateway_upstream_duration_seconds_bucket{upstream=\"u\",le=\"%g\"} %zu",
                       bounds[i], i + 1);
        assert_line(text, line);
    }
    free(text);
    metrics_free(&metrics);
}

static void collect(void *arg, struct sheet *sheet)
{
    int *calls = arg;
    struct str target = STR("database");

    ++*calls;
    cell_gauge_set(metrics_cell(sheet, M_OPEN_FDS), 40 + *calls);
    cell_gauge_set(metrics_series(sheet, M_DEPENDENCY_HEALTH, 1, &target), 1);
}

static void collectors_run_at_each_scrape(void **state)
{
    struct metrics *metrics = metrics_new();
    int calls = 0;
    char *text;

    (void)state;
    metrics_collector(metrics, collect, &calls);
    text = scrape(metrics);
    assert_line(text, "gateway_open_fds 41");
    assert_line(text, "gateway_dependency_health_status{dependency=\"database\"} 1");
    free(text);
    text = scrape(metrics);
    assert_line(text, "gateway_open_fds 42");
    free(text);
    metrics_free(&metrics);
}

static void a_ceiling_that_is_met_is_told(void **state)
{
    struct metrics *metrics = metrics_new();
    struct buf out = buf_new(1000);

    (void)state;
    assert_false(metrics_write(metrics, &out));
    buf_free(&out);
    metrics_free(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_no_labels_is_there_from_the_start),
        cmocka_unit_test(every_metric_has_a_name_a_help_and_a_type),
        cmocka_unit_test(label_values_are_escaped),
        cmocka_unit_test(a_long_value_is_cut),
        cmocka_unit_test(sheets_are_added_up),
        cmocka_unit_test(gauges_show_what_was_set),
        cmocka_unit_test(histograms_cumulate),
        cmocka_unit_test(every_bound_is_inclusive),
        cmocka_unit_test(collectors_run_at_each_scrape),
        cmocka_unit_test(a_ceiling_that_is_met_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
