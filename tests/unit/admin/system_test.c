/* system_test.c - health, readiness, metrics, limits, upstreams, configuration. */
#include "admin/admin_priv.h"
#include "admin_fixture.h"

#define KEYS                                                                                       \
    ",\"identity\":{\"sources\":[\"api_key\",\"ip\"],\"api_key\":{\"keys\":{\"" ACME_KEY           \
    "\":{\"id\":\"acme\",\"tier\":\"premium\"}}}}"
#define KEY_CONFIG CONFIG_TEXT("", KEYS)

static void health_is_ok_while_draining(void **state)
{
    struct world *world = world_new(OPEN_CONFIG);
    cJSON *json;

    (void)state;
    world->shared.is_draining = true;
    json = json_of(world, &(struct ask){.path = "/health"}, 200);
    assert_text(json, "status", "ok");
    cJSON_Delete(json);
    json = json_of(world, &(struct ask){.path = "/health_check"}, 200);
    assert_text(json, "status", "ok");
    cJSON_Delete(json);
    world_free(world);
}

static void ready_until_it_drains(void **state)
{
    struct world *world = world_new(OPEN_CONFIG);
    cJSON *json = json_of(world, &(struct ask){.path = "/ready"}, 200);

    (void)state;
    assert_text(json, "status", "ready");
    cJSON_Delete(json);
    world->shared.is_draining = true;
    json = json_of(world, &(struct ask){.path = "/ready"}, 503);
    assert_text(json, "status", "not_ready");
    assert_text(json, "reason", "draining");
    cJSON_Delete(json);
    world_free(world);
}

static void system_health_takes_the_worst(void **state)
{
    struct world *world = world_new(OPEN_CONFIG);
    struct ask ask = {.path = "/system/health"};
    cJSON *json;

    (void)state;
    world->utilization = 0.5;
    json = json_of(world, &ask, 200);
    assert_text(json, "backpressure.severity", "normal");
    assert_number(json, "backpressure.workers.1.utilization", 0.5);
    assert_int_equal(cJSON_GetArraySize(member(json, "backpressure.workers")), 2);
    assert_text(json, "memory.severity", "normal");
    assert_true(member(json, "memory.rss_bytes")->valuedouble > 0);
    assert_true(member(json, "memory.vms_bytes")->valuedouble >
                member(json, "memory.rss_bytes")->valuedouble);
    assert_number(json, "memory.cache_limit_bytes", 16 << 20);
    assert_text(json, "dependencies.severity", "normal");
    assert_number(json, "dependencies.upstreams.u.healthy_targets", 2);
    assert_number(json, "dependencies.upstreams.u.targets", 2);
    assert_text(json, "dependencies.store.kind", "memory");
    assert_text(json, "circuit_breakers.severity", "normal");
    assert_text(json, "status", "normal");
    cJSON_Delete(json);
    world->lag_s = 0.2;
    json = json_of(world, &ask, 200);
    assert_text(json, "backpressure.severity", "warning");
    assert_text(json, "status", "warning");
    cJSON_Delete(json);
    world->utilization = 0.99;
    json = json_of(world, &ask, 200);
    assert_text(json, "status", "critical");
    cJSON_Delete(json);
    world_free(world);
}

#define HEALTH(values) CONFIG_TEXT("", ",\"health\":{" values "}")

/* One threshold each is moved to where the value is past it, or just not. */
static const struct {
    const char *name, *config, *check, *want;
} thresholds[] = {
    {"lag", HEALTH("\"loop_lag\":{\"warning\":\"10ms\"}"), "backpressure.checks.loop_lag_seconds",
     "warning"},
    {"lag below", HEALTH("\"loop_lag\":{\"warning\":\"60ms\"}"),
     "backpressure.checks.loop_lag_seconds", "normal"},
    {"utilization", HEALTH("\"utilization\":{\"warning\":0.1,\"critical\":0.5}"),
     "backpressure.checks.loop_utilization", "critical"},
    {"store queue", HEALTH("\"store_queue\":{\"warning\":7,\"critical\":8}"),
     "backpressure.checks.store_queue", "warning"},
    {"tasks", HEALTH("\"tasks_pending\":{\"warning\":1,\"critical\":1}"),
     "backpressure.checks.tasks_pending", "normal"},
    {"fds", HEALTH("\"open_fds\":{\"warning\":0,\"critical\":0}"),
     "backpressure.checks.open_fds_share", "critical"},
    {"memory", HEALTH("\"memory\":{\"warning\":0,\"critical\":1}"), "memory.checks.rss_share",
     "warning"},
    {"growth", HEALTH("\"memory_full_in\":{\"warning\":\"30d\",\"critical\":\"30d\"}"),
     "memory.checks.full_in_seconds", "normal"}, /* too few samples to know */
};

