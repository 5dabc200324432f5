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
 * cache_purge() walks and counts: off the workers. cache_invalidate() marks: for workers, and for
 * what other gateways purged. */
#include "cache/cache_priv.h"

enum { WALK_BUCKETS = 64, WALK_TAGS = 256 };

uint64_t cache_stamp(const struct cache *cache)
{
    return atomic_load(&cache->seq);
}

bool purge_covers(const struct cache *cache, const struct cache_entry *entry)
{
    if (atomic_load(&cache->url_slots[entry->url_place % URL_SLOTS]) > entry->stamp)
        return true;
    for (uint32_t i = 0; i < entry->tag_count; i++)
        if (atomic_load(&cache->tag_slots[entry_tags(entry)[i].cell->hash % TAG_SLOTS]) >
            entry->stamp)
            return true;
    return false;
}

bool cache_is_purged_since(const struct cache *cache, const struct cache_key *key, uint64_t stamp)
{
    return atomic_load(&cache->url_slots[key->url_hash % URL_SLOTS]) > stamp ||
           atomic_load(&cache->bans.newest) > stamp || atomic_load(&cache->newest_tag) > stamp;
}

/* ---- one purge on its way ---- */

struct purging {
    struct cache *cache;
    struct purge what;     /* text without host; host without port */
    struct str query;      /* of a URL */
    struct tag_cell *cell; /* of a tag; held */
    uint64_t seq, now_us, hash, give_up_us;
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
    count_add(&entry->route->invalidations, 1);
    index_unlink(shard, entry, &p->victims);
}

static bool host_fits(const struct purging *p, const struct cache_entry *entry)
{
    return p->what.host.len == 0 || str_ieq(p->what.host, entry_host(entry));
}

static void release_victims(struct purging *p)
{
    entry_release_list(p->victims);
    p->victims = NULL;
}

/* ---- by URL ---- */

