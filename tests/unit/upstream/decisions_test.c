/* decisions_test.c - balance, ejection and retry as tables: no network, time passed in. */
#include "upstream/upstream_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

/* ---- balance ----------------------------------------------------------- */

static uint32_t pick(enum balance_kind kind, uint64_t random, struct balance_entry *entries,
                     uint32_t count)
{
    struct balance_question question = {kind, random};

    return balance_pick(&question, entries, count);
}

static void round_robin_is_smooth(void **state)
{
    struct balance_entry entries[] = {{.weight = 5}, {.weight = 1}, {.weight = 1}};
    char order[15] = {0};

    (void)state;
    for (int i = 0; i < 14; i++)
        order[i] = (char)('a' + pick(BALANCE_ROUND_ROBIN, 0, entries, 3));
    assert_string_equal(order, "aabacaaaabacaa");
}

static const struct {
    const char *name;
    struct balance_entry entries[4];
    uint32_t count;
    uint64_t random;
    uint32_t want;
} picks[] = {
    {"the only one", {{.weight = 1, .standing = STANDING_EJECTED}}, 1, 7, 0},
    {"the least", {{.weight = 1, .in_flight = 2}, {.weight = 1, .in_flight = 1}}, 2, 0, 1},
    {"for its weight", {{.weight = 1, .in_flight = 2}, {.weight = 4, .in_flight = 5}}, 2, 0, 1},
    {"drawn, first", {{.weight = 1}, {.weight = 3}}, 2, 0, 0},
    {"drawn, second", {{.weight = 1}, {.weight = 3}}, 2, 3, 1},
    {"drawn, round", {{.weight = 1}, {.weight = 3}}, 2, 4, 0},
    {"not the ejected",
     {{.weight = 1, .standing = STANDING_EJECTED}, {.weight = 1, .in_flight = 9}},
     2,
     0,
     1},
    {"not the tried",
     {{.weight = 9, .standing = STANDING_TRIED}, {.weight = 1, .in_flight = 9}},
     2,
     0,
     1},
    {"rather tried than ejected",
     {{.weight = 1, .standing = STANDING_TRIED}, {.weight = 1, .standing = STANDING_EJECTED}},
     2,
     0,
     0},
    {"all ejected: any",
     {{.weight = 1, .in_flight = 1, .standing = STANDING_EJECTED},
      {.weight = 1, .standing = STANDING_EJECTED}},
     2,
     0,
     1},
};

static void picks_of_least_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(picks); i++) {
        struct balance_entry entries[4];
        uint32_t got;

        memcpy(entries, picks[i].entries, sizeof(entries));
        got = pick(BALANCE_LEAST_REQUEST, picks[i].random, entries, picks[i].count);
        if (got != picks[i].want)
            fail_msg("%s: got %" PRIu32, picks[i].name, got);
    }
}

static void round_robin_leaves_out(void **state)
{
    struct balance_entry entries[] = {
        {.weight = 5, .standing = STANDING_EJECTED}, {.weight = 1}, {.weight = 1}};
    int counts[3] = {0};

    (void)state;
    for (int i = 0; i < 100; i++)
        counts[pick(BALANCE_ROUND_ROBIN, 0, entries, 3)]++;
    assert_int_equal(counts[0], 0);
    assert_int_equal(counts[1], 50);
}

/* ---- ejection ---------------------------------------------------------- */

static const struct {
    double share;
    uint32_t count, want;
} shares[] = {{0.5, 1, 0}, {0.5, 2, 1}, {0.5, 3, 1},  {0.5, 4, 2}, {1.0, 3, 2},
              {0.0, 9, 0}, {0.1, 9, 0}, {0.1, 10, 1}, {2.0, 2, 1}, {1.0, 1, 0}};

static void share_that_may_be_ejected(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shares); i++)
        assert_int_equal(eject_most(shares[i].share, shares[i].count), shares[i].want);
}

static struct upstream_config two_targets(struct target_config *targets)
{
    struct upstream_config config = {.name = STR("u"), .targets = targets, .target_count = 2};

    targets[0] = (struct target_config){.url = STR("http://a:1"), .weight = 1};
    targets[1] = (struct target_config){.url = STR("http://b:1"), .weight = 1};
    config.ejection.failures = 3;
    config.ejection.eject_for_ms = 10000;
    config.ejection.max = 1.0;
    config.required = true;
    return config;
}

