/* token.c - bytes: what may stand in names, values and targets.
 *
 * The table of byte classes is computed by the compiler from the predicates below,
 * so that each grammar is readable in one place and costs one look-up. Values are
 * long and nearly always clean: they are tested eight bytes at a time. Constant
 * data and pure functions; any thread. */
#include "http/http_priv.h"
#include "http/message.h"
#include <arpa/inet.h>

#define IS_DIGIT(c)     ((c) >= '0' && (c) <= '9')
#define IS_LETTER(c)    (((c) >= 'A' && (c) <= 'Z') || ((c) >= 'a' && (c) <= 'z'))
#define IS_ALNUM(c)     (IS_DIGIT(c) || IS_LETTER(c))
#define IS_LOWER_HEX(c) (IS_DIGIT(c) || ((c) >= 'a' && (c) <= 'f'))
#define IS_HEX(c)       (IS_LOWER_HEX(c) || ((c) >= 'A' && (c) <= 'F'))
#define IS_NAME_BYTE(c) (IS_ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_')
#define IS_ODD(c)                                                                                  \
    ((c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' || (c) == '\'' ||          \
     (c) == '*' || (c) == '+' || (c) == '.' || (c) == '^' || (c) == '_' || (c) == '`' ||           \
     (c) == '|' || (c) == '~')
/* Printable ASCII without what servers in front and behind read differently. */
#define IS_TARGET(c)                                                                               \
    ((c) > ' ' && (c) < 0x7f && (c) != '"' && (c) != '<' && (c) != '>' && (c) != '\\' &&           \
     (c) != '^' && (c) != '{' && (c) != '}' && (c) != '`' && (c) != '|' && (c) != '#')

#define CLASS(c)                                                                                   \
    ((IS_ALNUM(c) || (c) == '-' || IS_ODD(c) ? HTTP_BYTE_TOKEN : 0) |                              \
     (IS_ODD(c) ? HTTP_BYTE_ODD : 0) | (IS_TARGET(c) ? HTTP_BYTE_TARGET : 0) |                     \
     (IS_NAME_BYTE(c) || (c) == '~' ? HTTP_BYTE_UNRESERVED : 0) |                                  \
     (IS_NAME_BYTE(c) ? HTTP_BYTE_HOST | HTTP_BYTE_REQUEST_ID : 0) |                               \
     (IS_HEX(c) || (c) == ':' || (c) == '.' ? HTTP_BYTE_ADDRESS : 0) |                             \
     (IS_LOWER_HEX(c) ? HTTP_BYTE_LOWER_HEX : 0))
#define CLASS_4(c)  CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define CLASS_16(c) CLASS_4(c), CLASS_4((c) + 4), CLASS_4((c) + 8), CLASS_4((c) + 12)
#define CLASS_64(c) CLASS_16(c), CLASS_16((c) + 16), CLASS_16((c) + 32), CLASS_16((c) + 48)

const uint8_t http_byte_classes[256] = {CLASS_64(0), CLASS_64(64), CLASS_64(128), CLASS_64(192)};

bool http_is_token(struct str s)
{
    return s.len > 0 && http_bytes_are(s, HTTP_BYTE_TOKEN);
}

static inline bool is_value_byte(unsigned char c)
{
    return (c >= ' ' && c != 0x7f) || c == '\t';
}

/* Not 0: a byte of the eight is a control, perhaps a tab. */
static inline uint64_t controls(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x80 * ones;
    uint64_t delta = word ^ (0x7f * ones);

    return (((word - ' ' * ones) & ~word) | ((delta - ones) & ~delta)) & tops;
}

static uint64_t word_at(const char *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof(word));
    return word;
}

bool http_is_field_value(struct str s)
{
    uint64_t found = 0;
    size_t i = 0;

    if (s.len >= 8) { /* the last word overlaps the one before */
        for (; i + 8 < s.len; i += 8)
            found |= controls(word_at(s.ptr + i));
        if ((found | controls(word_at(s.ptr + s.len - 8))) == 0)
            return true;
    }
    for (i = 0; i < s.len; i++)
        if (!is_value_byte((unsigned char)s.ptr[i]))
            return false;
    return true;
}

bool http_starts_folded(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_ieq(str_at(s.ptr, prefix.len), prefix);
}

static bool is_address(int family, struct str s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address; /* the larger one */

    if (s.len == 0 || s.len >= sizeof(text) || !http_bytes_are(s, HTTP_BYTE_ADDRESS))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return inet_pton(family, text, &address) == 1;
}

bool http_is_ipv4(struct str s)
{
    return is_address(AF_INET, s);
}

bool http_is_ipv6(struct str s)
{
    return is_address(AF_INET6, s);
}

bool http_request_id_is_sane(struct str id)
{
    return id.len >= 1 && id.len <= 128 && http_bytes_are(id, HTTP_BYTE_REQUEST_ID);
}

static bool is_nonzero_hex(struct str s)
{
    bool is_zero = true;

    for (size_t i = 0; i < s.len; i++)
        is_zero = is_zero && s.ptr[i] == '0';
    return !is_zero && http_bytes_are(s, HTTP_BYTE_LOWER_HEX);
}

bool http_traceparent_is_valid(struct str value)
{
    return value.len == 55 && memcmp(value.ptr, "00-", 3) == 0 && value.ptr[35] == '-' &&
           value.ptr[52] == '-' && is_nonzero_hex(str_at(value.ptr + 3, 32)) &&
           is_nonzero_hex(str_at(value.ptr + 36, 16)) &&
           http_bytes_are(str_at(value.ptr + 53, 2), HTTP_BYTE_LOWER_HEX);
}
