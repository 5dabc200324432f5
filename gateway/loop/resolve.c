/* resolve.c - names to addresses, off the loop: the one place that looks names up while it runs.
 *
 * getaddrinfo() blocks for as long as name servers like, and cannot be stopped. libuv's pool is
 * not used for it: a loop waits for that when it ends, so a dead name server would hold up the
 * end of the process, and a few slow names would leave no thread for those that are quick. So
 * each look-up has a thread that nobody waits for: some at a time for each loop, the others
 * queue up to a ceiling. What threads and loop share is one counted object with a lock,
 * which outlives the loop while a thread is still at it.
 *
 * A look-up that is cancelled runs to its end, keeps its place until then, and is forgotten.
 * Addresses are answered like names, at the end of the turn: one order of events for all.
 *
 * Both families are asked for. The order is the system's (RFC 6724) with the families in
 * turn (RFC 8305, section 4), so that one that is dead costs one try and not a row of them.
 *
 * Threads: the loop's own, and one for each look-up. */
#include "loop/loop_priv.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>

enum { AT_ONCE = 8, WAITING_MOST = 4096, STACK_BYTES = 512 * 1024 };

struct resolver {
    pthread_mutex_t lock;
    struct loop *loop; /* NULL: it has ended */
    uint32_t users;    /* the loop and the threads */
    struct resolution *known;
    struct post post;
    bool is_posted;

    uint32_t running, waiting_count; /* the loop's own */
    struct resolution *waiting, **waiting_tail;
};

struct resolution {
    struct resolver *resolver; /* NULL: it was an address */
    struct resolution *next;
    resolve_ask_fn *ask;
    resolved_fn *done; /* NULL: cancelled */
    void *arg;
    struct turn_end end;
    uint16_t port;
    char host[RESOLVE_NAME_MOST + 1];
    struct resolved resolved;
};

static _Atomic uint64_t pending; /* of all loops: names that are looked up or wait for it */

static void resolution_free(struct resolution *resolution)
{
    if (resolution->host[0] != '\0')
        atomic_fetch_sub_explicit(&pending, 1, memory_order_relaxed);
    free(resolution);
}

uint64_t loop_resolve_pending(void)
{
    return atomic_load_explicit(&pending, memory_order_relaxed);
}

/* ---- addresses ---------------------------------------------------------- */

bool socket_address_parse(struct str host, uint16_t port, struct socket_address *address)
{
    char text[INET6_ADDRSTRLEN];

    *address = (struct socket_address){0};
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = str_at(host.ptr + 1, host.len - 2);
    if (host.len == 0 || host.len >= sizeof(text))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, &address->as.ip4.sin_addr) == 1) {
        address->as.ip4.sin_family = AF_INET;
        address->as.ip4.sin_port = htons(port);
        address->len = sizeof(address->as.ip4);
    } else if (inet_pton(AF_INET6, text, &address->as.ip6.sin6_addr) == 1) {
        address->as.ip6.sin6_family = AF_INET6;
        address->as.ip6.sin6_port = htons(port);
        address->len = sizeof(address->as.ip6);
    }
    return address->len > 0;
}

/* ---- the look-up, on its thread ----------------------------------------- */

/* Of this machine, whatever its interfaces have: no AI_ADDRCONFIG, which would leave out ::1. */
static bool is_local(const char *host)
{
    static const struct str local = {"localhost", 9};
    struct str name = str_of(host);

    return name.len >= local.len && str_ieq(str_from(name, name.len - local.len), local) &&
           (name.len == local.len || name.ptr[name.len - local.len - 1] == '.');
}

static void add(struct resolved *to, const struct addrinfo *found, uint16_t port)
{
    struct socket_address *address = &to->at[to->count];

    *address = (struct socket_address){.len = found->ai_addrlen};
    memcpy(&address->as, found->ai_addr, found->ai_addrlen);
    if (found->ai_family == AF_INET)
        address->as.ip4.sin_port = htons(port);
    else
        address->as.ip6.sin6_port = htons(port);
    to->count++;
}

/* The next one of the family, or of the other when it has no more. */
static const struct addrinfo *next_of(const struct addrinfo **at, const struct addrinfo **other)
{
    const struct addrinfo **from = *at != NULL ? at : other, *found = *from;
    int family = found->ai_family;

    do
        *from = (*from)->ai_next;
    while (*from != NULL && (*from)->ai_family != family);
    return found;
}

static const struct addrinfo *first_of(const struct addrinfo *list, int family)
{
    while (list != NULL && list->ai_family != family)
        list = list->ai_next;
    return list;
}

static void take_in_turn(const struct addrinfo *list, uint16_t port, struct resolved *to)
{
    int preferred = list->ai_family == AF_INET ? AF_INET : AF_INET6;
    const struct addrinfo *at[2] = {first_of(list, preferred),
                                    first_of(list, preferred == AF_INET ? AF_INET6 : AF_INET)};

    for (uint32_t i = 0; to->count < RESOLVE_MOST && (at[0] != NULL || at[1] != NULL); i++)
        add(to, next_of(&at[i % 2], &at[1 - i % 2]), port);
}

static void ask_system(const char *host, uint16_t port, struct resolved *to)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = is_local(host) ? 0 : AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    int status = getaddrinfo(host, NULL, &hints, &list);

    if (status == 0) {
        take_in_turn(list, port, to);
        freeaddrinfo(list);
    }
    to->why = status != 0 ? gai_strerror(status) : "it has no address";
}

