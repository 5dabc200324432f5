/* resolve.c - names to addresses, off the loop.
 *
 * getaddrinfo() may take seconds, so names go to the pool of threads. Numbers and paths need no
 * look-up but are answered at the end of the turn too: one order of events for all. A
 * look-up that is cancelled runs to its end and is then forgotten.
 *
 * Threads: look_up() a thread of the pool, the rest the loop's own. */
#include "redis/redis_priv.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

struct resolution {
    struct redis_place place;
    struct resolved resolved;
    resolved_fn *fn; /* NULL: cancelled */
    void *arg;
    struct turn_end end;
};

static void add_address(struct resolved *to, const void *address, size_t len)
{
    if (to->count == RESOLVED_MAX || len > sizeof(to->at[0]))
        return;
    memcpy(&to->at[to->count], address, len);
    to->len[to->count++] = (socklen_t)len;
}

static bool add_path(struct resolved *to, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if (len >= sizeof(address.sun_path)) {
        snprintf(to->why, sizeof(to->why), "the path of its socket is too long");
        return false;
    }
    memcpy(address.sun_path, path, len);
    add_address(to, &address, sizeof(address));
    return true;
}

static bool add_number(struct resolved *to, const struct redis_place *place)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(place->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(place->port)};

    if (inet_pton(AF_INET, place->host, &v4.sin_addr) == 1)
        add_address(to, &v4, sizeof(v4));
    else if (inet_pton(AF_INET6, place->host, &v6.sin6_addr) == 1)
        add_address(to, &v6, sizeof(v6));
    return to->count > 0;
}

static void look_up(void *arg)
{
    struct resolution *resolution = arg;
    struct resolved *to = &resolution->resolved;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    char port[8];
    int status;

    snprintf(port, sizeof(port), "%u", (unsigned)resolution->place.port);
    status = getaddrinfo(resolution->place.host, port, &hints, &list);
    for (struct addrinfo *at = list; status == 0 && at != NULL; at = at->ai_next)
        add_address(to, at->ai_addr, at->ai_addrlen);
    if (to->count == 0)
        snprintf(to->why, sizeof(to->why), "%.60s: %.60s", resolution->place.host,
                 status != 0 ? gai_strerror(status) : "no address");
    if (list != NULL)
        freeaddrinfo(list);
}

static void done(void *arg)
{
    struct resolution *resolution = arg;

    if (resolution->fn != NULL)
        resolution->fn(resolution->arg, &resolution->resolved);
    free(resolution);
}

struct resolution *resolve(struct loop *loop, const struct redis_place *place, resolved_fn *fn,
                           void *arg)
{
    struct resolution *resolution = calloc(1, sizeof(*resolution));

    if (resolution == NULL)
        return NULL;
    resolution->place = *place;
    resolution->fn = fn;
    resolution->arg = arg;
    if (place->port == 0)
        (void)add_path(&resolution->resolved, place->host);
    if (place->port == 0 || add_number(&resolution->resolved, place)) {
        resolution->end = (struct turn_end){.fn = done, .arg = resolution};
        loop_at_turn_end(loop, &resolution->end);
        loop_wait_at_most(loop, 0); /* a client may be made before the first turn */
        return resolution;
    }
    if (!loop_work(loop, look_up, done, resolution)) {
        free(resolution);
        return NULL;
    }
    return resolution;
}

void resolve_cancel(struct resolution **resolution)
{
    if (*resolution != NULL)
        (*resolution)->fn = NULL;
    *resolution = NULL;
}
