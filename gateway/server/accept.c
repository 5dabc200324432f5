/* accept.c - our own accept: the limits get a real answer, and a shortage of fds a pause.
 *
 * libmicrohttpd would let clients hang in the backlog at its connection limit, close them
 * without a byte at its limit per address, and spin without fds (library-facts §2.10).
 * Owner's thread; the counts are shared by all. */
#include "server/server_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define IP_SLOTS 65536 /* open addressing; far above max_connections' default */

struct ip_slot {
    uint8_t address[16];
    uint32_t count;
};
struct server_counts {
    _Atomic uint64_t connections;
    atomic_flag lock;      /* held for a look-up only */
    struct ip_slot *slots; /* made when the limit per address is first used */
};

struct server_counts *server_counts_new(void)
{
    return calloc(1, sizeof(struct server_counts)); /* a zeroed atomic_flag is clear */
}

void server_counts_free(struct server_counts **counts)
{
    if (*counts == NULL)
        return;
    free((*counts)->slots);
    free(*counts);
    *counts = NULL;
}

uint64_t server_counts_connections(const struct server_counts *counts)
{
    return atomic_load_explicit(&counts->connections, memory_order_relaxed);
}

static void lock(struct server_counts *counts)
{
    while (atomic_flag_test_and_set_explicit(&counts->lock, memory_order_acquire))
        (void)sched_yield();
}

static void unlock(struct server_counts *counts)
{
    atomic_flag_clear_explicit(&counts->lock, memory_order_release);
}

/* The address' slot, or an empty one; NULL when the table is full. Lock held. */
static struct ip_slot *slot_of(struct server_counts *counts, const uint8_t address[16])
{
    uint64_t parts[2];
    size_t at;

    memcpy(parts, address, sizeof(parts));
    at = (size_t)((parts[0] * UINT64_C(0x9e3779b97f4a7c15) ^
                   parts[1] * UINT64_C(0xc2b2ae3d27d4eb4f)) >>
                  48);
    for (size_t i = 0; i < IP_SLOTS; i++) {
        struct ip_slot *slot = &counts->slots[(at + i) % IP_SLOTS];

        if (slot->count == 0 || memcmp(slot->address, address, 16) == 0)
            return slot;
    }
    return NULL;
}

static bool take_for_address(struct server_counts *counts, uint32_t most, const uint8_t address[16])
{
    struct ip_slot *slot;
    bool ok = false;

    lock(counts);
    if (counts->slots == NULL)
        counts->slots = calloc(IP_SLOTS, sizeof(*counts->slots));
    slot = counts->slots != NULL ? slot_of(counts, address) : NULL;
    if (slot != NULL && slot->count < most) {
        memcpy(slot->address, address, 16);
        slot->count++;
        ok = true;
    }
    unlock(counts);
    return ok;
}

/* Linear probing has no tombstones here: what follows an emptied slot is put in its right place
 * again. */
static void close_gap(struct server_counts *counts, struct ip_slot *gap)
{
    size_t at = (size_t)(gap - counts->slots);

    for (size_t i = (at + 1) % IP_SLOTS; counts->slots[i].count != 0; i = (i + 1) % IP_SLOTS) {
        struct ip_slot moved = counts->slots[i];

        counts->slots[i].count = 0;
        *slot_of(counts, moved.address) = moved;
    }
}

static void give_for_address(struct server_counts *counts, const uint8_t address[16])
{
    struct ip_slot *slot;

    lock(counts);
    slot = slot_of(counts, address);
    if (slot != NULL && slot->count > 0 && --slot->count == 0)
        close_gap(counts, slot);
    unlock(counts);
}

bool counts_take(struct server_counts *counts, uint32_t most, uint32_t most_per_ip,
                 const uint8_t address[16], const char **why)
{
    if (atomic_fetch_add_explicit(&counts->connections, 1, memory_order_relaxed) >= most) {
        atomic_fetch_sub_explicit(&counts->connections, 1, memory_order_relaxed);
        *why = "connections";
        return false;
    }
    if (most_per_ip > 0 && !take_for_address(counts, most_per_ip, address)) {
        atomic_fetch_sub_explicit(&counts->connections, 1, memory_order_relaxed);
        *why = "connections_per_ip";
        return false;
    }
    return true;
}

