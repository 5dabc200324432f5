/* list.c - what is in the cache, page by page, for operators.
 *
 * A cursor is a place in the tables, so a page costs what it shows and nothing is kept
 * between pages. What is there from the first page to the last is listed, whatever comes
 * and goes meanwhile. Admin's thread; locks are held for one bucket. */
#include "cache/cache_priv.h"

enum { MOST_VARIANT_BYTES = 200 };

/* The variant's values, readable: what is no printable character becomes a space. */
static struct str variant_text(const struct cache_entry *entry, struct arena *arena)
{
    struct str values = entry_vary_key(entry);
    size_t len = values.len < MOST_VARIANT_BYTES ? values.len : (size_t)MOST_VARIANT_BYTES;
    char *text = arena_take(arena, len);

    if (text == NULL)
        return STR_NONE;
    for (size_t i = 0; i < len; i++) {
        char c = values.ptr[i];

        text[i] = c >= 0x20 && c < 0x7f ? c : ' ';
    }
    return str_at(text, len);
}

struct str entry_label(const struct cache_entry *entry, struct arena *arena)
{
    struct str label = str_at(entry_host(entry).ptr, entry_label_len(entry));
    struct str user = entry_user(entry), names = entry_vary_names(entry), text;

    if (names.len == 0 && user.len == 0)
        return arena_copy(arena, label);
    if (names.len == 0)
        return arena_printf(arena, "%.*s [%.*s]", STR_ARG(label), STR_ARG(user));
    text = variant_text(entry, arena);
    return arena_printf(arena, "%.*s%s%.*s%s {%.*s: %.*s}", STR_ARG(label),
                        user.len > 0 ? " [" : "", STR_ARG(user), user.len > 0 ? "]" : "",
                        STR_ARG(names), STR_ARG(text));
}

static struct str tags_json(const struct cache_entry *entry, struct arena *arena)
{
    struct buf json = buf_new(1 << 19); /* the most and longest tags, escaped */
    bool is_first = true;
    struct str copy;

    buf_add_char(&json, '[');
    for (uint32_t i = 0; i < entry->tag_count; i++) {
        struct str tag = cell_text(entry_tags(entry)[i].cell);

        if (tag.ptr[0] == GROUP_TAG_MARK)
            continue; /* a group's second name, for its origin alone */
        if (!is_first)
            buf_add_char(&json, ',');
        is_first = false;
        buf_add_json(&json, tag);
    }
    buf_add_char(&json, ']');
    copy = json.is_broken ? STR("[]") : arena_copy(arena, buf_str(&json));
    buf_free(&json);
    return copy;
}

static bool write_item(const struct cache_entry *entry, uint64_t now_us, struct arena *arena,
                       struct cache_item *item)
{
    *item = (struct cache_item){
        .meta = cache_entry_meta(entry),
        .is_soft_purged = cache_entry_is_soft_purged(entry),
        .key = entry_label(entry, arena),
        .ttl_s = cache_entry_ttl_s(entry, now_us),
        .age_s = cache_entry_age_s(entry, now_us),
        .size = entry_size(entry),
        .hits = atomic_load_explicit(&entry->hits, memory_order_relaxed),
        .tags = tags_json(entry, arena),
        .status = entry->status,
    };
    item->meta.body.ptr = NULL; /* the entry may go */
    item->route = arena_copy(arena, str_at(entry->route->name, entry->route->name_len));
    return item->key.ptr != NULL && item->tags.ptr != NULL && item->route.ptr != NULL;
}

/* A place in the tables. Buckets are visited by their bits reversed: when a table doubles, the two
 * that a bucket becomes follow each other where it was, so a page that comes later misses nothing
 * and repeats one bucket at most. */
enum { PLACE_BITS = 24, INDEX_BITS = 28, ROOM_BITS = 5 };

struct page {
    struct cache *cache;
    struct str glob, host;
    uint64_t now_us, shard, place, index; /* the next place to look at; index: in a long bucket */
    uint64_t room_bits;                   /* of the table that index is of */
    struct arena *arena;
    struct cache_item *items;
    uint32_t count, limit;
    bool is_full;
};