static void ejected_and_back(void **state)
{
    struct target_config at[2];
    struct upstream_config config = two_targets(at);
    struct config all = {.upstreams = &config, .upstream_count = 1};
    struct upstreams *upstreams = upstreams_new();
    struct members members;
    struct target **targets;
    struct target_status status;
    struct str name;

    (void)state;
    assert_non_null(upstreams);
    assert_true(upstreams_adopt(upstreams, &all));
    assert_true(registry_resolve(upstreams, &config, &members));
    targets = members.targets;
    for (int i = 0; i < 2; i++)
        eject_note_failure(upstreams, &config, &members, targets[0], 1000);
    eject_note_success(targets[0]);
    for (int i = 0; i < 2; i++)
        eject_note_failure(upstreams, &config, &members, targets[0], 1000);
    assert_false(target_is_ejected(targets[0], 1000));
    eject_note_failure(upstreams, &config, &members, targets[0], 1000);
    assert_true(target_is_ejected(targets[0], 1001));
    assert_true(upstreams_are_ready(upstreams, &all, 1001, &name));
    for (int i = 0; i < 9; i++) /* the last one stays */
        eject_note_failure(upstreams, &config, &members, targets[1], 1000);
    assert_false(target_is_ejected(targets[1], 1001));
    assert_true(upstreams_status(upstreams, &config, 0, 1001, &status));
    assert_int_equal(status.state, TARGET_EJECTED);
    assert_int_equal(status.failures, 5);
    assert_int_equal(status.ejected_until_us, 1000 + 10000000);
    assert_false(target_is_ejected(targets[0], 1000 + 10000000)); /* ends by itself */
    assert_false(upstreams_status(upstreams, &config, 2, 1001, &status));
    members_clear(&members);
    upstreams_free(&upstreams);
}

static void states_survive_a_reload(void **state)
{
    struct target_config at[2];
    struct upstream_config config = two_targets(at), after;
    struct upstreams *upstreams = upstreams_new();
    struct members before, now;

    (void)state;
    assert_non_null(upstreams);
    assert_true(registry_resolve(upstreams, &config, &before));
    at[0].url = STR("http://c:1");
    after = config;
    assert_true(registry_resolve(upstreams, &after, &now));
    assert_ptr_equal(before.targets[1], now.targets[1]);
    assert_ptr_not_equal(before.targets[0], now.targets[0]);
    members_clear(&before);
    members_clear(&now);
    upstreams_free(&upstreams);
}

/* ---- retries ----------------------------------------------------------- */

