/* sections_server.c - the settings of server, admin, store and log, and the list of all sections.
 *
 * A row is a setting: name, form, member, default, least, most, what it does. Bounds of
 * durations are milliseconds, of sizes bytes. The order of root_fields matters: routes
 * refer to upstreams and take the server's body limit.
 *
 * Constant tables. */
#include "config/config_priv.h"

#define FIELD_NAMED(coll, n, k, type, member, ini, what)                                           \
    FIELD_WITH(coll, n, k, type, member, ini, 0, 0, what)

static bool is_file_path(struct str text)
{
    return text.len > 0 && text.len < 4096;
}

static const struct text_rule file_rule = {"the path of a file", is_file_path};

/* ---- listeners ---- */

static const struct words client_auths = {{"none", "optional", "required", NULL}};
static const struct field listen_fields[] = {
    FIELD("address", kind_address, struct listen_config, address, NULL, 0, 0,
          "ADDRESS:PORT, [V6]:PORT or unix:/path; port 0 picks a free one"),
    FIELD("tls", kind_texts, struct listen_config, tls, "", 0, 0,
          "names of server.tls, chosen by SNI, the first when none fits; empty: plain HTTP"),
    FIELD_WITH(client_auths, "client_auth", kind_choice, struct listen_config, client_auth, "none",
               0, 0,
               "certificates of clients, verified by server.tls.*.client_ca; optional: one that is "
               "shown must be sound"),
    FIELD("proxy_protocol", kind_bool, struct listen_config, proxy_protocol, "false", 0, 0,
          "a PROXY header (v1, v2) must begin each connection; believed from trusted_proxies and "
          "unix sockets, from everybody while that list is empty"),
};

static void listen_finish(struct reader *reader, const struct node *node, void *base)
{
    (void)base;
    if (node_child(node, STR("address")) == NULL)
        reader_fault_in(reader, node, "address", "is missing, expected %s", kind_address.expected);
}

static const struct section listen_section = {SECTION(listen_fields, sizeof(struct listen_config)),
                                              .finish = listen_finish};

static bool listen_is_short(const void *element)
{
    const struct listen_config *listen = element;

    return listen->tls.count == 0 && listen->client_auth == CLIENT_AUTH_NONE &&
           !listen->proxy_protocol;
}

static const struct collection listen_list = {.section = &listen_section,
                                              .count_offset =
                                                  offsetof(struct server_config, listen_count),
                                              .is_short = listen_is_short};
static const struct collection listen_one = {.section = &listen_section,
                                             .is_short = listen_is_short};

/* ---- server ---- */

static const struct field tls_fields[] = {
    FIELD_REQUIRED(&file_rule, "cert", kind_text, struct tls_config, cert, 0, 0,
                   "PEM file with the certificate and its chain"),
    FIELD_REQUIRED(&file_rule, "key", kind_text, struct tls_config, key, 0, 0,
                   "PEM file with the private key"),
    FIELD("client_ca", kind_text, struct tls_config, client_ca, "", 0, 0,
          "PEM file of authorities that clients' certificates must come from; empty: none"),
};
static const struct section tls_section = {SECTION(tls_fields, sizeof(struct tls_config))};
static const struct collection tls_collection = {.section = &tls_section,
                                                 .count_offset =
                                                     offsetof(struct server_config, tls_count),
                                                 .name_offset = offsetof(struct tls_config, name)};

/* A request's head and its answer's share one connection's 64 KiB of memory, so a head may take 40
 * KiB at most. */
