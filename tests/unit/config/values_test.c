/* values_test.c - what a sound text becomes: defaults, forms of values, windows, references.
 *
 * The defaults here are written out a second time on purpose: they are promised to
 * users, so a change in a table must be seen. */
#include "config_fixture.h"

static void defaults_without_a_file(void **state)
{
    struct faults *faults = faults_new();
    struct config *config = config_load(NULL, NULL, faults);

    (void)state;
    assert_non_null(config);
    assert_int_equal(faults_count(faults), 0);
    assert_string_equal(config->source.ptr, "built-in defaults");
    assert_int_equal(config->server.listen_count, 1);
    assert_string_equal(config->server.listen[0].address.ptr, "0.0.0.0");
    assert_int_equal(config->server.listen[0].port, 8080);
    assert_true(config->server.workers >= 1);
    assert_int_equal(config->server.max_connections, 20000);
    assert_int_equal(config->server.max_header_bytes, 32 * 1024);
    assert_int_equal(config->server.max_headers, 100);
    assert_int_equal(config->server.max_uri_bytes, 8 * 1024);
    assert_int_equal(config->server.max_body_bytes, 10 * 1024 * 1024);
    assert_int_equal(config->server.header_timeout_ms, 10000);
    assert_int_equal(config->server.stream_idle_timeout_ms, 300000);
    assert_int_equal(config->server.trusted_proxies.count, 0);
    assert_string_equal(config->admin.listen.address.ptr, "127.0.0.1");
    assert_int_equal(config->admin.listen.port, 8081);
    assert_true(config->admin.metrics_public && !config->admin.is_public);
    assert_int_equal(config->identity.source_count, 3);
    assert_int_equal(config->identity.sources[0], SOURCE_JWT);
    assert_int_equal(config->identity.sources[1], SOURCE_API_KEY);
    assert_int_equal(config->identity.sources[2], SOURCE_IP);
    assert_string_equal(config->identity.jwt.algorithms.at[0].ptr, "HS256");
    assert_int_equal(config->identity.jwt.leeway_ms, 30000);
    assert_string_equal(config->identity.api_key.header.ptr, "X-API-Key");
    assert_int_equal(config->identity.ip.ipv6_prefix, 64);
    assert_int_equal(config->tier_count, 4);
    assert_true(config->limits.enabled && config->limits.ietf_headers &&
                !config->limits.reset_is_delta);
    assert_int_equal(config->limits.max_clients, 1000000);
    assert_int_equal(config->limits.exempt.count, 1);
    assert_true(config->cache.enabled && config->cache.collapse && config->cache.heuristic);
    assert_int_equal(config->cache.memory_bytes, 256 * 1024 * 1024);
    assert_int_equal(config->cache.default_ttl_ms, 300000);
    assert_int_equal(config->cache.stale_if_unreachable_ms, 3600000);
    assert_int_equal(config->upstream_count + config->route_count, 0);
    assert_true(config->log.json);
    assert_int_equal(config->log.level, LOG_INFO);
    config_release(&config);
    assert_null(config);
    config_release(&config);
    faults_free(&faults);
}

static void tiers_have_the_promised_windows(void **state)
{
    struct config *config = load_text(
        "{\"tiers\": {\"free\": {\"per_day\": 7, \"per_month\": 9}, \"gold\": {}}}", NULL, NULL);
    const struct tier_config *tier = config_tier(config, STR("free"));

    (void)state;
    assert_int_equal(config->tier_count, 5);
    assert_int_equal(tier->windows.count, 2); /* replaced whole */
    assert_string_equal(tier->windows.at[0].name.ptr, "day");
    assert_int_equal(tier->windows.at[1].kind, WINDOW_CALENDAR);
    assert_int_equal(tier->windows.at[1].period_ms, INT64_C(2678400000));
    assert_int_equal(config_tier(config, STR("gold"))->windows.count, 0);
    tier = config_tier(config, STR("premium"));
    assert_int_equal(tier->windows.count, 3);
    assert_int_equal(tier->windows.at[0].kind, WINDOW_BUCKET);
    assert_int_equal(tier->windows.at[0].limit, 20);
    assert_int_equal(tier->windows.at[0].burst, 50);
    assert_int_equal(tier->windows.at[1].limit, 500);
    assert_int_equal(tier->windows.at[1].period_ms, 60000);
    assert_int_equal(tier->windows.at[2].kind, WINDOW_SLIDING);
    assert_null(config_tier(config, STR("lead")));
    config_release(&config);
}

