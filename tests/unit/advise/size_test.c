/* Right-sizing from samples, cgroup folders made for the test, and what scrapes tell of
 * neighbours. */
#include "advise/advise.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB 1048576.0

static struct advise_series flat(double cpu, double memory, int count)
{
    struct advise_series series = {.count = 0};

    for (int i = 0; i < count; i++)
        advise_series_add(&series, cpu, memory);
    return series;
}

static void sizes_of_containers(void **unused)
{
    static const struct {
        const char *name;
        double cpu, memory_mib;
        struct advise_given given;
        struct advise_trouble trouble;
        enum advise_priority want;
        double saving; /* at 20 a core and 4 a GiB */
    } rows[] = {
        {"given too much", 0.2, 256, {1, 2, 2048 * MIB, 4096 * MIB}, {0, 0, 0}, ADVISE_MAJOR, 22.2},
        {"fits", 0.8, 800, {1, 2, 1024 * MIB, 2048 * MIB}, {0, 0, 0}, ADVISE_NOTHING, 2.0},
        {"nothing given", 0.1, 100, {0, 0, 0, 0}, {0, 0, 0}, ADVISE_MINOR, 0},
        {"nearly full", 0.8, 950, {1, 1, 1000 * MIB, 1000 * MIB}, {0, 0, 0}, ADVISE_URGENT, 1.2},
        {"throttled", 0.8, 800, {1, 1, 1024 * MIB, 2048 * MIB}, {0, 0, 0.5}, ADVISE_URGENT, 2.0},
        {"killed", 0.8, 800, {1, 1, 1024 * MIB, 2048 * MIB}, {1, 1, 0}, ADVISE_URGENT, 2.0},
    };
    struct advise_prices prices = {20, 4};

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct advise_series series = flat(rows[i].cpu, rows[i].memory_mib * MIB, 50);
        struct advise_size size;

        advise_size_of(&series, &rows[i].given, &rows[i].trouble, &prices, &size);
        if (size.priority != rows[i].want || fabs(size.saving - rows[i].saving) > 0.5)
            fail_msg("%s: %s, saves %g (%s)", rows[i].name, advise_priority_name(size.priority),
                     size.saving, size.why);
        assert_true(size.cpu.request >= rows[i].cpu && size.cpu.limit >= size.cpu.request);
        assert_true(size.memory.limit >= size.memory.request &&
                    size.memory.request >= rows[i].memory_mib * MIB);
    }
}

static void quantiles_waste_and_stability(void **unused)
{
    struct advise_series series = {.count = 0};
    struct advise_given given = {.cpu_request = 1, .memory_limit = 100 * MIB};
    struct advise_trouble trouble = {.restarts = 0}, bad = {3, 1, 0.25};
    struct advise_prices prices = {0, 0};
    struct advise_size size;

    (void)unused;
    for (int i = 0; i < 1000; i++) /* the oldest are forgotten */
        advise_series_add(&series, i < 640 ? 100 : (i % 100) / 100.0, 50 * MIB);
    advise_size_of(&series, &given, &trouble, &prices, &size);
    assert_int_equal(series.count, ADVISE_SAMPLES);
    assert_true(size.cpu.p50 > 0.4 && size.cpu.p50 < 0.7 && fabs(size.cpu.peak - 0.99) < 0.01);
    assert_true(fabs(size.cpu.waste - (1 - size.cpu.p95)) < 1e-6);
    assert_true(fabs(size.memory.waste - 0.5) < 1e-6);
    series = flat(0.5, 50 * MIB, 100);
    advise_size_of(&series, &given, &trouble, &prices, &size);
    assert_true(fabs(size.stability - 100) < 1e-6);
    advise_size_of(&series, &given, &bad, &prices, &size);
    assert_true(fabs(size.stability - 25) < 1e-6);
    series = flat(0.5, 50 * MIB, ADVISE_LEAST_SAMPLES - 1);
    advise_size_of(&series, &given, &trouble, &prices, &size);
    assert_true(size.cpu.request == 0 && size.priority == ADVISE_NOTHING);
}

/* ---- cgroups ---- */

