/* threads_test.c - workers choose, fail and recover together, while the main thread changes names.
 *
 * For ThreadSanitizer above all; what is judged here is that every place is given back. */
#include "upstream/upstream_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORKERS = 4, ROUNDS = 3000 };

static struct target_config configs[2];
static struct upstream_config config;
static struct upstreams *upstreams;
static atomic_int over_the_ceiling;

static bool resolve(struct slot *slot)
{
    members_clear(&slot->members);
    free(slot->entries);
    slot->entries = NULL;
    if (!registry_resolve(upstreams, &config, &slot->members))
        return false;
    slot->entries = calloc(slot->members.count, sizeof(struct balance_entry));
    return slot->entries != NULL;
}

static void one(struct slot *slot, uint32_t round)
{
    struct group *group = slot->members.group;
    struct choose_question question = {
        .upstream = &config, .worst = STANDING_EJECTED, .now_us = 1 + round * 1000};
    enum breaker_answer answer = breaker_ask(&group->breaker, &config, question.now_us);
    bool has_failed = round % 7 == 0;
    struct target *target;
    uint32_t place;

    if (answer == BREAKER_REFUSE || choose_target(slot, &question, &place) != CHOICE_TARGET) {
        if (answer == BREAKER_TRIAL)
            breaker_give_back(&group->breaker);
        return;
    }
    target = slot->members.targets[place];
    if (atomic_load(&target->in_flight) > config.max_requests + WORKERS) /* those who look too */
        atomic_fetch_add(&over_the_ceiling, 1);
    latency_note(&group->latency, round);
    adaptive_note(&group->adaptive, round, round % 100, question.now_us);
    if (has_failed)
        eject_note_failure(upstreams, &config, &slot->members, target, question.now_us);
    else
        eject_note_success(target);
    breaker_note(&group->breaker, &config, answer == BREAKER_TRIAL, has_failed, question.now_us);
    atomic_fetch_sub(&target->in_flight, 1);
}

static void *work(void *arg)
{
    struct slot slot = {0};

    (void)arg;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        if (slot.members.group == NULL ||
            slot.members.generation != atomic_load(&slot.members.group->generation))
            CHECK(resolve(&slot));
        one(&slot, round);
    }
    members_clear(&slot.members);
    free(slot.entries);
    return NULL;
}

static void change_names(uint32_t round)
{
    static const struct str addresses[] = {{"10.0.0.1", 8}, {"10.0.0.2", 8}, {"10.0.0.3", 8}};
    struct target_status status;
    struct upstream_status whole;
    bool has_changed;

    assert_true(registry_set_addresses(upstreams, &config, 0, addresses + round % 2, 1 + round % 2,
                                       &has_changed));
    assert_true(
        upstreams_set_target(upstreams, &config, 1, round % 3 == 0 ? TARGET_DRAINING : TARGET_UP));
    assert_true(upstreams_status(upstreams, &config, round % 2, round, &status));
    upstreams_upstream_status(upstreams, &config, round, &whole);
}

static void every_place_is_given_back(void **state)
{
    pthread_t threads[WORKERS];
    struct config all = {.upstreams = &config, .upstream_count = 1};
    struct target_status status;

    (void)state;
    configs[0] = (struct target_config){.url = STR("http://a.test:1"), .weight = 1};
    configs[1] = (struct target_config){.url = STR("http://10.0.0.9:1"), .weight = 2};
    config = (struct upstream_config){.name = STR("u"),
                                      .targets = configs,
                                      .target_count = 2,
                                      .balance = BALANCE_LEAST_REQUEST,
                                      .max_requests = 2};
    config.ejection.failures = 2;
    config.ejection.eject_for_ms = 1;
    config.ejection.max = 0.5;
    config.breaker.failures = 5;
    config.breaker.ratio = 0.1;
    config.breaker.window_ms = 1000;
    config.breaker.open_for_ms = 20;
    config.breaker.half_open = 2;
    upstreams = upstreams_new();
    assert_non_null(upstreams);
    assert_true(upstreams_adopt(upstreams, &all));
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, NULL), 0);
    for (uint32_t round = 0; round < ROUNDS / 10; round++)
        change_names(round);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&over_the_ceiling), 0);
    for (uint32_t i = 0; upstreams_status(upstreams, &config, i, 1, &status); i++)
        assert_int_equal(status.in_flight, 0);
    upstreams_free(&upstreams);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_place_is_given_back)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
