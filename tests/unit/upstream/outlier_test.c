/* outlier_test.c - who fails too often against the others: tables, no network, time passed in. */
#include "upstream/upstream_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

enum { MOST = 10, EJECT_US = 10000000 };
struct world {
    struct target_config at[MOST];
    char urls[MOST][32];
    struct upstream_config config;
    struct upstreams *upstreams;
    struct members members;
};

static void start(struct world *w, uint32_t count)
{
    *w = (struct world){.config = {.name = STR("u"), .targets = w->at, .target_count = count}};
    for (uint32_t i = 0; i < count; i++) {
        snprintf(w->urls[i], sizeof(w->urls[i]), "http://t%" PRIu32 ":80", i);
        w->at[i] = (struct target_config){.url = str_of(w->urls[i]), .port = 80, .weight = 1};
    }
    w->config.ejection.failures = 1000000;
    w->config.ejection.eject_for_ms = EJECT_US / 1000;
    w->config.ejection.max = 0.5;
    w->config.ejection.success_rate.hosts = 5;
    w->config.ejection.success_rate.volume = 100;
    w->config.ejection.success_rate.factor = 1.9;
    w->upstreams = upstreams_new();
    assert_true(registry_resolve(w->upstreams, &w->config, &w->members));
}

static void stop(struct world *w)
{
    members_clear(&w->members);
    upstreams_free(&w->upstreams);
}

static void count(struct world *w, uint32_t target, uint32_t tries, uint32_t failures)
{
    atomic_fetch_add(&w->members.targets[target]->requests, tries);
    atomic_fetch_add(&w->members.targets[target]->failures, failures);
}

static void where_normal_ends(void **state)
{
    static const struct {
        const char *name;
        double rates[MOST];
        uint32_t count;
        double factor, want; /* below 0: nothing is said */
    } rows[] = {
        {"too few", {1, 1, 1, 0}, 4, 1.9, -1},
        {"all alike: a twentieth below", {0.9, 0.9, 0.9, 0.9, 0.9}, 5, 1.9, 0.85},
        {"nearly alike: a twentieth too", {1, 1, 1, 1, 0.999}, 5, 1.9, 0.9498},
        {"one is dead: mean 0.8, deviation 0.4", {1, 1, 1, 1, 0}, 5, 1.9, 0.04},
        {"one fails every other time", {1, 1, 1, 1, 0.5}, 5, 1.9, 0.52},
        {"another factor", {1, 1, 1, 1, 0.5}, 5, 1, 0.7},
        {"two of ten", {1, 1, 1, 1, 1, 1, 1, 1, 0.4, 0.4}, 10, 1.9, 0.424},
        {"all are bad: nobody is", {0, 0, 0, 0, 0}, 5, 1.9, -0.05},
    };
    struct upstream_config config = {.name = STR("u")};

    (void)state;
    config.ejection.success_rate.hosts = 5;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        double got;

        config.ejection.success_rate.factor = rows[i].factor;
        got = outlier_least(rows[i].rates, rows[i].count, &config);
        if (rows[i].want < 0 ? got >= 0 : fabs(got - rows[i].want) > 1e-9)
            fail_msg("%s: %.6f", rows[i].name, got);
    }
}

