/* connection.c - libcurl's sockets on our loop, and which of them lie idle.
 *
 * libcurl forgets a socket's watch when its transfer ends and asks for it again with the
 * next; the watch stays here, which saves two epoll_ctl() a request, and an idle
 * connection is still heard. Whatever comes on it then is unasked for: a second answer, a
 * "408, idle", a close. libcurl 7.88 would hand such bytes to the next request as its
 * answer, so they are thrown away and the connection is shut, which libcurl finds out
 * when it next looks at it. What comes in the moment between is the guard's (guard.c).
 *
 * libcurl knows connections by handles of its own; here they are known by fd, and by
 * their two ends, because that is all that the pre-request hook is told.
 *
 * Thread: the loop's own. */
#include "client/client_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_FD_ROOM = 64, DRAIN_BYTES = 1 << 20 };

static struct connection *find_fd(const struct client *client, int fd)
{
    return fd >= 0 && (size_t)fd < client->fd_room ? client->by_fd[fd] : NULL;
}

static bool make_room(struct client *client, size_t count)
{
    size_t room = client->fd_room == 0 ? FIRST_FD_ROOM : client->fd_room;
    struct connection **larger;

    if (count <= client->fd_room)
        return true;
    while (room < count)
        room *= 2;
    larger = realloc(client->by_fd, room * sizeof(struct connection *));
    if (larger == NULL)
        return false;
    memset(larger + client->fd_room, 0, (room - client->fd_room) * sizeof(struct connection *));
    client->by_fd = larger;
    client->fd_room = room;
    return true;
}

static void forget(struct connection *connection);

/* A socket that never came to be connected libcurl closes without a word: whoever stands at the
 * number of a new one is gone. */
static struct connection *add(struct client *client, int fd, enum connection_state state)
{
    struct connection *connection = find_fd(client, fd);

    if (connection != NULL)
        forget(connection);
    if (!make_room(client, (size_t)fd + 1))
        return NULL;
    connection = calloc(1, sizeof(*connection));
    if (connection == NULL)
        return NULL;
    connection->client = client;
    connection->fd = fd;
    connection->state = state;
    client->by_fd[fd] = connection;
    return connection;
}

/* ---- idle ones, in the order of their last use ------------------------- */

static void leave_idle(struct connection *connection)
{
    struct client *client = connection->client;

    if (connection->newer != NULL)
        connection->newer->older = connection->older;
    else
        client->newest = connection->older;
    if (connection->older != NULL)
        connection->older->newer = connection->newer;
    else
        client->oldest = connection->newer;
    connection->newer = connection->older = NULL;
    client->idle--;
}

static void enter_idle(struct connection *connection)
{
    struct client *client = connection->client;

    connection->state = CONNECTION_IDLE;
    connection->idle_since_us = loop_now_us(client->loop);
    connection->older = client->newest;
    if (client->newest != NULL)
        client->newest->newer = connection;
    else
        client->oldest = connection;
    client->newest = connection;
    client->idle++;
    if (connection->watch != NULL)
        watch_change(connection->watch, WATCH_READ);
    client_sweep_soon(client);
}

/* Never to be used again. libcurl looks for the end of the stream before it takes a kept
 * connection, and asks for nothing more than one byte: so there must be none. */
static void spoil(struct connection *connection)
{
    leave_idle(connection);
    connection->state = CONNECTION_DIRTY;
    if (connection->watch != NULL)
        watch_change(connection->watch, 0);
    (void)!recv(connection->fd, NULL, DRAIN_BYTES, MSG_DONTWAIT | MSG_TRUNC);
    (void)shutdown(connection->fd, SHUT_RDWR);
}

void connection_sweep(struct client *client)
{
    uint64_t now_us = loop_now_us(client->loop);
    uint64_t most_us = (uint64_t)client->options.idle_timeout_ms * 1000;

    while (client->oldest != NULL && now_us - client->oldest->idle_since_us >= most_us)
        spoil(client->oldest);
}

/* ---- what libcurl asks for --------------------------------------------- */

/* Frames that libcurl reads before it uses the connection again, or the end of it. */
static void hear_http2(struct connection *connection)
{
    char byte;

    if (recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
        watch_change(connection->watch, 0);
    else
        spoil(connection);
}

static void on_ready(void *arg, int fd, int ready)
{
    struct connection *connection = arg;

    if (connection->state == CONNECTION_IDLE && connection->is_http2)
        hear_http2(connection);
    else if (connection->state == CONNECTION_IDLE)
        spoil(connection);
    else
        client_drive_fd(connection->client, fd, ready); /* may free the connection */
}

static void unwatch(struct connection *connection)
{
    if (connection->state == CONNECTION_FOREIGN) {
        watch_stop(&connection->watch);
        connection->client->by_fd[connection->fd] = NULL;
        free(connection);
    } else if (connection->state == CONNECTION_OPENING) {
        watch_stop(&connection->watch); /* it may be closed next, and the number be another's */
    } else if (connection->state != CONNECTION_IDLE && connection->watch != NULL) {
        /* paused, or done: in the second case connection_release() follows in this turn */
        watch_change(connection->watch, 0);
    }
}

void connection_unwatch(struct client *client, curl_socket_t fd)
{
    struct connection *connection = find_fd(client, fd);

    if (connection != NULL)
        watch_stop(&connection->watch);
}

int connection_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    struct client *client = arg;
    struct connection *connection = find_fd(client, fd);
    int events = 0;

    (void)easy;
    (void)unused;
    if (connection == NULL) {
        if (what == CURL_POLL_REMOVE)
            return 0;
        connection = add(client, fd, CONNECTION_FOREIGN);
    }
    if (connection == NULL)
        return -1;
    if (what == CURL_POLL_REMOVE) {
        unwatch(connection);
        return 0;
    }
    if ((what & CURL_POLL_IN) != 0)
        events |= WATCH_READ;
    if ((what & CURL_POLL_OUT) != 0)
        events |= WATCH_WRITE;
    if (connection->watch != NULL)
        watch_change(connection->watch, events);
    else
        connection->watch = watch_start(client->loop, fd, events, on_ready, connection);
    return connection->watch != NULL ? 0 : -1;
}

