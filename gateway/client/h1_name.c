/* h1_name.c - the addresses of a host: numeric, a socket's path, or looked up.
 *
 * getaddrinfo() blocks for as long as name servers like, so each look-up has a thread of its
 * own that nobody ever waits for: whoever asked may be gone when it ends. The pool for work off
 * the loop is not used, because a loop waits for that when it ends, and because a few slow names
 * would fill it. What thread and client share is one small object with a lock.
 *
 * Addresses stay good for half a minute. Past that they are looked up again and used meanwhile;
 * a name server that fails then does not take away what is known.
 *
 * Threads: the loop's own, and one for each look-up. */
#include "client/h1_priv.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>

#define FRESH_US     UINT64_C(30000000)
#define ASK_AGAIN_US UINT64_C(2000000) /* after a failure, when older addresses are there */

struct h1_query {
    pthread_mutex_t lock;
    struct h1_host *host; /* NULL: nobody waits for it any more */
    struct loop *loop;
    struct post post;
    bool is_posted;
    char name[CLIENT_HOST_MOST + 1];
    uint16_t port;
    struct h1_address addresses[H1_MOST_ADDRESSES];
    uint32_t count;
};

/* ---- the look-up --------------------------------------------------------- */

static void query_free(struct h1_query *query)
{
    pthread_mutex_destroy(&query->lock);
    free(query);
}

static void ask(struct h1_query *query)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;

    if (getaddrinfo(query->name, NULL, &hints, &list) != 0)
        return;
    for (struct addrinfo *at = list; at != NULL && query->count < H1_MOST_ADDRESSES;
         at = at->ai_next) {
        struct h1_address *address = &query->addresses[query->count];

        if (at->ai_addrlen > sizeof(address->as) ||
            (at->ai_family != AF_INET && at->ai_family != AF_INET6))
            continue;
        memcpy(&address->as, at->ai_addr, at->ai_addrlen);
        address->len = at->ai_addrlen;
        if (at->ai_family == AF_INET)
            address->as.ip4.sin_port = htons(query->port);
        else
            address->as.ip6.sin6_port = htons(query->port);
        query->count++;
    }
    freeaddrinfo(list);
}

static void *look_up(void *arg)
{
    struct h1_query *query = arg;
    bool is_wanted;

    ask(query);
    pthread_mutex_lock(&query->lock);
    is_wanted = query->host != NULL;
    if (is_wanted) {
        query->is_posted = true;
        loop_post(query->loop, &query->post);
    }
    pthread_mutex_unlock(&query->lock);
    if (!is_wanted)
        query_free(query);
    return NULL;
}

static void on_known(void *arg)
{
    struct h1_query *query = arg;
    struct h1_host *host;
    struct h1_exchange *waiting;
    uint64_t now_us;

    pthread_mutex_lock(&query->lock); /* the thread may not have left it yet */
    host = query->host;
    pthread_mutex_unlock(&query->lock);
    if (host == NULL) {
        query_free(query);
        return;
    }
    now_us = loop_now_us(query->loop);
    host->query = NULL;
    host->fresh_until_us = now_us + (query->count > 0 ? FRESH_US : ASK_AGAIN_US);
    if (query->count > 0) {
        memcpy(host->addresses, query->addresses, sizeof(host->addresses));
        host->address_count = query->count;
    }
    query_free(query);
    host->exchanges++; /* so that it outlives what the callbacks do */
    while ((waiting = host->waiting) != NULL) {
        host->waiting = waiting->next_waiting;
        waiting->next_waiting = NULL;
        if (waiting->state == H1_RESOLVING)
            h1_connect_by_name(waiting, host->address_count > 0);
    }
    host->exchanges--;
}

static bool start_thread(struct h1_query *query)
{
    pthread_attr_t attributes;
    pthread_t thread;
    bool ok;

    if (pthread_attr_init(&attributes) != 0)
        return false;
    ok = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
         pthread_create(&thread, &attributes, look_up, query) == 0;
    pthread_attr_destroy(&attributes);
    return ok;
}

/* The key is the port, a blank, the name. */
static bool fill_name(struct h1_query *query, struct str key)
{
    size_t blank = str_find(key, ' ');
    struct str name = str_from(key, blank + 1);
    uint64_t port;

    if (!str_to_u64(str_at(key.ptr, blank), &port) || name.len > CLIENT_HOST_MOST)
        return false;
    query->port = (uint16_t)port;
    memcpy(query->name, name.ptr, name.len);
    return true;
}

bool h1_host_look_up(struct h1_host *host)
{
    struct h1_query *query;
    uint64_t now_us = loop_now_us(host->client->loop);

    if (!host->is_name || host->query != NULL ||
        (host->address_count > 0 && now_us < host->fresh_until_us))
        return true;
    query = calloc(1, sizeof(*query));
    if (query == NULL)
        return false;
    if (pthread_mutex_init(&query->lock, NULL) != 0) {
        free(query);
        return false;
    }
    query->host = host;
    query->loop = host->client->loop;
    query->post = (struct post){.fn = on_known, .arg = query};
    if (!fill_name(query, host->key) || !start_thread(query)) {
        query_free(query);
        return false;
    }
    host->query = query;
    return true;
}

/* ---- hosts --------------------------------------------------------------- */

enum { KEY_ROOM = CLIENT_HOST_MOST + 8 };

static bool set_path(struct h1_host *host, struct str path)
{
    struct h1_address *address = &host->addresses[0];

    if (path.len == 0 || path.len > CLIENT_UNIX_MOST)
        return false;
    address->as.path.sun_family = AF_UNIX;
    memcpy(address->as.path.sun_path, path.ptr, path.len);
    address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    host->address_count = 1;
    return true;
}

/* Numeric addresses are known; everything else is a name. IPv6 stands in brackets. */
static void set_address(struct h1_host *host, const struct client_target *target)
{
    struct h1_address *address = &host->addresses[0];
    struct str text = target->host;
    char copy[INET6_ADDRSTRLEN];

    host->address_count = 1;
    if (text.len >= 2 && text.ptr[0] == '[')
        text = str_at(text.ptr + 1, text.len - 2);
    snprintf(copy, sizeof(copy), "%.*s", STR_ARG(text));
    if (text.len < sizeof(copy) && inet_pton(AF_INET, copy, &address->as.ip4.sin_addr) == 1) {
        address->as.ip4.sin_family = AF_INET;
        address->as.ip4.sin_port = htons(target->port);
        address->len = sizeof(address->as.ip4);
    } else if (text.len < sizeof(copy) &&
               inet_pton(AF_INET6, copy, &address->as.ip6.sin6_addr) == 1) {
        address->as.ip6.sin6_family = AF_INET6;
        address->as.ip6.sin6_port = htons(target->port);
        address->len = sizeof(address->as.ip6);
    } else {
        host->is_name = true;
        host->address_count = 0;
    }
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
    host = map_get(client->h1->hosts, key);
    return host != NULL ? host : make(client, target, key);
}

void h1_host_free(struct h1_host *host)
{
    struct h1_query *query = host->query;

    if (query != NULL) { /* whoever of thread and loop comes last frees it */
        pthread_mutex_lock(&query->lock);
        query->host = NULL;
        pthread_mutex_unlock(&query->lock);
    }
    free(host);
}
