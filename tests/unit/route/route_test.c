/* route_test.c - which route a request gets: hosts, paths, methods, parameters.
 *
 * Each table names its routes as "HOST PATH METHODS" lines; a row asks one request and names
 * the route's number. A random test then asks the table against the definition itself: the best
 * of all patterns that match, one after another. */
#include "route/route_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MOST_ROUTES = 32, NONE = -1, DENIED = 1000 /* + route: 405 */ };

struct table {
    struct config config;
    struct route_config routes[MOST_ROUTES];
    struct str methods[MOST_ROUTES][8];
    struct routes *built;
};

/* "host path GET,POST": methods may be absent. */
static void table_add(struct table *table, struct str line)
{
    uint32_t index = table->config.route_count++;
    struct route_config *route = &table->routes[index];
    struct str list = STR_NONE, method;

    assert_true(index < MOST_ROUTES);
    route->index = index;
    route->name = STR("r");
    assert_true(str_split(&line, ' ', &route->match.host));
    assert_true(str_split(&line, ' ', &route->match.path));
    (void)str_split(&line, ' ', &list);
    route->match.methods.at = table->methods[index];
    while (list.len > 0 && str_split(&list, ',', &method))
        table->methods[index][route->match.methods.count++] = method;
}

static void table_open(struct table *table, const char *lines)
{
    struct str rest = str_of(lines), line;

    memset(table, 0, sizeof(*table));
    table->config.routes = table->routes;
    while (str_split(&rest, '\n', &line))
        table_add(table, line);
    table->built = routes_new(&table->config);
    assert_non_null(table->built);
}

static int ask(const struct table *table, const char *host, struct str path, const char *method,
               struct route_match *match)
{
    switch (routes_find(table->built, str_of(host), path, str_of(method), match)) {
    case ROUTE_FOUND:
        return (int)match->route->index;
    case ROUTE_NOT_FOUND:
        return NONE;
    case ROUTE_METHOD_NOT_ALLOWED:
        return DENIED + (int)match->route->index;
    }
    return NONE;
}

