/* fetch_for.c - for whom an upstream is asked: what its choice of a target hangs on, and how much
 * of an adaptive limit this caller may use. Pure functions of the request; worker's thread. */
#include "request/request_priv.h"

#include <math.h>

/* Where the header or cookie is missing, the client decides. */
struct str fetch_hash_key(const struct request *r)
{
    const struct upstream_config *upstream = r->upstream;
    struct str key = STR_NONE;

    if (upstream->balance != BALANCE_HASH)
        return key;
    switch (upstream->hash_on) {
    case HASH_CLIENT:
        break;
    case HASH_PATH:
        return r->path;
    case HASH_HEADER:
        key = http_fields_find(&r->head.fields, upstream->hash_name);
        break;
    case HASH_COOKIE:
        key = http_cookie(&r->head.fields, upstream->hash_name);
        break;
    }
    return key.len > 0 ? key : r->who.caller.id;
}

/* Requests a second over the longest window; a tier without windows is the most generous. */
static double generosity(const struct tier_config *tier)
{
    const struct window_config *longest = NULL;

    for (uint32_t i = 0; i < tier->windows.count; i++)
        if (longest == NULL || tier->windows.at[i].period_ms > longest->period_ms)
            longest = &tier->windows.at[i];
    return longest == NULL ? HUGE_VAL : (double)longest->limit / (double)longest->period_ms;
}

/* How much of an adaptive upstream's limit may be in use for this caller: the least generous tier
 * is turned away at LEAST_SHARE, the most generous at all of it. */
#define LEAST_SHARE 0.7
#define CRITICAL    2.0
double fetch_share(const struct request *r)
{
    const struct config *config = r->config;
    const struct tier_config *tier = r->who.caller.tier;
    uint32_t below = 0;

    if (!r->upstream->adaptive)
        return 1;
    if (r->route->is_critical)
        return CRITICAL;
    if (tier == NULL || config->tier_count < 2)
        return 1;
    for (uint32_t i = 0; i < config->tier_count; i++)
        if (generosity(&config->tiers[i]) < generosity(tier))
            below++;
    return LEAST_SHARE + (1 - LEAST_SHARE) * (double)below / (double)(config->tier_count - 1);
}