enum { ON = RETRY_CONNECT | RETRY_RESET | RETRY_502 | RETRY_503 | RETRY_504 };
static const struct {
    const char *name;
    struct retry_case c;
    bool want;
} retries[] = {
    /* clang-format off */
    {"connect failed, POST",      {.kind = UPSTREAM_CONNECT, .on = ON, .attempts_left = 1}, true},
    {"dns failed, POST",          {.kind = UPSTREAM_DNS, .on = ON, .attempts_left = 1}, true},
    {"connect timeout, POST",     {.kind = UPSTREAM_CONNECT_TIMEOUT, .on = ON, .attempts_left = 1}, true},
    {"not asked for",             {.kind = UPSTREAM_CONNECT, .on = RETRY_RESET, .attempts_left = 1}, false},
    {"no attempt left",           {.kind = UPSTREAM_CONNECT, .on = ON}, false},
    {"body gone",                 {.kind = UPSTREAM_CONNECT, .on = ON, .attempts_left = 1, .body_is_lost = true}, false},
    {"reset, GET",                {.kind = UPSTREAM_RESET, .on = ON, .attempts_left = 1, .is_repeatable = true}, true},
    {"reset, POST",               {.kind = UPSTREAM_RESET, .on = ON, .attempts_left = 1}, false},
    {"empty, GET",                {.kind = UPSTREAM_EMPTY, .on = ON, .attempts_left = 1, .is_repeatable = true}, true},
    {"after the head",            {.kind = UPSTREAM_RESET, .on = ON, .attempts_left = 1, .is_repeatable = true, .has_head = true}, false},
    {"first byte, not asked for", {.kind = UPSTREAM_FIRST_BYTE_TIMEOUT, .on = ON, .attempts_left = 1, .is_repeatable = true}, false},
    {"first byte",                {.kind = UPSTREAM_FIRST_BYTE_TIMEOUT, .on = RETRY_TIMEOUT, .attempts_left = 1, .is_repeatable = true}, true},
    {"the whole time is over",    {.kind = UPSTREAM_TOTAL_TIMEOUT, .on = ON | RETRY_TIMEOUT, .attempts_left = 1, .is_repeatable = true}, false},
    {"nonsense",                  {.kind = UPSTREAM_PROTOCOL, .on = ON, .attempts_left = 1, .is_repeatable = true}, false},
    {"no ports",                  {.kind = UPSTREAM_NO_PORTS, .on = ON, .attempts_left = 1, .is_repeatable = true}, false},
    {"503, GET",                  {.kind = UPSTREAM_OK, .status = 503, .on = ON, .attempts_left = 1, .is_repeatable = true}, true},
    {"503, POST",                 {.kind = UPSTREAM_OK, .status = 503, .on = ON, .attempts_left = 1}, false},
    {"500, not asked for",        {.kind = UPSTREAM_OK, .status = 500, .on = ON, .attempts_left = 1, .is_repeatable = true}, false},
    {"500",                       {.kind = UPSTREAM_OK, .status = 500, .on = RETRY_500, .attempts_left = 1, .is_repeatable = true}, true},
    {"200",                       {.kind = UPSTREAM_OK, .status = 200, .on = ON, .attempts_left = 1, .is_repeatable = true}, false},
    {"three are always allowed",  {.kind = UPSTREAM_CONNECT, .on = ON, .attempts_left = 1, .retrying = 2, .in_flight = 3}, true},
    {"budget spent",              {.kind = UPSTREAM_CONNECT, .on = ON, .attempts_left = 1, .retrying = 3, .in_flight = 15, .budget = 0.2}, false},
    {"budget grows with load",    {.kind = UPSTREAM_CONNECT, .on = ON, .attempts_left = 1, .retrying = 3, .in_flight = 20, .budget = 0.2}, true},
    {"already charged",           {.kind = UPSTREAM_CONNECT, .on = ON, .attempts_left = 1, .retrying = 9, .in_flight = 9, .budget = 0.2, .is_charged = true}, true},
    /* clang-format on */
};

static void who_may_try_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(retries); i++)
        if (retry_is_allowed(&retries[i].c) != retries[i].want)
            fail_msg("%s: want %d", retries[i].name, retries[i].want);
}

static void pauses_between_tries(void **state)
{
    (void)state;
    assert_int_equal(retry_delay_us(UPSTREAM_CONNECT, true, 1, 99), 0);
    for (uint64_t i = 0; i < 200; i++) {
        uint64_t us = retry_delay_us(UPSTREAM_CONNECT, false, 1, i * 977);

        assert_in_range(us, 5000, 25000);
        assert_in_range(retry_delay_us(UPSTREAM_RESET, true, 3, i * 9777), 5000, 65000);
    }
}

static void statuses_of_kinds(void **state)
{
    static const struct {
        enum upstream_kind kind;
        const char *name;
        int status;
    } rows[] = {
        {UPSTREAM_CONNECT, "connect", 502},         {UPSTREAM_TLS, "tls", 502},
        {UPSTREAM_CONNECT_TIMEOUT, "timeout", 504}, {UPSTREAM_FIRST_BYTE_TIMEOUT, "timeout", 504},
        {UPSTREAM_TOTAL_TIMEOUT, "timeout", 504},   {UPSTREAM_RESET, "reset", 502},
        {UPSTREAM_PROTOCOL, "protocol", 502},       {UPSTREAM_NO_TARGET, "no_target", 503},
        {UPSTREAM_NO_MEMORY, "memory", 503},        {UPSTREAM_NO_PORTS, "ports", 503},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_string_equal(upstream_kind_name(rows[i].kind), rows[i].name);
        assert_int_equal(upstream_kind_status(rows[i].kind), rows[i].status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_is_smooth),  cmocka_unit_test(picks_of_least_request),
        cmocka_unit_test(round_robin_leaves_out), cmocka_unit_test(share_that_may_be_ejected),
        cmocka_unit_test(ejected_and_back),       cmocka_unit_test(states_survive_a_reload),
        cmocka_unit_test(who_may_try_again),      cmocka_unit_test(pauses_between_tries),
        cmocka_unit_test(statuses_of_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
