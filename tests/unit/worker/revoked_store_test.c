/* revoked_store_test.c - revoked tokens of two gateways in a real Redis of the test's own.
 *
 * It listens on a unix socket in a folder of the test, and is ended by its process id. Two shared
 * sets on one loop are two gateways, each with a bus, which meet here as in worker/. */
#include "bus/bus.h"
#include "identify/identify_priv.h"
#include "redis/redis.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_US UINT64_C(30000000)

static char folder[] = "/tmp/gateway-revoked-XXXXXX";
static char socket_path[64];
static pid_t server;

static void start_redis(void)
{
    snprintf(socket_path, sizeof(socket_path), "%s/redis", folder);
    server = fork();
    assert_true(server >= 0);
    if (server == 0) {
        (void)!chdir(folder);
        (void)!freopen("/dev/null", "w", stdout);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", "redis", "--save", "",
               "--appendonly", "yes", "--appendfsync", "always", (char *)NULL);
        _exit(127);
    }
}

static void stop_redis(void)
{
    int status;

    kill(server, SIGTERM);
    assert_int_equal(waitpid(server, &status, 0), server);
}

static void lose_data(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s/appendonlydir %s/*.rdb", folder, folder);
    assert_int_equal(system(command), 0);
}

static void raw(const char *command)
{
    char line[256];

    snprintf(line, sizeof(line), "redis-cli -s %s %s >/dev/null", socket_path, command);
    assert_int_equal(system(line), 0);
}

struct gateway {
    struct identify_shared *shared;
    struct identify_store *store;
    struct bus *bus;
};

static bool tell(void *arg, struct str news)
{
    struct gateway *gateway = arg;

    return bus_publish(gateway->bus, "revoked", news);
}

static void on_news(void *arg, struct str news)
{
    struct gateway *gateway = arg;

    identify_store_hear(gateway->store, news);
}

static void on_begins(void *arg, const struct bus_place *at, const struct bus_place *end,
                      bool was_lost)
{
    struct gateway *gateway = arg;

    (void)at;
    (void)end;
    (void)was_lost;
    identify_store_catch_up(gateway->store);
}

static void start_gateway(struct gateway *gateway, struct loop *loop)
{
    struct bus_options options = {.prefix = STR("t:")};
    struct bus_follower follower = {.begins = on_begins, .arg = gateway};
    struct fail why = {""};
    char text[128];

    snprintf(text, sizeof(text), "redis+unix://%s", socket_path);
    if (!redis_url_parse(str_of(text), &options.url, &why))
        fail_msg("%s", why.text);
    gateway->shared = identify_shared_new();
    gateway->store = identify_store_new(gateway->shared, loop, &options.url, STR("t:"), NULL, &why);
    if (gateway->store == NULL)
        fail_msg("%s", why.text);
    gateway->bus = bus_new(loop, &options);
    assert_non_null(gateway->bus);
    identify_store_tell(gateway->store, tell, gateway);
    bus_subscribe(gateway->bus, "revoked", on_news, NULL, gateway);
    bus_follow(gateway->bus, &follower);
}

static void stop_gateway(struct gateway *gateway)
{
    bus_free(&gateway->bus);
    identify_store_free(&gateway->store);
    identify_shared_free(&gateway->shared);
}

/* ---- waiting for a state ---- */

struct waiting {
    struct loop *loop;
    struct deadline look;
    struct revoked *revoked;
    struct hash128 name;
    uint64_t give_up_us, began_us;
};

static void on_look(void *arg)
{
    struct waiting *waiting = arg;
    uint64_t now_us = loop_now_us(waiting->loop);

    if (revoked_has(waiting->revoked, waiting->name, clock_wall_us() / 1000000)) {
        loop_stop(waiting->loop);
        return;
    }
    if (now_us > waiting->give_up_us)
        fail_msg("a revocation did not come");
    assert_true(deadline_set(waiting->loop, &waiting->look, now_us + 1000));
}

static void on_soon(void *arg)
{
    loop_stop(arg);
}

/* Microseconds until it was there. */
static uint64_t wait_for(struct loop *loop, const struct gateway *gateway, struct hash128 name)
{
    struct waiting waiting = {.loop = loop,
                              .revoked = shared_revoked(gateway->shared),
                              .name = name,
                              .began_us = clock_mono_us()};

    waiting.look = (struct deadline){.fn = on_look, .arg = &waiting};
    waiting.give_up_us = loop_now_us(loop) + PATIENCE_US;
    assert_true(deadline_set(loop, &waiting.look, loop_now_us(loop)));
    loop_run(loop);
    return clock_mono_us() - waiting.began_us;
}

static void wait_until_loaded(struct loop *loop, const struct gateway *gateway)
{
    uint64_t give_up_us = clock_mono_us() + PATIENCE_US;

    while (!identify_store_is_loaded(gateway->store)) {
        struct deadline soon = {.fn = on_soon, .arg = loop};

        assert_true(clock_mono_us() < give_up_us);
        assert_true(deadline_set(loop, &soon, clock_mono_us() + 1000));
        loop_run(loop);
    }
}

static struct hash128 revoke_at(const struct gateway *gateway, const char *id, int64_t in_s)
{
    int64_t now_s = clock_wall_us() / 1000000;
    struct identify_token token = {revoked_name('j', str_of(id)),
                                   in_s == INT64_MAX ? INT64_MAX : now_s + in_s};

    assert_int_equal(identify_revoke(gateway->shared, &token, now_s), REVOKE_DONE);
    assert_true(revoked_has(shared_revoked(gateway->shared), token.name, now_s));
    return token.name;
}

static void seen_by_every_gateway_kept_over_restarts(void **state)
{
    struct loop *loop = loop_new(NULL);
    struct gateway a, b;
    struct hash128 first, second, late;

    (void)state;
    assert_non_null(loop);
    start_redis();
    start_gateway(&a, loop);
    start_gateway(&b, loop);
    first = revoke_at(&a, "first", 1000);
    wait_for(loop, &b, first);
    second = revoke_at(&b, "second", INT64_MAX);
    print_message("seen by another gateway after %" PRIu64 " us\n", wait_for(loop, &a, second));

    /* a gateway that starts anew learns both; one that ends loses nothing */
    stop_gateway(&b);
    start_gateway(&b, loop);
    wait_for(loop, &b, first);
    wait_for(loop, &b, second);
    assert_true(identify_store_is_loaded(b.store));
    assert_int_equal(revoked_count(shared_revoked(b.shared)), 2);

    /* the store is away: the gateway that was asked refuses at once, the other when it is back */
    stop_redis();
    late = revoke_at(&a, "late", 1000);
    assert_false(revoked_has(shared_revoked(b.shared), late, 1));
    start_redis();
    wait_for(loop, &b, late);
    stop_gateway(&b);
    start_gateway(&b, loop);
    wait_for(loop, &b, first);
    wait_for(loop, &b, late);

    stop_gateway(&a);
    stop_gateway(&b);
    loop_free(&loop);
    stop_redis();
}

static void until_a_newcomer_knows(struct gateway *gateway, struct loop *loop, uint32_t want)
{
    for (int tries = 0;; tries++) {
        start_gateway(gateway, loop);
        wait_until_loaded(loop, gateway);
        if (revoked_count(shared_revoked(gateway->shared)) == want)
            break;
        assert_true(tries < 1000);
        stop_gateway(gateway);
    }
}

/* Many at once leave in few messages; a newcomer reads them in pages. */
static void thousands_at_once(void **state)
{
    enum { MANY = 5000 };
    struct loop *loop = loop_new(NULL);
    struct gateway a, b;
    struct hash128 last = {0, 0};
    char id[16];

    (void)state;
    assert_non_null(loop);
    lose_data();
    start_redis();
    start_gateway(&a, loop);
    start_gateway(&b, loop);
    wait_for(loop, &b, revoke_at(&a, "before", 1000));
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof(id), "%d", i);
        last = revoke_at(&a, id, 1000);
    }
    print_message("%d seen by another gateway after %" PRIu64 " us\n", MANY,
                  wait_for(loop, &b, last));
    assert_int_equal(revoked_count(shared_revoked(b.shared)), MANY + 1);
    stop_gateway(&a);
    start_gateway(&a, loop);
    wait_for(loop, &a, last);
    wait_until_loaded(loop, &a);
    assert_int_equal(revoked_count(shared_revoked(a.shared)), MANY + 1);

    /* somebody deletes the set, and the connections end: it is written anew */
    raw("del t:revoked:{tokens}");
    raw("client kill type normal");
    wait_for(loop, &b, revoke_at(&a, "after the deletion", 1000));
    stop_gateway(&a);
    until_a_newcomer_knows(&a, loop, MANY + 2);

    /* the server comes back without its data: who knows them tells it again */
    stop_gateway(&a);
    stop_redis();
    lose_data();
    start_redis();
    wait_for(loop, &b, revoke_at(&b, "after the loss", 1000));
    until_a_newcomer_knows(&a, loop, MANY + 3);
    stop_gateway(&a);
    stop_gateway(&b);
    loop_free(&loop);
    stop_redis();
}

