/* families_test.c - a name with addresses of both families, of which one leads nowhere.
 *
 * The server listens at 127.0.0.1 alone; at [::1] its port is taken by a socket that does not
 * listen, so that nobody else can. Nothing is looked up: the registry is told the addresses. */
#include "stage.h"

#include <sys/socket.h>
#include <unistd.h>

static int take_port(uint16_t port)
{
    struct socket_address address;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    assert_true(socket_address_parse(STR("::1"), port, &address));
    if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0 ||
        bind(fd, &address.as.any, address.len) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

struct pair {
    struct stage stage;
    int fd;
};

/* False: this machine has no ::1. */
static bool pair_start(struct pair *pair)
{
    static const struct step *const scripts[] = {serve};
    static const struct str addresses[] = {STR("127.0.0.1"), STR("[::1]")};
    struct stage *s = &pair->stage;
    bool has_changed;

    stage_start(s);
    add_server(s, scripts, 1);
    s->targets[0].host = STR("both.test");
    pair->fd = take_port(s->targets[0].port);
    assert_true(registry_set_addresses(s->upstreams, &s->config, 0, addresses, 2, &has_changed));
    return pair->fd >= 0;
}

static void pair_stop(struct pair *pair)
{
    stage_stop(&pair->stage);
    if (pair->fd >= 0)
        close(pair->fd);
}

static struct target *address(struct stage *s, uint32_t place)
{
    struct members members;
    struct target *target;

    assert_true(registry_resolve(s->upstreams, &s->config, &members));
    target = members.targets[place];
    members_clear(&members);
    return target;
}

/* Neither a retry is configured nor may a POST be repeated: nothing was sent, so the other family
 * is asked, and after some failures in a row the dead address is left out. */
static void the_other_family_answers(void **state)
{
    struct pair pair;
    struct stage *s = &pair.stage;
    uint32_t crossed = 0;

    (void)state;
    if (!pair_start(&pair)) {
        pair_stop(&pair);
        skip();
    }
    s->config.retry.attempts = 0;
    s->config.retry.on = 0;
    for (int i = 0; i < 20; i++) {
        struct seen seen = {.upload = STR("a body")};

        run(s, &seen, "POST", 5000);
        if (seen.result.kind != UPSTREAM_OK || seen.status != 200 || !seen.is_done)
            fail_msg("request %d: %s", i, upstream_kind_name(seen.result.kind));
        assert_int_equal(seen.tries, seen.result.attempts);
        crossed += seen.result.attempts == 2;
    }
    assert_int_equal(crossed, 5); /* then it is ejected */
    assert_true(target_is_ejected(address(s, 1), clock_mono_us()));
    assert_int_equal(atomic_load(&address(s, 1)->requests), 5);
    assert_int_equal(atomic_load(&address(s, 0)->requests), 20);
    pair_stop(&pair);
}

/* Where the other family may not be asked either, the try has failed. */
static void but_not_where_it_is_out(void **state)
{
    static const struct {
        const char *name;
        bool is_unhealthy, is_ejected, is_full;
    } rows[] = {{"unhealthy", true, false, false},
                {"ejected", false, true, false},
                {"full", false, false, true}};
    struct pair pair;
    struct stage *s = &pair.stage;

    (void)state;
    if (!pair_start(&pair)) {
        pair_stop(&pair);
        skip();
    }
    s->config.retry.attempts = 0;
    s->config.ejection.failures = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct target *good = address(s, 0);
        struct seen seen = {0};

        atomic_store(&good->is_unhealthy, rows[i].is_unhealthy);
        atomic_store(&good->ejected_until_us, rows[i].is_ejected ? UINT64_MAX : 0);
        atomic_store(&good->in_flight, rows[i].is_full ? s->config.max_requests : 0);
        run(s, &seen, "GET", 5000);
        if (seen.result.kind != UPSTREAM_CONNECT || seen.result.attempts != 1)
            fail_msg("%s: %s", rows[i].name, upstream_kind_name(seen.result.kind));
        atomic_store(&good->is_unhealthy, false);
        atomic_store(&good->ejected_until_us, 0);
        atomic_store(&good->in_flight, 0);
    }
    pair_stop(&pair);
}

/* Back from its ejection, a target gets one request at a time until it has answered. */
static void one_at_a_time_after_an_ejection(void **state)
{
    struct target_config at[2] = {
        {.url = STR("http://a:1"), .host = STR("a"), .port = 1, .weight = 1},
        {.url = STR("http://b:1"), .host = STR("b"), .port = 1, .weight = 1}};
    struct upstream_config config = {
        .name = STR("u"), .targets = at, .target_count = 2, .max_requests = 100};
    struct balance_entry entries[2] = {{0}};
    struct slot slot = {.entries = entries};
    struct choose_question question = {.upstream = &config, .worst = STANDING_EJECTED};
    struct upstreams *upstreams = upstreams_new();
    struct attempt attempt = {0};
    uint32_t place, to_a = 0;

    (void)state;
    config.balance = BALANCE_ROUND_ROBIN;
    config.ejection.failures = 2;
    config.ejection.eject_for_ms = 10;
    config.ejection.max = 0.5;
    assert_true(registry_resolve(upstreams, &config, &slot.members));
    for (int i = 0; i < 2; i++)
        eject_note_failure(upstreams, &config, &slot.members, slot.members.targets[0], 1000);
    assert_true(target_is_ejected(slot.members.targets[0], 1001));
    question.now_us = 1000 + 10001;                       /* over */
    atomic_store(&slot.members.targets[0]->in_flight, 3); /* from before: they are no trial */
    for (int i = 0; i < 10; i++) {
        assert_int_equal(choose_target(&slot, &question, &place), CHOICE_TARGET);
        to_a += place == 0;
        if (place == 0) {
            attempt.target = slot.members.targets[0];
            attempt_begin_trial(&attempt);
            assert_true(attempt.is_trial);
        }
    }
    assert_int_equal(to_a, 1);
    attempt_end_trial(&attempt); /* without an answer: the next may try */
    for (int i = 0; i < 4; i++) {
        assert_int_equal(choose_target(&slot, &question, &place), CHOICE_TARGET);
        to_a += place == 0;
    }
    assert_true(to_a > 1);
    to_a = 0;
    eject_note_answer(upstreams, &config, slot.members.targets[0], question.now_us);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(choose_target(&slot, &question, &place), CHOICE_TARGET);
        to_a += place == 0;
    }
    assert_true(to_a >= 4);
    members_clear(&slot.members);
    upstreams_free(&upstreams);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_other_family_answers),
        cmocka_unit_test(but_not_where_it_is_out),
        cmocka_unit_test(one_at_a_time_after_an_ejection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
