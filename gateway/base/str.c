/* str.c - slices of bytes that belong to somebody else.
 *
 * A slice has no terminator and may hold any byte, NUL too, so nothing here
 * uses the string functions of libc that stop at one. An empty slice may have a
 * NULL pointer, which memcmp() and friends must never see: every function
 * tests the length first.
 *
 * Pure functions; any thread. */
#include "base/base.h"

#include <endian.h>

struct str str_of(const char *text)
{
    return text == NULL ? STR_NONE : str_at(text, strlen(text));
}

bool str_ieq(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (a.ptr[i] != b.ptr[i] && ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
            return false;
    }
    return true;
}

bool str_starts(struct str s, struct str prefix)
{
    if (prefix.len == 0)
        return true;
    return s.len >= prefix.len && memcmp(s.ptr, prefix.ptr, prefix.len) == 0;
}

bool str_ends(struct str s, struct str suffix)
{
    if (suffix.len == 0)
        return true;
    return s.len >= suffix.len && memcmp(s.ptr + (s.len - suffix.len), suffix.ptr, suffix.len) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

struct str str_from(struct str s, size_t start)
{
    if (s.len == 0)
        return s;
    if (start > s.len)
        start = s.len;
    return str_at(s.ptr + start, s.len - start);
}

size_t str_find(struct str s, char c)
{
    if (s.len == 0)
        return 0;
    const char *found = memchr(s.ptr, c, s.len);
    return found == NULL ? s.len : (size_t)(found - s.ptr);
}

/* Where `part` first stands in `s`, or s.len + 1. */
static size_t find_part(struct str s, struct str part)
{
    if (part.len == 0)
        return 0;
    if (part.len > s.len)
        return s.len + 1;
    const char *found = memmem(s.ptr, s.len, part.ptr, part.len);
    return found == NULL ? s.len + 1 : (size_t)(found - s.ptr);
}

bool str_has(struct str s, struct str part)
{
    return find_part(s, part) <= s.len;
}

bool str_split(struct str *rest, char separator, struct str *part)
{
    if (rest->ptr == NULL)
        return false;
    size_t end = str_find(*rest, separator);
    *part = str_at(rest->ptr, end);
    *rest = end < rest->len ? str_from(*rest, end + 1) : STR_NONE;
    return true;
}

bool str_to_u64(struct str s, uint64_t *value)
{
    uint64_t result = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_digit(s.ptr[i]))
            return false;
        uint64_t digit = (uint64_t)(s.ptr[i] - '0');
        if (result > (UINT64_MAX - digit) / 10)
            return false;
        result = result * 10 + digit;
    }
    *value = result;
    return true;
}

/* The stars cut the glob into literal parts. The first must stand at the start
 * of the text, the last at its end, and each between them is taken at the
 * first place where it fits: a later place could never help the parts after
 * it. So nothing is ever tried twice, and no glob is slow. */
bool str_glob(struct str glob, struct str text)
{
    size_t star = str_find(glob, '*');

    if (star == glob.len)
        return str_eq(glob, text);
    if (!str_starts(text, str_at(glob.ptr, star)))
        return false;
    text = str_from(text, star);
    glob = str_from(glob, star + 1);
    while ((star = str_find(glob, '*')) < glob.len) {
        struct str part = str_at(glob.ptr, star);
        size_t found = find_part(text, part);
        if (found > text.len)
            return false;
        text = str_from(text, found + part.len);
        glob = str_from(glob, star + 1);
    }
    return str_ends(text, glob);
}

int ascii_hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t decimal_digits(uint64_t value)
{
    static const uint64_t powers[U64_DIGITS] = {
        0,
        UINT64_C(10),
        UINT64_C(100),
        UINT64_C(1000),
        UINT64_C(10000),
        UINT64_C(100000),
        UINT64_C(1000000),
        UINT64_C(10000000),
        UINT64_C(100000000),
        UINT64_C(1000000000),
        UINT64_C(10000000000),
        UINT64_C(100000000000),
        UINT64_C(1000000000000),
        UINT64_C(10000000000000),
        UINT64_C(100000000000000),
        UINT64_C(1000000000000000),
        UINT64_C(10000000000000000),
        UINT64_C(100000000000000000),
        UINT64_C(1000000000000000000),
        UINT64_C(10000000000000000000),
    };
    /* bits times log10(2), which is 1233 / 4096: right, or one too few */
    size_t least = (size_t)(64 - __builtin_clzll(value | 1)) * 1233 >> 12;

    return least + (value >= powers[least]);
}

/* Two digits at a time, from the end: half the divisions, and the place is known beforehand. */
size_t u64_write(char to[U64_DIGITS], uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930"
                                "31323334353637383940414243444546474849505152535455565758596061"
                                "62636465666768697071727374757677787980818283848586878889909192"
                                "93949596979899";
    size_t len = decimal_digits(value), at = len;

    for (; value >= 10; value /= 100) {
        at -= 2;
        memcpy(to + at, pairs + value % 100 * 2, 2);
    }
    if (at > 0)
        to[0] = (char)('0' + value);
    return len;
}

/* Eight digits at once: each half byte is spread to a byte of its own, and those above nine are
 * moved on to the letters. */
static uint64_t hex_word(uint32_t value)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t spread = value, letters;

    spread = (spread << 16 | spread) & UINT64_C(0x0000ffff0000ffff);
    spread = (spread << 8 | spread) & UINT64_C(0x00ff00ff00ff00ff);
    spread = (spread << 4 | spread) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    letters = (spread + ones * 6) >> 4 & ones;
    return htobe64(spread + ones * '0' + letters * ('a' - '0' - 10));
}

char *hex_write(char *to, uint64_t value, int digits)
{
    if (digits == 16) {
        uint64_t words[] = {hex_word((uint32_t)(value >> 32)), hex_word((uint32_t)value)};

        memcpy(to, words, 16);
        return to + 16;
    }
    for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4)
        *to++ = "0123456789abcdef"[(value >> shift) & 15];
    return to;
}
