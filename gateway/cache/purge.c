/* purge.c - taking out what is no longer true.
 *
 * Each purge draws a number from one sequence. It writes the number where a store
 * will look (the slot of the URL or the tag, or the bans), and only then takes the
 * shard's lock and removes what is there. A store compares its own number, drawn
 * when its fetch began, under the same lock: so an answer that the origin made before
 * the purge is refused if it comes after it and found if it came before. Slots are
 * shared by hashes, which costs a needless refetch now and then and never keeps an
 * old answer.
 *
 * cache_purge() walks: the main thread. The others are for workers. */
#include "cache/cache_priv.h"

enum { WALK_BUCKETS = 64 };

uint64_t cache_stamp(const struct cache *cache)
{
    return atomic_load(&cache->seq);
}

bool purge_covers(const struct cache *cache, const struct cache_entry *entry)
{
    if (atomic_load(&cache->url_slots[entry->url_hash % URL_SLOTS]) > entry->stamp)
        return true;
    for (uint32_t i = 0; i < entry->tag_count; i++)
        if (atomic_load(&cache->tag_slots[entry->tags[i].hash % TAG_SLOTS]) > entry->stamp)
            return true;
    return false;
}

/* ---- one purge on its way ---- */

struct purging {
    struct cache *cache;
    struct purge what; /* text without host; host without port */
    struct str query;  /* of a URL */
    uint64_t seq, now_us, hash;
    struct arena *arena; /* NULL: nobody reads the result's samples */
    struct purge_result *result;
    struct cache_entry *victims;
};

static void count_match(struct purging *p, const struct cache_entry *entry)
{
    struct purge_result *result = p->result;

    if (entry_is_dead(entry, p->now_us))
        return;
    result->matched++;
    result->bytes += entry_size(entry);
    if (p->arena == NULL || result->sample_count == COUNT_OF(result->sample))
        return;
    struct str label = entry_label(entry, p->arena);
    if (label.ptr != NULL)
        result->sample[result->sample_count++] = label;
}

/* Shard lock. The entry fits: it is counted and, unless only asked for, purged. */
static void purge_entry(struct purging *p, struct shard *shard, struct cache_entry *entry)
{
    bool is_banned = ban_check(p->cache, entry) == BAN_HARD;

    if (!is_banned)
        count_match(p, entry);
    if (p->what.dry_run)
        return;
    if (p->what.soft && !is_banned) {
        atomic_store_explicit(&entry->is_soft_purged, true, memory_order_relaxed);
        return;
    }
    count_add(&p->cache->invalidations, 1);
    if (entry->route != NULL)
        count_add(&entry->route->invalidations, 1);
    index_unlink(shard, entry, &p->victims);
}

static bool host_fits(const struct purging *p, const struct cache_entry *entry)
{
    return p->what.host.len == 0 || str_ieq(p->what.host, entry->host);
}

static void release_victims(struct purging *p)
{
    entry_release_list(p->victims);
    p->victims = NULL;
}

/* ---- by URL ---- */

static bool is_url(const struct purging *p, const struct cache_entry *entry)
{
    struct str query = STR_NONE;

    if (entry->url_hash != p->hash || !host_fits(p, entry) || !str_eq(entry->path, p->what.text))
        return false;
    if (entry->path_query.len > entry->path.len)
        query = str_from(entry->path_query, entry->path.len + 1);
    return (entry->path_query.len > entry->path.len) == (p->query.ptr != NULL) &&
           str_eq(query, p->query);
}

static void purge_url(struct purging *p)
{
    struct shard *shard = shard_of(p->cache, p->hash);

    if (!p->what.dry_run)
        mark_raise(&p->cache->url_slots[p->hash % URL_SLOTS], p->seq);
    pthread_mutex_lock(&shard->lock);
    if (shard->buckets > 0) {
        struct cache_entry *entry = shard->urls[p->hash & (shard->buckets - 1)];

        while (entry != NULL) {
            struct cache_entry *next = entry->url_next;

            if (is_url(p, entry))
                purge_entry(p, shard, entry);
            entry = next;
        }
    }
    pthread_mutex_unlock(&shard->lock);
    release_victims(p);
}

/* ---- by tag ---- */

static void purge_tag_in(struct purging *p, struct shard *shard)
{
    struct tag_link *tag;

    pthread_mutex_lock(&shard->lock);
    tag = shard->tag_buckets > 0 ? shard->tags[p->hash & (shard->tag_buckets - 1)] : NULL;
    while (tag != NULL) {
        struct tag_link *next = tag->next;
        struct cache_entry *entry = tag->entry;

        if (tag->hash == p->hash && str_eq(tag->text, p->what.text) && host_fits(p, entry)) {
            /* its other links go with it; those in this bucket stand side by side */
            while (next != NULL && next->entry == entry)
                next = next->next;
            purge_entry(p, shard, entry);
        }
        tag = next;
    }
    pthread_mutex_unlock(&shard->lock);
    release_victims(p);
}

