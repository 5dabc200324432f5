/* cache.c - what the cache holds and how well it does: stats, the list of entries.
 *
 * The cache counts what it keeps; what was asked of it is counted by the workers, in
 * cache_requests_total, and added up here, so that stats and dashboards agree (README.md says
 * which status counts as what). Main thread. */
#include "admin/admin_priv.h"

enum {
    PAGE_USUAL = 100,
    PAGE_MOST = 1000,
    PAGE_BLOCK = 64 * 1024,
    PAGE_BYTES = 64 * 1024 * 1024,
};

static uint64_t asked_for(struct metrics *metrics, const struct str *route, struct str status)
{
    if (route == NULL)
        return (uint64_t)metrics_sum(metrics, M_CACHE_REQUESTS, 1, status);
    return (uint64_t)metrics_sum2(metrics, M_CACHE_REQUESTS, 0, *route, 1, status);
}

struct asked asked_of(struct metrics *metrics, const struct str *route)
{
    return (struct asked){
        .hits = asked_for(metrics, route, STR("hit")),
        .misses = asked_for(metrics, route, STR("miss")) +
                  asked_for(metrics, route, STR("expired")) +
                  asked_for(metrics, route, STR("revalidated")),
        .stale =
            asked_for(metrics, route, STR("stale")) + asked_for(metrics, route, STR("updating")),
        .bypass = asked_for(metrics, route, STR("bypass")),
        .revalidated = asked_for(metrics, route, STR("revalidated")),
    };
}

static void write_stats(struct buf *out, bool is_enabled, const struct cache_counts *counts,
                        const struct asked *asked)
{
    uint64_t served = asked->hits + asked->stale, all = served + asked->misses;

    buf_addf(out,
             "\"enabled\":%s,\"entries\":%" PRIu64 ",\"memory_bytes\":%" PRIu64
             ",\"memory_limit_bytes\":%" PRIu64 ",\"hits\":%" PRIu64 ",\"misses\":%" PRIu64
             ",\"stale\":%" PRIu64 ",\"bypass\":%" PRIu64 ",\"hit_ratio\":%.6f",
             is_enabled ? "true" : "false", counts->entries, counts->memory_bytes,
             counts->memory_limit_bytes, asked->hits, asked->misses, asked->stale, asked->bypass,
             all > 0 ? (double)served / (double)all : 0.0);
    buf_addf(out, ",\"evictions\":%" PRIu64 ",\"stores\":%" PRIu64 ",\"invalidations\":%" PRIu64,
             counts->evictions, counts->stores, counts->invalidations);
}

void get_cache_stats(struct call *call)
{
    const struct config *config = call->config;
    const struct request_shared *shared = call->admin->shared;
    struct buf *out = &call->question->text;
    struct asked asked = asked_of(shared->metrics, NULL);
    struct cache_counts counts;
    bool is_first = true;

    cache_counts(shared->cache, &counts);
    buf_add_char(out, '{');
    write_stats(out, config->cache.enabled, &counts, &asked);
    buf_add_str(out, STR(",\"routes\":{"));
    for (uint32_t i = 0; i < config->route_count; i++) {
        const struct route_config *route = &config->routes[i];

        if (!route->cache.is_on)
            continue;
        if (!is_first)
            buf_add_char(out, ',');
        is_first = false;
        asked = asked_of(shared->metrics, &route->name);
        (void)cache_route_counts(shared->cache, route->name, &counts); /* unknown: zeros */
        buf_add_json(out, route->name);
        buf_add_str(out, STR(":{"));
        write_stats(out, config->cache.enabled, &counts, &asked);
        buf_add_char(out, '}');
    }
    buf_add_str(out, STR("}}"));
    answer_json(call, 200);
}

/* ---- entries ---- */

static void write_item(struct buf *out, const struct cache_item *item)
{
    buf_add_str(out, STR("{\"key\":"));
    buf_add_json(out, item->key);
    buf_addf(out, ",\"ttl\":%" PRId64 ",\"age\":%" PRId64 ",\"size\":%" PRIu64 ",\"hits\":%" PRIu64,
             item->ttl_s, item->age_s, item->size, item->hits);
    buf_add_str(out, STR(",\"tags\":"));
    buf_add_str(out, item->tags);
    buf_addf(out, ",\"status\":%d,\"route\":", item->status);
    buf_add_json(out, item->route);
    buf_add_char(out, '}');
}

struct page {
    struct str glob, host;
    uint64_t cursor, limit;
};

static void write_page(struct call *call, const struct page *page, struct arena *arena)
{
    struct cache_item *items = arena_take(arena, page->limit * sizeof(*items));
    struct buf *out = &call->question->text;
    uint64_t next = 0;
    uint32_t count;

    if (items == NULL) {
        answer_refusal(call, 503, "There is not enough memory for the list.");
        return;
    }
    count = cache_list(call->admin->shared->cache, page->glob, page->host,
                       loop_now_us(call->admin->loop), page->cursor, (uint32_t)page->limit, arena,
                       items, &next);
    buf_add_str(out, STR("{\"items\":["));
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        write_item(out, &items[i]);
    }
    if (next != 0) /* text: more digits than a JavaScript number holds */
        buf_addf(out, "],\"next\":\"%" PRIu64 "\"}", next);
    else
        buf_add_str(out, STR("],\"next\":null}"));
    answer_json(call, 200);
}

void get_cache_entries(struct call *call)
{
    struct page page = {.glob = STR("*"), .limit = PAGE_USUAL};
    struct arena *arena;

    if (!parameter_path(call, "pattern", &page.glob) || !parameter_host(call, &page.host) ||
        !parameter_number(call, "limit", 1, PAGE_MOST, &page.limit) ||
        !parameter_number(call, "cursor", 0, INT64_MAX, &page.cursor))
        return;
    arena = arena_new(PAGE_BLOCK, PAGE_BYTES); /* more than a request's holds */
    if (arena == NULL) {
        answer_refusal(call, 503, "There is not enough memory for the list.");
        return;
    }
    write_page(call, &page, arena);
    arena_free(&arena);
}
