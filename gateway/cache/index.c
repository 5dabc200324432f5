/* index.c - 64 shards of hash tables from keys, URLs and tags to entries.
 *
 * Everything is linked through the entries themselves, so storing allocates nothing
 * under a lock (but when a table doubles). Variants of one key stand side by
 * side in their chain, the newest first, and all have the Vary names of the newest: when an origin
 * changes its Vary, the older ones leave, because the names they were chosen by no longer say who
 * may have them. A lookup of a URL that does not vary is one lock, one chain, one comparison of a
 * hash and of the key's text. Any thread. */
#include "cache/cache_priv.h"

#include <stdlib.h>

enum { FIRST_BUCKETS = 16, MOST_BUCKETS = 1 << 24 };

struct shard *shard_of(struct cache *cache, uint64_t url_hash)
{
    return &cache->shards[url_hash >> 58];
}
_Static_assert(SHARDS == 64, "shard_of() takes the upper six bits");

/* There are twice as many buckets for keys as for URLs: every lookup walks one of the former. */
static struct cache_entry **key_bucket(const struct shard *shard, uint64_t hash)
{
    return &shard->keys[hash & (2 * (size_t)shard->buckets - 1)];
}

/* The place of the pointer to the newest variant; it points to NULL when there is none. */
static struct cache_entry **find_key(const struct shard *shard, uint64_t hash, struct str key)
{
    struct cache_entry **at = key_bucket(shard, hash);

    while (*at != NULL && ((*at)->hash != hash || !str_eq(entry_key(*at), key)))
        at = &(*at)->next_key;
    return at;
}

bool index_knows(const struct shard *shard, uint64_t hash)
{
    const struct cache_entry *entry = shard->buckets > 0 ? *key_bucket(shard, hash) : NULL;

    while (entry != NULL && entry->hash != hash)
        entry = entry->next_key;
    return entry != NULL;
}

/* ---- tables ---- */

static void link_url(struct shard *shard, struct cache_entry *entry)
{
    struct cache_entry **bucket = &shard->urls[entry->url_place & (shard->buckets - 1)];

    entry->url_next = *bucket;
    entry->url_back = bucket;
    if (*bucket != NULL)
        (*bucket)->url_back = &entry->url_next;
    *bucket = entry;
}

void tag_link_at(struct tag_link **place, struct tag_link *tag)
{
    tag->next = *place;
    tag->back = place;
    if (*place != NULL)
        (*place)->back = &tag->next;
    *place = tag;
}

void tag_unlink(struct tag_link *tag)
{
    *tag->back = tag->next;
    if (tag->next != NULL)
        tag->next->back = tag->back;
}

static void link_tag(struct shard *shard, struct tag_link *tag)
{
    tag_link_at(&shard->tags[tag->cell->hash & (shard->tag_buckets - 1)], tag);
}

/* A chain to the new buckets; the variants of one key stay side by side. */
static void move_keys(struct shard *shard, struct cache_entry *first)
{
    while (first != NULL) {
        struct cache_entry *last = first, *rest, **bucket = key_bucket(shard, first->hash);

        while (last->has_older)
            last = last->next_key;
        rest = last->next_key;
        last->next_key = *bucket;
        *bucket = first;
        first = rest;
    }
}

/* Doubles keys and urls. Without memory the chains grow instead. */
static void grow_buckets(struct shard *shard)
{
    uint32_t old = shard->buckets, count = old > 0 ? old * 2 : FIRST_BUCKETS;
    struct cache_entry **old_keys = shard->keys, **old_urls = shard->urls;
    struct cache_entry **keys = calloc(2 * (size_t)count, sizeof(struct cache_entry *));
    struct cache_entry **urls = calloc(count, sizeof(struct cache_entry *));

    if (keys == NULL || urls == NULL) {
        free(keys);
        free(urls);
        return;
    }
    shard->keys = keys;
    shard->urls = urls;
    shard->buckets = count;
    for (uint32_t i = 0; i < 2 * old; i++)
        move_keys(shard, old_keys[i]);
    for (uint32_t i = 0; i < old; i++) {
        for (struct cache_entry *next, *entry = old_urls[i]; entry != NULL; entry = next) {
            next = entry->url_next;
            link_url(shard, entry);
        }
    }
    free(old_keys);
    free(old_urls);
}

static void grow_tags(struct shard *shard)
{
    uint32_t old = shard->tag_buckets, count = old > 0 ? old * 2 : FIRST_BUCKETS;
    struct tag_link **old_tags = shard->tags;
    struct tag_link **tags = calloc(count, sizeof(struct tag_link *));

    if (tags == NULL)
        return;
    shard->tags = tags;
    shard->tag_buckets = count;
    for (uint32_t i = 0; i < old; i++) {
        for (struct tag_link *next, *tag = old_tags[i]; tag != NULL; tag = next) {
            next = tag->next;
            link_tag(shard, tag);
        }
    }
    free(old_tags);
}

