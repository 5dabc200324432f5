/* fill_chain.c - a body whose length nobody announced: chunks, append-only.
 *
 * While the answer may be stored its chunks are charged to the budget as they come
 * and all of them stay, so that a reader may begin at any time. When it outgrows
 * max_object, or the budget, it goes on as a stream: nobody new, chunks freed behind
 * the slowest reader, the writer held at most 64 KiB ahead of it. At the end a whole
 * one is copied together once; chunks are small at first because most bodies are. */
#include "cache/fill_priv.h"

#include <stdlib.h>

bool chain_is_full(const struct fill *fill)
{
    return !fill->is_storing && fill->total - fill_slowest(fill) >= RING_MOST;
}

/* What turns out to be large is judged as if that had been announced; several who read it at once
 * are reason enough to keep it. */
static bool may_go_on(struct fill *fill, size_t size)
{
    bool is_shared;

    if (fill->total + size <= LARGE_BYTES)
        return true;
    pthread_mutex_lock(&fill->lock);
    is_shared = fill->reader_count > 1;
    pthread_mutex_unlock(&fill->lock);
    fill->is_put_off = !is_shared && !budget_admits(fill->cache, fill->url_hash, fill->draft->hash,
                                                    fill->total + size);
    return !fill->is_put_off;
}

static struct chunk *chunk_new(struct fill *fill, size_t size)
{
    struct chunk *chunk = malloc(sizeof(*chunk) + size);

    if (chunk == NULL)
        return NULL;
    *chunk = (struct chunk){.cache = fill->cache, .start = fill->total, .size = size};
    if (!fill->is_storing)
        return chunk; /* bounded by the pace */
    chunk->charged = budget_cost(chunk);
    if (may_go_on(fill, size) && budget_take(fill->cache, chunk->charged, fill->url_hash))
        return chunk;
    chunk->charged = 0;
    pthread_mutex_lock(&fill->lock);
    fill->is_storing = false;
    pthread_mutex_unlock(&fill->lock);
    return chunk;
}

static void chunk_free(struct chunk *chunk)
{
    if (chunk->charged > 0)
        budget_give(chunk->cache, chunk->charged);
    free(chunk);
}

/* As much again as there is, within bounds. */
static size_t next_size(const struct fill *fill)
{
    if (fill->total <= CHUNK_FIRST)
        return CHUNK_FIRST;
    if (!fill->is_storing && fill->total > RING_FIRST)
        return RING_FIRST;
    return fill->total < CHUNK_MOST ? (size_t)fill->total : CHUNK_MOST;
}

/* Room behind the last byte; may take a new chunk. */
static char *chain_room(struct fill *fill, size_t *room)
{
    struct chunk *last = fill->last;

    if (last != NULL && fill->total < last->start + last->size) {
        *room = (size_t)(last->start + last->size - fill->total);
        return last->bytes + (fill->total - last->start);
    }
    last = chunk_new(fill, next_size(fill));
    if (last == NULL)
        return NULL;
    pthread_mutex_lock(&fill->lock);
    if (fill->last != NULL)
        fill->last->next = last;
    else
        fill->first = last;
    fill->last = last;
    pthread_mutex_unlock(&fill->lock);
    *room = last->size;
    return last->bytes;
}

bool chain_append(struct fill *fill, struct str bytes)
{
    while (bytes.len > 0) {
        size_t room;
        char *to = chain_room(fill, &room);

        if (to == NULL)
            return false;
        if (room > bytes.len)
            room = bytes.len;
        memcpy(to, bytes.ptr, room);
        bytes = str_from(bytes, room);
        pthread_mutex_lock(&fill->lock);
        fill->total += room;
        chain_trim(fill);
        fill_notify_readers(fill);
        pthread_mutex_unlock(&fill->lock);
    }
    return true;
}

void chain_trim(struct fill *fill)
{
    uint64_t slowest;

    if (fill->is_storing)
        return;
    slowest = fill_slowest(fill);
    while (fill->first != fill->last && fill->first->start + fill->first->size <= slowest) {
        struct chunk *passed = fill->first;

        fill->first = passed->next;
        fill->is_lost = true; /* its first byte is gone */
        chunk_free(passed);
    }
}

void chain_free(struct fill *fill)
{
    while (fill->first != NULL) {
        struct chunk *chunk = fill->first;

        fill->first = chunk->next;
        chunk_free(chunk);
    }
    fill->last = NULL;
}

const struct chunk *chain_find(const struct fill *fill, uint64_t offset)
{
    const struct chunk *chunk = fill->first;

    while (chunk != NULL && offset >= chunk->start + chunk->size)
        chunk = chunk->next;
    return chunk;
}

static void chain_copy(const struct fill *fill, char *to)
{
    size_t left = (size_t)fill->total;

    for (const struct chunk *chunk = fill->first; chunk != NULL && left > 0; chunk = chunk->next) {
        size_t part = left < chunk->size ? left : chunk->size;

        memcpy(to, chunk->bytes, part);
        to += part;
        left -= part;
    }
}

/* A small body goes into the entry, as if its length had been announced. */
bool chain_store(struct fill *fill, struct cache_replaced *replaced)
{
    size_t total = (size_t)fill->total;
    struct cache_entry *entry;
    struct block *body;
    bool is_stored;

    if (total > INSIDE_MOST) {
        body = block_new(fill->cache, total, fill->url_hash);
        if (body == NULL)
            return false;
        chain_copy(fill, body->bytes);
        entry_set_block(fill->draft, body);
        return index_replace(fill->cache, fill->draft, NULL, replaced);
    }
    entry = entry_again(fill->draft, total);
    if (entry == NULL)
        return false;
    chain_copy(fill, entry_inside(entry));
    is_stored = index_replace(fill->cache, entry, NULL, replaced);
    cache_entry_release(&entry);
    return is_stored;
}