/* Unlocks. */
static void release(struct resolver *resolver)
{
    bool is_last = --resolver->users == 0;

    pthread_mutex_unlock(&resolver->lock);
    if (!is_last)
        return;
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

static void *look_up(void *arg)
{
    struct resolution *resolution = arg;
    struct resolver *resolver = resolution->resolver;

    resolution->ask(resolution->host, resolution->port, &resolution->resolved);
    pthread_mutex_lock(&resolver->lock);
    if (resolver->loop == NULL) {
        resolution_free(resolution);
    } else { /* while the lock is held the loop is there */
        resolution->next = resolver->known;
        resolver->known = resolution;
        if (!resolver->is_posted)
            loop_post(resolver->loop, &resolver->post);
        resolver->is_posted = true;
    }
    release(resolver);
    return NULL;
}

static bool start_thread(struct resolution *resolution)
{
    pthread_attr_t attributes;
    pthread_t thread;
    bool is_on;

    if (pthread_attr_init(&attributes) != 0)
        return false;
    is_on = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
            pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
            pthread_create(&thread, &attributes, look_up, resolution) == 0;
    pthread_attr_destroy(&attributes);
    return is_on;
}

/* ---- the loop's side ----------------------------------------------------- */

static void finish(struct resolution *resolution)
{
    if (resolution->done != NULL)
        resolution->done(resolution->arg, &resolution->resolved);
    resolution_free(resolution);
}

static void at_turn_end(void *arg)
{
    finish(arg);
}

/* Also for what failed to begin: the answer still comes from the loop. */
static void finish_at_turn_end(struct loop *loop, struct resolution *resolution)
{
    resolution->end = (struct turn_end){.fn = at_turn_end, .arg = resolution};
    loop_at_turn_end(loop, &resolution->end);
    loop_wait_at_most(loop, 0); /* the caller may come before the first turn */
}

static void start(struct resolver *resolver, struct resolution *resolution)
{
    bool is_on;

    pthread_mutex_lock(&resolver->lock);
    is_on = start_thread(resolution);
    resolver->users += is_on; /* the thread cannot leave before it has the lock */
    pthread_mutex_unlock(&resolver->lock);
    if (is_on) {
        resolver->running++;
        return;
    }
    resolution->resolved.why = "no thread to look it up";
    finish_at_turn_end(resolver->loop, resolution);
}

static void start_waiting(struct resolver *resolver)
{
    while (resolver->waiting != NULL && resolver->running < AT_ONCE) {
        struct resolution *resolution = resolver->waiting;

        resolver->waiting = resolution->next;
        if (resolver->waiting == NULL)
            resolver->waiting_tail = &resolver->waiting;
        resolver->waiting_count--;
        if (resolution->done == NULL)
            resolution_free(resolution);
        else
            start(resolver, resolution);
    }
}

static void on_known(void *arg)
{
    struct resolver *resolver = arg;
    struct resolution *known, *next;

    pthread_mutex_lock(&resolver->lock);
    known = resolver->known;
    resolver->known = NULL;
    resolver->is_posted = false;
    pthread_mutex_unlock(&resolver->lock);
    for (; known != NULL; known = next) {
        next = known->next;
        resolver->running--;
        finish(known);
    }
    start_waiting(resolver);
}

static struct resolver *need_resolver(struct loop *loop)
{
    struct resolver *resolver = loop->resolver;

    if (resolver != NULL)
        return resolver;
    resolver = calloc(1, sizeof(*resolver));
    if (resolver == NULL)
        return NULL;
    if (pthread_mutex_init(&resolver->lock, NULL) != 0) {
        free(resolver);
        return NULL;
    }
    resolver->loop = loop;
    resolver->users = 1;
    resolver->post = (struct post){.fn = on_known, .arg = resolver};
    resolver->waiting_tail = &resolver->waiting;
    loop->resolver = resolver;
    return resolver;
}

static void free_list(struct resolution *list)
{
    for (struct resolution *next; list != NULL; list = next) {
        next = list->next;
        resolution_free(list);
    }
}

void resolve_end(struct loop *loop)
{
    struct resolver *resolver = loop->resolver;

    if (resolver == NULL)
        return;
    loop->resolver = NULL;
    free_list(resolver->waiting);
    pthread_mutex_lock(&resolver->lock);
    resolver->loop = NULL;
    free_list(resolver->known);
    release(resolver);
}

struct resolution *loop_resolve(struct loop *loop, struct str host, uint16_t port,
                                resolved_fn *done, void *arg)
{
    struct resolver *resolver = need_resolver(loop);
    struct resolution *resolution;

    if (resolver == NULL || host.len == 0 || host.len > RESOLVE_NAME_MOST ||
        resolver->waiting_count >= WAITING_MOST)
        return NULL;
    resolution = calloc(1, sizeof(*resolution));
    if (resolution == NULL)
        return NULL;
    resolution->resolver = resolver;
    resolution->ask = loop->ask != NULL ? loop->ask : ask_system;
    resolution->done = done;
    resolution->arg = arg;
    resolution->port = port;
    if (socket_address_parse(host, port, &resolution->resolved.at[0])) {
        resolution->resolved.count = 1;
        finish_at_turn_end(loop, resolution);
        return resolution;
    }
    memcpy(resolution->host, host.ptr, host.len);
    atomic_fetch_add_explicit(&pending, 1, memory_order_relaxed);
    if (resolver->running < AT_ONCE) {
        start(resolver, resolution);
        return resolution;
    }
    *resolver->waiting_tail = resolution;
    resolver->waiting_tail = &resolution->next;
    resolver->waiting_count++;
    return resolution;
}

void loop_resolve_cancel(struct resolution **resolution)
{
    if (*resolution != NULL)
        (*resolution)->done = NULL;
    *resolution = NULL;
}

void loop_resolve_by(struct loop *loop, resolve_ask_fn *ask)
{
    loop->ask = ask;
}
