/* h1_connect.c - a connection: kept, taken, opened, given back, closed.
 *
 * Kept ones lie with their host, the last used taken first; the loop hears them all the time,
 * and one that speaks or closes while nobody waits for an answer is closed at once: an answer
 * that nobody asked for must not become somebody's. So one is taken that the loop has looked at
 * since it fell idle; where there is none, a look at the socket takes the loop's place.
 *
 * Addresses of a name are tried in their order, each with its share of the time that is left.
 *
 * Thread: the loop's own. */
#include "client/h1_priv.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- idle ---------------------------------------------------------------- */

static void enter_idle(struct h1_connection *connection)
{
    struct h1_host *host = connection->host;

    connection->exchange = NULL;
    connection->idle_since_us = loop_now_us(host->client->loop);
    connection->newer = NULL;
    connection->older = host->newest;
    if (host->newest != NULL)
        host->newest->newer = connection;
    else
        host->oldest = connection;
    host->newest = connection;
    host->idle++;
    host->client->h1->idle++;
    client_sweep_soon(host->client);
}

static void leave_idle(struct h1_connection *connection)
{
    struct h1_host *host = connection->host;

    if (connection->newer != NULL)
        connection->newer->older = connection->older;
    else
        host->newest = connection->older;
    if (connection->older != NULL)
        connection->older->newer = connection->newer;
    else
        host->oldest = connection->newer;
    connection->newer = connection->older = NULL;
    host->idle--;
    host->client->h1->idle--;
}

static void close_connection(struct h1_connection *connection)
{
    struct h1_host *host = connection->host;

    if (connection->exchange == NULL)
        leave_idle(connection);
    else
        host->client->h1->busy--;
    host->connections--;
    watch_stop(&connection->watch);
    if (connection->secure == NULL)
        (void)close(connection->fd);
    free(connection);
}

void h1_host_close_idle(struct h1_host *host, uint64_t before_us)
{
    for (struct h1_connection *one = host->oldest, *newer;
         one != NULL && one->idle_since_us <= before_us; one = newer) {
        newer = one->newer;
        close_connection(one);
    }
}

/* May run inside a callback of this very connection: nothing of it is used after. */
void h1_connection_release(struct h1_exchange *exchange, bool keeps)
{
    struct h1_connection *connection = exchange->connection;
    struct h1_host *host = connection->host;

    exchange->connection = NULL;
    if (!keeps || !exchange->parser.keeps || exchange->keepalive == 0) {
        close_connection(connection);
        return;
    }
    host->client->h1->busy--;
    enter_idle(connection);
    watch_change(connection->watch, WATCH_READ);
    if (host->idle > exchange->keepalive)
        close_connection(host->oldest);
}

bool h1_needs_sweep(const struct client *client)
{
    return client->h1->first != NULL;
}

enum { HOST_KEPT_US = 60000000 }; /* without use: it costs little, its addresses a look-up */

static void sweep_host(struct h1_host **at, uint64_t now_us)
{
    struct h1_host *host = *at;

    if (host->connections == 0 && host->exchanges == 0 && host->query == NULL &&
        now_us - host->used_us > HOST_KEPT_US) {
        *at = host->next;
        (void)map_remove(host->client->h1->hosts, host->key);
        h1_host_free(host);
    }
}

void h1_sweep(struct client *client)
{
    uint64_t now_us = loop_now_us(client->loop);
    uint64_t most_us = (uint64_t)client->options.idle_timeout_ms * 1000;
    struct h1_host **at = &client->h1->first;

    while (*at != NULL) {
        struct h1_host *host = *at;

        if (now_us > most_us)
            h1_host_close_idle(host, now_us - most_us);
        sweep_host(at, now_us);
        if (*at == host)
            at = &host->next;
    }
}

/* ---- taken --------------------------------------------------------------- */

enum {
    TRUSTED_US = 1000000,
    MOST_PASSED = 16 /* that fell idle in this very turn: then one of them is looked at */
};

