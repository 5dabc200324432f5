/* part.c - stored parts of an answer, and how two become one (RFC 9111 §3.3, §3.4).
 *
 * A part is an entry of status 206 under a key of its own beside the whole's, of the same URL
 * and user, so that every purge of the one meets the other. One run of bytes is kept of each
 * representation: a new part that touches the stored one and has the same strong
 * validator grows it; when nothing is missing any more it becomes the whole. A part whose
 * length and Content-Range disagree is kept for the very Range that brought it.
 * Any thread. */
#include "cache/cache_priv.h"

bool cache_has_parts(const struct cache *cache)
{
    return atomic_load_explicit(&cache->has_parts, memory_order_relaxed);
}

bool cache_key_of_part(struct cache *cache, const struct cache_key *whole, struct str range,
                       struct arena *arena, struct cache_key *part)
{
    size_t size = 1 + whole->text.len + range.len;
    char *text = arena_take(arena, size);

    if (text == NULL)
        return false;
    *part = *whole;
    text[0] = range.len > 0 ? 'x' : 'r'; /* the whole's begins with its scheme: s or p */
    memcpy(text + 1, whole->text.ptr, whole->text.len); /* its lengths say where it ends */
    if (range.len > 0)
        memcpy(text + 1 + whole->text.len, range.ptr, range.len);
    part->text = str_at(text, size);
    part->hash = hash_sip128(&cache->seed, part->text);
    atomic_store_explicit(&cache->has_parts, true, memory_order_relaxed);
    return true;
}

/* The run that both make. False: there is a hole between them, or they are not of one
 * representation. */
static bool joined_range(const struct cache_meta *a, const struct cache_meta *b,
                         struct http_content_range *joined)
{
    struct http_content_range x, y;
    struct str etag = b->validators.etag;

    if (!http_content_range_parse(&a->fields, &x) || !http_content_range_parse(&b->fields, &y) ||
        x.size != y.size || x.first > y.last + 1 || y.first > x.last + 1)
        return false;
    if (a->validators.etag.ptr == NULL || etag.ptr == NULL || !str_eq(a->validators.etag, etag) ||
        !http_etag_list_has(etag, etag, false))
        return false;
    *joined = (struct http_content_range){.first = x.first < y.first ? x.first : y.first,
                                          .last = x.last > y.last ? x.last : y.last,
                                          .size = x.size};
    return true;
}

static struct block *joined_body(struct cache *cache, const struct cache_entry *older,
                                 const struct cache_entry *newer,
                                 const struct http_content_range *joined)
{
    const struct cache_entry *both[] = {older, newer}; /* where they overlap, the newer's bytes */
    size_t size = (size_t)(joined->last - joined->first + 1);
    struct block *block = block_new(cache, size, newer->url_hash);

    for (size_t i = 0; block != NULL && i < COUNT_OF(both); i++) {
        const struct cache_meta *meta = &both[i]->meta;
        struct http_content_range range;

        CHECK(http_content_range_parse(&meta->fields, &range));
        CHECK(range.last - range.first + 1 == meta->body.len);
        memcpy(block->bytes + (range.first - joined->first), meta->body.ptr, meta->body.len);
    }
    return block;
}

static bool joined_fields(const struct cache_meta *older, const struct cache_meta *newer,
                          const struct http_content_range *joined, struct arena *arena,
                          struct http_fields *fields)
{
    struct str range = arena_printf(arena, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, joined->first,
                                    joined->last, joined->size);

    if (range.ptr == NULL || !http_freshen(&older->fields, &newer->fields, arena, fields))
        return false;
    (void)http_fields_remove(fields, HTTP_CONTENT_RANGE);
    return http_range_is_whole(joined) || http_fields_add_id(fields, HTTP_CONTENT_RANGE, range);
}

/* Under the whole's key when nothing is missing, else in the newer's place. */
static void store_joined(struct cache *cache, struct cache_entry *older, struct cache_entry *newer,
                         const struct cache_key *whole, const struct cache_intent *intent,
                         const struct http_content_range *joined)
{
    struct arena *arena = arena_new(4096, 1 << 20);
    bool is_whole = http_range_is_whole(joined);
    struct cache_intent of_both = *intent;
    struct http_fields fields;
    struct cache_entry *entry = NULL;
    struct block *block = NULL;

    if (arena == NULL)
        return;
    if (is_whole)
        of_both.key = whole;
    if (older->stamp < of_both.stamp)
        of_both.stamp = older->stamp; /* what was purged since then may be in it */
    if (joined_fields(&older->meta, &newer->meta, joined, arena, &fields))
        entry = entry_new(cache, is_whole ? 200 : 206, &fields, &of_both);
    if (entry != NULL)
        block = joined_body(cache, older, newer, joined);
    if (block != NULL) {
        entry_set_body(entry, block, (size_t)(joined->last - joined->first + 1));
        if (index_insert(cache, entry, NULL) && is_whole)
            index_drop(cache, newer);
    }
    cache_entry_release(&entry);
    arena_free(&arena);
}

void cache_join_parts(struct cache *cache, struct cache_entry *older, struct cache_entry *newer,
                      const struct cache_key *whole, const struct cache_intent *intent)
{
    struct http_content_range joined;

    if (older == newer || older->meta.status != 206 || newer->meta.status != 206 ||
        !joined_range(&older->meta, &newer->meta, &joined))
        return;
    uint64_t size = joined.last - joined.first + 1;
    if (size > newer->meta.body.len && size <= atomic_load(&cache->max_object))
        store_joined(cache, older, newer, whole, intent, &joined);
}
