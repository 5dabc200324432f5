/* second.c - what a request has to do with the second level of the cache.
 *
 * It is asked where memory has nothing for a GET, by the one who would otherwise ask the
 * upstream: a leader with followers behind it, or a request that goes alone. What is found is in
 * memory then, and the walk goes back to the look-up, which judges it like any other entry. What
 * the upstream's answer left in memory is put there afterwards. Worker's thread. */
#include "request/request_priv.h"

static bool is_used(const struct request *r)
{
    return r->config->cache.store && r->context->level != NULL && r->cache.is_keyed &&
           r->cache.status != CACHE_BYPASS && str_eq(r->head.method, STR("GET"));
}

static void on_told(void *arg, bool is_found, struct level_lease *lease)
{
    struct request *r = arg;

    r->fetch.read = NULL;
    r->fetch.lease = lease;
    r->fetch.second = is_found ? SECOND_FOUND : SECOND_NOTHING;
    request_wake(r);
}

bool second_ask(struct request *r)
{
    const struct http_cache_control *wants = &r->cache.wants;
    struct level_question question = {
        .key = &r->cache.key,
        .request = &r->head.fields,
        .normalize_vary = r->config->cache.normalize_vary,
        .collapses = r->fetch.lead != NULL,
        .route = r->route->name,
        .tags = &r->route->cache.tags,
    };

    if (!is_used(r) || r->fetch.second != SECOND_NOT_ASKED || r->cache.entry != NULL ||
        r->cache.part != NULL || wants->no_cache || wants->no_store)
        return false;
    r->fetch.read = cache_level_ask(r->context->level, &question, on_told, r);
    r->fetch.second = r->fetch.read != NULL ? SECOND_ASKED : SECOND_OVER;
    return r->fetch.read != NULL;
}

void second_cancel(struct request *r)
{
    level_read_cancel(&r->fetch.read);
}

void second_note_place(struct request *r)
{
    r->fetch.has_place =
        is_used(r) &&
        cache_place_now(r->context->shared->cache, loop_now_us(r->context->loop), &r->fetch.place);
}

void second_put(struct request *r)
{
    struct cache_entry *entry;
    bool vary_missed;

    if (!r->fetch.has_place || !is_used(r))
        return;
    entry = cache_find(r->context->shared->cache, &r->cache.key, &r->head.fields,
                       r->config->cache.normalize_vary, r->arena, &vary_missed);
    /* an older one: this answer was a part, or did not stay */
    if (entry != NULL && cache_entry_meta(entry).stored_us >= r->fetch.started_us)
        cache_level_put(r->context->level, entry, &r->fetch.place, &r->fetch.lease);
    cache_entry_release(&entry);
}
