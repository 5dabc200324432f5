/* env.c - settings from the environment, without a file or over one (contract §2).
 *
 * Most variables are another name of one setting and are read by its own row. The
 * others change what has no fixed place: the default tier's windows, a route's
 * lifetime, one catch-all upstream. A variable that is empty counts as not set: that is
 * what container tools pass for "none".
 *
 * Part of config_load(); the environment is passed in, never read from the process. */
#include "config/config_priv.h"

#include <stdio.h>
#include <stdlib.h>

static const struct alias {
    const char *variable, *section, *name;
} aliases[] = {
    {"RATE_LIMIT_ENABLED", "limits", "enabled"},        {"CACHE_ENABLED", "cache", "enabled"},
    {"REDIS_CACHE_TTL", "cache", "default_ttl"}, /* the older name loses */
    {"CACHE_TTL_DEFAULT", "cache", "default_ttl"},      {"GATEWAY_LISTEN", "server", "listen"},
    {"GATEWAY_ADMIN_LISTEN", "admin", "listen"},        {"GATEWAY_ADMIN_TOKEN", "admin", "token"},
    {"GATEWAY_HASH_SECRET", "identity", "hash_secret"}, {"JWT_SECRET", "identity", "jwt.secret"},
};

/* The value of a variable, which faults name from now on. False: unset or empty. */
static bool begin_variable(struct reader *reader, const char *name, struct str *value)
{
    *value = str_trim(env_get(reader->env, str_of(name)));
    if (value->len == 0)
        return false;
    reader->variable = name;
    reader->node = reader->field = NULL;
    return true;
}

static void mark(struct reader *reader, const char *format, ...) PRINTF_LIKE(2, 3);

static void mark(struct reader *reader, const char *format, ...)
{
    char path[512];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    if (len > 0 && (size_t)len < sizeof(path))
        reader_mark(reader, str_of(path), str_of(reader->variable));
}

/* "secret", or "jwt.secret" where the fields lie in their parent's struct. */
static const struct field *field_named(const struct section *section, const char *name)
{
    size_t i = 0, dot = strcspn(name, ".");

    while (i < section->count && !str_eq(str_of(section->fields[i].name), str_at(name, dot)))
        i++;
    CHECK(i < section->count); /* else a table has lost a row */
    return name[dot] == '.' ? field_named(section->fields[i].detail, name + dot + 1)
                            : &section->fields[i];
}

static void read_aliases(struct reader *reader)
{
    for (size_t i = 0; i < COUNT_OF(aliases); i++) {
        const struct alias *alias = &aliases[i];
        const struct field *section = field_named(&root_section, alias->section);
        struct str value;
        if (!begin_variable(reader, alias->variable, &value))
            continue;
        field_read_text(reader, field_named(section->detail, alias->name), value,
                        member_of(section, reader->config));
        mark(reader, "%s.%s", alias->section, alias->name);
    }
}

/* ---- limits ---- */

static struct tier_config *default_tier(struct reader *reader)
{
    struct config *config = reader->config;
    const struct tier_config *tier = config_tier(config, config->limits.default_tier);

    return tier != NULL ? &config->tiers[tier - config->tiers] : NULL;
}

static const struct field calls_number = {
    .kind = &kind_number, .least = 1, .most = INT64_C(1000000000000)};
static const struct field period_duration = {.kind = &kind_duration, .least = 1, .most = DAYS(366)};

static void put_window(struct reader *reader, struct tier_config *tier,
                       const struct window_config *window)
{
    if (!window_put(&tier->windows, window))
        reader_fault(reader, "has no room in the tier \"%.*s\", expected at most %d windows",
                     STR_ARG(tier->name), CONFIG_MAX_WINDOWS);
}

