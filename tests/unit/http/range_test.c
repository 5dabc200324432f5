/* range_test.c - single byte ranges, and the many that are not one.
 *
 * The stored answer has the tag "a", was modified an hour before its Date, and is
 * as long as the row says. */
#include "caching_fixture.h"

#define LM "Fri, 15 Jan 2027 07:00:00 GMT"

static const struct {
    const char *name, *request;
    uint64_t size;
    enum http_range_result want;
    uint64_t first, last;
} rows[] = {
    {"none", "", 10, HTTP_RANGE_NONE, 0, 0},
    {"first two", "Range: bytes=0-1", 10, HTTP_RANGE_ONE, 0, 1},
    {"one byte", "Range: bytes=9-9", 10, HTTP_RANGE_ONE, 9, 9},
    {"open end", "Range: bytes=1-", 10, HTTP_RANGE_ONE, 1, 9},
    {"all", "Range: bytes=0-", 10, HTTP_RANGE_ONE, 0, 9},
    {"suffix", "Range: bytes=-1", 10, HTTP_RANGE_ONE, 9, 9},
    {"suffix of all", "Range: bytes=-10", 10, HTTP_RANGE_ONE, 0, 9},
    {"suffix, too long", "Range: bytes=-11", 10, HTTP_RANGE_ONE, 0, 9},
    {"suffix past 64 bits", "Range: bytes=-99999999999999999999999", 10, HTTP_RANGE_ONE, 0, 9},
    {"end past the end", "Range: bytes=5-99", 10, HTTP_RANGE_ONE, 5, 9},
    {"end past 64 bits", "Range: bytes=5-99999999999999999999999", 10, HTTP_RANGE_ONE, 5, 9},
    {"unit in capitals", "Range: BYTES=0-1", 10, HTTP_RANGE_ONE, 0, 1},
    {"leading zeros", "Range: bytes=000-0001", 10, HTTP_RANGE_ONE, 0, 1},
    {"blanks round the range", "Range: bytes= 0-1 ", 10, HTTP_RANGE_ONE, 0, 1},
    {"starts at the end", "Range: bytes=10-", 10, HTTP_RANGE_UNSATISFIABLE, 0, 0},
    {"starts past the end", "Range: bytes=10-20", 10, HTTP_RANGE_UNSATISFIABLE, 0, 0},
    {"starts past 64 bits", "Range: bytes=99999999999999999999999-", 10, HTTP_RANGE_UNSATISFIABLE,
     0, 0},
    {"suffix of nothing", "Range: bytes=-0", 10, HTTP_RANGE_UNSATISFIABLE, 0, 0},
    {"first byte of nothing", "Range: bytes=0-", 0, HTTP_RANGE_UNSATISFIABLE, 0, 0},
    {"suffix where nothing is", "Range: bytes=-5", 0, HTTP_RANGE_NONE, 0, 0},
    {"the wrong way round", "Range: bytes=5-4", 10, HTTP_RANGE_NONE, 0, 0},
    {"the wrong way round, past the end", "Range: bytes=50-40", 10, HTTP_RANGE_NONE, 0, 0},
    {"two ranges", "Range: bytes=0-1,3-4", 10, HTTP_RANGE_NONE, 0, 0},
    {"two suffixes", "Range: bytes=-1,-2", 10, HTTP_RANGE_NONE, 0, 0},
    {"two lines", "Range: bytes=0-1\nRange: bytes=0-1", 10, HTTP_RANGE_NONE, 0, 0},
    {"another unit", "Range: items=0-1", 10, HTTP_RANGE_NONE, 0, 0},
    {"no unit", "Range: 0-1", 10, HTTP_RANGE_NONE, 0, 0},
    {"blank before =", "Range: bytes =0-1", 10, HTTP_RANGE_NONE, 0, 0},
    {"nothing behind =", "Range: bytes=", 10, HTTP_RANGE_NONE, 0, 0},
    {"a dash only", "Range: bytes=-", 10, HTTP_RANGE_NONE, 0, 0},
    {"no dash", "Range: bytes=5", 10, HTTP_RANGE_NONE, 0, 0},
    {"two dashes", "Range: bytes=0--1", 10, HTTP_RANGE_NONE, 0, 0},
    {"letters", "Range: bytes=a-b", 10, HTTP_RANGE_NONE, 0, 0},
    {"hex", "Range: bytes=0x0-0x1", 10, HTTP_RANGE_NONE, 0, 0},
    {"plus", "Range: bytes=+0-1", 10, HTTP_RANGE_NONE, 0, 0},
    {"blanks inside", "Range: bytes=0 - 1", 10, HTTP_RANGE_NONE, 0, 0},
    {"empty", "Range:", 10, HTTP_RANGE_NONE, 0, 0},
    {"If-Range, the tag", "Range: bytes=0-1\nIf-Range: \"a\"", 10, HTTP_RANGE_ONE, 0, 1},
    {"If-Range, another tag", "Range: bytes=0-1\nIf-Range: \"b\"", 10, HTTP_RANGE_NONE, 0, 0},
    {"If-Range, a weak tag", "Range: bytes=0-1\nIf-Range: W/\"a\"", 10, HTTP_RANGE_NONE, 0, 0},
    {"If-Range, a list", "Range: bytes=0-1\nIf-Range: \"a\", \"b\"", 10, HTTP_RANGE_NONE, 0, 0},
    {"If-Range, *", "Range: bytes=0-1\nIf-Range: *", 10, HTTP_RANGE_NONE, 0, 0},
    {"If-Range, empty", "Range: bytes=0-1\nIf-Range:", 10, HTTP_RANGE_NONE, 0, 0},
    {"If-Range, the date", "Range: bytes=0-1\nIf-Range: " LM, 10, HTTP_RANGE_ONE, 0, 1},
    {"If-Range, the date in another form", "Range: bytes=0-1\nIf-Range: Fri Jan 15 07:00:00 2027",
     10, HTTP_RANGE_ONE, 0, 1},
    {"If-Range, a later date", "Range: bytes=0-1\nIf-Range: Fri, 15 Jan 2027 07:00:01 GMT", 10,
     HTTP_RANGE_NONE, 0, 0},
    {"If-Range, an earlier date", "Range: bytes=0-1\nIf-Range: Fri, 15 Jan 2027 06:59:59 GMT", 10,
     HTTP_RANGE_NONE, 0, 0},
    {"If-Range, no date", "Range: bytes=0-1\nIf-Range: foo", 10, HTTP_RANGE_NONE, 0, 0},
    {"If-Range, two lines", "Range: bytes=0-1\nIf-Range: \"a\"\nIf-Range: \"a\"", 10,
     HTTP_RANGE_NONE, 0, 0},
    {"If-Range fails past the end too", "Range: bytes=50-\nIf-Range: \"b\"", 10, HTTP_RANGE_NONE, 0,
     0},
    {"If-Range without Range", "If-Range: \"a\"", 10, HTTP_RANGE_NONE, 0, 0},
};

