/* entry.c - GET /system/cache/entry?url=: every variant of one URL, explained.
 *
 * The list of the cache names all variants with their ages. Why one was stored, and by whose word
 * it lives so long, stands in the entry itself, which is found as a request without
 * special headers would find it: under the key of its scheme, host, route and user. Variants
 * that only other request headers select are listed with "stored": null.
 * Main thread. */
#include "admin/admin_priv.h"

enum {
    PAGE = 64,
    VARIANTS_MOST = 256,
    WORK_BLOCK = 64 * 1024,
    WORK_BYTES = 16 * 1024 * 1024,
};

/* The URL that was asked for, in parts. */
struct wanted {
    struct str host; /* without port; empty: any */
    uint16_t port;
    bool has_scheme, is_tls;
    struct str raw;  /* path and query as they came */
    struct str path; /* normalised */
    struct str path_query;
    struct arena *arena; /* of this answer */
};

/* False: answered. */
static bool read_url(struct call *call, struct wanted *w)
{
    struct str url = STR_NONE;
    struct http_target target;

    if (!parameter_path(call, "url", &url))
        return false;
    w->is_tls = str_starts(url, STR("https://"));
    w->has_scheme = w->is_tls || str_starts(url, STR("http://"));
    if (w->has_scheme)
        url = str_from(url, str_find(url, '/') + 2);
    w->raw = str_from(url, str_find(url, '/'));
    url.len -= w->raw.len;
    if (w->raw.len == 0 || (url.len > 0 && !http_parse_authority(url, &w->host, &w->port))) {
        answer_refusal(call, 400,
                       "url: is needed: /path?query, with the host in front if need be.");
        return false;
    }
    target = http_split_target(w->raw);
    if (http_normalize_path(w->arena, target.path, &w->path) != HTTP_SOUND) {
        answer_refusal(call, 400, "url: the path is not sound.");
        return false;
    }
    w->path_query = w->path;
    if (target.query.ptr != NULL)
        w->path_query =
            arena_printf(w->arena, "%.*s?%.*s", STR_ARG(w->path), STR_ARG(target.query));
    if (w->path_query.ptr == NULL)
        answer_refusal(call, 503, "There is not enough memory to look.");
    return w->path_query.ptr != NULL;
}

/* Is the item one of exactly this URL? Its key goes "host/path?query", then " [user]" and
 * " {variant}"; *after is what follows the URL. */
static bool is_wanted(const struct wanted *w, const struct cache_item *item, struct str *after)
{
    struct str rest = str_from(item->key, str_find(item->key, '/'));

    if (!str_starts(rest, w->path_query))
        return false;
    *after = str_from(rest, w->path_query.len);
    return after->len == 0 || after->ptr[0] == ' ';
}

/* ---- the entry behind an item ---- */

static struct str user_in(struct str after)
{
    size_t close = str_find(after, ']');

    if (!str_starts(after, STR(" [")) || close == after.len)
        return STR("");
    return str_at(after.ptr + 2, close - 2);
}

/* What goes upstream for this URL, as the key has it. False: no route leads there now. */
static bool find_target(const struct call *call, const struct wanted *w, struct str host,
                        const struct route_config **route, struct str *target)
{
    struct route_match match;

    if (routes_find(request_rules_routes(call->question->rules), host, w->path, STR("GET"),
                    &match) != ROUTE_FOUND)
        return false;
    *route = match.route;
    return route_rewrite(&match, w->raw, w->arena, target);
}

static struct cache_entry *find_at_port(const struct call *call, const struct wanted *w,
                                        struct cache_key_parts *parts, uint16_t port)
{
    struct cache *cache = call->admin->shared->cache;
    struct cache_key key;
    bool vary_missed;

    parts->port = port == (parts->is_tls ? 443 : 80) ? 0 : port;
    if (!cache_key_build(cache, parts, w->arena, &key))
        return NULL;
    return cache_find(cache, &key, parts->request, call->config->cache.normalize_vary, w->arena,
                      &vary_missed);
}

/* Without a port in the URL clients may have used the usual one, or one that we listen on. */
static struct cache_entry *find_under(const struct call *call, const struct wanted *w,
                                      struct cache_key_parts *parts)
{
    const struct server_config *server = &call->config->server;
    struct cache_entry *entry = find_at_port(call, w, parts, w->port);

    for (uint32_t i = 0; entry == NULL && w->port == 0 && i < server->listen_count; i++)
        entry = find_at_port(call, w, parts, server->listen[i].port);
    return entry;
}

/* Held for the caller, or NULL. */
static struct cache_entry *find_entry(const struct call *call, const struct wanted *w,
                                      const struct cache_item *item, struct str after)
{
    static const struct http_fields none = {NULL, 0, 0, NULL};
    struct cache_key_parts parts = {
        .host = str_at(item->key.ptr, str_find(item->key, '/')),
        .path = w->path,
        .user = user_in(after),
        .request = &none,
    };

    if (str_has(after, STR(" {")) || !find_target(call, w, parts.host, &parts.route, &parts.target))
        return NULL;
    for (int tls = 0; tls < 2; tls++) {
        struct cache_entry *entry;

        parts.is_tls = tls == 1;
        if (w->has_scheme && w->is_tls != parts.is_tls)
            continue;
        entry = find_under(call, w, &parts);
        if (entry != NULL &&
            cache_entry_age_s(entry, loop_now_us(call->admin->loop)) == item->age_s)
            return entry;
        cache_entry_release(&entry);
    }
    return NULL;
}

