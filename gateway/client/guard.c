/* guard.c - the last look before libcurl sends a request.
 *
 * CURLOPT_PREREQFUNCTION runs before every sending, also on a kept connection, and can
 * still stop it. Two habits of libcurl are stopped here:
 *
 * - it takes a kept connection on which bytes wait (7.88) and reads them as the answer to
 *   the new request. Anything to read before a request was sent is poison or a close; on
 *   TLS it may be a mere session ticket, but that cannot be told without reading it.
 *   A connection of HTTP/2 always has something to say, and libcurl reads it as frames.
 * - it sends a request a second time, of any method, when a kept connection dies before
 *   the answer's first byte. Whether a request may be sent twice is not its decision.
 *
 * Thread: the loop's own, inside libcurl. */
#include "client/client_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

static bool has_ends(const struct connection *connection, const char *peer, const char *local,
                     int peer_port, int local_port)
{
    return connection->local_port == local_port && connection->peer_port == peer_port &&
           strcmp(connection->peer, peer) == 0 && strcmp(connection->local, local) == 0;
}

static int port_of(int fd)
{
    union {
        struct sockaddr_storage any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
    } name = {0};
    socklen_t len = sizeof(name);

    if (getsockname(fd, (struct sockaddr *)&name.any, &len) != 0)
        return -1;
    return ntohs(name.any.ss_family == AF_INET6 ? name.ip6.sin6_port : name.ip4.sin_port);
}

/* The connection that this exchange opened itself; of two that raced, the one that won. */
static struct connection *take_opened(struct curl_exchange *exchange, const char *peer,
                                      const char *local, int peer_port, int local_port)
{
    struct connection *at = exchange->opened;

    while (at != NULL && at->next_opened != NULL && port_of(at->fd) != local_port)
        at = at->next_opened;
    if (at == NULL)
        return NULL;
    connection_leave_opened(at);
    at->local_port = (uint16_t)local_port;
    at->peer_port = (uint16_t)peer_port;
    memcpy(at->peer, peer, strnlen(peer, CONNECTION_TEXT - 1));
    memcpy(at->local, local, strnlen(local, CONNECTION_TEXT - 1));
    connection_enter_bucket(at);
    return at;
}

static struct connection *find_kept(struct client *client, const char *peer, const char *local,
                                    int peer_port, int local_port)
{
    struct connection *at = client->buckets[(uint32_t)local_port % CONNECTION_BUCKETS];

    while (at != NULL && !has_ends(at, peer, local, peer_port, local_port))
        at = at->next_in_bucket;
    return at;
}

static bool is_silent(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

int connection_guard(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    struct curl_exchange *exchange = arg;
    struct connection *connection;

    if (exchange->has_verdict || exchange->state != EXCHANGE_RUNNING)
        return CURL_PREREQFUNC_ABORT;
    if (exchange->sends > 0) {
        exchange_judge(exchange, CLIENT_EMPTY, "closed_before_answer");
        return CURL_PREREQFUNC_ABORT;
    }
    connection = take_opened(exchange, peer, local, peer_port, local_port);
    exchange->base.times.is_reused = connection == NULL;
    if (connection == NULL)
        connection = find_kept(exchange->base.client, peer, local, peer_port, local_port);
    if (connection == NULL || connection->state == CONNECTION_DIRTY ||
        (exchange->base.times.is_reused && !exchange->wants_http2 && !is_silent(connection->fd))) {
        exchange_judge(exchange, CLIENT_STALE, "kept_connection_not_silent");
        return CURL_PREREQFUNC_ABORT;
    }
    connection_take(connection, exchange);
    exchange->sends++;
    exchange->base.times.connected_us = exchange->base.times.sent_us =
        loop_now_us(exchange->base.client->loop);
    return CURL_PREREQFUNC_OK;
}
