/* limit_count.c - what the metrics tell of limits: decisions, refusals, and what a dry run would
 * have refused. Cells are found once for a route, a kind of caller and a tier, and kept.
 * Worker's thread. */
#include "request/request_priv.h"

#include <stdlib.h>

static struct str kind_of(const struct request *r)
{
    switch (r->who.caller.kind) {
    case CALLER_API_KEY:
        return STR("api_key");
    case CALLER_USER:
        return STR("user");
    case CALLER_IP:
    case CALLER_KINDS:
        break;
    }
    return STR("ip");
}

/* Of a caller's kind and tier in the route's cells: below CALLER_KINDS times the tiers. */
static size_t caller_slot(const struct request *r)
{
    size_t tier = (size_t)(r->who.caller.tier - r->config->tiers);

    return (size_t)r->who.caller.kind * r->config->tier_count + tier;
}

void count_dry_block(struct request *r, const struct limit_state *state)
{
    struct str values[] = {r->who.caller.tier->name, r->route->name,
                           state->windows[state->worst].window->name};

    count_series(r->context, M_RATE_LIMIT_DRY_RUN, COUNT_OF(values), values);
}

void count_block(struct request *r)
{
    size_t slot = caller_slot(r) * LIMIT_MAX_WINDOWS + r->limits.worst;
    struct cell **blocks = r->cells->limit_blocks;

    if (blocks == NULL)
        blocks = r->cells->limit_blocks =
            calloc((size_t)r->config->tier_count * CALLER_KINDS * LIMIT_MAX_WINDOWS,
                   sizeof(struct cell *));
    if (blocks == NULL)
        return;
    if (blocks[slot] == NULL) {
        struct str values[] = {kind_of(r), r->who.caller.tier->name, r->route->name,
                               r->limits.windows[r->limits.worst].window->name};

        blocks[slot] =
            metrics_series(r->context->sheet, M_RATE_LIMIT_BLOCKS, COUNT_OF(values), values);
    }
    cell_add(blocks[slot], 1);
}

void count_decision(struct request *r)
{
    size_t slot = caller_slot(r);
    struct cell **hits = r->cells->limit_hits;

    if (hits == NULL)
        hits = r->cells->limit_hits =
            calloc((size_t)r->config->tier_count * CALLER_KINDS, sizeof(struct cell *));
    if (hits == NULL)
        return;
    if (hits[slot] == NULL) {
        struct str values[] = {kind_of(r), r->who.caller.tier->name, r->route->name};

        hits[slot] = metrics_series(r->context->sheet, M_RATE_LIMIT_HITS, COUNT_OF(values), values);
    }
    cell_add(hits[slot], 1);
}
