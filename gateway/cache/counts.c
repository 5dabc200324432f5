/* counts.c - what operators ask: how much is here, and what became of it.
 *
 * Counters are relaxed atomics; the per-route ones hang on an append-only list that
 * is read without a lock. A route's name comes from the configuration, so the list
 * is short; a reload may bring new names, and a ceiling keeps that bounded. Any
 * thread. */
#include "cache/cache_priv.h"

#include <stdlib.h>

void count_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void count_take(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_sub_explicit(counter, n, memory_order_relaxed);
}

static uint64_t count_of(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct route_stats *find_route(struct cache *cache, struct str name, uint32_t *seen)
{
    struct route_stats *route = atomic_load_explicit(&cache->routes, memory_order_acquire);

    for (*seen = 0; route != NULL; ++*seen) {
        if (str_eq(str_at(route->name, route->name_len), name))
            return route;
        route = atomic_load_explicit(&route->next, memory_order_acquire);
    }
    return NULL;
}

static struct route_stats *route_new(struct cache *cache, struct str name)
{
    struct route_stats *route = calloc(1, sizeof(*route) + name.len);

    if (route == NULL)
        return NULL;
    route->cache = cache;
    route->name_len = name.len;
    if (name.len > 0)
        memcpy(route->name, name.ptr, name.len);
    return route;
}

bool route_stats_init(struct cache *cache)
{
    cache->nameless = route_new(cache, STR(""));
    return cache->nameless != NULL;
}

struct route_stats *route_stats_of(struct cache *cache, struct str name)
{
    uint32_t seen;
    struct route_stats *route = find_route(cache, name, &seen);

    if (route != NULL)
        return route;
    pthread_mutex_lock(&cache->routes_lock);
    route = find_route(cache, name, &seen);
    if (route == NULL && seen < MAX_ROUTES && (route = route_new(cache, name)) != NULL) {
        atomic_store_explicit(&route->next,
                              atomic_load_explicit(&cache->routes, memory_order_relaxed),
                              memory_order_relaxed);
        atomic_store_explicit(&cache->routes, route, memory_order_release);
    }
    pthread_mutex_unlock(&cache->routes_lock);
    return route != NULL ? route : cache->nameless;
}

void route_stats_free(struct cache *cache)
{
    struct route_stats *route = atomic_load(&cache->routes);

    while (route != NULL) {
        struct route_stats *next = atomic_load(&route->next);

        free(route);
        route = next;
    }
    atomic_store(&cache->routes, NULL);
    free(cache->nameless);
    cache->nameless = NULL;
}

void cache_counts(struct cache *cache, struct cache_counts *counts)
{
    *counts = (struct cache_counts){
        .memory_bytes = count_of(&cache->charged),
        .memory_limit_bytes = count_of(&cache->limit),
        .evictions = count_of(&cache->evictions),
        .stores = count_of(&cache->stores),
        .invalidations = count_of(&cache->invalidations),
        .collapsed = count_of(&cache->collapsed),
        .premature = count_of(&cache->premature),
        .used = count_of(&cache->used),
        .pictures = near_count(cache),
    };
    for (uint32_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&cache->shards[i].lock);
        counts->entries += cache->shards[i].entries;
        pthread_mutex_unlock(&cache->shards[i].lock);
    }
}

bool cache_route_counts(struct cache *cache, struct str route, struct cache_counts *counts)
{
    uint32_t seen;
    struct route_stats *stats = find_route(cache, route, &seen);

    *counts = (struct cache_counts){.memory_limit_bytes = count_of(&cache->limit)};
    if (stats == NULL)
        return false;
    counts->entries = count_of(&stats->entries);
    counts->memory_bytes = count_of(&stats->bytes);
    counts->evictions = count_of(&stats->evictions);
    counts->stores = count_of(&stats->stores);
    counts->invalidations = count_of(&stats->invalidations);
    counts->premature = count_of(&stats->premature);
    counts->used = count_of(&stats->used);
    return true;
}