static void each_threshold_is_the_configurations(void **state)
{
    struct ask ask = {.path = "/system/health"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(thresholds); i++) {
        struct world *world = world_new(thresholds[i].config);
        char severity[128], part[16];
        cJSON *json;

        cell_gauge_set(metrics_cell(metrics_sheet(world->shared.metrics), M_STORE_QUEUE), 7);
        world->lag_s = 0.05;
        world->utilization = 0.5;
        json = json_of(world, &ask, 200);
        snprintf(severity, sizeof(severity), "%s.severity", thresholds[i].check);
        if (strcmp(member(json, severity)->valuestring, thresholds[i].want) != 0)
            fail_msg("%s: %s", thresholds[i].name, member(json, severity)->valuestring);
        /* the part, and the whole, are as bad */
        snprintf(part, sizeof(part), "%.*s", (int)strcspn(severity, "."), severity);
        snprintf(severity, sizeof(severity), "%s.severity", part);
        assert_text(json, severity, thresholds[i].want);
        assert_text(json, "status", thresholds[i].want);
        cJSON_Delete(json);
        world_free(world);
    }
}

static void growth_is_judged_by_when_memory_is_full(void **state)
{
    struct world *world =
        world_new(HEALTH("\"memory_full_in\":{\"warning\":\"30d\",\"critical\":\"0s\"}"));
    struct ask ask = {.path = "/system/health"};
    cJSON *json;

    (void)state;
    for (uint64_t i = 1; i <= 10; i++)
        growth_add(&world->admin->growth, i << 30);
    json = json_of(world, &ask, 200);
    assert_true(member(json, "memory.checks.full_in_seconds.value")->valuedouble > 0);
    assert_text(json, "memory.checks.full_in_seconds.severity", "warning");
    assert_text(json, "memory.severity", "warning");
    assert_true(member(json, "memory.allocator.used_bytes")->valuedouble >= 0);
    cJSON_Delete(json);
    world_free(world);
}

static void metrics_hold_what_lives_elsewhere(void **state)
{
    static const char *const lines[] = {
        "\ngateway_cache_entries 1\n",
        "\ngateway_cache_memory_limit_bytes 16777216\n",
        "\ngateway_cache_evictions_total 0\n",
        "\ngateway_rate_limit_clients 0\n",
        "\ngateway_draining 0\n",
        "\ngateway_build_info{version=\"" GATEWAY_VERSION "\"} 1\n",
        "\ngateway_dependency_health_status{dependency=\"upstream:u\"} 1\n",
        "\ngateway_config_reloads_total{outcome=\"success\"} 0\n",
        "\ngateway_config_reloads_total{outcome=\"failure\"} 0\n",
        "\ngateway_log_dropped_total 0\n",
        "\ngateway_admin_requests_total{op=\"ready\",result=\"ok\"} 1\n",
        "\ngateway_admin_requests_total{op=\"none\",result=\"invalid\"} 1\n",
        "\ngateway_memory_rss_bytes ",
        "\ngateway_open_fds ",
    };
    struct world *world = world_new(OPEN_CONFIG);
    struct request_system q;

    (void)state;
    store(world, &(struct stored){.target = "/products/1"});
    question(world, &(struct ask){.path = "/ready"});
    question(world, &(struct ask){.path = "/nowhere"});
    question(world, &(struct ask){.path = "/metrics"});
    q = question(world, &(struct ask){.path = "/metrics", .query = "name[]=x"});
    assert_int_equal(q.status, 200);
    assert_true(str_eq(q.content_type, STR("text/plain; version=0.0.4; charset=utf-8")));
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        if (!str_has(q.answer, str_of(lines[i])))
            fail_msg("no line \"%s\"", lines[i]);
    assert_false(str_has(q.answer, STR("gateway_open_fds 0\n")));
    assert_false(str_has(q.answer, STR("gateway_memory_vms_bytes 0\n")));
    world_free(world);
}

/* ---- limits ---- */

static struct caller caller_of(struct world *world, const char *name, struct arena *arena)
{
    struct caller caller;

    assert_true(
        identify_by_name(request_rules_identify(world->rules), str_of(name), arena, &caller));
    return caller;
}