static const struct {
    const char *name, *routes, *host, *path, *method;
    int want;
} cases[] = {
    /* paths */
    {"a path is that path alone", "* /a/b", "h", "/a/b", "GET", 0},
    {"no slash more", "* /a", "h", "/a/", "GET", NONE},
    {"no slash less", "* /a/", "h", "/a", "GET", NONE},
    {"with it it is another", "* /a/", "h", "/a/", "GET", 0},
    {"case counts", "* /a", "h", "/A", "GET", NONE},
    {"the root", "* /", "h", "/", "GET", 0},
    {"below a star", "* /a/*", "h", "/a/b/c", "GET", 0},
    {"the star's own path", "* /a/*", "h", "/a", "GET", 0},
    {"and with a slash", "* /a/*", "h", "/a/", "GET", 0},
    {"a longer name is not below", "* /a/*", "h", "/ab", "GET", NONE},
    {"everything", "* /*", "h", "/", "GET", 0},
    {"everything deep", "* /*", "h", "/x/y/z/", "GET", 0},
    {"a parameter is one segment", "* /a/{id}", "h", "/a/5", "GET", 0},
    {"not two", "* /a/{id}", "h", "/a/5/6", "GET", NONE},
    {"not an empty one", "* /a/{id}", "h", "/a/", "GET", NONE},
    {"in the middle", "* /a/{id}/c", "h", "/a/5/c", "GET", 0},
    {"then a star", "* /a/{id}/*", "h", "/a/5", "GET", 0},
    /* the best */
    {"exact before all", "* /a/{x}\n* /a/*\n* /a/b", "h", "/a/b", "GET", 2},
    {"most literal bytes", "* /*\n* /a/*\n* /a/b/*", "h", "/a/b/c", "GET", 2},
    {"name before star", "* /a/*\n* /a/{x}", "h", "/a/b", "GET", 1},
    {"literal bytes before name", "* /{x}/{y}\n* /a/*", "h", "/a/b", "GET", 1},
    {"bytes late in the path count too", "* /a/*\n* /{x}/long", "h", "/a/long", "GET", 1},
    {"a dead end is left", "* /a/b/c\n* /{x}/b/d", "h", "/a/b/d", "GET", 1},
    {"a deeper star wins over a name", "* /a/{x}/*\n* /a/b/*", "h", "/a/b/c", "GET", 1},
    {"order is last", "* /{x}/b\n* /b/{x}", "h", "/b/b", "GET", 0},
    {"order the other way", "* /b/{x}\n* /{x}/b", "h", "/b/b", "GET", 0},
    {"an exact path with a star's prefix", "* /a/*\n* /a", "h", "/a", "GET", 1},
    /* hosts */
    {"exact before suffix", "*.b.c /x\na.b.c /x\n* /x", "a.b.c", "/x", "GET", 1},
    {"suffix before any", "* /x\n*.b.c /x", "z.b.c", "/x", "GET", 1},
    {"the longest suffix", "*.c /x\n*.b.c /x", "a.b.c", "/x", "GET", 1},
    {"several labels", "*.c /x", "a.b.c", "/x", "GET", 0},
    {"a suffix wants a label", "*.b.c /x", "b.c", "/x", "GET", NONE},
    {"a suffix begins at a dot", "*.b.c /x", "ab.c", "/x", "GET", NONE},
    {"case of the request", "a.b.c /x", "A.b.C", "/x", "GET", 0},
    {"case of the route", "A.B.c /x", "a.b.c", "/x", "GET", 0},
    {"a port in the route is ignored", "a.b.c:8080 /x", "a.b.c", "/x", "GET", 0},
    {"an address", "[::1] /x", "[::1]", "/x", "GET", 0},
    {"unknown host", "a.b.c /x", "d", "/x", "GET", NONE},
    {"no host", "a.b.c /x\n* /x", NULL, "/x", "GET", 1},
    {"no host, none for all", "a.b.c /x", NULL, "/x", "GET", NONE},
    {"a host without the path leaves it to the next", "a.b.c /x\n*.b.c /y\n* /z", "a.b.c", "/z",
     "GET", 2},
    {"a better path on another host does not matter", "* /x/y\na.b.c /x/*", "a.b.c", "/x/y", "GET",
     1},
    {"a host whose path fits decides on methods", "a.b.c /x GET\n* /x POST", "a.b.c", "/x", "POST",
     DENIED + 0},
    /* methods */
    {"listed", "* /x GET,POST", "h", "/x", "POST", 0},
    {"not listed", "* /x GET,POST", "h", "/x", "PUT", DENIED + 0},
    {"methods are looked at last", "* /x/*\n* /x/{id} DELETE", "h", "/x/5", "GET", DENIED + 1},
    {"unless as good a pattern has it", "* /x/{a} DELETE\n* /x/{b} GET", "h", "/x/5", "GET", 1},
    {"as good, but another", "* /{a}/x PUT\n* /x/{a} GET", "h", "/x/x", "GET", 1},
    {"case counts in methods", "* /x GET", "h", "/x", "get", DENIED + 0},
    {"head is allowed with get", "* /x GET", "h", "/x", "HEAD", 0},
    {"unless it has a route of its own", "* /x GET\n* /x HEAD", "h", "/x", "HEAD", 1},
    {"head alone", "* /x POST", "h", "/x", "HEAD", DENIED + 0},
    {"default methods", "* /x", "h", "/x", "PROPFIND", 0},
    {"but not CONNECT", "* /x", "h", "/x", "CONNECT", DENIED + 0},
    {"nor TRACE", "* /x", "h", "/x", "TRACE", DENIED + 0},
    {"TRACE where it is listed", "* /x TRACE", "h", "/x", "TRACE", 0},
    /* odd */
    {"no route", "* /x", "h", "/y", "GET", NONE},
    {"a target that is no path", "* /*", "h", "*", "GET", NONE},
    {"an empty path", "* /*", "h", "", "GET", NONE},
    {"a malformed pattern is no route", "* /a/*/b\n* /*", "h", "/a/*/b", "GET", 1},
};

static void the_route_of_every_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct table table;
        struct route_match match;

        table_open(&table, cases[i].routes);
        int got = ask(&table, cases[i].host, str_of(cases[i].path), cases[i].method, &match);
        if (got != cases[i].want)
            fail_msg("%s: got %d, want %d", cases[i].name, got, cases[i].want);
        routes_free(&table.built);
    }
}

