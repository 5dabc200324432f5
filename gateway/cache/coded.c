/* coded.c - a body once more, in a content coding, made once and kept beside it.
 *
 * The copy as the origin sent it stays: ranges, conditions and clients without a coding
 * read it at no cost. A coded copy hangs on the body, not on the entry that shares it, so
 * that an entry freshened by a 304 keeps it; it is charged like the body and dies with it.
 * Who finds none claims the making, so that a thousand clients make one; what does not
 * shrink by a tenth is remembered as not worth it. Any thread; the making is work
 * (cache_entry_code), which the caller does where it does not hold a loop. */
#include "cache/cache_priv.h"

#include <stdlib.h>

enum { MAKINGS_AT_ONCE = 4 };

struct codings {
    _Atomic uint8_t states[CODEC_KINDS]; /* enum cache_coded */
    struct block *at[CODEC_KINDS];       /* set before the state says READY */
    size_t charged;
};

/* The block's place for copies, made at the first question. NULL: no memory or no budget. */
static struct codings *codings_of(struct cache_entry *entry)
{
    _Atomic(struct codings *) *place = entry_codings(entry);
    struct cache *cache = entry_cache(entry);
    struct codings *there, *mine;

    if (place == NULL)
        return NULL;
    there = atomic_load_explicit(place, memory_order_acquire);
    if (there != NULL)
        return there;
    mine = calloc(1, sizeof(*mine));
    if (mine == NULL)
        return NULL;
    mine->charged = budget_cost(mine);
    if (!budget_take(cache, mine->charged, entry_url_hash(entry))) {
        free(mine);
        return NULL;
    }
    if (atomic_compare_exchange_strong(place, &there, mine))
        return mine;
    budget_give(cache, mine->charged);
    free(mine);
    return there;
}

enum cache_coded cache_entry_coded(const struct cache_entry *entry, enum codec_kind kind,
                                   struct str *body)
{
    _Atomic(struct codings *) *place = entry_codings((struct cache_entry *)(uintptr_t)entry);
    struct codings *codings;
    enum cache_coded state;

    if (place == NULL)
        return CACHE_CODED_USELESS;
    codings = atomic_load_explicit(place, memory_order_acquire);
    if (codings == NULL)
        return CACHE_CODED_NONE;
    state = (enum cache_coded)atomic_load_explicit(&codings->states[kind], memory_order_acquire);
    if (state == CACHE_CODED_READY)
        *body = str_at(codings->at[kind]->bytes, codings->at[kind]->size);
    return state;
}

bool cache_entry_claim_coding(struct cache_entry *entry, enum codec_kind kind)
{
    struct codings *codings = codings_of(entry);
    atomic_uint *makings = &entry_cache(entry)->makings;
    uint8_t none = CACHE_CODED_NONE;

    if (codings == NULL)
        return false;
    if (atomic_fetch_add(makings, 1) < MAKINGS_AT_ONCE &&
        atomic_compare_exchange_strong(&codings->states[kind], &none, CACHE_CODED_MAKING))
        return true;
    atomic_fetch_sub(makings, 1);
    return false;
}

/* What the shard, the queue and the route count of an entry grows with its copies. */
static void count_copy(struct cache_entry *entry, size_t bytes)
{
    struct shard *shard = shard_of_entry(entry);

    pthread_mutex_lock(&shard->lock);
    if (entry->is_linked) {
        entry->coded += (uint32_t)(bytes / CHARGE_UNIT);
        shard->queues[entry->queue].bytes += bytes;
        shard->bytes += bytes;
        count_add(&entry->route->bytes, bytes);
    }
    pthread_mutex_unlock(&shard->lock);
}

void cache_entry_code(struct cache_entry *entry, enum codec_kind kind)
{
    struct codings *codings = codings_of(entry);
    struct cache *cache = entry_cache(entry);
    struct str body = entry_body(entry);
    struct buf packed = buf_new(body.len - body.len / 10);
    enum cache_coded state = CACHE_CODED_USELESS;

    if (codec_pack(kind, CODEC_KEPT, body, &packed)) {
        struct block *copy = block_new(cache, packed.len, entry_url_hash(entry));

        if (copy != NULL) {
            memcpy(copy->bytes, packed.ptr, packed.len);
            codings->at[kind] = copy;
            state = CACHE_CODED_READY;
        }
    }
    buf_free(&packed);
    atomic_store_explicit(&codings->states[kind], state, memory_order_release);
    atomic_fetch_sub(&cache->makings, 1);
    if (state == CACHE_CODED_READY)
        count_copy(entry, codings->at[kind]->charged);
}

size_t codings_size(_Atomic(struct codings *) *place)
{
    struct codings *codings = atomic_load_explicit(place, memory_order_acquire);
    size_t size = 0;

    for (int kind = 0; codings != NULL && kind < CODEC_KINDS; kind++)
        if (atomic_load_explicit(&codings->states[kind], memory_order_acquire) == CACHE_CODED_READY)
            size += codings->at[kind]->charged;
    return size;
}

void codings_free(struct cache *cache, _Atomic(struct codings *) *place)
{
    struct codings *codings = atomic_load_explicit(place, memory_order_relaxed);

    if (codings == NULL)
        return;
    for (int kind = 0; kind < CODEC_KINDS; kind++)
        block_release(&codings->at[kind]);
    budget_give(cache, codings->charged);
    free(codings);
}