/* Room for one entry more. False: the very first tables could not be had. */
static bool make_room(struct shard *shard, const struct cache_entry *entry)
{
    bool may_grow = shard->walkers == 0;

    if (shard->buckets == 0 ||
        (shard->entries >= 2 * shard->buckets && may_grow && shard->buckets < MOST_BUCKETS / 2))
        grow_buckets(shard);
    if (entry->tag_count > 0 &&
        (shard->tag_buckets == 0 ||
         (shard->tag_links >= shard->tag_buckets && may_grow && shard->tag_buckets < MOST_BUCKETS)))
        grow_tags(shard);
    return shard->buckets > 0 && (entry->tag_count == 0 || shard->tag_buckets > 0);
}

/* ---- in and out ---- */

static void unlink_key(struct shard *shard, struct cache_entry *entry)
{
    struct cache_entry **at = find_key(shard, entry->hash, entry_key(entry)), *newer = NULL;

    while (*at != NULL && *at != entry) {
        newer = *at;
        at = &newer->next_key;
    }
    CHECK(*at == entry && (newer == NULL || newer->has_older));
    *at = entry->next_key;
    if (newer != NULL)
        newer->has_older = entry->has_older;
}

void index_unlink(struct shard *shard, struct cache_entry *entry, struct cache_entry **victims)
{
    CHECK(entry->is_linked);
    entry->is_linked = false;
    unlink_key(shard, entry);
    *entry->url_back = entry->url_next;
    if (entry->url_next != NULL)
        entry->url_next->url_back = entry->url_back;
    for (uint32_t i = 0; i < entry->tag_count; i++)
        tag_unlink(&entry_tags(entry)[i]);
    queue_remove(shard, entry);
    shard->entries--;
    shard->tag_links -= entry->tag_count;
    shard->bytes -= entry_size(entry);
    count_take(&entry->route->entries, 1);
    count_take(&entry->route->bytes, entry_size(entry));
    entry->has_older = false;
    entry->next_key = *victims;
    *victims = entry;
}

void index_drop(struct cache *cache, struct cache_entry *entry)
{
    struct shard *shard = shard_of_entry(entry);
    struct cache_entry *victims = NULL;

    pthread_mutex_lock(&shard->lock);
    if (entry->is_linked) {
        index_unlink(shard, entry, &victims);
        count_add(&cache->invalidations, 1);
        count_add(&entry->route->invalidations, 1);
    }
    pthread_mutex_unlock(&shard->lock);
    entry_release_list(victims);
}

void cache_drop(struct cache *cache, struct cache_entry *entry)
{
    index_drop(cache, entry);
}

/* Unlinks the variants that the new one replaces or pushes out: the same values, other Vary names,
 * the oldest of too many. The one with the same values is returned. */
static struct cache_entry *clear_place(struct shard *shard, const struct cache_entry *entry,
                                       struct cache_entry **victims)
{
    struct cache_entry *variant = *find_key(shard, entry->hash, entry_key(entry)), *same = NULL;
    int count = 0;

    while (variant != NULL) {
        struct cache_entry *older = entry_older(variant);
        bool is_same_rule = str_eq(entry_vary_names(variant), entry_vary_names(entry));
        bool is_same = is_same_rule && str_eq(entry_vary_key(variant), entry_vary_key(entry));

        if (is_same)
            same = variant;
        if (!is_same_rule || is_same || ++count >= MAX_VARIANTS)
            index_unlink(shard, variant, victims);
        variant = older;
    }
    return same;
}

static void link_entry(struct shard *shard, struct cache_entry *entry,
                       const struct cache_entry *replaced)
{
    struct cache_entry **newest = find_key(shard, entry->hash, entry_key(entry));

    entry->has_older = *newest != NULL;
    entry->next_key = *newest; /* NULL: the chain ends here */
    *newest = entry;
    link_url(shard, entry);
    for (uint32_t i = 0; i < entry->tag_count; i++)
        link_tag(shard, &entry_tags(entry)[i]);
    queue_add(shard, entry, replaced);
    shard->entries++;
    shard->tag_links += entry->tag_count;
    shard->bytes += entry_size(entry);
    count_add(&entry->route->entries, 1);
    count_add(&entry->route->bytes, entry_size(entry));
    count_add(&entry->route->stores, 1);
    entry->is_linked = true;
}

bool index_insert(struct cache *cache, struct cache_entry *entry,
                  const struct cache_entry *instead_of)
{
    struct cache_replaced unread;

    return index_replace(cache, entry, instead_of, &unread);
}

/* No lock: the old one's references are ours still, and a body never changes. What a soft purge
 * had made doubtful was fetched because of that, and tells nothing of how often it changes. */
static void compare(const struct cache_entry *old, const struct cache_entry *entry,
                    struct cache_replaced *replaced)
{
    struct str body;

    if (old == NULL || old->status != entry->status || cache_entry_is_soft_purged(old))
        return;
    body = entry_body(old);
    *replaced = (struct cache_replaced){
        .is_any = true,
        .has_same_body = str_eq(body, entry_body(entry)),
        .interval_us = entry->stored_us > old->stored_us ? entry->stored_us - old->stored_us : 0,
        .body_bytes = body.len,
        .lifetime_s = old->lifetime_s,
    };
}

