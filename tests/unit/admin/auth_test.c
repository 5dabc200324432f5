/* auth_test.c - who may ask (faults A01 to A04).
 *
 * A row is one question under one of three configurations; the answer of a refusal is a
 * problem, so it has no content type of its own. */
#include "admin_fixture.h"

struct row {
    const char *name;
    struct ask ask;
    int want;
};
#define CLEAR "/system/cache/clear"
#define STATS "/system/cache/stats"

static void check_rows(const char *config, const struct row *rows, size_t count)
{
    struct world *world = world_new(config);

    for (size_t i = 0; i < count; i++) {
        struct request_system q = question(world, &rows[i].ask);

        if (q.status != rows[i].want)
            fail_msg("%s: status %d, want %d: %.*s", rows[i].name, q.status, rows[i].want,
                     STR_ARG(q.answer));
        if (q.status >= 400 &&
            (q.content_type.ptr != NULL || q.answer.len == 0 || q.answer.ptr[q.answer.len] != '\0'))
            fail_msg("%s: a refusal is a text with a NUL behind it", rows[i].name);
    }
    world_free(world);
}

static const struct row with_token[] = {
    {"none", {.path = STATS}, 401},
    {"right", {.path = STATS, .fields = {"Authorization", TOKEN}}, 200},
    {"scheme in any case",
     {.path = STATS, .fields = {"Authorization", "bEARER t0ken-of-the-test"}},
     200},
    {"wrong", {.path = STATS, .fields = {"Authorization", "Bearer t0ken-of-the-tesT"}}, 401},
    {"a beginning", {.path = STATS, .fields = {"Authorization", "Bearer t0ken"}}, 401},
    {"longer", {.path = STATS, .fields = {"Authorization", TOKEN "x"}}, 401},
    {"empty", {.path = STATS, .fields = {"Authorization", "Bearer "}}, 401},
    {"basic", {.path = STATS, .fields = {"Authorization", "Basic t0ken-of-the-test"}}, 401},
    {"without scheme", {.path = STATS, .fields = {"Authorization", "t0ken-of-the-test"}}, 401},
    {"twice", {.path = STATS, .fields = {"Authorization", TOKEN, "Authorization", TOKEN}}, 401},
    {"in the query", {.path = STATS, .query = "token=t0ken-of-the-test"}, 401},
    {"a path that is none", {.path = "/system/nothing"}, 401},
    {"a method that is none", {.method = "PATCH", .path = STATS}, 401},
    {"a write", {.method = "DELETE", .path = CLEAR}, 401},
    {"any Host with the token",
     {.path = STATS, .fields = {"Authorization", TOKEN, "Host", "a.example"}},
     200},
    {"health", {.path = "/health"}, 200},
    {"health_check", {.path = "/health_check"}, 200},
    {"ready", {.path = "/ready"}, 200},
    {"metrics are public", {.path = "/metrics"}, 200},
};

static void with_a_token(void **state)
{
    static const struct row closed[] = {
        {"metrics are not public", {.path = "/metrics"}, 401},
        {"metrics with the token", {.path = "/metrics", .fields = {"Authorization", TOKEN}}, 200},
    };

    (void)state;
    check_rows(TOKEN_CONFIG, with_token, COUNT_OF(with_token));
    check_rows(CONFIG_TEXT(",\"token\":\"t0ken-of-the-test\",\"metrics_public\":false", ""), closed,
               COUNT_OF(closed));
}

