/* balance_test.c - what the ways to choose promise, as properties over many draws. */
#include "upstream/upstream_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 20000, MOST = 8 };

static uint32_t pick(enum balance_kind kind, uint64_t random, struct balance_entry *entries,
                     uint32_t count)
{
    struct balance_question question = {kind, random};

    return balance_pick(&question, entries, count);
}

/* The same numbers in every run. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint32_t targets(struct balance_entry *entries, const uint32_t *weights, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char name[32];

        snprintf(name, sizeof(name), "http://10.0.0.%u:80", (unsigned)i);
        entries[i] =
            (struct balance_entry){.weight = weights[i], .name = balance_hash(str_of(name))};
    }
    return count;
}

static void assert_share(const char *what, uint32_t got, uint32_t all, double want)
{
    double share = (double)got / (double)all;

    if (share < want * 0.93 || share > want * 1.07)
        fail_msg("%s: a share of %.4f, want %.4f", what, share, want);
}

/* Idle targets: everybody gets as much as its weight says. */
static void shares_follow_weights(void **state)
{
    static const enum balance_kind kinds[] = {BALANCE_ROUND_ROBIN, BALANCE_LEAST_REQUEST,
                                              BALANCE_HASH};
    static const uint32_t weights[] = {1, 2, 5, 2};

    (void)state;
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        struct balance_entry entries[MOST];
        uint32_t got[MOST] = {0}, count = targets(entries, weights, COUNT_OF(weights));
        uint64_t random = 1;

        for (uint32_t i = 0; i < KEYS; i++)
            got[pick(kinds[k], next_random(&random), entries, count)]++;
        for (uint32_t i = 0; i < count; i++)
            assert_share("weight", got[i], KEYS, weights[i] / 10.0);
    }
}

/* Any run of N round robin picks differs from the ideal by less than one for each target. */
static void round_robin_never_bunches(void **state)
{
    static const uint32_t weights[] = {7, 3, 1};
    struct balance_entry entries[MOST];
    uint32_t got[MOST] = {0}, count = targets(entries, weights, COUNT_OF(weights));

    (void)state;
    for (uint32_t n = 1; n <= 1100; n++) {
        got[pick(BALANCE_ROUND_ROBIN, 0, entries, count)]++;
        for (uint32_t i = 0; i < count; i++) {
            double ideal = (double)n * weights[i] / 11;

            assert_true((double)got[i] > ideal - 1.0001 && (double)got[i] < ideal + 1.0001);
        }
    }
}

/* A target that goes takes its own keys along and moves no other; back, it gets the same. */
static void hash_disrupts_as_little_as_can_be(void **state)
{
    static const uint32_t weights[] = {1, 1, 1, 1, 1};
    struct balance_entry entries[MOST];
    uint32_t count = targets(entries, weights, COUNT_OF(weights)), moved = 0;
    uint64_t random = 2;

    (void)state;
    for (uint32_t i = 0; i < KEYS; i++) {
        uint64_t key = next_random(&random);
        uint32_t before = pick(BALANCE_HASH, key, entries, count), after;

        entries[3].standing = STANDING_OUT;
        after = pick(BALANCE_HASH, key, entries, count);
        entries[3].standing = STANDING_GOOD;
        assert_int_not_equal(after, 3);
        if (before == 3)
            moved++;
        else
            assert_int_equal(before, after);
    }
    assert_share("keys that moved", moved, KEYS, 0.2);
}

/* The order of the configuration means nothing to a key. */
static void hash_does_not_see_the_order(void **state)
{
    static const uint32_t weights[] = {1, 1, 1, 1};
    struct balance_entry entries[MOST], turned[MOST];
    uint32_t count = targets(entries, weights, COUNT_OF(weights));
    uint64_t random = 3;

    (void)state;
    for (uint32_t i = 0; i < count; i++)
        turned[i] = entries[count - 1 - i];
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t key = next_random(&random);

        assert_int_equal(pick(BALANCE_HASH, key, entries, count),
                         count - 1 - pick(BALANCE_HASH, key, turned, count));
    }
}

/* One key that everybody asks for: nobody gets more than a quarter over its part. */
static void hash_bounds_loads(void **state)
{
    static const uint32_t weights[] = {1, 1, 2, 1};
    struct balance_entry entries[MOST];
    uint32_t count = targets(entries, weights, COUNT_OF(weights));

    (void)state;
    for (uint32_t n = 1; n <= 2000; n++) {
        uint32_t at = pick(BALANCE_HASH, 42, entries, count);
        double fair = (double)n * weights[at] / 5;

        entries[at].in_flight++;
        assert_true((double)entries[at].in_flight < fair * 1.25 + 1);
    }
}

/* A simulated service: one target is ten times slower. The quicker of two keeps away from it. */
static void quicker_of_two_avoids_the_slow(void **state)
{
    static const uint32_t weights[] = {1, 1, 1};
    struct balance_entry entries[MOST];
    uint32_t count = targets(entries, weights, COUNT_OF(weights)), got[MOST] = {0};
    uint64_t random = 4;

    (void)state;
    for (uint32_t i = 0; i < KEYS; i++) {
        uint32_t at = pick(BALANCE_P2C_EWMA, next_random(&random), entries, count);

        got[at]++;
        entries[at].peak_us = at == 2 ? 50000 : 5000;
    }
    assert_true(got[2] < KEYS / 100);
    assert_share("one of the quick", got[0], KEYS, 0.5);
}

