/* date_test.c - the three forms of an HTTP-date, and what is none of them.
 *
 * The rows are the dates of the public cache-tests suite and the edges of the
 * calendar: leap years, centuries, the end of 32 bits. */
#include "caching_fixture.h"

static const struct {
    const char *name, *text;
    int64_t want;
} dates[] = {
    {"IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
    {"RFC 850", "Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
    {"asctime", "Sun Nov  6 08:49:37 1994", 784111777},
    {"asctime, two digits", "Wed Nov 16 08:49:37 1994", 784975777},
    {"epoch", "Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"before the epoch", "Wed, 31 Dec 1969 23:59:59 GMT", -1},
    {"32 bits", "Tue, 19 Jan 2038 14:14:08 GMT", 2147523248},
    {"far future", "Sun, 21 Nov 2286 04:46:39 GMT", 10000039599},
    {"last of all", "Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
    {"year 0", "Sat, 01 Jan 0000 00:00:00 GMT", -62167219200},
    {"RFC 850, this century", "Thursday, 18-Aug-50 02:01:18 GMT", 2544400878},
    {"asctime, 2050", "Thu Aug  8 02:01:18 2050", 2543536878},
    {"weekday in capitals", "THU, 18 Aug 2050 02:01:18 GMT", 2544400878},
    {"month in capitals", "Thu, 18 AUG 2050 02:01:18 GMT", 2544400878},
    {"zone in mixed case", "Thu, 18 Aug 2050 02:01:18 gMT", 2544400878},
    {"RFC 850 in small letters", "thursday, 18-aug-50 02:01:18 gmt", 2544400878},
    {"a weekday that is not that day's", "Mon, 18 Aug 2050 02:01:18 GMT", 2544400878},
    {"29 February 2000", "Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
    {"leap second", "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
    {"UTC", "Thu, 18 Aug 2050 02:01:18 UTC", HTTP_NO_TIME},
    {"AEST", "Thu, 18 Aug 2050 02:01:18 AEST", HTTP_NO_TIME},
    {"numeric zone", "Thu, 18 Aug 2050 02:01:18 +0000", HTTP_NO_TIME},
    {"no zone", "Thu, 18 Aug 2050 02:01:18", HTTP_NO_TIME},
    {"two-digit year", "Thu, 18 Aug 50 02:01:18 GMT", HTTP_NO_TIME},
    {"five-digit year", "Thu, 18 Aug 20500 02:01:18 GMT", HTTP_NO_TIME},
    {"no comma", "Thu 18 Aug 2050 02:01:18 GMT", HTTP_NO_TIME},
    {"doubled blanks", "Thu, 18  Aug  2050 02:01:18 GMT", HTTP_NO_TIME},
    {"dashes with four digits", "Thu, 18-Aug-2050 02:01:18 GMT", HTTP_NO_TIME},
    {"RFC 850 with a short weekday", "Thu, 18-Aug-50 02:01:18 GMT", HTTP_NO_TIME},
    {"long weekday with blanks", "Thursday, 18 Aug 2050 02:01:18 GMT", HTTP_NO_TIME},
    {"points in the time", "Thu, 18 Aug 2050 02.01.18 GMT", HTTP_NO_TIME},
    {"one-digit hour", "Thu, 18 Aug 2050 2:01:18 GMT", HTTP_NO_TIME},
    {"one-digit day", "Thu, 8 Aug 2050 02:01:18 GMT", HTTP_NO_TIME},
    {"asctime, one blank before one digit", "Thu Aug 8 02:01:18 2050", HTTP_NO_TIME},
    {"no weekday", "18 Aug 2050 02:01:18 GMT", HTTP_NO_TIME},
    {"no such weekday", "Foo, 18 Aug 2050 02:01:18 GMT", HTTP_NO_TIME},
    {"no such month", "Thu, 18 Foo 2050 02:01:18 GMT", HTTP_NO_TIME},
    {"30 February", "Wed, 30 Feb 2050 02:01:18 GMT", HTTP_NO_TIME},
    {"29 February 2100", "Mon, 29 Feb 2100 02:01:18 GMT", HTTP_NO_TIME},
    {"day 0", "Thu, 00 Aug 2050 02:01:18 GMT", HTTP_NO_TIME},
    {"31 April", "Thu, 31 Apr 2050 02:01:18 GMT", HTTP_NO_TIME},
    {"hour 24", "Thu, 18 Aug 2050 24:00:00 GMT", HTTP_NO_TIME},
    {"minute 60", "Thu, 18 Aug 2050 02:60:00 GMT", HTTP_NO_TIME},
    {"second 61", "Thu, 18 Aug 2050 02:00:61 GMT", HTTP_NO_TIME},
    {"minus in the day", "Thu, -8 Aug 2050 02:00:00 GMT", HTTP_NO_TIME},
    {"blank in front", " Thu, 18 Aug 2050 02:01:18 GMT", HTTP_NO_TIME},
    {"blank behind", "Thu, 18 Aug 2050 02:01:18 GMT ", HTTP_NO_TIME},
    {"two dates", "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT", HTTP_NO_TIME},
    {"ISO 8601", "2050-08-18T02:01:18Z", HTTP_NO_TIME},
    {"a number", "0", HTTP_NO_TIME},
    {"minus one", "-1", HTTP_NO_TIME},
    {"nothing", "", HTTP_NO_TIME},
};

static void dates_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(dates); i++) {
        int64_t got = http_date_parse(str_of(dates[i].text), NOW_S);
        if (got != dates[i].want)
            fail_msg("%s: got %" PRId64 ", want %" PRId64, dates[i].name, got, dates[i].want);
    }
    assert_true(http_date_parse(STR_NONE, NOW_S) == HTTP_NO_TIME);
}

/* 1800000000 is in January 2027: fifty years on is January 2077. */
static const struct {
    const char *name, *text, *same_as;
    int64_t now_s;
} short_years[] = {
    {"49 years ahead", "Friday, 01-Jan-76 00:00:00 GMT", "Wed, 01 Jan 2076 00:00:00 GMT", NOW_S},
    {"just within 50", "Friday, 01-Jan-77 00:00:00 GMT", "Fri, 01 Jan 2077 00:00:00 GMT", NOW_S},
    {"just past 50", "Friday, 01-Feb-77 00:00:00 GMT", "Tue, 01 Feb 1977 00:00:00 GMT", NOW_S},
    {"last century", "Friday, 01-Jan-99 00:00:00 GMT", "Fri, 01 Jan 1999 00:00:00 GMT", NOW_S},
    {"in 1999, 2005", "Friday, 01-Jan-05 00:00:00 GMT", "Sat, 01 Jan 2005 00:00:00 GMT", 930000000},
    {"in 1970, 2019", "Friday, 01-Jan-19 00:00:00 GMT", "Tue, 01 Jan 2019 00:00:00 GMT", 0},
    {"in 1970, 1921", "Friday, 01-Jan-21 00:00:00 GMT", "Sat, 01 Jan 1921 00:00:00 GMT", 0},
};

static void two_digits_of_a_year(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(short_years); i++) {
        int64_t got = http_date_parse(str_of(short_years[i].text), short_years[i].now_s);
        int64_t want = http_date_parse(str_of(short_years[i].same_as), 0);
        if (got != want || got == HTTP_NO_TIME)
            fail_msg("%s: got %" PRId64 ", want %" PRId64, short_years[i].name, got, want);
    }
}

static void what_is_written_is_read_again(void **state)
{
    static const int64_t steps[] = {1, 86399, 86400, 7919 * 3600, 31557599};
    char text[30];

    (void)state;
    http_date_write(text, 784111777);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    http_date_write(text, NOW_S);
    assert_string_equal(text, "Fri, 15 Jan 2027 08:00:00 GMT");
    http_date_write(text, INT64_MAX);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
    http_date_write(text, HTTP_NO_TIME);
    assert_string_equal(text, "Sat, 01 Jan 0000 00:00:00 GMT");
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        for (int64_t at = -62167219200 + (int64_t)i, n = 0; at < 253402300800 && n < 20000; n++) {
            http_date_write(text, at);
            assert_true(http_date_parse(str_of(text), 0) == at);
            at += steps[i];
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_of_every_form),
        cmocka_unit_test(two_digits_of_a_year),
        cmocka_unit_test(what_is_written_is_read_again),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
