/* check.c - what no single setting can see: references, names that collide, dangerous pairs.
 *
 * Runs when everything is read, also after faults: a person wants all of them at once.
 * Each line names both ends. Certificates, patterns and templates are judged by the
 * rooms that know them.
 *
 * Part of config_load(). */
#include "config/config_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_PATH = 512, MAX_NAMES = 200 };

/* Also numbers what others find by index. */
static void check_route_names(struct reader *reader, struct map *names)
{
    struct config *config = reader->config;

    for (uint32_t i = 0; i < config->upstream_count; i++)
        config->upstreams[i].index = i;
    for (uint32_t i = 0; i < config->route_count; i++) {
        struct route_config *route = &config->routes[i];
        const struct route_config *other = map_get(names, route->name);
        char path[MAX_PATH];
        route->index = i;
        if (route->name.len == 0)
            continue;
        snprintf(path, sizeof(path), "routes[%" PRIu32 "].name", i);
        if (other != NULL)
            reader_fault_at(reader, path,
                            "is \"%.*s\", which is the name of routes[%" PRIu32
                            "] too, expected another",
                            STR_ARG(route->name), other->index);
        else if (!map_put(names, route->name, route))
            reader_fault_at(reader, path, "out of memory");
    }
}

static void check_tier(struct reader *reader, struct str tier, const char *path)
{
    const struct config *config = reader->config;
    const char *names[MAX_NAMES];
    size_t count = 0;

    if (config_tier(config, tier) != NULL)
        return;
    for (; count < config->tier_count && count < MAX_NAMES; count++)
        names[count] = config->tiers[count].name.ptr;
    reader_fault_at(reader, path, "is \"%.*s\", which is not in tiers, expected perhaps \"%s\"",
                    STR_ARG(tier), nearest_word(tier, names, count));
}

static void check_keys(struct reader *reader, const struct map *routes)
{
    struct config *config = reader->config;
    struct map *digests = map_new();

    for (uint32_t i = 0; digests != NULL && i < config->identity.api_key.key_count; i++) {
        struct api_key_config *key = &config->identity.api_key.keys[i];
        char path[MAX_PATH];
        if (key->tier.len == 0)
            key->tier = config->limits.default_tier;
        /* found under the name in the file, shown without it */
        snprintf(path, sizeof(path), "identity.api_key.keys");
        if (map_get(digests, key->sha256_hex) != NULL)
            reader_fault_at(reader, path,
                            "has the key of \"%.*s\" twice, expected each digest once",
                            STR_ARG(key->id));
        else if (!map_put(digests, key->sha256_hex, key))
            reader_fault_at(reader, path, "out of memory");
        if (config_tier(config, key->tier) == NULL &&
            !str_eq(key->tier, config->limits.default_tier))
            reader_fault_at(reader, path,
                            "the key of \"%.*s\" has the tier \"%.*s\", which is not in tiers",
                            STR_ARG(key->id), STR_ARG(key->tier));
        for (uint32_t scope = 0; scope < key->scopes.count; scope++) {
            if (map_get(routes, key->scopes.at[scope]) == NULL)
                reader_fault_at(
                    reader, path,
                    "the key of \"%.*s\" has the scope \"%.*s\", which is no route's name",
                    STR_ARG(key->id), STR_ARG(key->scopes.at[scope]));
        }
    }
    map_free(&digests);
}

/* ---- listeners ---- */

static const struct tls_config *tls_named(const struct server_config *server, struct str name)
{
    for (uint32_t i = 0; i < server->tls_count; i++) {
        if (str_eq(server->tls[i].name, name))
            return &server->tls[i];
    }
    return NULL;
}

static void check_tls_names(struct reader *reader, const struct listen_config *listen,
                            const char *path)
{
    for (uint32_t i = 0; i < listen->tls.count; i++) {
        if (tls_named(&reader->config->server, listen->tls.at[i]) == NULL)
            reader_fault_at(reader, path,
                            "names the certificate \"%.*s\", which is not in server.tls",
                            STR_ARG(listen->tls.at[i]));
    }
}

/* One authority for a listener: a client chooses the name of its handshake and that of each request
 * freely, so a second one would let in whom the first does not know. */
static void check_client_auth(struct reader *reader, const struct listen_config *listen,
                              const char *path)
{
    const struct tls_config *first = NULL;

    if (listen->client_auth == CLIENT_AUTH_NONE)
        return;
    if (listen->tls.count == 0)
        reader_fault_at(reader, path, "asks for client_auth without tls, expected tls");
    for (uint32_t i = 0; i < listen->tls.count; i++) {
        const struct tls_config *tls = tls_named(&reader->config->server, listen->tls.at[i]);

        if (tls == NULL)
            continue;
        if (tls->client_ca.len == 0)
            reader_fault_at(reader, path,
                            "asks for client_auth, but server.tls.%.*s has no client_ca",
                            STR_ARG(tls->name));
        else if (first != NULL && !str_eq(first->client_ca, tls->client_ca))
            reader_fault_at(
                reader, path,
                "asks for client_auth with another client_ca in server.tls.%.*s than in "
                "server.tls.%.*s, expected one for a listener",
                STR_ARG(tls->name), STR_ARG(first->name));
        first = tls;
    }
}

static bool is_same_place(const struct listen_config *a, const struct listen_config *b)
{
    if (a->is_unix != b->is_unix || !str_eq(a->address, b->address))
        return false;
    return a->is_unix || (a->port == b->port && a->port != 0);
}

