/* cookie_test.c - one cookie out of a request's. */
#include "caching_fixture.h"

static const struct {
    const char *name, *fields, *cookie, *want; /* NULL: none */
} cases[] = {
    {"the only one", "Cookie: a=1", "a", "1"},
    {"one of three", "Cookie: a=1; b=2; c=3", "b", "2"},
    {"without blanks", "Cookie: a=1;b=2;c=3", "c", "3"},
    {"on the second line", "Cookie: a=1\nCookie: b=2", "b", "2"},
    {"the first counts", "Cookie: a=1; a=2", "a", "1"},
    {"empty", "Cookie: a=; b=2", "a", ""},
    {"a value with an equals sign", "Cookie: a=b=c", "a", "b=c"},
    {"quotes are the value's", "Cookie: a=\"1\"", "a", "\"1\""},
    {"no name of its own", "Cookie: a", "a", NULL},
    {"the end of another name", "Cookie: ba=1", "a", NULL},
    {"the beginning of another name", "Cookie: ab=1", "a", NULL},
    {"in another's value", "Cookie: b=a=1", "a", NULL},
    {"case matters", "Cookie: A=1", "a", NULL},
    {"another field", "X-Cookie: a=1", "a", NULL},
    {"no cookies", "", "a", NULL},
};

static void one_of_many(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http_fields fields = fields_of(cases[i].fields);
        struct str got = http_cookie(&fields, str_of(cases[i].cookie));

        if ((got.ptr == NULL) != (cases[i].want == NULL) || !str_eq(got, str_of(cases[i].want)))
            fail_msg("%s: got '%.*s'", cases[i].name, STR_ARG(got));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_of_many)};

    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
