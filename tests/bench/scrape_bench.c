/* scrape_bench.c - what a scrape costs with 200 routes, each with the series that traffic gives it.
 *
 * Four workers' sheets, all statuses, tiers and cache verdicts that usually occur, a trace for
 * every bucket: about 6,900 series, a megabyte of text. The best of some turns, as plain text and as
 * OpenMetrics; more than ten milliseconds fail. A scrape runs on the main thread beside the
 * workers, which never wait for it. One thread. */
#include "metrics/metrics.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROUTES = 200, SHEETS = 4, UPSTREAMS = 20, TURNS = 20 };
#define MOST_MS 10.0

static const struct str methods[] = {{"GET", 3}, {"POST", 4}};
static const struct str statuses[] = {{"200", 3}, {"304", 3}, {"404", 3}, {"429", 3}, {"502", 3}};
static const struct str verdicts[] = {{"hit", 3},   {"miss", 4},         {"expired", 7},
                                      {"stale", 5}, {"revalidated", 11}, {"bypass", 6}};
static const struct str tiers[] = {
    {"free", 4}, {"premium", 7}, {"enterprise", 10}, {"internal", 8}};
static const struct str windows[] = {{"second", 6}, {"minute", 6}, {"hour", 4}};
static const struct str outcomes[] = {{"ok", 2}, {"5xx", 3}, {"error", 5}};

static void count(struct sheet *sheet, enum metric_id id, size_t n, const struct str *values)
{
    cell_add(metrics_series(sheet, id, n, values), 12345);
}

static void observe_all_buckets(struct sheet *sheet, struct cell *cell)
{
    struct exemplar exemplar = {1, 2, 1700000000000000};

    for (double seconds = 0.0005; seconds < 100; seconds *= 1.5)
        cell_observe_traced(sheet, cell, seconds, &exemplar);
}

static void fill_route(struct sheet *sheet, struct str route)
{
    count(sheet, M_RESPONSE_BYTES, 1, &route);
    observe_all_buckets(sheet, metrics_series(sheet, M_REQUEST_DURATION, 1, &route));
    for (size_t m = 0; m < COUNT_OF(methods); m++)
        for (size_t s = 0; s < COUNT_OF(statuses); s++)
            count(sheet, M_REQUESTS, 3, (struct str[]){route, methods[m], statuses[s]});
    for (size_t v = 0; v < COUNT_OF(verdicts); v++)
        count(sheet, M_CACHE_REQUESTS, 2, (struct str[]){route, verdicts[v]});
    for (size_t t = 0; t < COUNT_OF(tiers); t++) {
        count(sheet, M_RATE_LIMIT_HITS, 3, (struct str[]){STR("key"), tiers[t], route});
        for (size_t w = 0; w < COUNT_OF(windows); w++)
            count(sheet, M_RATE_LIMIT_BLOCKS, 4,
                  (struct str[]){STR("key"), tiers[t], route, windows[w]});
    }
}

static void fill_upstream(struct sheet *sheet, struct str upstream)
{
    observe_all_buckets(sheet, metrics_series(sheet, M_UPSTREAM_DURATION, 1, &upstream));
    for (size_t o = 0; o < COUNT_OF(outcomes); o++)
        count(sheet, M_UPSTREAM_REQUESTS, 3,
              (struct str[]){upstream, STR("http://10.0.0.1:8080"), outcomes[o]});
}

static struct metrics *filled(void)
{
    struct metrics *metrics = metrics_new();
    struct fail name;

    CHECK(metrics != NULL);
    for (int i = 0; i < SHEETS; i++) {
        struct sheet *sheet = metrics_sheet(metrics);

        CHECK(sheet != NULL);
        for (int r = 0; r < ROUTES; r++) {
            fail_set(&name, "a-route-of-some-length-%d", r);
            fill_route(sheet, str_of(name.text));
        }
        for (int u = 0; u < UPSTREAMS; u++) {
            fail_set(&name, "upstream-%d", u);
            fill_upstream(sheet, str_of(name.text));
        }
    }
    return metrics;
}

static double best_ms(struct metrics *metrics, bool is_open, size_t *bytes)
{
    double best = 0;

    for (int turn = 0; turn < TURNS; turn++) {
        struct buf out = buf_new((size_t)64 << 20);
        uint64_t began = clock_mono_us();
        bool is_whole = is_open ? metrics_write_open(metrics, &out) : metrics_write(metrics, &out);
        double took = (double)(clock_mono_us() - began) / 1000;

        CHECK(is_whole);
        *bytes = out.len;
        buf_free(&out);
        if (turn == 0 || took < best)
            best = took;
    }
    return best;
}

int main(void)
{
    struct metrics *metrics = filled();
    bool is_fine = true;

    printf("a scrape with %d routes, %d workers\n", ROUTES, SHEETS);
    for (int is_open = 0; is_open <= 1; is_open++) {
        size_t bytes;
        double took = best_ms(metrics, is_open, &bytes);

        printf("%-34s %9.3f ms  %zu KiB\n", is_open ? "OpenMetrics with exemplars" : "plain text",
               took, bytes >> 10);
        is_fine = is_fine && took < MOST_MS;
    }
    metrics_free(&metrics);
    if (!is_fine)
        printf("more than %.0f ms\n", MOST_MS);
    return is_fine ? EXIT_SUCCESS : EXIT_FAILURE;
}
