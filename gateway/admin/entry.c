/* entry.c - GET /system/cache/entry?url=: every variant of one URL, explained.
 *
 * For each the age and the lifetime, why it was stored and by whose word it lives so long:
 * all of it stands in the entry, and the list of the cache brings a copy. Every host, scheme,
 * user and Vary value has one of its own. Main thread. */
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
    struct str path; /* normalised */
    struct str path_query;
    struct arena *arena; /* of this answer */
};

/* False: answered. */
static bool read_url(struct call *call, struct wanted *w)
{
    struct str url = STR_NONE, rest;
    struct http_target target;
    uint16_t port;

    if (!parameter_path(call, "url", &url))
        return false;
    if (str_starts(url, STR("http://")) || str_starts(url, STR("https://")))
        url = str_from(url, str_find(url, '/') + 2);
    rest = str_from(url, str_find(url, '/'));
    url.len -= rest.len;
    if (rest.len == 0 || (url.len > 0 && !http_parse_authority(url, &w->host, &port))) {
        answer_refusal(call, 400,
                       "url: is needed: /path?query, with the host in front if need be.");
        return false;
    }
    target = http_split_target(rest);
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
 * " {variant}". */
static bool is_wanted(const struct wanted *w, const struct cache_item *item)
{
    struct str rest = str_from(item->key, str_find(item->key, '/'));

    if (!str_starts(rest, w->path_query))
        return false;
    rest = str_from(rest, w->path_query.len);
    return rest.len == 0 || rest.ptr[0] == ' ';
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

static void write_stored(struct buf *out, const struct cache_item *item)
{
    const struct cache_meta *meta = &item->meta;

    if (meta->lifetime_s > 0)
        buf_addf(out, "{\"why\":\"%s lets it live %" PRId64 " s\"", source_name(meta->source),
                 meta->lifetime_s);
    else
        buf_add_str(
            out,
            STR("{\"why\":\"no lifetime; a validator or a stale window makes it worth keeping\""));
    buf_addf(out,
             ",\"lifetime\":%" PRId64 ",\"lifetime_source\":\"%s\",\"initial_age\":%" PRId64
             ",\"stale_while_revalidate\":%" PRId64 ",\"stale_if_error\":%" PRId64
             ",\"stale_if_unreachable\":%" PRId64,
             meta->lifetime_s, source_name(meta->source), meta->initial_age_s,
             meta->stale_while_revalidate_s, meta->stale_if_error_s, meta->stale_if_unreachable_s);
    write_bool(out, "must_revalidate", meta->must_revalidate);
    write_bool(out, "always_revalidate", meta->always_revalidate);
    write_bool(out, "soft_purged", item->is_soft_purged);
    buf_addf(out, ",\"body_bytes\":%zu}", meta->body.len);
}

static void write_variant(struct buf *out, const struct cache_item *item)
{
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
    write_stored(out, item);
    buf_add_char(out, '}');
}

static uint32_t write_variants(const struct call *call, const struct wanted *w)
{
    struct cache_item items[PAGE];
    uint64_t cursor = 0;
    uint32_t found = 0;

    do {
        uint32_t count =
            cache_list(call->admin->shared->cache, w->path_query, w->host,
                       loop_now_us(call->admin->loop), cursor, PAGE, w->arena, items, &cursor);

        if (count == 0)
            break;
        for (uint32_t i = 0; i < count && found < VARIANTS_MOST; i++) {
            if (!is_wanted(w, &items[i]))
                continue;
            if (found++ > 0)
                buf_add_char(&call->question->text, ',');
            write_variant(&call->question->text, &items[i]);
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
