/* bus_test.c - messages between two buses over a real Redis of the test's own.
 *
 * It listens on a unix socket in a folder of the test, and is ended by its process id. Two buses on
 * one loop are two gateways. */
#include "bus/bus.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_US UINT64_C(30000000)

static char folder[] = "/tmp/gateway-bus-XXXXXX";
static pid_t server;
static struct loop *loop;

static void start_redis(void)
{
    server = fork();
    assert_true(server >= 0);
    if (server > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)!chdir(folder);
    (void)!freopen("/dev/null", "w", stdout);
    execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", "redis", "--save", "",
           "--appendonly", "no", (char *)NULL);
    _exit(127);
}

static void stop_redis(void)
{
    int status;

    kill(server, SIGKILL);
    assert_int_equal(waitpid(server, &status, 0), server);
}

/* What a gateway has heard. */
struct ear {
    struct bus *bus;
    uint32_t heard, others, own, past, losses, begins, told, known, applied;
    bool was_lost, is_ordered;
    uint64_t last;
    size_t longest;
};

static void on_word(void *arg, struct str payload)
{
    struct ear *ear = arg;
    uint64_t number;

    ear->heard++;
    ear->longest = payload.len > ear->longest ? payload.len : ear->longest;
    if (!str_to_u64(payload, &number))
        return;
    ear->is_ordered = ear->is_ordered && number > ear->last;
    ear->last = number;
}

static void on_gap(void *arg, bool is_lost)
{
    struct ear *ear = arg;

    ear->losses += is_lost;
}

static void on_begins(void *arg, const struct bus_place *at, const struct bus_place *end,
                      bool was_lost)
{
    struct ear *ear = arg;

    (void)at;
    (void)end;
    ear->begins++;
    ear->was_lost = was_lost;
}

static void on_comes(void *arg, const struct bus_place *at, const char *kind,
                     enum bus_origin origin, struct str payload)
{
    struct ear *ear = arg;

    (void)at;
    (void)payload;
    assert_true(kind[0] == '\0' || strcmp(kind, "word") == 0);
    ear->others += origin == BUS_OTHERS;
    ear->own += origin == BUS_OWN;
    ear->past += origin == BUS_PAST;
}

static void on_told(void *arg, uint32_t known, uint32_t applied)
{
    struct ear *ear = arg;

    ear->told++;
    ear->known = known;
    ear->applied = applied;
}

static void open_ear(struct ear *ear)
{
    struct bus_options options = {.prefix = STR("t:")};
    struct bus_follower follower = {.begins = on_begins, .comes = on_comes, .arg = ear};
    struct fail why = {""};
    char text[128];

    *ear = (struct ear){.is_ordered = true};
    snprintf(text, sizeof(text), "redis+unix://%s/redis", folder);
    assert_true(redis_url_parse(str_of(text), &options.url, &why));
    ear->bus = bus_new(loop, &options);
    assert_non_null(ear->bus);
    bus_subscribe(ear->bus, "word", on_word, on_gap, ear);
    bus_follow(ear->bus, &follower);
}

/* ---- waiting ---- */

static void on_soon(void *arg)
{
    loop_stop(arg);
}

/* Runs the loop until *value is at least `want`. */
static void wait_for(const char *what, const uint32_t *value, uint32_t want)
{
    uint64_t give_up_us = clock_mono_us() + PATIENCE_US;

    while (*value < want) {
        struct deadline soon = {.fn = on_soon, .arg = loop};

        if (clock_mono_us() > give_up_us)
            fail_msg("%s: %u, want %u", what, *value, want);
        assert_true(deadline_set(loop, &soon, clock_mono_us() + 1000));
        loop_run(loop);
    }
}

static void publish(struct ear *ear, uint64_t number)
{
    char digits[U64_DIGITS];

    assert_true(bus_publish(ear->bus, "word", str_at(digits, u64_write(digits, number))));
}

static void raw(const char *command)
{
    char line[512];

    snprintf(line, sizeof(line), "redis-cli -s %s/redis %s >/dev/null", folder, command);
    assert_int_equal(system(line), 0);
}

/* ---- tests ---- */

