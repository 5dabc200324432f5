/* connection.c - one client connection: its watch, its one deadline, its place in the turn.
 *
 * libmicrohttpd does not see a client that leaves while a request is suspended, and its
 * timeout forgives a drip: both are ours (library-facts B1, B9). One watch stands for the
 * connection's whole life. The deadline moves lazily: a later one only writes down when it is
 * due, and the early firing sets it anew, so that a busy connection never touches the heap.
 * Owner's thread. */
#include "server/server_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_gone(void *arg, int fd, int ready);
static void on_due(void *arg);

void connection_set_address(struct connection *c, const uint8_t address[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    memcpy(c->address, address, 16);
    if (memcmp(address, mapped, sizeof(mapped)) == 0)
        inet_ntop(AF_INET, address + 12, c->peer, sizeof(c->peer));
    else
        inet_ntop(AF_INET6, address, c->peer, sizeof(c->peer));
}

void connection_set_socket(struct connection *c, const struct sockaddr *address)
{
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};

    if (address->sa_family == AF_INET)
        memcpy(bytes + 12, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    else if (address->sa_family == AF_INET6)
        memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    else
        return;
    connection_set_address(c, bytes);
}

struct connection *connection_new(struct server *server, struct listener *listener, int fd)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->server = server;
    c->listener = listener;
    c->fd = fd;
    c->deadline.fn = on_due;
    c->deadline.arg = c;
    return c;
}

void connection_started(struct connection *c, struct MHD_Connection *mhd)
{
    struct server *server = c->server;

    c->mhd = mhd;
    c->watch = watch_start(server->loop, c->fd, WATCH_GONE, on_gone, c);
    if (c->watch == NULL)
        connection_cut(c); /* its leaving would never be seen */
    c->next = server->connections;
    if (c->next != NULL)
        c->next->previous = c;
    server->connections = c;
    server->connection_count++;
    cell_gauge_add(server->active, 1);
    connection_phase(c, PHASE_HEADER);
}

void connection_free(struct connection *c)
{
    struct server *server = c->server;

    connection_forget_wait(c);
    request_finish(&c->request, REQUEST_CUT, c->bytes_in,
                   c->bytes_out); /* one the library never completed */
    tunnel_free(&c->tunnel);
    watch_stop(&c->watch);
    deadline_clear(server->loop, &c->deadline);
    if (c->mhd != NULL) {
        if (c->previous != NULL)
            c->previous->next = c->next;
        else
            server->connections = c->next;
        if (c->next != NULL)
            c->next->previous = c->previous;
        server->connection_count--;
        cell_gauge_add(server->active, -1);
    }
    if (c->tls != NULL) {
        server->by_fd[c->fd] = NULL;
        server_tls_release(&c->tls);
    }
    counts_give(server->counts, c->address, c->keeps_count);
    free(c->client_cert.data);
    free(c);
}

/* For the certificate callback. False: out of memory. */
bool connection_index(struct connection *c)
{
    struct server *server = c->server;
    size_t need = (size_t)c->fd + 1;

    if (need > server->by_fd_count) {
        struct connection **grown =
            realloc((void *)server->by_fd, need * 2 * sizeof(struct connection *));

        if (grown == NULL)
            return false;
        memset((void *)(grown + server->by_fd_count), 0,
               (need * 2 - server->by_fd_count) * sizeof(struct connection *));
        server->by_fd = grown;
        server->by_fd_count = need * 2;
    }
    server->by_fd[c->fd] = c;
    c->tls = server_tls_hold(server->tls);
    return true;
}

/* ---- deadlines ---- */

static int64_t phase_ms(const struct connection *c, enum phase phase)
{
    const struct server_config *config = &request_context_config(c->server->context)->server;

    switch (phase) {
    case PHASE_HEADER:
        return config->header_timeout_ms;
    case PHASE_IDLE:
        return config->idle_timeout_ms;
    case PHASE_BODY:
        return config->body_timeout_ms;
    case PHASE_WRITE:
        return config->write_timeout_ms;
    case PHASE_LINGER:
        return SERVER_LINGER_MS;
    case PHASE_THINK:
        break;
    }
    return -1;
}

void connection_phase(struct connection *c, enum phase phase)
{
    int64_t ms = phase_ms(c, phase);

    c->phase = phase;
    if (phase == PHASE_IDLE && c->is_gone)
        ms = 0; /* it can ask no more, but for what the library has of it already */
    c->due_us = ms < 0 ? UINT64_MAX : loop_now_us(c->server->loop) + (uint64_t)ms * 1000;
    c->has_given_back = phase != PHASE_IDLE || ms * 1000 <= SERVER_GIVE_BACK_US;
    if (!c->has_given_back)
        c->due_us = loop_now_us(c->server->loop) + SERVER_GIVE_BACK_US;
    if (c->due_us == UINT64_MAX ||
        (deadline_is_set(&c->deadline) && c->deadline.at_us <= c->due_us))
        return;
    if (!deadline_set(c->server->loop, &c->deadline, c->due_us))
        connection_cut(c); /* a connection without a deadline could stay for ever */
}

