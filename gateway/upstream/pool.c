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
    const struct group *group = slot->members.group;

    if (group == NULL || slot->named_count != upstream->target_count ||
        !str_eq(group->name, upstream->name) ||
        slot->members.generation != atomic_load_explicit(&group->generation, memory_order_acquire))
        return false;
    for (uint32_t i = 0; i < slot->named_count; i++)
        if (!str_eq(slot->urls[i], upstream->targets[i].url))
            return false;
    return true;
}

static void slot_clear(struct slot *slot)
{
    members_clear(&slot->members);
    free(slot->urls);
    free(slot->entries);
    *slot = (struct slot){0};
}

/* The names of targets are those of the registry, which outlives the snapshot's. */
static bool fill(struct slot *slot, const struct upstream_config *upstream)
{
    uint32_t count = slot->members.count;

    slot->entries = calloc(count > 0 ? count : 1, sizeof(struct balance_entry));
    slot->urls =
        calloc(upstream->target_count > 0 ? upstream->target_count : 1, sizeof(struct str));
    if (slot->entries == NULL || slot->urls == NULL)
        return false;
    slot->named_count = upstream->target_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct target *target = slot->members.targets[i];

        slot->urls[slot->members.origins[i]] = target->url;
        slot->entries[i].name = balance_hash(target->url) ^ balance_hash(target->address);
    }
    return true;
}

static bool slot_fill(struct upstream_pool *pool, struct slot *slot,
                      const struct upstream_config *upstream)
{
    slot_clear(slot);
    if (!registry_resolve(pool->upstreams, upstream, &slot->members))
        return false;
    if (fill(slot, upstream))
        return true;
    slot_clear(slot);
    return false;
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
    pool->look = (struct deadline){.fn = queue_look, .arg = pool};
    pool->client = client_new(loop, options, why);
    if (pool->client == NULL)
        upstream_pool_free(&pool);
    return pool;
}

struct client *upstream_pool_client(const struct upstream_pool *pool)
{
    return pool->client;
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
    deadline_clear(dying->loop, &dying->look);
    client_free(&dying->client);
    for (uint32_t i = 0; i < dying->slot_count; i++)
        slot_clear(&dying->slots[i]);
    free(dying->slots);
    free(dying);
}
