/* cache_control_test.c - Cache-Control and CDN-Cache-Control, in good and odd form.
 *
 * A row's result is written out as text, the directives that are set in the
 * order of the struct, so that a row shows everything that a value causes. */
#include "caching_fixture.h"

static void add_seconds(struct buf *out, const char *name, int64_t seconds)
{
    if (seconds == -2)
        buf_addf(out, " %s=bad", name);
    else if (seconds != -1)
        buf_addf(out, " %s=%" PRId64, name, seconds);
}

static void add_flag(struct buf *out, const char *name, bool is_set)
{
    if (is_set)
        buf_addf(out, " %s", name);
}

static struct str text_of(const struct http_cache_control *c)
{
    struct buf out = buf_new(4096);

    add_flag(&out, "no-store", c->no_store);
    add_flag(&out, "no-cache", c->no_cache);
    if (c->no_cache_fields)
        buf_addf(&out, "(%.*s)", STR_ARG(c->no_cache_list));
    add_flag(&out, "private", c->is_private);
    if (c->private_fields)
        buf_addf(&out, "(%.*s)", STR_ARG(c->private_list));
    add_flag(&out, "public", c->is_public);
    add_flag(&out, "must-revalidate", c->must_revalidate);
    add_flag(&out, "proxy-revalidate", c->proxy_revalidate);
    add_flag(&out, "must-understand", c->must_understand);
    add_flag(&out, "immutable", c->immutable);
    add_flag(&out, "no-transform", c->no_transform);
    add_flag(&out, "only-if-cached", c->only_if_cached);
    add_flag(&out, "max-stale", c->max_stale_any);
    add_seconds(&out, "max-age", c->max_age);
    add_seconds(&out, "s-maxage", c->s_maxage);
    add_seconds(&out, "min-fresh", c->min_fresh);
    add_seconds(&out, "max-stale", c->max_stale);
    add_seconds(&out, "swr", c->stale_while_revalidate);
    add_seconds(&out, "sie", c->stale_if_error);
    struct str text = arena_copy(arena, str_trim(buf_str(&out)));
    buf_free(&out);
    return text;
}

struct row {
    const char *name, *fields, *want;
};

