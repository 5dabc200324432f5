/* units.c - durations, sizes, decimals and dates as people write them.
 *
 * Written by hand and not with strtod(): that one reads hexadecimal, "inf", blanks and
 * what the locale says. What is written is the shortest form that reads back the same.
 *
 * Pure; any thread. */
#include "config/config_priv.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

struct unit {
    const char *name;
    uint64_t factor;
};
static const struct unit durations[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}, {"d", 24 * 60 * 60 * 1000},
};
static const struct unit sizes[] = {
    {"B", 1},
    {"KiB", 1024},
    {"MiB", 1024 * 1024},
    {"GiB", 1024 * 1024 * 1024},
};

/* Digits with at most one point, nothing else; below 2^53, so exact where it is whole. */
bool decimal_parse(struct str text, double *value)
{
    double whole = 0, scale = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '.' && scale == 0 && i > 0 && i + 1 < text.len) {
            scale = 1;
        } else if (ascii_is_digit(text.ptr[i])) {
            whole = whole * 10 + (text.ptr[i] - '0');
            scale *= 10;
        } else {
            return false;
        }
    }
    if (scale > 0)
        whole /= scale;
    *value = whole;
    return text.len > 0 && text.len <= 24 && whole < 9007199254740992.0;
}

/* A number with one of the units, or without any times `bare`. */
static bool parse_units(struct str text, const struct unit *units, size_t count, uint64_t bare,
                        uint64_t *value)
{
    size_t digits = 0;
    uint64_t factor = 0;
    double number;

    while (digits < text.len && (ascii_is_digit(text.ptr[digits]) || text.ptr[digits] == '.'))
        digits++;
    if (digits == text.len)
        factor = bare;
    for (size_t i = 0; i < count; i++) {
        if (str_eq(str_from(text, digits), str_of(units[i].name)))
            factor = units[i].factor;
    }
    if (factor == 0 || !decimal_parse(str_at(text.ptr, digits), &number))
        return false;
    number = round(number * (double)factor);
    if (number >= 9007199254740992.0)
        return false;
    *value = (uint64_t)number;
    return true;
}

bool duration_parse(struct str text, int64_t *ms)
{
    uint64_t value;

    if (!parse_units(text, durations, COUNT_OF(durations), 1000, &value))
        return false;
    *ms = (int64_t)value;
    return true;
}

bool size_parse(struct str text, uint64_t *bytes)
{
    return parse_units(text, sizes, COUNT_OF(sizes), 1, bytes);
}

static void write_units(struct buf *out, uint64_t value, const struct unit *units, size_t count,
                        size_t zero)
{
    size_t best = value == 0 ? zero : 0;

    for (size_t i = 0; value > 0 && i < count; i++) {
        if (value % units[i].factor == 0)
            best = i;
    }
    buf_addf(out, "%" PRIu64 "%s", value / units[best].factor, units[best].name);
}

void duration_write(struct buf *out, int64_t ms)
{
    if (ms < 0) /* only in a fault */
        buf_add_char(out, '-');
    write_units(out, ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms, durations, COUNT_OF(durations), 1);
}

void size_write(struct buf *out, uint64_t bytes)
{
    write_units(out, bytes, sizes, COUNT_OF(sizes), 0);
}

/* Two digits at text[at] within most; -1 otherwise. */
static int two_digits(struct str text, size_t at, int most)
{
    if (at + 2 > text.len || !ascii_is_digit(text.ptr[at]) || !ascii_is_digit(text.ptr[at + 1]))
        return -1;
    int value = (text.ptr[at] - '0') * 10 + (text.ptr[at + 1] - '0');
    return value <= most ? value : -1;
}

/* "Z" or "+hh:mm" as seconds to take away. */
static bool zone_parse(struct str zone, int64_t *seconds)
{
    int hours, minutes;

    *seconds = 0;
    if (str_ieq(zone, STR("Z")))
        return true;
    if (zone.len != 6 || (zone.ptr[0] != '+' && zone.ptr[0] != '-') || zone.ptr[3] != ':')
        return false;
    hours = two_digits(zone, 1, 23);
    minutes = two_digits(zone, 4, 59);
    *seconds = (zone.ptr[0] == '-' ? -60 : 60) * (int64_t)(hours * 60 + minutes);
    return hours >= 0 && minutes >= 0;
}

bool time_parse(struct str text, int64_t *seconds)
{
    int century = two_digits(text, 0, 99), year = two_digits(text, 2, 99),
        month = two_digits(text, 5, 12);
    int day = two_digits(text, 8, 31), hour = two_digits(text, 11, 23),
        minute = two_digits(text, 14, 59);
    int second = two_digits(text, 17, 60);
    struct tm parts = {0};
    size_t at = 19;
    int64_t zone;

    if (century < 0 || year < 0 || month < 1 || day < 1 || hour < 0 || minute < 0 || second < 0 ||
        text.ptr[4] != '-' || text.ptr[7] != '-' || ascii_lower(text.ptr[10]) != 't' ||
        text.ptr[13] != ':' || text.ptr[16] != ':')
        return false;
    if (at < text.len && text.ptr[at] == '.') {
        size_t first = ++at;
        while (at < text.len && ascii_is_digit(text.ptr[at]))
            at++;
        if (at == first)
            return false;
    }
    if (!zone_parse(str_from(text, at), &zone))
        return false;
    parts.tm_year = century * 100 + year - 1900;
    parts.tm_mon = month - 1;
    parts.tm_mday = day;
    parts.tm_hour = hour;
    parts.tm_min = minute;
    parts.tm_sec = second;
    *seconds = (int64_t)timegm(&parts) - zone;
    return parts.tm_mday == day; /* timegm() turns 30 February into 1 or 2 March */
}

void time_write(struct buf *out, int64_t seconds)
{
    time_t moment = (time_t)seconds;
    struct tm parts;
    char text[40];

    if (gmtime_r(&moment, &parts) != NULL &&
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts) > 0)
        buf_add_str(out, str_of(text));
}

bool is_token(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.ptr[i]);
        bool is_letter = c >= 'a' && c <= 'z';
        if (!is_letter && !ascii_is_digit(c) && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return text.len > 0;
}
