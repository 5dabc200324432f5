/* answer_test.c - upstream answers: sound or 502; which have bodies; words and classes;
 * trailers; ids taken over. */
#include "message_fixture.h"

static const struct http_answer_limits limits = {.max_headers = 100, .max_header_bytes = 32768};

static const struct {
    const char *name;
    int status;
    const char *fields, *reason; /* NULL: sound */
} cases[] = {
    {"plain", 200, "Content-Length: 3\n", NULL},
    {"no framing", 200, "", NULL},
    {"chunked", 200, "Transfer-Encoding: Chunked\n", NULL},
    {"obs-text", 200, "X: \xff\n", NULL},
    {"tab inside", 200, "X: a\tb\n", NULL},
    {"merely odd", 200, "Date: never\nAge: x\nX_y: z\n", NULL},
    {"U11 two CL", 200, "Content-Length: 3\nContent-Length: 4\n", "multi_cl"},
    {"U11 equal CL", 200, "Content-Length: 3\nContent-Length: 3\n", "multi_cl"},
    {"U11 CL and TE", 200, "Content-Length: 3\nTransfer-Encoding: chunked\n", "te_and_cl"},
    {"U11 CL list", 200, "Content-Length: 3, 3\n", "bad_cl"},
    {"U11 plus", 200, "Content-Length: +3\n", "bad_cl"},
    {"U11 minus", 200, "Content-Length: -3\n", "bad_cl"},
    {"U11 empty", 200, "Content-Length:\n", "bad_cl"},
    {"U11 10^22", 200, "Content-Length: 10000000000000000000000\n", "bad_cl"},
    {"U11 2^63", 200, "Content-Length: 9223372036854775808\n", "bad_cl"},
    {"U12 gzip, chunked", 200, "Transfer-Encoding: gzip, chunked\n", "bad_te"},
    {"U12 identity", 200, "Transfer-Encoding: identity\n", "bad_te"},
    {"U12 twice", 200, "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n", "bad_te"},
    {"U17 99", 99, "", "bad_status"},
    {"U17 0", 0, "", "bad_status"},
    {"U17 1000", 1000, "", "bad_status"},
    {"U17 999", 999, "", NULL},
    {"U18 101", 101, "", "bad_status"},
    {"100 is no answer", 100, "", "bad_status"},
    {"H15 CR", 200, "X: a\rb\n", "bad_header_value"},
    {"H15 CTL", 200, "Server: \x01\n", "bad_header_value"},
    {"H15 blank in a name", 200, "X Y: a\n", "bad_header_name"},
    {"H15 empty name", 200, ": a\n", "bad_header_name"},
    {"304 with a length", 304, "Content-Length: 3\n", NULL},
};

static void sound_or_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http_fields fields;
        struct http_answer_facts facts;
        const char *reason = "?";
        bool is_sound;

        arena_reset(test_arena);
        fields_of(&fields, test_arena, cases[i].fields);
        is_sound = http_check_answer(cases[i].status, &fields, &limits, &facts, &reason);
        if (is_sound != (cases[i].reason == NULL) ||
            (!is_sound && strcmp(reason, cases[i].reason) != 0))
            fail_msg("%s: %s", cases[i].name, is_sound ? "sound" : reason);
    }
}

static void framing_is_told(void **state)
{
    struct http_fields fields;
    struct http_answer_facts facts;
    struct http_answer_limits fewer = {.max_headers = 0, .max_header_bytes = 100};
    struct http_answer_limits smaller = {.max_headers = 10, .max_header_bytes = 20};
    const char *reason;

    (void)state;
    arena_reset(test_arena);
    fields_of(&fields, test_arena, "Content-Length: 0042\n");
    assert_true(http_check_answer(200, &fields, &limits, &facts, &reason));
    assert_true(facts.has_length && !facts.is_chunked);
    assert_int_equal(facts.content_length, 42);
    assert_false(http_check_answer(200, &fields, &fewer, &facts, &reason));
    assert_string_equal(reason, "too_many_headers");
    assert_false(http_check_answer(200, &fields, &smaller, &facts, &reason));
    assert_string_equal(reason, "headers_too_large");
    fields_of(&fields, test_arena, "Transfer-Encoding: chunked\n");
    assert_true(http_check_answer(200, &fields, &limits, &facts, &reason));
    assert_true(facts.is_chunked && !facts.has_length);
}

