/* sections_route.c - the settings of routes and of the cache.
 *
 * Rows as in sections_server.c. Whether a pattern or a template is sound is known to
 * the route room alone (route_check); here a path only has to start with a slash.
 *
 * Constant tables. */
#include "config/sections_priv.h"

static bool is_path(struct str text)
{
    return text.len > 0 && text.ptr[0] == '/';
}

static bool is_path_or_empty(struct str text)
{
    return text.len == 0 || text.ptr[0] == '/';
}

static bool is_name(struct str text)
{
    return text.len > 0 && text.len <= 128;
}

/* Methods are case-sensitive (RFC 9110 §9.1), and nobody means "get". CONNECT asks for a tunnel. */
static bool is_method(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] >= 'a' && text.ptr[i] <= 'z')
            return false;
    }
    return is_token(text) && text.len <= 32 && !str_eq(text, STR("CONNECT"));
}

static bool is_host_pattern(struct str text)
{
    if (str_starts(text, STR("*.")))
        text = str_from(text, 1);
    if (str_eq(text, STR("*")))
        return true;
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) &&
            (c == '\0' || strchr(".-_[]:", c) == NULL))
            return false;
    }
    return text.len > 0 && text.len <= 255;
}

const struct text_rule path_rule = {"a path that starts with /", is_path};
static const struct text_rule path_or_empty_rule = {"a path that starts with /, or nothing",
                                                    is_path_or_empty};
static const struct text_rule name_rule = {"1 to 128 characters", is_name};
static const struct text_rule method_rule = {
    "a method in capitals such as \"GET\", but not CONNECT", is_method};
static const struct text_rule host_rule = {"a host, \"*.suffix\" or \"*\"", is_host_pattern};
static const struct text_rule token_rule = {"the name of a header field", is_token};

/* ---- routes ---- */

#define R struct route_config
static const struct field match_fields[] = {
    FIELD_REQUIRED(&path_rule, "path", kind_text, R, match.path, 0, 0,
                   "/a/b, /a/* (and /a itself), /a/{name}"),
    FIELD_WITH(host_rule, "host", kind_text, R, match.host, "*", 0, 0,
               "a host, *.suffix or *; the port is ignored"),
    FIELD_WITH(method_rule, "methods", kind_texts, R, match.methods, "", 0, 0,
               "empty: all but CONNECT and TRACE"),
};
static const struct section match_section = {SECTION(match_fields, 0)};

static bool is_token_or_empty(struct str text)
{
    return text.len == 0 || (text.len <= 128 && is_token(text));
}

static const struct text_rule token_or_empty_rule = {"the name of a header field, or nothing",
                                                     is_token_or_empty};
static const struct words failures = {{"local", "open", "closed", "inherit"}};
static const struct field limit_fields[] = {
    WINDOW_FIELDS(R, limit.windows),
    FIELD("cost", kind_count, R, limit.cost, "1", 1, 1000000,
          "what one request takes from every window"),
    FIELD("exempt", kind_bool, R, limit.exempt, "false", 0, 0, "this route is never limited"),
    FIELD_WITH(token_or_empty_rule, "cost_header", kind_text, R, limit.cost_header, "", 0, 0,
               "field of the upstream's answer that holds the cost, taken afterwards; empty: none"),
    FIELD("cost_per_kib", kind_count, R, limit.cost_per_kib, "0", 0, 1000000,
          "what each KiB of the request's and the answer's body takes on top"),
    {.name = "scope",
     .kind = &kind_scope,
     .initial = "client",
     .about = "who shares the windows: client, ip, route (everybody) or header:NAME"},
    FIELD_WITH(failures, "on_failure", kind_choice, R, limit.on_failure, "inherit", 0, 0,
               "without the store: local, open, closed (503), or as limits.on_failure says"),
    FIELD("dry_run", kind_bool, R, limit.dry_run, "false", 0, 0, "count and log, refuse nobody"),
};
static const struct section limit_section = {SECTION(limit_fields, 0)};

static bool is_cached_method(struct str text)
{
    return str_eq(text, STR("GET")) || str_eq(text, STR("HEAD")) || str_eq(text, STR("POST"));
}

static const struct text_rule cached_method_rule = {"\"GET\", \"HEAD\" or \"POST\"",
                                                    is_cached_method};
