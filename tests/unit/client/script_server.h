/* script_server.h - an upstream that does exactly what a table says, in threads of the test.
 *
 * Each accepted connection runs one script, a list of steps ended by S_END: the first
 * connection the first script, and so on; the last script serves all that follow. What
 * was received is kept whole, so that a test can count how often a request arrived. All
 * waits are bounded by the socket timeouts below; pauses are those of the script.
 *
 * Header only, because a unit test is one file. Threads: accept loop and one each connection. */
#ifndef TESTS_SCRIPT_SERVER_H
#define TESTS_SCRIPT_SERVER_H
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum step_kind {
    S_END,    /* close */
    S_HEAD,   /* read to the blank line */
    S_BODY,   /* read n bytes */
    S_UNTIL,  /* read until the text has been seen */
    S_SEND,   /* the text */
    S_NUL,    /* one NUL byte */
    S_REPEAT, /* the text, n times */
    S_PAUSE,  /* n ms */
    S_RST,    /* close with a reset */
    S_FIN,    /* close the sending side */
    S_DRAIN,  /* read to the end; the last step, like the next two and S_RST */
    S_SERVE,  /* answer every request with "canary METHOD PATH" */
    S_HANG    /* until the server is stopped */
};
struct step {
    enum step_kind kind;
    const char *text;
    size_t n;
};
enum { SERVER_MOST_CONNECTIONS = 256, SERVER_SEEN_ROOM = 1 << 20 };

struct script_server;
struct script_connection {
    struct script_server *server;
    const struct step *steps;
    int fd;
    pthread_t thread;
    char window[65536]; /* received and not yet used up by a step */
    size_t window_len;
};
struct script_server {
    int listener;
    uint16_t port;
    pthread_t thread;
    const struct step *const *scripts;
    size_t script_count;
    struct script_connection *connections[SERVER_MOST_CONNECTIONS];
    pthread_mutex_t lock; /* of what follows */
    size_t connection_count;
    bool is_stopping;
    size_t received; /* bytes in all */
    char seen[SERVER_SEEN_ROOM];
    size_t seen_len;
};

static inline void server_note(struct script_server *server, const char *bytes, size_t len)
{
    pthread_mutex_lock(&server->lock);
    server->received += len;
    if (len > SERVER_SEEN_ROOM - 1 - server->seen_len)
        len = SERVER_SEEN_ROOM - 1 - server->seen_len;
    memcpy(server->seen + server->seen_len, bytes, len);
    server->seen_len += len;
    server->seen[server->seen_len] = '\0';
    pthread_mutex_unlock(&server->lock);
}

static inline bool server_more(struct script_connection *c)
{
    ssize_t got;

    if (c->window_len == sizeof(c->window))
        c->window_len = 0;
    got = recv(c->fd, c->window + c->window_len, sizeof(c->window) - c->window_len, 0);
    if (got <= 0)
        return false;
    server_note(c->server, c->window + c->window_len, (size_t)got);
    c->window_len += (size_t)got;
    return true;
}

static inline void server_use(struct script_connection *c, size_t len)
{
    memmove(c->window, c->window + len, c->window_len - len);
    c->window_len -= len;
}

static inline bool server_read_until(struct script_connection *c, const char *text, char *line,
                                     size_t line_room)
{
    for (;;) {
        char *end = memmem(c->window, c->window_len, text, strlen(text));

        if (end != NULL) {
            size_t len = (size_t)(end - c->window) + strlen(text);

            if (line != NULL)
                snprintf(line, line_room, "%.*s", (int)strcspn(c->window, "\r\n"), c->window);
            server_use(c, len);
            return true;
        }
        if (!server_more(c))
            return false;
    }
}

static inline bool server_read_count(struct script_connection *c, size_t count)
{
    while (count > 0) {
        size_t part = c->window_len < count ? c->window_len : count;

        server_use(c, part);
        count -= part;
        if (count > 0 && !server_more(c))
            return false;
    }
    return true;
}

static inline bool server_send(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        bytes += sent;
        len -= (size_t)sent;
    }
    return true;
}

static inline bool server_serve(struct script_connection *c)
{
    char line[256], answer[512];

    while (server_read_until(c, "\r\n\r\n", line, sizeof(line))) {
        char *version = strstr(line, " HTTP/1.");

        if (version != NULL)
            *version = '\0';
        snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\ncanary %s",
                 strlen(line) + 7, strncmp(line, "HEAD", 4) == 0 ? "" : line);
        if (!server_send(c->fd, answer, strlen(answer)))
            return false;
    }
    return false;
}