static void read_windows(struct reader *reader, struct tier_config *tier)
{
    static const char *const variables[][2] = {{"RATE_LIMIT_PER_MINUTE", "per_minute"},
                                               {"RATE_LIMIT_PER_HOUR", "per_hour"}};
    struct str value;

    for (size_t i = 0; i < COUNT_OF(variables); i++) {
        if (!begin_variable(reader, variables[i][0], &value))
            continue;
        window_drop(&tier->windows, "second");
        field_read_text(reader, field_named(&tier_section, variables[i][1]), value, tier);
        mark(reader, "tiers.%.*s.%s", STR_ARG(tier->name), variables[i][1]);
    }
    if (begin_variable(reader, "RATE_LIMIT_BURST", &value)) {
        struct window_config window = {
            .name = STR("burst"), .kind = WINDOW_SLIDING, .limit = 1, .period_ms = SECONDS(10)};
        field_read_text(reader, &calls_number, value, &window.limit);
        window.burst = window.limit;
        put_window(reader, tier, &window);
        mark(reader, "tiers.%.*s.windows", STR_ARG(tier->name));
    }
}

/* A period that a usual window has gets its name, so that limits.report finds it. */
static struct str period_name(int64_t period_ms)
{
    if (period_ms == MINUTES(1))
        return STR("minute");
    if (period_ms == HOURS(1))
        return STR("hour");
    return period_ms == DAYS(1) ? STR("day") : STR("calls");
}

/* RATE_LIMIT_CALLS per RATE_LIMIT_PERIOD, a minute where it is not set. */
static void read_calls(struct reader *reader, struct tier_config *tier)
{
    struct window_config window = {.kind = WINDOW_SLIDING, .limit = 1, .period_ms = MINUTES(1)};
    bool has_period, has_calls;
    struct str value;

    has_period = begin_variable(reader, "RATE_LIMIT_PERIOD", &value);
    if (has_period)
        field_read_text(reader, &period_duration, value, &window.period_ms);
    has_calls = begin_variable(reader, "RATE_LIMIT_CALLS", &value);
    if (!has_calls) {
        if (has_period)
            reader_fault(reader, "is set without RATE_LIMIT_CALLS, expected both");
        return;
    }
    field_read_text(reader, &calls_number, value, &window.limit);
    window.burst = window.limit;
    window.name = period_name(window.period_ms);
    tier->windows.count = 0;
    put_window(reader, tier, &window);
    mark(reader, "tiers.%.*s", STR_ARG(tier->name));
}

/* ---- lifetimes of routes ---- */

/* "PRODUCT_LIST" for the route "product-list". */
static bool is_route_variable(struct str variable, struct str route)
{
    if (variable.len != route.len)
        return false;
    for (size_t i = 0; i < route.len; i++) {
        char c = ascii_lower(route.ptr[i]);
        bool is_plain = (c >= 'a' && c <= 'z') || ascii_is_digit(c);
        if (variable.ptr[i] != (is_plain ? (c >= 'a' ? (char)(c - 'a' + 'A') : c) : '_'))
            return false;
    }
    return true;
}

static void read_route_ttls(struct reader *reader)
{
    static const struct field ttl =
        FIELD("ttl", kind_duration, struct route_config, cache.ttl_ms, NULL, 0, DAYS(365), "");
    static const struct str prefix = {"CACHE_TTL_", 10};
    struct config *config = reader->config;
    struct str value;

    for (char *const *line = reader->env; line != NULL && *line != NULL; line++) {
        struct str name = str_at(*line, str_find(str_of(*line), '='));
        if (!str_starts(name, prefix) || str_eq(name, STR("CACHE_TTL_DEFAULT")))
            continue;
        struct str kept;
        if (!reader_keep(reader, name, &kept) || !begin_variable(reader, kept.ptr, &value))
            continue;
        for (uint32_t i = 0; i < config->route_count; i++) {
            if (!is_route_variable(str_from(kept, prefix.len), config->routes[i].name))
                continue;
            field_read_text(reader, &ttl, value, &config->routes[i]);
            mark(reader, "routes[%" PRIu32 "].cache.ttl", i);
        }
    }
}

/* ---- one upstream for everything ---- */

static struct upstream_config *upstream_named(struct config *config, struct str name)
{
    for (uint32_t i = 0; i < config->upstream_count; i++) {
        if (str_eq(config->upstreams[i].name, name))
            return &config->upstreams[i];
    }
    return NULL;
}

/* The route that takes what no other takes; added where the file has none. */
static struct route_config *catch_all(struct reader *reader)
{
    struct config *config = reader->config;

