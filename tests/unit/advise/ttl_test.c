/* Rates from synthetic Poisson origins, lifetimes, the score. The draws come from a generator with
 * a fixed seed, so that every run sees the same origins. */
#include "advise/advise.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t state;

static double uniform(void) /* (0, 1] */
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double)(state >> 11) + 1) / 9007199254740993.0;
}

static double exponential(double per_s)
{
    return -log(uniform()) / per_s;
}

/* Refetches of a page that changes `changes_per_s` times a second, each at the first request (a
 * Poisson process too) after the lifetime. */
static void make_pairs(struct advise_pair *pairs, uint32_t count, double changes_per_s,
                       double ttl_s, double requests_per_s)
{
    for (uint32_t i = 0; i < count; i++) {
        pairs[i].interval_s = ttl_s + exponential(requests_per_s);
        pairs[i].is_changed = exponential(changes_per_s) < pairs[i].interval_s;
    }
}

/* The mean of many estimates of 30 refetches each: that the estimate leans to neither side. */
static void the_rate_of_poisson_origins(void **unused)
{
    static const struct {
        const char *name;
        double change_s, ttl_s;
    } rows[] = {
        {"half as often as the lifetime", 30, 60},
        {"as often as five lifetimes", 300, 60},
        {"as often as the lifetime", 300, 300},
        {"rarely", 3600, 300},
        {"quickly", 2, 1},
    };
    enum { RUNS = 401, REFETCHES = 30 };

    (void)unused;
    state = 7;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        double sum = 0, found;

        for (int run = 0; run < RUNS; run++) {
            struct advise_pair pairs[REFETCHES];

            make_pairs(pairs, REFETCHES, 1 / rows[i].change_s, rows[i].ttl_s, 10 / rows[i].ttl_s);
            sum += advise_rate_of(pairs, REFETCHES).per_s;
        }
        found = RUNS / sum;
        if (fabs(found - rows[i].change_s) > 0.2 * rows[i].change_s)
            fail_msg("%s: found %g s, want %g s", rows[i].name, found, rows[i].change_s);
    }
}

static void the_rate_of_one_long_watch(void **unused)
{
    enum { REFETCHES = 2000 };
    struct advise_pair pairs[REFETCHES];
    struct advise_rate rate;

    (void)unused;
    state = 11;
    make_pairs(pairs, REFETCHES, 0.02, 30, 0.5);
    rate = advise_rate_of(pairs, REFETCHES);
    assert_int_equal(rate.kind, ADVISE_RATE_ESTIMATE);
    assert_true(fabs(rate.per_s - 0.02) < 0.02 * 0.08);
}

static void the_ends_are_bounds(void **unused)
{
    struct advise_pair pairs[30];
    struct advise_rate rate;

    (void)unused;
    for (int i = 0; i < 30; i++)
        pairs[i] = (struct advise_pair){300, true};
    rate = advise_rate_of(pairs, 30);
    assert_int_equal(rate.kind, ADVISE_RATE_AT_LEAST);
    assert_true(1 / rate.per_s > 60 && 1 / rate.per_s < 90); /* -300 / ln(0.5 / 30.5) = 73 */
    for (int i = 0; i < 30; i++)
        pairs[i].is_changed = false;
    rate = advise_rate_of(pairs, 30);
    assert_int_equal(rate.kind, ADVISE_RATE_AT_MOST);
    assert_true(fabs(rate.per_s - 0.5 / 9000) < 1e-9);
    assert_int_equal(advise_rate_of(pairs, 0).kind, ADVISE_RATE_UNKNOWN);
}

/* A page and its readers, moment by moment. */
static void simulate(double requests_per_s, double changes_per_s, double ttl_s, double *hits,
                     double *stale)
{
    double now = 0, fetched = -1e18, changed = 0, next_change = exponential(changes_per_s);
    uint32_t lookups = 200000, hit_count = 0, stale_count = 0;

    for (uint32_t i = 0; i < lookups; i++) {
        now += exponential(requests_per_s);
        while (next_change <= now) {
            changed = next_change;
            next_change += exponential(changes_per_s);
        }
        if (now - fetched > ttl_s) {
            fetched = now;
            continue;
        }
        hit_count++;
        if (changed > fetched)
            stale_count++;
    }
    *hits = hit_count / (double)lookups;
    *stale = stale_count / (double)hit_count;
}

