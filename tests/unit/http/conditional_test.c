/* conditional_test.c - what a stored answer says to a client's own conditions.
 *
 * The rows of the first table are the forms of If-None-Match and
 * If-Modified-Since, good and odd; the stored answer is that of each row. */
#include "caching_fixture.h"

#define LM   "Fri, 15 Jan 2027 07:00:00 GMT"
#define LM_S (NOW_S - 3600)

static const struct {
    const char *name, *request, *etag;
    int64_t last_modified_s;
    enum http_condition want;
} rows[] = {
    {"no condition", "", "\"a\"", LM_S, HTTP_COND_NONE},
    {"strong tag", "If-None-Match: \"abcdef\"", "\"abcdef\"", HTTP_NO_TIME, HTTP_COND_NOT_MODIFIED},
    {"another tag", "If-None-Match: \"abcdeg\"", "\"abcdef\"", HTTP_NO_TIME, HTTP_COND_NONE},
    {"case of a tag", "If-None-Match: \"ABCDEF\"", "\"abcdef\"", HTTP_NO_TIME, HTTP_COND_NONE},
    {"both weak", "If-None-Match: W/\"a\"", "W/\"a\"", HTTP_NO_TIME, HTTP_COND_NOT_MODIFIED},
    {"the client's weak", "If-None-Match: W/\"a\"", "\"a\"", HTTP_NO_TIME, HTTP_COND_NOT_MODIFIED},
    {"the stored one weak", "If-None-Match: \"a\"", "W/\"a\"", HTTP_NO_TIME,
     HTTP_COND_NOT_MODIFIED},
    {"first of three", "If-None-Match: \"a\", \"1\", \"2\"", "\"a\"", HTTP_NO_TIME,
     HTTP_COND_NOT_MODIFIED},
    {"second of three", "If-None-Match: \"1\", \"a\", \"2\"", "\"a\"", HTTP_NO_TIME,
     HTTP_COND_NOT_MODIFIED},
    {"last of three", "If-None-Match: \"1\",\"2\",\"a\"", "\"a\"", HTTP_NO_TIME,
     HTTP_COND_NOT_MODIFIED},
    {"on a second line", "If-None-Match: \"1\"\nIf-None-Match: \"a\"", "\"a\"", HTTP_NO_TIME,
     HTTP_COND_NOT_MODIFIED},
    {"empty members", "If-None-Match: , ,\"a\",", "\"a\"", HTTP_NO_TIME, HTTP_COND_NOT_MODIFIED},
    {"comma in a tag", "If-None-Match: \"x,y\"", "\"x,y\"", HTTP_NO_TIME, HTTP_COND_NOT_MODIFIED},
    {"comma in another tag", "If-None-Match: \"x,\"a\"", "\"a\"", HTTP_NO_TIME, HTTP_COND_NONE},
    {"backslash in a tag", "If-None-Match: \"x\\\", \"a\"", "\"a\"", HTTP_NO_TIME,
     HTTP_COND_NOT_MODIFIED},
    {"empty tag", "If-None-Match: \"\"", "\"\"", HTTP_NO_TIME, HTTP_COND_NOT_MODIFIED},
    {"obs-text", "If-None-Match: \"abc\xfc\"", "\"abc\xfc\"", HTTP_NO_TIME, HTTP_COND_NOT_MODIFIED},
    {"without quotes", "If-None-Match: a", "\"a\"", HTTP_NO_TIME, HTTP_COND_NONE},
    {"both without quotes", "If-None-Match: a", "a", HTTP_NO_TIME, HTTP_COND_NONE},
    {"stored without quotes", "If-None-Match: \"a\"", "a", HTTP_NO_TIME, HTTP_COND_NONE},
    {"small w", "If-None-Match: w/\"a\"", "w/\"a\"", HTTP_NO_TIME, HTTP_COND_NONE},
    {"backslash for slash", "If-None-Match: W\\\"a\"", "W\\\"a\"", HTTP_NO_TIME, HTTP_COND_NONE},
    {"no slash", "If-None-Match: W\"a\"", "W\"a\"", HTTP_NO_TIME, HTTP_COND_NONE},
    {"a good one behind a bad one", "If-None-Match: a, w/\"x\", \"a\"", "\"a\"", HTTP_NO_TIME,
     HTTP_COND_NOT_MODIFIED},
    {"something behind the tag", "If-None-Match: \"a\"x", "\"a\"", HTTP_NO_TIME, HTTP_COND_NONE},
    {"a tag without an end", "If-None-Match: \"a", "\"a\"", HTTP_NO_TIME, HTTP_COND_NONE},
    {"a blank in a tag", "If-None-Match: \"a b\"", "\"a b\"", HTTP_NO_TIME, HTTP_COND_NONE},
    {"*", "If-None-Match: *", "\"a\"", HTTP_NO_TIME, HTTP_COND_NOT_MODIFIED},
    {"* without a stored tag", "If-None-Match: *", NULL, HTTP_NO_TIME, HTTP_COND_NOT_MODIFIED},
    {"* in a list", "If-None-Match: \"x\", *", "\"a\"", HTTP_NO_TIME, HTTP_COND_NONE},
    {"no stored tag", "If-None-Match: \"a\"", NULL, LM_S, HTTP_COND_NONE},
    {"empty If-None-Match", "If-None-Match:\nIf-Modified-Since: " LM, "\"a\"", LM_S,
     HTTP_COND_NONE},
    {"since, the same", "If-Modified-Since: " LM, NULL, LM_S, HTTP_COND_NOT_MODIFIED},
    {"since, later", "If-Modified-Since: Fri, 15 Jan 2027 07:30:00 GMT", NULL, LM_S,
     HTTP_COND_NOT_MODIFIED},
    {"since, a second earlier", "If-Modified-Since: Fri, 15 Jan 2027 06:59:59 GMT", NULL, LM_S,
     HTTP_COND_NONE},
    {"since, RFC 850", "If-Modified-Since: Friday, 15-Jan-27 07:00:00 GMT", NULL, LM_S,
     HTTP_COND_NOT_MODIFIED},
    {"since, asctime", "If-Modified-Since: Fri Jan 15 07:00:00 2027", NULL, LM_S,
     HTTP_COND_NOT_MODIFIED},
    {"since, no date", "If-Modified-Since: 0", NULL, LM_S, HTTP_COND_NONE},
    {"since, two lines", "If-Modified-Since: " LM "\nIf-Modified-Since: " LM, NULL, LM_S,
     HTTP_COND_NONE},
    {"tag wins over since, the same",
     "If-None-Match: \"a\"\nIf-Modified-Since: Fri, 15 Jan 2027 01:00:00 GMT", "\"a\"", LM_S,
     HTTP_COND_NOT_MODIFIED},
    {"tag wins over since, another", "If-None-Match: \"b\"\nIf-Modified-Since: " LM, "\"a\"", LM_S,
     HTTP_COND_NONE},
    {"without Last-Modified Date counts: older copy", "If-Modified-Since: " LM, NULL, HTTP_NO_TIME,
     HTTP_COND_NONE},
    {"without Last-Modified Date counts: this copy",
     "If-Modified-Since: Fri, 15 Jan 2027 08:00:00 GMT", NULL, HTTP_NO_TIME,
     HTTP_COND_NOT_MODIFIED},
    {"If-Match is the origin's", "If-Match: \"b\"", "\"a\"", LM_S, HTTP_COND_NONE},
    {"If-Unmodified-Since is the origin's", "If-Unmodified-Since: Fri, 15 Jan 2027 01:00:00 GMT",
     "\"a\"", LM_S, HTTP_COND_NONE},
};

