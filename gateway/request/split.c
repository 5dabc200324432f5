/* split.c - which upstream of a route that has several: by weight, and the same again.
 *
 * A client keeps its place on the line of weights (a keyed hash), so moving a weight moves
 * few; a cookie names the upstream by a hash, which says nothing to its bearer and is
 * forgotten when that upstream leaves the split. Worker's thread. */
#include "request/request_priv.h"

enum { COOKIE_VALUE = 16 };

static const struct split_config *at_place(const struct route_config *route, uint64_t place)
{
    uint32_t i = 0;

    while (place >= route->split[i].weight)
        place -= route->split[i++].weight;
    return &route->split[i];
}

/* ---- cookies ---- */

static void write_value(const struct request *r, const struct split_config *split,
                        char value[COOKIE_VALUE])
{
    static const struct hash_key public_key = {{0, 0}}; /* the same for all gateways */
    struct hash128 both = hash_sip128(&public_key, split->upstream->name);

    (void)hex_write(value, both.lo ^ hash_sip64(&public_key, r->route->name), COOKIE_VALUE);
}

/* "gateway-split-NAME": a token, whatever the route's name holds. */
static struct str cookie_name(const struct request *r)
{
    struct str name = arena_printf(r->arena, "gateway-split-%.*s", STR_ARG(r->route->name));
    char *text = (char *)(uintptr_t)name.ptr; /* fresh arena memory */

    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(text[i]);

        if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && c != '-' && c != '_')
            text[i] = '_';
    }
    return name;
}

static const struct split_config *named_by_cookie(const struct request *r, struct str name)
{
    struct str brought = http_cookie(&r->head.fields, name);
    char value[COOKIE_VALUE];

    for (uint32_t i = 0; brought.len == COOKIE_VALUE && i < r->route->split_count; i++) {
        write_value(r, &r->route->split[i], value);
        if (r->route->split[i].weight > 0 && str_eq(brought, str_at(value, COOKIE_VALUE)))
            return &r->route->split[i];
    }
    return NULL;
}

/* ---- choosing ---- */

bool split_choose(struct request *r)
{
    const struct route_config *route = r->route;
    const struct split_config *split = NULL;
    struct str name = STR_NONE;
    char value[COOKIE_VALUE];

    switch (route->sticky) {
    case STICKY_NONE:
        split = at_place(route, random_u64() % route->split_weight);
        break;
    case STICKY_CLIENT:
        split = at_place(route, r->who.caller.hash.hi % route->split_weight);
        break;
    case STICKY_COOKIE:
        name = cookie_name(r);
        if (name.ptr == NULL)
            return false;
        split = named_by_cookie(r, name);
        break;
    }
    if (split == NULL) {
        split = at_place(route, random_u64() % route->split_weight);
        write_value(r, split, value);
        r->split_cookie =
            arena_printf(r->arena, "%.*s=%.*s; Path=/; HttpOnly; SameSite=Lax%s", STR_ARG(name),
                         COOKIE_VALUE, value, r->arrival.is_tls ? "; Secure" : "");
        if (r->split_cookie.ptr == NULL)
            return false;
    }
    r->upstream = split->upstream;
    return true;
}
