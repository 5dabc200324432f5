/* walk_test.c - what ends a walk before the upstream, and what such an answer carries. */
#include "request_fixture.h"

/* "sesame" is acme's key; nobody listens at the upstream's port */
#define CONFIG                                                                                     \
    "{\"server\":{\"max_body_bytes\":\"1KiB\"},"                                                   \
    "\"identity\":{\"api_key\":{\"keys\":{"                                                        \
    "\"d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272\":"                        \
    "{\"id\":\"acme\",\"tier\":\"free\",\"scopes\":[\"open\"]}}}},"                                \
    "\"tiers\":{\"free\":{\"per_minute\":2}},"                                                     \
    "\"upstreams\":{\"u\":{\"targets\":[\"http://127.0.0.1:%u\"],\"retry\":{\"attempts\":0}}},"    \
    "\"routes\":["                                                                                 \
    "{\"name\":\"open\",\"match\":{\"path\":\"/open/*\",\"methods\":[\"GET\",\"POST\"]},"          \
    "\"upstream\":\"u\"},"                                                                         \
    "{\"name\":\"closed\",\"match\":{\"path\":\"/closed/*\"},\"upstream\":\"u\","                  \
    "\"auth\":\"identity\"},"                                                                      \
    "{\"name\":\"cached\",\"match\":{\"path\":\"/cached/*\"},\"upstream\":\"u\","                  \
    "\"cache\":{\"ttl\":\"1m\"},\"limit\":{\"exempt\":true}},"                                     \
    "{\"name\":\"shared\",\"match\":{\"path\":\"/shared/*\"},\"upstream\":\"u\","                  \
    "\"limit\":{\"per_minute\":1,\"scope\":\"route\"}}]}"

static const struct {
    const char *name, *line, *fields[4];
    int status;
    const char *want, *value; /* a field of the answer; value NULL: it must not be there */
    bool closes;
} cases[] = {
    {"health", "GET /health HTTP/1.1", {"Host: t"}, 200, "X-RateLimit-Limit", NULL, false},
    {"health is read only", "POST /health HTTP/1.1", {"Host: t"}, 405, "Allow", "GET, HEAD", false},
    {"system is not public",
     "GET /system/health HTTP/1.1",
     {"Host: t"},
     404,
     "Via",
     "1.1 gateway",
     false},
    {"another client's windows",
     "GET /system/rate-limit/status?client=key:acme HTTP/1.1",
     {"Host: t"},
     404,
     NULL,
     NULL,
     false},
    {"one's own windows",
     "GET /system/rate-limit/status HTTP/1.1",
     {"Host: t"},
     200,
     "Content-Type",
     "application/json",
     false},
    {"one's own with a false key",
     "GET /system/rate-limit/status HTTP/1.1",
     {"Host: t", "X-API-Key: guess"},
     401,
     "WWW-Authenticate",
     "ApiKey realm=\"gateway\"",
     false},
    {"no route", "GET /nowhere HTTP/1.1", {"Host: t"}, 404, "X-RateLimit-Limit", NULL, false},
    {"no such method", "PUT /open/a HTTP/1.1", {"Host: t"}, 405, "Allow", "GET, HEAD, POST", false},
    {"TRACE leaves the connection",
     "TRACE /open/a HTTP/1.1",
     {"Host: t"},
     405,
     "Allow",
     "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
     false},
    {"CONNECT ends it", "CONNECT t:80 HTTP/1.1", {"Host: t"}, 405, NULL, NULL, true},
    {"above the root", "GET /../a HTTP/1.1", {"Host: t"}, 400, NULL, NULL, false},
    {"two hosts", "GET /open/a HTTP/1.1", {"Host: t", "Host: u"}, 400, NULL, NULL, true},
    {"no host", "GET /open/a HTTP/1.1", {NULL}, 400, NULL, NULL, true},
    {"another version", "GET /open/a HTTP/1.2", {"Host: t"}, 505, NULL, NULL, true},
    {"length and chunks",
     "POST /open/a HTTP/1.1",
     {"Host: t", "Content-Length: 3", "Transfer-Encoding: chunked"},
     400,
     NULL,
     NULL,
     true},
    {"too large as announced",
     "POST /open/a HTTP/1.1",
     {"Host: t", "Content-Length: 2000"},
     413,
     NULL,
     NULL,
     false},
    {"no credential",
     "GET /closed/a HTTP/1.1",
     {"Host: t"},
     401,
     "WWW-Authenticate",
     "ApiKey realm=\"gateway\"",
     false},
    {"a false key",
     "GET /open/a HTTP/1.1",
     {"Host: t", "X-API-Key: guess"},
     401,
     "X-RateLimit-Remaining",
     "1",
     false},
    {"out of scope",
     "GET /closed/a HTTP/1.1",
     {"Host: t", "X-API-Key: sesame"},
     403,
     NULL,
     NULL,
     false},
    {"an encoded slash where identity counts",
     "GET /closed/a%2Fb HTTP/1.1",
     {"Host: t", "X-API-Key: sesame"},
     400,
     NULL,
     NULL,
     false},
    {"only if cached",
     "GET /cached/a HTTP/1.1",
     {"Host: t", "Cache-Control: only-if-cached"},
     504,
     "X-Cache-Status",
     "MISS",
     false},
    {"nobody listens",
     "GET /open/a HTTP/1.1",
     {"Host: t"},
     502,
     "X-RateLimit-Remaining",
     "1",
     false},
    {"nobody listens, cached route",
     "GET /cached/a HTTP/1.1",
     {"Host: t"},
     502,
     "X-Cache-Status",
     "MISS",
     false},
    {"the client's id",
     "GET /health HTTP/1.1",
     {"Host: t", "X-Request-Id: a-b.C_1"},
     200,
     "X-Request-Id",
     "a-b.C_1",
     false},
};

