/* body.c - where an entry's body lies.
 *
 * A small one lies in the entry's own allocation: no second header, no second rounding. A
 * large one is a block of its own, because a part or a chain is put together before its
 * entry is. An entry freshened by a 304 shares the body of the one before: it holds the
 * block, or the entry that the body is in (the first of a row, so nothing piles up).
 * Bodies never change; any thread. */
#include "cache/cache_priv.h"

#include <stdlib.h>

struct block *block_new(struct cache *cache, size_t size, uint64_t url_hash)
{
    struct block *block;
    size_t charged;

    if (size > atomic_load_explicit(&cache->limit, memory_order_relaxed))
        return NULL;
    block = malloc(sizeof(struct block) + size);
    if (block == NULL)
        return NULL;
    charged = budget_cost(block);
    if (!budget_take(cache, charged, url_hash)) {
        free(block);
        return NULL;
    }
    atomic_init(&block->refs, 1);
    atomic_init(&block->codings, NULL);
    block->cache = cache;
    block->charged = charged;
    block->size = size;
    return block;
}

struct block *block_hold(struct block *block)
{
    if (block != NULL)
        atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return block;
}

void block_release(struct block **block)
{
    struct block *held = *block;

    *block = NULL;
    if (held == NULL || atomic_fetch_sub_explicit(&held->refs, 1, memory_order_acq_rel) != 1)
        return;
    codings_free(held->cache, &held->codings);
    budget_give(held->cache, held->charged);
    free(held);
}

/* ---- of an entry ---- */

struct str entry_body(const struct cache_entry *entry)
{
    switch ((enum body_kind)entry->body_kind) {
    case BODY_NONE:
        break;
    case BODY_INSIDE:
        return str_at(entry_inside(entry), entry->inside_len);
    case BODY_BLOCK:
        return str_at(entry->body.block->bytes, entry->body.block->size);
    case BODY_OF_ENTRY:
        return str_at(entry_inside(entry->body.owner), entry->body.owner->inside_len);
    }
    return STR("");
}

_Atomic(struct codings *) *entry_codings(struct cache_entry *entry)
{
    switch ((enum body_kind)entry->body_kind) {
    case BODY_NONE:
        break;
    case BODY_INSIDE:
        return &entry->body.codings;
    case BODY_BLOCK:
        return &entry->body.block->codings;
    case BODY_OF_ENTRY:
        return &entry->body.owner->body.codings;
    }
    return NULL;
}

/* As they are now; the shard counts with this number until it is told of more. */
static void count_copies(struct cache_entry *entry)
{
    _Atomic(struct codings *) *place = entry_codings(entry);

    entry->coded = place != NULL ? (uint32_t)(codings_size(place) / CHARGE_UNIT) : 0;
}

void entry_set_block(struct cache_entry *entry, struct block *body)
{
    CHECK(entry->body_kind == BODY_NONE);
    if (body == NULL)
        return;
    entry->body_kind = BODY_BLOCK;
    entry->body.block = body;
    count_copies(entry);
}

void entry_share_body(struct cache_entry *entry, struct cache_entry *with)
{
    switch ((enum body_kind)with->body_kind) {
    case BODY_NONE:
        return;
    case BODY_BLOCK:
        entry_set_block(entry, block_hold(with->body.block));
        return;
    case BODY_INSIDE:
    case BODY_OF_ENTRY:
        break;
    }
    entry->body_kind = BODY_OF_ENTRY;
    entry->body.owner = cache_entry_hold(with->body_kind == BODY_INSIDE ? with : with->body.owner);
    count_copies(entry);
}

void entry_drop_body(struct cache_entry *entry)
{
    switch ((enum body_kind)entry->body_kind) {
    case BODY_NONE:
        return;
    case BODY_INSIDE:
        codings_free(entry_cache(entry), &entry->body.codings);
        return;
    case BODY_BLOCK:
        block_release(&entry->body.block);
        return;
    case BODY_OF_ENTRY:
        cache_entry_release(&entry->body.owner);
        return;
    }
}

size_t entry_size(const struct cache_entry *entry)
{
    size_t size = ((size_t)entry->charge + entry->coded) * CHARGE_UNIT;

    if (entry->body_kind == BODY_BLOCK)
        size += entry->body.block->charged;
    if (entry->body_kind == BODY_OF_ENTRY)
        size += (size_t)entry->body.owner->charge * CHARGE_UNIT;
    return size;
}