static void purge_tag(struct purging *p)
{
    if (!p->what.dry_run)
        mark_raise(&p->cache->tag_slots[p->hash % TAG_SLOTS], p->seq);
    for (uint32_t i = 0; i < SHARDS; i++)
        purge_tag_in(p, &p->cache->shards[i]);
}

/* ---- by walking ---- */

static void purge_bucket(struct purging *p, struct shard *shard, uint32_t bucket)
{
    struct cache_entry *entry = shard->urls[bucket];

    while (entry != NULL) {
        struct cache_entry *next = entry->url_next;

        if (host_fits(p, entry) && (p->what.kind == PURGE_ALL || glob_fits(p->what.text, entry)))
            purge_entry(p, shard, entry);
        entry = next;
    }
}

/* In steps, so that workers wait for microseconds; the table keeps its size meanwhile. */
static void purge_walk(struct purging *p)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &p->cache->shards[i];
        uint32_t bucket = 0;
        bool is_more = true;

        pthread_mutex_lock(&shard->lock);
        shard->walkers++;
        while (is_more) {
            for (uint32_t end = bucket + WALK_BUCKETS; bucket < end && bucket < shard->buckets;)
                purge_bucket(p, shard, bucket++);
            is_more = bucket < shard->buckets;
            if (!is_more)
                shard->walkers--;
            pthread_mutex_unlock(&shard->lock);
            release_victims(p);
            if (is_more)
                pthread_mutex_lock(&shard->lock);
        }
    }
}

/* What is stored from here on, fetched before, must not come in: a ban says so. It comes after the
 * walk's counting for hard purges too, because lookups would count down what the walk is to count.
 */
static void purge_by_walk(struct purging *p)
{
    struct str glob = p->what.kind == PURGE_ALL ? STR("*") : p->what.text;

    purge_walk(p);
    if (p->what.dry_run)
        return;
    if (p->what.kind == PURGE_ALL && p->what.host.len == 0 && !p->what.soft)
        ban_everything(p->cache, p->seq);
    else
        ban_add(p->cache, p->seq, p->what.host, glob, p->what.soft);
}

/* ---- doors ---- */

static void purge_run(struct purging *p)
{
    switch (p->what.kind) {
    case PURGE_URL:
        p->hash = url_hash_of(p->cache, p->what.text, p->query);
        purge_url(p);
        return;
    case PURGE_TAG:
    case PURGE_USER:
        p->hash = tag_hash_of(p->cache, p->what.text);
        purge_tag(p);
        return;
    case PURGE_ALL:
    case PURGE_GLOB:
        purge_by_walk(p);
        return;
    }
}

/* "host/path?query" to its parts; the path as lookups normalise it. */
static void split_url(struct purging *p)
{
    struct http_target target;
    struct str normal;
    size_t slash;

    if (str_starts(p->what.text, STR("http://")) || str_starts(p->what.text, STR("https://")))
        p->what.text = str_from(p->what.text, str_find(p->what.text, '/') + 2);
    slash = str_find(p->what.text, '/');
    if (slash > 0 && slash < p->what.text.len)
        p->what.host = str_at(p->what.text.ptr, slash);
    target = http_split_target(str_from(p->what.text, slash));
    if (http_normalize_path(p->arena, target.path, &normal) == HTTP_SOUND)
        target.path = normal;
    p->what.text = target.path;
    p->query = target.query;
}

void cache_purge(struct cache *cache, const struct purge *purge, uint64_t now_us,
                 struct arena *arena, struct purge_result *result)
{
    struct purging p = {.cache = cache, .what = *purge, .now_us = now_us, .arena = arena};
    struct str host;
    uint16_t port;

    *result = (struct purge_result){.complete = false};
    p.result = result;
    if (purge->kind == PURGE_URL)
        split_url(&p);
    if (purge->kind == PURGE_GLOB)
        p.what.text = glob_spread(purge->text, arena);
    if (purge->kind == PURGE_USER)
        p.what.text = arena_printf(arena, USER_TAG_PREFIX "%.*s", STR_ARG(purge->text));
    if (p.what.host.len > 0 && http_parse_authority(p.what.host, &host, &port))
        p.what.host = host;
    if (purge->kind != PURGE_ALL && p.what.text.ptr == NULL)
        return; /* out of memory: nothing was purged, and the count says so */
    if (!purge->dry_run)
        p.seq = atomic_fetch_add(&cache->seq, 1) + 1;
    purge_run(&p);
    result->complete = true;
}

void cache_invalidate_url(struct cache *cache, struct str host, struct str path_and_query)
{
    struct purge_result result = {0};
    struct purging p = {.cache = cache, .result = &result, .what = {.kind = PURGE_URL}};
    struct http_target target = http_split_target(path_and_query);

    p.what.host = host;
    p.what.text = target.path;
    p.query = target.query;
    p.seq = atomic_fetch_add(&cache->seq, 1) + 1;
    purge_run(&p);
}

void cache_invalidate_glob(struct cache *cache, struct str host, struct str glob)
{
    ban_add(cache, atomic_fetch_add(&cache->seq, 1) + 1, host, glob, false);
}
