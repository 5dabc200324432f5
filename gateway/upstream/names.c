/* names.c - what addresses a target's name has, asked again when dns_ttl is over.
 *
 * Each address is a target of its own, balanced, checked and ejected alone. getaddrinfo()
 * tells no lifetime, so the setting is one. It blocks for as long as name servers like:
 * each look-up has a thread that nobody waits for. When one fails, what was known stays.
 *
 * Of a name that has both kinds the IPv4 addresses are taken, or one server would count as
 * two; localhost is left to the client room, which tries both, and so is every name of an
 * https target, whose certificate is checked against it.
 *
 * Threads: the main thread's loop; a look-up's own. */
#include "upstream/upstream_priv.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>

struct query {
    pthread_mutex_t lock;
    struct name *name; /* NULL: nobody waits any more */
    struct loop *loop;
    struct post post;
    bool is_posted;
    look_up_fn *look_up;
    char host[CLIENT_HOST_MOST + 1];
    char addresses[MOST_ADDRESSES][ADDRESS_ROOM];
    uint32_t count;
};

struct name {
    struct name *next;
    struct upstream_keeper *keeper;
    const struct upstream_config *upstream;
    uint32_t origin;
    struct query *query;
    struct deadline due;
    bool has_failed;
};

/* ---- the look-up, on its thread ---------------------------------------- */

static bool write_address(const struct addrinfo *found, char *to)
{
    char text[INET6_ADDRSTRLEN];
    const void *bytes =
        found->ai_family == AF_INET
            ? (const void *)&((const struct sockaddr_in *)(const void *)found->ai_addr)->sin_addr
            : (const void *)&((const struct sockaddr_in6 *)(const void *)found->ai_addr)->sin6_addr;
    struct fail out;

    if (inet_ntop(found->ai_family, bytes, text, sizeof(text)) == NULL)
        return false;
    fail_set(&out, found->ai_family == AF_INET ? "%s" : "[%s]", text);
    memcpy(to, out.text, ADDRESS_ROOM - 1);
    to[ADDRESS_ROOM - 1] = '\0';
    return true;
}

uint32_t names_look_up(const char *host, char (*addresses)[ADDRESS_ROOM], uint32_t most)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    uint32_t count = 0;
    int family = AF_INET6;

    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return 0;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next)
        if (at->ai_family == AF_INET)
            family = AF_INET;
    for (const struct addrinfo *at = found; at != NULL && count < most; at = at->ai_next)
        if (at->ai_family == family && write_address(at, addresses[count]))
            count++;
    freeaddrinfo(found);
    return count;
}

static void query_free(struct query *query)
{
    pthread_mutex_destroy(&query->lock);
    free(query);
}

static void *run(void *arg)
{
    struct query *query = arg;
    bool is_wanted;

    query->count = query->look_up(query->host, query->addresses, MOST_ADDRESSES);
    pthread_mutex_lock(&query->lock);
    is_wanted = query->name != NULL;
    if (is_wanted) { /* while the lock is held the loop is there */
        query->is_posted = true;
        loop_post(query->loop, &query->post);
    }
    pthread_mutex_unlock(&query->lock);
    if (!is_wanted)
        query_free(query);
    return NULL;
}

/* ---- what came of it --------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* In an order of their own: name servers turn theirs. */
static uint32_t sort(struct query *query, struct str *addresses)
{
    uint32_t count = 0;

    qsort(query->addresses, query->count, ADDRESS_ROOM, compare);
    for (uint32_t i = 0; i < query->count; i++) {
        struct str address = str_of(query->addresses[i]);

        if (count == 0 || !str_eq(address, addresses[count - 1]))
            addresses[count++] = address;
    }
    return count;
}

static void learn(struct name *name, struct query *query)
{
    struct upstream_keeper *keeper = name->keeper;
    struct str addresses[MOST_ADDRESSES];
    uint32_t count = sort(query, addresses);

    if (count == 0) {
        if (!name->has_failed)
            log_line(LOG_WARN, "upstream %.*s: %s could not be looked up; what was known stays",
                     STR_ARG(name->upstream->name), query->host);
        name->has_failed = true;
        return;
    }
    name->has_failed = false;
    health_end(keeper);
    if (!registry_set_addresses(keeper->upstreams, name->upstream, name->origin, addresses,
                                count) ||
        !health_begin(keeper))
        log_line(LOG_ERROR, "out of memory: addresses of %s are not all known", query->host);
}

static void on_found(void *arg)
{
    struct query *query = arg;
    struct name *name = query->name;

    if (name != NULL) {
        name->query = NULL;
        learn(name, query);
    }
    pthread_mutex_lock(&query->lock); /* the thread may be about to let go of it */
    pthread_mutex_unlock(&query->lock);
    query_free(query);
}

/* ---- when ---------------------------------------------------------------- */

static void start(struct name *name)
{
    const struct target_config *target = &name->upstream->targets[name->origin];
    struct query *query = calloc(1, sizeof(*query));
    pthread_attr_t detached;
    pthread_t thread;
    bool is_on;

    if (query == NULL)
        return;
    if (pthread_mutex_init(&query->lock, NULL) != 0) {
        free(query);
        return;
    }
    query->name = name;
    query->loop = name->keeper->loop;
    query->look_up = name->keeper->look_up;
    query->post = (struct post){.fn = on_found, .arg = query};
    memcpy(query->host, target->host.ptr, target->host.len);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    is_on = pthread_create(&thread, &detached, run, query) == 0;
    pthread_attr_destroy(&detached);
    if (is_on)
        name->query = query;
    else
        query_free(query);
}

static void on_due(void *arg)
{
    struct name *name = arg;
    struct loop *loop = name->keeper->loop;

    /* into the place that it just left, before anything else takes that */
    CHECK(deadline_set(loop, &name->due,
                       loop_now_us(loop) + (uint64_t)name->upstream->dns_ttl_ms * 1000));
    if (name->query == NULL)
        start(name);
}

static bool is_looked_up(const struct target_config *target)
{
    static const struct str local = {".localhost", 10};
    uint8_t bytes[16];
    struct str host = target->host;

    if (target->is_https || host.len == 0 || host.len > CLIENT_HOST_MOST || host.ptr[0] == '[' ||
        address_parse(host, bytes) || str_ieq(host, STR("localhost")))
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

void names_end(struct upstream_keeper *keeper, bool loop_has_ended)
{
    while (keeper->names != NULL) {
        struct name *name = keeper->names;
        struct query *query = name->query;
        bool is_posted;

        keeper->names = name->next;
        deadline_clear(keeper->loop, &name->due);
        free(name);
        if (query == NULL)
            continue;
        pthread_mutex_lock(&query->lock);
        query->name = NULL;
        is_posted = query->is_posted;
        pthread_mutex_unlock(&query->lock);
        if (is_posted && loop_has_ended) /* the post comes no more */
            query_free(query);
    }
}