static const struct {
    const char *name, *tier;
    struct window_config want;
} windows[] = {
    {"burst is the rate",
     "{\"per_second\": 5}",
     {.name = {"second", 6}, WINDOW_BUCKET, 5, 5, 1000}},
    {"burst first in the text",
     "{\"burst\": 9, \"per_second\": 5}",
     {.name = {"second", 6}, WINDOW_BUCKET, 5, 9, 1000}},
    {"zero is no window",
     "{\"per_second\": 0, \"burst\": 9, \"per_hour\": 2}",
     {.name = {"hour", 4}, WINDOW_SLIDING, 2, 2, 3600000}},
    {"written out",
     "{\"windows\": [{\"name\": \"x\", \"limit\": 3, \"per\": \"10s\", \"kind\": \"strict\"}]}",
     {.name = {"x", 1}, WINDOW_STRICT, 3, 3, 10000}},
    {"sliding where not said",
     "{\"windows\": [{\"name\": \"x\", \"limit\": 3, \"per\": 0.5}]}",
     {.name = {"x", 1}, WINDOW_SLIDING, 3, 3, 500}},
    {"bucket with a burst",
     "{\"windows\": [{\"name\": \"x\", \"limit\": 3, \"per\": 2, \"kind\": \"bucket\", \"burst\": "
     "8}]}",
     {.name = {"x", 1}, WINDOW_BUCKET, 3, 8, 2000}},
    {"month",
     "{\"windows\": [{\"name\": \"x\", \"limit\": 3, \"kind\": \"calendar\"}]}",
     {.name = {"x", 1}, WINDOW_CALENDAR, 3, 3, INT64_C(2678400000)}},
};

static void windows_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(windows); i++) {
        char text[512];
        snprintf(text, sizeof(text), "{\"tiers\": {\"t\": %s}}", windows[i].tier);
        struct config *config = load_text(text, NULL, NULL);
        const struct window_set *set = &config_tier(config, STR("t"))->windows;
        const struct window_config *got = &set->at[0], *want = &windows[i].want;
        if (set->count != 1 || !str_eq(got->name, want->name) || got->kind != want->kind ||
            got->limit != want->limit || got->burst != want->burst ||
            got->period_ms != want->period_ms)
            fail_msg("%s: %.*s %d %" PRIu64 " %" PRIu64 " %" PRId64, windows[i].name,
                     STR_ARG(got->name), (int)got->kind, got->limit, got->burst, got->period_ms);
        config_release(&config);
    }
}

static const char whole[] =
    "{ // everything that a route and an upstream can say\n"
    "\"server\": {\"listen\": [\"[::1]:0\", \"unix:/run/g.sock\", {\"address\": \"localhost:443\", "
    "\"tls\": [\"main\"]}],\n"
    "  \"tls\": {\"main\": {\"cert\": \"c.pem\", \"key\": \"k.pem\"}}, \"trusted_proxies\": "
    "[\"10.1.2.3/8\", \"::1\"],\n"
    "  \"max_body_bytes\": 77, \"workers\": 3},\n"
    "\"identity\": {\"sources\": [\"ip\"], \"api_key\": {\"hide\": true, \"keys\": {\n"
    "  \"E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855\": {\"id\": \"acme\", "
    "\"scopes\": [\"r\"],\n"
    "    \"expires\": \"2027-01-01T02:00:00+02:00\"}}}},\n"
    "\"cache\": {\"negative_ttl\": {\"404\": \"10s\", \"410\": 60}},\n"
    "\"routes\": [{\"name\": \"r\", \"match\": {\"path\": \"/r/{id}\", \"host\": "
    "\"*.example.org\", \"methods\": [\"GET\"]},\n"
    "   \"upstream\": \"u\", \"strip_prefix\": \"/r\", \"timeout\": \"2s\", \"max_body_bytes\": "
    "\"1KiB\", \"auth\": \"identity\",\n"
    "   \"limit\": {\"per_minute\": 4, \"cost\": 2, \"scope\": \"route\"},\n"
    "   \"cache\": {\"ttl\": \"1h\", \"per_user\": false, \"key\": {\"query\": [\"a\", \"b\"], "
    "\"ignore\": [\"utm_*\"]}, \"tags\": [\"t\"]},\n"
    "   \"invalidates\": [\"/r/*\"]},\n"
    "  {\"match\": {\"path\": \"/plain\"}, \"upstream\": \"v\"}],\n"
    "\"upstreams\": {\"u\": {\"targets\": [\"https://[::1]\", {\"url\": \"http://b.example:8080\", "
    "\"weight\": 3}],\n"
    "   \"host\": \"api.example\", \"balance\": \"round_robin\", \"retry\": {\"attempts\": 2, "
    "\"on\": [\"timeout\", \"503\"]},\n"
    "   \"ejection\": {\"failures\": 0}}, \"v\": {\"targets\": [\"http://127.0.0.1/\"], \"host\": "
    "\"target\"}}\n"
    "}";