static const struct row without_token[] = {
    {"a read", {.path = STATS, .fields = {"Host", "127.0.0.1:8081"}}, 200},
    {"a write", {.method = "DELETE", .path = CLEAR, .fields = {"Host", "localhost:8081"}}, 200},
    {"no Host", {.method = "DELETE", .path = CLEAR}, 200},
    {"IPv6", {.path = STATS, .fields = {"Host", "[::1]:8081"}}, 200},
    {"127.9.9.9", {.path = STATS, .fields = {"Host", "127.9.9.9"}}, 200},
    {"a name below localhost", {.path = STATS, .fields = {"Host", "gw.LocalHost"}}, 200},
    {"a rebound name", {.path = STATS, .fields = {"Host", "evil.example:8081"}}, 403},
    {"another address", {.path = STATS, .fields = {"Host", "192.0.2.1"}}, 403},
    {"a name that ends alike", {.path = STATS, .fields = {"Host", "evillocalhost"}}, 403},
    {"a name that begins alike",
     {.path = STATS, .fields = {"Host", "127.0.0.1.evil.example"}},
     403},
    {"a bad Host", {.path = STATS, .fields = {"Host", "a b"}}, 403},
    {"another site's form",
     {.method = "DELETE",
      .path = CLEAR,
      .fields = {"Host", "127.0.0.1:8081", "Origin", "https://evil.example"}},
     403},
    {"another port's page",
     {.method = "DELETE",
      .path = CLEAR,
      .fields = {"Host", "127.0.0.1:8081", "Origin", "http://127.0.0.1:3000"}},
     403},
    {"Origin null",
     {.method = "POST",
      .path = "/system/cache/invalidate",
      .query = "tag=a",
      .fields = {"Host", "127.0.0.1:8081", "Origin", "null"}},
     403},
    {"Origin without Host",
     {.method = "DELETE", .path = CLEAR, .fields = {"Origin", "http://127.0.0.1"}},
     403},
    {"two Origins",
     {.method = "DELETE",
      .path = CLEAR,
      .fields = {"Host", "127.0.0.1", "Origin", "http://127.0.0.1", "Origin", "http://e"}},
     403},
    {"cross-site",
     {.method = "DELETE", .path = CLEAR, .fields = {"Sec-Fetch-Site", "cross-site"}},
     403},
    {"same-site",
     {.method = "DELETE", .path = CLEAR, .fields = {"Sec-Fetch-Site", "same-site"}},
     403},
    {"nonsense site", {.method = "DELETE", .path = CLEAR, .fields = {"Sec-Fetch-Site", "x"}}, 403},
    {"our own page",
     {.method = "DELETE",
      .path = CLEAR,
      .fields = {"Host", "localhost:8081", "Origin", "http://localhost:8081", "Sec-Fetch-Site",
                 "same-origin"}},
     200},
    {"the usual port",
     {.method = "DELETE",
      .path = CLEAR,
      .fields = {"Host", "localhost", "Origin", "http://localhost:80"}},
     200},
    {"typed by hand",
     {.method = "DELETE", .path = CLEAR, .fields = {"Sec-Fetch-Site", "none"}},
     200},
    {"a read from elsewhere",
     {.path = STATS, .fields = {"Host", "localhost", "Origin", "https://evil.example"}},
     200},
    {"health under any Host", {.path = "/health", .fields = {"Host", "evil.example"}}, 200},
};

static void without_a_token(void **state)
{
    (void)state;
    check_rows(OPEN_CONFIG, without_token, COUNT_OF(without_token));
}

static void on_a_public_listener(void **state)
{
    static const struct row open[] = {
        {"nothing without a token", {.path = STATS, .is_public = true}, 404},
        {"nor a write", {.method = "DELETE", .path = CLEAR, .is_public = true}, 404},
        {"nor metrics", {.path = "/metrics", .is_public = true}, 404},
    };
    static const struct row token[] = {
        {"the token is needed", {.path = STATS, .is_public = true}, 401},
        {"the token", {.path = STATS, .fields = {"Authorization", TOKEN}, .is_public = true}, 200},
        {"metrics are not here",
         {.path = "/metrics", .fields = {"Authorization", TOKEN}, .is_public = true},
         404},
        {"nor is ready", {.path = "/ready", .is_public = true}, 404},
    };

    (void)state;
    check_rows(OPEN_CONFIG, open, COUNT_OF(open));
    check_rows(PUBLIC_CONFIG, token, COUNT_OF(token));
}

static void guessing_is_bounded(void **state)
{
    struct world *world = world_new(TOKEN_CONFIG);
    struct ask wrong = {.path = STATS, .fields = {"Authorization", "Bearer guess"}};
    struct ask right = {.path = STATS, .fields = {"Authorization", TOKEN}};

    (void)state;
    for (int i = 0; i < 60; i++)
        assert_int_equal(question(world, &wrong).status, 401);
    assert_int_equal(question(world, &wrong).status, 429);
    assert_int_equal(question(world, &right).status, 429); /* else a guess could still be told */
    right.peer = "192.0.2.7";
    assert_int_equal(question(world, &right).status, 200);
    assert_true(metrics_sum2(world->shared.metrics, M_ADMIN_REQUESTS, 0, STR("cache_stats"), 1,
                             STR("refused")) == 62.0);
    assert_true(metrics_sum2(world->shared.metrics, M_ADMIN_REQUESTS, 0, STR("cache_stats"), 1,
                             STR("ok")) == 1.0);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_a_token),
        cmocka_unit_test(without_a_token),
        cmocka_unit_test(on_a_public_listener),
        cmocka_unit_test(guessing_is_bounded),
    };
    return cmocka_run_group_tests(tests, logs_off, logs_end);
}