static const struct words body_keys = {{"none", "sha256"}};
static const struct words image_keys = {{"none", "phash"}};
static const struct field key_fields[] = {
    FIELD_WITH(body_keys, "body", kind_choice, R, cache.body, "none", 0, 0,
               "of POST: sha256 makes an entry of each body, with its Content-Type"),
    FIELD_WITH(image_keys, "image", kind_choice, R, cache.image, "none", 0, 0,
               "of a picture in a POST (JPEG, PNG, WebP; plain or in a form): phash finds the same "
               "bytes, else the picture most like it; kept for 7d where no ttl is set"),
    FIELD("distance", kind_count, R, cache.distance, "10", 0, 64,
          "bits of 256 in which the perceptual hashes of two like pictures may differ"),
    FIELD(
        "store", kind_bool, R, cache.image_store, "true", 0, 0,
        "of a picture, where there is a store (store.roles.images): the answer stands there, too"),
    FIELD("max_body_bytes", kind_size, R, cache.key_body_bytes, "10MiB", 1, MIB(64),
          "of a body that is collected for its key; a longer one goes past the cache"),
    FIELD("query", kind_query, R, cache.query, "all", 0, 0,
          "what of the query makes an entry: all, sorted, none or a list of names"),
    FIELD("ignore", kind_texts, R, cache.query_ignore, "", 0, 0,
          "query parameters that do not, as globs such as utm_*"),
    FIELD_WITH(token_rule, "headers", kind_texts, R, cache.key_headers, "", 0, 0,
               "header fields that do, beside Vary"),
};
static const struct section key_section = {SECTION(key_fields, 0)};

static const struct field bypass_fields[] = {
    FIELD_WITH(token_rule, "headers", kind_texts, R, cache.bypass_headers, "", 0, 0,
               "header fields"),
    FIELD_WITH(token_rule, "cookies", kind_texts, R, cache.bypass_cookies, "", 0, 0, "cookies"),
};
static const struct section bypass_section = {SECTION(bypass_fields, 0)};

static const struct field route_cache_fields[] = {
    FIELD_WITH(cached_method_rule, "methods", kind_texts, R, cache.methods, "GET,HEAD", 0, 0,
               "whose answers are kept; GET stands for HEAD too; POST needs key.body or key.image"),
    FIELD("ttl", kind_duration, R, cache.ttl_ms, NULL, 0, DAYS(365),
          "lifetime of answers that name none; absent: cache.default_ttl"),
    FIELD("ttl_override", kind_bool, R, cache.ttl_override, "false", 0, 0,
          "ttl wins over what answers say"),
    FIELD("per_user", kind_per_user, R, cache.per_user, NULL, 0, 0,
          "true: an entry per caller; false: shared by all; absent: as RFC 9111 allows"),
    FIELD("count_hits", kind_bool, R, cache.count_hits, "true", 0, 0,
          "answers from the cache count against limits"),
    FIELD("early_refresh", kind_bool, R, cache.early_refresh, "false", 0, 0,
          "what is asked for often is fetched anew a little before it expires"),
    FIELD("stale_while_revalidate", kind_duration, R, cache.stale_while_revalidate_ms, NULL, 0,
          DAYS(365), "for answers of this route; absent: the cache's"),
    FIELD("shadow", kind_bool, R, cache.shadow, "false", 0, 0,
          "POST: only tells what it would have answered (X-Cache-Match, metrics, log)"),
    FIELD("price_per_call", kind_share, R, cache.price_per_call, "0", 0, 1000000,
          "what a call of the upstream costs, for the money that answers to POST save"),
    FIELD("tags", kind_texts, R, cache.tags, "", 0, 0, "names by which entries can be purged"),
    FIELD("soft_invalidation", kind_bool, R, cache.soft_invalidation, "false", 0, 0,
          "a successful write marks stale what it would drop"),
    FIELD_NESTED("key", key_section, "what makes two requests the same"),
    FIELD_NESTED("bypass", bypass_section,
                 "a request that has one of these goes past the cache, and its answer too"),
};

static bool keys_body(const struct route_config *route)
{
    return route->cache.body != KEY_BODY_NONE || route->cache.image != KEY_IMAGE_NONE;
}

/* An answer to a POST is kept by its body, or not at all; and the body is collected after the
 * limits, so its hits cannot be free. */
