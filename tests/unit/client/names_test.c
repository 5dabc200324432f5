/* names_test.c - a name server that does not answer holds nobody but those who asked.
 *
 * getaddrinfo() is this program's own: for one name it waits until the test lets it go, and one
 * has an address that nobody answers at before the right one. Either way calls it in a thread,
 * and must not wait for that thread on the loop's. */
#include "probe.h"
#include "script_server.h"

#include <dlfcn.h>
#include <netdb.h>
#include <stdatomic.h>

typedef int getaddrinfo_fn(const char *name, const char *service, const struct addrinfo *hints,
                           struct addrinfo **result);
static getaddrinfo_fn *real_getaddrinfo;
static atomic_bool is_released;
static atomic_int waiting;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    (void)service;
    *result = NULL;
    if (strcmp(name, "two.test") == 0) { /* of its own hands, as freeaddrinfo() is libc's */
        struct addrinfo numeric = *hints, *first = NULL, *second = NULL;

        numeric.ai_flags = AI_NUMERICHOST;
        if (real_getaddrinfo("127.0.0.9", NULL, &numeric, &first) != 0 ||
            real_getaddrinfo("127.0.0.1", NULL, &numeric, &second) != 0)
            return EAI_NONAME;
        first->ai_next = second;
        *result = first;
        return 0;
    }
    if (strcmp(name, "slow.test") == 0) {
        atomic_fetch_add(&waiting, 1);
        while (!atomic_load(&is_released))
            server_pause(2);
        atomic_fetch_sub(&waiting, 1);
    }
    return EAI_NONAME;
}

static void a_slow_name_holds_nobody(void **state)
{
    static const struct step serve[] = {{S_SERVE, NULL, 0}};
    const struct step *scripts[] = {serve};
    struct client_request request = {
        .method = STR("GET"), .path = STR("/"), .connect_timeout_ms = 50};
    struct script_server *server = malloc(sizeof(*server));
    struct bench bench;
    struct client_target plain;
    struct probe timed_out = {0}, cancelled = {0};
    uint64_t began_us = clock_mono_us();

    (void)state;
    assert_non_null(server);
    server_start(server, scripts, 1);
    bench_start(&bench, server->port);
    plain = bench.target;
    bench.target.host = STR("slow.test");
    probe_run(&bench, &timed_out, &request);
    assert_int_equal(timed_out.outcome, CLIENT_CONNECT_TIMEOUT);

    probe_start(&bench, &cancelled, &request);
    bench_idle(&bench, 10);
    client_cancel(&cancelled.exchange);
    bench.target = plain;
    bench_canary(&bench, "while a name is looked up");
    bench_stop(&bench);
    assert_true(clock_mono_us() - began_us < 2000000);

    atomic_store(&is_released, true);
    while (atomic_load(&waiting) > 0)
        server_pause(2);
    server_pause(20); /* the threads end after they have freed what is theirs */
    server_stop(server);
    free(server);
}

/* Refused at the first address, answered at the second; then the connection is kept. */
static void the_next_address_is_tried(void **state)
{
    static const struct step serve[] = {{S_SERVE, NULL, 0}};
    const struct step *scripts[] = {serve};
    struct script_server *server = malloc(sizeof(*server));
    struct bench bench;

    (void)state;
    assert_non_null(server);
    server_start(server, scripts, 1);
    bench_start(&bench, server->port);
    bench.target.host = STR("two.test");
    bench_canary(&bench, "second address");
    bench_canary(&bench, "second address, kept");
    assert_int_equal(server_connections(server), 1);
    bench_stop(&bench);
    server_stop(server);
    free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_next_address_is_tried),
                                       cmocka_unit_test(a_slow_name_holds_nobody)};

    real_getaddrinfo = (getaddrinfo_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
    assert_non_null(real_getaddrinfo);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