static bool is_loopback(const struct listen_config *listen)
{
    static const uint8_t v6[16] = {[15] = 1};
    static const uint8_t v4[13] = {[10] = 0xFF, 0xFF, 127};
    uint8_t bytes[16];

    if (listen->is_unix)
        return true;
    if (!address_parse(listen->address, bytes))
        return false;
    return memcmp(bytes, v6, sizeof(v6)) == 0 || memcmp(bytes, v4, sizeof(v4)) == 0;
}

static void check_listeners(struct reader *reader)
{
    const struct config *config = reader->config;
    const struct server_config *server = &config->server;

    for (uint32_t i = 0; i < server->listen_count; i++) {
        char path[MAX_PATH];
        snprintf(path, sizeof(path), "server.listen[%" PRIu32 "]", i);
        check_tls_names(reader, &server->listen[i], path);
        check_client_auth(reader, &server->listen[i], path);
        for (uint32_t j = 0; j < i; j++) {
            if (is_same_place(&server->listen[i], &server->listen[j]))
                reader_fault_at(reader, path,
                                "is the same as server.listen[%" PRIu32 "], expected another", j);
        }
        if (is_same_place(&server->listen[i], &config->admin.listen))
            reader_fault_at(reader, path, "is the same as admin.listen, expected another");
    }
    check_tls_names(reader, &config->admin.listen, "admin.listen");
    /* an address that was not readable is a fault already */
    if (config->admin.token.len == 0 && config->admin.listen.address.len > 0 &&
        !is_loopback(&config->admin.listen))
        reader_fault_at(
            reader, "admin.token",
            "is empty while admin.listen is \"%.*s\", expected a token or a loopback address",
            STR_ARG(config->admin.listen.address));
    if (config->admin.token.len == 0 && config->admin.is_public)
        reader_fault_at(reader, "admin.public",
                        "is true while admin.token is empty, expected a token");
}

/* ---- limits.report ---- */

static bool set_has(const struct window_set *set, struct str name)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (str_eq(set->at[i].name, name))
            return true;
    }
    return false;
}

/* A tier may lack the window; a name that nothing has is a slip. */
static void check_report(struct reader *reader)
{
    static const char *const usual[] = {"second", "minute", "hour", "day",
                                        "month",  "calls",  "burst"};
    const struct config *config = reader->config;
    struct str name = config->limits.report;

    for (size_t i = 0; i < COUNT_OF(usual); i++) {
        if (str_eq(name, str_of(usual[i])))
            return;
    }
    for (uint32_t i = 0; i < config->tier_count; i++) {
        if (set_has(&config->tiers[i].windows, name))
            return;
    }
    for (uint32_t i = 0; i < config->route_count; i++) {
        if (set_has(&config->routes[i].limit.windows, name))
            return;
    }
    reader_fault_at(reader, "limits.report",
                    "is \"%.*s\", which is no window's name, expected perhaps \"%s\"",
                    STR_ARG(name), nearest_word(name, usual, COUNT_OF(usual)));
}

/* Gateways hear of each other at store.url. */
static void check_roles(struct reader *reader)
{
    const struct config *config = reader->config;
    char path[MAX_PATH];

    for (int role = STORE_LIMIT; role < STORE_JOBS; role++) {
        if (!str_eq(config->store.url, STR("memory:")) ||
            str_eq(config->store.role_urls[role], STR("memory:")))
            continue;
        snprintf(path, sizeof(path), "store.roles.%s.url", store_role_name((enum store_role)role));
        reader_fault_at(reader, path,
                        "is of no use while store.url is memory:, expected redis:// there too");
    }
}

static void check_jobs(struct reader *reader)
{
    const struct config *config = reader->config;
    char path[MAX_PATH];

    if (!str_eq(store_url(config, STORE_JOBS), STR("memory:")))
        return;
    for (uint32_t i = 0; i < config->route_count; i++) {
        snprintf(path, sizeof(path), "routes[%" PRIu32 "].job", i);
        if (config->routes[i].job.is_on)
            reader_fault_at(reader, path,
                            "is read from the store, but store.url is memory:, expected redis://");
    }
}

/* The names in the store say nothing but the picture: one question alone can be asked there. */
static void check_images(struct reader *reader)
{
    const struct config *config = reader->config;
    char path[MAX_PATH];
    bool has_one = false;

    if (str_eq(store_url(config, STORE_IMAGES), STR("memory:")))
        return;
    for (uint32_t i = 0; i < config->route_count; i++) {
        const struct route_config *route = &config->routes[i];

        if (!route->cache.is_on || route->cache.image == KEY_IMAGE_NONE ||
            !route->cache.image_store)
            continue;
        snprintf(path, sizeof(path), "routes[%" PRIu32 "].cache.key.store", i);
        if (has_one)
            reader_fault_at(reader, path,
                            "is true on two routes, whose answers would be mixed in the store, "
                            "expected false on one");
        if (str_has(route->match.path, STR("*")) || str_has(route->match.path, STR("{")))
            reader_fault_at(reader, path,
                            "is true beside a path of several URLs, whose answers would be mixed "
                            "in the store, expected false");
        has_one = true;
    }
}

void check_references(struct reader *reader)
{
    struct map *routes = map_new();

    if (routes == NULL) {
        reader_fault_at(reader, "", "out of memory");
        return;
    }
    check_route_names(reader, routes);
    check_tier(reader, reader->config->limits.default_tier, "limits.default_tier");
    check_keys(reader, routes);
    check_listeners(reader);
    check_roles(reader);
    check_jobs(reader);
    check_images(reader);
    check_report(reader);
    map_free(&routes);
}