static void check_methods(struct reader *reader, const struct node *node,
                          struct route_config *route)
{
    const struct str_list *methods = &route->cache.methods;

    for (uint32_t i = 0; i < methods->count; i++) {
        bool is_post = str_eq(methods->at[i], STR("POST"));

        route->cache.posts |= is_post;
        route->cache.gets |= !is_post;
    }
    if (route->cache.posts && !keys_body(route))
        reader_fault_in(
            reader, node, "methods",
            "has POST without a key made from the body, expected key.body or key.image");
    if (!route->cache.posts && keys_body(route))
        reader_fault_in(reader, node, "key",
                        "is made from the body, expected POST in the cache's methods");
    if (route->cache.posts && !route->cache.count_hits)
        reader_fault_in(reader, node, "count_hits",
                        "is false beside POST, whose body is read after the limits, expected true");
}

static void route_cache_finish(struct reader *reader, const struct node *node, void *base)
{
    struct route_config *route = base;

    route->cache.is_on = true;
    check_methods(reader, node, route);
    if (route->cache.image != KEY_IMAGE_NONE && route->cache.body != KEY_BODY_NONE)
        reader_fault_in(reader, node, "key", "has body beside image, expected one of them");
    if (route->cache.image != KEY_IMAGE_NONE && route->cache.ttl_ms < 0)
        route->cache.ttl_ms = DAYS(7);
    if (route->cache.shadow && !route->cache.posts)
        reader_fault_in(reader, node, "shadow", "is true without POST in the cache's methods");
    if (route->cache.ttl_override && node_child(node, STR("ttl")) == NULL)
        reader_fault_in(reader, node, "ttl_override", "is true without a ttl, expected both");
}

static bool route_cache_is_set(const void *base)
{
    return ((const struct route_config *)base)->cache.is_on;
}

static const struct section route_cache_section = {
    SECTION(route_cache_fields, 0), .finish = route_cache_finish, .is_set = route_cache_is_set};

static const struct words revocations = {{"", "authorization"}};
static const struct words stickies = {{"none", "client", "cookie"}};
static const struct words auths = {{"none", "identity", "off"}};
static const struct field route_fields[] = {
    FIELD_WITH(name_rule, "name", kind_text, R, name, NULL, 0, 0,
               "in metrics, logs and scopes; absent: its host, path and methods"),
    FIELD_NESTED("match", match_section, "which requests"),
    FIELD("upstream", kind_reference, R, upstream, NULL, 0, 0, "who answers: a name of upstreams"),
    FIELD_WITH(split_list, "split", kind_list, R, split, NULL, 0, 0,
               "instead of upstream: several, each with its share"),
    FIELD_WITH(stickies, "sticky", kind_choice, R, sticky, "none", 0, 0,
               "who keeps the upstream of a split: a client, or whoever brings its cookie"),
    FIELD_WITH(path_or_empty_rule, "strip_prefix", kind_text, R, strip_prefix, NULL, 0, 0,
               "taken off the path that is sent"),
    FIELD_WITH(path_or_empty_rule, "rewrite", kind_text, R, rewrite, NULL, 0, 0,
               "template of the path that is sent: {name}, {*}; the query is kept"),
    FIELD("timeout", kind_duration, R, timeout_ms, NULL, 1, HOURS(24),
          "of a whole exchange; absent: the upstream's"),
    FIELD("max_body_bytes", kind_size, R, max_body_bytes, NULL, 0, GIB(1024),
          "of a request's body; absent: the server's"),
    FIELD_WITH(
        auths, "auth", kind_choice, R, auth, "none", 0, 0,
        "none: a credential is used when there; identity: one is needed; off: none is looked at"),
    FIELD_NESTED("limit", limit_section,
                 "a limit of this route's own, on top of the caller's tier"),
    FIELD_NESTED("cache", route_cache_section, "absent: never cached"),
    FIELD_WITH(revocations, "revokes", kind_flag, R, revokes_token, "", 0, 0,
               "\"authorization\": a successful answer revokes the caller's token"),
    FIELD_WITH(path_rule, "invalidates", kind_texts, R, invalidates, "", 0, 0,
               "paths whose entries a successful unsafe request drops"),
    FIELD("websocket", kind_bool, R, websocket, "false", 0, 0,
          "a client may ask for a WebSocket; to an https target it goes over TLS"),
    FIELD("critical", kind_bool, R, is_critical, "false", 0, 0,
          "never turned away by an adaptive upstream for the sake of others"),
    FIELD_NESTED("headers", headers_section, "fields set, added and removed"),
    FIELD_NESTED("cors", cors_section,
                 "cross-origin reading; a preflight is answered before identity"),
    FIELD("allow", kind_cidrs, R, allow, "", 0, 0,
          "addresses that may; empty: all; others get 403"),
    FIELD("deny", kind_cidrs, R, deny, "", 0, 0, "addresses that may not, whatever allow says"),
    FIELD_NESTED("authorize", authorize_section, "a service that decides about each request"),
    FIELD_NESTED("mirror", mirror_section, "a second upstream that gets a copy"),
    FIELD_NESTED("respond", respond_section, "an answer of its own, instead of an upstream"),
    FIELD_NESTED("redirect", redirect_section, "another place, instead of an upstream"),
    FIELD_NESTED("job", job_section, "a job's state from the store, instead of an upstream"),
};
#undef R