/* As a request would: from the tier and, as one decision, from the route's own. */
static void spend(struct world *world, const char *name, uint64_t cost, bool on_route)
{
    const struct route_config *route = &request_rules_config(world->rules)->routes[0];
    struct arena *arena = arena_new(4096, 65536);
    struct caller caller = caller_of(world, name, arena);
    struct limit_policy policies[] = {
        {&caller.tier->windows, limit_key(caller.hash, LIMIT_TIER, STR_NONE), caller.hash},
        {&route->limit.windows, limit_key(caller.hash, LIMIT_ROUTE_OF_CLIENT, route->name),
         caller.hash},
    };
    struct limit_time now = {loop_now_us(world->loop), loop_wall_us(world->loop)};
    struct limit_state limits;

    limit_take(world->shared.limiter, on_route ? policies + 1 : policies, 1, cost, now, &limits);
    assert_true(limits.allowed);
    arena_free(&arena);
}

static void status_of_named_and_own_callers(void **state)
{
    struct world *world = world_new(KEY_CONFIG);
    struct ask ask = {.path = "/system/rate-limit/status", .query = "client=key:acme"};
    cJSON *json;

    (void)state;
    spend(world, "key:acme", 3, false);
    json = json_of(world, &ask, 200);
    assert_text(json, "client", "key:acme");
    assert_text(json, "tier", "premium");
    assert_number(json, "windows.minute.limit", 500);
    assert_number(json, "windows.minute.remaining", 497);
    assert_true(member(json, "windows.minute.reset")->valuedouble > 1.7e9);
    cJSON_Delete(json);
    ask.query = "client=acme";
    json = json_of(world, &ask, 200);
    assert_number(json, "windows.minute.remaining", 497);
    cJSON_Delete(json);

    ask = (struct ask){.path = "/system/rate-limit/status", .fields = {"X-API-Key", "sesame"}};
    json = json_of(world, &ask, 200);
    assert_text(json, "client", "key:acme");
    assert_number(json, "windows.minute.remaining", 497);
    cJSON_Delete(json);
    ask.fields[1] = "wrong";
    assert_int_equal(question(world, &ask).status, 401);

    spend(world, "ip:192.0.2.9", 1, false);
    ask = (struct ask){.path = "/system/rate-limit/status", .peer = "192.0.2.9"};
    json = json_of(world, &ask, 200);
    assert_text(json, "tier", "free");
    assert_number(json, "windows.minute.remaining", 99);
    assert_null(strstr(member(json, "client")->valuestring, "192.0.2.9"));
    cJSON_Delete(json);
    world_free(world);
}

static void forgetting_takes_every_window(void **state)
{
    struct world *world = world_new(KEY_CONFIG);
    struct ask forget = {.method = "DELETE", .path = "/system/rate-limit/client/key:acme"};
    struct ask look = {.path = "/system/rate-limit/status", .query = "client=key:acme"};
    cJSON *json = json_of(world, &forget, 200);

    (void)state;
    assert_true(cJSON_IsFalse(member(json, "deleted")));
    cJSON_Delete(json);
    spend(world, "key:acme", 9, false);
    json = json_of(world, &forget, 200);
    assert_true(cJSON_IsTrue(member(json, "deleted")));
    cJSON_Delete(json);
    json = json_of(world, &look, 200);
    assert_number(json, "windows.minute.remaining", 500);
    cJSON_Delete(json);

    spend(world, "key:acme", 5, true); /* the route's own window alone */
    json = json_of(world, &forget, 200);
    assert_true(cJSON_IsTrue(member(json, "deleted")));
    cJSON_Delete(json);
    spend(world, "key:acme", 5, true);

    spend(world, "ip:2001:db8::1", 1, false);
    forget.path = "/system/rate-limit/client/ip:2001:db8::1";
    json = json_of(world, &forget, 200);
    assert_true(cJSON_IsTrue(member(json, "deleted")));
    cJSON_Delete(json);
    forget.path = "/system/rate-limit/client/key:nobody";
    json = json_of(world, &forget, 200);
    assert_true(cJSON_IsFalse(member(json, "deleted")));
    cJSON_Delete(json);
    world_free(world);
}

/* ---- upstreams, configuration ---- */

static void every_target_is_listed(void **state)
{
    struct world *world = world_new(OPEN_CONFIG);
    cJSON *json = json_of(world, &(struct ask){.path = "/system/upstreams"}, 200);

    (void)state;
    assert_int_equal(cJSON_GetArraySize(member(json, "upstreams.u.targets")), 2);
    assert_number(json, "upstreams.u.healthy_targets", 2);
    assert_true(cJSON_IsTrue(member(json, "upstreams.u.required")));
    assert_text(json, "upstreams.u.targets.1.url", "http://127.0.0.1:9002");
    assert_text(json, "upstreams.u.targets.1.state", "up");
    assert_number(json, "upstreams.u.targets.1.in_flight", 0);
    assert_number(json, "upstreams.u.targets.1.weight", 1);
    assert_number(json, "upstreams.u.targets.1.failures", 0);
    assert_number(json, "upstreams.u.targets.1.latency_seconds", 0);
    cJSON_Delete(json);
    world_free(world);
}

