/* base64url.c - RFC 4648 §5 as RFC 7515 §2 wants it: no padding, no blanks, one spelling.
 *
 * The unused bits of the last letter must be zero: otherwise one token has several spellings, and
 * a revoked one comes back in another. Pure functions; any thread. */
#include "identify/identify_priv.h"

static int letter_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_is_digit(c))
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool base64url_decode(struct str text, char *to, size_t room, size_t *len)
{
    uint32_t bits = 0;
    int held = 0;

    *len = 0;
    if (text.len % 4 == 1 || text.len / 4 * 3 + text.len % 4 * 3 / 4 > room)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int value = letter_value(text.ptr[i]);

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            to[(*len)++] = (char)(bits >> held & 0xff);
        }
    }
    return (bits & ((1u << held) - 1)) == 0;
}

bool base64url_take(struct str text, struct arena *arena, struct str *decoded)
{
    char *to = arena_take(arena, text.len + 1);
    size_t len = 0;

    if (to == NULL || !base64url_decode(text, to, text.len, &len))
        return false;
    *decoded = str_at(to, len);
    return true;
}
