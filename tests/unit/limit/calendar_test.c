/* calendar_test.c - months and shorter spans in UTC, against a table and the C library. */
#include "limit/limit_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static const uint64_t S = 1000000; /* microseconds */

static const struct {
    const char *name;
    int64_t period_ms, wall_s, want_start_s, want_end_s;
} spans[] = {
    {"the first second of 1970", INT64_C(2678400000), 0, 0, 2678400},
    {"a leap February", INT64_C(2678400000), 1709164800, 1706745600, 1709251200},
    {"February 2100 has 28", INT64_C(2678400000), 4107456000, 4105123200, 4107542400},
    {"the last second of a year", INT64_C(2678400000), 1767225599, 1764547200, 1767225600},
    {"the first of the next", INT64_C(2678400000), 1767225600, 1767225600, 1769904000},
    {"a day", 86400000, 1700000000, 1699920000, 1700006400},
    {"an hour", 3600000, 1700000000, 1699999200, 1700002800},
    {"before 1970 is 1970", INT64_C(2678400000), -5, 0, 2678400},
};

static void calendar_spans_are_utc(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(spans); i++) {
        struct calendar_span got = calendar_span(spans[i].period_ms, spans[i].wall_s * 1000000);

        if (got.start_us != (uint64_t)spans[i].want_start_s * S ||
            got.end_us != (uint64_t)spans[i].want_end_s * S)
            fail_msg("%s: %" PRIu64 " to %" PRIu64, spans[i].name, got.start_us / S,
                     got.end_us / S);
    }
}

static void every_month_of_three_centuries_is_the_c_librarys(void **state)
{
    (void)state;
    for (int year = 70; year < 370; year++) {
        for (int month = 0; month < 12; month++) {
            struct tm first = {.tm_year = year, .tm_mon = month, .tm_mday = 1};
            struct tm next = {.tm_year = year, .tm_mon = month + 1, .tm_mday = 1};
            int64_t begin = timegm(&first), end = timegm(&next);
            struct calendar_span a = calendar_span(INT64_C(2678400000), begin * 1000000);
            struct calendar_span b = calendar_span(INT64_C(2678400000), end * 1000000 - 1);

            assert_int_equal(a.start_us, begin * 1000000);
            assert_int_equal(a.end_us, end * 1000000);
            assert_int_equal(b.start_us, begin * 1000000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calendar_spans_are_utc),
        cmocka_unit_test(every_month_of_three_centuries_is_the_c_librarys),
    };
    return cmocka_run_group_tests_name("limit/calendar", tests, NULL, NULL);
}