static void ranges_of_every_form(void **state)
{
    struct http_validators stored = {STR("\"a\""), NOW_S - 3600, NOW_S};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct http_fields request = fields_of(rows[i].request);
        struct http_range range = {0, 0};
        enum http_range_result got = http_range_parse(&request, &stored, rows[i].size, &range);
        if (got != rows[i].want || range.first != rows[i].first || range.last != rows[i].last)
            fail_msg("%s: got %d, %" PRIu64 "-%" PRIu64, rows[i].name, (int)got, range.first,
                     range.last);
    }
}

static const struct {
    const char *name, *if_range, *etag;
    int64_t last_modified_s, date_s;
} weak[] = {
    {"a weak tag, both", "Range: bytes=0-1\nIf-Range: W/\"a\"", "W/\"a\"", HTTP_NO_TIME, NOW_S},
    {"a stored weak tag", "Range: bytes=0-1\nIf-Range: \"a\"", "W/\"a\"", HTTP_NO_TIME, NOW_S},
    {"no stored tag", "Range: bytes=0-1\nIf-Range: \"a\"", NULL, HTTP_NO_TIME, NOW_S},
    {"modified within the second of its Date", "Range: bytes=0-1\nIf-Range: " LM, NULL,
     NOW_S - 3600, NOW_S - 3600},
    {"no Last-Modified", "Range: bytes=0-1\nIf-Range: " LM, NULL, HTTP_NO_TIME, NOW_S},
    {"no Last-Modified and nonsense", "Range: bytes=0-1\nIf-Range: foo", NULL, HTTP_NO_TIME, NOW_S},
    {"a tag without an end", "Range: bytes=0-1\nIf-Range: \"a", "\"a", HTTP_NO_TIME, NOW_S},
};

static void weak_validators_select_no_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(weak); i++) {
        struct http_validators stored = {str_of(weak[i].etag), weak[i].last_modified_s,
                                         weak[i].date_s};
        struct http_fields request = fields_of(weak[i].if_range);
        struct http_range range;
        if (http_range_parse(&request, &stored, 10, &range) != HTTP_RANGE_NONE)
            fail_msg("%s: got a range", weak[i].name);
    }
}

static const struct {
    const char *name, *fields;
    struct http_content_range want; /* size 0: none */
} contents[] = {
    {"the first bytes", "Content-Range: bytes 0-4/10", {0, 4, 10}},
    {"the last", "Content-Range: bytes 9-9/10", {9, 9, 10}},
    {"all", "Content-Range: BYTES 0-9/10", {0, 9, 10}},
    {"blanks before", "Content-Range: bytes   1-2/10", {1, 2, 10}},
    {"none", "", {0}},
    {"two lines", "Content-Range: bytes 0-4/10\nContent-Range: bytes 0-4/10", {0}},
    {"of unknown size", "Content-Range: bytes 0-4/*", {0}},
    {"unsatisfied", "Content-Range: bytes */10", {0}},
    {"behind the end", "Content-Range: bytes 5-10/10", {0}},
    {"backwards", "Content-Range: bytes 5-4/10", {0}},
    {"another unit", "Content-Range: lines 0-4/10", {0}},
    {"no unit", "Content-Range: 0-4/10", {0}},
    {"no size", "Content-Range: bytes 0-4", {0}},
    {"a dash in the size", "Content-Range: bytes 04/1-0", {0}},
    {"no first", "Content-Range: bytes -4/10", {0}},
    {"no last", "Content-Range: bytes 4-/10", {0}},
    {"a sign", "Content-Range: bytes +0-4/10", {0}},
    {"too large to count", "Content-Range: bytes 0-18446744073709551616/18446744073709551616", {0}},
};

static void what_a_part_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(contents); i++) {
        struct http_fields answer = fields_of(contents[i].fields);
        struct http_content_range want = contents[i].want, got = {0};
        bool is_range = http_content_range_parse(&answer, &got);

        if (is_range != (want.size > 0))
            fail_msg("%s: got %d", contents[i].name, is_range);
        if (is_range && (got.first != want.first || got.last != want.last || got.size != want.size))
            fail_msg("%s: got %" PRIu64 "-%" PRIu64, contents[i].name, got.first, got.last);
        if (is_range && http_range_is_whole(&got) != (got.last - got.first + 1 == got.size))
            fail_msg("%s: whole or not?", contents[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_of_every_form),
        cmocka_unit_test(weak_validators_select_no_range),
        cmocka_unit_test(what_a_part_holds),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
