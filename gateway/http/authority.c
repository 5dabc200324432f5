/* authority.c - a Host or the authority of an absolute target (RFC 3986 §3.2).
 *
 * Narrower than the RFC: userinfo, percent-escapes, sub-delimiters, IPvFuture and
 * zones are refused, for no honest client sends them and hosts behind us read them
 * each in their own way. A name may be anything else that DNS or a container
 * network hands out, underscores too. Pure; any thread. */
#include "http/http_priv.h"
#include "http/message.h"

#define HOST_MAX_BYTES 255

/* ":" and 0 to 5 digits, or nothing. Port 0 cannot be reached and is refused. */
static bool parse_port(struct str text, uint16_t *port)
{
    uint64_t number;

    *port = 0;
    if (text.len == 0)
        return true;
    if (text.ptr[0] != ':' || text.len > 6)
        return false;
    if (text.len == 1)
        return true; /* "host:" means the default port (RFC 3986 §3.2.3) */
    if (!str_to_u64(str_from(text, 1), &number) || number == 0 || number > UINT16_MAX)
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool parse_bracketed(struct str text, struct str *host, uint16_t *port)
{
    size_t close = str_find(text, ']');

    if (close == text.len || !http_is_ipv6(str_at(text.ptr + 1, close - 1)))
        return false;
    *host = str_at(text.ptr, close + 1);
    return parse_port(str_from(text, close + 1), port);
}

/* Labels of at least one byte; the name's one trailing dot is gone already. */
static bool is_name(struct str name)
{
    char before = '.';

    if (name.len == 0 || name.len > HOST_MAX_BYTES)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (!http_byte_is(name.ptr[i], HTTP_BYTE_HOST) || (before == '.' && name.ptr[i] == '.'))
            return false;
        before = name.ptr[i];
    }
    return before != '.';
}

bool http_parse_authority(struct str text, struct str *host, uint16_t *port)
{
    struct str name;

    if (text.len == 0)
        return false;
    if (text.ptr[0] == '[')
        return parse_bracketed(text, host, port);
    name = str_at(text.ptr, str_find(text, ':'));
    if (!parse_port(str_from(text, name.len), port))
        return false;
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    *host = name;
    return is_name(name);
}
