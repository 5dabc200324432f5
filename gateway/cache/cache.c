/* cache.c - birth, death and size of the cache.
 *
 * One block of memory holds the shards, the flight table and the purge slots; it is
 * the same whatever is stored and not charged to the budget, which counts what
 * answers bring with them. cache_free() cannot wait for a response that is still
 * being sent: the entries that others hold keep that block alive. Main thread. */
#include "cache/cache_priv.h"

#include <stdlib.h>

struct cache *cache_new(uint64_t memory_bytes, uint64_t max_object_bytes,
                        const struct hash_key *seed)
{
    struct cache *cache = aligned_alloc(64, (sizeof(*cache) + 63) / 64 * 64);

    if (cache == NULL)
        return NULL;
    memset(cache, 0, sizeof(*cache));
    if (!route_stats_init(cache)) {
        free(cache);
        return NULL;
    }
    cache->seed = *seed;
    cache->limit = memory_bytes;
    cache->max_object = max_object_bytes;
    ban_init(&cache->bans);
    cells_init(cache);
    history_init(&cache->history);
    CHECK(pthread_mutex_init(&cache->routes_lock, NULL) == 0);
    CHECK(pthread_mutex_init(&cache->homes_lock, NULL) == 0);
    CHECK(pthread_mutex_init(&cache->sweep_lock, NULL) == 0);
    CHECK(pthread_mutex_init(&cache->near_lock, NULL) == 0);
    for (uint32_t i = 0; i < SHARDS; i++)
        CHECK(pthread_mutex_init(&cache->shards[i].lock, NULL) == 0);
    for (uint32_t i = 0; i < FLIGHT_SHARDS; i++)
        CHECK(pthread_mutex_init(&cache->flights[i].lock, NULL) == 0);
    return cache;
}

static void shard_empty(struct shard *shard)
{
    struct cache_entry *victims = NULL;

    pthread_mutex_lock(&shard->lock);
    for (int kind = 0; kind < 2; kind++)
        while (shard->queues[kind].oldest != NULL)
            index_unlink(shard, shard->queues[kind].oldest, &victims);
    pthread_mutex_unlock(&shard->lock);
    entry_release_list(victims);
    free(shard->keys);
    free(shard->urls);
    free(shard->tags);
    free(shard->ghost.slots);
    shard->keys = shard->urls = NULL;
    shard->tags = NULL;
    shard->buckets = shard->tag_buckets = 0;
    shard->ghost = (struct ghost){NULL, 0, 0};
}

void cache_free(struct cache **cache)
{
    struct cache *dying = *cache;

    if (dying == NULL)
        return;
    *cache = NULL;
    for (uint32_t i = 0; i < SHARDS; i++)
        shard_empty(&dying->shards[i]);
    free(dying->near);
    dying->near = NULL;
    if (atomic_load(&dying->charged) != 0)
        return; /* others hold entries, and give back to this budget */
    fill_homes_free(dying);
    cells_free(dying);
    route_stats_free(dying);
    ban_free(&dying->bans);
    free(dying);
}

void cache_resize(struct cache *cache, uint64_t memory_bytes, uint64_t max_object_bytes)
{
    atomic_store(&cache->limit, memory_bytes);
    atomic_store(&cache->max_object, max_object_bytes);
    budget_shrink(cache);
}