static void the_configuration_hides_its_secrets(void **state)
{
    struct world *world = world_new(TOKEN_CONFIG);
    struct ask ask = {.path = "/system/config", .fields = {"Authorization", TOKEN}};
    struct request_system q = question(world, &ask);
    cJSON *json;

    (void)state;
    assert_false(str_has(q.answer, STR("t0ken-of-the-test")));
    json = json_of(world, &ask, 200);
    assert_text(json, "admin.token", "***");
    cJSON_Delete(json);
    world_free(world);
}

static void a_reload_tells_its_faults(void **state)
{
    struct world *world = world_new(OPEN_CONFIG);
    struct ask ask = {.method = "POST", .path = "/system/config/reload"};
    cJSON *json = json_of(world, &ask, 200);
    struct request_system q;

    (void)state;
    assert_true(cJSON_IsTrue(member(json, "reloaded")));
    cJSON_Delete(json);
    world->reload_is_sound = false;
    json = json_of(world, &ask, 422);
    assert_true(cJSON_IsFalse(member(json, "reloaded")));
    assert_text(json, "faults.0", "f:1:2: routes: is wrong");
    cJSON_Delete(json);
    q = question(world, &(struct ask){.path = "/metrics"});
    assert_true(str_has(q.answer, STR("config_reloads_total{outcome=\"success\"} 1\n")));
    assert_true(str_has(q.answer, STR("config_reloads_total{outcome=\"failure\"} 1\n")));
    assert_false(str_has(q.answer, STR("config_last_reload_timestamp_seconds 0\n")));
    world_free(world);
}

/* ---- the audit ---- */

static void writes_and_refusals_leave_a_line(void **state)
{
    struct world *world = world_new(TOKEN_CONFIG);
    char path[] = "/tmp/admin_log_XXXXXX";
    int fd = mkstemp(path);
    struct log_options options = {"off", path, true, LOG_INFO};
    struct fail why = {""};
    size_t len;
    char *text;

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_true(log_open(&options, &why));
    store(world, &(struct stored){.target = "/products/secret", .user = "key:acme"});
    question(world, &(struct ask){.path = "/system/config",
                                  .fields = {"Authorization", "Bearer wr0ng"},
                                  .peer = "192.0.2.77"});
    question(world, &(struct ask){.method = "DELETE",
                                  .path = "/system/cache/user/acme",
                                  .fields = {"Authorization", TOKEN},
                                  .peer = "192.0.2.77"});
    question(world, &(struct ask){.path = "/system/config", .fields = {"Authorization", TOKEN}});
    log_close();
    text = file_read(path, 65536, &len, &why);
    unlink(path);
    assert_non_null(text);
    assert_non_null(strstr(text, "op=config method=GET path=/system/config peer=ip:"));
    assert_non_null(strstr(text, "status=401 result=refused request_id=request-1"));
    assert_non_null(strstr(text, "path=/system/cache/user/{user_id} peer=ip:"));
    assert_non_null(strstr(text, "status=200 result=ok request_id=request-1 deleted=1"));
    assert_null(strstr(text, "192.0.2.77"));
    assert_null(strstr(text, "wr0ng"));
    assert_null(strstr(text, "t0ken"));
    assert_null(strstr(text, "result=ok request_id=request-1\"")); /* reads leave none */
    free(text);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_threshold_is_the_configurations),
        cmocka_unit_test(growth_is_judged_by_when_memory_is_full),
        cmocka_unit_test(health_is_ok_while_draining),
        cmocka_unit_test(ready_until_it_drains),
        cmocka_unit_test(system_health_takes_the_worst),
        cmocka_unit_test(metrics_hold_what_lives_elsewhere),
        cmocka_unit_test(status_of_named_and_own_callers),
        cmocka_unit_test(forgetting_takes_every_window),
        cmocka_unit_test(every_target_is_listed),
        cmocka_unit_test(the_configuration_hides_its_secrets),
        cmocka_unit_test(a_reload_tells_its_faults),
        cmocka_unit_test(writes_and_refusals_leave_a_line),
    };
    return cmocka_run_group_tests(tests, logs_off, logs_end);
}
