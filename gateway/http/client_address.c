/* client_address.c - who is the client behind trusted proxies? (X-Forwarded-For, RFC 7239)
 *
 * Lists are read from their right end: there stands what the proxy next to us wrote,
 * and nothing that a client put further left (an open quote, say) can change how it
 * is read. A quote is matched with the one before it, never with one that a stranger
 * left open. Pure, without allocation; any thread. */
#include "http/http_priv.h"
#include "http/message.h"

#define MEMBERS_MAX 50

/* ---- one node ---- */

static bool is_zone(struct str zone)
{
    return zone.len > 0 && zone.len <= 32 && http_bytes_are(zone, HTTP_BYTE_UNRESERVED);
}

/* The address without its zone, which means something on its own link only; empty: nonsense. */
static struct str bare_ipv6(struct str text)
{
    size_t percent = str_find(text, '%');
    struct str address = str_at(text.ptr, percent);

    if (percent < text.len && !is_zone(str_from(text, percent + 1)))
        return STR_NONE;
    return http_is_ipv6(address) ? address : STR_NONE;
}

/* ":" and a port, or nothing. RFC 7239 allows obfuscated ports ("_x"). */
static bool is_port_or_none(struct str text)
{
    uint64_t port;

    if (text.len == 0)
        return true;
    if (text.ptr[0] != ':')
        return false;
    text = str_from(text, 1);
    if (text.len > 1 && text.ptr[0] == '_')
        return http_bytes_are(text, HTTP_BYTE_HOST);
    return text.len <= 5 && str_to_u64(text, &port) && port <= UINT16_MAX;
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80", "[fe80::1%eth0]"; else empty. */
static struct str node_address(struct str node)
{
    size_t end;

    if (node.len > 0 && node.ptr[0] == '[') {
        end = str_find(node, ']');
        if (end == node.len || !is_port_or_none(str_from(node, end + 1)))
            return STR_NONE;
        return bare_ipv6(str_at(node.ptr + 1, end - 1));
    }
    end = str_find(node, ':');
    if (http_is_ipv4(str_at(node.ptr, end)))
        return is_port_or_none(str_from(node, end)) ? str_at(node.ptr, end) : STR_NONE;
    return bare_ipv6(node);
}

/* ---- lists from the right ---- */

static bool is_escaped(struct str s, size_t at)
{
    size_t backslashes = 0;

    while (backslashes < at && s.ptr[at - 1 - backslashes] == '\\')
        backslashes++;
    return backslashes % 2 == 1;
}

/* Cuts the part behind the last `separator` off *rest; with `has_quotes` one inside quotes does
 * not count. False when *rest is exhausted (ptr NULL). */
static bool last_part(struct str *rest, char separator, bool has_quotes, struct str *part)
{
    bool is_quoted = false;

    if (rest->ptr == NULL)
        return false;
    for (size_t i = rest->len; i > 0; i--) {
        char c = rest->ptr[i - 1];

        if (has_quotes && c == '"' && !is_escaped(*rest, i - 1))
            is_quoted = !is_quoted;
        if (c != separator || is_quoted)
            continue;
        *part = str_trim(str_at(rest->ptr + i, rest->len - i));
        *rest = str_at(rest->ptr, i - 1);
        return true;
    }
    *part = str_trim(*rest);
    *rest = STR_NONE;
    return true;
}

/* The address of a Forwarded element's one "for"; empty: none, obfuscated, or nonsense. */
static struct str forwarded_address(struct str element)
{
    struct str pair, address = STR_NONE;

    while (last_part(&element, ';', true, &pair)) {
        struct str value;

        if (!http_starts_folded(pair, STR("for=")))
            continue;
        if (address.len > 0)
            return STR_NONE;
        value = str_from(pair, 4);
        if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
            value = str_at(value.ptr + 1, value.len - 2);
        address = node_address(value);
        if (address.len == 0)
            return STR_NONE;
    }
    return address;
}

/* Walks the lines of one field from its end. */
static struct str walk(const struct http_fields *fields, enum http_name id, struct str peer,
                       http_trusted_fn *trusted, void *arg)
{
    bool is_forwarded = id == HTTP_FORWARDED;
    struct str furthest = peer;
    uint32_t members = 0;

    for (uint32_t i = fields->count; i > 0; i--) {
        struct str rest = fields->at[i - 1].value, member;

        if (fields->at[i - 1].id != id)
            continue;
        while (members < MEMBERS_MAX && last_part(&rest, ',', is_forwarded, &member)) {
            struct str address;

            if (member.len == 0)
                continue;
            members++;
            address = is_forwarded ? forwarded_address(member) : node_address(member);
            if (address.len == 0)
                return peer;
            if (!trusted(arg, address))
                return address;
            furthest = address;
        }
    }
    return furthest;
}

struct str http_client_address(const struct http_fields *fields, struct str peer,
                               http_trusted_fn *trusted, void *arg)
{
    if (!trusted(arg, peer))
        return peer;
    if (http_fields_get(fields, HTTP_X_FORWARDED_FOR).ptr != NULL)
        return walk(fields, HTTP_X_FORWARDED_FOR, peer, trusted, arg);
    return walk(fields, HTTP_FORWARDED, peer, trusted, arg);
}
