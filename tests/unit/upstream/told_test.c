/* told_test.c - every verdict is counted, and told as an event; so is every change of a target. */
#include "stage.h"

#include "events/events.h"

static const struct step *const scripts[] = {serve};

struct told {
    struct stage stage;
    struct events *events;
    uint64_t after;
};

static void told_start(struct told *told)
{
    stage_start(&told->stage);
    told->events = events_new(64, 1);
    told->after = 0;
    upstreams_tell(told->stage.upstreams, told->events);
    add_server(&told->stage, scripts, 1);
}

static void told_stop(struct told *told)
{
    stage_stop(&told->stage);
    events_free(&told->events);
}

static struct members members_of(struct told *told)
{
    struct members members;

    assert_true(registry_resolve(told->stage.upstreams, &told->stage.config, &members));
    return members;
}

/* The next row holds the text; no row: none may follow. */
static void expect_row(struct told *told, const char *name, enum event_kind kind, const char *text)
{
    struct event_row row;
    bool is_there = events_read(told->events, &told->after, &row);

    if (text == NULL) {
        if (is_there)
            fail_msg("%s: told %.*s", name, (int)row.len, row.text);
        return;
    }
    if (!is_there || row.kind != kind || !str_has(str_at(row.text, row.len), str_of(text)))
        fail_msg("%s: not told, but %.*s", name, is_there ? (int)row.len : 0, row.text);
}

static void all_is_well(struct told *told, struct members *members)
{
    struct target *target = members->targets[0];
    struct group *group = members->group;

    atomic_store(&target->is_unhealthy, false);
    atomic_store(&target->in_flight, 0);
    atomic_store(&group->in_flight, 0);
    atomic_store(&group->retrying, 0);
    atomic_store(&group->adaptive.limit, 0);
    atomic_store(&group->breaker.state, BREAKER_CLOSED);
    told->stage.config.queue = 0;
    told->stage.config.adaptive = false;
    told->stage.config.retry.budget = 0.2;
    told->stage.config.breaker.failures = 0;
    told->stage.config.first_byte_timeout_ms = 2000;
}

static void set_up(struct told *told, struct members *members, enum upstream_verdict verdict)
{
    struct upstream_config *config = &told->stage.config;
    struct group *group = members->group;

    all_is_well(told, members);
    switch (verdict) {
    case VERDICT_SHED:
        config->adaptive = true;
        atomic_store(&group->adaptive.limit, 8);
        atomic_store(&group->in_flight, 8);
        break;
    case VERDICT_QUEUE_TIMEOUT:
        config->queue = 1;
        config->queue_timeout_ms = 10;
        atomic_store(&members->targets[0]->in_flight, config->max_requests);
        break;
    case VERDICT_QUEUE_FULL:
        atomic_store(&members->targets[0]->in_flight, config->max_requests);
        break;
    case VERDICT_RETRY_BUDGET: /* others use what is always allowed */
        config->retry.budget = 0;
        config->retry.on = RETRY_CONNECT | RETRY_TIMEOUT;
        config->first_byte_timeout_ms = 1;
        atomic_store(&group->retrying, 3);
        break;
    case VERDICT_BREAKER:
        config->breaker.failures = 1;
        config->breaker.half_open = 1;
        atomic_store(&group->breaker.until_us, UINT64_MAX);
        atomic_store(&group->breaker.state, BREAKER_OPEN);
        break;
    case VERDICT_NO_TARGET:
        atomic_store(&members->targets[0]->is_unhealthy, true);
        break;
    case VERDICT_HEDGE: /* hedge_test.c */
    case UPSTREAM_VERDICTS:
        break;
    }
}

static void verdicts_are_counted_and_told(void **state)
{
    static const struct {
        enum upstream_verdict verdict;
        enum upstream_kind kind;
    } rows[] = {
        {VERDICT_SHED, UPSTREAM_SHED},
        {VERDICT_QUEUE_FULL, UPSTREAM_OVERLOAD},
        {VERDICT_QUEUE_TIMEOUT, UPSTREAM_OVERLOAD},
        {VERDICT_RETRY_BUDGET, UPSTREAM_FIRST_BYTE_TIMEOUT},
        {VERDICT_BREAKER, UPSTREAM_BREAKER},
        {VERDICT_NO_TARGET, UPSTREAM_NO_TARGET},
    };
    static const struct step *const silent[] = {is_silent};
    struct members members;
    struct told told;

    (void)state;
    told_start(&told);
    server_stop(told.stage.servers[0]);
    server_start(told.stage.servers[0], silent, 1);
    told.stage.targets[0].port = told.stage.servers[0]->port;
    members = members_of(&told);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *name = upstream_verdict_name(rows[i].verdict);
        struct upstream_status status;
        struct seen seen = {0};
        char text[64];

        set_up(&told, &members, rows[i].verdict);
        run(&told.stage, &seen, "GET", 5000);
        if (seen.result.kind != rows[i].kind)
            fail_msg("%s: ended as %s", name, upstream_kind_name(seen.result.kind));
        upstreams_upstream_status(told.stage.upstreams, &told.stage.config,
                                  loop_now_us(told.stage.loop), &status);
        for (uint32_t j = 0; j < UPSTREAM_VERDICTS; j++) {
            bool is_past = false;

            for (size_t k = 0; k <= i; k++)
                is_past = is_past || rows[k].verdict == j;
            if (status.verdicts[j] != (is_past ? 1 : 0))
                fail_msg("%s: %s was counted %" PRIu64 " times", name,
                         upstream_verdict_name((enum upstream_verdict)j), status.verdicts[j]);
        }
        snprintf(text, sizeof(text), "\"verdict\":\"%s\",\"count\":1,\"upstream\":\"u\"", name);
        expect_row(&told, name, EVENT_UPSTREAM, text);
        expect_row(&told, name, EVENT_UPSTREAM, NULL);
    }
    all_is_well(&told, &members);
    members_clear(&members);
    told_stop(&told);
}

