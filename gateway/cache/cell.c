/* cell.c - tags, each kept once, with the moment of its last purge.
 *
 * Entries that share a tag share its cell, so a purge by tag is one number written there,
 * however many carry it: a lookup compares the number with the sequence that its entry's
 * fetch began at. A cell lives as long as an entry that holds it. What is fetched now and
 * stored later may find no cell any more; for that a purge also marks the slot of the
 * tag's hash, which is never forgotten (purge.c).
 *
 * Bounded by the budget, which cells are charged to, and by a count: past it an answer
 * with a new tag is not stored, because no purge would find it. Any thread; a shard's
 * lock guards its chains and counts of references, and is never held with another. */
#include "cache/cache_priv.h"

#include <stdlib.h>

enum { FIRST_BUCKETS = 16, MOST_BUCKETS = 1 << 20 };

static struct cell_shard *shard_of_cell(struct cache *cache, uint64_t hash)
{
    return &cache->cells[hash >> 58];
}
_Static_assert(CELL_SHARDS == 64, "shard_of_cell() takes the upper six bits");

static struct tag_cell **find_cell(const struct cell_shard *shard, uint64_t hash, struct str text)
{
    struct tag_cell **at = &shard->buckets[hash & (shard->bucket_count - 1)];

    while (*at != NULL && ((*at)->hash != hash || !str_eq(str_at((*at)->text, (*at)->len), text)))
        at = &(*at)->next;
    return at;
}

/* Lock held. Without memory the chains grow instead; false: there is no table at all. */
static bool make_room(struct cell_shard *shard)
{
    uint32_t old = shard->bucket_count, count = old > 0 ? old * 2 : FIRST_BUCKETS;
    struct tag_cell **buckets, **before = shard->buckets;

    if (old > 0 && (shard->count < old || old >= MOST_BUCKETS))
        return true;
    buckets = calloc(count, sizeof(struct tag_cell *));
    if (buckets == NULL)
        return old > 0;
    shard->buckets = buckets;
    shard->bucket_count = count;
    for (uint32_t i = 0; i < old; i++)
        for (struct tag_cell *next, *cell = before[i]; cell != NULL; cell = next) {
            next = cell->next;
            cell->next = buckets[cell->hash & (count - 1)];
            buckets[cell->hash & (count - 1)] = cell;
        }
    free(before);
    return true;
}

static struct tag_cell *hold_known(struct cell_shard *shard, uint64_t hash, struct str text)
{
    struct tag_cell *cell = NULL;

    pthread_mutex_lock(&shard->lock);
    if (shard->bucket_count > 0)
        cell = *find_cell(shard, hash, text);
    if (cell != NULL)
        cell->refs++;
    pthread_mutex_unlock(&shard->lock);
    return cell;
}

struct tag_cell *cell_find(struct cache *cache, struct str text)
{
    uint64_t hash = tag_hash_of(cache, text);

    return hold_known(shard_of_cell(cache, hash), hash, text);
}

static void cell_free(struct cache *cache, struct tag_cell *cell)
{
    budget_give(cache, cell->charged);
    atomic_fetch_sub_explicit(&cache->cell_count, 1, memory_order_relaxed);
    free(cell);
}

static struct tag_cell *cell_new(struct cache *cache, uint64_t hash, struct str text)
{
    size_t want = sizeof(struct tag_cell) + text.len, charged;
    struct tag_cell *cell = malloc(want);

    if (cell == NULL)
        return NULL;
    charged = budget_cost(cell);
    if (!budget_take(cache, charged, hash)) {
        free(cell);
        return NULL;
    }
    memset(cell, 0, sizeof(*cell));
    cell->refs = 1;
    cell->hash = hash;
    cell->charged = charged;
    cell->len = text.len;
    if (text.len > 0)
        memcpy(cell->text, text.ptr, text.len);
    if (atomic_fetch_add_explicit(&cache->cell_count, 1, memory_order_relaxed) >=
        cache->cell_limit) {
        cell_free(cache, cell);
        return NULL;
    }
    return cell;
}

struct tag_cell *cell_take(struct cache *cache, struct str text)
{
    uint64_t hash = tag_hash_of(cache, text);
    struct cell_shard *shard = shard_of_cell(cache, hash);
    struct tag_cell *cell = hold_known(shard, hash, text), *spare, **place;

    if (cell != NULL)
        return cell;
    spare = cell_new(cache, hash, text); /* may evict: no lock is held */
    if (spare == NULL)
        return NULL;
    pthread_mutex_lock(&shard->lock);
    if (make_room(shard)) {
        place = find_cell(shard, hash, text);
        if (*place == NULL) {
            *place = spare;
            shard->count++;
            cell = spare;
            spare = NULL;
        } else { /* another was faster */
            cell = *place;
            cell->refs++;
        }
    }
    pthread_mutex_unlock(&shard->lock);
    if (spare != NULL)
        cell_free(cache, spare);
    return cell;
}

struct tag_cell *cell_hold(struct cache *cache, struct tag_cell *cell)
{
    struct cell_shard *shard = shard_of_cell(cache, cell->hash);

    pthread_mutex_lock(&shard->lock);
    cell->refs++;
    pthread_mutex_unlock(&shard->lock);
    return cell;
}

void cell_release(struct cache *cache, struct tag_cell *cell)
{
    struct cell_shard *shard = shard_of_cell(cache, cell->hash);
    bool is_last;

    pthread_mutex_lock(&shard->lock);
    is_last = --cell->refs == 0;
    if (is_last) {
        *find_cell(shard, cell->hash, str_at(cell->text, cell->len)) = cell->next;
        shard->count--;
    }
    pthread_mutex_unlock(&shard->lock);
    if (is_last)
        cell_free(cache, cell);
}

void cells_init(struct cache *cache)
{
    cache->cell_limit = MAX_CELLS;
    for (uint32_t i = 0; i < CELL_SHARDS; i++)
        CHECK(pthread_mutex_init(&cache->cells[i].lock, NULL) == 0);
}

void cells_free(struct cache *cache)
{
    for (uint32_t i = 0; i < CELL_SHARDS; i++) {
        CHECK(cache->cells[i].count == 0);
        free(cache->cells[i].buckets);
    }
}