static void each_hears_the_other_in_order(void **state)
{
    enum { MANY = 500 };
    struct ear a, b, late;
    char large[BUS_MAX_PAYLOAD + 1] = "";

    (void)state;
    start_redis();
    open_ear(&a);
    open_ear(&b);
    wait_for("a begins", &a.begins, 1);
    wait_for("b begins", &b.begins, 1);
    for (uint64_t i = 1; i <= MANY; i++) {
        publish(&a, i);
        publish(&b, i);
    }
    wait_for("a hears", &a.heard, MANY);
    wait_for("b hears", &b.heard, MANY);
    wait_for("its own comes back", &a.own, MANY);
    assert_true(a.is_ordered && b.is_ordered);
    assert_int_equal(a.heard, MANY); /* not its own, none twice */
    assert_int_equal(b.others, MANY);

    assert_true(bus_publish(a.bus, "word", str_at(large, BUS_MAX_PAYLOAD)));
    assert_false(bus_publish(a.bus, "word", str_at(large, BUS_MAX_PAYLOAD + 1)));
    assert_true(bus_wait(a.bus, on_told, &a));
    wait_for("all have applied it", &a.told, 1);
    assert_int_equal(a.known, 2);
    assert_int_equal(a.applied, 2);
    assert_int_equal(b.longest, BUS_MAX_PAYLOAD);
    assert_int_equal(bus_live(a.bus), 2);

    /* a newcomer is told of what was there, but no subscriber of its hears it */
    open_ear(&late);
    wait_for("the newcomer begins", &late.begins, 1);
    publish(&a, MANY + 1);
    wait_for("the newcomer hears", &late.heard, 1);
    assert_int_equal(late.heard, 1);
    assert_true(late.past >= 900 && !late.was_lost);
    bus_free(&late.bus);
    bus_free(&a.bus);
    bus_free(&b.bus);
    stop_redis();
}

/* Anybody may write to that stream. */
static void garbage_in_the_stream_stops_nobody(void **state)
{
    static const char *const lines[] = {
        "XADD t:{events} '*' x y",
        "XADD t:{events} '*' o nobody",
        "XADD t:{events} '*' k word",
        "XADD t:{events} '*' p only",
        "XADD t:{events} '*' o nobody k another p 1",
        "XADD t:{events} '*' k word k word p 1 p 2 o a o b",
        "HSET t:{events}:gateways somebody nonsense",
        "HSET t:{events}:gateways other '99999999999999999999 1-1'",
    };
    struct ear a, b;

    (void)state;
    start_redis();
    open_ear(&a);
    open_ear(&b);
    wait_for("b begins", &b.begins, 1);
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        raw(lines[i]);
    publish(&a, 7);
    for (uint32_t heard = b.heard; b.last != 7; heard++)
        wait_for("b hears on", &b.heard, heard + 1);
    assert_int_equal(b.losses, 0);
    bus_free(&a.bus);
    bus_free(&b.bus);
    stop_redis();
}

/* While the store is away messages wait, a bounded number; when it comes back without its data
 * everybody is told that something may be missing, and goes on. */
static void a_store_that_lost_its_data_is_told(void **state)
{
    struct ear a, b;
    uint32_t taken = 0;

    (void)state;
    start_redis();
    open_ear(&a);
    open_ear(&b);
    wait_for("a begins", &a.begins, 1);
    wait_for("b begins", &b.begins, 1);
    publish(&a, 1);
    wait_for("b hears", &b.heard, 1);
    stop_redis();
    while (bus_publish(a.bus, "word", STR("waits")))
        taken++;
    assert_in_range(taken, BUS_MAX_WAITING - 1, BUS_MAX_WAITING);
    start_redis();
    wait_for("a is told of the loss", &a.losses, 1);
    wait_for("b is told of the loss", &b.losses, 1);
    wait_for("a begins anew", &a.begins, 2);
    wait_for("b begins anew", &b.begins, 2);
    assert_true(a.was_lost && b.was_lost);
    wait_for("what waited is sent", &a.own, 2);
    while (!bus_publish(a.bus, "word", STR("2")))
        wait_for("there is room again", &a.own, a.own + 1);
    for (uint32_t heard = b.heard; b.last != 2; heard++)
        wait_for("b hears on", &b.heard, heard + 1);
    bus_free(&a.bus);
    bus_free(&b.bus);
    stop_redis();
}

static int begin(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    loop = loop_new(NULL);
    return loop == NULL || mkdtemp(folder) == NULL;
}

static int end(void **state)
{
    char command[128];

    (void)state;
    loop_free(&loop);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_hears_the_other_in_order),
        cmocka_unit_test(garbage_in_the_stream_stops_nobody),
        cmocka_unit_test(a_store_that_lost_its_data_is_told),
    };
    return cmocka_run_group_tests_name("bus", tests, begin, end);
}
