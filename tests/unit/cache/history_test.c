/* history_test.c - which purges are older than another gateway's answer. */
#include "cache/cache_priv.h"
#include "cache_fixture.h"

static struct world world;

static struct cache_place at(uint64_t ms)
{
    return (struct cache_place){ms, 0};
}

static void begin_at(uint64_t ms, uint64_t live_from, bool was_lost)
{
    struct cache_place base = at(ms), end = at(live_from);

    cache_history_begin(world.cache, &base, &end, was_lost);
    cache_history_heard(world.cache, &base, START_US);
}

static void purge(const char *text)
{
    struct purge what = {.kind = PURGE_URL, .text = str_of(text)};

    cache_invalidate(world.cache, &what);
}

/* Another gateway's purge comes and is applied. */
static void hear(uint64_t ms, const char *text)
{
    struct cache_place place = at(ms);

    cache_history_comes(world.cache, &place, 0);
    purge(text);
    cache_history_heard(world.cache, &place, START_US);
}

static bool stamp_of(uint64_t ms, uint64_t *stamp)
{
    struct cache_place place = at(ms);

    return history_stamp(world.cache, &place, START_US, stamp);
}

static void an_answer_is_as_old_as_its_place(void **state)
{
    uint64_t before = cache_stamp(world.cache), stamp;

    (void)state;
    begin_at(100, 100, false);
    hear(110, "/a");
    hear(120, "/b");
    assert_false(stamp_of(99, &stamp)); /* from before our time */
    assert_true(stamp_of(100, &stamp));
    assert_int_equal(stamp, before);
    assert_true(stamp_of(110, &stamp));
    assert_int_equal(stamp, before + 1);
    assert_true(stamp_of(119, &stamp));
    assert_int_equal(stamp, before + 1);
    assert_true(stamp_of(120, &stamp));
    assert_int_equal(stamp, before + 2);
    assert_true(stamp_of(900, &stamp)); /* its writer is ahead of us */
    assert_int_equal(stamp, before + 2);
}

static void our_own_purge_counts_from_its_ticket_on(void **state)
{
    uint64_t before, ticket, stamp;
    struct cache_place back = at(130);

    (void)state;
    begin_at(100, 100, false);
    before = cache_stamp(world.cache);
    ticket = cache_history_ticket(world.cache);
    purge("/own");
    hear(120, "/other");
    assert_true(stamp_of(120, &stamp)); /* it is still out: nothing is younger than it */
    assert_int_equal(stamp, before);
    cache_history_comes(world.cache, &back, ticket);
    assert_true(stamp_of(100, &stamp));
    assert_int_equal(stamp, before);
    assert_true(stamp_of(129, &stamp)); /* behind the other's, before ours */
    assert_int_equal(stamp, before);
    assert_true(stamp_of(130, &stamp));
    assert_int_equal(stamp, before + 2);
    cache_history_comes(world.cache, &back, ticket); /* a message may stand there twice */
    assert_true(stamp_of(130, &stamp));
    assert_int_equal(stamp, before + 2);
}

static void nothing_is_known_while_the_stream_is_not_heard(void **state)
{
    struct cache_place place, later = at(200);
    uint64_t stamp;

    (void)state;
    begin_at(100, 200, false);
    assert_false(stamp_of(150, &stamp)); /* a newcomer still reads what was before it */
    assert_false(cache_place_now(world.cache, START_US, &place));
    cache_history_heard(world.cache, &later, START_US);
    assert_true(stamp_of(150, &stamp));
    assert_true(cache_place_now(world.cache, START_US, &place));
    assert_int_equal(place.ms, 200);
    assert_false(cache_place_now(world.cache, START_US + 60 * SECOND_US, &place));
    cache_history_stop(world.cache);
    assert_false(stamp_of(200, &stamp));
    cache_history_heard(world.cache, &later, START_US);
    assert_true(stamp_of(200, &stamp));
}

static void after_a_loss_only_what_comes_later_is_good(void **state)
{
    uint64_t stamp;

    (void)state;
    begin_at(300, 300, true);
    assert_false(stamp_of(300, &stamp));
    assert_true(stamp_of(301, &stamp));
}

static void what_is_forgotten_is_refused(void **state)
{
    uint64_t stamp;

    (void)state;
    begin_at(1000, 1000, false);
    for (uint64_t i = 1; i <= HISTORY_EVENTS + 10; i++)
        hear(1000 + i, "/burst");
    assert_false(stamp_of(1009, &stamp));
    assert_true(stamp_of(1010, &stamp));
    assert_true(stamp_of(1000 + HISTORY_EVENTS + 10, &stamp));
    assert_int_equal(stamp, cache_stamp(world.cache));
}

static void too_many_tickets_only_make_it_stricter(void **state)
{
    uint64_t before, stamp;

    (void)state;
    begin_at(100, 100, false);
    before = cache_stamp(world.cache);
    for (int i = 0; i < HISTORY_TICKETS + 5; i++) {
        (void)cache_history_ticket(world.cache);
        purge("/many");
    }
    assert_true(stamp_of(100, &stamp));
    assert_int_equal(stamp, before);
}

static int begin(void **state)
{
    (void)state;
    world = world_new(1 << 20, 1 << 18);
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_free(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_is_as_old_as_its_place, begin, end),
        cmocka_unit_test_setup_teardown(our_own_purge_counts_from_its_ticket_on, begin, end),
        cmocka_unit_test_setup_teardown(nothing_is_known_while_the_stream_is_not_heard, begin, end),
        cmocka_unit_test_setup_teardown(after_a_loss_only_what_comes_later_is_good, begin, end),
        cmocka_unit_test_setup_teardown(what_is_forgotten_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(too_many_tickets_only_make_it_stricter, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
