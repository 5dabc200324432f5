/* flight_test.c - collapse on one loop: roles, outcomes, leaving, the set-aside. */
#include "cache_fixture.h"

struct follower {
    struct flight_wait wait;
    int told, woken;
    enum flight_outcome outcome;
    struct fill_reader *reader;
};

static void on_told(void *arg, enum flight_outcome outcome, struct fill_reader *reader)
{
    struct follower *follower = arg;

    assert_int_equal(follower->woken, 0); /* a wake comes after */
    follower->told++;
    follower->outcome = outcome;
    follower->reader = reader;
}

static void on_wake(void *arg)
{
    ((struct follower *)arg)->woken++;
}

static enum flight_role join(struct world *world, struct follower *follower, uint64_t now_us,
                             struct flight **lead)
{
    struct cache_key key = key_of(world, &(struct answer){0});

    follower->wait = (struct flight_wait){
        .loop = world->loop, .told = on_told, .wake = on_wake, .arg = follower};
    return cache_join(world->cache, &key, now_us, &follower->wait, lead);
}

static void turn(struct world *world)
{
    loop_stop(world->loop);
    loop_run(world->loop);
}

static struct fill *shared_fill(struct world *world)
{
    struct intent_parts p;
    struct fill *fill = fill_new(world->cache, world->loop, no_room, NULL);

    intent_of(world, &(struct answer){0}, &p);
    assert_true(fill_begin(fill, &(struct fill_head){200, &p.fields, true, 5}, &p.intent));
    return fill;
}

static void followers_read_what_the_leader_fetches(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct follower leader = {0}, early = {0}, late = {0}, last = {0};
    struct flight *flight, *none;
    struct fill *fill;
    struct str body;

    (void)state;
    assert_int_equal(join(&world, &leader, START_US, &flight), FLIGHT_LEAD);
    assert_int_equal(join(&world, &early, START_US, &none), FLIGHT_FOLLOW);
    assert_null(none);
    assert_int_equal(flight_followers(flight), 1);
    fill = shared_fill(&world);
    flight_open(flight, fill);
    assert_int_equal(early.told, 0); /* never from inside */
    assert_int_equal(join(&world, &late, START_US, &none), FLIGHT_FOLLOW);
    assert_true(fill_write(fill, STR("hello")));
    turn(&world);
    turn(&world);
    assert_int_equal(early.told, 1);
    assert_int_equal(early.outcome, FLIGHT_READ);
    assert_true(early.woken > 0);
    assert_int_equal(late.told, 1);
    assert_int_equal(late.outcome, FLIGHT_READ);
    assert_true(fill_end(&fill));
    assert_int_equal(join(&world, &last, START_US, &none), FLIGHT_FOLLOW); /* ended, not closed */
    flight_close(&flight, FLIGHT_RETRY, false, START_US);
    assert_null(flight);
    turn(&world);
    assert_int_equal(last.outcome, FLIGHT_RETRY);
    assert_int_equal(last.told, 1);
    assert_true(fill_reader_whole(early.reader, &body));
    assert_true(str_eq(body, STR("hello")));
    fill_detach(&early.reader);
    fill_detach(&late.reader);
    flight_leave(&early.wait);
    turn(&world);
    assert_int_equal(counts_of(&world).collapsed, 3);
    world_free(&world);
}

static void a_leader_that_fails_makes_room_for_the_next(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct follower a = {0}, b = {0}, c = {0};
    struct flight *flight, *none;

    (void)state;
    assert_int_equal(join(&world, &a, START_US, &flight), FLIGHT_LEAD);
    assert_int_equal(join(&world, &b, START_US, &none), FLIGHT_FOLLOW);
    assert_int_equal(join(&world, &c, START_US, &none), FLIGHT_FOLLOW);
    flight_close(&flight, FLIGHT_RETRY, false, START_US);
    turn(&world);
    assert_int_equal(b.outcome, FLIGHT_RETRY);
    assert_int_equal(join(&world, &b, START_US, &flight), FLIGHT_LEAD);
    assert_int_equal(join(&world, &c, START_US, &none), FLIGHT_FOLLOW);
    flight_close(&flight, FLIGHT_GO, true, START_US);
    turn(&world);
    assert_int_equal(c.outcome, FLIGHT_GO);
    assert_int_equal(c.told, 2);
    flight_close(&flight, FLIGHT_RETRY, false, START_US); /* NULL is fine */
    world_free(&world);
}