#define S struct server_config
static const struct field server_fields[] = {
    FIELD_NAMED(listen_list, "listen", kind_eithers, S, listen, "0.0.0.0:8080",
                "where clients connect: texts, or objects with address and tls"),
    FIELD("workers", kind_workers, S, workers, "auto", 1, 256,
          "threads; auto: the cores that this process may use (affinity, cgroup cpu.max)"),
    FIELD_NAMED(tls_collection, "tls", kind_map, S, tls, NULL, "certificates by name"),
    FIELD("max_connections", kind_count, S, max_connections, "20000", 1, 10000000,
          "of the whole process; over it: 503 and closed"),
    FIELD("max_connections_per_ip", kind_count, S, max_connections_per_ip, "0", 0, 10000000,
          "over it: closed; 0: no limit"),
    FIELD("max_requests_per_connection", kind_count, S, max_requests_per_connection, "0", 0,
          INT64_C(4000000000), "then closed; 0: no limit"),
    FIELD("max_header_bytes", kind_size, S, max_header_bytes, "32KiB", KIB(1), KIB(40),
          "of a request's head; more: 431"),
    FIELD("max_headers", kind_count, S, max_headers, "100", 1, 1000,
          "fields in a request's head; more: 431"),
    FIELD("max_uri_bytes", kind_size, S, max_uri_bytes, "8KiB", 256, KIB(32),
          "of a request's target; more: 414"),
    FIELD("max_body_bytes", kind_size, S, max_body_bytes, "10MiB", 0, GIB(1024),
          "of a request's body; more: 413; a route may set its own"),
    FIELD("header_timeout", kind_duration, S, header_timeout_ms, "10s", 10, HOURS(1),
          "for a whole request head; then 408 or closed"),
    FIELD("body_timeout", kind_duration, S, body_timeout_ms, "30s", 10, HOURS(1),
          "longest silence while a body is read"),
    FIELD("write_timeout", kind_duration, S, write_timeout_ms, "60s", 10, HOURS(1),
          "longest time in which a client takes nothing"),
    FIELD("stream_idle_timeout", kind_duration, S, stream_idle_timeout_ms, "300s", 10, DAYS(1),
          "longest silence on event streams"),
    FIELD("idle_timeout", kind_duration, S, idle_timeout_ms, "60s", 10, HOURS(1),
          "of a kept connection between two requests"),
    FIELD("drain_delay", kind_duration, S, drain_delay_ms, "0s", 0, HOURS(1),
          "between the stop signal and closed listeners"),
    FIELD("shutdown_grace", kind_duration, S, shutdown_grace_ms, "30s", 0, HOURS(1),
          "in which requests in flight may end"),
    FIELD("trusted_proxies", kind_cidrs, S, trusted_proxies, "", 0, 0,
          "only these may speak for a client (X-Forwarded-For, Forwarded)"),
};
#undef S

static void server_finish(struct reader *reader, const struct node *node, void *base)
{
    const struct server_config *server = base;

    if (server->max_uri_bytes > server->max_header_bytes)
        reader_fault_in(reader, node, "max_uri_bytes",
                        "is %zu, expected at most server.max_header_bytes, which is %zu",
                        server->max_uri_bytes, server->max_header_bytes);
}

const struct section server_section = {SECTION(server_fields, sizeof(struct server_config)),
                                       .finish = server_finish};

/* ---- admin, store, log ---- */

static const struct field admin_fields[] = {
    FIELD_WITH(listen_one, "listen", kind_either, struct admin_config, listen, "127.0.0.1:8081", 0,
               0, "where /system/ and /metrics are served"),
    FIELD("token", kind_secret, struct admin_config, token, "", 0, 0,
          "bearer token of /system/; empty: the listener must be loopback"),
    FIELD("metrics_public", kind_bool, struct admin_config, metrics_public, "true", 0, 0,
          "/metrics without the token"),
    FIELD("public", kind_bool, struct admin_config, is_public, "false", 0, 0,
          "/system/ on server.listen too, always with the token"),
};
const struct section admin_section = {SECTION(admin_fields, sizeof(struct admin_config))};

static bool is_prefix(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~' || text.ptr[i] == '{' || text.ptr[i] == '}')
            return false;
    return text.len > 0 && text.len <= 64;
}

static const struct text_rule prefix_rule = {"1 to 64 visible characters without { and }",
                                             is_prefix};
static bool is_prefix_or_empty(struct str text)
{
    return text.len == 0 || is_prefix(text);
}

static const struct text_rule prefix_or_empty_rule = {"up to 64 visible characters without { and }",
                                                      is_prefix_or_empty};