static void conditions_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct http_fields request = fields_of(rows[i].request);
        struct http_validators stored = {str_of(rows[i].etag), rows[i].last_modified_s, NOW_S};
        enum http_condition got = http_evaluate(&request, &stored, NOW_S);
        if (got != rows[i].want)
            fail_msg("%s: got %d", rows[i].name, (int)got);
    }
}

static void nothing_to_compare_with(void **state)
{
    struct http_fields request = fields_of("If-Modified-Since: " LM);
    struct http_validators stored = {STR_NONE, HTTP_NO_TIME, HTTP_NO_TIME};

    (void)state;
    assert_int_equal(http_evaluate(&request, &stored, NOW_S), HTTP_COND_NONE);
}

static void strong_comparison(void **state)
{
    (void)state;
    assert_true(http_etag_list_has(STR("\"1\", \"a\""), STR("\"a\""), false));
    assert_false(http_etag_list_has(STR("W/\"a\""), STR("\"a\""), false));
    assert_false(http_etag_list_has(STR("\"a\""), STR("W/\"a\""), false));
    assert_false(http_etag_list_has(STR("W/\"a\""), STR("W/\"a\""), false));
    assert_true(http_etag_list_has(STR("W/\"a\", \"a\""), STR("\"a\""), false));
    assert_false(http_etag_list_has(STR("\"a\""), STR("\"a\", \"b\""), true));
    assert_false(http_etag_list_has(STR_NONE, STR("\"a\""), true));
    assert_false(http_etag_list_has(STR("\"a\""), STR_NONE, true));
}

static void any_of_the_five(void **state)
{
    static const char *const conditions[] = {"If-Match: *", "If-None-Match: *",
                                             "If-Modified-Since: x", "if-unmodified-since: x",
                                             "If-Range: x"};
    struct http_fields none = fields_of("Range: bytes=0-1\nIf-Foo: x");

    (void)state;
    assert_false(http_has_conditionals(&none));
    for (size_t i = 0; i < COUNT_OF(conditions); i++) {
        struct http_fields request = fields_of(conditions[i]);
        assert_true(http_has_conditionals(&request));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_of_every_form),
        cmocka_unit_test(nothing_to_compare_with),
        cmocka_unit_test(strong_comparison),
        cmocka_unit_test(any_of_the_five),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
