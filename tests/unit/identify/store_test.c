/* store_test.c - revoked tokens of two gateways in a real Redis of the test's own.
 *
 * It listens on a unix socket in a folder of the test, and is ended by its process id. Two shared
 * sets on one loop are two gateways. */
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

struct gateway {
    struct identify_shared *shared;
    struct identify_store *store;
};

static struct gateway start_gateway(struct loop *loop)
{
    struct gateway gateway = {.shared = identify_shared_new()};
    struct redis_url url;
    struct fail why = {""};
    char text[128];

    snprintf(text, sizeof(text), "redis+unix://%s", socket_path);
    if (!redis_url_parse(str_of(text), &url, &why))
        fail_msg("%s", why.text);
    gateway.store = identify_store_new(gateway.shared, loop, &url, STR("t:"), NULL, &why);
    if (gateway.store == NULL)
        fail_msg("%s", why.text);
    return gateway;
}

static void stop_gateway(struct gateway *gateway)
{
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
    a = start_gateway(loop);
    b = start_gateway(loop);
    first = revoke_at(&a, "first", 1000);
    wait_for(loop, &b, first);
    second = revoke_at(&b, "second", INT64_MAX);
    print_message("seen by another gateway after %" PRIu64 " us\n", wait_for(loop, &a, second));

    /* a gateway that starts anew learns both; one that ends loses nothing */
    stop_gateway(&b);
    b = start_gateway(loop);
    wait_for(loop, &b, first);
    wait_for(loop, &b, second);
    assert_int_equal(revoked_count(shared_revoked(b.shared)), 2);

    /* the store is away: the gateway that was asked refuses at once, the other when it is back */
    stop_redis();
    late = revoke_at(&a, "late", 1000);
    assert_false(revoked_has(shared_revoked(b.shared), late, 1));
    start_redis();
    wait_for(loop, &b, late);
    stop_gateway(&b);
    b = start_gateway(loop);
    wait_for(loop, &b, first);
    wait_for(loop, &b, late);

    stop_gateway(&a);
    stop_gateway(&b);
    loop_free(&loop);
    stop_redis();
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
    };
    return cmocka_run_group_tests_name("identify/store", tests, make_folder, remove_folder);
}
