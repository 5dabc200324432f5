/* resolve_test.c - names looked up off the loop: what comes back, in which order, how many at a
 * time, and nothing at all once it is cancelled. No name server: getaddrinfo() is this program's
 * own where the order counts, and elsewhere a function of the test's asks. */
#include "loop_fixture.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

typedef int getaddrinfo_fn(const char *name, const char *service, const struct addrinfo *hints,
                           struct addrinfo **result);
static getaddrinfo_fn *real_getaddrinfo;
static const char *const *list_of_name; /* ended by NULL */
static atomic_int flags_seen;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo **tail = result;

    (void)service;
    *result = NULL;
    atomic_store(&flags_seen, hints->ai_flags);
    if (strcmp(name, "list.test") != 0 && strcmp(name, "a.localhost") != 0)
        return EAI_NONAME;
    for (const char *const *at = list_of_name; *at != NULL; at++) {
        if (real_getaddrinfo(*at, NULL, &numeric, tail) != 0)
            return EAI_FAIL;
        tail = &(*tail)->ai_next;
    }
    return 0;
}

struct seen {
    struct loop *loop;
    int calls, wanted;
    struct resolved last;
};

static void on_resolved(void *arg, const struct resolved *resolved)
{
    struct seen *seen = arg;

    seen->last = *resolved;
    if (++seen->calls == seen->wanted)
        loop_stop(seen->loop);
}

static const char *text_of(const struct socket_address *address, char *to, size_t room)
{
    const void *bytes = address->as.any.sa_family == AF_INET
                            ? (const void *)&address->as.ip4.sin_addr
                            : (const void *)&address->as.ip6.sin6_addr;

    return inet_ntop(address->as.any.sa_family, bytes, to, (socklen_t)room);
}