/* Two routes may share a path and differ in host or methods, so those belong to a made-up name:
 * "/orders", "api.test/orders", "/orders GET,HEAD". */
static struct str made_up_name(struct arena *arena, const struct route_config *route)
{
    bool is_any_host = str_eq(route->match.host, STR("*"));
    struct str name = arena_printf(arena, "%.*s%.*s", is_any_host ? 0 : (int)route->match.host.len,
                                   route->match.host.ptr, STR_ARG(route->match.path));

    for (uint32_t i = 0; i < route->match.methods.count && name.ptr != NULL; i++)
        name = arena_printf(arena, "%.*s%c%.*s", STR_ARG(name), i == 0 ? ' ' : ',',
                            STR_ARG(route->match.methods.at[i]));
    return name.ptr != NULL ? name : route->match.path;
}

/* One of them answers. */
static void check_answerers(struct reader *reader, const struct node *node)
{
    static const char *const names[] = {"upstream", "split", "respond", "redirect", "job"};
    const char *first = NULL;

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const struct node *child = node_child(node, str_of(names[i]));

        if (child == NULL || (child->kind == NODE_LIST && child->count == 0))
            continue;
        if (first != NULL)
            reader_fault_in(reader, node, names[i], "stands beside %s, expected one of them",
                            first);
        first = names[i];
    }
    if (first == NULL)
        reader_fault_in(
            reader, node, "upstream",
            "is missing, expected the name of an upstream (or split, respond, redirect or job)");
}

static void sum_weights(struct reader *reader, const struct node *node, struct route_config *route)
{
    for (uint32_t i = 0; i < route->split_count; i++)
        route->split_weight += route->split[i].weight;
    if (route->split_count > 0 && route->split_weight == 0)
        reader_fault_in(reader, node, "split", "has no weight at all, expected one above 0");
}

static void route_finish(struct reader *reader, const struct node *node, void *base)
{
    struct route_config *route = base;

    if (node_child(node, STR("max_body_bytes")) == NULL)
        route->max_body_bytes = reader->config->server.max_body_bytes;
    if (node_child(node, STR("name")) == NULL)
        route->name = made_up_name(reader->arena, route);
    if (node_child(node, STR("match")) == NULL)
        reader_fault_in(reader, node, "match",
                        "is missing, expected an object such as { \"path\": \"/products/*\" }");
    check_answerers(reader, node);
    if (route->job.is_on && str_find(route->match.path, '{') == route->match.path.len)
        reader_fault_in(reader, node, "job",
                        "needs an id, expected a {name} in match.path, such as /status/{job_id}");
    route->edits_requests = edits_are_set(&route->headers.request);
    route->edits_answers = edits_are_set(&route->headers.response) ||
                           route->cors.origins.count > 0 || route->sticky == STICKY_COOKIE;
    sum_weights(reader, node, route);
}

const struct section route_section = {SECTION(route_fields, sizeof(struct route_config)),
                                      .finish = route_finish};
const struct collection route_collection = {.section = &route_section,
                                            .count_offset = offsetof(struct config, route_count),
                                            .name_offset = offsetof(struct route_config, name)};

/* ---- the cache of the whole gateway ---- */

static bool is_coding(struct str text)
{
    return str_eq(text, STR("zstd")) || str_eq(text, STR("br")) || str_eq(text, STR("gzip"));
}

