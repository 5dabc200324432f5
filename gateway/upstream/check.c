/* check.c - judges the upstreams of a configuration, before it is used.
 *
 * config/ knows forms and bounds; here is what only this room knows: whether a target can
 * be connected to at all, and whether the authorities to believe can be read. Main thread;
 * blocks on files. */
#include "upstream/upstream_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_CA_BYTES = 16 << 20, PATH_ROOM = 192, MOST_HOST = 253 };

static bool is_host(struct str host)
{
    struct str parsed;
    uint16_t port;

    return host.len > 0 && host.len <= MOST_HOST && http_parse_authority(host, &parsed, &port) &&
           port == 0;
}

static void check_target(const struct config *config, struct faults *faults,
                         const struct upstream_config *upstream, uint32_t index)
{
    const struct target_config *target = &upstream->targets[index];
    char path[PATH_ROOM];

    snprintf(path, sizeof(path), "upstreams.%.*s.targets[%" PRIu32 "]", STR_ARG(upstream->name),
             index);
    if (!is_host(target->host) || target->port == 0)
        faults_add(faults, config, path,
                   "\"%.*s\" is no address to connect to, expected http://host:port or "
                   "https://host:port",
                   STR_ARG(target->url));
    for (uint32_t i = 0; i < index; i++)
        if (str_eq(upstream->targets[i].url, target->url))
            faults_add(faults, config, path, "\"%.*s\" is listed twice; use its weight",
                       STR_ARG(target->url));
}

static void check_ca(const struct config *config, struct faults *faults,
                     const struct upstream_config *upstream)
{
    struct fail why = {{0}};
    char path[PATH_ROOM];
    size_t len = 0;
    char *pem;

    if (upstream->tls.ca.len == 0)
        return;
    snprintf(path, sizeof(path), "upstreams.%.*s.tls.ca", STR_ARG(upstream->name));
    pem = file_read(upstream->tls.ca.ptr, MOST_CA_BYTES, &len, &why);
    if (pem == NULL)
        faults_add(faults, config, path, "cannot be read: %s", why.text);
    else if (!str_has(str_at(pem, len), STR("-----BEGIN CERTIFICATE-----")))
        faults_add(faults, config, path, "%.*s holds no certificate, expected a PEM file",
                   STR_ARG(upstream->tls.ca));
    free(pem);
}

/* libcurl has the connections to https targets, and does not hand them over. */
static void check_websocket(const struct config *config, struct faults *faults,
                            const struct route_config *route)
{
    char path[PATH_ROOM];

    if (!route->websocket || route->upstream == NULL)
        return;
    for (uint32_t i = 0; i < route->upstream->target_count; i++)
        if (route->upstream->targets[i].is_https) {
            snprintf(path, sizeof(path), "routes[%" PRIu32 "].websocket", route->index);
            faults_add(faults, config, path,
                       "is true with an https target (%.*s), expected http:// or unix:",
                       STR_ARG(route->upstream->targets[i].url));
            return;
        }
}

void upstream_check(const struct config *config, struct faults *faults)
{
    for (uint32_t i = 0; i < config->upstream_count; i++) {
        const struct upstream_config *upstream = &config->upstreams[i];

        for (uint32_t j = 0; j < upstream->target_count; j++)
            check_target(config, faults, upstream, j);
        check_ca(config, faults, upstream);
    }
    for (uint32_t i = 0; i < config->route_count; i++)
        check_websocket(config, faults, &config->routes[i]);
}
