/* names.c - what addresses a target's name has, asked again when dns_ttl is over.
 *
 * Each address is a target of its own, of either family: balanced, checked and ejected alone.
 * getaddrinfo() tells no lifetime, so the setting is one. When a look-up fails, what was
 * known stays. Where a family cannot be reached, a try goes on to the other (try.c) until
 * ejection has noticed.
 *
 * localhost is left to the client room, which tries its addresses one after the other: they
 * are one machine, and nearly always one server, which must not count as two.
 *
 * Thread: the main thread's loop. */
#include "upstream/upstream_priv.h"

#include <arpa/inet.h>
#include <stdlib.h>

struct name {
    struct name *next;
    struct upstream_keeper *keeper;
    const struct upstream_config *upstream;
    uint32_t origin;
    struct resolution *query;
    struct deadline due;
    bool has_failed;
};

/* ---- what came of it --------------------------------------------------- */

/* As it goes into a URL. */
static void write_address(const struct socket_address *address, char to[ADDRESS_ROOM])
{
    bool is_ip4 = address->as.any.sa_family == AF_INET;
    const void *bytes =
        is_ip4 ? (const void *)&address->as.ip4.sin_addr : (const void *)&address->as.ip6.sin6_addr;
    char *at = to;

    if (!is_ip4)
        *at++ = '[';
    if (inet_ntop(address->as.any.sa_family, bytes, at, INET6_ADDRSTRLEN) == NULL)
        *at = '\0'; /* not reached: there is room */
    at += strlen(at);
    if (!is_ip4)
        *at++ = ']';
    *at = '\0';
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* In an order of their own, each once: name servers turn theirs. */
static uint32_t sort(char (*texts)[ADDRESS_ROOM], const struct resolved *resolved,
                     struct str *addresses)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < resolved->count; i++)
        write_address(&resolved->at[i], texts[i]);
    qsort(texts, resolved->count, ADDRESS_ROOM, compare);
    for (uint32_t i = 0; i < resolved->count; i++) {
        struct str address = str_of(texts[i]);

        if (count == 0 || !str_eq(address, addresses[count - 1]))
            addresses[count++] = address;
    }
    return count;
}

static void on_found(void *arg, const struct resolved *resolved)
{
    struct name *name = arg;
    struct upstream_keeper *keeper = name->keeper;
    const struct upstream_config *upstream = name->upstream;
    struct str host = upstream->targets[name->origin].host, addresses[RESOLVE_MOST];
    char texts[RESOLVE_MOST][ADDRESS_ROOM];
    uint32_t count;
    bool has_changed = false, is_whole;

    name->query = NULL;
    if (resolved->count == 0) {
        if (!name->has_failed)
            log_line(LOG_WARN,
                     "upstream %.*s: %.*s could not be looked up (%s); what was known stays",
                     STR_ARG(upstream->name), STR_ARG(host), resolved->why);
        name->has_failed = true;
        return;
    }
    name->has_failed = false;
    count = sort(texts, resolved, addresses);
    is_whole = registry_set_addresses(keeper->upstreams, upstream, name->origin, addresses, count,
                                      &has_changed);
    if (has_changed) {
        health_end(keeper);
        is_whole = health_begin(keeper) && is_whole;
    }
    if (!is_whole)
        log_line(LOG_ERROR, "out of memory: addresses of %.*s are not all known", STR_ARG(host));
}

/* ---- when ---------------------------------------------------------------- */

static void on_due(void *arg)
{
    struct name *name = arg;
    struct loop *loop = name->keeper->loop;
    const struct target_config *target = &name->upstream->targets[name->origin];

    /* into the place that it just left, before anything else takes that */
    CHECK(deadline_set(loop, &name->due,
                       loop_now_us(loop) + (uint64_t)name->upstream->dns_ttl_ms * 1000));
    if (name->query == NULL) /* without memory for it the next time will do */
        name->query = loop_resolve(loop, target->host, target->port, on_found, name);
}

static bool is_looked_up(const struct target_config *target)
{
    static const struct str local = {".localhost", 10};
    struct socket_address address;
    struct str host = target->host;

    if (target->unix_path.len > 0 || host.len == 0 || host.len > CLIENT_HOST_MOST ||
        socket_address_parse(host, 0, &address) || str_ieq(host, STR("localhost")))
        return false;
    return host.len <= local.len || !str_ieq(str_from(host, host.len - local.len), local);
}

static bool add(struct upstream_keeper *keeper, const struct upstream_config *upstream,
                uint32_t origin)
{
    struct name *name = calloc(1, sizeof(*name));

    if (name == NULL)
        return false;
    *name = (struct name){.keeper = keeper, .upstream = upstream, .origin = origin};
    name->due = (struct deadline){.fn = on_due, .arg = name};
    name->next = keeper->names;
    keeper->names = name;
    return deadline_set(keeper->loop, &name->due, loop_now_us(keeper->loop));
}

bool names_begin(struct upstream_keeper *keeper)
{
    bool is_whole = true;

    for (uint32_t i = 0; i < keeper->config->upstream_count; i++) {
        const struct upstream_config *upstream = &keeper->config->upstreams[i];

        for (uint32_t j = 0; j < upstream->target_count; j++)
            if (is_looked_up(&upstream->targets[j]))
                is_whole = add(keeper, upstream, j) && is_whole;
    }
    return is_whole;
}

void names_end(struct upstream_keeper *keeper)
{
    for (struct name *name = keeper->names, *next; name != NULL; name = next) {
        next = name->next;
        loop_resolve_cancel(&name->query);
        deadline_clear(keeper->loop, &name->due);
        free(name);
    }
    keeper->names = NULL;
}
