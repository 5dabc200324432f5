/* stage_lookup.c - do we have it, and may this request use it?
 *
 * The verdict is X-Cache-Status: HIT ends the walk here; MISS, EXPIRED and BYPASS go on to
 * the upstream, which may turn EXPIRED into REVALIDATED or STALE. Rules of RFC 9111 §4 and
 * the contract's "Caching": what was fetched with a credential is never given to another.
 * Worker's thread. */
#include "request/request_priv.h"

/* A key counts where it is not looked at, too: the origin may read it. */
static bool has_authorization(const struct request *r)
{
    struct str key_header = r->config->identity.api_key.header;

    return r->who.credential_seen ||
           http_fields_count_of(&r->head.fields, HTTP_AUTHORIZATION) > 0 ||
           (key_header.len > 0 && http_fields_find(&r->head.fields, key_header).ptr != NULL);
}

static int64_t seconds_of(int64_t ms)
{
    return ms < 0 ? -1 : (ms + 999) / 1000;
}

struct http_cache_policy lookup_policy(const struct request *r, int status)
{
    const struct cache_config *cache = &r->config->cache;
    struct http_cache_policy policy = {
        .route_ttl_s = seconds_of(r->route->cache.ttl_ms),
        .ttl_override = r->route->cache.ttl_override,
        .default_ttl_s = seconds_of(cache->default_ttl_ms),
        .negative_ttl_s = -1,
        .heuristic = cache->heuristic,
        .honor_client = cache->honor_client,
        .store_set_cookie = cache->store_set_cookie,
        .stale_while_revalidate_s = seconds_of(r->route->cache.stale_while_revalidate_ms >= 0
                                                   ? r->route->cache.stale_while_revalidate_ms
                                                   : cache->stale_while_revalidate_ms),
        .stale_if_error_s = seconds_of(cache->stale_if_error_ms),
        .stale_if_unreachable_s = seconds_of(cache->stale_if_unreachable_ms),
        .shared_by_operator = r->route->cache.per_user == PER_USER_FALSE,
        .per_user = r->route->cache.per_user == PER_USER_TRUE,
        .stores_parts =
            !r->cache.is_by_body && http_fields_count_of(&r->head.fields, HTTP_RANGE) > 0,
        .has_authorization = has_authorization(r),
        .has_cookie = http_fields_count_of(&r->head.fields, HTTP_COOKIE) > 0,
    };

    for (uint32_t i = 0; i < cache->negative_count; i++)
        if (cache->negative[i].status == status)
            policy.negative_ttl_s = seconds_of(cache->negative[i].ttl_ms);
    return policy;
}

/* Stored by and for others: may a request with a credential or a cookie have it? */
bool lookup_may_share(const struct request *r, const struct cache_entry *entry)
{
    struct http_cache_control stored;
    struct http_fields fields;

    if (r->route->cache.per_user != PER_USER_ABSENT)
        return true;
    if (http_fields_count_of(&r->head.fields, HTTP_COOKIE) > 0) {
        switch (cache_entry_meta(entry).source) {
        case HTTP_LIFETIME_NONE:
        case HTTP_LIFETIME_TARGETED:
        case HTTP_LIFETIME_S_MAXAGE:
        case HTTP_LIFETIME_MAX_AGE:
        case HTTP_LIFETIME_EXPIRES:
            break;
        case HTTP_LIFETIME_OVERRIDE:
        case HTTP_LIFETIME_ROUTE:
        case HTTP_LIFETIME_HEURISTIC:
        case HTTP_LIFETIME_DEFAULT:
            return false;
        }
    }
    if (!has_authorization(r))
        return true;
    if (!cache_entry_fields(entry, r->arena, &fields))
        return false;
    http_cache_control_parse(&fields, false, &stored);
    return stored.is_public || stored.s_maxage >= 0 || stored.must_revalidate;
}

bool lookup_serves_stale(const struct request *r, int64_t window_s)
{
    struct cache_meta meta;

    if (r->cache.entry == NULL)
        return false;
    meta = cache_entry_meta(r->cache.entry);
    if (meta.must_revalidate || meta.always_revalidate || r->cache.wants.no_cache)
        return false;
    return -cache_entry_ttl_s(r->cache.entry, loop_now_us(r->context->loop)) < window_s;
}