static const struct {
    const char *name, *pattern, *path, *want;
} parameters[] = {
    {"none", "/a", "/a", ""},
    {"one", "/a/{id}", "/a/5", "id=5;"},
    {"in order", "/{a}/x/{b}", "/1/x/2", "a=1;b=2;"},
    {"a tail", "/a/*", "/a/b/c", "*=b/c;"},
    {"an empty tail", "/a/*", "/a", "*=;"},
    {"a tail that ends with a slash", "/a/*", "/a/b/", "*=b/;"},
    {"both", "/{a}/*", "/x/y/z", "a=x;*=y/z;"},
    {"encoded bytes stay", "/{a}", "/x%2Fy", "a=x%2Fy;"},
};

static void parameters_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(parameters); i++) {
        struct buf got = buf_new(1000), lines = buf_new(1000);
        struct table table;
        struct route_match match;

        assert_true(buf_addf(&lines, "* %s", parameters[i].pattern));
        assert_true(buf_add_char(&lines, '\0'));
        table_open(&table, lines.ptr);
        assert_int_equal(ask(&table, "h", str_of(parameters[i].path), "GET", &match), 0);
        assert_true(str_eq(match.path, str_of(parameters[i].path)));
        for (uint32_t k = 0; k < match.parameter_count; k++)
            assert_true(buf_addf(&got, "%.*s=%.*s;", STR_ARG(match.parameters[k].name),
                                 STR_ARG(match.parameters[k].value)));
        if (!str_eq(buf_str(&got), str_of(parameters[i].want)))
            fail_msg("%s: %.*s", parameters[i].name, STR_ARG(buf_str(&got)));
        routes_free(&table.built);
        buf_free(&got);
        buf_free(&lines);
    }
}

static const struct {
    const char *name, *routes, *path, *want;
} allows[] = {
    {"its own", "* /x POST,PUT", "/x", "POST, PUT"},
    {"get brings head", "* /x GET,POST", "/x", "GET, HEAD, POST"},
    {"all that are as good", "* /x/{a} PUT\n* /x/{b} GET\n* /x/* DELETE", "/x/1", "PUT, GET, HEAD"},
    {"each once", "* /x GET,HEAD\n* /x HEAD,PUT", "/x", "GET, HEAD, PUT"},
    {"the usual", "* /x", "/x", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
    {"nothing there", "* /x", "/y", ""},
};

static void allow_of_every_path(void **state)
{
    struct arena *arena = arena_new(4096, 65536);

    (void)state;
    assert_non_null(arena);
    for (size_t i = 0; i < COUNT_OF(allows); i++) {
        struct table table;

        table_open(&table, allows[i].routes);
        struct str got = routes_allow(table.built, STR("h"), str_of(allows[i].path), arena);
        if (!str_eq(got, str_of(allows[i].want)))
            fail_msg("%s: %.*s", allows[i].name, STR_ARG(got));
        routes_free(&table.built);
    }
    arena_free(&arena);
}

static const struct {
    const char *pattern, *path;
    bool want;
} patterns[] = {
    {"/a", "/a", true},
    {"/a", "/a/", false},
    {"/a/*", "/a", true},
    {"/a/*", "/a/b", true},
    {"/a/*", "/ab", false},
    {"/{x}/b", "/a/b", true},
    {"/*", "/", true},
    {"a", "a", false},
    {"/a*", "/ab", false},
    {"/{x", "/{x", false},
    {"", "", false},
    {"/a", "", false},
    {"/products", "/products/5", false},
    {"/products/*", "/products/5/6", true},
};

static void patterns_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        if (route_pattern_matches(str_of(patterns[i].pattern), str_of(patterns[i].path)) !=
            patterns[i].want)
            fail_msg("%s on %s", patterns[i].pattern, patterns[i].path);
    }
}