/* Of one kind one row a second, which says how many there were. */
static void an_overload_is_told_once_a_second(void **state)
{
    struct members members;
    struct told told;

    (void)state;
    told_start(&told);
    members = members_of(&told);
    for (uint64_t i = 0; i < 1000; i++)
        verdict_note(told.stage.upstreams, members.group, VERDICT_SHED, 5000000 + i * 1000);
    verdict_note(told.stage.upstreams, members.group, VERDICT_SHED, 6000000);
    expect_row(&told, "first", EVENT_UPSTREAM, "\"count\":1,");
    expect_row(&told, "second", EVENT_UPSTREAM, "\"count\":1001,");
    expect_row(&told, "no more", EVENT_UPSTREAM, NULL);
    members_clear(&members);
    told_stop(&told);
}

static void changes_of_a_target_are_told(void **state)
{
    struct told told;
    struct stage *s = &told.stage;
    struct members members;
    struct target *first;
    uint64_t now_us = 1000;
    struct seen seen = {0};

    (void)state;
    told_start(&told);
    add_server(s, scripts, 1);
    s->config.slow_start_ms = 5000;
    s->config.ejection.failures = 1;
    s->config.ejection.eject_for_ms = 1;
    members = members_of(&told);
    first = members.targets[0];

    eject_note_failure(s->upstreams, &s->config, &members, first, now_us);
    expect_row(&told, "ejected", EVENT_TARGET,
               "\"state\":\"ejected\",\"upstream\":\"u\",\"target\":");
    eject_note_answer(s->upstreams, &s->config, first, now_us); /* of before */
    expect_row(&told, "still out", EVENT_TARGET, NULL);
    atomic_store(&members.targets[1]->is_unhealthy, true);
    run(s, &seen, "GET", 5000);
    assert_int_equal(seen.status, 200);
    expect_row(&told, "back", EVENT_TARGET, "\"state\":\"up\"");
    expect_row(&told, "slowly", EVENT_TARGET, "\"state\":\"slow_start\"");
    expect_row(&told, "once", EVENT_TARGET, NULL);

    eject_outlier(s->upstreams, &s->config, &members, first, now_us + 9000, "why");
    expect_row(&told, "the only one", EVENT_TARGET, NULL);
    atomic_store(&members.targets[1]->is_unhealthy, false);
    eject_outlier(s->upstreams, &s->config, &members, first, now_us + 9000, "why");
    expect_row(&told, "outlier", EVENT_TARGET, "\"cause\":\"success_rate\",\"for_ms\":1");

    for (int i = 0; i < 2; i++) {
        enum target_state word = i == 0 ? TARGET_DRAINING : TARGET_DOWN;

        assert_true(upstreams_set_target(s->upstreams, &s->config, 0, word));
        assert_true(upstreams_set_target(s->upstreams, &s->config, 0, word)); /* told once */
        expect_row(&told, "operator", EVENT_TARGET,
                   i == 0 ? "\"state\":\"drain\"" : "\"state\":\"down\"");
    }
    assert_true(upstreams_set_target(s->upstreams, &s->config, 0, TARGET_UP));
    expect_row(&told, "operator", EVENT_TARGET, "\"cause\":\"operator\"");
    expect_row(&told, "operator", EVENT_TARGET, "\"state\":\"slow_start\"");
    expect_row(&told, "that is all", EVENT_TARGET, NULL);
    members_clear(&members);
    told_stop(&told);
}

static void changes_of_the_breaker_are_told(void **state)
{
    struct upstream_config config = {.name = STR("u")};
    struct told told = {.events = events_new(16, 1)};
    struct breaker breaker = {.events = told.events};

    (void)state;
    config.breaker.failures = 1;
    config.breaker.ratio = 0.5;
    config.breaker.window_ms = 1000;
    config.breaker.open_for_ms = 10;
    config.breaker.half_open = 1;
    breaker_note(&breaker, &config, false, true, 1000);
    expect_row(&told, "open", EVENT_BREAKER, "\"state\":\"open\",\"upstream\":\"u\"");
    assert_int_equal(breaker_ask(&breaker, &config, 1001), BREAKER_REFUSE);
    assert_int_equal(breaker_ask(&breaker, &config, 11000), BREAKER_TRIAL);
    expect_row(&told, "half open", EVENT_BREAKER, "\"state\":\"half_open\"");
    breaker_note(&breaker, &config, true, false, 11001);
    expect_row(&told, "closed", EVENT_BREAKER, "\"state\":\"closed\"");
    expect_row(&told, "that is all", EVENT_BREAKER, NULL);
    events_free(&told.events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_are_counted_and_told),
        cmocka_unit_test(an_overload_is_told_once_a_second),
        cmocka_unit_test(changes_of_a_target_are_told),
        cmocka_unit_test(changes_of_the_breaker_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
