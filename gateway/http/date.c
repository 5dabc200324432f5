/* date.c - HTTP-date (RFC 9110 §5.6.7), read strictly and written in one form.
 *
 * strptime() and curl_getdate() take zones, one-digit hours and doubled blanks,
 * and a cache that reads more than the RFC grants serves expired answers. So
 * each of the three forms is a pattern, and the text must be all of it. Names
 * and GMT are taken in any case, as caches in the field do; the weekday must be
 * one, but is not held against the date: it carries no information.
 *
 * Pure functions over the proleptic Gregorian calendar; any thread. */
#include "http/caching_priv.h"

enum { DAY_S = 86400, EPOCH_DAY = 719528 /* 1970-01-01, counted from 0000-01-01 */ };

static const char weekdays[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char *const long_weekdays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                            "Thursday", "Friday", "Saturday"};

struct moment {
    int64_t year;
    unsigned month /* 0..11 */, day /* 1..31 */, hour, minute, second;
    bool is_short_year;
};

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 0000-01-01 to the first of January of a year >= 0. */
static int64_t days_before_year(int64_t year)
{
    return 365 * year + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
}

static unsigned days_of_month(int64_t year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 1 && is_leap(year) ? 29 : days[month];
}

static bool is_real(const struct moment *m)
{
    return m->day >= 1 && m->day <= days_of_month(m->year, m->month) && m->hour <= 23 &&
           m->minute <= 59 && m->second <= 60; /* 60: a leap second */
}

static int64_t seconds_of(const struct moment *m)
{
    int64_t days = days_before_year(m->year) - EPOCH_DAY + m->day - 1;

    for (unsigned i = 0; i < m->month; i++)
        days += days_of_month(m->year, i);
    return days * DAY_S + m->hour * 3600 + m->minute * 60 + m->second;
}

/* `count` digits from the front. */
static bool take_number(struct str *rest, size_t count, unsigned *value)
{
    if (rest->len < count)
        return false;
    *value = 0;
    for (size_t i = 0; i < count; i++) {
        if (!ascii_is_digit(rest->ptr[i]))
            return false;
        *value = *value * 10 + (unsigned)(rest->ptr[i] - '0');
    }
    *rest = str_from(*rest, count);
    return true;
}

/* One of the three-letter names in `names`, in any case. */
static bool take_name(struct str *rest, const char *names, unsigned *index)
{
    if (rest->len < 3)
        return false;
    for (*index = 0; names[*index * 3] != '\0'; ++*index) {
        if (str_ieq(str_at(rest->ptr, 3), str_at(names + *index * 3, 3))) {
            *rest = str_from(*rest, 3);
            return true;
        }
    }
    return false;
}

static bool take_long_weekday(struct str *rest)
{
    for (size_t i = 0; i < COUNT_OF(long_weekdays); i++) {
        struct str name = str_of(long_weekdays[i]);
        if (rest->len >= name.len && str_ieq(str_at(rest->ptr, name.len), name)) {
            *rest = str_from(*rest, name.len);
            return true;
        }
    }
    return false;
}

/* The part that one letter of a pattern stands for; any other character is itself. */
static bool take_part(struct str *rest, char part, struct moment *m)
{
    unsigned value = 0;

    switch (part) {
    case 'w':
        return take_name(rest, weekdays, &value);
    case 'W':
        return take_long_weekday(rest);
    case 'm':
        return take_name(rest, months, &m->month);
    case 'z':
        return take_name(rest, "GMT", &value);
    case 'd':
        return take_number(rest, 2, &m->day);
    case 'e': /* asctime: a blank in place of the first digit */
        if (rest->len > 0 && rest->ptr[0] == ' ') {
            *rest = str_from(*rest, 1);
            return take_number(rest, 1, &m->day);
        }
        return take_number(rest, 2, &m->day);
    case 'h':
        return take_number(rest, 2, &m->hour);
    case 'i':
        return take_number(rest, 2, &m->minute);
    case 's':
        return take_number(rest, 2, &m->second);
    case 'y':
        m->is_short_year = true;
        return take_number(rest, 2, &value) && (m->year = value, true);
    case 'Y':
        return take_number(rest, 4, &value) && (m->year = value, true);
    default:
        if (rest->len == 0 || rest->ptr[0] != part)
            return false;
        *rest = str_from(*rest, 1);
        return true;
    }
}

static bool matches(struct str text, const char *pattern, struct moment *m)
{
    *m = (struct moment){0};
    for (; *pattern != '\0'; pattern++) {
        if (!take_part(&text, *pattern, m))
            return false;
    }
    return text.len == 0;
}

/* Two digits: the latest such year that is not more than fifty years ahead. */
static int64_t time_of_short_year(struct moment m, int64_t now_s)
{
    /* fifty years on average; the clock is kept within years 50..9900 */
    const int64_t ahead_s = 50 * (int64_t)146097 * DAY_S / 400;
    const int64_t least = (days_before_year(50) - EPOCH_DAY) * DAY_S;
    const int64_t most = (days_before_year(9900) - EPOCH_DAY) * DAY_S;
    int64_t found = HTTP_NO_TIME;

    if (now_s < least)
        now_s = least;
    if (now_s > most)
        now_s = most;
    int64_t now_year = (now_s / DAY_S + EPOCH_DAY) * 400 / 146097;
    for (int64_t century = now_year / 100 - 1; century <= now_year / 100 + 1; century++) {
        struct moment full = m;
        full.year = century * 100 + m.year;
        if (full.year < 0 || !is_real(&full))
            continue; /* 29 February is not in every century */
        int64_t at = seconds_of(&full);
        if (at <= now_s + ahead_s)
            found = at;
    }
    return found;
}

int64_t http_date_parse(struct str text, int64_t now_s)
{
    struct moment m;

    if (matches(text, "w, d m Y h:i:s z", &m) || matches(text, "w m e h:i:s Y", &m))
        return is_real(&m) ? seconds_of(&m) : HTTP_NO_TIME;
    if (matches(text, "W, d-m-y h:i:s z", &m))
        return time_of_short_year(m, now_s);
    return HTTP_NO_TIME;
}

static void put_digits(char *at, size_t count, int64_t value)
{
    while (count > 0) {
        at[--count] = (char)('0' + value % 10);
        value /= 10;
    }
}

void http_date_write(char out[30], int64_t time_s)
{
    const int64_t least = -(int64_t)EPOCH_DAY * DAY_S; /* four digits hold no more than this */
    const int64_t most = (days_before_year(10000) - EPOCH_DAY) * DAY_S - 1;

    if (time_s < least)
        time_s = least;
    if (time_s > most)
        time_s = most;
    int64_t days = (time_s - least) / DAY_S, second = (time_s - least) % DAY_S;
    int64_t year = days * 400 / 146097;
    unsigned month = 0;
    size_t weekday = (size_t)((days + 6) % 7); /* 0000-01-01 was a Saturday */

    while (days_before_year(year + 1) <= days) /* the estimate may be one year off */
        year++;
    while (days_before_year(year) > days)
        year--;
    days -= days_before_year(year);
    for (; days >= days_of_month(year, month); month++)
        days -= days_of_month(year, month);

    memcpy(out, "Www, DD Mmm YYYY hh:mm:ss GMT", 30);
    memcpy(out, weekdays + weekday * 3, 3);
    put_digits(out + 5, 2, days + 1);
    memcpy(out + 8, months + (size_t)month * 3, 3);
    put_digits(out + 12, 4, year);
    put_digits(out + 17, 2, second / 3600);
    put_digits(out + 20, 2, second / 60 % 60);
    put_digits(out + 23, 2, second % 60);
}