/* Has the peer's kernel acknowledged, or sent, something since the last look? Unix sockets cannot
 * tell: their reader is as near as ours, so silence is judged by the answer's own progress only. */
static bool made_progress(struct connection *c, bool writing)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);
    uint64_t *mark = writing ? &c->acked_mark : &c->received_mark;
    uint64_t now;

    memset(&info, 0, sizeof(info));
    if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return false;
    now = writing ? info.tcpi_bytes_acked : info.tcpi_bytes_received;
    if (now == *mark)
        return false;
    *mark = now;
    return true;
}

struct request_arrival connection_arrival(const struct connection *c)
{
    return (struct request_arrival){
        .peer = str_of(c->peer),
        .client_cert = str_at((const char *)c->client_cert.data, c->client_cert.size),
        .is_tls = c->listener->daemon != c->server->plain,
        .is_admin = c->server->is_admin,
        .started_us = c->request_started_us,
    };
}

static void request_is_late(struct connection *c, const char *reason)
{
    struct request_arrival arrival = connection_arrival(c);

    request_timed_out(c->request, &arrival, reason);
    response_raw(c);
}

static void header_is_late(struct connection *c)
{
    if (c->request != NULL) {
        request_is_late(c, "header_timeout");
        connection_cut(c);
        return;
    }
    request_count_timeout(c->server->context, "header_timeout");
    if (c->listener->daemon == c->server->plain && c->served == 0 && made_progress(c, false)) {
        raw_refusal(c->fd, 408, "The request did not arrive in time.");
    }
    connection_cut(c);
}

/* The first part of an idle connection's time is over: its memory goes back, the rest begins. */
static void give_back(struct connection *c)
{
    uint64_t idle_us = (uint64_t)phase_ms(c, PHASE_IDLE) * 1000;

    idle_give_back(c);
    c->has_given_back = true;
    c->due_us = loop_now_us(c->server->loop);
    if (idle_us > SERVER_GIVE_BACK_US)
        c->due_us += idle_us - SERVER_GIVE_BACK_US;
    if (!deadline_set(c->server->loop, &c->deadline, c->due_us))
        connection_cut(c);
}

static void on_due(void *arg)
{
    struct connection *c = arg;

    if (c->due_us > loop_now_us(c->server->loop)) {
        if (c->due_us != UINT64_MAX && !deadline_set(c->server->loop, &c->deadline, c->due_us))
            connection_cut(c);
        return;
    }
    switch (c->phase) {
    case PHASE_THINK:
        return;
    case PHASE_LINGER:
        connection_cut(c);
        return;
    case PHASE_HEADER:
        header_is_late(c);
        return;
    case PHASE_IDLE:
        /* of one that was cut the library may have freed the memory already */
        if (!c->has_given_back && !c->is_cut && !c->is_gone) {
            give_back(c);
            return;
        }
        if (!c->is_gone && !c->is_cut)
            request_count_timeout(c->server->context, "idle");
        connection_cut(c);
        return;
    case PHASE_BODY:
        if (c->is_suspended) { /* the upstream does not take it: its own deadline decides */
            connection_phase(c, PHASE_BODY);
            return;
        }
        request_is_late(c, "body_timeout");
        connection_cut(c);
        return;
    case PHASE_WRITE:
        if ((c->is_suspended && c->stage != STAGE_TUNNEL) || made_progress(c, true)) {
            connection_phase(c, PHASE_WRITE);
            return;
        }
        request_count_timeout(c->server->context, "write");
        connection_cut(c);
        return;
    }
}

/* ---- the client leaves ---- */

bool connection_has_unread(const struct connection *c)
{
    char byte;

    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void on_gone(void *arg, int fd, int ready)
{
    struct connection *c = arg;

    (void)fd;
    (void)ready;
    watch_stop(&c->watch); /* level-triggered: it would come again in every turn */
    c->is_gone = true;
    if (connection_waits(c)) {
        c->is_lost = true; /* the handler or the reader sees it and gives up */
        connection_resume(c);
    } else if (c->request == NULL && !connection_has_unread(c)) {
        /* the library may have missed it: an end that came with the last bytes */
        connection_cut(c);
    }
}

void connection_cut(struct connection *c)
{
    c->is_cut = true;
    (void)shutdown(c->fd, SHUT_RDWR);
    connection_resume(c);
}
