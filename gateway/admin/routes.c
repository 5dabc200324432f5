/* routes.c - the table of endpoints: path and method to a function (contract §4).
 *
 * One row each, and nothing else knows a path: adding an endpoint is a row here and its
 * function. A row also says who may ask and which parameters may come, so that a misspelt
 * one is told instead of ignored (a `dryrun=true` that deletes would be the worst of answers).
 * Main thread; the table is constant. */
#include "admin/admin_priv.h"

/* Only rows that take a body name its members. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
/* clang-format off */
static const struct endpoint endpoints[] = {
    {"GET",    "/health",                         get_health,               ACCESS_OPEN,    "health",            NULL},
    {"GET",    "/health_check",                   get_health,               ACCESS_OPEN,    "health",            NULL},
    {"GET",    "/ready",                          get_ready,                ACCESS_OPEN,    "ready",             NULL},
    {"GET",    "/metrics",                        get_metrics,              ACCESS_METRICS, "metrics",           NULL},
    {"GET",    "/system/health",                  get_system_health,        ACCESS_TOKEN,   "system_health",     ""},
    {"GET",    "/system/cache/stats",             get_cache_stats,          ACCESS_TOKEN,   "cache_stats",       ""},
    {"GET",    "/system/cache/entries",           get_cache_entries,        ACCESS_TOKEN,   "cache_entries",     "pattern host limit cursor"},
    {"GET",    "/system/cache/entry",             get_cache_entry,          ACCESS_TOKEN,   "cache_entry",       "url"},
    {"GET",    "/system/cache/advice",            get_cache_advice,         ACCESS_TOKEN,   "cache_advice",      "stale"},
    {"DELETE", "/system/cache/clear",             delete_cache,             ACCESS_TOKEN,   "cache_clear",       "dry_run soft host"},
    {"DELETE", "/system/cache/user/{user_id}",    delete_cache_user,        ACCESS_TOKEN,   "cache_user",        "dry_run soft host"},
    {"DELETE", "/system/cache/endpoint",          delete_cache_endpoint,    ACCESS_TOKEN,   "cache_endpoint",    "endpoint_pattern dry_run soft host"},
    {"POST",   "/system/cache/invalidate",        post_cache_invalidate,    ACCESS_TOKEN,   "cache_invalidate",  "pattern url tag soft dry_run host"},
    {"POST",   "/system/cache/warm",              post_cache_warm,          ACCESS_TOKEN,   "cache_warm",        "wait", "*"},
    {"GET",    "/system/cache/warm",              get_cache_warm,           ACCESS_TOKEN,   "cache_warming",     "id"},
    {"GET",    "/system/rate-limit/status",       get_rate_limit_status,    ACCESS_TOKEN,   "rate_limit_status", "client"},
    {"DELETE", "/system/rate-limit/client/{id}",  delete_rate_limit_client, ACCESS_TOKEN,   "rate_limit_forget", ""},
    {"GET",    "/system/rate-limit/top",          get_rate_limit_top,       ACCESS_TOKEN,   "rate_limit_top",    "by limit"},
    {"PUT",    "/system/rate-limit/client/{id}",  put_rate_limit_client,    ACCESS_TOKEN,   "rate_limit_tier",   "", "tier ttl"},
    {"GET",    "/system/usage",                   get_usage,                ACCESS_TOKEN,   "usage",             "client from to format"},
    {"GET",    "/system/events",                  get_events,               ACCESS_TOKEN,   "events",            ""},
    {"POST",   "/system/tokens/revoke",           post_tokens_revoke,       ACCESS_TOKEN,   "token_revoke",      "", "token jti exp"},
    {"GET",    "/system/upstreams",               get_upstreams,            ACCESS_TOKEN,   "upstreams",         ""},
    {"GET",    "/system/resources",               get_resources,            ACCESS_TOKEN,   "resources",         ""},
    {"GET",    "/system/explain/{request_id}",    get_explain,              ACCESS_TOKEN,   "explain",           ""},
    {"PUT",    "/system/upstreams/{name}/targets/{n}", put_upstream_target, ACCESS_TOKEN,   "upstream_target",   "", "state"},
    {"GET",    "/system/config",                  get_config,               ACCESS_TOKEN,   "config",            ""},
    {"POST",   "/system/config/reload",           post_config_reload,       ACCESS_TOKEN,   "config_reload",     ""},
    {"GET",    "/system/dashboard",               get_dashboard,            ACCESS_OPEN,    "dashboard",         NULL},
};
/* clang-format on */
#pragma GCC diagnostic pop

/* segments: what stands for each "{…}", as it came; ptr NULL where there is none. */
static bool path_fits(const char *pattern, struct str path, struct str segments[ADMIN_MAX_SEGMENTS])
{
    struct str rest = str_of(pattern);
    uint32_t count = 0;

    for (size_t i = 0; i < ADMIN_MAX_SEGMENTS; i++)
        segments[i] = STR_NONE;
    for (;;) {
        size_t brace = str_find(rest, '{'), end;

        if (brace == rest.len)
            return str_eq(rest, path);
        if (!str_starts(path, str_at(rest.ptr, brace)))
            return false;
        path = str_from(path, brace);
        end = str_find(path, '/');
        if (end == 0)
            return false;
        CHECK(count < ADMIN_MAX_SEGMENTS); /* the table is ours */
        segments[count++] = str_at(path.ptr, end);
        path = str_from(path, end);
        rest = str_from(rest, str_find(rest, '}') + 1);
    }
}

static bool method_fits(const struct endpoint *endpoint, struct str method)
{
    struct str own = str_of(endpoint->method);

    return str_eq(own, method) || (str_eq(method, STR("HEAD")) && str_eq(own, STR("GET")));
}

bool routes_fits_method(const struct call *call)
{
    return method_fits(call->endpoint, call->question->method);
}

void routes_find_endpoint(struct call *call)
{
    struct str segments[ADMIN_MAX_SEGMENTS];

    for (size_t i = 0; i < COUNT_OF(endpoints); i++) {
        if (!path_fits(endpoints[i].path, call->question->path, segments))
            continue;
        call->endpoint = &endpoints[i];
        call->segment = segments[0];
        call->second_segment = segments[1];
        if (routes_fits_method(call))
            return;
    }
}

static bool read_segment(struct call *call, struct str *segment)
{
    if (segment->ptr == NULL)
        return true;
    *segment = percent_decoded(*segment, call->question->arena);
    if (segment->ptr != NULL)
        return true;
    answer_refusal(call, 400, "A part of the path is not sound.");
    return false;
}

bool routes_read_segment(struct call *call)
{
    return read_segment(call, &call->segment) && read_segment(call, &call->second_segment);
}

struct str routes_allowed(const struct call *call)
{
    struct arena *arena = call->question->arena;
    struct str allowed = STR_NONE, segments[ADMIN_MAX_SEGMENTS];

    for (size_t i = 0; i < COUNT_OF(endpoints); i++) {
        const char *method = endpoints[i].method;

        if (!path_fits(endpoints[i].path, call->question->path, segments))
            continue;
        allowed = arena_printf(arena, "%.*s%s%s%s", STR_ARG(allowed), allowed.len > 0 ? ", " : "",
                               method, strcmp(method, "GET") == 0 ? ", HEAD" : "");
    }
    return allowed.ptr != NULL ? allowed : STR("GET");
}