bool lookup_build_key(const struct request *r, struct cache_key *key)
{
    bool per_user = r->route->cache.per_user == PER_USER_TRUE;
    struct cache_key_parts parts = {
        .is_tls = r->arrival.is_tls,
        .host = r->facts.host,
        .port = r->facts.port,
        .target = r->upstream_target,
        .path = r->path,
        .user = per_user ? r->who.caller.name : STR_NONE,
        .split = r->route->split_count > 0 && r->upstream != NULL ? r->upstream->name : STR_NONE,
        .route = r->route,
        .body = r->cache.is_by_body ? r->collected.key : STR_NONE,
        .request = &r->head.fields,
    };

    return cache_key_build(r->context->shared->cache, &parts, r->arena, key);
}

enum step lookup_bypass(struct request *r, const char *why)
{
    r->cache.status = CACHE_BYPASS;
    r->cache.fwd = "bypass";
    r->cache.detail = why;
    return STEP_NEXT;
}

/* What the operator sends past the cache; NULL: nothing of it is there. */
static const char *bypassed_by(const struct request *r)
{
    const struct str_list *headers = &r->route->cache.bypass_headers;
    const struct str_list *cookies = &r->route->cache.bypass_cookies;

    for (uint32_t i = 0; i < headers->count; i++)
        if (http_fields_find(&r->head.fields, headers->at[i]).ptr != NULL)
            return "header";
    for (uint32_t i = 0; i < cookies->count; i++)
        if (http_cookie(&r->head.fields, cookies->at[i]).ptr != NULL)
            return "cookie";
    return NULL;
}

/* What the client asks of the cache; nothing where the operator ignores it. */
static void read_wishes(struct request *r)
{
    static const struct http_fields none = {NULL, 0, 0, NULL};

    http_cache_control_parse(r->config->cache.honor_client ? &r->head.fields : &none, true,
                             &r->cache.wants);
}

static void find(struct request *r)
{
    struct lookup *c = &r->cache;
    uint64_t now_us = loop_now_us(r->context->loop);

    cache_entry_release(&c->entry);
    c->entry = cache_find(r->context->shared->cache, &c->key, &r->head.fields,
                          r->config->cache.normalize_vary, r->arena, &c->vary_missed);
    if (c->entry != NULL && !lookup_may_share(r, c->entry))
        cache_entry_release(&c->entry);
    if (c->entry == NULL) {
        c->status = CACHE_MISS;
        c->fwd = c->vary_missed ? "vary-miss" : "uri-miss";
        return;
    }
    if (r->cells->seen != NULL)
        advise_saw_reuse(r->cells->seen, cache_entry_count_use(c->entry, now_us));
    c->status = CACHE_EXPIRED;
    c->fwd = cache_entry_ttl_s(c->entry, now_us) > 0 ? "request" : "stale";
}

bool lookup_has_changed(struct request *r)
{
    struct lookup *c = &r->cache;
    bool vary_missed;
    struct cache_entry *now = cache_find(r->context->shared->cache, &c->key, &r->head.fields,
                                         r->config->cache.normalize_vary, r->arena, &vary_missed);
    bool has_changed = now != NULL && now != c->entry;

    cache_entry_release(&now);
    return has_changed;
}

enum http_use lookup_judge(const struct request *r, const struct cache_entry *entry)
{
    return cache_entry_may_use(entry, &r->cache.wants, loop_now_us(r->context->loop));
}

enum step lookup_unsatisfiable(struct request *r)
{
    r->cache.status = CACHE_MISS;
    r->cache.detail = "only-if-cached";
    return reply_problem(r, 504, "only_if_cached", "The cache holds no answer that may be used.",
                         STR_NONE);
}

enum step lookup_serve(struct request *r, enum cache_status status)
{
    if (r->cache.is_by_body && !picture_may_answer(r)) {
        cache_entry_release(&r->cache.entry);
        r->cache.status = CACHE_MISS;
        r->cache.fwd = "request";
        r->cache.detail = "shadow";
        r->cache.is_alone = true;
        return STEP_NEXT;
    }
    if (!r->is_limited)
        limit_look(r); /* cache first: the windows are told, not charged */
    return reply_entry(r, r->cache.entry, status);
}

/* Stale, and may it answer all the same? Within stale-while-revalidate at once, while it is fetched
 * anew; within the other windows while it rests from a fetch that failed. */
