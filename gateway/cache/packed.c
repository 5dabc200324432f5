/* packed.c - a stored answer's fields as bytes in a row.
 *
 * A field of a list is five words; most of what a small answer's head says is shorter. In
 * a row it takes one byte for a name the gateway knows in its usual spelling, a byte or
 * two for the value's length, and the value. Other names and spellings follow the id,
 * whose upper bit says so. Lengths are written seven bits a byte, the lowest first. Names
 * and values of what is read are slices of the row, or of the table of names. Any thread. */
#include "cache/cache_priv.h"

enum { SPELLED = 0x80 };
_Static_assert((int)HTTP_NAMES <= (int)SPELLED, "an id leaves the upper bit free");

/* http_name_text() without a call for each field of each hit. */
static const struct str usual[HTTP_NAMES] = {[HTTP_OTHER] = {NULL, 0},
#define X(id, name) [HTTP_##id] = {name, sizeof(name) - 1},
                                             HTTP_KNOWN_FIELDS(X)
#undef X
};

static bool is_usual(const struct http_field *field)
{
    return field->id != HTTP_OTHER && str_eq(field->name, usual[field->id]);
}

static size_t length_size(size_t len)
{
    size_t size = 1;

    while ((len >>= 7) > 0)
        size++;
    return size;
}

static char *put_length(char *to, size_t len)
{
    for (; len >= SPELLED; len >>= 7)
        *to++ = (char)(SPELLED | (len & (SPELLED - 1)));
    *to++ = (char)len;
    return to;
}

static char *put_text(char *to, struct str text)
{
    to = put_length(to, text.len);
    if (text.len > 0)
        memcpy(to, text.ptr, text.len);
    return to + text.len;
}

static inline const char *get_text(const char *at, struct str *text)
{
    size_t len = (uint8_t)*at++;

    if (len >= SPELLED) {
        len -= SPELLED;
        for (unsigned bits = 7;; bits += 7) {
            uint8_t more = (uint8_t)*at++;

            len |= (size_t)(more & (SPELLED - 1)) << bits;
            if (more < SPELLED)
                break;
        }
    }
    *text = str_at(at, len);
    return at + len;
}

size_t packed_size(const struct http_field *field)
{
    size_t size = 1 + length_size(field->value.len) + field->value.len;

    return is_usual(field) ? size : size + length_size(field->name.len) + field->name.len;
}

char *packed_add(char *to, const struct http_field *field)
{
    bool is_short = is_usual(field);

    *to++ = (char)(field->id | (is_short ? 0 : SPELLED));
    if (!is_short)
        to = put_text(to, field->name);
    return put_text(to, field->value);
}

const char *packed_next(const char *at, struct http_field *field)
{
    uint8_t head = (uint8_t)*at++;

    field->id = (enum http_name)(head & (SPELLED - 1));
    if (head < SPELLED)
        field->name = usual[field->id];
    else
        at = get_text(at, &field->name);
    return get_text(at, &field->value);
}

void packed_read(const char *at, struct http_field *to, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        at = packed_next(at, &to[i]);
}