static const struct {
    const char *pattern;
    bool is_sound;
} forms[] = {
    {"/", true},
    {"/a/{b}/*", true},
    {"/a/{b-c_9}", true},
    {"/a%2Fb", true},
    {"", false},
    {"a", false},
    {"*", false},
    {"/a*", false},
    {"/*/a", false},
    {"/**", false},
    {"/a//b", false},
    {"/a/../b", false},
    {"/./a", false},
    {"/{a}/{a}", false},
    {"/{}", false},
    {"/{a b}", false},
    {"/x{a}", false},
    {"/{a}x", false},
    {"/{a", false},
    {"/a}", false},
    {"/a b", false},
    {"/a?b", false},
    {"/a#b", false},
    {"/a\\b", false},
    {"/a%2", false},
    {"/a%zz", false},
    {"/\xc3\xa4", false},
    {"/a/", true},
    {"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}", true},
    {"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/*", false},
};

static void faults_of_every_pattern(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        if ((pattern_fault(str_of(forms[i].pattern)) == NULL) != forms[i].is_sound)
            fail_msg("%s", forms[i].pattern);
    }
}

/* ---- the table against the definition ---- */

static uint64_t random_state = 7;

static uint32_t drawn(uint32_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (uint32_t)(random_state >> 33) % below;
}

static int by_definition(const struct table *table, struct str path, const char *method)
{
    int first = NONE, allowed = NONE;
    uint64_t best = 0;

    for (uint32_t i = 0; i < table->config.route_count; i++) {
        struct str pattern = table->routes[i].match.path;

        if (route_pattern_matches(pattern, path) && pattern_rank(pattern) > best)
            best = pattern_rank(pattern);
    }
    for (uint32_t i = table->config.route_count; i-- > 0;) {
        struct str pattern = table->routes[i].match.path;

        if (!route_pattern_matches(pattern, path) || pattern_rank(pattern) != best)
            continue;
        first = (int)i;
        if (route_has_method(&table->routes[i], str_of(method)))
            allowed = (int)i;
    }
    return allowed != NONE ? allowed : first != NONE ? DENIED + first : NONE;
}

static void the_tree_finds_what_the_definition_says(void **state)
{
    static const char *const segments[] = {"a", "b", "ab", "{x}", "a", "b"};
    static const char *const methods[] = {"", " GET", " POST", " GET,POST"};

    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct buf lines = buf_new(10000);
        struct table table;

        for (uint32_t i = 0, n = 1 + drawn(12); i < n; i++) {
            assert_true(buf_add_str(&lines, i > 0 ? STR("\n* ") : STR("* ")));
            bool has_name = false;
            for (uint32_t k = 0, depth = 1 + drawn(4); k < depth; k++) {
                const char *segment = segments[drawn(has_name ? 3 : COUNT_OF(segments))];

                has_name = has_name || segment[0] == '{';
                assert_true(buf_addf(&lines, "/%s", segment));
            }
            assert_true(buf_addf(&lines, "%s%s", drawn(3) == 0 ? "/*" : "", methods[drawn(4)]));
        }
        assert_true(buf_add_char(&lines, '\0'));
        table_open(&table, lines.ptr);
        for (int asked = 0; asked < 50; asked++) {
            struct buf path = buf_new(100);
            struct route_match match;
            const char *method = drawn(2) == 0 ? "GET" : "POST";

            for (uint32_t k = 0, depth = 1 + drawn(5); k < depth; k++)
                assert_true(buf_addf(&path, "/%s", segments[drawn(3)]));
            if (drawn(6) == 0)
                assert_true(buf_add_char(&path, '/'));
            int want = by_definition(&table, buf_str(&path), method);
            int got = ask(&table, "h", buf_str(&path), method, &match);
            if (got != want)
                fail_msg("%.*s %s among\n%s\ngot %d, want %d", STR_ARG(buf_str(&path)), method,
                         lines.ptr, got, want);
            buf_free(&path);
        }
        routes_free(&table.built);
        buf_free(&lines);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_route_of_every_request),
        cmocka_unit_test(parameters_of_every_form),
        cmocka_unit_test(allow_of_every_path),
        cmocka_unit_test(patterns_alone),
        cmocka_unit_test(faults_of_every_pattern),
        cmocka_unit_test(the_tree_finds_what_the_definition_says),
    };
    return cmocka_run_group_tests_name("route/route", tests, NULL, NULL);
}
