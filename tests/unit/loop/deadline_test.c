/* deadline_test.c - deadlines run in order, once, and can be moved and cleared anywhere.
 *
 * Moments in the past make a turn due at once, so nearly nothing here waits; two
 * cases wait a few milliseconds because the wait itself is what they test. Lateness
 * is never judged: the machine may be busy. */
#include "loop_fixture.h"

#include <stdlib.h>

enum { MANY = 100000 };

struct row {
    struct loop *loop;
    struct deadline deadline;
    struct row *victim; /* cleared, or moved, by the callback */
    uint64_t move_victim_to_us;
    int runs, ran_as;
    bool sets_itself_again;
};
static int ran;

static void on_deadline(void *arg)
{
    struct row *row = arg;

    assert_false(deadline_is_set(&row->deadline));
    row->runs++;
    row->ran_as = ++ran;
    if (row->victim != NULL && row->move_victim_to_us == 0)
        deadline_clear(row->loop, &row->victim->deadline);
    else if (row->victim != NULL)
        assert_true(deadline_set(row->loop, &row->victim->deadline, row->move_victim_to_us));
    if (row->sets_itself_again)
        assert_true(deadline_set(row->loop, &row->deadline, 1));
}

static void set_row(struct loop *loop, struct row *row, uint64_t at_us)
{
    row->loop = loop;
    row->deadline.fn = on_deadline;
    row->deadline.arg = row;
    assert_true(deadline_set(loop, &row->deadline, at_us));
    assert_true(deadline_is_set(&row->deadline));
}

static void they_run_by_time(void **state)
{
    static const struct {
        uint64_t at_us;
        int want;
    } rows[] = {{50, 5}, {10, 1}, {30, 3}, {20, 2}, {60, 6}, {40, 4}};
    struct row row[COUNT_OF(rows)] = {0};
    struct loop *loop = new_loop();

    (void)state;
    ran = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        set_row(loop, &row[i], rows[i].at_us);
    assert_int_equal(ran, 0);
    run_turn(loop);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(row[i].ran_as, rows[i].want);
    run_turn(loop);
    assert_int_equal(ran, (int)COUNT_OF(rows)); /* once each */
    loop_free(&loop);
}

static void cleared_and_moved(void **state)
{
    struct row cleared = {0}, sooner = {0}, later = {0}, far = {0}, fixed = {0};
    struct loop *loop = new_loop();
    uint64_t far_us = loop_now_us(loop) + STUCK_AFTER_US;

    (void)state;
    ran = 0;
    set_row(loop, &cleared, 5);
    set_row(loop, &sooner, far_us);
    set_row(loop, &later, 10);
    set_row(loop, &far, 15);
    set_row(loop, &fixed, 20);
    deadline_clear(loop, &cleared.deadline);
    deadline_clear(loop, &cleared.deadline); /* fine when not set */
    set_row(loop, &sooner, 1);
    set_row(loop, &later, 30);
    set_row(loop, &far, far_us);
    run_turn(loop);
    assert_int_equal(cleared.runs, 0);
    assert_int_equal(sooner.ran_as, 1);
    assert_int_equal(fixed.ran_as, 2);
    assert_int_equal(later.ran_as, 3);
    assert_int_equal(far.runs, 0);
    assert_true(deadline_is_set(&far.deadline));
    loop_free(&loop);
}

static void changed_inside_callbacks(void **state)
{
    struct row killer = {0}, killed = {0}, mover = {0}, moved = {0}, setter = {0}, fresh = {0};
    struct loop *loop = new_loop();

    (void)state;
    ran = 0;
    killer.victim = &killed;
    mover.victim = &moved;
    mover.move_victim_to_us = loop_now_us(loop) + STUCK_AFTER_US;
    setter.victim = &fresh;
    setter.move_victim_to_us = 1;
    fresh.deadline.fn = on_deadline;
    fresh.deadline.arg = &fresh;
    set_row(loop, &killer, 1);
    set_row(loop, &killed, 2);
    set_row(loop, &mover, 3);
    set_row(loop, &moved, 4);
    set_row(loop, &setter, 5);
    run_turn(loop);
    assert_int_equal(killer.runs + mover.runs + setter.runs, 3);
    assert_int_equal(killed.runs, 0);
    assert_int_equal(moved.runs, 0);
    assert_int_equal(fresh.runs, 0); /* it has passed, but belongs to the next turn */
    run_turn(loop);
    assert_int_equal(fresh.runs, 1);
    assert_true(deadline_is_set(&moved.deadline));
    loop_free(&loop);
}

