/* vary_test.c - the names of Vary, and which requests select the same variant.
 *
 * A row of the second table compares two requests: `same` says whether they may
 * share a stored answer. */
#include "caching_fixture.h"

static const struct {
    const char *name, *answer, *want; /* NULL: star */
} names[] = {
    {"none", "", ""},
    {"empty", "Vary:", ""},
    {"one", "Vary: Foo", "foo"},
    {"sorted", "Vary: Foo, bar,BAZ", "bar,baz,foo"},
    {"no duplicates", "Vary: Foo, foo, bar, FOO", "bar,foo"},
    {"lines", "Vary: b\nVary: a", "a,b"},
    {"empty members", "Vary: ,, a ,", "a"},
    {"prefixes", "Vary: accept-language, accept", "accept,accept-language"},
    {"*", "Vary: *", NULL},
    {"* twice", "Vary: *, *", NULL},
    {"* on two lines", "Vary: *\nVary: *", NULL},
    {"* after an empty member", "Vary: , *", NULL},
    {"* after an empty line", "Vary:\nVary: *", NULL},
    {"* first", "Vary: *, Foo", NULL},
    {"* last", "Vary: Foo, *", NULL},
    {"* on the second line", "Vary: Foo\nVary: *", NULL},
    {"no name: a quoted one", "Vary: \"Foo\"", NULL},
    {"no name: a blank inside", "Vary: Foo Bar", NULL},
    {"a * inside a name", "Vary: *foo", "*foo"},
};

static void names_of_vary(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct http_fields answer = fields_of(names[i].answer);
        bool is_star = false;
        struct str got = http_vary_names(&answer, arena, &is_star);
        if (is_star != (names[i].want == NULL))
            fail_msg("%s: is_star is %d", names[i].name, is_star);
        if (!is_star && !str_eq(got, str_of(names[i].want)))
            fail_msg("%s: got '%.*s'", names[i].name, STR_ARG(got));
    }
}

enum same { NEVER, NORMALIZED /* only with `normalize` */, ALWAYS };

static const struct {
    const char *name, *vary, *a, *b;
    enum same same;
} pairs[] = {
    {"equal", "foo", "Foo: 1", "Foo: 1", ALWAYS},
    {"another value", "foo", "Foo: 1", "Foo: 2", NEVER},
    {"case of a value", "foo", "Foo: a", "Foo: A", NEVER},
    {"case of a name", "foo", "FOO: 1", "foo: 1", ALWAYS},
    {"both absent", "foo", "", "", ALWAYS},
    {"absent and present", "foo", "", "Foo: 1", NEVER},
    {"absent and empty", "foo", "", "Foo:", NEVER},
    {"empty and present", "foo", "Foo:", "Foo: 1", NEVER},
    {"an unlisted field", "foo", "Foo: 1\nBar: 1", "Foo: 1\nBar: 2", ALWAYS},
    {"order of fields", "bar,foo", "Foo: 1\nBar: 2", "Bar: 2\nFoo: 1", ALWAYS},
    {"the second differs", "bar,foo", "Foo: 1\nBar: 2", "Foo: 1\nBar: 3", NEVER},
    {"values swapped", "bar,foo", "Foo: 1\nBar: 2", "Foo: 2\nBar: 1", NEVER},
    {"the one for the other", "bar,foo", "Foo: 1", "Bar: 1", NEVER},
    {"lines joined", "foo", "Foo: 1, 2", "Foo: 1\nFoo: 2", ALWAYS},
    {"blanks round members", "foo", "Foo: 1,2", "Foo:  1 ,\t2 ", ALWAYS},
    {"blanks inside a member", "foo", "Foo: 1 2", "Foo: 1  2", NEVER},
    {"blanks in a string", "foo", "Foo: \"1,2\"", "Foo: \"1, 2\"", NEVER},
    {"blanks behind a string", "foo", "Foo: \"1,2\" , 3", "Foo: \"1,2\",3", ALWAYS},
    {"blanks behind an escaped quote", "foo", "Foo: \"\\\"1,2\"", "Foo: \"\\\"1, 2\"", NEVER},
    {"an empty member", "foo", "Foo: 1,,2", "Foo: 1,2", NEVER},
    {"order of members", "foo", "Foo: 1, 2", "Foo: 2, 1", NEVER},
    {"what looks like a key", "bar,foo", "Bar: 1\nFoo: 2", "Bar: 1\\nfoo=1:2", NEVER},
    {"language: order", "accept-language", "Accept-Language: en, de", "Accept-Language: de, en",
     NORMALIZED},
    {"language: case", "accept-language", "Accept-Language: en, de", "Accept-Language: eN, De",
     NORMALIZED},
    {"language: blanks", "accept-language", "Accept-Language: en, de",
     "Accept-Language:  en ,   de", ALWAYS},
    {"language: q", "accept-language", "Accept-Language: en, de;q=0.5",
     "Accept-Language: de;q=0.3, en;q=0.9", NORMALIZED},
    {"language: q the other way", "accept-language", "Accept-Language: en, de;q=0.5",
     "Accept-Language: de, en;q=0.5", NEVER},
    {"language: q of 1 written out", "accept-language", "Accept-Language: en;q=1.000, de; q=0.5",
     "Accept-Language: EN,de;q=0.500", NORMALIZED},
    {"language: refused and least wanted", "accept-language", "Accept-Language: en, de;q=0",
     "Accept-Language: en, de;q=0.1", NEVER},
    {"language: subtag", "accept-language", "Accept-Language: en", "Accept-Language: en-GB", NEVER},
    {"language: a bad q", "accept-language", "Accept-Language: en;q=2, de",
     "Accept-Language: de, en;q=2", NEVER},
    {"language: a bad q and the form of a good one", "accept-language", "Accept-Language: en;q=x",
     "Accept-Language: en", NEVER},
    {"language: empty and absent", "accept-language", "Accept-Language:", "", NEVER},
    {"encoding: order", "accept-encoding", "Accept-Encoding: gzip, br, zstd",
     "Accept-Encoding: zstd, br, gzip", NORMALIZED},
    {"encoding: case and blanks", "accept-encoding", "Accept-Encoding: gzip,br",
     "Accept-Encoding: GZIP , Br", NORMALIZED},
    {"encoding: repeated", "accept-encoding", "Accept-Encoding: gzip, gzip",
     "Accept-Encoding: gzip", NORMALIZED},
    {"encoding: one more", "accept-encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: gzip",
     NEVER},
    {"encoding: an unknown one", "accept-encoding", "Accept-Encoding: gzip, deflate",
     "Accept-Encoding: gzip", NEVER},
    {"encoding: refused", "accept-encoding", "Accept-Encoding: gzip, br;q=0",
     "Accept-Encoding: gzip, br", NEVER},
    {"encoding: identity refused", "accept-encoding", "Accept-Encoding: gzip, identity;q=0",
     "Accept-Encoding: gzip", NEVER},
    {"encoding: any", "accept-encoding", "Accept-Encoding: gzip, *", "Accept-Encoding: gzip",
     NEVER},
    {"encoding: any refused", "accept-encoding", "Accept-Encoding: gzip, *;q=0",
     "Accept-Encoding: gzip, *", NEVER},
    {"encoding: empty and absent", "accept-encoding", "Accept-Encoding:", "", NEVER},
    {"encoding: empty and identity", "accept-encoding",
     "Accept-Encoding:", "Accept-Encoding: identity", NEVER},
    {"encoding: another parameter", "accept-encoding", "Accept-Encoding: gzip;x=1",
     "Accept-Encoding: gzip", NEVER},
};