bool index_replace(struct cache *cache, struct cache_entry *entry,
                   const struct cache_entry *instead_of, struct cache_replaced *replaced)
{
    struct shard *shard = shard_of_entry(entry);
    struct cache_entry *victims = NULL, *same = NULL;
    bool is_stored = false;

    *replaced = (struct cache_replaced){.is_any = false};
    if (ban_check(cache, entry) != BAN_CLEAR)
        return false; /* one that comes after this is met by the lookups */
    pthread_mutex_lock(&shard->lock);
    /* Under the lock: a purge writes its mark before it takes the lock, so either we see the mark,
     * or it finds us. */
    if ((instead_of == NULL || instead_of->is_linked) && !purge_covers(cache, entry) &&
        make_room(shard, entry)) {
        same = clear_place(shard, entry, &victims);
        cache_entry_hold(entry);
        link_entry(shard, entry, same);
        is_stored = true;
    }
    pthread_mutex_unlock(&shard->lock);
    compare(same, entry, replaced);
    entry_release_list(victims);
    if (is_stored)
        count_add(&cache->stores, 1);
    return is_stored;
}

/* ---- finding ---- */

enum fit { FIT_ANY, FIT_SAME, FIT_LANGUAGE };

/* FIT_SAME: the variant with these values. FIT_LANGUAGE: one whose values are others, but which is
 * in the language that this request wants most. */
static bool fits(const struct cache_entry *entry, enum fit fit, struct str names, struct str values)
{
    if (fit == FIT_ANY)
        return true;
    if (!str_eq(entry_vary_names(entry), names))
        return false;
    return fit == FIT_SAME
               ? str_eq(entry_vary_key(entry), values)
               : http_vary_language_fits(entry_vary_key(entry), values,
                                         cache_entry_field(entry, HTTP_CONTENT_LANGUAGE));
}

/* The newest that fits, held. */
static struct cache_entry *find(struct shard *shard, const struct cache_key *key, enum fit fit,
                                struct str names, struct str values)
{
    struct cache_entry *entry = NULL;

    pthread_mutex_lock(&shard->lock);
    if (shard->buckets > 0)
        entry = *find_key(shard, key->hash.lo, key->text);
    while (entry != NULL && !fits(entry, fit, names, values))
        entry = entry_older(entry);
    if (entry != NULL)
        cache_entry_hold(entry);
    pthread_mutex_unlock(&shard->lock);
    return entry;
}

/* *newest is released; the one that fits comes back. */
static struct cache_entry *select_variant(struct shard *shard, const struct cache_key *key,
                                          struct cache_entry **newest,
                                          const struct http_fields *request, bool normalize,
                                          struct arena *arena)
{
    struct str names = entry_vary_names(*newest);
    struct buf values = buf_new(MAX_VARY_BYTES);
    struct cache_entry *entry = NULL;

    if (http_vary_key(&values, names, request, normalize, arena))
        entry = str_eq(buf_str(&values), entry_vary_key(*newest))
                    ? cache_entry_hold(*newest)
                    : find(shard, key, FIT_SAME, names, buf_str(&values));
    if (entry == NULL && normalize && !values.is_broken)
        entry = find(shard, key, FIT_LANGUAGE, names, buf_str(&values));
    buf_free(&values);
    cache_entry_release(newest);
    return entry;
}

struct cache_entry *cache_find(struct cache *cache, const struct cache_key *key,
                               const struct http_fields *request, bool normalize_vary,
                               struct arena *arena, bool *vary_missed)
{
    struct shard *shard = shard_of(cache, key->url_hash);
    struct cache_entry *entry = find(shard, key, FIT_ANY, STR_NONE, STR_NONE);

    *vary_missed = false;
    if (entry == NULL)
        return NULL;
    if (entry->vary_names_len > 0) {
        entry = select_variant(shard, key, &entry, request, normalize_vary, arena);
        *vary_missed = entry == NULL;
    }
    if (entry != NULL && ban_check(cache, entry) == BAN_HARD) {
        index_drop(cache, entry);
        cache_entry_release(&entry);
    }
    return entry;
}

/* ---- after a 304 ---- */

struct cache_entry *cache_freshen(struct cache *cache, struct cache_entry *old,
                                  const struct http_fields *update,
                                  const struct cache_intent *intent)
{
    struct arena *arena = arena_new(4096, 1 << 20);
    struct cache_entry *entry = NULL;
    struct http_fields before, fields;

    if (arena == NULL)
        return NULL;
    if (cache_entry_fields(old, arena, &before) && http_freshen(&before, update, arena, &fields))
        entry = entry_new(cache, old->status, &fields, intent, 0);
    if (entry != NULL) {
        entry_share_body(entry, old);
        if (!index_insert(cache, entry, old))
            cache_entry_release(&entry);
        else
            entry_keep_hits(entry, old);
    }
    arena_free(&arena);
    return entry;
}
