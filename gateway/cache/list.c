/* list.c - what is in the cache, page by page, for operators.
 *
 * A cursor is a place in the tables (shard, bucket, entry of the bucket), so a page
 * costs what it shows and nothing is kept between pages; while entries come and go a
 * page may miss or repeat one. Admin's thread; locks are held for one bucket. */
#include "cache/cache_priv.h"

enum { MOST_VARIANT_BYTES = 200 };

/* The variant's values, readable: what is no printable character becomes a space. */
static struct str variant_text(const struct cache_entry *entry, struct arena *arena)
{
    size_t len =
        entry->vary_key.len < MOST_VARIANT_BYTES ? entry->vary_key.len : (size_t)MOST_VARIANT_BYTES;
    char *text = arena_take(arena, len);

    if (text == NULL)
        return STR_NONE;
    for (size_t i = 0; i < len; i++) {
        char c = entry->vary_key.ptr[i];

        text[i] = c >= 0x20 && c < 0x7f ? c : ' ';
    }
    return str_at(text, len);
}

struct str entry_label(const struct cache_entry *entry, struct arena *arena)
{
    struct str text;

    if (entry->vary_names.len == 0 && entry->user.len == 0)
        return arena_copy(arena, entry->label);
    if (entry->vary_names.len == 0)
        return arena_printf(arena, "%.*s [%.*s]", STR_ARG(entry->label), STR_ARG(entry->user));
    text = variant_text(entry, arena);
    return arena_printf(arena, "%.*s%s%.*s%s {%.*s: %.*s}", STR_ARG(entry->label),
                        entry->user.len > 0 ? " [" : "", STR_ARG(entry->user),
                        entry->user.len > 0 ? "]" : "", STR_ARG(entry->vary_names), STR_ARG(text));
}

static struct str tags_json(const struct cache_entry *entry, struct arena *arena)
{
    struct buf json = buf_new(1 << 19); /* the most and longest tags, escaped */
    bool is_first = true;
    struct str copy;

    buf_add_char(&json, '[');
    for (uint32_t i = 0; i < entry->tag_count; i++) {
        struct str tag = cell_text(entry->tags[i].cell);

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
        .key = entry_label(entry, arena),
        .ttl_s = cache_entry_ttl_s(entry, now_us),
        .age_s = cache_entry_age_s(entry, now_us),
        .size = entry_size(entry),
        .hits = atomic_load_explicit(&entry->hits, memory_order_relaxed),
        .tags = tags_json(entry, arena),
        .status = entry->meta.status,
        .route = STR(""),
    };
    if (entry->route != NULL)
        item->route = arena_copy(arena, str_at(entry->route->name, entry->route->name_len));
    return item->key.ptr != NULL && item->tags.ptr != NULL && item->route.ptr != NULL;
}

struct page {
    struct cache *cache;
    struct str glob, host;
    uint64_t now_us, shard, bucket, index; /* the next place to look at */
    struct arena *arena;
    struct cache_item *items;
    uint32_t count, limit;
    bool is_full;
};

/* Shard lock. From page->index on. */
static void list_bucket(struct page *page, const struct shard *shard)
{
    struct cache_entry *entry = shard->urls[page->bucket];

    for (uint64_t i = 0; entry != NULL; entry = entry->url_next, i++) {
        if (i < page->index || (page->host.len > 0 && !str_ieq(page->host, entry->host)) ||
            !glob_fits(page->glob, entry) || ban_check(page->cache, entry) == BAN_HARD)
            continue;
        page->is_full = page->count == page->limit ||
                        !write_item(entry, page->now_us, page->arena, &page->items[page->count]);
        if (page->is_full) {
            page->index = i;
            return;
        }
        page->count++;
    }
    page->index = 0;
    page->bucket++;
}

uint32_t cache_list(struct cache *cache, struct str glob, struct str host, uint64_t now_us,
                    uint64_t cursor, uint32_t limit, struct arena *arena, struct cache_item *items,
                    uint64_t *next)
{
    struct page page = {.cache = cache,
                        .glob = glob_spread(glob, arena),
                        .host = host,
                        .now_us = now_us,
                        .shard = cursor >> 56,
                        .bucket = cursor >> 24 & 0xffffffff,
                        .index = cursor & 0xffffff,
                        .arena = arena,
                        .items = items,
                        .limit = limit};

    *next = 0;
    if (page.glob.ptr == NULL)
        return 0;
    for (; page.shard < SHARDS && !page.is_full; page.shard += page.is_full ? 0 : 1) {
        struct shard *shard = &cache->shards[page.shard];

        for (bool is_more = true; is_more && !page.is_full;) {
            pthread_mutex_lock(&shard->lock);
            is_more = page.bucket < shard->buckets;
            if (is_more)
                list_bucket(&page, shard);
            pthread_mutex_unlock(&shard->lock);
        }
        if (!page.is_full)
            page.bucket = page.index = 0;
    }
    if (page.is_full)
        *next = page.shard << 56 | page.bucket << 24 | page.index;
    return page.count;
}