static void put_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (text == NULL) {
        (void)unlink(path);
        return;
    }
    file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void a_cgroup_of_version_2(void **unused)
{
    static const struct {
        const char *name, *text;
    } files[] = {
        {"cpu.stat", "usage_usec 2500000\nuser_usec 1\nnr_periods 40\nnr_throttled 10\n"},
        {"cpu.max", "50000 100000\n"},
        {"memory.current", "104857600\n"},
        {"memory.stat", "anon 1\nfile 9\ninactive_file 4857600\nactive_file 3\n"},
        {"memory.max", "209715200\n"},
        {"memory.peak", "150000000\n"},
        {"memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n"},
    };
    char folder[] = "/tmp/gateway-cgroup-XXXXXX";
    struct advise_reading reading;

    (void)unused;
    assert_non_null(mkdtemp(folder));
    assert_false(advise_read_cgroup(folder, &reading));
    for (size_t i = 0; i < COUNT_OF(files); i++)
        put_file(folder, files[i].name, files[i].text);
    assert_true(advise_read_cgroup(folder, &reading));
    assert_true(fabs(reading.cpu_s - 2.5) < 1e-9 && fabs(reading.given.cpu_limit - 0.5) < 1e-9);
    assert_int_equal(reading.memory_bytes, 100000000);
    assert_int_equal(reading.memory_peak, 150000000);
    assert_true(fabs(reading.given.memory_limit - 209715200) < 1);
    assert_true(reading.periods == 40 && reading.throttled == 10 && reading.oom_kills == 1);
    put_file(folder, "cpu.max", "max 100000\n");
    put_file(folder, "memory.max", "max\n");
    put_file(folder, "memory.peak", NULL); /* kernels before 5.19 */
    put_file(folder, "memory.stat", "");
    assert_true(advise_read_cgroup(folder, &reading));
    assert_true(reading.given.cpu_limit == 0 && reading.given.memory_limit == 0);
    assert_true(reading.memory_peak == 0 && reading.memory_bytes == 104857600);
    for (size_t i = 0; i < COUNT_OF(files); i++)
        put_file(folder, files[i].name, NULL);
    (void)rmdir(folder);
}

static void this_process(void **unused)
{
    struct advise_reading reading;

    (void)unused;
    advise_read_process(&reading);
    assert_true(!reading.is_cgroup && reading.memory_bytes > 65536 && reading.cpu_s >= 0);
    advise_read_self(&reading);
    assert_true(reading.memory_bytes > 65536);
}

/* ---- the text format ---- */

static void lines_of_the_text_format(void **unused)
{
    static const struct {
        const char *line;
        bool is_right;
        double value;
        uint32_t labels;
        const char *name; /* label "name" */
    } rows[] = {
        {"up 1", true, 1, 0, ""},
        {"up{} 1", true, 1, 0, ""},
        {"a_total{name=\"x\",b=\"y\"} 1.5e3 1700000000000", true, 1500, 2, "x"},
        {"a{name=\"a,b}\\\"c\"} -2\r", true, -2, 1, "a,b}\\\"c"},
        {"a{ name = \"x\" , } 3", true, 3, 1, "x"},
        {"# HELP up Is it", false, 0, 0, ""},
        {"", false, 0, 0, ""},
        {"a{name=\"x} 1", false, 0, 0, ""},
        {"a{name=\"x\\", false, 0, 0, ""},
        {"a{name} 1", false, 0, 0, ""},
        {"a NaN", false, 0, 0, ""},
        {"a +Inf", false, 0, 0, ""},
        {"a", false, 0, 0, ""},
        {"a 1x", false, 0, 0, ""},
    };
    struct advise_metric metric;

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bool is_right = advise_parse_line(str_of(rows[i].line), &metric);

        if (is_right != rows[i].is_right)
            fail_msg("%s: %d", rows[i].line, is_right);
        if (!is_right)
            continue;
        assert_true(fabs(metric.value - rows[i].value) < 1e-9);
        assert_int_equal(metric.label_count, rows[i].labels);
        assert_true(str_eq(advise_label(&metric, "name"), str_of(rows[i].name)));
    }
}

static void count_line(void *arg, const struct advise_metric *metric)
{
    *(double *)arg += metric->value;
}

static void pieces_and_long_lines(void **unused)
{
    static struct advise_lines lines;
    char filler[3000];
    double sum = 0;

    (void)unused;
    memset(filler, 'x', sizeof(filler));
    advise_lines_feed(&lines, STR("a 1\nb{x=\"1"), count_line, &sum);
    advise_lines_feed(&lines, STR("\"} 1"), count_line, &sum);
    advise_lines_feed(&lines, STR("0\n"), count_line, &sum);
    for (int i = 0; i < 4; i++)
        advise_lines_feed(&lines, str_at(filler, sizeof(filler)), count_line, &sum);
    advise_lines_feed(&lines, STR(" 1000\nc 100\n"), count_line, &sum);
    assert_true(fabs(sum - 111) < 1e-9);
}

