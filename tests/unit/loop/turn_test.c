/* turn_test.c - the end of a turn: hooks in their order, then what dies with the turn;
 * how the wait is bounded, and what the loop says about its load.
 *
 * Each step writes a letter, and the letters are the assertion. */
#include "loop_fixture.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static char trail[64];
static size_t trail_len;

struct step {
    struct turn_hook hook;
    struct loop *loop;
    struct step *removes; /* in the order `removes_order` */
    enum turn_order removes_order;
    char letter;
};

static void mark(char letter)
{
    assert_true(trail_len + 1 < sizeof(trail));
    trail[trail_len++] = letter;
    trail[trail_len] = '\0';
}

static void clear_trail(void)
{
    trail_len = 0;
    trail[0] = '\0';
}

static void on_step(void *arg)
{
    struct step *step = arg;

    mark(step->letter);
    if (step->removes != NULL)
        turn_remove(step->loop, step->removes_order, &step->removes->hook);
}

static void add(struct loop *loop, struct step *step, enum turn_order order_, char letter)
{
    *step = (struct step){.hook = {.fn = on_step, .arg = step}, .loop = loop, .letter = letter};
    turn_add(loop, order_, &step->hook);
}

static void hooks_run_in_their_order_once_a_turn(void **state)
{
    struct loop *loop = new_loop();
    struct step server, resume, client, flush, deferred, client2;

    (void)state;
    clear_trail();
    add(loop, &server, TURN_SERVER, 'S');
    add(loop, &resume, TURN_RESUME, 'R');
    add(loop, &client, TURN_CLIENT, 'c');
    add(loop, &flush, TURN_FLUSH, 'F');
    add(loop, &deferred, TURN_DEFERRED, 'D');
    add(loop, &client2, TURN_CLIENT, 'C');
    run_turn(loop);
    assert_string_equal(trail, "cCDFRS");
    turn_remove(loop, TURN_FLUSH, &flush.hook);
    turn_remove(loop, TURN_FLUSH, &flush.hook); /* not there: nothing */
    run_turn(loop);
    assert_string_equal(trail, "cCDFRScCDRS");
    loop_free(&loop);
}