static const struct row answers[] = {
    {"nothing", "", ""},
    {"another field", "Expires: 0", ""},
    {"empty", "Cache-Control:", ""},
    {"commas only", "Cache-Control: , ,,", ""},
    {"one", "Cache-Control: max-age=60", "max-age=60"},
    {"several", "Cache-Control: public, max-age=1, s-maxage=2, must-revalidate",
     "public must-revalidate max-age=1 s-maxage=2"},
    {"any case", "Cache-Control: No-StOrE, MAX-AGE=5", "no-store max-age=5"},
    {"no blanks", "Cache-Control: no-cache,max-age=5", "no-cache max-age=5"},
    {"many blanks", "Cache-Control: \t no-cache \t ,\t max-age=5 ", "no-cache max-age=5"},
    {"two lines", "Cache-Control: max-age=5\nCache-Control: private", "private max-age=5"},
    {"first of two", "Cache-Control: max-age=1800, max-age=1", "max-age=1800"},
    {"first of two, stale first", "Cache-Control: max-age=1, max-age=1800", "max-age=1"},
    {"first of two lines", "Cache-Control: max-age=1\nCache-Control: max-age=1800", "max-age=1"},
    {"unusable one first", "Cache-Control: max-age=x, max-age=1800", "max-age=bad"},
    {"quoted number", "Cache-Control: max-age=\"3600\"", "max-age=3600"},
    {"in another's string", "Cache-Control: extension=\"max-age=3600\", max-age=1", "max-age=1"},
    {"in another's string, behind", "Cache-Control: max-age=1, extension=\"max-age=3600\"",
     "max-age=1"},
    {"comma in a string", "Cache-Control: a=\"b, no-store, c\", max-age=1", "max-age=1"},
    {"escaped quote", "Cache-Control: a=\"\\\", no-store\", max-age=1", "max-age=1"},
    {"string without an end", "Cache-Control: a=\"b, max-age=1", "no-store"},
    {"string that ends in a backslash", "Cache-Control: a=\"b\\", "no-store"},
    {"the next line still counts", "Cache-Control: a=\"b\nCache-Control: private",
     "no-store private"},
    {"longer name", "Cache-Control: xmax-age=5, max-agex=5, no-storex, x-no-store", ""},
    {"blank before =", "Cache-Control: max-age =3600", "max-age=bad"},
    {"blank behind =", "Cache-Control: max-age= 3600", "max-age=bad"},
    {"leading zeros", "Cache-Control: max-age=003600", "max-age=3600"},
    {"many leading zeros", "Cache-Control: max-age=00000000000000000000000000001", "max-age=1"},
    {"zero", "Cache-Control: max-age=0", "max-age=0"},
    {"single quotes", "Cache-Control: max-age='3600'", "max-age=bad"},
    {"decimal zero", "Cache-Control: max-age=3600.0", "max-age=bad"},
    {"decimal five", "Cache-Control: max-age=3600.5", "max-age=bad"},
    {"letter in front", "Cache-Control: max-age=a3600", "max-age=bad"},
    {"letter behind", "Cache-Control: max-age=3600a", "max-age=bad"},
    {"minus", "Cache-Control: max-age=-1", "max-age=bad"},
    {"plus", "Cache-Control: max-age=+1", "max-age=bad"},
    {"hex", "Cache-Control: max-age=0x10", "max-age=bad"},
    {"exponent", "Cache-Control: max-age=1e3", "max-age=bad"},
    {"no number", "Cache-Control: max-age", "max-age=bad"},
    {"empty number", "Cache-Control: max-age=", "max-age=bad"},
    {"empty string", "Cache-Control: max-age=\"\"", "max-age=bad"},
    {"number and word", "Cache-Control: max-age=3600 private", "max-age=bad"},
    {"string and more", "Cache-Control: max-age=\"3600\"0", "max-age=bad"},
    {"parameter", "Cache-Control: max-age=3600;a=b", "max-age=bad"},
    {"2147483647", "Cache-Control: max-age=2147483647", "max-age=2147483647"},
    {"2147483648", "Cache-Control: max-age=2147483648", "max-age=2147483647"},
    {"2147483649", "Cache-Control: max-age=2147483649", "max-age=2147483647"},
    {"99999999999", "Cache-Control: max-age=99999999999", "max-age=2147483647"},
    {"past 64 bits", "Cache-Control: max-age=99999999999999999999999", "max-age=2147483647"},
    {"stale windows", "Cache-Control: stale-while-revalidate=4, stale-if-error=60", "swr=4 sie=60"},
    {"unusable stale window", "Cache-Control: stale-if-error=x", "sie=bad"},
    {"no-cache of fields", "Cache-Control: no-cache=\"a, b\", max-age=3",
     "no-cache(a, b) max-age=3"},
    {"no-cache of a token", "Cache-Control: no-cache=a", "no-cache(a)"},
    {"no-cache of fields, then of all", "Cache-Control: no-cache=\"a\", no-cache", "no-cache"},
    {"no-cache of all, then of fields", "Cache-Control: no-cache, no-cache=\"a\"", "no-cache"},
    {"no-cache of nothing", "Cache-Control: no-cache=", "no-cache"},
    {"private of fields", "Cache-Control: private=\"set-cookie\"", "private(set-cookie)"},
    {"a restriction with an argument holds", "Cache-Control: no-store=1", "no-store"},
    {"a missing comma", "Cache-Control: no-store max-age=5", "no-store"},
    {"a permission with an argument does not", "Cache-Control: public=1, must-understand=x", ""},
    {"must-understand", "Cache-Control: no-store, must-understand", "no-store must-understand"},
    {"the rest", "Cache-Control: immutable, no-transform, proxy-revalidate",
     "proxy-revalidate immutable no-transform"},
    {"only =", "Cache-Control: =, =5, ==, \"x\"", ""},
    {"Pragma says nothing in answers", "Pragma: no-cache", ""},
};

static const struct row requests[] = {
    {"nothing known", "Cache-Control: nothing-to-see-here\nPragma: foo", ""},
    {"no-cache", "Cache-Control: no-cache", "no-cache"},
    {"Pragma alone", "Pragma: no-cache", "no-cache"},
    {"Pragma in any case and place", "Pragma: foo, No-Cache", "no-cache"},
    {"Pragma with Cache-Control", "Pragma: no-cache\nCache-Control: max-age=5", "max-age=5"},
    {"max-stale alone", "Cache-Control: max-stale", "max-stale"},
    {"max-stale with a number", "Cache-Control: max-stale=100", "max-stale=100"},
    {"max-stale with nonsense", "Cache-Control: max-stale=x", "max-stale=bad"},
    {"min-fresh", "Cache-Control: min-fresh=20, only-if-cached", "only-if-cached min-fresh=20"},
    {"a string without an end", "Cache-Control: a=\"", ""},
};

