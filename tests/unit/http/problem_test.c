/* problem_test.c - the gateway's own answers, and who wants them as RFC 9457. */
#include "message_fixture.h"

static const struct {
    const char *name;
    int status;
    const char *error, *message, *request_id, *extra;
    bool as_problem;
    const char *want;
} bodies[] = {
    {"plain", 404, NULL, "No route.", "r1", "", false,
     "{\"error\":\"Not Found\",\"message\":\"No route.\",\"status\":404,\"request_id\":\"r1\"}"},
    {"429 has its own words", 429, NULL, "m", "r", "", false,
     "{\"error\":\"Rate limit exceeded\",\"message\":\"m\",\"status\":429,\"request_id\":\"r\"}"},
    {"own error", 401, "Nope", "m", "r", "", false,
     "{\"error\":\"Nope\",\"message\":\"m\",\"status\":401,\"request_id\":\"r\"}"},
    {"extra members", 429, NULL, "m", "r", "\"limit\":5,\"tier\":\"free\"", false,
     "{\"error\":\"Rate limit exceeded\",\"message\":\"m\",\"status\":429,\"request_id\":\"r\","
     "\"limit\":5,\"tier\":\"free\"}"},
    {"H20 escaped", 400, NULL, "a\"b\\\n<", "r\x01", "", false,
     "{\"error\":\"Bad Request\",\"message\":\"a\\\"b\\\\\\n<\",\"status\":400,"
     "\"request_id\":\"r\\u0001\"}"},
    {"problem", 503, NULL, "m", "r", "\"x\":1", true,
     "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"detail\":\"m\","
     "\"instance\":\"/system/explain/r\",\"error\":\"Service Unavailable\",\"message\":\"m\","
     "\"status\":503,\"request_id\":\"r\",\"x\":1}"},
    {"problem of 429", 429, NULL, "m", "r", "", true,
     "{\"type\":\"about:blank\",\"title\":\"Too Many Requests\",\"detail\":\"m\","
     "\"instance\":\"/system/explain/r\",\"error\":\"Rate limit exceeded\",\"message\":\"m\","
     "\"status\":429,\"request_id\":\"r\"}"},
};

static void every_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct buf out = buf_new(4096);
        struct http_problem problem = {.status = bodies[i].status,
                                       .error = bodies[i].error,
                                       .message = str_of(bodies[i].message),
                                       .request_id = str_of(bodies[i].request_id),
                                       .extra = str_of(bodies[i].extra)};

        assert_true(http_problem_write(&out, &problem, bodies[i].as_problem));
        expect_str(bodies[i].name, "body", buf_str(&out), bodies[i].want);
        buf_free(&out);
    }
}

static void a_full_buffer_is_told(void **state)
{
    struct buf out = buf_new(20);
    struct http_problem problem = {.status = 404, .message = STR("m"), .request_id = STR("r")};

    (void)state;
    assert_false(http_problem_write(&out, &problem, true));
    buf_free(&out);
}

static const struct {
    const char *name, *fields;
    bool want;
} accepts[] = {
    {"none", "", false},
    {"named", "Accept: application/problem+json\n", true},
    {"any case", "Accept: Application/Problem+JSON\n", true},
    {"in a list", "Accept: text/html, application/problem+json;q=0.5, */*\n", true},
    {"second line", "Accept: text/html\nAccept: application/problem+json\n", true},
    {"q=0", "Accept: application/problem+json;q=0\n", false},
    {"q=0.000", "Accept: application/problem+json; Q=0.000\n", false},
    {"q=0.001", "Accept: application/problem+json;q=0.001\n", true},
    {"parameter", "Accept: application/problem+json;charset=utf-8\n", true},
    {"wildcard", "Accept: */*\n", false},
    {"half wildcard", "Accept: application/*\n", false},
    {"JSON", "Accept: application/json\n", false},
    {"XML problem", "Accept: application/problem+xml\n", false},
    {"longer", "Accept: application/problem+jsonx\n", false},
    {"another field", "Content-Type: application/problem+json\n", false},
};

static void who_wants_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(accepts); i++) {
        struct http_fields fields;

        arena_reset(test_arena);
        fields_of(&fields, test_arena, accepts[i].fields);
        if (http_accepts_problem(&fields) != accepts[i].want)
            fail_msg("%s", accepts[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_body),
        cmocka_unit_test(a_full_buffer_is_told),
        cmocka_unit_test(who_wants_it),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