/* Whoever writes to that key or that stream: what is no revocation is passed over. */
static void garbage_is_passed_over(void **state)
{
    static const struct str news[] = {
        STR(""),
        STR("\n\n\n"),
        STR("0123"),
        STR("0123456789abcdef0123456789abcdef"),
        STR("0123456789abcdef0123456789abcdef \n"),
        STR("0123456789abcdef0123456789abcdeg 9999999999\n"),
        STR("0123456789abcdef0123456789abcdef 99999999999999999999999\n"),
        STR("0123456789abcdef0123456789abcdef -1\n"),
        STR("0123456789abcdef0123456789abcdef 1\n"), /* over long ago */
    };
    struct loop *loop = loop_new(NULL);
    struct gateway a;

    (void)state;
    start_gateway(&a, loop);
    for (size_t i = 0; i < COUNT_OF(news); i++) {
        identify_store_hear(a.store, news[i]);
        if (revoked_count(shared_revoked(a.shared)) != 0)
            fail_msg("taken: %.*s", STR_ARG(news[i]));
    }
    identify_store_hear(a.store, STR("x\n0123456789abcdef0123456789abcdef 9007199254740992\n"));
    assert_int_equal(revoked_count(shared_revoked(a.shared)), 1);
    stop_gateway(&a);
    loop_free(&loop);
}

static int make_folder(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seen_by_every_gateway_kept_over_restarts),
        cmocka_unit_test(thousands_at_once),
        cmocka_unit_test(garbage_is_passed_over),
    };
    return cmocka_run_group_tests_name("worker/revoked_store", tests, make_folder, remove_folder);
}
