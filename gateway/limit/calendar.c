/* calendar.c - the period of a calendar window that an instant lies in, in UTC.
 *
 * A month, or for windows of a day and less a span that divides the day from midnight on.
 * Own arithmetic instead of gmtime_r(): it is asked on every decision of a policy with a
 * month, and the C library takes a lock for its time zone. Leap seconds do not exist in
 * the clock that we are given. Pure; any thread. */
#include "limit/limit_priv.h"

static const int64_t US_PER_DAY = INT64_C(86400000000);
static const int64_t MS_PER_DAY = 86400000;

/* Days since 1970 of the first day of a month (proleptic Gregorian; month 0..11, may pass 11). */
static int64_t month_to_days(int64_t year, int64_t month)
{
    static const int16_t before[12] = {306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275};

    year += month / 12;
    month %= 12;
    if (month < 2)
        year--; /* years that begin in March end with the leap day */
    return year * 365 + year / 4 - year / 100 + year / 400 + before[month] - 719468;
}

struct calendar_span calendar_span(int64_t period_ms, int64_t wall_us)
{
    int64_t wall = wall_us > 0 ? wall_us : 0, days = wall / US_PER_DAY;

    if (period_ms <= MS_PER_DAY) {
        uint64_t period = period_ms > 0 ? (uint64_t)period_ms * 1000 : 1000;
        uint64_t start = (uint64_t)wall / period * period;
        return (struct calendar_span){start, start + period};
    }
    int64_t year = 1970 + days / 366, month = 0; /* never too late: walk on from there */
    while (month_to_days(year + 1, 0) <= days)
        year++;
    while (month_to_days(year, month + 1) <= days)
        month++;
    return (struct calendar_span){(uint64_t)(month_to_days(year, month) * US_PER_DAY),
                                  (uint64_t)(month_to_days(year, month + 1) * US_PER_DAY)};
}
