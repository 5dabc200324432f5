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

struct piece {
    struct cache_entry *entry;
    struct http_fields fields;
    struct str etag, body;
};

static bool read_piece(struct piece *piece, struct cache_entry *entry, struct arena *arena)
{
    *piece = (struct piece){
        .entry = entry, .etag = cache_entry_validators(entry).etag, .body = entry_body(entry)};
    return entry->status == 206 && cache_entry_fields(entry, arena, &piece->fields);
}

/* The run that both make. False: there is a hole between them, or they are not of one
 * representation. */
static bool joined_range(const struct piece *a, const struct piece *b,
                         struct http_content_range *joined)
{
    struct http_content_range x, y;
    struct str etag = b->etag;

    if (!http_content_range_parse(&a->fields, &x) || !http_content_range_parse(&b->fields, &y) ||
        x.size != y.size || x.first > y.last + 1 || y.first > x.last + 1)
        return false;
    if (a->etag.ptr == NULL || etag.ptr == NULL || !str_eq(a->etag, etag) ||
        !http_etag_list_has(etag, etag, false))
        return false;
    *joined = (struct http_content_range){.first = x.first < y.first ? x.first : y.first,
                                          .last = x.last > y.last ? x.last : y.last,
                                          .size = x.size};
    return true;
}

static struct block *joined_body(struct cache *cache, const struct piece *older,
                                 const struct piece *newer, const struct http_content_range *joined)
{
    const struct piece *both[] = {older, newer}; /* where they overlap, the newer's bytes */
    size_t size = (size_t)(joined->last - joined->first + 1);
    struct block *block = block_new(cache, size, entry_url_hash(newer->entry));

    for (size_t i = 0; block != NULL && i < COUNT_OF(both); i++) {
        struct str body = both[i]->body;
        struct http_content_range range;

        CHECK(http_content_range_parse(&both[i]->fields, &range));
        CHECK(range.last - range.first + 1 == body.len);
        memcpy(block->bytes + (range.first - joined->first), body.ptr, body.len);
    }
    return block;
}

static bool joined_fields(const struct piece *older, const struct piece *newer,
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
static void store_joined(struct cache *cache, const struct piece both[2],
                         const struct cache_key *whole, const struct cache_intent *intent,
                         const struct http_content_range *joined, struct arena *arena)
{
    bool is_whole = http_range_is_whole(joined);
    struct cache_intent of_both = *intent;
    struct http_fields fields;
    struct cache_entry *entry = NULL;
    struct block *block = NULL;

    if (is_whole)
        of_both.key = whole;
    if (both[0].entry->stamp < of_both.stamp)
        of_both.stamp = both[0].entry->stamp; /* what was purged since then may be in it */
    if (joined_fields(&both[0], &both[1], joined, arena, &fields))
        entry = entry_new(cache, is_whole ? 200 : 206, &fields, &of_both, 0);
    if (entry != NULL)
        block = joined_body(cache, &both[0], &both[1], joined);
    if (block != NULL) {
        entry_set_block(entry, block);
        if (index_insert(cache, entry, NULL) && is_whole)
            index_drop(cache, both[1].entry);
    }
    cache_entry_release(&entry);
}

void cache_join_parts(struct cache *cache, struct cache_entry *older, struct cache_entry *newer,
                      const struct cache_key *whole, const struct cache_intent *intent)
{
    struct arena *arena = arena_new(4096, 1 << 20);
    struct http_content_range joined;
    struct piece both[2];

    if (arena == NULL)
        return;
    if (older != newer && read_piece(&both[0], older, arena) &&
        read_piece(&both[1], newer, arena) && joined_range(&both[0], &both[1], &joined)) {
        uint64_t size = joined.last - joined.first + 1;

        if (size > both[1].body.len && size <= atomic_load(&cache->max_object))
            store_joined(cache, both, whole, intent, &joined, arena);
    }
    arena_free(&arena);
}