static bool is_url(const struct purging *p, const struct cache_entry *entry)
{
    bool has_query = entry->path_query_len > entry->path_len;

    if (entry->url_place != url_place_of(p->hash) || !host_fits(p, entry) ||
        !str_eq(entry_path(entry), p->what.text) || has_query != (p->query.ptr != NULL))
        return false;
    return !has_query || str_eq(str_from(entry_path_query(entry), entry->path_len + 1u), p->query);
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

/* Shard lock. Looks at a few links from *tag on. False: that was the last. */
static bool purge_links(struct purging *p, struct shard *shard, struct tag_link *tag,
                        struct tag_link *bookmark)
{
    for (int i = 0; tag != NULL && i < WALK_TAGS; i++) {
        struct tag_link *next = tag->next;
        struct cache_entry *entry = tag->entry;

        if (entry != NULL && tag->cell == p->cell && host_fits(p, entry)) {
            /* its other links go with it; those in this bucket stand side by side */
            while (next != NULL && next->entry == entry)
                next = next->next;
            purge_entry(p, shard, entry);
        }
        tag = next;
    }
    if (tag == NULL)
        return false;
    tag_link_at(tag->back, bookmark);
    return true;
}

/* In steps, as below: a bookmark in the chain keeps the place while the lock is open. */
static void purge_tag_in(struct purging *p, struct shard *shard)
{
    struct tag_link bookmark = {.next = NULL}, *first;
    bool is_more;

    pthread_mutex_lock(&shard->lock);
    first = shard->tag_buckets > 0 ? shard->tags[p->cell->hash & (shard->tag_buckets - 1)] : NULL;
    shard->walkers++;
    do {
        is_more = purge_links(p, shard, first, &bookmark);
        if (!is_more)
            shard->walkers--;
        pthread_mutex_unlock(&shard->lock);
        release_victims(p);
        if (is_more) {
            pthread_mutex_lock(&shard->lock);
            first = bookmark.next;
            tag_unlink(&bookmark);
        }
    } while (is_more);
}

/* The slot refuses what is stored from here on and was fetched before; the walk finds the rest. */
static void purge_tag(struct purging *p)
{
    if (!p->what.dry_run)
        mark_raise(&p->cache->tag_slots[tag_hash_of(p->cache, p->what.text) % TAG_SLOTS], p->seq);
    if (!p->what.dry_run)
        mark_raise(&p->cache->newest_tag, p->seq);
    p->cell = cell_find(p->cache, p->what.text);
    if (p->cell == NULL)
        return;
    for (uint32_t i = 0; i < SHARDS; i++)
        purge_tag_in(p, &p->cache->shards[i]);
    cell_release(p->cache, p->cell);
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

/* In steps, so that workers wait for microseconds; the table keeps its size meanwhile. False: the
 * time for it was over. */
static bool purge_walk_in(struct purging *p, struct shard *shard)
{
    uint32_t bucket = 0;
    bool is_more = true, is_late = false;

    pthread_mutex_lock(&shard->lock);
    shard->walkers++;
    while (is_more) {
        for (uint32_t end = bucket + WALK_BUCKETS; bucket < end && bucket < shard->buckets;)
            purge_bucket(p, shard, bucket++);
        is_late = p->give_up_us != 0 && clock_mono_us() > p->give_up_us;
        is_more = bucket < shard->buckets && !is_late;
        if (!is_more)
            shard->walkers--;
        pthread_mutex_unlock(&shard->lock);
        release_victims(p);
        if (is_more)
            pthread_mutex_lock(&shard->lock);
    }
    return !is_late;
}

static bool purge_walk(struct purging *p)
{
    for (uint32_t i = 0; i < SHARDS; i++)
        if (!purge_walk_in(p, &p->cache->shards[i]))
            return i == SHARDS - 1;
    return true;
}

/* What is stored from here on, fetched before, must not come in: a ban says so, and covers what the
 * walk had no time for. It comes after the walk, because lookups would take away what the walk is
 * to count. */
static bool purge_by_walk(struct purging *p)
{
    bool is_complete = purge_walk(p);

    if (p->what.dry_run)
        return is_complete;
    if (p->what.kind == PURGE_ALL && p->what.host.len == 0 && !p->what.soft)
        ban_everything(p->cache);
    else
        ban_add(p->cache, p->what.host, p->what.kind == PURGE_ALL ? STR("*") : p->what.text,
                p->what.soft);
    return is_complete;
}

/* ---- doors ---- */

/* False: the walk gave up; what it had not seen is purged all the same. */
static bool purge_run(struct purging *p)
{
    switch (p->what.kind) {
    case PURGE_URL:
        p->hash = url_hash_of(p->cache, p->what.text, p->query);
        purge_url(p);
        break;
    case PURGE_TAG:
    case PURGE_USER:
        purge_tag(p);
        break;
    case PURGE_ALL:
    case PURGE_GLOB:
        return purge_by_walk(p);
    }
    return true;
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

    *result = (struct purge_result){.is_done = false};
    p.result = result;
    if (purge->walk_us > 0)
        p.give_up_us = clock_mono_us() + purge->walk_us;
    if (purge->kind == PURGE_URL)
        split_url(&p);
    if (purge->kind == PURGE_GLOB)
        p.what.text = glob_spread(purge->text, arena);
    if (purge->kind == PURGE_USER)
        p.what.text = arena_printf(arena, USER_TAG_PREFIX "%.*s", STR_ARG(purge->text));
    if (p.what.host.len > 0 && http_parse_authority(p.what.host, &host, &port))
        p.what.host = host;
    if (purge->kind != PURGE_ALL && p.what.text.ptr == NULL)
        return; /* out of memory: nothing was purged */
    if (!purge->dry_run)
        p.seq = atomic_fetch_add(&cache->seq, 1) + 1;
    result->complete = purge_run(&p);
    result->is_done = true;
}

/* ---- for workers ---- */

static void invalidate_url(struct cache *cache, const struct purge *purge)
{
    struct purge_result result = {0};
    struct http_target target = http_split_target(purge->text);
    struct purging p = {.cache = cache, .what = *purge, .result = &result, .query = target.query};

    p.what.text = target.path;
    p.seq = atomic_fetch_add(&cache->seq, 1) + 1;
    (void)purge_run(&p);
}

/* Without memory for the tag's name more is forgotten, never less. */
static void invalidate_user(struct cache *cache, const struct purge *purge)
{
    struct buf tag = buf_new(1 << 16);

    buf_add_str(&tag, STR(USER_TAG_PREFIX));
    buf_add_str(&tag, purge->text);
    if (tag.is_broken)
        ban_everything(cache);
    else
        ban_tag(cache, buf_str(&tag), purge->soft);
    buf_free(&tag);
}

void cache_invalidate(struct cache *cache, const struct purge *purge)
{
    switch (purge->kind) {
    case PURGE_URL:
        invalidate_url(cache, purge);
        return;
    case PURGE_TAG:
        ban_tag(cache, purge->text, purge->soft);
        return;
    case PURGE_USER:
        invalidate_user(cache, purge);
        return;
    case PURGE_GLOB:
        ban_add(cache, purge->host, purge->text, purge->soft);
        return;
    case PURGE_ALL:
        if (purge->host.len == 0 && !purge->soft)
            ban_everything(cache);
        else
            ban_add(cache, purge->host, STR("*"), purge->soft);
        return;
    }
}

struct str cache_group_tag(const struct cache_key *key, struct str group, struct arena *arena)
{
    uint16_t port = (uint16_t)((uint8_t)key->text.ptr[2] | (uint8_t)key->text.ptr[3] << 8);

    return arena_printf(arena, "%c%s://%.*s:%u%c%.*s", GROUP_TAG_MARK,
                        key->text.ptr[0] == 's' ? "https" : "http", STR_ARG(key->host), port,
                        GROUP_TAG_MARK, STR_ARG(group));
}
