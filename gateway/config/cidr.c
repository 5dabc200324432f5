/* cidr.c - addresses and address blocks.
 *
 * One form for all: sixteen bytes, IPv4 as ::ffff:a.b.c.d, so a rule for 10.0.0.0/8
 * also meets a client that came over a dual-stack socket. Bits behind the prefix are
 * cleared, so "10.1.2.3/8" is the block that holds it.
 *
 * Pure; any thread. */
#include "config/config.h"

#include <arpa/inet.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

/* Four numbers of at most three digits, none with a zero in front, as inet_pton() wants them; by
 * hand because every request has its client's address read. */
static bool ipv4_parse(struct str text, uint8_t out[4])
{
    size_t at = 0;

    for (int part = 0; part < 4; part++) {
        unsigned value = 0;
        size_t start;

        if (part > 0 && (at == text.len || text.ptr[at++] != '.'))
            return false;
        start = at;
        while (at < text.len && ascii_is_digit(text.ptr[at]) && at - start < 3)
            value = value * 10 + (unsigned)(text.ptr[at++] - '0');
        if (at == start || value > 255 || (text.ptr[start] == '0' && at - start > 1))
            return false;
        out[part] = (uint8_t)value;
    }
    return at == text.len;
}

bool address_parse(struct str text, uint8_t out[16])
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    if (str_find(text, ':') == text.len) {
        memcpy(out, mapped_prefix, sizeof(mapped_prefix));
        return ipv4_parse(text, out + sizeof(mapped_prefix));
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(AF_INET6, copy, out) == 1;
}

static void clear_rest(struct cidr *block)
{
    for (unsigned bit = block->prefix; bit < 128; bit++)
        block->bytes[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
}

bool cidr_parse(struct str text, struct cidr *out)
{
    size_t slash = str_find(text, '/');
    struct str address = str_at(text.ptr, slash);
    bool is_v4 = str_find(address, ':') == address.len;
    uint64_t prefix, most = is_v4 ? 32 : 128;

    if (!address_parse(address, out->bytes))
        return false;
    if (slash == text.len)
        prefix = most;
    else if (!str_to_u64(str_from(text, slash + 1), &prefix) || prefix > most)
        return false;
    /* "::ffff:10.0.0.0/104" counts its bits as IPv6 does; below /96 it reaches beyond IPv4 and
     * stays that */
    out->prefix = (uint8_t)(is_v4 ? prefix + 96 : prefix);
    clear_rest(out);
    return true;
}

static bool cidr_has(const struct cidr *block, const uint8_t address[16])
{
    size_t bytes = block->prefix / 8;
    unsigned bits = block->prefix % 8;

    if (memcmp(block->bytes, address, bytes) != 0)
        return false;
    return bits == 0 || ((block->bytes[bytes] ^ address[bytes]) >> (8 - bits)) == 0;
}

bool cidr_list_has(const struct cidr_list *list, const uint8_t address[16])
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (cidr_has(&list->at[i], address))
            return true;
    }
    return false;
}
