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
    {"DELETE", "/system/cache/clear",             delete_cache,             ACCESS_TOKEN,   "cache_clear",       "dry_run soft host"},
    {"DELETE", "/system/cache/user/{user_id}",    delete_cache_user,        ACCESS_TOKEN,   "cache_user",        "dry_run soft host"},
    {"DELETE", "/system/cache/endpoint",          delete_cache_endpoint,    ACCESS_TOKEN,   "cache_endpoint",    "endpoint_pattern dry_run soft host"},
    {"POST",   "/system/cache/invalidate",        post_cache_invalidate,    ACCESS_TOKEN,   "cache_invalidate",  "pattern url tag soft dry_run host"},
    {"GET",    "/system/rate-limit/status",       get_rate_limit_status,    ACCESS_TOKEN,   "rate_limit_status", "client"},
    {"DELETE", "/system/rate-limit/client/{id}",  delete_rate_limit_client, ACCESS_TOKEN,   "rate_limit_forget", ""},
    {"GET",    "/system/rate-limit/top",          get_rate_limit_top,       ACCESS_TOKEN,   "rate_limit_top",    "by limit"},
    {"PUT",    "/system/rate-limit/client/{id}",  put_rate_limit_client,    ACCESS_TOKEN,   "rate_limit_tier",   "", "tier ttl"},
    {"GET",    "/system/usage",                   get_usage,                ACCESS_TOKEN,   "usage",             "client from to format"},
    {"GET",    "/system/upstreams",               get_upstreams,            ACCESS_TOKEN,   "upstreams",         ""},
    {"GET",    "/system/explain/{request_id}",    get_explain,              ACCESS_TOKEN,   "explain",           ""},
    {"GET",    "/system/config",                  get_config,               ACCESS_TOKEN,   "config",            ""},
    {"POST",   "/system/config/reload",           post_config_reload,       ACCESS_TOKEN,   "config_reload",     ""},
};
/* clang-format on */
#pragma GCC diagnostic pop

/* *segment: what stands for "{…}", as it came. */
static bool path_fits(const char *pattern, struct str path, struct str *segment)
{
    struct str fixed = str_of(pattern);
    size_t brace = str_find(fixed, '{');

    *segment = STR_NONE;
    if (brace == fixed.len)
        return str_eq(fixed, path);
    if (!str_starts(path, str_at(pattern, brace)))
        return false;
    *segment = str_from(path, brace);
    return segment->len > 0 && str_find(*segment, '/') == segment->len;
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
    struct str segment;

    for (size_t i = 0; i < COUNT_OF(endpoints); i++) {
        if (!path_fits(endpoints[i].path, call->question->path, &segment))
            continue;
        call->endpoint = &endpoints[i];
        call->segment = segment;
        if (routes_fits_method(call))
            return;
    }
}

bool routes_read_segment(struct call *call)
{
    if (call->segment.ptr == NULL)
        return true;
    call->segment = percent_decoded(call->segment, call->question->arena);
    if (call->segment.ptr != NULL)
        return true;
    answer_refusal(call, 400, "The last part of the path is not sound.");
    return false;
}

struct str routes_allowed(const struct call *call)
{
    struct arena *arena = call->question->arena;
    struct str allowed = STR_NONE, segment;

    for (size_t i = 0; i < COUNT_OF(endpoints); i++) {
        const char *method = endpoints[i].method;

        if (!path_fits(endpoints[i].path, call->question->path, &segment))
            continue;
        allowed = arena_printf(arena, "%.*s%s%s%s", STR_ARG(allowed), allowed.len > 0 ? ", " : "",
                               method, strcmp(method, "GET") == 0 ? ", HEAD" : "");
    }
    return allowed.ptr != NULL ? allowed : STR("GET");
}
