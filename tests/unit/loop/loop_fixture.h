/* loop_fixture.h - what the tests of loop/ share: a loop that ends by itself.
 *
 * A test that goes wrong would wait for ever, so each run has a deadline far away
 * that fails it. Nothing here measures time. */
#ifndef LOOP_FIXTURE_H
#define LOOP_FIXTURE_H
#include "loop/loop.h"

#include <setjmp.h>

#include <cmocka.h>

#define STUCK_AFTER_US UINT64_C(20000000)

static inline void stop_loop(void *arg)
{
    loop_stop(arg);
}

static inline void fail_stuck(void *arg)
{
    (void)arg;
    fail_msg("the loop waits for something that does not come");
}

static inline struct loop *new_loop(void)
{
    struct fail why = {""};
    struct loop *loop = loop_new(&why);

    assert_non_null(loop);
    return loop;
}

static inline void run_loop(struct loop *loop)
{
    struct deadline stuck = {.fn = fail_stuck};

    assert_true(deadline_set(loop, &stuck, loop_now_us(loop) + STUCK_AFTER_US));
    loop_run(loop);
    deadline_clear(loop, &stuck);
}

/* Runs exactly one turn. */
static inline void run_turn(struct loop *loop)
{
    loop_stop(loop);
    run_loop(loop);
}

#endif
