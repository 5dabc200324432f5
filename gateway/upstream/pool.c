/* pool.c - one worker's client, and its view of the registry.
 *
 * A slot keeps what resolving an upstream gave, so that a request takes no lock and looks
 * nothing up. A slot belongs to an index, not to a snapshot (whose address may come again
 * after a reload): it is right when names and URLs are, which is compared each time.
 *
 * Thread: the worker's. */
#include "upstream/upstream_priv.h"

#include <stdlib.h>

static bool is_right(const struct slot *slot, const struct upstream_config *upstream)
{
    if (slot->group == NULL || slot->count != upstream->target_count ||
        !str_eq(slot->group->name, upstream->name))
        return false;
    for (uint32_t i = 0; i < slot->count; i++)
        if (!str_eq(slot->targets[i]->url, upstream->targets[i].url))
            return false;
    return true;
}

static void slot_clear(struct slot *slot)
{
    free(slot->targets);
    free(slot->entries);
    *slot = (struct slot){0};
}

static bool slot_fill(struct upstream_pool *pool, struct slot *slot,
                      const struct upstream_config *upstream)
{
    uint32_t count = upstream->target_count;

    slot_clear(slot);
    slot->targets = calloc(count > 0 ? count : 1, sizeof(struct target *));
    slot->entries = calloc(count > 0 ? count : 1, sizeof(struct balance_entry));
    slot->count = count;
    if (slot->targets == NULL || slot->entries == NULL ||
        !registry_resolve(pool->upstreams, upstream, &slot->group, slot->targets)) {
        slot_clear(slot);
        return false;
    }
    return true;
}

static bool make_room(struct upstream_pool *pool, uint32_t count)
{
    struct slot *larger;

    if (count <= pool->slot_count)
        return true;
    larger = realloc(pool->slots, count * sizeof(struct slot));
    if (larger == NULL)
        return false;
    memset(larger + pool->slot_count, 0, (count - pool->slot_count) * sizeof(struct slot));
    pool->slots = larger;
    pool->slot_count = count;
    return true;
}

struct slot *pool_slot(struct upstream_pool *pool, const struct upstream_config *upstream)
{
    struct slot *slot;

    if (!make_room(pool, upstream->index + 1))
        return NULL;
    slot = &pool->slots[upstream->index];
    if (!is_right(slot, upstream) && !slot_fill(pool, slot, upstream))
        return NULL;
    for (uint32_t i = 0; i < slot->count; i++) /* a reload may change it and nothing else */
        slot->entries[i].weight = upstream->targets[i].weight;
    return slot;
}

struct upstream_pool *upstream_pool_new(struct loop *loop, struct upstreams *upstreams,
                                        const struct client_options *options, struct fail *why)
{
    struct upstream_pool *pool = calloc(1, sizeof(*pool));

    if (pool == NULL) {
        fail_set(why, "out of memory");
        return NULL;
    }
    pool->loop = loop;
    pool->upstreams = upstreams;
    pool->client = client_new(loop, options, why);
    if (pool->client == NULL)
        upstream_pool_free(&pool);
    return pool;
}

struct client_counts upstream_pool_counts(const struct upstream_pool *pool)
{
    return client_counts(pool->client);
}

void upstream_pool_free(struct upstream_pool **pool)
{
    struct upstream_pool *dying = *pool;

    *pool = NULL;
    if (dying == NULL)
        return;
    pool_free_exchanges(dying);
    client_free(&dying->client);
    for (uint32_t i = 0; i < dying->slot_count; i++)
        slot_clear(&dying->slots[i]);
    free(dying->slots);
    free(dying);
}