static void bodies_and_words(void **state)
{
    (void)state;
    assert_true(http_answer_has_body(STR("GET"), 200));
    assert_true(http_answer_has_body(STR("GET"), 404));
    assert_false(http_answer_has_body(STR("HEAD"), 200));
    assert_false(http_answer_has_body(STR("GET"), 204));
    assert_false(http_answer_has_body(STR("GET"), 304));
    assert_false(http_answer_has_body(STR("GET"), 103));
    assert_string_equal(http_reason(200), "OK");
    assert_string_equal(http_reason(429), "Too Many Requests");
    assert_string_equal(http_reason(504), "Gateway Timeout");
    assert_string_equal(http_reason(299), "Unknown");
    assert_string_equal(http_reason(-1), "Unknown");
}

static const struct {
    const char *method;
    bool is_safe, is_idempotent;
} methods[] = {
    {"GET", true, true},     {"HEAD", true, true},      {"OPTIONS", true, true},
    {"TRACE", true, false},  {"PROPFIND", true, false}, {"REPORT", true, false},
    {"SEARCH", true, false}, {"QUERY", true, false},    {"PUT", false, true},
    {"DELETE", false, true}, {"POST", false, false},    {"PATCH", false, false},
    {"get", false, false},   {"", false, false},
};

static void method_classes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        struct str method = str_of(methods[i].method);

        if (http_method_is_safe(method) != methods[i].is_safe ||
            http_method_is_idempotent(method) != methods[i].is_idempotent)
            fail_msg("%s", methods[i].method);
    }
}

static const struct {
    const char *name;
    bool want;
} trailers[] = {
    {"X-Checksum", true},
    {"Server-Timing", true},
    {"Content-Digest", true},
    {"grpc-status", true},
    {"Content-Length", false},
    {"transfer-encoding", false},
    {"Host", false},
    {"Authorization", false},
    {"Cookie", false},
    {"Set-Cookie", false},
    {"Set-Cookie2", false},
    {"X-Forwarded-For", false},
    {"X-Forwarded-Port", false},
    {"Content-Type", false},
    {"Content-Disposition", false},
    {"Cache-Control", false},
    {"ETag", false},
    {"Age", false},
    {"Connection", false},
    {"Trailer", false},
    {"Proxy-Foo", false},
    {"X-RateLimit-Other", false},
    {"Access-Control-Allow-Origin", false},
    {"Content_Length", false},
    {"x_y", false},
    {"", false},
    {"a b", false},
    {"X-API-Key", false},
    {"Location", false},
};

static void trailers_that_may_pass(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(trailers); i++)
        if (http_trailer_may_pass(str_of(trailers[i].name)) != trailers[i].want)
            fail_msg("%s", trailers[i].name);
}

static void request_ids_and_traceparents(void **state)
{
    static const struct {
        const char *value;
        bool want;
    } parents[] = {
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true},
        {"00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
        {"00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false},
        {"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01", false},
        {"", false},
    };
    char id[129];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(parents); i++)
        if (http_traceparent_is_valid(str_of(parents[i].value)) != parents[i].want)
            fail_msg("%s", parents[i].value);
    memset(id, 'a', sizeof(id));
    assert_true(http_request_id_is_sane(str_at(id, 128)));
    assert_false(http_request_id_is_sane(str_at(id, 129)));
    assert_true(http_request_id_is_sane(STR("A-z.0_9")));
    assert_false(http_request_id_is_sane(STR("")));
    assert_false(http_request_id_is_sane(STR("{\"a\":1}")));
    assert_false(http_request_id_is_sane(STR("a b")));
    assert_false(http_request_id_is_sane(STR("a\n")));
    assert_false(http_request_id_is_sane(STR("\xc3\xa4")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_or_not),           cmocka_unit_test(framing_is_told),
        cmocka_unit_test(bodies_and_words),       cmocka_unit_test(method_classes),
        cmocka_unit_test(trailers_that_may_pass), cmocka_unit_test(request_ids_and_traceparents),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