static void hooks_that_remove_hooks(void **state)
{
    static const struct {
        const char *name;
        int remover, removed;
        const char *want; /* two turns */
    } rows[] = {
        {"itself, first", 0, 0, "ABCBC"}, {"itself, last", 2, 2, "ABCAB"},
        {"the next", 0, 1, "ACAC"},       {"the one after", 0, 2, "ABAB"},
        {"one before", 2, 0, "ABCBC"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct loop *loop = new_loop();
        struct step steps[3];

        clear_trail();
        for (int s = 0; s < 3; s++)
            add(loop, &steps[s], TURN_RESUME, (char)('A' + s));
        steps[rows[i].remover].removes = &steps[rows[i].removed];
        steps[rows[i].remover].removes_order = TURN_RESUME;
        run_turn(loop);
        run_turn(loop);
        if (strcmp(trail, rows[i].want) != 0)
            fail_msg("%s: got %s, want %s", rows[i].name, trail, rows[i].want);
        loop_free(&loop);
    }
}

static void mark_deadline(void *arg)
{
    (void)arg;
    mark('d');
}

static void mark_ready(void *arg, int fd, int ready)
{
    (void)fd;
    (void)ready;
    mark('f');
    watch_change(*(struct watch **)arg, 0);
}

static void mark_post(void *arg)
{
    (void)arg;
    mark('p');
}

static void fds_and_posts_come_before_deadlines_before_hooks(void **state)
{
    struct loop *loop = new_loop();
    struct deadline deadline = {.fn = mark_deadline};
    struct post post = {.fn = mark_post};
    struct step hook;
    struct watch *watch;
    int fds[2];

    (void)state;
    clear_trail();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    add(loop, &hook, TURN_CLIENT, 'h');
    assert_true(deadline_set(loop, &deadline, 1));
    watch = watch_start(loop, fds[0], WATCH_WRITE, mark_ready, &watch);
    loop_post(loop, &post);
    run_turn(loop);
    assert_int_equal(trail_len, 4);
    assert_true(strcmp(trail, "fpdh") == 0 || strcmp(trail, "pfdh") == 0);
    watch_stop(&watch);
    close(fds[0]);
    close(fds[1]);
    loop_free(&loop);
}

struct dying {
    struct turn_end end;
    struct loop *loop;
    struct dying *next; /* asked for by this one's end */
    char letter;
};

static void on_end(void *arg)
{
    struct dying *dying = arg;

    mark(dying->letter);
    if (dying->next != NULL)
        loop_at_turn_end(dying->loop, &dying->next->end);
    free(dying);
}

static struct dying *new_dying(struct loop *loop, char letter)
{
    struct dying *dying = calloc(1, sizeof(*dying));

    assert_non_null(dying);
    *dying = (struct dying){.end = {.fn = on_end, .arg = dying}, .loop = loop, .letter = letter};
    return dying;
}

static void what_dies_with_the_turn_dies_last_and_may_free_itself(void **state)
{
    struct loop *loop = new_loop();
    struct dying *first = new_dying(loop, '1'), *second = new_dying(loop, '2');
    struct dying *left = new_dying(loop, '4');
    struct step hook;

    (void)state;
    clear_trail();
    add(loop, &hook, TURN_SERVER, 'S');
    first->next = new_dying(loop, '3');
    loop_at_turn_end(loop, &first->end);
    loop_at_turn_end(loop, &second->end);
    run_turn(loop);
    assert_string_equal(trail, "S123");
    run_turn(loop);
    assert_string_equal(trail, "S123S");
    loop_at_turn_end(loop, &left->end);
    loop_free(&loop);
    assert_string_equal(trail, "S123S4");
}

struct asker {
    struct turn_hook hook;
    struct loop *loop;
    int turns_left;
    uint64_t wait_us;
};

static void ask_for_another_turn(void *arg)
{
    struct asker *asker = arg;

    if (--asker->turns_left == 0)
        loop_stop(asker->loop);
    else
        loop_wait_at_most(asker->loop, asker->wait_us);
}

/* Nothing else would wake the loop: it would be stuck if a bound were lost. */
static void the_wait_is_bounded_by_hooks(void **state)
{
    static const uint64_t waits_us[] = {0, 1, 1000, 2000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(waits_us); i++) {
        struct loop *loop = new_loop();
        struct asker asker = {.loop = loop, .turns_left = 5, .wait_us = waits_us[i]};

        asker.hook = (struct turn_hook){.fn = ask_for_another_turn, .arg = &asker};
        turn_add(loop, TURN_SERVER, &asker.hook);
        loop_wait_at_most(loop, 0);
        run_loop(loop);
        assert_int_equal(asker.turns_left, 0);
        loop_free(&loop);
    }
}

static void the_time_of_a_turn_is_one_moment(void **state)
{
    struct loop *loop = new_loop();
    uint64_t before_us = clock_mono_us(), first_us;
    int64_t wall_us = clock_wall_us();

    (void)state;
    run_turn(loop);
    first_us = loop_now_us(loop);
    assert_true(first_us >= before_us && first_us <= clock_mono_us());
    assert_true(loop_wall_us(loop) >= wall_us - 60 * INT64_C(1000000));
    assert_int_equal(loop_now_us(loop), first_us); /* not read again */
    run_turn(loop);
    assert_true(loop_now_us(loop) >= first_us);
    loop_free(&loop);
}

static void burn_2_ms(void *arg)
{
    uint64_t until_us = clock_mono_us() + 2000;

    (void)arg;
    while (clock_mono_us() < until_us)
        continue;
}

static void load_is_a_share_and_knows_the_longest_turn(void **state)
{
    struct loop *loop = new_loop();
    struct turn_hook hook = {.fn = burn_2_ms};
    struct deadline later = {.fn = stop_loop, .arg = loop};
    struct loop_load load;

    (void)state;
    turn_add(loop, TURN_CLIENT, &hook);
    loop_wait_at_most(loop, 0);
    assert_true(deadline_set(loop, &later, loop_now_us(loop) + 5000));
    run_loop(loop);
    load = loop_load_take(loop);
    assert_true(load.longest_turn_us >= 2000);
    assert_true(load.utilization > 0.0 && load.utilization <= 1.0);
    load = loop_load_take(loop);
    assert_int_equal(load.longest_turn_us, 0);
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_run_in_their_order_once_a_turn),
        cmocka_unit_test(hooks_that_remove_hooks),
        cmocka_unit_test(fds_and_posts_come_before_deadlines_before_hooks),
        cmocka_unit_test(what_dies_with_the_turn_dies_last_and_may_free_itself),
        cmocka_unit_test(the_wait_is_bounded_by_hooks),
        cmocka_unit_test(the_time_of_a_turn_is_one_moment),
        cmocka_unit_test(load_is_a_share_and_knows_the_longest_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
