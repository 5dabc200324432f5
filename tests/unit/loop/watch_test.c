/* watch_test.c - fds of the loop: what is reported, and the silence after a stop.
 *
 * Socket pairs are ready at once, so no test waits for time. The cases about two
 * ready fds in one turn are run until the stopped one would have been reported
 * first and second: libuv gives no order. */
#include "loop_fixture.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct side {
    struct loop *loop;
    struct watch *watch;
    struct side *other; /* stopped by the callback, if any */
    int fd, peer;
    int seen; /* every event of it */
    int calls;
    bool stops_itself;
};

static void on_ready(void *arg, int fd, int ready)
{
    struct side *side = arg;

    assert_int_equal(fd, side->fd);
    side->seen |= ready;
    side->calls++;
    if (side->stops_itself)
        watch_stop(&side->watch);
    if (side->other != NULL)
        watch_stop(&side->other->watch);
}

static void open_pair(struct loop *loop, struct side *side)
{
    int fds[2];

    *side = (struct side){.loop = loop};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    side->fd = fds[0];
    side->peer = fds[1];
}

static void close_pair(struct side *side)
{
    watch_stop(&side->watch);
    close(side->fd);
    close(side->peer);
}

enum peer_does { NOTHING, WRITES, HALF_CLOSES, CLOSES, WRITES_AND_CLOSES, FILLED };

static const struct {
    const char *name;
    enum peer_does peer;
    int asked, want;
} cases[] = {
    {"silence", NOTHING, WATCH_READ | WATCH_GONE, 0},
    {"bytes to read", WRITES, WATCH_READ, WATCH_READ},
    {"bytes nobody asked for", WRITES, WATCH_GONE, 0},
    {"room to write", NOTHING, WATCH_WRITE, WATCH_WRITE},
    {"no room to write", FILLED, WATCH_WRITE, 0},
    {"both ways", WRITES, WATCH_READ | WATCH_WRITE, WATCH_READ | WATCH_WRITE},
    {"half-closed is gone", HALF_CLOSES, WATCH_GONE, WATCH_GONE},
    {"half-closed reads as an end", HALF_CLOSES, WATCH_READ, WATCH_READ},
    {"half-closed, both asked", HALF_CLOSES, WATCH_READ | WATCH_GONE, WATCH_READ | WATCH_GONE},
    {"closed is gone", CLOSES, WATCH_GONE, WATCH_GONE},
    {"closed reads as an end", CLOSES, WATCH_READ, WATCH_READ},
    {"last bytes, then gone", WRITES_AND_CLOSES, WATCH_READ | WATCH_GONE, WATCH_READ | WATCH_GONE},
    {"paused", CLOSES, 0, 0},
};

static void peer_acts(struct side *side, enum peer_does what)
{
    char block[4096] = {0};

    if (what == WRITES || what == WRITES_AND_CLOSES)
        assert_int_equal(write(side->peer, "x", 1), 1);
    if (what == HALF_CLOSES)
        assert_int_equal(shutdown(side->peer, SHUT_WR), 0);
    if (what == CLOSES || what == WRITES_AND_CLOSES) {
        close(side->peer);
        side->peer = -1;
    }
    while (what == FILLED && write(side->fd, block, sizeof(block)) > 0)
        continue;
}

static void what_a_watch_reports(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct loop *loop = new_loop();
        struct side side;

        open_pair(loop, &side);
        peer_acts(&side, cases[i].peer);
        side.watch = watch_start(loop, side.fd, cases[i].asked, on_ready, &side);
        assert_non_null(side.watch);
        assert_int_equal(side.calls, 0); /* never from inside the call that asked */
        run_turn(loop);
        if (side.seen != cases[i].want)
            fail_msg("%s: got %d, want %d", cases[i].name, side.seen, cases[i].want);
        close_pair(&side);
        loop_free(&loop);
    }
}

