/* path_test.c - the one spelling of a path, what is refused, what stays ambiguous. */
#include "message_fixture.h"

static const struct {
    const char *name, *raw, *want; /* want NULL: refused, as `refusal` */
    enum http_refusal refusal;
} paths[] = {
    {"root", "/", "/", 0},
    {"plain", "/a/b", "/a/b", 0},
    {"trailing slash", "/a/", "/a/", 0},
    {"star", "*", "*", 0},
    {"case is kept", "/ADMIN", "/ADMIN", 0},
    {"unreserved octets", "/%61dmin%2D%2e%5F%7e%30", "/admin-._~0", 0},
    {"others in upper case", "/%c3%a4%20", "/%C3%A4%20", 0},
    {"reserved stay", "/%3b%40%3F%23%25", "/%3B%40%3F%23%25", 0},
    {"P04 encoded slash stays", "/a%2fb", "/a%2Fb", 0},
    {"P04 encoded backslash stays", "/a%5cb", "/a%5Cb", 0},
    {"P07 two slashes", "//admin", "/admin", 0},
    {"P07 many slashes", "/a///b////", "/a/b/", 0},
    {"only slashes", "///", "/", 0},
    {"one dot", "/./admin", "/admin", 0},
    {"one dot last", "/a/.", "/a/", 0},
    {"only a dot", "/.", "/", 0},
    {"two dots", "/x/../admin", "/admin", 0},
    {"two dots last", "/a/b/..", "/a/", 0},
    {"back to the root", "/a/..", "/", 0},
    {"back twice", "/a/b/../../c", "/c", 0},
    {"mixed", "/a/./b/../c/./d/..", "/a/c/", 0},
    {"two dots after two slashes", "/a//../b", "/b", 0},
    {"P02 encoded dots inside", "/x/%2e%2E/admin", "/admin", 0},
    {"P02 half encoded", "/x/.%2e/admin", "/admin", 0},
    {"encoded dot alone", "/%2e/a", "/a", 0},
    {"three dots are a name", "/.../a", "/.../a", 0},
    {"dot names", "/.well-known/..a/b..", "/.well-known/..a/b..", 0},
    {"P03 decoded once", "/%252e%252e%252f", "/%252e%252e%252f", 0},
    {"P05 overlong", "/%c0%af%c0%ae", "/%C0%AF%C0%AE", 0},
    {"P06 parameter", "/a;x=1/b", "/a;x=1/b", 0},
    {"P06 dots with a parameter", "/..;/a", "/..;/a", 0},
    {"P02 above the root", "/..", NULL, HTTP_PATH_CONFUSION},
    {"P02 above the root, with more", "/../etc/passwd", NULL, HTTP_PATH_CONFUSION},
    {"P02 above by one", "/a/../../b", NULL, HTTP_PATH_CONFUSION},
    {"P02 encoded", "/%2e%2e/a", NULL, HTTP_PATH_CONFUSION},
    {"P02 two slashes do not help", "//../a", NULL, HTTP_PATH_CONFUSION},
    {"P02 dots do not help", "/./../a", NULL, HTTP_PATH_CONFUSION},
    {"P01 NUL", "/admin%00", NULL, HTTP_PATH_CONFUSION},
    {"P05 %u", "/%u002f", NULL, HTTP_BAD_ESCAPE},
    {"percent last", "/a%", NULL, HTTP_BAD_ESCAPE},
    {"one digit", "/a%4", NULL, HTTP_BAD_ESCAPE},
    {"no digits", "/a%gg", NULL, HTTP_BAD_ESCAPE},
    {"empty", "", NULL, HTTP_BAD_TARGET},
    {"no slash", "a", NULL, HTTP_BAD_TARGET},
};

static void every_spelling(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct str normal, again;
        enum http_refusal got;

        arena_reset(test_arena);
        got = http_normalize_path(test_arena, str_of(paths[i].raw), &normal);
        if (got != paths[i].refusal)
            fail_msg("%s: got %s", paths[i].name, http_refusal_text(got).slug);
        if (paths[i].want == NULL)
            continue;
        expect_str(paths[i].name, "path", normal, paths[i].want);
        got = http_normalize_path(test_arena, normal, &again);
        if (got != HTTP_SOUND || !str_eq(normal, again))
            fail_msg("%s: not the same when done twice", paths[i].name);
    }
}

static void a_normal_path_is_borrowed(void **state)
{
    struct str raw = STR("/products/1"), normal;

    (void)state;
    assert_int_equal(http_normalize_path(test_arena, raw, &normal), HTTP_SOUND);
    assert_ptr_equal(normal.ptr, raw.ptr);
    assert_int_equal(http_normalize_path(test_arena, STR("/a\0b"), &normal), HTTP_PATH_CONFUSION);
}

static void no_memory_is_told(void **state)
{
    struct arena *small = arena_new(512, 512);
    char long_path[2000];
    struct str normal;

    (void)state;
    assert_non_null(small);
    memset(long_path, '/', sizeof(long_path));
    assert_int_equal(http_normalize_path(small, str_at(long_path, sizeof(long_path)), &normal),
                     HTTP_BAD_TARGET);
    arena_free(&small);
}

static const struct {
    const char *name, *target, *path, *query;
} targets[] = {
    {"no query", "/a", "/a", NULL},   {"empty query", "/a?", "/a", ""},
    {"query", "/a?b=c", "/a", "b=c"}, {"P09 two marks", "/a?b?c", "/a", "b?c"},
    {"star", "*", "*", NULL},
};

static void splitting(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct http_target got = http_split_target(str_of(targets[i].target));

        expect_str(targets[i].name, "path", got.path, targets[i].path);
        expect_str(targets[i].name, "query", got.query, targets[i].query);
    }
}

static const struct {
    const char *normal;
    bool want;
} ambiguous[] = {
    {"/", false},       {"/a/b", false},         {"/a%2Fb", true},    {"/a%2fb", true},
    {"/a%5Cb", true},   {"/a%5c", true},         {"/%2F", true},      {"/a%252Fb", false},
    {"/a%20b", false},  {"/..;/a", true},        {"/a/..;x=1", true}, {"/.;/a", true},
    {"/a;x/b", false},  {"/...;/a", false},      {"/..%3B/a", true},  {"/..%3bx/a", true},
    {"/..a;/b", false}, {"/a..;/b", false},      {"/a\\b", true},     {"*", false},
    {"/a;/b", false},   {"/.well-known", false},
};

static void what_two_servers_read_differently(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ambiguous); i++)
        if (http_path_is_ambiguous(str_of(ambiguous[i].normal)) != ambiguous[i].want)
            fail_msg("%s", ambiguous[i].normal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling),
        cmocka_unit_test(a_normal_path_is_borrowed),
        cmocka_unit_test(no_memory_is_told),
        cmocka_unit_test(splitting),
        cmocka_unit_test(what_two_servers_read_differently),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