static void the_families_take_turns(void **state)
{
    static const struct {
        const char *name, *found[6], *want[6];
    } rows[] = {
        {"the first family stays the first",
         {"2001:db8::1", "2001:db8::2", "10.0.0.1", "10.0.0.2"},
         {"2001:db8::1", "10.0.0.1", "2001:db8::2", "10.0.0.2"}},
        {"one of the other",
         {"10.0.0.1", "10.0.0.2", "10.0.0.3", "::1"},
         {"10.0.0.1", "::1", "10.0.0.2", "10.0.0.3"}},
        {"one family", {"10.0.0.2", "10.0.0.1"}, {"10.0.0.2", "10.0.0.1"}},
        {"already so", {"::1", "127.0.0.1"}, {"::1", "127.0.0.1"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct loop *loop = new_loop();
        struct seen seen = {.loop = loop, .wanted = 1};
        char text[INET6_ADDRSTRLEN];
        uint32_t count = 0;

        list_of_name = rows[i].found;
        assert_non_null(loop_resolve(loop, STR("list.test"), 8080, on_resolved, &seen));
        assert_int_equal(seen.calls, 0);
        run_loop(loop);
        for (; rows[i].want[count] != NULL; count++)
            if (strcmp(text_of(&seen.last.at[count], text, sizeof(text)), rows[i].want[count]) != 0)
                fail_msg("%s: %s is number %" PRIu32, rows[i].name, text, count);
        assert_int_equal(seen.last.count, count);
        assert_int_equal(ntohs(seen.last.at[0].as.ip4.sin_port), 8080);
        assert_true((atomic_load(&flags_seen) & AI_ADDRCONFIG) != 0);
        loop_free(&loop);
    }
}

/* Of this machine's own names every family is wanted, whatever its interfaces have. */
static void localhost_has_both(void **state)
{
    static const char *const both[] = {"::1", "127.0.0.1", NULL};
    struct loop *loop = new_loop();
    struct seen seen = {.loop = loop, .wanted = 1};

    (void)state;
    list_of_name = both;
    assert_non_null(loop_resolve(loop, STR("a.localhost"), 1, on_resolved, &seen));
    run_loop(loop);
    assert_int_equal(seen.last.count, 2);
    assert_int_equal(atomic_load(&flags_seen) & AI_ADDRCONFIG, 0);
    seen.calls = 0;
    assert_non_null(loop_resolve(loop, STR("nowhere.test"), 1, on_resolved, &seen));
    run_loop(loop);
    assert_int_equal(seen.last.count, 0);
    assert_true(seen.last.why != NULL && seen.last.why[0] != '\0');
    loop_free(&loop);
}

static void addresses_need_no_look_up(void **state)
{
    static const struct {
        const char *host;
        int family; /* 0: it is a name */
    } rows[] = {
        {"127.0.0.1", AF_INET},
        {"::1", AF_INET6},
        {"[::1]", AF_INET6},
        {"[127.0.0.1]", AF_INET},
        {"localhost", 0},
        {"", 0},
        {"[", 0},
        {"127.0.0.1.5", 0},
        {"[2001:db8::1", 0},
        {"1", 0},
        {"[]", 0},
        {"::ffff:10.0.0.1", AF_INET6},
        {"2001:db8:0000:0000:0000:0000:0000:0000:0000:0000:1", 0},
    };
    struct loop *loop = new_loop();
    struct seen seen = {.loop = loop, .wanted = 1};
    struct resolution *cancelled;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct socket_address address;
        bool is_one = socket_address_parse(str_of(rows[i].host), 80, &address);

        if (is_one != (rows[i].family != 0) ||
            (is_one && address.as.any.sa_family != rows[i].family))
            fail_msg("%s", rows[i].host);
    }
    cancelled = loop_resolve(loop, STR("10.0.0.1"), 7, on_resolved, NULL); /* would crash */
    assert_non_null(cancelled);
    assert_non_null(loop_resolve(loop, STR("10.0.0.2"), 7, on_resolved, &seen));
    loop_resolve_cancel(&cancelled);
    assert_null(cancelled);
    assert_int_equal(seen.calls, 0); /* from the loop, never from inside the call */
    run_loop(loop);
    assert_int_equal(seen.last.count, 1);
    loop_free(&loop);
}

/* ---- many, slow ones, and the end --------------------------------------- */

static atomic_int asking, most_asking, asked;
static atomic_bool is_released;

static void nap(long ms)
{
    struct timespec time = {0, ms * 1000000};

    nanosleep(&time, NULL);
}

static void ask_slowly(const char *host, uint16_t port, struct resolved *to)
{
    int now = atomic_fetch_add(&asking, 1) + 1, most = atomic_load(&most_asking);

    (void)host;
    while (now > most && !atomic_compare_exchange_weak(&most_asking, &most, now))
        continue;
    atomic_fetch_add(&asked, 1);
    while (!atomic_load(&is_released))
        nap(1);
    atomic_fetch_sub(&asking, 1);
    assert_true(socket_address_parse(STR("10.0.0.1"), port, &to->at[0]));
    to->count = 1;
}

static void reset(bool released)
{
    atomic_store(&most_asking, 0);
    atomic_store(&asked, 0);
    atomic_store(&is_released, released);
}

static void release(void *arg)
{
    (void)arg;
    atomic_store(&is_released, true);
}

/* Eight at a time; the others wait, and those that are cancelled meanwhile are never asked. */
static void few_at_a_time(void **state)
{
    enum { NAMES = 40, CANCELLED = 10 };
    struct loop *loop = new_loop();
    struct seen seen = {.loop = loop, .wanted = NAMES - CANCELLED};
    struct resolution *all[NAMES];
    struct deadline later = {.fn = release};

    (void)state;
    reset(false);
    loop_resolve_by(loop, ask_slowly);
    for (int i = 0; i < NAMES; i++) {
        all[i] = loop_resolve(loop, STR("slow.test"), 80, on_resolved, &seen);
        assert_non_null(all[i]);
    }
    assert_int_equal(loop_resolve_pending(), NAMES);
    for (int i = NAMES - CANCELLED; i < NAMES; i++)
        loop_resolve_cancel(&all[i]);
    assert_true(deadline_set(loop, &later, loop_now_us(loop) + 50000));
    run_loop(loop);
    assert_int_equal(seen.calls, NAMES - CANCELLED);
    assert_int_equal(atomic_load(&asked), NAMES - CANCELLED);
    assert_true(atomic_load(&most_asking) <= 8);
    loop_free(&loop);
    assert_int_equal(loop_resolve_pending(), 0);
}

/* A name server that is silent holds up neither the loop nor its end. */
static void the_end_does_not_wait(void **state)
{
    struct loop *loop = new_loop();
    struct resolution *cancelled;
    uint64_t began_us = clock_mono_us();

    (void)state;
    reset(false);
    loop_resolve_by(loop, ask_slowly);
    for (int i = 0; i < 20; i++)
        assert_non_null(loop_resolve(loop, STR("slow.test"), 80, on_resolved, NULL));
    cancelled = loop_resolve(loop, STR("slow.test"), 80, on_resolved, NULL);
    run_turn(loop);
    loop_resolve_cancel(&cancelled);
    loop_free(&loop);
    assert_true(clock_mono_us() - began_us < 5000000);
    release(NULL);
    while (atomic_load(&asking) > 0)
        nap(1);
    for (int i = 0; i < 2000 && loop_resolve_pending() > 0;
         i++) /* the threads free what is theirs */
        nap(1);
    assert_int_equal(loop_resolve_pending(), 0);
}

/* Answered while the loop was not running, and then never fetched. */
static void an_answer_that_nobody_fetches(void **state)
{
    struct loop *loop = new_loop();

    (void)state;
    reset(true);
    loop_resolve_by(loop, ask_slowly);
    for (int i = 0; i < 4; i++)
        assert_non_null(loop_resolve(loop, STR("quick.test"), 80, on_resolved, NULL));
    for (int i = 0; i < 2000 && atomic_load(&asked) < 4; i++)
        nap(1);
    nap(10);
    loop_free(&loop);
    nap(10);
}

static void what_is_refused(void **state)
{
    char name[RESOLVE_NAME_MOST + 2];
    struct loop *loop = new_loop();

    (void)state;
    memset(name, 'a', sizeof(name));
    assert_null(loop_resolve(loop, STR(""), 80, on_resolved, NULL));
    assert_null(loop_resolve(loop, str_at(name, sizeof(name)), 80, on_resolved, NULL));
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_families_take_turns),
        cmocka_unit_test(localhost_has_both),
        cmocka_unit_test(addresses_need_no_look_up),
        cmocka_unit_test(few_at_a_time),
        cmocka_unit_test(the_end_does_not_wait),
        cmocka_unit_test(an_answer_that_nobody_fetches),
        cmocka_unit_test(what_is_refused),
    };

    real_getaddrinfo = (getaddrinfo_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
    assert_non_null(real_getaddrinfo);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