static void predictions_are_what_happens(void **unused)
{
    static const struct {
        double requests_per_s, changes_per_s, ttl_s;
    } rows[] = {{1, 1 / 600.0, 60}, {5, 1 / 120.0, 60}, {0.2, 1 / 60.0, 60}, {0.01, 1 / 900.0, 30}};

    (void)unused;
    state = 3;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        double hits, stale;

        simulate(rows[i].requests_per_s, rows[i].changes_per_s, rows[i].ttl_s, &hits, &stale);
        assert_true(fabs(hits - advise_hit_ratio(rows[i].requests_per_s, rows[i].ttl_s)) < 0.01);
        assert_true(fabs(stale - advise_stale_share(rows[i].changes_per_s, rows[i].ttl_s)) < 0.02);
    }
}

static void the_lifetime_that_a_share_allows(void **unused)
{
    static const double shares[] = {0.001, 0.01, 0.1, 0.5, 0.9, 0.99};

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(shares); i++) {
        double ttl_s = advise_ttl_for_stale_share(0.05, shares[i]);

        assert_true(fabs(advise_stale_share(0.05, ttl_s) - shares[i]) < 1e-6);
    }
    assert_true(isinf(advise_ttl_for_stale_share(0, 0.01)));
}

static struct advise_histogram reuse_of(double mean_s)
{
    return (struct advise_histogram){
        .count = 1000, .sum_s = 1000 * mean_s, .counts = {[20] = 1000}};
}

static void advice_for_routes(void **unused)
{
    static const struct {
        const char *name;
        double change_s, reuse_s, ttl_s, tolerated, least_s, most_s;
        enum advise_action want;
    } rows[] = {
        {"changes rarely", 36000, 1, 60, 0.01, 15, 25, ADVISE_LOWER},
        {"staleness rules", 3600, 10, 20, 0.01, 45, 110, ADVISE_RAISE},
        {"as it is", 3600, 10, 72, 0.01, 50, 110, ADVISE_KEEP},
        {"more may be stale", 3600, 60, 72, 0.1, 500, 1150, ADVISE_RAISE},
        {"asked for too rarely", 60, 5000, 60, 0.01, 1, 3, ADVISE_NOT_WORTH},
    };
    enum { REFETCHES = 400 };
    struct advise_pair pairs[REFETCHES];
    struct advise_ttl ttl;

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct advise_seen seen = {
            .pairs = pairs, .pair_count = REFETCHES, .reuse = reuse_of(rows[i].reuse_s)};
        struct advise_question question = {
            .seen = &seen, .tolerated = rows[i].tolerated, .ttl_s = rows[i].ttl_s};
        struct buf why = buf_new(1024);

        state = 5;
        make_pairs(pairs, REFETCHES, 1 / rows[i].change_s, rows[i].change_s / 2,
                   2 / rows[i].change_s);
        advise_ttl_of(&question, &ttl);
        advise_write_why(&question, &ttl, &why);
        if (ttl.ttl_s < rows[i].least_s || ttl.ttl_s > rows[i].most_s || ttl.action != rows[i].want)
            fail_msg("%s: %g s, %s (%.*s)", rows[i].name, ttl.ttl_s, advise_action_name(ttl.action),
                     STR_ARG(buf_str(&why)));
        assert_true(why.len > 20 && why.ptr[why.len - 1] == '.');
        assert_int_equal(ttl.confidence, ADVISE_GOOD);
        buf_free(&why);
    }
}

static void too_little_is_said_to_be_too_little(void **unused)
{
    struct advise_pair pairs[40];
    struct advise_seen seen = {.pairs = pairs, .pair_count = 19};
    struct advise_question question = {.seen = &seen, .tolerated = 0.01, .ttl_s = 10};
    struct advise_ttl ttl;

    (void)unused;
    for (int i = 0; i < 40; i++)
        pairs[i] = (struct advise_pair){10, i % 10 == 0};
    advise_ttl_of(&question, &ttl);
    assert_int_equal(ttl.confidence, ADVISE_NONE);
    assert_int_equal(ttl.action, ADVISE_WAIT);
    assert_true(ttl.ttl_s == 0 && ttl.hit_then < 0);
    seen.pair_count = 40;
    advise_ttl_of(&question, &ttl);
    assert_int_equal(ttl.confidence, ADVISE_LOW);
    for (int i = 0; i < 40; i++)
        pairs[i].is_changed = true;
    advise_ttl_of(&question, &ttl);
    assert_int_equal(ttl.action, ADVISE_PROBE);
}

