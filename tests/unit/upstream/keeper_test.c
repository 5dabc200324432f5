/* keeper_test.c - verdicts of active checks, and names with their addresses: no name server. */
#include "upstream/upstream_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct upstream_config named(struct target_config *at)
{
    struct upstream_config config = {
        .name = STR("u"), .targets = at, .target_count = 2, .dns_ttl_ms = 100};

    at[0] = (struct target_config){
        .url = STR("http://api.test:80"), .host = STR("api.test"), .port = 80, .weight = 3};
    at[1] = (struct target_config){
        .url = STR("http://10.0.0.9:80"), .host = STR("10.0.0.9"), .port = 80, .weight = 1};
    config.health.healthy = 2;
    config.health.unhealthy = 3;
    config.required = true;
    config.max_requests = 10;
    return config;
}

static void checks_in_a_row(void **state)
{
    static const char outcomes[] = "bbgbbbgbgg"; /* good or bad */
    static const char want[] = "uuuuudddd"
                               "u"; /* up or down after each */
    struct target_config at[2];
    struct upstream_config config = named(at);
    struct target target = {.consecutive = 4};

    (void)state;
    target.named = &target;
    for (size_t i = 0; outcomes[i] != '\0'; i++) {
        (void)health_note(&target, &config, outcomes[i] == 'g', 1000 + i);
        if (atomic_load(&target.is_unhealthy) != (want[i] == 'd'))
            fail_msg("after %zu checks", i + 1);
    }
    assert_int_equal(atomic_load(&target.since_us), 1009); /* slow start */
    assert_int_equal(atomic_load(&target.consecutive), 0);
}

static void set(struct upstreams *upstreams, const struct upstream_config *config, const char *a,
                const char *b)
{
    struct str addresses[] = {str_of(a), str_of(b != NULL ? b : a)};
    uint32_t count = b != NULL ? 2 : 1;
    bool has_changed = false, again = false;

    assert_true(registry_set_addresses(upstreams, config, 0, addresses, count, &has_changed));
    assert_true(has_changed);
    assert_true(registry_set_addresses(upstreams, config, 0, addresses, count, &again));
    assert_false(again);
}

/* Each address is a target with a state of its own, which it finds again when it comes back. */
static void addresses_are_targets(void **state)
{
    struct target_config at[2];
    struct upstream_config config = named(at);
    struct upstreams *upstreams = upstreams_new();
    struct members before, both, one, again;
    struct target_status status;

    (void)state;
    assert_non_null(upstreams);
    assert_true(registry_resolve(upstreams, &config, &before));
    assert_int_equal(before.count, 2);
    set(upstreams, &config, "10.0.0.1", "10.0.0.2");
    assert_true(registry_resolve(upstreams, &config, &both));
    assert_int_equal(both.count, 3);
    assert_int_not_equal(both.generation, before.generation);
    assert_int_equal(both.origins[1], 0);
    assert_int_equal(both.origins[2], 1);
    assert_true(str_eq(both.targets[1]->address, STR("10.0.0.2")));
    assert_int_equal(atomic_load(&both.targets[0]->since_us), 0);
    atomic_fetch_add(&both.targets[1]->failures, 7);
    set(upstreams, &config, "10.0.0.1", NULL);
    assert_true(registry_resolve(upstreams, &config, &one));
    assert_int_equal(one.count, 2);
    assert_ptr_equal(one.targets[0], both.targets[0]);
    set(upstreams, &config, "10.0.0.1", "10.0.0.2");
    assert_true(registry_resolve(upstreams, &config, &again));
    assert_ptr_equal(again.targets[1], both.targets[1]);
    assert_true(upstreams_status(upstreams, &config, 0, 1, &status));
    assert_int_equal(status.addresses, 2);
    assert_int_equal(status.failures, 7);
    /* one of them stands: so does the name */
    atomic_store(&both.targets[0]->is_unhealthy, true);
    assert_true(upstreams_status(upstreams, &config, 0, 1, &status));
    assert_int_equal(status.state, TARGET_UP);
    atomic_store(&both.targets[1]->is_unhealthy, true);
    assert_true(upstreams_status(upstreams, &config, 0, 1, &status));
    assert_int_equal(status.state, TARGET_UNHEALTHY);
    /* an operator's word is on the name, and so on all of them */
    assert_true(upstreams_set_target(upstreams, &config, 0, TARGET_DOWN));
    assert_false(target_is_usable(again.targets[1]));
    assert_true(upstreams_set_target(upstreams, &config, 0, TARGET_UP));
    assert_true(target_is_usable(again.targets[1]));
    assert_false(upstreams_set_target(upstreams, &config, 2, TARGET_UP));
    members_clear(&before);
    members_clear(&both);
    members_clear(&one);
    members_clear(&again);
    upstreams_free(&upstreams);
}