static void who_is_ejected(void **state)
{
    static const struct {
        const char *name;
        uint32_t count, tries[MOST], failures[MOST];
        const char *want; /* x: is ejected */
    } rows[] = {
        {"half of its answers", 5, {200, 200, 200, 200, 200}, {0, 1, 0, 2, 100}, "....x"},
        {"too little was asked of it", 5, {200, 200, 200, 200, 99}, {0, 0, 0, 0, 99}, "....."},
        {"too few were asked enough", 5, {200, 200, 200, 99, 200}, {0, 0, 0, 0, 200}, "....."},
        {"too few targets", 4, {200, 200, 200, 200}, {0, 0, 0, 200}, "...."},
        {"all fail alike", 5, {200, 200, 200, 200, 200}, {90, 95, 100, 96, 91}, "....."},
        {"a little is no outlier", 5, {200, 200, 200, 200, 200}, {0, 0, 0, 0, 6}, "....."},
        {"not the most loaded: the worst",
         6,
         {9000, 100, 100, 100, 100, 100},
         {90, 0, 1, 60, 0, 0},
         "...x.."},
        {"two of ten",
         10,
         {200, 200, 200, 200, 200, 200, 200, 200, 200, 200},
         {0, 0, 0, 0, 0, 0, 0, 0, 120, 120},
         "........xx"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world w;

        start(&w, rows[i].count);
        for (uint32_t j = 0; j < rows[i].count; j++)
            count(&w, j, rows[i].tries[j], rows[i].failures[j]);
        assert_true(outlier_judge(w.upstreams, &w.config, 1000));
        for (uint32_t j = 0; j < rows[i].count; j++)
            if (target_is_ejected(w.members.targets[j], 1001) != (rows[i].want[j] == 'x'))
                fail_msg("%s: target %" PRIu32, rows[i].name, j);
        stop(&w);
    }
}

/* It always ends, each interval is judged for itself, and never more than the share are out. */
static void it_ends_and_is_capped(void **state)
{
    struct target_status status;
    struct upstream_status whole;
    struct world w;

    (void)state;
    start(&w, 6);
    for (uint32_t i = 0; i < 6; i++)
        count(&w, i, 200, i == 5 ? 100 : 0);
    assert_true(outlier_judge(w.upstreams, &w.config, 1000));
    assert_true(upstreams_status(w.upstreams, &w.config, 5, 1001, &status));
    assert_int_equal(status.state, TARGET_EJECTED);
    assert_int_equal(status.ejected_by, EJECTED_BY_SUCCESS_RATE);
    assert_true(fabs(status.success_rate - 0.5) < 1e-5);
    assert_true(upstreams_status(w.upstreams, &w.config, 5, 1000 + EJECT_US, &status));
    assert_int_equal(status.state, TARGET_UP);
    upstreams_upstream_status(w.upstreams, &w.config, 1001, &whole);
    assert_int_equal(whole.ejected[EJECTED_BY_SUCCESS_RATE], 1);
    assert_int_equal(whole.ejected[EJECTED_BY_FAILURES], 0);

    /* what was before counts no more: all are well now */
    for (uint32_t i = 0; i < 6; i++)
        count(&w, i, 200, 0);
    assert_true(outlier_judge(w.upstreams, &w.config, 1000 + EJECT_US));
    assert_false(target_is_ejected(w.members.targets[5], 1001 + EJECT_US));
    /* and nothing is said of a target that nothing was sent to */
    for (uint32_t i = 0; i < 5; i++)
        count(&w, i, 200, 0);
    assert_true(outlier_judge(w.upstreams, &w.config, 2000 + EJECT_US));
    assert_true(upstreams_status(w.upstreams, &w.config, 5, 1000 + EJECT_US, &status));
    assert_true(status.success_rate < 0);

    w.config.ejection.max = 0.2; /* one of six */
    w.config.ejection.success_rate.factor = 0.5;
    for (uint32_t i = 0; i < 6; i++)
        count(&w, i, 200, i > 2 ? 190 : 0);
    assert_true(outlier_judge(w.upstreams, &w.config, 3000 + EJECT_US));
    upstreams_upstream_status(w.upstreams, &w.config, 1001, &whole);
    assert_int_equal(whole.ejected[EJECTED_BY_SUCCESS_RATE], 2);

    /* never the last that may be asked */
    w.config.ejection.max = 1;
    for (uint32_t i = 0; i < 3; i++)
        atomic_store(&w.members.targets[i]->is_unhealthy, true);
    for (uint32_t i = 0; i < 6; i++)
        count(&w, i, 200, i > 2 ? 190 : 0);
    assert_true(outlier_judge(w.upstreams, &w.config, 3001 + EJECT_US));
    for (uint32_t i = 3, standing = 0; i < 6; i++) {
        standing += !target_is_ejected(w.members.targets[i], 3002 + EJECT_US);
        assert_true(i < 5 || standing == 1);
    }
    stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_normal_ends),
        cmocka_unit_test(who_is_ejected),
        cmocka_unit_test(it_ends_and_is_capped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