curl_socket_t connection_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct curl_exchange *exchange = arg;
    struct connection *connection;
    int fd;

    (void)purpose;
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                address->protocol);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            exchange_judge(exchange, CLIENT_NO_PORTS, "no_fd");
        return CURL_SOCKET_BAD;
    }
    connection = add(exchange->base.client, fd, CONNECTION_OPENING);
    if (connection == NULL) {
        exchange_judge(exchange, CLIENT_NO_MEMORY, "memory");
        close(fd);
        return CURL_SOCKET_BAD;
    }
    connection->exchange = exchange;
    connection->next_opened = exchange->opened;
    exchange->opened = connection;
    return fd;
}

/* ---- known by its ends ------------------------------------------------- */

void connection_enter_bucket(struct connection *connection)
{
    struct connection **bucket =
        &connection->client->buckets[connection->local_port % CONNECTION_BUCKETS];

    connection->next_in_bucket = *bucket;
    *bucket = connection;
}

static void leave_bucket(struct connection *connection)
{
    struct connection **at =
        &connection->client->buckets[connection->local_port % CONNECTION_BUCKETS];

    while (*at != NULL && *at != connection)
        at = &(*at)->next_in_bucket;
    if (*at != NULL)
        *at = connection->next_in_bucket;
}

void connection_leave_opened(struct connection *connection)
{
    struct connection **at;

    if (connection->state != CONNECTION_OPENING || connection->exchange == NULL)
        return;
    at = &connection->exchange->opened;
    while (*at != NULL && *at != connection)
        at = &(*at)->next_opened;
    if (*at != NULL)
        *at = connection->next_opened;
    connection->next_opened = NULL;
    connection->exchange = NULL;
}

/* Nobody's any more. */
static void leave_users(struct connection *connection)
{
    for (struct curl_exchange *user = connection->exchange, *next; user != NULL; user = next) {
        next = user->next_sharing;
        user->connection = NULL;
        user->next_sharing = NULL;
    }
    connection->exchange = NULL;
}

static void forget(struct connection *connection)
{
    struct client *client = connection->client;

    connection_leave_opened(connection);
    if (connection->local_port != 0)
        leave_bucket(connection);
    if (connection->state == CONNECTION_IDLE)
        leave_idle(connection);
    if (connection->state == CONNECTION_BUSY) {
        client->busy--;
        leave_users(connection);
    }
    watch_stop(&connection->watch);
    client->by_fd[connection->fd] = NULL;
    free(connection);
}

int connection_close(void *arg, curl_socket_t fd)
{
    struct client *client = arg;
    struct connection *connection = find_fd(client, fd);

    if (connection != NULL)
        forget(connection);
    return close(fd);
}

void connection_take(struct connection *connection, struct curl_exchange *exchange)
{
    if (connection->state == CONNECTION_IDLE)
        leave_idle(connection);
    if (connection->state != CONNECTION_BUSY) {
        connection->client->busy++;
        connection->exchange = NULL;
    } else if (!exchange->wants_http2) { /* libcurl passes it on before we saw the end */
        leave_users(connection);
    }
    connection->state = CONNECTION_BUSY;
    exchange->next_sharing = connection->exchange;
    connection->exchange = exchange;
    exchange->connection = connection;
}

static void leave_shared(struct connection *connection, struct curl_exchange *exchange)
{
    struct curl_exchange **at = &connection->exchange;

    while (*at != exchange) {
        CHECK(*at != NULL);
        at = &(*at)->next_sharing;
    }
    *at = exchange->next_sharing;
    exchange->next_sharing = NULL;
}

void connection_release(struct curl_exchange *exchange)
{
    struct connection *connection = exchange->connection;

    while (exchange->opened != NULL)
        connection_leave_opened(exchange->opened);
    exchange->connection = NULL;
    if (connection == NULL)
        return;
    CHECK(connection->state == CONNECTION_BUSY);
    leave_shared(connection, exchange);
    if (exchange->answer.is_http2)
        connection->is_http2 = true;
    if (connection->exchange != NULL)
        return; /* others share it */
    connection->client->busy--;
    enter_idle(connection);
    /* libcurl keeps the end of a stream to itself until the next request goes that way */
    if (exchange->wants_http2 && exchange->state == EXCHANGE_CANCELLED)
        spoil(connection);
}

void connection_free_all(struct client *client)
{
    for (size_t i = 0; i < client->fd_room; i++)
        if (client->by_fd[i] != NULL)
            forget(client->by_fd[i]);
    free(client->by_fd);
    client->by_fd = NULL;
    client->fd_room = 0;
}