static bool is_silent(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* The loop has looked at it since it fell idle, and closes what it hears. One that an upstream may
 * be about to close for its age gets a look of ours all the same. */
static bool is_known_silent(const struct h1_connection *one, uint64_t now_us)
{
    return one->idle_since_us < now_us && now_us - one->idle_since_us < TRUSTED_US;
}

static struct h1_connection *take_known(struct h1_host *host)
{
    uint64_t now_us = loop_now_us(host->client->loop);
    struct h1_connection *one = host->newest;

    for (int i = 0; i < MOST_PASSED && one != NULL; i++, one = one->older) {
        if (!is_known_silent(one, now_us))
            continue;
        leave_idle(one);
        return one;
    }
    return NULL;
}

static struct h1_connection *take_kept(struct h1_host *host)
{
    struct h1_connection *known = take_known(host);

    if (known != NULL)
        return known;
    for (struct h1_connection *one = host->newest, *older; one != NULL; one = older) {
        older = one->older;
        if (is_silent(one->fd)) {
            leave_idle(one);
            return one;
        }
        close_connection(one);
    }
    return NULL;
}

static void run(struct h1_exchange *exchange)
{
    struct h1_connection *connection = exchange->connection;
    uint64_t now_us = h1_now_us(exchange);

    exchange->state = H1_RUNNING;
    exchange->base.times.is_reused = connection->is_used;
    exchange->base.times.connected_us = exchange->base.times.sent_us = now_us;
    deadline_clear(exchange->base.client->loop, &exchange->connect_by);
    switch (h1_write(exchange)) {
    case H1_SENT_OK:
        connection->is_used = true;
        return;
    case H1_SENT_OVER:
        return;
    case H1_SENT_NOTHING: /* it died while it lay idle: the next one */
        h1_connection_release(exchange, false);
        exchange->base.times = (struct client_times){0};
        exchange->state = H1_NEW;
        h1_connect(exchange);
        return;
    }
}

/* ---- opened -------------------------------------------------------------- */

static void on_ready(void *arg, int fd, int ready)
{
    struct h1_connection *connection = arg;
    struct h1_exchange *exchange = connection->exchange;

    (void)fd;
    if (exchange == NULL) { /* it spoke, or closed, unasked */
        close_connection(connection);
        return;
    }
    if (exchange->state == H1_CONNECTING) {
        h1_connect(exchange);
        return;
    }
    if ((ready & WATCH_WRITE) != 0 && h1_goes_on(exchange) && h1_write(exchange) == H1_SENT_OVER)
        return;
    if ((ready & WATCH_READ) == 0 || !h1_goes_on(exchange) || exchange->connection != connection ||
        exchange->answer_waits)
        return;
    if (connection->secure != NULL)
        h1_secure_read(exchange);
    else
        h1_read(exchange);
}

static void fail_by(struct h1_exchange *exchange, int number)
{
    switch (number) {
    case EADDRNOTAVAIL:
        h1_finish(exchange, CLIENT_NO_PORTS, "no_local_port");
        return;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
        h1_finish(exchange, CLIENT_NO_PORTS, "no_fd");
        return;
    case ENOMEM:
        h1_finish(exchange, CLIENT_NO_MEMORY, "memory");
        return;
    default:
        h1_finish(exchange, CLIENT_CONNECT_FAILED, "connect_failed");
        return;
    }
}

/* A socket of its own for the exchange. Its number or, below 0, why not. */
static int open_socket(const struct socket_address *address)
{
    int one = 1, fd;

    fd = socket(address->as.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (address->as.any.sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, &address->as.any, address->len) != 0 && errno != EINPROGRESS) {
        int number = errno;

        (void)close(fd);
        return -number;
    }
    return fd;
}

static bool adopt(struct h1_exchange *exchange, int fd)
{
    struct client *client = exchange->base.client;
    struct h1_connection *connection = calloc(1, sizeof(*connection));

    if (connection == NULL)
        return false;
    connection->watch = watch_start(client->loop, fd, WATCH_WRITE, on_ready, connection);
    if (connection->watch == NULL) {
        free(connection);
        return false;
    }
    connection->fd = fd;
    connection->host = exchange->host;
    connection->secure = exchange->secure;
    connection->exchange = exchange;
    exchange->host->connections++;
    exchange->connection = connection;
    client->h1->busy++;
    return true;
}

static void on_address_late(void *arg);

/* The time that is left, in equal parts for the addresses that are left. */
static bool set_deadline(struct h1_exchange *exchange)
{
    uint64_t now_us = h1_now_us(exchange), until_us = exchange->connect_until_us;
    uint32_t left = exchange->host->address_count - exchange->next_address;

    if (left > 0 && until_us > now_us) {
        until_us = now_us + (until_us - now_us) / (left + 1);
        exchange->connect_by.fn = on_address_late;
    }
    return deadline_set(exchange->base.client->loop, &exchange->connect_by, until_us);
}

static void try_next(struct h1_exchange *exchange, int number)
{
    struct h1_host *host = exchange->host;
    int fd = -number;

    while (exchange->next_address < host->address_count) {
        fd = open_socket(&host->addresses[exchange->next_address++]);
        if (fd < 0)
            continue;
        if (adopt(exchange, fd) && set_deadline(exchange)) {
            exchange->state = H1_CONNECTING;
            return;
        }
        if (exchange->connection == NULL)
            (void)close(fd);
        fd = -ENOMEM;
        break;
    }
    fail_by(exchange, -fd);
}

static void on_address_late(void *arg)
{
    struct h1_exchange *exchange = arg;

    if (exchange->state != H1_CONNECTING)
        return; /* cancelled in this turn */
    h1_connection_release(exchange, false);
    if (exchange->next_address < exchange->host->address_count)
        try_next(exchange, ETIMEDOUT);
    else
        h1_finish(exchange, CLIENT_CONNECT_TIMEOUT, "connect_timeout");
}

static void has_connected(struct h1_exchange *exchange)
{
    int number = 0;
    socklen_t size = sizeof(number);

    if (getsockopt(exchange->connection->fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0)
        number = errno;
    if (number == 0) {
        run(exchange);
        return;
    }
    h1_connection_release(exchange, false);
    try_next(exchange, number);
}

void h1_connect_is_secure(struct h1_exchange *exchange, int fd)
{
    if (adopt(exchange, fd))
        run(exchange);
    else
        h1_finish(exchange, CLIENT_NO_MEMORY, "memory");
}

void h1_connect_by_name(struct h1_exchange *exchange, bool is_known)
{
    exchange->next_address = 0;
    if (is_known)
        try_next(exchange, ENETUNREACH);
    else
        h1_finish(exchange, CLIENT_DNS_FAILED, "dns_failed");
}

static void open_one(struct h1_exchange *exchange)
{
    struct h1_host *host = exchange->host;
    bool is_asked = h1_host_look_up(host);

    if (host->address_count > 0) {
        h1_connect_by_name(exchange, true);
        return;
    }
    if (!is_asked || !deadline_set(exchange->base.client->loop, &exchange->connect_by,
                                   exchange->connect_until_us)) {
        h1_finish(exchange, CLIENT_NO_MEMORY, "memory");
        return;
    }
    exchange->state = H1_RESOLVING;
    exchange->next_waiting = host->waiting;
    host->waiting = exchange;
}

void h1_connect(struct h1_exchange *exchange)
{
    struct h1_host *host = exchange->host;
    struct h1_connection *kept;

    if (exchange->state == H1_CONNECTING) {
        has_connected(exchange);
        return;
    }
    host->used_us = h1_now_us(exchange);
    kept = exchange->may_reuse ? take_kept(host) : NULL;
    if (kept == NULL) {
        open_one(exchange);
        return;
    }
    kept->exchange = exchange;
    exchange->connection = kept;
    exchange->base.client->h1->busy++;
    run(exchange);
}