static void check(const struct row *rows, size_t count, bool is_request)
{
    for (size_t i = 0; i < count; i++) {
        struct http_fields fields = fields_of(rows[i].fields);
        struct http_cache_control control;
        http_cache_control_parse(&fields, is_request, &control);
        struct str got = text_of(&control);
        if (!str_eq(got, str_of(rows[i].want)))
            fail_msg("%s: got '%.*s', want '%s'", rows[i].name, STR_ARG(got), rows[i].want);
    }
}

static void directives_of_answers(void **state)
{
    (void)state;
    check(answers, COUNT_OF(answers), false);
}

static void directives_of_requests(void **state)
{
    (void)state;
    check(requests, COUNT_OF(requests), true);
}

/* want NULL: as if absent */
static const struct row targeted[] = {
    {"absent", "Cache-Control: max-age=5", NULL},
    {"empty", "CDN-Cache-Control:", NULL},
    {"one", "CDN-Cache-Control: max-age=3600", "max-age=3600"},
    {"two lines", "CDN-Cache-Control: max-age=3600\nCDN-Cache-Control: private",
     "private max-age=3600"},
    {"only something unknown", "CDN-Cache-Control: foo", ""},
    {"with an extension", "CDN-Cache-Control: foobar, max-age=3600", "max-age=3600"},
    {"with parameters", "CDN-Cache-Control: max-age=3600;a=1;b, private;x=\"y\"",
     "private max-age=3600"},
    {"2147483648", "CDN-Cache-Control: max-age=2147483648", "max-age=2147483647"},
    {"99999999999", "CDN-Cache-Control: max-age=99999999999", "max-age=2147483647"},
    {"16 digits are no integer", "CDN-Cache-Control: max-age=9999999999999999", NULL},
    {"zero", "CDN-Cache-Control: max-age=0", "max-age=0"},
    {"negative", "CDN-Cache-Control: max-age=-5", "max-age=bad"},
    {"a string", "CDN-Cache-Control: max-age=\"10000\"", "max-age=bad"},
    {"a token", "CDN-Cache-Control: max-age=a", "max-age=bad"},
    {"a decimal", "CDN-Cache-Control: max-age=3600.0", "max-age=bad"},
    {"a boolean", "CDN-Cache-Control: max-age", "max-age=bad"},
    {"an inner list", "CDN-Cache-Control: max-age=(1 2)", "max-age=bad"},
    {"an unknown type", "CDN-Cache-Control: max-age=10000, &&&&&", NULL},
    {"capitals in a key", "CDN-Cache-Control: MaX-aGe=3600", NULL},
    {"blank before =", "CDN-Cache-Control: max-age =100", NULL},
    {"blank behind =", "CDN-Cache-Control: max-age= 100", NULL},
    {"comma at the end", "CDN-Cache-Control: max-age=100,", NULL},
    {"an empty line between",
     "CDN-Cache-Control: no-store\nCDN-Cache-Control:\nCDN-Cache-Control: a", NULL},
    {"the last of a repeated key", "CDN-Cache-Control: max-age=1, max-age=1800", "max-age=1800"},
    {"taken back", "CDN-Cache-Control: no-store, private=\"a\", no-store=?0, private=?0", ""},
    {"false", "CDN-Cache-Control: no-store=?0", ""},
    {"true", "CDN-Cache-Control: no-store=?1", "no-store"},
    {"a restriction of another type holds", "CDN-Cache-Control: no-store=1, private=2.5",
     "no-store private"},
    {"a permission of another type does not", "CDN-Cache-Control: public=1", ""},
    {"fields", "CDN-Cache-Control: no-cache=\"a, b\"", "no-cache(a, b)"},
    {"stale windows", "CDN-Cache-Control: stale-while-revalidate=5, stale-if-error=6",
     "swr=5 sie=6"},
    {"s-maxage", "CDN-Cache-Control: s-maxage=7, must-revalidate", "must-revalidate s-maxage=7"},
};

static void targeted_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(targeted); i++) {
        struct http_fields fields = fields_of(targeted[i].fields);
        struct http_cache_control control;
        bool counts = http_targeted_parse(&fields, arena, &control);
        if (counts != (targeted[i].want != NULL))
            fail_msg("%s: counts is %d", targeted[i].name, counts);
        if (!counts)
            continue;
        struct str got = text_of(&control);
        if (!str_eq(got, str_of(targeted[i].want)))
            fail_msg("%s: got '%.*s', want '%s'", targeted[i].name, STR_ARG(got), targeted[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directives_of_answers),
        cmocka_unit_test(directives_of_requests),
        cmocka_unit_test(targeted_fields),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