/* "text/html", or "text" and everything below. */
static bool is_media_type(struct str text)
{
    size_t slash = str_find(text, '/');
    struct str sub = str_from(text, slash + 1);

    return is_token(str_at(text.ptr, slash)) && (str_eq(sub, STR("*")) || is_token(sub));
}

static const struct text_rule coding_rule = {"\"zstd\", \"br\" or \"gzip\"", is_coding};
static const struct text_rule media_type_rule = {"a media type such as \"text/html\" or \"text/*\"",
                                                 is_media_type};

static bool is_warm_url(struct str text)
{
    return str_starts(text, STR("/")) || str_starts(text, STR("http://")) ||
           str_starts(text, STR("https://"));
}

static const struct text_rule warm_rule = {"\"/path\", or a URL with http:// or https://",
                                           is_warm_url};

#define C struct cache_config
static const struct field warm_fields[] = {
    FIELD_WITH(warm_rule, "urls", kind_texts, C, warm_urls, "", 0, 0,
               "fetched at the start and by a reload; a path alone is this machine's first "
               "listener's"),
    FIELD("before_ready", kind_bool, C, warm_before_ready, "false", 0, 0,
          "/ready waits for them at the start"),
};
static const struct section warm_section = {SECTION(warm_fields, 0)};

static const struct field cache_fields[] = {
    FIELD("enabled", kind_bool, C, enabled, "true", 0, 0, "false: nothing is kept"),
    FIELD("memory", kind_size, C, memory_bytes, "256MiB", KIB(1), GIB(1024),
          "of all entries, keys and headers included"),
    FIELD("max_object", kind_size, C, max_object_bytes, "8MiB", 1, GIB(16),
          "largest answer that is kept"),
    FIELD("default_ttl", kind_duration, C, default_ttl_ms, "5m", 0, DAYS(365),
          "lifetime of a cacheable answer (200, 203, 301, 308) that names none"),
    FIELD("negative_ttl", kind_negative, C, negative, NULL, 0, 0,
          "lifetime by status, for the others"),
    FIELD("stale_while_revalidate", kind_duration, C, stale_while_revalidate_ms, "0s", 0, DAYS(365),
          "how long a stale entry answers at once, while it is fetched anew; an answer's own "
          "directive wins"),
    FIELD("stale_if_unreachable", kind_duration, C, stale_if_unreachable_ms, "1h", 0, DAYS(365),
          "how long a stale entry answers while the origin cannot be reached; 0: never"),
    FIELD("stale_if_error", kind_duration, C, stale_if_error_ms, "0s", 0, DAYS(365),
          "the same for 500, 502, 503, 504; an answer's own directive wins"),
    FIELD("store_set_cookie", kind_bool, C, store_set_cookie, "false", 0, 0,
          "keep answers with Set-Cookie, where the origin gave a lifetime"),
    FIELD("heuristic", kind_bool, C, heuristic, "true", 0, 0, "lifetime from Last-Modified"),
    FIELD("honor_client", kind_bool, C, honor_client, "true", 0, 0,
          "request directives: no-cache, max-age, only-if-cached"),
    FIELD("normalize_vary", kind_bool, C, normalize_vary, "true", 0, 0,
          "equal Accept-Encoding and the like share an entry"),
    FIELD("collapse", kind_bool, C, collapse, "true", 0, 0,
          "one upstream fetch for concurrent misses of one key"),
    FIELD("store", kind_bool, C, store, "false", 0, 0,
          "the store is a second level that all gateways share"),
    FIELD_WITH(coding_rule, "compress", kind_texts, C, compress, "zstd,br,gzip", 0, 0,
               "content codings that answers are given, cached or not, the best first; []: none"),
    FIELD("compress_min", kind_size, C, compress_min_bytes, "1KiB", 1, GIB(1),
          "shorter answers are left alone"),
    FIELD_WITH(media_type_rule, "compress_types", kind_texts, C, compress_types,
               "text/*,application/json,application/javascript,application/xml,image/svg+xml", 0, 0,
               "media types that shrink; never event streams"),
    FIELD_NESTED("warm", warm_section, "what is fetched before anybody asks"),
};
#undef C
const struct section cache_section = {SECTION(cache_fields, sizeof(struct cache_config))};