static void a_whole_route(const struct config *config)
{
    const struct route_config *route = &config->routes[0];

    assert_int_equal(config->route_count, 2);
    assert_ptr_equal(route->upstream, &config->upstreams[0]);
    assert_int_equal(route->timeout_ms, 2000);
    assert_int_equal(route->max_body_bytes, 1024);
    assert_int_equal(route->auth, AUTH_IDENTITY);
    assert_int_equal(route->limit.windows.count, 1);
    assert_int_equal(route->limit.cost, 2);
    assert_int_equal(route->limit.scope, SCOPE_ROUTE);
    assert_true(route->cache.is_on && route->cache.count_hits);
    assert_int_equal(route->cache.ttl_ms, 3600000);
    assert_int_equal(route->cache.per_user, PER_USER_FALSE);
    assert_int_equal(route->cache.query, KEY_QUERY_LISTED);
    assert_int_equal(route->cache.query_names.count, 2);
    assert_string_equal(route->cache.query_ignore.at[0].ptr, "utm_*");
    assert_string_equal(route->invalidates.at[0].ptr, "/r/*");
    route = &config->routes[1];
    assert_int_equal(route->index, 1);
    assert_string_equal(route->name.ptr, "/plain");
    assert_string_equal(route->match.host.ptr, "*");
    assert_ptr_equal(route->upstream, &config->upstreams[1]);
    assert_int_equal(route->timeout_ms, -1);
    assert_int_equal(route->max_body_bytes, 77);
    assert_int_equal(route->limit.cost, 1);
    assert_false(route->cache.is_on);
    assert_int_equal(route->cache.ttl_ms, -1);
    assert_int_equal(route->cache.per_user, PER_USER_ABSENT);
}

static void a_whole_upstream(const struct config *config)
{
    const struct upstream_config *upstream = &config->upstreams[0];

    assert_int_equal(upstream->target_count, 2);
    assert_true(upstream->targets[0].is_https);
    assert_string_equal(upstream->targets[0].host.ptr, "[::1]");
    assert_int_equal(upstream->targets[0].port, 443);
    assert_int_equal(upstream->targets[0].weight, 1);
    assert_string_equal(upstream->targets[1].host.ptr, "b.example");
    assert_int_equal(upstream->targets[1].port, 8080);
    assert_int_equal(upstream->targets[1].weight, 3);
    assert_int_equal(upstream->host, HOST_NAME);
    assert_string_equal(upstream->host_name.ptr, "api.example");
    assert_int_equal(upstream->balance, BALANCE_ROUND_ROBIN);
    assert_int_equal(upstream->retry.attempts, 2);
    assert_int_equal(upstream->retry.on, RETRY_TIMEOUT | RETRY_503);
    assert_int_equal(upstream->ejection.failures, 0);
    upstream = &config->upstreams[1];
    assert_int_equal(upstream->index, 1);
    assert_string_equal(upstream->targets[0].url.ptr, "http://127.0.0.1");
    assert_int_equal(upstream->host, HOST_TARGET);
    assert_int_equal(upstream->balance, BALANCE_LEAST_REQUEST);
    assert_int_equal(upstream->retry.on,
                     RETRY_CONNECT | RETRY_RESET | RETRY_502 | RETRY_503 | RETRY_504);
}

static void every_form_of_value(void **state)
{
    struct config *config = load_text(whole, NULL, NULL);
    const struct server_config *server = &config->server;
    const struct api_key_config *key = &config->identity.api_key.keys[0];

    (void)state;
    assert_int_equal(server->listen_count, 3);
    assert_string_equal(server->listen[0].address.ptr, "::1");
    assert_int_equal(server->listen[0].port, 0);
    assert_true(server->listen[1].is_unix);
    assert_string_equal(server->listen[1].address.ptr, "/run/g.sock");
    assert_string_equal(server->listen[2].address.ptr, "127.0.0.1");
    assert_string_equal(server->listen[2].tls.at[0].ptr, "main");
    assert_string_equal(server->tls[0].name.ptr, "main");
    assert_int_equal(server->workers, 3);
    assert_int_equal(server->trusted_proxies.at[0].prefix, 104);
    assert_int_equal(config->identity.source_count, 1);
    assert_int_equal(config->identity.api_key.key_count, 1);
    assert_string_equal(key->sha256_hex.ptr,
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_string_equal(key->tier.ptr, "free");
    assert_int_equal(key->expires_s, 1798761600);
    assert_int_equal(config->cache.negative_count, 2);
    assert_int_equal(config->cache.negative[1].status, 410);
    assert_int_equal(config->cache.negative[1].ttl_ms, 60000);
    a_whole_route(config);
    a_whole_upstream(config);
    config_release(&config);
}

static void references_keep_a_snapshot(void **state)
{
    struct config *config = load_text("{}", NULL, NULL);
    struct config *again = config_hold(config);

    (void)state;
    config_release(&config);
    assert_int_equal(again->tier_count, 4);
    config_release(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_without_a_file),
        cmocka_unit_test(tiers_have_the_promised_windows),
        cmocka_unit_test(windows_of_every_form),
        cmocka_unit_test(every_form_of_value),
        cmocka_unit_test(references_keep_a_snapshot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