static inline void server_pause(size_t ms)
{
    struct timespec span = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    nanosleep(&span, NULL);
}

static inline bool server_is_stopping(struct script_server *server)
{
    bool is_stopping;

    pthread_mutex_lock(&server->lock);
    is_stopping = server->is_stopping;
    pthread_mutex_unlock(&server->lock);
    return is_stopping;
}

static inline bool server_step(struct script_connection *c, const struct step *step)
{
    struct linger reset = {1, 0};
    bool is_good = true;

    switch (step->kind) {
    case S_END:
        return false;
    case S_HEAD:
        return server_read_until(c, "\r\n\r\n", NULL, 0);
    case S_BODY:
        return server_read_count(c, step->n);
    case S_UNTIL:
        return server_read_until(c, step->text, NULL, 0);
    case S_SEND:
        return server_send(c->fd, step->text, strlen(step->text));
    case S_NUL:
        return server_send(c->fd, "", 1);
    case S_REPEAT:
        for (size_t i = 0; i < step->n && is_good; i++)
            is_good = server_send(c->fd, step->text, strlen(step->text));
        return is_good;
    case S_PAUSE:
        server_pause(step->n);
        return true;
    case S_RST:
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        return false;
    case S_FIN:
        shutdown(c->fd, SHUT_WR);
        return true;
    case S_DRAIN:
        do
            c->window_len = 0;
        while (server_more(c));
        return false;
    case S_SERVE:
        return server_serve(c);
    case S_HANG:
        while (!server_is_stopping(c->server))
            server_pause(5);
        return false;
    }
    return false;
}

static inline void *server_run_connection(void *arg)
{
    struct script_connection *c = arg;
    const struct step *step = c->steps;

    while (server_step(c, step))
        step++;
    close(c->fd);
    return NULL;
}

static inline void *server_run(void *arg)
{
    struct script_server *server = arg;
    struct timeval most = {10, 0};

    for (size_t i = 0; i < SERVER_MOST_CONNECTIONS; i++) {
        struct script_connection *c;
        int fd = accept(server->listener, NULL, NULL);

        if (fd < 0)
            break;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
        c = calloc(1, sizeof(*c));
        if (c == NULL)
            abort();
        c->server = server;
        c->fd = fd;
        c->steps = server->scripts[i < server->script_count ? i : server->script_count - 1];
        pthread_mutex_lock(&server->lock);
        server->connections[i] = c;
        server->connection_count = i + 1;
        pthread_mutex_unlock(&server->lock);
        if (pthread_create(&c->thread, NULL, server_run_connection, c) != 0)
            abort();
    }
    return NULL;
}

static inline void server_start(struct script_server *server, const struct step *const *scripts,
                                size_t count)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);

    memset(server, 0, sizeof(*server));
    pthread_mutex_init(&server->lock, NULL);
    server->scripts = scripts;
    server->script_count = count;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server->listener < 0 || bind(server->listener, (struct sockaddr *)&at, len) != 0 ||
        listen(server->listener, 128) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&at, &len) != 0 ||
        pthread_create(&server->thread, NULL, server_run, server) != 0)
        abort();
    server->port = ntohs(at.sin_port);
}

/* Call it when the client's side is closed, or reads in a script wait for their timeout. */
static inline void server_stop(struct script_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->is_stopping = true;
    pthread_mutex_unlock(&server->lock);
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    for (size_t i = 0; i < server->connection_count; i++) {
        pthread_join(server->connections[i]->thread, NULL);
        free(server->connections[i]);
    }
    pthread_mutex_destroy(&server->lock);
}

/* How often `text` was received. */
static inline size_t server_saw(struct script_server *server, const char *text)
{
    size_t count = 0;

    pthread_mutex_lock(&server->lock);
    for (const char *at = server->seen; (at = strstr(at, text)) != NULL; at += strlen(text))
        count++;
    pthread_mutex_unlock(&server->lock);
    return count;
}

static inline size_t server_connections(struct script_server *server)
{
    size_t count;

    pthread_mutex_lock(&server->lock);
    count = server->connection_count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

#endif
