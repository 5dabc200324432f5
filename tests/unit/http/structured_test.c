/* structured_test.c - structured-field dictionaries: what is one and what is not.
 *
 * The members that the parser reports are written out as text, so that a row
 * shows kind and value of each. */
#include "caching_fixture.h"
#include "http/structured_priv.h"

static void write_member(void *arg, const struct http_sf_member *member)
{
    struct buf *out = arg;

    buf_addf(out, "%.*s:", STR_ARG(member->key));
    switch (member->kind) {
    case HTTP_SF_BOOLEAN:
        buf_addf(out, "?%d ", member->is_true);
        break;
    case HTTP_SF_INTEGER:
        buf_addf(out, "%" PRId64 " ", member->integer);
        break;
    case HTTP_SF_DECIMAL:
        buf_addf(out, "decimal ");
        break;
    case HTTP_SF_STRING:
        buf_addf(out, "\"%.*s\" ", STR_ARG(member->text));
        break;
    case HTTP_SF_TOKEN:
        buf_addf(out, "%.*s ", STR_ARG(member->text));
        break;
    case HTTP_SF_BYTES:
        buf_addf(out, "bytes ");
        break;
    case HTTP_SF_DATE:
        buf_addf(out, "@%" PRId64 " ", member->integer);
        break;
    case HTTP_SF_DISPLAY:
        buf_addf(out, "display ");
        break;
    case HTTP_SF_INNER_LIST:
        buf_addf(out, "list ");
        break;
    }
}

static const struct {
    const char *name, *text, *want; /* NULL: not a dictionary */
} rows[] = {
    {"nothing", "", ""},
    {"blanks", "   ", ""},
    {"a key", "a", "a:?1"},
    {"all kinds", "a=1, b=1.5, c=\"x\", d=x, e=:YQ==:, f=?0, g=@5, h=%\"a%c3%a4\", i=(1 2)",
     "a:1 b:decimal c:\"x\" d:x e:bytes f:?0 g:@5 h:display i:list"},
    {"negative", "a=-15", "a:-15"},
    {"minus nothing", "a=-", NULL},
    {"minus zero", "a=-0", "a:0"},
    {"15 digits", "a=999999999999999", "a:999999999999999"},
    {"16 digits", "a=9999999999999999", NULL},
    {"12 and 3 digits", "a=123456789012.123", "a:decimal"},
    {"13 and 1 digits", "a=1234567890123.1", NULL},
    {"4 digits behind the point", "a=1.1234", NULL},
    {"no digits behind the point", "a=1.", NULL},
    {"no digits before the point", "a=.5", NULL},
    {"plus", "a=+5", NULL},
    {"number with a letter", "a=5a", NULL},
    {"date with a fraction", "a=@5.5", NULL},
    {"parameters", "a;x;y=1; z=\"q\", b=(1;p 2;q=?1);r", "a:?1 b:list"},
    {"parameter without a name", "a;", NULL},
    {"parameter without a value", "a;x=", NULL},
    {"capital key", "A=1", NULL},
    {"key with a capital inside", "aB=1", NULL},
    {"key that begins with a digit", "1a=1", NULL},
    {"key of all characters", "*a-b_c.d*9=1", "*a-b_c.d*9:1"},
    {"no key", "=1", NULL},
    {"no value", "a=", NULL},
    {"blank before =", "a =1", NULL},
    {"blank behind =", "a= 1", NULL},
    {"tab round a comma", "a\t,\tb", "a:?1 b:?1"},
    {"tab in front", "\ta", NULL},
    {"blanks round it all", "  a=1  ", "a:1"},
    {"comma at the end", "a,", NULL},
    {"comma and blank at the end", "a, ", NULL},
    {"comma in front", ",a", NULL},
    {"two commas", "a,,b", NULL},
    {"no comma", "a b", NULL},
    {"repeated key", "a=1, a=2", "a:1 a:2"},
    {"escapes", "a=\"x\\\"\\\\y\"", "a:\"x\\\"\\\\y\""},
    {"wrong escape", "a=\"\\x\"", NULL},
    {"string without an end", "a=\"x", NULL},
    {"string that ends in a backslash", "a=\"x\\", NULL},
    {"obs-text in a string", "a=\"\xc3\xa4\"", NULL},
    {"control in a string", "a=\"\x01\"", NULL},
    {"token with all characters", "a=*x:/!#$%&'+-.^_`|~", "a:*x:/!#$%&'+-.^_`|~"},
    {"token that begins with an ampersand", "a=&", NULL},
    {"bytes without an end", "a=:YQ==", NULL},
    {"bytes of other characters", "a=:Y-Q:", NULL},
    {"boolean 2", "a=?2", NULL},
    {"boolean of nothing", "a=?", NULL},
    {"display without quotes", "a=%x", NULL},
    {"display with a capital escape", "a=%\"%C3\"", NULL},
    {"display with half an escape", "a=%\"%c\"", NULL},
    {"display without an end", "a=%\"x", NULL},
    {"empty list", "a=()", "a:list"},
    {"list with blanks", "a=(  1   2  )", "a:list"},
    {"list without an end", "a=(1", NULL},
    {"list with commas", "a=(1,2)", NULL},
    {"list in a list", "a=((1))", NULL},
    {"list members that touch", "a=(\"x\"\"y\")", NULL},
};

static void dictionaries(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf out = buf_new(4096);
        bool is_one = http_sf_dictionary(str_of(rows[i].text), write_member, &out);
        struct str got = str_trim(buf_str(&out));
        if (is_one != (rows[i].want != NULL))
            fail_msg("%s: %s", rows[i].name, is_one ? "taken" : "refused");
        if (is_one && !str_eq(got, str_of(rows[i].want)))
            fail_msg("%s: got '%.*s', want '%s'", rows[i].name, STR_ARG(got), rows[i].want);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(dictionaries)};
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
