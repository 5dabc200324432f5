/* http_priv.h - what the files of this room share: classes of bytes.
 *
 * One table look-up says all that the grammars of RFC 9110, 9112 and 3986 want to
 * know of a byte; the table itself stands in token.c. Constant, so any thread. */
#ifndef GATEWAY_HTTP_PRIV_H
#define GATEWAY_HTTP_PRIV_H
#include "http/fields.h"

enum http_byte_class {
    HTTP_BYTE_TOKEN = 1,       /* RFC 9110 §5.6.2 */
    HTTP_BYTE_ODD = 2,         /* a token byte that is neither letter, digit nor '-' */
    HTTP_BYTE_TARGET = 4,      /* may stand in a request target as we read it */
    HTTP_BYTE_UNRESERVED = 8,  /* RFC 3986 §2.3: the same encoded and not */
    HTTP_BYTE_HOST = 16,       /* letters, digits, '-', '.', '_' */
    HTTP_BYTE_ADDRESS = 32,    /* hex digits, ':' and '.' */
    HTTP_BYTE_REQUEST_ID = 64, /* letters, digits, '.', '_', '-' */
    HTTP_BYTE_LOWER_HEX = 128
};
extern const uint8_t http_byte_classes[256];

static inline bool http_byte_is(char c, enum http_byte_class wanted)
{
    return (http_byte_classes[(unsigned char)c] & wanted) != 0;
}
/* Is every byte of the class? True when empty. */
static inline bool http_bytes_are(struct str s, enum http_byte_class wanted)
{
    for (size_t i = 0; i < s.len; i++)
        if (!http_byte_is(s.ptr[i], wanted))
            return false;
    return true;
}
/* str_starts() with ASCII case folded. */
bool http_starts_folded(struct str s, struct str prefix);
/* The text of an IPv4 or IPv6 address and nothing else: no zone, port or brackets. */
bool http_is_ipv4(struct str s);
bool http_is_ipv6(struct str s);

#endif
