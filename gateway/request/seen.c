/* seen.c - what a refetch tells of how often content changes.
 *
 * A 304 says that nothing has; a whole answer is compared, where it takes the place of a stored
 * one, byte by byte: both are in memory at that moment, so nothing is kept for it. Fetches of what
 * was purged or evicted have nothing to compare with and are not seen. Worker's thread. */
#include "request/request_priv.h"

void fetch_saw_other(struct request *r, const struct cache_replaced *replaced)
{
    struct advise_refetch refetch = {
        .interval_us = replaced->interval_us,
        .fetch_us = r->fetch.first_byte_us,
        .body_bytes = replaced->body_bytes,
        .lifetime_s = replaced->lifetime_s,
        .is_changed = !replaced->has_same_body,
        .was_served = r->fetch.is_refresh,
    };

    if (replaced->is_any) /* a refresh has no cells of its own */
        advise_saw_refetch(context_cells(r->crules, r->route)->seen, &refetch);
}

void fetch_saw_same(struct request *r)
{
    struct cache_meta meta = cache_entry_meta(r->cache.entry);
    uint64_t now_us = loop_now_us(r->context->loop);
    struct cache_replaced replaced = {
        .is_any = !cache_entry_is_soft_purged(r->cache.entry),
        .has_same_body = true,
        .interval_us = now_us > meta.stored_us ? now_us - meta.stored_us : 0,
        .body_bytes = meta.body.len,
        .lifetime_s = meta.lifetime_s,
    };

    fetch_saw_other(r, &replaced);
}
