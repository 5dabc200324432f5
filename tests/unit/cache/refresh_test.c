/* refresh_test.c - when an entry is to be fetched anew, and when it is left to rest. */
#include "cache_fixture.h"

static void a_draw_decides_how_early(void **state)
{
    static const struct {
        const char *name;
        uint64_t fetch_us, left_us, draw;
        bool want;
    } cases[] = {
        {"the luckiest draw is never early", 1000000, 1, UINT64_MAX, false},
        {"nothing left: always", 1000000, 0, UINT64_MAX, true},
        {"the unluckiest comes 36 fetches early", 1000000, 36000000, 0, true},
        {"and no more", 1000000, 37000000, 0, false},
        {"the middle: 0.69 of a fetch", 1000000, 690000, UINT64_C(1) << 63, true},
        {"a little earlier: not yet", 1000000, 700000, UINT64_C(1) << 63, false},
        {"what costs nothing is never early", 0, 1, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world world = world_new(1 << 20, 1 << 16);
        struct answer answer = {.lifetime_s = 60, .fetch_us = cases[i].fetch_us};
        struct cache_entry *entry;
        uint64_t now_us = START_US + 60 * SECOND_US - cases[i].left_us;

        assert_true(store(&world, &answer));
        entry = find(&world, &answer, NULL);
        assert_non_null(entry);
        if (cache_entry_is_due_early(entry, now_us, cases[i].draw) != cases[i].want)
            fail_msg("%s", cases[i].name);
        cache_entry_release(&entry);
        world_free(&world);
    }
}

static void each_rest_is_twice_as_long(void **state)
{
    static const uint64_t want_us[] = {500000, 1000000, 2000000, 4000000, 4000000, 4000000};
    struct world world = world_new(1 << 20, 1 << 16);
    struct answer answer = {0};
    struct cache_entry *entry;

    (void)state;
    assert_true(store(&world, &answer));
    entry = find(&world, &answer, NULL);
    assert_int_equal(cache_entry_rests(entry, START_US), CACHE_NO_REST);
    for (size_t i = 0; i < COUNT_OF(want_us); i++) {
        enum cache_rest why = i % 2 == 0 ? CACHE_REST_ERROR : CACHE_REST_UNREACHABLE;

        cache_entry_let_rest(entry, why, START_US);
        assert_int_equal(cache_entry_rests(entry, START_US + want_us[i] - 1), why);
        assert_int_equal(cache_entry_rests(entry, START_US + want_us[i]), CACHE_NO_REST);
    }
    cache_entry_release(&entry);
    /* what takes its place has failed at nothing yet */
    assert_true(store(&world, &answer));
    entry = find(&world, &answer, NULL);
    assert_int_equal(cache_entry_rests(entry, START_US), CACHE_NO_REST);
    cache_entry_release(&entry);
    world_free(&world);
}

static void one_leads_and_the_others_do_not_queue(void **state)
{
    struct world world = world_new(1 << 20, 1 << 16);
    struct cache_key key = key_of(&world, &(struct answer){0});
    struct flight *lead, *other;

    (void)state;
    assert_int_equal(cache_lead(world.cache, &key, START_US, &lead), FLIGHT_LEAD);
    assert_int_equal(cache_lead(world.cache, &key, START_US, &other), FLIGHT_FOLLOW);
    assert_null(other);
    assert_int_equal(flight_followers(lead), 0);
    flight_close(&lead, FLIGHT_GO, true, START_US);
    /* set aside: its answer was not for storing */
    assert_int_equal(cache_lead(world.cache, &key, START_US, &other), FLIGHT_ALONE);
    assert_int_equal(cache_lead(world.cache, &key, START_US + 11 * SECOND_US, &lead), FLIGHT_LEAD);
    flight_close(&lead, FLIGHT_RETRY, false, START_US);
    world_free(&world);
}

static void what_was_dropped_is_not_found(void **state)
{
    struct world world = world_new(1 << 20, 1 << 16);
    struct answer answer = {0};
    struct cache_entry *entry;

    (void)state;
    assert_true(store(&world, &answer));
    entry = find(&world, &answer, NULL);
    cache_drop(world.cache, entry);
    cache_drop(world.cache, entry); /* another was faster */
    cache_entry_release(&entry);
    assert_null(find(&world, &answer, NULL));
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_draw_decides_how_early),
        cmocka_unit_test(each_rest_is_twice_as_long),
        cmocka_unit_test(one_leads_and_the_others_do_not_queue),
        cmocka_unit_test(what_was_dropped_is_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
