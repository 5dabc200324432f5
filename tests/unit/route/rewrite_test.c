/* rewrite_test.c - the target that goes upstream: untouched, stripped, or from a template. */
#include "route/route_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct {
    const char *name, *pattern, *strip, *rewrite;
    const char *path; /* normalised */
    const char *raw;
    const char *want; /* NULL: refused */
} cases[] = {
    {"nothing to do", "/a/*", "", "", "/a/b", "/a/./b?x=%20", "/a/./b?x=%20"},
    {"a prefix", "/api/*", "/api", "", "/api/b", "/api/b", "/b"},
    {"with the query", "/api/*", "/api", "", "/api/b", "/api/b?q=1&r", "/b?q=1&r"},
    {"an empty query is a query", "/api/*", "/api", "", "/api/b", "/api/b?", "/b?"},
    {"all of it", "/api/*", "/api", "", "/api", "/api?x", "/?x"},
    {"a prefix with a slash is the same", "/api/*", "/api/", "", "/api/b", "/api/b", "/b"},
    {"only whole segments", "/apis", "/api", "", "/apis", "/apis", "/apis"},
    {"not there", "/*", "/api", "", "/b", "/b", "/b"},
    {"hidden by escapes", "/api/*", "/api", "", "/api/b", "/%61pi//x/../b", "/b"},
    {"dots cannot climb", "/api/*", "/api", "", "/api/c", "/api/x/../../api/c", "/c"},

    {"a template", "/p/{id}", "", "/v2/item/{id}", "/p/5", "/p/5", "/v2/item/5"},
    {"with the query kept", "/p/{id}", "", "/v2/{id}", "/p/5", "/p/5?a=b", "/v2/5?a=b"},
    {"a tail", "/p/*", "", "/x/{*}", "/p/a/b", "/p/a/b", "/x/a/b"},
    {"a tail alone", "/p/*", "", "/{*}", "/p/a/b", "/p/a/b", "/a/b"},
    {"an empty tail", "/p/*", "", "/x/{*}", "/p", "/p", "/x/"},
    {"twice and swapped", "/{a}/{b}", "", "/{b}/{a}/{b}", "/1/2", "/1/2", "/2/1/2"},
    {"a query of its own", "/p/{id}", "", "/q?id={id}", "/p/5", "/p/5", "/q?id=5"},
    {"and the client's after it", "/p/{id}", "", "/q?id={id}", "/p/5", "/p/5?x=1", "/q?id=5&x=1"},
    {"a value cannot add parameters", "/p/{id}", "", "/q?id={id}", "/p/5&role=admin+x",
     "/p/5&role=admin+x", "/q?id=5%26role%3Dadmin%2Bx"},
    {"nor end the path", "/p/{id}", "", "/q/{id}", "/p/5%3Fx", "/p/5%3Fx", "/q/5%3Fx"},
    {"it wins over a prefix", "/p/{id}", "/p", "/q/{id}", "/p/5", "/p/5", "/q/5"},
    {"no other server", "/p/*", "", "/{*}/x", "/p", "/p", NULL},
    {"no dots put together", "/{a}/{b}", "", "/x/{a}{b}/y", "/./.", "/./.", NULL},
    {"no hole without a value", "/p", "", "/q/{id}", "/p", "/p", NULL},
    {"no path without a slash", "/p/*", "", "{*}", "/p/a", "/p/a", NULL},
};

static void targets_of_every_form(void **state)
{
    struct arena *arena = arena_new(4096, 1 << 20);

    (void)state;
    assert_non_null(arena);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct route_config route = {.match.path = str_of(cases[i].pattern),
                                     .strip_prefix = str_of(cases[i].strip),
                                     .rewrite = str_of(cases[i].rewrite)};
        struct route_match match = {.route = &route, .path = str_of(cases[i].path)};
        struct str got = STR_NONE;

        if (!pattern_match(route.match.path, match.path, &match))
            fail_msg("%s: the row's own path does not match", cases[i].name);
        bool is_sound = route_rewrite(&match, str_of(cases[i].raw), arena, &got);
        if (is_sound != (cases[i].want != NULL))
            fail_msg("%s: got %d, %.*s", cases[i].name, is_sound, STR_ARG(got));
        if (is_sound && !str_eq(got, str_of(cases[i].want)))
            fail_msg("%s: got %.*s", cases[i].name, STR_ARG(got));
    }
    arena_free(&arena);
}

static void what_is_not_rewritten_is_borrowed(void **state)
{
    struct route_config route = {.match.path = STR("/*")};
    struct route_match match = {.route = &route, .path = STR("/b")};
    struct str raw = STR("/a/../b?q"), got;

    (void)state;
    assert_true(route_rewrite(&match, raw, NULL, &got));
    assert_ptr_equal(got.ptr, raw.ptr);
}

static const struct {
    const char *template, *pattern;
    bool is_sound;
} templates[] = {
    {"", "/a", true},           {"/x", "/a", true},         {"/{id}", "/a/{id}", true},
    {"/{*}", "/a/*", true},     {"/{*}", "/a", false},      {"/{x}", "/a/{id}", false},
    {"x", "/a", false},         {"{*}", "/*", false},       {"/{id", "/{id}", false},
    {"/id}", "/{id}", false},   {"/{id}}", "/{id}", false}, {"/{}", "/{id}", false},
    {"/a b", "/a", false},      {"/a#b", "/a", false},      {"/a?b={id}&c", "/{id}", true},
    {"/{id}{", "/{id}", false}, {"/{{id}", "/{id}", false},
};

static void faults_of_every_template(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(templates); i++) {
        const char *fault =
            rewrite_fault(str_of(templates[i].template), str_of(templates[i].pattern));

        if ((fault == NULL) != templates[i].is_sound)
            fail_msg("%s: %s", templates[i].template, fault != NULL ? fault : "no fault");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_of_every_form),
        cmocka_unit_test(what_is_not_rewritten_is_borrowed),
        cmocka_unit_test(faults_of_every_template),
    };
    return cmocka_run_group_tests_name("route/rewrite", tests, NULL, NULL);
}