static void one_that_sets_itself_again_runs_once_a_turn(void **state)
{
    struct row row = {.sets_itself_again = true};
    struct loop *loop = new_loop();

    (void)state;
    set_row(loop, &row, 1);
    for (int turn = 1; turn <= 5; turn++) {
        run_turn(loop);
        assert_int_equal(row.runs, turn);
    }
    loop_free(&loop);
}

struct check_order {
    uint64_t last_us;
    size_t runs;
};
static struct check_order order;

static void on_one_of_many(void *arg)
{
    const struct deadline *deadline = arg;

    assert_true(deadline->at_us >= order.last_us);
    order.last_us = deadline->at_us;
    order.runs++;
}

static void a_hundred_thousand(void **state)
{
    struct deadline *many = calloc(MANY, sizeof(*many));
    struct loop *loop = new_loop();
    uint64_t seed = 1;
    size_t cleared = 0;

    (void)state;
    assert_non_null(many);
    order = (struct check_order){0};
    for (size_t i = 0; i < MANY; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        many[i].fn = on_one_of_many;
        many[i].arg = &many[i];
        assert_true(deadline_set(loop, &many[i], 1 + (seed >> 33) % 50000));
    }
    for (size_t i = 0; i < MANY; i += 3) { /* move a third, clear another */
        assert_true(deadline_set(loop, &many[i], 1 + (i * 7919) % 60000));
        if (i + 1 < MANY) {
            deadline_clear(loop, &many[i + 1]);
            cleared++;
        }
    }
    run_turn(loop);
    assert_int_equal(order.runs, MANY - cleared);
    for (size_t i = 0; i < MANY; i++)
        assert_false(deadline_is_set(&many[i]));
    loop_free(&loop);
    free(many);
}

struct waiter {
    struct loop *loop;
    uint64_t at_us, ran_us;
};

static void note_and_stop(void *arg)
{
    struct waiter *waiter = arg;

    waiter->ran_us = loop_now_us(waiter->loop);
    loop_stop(waiter->loop);
}

/* The timer is armed for the first, which is cleared: the second must still be met. */
static void never_early_and_not_forgotten(void **state)
{
    struct loop *loop = new_loop();
    struct waiter waiter = {.loop = loop};
    struct deadline first = {.fn = fail_stuck}, second = {.fn = note_and_stop, .arg = &waiter};

    (void)state;
    waiter.at_us = loop_now_us(loop) + 7000;
    assert_true(deadline_set(loop, &first, loop_now_us(loop) + 3000));
    run_turn(loop);
    deadline_clear(loop, &first);
    assert_true(deadline_set(loop, &second, waiter.at_us));
    run_loop(loop);
    assert_true(waiter.ran_us >= waiter.at_us);

    waiter.at_us = loop_now_us(loop) + 2000; /* and one that comes nearer than the armed one */
    assert_true(deadline_set(loop, &first, loop_now_us(loop) + STUCK_AFTER_US));
    run_turn(loop);
    assert_true(deadline_set(loop, &second, waiter.at_us));
    run_loop(loop);
    assert_true(waiter.ran_us >= waiter.at_us);
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_run_by_time),
        cmocka_unit_test(cleared_and_moved),
        cmocka_unit_test(changed_inside_callbacks),
        cmocka_unit_test(one_that_sets_itself_again_runs_once_a_turn),
        cmocka_unit_test(a_hundred_thousand),
        cmocka_unit_test(never_early_and_not_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