static void the_hit_ratio_seen_tells_the_rate_of_requests(void **unused)
{
    struct advise_seen seen = {.reuse = reuse_of(100)};
    struct advise_question question = {
        .seen = &seen, .tolerated = 0.01, .ttl_s = 10, .lookups = 1000, .hits = 800};
    struct advise_ttl ttl;

    (void)unused;
    advise_ttl_of(&question, &ttl);
    assert_true(fabs(ttl.requests_per_s - 0.4) < 1e-9 && fabs(ttl.hit_now - 0.8) < 1e-9);
}

static void the_score(void **unused)
{
    static const struct {
        const char *name;
        struct advise_cache cache;
        double want;
    } rows[] = {
        {"all is well", {0.8, 0, 0, 1}, 100},      {"hits above the target", {0.99, 0, 0, 1}, 100},
        {"half the hits", {0.4, 0, 0, 1}, 70},     {"evicted in use", {0.8, 0.05, 0, 1}, 80},
        {"stale answers", {0.8, 0, 0.005, 1}, 95}, {"never asked for", {0.8, 0, 0, 0}, 90},
        {"nothing of it", {0, 1, 1, 0}, 0},
    };

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct advise_score score = advise_score_of(&rows[i].cache);

        if (fabs(score.total - rows[i].want) > 1e-9)
            fail_msg("%s: %g, want %g", rows[i].name, score.total, rows[i].want);
    }
}

static void two_workers_see_one_route(void **unused)
{
    struct advise *advise = advise_new();
    struct arena *arena = arena_new(4096, 1 << 20);
    struct advise_observer *workers[2];
    struct advise_seen seen;

    (void)unused;
    assert_non_null(advise);
    for (int i = 0; i < 2; i++) {
        struct advise_cells *cells;

        workers[i] = advise_join(advise);
        assert_non_null(workers[i]);
        cells = advise_cells_of(workers[i], STR("products"));
        assert_ptr_equal(cells, advise_cells_of(workers[i], STR("products")));
        for (uint64_t n = 0; n < 300; n++) {
            struct advise_refetch refetch = {1000000 * (n + 1), 5000,      100, 60,
                                             n % 2 == 1,        n % 4 == 1};

            advise_saw_refetch(cells, &refetch);
            advise_saw_reuse(cells, 3000000);
            advise_saw_hit(cells, 20000);
        }
    }
    assert_true(advise_read(advise, STR("products"), arena, &seen));
    assert_int_equal(seen.pair_count, 2 * ADVISE_PAIRS);
    assert_int_equal(seen.refetches, 600);
    assert_int_equal(seen.changes, 300);
    assert_int_equal(seen.proven_stale, 150);
    assert_true(fabs(seen.fetch_s - 0.005) < 1e-9 && fabs(seen.lifetime_s - 60) < 1e-9);
    assert_int_equal(seen.reuse.count, 600);
    assert_true(fabs(seen.reuse.sum_s - 1800) < 1e-6);
    assert_true(advise_quantile_s(&seen.reuse, 0.95) >= 3 &&
                advise_quantile_s(&seen.reuse, 0.95) < 4.5);
    assert_true(advise_quantile_s(&seen.age, 0.5) >= 0.02 &&
                advise_quantile_s(&seen.age, 0.5) < 0.03);
    assert_true(advise_read(advise, STR("nobody"), arena, &seen));
    assert_true(seen.pair_count == 0 && advise_quantile_s(&seen.reuse, 0.95) == 0);
    advise_saw_hit(NULL, 1);
    arena_free(&arena);
    advise_free(&advise);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rate_of_poisson_origins),
        cmocka_unit_test(the_rate_of_one_long_watch),
        cmocka_unit_test(the_ends_are_bounds),
        cmocka_unit_test(predictions_are_what_happens),
        cmocka_unit_test(the_lifetime_that_a_share_allows),
        cmocka_unit_test(advice_for_routes),
        cmocka_unit_test(too_little_is_said_to_be_too_little),
        cmocka_unit_test(the_hit_ratio_seen_tells_the_rate_of_requests),
        cmocka_unit_test(the_score),
        cmocka_unit_test(two_workers_see_one_route),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