/* ---- the look-up ---------------------------------------------------------- */

static atomic_int asked;

static void pretend(const char *host, uint16_t port, struct resolved *to)
{
    static const char *const addresses[] = {"2001:db8::1", "10.0.0.2", "10.0.0.1", "10.0.0.2"};
    bool is_away = atomic_fetch_add(&asked, 1) >= 2; /* the name server, from then on */

    to->why = "the name server is away";
    if (is_away || strcmp(host, "api.test") != 0)
        return;
    for (; to->count < COUNT_OF(addresses); to->count++)
        assert_true(socket_address_parse(str_of(addresses[to->count]), port, &to->at[to->count]));
}

struct scene {
    struct loop *loop;
    struct deadline tick;
    uint64_t until_us;
};

static void on_tick(void *arg)
{
    struct scene *scene = arg;

    if (atomic_load(&asked) >= 4 || loop_now_us(scene->loop) > scene->until_us)
        loop_stop(scene->loop);
    else
        assert_true(deadline_set(scene->loop, &scene->tick, loop_now_us(scene->loop) + 5000));
}

static void a_name_is_asked_for_again(void **state)
{
    char *env[] = {NULL};
    char path[] = "/tmp/keeper_test.XXXXXX";
    static const char text[] =
        "{\"upstreams\": {\"u\": {\"dns_ttl\": \"100ms\", \"targets\": [\"http://api.test:80\", "
        "\"http://10.0.0.9:80\", \"http://localhost:9\"]}}}";
    struct faults *faults = faults_new();
    struct fail why = {""};
    struct scene scene = {.tick = {.fn = on_tick}};
    struct upstreams *upstreams = upstreams_new();
    struct upstream_keeper *keeper;
    struct members members;
    struct config *config;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0 && write(fd, text, sizeof(text) - 1) == (ssize_t)(sizeof(text) - 1));
    close(fd);
    config = config_load(path, env, faults);
    unlink(path);
    assert_non_null(config);
    scene.loop = loop_new(&why);
    scene.tick.arg = &scene;
    loop_resolve_by(scene.loop, pretend);
    assert_true(upstreams_adopt(upstreams, config));
    keeper = upstream_keeper_new(scene.loop, upstreams, &why);
    assert_non_null(keeper);
    assert_true(upstream_keeper_use(keeper, config));
    assert_true(upstream_keeper_use(keeper, config)); /* a reload while it is asked for */
    scene.until_us = clock_mono_us() + 20000000;
    assert_true(deadline_set(scene.loop, &scene.tick, clock_mono_us()));
    loop_run(scene.loop);
    assert_true(atomic_load(&asked) >= 4);
    assert_true(registry_resolve(upstreams, &config->upstreams[0], &members));
    /* sorted, of both families, each once; kept though the later look-ups failed */
    assert_int_equal(members.count, 5);
    assert_true(str_eq(members.targets[0]->address, STR("10.0.0.1")));
    assert_true(str_eq(members.targets[1]->address, STR("10.0.0.2")));
    assert_true(str_eq(members.targets[2]->address, STR("[2001:db8::1]")));
    assert_true(str_eq(members.targets[4]->url, STR("http://localhost:9")));
    assert_int_equal(members.targets[4]->address.len, 0);
    members_clear(&members);
    upstream_keeper_free(&keeper);
    deadline_clear(scene.loop, &scene.tick);
    loop_free(&scene.loop);
    upstreams_free(&upstreams);
    config_release(&config);
    faults_free(&faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_in_a_row),
        cmocka_unit_test(addresses_are_targets),
        cmocka_unit_test(a_name_is_asked_for_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
