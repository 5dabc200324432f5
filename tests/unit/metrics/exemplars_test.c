/* exemplars_test.c - the trace that stands for a bucket: the newest, told to who asks for
 * OpenMetrics alone, and never half of one. */
#include "metrics_fixture.h"

#include <pthread.h>
#include <stdio.h>

static struct cell *duration(struct sheet *sheet)
{
    struct str route = STR("all");

    return metrics_series(sheet, M_REQUEST_DURATION, 1, &route);
}

static char *scrape_open(struct metrics *metrics)
{
    struct buf out = buf_new(SCRAPE_MOST);

    assert_true(metrics_write_open(metrics, &out));
    assert_true(buf_add_char(&out, '\0'));
    return out.ptr;
}

#define BUCKET "gateway_request_duration_seconds_bucket{route=\"all\",le=\"0.05\"} "

static void each_bucket_shows_its_newest_trace(void **state)
{
    struct metrics *metrics = metrics_new();
    struct sheet *one = metrics_sheet(metrics), *other = metrics_sheet(metrics);
    struct exemplar first = {1, 0xabc, 1700000000000001}, second = {2, 0xdef, 1700000000500000};
    char *text;

    (void)state;
    cell_observe_traced(one, duration(one), 0.03, &second);
    cell_observe_traced(other, duration(other), 0.04, &first); /* older, of another worker */
    cell_observe(duration(one), 0.045);                        /* of no trace */
    text = scrape_open(metrics);
    assert_line(text, BUCKET
                "3 # {trace_id=\"00000000000000020000000000000def\"} 0.03 1700000000.500000");
    assert_line(text, "gateway_request_duration_seconds_bucket{route=\"all\",le=\"0.1\"} 3");
    assert_line(text, "gateway_request_duration_seconds_bucket{route=\"all\",le=\"+Inf\"} 3");
    assert_line(text, "gateway_request_duration_seconds_count{route=\"all\"} 3");
    free(text);
    text = scrape(metrics);
    assert_no_text(text, "trace_id");
    assert_line(text, BUCKET "3");
    free(text);
    metrics_free(&metrics);
}

struct writing {
    struct sheet *sheet;
    _Atomic bool is_over;
};

/* Every trace has two equal halves. */
static void *write_many(void *arg)
{
    struct writing *writing = arg;
    struct cell *cell = duration(writing->sheet);

    for (uint64_t i = 1; i <= 100000; i++) {
        struct exemplar exemplar = {i, i, (int64_t)i * 1000000};

        cell_observe_traced(writing->sheet, cell, 0.03, &exemplar);
    }
    writing->is_over = true;
    return NULL;
}

static void a_scrape_reads_whole_traces_while_they_change(void **state)
{
    struct metrics *metrics = metrics_new();
    struct writing writing = {.sheet = metrics_sheet(metrics)};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, write_many, &writing), 0);
    while (!writing.is_over) {
        char *text = scrape_open(metrics);
        const char *id = strstr(text, "trace_id=\"");

        if (id != NULL && memcmp(id + 10, id + 26, 16) != 0)
            fail_msg("%.60s", id);
        free(text);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    metrics_free(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bucket_shows_its_newest_trace),
        cmocka_unit_test(a_scrape_reads_whole_traces_while_they_change),
    };

    return cmocka_run_group_tests_name("metrics: exemplars", tests, NULL, NULL);
}
