/* address.c - which address asks, and which client that is.
 *
 * An address becomes sixteen bytes first, IPv4 as IPv4-mapped, so that no spelling of it is another
 * client; then its host part is cut off (identity.ip), because who has a /64 has all of it; then
 * it is hashed under the secret: a plain hash of an IPv4 address is found again by trying all.
 * Pure functions; any thread. */
#include "identify/identify_priv.h"

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const char UNIX[] = "unix";

static bool is_unix(struct str address)
{
    return address.len == 0 || str_eq(address, STR("unix"));
}

static bool is_trusted(void *arg, struct str address)
{
    const struct identify *identify = arg;
    uint8_t bytes[16];

    return address_parse(address, bytes) &&
           cidr_list_has(&identify->config->server.trusted_proxies, bytes);
}

/* "::ffff:192.0.2.1", as a dual-stack socket says it, is 192.0.2.1. */
static struct str plain(struct str address)
{
    uint8_t bytes[16];
    size_t dot = str_find(address, '.');

    if (dot == address.len || str_find(address, ':') == address.len ||
        !address_parse(address, bytes) || memcmp(bytes, mapped, sizeof(mapped)) != 0)
        return address;
    while (dot > 0 && address.ptr[dot - 1] != ':')
        dot--;
    return str_from(address, dot);
}

struct str address_of_client(const struct identify *identify, const struct http_fields *fields,
                             struct str peer, bool *peer_is_trusted)
{
    struct identify *arg = (struct identify *)(uintptr_t)identify; /* the callback only reads */

    *peer_is_trusted = false;
    if (is_unix(peer))
        return str_at(UNIX, sizeof(UNIX) - 1);
    if (identify->config->server.trusted_proxies.count == 0)
        return plain(peer);
    *peer_is_trusted = is_trusted(arg, peer);
    if (!*peer_is_trusted)
        return plain(peer);
    return plain(http_client_address(fields, peer, is_trusted, arg));
}

static void clear_behind(uint8_t bytes[16], uint32_t prefix)
{
    for (uint32_t bit = prefix; bit < 128; bit++)
        bytes[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
}

/* One letter of kind, then the masked bytes; what is no address stands for itself. */
static struct hash128 address_hash(const struct identify *identify, struct str address)
{
    char text[64] = {'i'};
    uint8_t bytes[16];
    size_t len = sizeof(bytes);

    if (!is_unix(address) && address_parse(address, bytes)) {
        bool is_v4 = memcmp(bytes, mapped, sizeof(mapped)) == 0;

        clear_behind(bytes, is_v4 ? 96 + identify->config->identity.ip.ipv4_prefix
                                  : identify->config->identity.ip.ipv6_prefix);
        memcpy(text + 1, bytes, len);
    } else {
        if (is_unix(address))
            address = str_at(UNIX, sizeof(UNIX) - 1);
        text[0] = 'u';
        len = address.len < sizeof(text) - 1 ? address.len : sizeof(text) - 1;
        memcpy(text + 1, address.ptr, len);
    }
    return hash_sip128(&identify->secret, str_at(text, len + 1));
}

/* "ip:" and sixteen hex digits; ptr NULL when out of memory. */
static struct str hash_name(uint64_t hash, struct arena *arena)
{
    enum { PREFIX = 3, DIGITS = 16 };
    char *name = arena_take(arena, PREFIX + DIGITS + 1);

    if (name == NULL)
        return STR_NONE;
    memcpy(name, "ip:", PREFIX);
    *hex_write(name + PREFIX, hash, DIGITS) = '\0';
    return str_at(name, PREFIX + DIGITS);
}

void address_caller(const struct identify *identify, struct str address, struct arena *arena,
                    struct caller *caller)
{
    struct hash128 hash = address_hash(identify, address);

    *caller = (struct caller){
        .kind = CALLER_IP,
        .id = address,
        .hash = hash,
        .name = hash_name(hash.lo, arena),
        .tier = identify->default_tier,
    };
    if (caller->name.ptr == NULL)
        caller->name = STR("ip:unknown");
}

struct str identify_hide_address(const struct identify *identify, struct str address,
                                 struct arena *arena)
{
    return hash_name(address_hash(identify, address).lo, arena);
}

struct hash128 identify_hash(const struct identify *identify, struct str text)
{
    return hash_sip128(&identify->secret, text);
}
