/* template_test.c - {host}, {uri} and the path's names in answers and redirects. */
#include "route/route_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    const char *name, *text, *want;
} rows[] = {
    {"nothing", "", ""},
    {"plain text", "hello", "hello"},
    {"host and target", "https://{host}{uri}", "https://shop.example/a/b?c=d"},
    {"a name of the path", "/new/{id}", "/new/a%22b"},
    {"the tail", "{*}", "x/y"},
    {"JSON stays JSON", "{\"a\": {}, \"b\": {\"c\": 1}}", "{\"a\": {}, \"b\": {\"c\": 1}}"},
    {"a name within JSON", "{\"id\": \"{id}\"}", "{\"id\": \"a%22b\"}"},
    {"an unknown name stays", "{nobody}", "{nobody}"},
    {"a brace without an end", "{host", "{host"},
    {"an end without a brace", "host}", "host}"},
    {"braces within braces", "{{host}}", "{shop.example}"},
    {"empty braces", "{}", "{}"},
};

static void names_are_filled_in(void **state)
{
    const struct route_match match = {
        .parameters = {{STR("id"), STR("a\"b")}, {STR("*"), STR("x/y")}}, .parameter_count = 2};
    const struct route_place place = {STR("shop.example"), STR("/a/b?c=d")};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf out = buf_new(1000);

        assert_true(route_fill(&match, str_of(rows[i].text), place, &out));
        if (!str_eq(buf_str(&out), str_of(rows[i].want)))
            fail_msg("%s: got %.*s, want %s", rows[i].name, (int)out.len, out.ptr, rows[i].want);
        buf_free(&out);
    }
}

static void no_value_ends_a_quotation_or_an_element(void **state)
{
    const struct route_match match = {.parameter_count = 0};
    struct str wild = STR("<>\"'\\^`{|} \x01\x7f\xc3&=?/%2F");
    struct buf out = buf_new(1000), small = buf_new(10);

    (void)state;
    assert_true(route_fill(&match, STR("{uri}"), (struct route_place){STR(""), wild}, &out));
    assert_true(str_eq(buf_str(&out), STR("%3C%3E%22%27%5C%5E%60%7B%7C%7D%20%01%7F%C3&=?/%2F")));
    assert_false(route_fill(&match, STR("{uri}"), (struct route_place){STR(""), wild}, &small));
    buf_free(&out);
    buf_free(&small);
}

static const struct {
    const char *text, *pattern;
    bool is_sound;
} templates[] = {
    {"https://{host}{uri}", "/*", true}, {"/x/{id}", "/a/{id}", true}, {"/x/{*}", "/a/*", true},
    {"/x/{id}", "/a/*", false},          {"/x/{*}", "/a", false},      {"/{Host}", "/a", false},
};

static void unknown_names_are_faults_of_a_redirect(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(templates); i++)
        if ((template_fault(str_of(templates[i].text), str_of(templates[i].pattern)) == NULL) !=
            templates[i].is_sound)
            fail_msg("%s for %s", templates[i].text, templates[i].pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_filled_in),
        cmocka_unit_test(no_value_ends_a_quotation_or_an_element),
        cmocka_unit_test(unknown_names_are_faults_of_a_redirect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