static uint32_t bucket_of_place(uint64_t place)
{
    uint32_t bucket = 0;

    for (int i = 0; i < PLACE_BITS; i++)
        bucket |= (uint32_t)(place >> i & 1) << (PLACE_BITS - 1 - i);
    return bucket;
}

static bool is_listed(const struct page *page, struct cache_entry *entry)
{
    return (page->host.len == 0 || str_ieq(page->host, entry_host(entry))) &&
           glob_fits(page->glob, entry) && ban_check(page->cache, entry) != BAN_HARD;
}

/* A bucket is listed whole or left to the next page, unless it is longer than any page. */
static bool fits(const struct page *page, struct cache_entry *entry)
{
    uint32_t count = 0, room = page->limit - page->count;

    if (page->count == 0)
        return true;
    for (; entry != NULL && count <= room; entry = entry->url_next)
        count += is_listed(page, entry);
    return count <= room;
}

/* Shard lock. From page->index on. */
static void list_bucket(struct page *page, const struct shard *shard)
{
    struct cache_entry *entry = shard->urls[bucket_of_place(page->place)];

    page->is_full = !fits(page, entry);
    for (uint64_t i = 0; entry != NULL && !page->is_full; entry = entry->url_next, i++) {
        if (i < page->index || !is_listed(page, entry))
            continue;
        page->is_full = page->count == page->limit ||
                        !write_item(entry, page->now_us, page->arena, &page->items[page->count]);
        if (page->is_full)
            page->index = i;
        else
            page->count++;
    }
    if (page->is_full)
        return;
    page->index = 0;
    page->place += (UINT64_C(1) << PLACE_BITS) / shard->buckets;
}

/* Shard lock. False: the shard is through. */
static bool list_some(struct page *page, const struct shard *shard)
{
    uint64_t bits = 0;

    if (shard->buckets == 0 || page->place >= UINT64_C(1) << PLACE_BITS)
        return false;
    while (UINT32_C(1) << bits < shard->buckets)
        bits++;
    if (bits != page->room_bits)
        page->index = 0; /* it grew meanwhile: this bucket once more */
    page->room_bits = bits;
    list_bucket(page, shard);
    return true;
}

static void list_shards(struct page *page)
{
    for (;;) {
        struct shard *shard = &page->cache->shards[page->shard];
        bool is_more = true;

        while (is_more && !page->is_full) {
            pthread_mutex_lock(&shard->lock);
            is_more = list_some(page, shard);
            pthread_mutex_unlock(&shard->lock);
        }
        if (page->is_full || page->shard == SHARDS - 1)
            return;
        page->shard++;
        page->place = page->index = page->room_bits = 0;
    }
}

uint32_t cache_list(struct cache *cache, struct str glob, struct str host, uint64_t now_us,
                    uint64_t cursor, uint32_t limit, struct arena *arena, struct cache_item *items,
                    uint64_t *next)
{
    struct page page = {.cache = cache,
                        .glob = glob_spread(glob, arena),
                        .host = host,
                        .now_us = now_us,
                        .shard = cursor >> (INDEX_BITS + PLACE_BITS + ROOM_BITS),
                        .room_bits = cursor >> (INDEX_BITS + PLACE_BITS) & ((1 << ROOM_BITS) - 1),
                        .place = cursor >> INDEX_BITS & ((1 << PLACE_BITS) - 1),
                        .index = cursor & ((1 << INDEX_BITS) - 1),
                        .arena = arena,
                        .items = items,
                        .limit = limit};

    *next = 0;
    if (page.glob.ptr == NULL || page.shard >= SHARDS)
        return 0;
    list_shards(&page);
    if (page.is_full)
        *next = ((page.shard << ROOM_BITS | page.room_bits) << PLACE_BITS | page.place)
                    << INDEX_BITS |
                (page.index & ((1 << INDEX_BITS) - 1));
    return page.count;
}
