/* hedge_test.c - a second attempt beside the first, and waiting for a place. */
#include "stage.h"

/* The first target is silent: after the p95 a second one is asked, and answers. */
static void a_slow_get_is_hedged(void **state)
{
    const struct step *silent[] = {is_silent}, *serving[] = {serve};
    struct upstream_status status;
    struct members members;
    struct stage s;
    struct seen seen = {0};

    (void)state;
    stage_start(&s);
    add_server(&s, silent, 1);
    add_server(&s, serving, 1);
    s.config.hedge = true;
    assert_true(registry_resolve(s.upstreams, &s.config, &members));
    for (uint32_t i = 0; i < 2 * LATENCY_ENOUGH; i++)
        latency_note(&members.group->latency, 1000);
    run(&s, &seen, "GET", 5000);
    assert_int_equal(seen.result.kind, UPSTREAM_OK);
    assert_int_equal(seen.result.attempts, 2);
    assert_string_equal(seen.body, "canary GET /x");
    assert_true(str_eq(seen.result.target, s.targets[1].url));
    assert_int_equal(seen.tries, 1); /* who was dropped has neither failed nor answered */
    upstreams_upstream_status(s.upstreams, &s.config, 0, &status);
    assert_int_equal(status.verdicts[VERDICT_HEDGE], 1);
    assert_int_equal(status.retrying, 0);
    assert_int_equal(status.in_flight, 0);
    seen = (struct seen){0}; /* never what may not be repeated */
    s.config.first_byte_timeout_ms = 60;
    run(&s, &seen, "POST", 5000);
    assert_int_equal(seen.result.attempts, 1);
    members_clear(&members);
    stage_stop(&s);
}

/* Without a place and without a queue it is 503; with one it waits until it is too late. */
static void without_a_place(void **state)
{
    const struct step *scripts[] = {serve};
    struct members members;
    struct stage s;
    struct seen seen = {0};

    (void)state;
    stage_start(&s);
    add_server(&s, scripts, 1);
    s.config.max_requests = 1;
    assert_true(registry_resolve(s.upstreams, &s.config, &members));
    atomic_fetch_add(&members.targets[0]->in_flight, 1); /* another worker's */
    run(&s, &seen, "GET", 5000);
    assert_int_equal(seen.result.kind, UPSTREAM_OVERLOAD);
    assert_string_equal(seen.result.reason, "queue_full");
    assert_int_equal(seen.result.attempts, 0);
    seen = (struct seen){0};
    s.config.queue = 1;
    s.config.queue_timeout_ms = 30;
    run(&s, &seen, "GET", 5000);
    assert_string_equal(seen.result.reason, "queue_timeout");
    seen = (struct seen){0}; /* the whole deadline ends the wait too */
    s.config.queue_timeout_ms = 4000;
    run(&s, &seen, "GET", 30);
    assert_int_equal(seen.result.kind, UPSTREAM_TOTAL_TIMEOUT);
    atomic_fetch_sub(&members.targets[0]->in_flight, 1);
    seen = (struct seen){0};
    run(&s, &seen, "GET", 5000);
    assert_int_equal(seen.result.kind, UPSTREAM_OK);
    assert_int_equal(atomic_load(&members.group->queued), 0);
    members_clear(&members);
    stage_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_get_is_hedged),
        cmocka_unit_test(without_a_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