bool counts_take_address(struct server_counts *counts, uint32_t most_per_ip,
                         const uint8_t address[16])
{
    return take_for_address(counts, most_per_ip, address);
}

void counts_give(struct server_counts *counts, const uint8_t address[16], bool per_ip)
{
    atomic_fetch_sub_explicit(&counts->connections, 1, memory_order_relaxed);
    if (per_ip)
        give_for_address(counts, address);
}

/* ---- accepting ---- */

static void close_one(struct connection *c)
{
    close(c->fd);
    connection_free(c);
}

void accept_hand_over(struct connection *c, const struct sockaddr *address, socklen_t size)
{
    struct server *server = c->server;
    struct listener *listener = c->listener;
    const struct server_config *config = &request_context_config(server->context)->server;
    /* operators get in when clients fill the house; who comes by a unix socket has no address */
    uint32_t most_per_ip =
        server->is_admin || c->peer[0] == '\0' ? 0 : config->max_connections_per_ip;

    if (most_per_ip > 0 && !counts_take_address(server->counts, most_per_ip, c->address)) {
        request_count_shed(server->context, "connections_per_ip");
        close_one(c);
        return;
    }
    c->keeps_count = most_per_ip > 0;
    c->request_started_us = loop_now_us(server->loop);
    if (listener->config.tls.count > 0 && !connection_index(c)) {
        close_one(c);
        return;
    }
    server->adding = c;
    if (MHD_add_connection(listener->daemon, c->fd, address, size) != MHD_YES &&
        server->adding != NULL) {
        server->adding = NULL; /* the library has closed the fd, and never told of a start */
        connection_free(c);
    }
    server->adding = NULL;
}

static void take_in(struct listener *listener, int fd, const struct sockaddr_storage *address,
                    socklen_t size)
{
    struct server *server = listener->server;
    const struct server_config *config = &request_context_config(server->context)->server;
    const struct sockaddr *socket = (const struct sockaddr *)address;
    struct connection *c = connection_new(server, listener, fd);
    uint32_t most = server->is_admin ? UINT32_MAX : config->max_connections;
    const char *why;

    if (c == NULL) {
        close(fd);
        return;
    }
    if (!counts_take(server->counts, most, 0, c->address, &why)) {
        request_count_shed(server->context, why);
        if (listener->daemon == server->plain)
            raw_refusal(fd, 503, "Too many connections.");
        close(fd);
        free(c);
        return;
    }
    connection_set_socket(c, socket);
    if (listener->config.proxy_protocol)
        proxy_await(c, address, size);
    else
        accept_hand_over(c, socket, size);
}

/* No fd left: the reserve answers one client with a close, then accepting pauses. */
static void out_of_fds(struct listener *listener)
{
    struct server *server = listener->server;
    int fd;

    request_count_shed(server->context, "fds");
    if (server->spare_fd >= 0) {
        close(server->spare_fd);
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            raw_refusal(fd, 503, "Out of file descriptors.");
            close(fd);
        }
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    for (uint32_t i = 0; i < server->listener_count; i++)
        if (server->listeners[i].watch != NULL)
            watch_change(server->listeners[i].watch, 0);
    if (!deadline_set(server->loop, &server->accept_pause,
                      loop_now_us(server->loop) + SERVER_ACCEPT_PAUSE_US))
        accept_resume(server);
}

void accept_resume(void *arg)
{
    struct server *server = arg;

    for (uint32_t i = 0; i < server->listener_count; i++)
        if (server->listeners[i].watch != NULL)
            watch_change(server->listeners[i].watch, WATCH_READ);
}

void listener_ready(void *arg, int fd, int ready)
{
    (void)fd;
    (void)ready;
    (void)listener_accept(arg);
}

bool listener_accept(struct listener *listener)
{
    for (int i = 0; i < SERVER_ACCEPT_BATCH; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);
        int client;

        memset(&address, 0, sizeof(address));
        client =
            accept4(listener->fd, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client >= 0) {
            take_in(listener, client, &address, size);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            out_of_fds(listener);
            return false;
        }
        if (errno != EINTR && errno != ECONNABORTED)
            return false;
    }
    return true;
}