static void requests_that_end_early(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world *world = world_new(CONFIG, 1);
        struct visit *visit = visit_new(world, cases[i].line, cases[i].fields);
        const struct request_answer *answer = visit_run(visit);
        struct str got = STR_NONE;

        if (answer == NULL || answer->status != cases[i].status)
            fail_msg("%s: status %d, want %d", cases[i].name, answer != NULL ? answer->status : 0,
                     cases[i].status);
        if (answer->closes != cases[i].closes)
            fail_msg("%s: closes %d", cases[i].name, answer->closes);
        if (cases[i].want != NULL)
            got = visit_field(visit, cases[i].want);
        if (!str_eq(got, str_of(cases[i].value)))
            fail_msg("%s: %s is \"%.*s\"", cases[i].name, cases[i].want, STR_ARG(got));
        if (visit_field(visit, "X-Request-Id").len == 0)
            fail_msg("%s: no X-Request-Id", cases[i].name);
        visit_end(&visit, REQUEST_DONE);
        world_free(world);
    }
}

/* ---- who is charged ---- */

static const struct {
    const char *name, *line, *fields[4];
    int status;
    const char *probe; /* asked after it, without a credential */
    const char *remaining;
} charges[] = {
    {"404 is charged to nobody",
     "GET /nowhere HTTP/1.1",
     {"Host: t"},
     404,
     "GET /open/a HTTP/1.1",
     "1"},
    {"405 is charged to nobody",
     "PUT /open/a HTTP/1.1",
     {"Host: t"},
     405,
     "GET /open/a HTTP/1.1",
     "1"},
    {"a false key is charged to its address",
     "GET /open/a HTTP/1.1",
     {"Host: t", "X-API-Key: guess"},
     401,
     "GET /open/a HTTP/1.1",
     "0"},
    {"a missing one too", "GET /closed/a HTTP/1.1", {"Host: t"}, 401, "GET /open/a HTTP/1.1", "0"},
    {"a key out of scope is charged itself",
     "GET /closed/a HTTP/1.1",
     {"Host: t", "X-API-Key: sesame"},
     403,
     "GET /open/a HTTP/1.1",
     "1"},
};

static void refusals_are_charged_to_whom_they_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(charges); i++) {
        struct world *world = world_new(CONFIG, 1);
        struct visit *visit;
        struct str got;

        assert_int_equal(visit_whole(world, charges[i].line, charges[i].fields), charges[i].status);
        visit = visit_new(world, charges[i].probe, HOST);
        assert_non_null(visit_run(visit));
        got = visit_field(visit, "X-RateLimit-Remaining");
        if (!str_eq(got, str_of(charges[i].remaining)))
            fail_msg("%s: %.*s remain", charges[i].name, STR_ARG(got));
        visit_end(&visit, REQUEST_DONE);
        world_free(world);
    }
}

static void the_last_window_refuses(void **state)
{
    struct world *world = world_new(CONFIG, 1);
    struct visit *visit;

    (void)state;
    assert_int_equal(visit_whole(world, "GET /open/a HTTP/1.1", HOST), 502);
    assert_int_equal(visit_whole(world, "GET /open/a HTTP/1.1", HOST), 502);
    visit = visit_new(world, "GET /open/a HTTP/1.1", HOST);
    assert_int_equal(visit_run(visit)->status, 429);
    assert_true(str_eq(visit_field(visit, "X-RateLimit-Remaining"), STR("0")));
    assert_true(visit_field(visit, "Retry-After").len > 0);
    assert_true(visit_read(visit));
    assert_non_null(strstr(visit->body, "\"error\":\"Rate limit exceeded\""));
    assert_non_null(strstr(visit->body, "\"tier\":\"free\""));
    visit_end(&visit, REQUEST_DONE);
    world_free(world);
}

/* The route's window is everybody's; when it refuses, the caller's tier gets its request back. */
static void what_a_route_refuses_costs_the_caller_nothing(void **state)
{
    struct world *world = world_new(CONFIG, 1);
    struct visit *visit;

    (void)state;
    assert_int_equal(visit_whole(world, "GET /shared/a HTTP/1.1", HOST), 502);
    assert_int_equal(visit_whole(world, "GET /shared/a HTTP/1.1", HOST), 429);
    visit = visit_new(world, "GET /open/a HTTP/1.1", HOST);
    assert_int_equal(visit_run(visit)->status, 502);
    assert_true(str_eq(visit_field(visit, "X-RateLimit-Remaining"), STR("0"))); /* two of two */
    visit_end(&visit, REQUEST_DONE);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_that_end_early),
        cmocka_unit_test(refusals_are_charged_to_whom_they_should),
        cmocka_unit_test(the_last_window_refuses),
        cmocka_unit_test(what_a_route_refuses_costs_the_caller_nothing),
    };

    return cmocka_run_group_tests(tests, logs_off, logs_end);
}
