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

/* Every kind of key ends so: PRIVATE KEY, EC PRIVATE KEY, ENCRYPTED PRIVATE KEY. */
#define KEY_MARK         "PRIVATE KEY-----"
#define CERTIFICATE_MARK "-----BEGIN CERTIFICATE-----"

static void check_pem(const struct config *config, struct faults *faults, const char *path,
                      struct str file, struct str mark)
{
    struct fail why = {{0}};
    size_t len = 0;
    char *pem;

    if (file.len == 0)
        return;
    pem = file_read(file.ptr, MOST_CA_BYTES, &len, &why);
    if (pem == NULL)
        faults_add(faults, config, path, "cannot be read: %s", why.text);
    else if (!str_has(str_at(pem, len), mark))
        faults_add(faults, config, path, "%.*s holds no %s, expected a PEM file", STR_ARG(file),
                   str_eq(mark, STR(KEY_MARK)) ? "private key" : "certificate");
    free(pem);
}

static void check_tls(const struct config *config, struct faults *faults,
                      const struct upstream_config *upstream)
{
    char path[PATH_ROOM];

    snprintf(path, sizeof(path), "upstreams.%.*s.tls.ca", STR_ARG(upstream->name));
    check_pem(config, faults, path, upstream->tls.ca, STR(CERTIFICATE_MARK));
    snprintf(path, sizeof(path), "upstreams.%.*s.tls.cert", STR_ARG(upstream->name));
    check_pem(config, faults, path, upstream->tls.cert, STR(CERTIFICATE_MARK));
    if ((upstream->tls.cert.len > 0) != (upstream->tls.key.len > 0))
        faults_add(faults, config, path, "belongs to a key, expected both or neither");
    snprintf(path, sizeof(path), "upstreams.%.*s.tls.key", STR_ARG(upstream->name));
    check_pem(config, faults, path, upstream->tls.key, STR(KEY_MARK));
}

void upstream_check(const struct config *config, struct faults *faults)
{
    for (uint32_t i = 0; i < config->upstream_count; i++) {
        const struct upstream_config *upstream = &config->upstreams[i];

        for (uint32_t j = 0; j < upstream->target_count; j++)
            check_target(config, faults, upstream, j);
        check_tls(config, faults, upstream);
    }
}