/* ---- JSON ---- */

static const char *source_name(enum http_lifetime_source source)
{
    switch (source) {
    case HTTP_LIFETIME_NONE:
        return "none";
    case HTTP_LIFETIME_OVERRIDE:
        return "route ttl, which overrides the answer";
    case HTTP_LIFETIME_TARGETED:
        return "CDN-Cache-Control";
    case HTTP_LIFETIME_S_MAXAGE:
        return "s-maxage";
    case HTTP_LIFETIME_MAX_AGE:
        return "max-age";
    case HTTP_LIFETIME_EXPIRES:
        return "Expires";
    case HTTP_LIFETIME_ROUTE:
        return "route ttl";
    case HTTP_LIFETIME_HEURISTIC:
        return "heuristic, from Last-Modified";
    case HTTP_LIFETIME_DEFAULT:
        return "cache default_ttl or negative_ttl";
    }
    return "none";
}

static void write_bool(struct buf *out, const char *name, bool value)
{
    buf_addf(out, ",\"%s\":%s", name, value ? "true" : "false");
}

static void write_stored(struct buf *out, const struct cache_entry *entry)
{
    const struct cache_meta *meta = cache_entry_meta(entry);

    buf_add_str(out, STR("{\"why\":"));
    buf_add_json(out, str_of(meta->why));
    buf_addf(out,
             ",\"lifetime\":%" PRId64 ",\"lifetime_source\":\"%s\",\"initial_age\":%" PRId64
             ",\"stale_while_revalidate\":%" PRId64 ",\"stale_if_error\":%" PRId64
             ",\"stale_if_unreachable\":%" PRId64,
             meta->lifetime_s, source_name(meta->source), meta->initial_age_s,
             meta->stale_while_revalidate_s, meta->stale_if_error_s, meta->stale_if_unreachable_s);
    write_bool(out, "must_revalidate", meta->must_revalidate);
    write_bool(out, "always_revalidate", meta->always_revalidate);
    write_bool(out, "soft_purged", cache_entry_is_soft_purged(entry));
    buf_addf(out, ",\"body_bytes\":%zu}", meta->body.len);
}

static void write_variant(const struct call *call, const struct wanted *w,
                          const struct cache_item *item, struct str after)
{
    struct buf *out = &call->question->text;
    struct cache_entry *entry = find_entry(call, w, item, after);

    buf_add_str(out, STR("{\"key\":"));
    buf_add_json(out, item->key);
    buf_addf(out, ",\"status\":%d,\"route\":", item->status);
    buf_add_json(out, item->route);
    buf_addf(out,
             ",\"is_fresh\":%s,\"age\":%" PRId64 ",\"ttl\":%" PRId64 ",\"hits\":%" PRIu64
             ",\"size\":%" PRIu64 ",\"tags\":",
             item->ttl_s > 0 ? "true" : "false", item->age_s, item->ttl_s, item->hits, item->size);
    buf_add_str(out, item->tags);
    buf_add_str(out, STR(",\"stored\":"));
    if (entry != NULL)
        write_stored(out, entry);
    else
        buf_add_str(out, STR("null"));
    buf_add_char(out, '}');
    cache_entry_release(&entry);
}

static uint32_t write_variants(const struct call *call, const struct wanted *w)
{
    struct cache_item items[PAGE];
    struct str after;
    uint64_t cursor = 0;
    uint32_t found = 0;

    do {
        uint32_t count =
            cache_list(call->admin->shared->cache, w->path_query, w->host,
                       loop_now_us(call->admin->loop), cursor, PAGE, w->arena, items, &cursor);

        if (count == 0)
            break;
        for (uint32_t i = 0; i < count && found < VARIANTS_MOST; i++) {
            if (!is_wanted(w, &items[i], &after))
                continue;
            if (found++ > 0)
                buf_add_char(&call->question->text, ',');
            write_variant(call, w, &items[i], after);
        }
    } while (cursor != 0 && found < VARIANTS_MOST);
    return found;
}

void get_cache_entry(struct call *call)
{
    struct wanted w = {.arena = arena_new(WORK_BLOCK, WORK_BYTES)};
    struct buf *out = &call->question->text;

    if (w.arena == NULL) {
        answer_refusal(call, 503, "There is not enough memory to look.");
        return;
    }
    if (!read_url(call, &w))
        goto done;
    buf_add_str(out, STR("{\"url\":"));
    buf_add_json(out, parameter(call, "url"));
    buf_add_str(out, STR(",\"variants\":["));
    if (write_variants(call, &w) == 0) {
        answer_refusal(call, 404, "Nothing is stored for this URL.");
        goto done;
    }
    buf_add_str(out, STR("]}"));
    answer_json(call, 200);
done:
    arena_free(&w.arena);
}
