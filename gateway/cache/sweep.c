/* sweep.c - the slow walk that gives back what no lookup meets.
 *
 * Purges by pattern and expiry are noticed when an entry is asked for; what nobody
 * asks for would stay until eviction finds it. Each call looks at a few entries, a
 * handful under a lock, and goes on where the last one ended. After a whole round
 * every entry has been tested against the bans that stood at its start, so these may
 * retire. Main thread's timer; a lock keeps callers apart. */
#include "cache/cache_priv.h"

enum { ENTRIES_AT_ONCE = 16 };

/* Looks at one bucket; how many entries it held. */
static uint32_t sweep_bucket(struct cache *cache, struct shard *shard, uint32_t bucket,
                             uint64_t now_us, struct cache_entry **victims)
{
    struct cache_entry *entry = shard->urls[bucket];
    uint32_t seen = 0;

    for (struct cache_entry *next; entry != NULL; entry = next, seen++) {
        bool is_banned = ban_check(cache, entry) == BAN_HARD;

        next = entry->url_next;
        if (!is_banned && !entry_is_dead(entry, now_us))
            continue;
        if (is_banned) {
            count_add(&cache->invalidations, 1);
            count_add(&entry->route->invalidations, 1);
        }
        index_unlink(shard, entry, victims);
    }
    return seen;
}

/* A few entries of the present shard, or its end; how many. */
static uint32_t sweep_step(struct cache *cache, uint64_t now_us)
{
    struct shard *shard = &cache->shards[cache->sweep_shard];
    struct cache_entry *victims = NULL;
    uint32_t seen = 0;
    bool is_end;

    pthread_mutex_lock(&shard->lock);
    while (cache->sweep_bucket < shard->buckets && seen < ENTRIES_AT_ONCE)
        seen += sweep_bucket(cache, shard, cache->sweep_bucket++, now_us, &victims);
    is_end = cache->sweep_bucket >= shard->buckets;
    pthread_mutex_unlock(&shard->lock);
    entry_release_list(victims);
    if (is_end) {
        cache->sweep_bucket = 0;
        cache->sweep_shard++;
    }
    return seen;
}

void cache_sweep(struct cache *cache, uint64_t now_us, uint32_t entries)
{
    pthread_mutex_lock(&cache->sweep_lock);
    if (cache->sweep_shard == 0 && cache->sweep_bucket == 0)
        cache->sweep_began_seq = cache_stamp(cache);
    for (uint32_t seen = 0; seen < entries && cache->sweep_shard < SHARDS;)
        seen += sweep_step(cache, now_us);
    if (cache->sweep_shard == SHARDS) {
        cache->sweep_shard = 0;
        ban_retire(cache, cache->sweep_began_seq, now_us);
    }
    pthread_mutex_unlock(&cache->sweep_lock);
}
