/* h1_name.c - the addresses of a host: numeric, a socket's path, or looked up.
 *
 * The loop room looks names up; whoever asked may be gone when it ends. Addresses stay good for
 * half a minute, since getaddrinfo() tells no lifetime. Past that they are looked up again
 * and used meanwhile; a name server that fails then does not take away what is known.
 *
 * Thread: the loop's own. */
#include "client/h1_priv.h"

#include <stdlib.h>

#define FRESH_US     UINT64_C(30000000)
#define ASK_AGAIN_US UINT64_C(2000000) /* after a failure, when older addresses are there */

static void on_known(void *arg, const struct resolved *resolved)
{
    struct h1_host *host = arg;
    uint64_t now_us = loop_now_us(host->client->loop);
    struct h1_exchange *waiting;

    host->query = NULL;
    host->fresh_until_us = now_us + (resolved->count > 0 ? FRESH_US : ASK_AGAIN_US);
    if (resolved->count > 0) {
        host->address_count =
            resolved->count < H1_MOST_ADDRESSES ? resolved->count : H1_MOST_ADDRESSES;
        memcpy(host->addresses, resolved->at, host->address_count * sizeof(host->addresses[0]));
    }
    host->exchanges++; /* so that it outlives what the callbacks do */
    while ((waiting = host->waiting) != NULL) {
        host->waiting = waiting->next_waiting;
        waiting->next_waiting = NULL;
        if (waiting->state == H1_RESOLVING)
            h1_connect_by_name(waiting, host->address_count > 0);
    }
    host->exchanges--;
}

/* The key is the port, a blank, the name. */
bool h1_host_look_up(struct h1_host *host)
{
    size_t blank;
    uint64_t port;

    if (!host->is_name || host->query != NULL ||
        (host->address_count > 0 && loop_now_us(host->client->loop) < host->fresh_until_us))
        return true;
    blank = str_find(host->key, ' ');
    if (!str_to_u64(str_at(host->key.ptr, blank), &port))
        return false;
    host->query = loop_resolve(host->client->loop, str_from(host->key, blank + 1), (uint16_t)port,
                               on_known, host);
    return host->query != NULL;
}

/* ---- hosts --------------------------------------------------------------- */

enum { KEY_ROOM = CLIENT_HOST_MOST + 8 };

static bool set_path(struct h1_host *host, struct str path)
{
    struct socket_address *address = &host->addresses[0];

    if (path.len == 0 || path.len > CLIENT_UNIX_MOST)
        return false;
    address->as.path.sun_family = AF_UNIX;
    memcpy(address->as.path.sun_path, path.ptr, path.len);
    address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    host->address_count = 1;
    return true;
}

/* Numeric addresses are known; everything else is a name. */
static void set_address(struct h1_host *host, const struct client_target *target)
{
    host->is_name = !socket_address_parse(target->host, target->port, &host->addresses[0]);
    host->address_count = host->is_name ? 0 : 1;
}

static struct h1_host *make(struct client *client, const struct client_target *target,
                            struct str key)
{
    struct h1 *h1 = client->h1;
    struct h1_host *host = calloc(1, sizeof(*host) + key.len);
    char *text;

    if (host == NULL)
        return NULL;
    text = (char *)(host + 1);
    memcpy(text, key.ptr, key.len);
    host->client = client;
    host->key = str_at(text, key.len);
    host->used_us = loop_now_us(client->loop);
    if (target->unix_path.len > 0 ? !set_path(host, target->unix_path)
                                  : (set_address(host, target), false)) {
        free(host);
        return NULL;
    }
    if (!map_put(h1->hosts, host->key, host)) {
        free(host);
        return NULL;
    }
    host->next = h1->first;
    h1->first = host;
    client_sweep_soon(client);
    return host;
}

struct h1_host *h1_host_of(struct client *client, const struct client_target *target)
{
    char text[KEY_ROOM];
    struct str key;
    struct h1_host *host;
    size_t len;

    if (target->unix_path.len > 0) {
        key = target->unix_path; /* begins with '/' or '@', no key of a host does */
    } else {
        len = u64_write(text, target->port);
        text[len++] = ' ';
        if (target->host.len > sizeof(text) - len)
            return NULL;
        memcpy(text + len, target->host.ptr, target->host.len);
        key = str_at(text, len + target->host.len);
    }
    host = client->h1->last;
    if (host == NULL || !str_eq(host->key, key))
        host = map_get(client->h1->hosts, key);
    if (host == NULL)
        host = make(client, target, key);
    client->h1->last = host;
    return host;
}

void h1_host_free(struct h1_host *host)
{
    if (host->client->h1->last == host)
        host->client->h1->last = NULL;
    loop_resolve_cancel(&host->query);
    free(host);
}