static void an_event_stays_until_it_is_dealt_with(void **state)
{
    struct loop *loop = new_loop();
    struct side side;

    (void)state;
    open_pair(loop, &side);
    peer_acts(&side, WRITES);
    side.watch = watch_start(loop, side.fd, WATCH_READ, on_ready, &side);
    run_turn(loop);
    run_turn(loop);
    assert_int_equal(side.calls, 2);
    watch_change(side.watch, 0);
    run_turn(loop);
    assert_int_equal(side.calls, 2);
    watch_change(side.watch, WATCH_WRITE);
    run_turn(loop);
    assert_int_equal(side.calls, 3);
    assert_int_equal(side.seen, WATCH_READ | WATCH_WRITE);
    close_pair(&side);
    loop_free(&loop);
}

/* A reset is an error of the fd; it is repeated until the watch is stopped or paused. */
static void an_error_is_all_that_was_asked_for(void **state)
{
    struct linger reset = {1, 0};
    struct sockaddr_storage address = {.ss_family = AF_INET};
    socklen_t len = sizeof(address);
    struct loop *loop = new_loop();
    struct side side = {.loop = loop};
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(listen(listener, 1), 0); /* unbound: the kernel picks a port */
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    side.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(side.fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(fcntl(side.fd, F_SETFL, O_NONBLOCK), 0);
    side.peer = accept(listener, NULL, NULL);
    assert_int_equal(setsockopt(side.peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(side.peer);
    side.peer = -1;

    side.watch = watch_start(loop, side.fd, WATCH_READ | WATCH_GONE, on_ready, &side);
    run_turn(loop);
    assert_int_equal(side.seen, WATCH_READ | WATCH_GONE);
    run_turn(loop);
    assert_int_equal(side.calls, 2);
    side.stops_itself = true;
    run_turn(loop);
    run_turn(loop);
    assert_int_equal(side.calls, 3);
    close_pair(&side);
    close(listener);
    loop_free(&loop);
}

static void stopped_in_its_own_callback(void **state)
{
    struct loop *loop = new_loop();
    struct side side;

    (void)state;
    open_pair(loop, &side);
    side.stops_itself = true;
    side.watch = watch_start(loop, side.fd, WATCH_WRITE, on_ready, &side);
    run_turn(loop);
    assert_null(side.watch);
    run_turn(loop);
    assert_int_equal(side.calls, 1);
    close_pair(&side);
    loop_free(&loop);
}

static void stopped_by_another_ready_fd_of_the_turn(void **state)
{
    struct loop *loop = new_loop();
    struct side first, second;

    (void)state;
    open_pair(loop, &first);
    open_pair(loop, &second);
    first.other = &second;
    second.other = &first;
    for (int round = 1; round <= 20; round++) { /* whichever comes first silences the other */
        bool turned = round % 2 == 0;
        struct side *a = turned ? &second : &first, *b = turned ? &first : &second;

        a->watch = watch_start(loop, a->fd, WATCH_WRITE, on_ready, a);
        b->watch = watch_start(loop, b->fd, WATCH_WRITE, on_ready, b);
        run_turn(loop);
        assert_int_equal(first.calls + second.calls, round);
        watch_stop(&first.watch);
        watch_stop(&second.watch);
    }
    close_pair(&first);
    close_pair(&second);
    loop_free(&loop);
}

struct reuse {
    struct side victim, heir;
    bool is_done;
};

/* Closes the other ready fd of this turn and watches a new one with its number. */
static void replace_victim(void *arg, int fd, int ready)
{
    struct reuse *reuse = arg;
    struct side *heir = &reuse->heir;

    (void)fd;
    (void)ready;
    if (reuse->is_done)
        return;
    reuse->is_done = true;
    watch_stop(&reuse->victim.watch);
    close(reuse->victim.fd);
    open_pair(reuse->victim.loop, heir);
    assert_int_equal(heir->fd, reuse->victim.fd); /* the lowest free number */
    heir->watch = watch_start(heir->loop, heir->fd, WATCH_READ, on_ready, heir);
    assert_non_null(heir->watch);
}

static void a_reused_number_hears_nothing_of_the_old_fd(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        struct loop *loop = new_loop();
        struct reuse reuse = {0};
        struct side killer;

        open_pair(loop, &reuse.victim);
        open_pair(loop, &killer);
        peer_acts(&reuse.victim, WRITES);
        for (int i = 0; i < 2; i++) {
            if (i == order)
                killer.watch = watch_start(loop, killer.fd, WATCH_WRITE, replace_victim, &reuse);
            else
                reuse.victim.watch =
                    watch_start(loop, reuse.victim.fd, WATCH_READ, on_ready, &reuse.victim);
        }
        run_turn(loop);
        assert_true(reuse.is_done);
        assert_true(reuse.victim.calls <= 1);
        assert_int_equal(reuse.heir.calls, 0);
        run_turn(loop);
        assert_int_equal(reuse.heir.calls, 0);
        peer_acts(&reuse.heir, WRITES);
        run_turn(loop);
        assert_int_equal(reuse.heir.calls, 1);
        close(reuse.victim.peer);
        close_pair(&reuse.heir);
        close_pair(&killer);
        loop_free(&loop);
    }
}

static void what_cannot_be_watched(void **state)
{
    struct loop *loop = new_loop();
    struct side side;
    struct watch *second;
    int fd, number, file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_true(file >= 0);
    assert_null(watch_start(loop, -1, WATCH_READ, on_ready, &side));
    assert_null(watch_start(loop, 1000000, WATCH_READ, on_ready, &side));
    assert_null(watch_start(loop, file, WATCH_READ, on_ready, &side));
    open_pair(loop, &side);
    side.watch = watch_start(loop, side.fd, WATCH_READ, on_ready, &side);
    second = watch_start(loop, side.fd, WATCH_READ, on_ready, &side);
    assert_null(second);

    /* a number that was a socket and is a file, then an epoll fd, now */
    number = side.fd;
    watch_stop(&side.watch);
    assert_int_equal(dup2(file, number), number);
    assert_null(watch_start(loop, number, WATCH_READ, on_ready, &side));
    fd = epoll_create1(EPOLL_CLOEXEC);
    assert_int_equal(dup2(fd, number), number);
    side.watch = watch_start(loop, number, WATCH_READ, on_ready, &side);
    assert_non_null(side.watch);
    run_turn(loop);
    assert_int_equal(side.calls, 0);
    close_pair(&side);
    close(fd);
    close(file);
    loop_free(&loop);
}

static void changes_of_one_turn_collapse(void **state)
{
    struct loop *loop = new_loop();
    struct side side;

    (void)state;
    open_pair(loop, &side);
    side.watch = watch_start(loop, side.fd, WATCH_WRITE, on_ready, &side);
    watch_change(side.watch, WATCH_READ);
    watch_change(side.watch, WATCH_READ | WATCH_GONE);
    run_turn(loop);
    assert_int_equal(side.calls, 0);
    watch_change(side.watch, 0);
    watch_change(side.watch, WATCH_READ | WATCH_GONE);
    peer_acts(&side, CLOSES);
    run_turn(loop);
    assert_int_equal(side.seen, WATCH_READ | WATCH_GONE);
    close_pair(&side);
    loop_free(&loop);
}

static void many_watches_that_come_and_go(void **state)
{
    static struct side sides[200];
    struct loop *loop = new_loop();

    (void)state;
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < COUNT_OF(sides); i++) {
            open_pair(loop, &sides[i]);
            sides[i].watch = watch_start(loop, sides[i].fd, WATCH_WRITE, on_ready, &sides[i]);
            assert_non_null(sides[i].watch);
        }
        run_turn(loop);
        for (size_t i = 0; i < COUNT_OF(sides); i++) {
            assert_int_equal(sides[i].calls, 1);
            close_pair(&sides[i]);
        }
    }
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_watch_reports),
        cmocka_unit_test(an_event_stays_until_it_is_dealt_with),
        cmocka_unit_test(an_error_is_all_that_was_asked_for),
        cmocka_unit_test(stopped_in_its_own_callback),
        cmocka_unit_test(stopped_by_another_ready_fd_of_the_turn),
        cmocka_unit_test(a_reused_number_hears_nothing_of_the_old_fd),
        cmocka_unit_test(what_cannot_be_watched),
        cmocka_unit_test(changes_of_one_turn_collapse),
        cmocka_unit_test(many_watches_that_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