static void what_cannot_be_shared_is_set_aside_for_ten_seconds(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct follower a = {0};
    struct flight *flight;

    (void)state;
    assert_int_equal(join(&world, &a, START_US, &flight), FLIGHT_LEAD);
    flight_close(&flight, FLIGHT_GO, true, START_US);
    assert_int_equal(join(&world, &a, START_US + 9 * SECOND_US, &flight), FLIGHT_ALONE);
    assert_int_equal(join(&world, &a, START_US + 10 * SECOND_US, &flight), FLIGHT_LEAD);
    flight_close(&flight, FLIGHT_GO, false, START_US);
    assert_int_equal(join(&world, &a, START_US + 10 * SECOND_US, &flight), FLIGHT_LEAD);
    flight_close(&flight, FLIGHT_RETRY, false, START_US);
    world_free(&world);
}

static void leaving_is_silent_before_and_after_the_outcome(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct follower leader = {0}, waiting = {0}, told = {0}, stays = {0};
    struct flight *flight, *none;
    struct fill *fill;

    (void)state;
    assert_int_equal(join(&world, &leader, START_US, &flight), FLIGHT_LEAD);
    assert_int_equal(join(&world, &waiting, START_US, &none), FLIGHT_FOLLOW);
    assert_int_equal(join(&world, &told, START_US, &none), FLIGHT_FOLLOW);
    assert_int_equal(join(&world, &stays, START_US, &none), FLIGHT_FOLLOW);
    flight_leave(&waiting.wait);
    flight_leave(&waiting.wait); /* fine when it is not waiting */
    assert_int_equal(flight_followers(flight), 2);
    fill = shared_fill(&world);
    flight_open(flight, fill);
    assert_int_equal(fill_readers(fill), 2);
    flight_leave(&told.wait);
    memset(&told.wait, 0xee, sizeof(told.wait)); /* its request is gone */
    turn(&world);
    turn(&world);
    assert_int_equal(waiting.told + told.told + told.woken, 0);
    assert_int_equal(stays.told, 1);
    assert_int_equal(fill_readers(fill), 1);
    fill_detach(&stays.reader);
    fill_fail(&fill);
    flight_close(&flight, FLIGHT_RETRY, false, START_US);
    turn(&world);
    assert_int_equal(counts_of(&world).memory_bytes, 0);
    world_free(&world);
}

static void who_cannot_begin_any_more_goes_alone(void **state)
{
    struct world world = world_new(1 << 20, 1000);
    struct follower leader = {0}, late = {0};
    struct flight *flight, *none;
    struct intent_parts p;
    struct fill *fill = fill_new(world.cache, world.loop, no_room, NULL);
    char body[2000] = "";

    (void)state;
    assert_int_equal(join(&world, &leader, START_US, &flight), FLIGHT_LEAD);
    intent_of(&world, &(struct answer){0}, &p);
    assert_true(fill_begin(fill, &(struct fill_head){200, &p.fields, false, 0}, &p.intent));
    flight_open(flight, fill);
    assert_true(fill_write(fill, str_at(body, sizeof(body))));
    assert_false(fill_is_storing(fill));
    assert_int_equal(join(&world, &late, START_US, &none), FLIGHT_ALONE);
    fill_end(&fill);
    flight_close(&flight, FLIGHT_RETRY, false, START_US);
    turn(&world);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(followers_read_what_the_leader_fetches),
        cmocka_unit_test(a_leader_that_fails_makes_room_for_the_next),
        cmocka_unit_test(what_cannot_be_shared_is_set_aside_for_ten_seconds),
        cmocka_unit_test(leaving_is_silent_before_and_after_the_outcome),
        cmocka_unit_test(who_cannot_begin_any_more_goes_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