static bool serves_meanwhile(struct request *r, enum cache_status *status)
{
    struct cache_meta meta = cache_entry_meta(r->cache.entry);
    const struct http_cache_control *wants = &r->cache.wants;
    enum cache_rest rest = cache_entry_rests(r->cache.entry, loop_now_us(r->context->loop));
    int64_t rest_window_s = rest == CACHE_NO_REST      ? 0
                            : rest == CACHE_REST_ERROR ? meta.stale_if_error_s
                                                       : meta.stale_if_unreachable_s;

    *status = CACHE_STALE;
    if (wants->max_age != -1 || wants->min_fresh != -1)
        return false; /* asks for better */
    if (rest != CACHE_NO_REST) {
        r->cache.detail = "backoff";
        return lookup_serves_stale(r, rest_window_s) ||
               lookup_serves_stale(r, meta.stale_while_revalidate_s);
    }
    if (!lookup_serves_stale(r, meta.stale_while_revalidate_s) || r->cache.is_by_body)
        return false; /* a refresh has no body */
    if (refresh_start(r) == REFRESH_BY_ANOTHER)
        *status = CACHE_UPDATING;
    return true;
}

static bool is_due_early(const struct request *r)
{
    return r->route->cache.early_refresh && !r->cache.is_by_body &&
           cache_entry_is_due_early(r->cache.entry, loop_now_us(r->context->loop), random_u64());
}

static enum step lookup(struct request *r)
{
    enum cache_status status;

    find(r);
    if (r->cache.entry == NULL && part_answers(r))
        return lookup_serve(r, CACHE_HIT);
    if (r->cache.entry == NULL) {
        bool is_last = r->collected.picture.ptr == NULL; /* else stage_picture has the word */

        return r->cache.wants.only_if_cached && is_last ? lookup_unsatisfiable(r) : STEP_NEXT;
    }
    switch (lookup_judge(r, r->cache.entry)) {
    case HTTP_USE_FRESH:
        if (is_due_early(r))
            (void)refresh_start(r);
        return lookup_serve(r, CACHE_HIT);
    case HTTP_USE_STALE:
        return lookup_serve(r, CACHE_STALE);
    case HTTP_USE_VALIDATE:
        if (serves_meanwhile(r, &status))
            return lookup_serve(r, status);
        r->cache.detail = NULL;
        break;
    }
    return r->cache.wants.only_if_cached ? lookup_unsatisfiable(r) : STEP_NEXT;
}

static bool is_cached_method(const struct request *r)
{
    if (str_eq(r->head.method, STR("GET")) || str_eq(r->head.method, STR("HEAD")))
        return r->route->cache.gets;
    return collect_is_for(r);
}

enum step stage_lookup(struct request *r)
{
    bool is_get = str_eq(r->head.method, STR("GET"));

    if (r->upstream == NULL && r->route->split_count > 0 && !split_choose(r))
        return reply_out_of_memory(r);
    if (r->asks_tunnel || !r->route->cache.is_on || !r->config->cache.enabled ||
        !is_cached_method(r))
        return STEP_NEXT;
    if (r->identity != IDENTIFY_OK)
        return STEP_NEXT; /* cache first: the limit step refuses it */
    r->cache.is_by_body = r->collected.phase == COLLECT_WHOLE;
    if (!r->cache.is_by_body && (r->facts.has_body || collect_is_for(r)))
        return lookup_bypass(r, "body");
    if (bypassed_by(r) != NULL)
        return lookup_bypass(r, bypassed_by(r));
    if (r->route->cache.per_user == PER_USER_TRUE && r->who.caller.kind == CALLER_IP)
        return lookup_bypass(r, "no-user");
    if (!r->cache.is_keyed) {
        read_wishes(r);
        r->cache.is_keyed = lookup_build_key(r, &r->cache.key);
        if (!r->cache.is_keyed)
            return reply_out_of_memory(r);
        r->cache.is_alone = (!is_get && !r->cache.is_by_body) ||
                            (has_authorization(r) && r->route->cache.per_user == PER_USER_ABSENT) ||
                            http_fields_count_of(&r->head.fields, HTTP_COOKIE) > 0 ||
                            http_fields_count_of(&r->head.fields, HTTP_RANGE) > 0 ||
                            http_has_conditionals(&r->head.fields) || !r->config->cache.collapse;
    }
    return lookup(r);
}