static const struct words eviction_words = {{"warn", "refuse", "off", NULL}};
#define ROLE_SECTION(name, role)                                                                   \
    static const struct field name##_role_fields[] = {                                             \
        FIELD("url", kind_store, struct config, store.role_urls[role], "memory:", 0, 0,            \
              "where it is; memory: as store.url"),                                                \
    };                                                                                             \
    static const struct section name##_role_section = {SECTION(name##_role_fields, 0)}
ROLE_SECTION(limit, STORE_LIMIT);
ROLE_SECTION(cache, STORE_CACHE);
ROLE_SECTION(revoked, STORE_REVOKED);
ROLE_SECTION(usage, STORE_USAGE);
ROLE_SECTION(jobs, STORE_JOBS);
static const struct field images_role_fields[] = {
    FIELD("url", kind_store, struct config, store.role_urls[STORE_IMAGES], "memory:", 0, 0,
          "where it is; memory: as store.url"),
    FIELD_WITH(prefix_or_empty_rule, "prefix", kind_text, struct config, store.images_prefix, "", 0,
               0, "what stands before cache:image:hash:PHASH"),
};
static const struct section images_role_section = {SECTION(images_role_fields, 0)};
static const struct field roles_fields[] = {
    FIELD_NESTED("limit", limit_role_section, "counters of limits"),
    FIELD_NESTED("cache", cache_role_section, "the second level of cache.store"),
    FIELD_NESTED("revoked", revoked_role_section, "revoked tokens"),
    FIELD_NESTED("usage", usage_role_section, "usage, and tiers that operators gave for a while"),
    FIELD_NESTED("jobs", jobs_role_section, "jobs and task results of routes with job"),
    FIELD_NESTED("images", images_role_section,
                 "answers of the route with cache.key.image, as plain JSON for other programs too"),
};
static const struct section roles_section = {SECTION(roles_fields, 0)};
static const struct field store_tls_fields[] = {
    FIELD("ca", kind_text, struct config, store.tls_ca, "", 0, 0,
          "PEM file of trusted authorities; empty: the system's"),
    FIELD("cert", kind_text, struct config, store.tls_cert, "", 0, 0,
          "PEM file of the certificate that the gateway shows; empty: none"),
    FIELD("key", kind_text, struct config, store.tls_key, "", 0, 0, "PEM file of its private key"),
};
static const struct section store_tls_section = {SECTION(store_tls_fields, 0)};
static const struct field store_fields[] = {
    FIELD("url", kind_store, struct config, store.url, "memory:", 0, 0,
          "what gateways share: memory: (nothing), redis://, redis+sentinel://, redis+cluster://; "
          "with TLS rediss:// and so on"),
    FIELD_WITH(prefix_rule, "prefix", kind_text, struct config, store.prefix, "gw:", 0, 0,
               "what every key in the store begins with"),
    FIELD("timeout", kind_duration, struct config, store.timeout_ms, "25ms", 1, 10000,
          "a cache answer later than this is a miss"),
    FIELD_WITH(eviction_words, "eviction_check", kind_choice, struct config, store.eviction_check,
               "warn", 0, 0,
               "a server whose eviction policy could drop counters: warn, refuse to start, off"),
    FIELD_NESTED("tls", store_tls_section, "of rediss:// and the like"),
    FIELD_NESTED("roles", roles_section, "what lives elsewhere than at url"),
};
const struct section store_section = {SECTION(store_fields, 0)};

static bool is_log_place(struct str text)
{
    return str_eq(text, STR("stdout")) || str_eq(text, STR("stderr")) || str_eq(text, STR("off")) ||
           str_find(text, '/') < text.len;
}

static const struct text_rule log_rule = {"\"stdout\", \"stderr\", \"off\" or a path with a /",
                                          is_log_place};
static bool is_log_field(struct str text)
{
    static const char *const names[] = {
        "time",     "request_id",  "client",   "method",    "path",  "route",
        "status",   "duration_ms", "bytes_in", "bytes_out", "cache", "tier",
        "upstream", "target",      "attempts", "reason",    "match"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_eq(text, str_of(names[i])))
            return true;
    return false;
}