static struct str key_of(const char *vary, const char *request, bool normalize)
{
    struct http_fields fields = fields_of(request);
    struct buf out = buf_new(4096);

    assert_true(http_vary_key(&out, str_of(vary), &fields, normalize, arena));
    struct str key = arena_copy(arena, buf_str(&out));
    buf_free(&out);
    return key;
}

static void requests_that_select_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        for (int normalize = 0; normalize <= 1; normalize++) {
            bool want = pairs[i].same == ALWAYS || (pairs[i].same == NORMALIZED && normalize);
            struct str a = key_of(pairs[i].vary, pairs[i].a, normalize);
            struct str b = key_of(pairs[i].vary, pairs[i].b, normalize);
            if (str_eq(a, b) != want)
                fail_msg("%s (normalize %d): '%.*s' and '%.*s'", pairs[i].name, normalize,
                         STR_ARG(a), STR_ARG(b));
        }
    }
}

static const struct {
    const char *name, *vary, *stored, *asked, *language;
    bool want;
} languages[] = {
    {"first choice", "accept-language", "Accept-Language: en, de",
     "Accept-Language: fr;q=0.5, de;q=1.0", "de", true},
    {"case", "accept-language", "", "Accept-Language: DE", "De", true},
    {"second choice", "accept-language", "", "Accept-Language: fr, de;q=0.5", "de", false},
    {"two first choices", "accept-language", "", "Accept-Language: fr, de", "de", false},
    {"refused", "accept-language", "", "Accept-Language: de;q=0", "de", false},
    {"anything", "accept-language", "", "Accept-Language: *", "*", false},
    {"a part of the name", "accept-language", "", "Accept-Language: de-AT", "de", false},
    {"several languages", "accept-language", "", "Accept-Language: de", "de, en", false},
    {"none said", "accept-language", "", "Accept-Language: de", "", false},
    {"none asked", "accept-language", "Accept-Language: de", "", "de", false},
    {"the others equal", "accept-language,foo", "Foo: 1", "Foo: 1\nAccept-Language: de", "de",
     true},
    {"another differs", "accept-language,foo", "Foo: 2", "Foo: 1\nAccept-Language: de", "de",
     false},
    {"another is absent", "accept-language,foo", "", "Foo: 1\nAccept-Language: de", "de", false},
    {"an odd weight", "accept-language", "", "Accept-Language: de;q=7", "de", false},
    {"other names", "foo", "Foo: 1", "Foo: 1", "de", false},
};

static void a_variant_in_the_wanted_language(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(languages); i++) {
        struct str stored = key_of(languages[i].vary, languages[i].stored, true);
        struct str asked = key_of(languages[i].vary, languages[i].asked, true);

        if (http_vary_language_fits(stored, asked, str_of(languages[i].language)) !=
            languages[i].want)
            fail_msg("%s", languages[i].name);
        if (http_vary_language_fits(stored, key_of(languages[i].vary, languages[i].asked, false),
                                    str_of(languages[i].language)))
            fail_msg("%s: without normalize", languages[i].name);
    }
}

static void no_names_give_an_empty_key(void **state)
{
    (void)state;
    assert_true(key_of("", "Foo: 1", true).len == 0);
}

static void a_full_buffer_fails(void **state)
{
    struct http_fields request = fields_of("Foo: 0123456789");
    struct buf out = buf_new(8);

    (void)state;
    assert_false(http_vary_key(&out, STR("foo"), &request, true, arena));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_vary),
        cmocka_unit_test(requests_that_select_the_same),
        cmocka_unit_test(a_variant_in_the_wanted_language),
        cmocka_unit_test(no_names_give_an_empty_key),
        cmocka_unit_test(a_full_buffer_fails),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