    for (uint32_t i = 0; i < config->route_count; i++) {
        struct route_config *route = &config->routes[i];
        if (str_eq(route->match.path, STR("/*")) && str_eq(route->match.host, STR("*")) &&
            route->match.methods.count == 0)
            return route;
    }
    struct route_config *route =
        collection_add(reader, field_named(&root_section, "routes"), config, STR("default"));
    if (route == NULL)
        return NULL;
    route->match.path = STR("/*");
    route->max_body_bytes = config->server.max_body_bytes;
    route->cache.is_on = true; /* else CACHE_ENABLED and its like would say nothing here */
    route->cache.gets = true;
    return route;
}

static void read_upstream(struct reader *reader)
{
    struct upstream_config *upstream = upstream_named(reader->config, STR("default"));
    struct str value;

    if (!begin_variable(reader, "GATEWAY_UPSTREAM", &value) || upstream == NULL)
        return;
    field_read_text(reader, field_named(&upstream_section, "targets"), value, upstream);
    mark(reader, "upstreams.default.targets");
    struct route_config *route = catch_all(reader);
    if (route == NULL)
        return;
    route->upstream = upstream;
    mark(reader, "routes[%td].upstream", route - reader->config->routes);
}

/* ---- the store, from parts or switched off ---- */

static void add_encoded(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        buf_addf(out, "%%%02X", (unsigned)(unsigned char)text.ptr[i]);
}

/* REDIS_HOST, REDIS_PORT, REDIS_DB, REDIS_PASSWORD as one URL. */
static void put_redis_url(struct reader *reader, struct str host)
{
    struct buf url = buf_new(16 * 1024);
    struct str password = env_get(reader->env, STR("REDIS_PASSWORD"));
    struct str port = str_trim(env_get(reader->env, STR("REDIS_PORT")));
    struct str database = str_trim(env_get(reader->env, STR("REDIS_DB")));
    bool is_v6 = str_find(host, ':') < host.len;

    buf_addf(&url, "redis://");
    if (password.len > 0) {
        buf_add_char(&url, ':');
        add_encoded(&url, password);
        buf_add_char(&url, '@');
    }
    buf_addf(&url, "%s%.*s%s:", is_v6 ? "[" : "", STR_ARG(host), is_v6 ? "]" : "");
    buf_add_str(&url, port.len > 0 ? port : STR("6379"));
    buf_add_char(&url, '/');
    buf_add_str(&url, database.len > 0 ? database : STR("0"));
    field_read_text(reader, field_named(&store_section, "url"), buf_str(&url), reader->config);
    mark(reader, "store.url");
    buf_free(&url);
}

static void read_store(struct reader *reader)
{
    static const struct field as_bool = {.kind = &kind_bool};
    const struct field *url = field_named(&store_section, "url");
    bool is_enabled = true, is_said = begin_variable(reader, "REDIS_ENABLED", &(struct str){0});
    struct str value;

    if (is_said)
        field_read_text(reader, &as_bool, str_trim(env_get(reader->env, STR("REDIS_ENABLED"))),
                        &is_enabled);
    if (!is_enabled) {
        field_read_text(reader, url, STR("memory:"), reader->config);
        mark(reader, "store.url");
    } else if (begin_variable(reader, "REDIS_URL", &value)) {
        field_read_text(reader, url, value, reader->config);
        mark(reader, "store.url");
    } else if (begin_variable(reader, "REDIS_HOST", &value)) {
        put_redis_url(reader, value);
    } else if (is_said && str_eq(reader->config->store.url, STR("memory:"))) {
        reader->variable = "REDIS_ENABLED";
        put_redis_url(reader, STR("127.0.0.1"));
    }
}

void env_before_file(struct reader *reader)
{
    struct str value;

    if (begin_variable(reader, "GATEWAY_UPSTREAM", &value) &&
        collection_add(reader, field_named(&root_section, "upstreams"), reader->config,
                       STR("default")) == NULL)
        reader_fault(reader, "out of memory");
    reader->variable = NULL;
}

void env_after_file(struct reader *reader)
{
    struct tier_config *tier;

    read_aliases(reader);
    tier = default_tier(reader);
    if (tier != NULL) { /* else check.c says so */
        read_windows(reader, tier);
        read_calls(reader, tier);
    }
    read_upstream(reader);
    read_route_ttls(reader);
    read_store(reader);
    reader->variable = NULL;
    reader->node = reader->field = NULL;
}