/* Nothing is known of it: one request, and no second before it has answered. */
static void quicker_of_two_tries_the_unknown_once(void **state)
{
    struct balance_entry entries[] = {{.weight = 1, .peak_us = 5000}, {.weight = 1}};

    (void)state;
    assert_int_equal(pick(BALANCE_P2C_EWMA, 0, entries, 2), 1);
    entries[1].in_flight = 1;
    for (uint64_t random = 0; random < 100; random++)
        assert_int_equal(pick(BALANCE_P2C_EWMA, random * 7919, entries, 2), 0);
}

/* ---- choosing: standing, places, slow start ---------------------------- */

struct scene {
    struct target targets[3], *at[3];
    uint32_t origins[3];
    struct target_config configs[3];
    struct upstream_config upstream;
    struct balance_entry entries[3];
    struct slot slot;
};

static void scene_set(struct scene *s)
{
    memset(s, 0, sizeof(*s));
    for (uint32_t i = 0; i < 3; i++) {
        s->targets[i].named = s->at[i] = &s->targets[i];
        s->origins[i] = i;
        s->configs[i].weight = 1;
    }
    s->upstream = (struct upstream_config){.targets = s->configs,
                                           .target_count = 3,
                                           .max_requests = 2,
                                           .balance = BALANCE_ROUND_ROBIN};
    s->slot.members = (struct members){.targets = s->at, .origins = s->origins, .count = 3};
    s->slot.entries = s->entries;
}

static enum choice choose(struct scene *s, uint64_t tried, uint64_t now_us, uint32_t *place)
{
    struct choose_question question = {
        .upstream = &s->upstream, .tried = tried, .worst = STANDING_EJECTED, .now_us = now_us};

    return choose_target(&s->slot, &question, place);
}

static void places_are_counted(void **state)
{
    struct scene s;
    uint32_t place;

    (void)state;
    scene_set(&s);
    for (int i = 0; i < 6; i++)
        assert_int_equal(choose(&s, 0, 1, &place), CHOICE_TARGET);
    for (int i = 0; i < 3; i++)
        assert_int_equal(atomic_load(&s.targets[i].in_flight), 2);
    assert_int_equal(choose(&s, 0, 1, &place), CHOICE_FULL);
    atomic_fetch_sub(&s.targets[1].in_flight, 1);
    assert_int_equal(choose(&s, 0, 1, &place), CHOICE_TARGET);
    assert_int_equal(place, 1);
}

static void backups_wait_for_their_hour(void **state)
{
    struct scene s;
    uint32_t place;

    (void)state;
    scene_set(&s);
    s.configs[2].is_backup = true;
    s.upstream.max_requests = 100;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(choose(&s, 0, 1, &place), CHOICE_TARGET);
        assert_int_not_equal(place, 2);
    }
    assert_int_equal(choose(&s, 3, 1, &place), CHOICE_TARGET); /* both others were tried */
    assert_int_equal(place, 2);
    atomic_store(&s.targets[0].is_unhealthy, true);
    atomic_store(&s.targets[1].word, TARGET_DRAINING);
    assert_int_equal(choose(&s, 0, 1, &place), CHOICE_TARGET);
    assert_int_equal(place, 2);
    atomic_store(&s.targets[2].word, TARGET_DOWN);
    assert_int_equal(choose(&s, 0, 1, &place), CHOICE_NONE);
}

/* Being busy is no reason to ask one that is left out. */
static void ejected_only_when_alone(void **state)
{
    struct scene s;
    uint32_t place;

    (void)state;
    scene_set(&s);
    atomic_store(&s.targets[0].ejected_until_us, 1000);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(choose(&s, 0, 1, &place), CHOICE_TARGET);
        assert_int_not_equal(place, 0);
    }
    assert_int_equal(choose(&s, 0, 1, &place), CHOICE_FULL);
    atomic_store(&s.targets[1].is_unhealthy, true);
    atomic_store(&s.targets[2].is_unhealthy, true);
    assert_int_equal(choose(&s, 0, 1, &place), CHOICE_TARGET);
    assert_int_equal(place, 0);
}

/* Over slow_start a target that returns gets little, half, all. */
static void slow_start_ramps(void **state)
{
    static const struct {
        uint64_t now_us;
        double want;
    } rows[] = {{1000000, 16.0 / 272}, {1500000, 128.0 / 384}, {2000000, 0.5}, {9000000, 0.5}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct scene s;
        uint32_t place, got = 0;

        scene_set(&s);
        s.slot.members.count = 2;
        s.upstream.max_requests = 1000000;
        s.upstream.slow_start_ms = 1000;
        atomic_store(&s.targets[0].since_us, 1000000);
        for (int n = 0; n < 3000; n++) {
            assert_int_equal(choose(&s, 0, rows[i].now_us, &place), CHOICE_TARGET);
            got += place == 0;
        }
        assert_share("slow start", got, 3000, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_follow_weights),
        cmocka_unit_test(round_robin_never_bunches),
        cmocka_unit_test(hash_disrupts_as_little_as_can_be),
        cmocka_unit_test(hash_does_not_see_the_order),
        cmocka_unit_test(hash_bounds_loads),
        cmocka_unit_test(quicker_of_two_avoids_the_slow),
        cmocka_unit_test(quicker_of_two_tries_the_unknown_once),
        cmocka_unit_test(places_are_counted),
        cmocka_unit_test(backups_wait_for_their_hour),
        cmocka_unit_test(ejected_only_when_alone),
        cmocka_unit_test(slow_start_ramps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
