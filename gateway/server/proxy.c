/* proxy.c - connections that begin with a PROXY header, until it has come.
 *
 * The header must be gone before libmicrohttpd, or TLS, sees the socket, and nothing behind it may
 * be taken. So bytes are looked at first; those of a header that is not whole belong to it and are
 * taken at once (left in the socket they would wake us in every turn), of the rest of it exactly
 * its own. Who speaks it decides what the client's address is: where server.trusted_proxies names
 * somebody, nobody else may. A connection that breaks a rule is closed without a word.
 *
 * Owner's thread. */
#include "server/server_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct arrival {
    struct connection *c; /* owned until it is handed over */
    struct watch *watch;
    struct deadline deadline;
    uint64_t came_us;
    struct sockaddr_storage address; /* of the socket */
    socklen_t address_size;
    struct arrival *next, *previous;
    size_t len;
    char bytes[PROXY_HEADER_BYTES]; /* of the header, taken from the socket */
};

/* The connection is the caller's again. */
static struct connection *end(struct arrival *a)
{
    struct connection *c = a->c;
    struct server *server = c->server;

    watch_stop(&a->watch);
    deadline_clear(server->loop, &a->deadline);
    if (a->previous != NULL)
        a->previous->next = a->next;
    else
        server->arrivals = a->next;
    if (a->next != NULL)
        a->next->previous = a->previous;
    server->connection_count--;
    cell_gauge_add(server->active, -1);
    free(a);
    return c;
}

static void close_one(struct connection *c)
{
    close(c->fd);
    connection_free(c);
}

static void refuse(struct arrival *a)
{
    struct connection *c = end(a);

    request_count_rejected(c->server->context, "proxy_proto");
    close_one(c);
}

static void on_late(void *arg)
{
    struct connection *c = end(arg);

    request_count_timeout(c->server->context, "proxy_proto");
    close_one(c);
}

/* ---- reading ------------------------------------------------------------- */

static void begin(struct arrival *a, const struct proxy_header *header)
{
    struct sockaddr_storage address = a->address;
    socklen_t size = a->address_size;
    struct connection *c = end(a);

    if (header->has_address)
        connection_set_address(c, header->address);
    c->received_mark = header->length; /* what the kernel has counted, and no request yet */
    accept_hand_over(c, (const struct sockaddr *)&address, size);
}

/* False: there is no more for now, or `a` is gone. */
static bool read_some(struct arrival *a)
{
    int fd = a->c->fd;
    ssize_t got = recv(fd, a->bytes + a->len, sizeof(a->bytes) - a->len, MSG_PEEK | MSG_DONTWAIT);
    enum proxy_state state = PROXY_WRONG;
    struct proxy_header header;
    size_t own;

    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    if (got > 0)
        state = proxy_header_read(str_at(a->bytes, a->len + (size_t)got), &header);
    if (state == PROXY_WRONG) { /* or its sender has left */
        refuse(a);
        return false;
    }
    own = state == PROXY_WHOLE ? header.length - a->len : (size_t)got;
    if (recv(fd, a->bytes + a->len, own, MSG_DONTWAIT) != (ssize_t)own) {
        refuse(a);
        return false;
    }
    a->len += own;
    if (state == PROXY_MORE)
        return true;
    begin(a, &header);
    return false;
}

static void on_ready(void *arg, int fd, int ready)
{
    (void)fd;
    (void)ready;
    while (read_some(arg))
        continue;
}

/* ---- coming and going ---------------------------------------------------- */

/* Unix sockets have their file's rights. */
static bool is_believed(const struct connection *c)
{
    const struct cidr_list *trusted =
        &request_context_config(c->server->context)->server.trusted_proxies;

    return trusted->count == 0 || c->peer[0] == '\0' || cidr_list_has(trusted, c->address);
}

void proxy_await(struct connection *c, const struct sockaddr_storage *address, socklen_t size)
{
    struct server *server = c->server;
    const struct server_config *config = &request_context_config(server->context)->server;
    struct arrival *a = is_believed(c) ? malloc(sizeof(*a)) : NULL;

    if (a == NULL) {
        request_count_rejected(server->context, "proxy_proto");
        close_one(c);
        return;
    }
    memset(a, 0, offsetof(struct arrival, bytes));
    a->c = c;
    a->came_us = loop_now_us(server->loop);
    a->address = *address;
    a->address_size = size;
    a->deadline = (struct deadline){.fn = on_late, .arg = a};
    a->next = server->arrivals;
    if (a->next != NULL)
        a->next->previous = a;
    server->arrivals = a;
    server->connection_count++;
    cell_gauge_add(server->active, 1);
    a->watch = watch_start(server->loop, c->fd, WATCH_READ, on_ready, a);
    if (a->watch == NULL || !deadline_set(server->loop, &a->deadline,
                                          a->came_us + (uint64_t)config->header_timeout_ms * 1000))
        refuse(a);
}

void proxy_close_late(struct server *server, uint64_t since_us)
{
    struct arrival *next;

    for (struct arrival *a = server->arrivals; a != NULL; a = next) {
        next = a->next;
        if (a->came_us <= since_us)
            close_one(end(a));
    }
}