/* ---- neighbours ---- */

static void scrape(struct advise_neighbours *neighbours, const char *text, uint64_t now_s)
{
    static struct advise_lines lines;

    advise_neighbours_begin(neighbours);
    advise_lines_feed(&lines, str_of(text), advise_neighbours_take, neighbours);
    advise_neighbours_end(neighbours, now_s * 1000000);
}

static void what_scrapes_tell(void **unused)
{
    static struct advise_neighbours all;
    const struct advise_neighbour *web;

    (void)unused;
    scrape(&all,
           "container_cpu_usage_seconds_total{cpu=\"cpu00\",id=\"/d/1\",name=\"web\"} 10\n"
           "container_cpu_usage_seconds_total{cpu=\"cpu01\",id=\"/d/1\",name=\"web\"} 20\n"
           "container_cpu_usage_seconds_total{id=\"/\"} 1000\n"
           "container_memory_working_set_bytes{name=\"web\"} 1000000\n"
           "container_spec_cpu_quota{name=\"web\"} 200000\n"
           "container_spec_cpu_period{name=\"web\"} 100000\n"
           "container_spec_cpu_shares{name=\"web\"} 512\n"
           "container_spec_memory_limit_bytes{name=\"web\"} 4000000\n"
           "container_start_time_seconds{name=\"web\"} 500\n"
           "container_cpu_usage_seconds_total{namespace=\"a\",pod=\"p\",container=\"c\"} 1\n"
           "container_cpu_usage_seconds_total{namespace=\"a\",pod=\"p\",container=\"POD\"} 1\n"
           "kube_pod_container_resource_requests{namespace=\"a\",pod=\"p\",container=\"c\","
           "resource=\"cpu\"} 0.25\n",
           100);
    assert_int_equal(all.count, 2);
    web = all.at[0];
    assert_string_equal(web->name, "web");
    assert_string_equal(all.at[1]->name, "a/p/c");
    assert_true(fabs(all.at[1]->given.cpu_request - 0.25) < 1e-9);
    assert_true(web->series.count == 0 && fabs(web->given.cpu_limit - 2) < 1e-9 &&
                fabs(web->given.cpu_request - 0.5) < 1e-9);
    scrape(&all,
           "container_cpu_usage_seconds_total{name=\"web\"} 35\n"
           "container_memory_working_set_bytes{name=\"web\"} 2000000\n"
           "container_start_time_seconds{name=\"web\"} 500\n",
           110);
    assert_int_equal(web->series.count, 1);
    assert_true(fabs((double)web->series.cpu[0] - 0.5) < 1e-6);
    scrape(&all, "container_cpu_usage_seconds_total{name=\"web\"} 2\n", 120);
    assert_int_equal(web->series.count, 1); /* it has restarted: no rate */
    assert_true(fabs(web->trouble.restarts - 1) < 1e-9);
    for (uint64_t at = 130; at < 300; at += 10)
        scrape(&all, "container_cpu_usage_seconds_total{name=\"web\"} 3\n", at);
    assert_int_equal(all.count, 1); /* the other one is forgotten */
    advise_neighbours_free(&all);
}

static void too_many_are_left_out(void **unused)
{
    static struct advise_neighbours all;
    char line[100];

    (void)unused;
    advise_neighbours_begin(&all);
    for (int i = 0; i < ADVISE_NEIGHBOURS + 5; i++) {
        struct advise_metric metric;

        (void)snprintf(line, sizeof(line), "container_cpu_usage_seconds_total{name=\"n%d\"} 1", i);
        assert_true(advise_parse_line(str_of(line), &metric));
        advise_neighbours_take(&all, &metric);
    }
    assert_int_equal(all.count, ADVISE_NEIGHBOURS);
    assert_int_equal(all.left_out, 5);
    advise_neighbours_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_containers),      cmocka_unit_test(quantiles_waste_and_stability),
        cmocka_unit_test(a_cgroup_of_version_2),    cmocka_unit_test(this_process),
        cmocka_unit_test(lines_of_the_text_format), cmocka_unit_test(pieces_and_long_lines),
        cmocka_unit_test(what_scrapes_tell),        cmocka_unit_test(too_many_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
