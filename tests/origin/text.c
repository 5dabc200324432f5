/* text.c - slices, growing text, queries and the FNV hash.
 *
 * Out of memory ends the program: a test that meets it has found something else. Queries are
 * looked at where they lie; a value is decoded only when a header or a number is made of it. */
#include "origin.h"

#include <stdio.h>
#include <stdlib.h>

void text_reserve(struct text *text, size_t more)
{
    size_t room = text->room == 0 ? 4096 : text->room;

    if (text->room - text->len >= more)
        return;
    while (room - text->len < more)
        room *= 2;
    text->ptr = realloc(text->ptr, room);
    if (text->ptr == NULL)
        abort();
    text->room = room;
}

void text_add(struct text *text, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    text_reserve(text, len);
    memcpy(text->ptr + text->len, bytes, len);
    text->len += len;
}

void text_put(struct text *text, const char *words)
{
    text_add(text, words, strlen(words));
}

void text_addf(struct text *text, const char *format, ...)
{
    va_list args, again;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len > 0) {
        text_reserve(text, (size_t)len + 1);
        (void)vsnprintf(text->ptr + text->len, (size_t)len + 1, format, again);
        text->len += (size_t)len;
    }
    va_end(again);
}

void text_json(struct text *text, struct slice s)
{
    size_t from = 0;

    text_add(text, "\"", 1);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
            continue;
        text_add(text, s.ptr + from, i - from);
        text_addf(text, "\\u%04x", c);
        from = i + 1;
    }
    if (from < s.len)
        text_add(text, s.ptr + from, s.len - from);
    text_add(text, "\"", 1);
}

struct slice text_slice(const struct text *text)
{
    return (struct slice){text->ptr, text->len};
}

bool slice_is(struct slice s, const char *words)
{
    size_t len = strlen(words);

    return s.len == len && (len == 0 || memcmp(s.ptr, words, len) == 0);
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

bool slice_is_folded(struct slice s, const char *words)
{
    if (s.len != strlen(words))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (lower(s.ptr[i]) != lower(words[i]))
            return false;
    return true;
}

bool slice_starts(struct slice s, const char *words)
{
    size_t len = strlen(words);

    return s.len >= len && memcmp(s.ptr, words, len) == 0;
}

bool slice_number(struct slice s, uint64_t *value)
{
    *value = 0;
    if (s.len == 0 || s.len > 18)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        *value = *value * 10 + (uint64_t)(s.ptr[i] - '0');
    }
    return true;
}

int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool query_find(struct slice query, const char *name, struct slice *value)
{
    size_t len = strlen(name), at = 0;

    while (at < query.len) {
        const char *start = query.ptr + at;
        const char *end = memchr(start, '&', query.len - at);
        size_t part = end == NULL ? query.len - at : (size_t)(end - start);

        if (part > len && start[len] == '=' && memcmp(start, name, len) == 0) {
            *value = (struct slice){start + len + 1, part - len - 1};
            return true;
        }
        at += part + 1;
    }
    return false;
}

uint64_t query_number(struct slice query, const char *name, uint64_t otherwise)
{
    struct slice value;
    uint64_t number;

    return query_find(query, name, &value) && slice_number(value, &number) ? number : otherwise;
}

struct slice query_words(struct slice query, const char *name, char *room, size_t room_len)
{
    struct slice value;
    size_t len = 0;

    if (!query_find(query, name, &value))
        return (struct slice){NULL, 0};
    for (size_t i = 0; i < value.len && len < room_len; i++) {
        char c = value.ptr[i] == '+' ? ' ' : value.ptr[i];

        if (c == '%' && value.len - i > 2 && hex_value(value.ptr[i + 1]) >= 0 &&
            hex_value(value.ptr[i + 2]) >= 0) {
            c = (char)(hex_value(value.ptr[i + 1]) << 4 | hex_value(value.ptr[i + 2]));
            i += 2;
        }
        if (c != '\r' && c != '\n' && c != '\0')
            room[len++] = c;
    }
    return (struct slice){room, len};
}

uint64_t fnv1a64(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}
