/* buf.c - a growable buffer that is born with a ceiling.
 *
 * Memory doubles up to the ceiling, so that appending costs the same however
 * long the buffer gets. A failed append marks the buffer as broken instead of
 * asking each caller to look: a builder writes ten pieces and tests once. What
 * a broken buffer holds is whole pieces up to the one that failed.
 *
 * Numbers and JSON are written by hand: these run several times a request, and
 * printf costs ten times as much. One thread at a time. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIRST_ROOM = 256 };

struct buf buf_new(size_t max_bytes)
{
    /* one less than everything: growing adds a byte */
    return (struct buf){.max = max_bytes < SIZE_MAX ? max_bytes : SIZE_MAX - 1};
}

void buf_free(struct buf *buf)
{
    if (buf == NULL)
        return;
    free(buf->ptr);
    *buf = buf_new(buf->max);
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->is_broken = false;
}

static bool buf_grow(struct buf *buf, size_t more)
{
    if (buf->is_broken || more > buf->max - buf->len) {
        buf->is_broken = true;
        return false;
    }
    size_t want = buf->len + more;
    size_t room = buf->room > 0 ? buf->room : FIRST_ROOM;
    while (room < want)
        room = room > buf->max / 2 ? buf->max : room * 2;
    if (room > buf->max)
        room = buf->max;
    char *grown = realloc(buf->ptr, room + 1); /* vsnprintf insists on a place for its NUL */
    if (grown == NULL) {
        buf->is_broken = true;
        return false;
    }
    buf->ptr = grown;
    buf->room = room;
    return true;
}

bool buf_reserve(struct buf *buf, size_t more)
{
    if (!buf->is_broken && more <= buf->room - buf->len)
        return true;
    return buf_grow(buf, more);
}

bool buf_add(struct buf *buf, const void *bytes, size_t len)
{
    if (!buf_reserve(buf, len))
        return false;
    if (len > 0)
        memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
    return true;
}

bool buf_add_str(struct buf *buf, struct str s)
{
    return buf_add(buf, s.ptr, s.len);
}

bool buf_add_char(struct buf *buf, char c)
{
    if (!buf_reserve(buf, 1))
        return false;
    buf->ptr[buf->len++] = c;
    return true;
}

bool buf_add_u64(struct buf *buf, uint64_t value)
{
    char digits[U64_DIGITS];

    if (!buf->is_broken && buf->room - buf->len >= U64_DIGITS) {
        buf->len += u64_write(buf->ptr + buf->len, value);
        return true;
    }
    return buf_add(buf, digits, u64_write(digits, value));
}

static bool add_formatted(struct buf *buf, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static bool add_formatted(struct buf *buf, const char *format, va_list args)
{
    va_list again;

    if (!buf_reserve(buf, 1)) /* so that there is memory to print into */
        return false;
    size_t space = buf->room - buf->len;
    va_copy(again, args);
    int length = vsnprintf(buf->ptr + buf->len, space + 1, format, args);
    if (length < 0)
        buf->is_broken = true;
    else if ((size_t)length > space && buf_reserve(buf, (size_t)length))
        vsnprintf(buf->ptr + buf->len, (size_t)length + 1, format, again);
    va_end(again);
    if (buf->is_broken)
        return false;
    buf->len += (size_t)length;
    return true;
}

bool buf_addf(struct buf *buf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    bool is_added = add_formatted(buf, format, args);
    va_end(args);
    return is_added;
}

static bool is_continuation(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

/* Bytes of the UTF-8 character at the start of `s` (RFC 3629: no overlong
 * forms, no surrogates, nothing above U+10FFFF); 0 when there is none. */
static size_t utf8_length(const unsigned char *s, size_t len)
{
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4 || len < 2 || !is_continuation(s[1]))
        return 0;
    if (s[0] < 0xE0)
        return 2;
    if (len < 3 || !is_continuation(s[2]))
        return 0;
    if (s[0] < 0xF0) {
        bool is_overlong = s[0] == 0xE0 && s[1] < 0xA0;
        bool is_surrogate = s[0] == 0xED && s[1] > 0x9F;
        return is_overlong || is_surrogate ? 0 : 3;
    }
    if (len < 4 || !is_continuation(s[3]))
        return 0;
    bool is_overlong = s[0] == 0xF0 && s[1] < 0x90;
    bool is_too_high = s[0] == 0xF4 && s[1] > 0x8F;
    return is_overlong || is_too_high ? 0 : 4;
}

static bool add_json_escape(struct buf *buf, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

    switch (c) {
    case '"':
    case '\\':
        text[1] = (char)c;
        return buf_add(buf, text, 2);
    case '\n':
        return buf_add(buf, "\\n", 2);
    case '\r':
        return buf_add(buf, "\\r", 2);
    case '\t':
        return buf_add(buf, "\\t", 2);
    default:
        return buf_add(buf, text, sizeof(text));
    }
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* How many bytes at the start JSON takes as they are; eight at a time. */
static size_t plain_length(const unsigned char *bytes, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones * 0x80;
    size_t at = 0;

    for (; len - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word, quote, backslash;

        memcpy(&word, bytes + at, sizeof(word));
        quote = word ^ ones * '"'; /* a byte that is the quote becomes 0 */
        backslash = word ^ ones * '\\';
        /* x - 1 borrows into the high bit where x is 0, x - 0x20 where it is a control byte; a
         * borrow may carry on, but only past a byte that ends the run anyway */
        if (((word | (word - ones * 0x20) | (quote - ones) | (backslash - ones)) & highs) != 0)
            break;
    }
    while (at < len && is_plain(bytes[at]))
        at++;
    return at;
}

bool buf_add_json(struct buf *buf, struct str s)
{
    const unsigned char *bytes = (const unsigned char *)s.ptr;

    if (plain_length(bytes, s.len) == s.len && !buf->is_broken &&
        buf->room - buf->len >= s.len + 2) {
        char *to = buf->ptr + buf->len; /* the usual text, in one piece */

        *to++ = '"';
        if (s.len > 0)
            memcpy(to, s.ptr, s.len);
        to[s.len] = '"';
        buf->len += s.len + 2;
        return true;
    }
    buf_add_char(buf, '"');
    for (size_t i = 0; i < s.len;) {
        size_t start = i;
        size_t length = 1;
        while (i < s.len && is_plain(bytes[i]))
            i++;
        buf_add(buf, bytes + start, i - start);
        if (i == s.len)
            break;
        if (bytes[i] < 0x80)
            add_json_escape(buf, bytes[i]);
        else if ((length = utf8_length(bytes + i, s.len - i)) > 0)
            buf_add(buf, bytes + i, length);
        else
            buf_add(buf, "\xEF\xBF\xBD", 3); /* U+FFFD for each byte that fits nowhere */
        i += length > 0 ? length : 1;
    }
    buf_add_char(buf, '"');
    return !buf->is_broken;
}

size_t buf_read(const struct buf *buf, size_t *at, char *to, size_t room)
{
    size_t left = buf->len - *at, taken = left < room ? left : room;

    if (taken > 0)
        memcpy(to, buf->ptr + *at, taken);
    *at += taken;
    return taken;
}

void buf_drop_front(struct buf *buf, size_t len)
{
    CHECK(len <= buf->len);
    buf->len -= len;
    if (len > 0 && buf->len > 0)
        memmove(buf->ptr, buf->ptr + len, buf->len);
}