static const struct text_rule log_field_rule = {
    "time, request_id, client, method, path, route, status, duration_ms, bytes_in, bytes_out, "
    "cache, tier, upstream, target, attempts or reason",
    is_log_field};
static const struct words formats = {{"text", "json"}};
static const struct words levels = {{"debug", "info", "warn", "error"}};
_Static_assert(LOG_DEBUG == 0 && LOG_ERROR == 3, "levels stand in the order of enum log_level");

static const struct field log_fields[] = {
    FIELD_WITH(log_rule, "access", kind_text, struct log_config, access, "stdout", 0, 0,
               "one line a request: stdout, stderr, off or a path"),
    FIELD_WITH(log_rule, "errors", kind_text, struct log_config, errors, "stderr", 0, 0,
               "the gateway's own messages"),
    FIELD_WITH(formats, "format", kind_flag, struct log_config, json, "json", 0, 0, "of both logs"),
    FIELD_WITH(levels, "level", kind_choice, struct log_config, level, "info", 0, 0,
               "the least that is logged"),
    FIELD_WITH(log_field_rule, "fields", kind_texts, struct log_config, fields, NULL, 0, 0,
               "of a line of the access log; empty: all"),
    FIELD("slow", kind_duration, struct log_config, slow_ms, "1s", 1, 86400000,
          "requests that take longer are counted, and named in the error log"),
};
const struct section log_section = {SECTION(log_fields, sizeof(struct log_config))};

/* ---- everything ---- */

#define FIELD_SECTION(n, sec, member, what)                                                        \
    FIELD_WITH(sec, n, kind_section, struct config, member, NULL, 0, 0, what)
static const char built_in_tiers[] =
    "{\"free\": {\"per_second\": 5, \"per_minute\": 100, \"per_hour\": 1000, \"burst\": 10},"
    " \"premium\": {\"per_second\": 20, \"per_minute\": 500, \"per_hour\": 10000, \"burst\": 50},"
    " \"enterprise\": {\"per_second\": 100, \"per_minute\": 3000, \"per_hour\": 50000, \"burst\": "
    "200},"
    " \"internal\": {\"per_second\": 1000, \"per_minute\": 30000, \"per_hour\": 500000, \"burst\": "
    "2000}}";

static const struct field root_fields[] = {
    {.name = "include",
     .kind = &kind_include,
     .about = "files whose upstreams, routes and tiers are added; from this file's folder, with *"},
    FIELD_SECTION("server", server_section, server,
                  "listeners and the bounds of connections and requests"),
    FIELD_SECTION("admin", admin_section, admin, "the operators' listener"),
    FIELD_NESTED("store", store_section, "where counters live"),
    FIELD_SECTION("identity", identity_section, identity,
                  "who is asking; the first source that finds a credential decides"),
    FIELD_NAMED(tier_collection, "tiers", kind_map, struct config, tiers, built_in_tiers,
                "limits by name; a tier given here replaces the built-in one of its name"),
    FIELD_SECTION("limits", limits_section, limits, "how limits are applied"),
    FIELD_SECTION("cache", cache_section, cache, "the cache of the whole gateway"),
    FIELD_NAMED(upstream_collection, "upstreams", kind_map, struct config, upstreams, NULL,
                "who can answer, by name"),
    FIELD_NAMED(route_collection, "routes", kind_list, struct config, routes, NULL,
                "what is answered by whom; the best match wins"),
    FIELD_SECTION("log", log_section, log, "where and what is logged"),
    FIELD_SECTION("health", system_health_section, health,
                  "from where on /system/health says warning, and critical"),
    FIELD_SECTION("trace", trace_section, trace, "spans of requests, told to a collector"),
    FIELD_SECTION("resources", resources_section, resources,
                  "what this gateway and its neighbours use, against what they are given"),
};
const struct section root_section = {SECTION(root_fields, sizeof(struct config))};
