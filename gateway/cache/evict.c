/* evict.c - the budget, and who leaves when it is full.
 *
 * S3-FIFO (Yang et al., SOSP 2023) by bytes in each shard: newcomers enter a small
 * queue of a tenth of the bytes, those asked for again there move to the main queue,
 * which gives each a turn for each hit; a newcomer whose key left lately (the ghost)
 * starts in main. A hit writes one byte of the entry and moves nothing. Measured
 * against LRU and SIEVE (make bench) it is the best or near it, and the only cheap one that a
 * crawler does not empty. The dead leave first where they are met.
 *
 * A large newcomer to a full cache would push out hundreds of small entries for one that
 * may never be asked for again: it comes in at the second request (its key goes to the
 * ghost at the first), or when others wait for it already.
 *
 * The budget is one counter that never passes the limit: memory is charged before it
 * is used. The shard that inserts gives first while it has more than its share, then
 * all in turn. Any thread, with no lock held. */
#include "cache/cache_priv.h"

#include <malloc.h>
#include <stdlib.h>

enum { VICTIMS_AT_ONCE = 32, GHOST_WAYS = 4, GHOST_FIRST = 64, SMALL_SHARE = 10 };

/* ---- ghost ---- */

static struct ghost_slot *ghost_set(const struct ghost *ghost, uint64_t hash)
{
    return &ghost->slots[(hash & (ghost->room / GHOST_WAYS - 1)) * GHOST_WAYS];
}

static uint32_t fingerprint_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32) | 1; /* 0: nobody */
}

/* Left so lately that not as many have left since as main holds? */
static bool ghost_has(const struct shard *shard, uint64_t hash)
{
    const struct ghost *ghost = &shard->ghost;

    if (ghost->room == 0)
        return false;
    struct ghost_slot *set = ghost_set(ghost, hash);
    for (int way = 0; way < GHOST_WAYS; way++)
        if (set[way].fingerprint == fingerprint_of(hash))
            return ghost->clock - set[way].at <= shard->queues[QUEUE_MAIN].count + VICTIMS_AT_ONCE;
    return false;
}

/* Room for half to all of as many as main has entries; the old content is forgotten, for a resize
 * is rare. */
static bool ghost_grow(struct shard *shard)
{
    struct ghost *ghost = &shard->ghost;
    uint32_t room = ghost->room > 0 ? ghost->room : GHOST_FIRST;
    struct ghost_slot *slots;

    while (room <= shard->queues[QUEUE_MAIN].count / 2)
        room *= 2;
    if (room == ghost->room)
        return true;
    slots = calloc(room, sizeof(*slots));
    if (slots == NULL)
        return ghost->room > 0;
    free(ghost->slots);
    ghost->slots = slots;
    ghost->room = room;
    return true;
}

static void ghost_add(struct shard *shard, uint64_t hash)
{
    struct ghost *ghost = &shard->ghost;
    struct ghost_slot *set, *oldest;

    if (!ghost_grow(shard))
        return;
    set = ghost_set(ghost, hash);
    oldest = &set[0];
    for (int way = 1; way < GHOST_WAYS; way++)
        if (ghost->clock - set[way].at > ghost->clock - oldest->at)
            oldest = &set[way];
    *oldest = (struct ghost_slot){fingerprint_of(hash), ++ghost->clock};
}

/* ---- queues ---- */

static void queue_push(struct shard *shard, enum queue_kind kind, struct cache_entry *entry)
{
    struct queue *queue = &shard->queues[kind];

    entry->queue = (uint8_t)kind;
    entry->queue_newer = NULL;
    entry->queue_older = queue->newest;
    if (queue->newest != NULL)
        queue->newest->queue_newer = entry;
    else
        queue->oldest = entry;
    queue->newest = entry;
    queue->bytes += entry_size(entry);
    queue->count++;
}

void queue_remove(struct shard *shard, struct cache_entry *entry)
{
    struct queue *queue = &shard->queues[entry->queue];

    if (entry->queue_newer != NULL)
        entry->queue_newer->queue_older = entry->queue_older;
    else
        queue->newest = entry->queue_older;
    if (entry->queue_older != NULL)
        entry->queue_older->queue_newer = entry->queue_newer;
    else
        queue->oldest = entry->queue_newer;
    entry->queue_newer = entry->queue_older = NULL;
    queue->bytes -= entry_size(entry);
    queue->count--;
}

void queue_add(struct shard *shard, struct cache_entry *entry, const struct cache_entry *replaced)
{
    enum queue_kind kind = ghost_has(shard, entry->hash) ? QUEUE_MAIN : QUEUE_SMALL;

    if (replaced != NULL) { /* a refetch of what was hot is hot */
        kind = (enum queue_kind)replaced->queue;
        atomic_store_explicit(&entry->frequency,
                              atomic_load_explicit(&replaced->frequency, memory_order_relaxed),
                              memory_order_relaxed);
    }
    queue_push(shard, kind, entry);
}

/* ---- victims ---- */

static struct cache_entry *victim_of_small(struct shard *shard, uint64_t now_us)
{
    struct cache_entry *entry;

    while ((entry = shard->queues[QUEUE_SMALL].oldest) != NULL) {
        uint8_t frequency = atomic_load_explicit(&entry->frequency, memory_order_relaxed);

        if (frequency < 1 || entry_is_dead(entry, now_us))
            return entry;
        queue_remove(shard, entry);
        atomic_store_explicit(&entry->frequency, 0, memory_order_relaxed);
        queue_push(shard, QUEUE_MAIN, entry);
    }
    return NULL;
}

static struct cache_entry *victim_of_main(struct shard *shard, uint64_t now_us)
{
    struct cache_entry *entry;

    /* Ends: every round lowers a frequency, and nobody is hit faster than that while the loop runs.
     */
    for (uint32_t turns = 0; (entry = shard->queues[QUEUE_MAIN].oldest) != NULL; turns++) {
        uint8_t frequency = atomic_load_explicit(&entry->frequency, memory_order_relaxed);

        if (frequency == 0 || turns > 1024 || entry_is_dead(entry, now_us))
            return entry;
        queue_remove(shard, entry);
        atomic_store_explicit(&entry->frequency, (uint8_t)(frequency - 1), memory_order_relaxed);
        queue_push(shard, QUEUE_MAIN, entry);
    }
    return NULL;
}

static struct cache_entry *next_victim(struct shard *shard, uint64_t now_us)
{
    struct cache_entry *entry = NULL;

    if (shard->queues[QUEUE_SMALL].bytes * SMALL_SHARE >= shard->bytes)
        entry = victim_of_small(shard, now_us);
    if (entry == NULL)
        entry = victim_of_main(shard, now_us);
    return entry != NULL ? entry : victim_of_small(shard, now_us);
}

static void count_eviction(struct cache *cache, const struct cache_entry *entry, uint64_t now_us)
{
    bool is_premature = atomic_load_explicit(&entry->hits, memory_order_relaxed) > 0 &&
                        cache_entry_ttl_s(entry, now_us) > 0;

    count_add(&cache->evictions, 1);
    if (is_premature)
        count_add(&cache->premature, 1);
    count_add(&entry->route->evictions, 1);
    if (is_premature)
        count_add(&entry->route->premature, 1);
}

/* Evicts up to `need` bytes of one shard. False when it was empty. */
static bool evict_from(struct cache *cache, struct shard *shard, size_t need)
{
    struct cache_entry *victims = NULL, *entry;
    uint64_t now_us = clock_mono_us();
    size_t freed = 0;

    pthread_mutex_lock(&shard->lock);
    for (int i = 0; i < VICTIMS_AT_ONCE && freed < need; i++) {
        entry = next_victim(shard, now_us);
        if (entry == NULL)
            break;
        freed += entry_size(entry);
        if (entry->queue == QUEUE_SMALL)
            ghost_add(shard, entry->hash);
        count_eviction(cache, entry, now_us);
        index_unlink(shard, entry, &victims);
    }
    pthread_mutex_unlock(&shard->lock);
    entry_release_list(victims);
    return freed > 0;
}

/* ---- budget ---- */

static bool take_if_free(struct cache *cache, size_t bytes)
{
    uint64_t limit = atomic_load_explicit(&cache->limit, memory_order_relaxed);
    uint64_t charged = atomic_load_explicit(&cache->charged, memory_order_relaxed);

    do {
        if (charged > limit || bytes > limit - charged)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&cache->charged, &charged, charged + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* Somebody gives `need` bytes. False: every shard is empty. */
static bool evict_somewhere(struct cache *cache, size_t need, struct shard *own)
{
    uint64_t share = atomic_load_explicit(&cache->limit, memory_order_relaxed) / SHARDS;
    bool is_over;

    if (own != NULL) {
        pthread_mutex_lock(&own->lock);
        is_over = own->bytes > share;
        pthread_mutex_unlock(&own->lock);
        if (is_over && evict_from(cache, own, need))
            return true;
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        uint32_t next = atomic_fetch_add_explicit(&cache->next_victim, 1, memory_order_relaxed);

        if (evict_from(cache, &cache->shards[next % SHARDS], need))
            return true;
    }
    return false;
}

bool budget_take(struct cache *cache, size_t bytes, uint64_t url_hash)
{
    if (bytes > atomic_load_explicit(&cache->limit, memory_order_relaxed))
        return false; /* nobody need leave for what can never come in */
    while (!take_if_free(cache, bytes))
        if (!evict_somewhere(cache, bytes, shard_of(cache, url_hash)))
            return take_if_free(cache, bytes);
    return true;
}

void budget_give(struct cache *cache, size_t bytes)
{
    atomic_fetch_sub_explicit(&cache->charged, bytes, memory_order_relaxed);
}

bool budget_admits(struct cache *cache, uint64_t url_hash, uint64_t key_hash, uint64_t bytes)
{
    struct shard *shard = shard_of(cache, url_hash);
    uint64_t limit = atomic_load_explicit(&cache->limit, memory_order_relaxed);
    uint64_t charged = atomic_load_explicit(&cache->charged, memory_order_relaxed);
    bool is_known;

    if (bytes <= LARGE_BYTES || (charged <= limit && bytes <= limit - charged))
        return true;
    pthread_mutex_lock(&shard->lock);
    is_known = ghost_has(shard, key_hash) || index_knows(shard, key_hash);
    if (!is_known)
        ghost_add(shard, key_hash);
    pthread_mutex_unlock(&shard->lock);
    return is_known;
}

size_t budget_cost(void *memory)
{
    size_t cost = malloc_usable_size(memory) + sizeof(size_t); /* and malloc's own word */

    return (cost + CHARGE_UNIT - 1) / CHARGE_UNIT * CHARGE_UNIT;
}

void budget_shrink(struct cache *cache)
{
    for (;;) {
        uint64_t limit = atomic_load_explicit(&cache->limit, memory_order_relaxed);
        uint64_t charged = atomic_load_explicit(&cache->charged, memory_order_relaxed);

        if (charged <= limit || !evict_somewhere(cache, charged - limit, NULL))
            return;
    }
}
