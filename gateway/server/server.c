/* server.c - one thread's server: its daemons, its place in the turn, its end.
 *
 * Resumes of a turn are collected and done in one hook; then each daemon runs once, last
 * in the turn, because only then is everything decided that this turn brought
 * (library-facts §2.2). Owner's thread. */
#include "server/server_priv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_epoll(void *arg, int fd, int ready)
{
    (void)arg; /* the turn's hook runs every daemon: being awake is enough */
    (void)fd;
    (void)ready;
}

static void run_daemon(struct server *server, struct MHD_Daemon *daemon)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;

    if (daemon == NULL)
        return;
    (void)MHD_run(daemon);
    if (MHD_get_timeout(daemon, &wait_ms) == MHD_YES)
        loop_wait_at_most(server->loop, daemon == server->plain && wait_ms == 0
                                            ? wait_standing_us(server)
                                            : (uint64_t)wait_ms * 1000);
}

static void run_daemons(void *arg)
{
    struct server *server = arg;

    tls_is_running(server);
    run_daemon(server, server->plain);
    for (uint32_t i = 0; i < server->listener_count; i++)
        if (server->listeners[i].daemon != server->plain)
            run_daemon(server, server->listeners[i].daemon);
    if (server->resumes != NULL)
        loop_wait_at_most(server->loop, 0);
}

static struct watch *watch_daemon(struct server *server, struct MHD_Daemon *daemon)
{
    int fd = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;

    (void)MHD_run(daemon);
    return watch_start(server->loop, fd, WATCH_READ, on_epoll, server);
}

/* Whole pages. What the head's limit leaves room for is `server_most_header_bytes`. */
static size_t pool_for(const struct config *config)
{
    size_t bytes = config->server.max_header_bytes + SERVER_ANSWER_BYTES + 4095;

    bytes -= bytes % 4096;
    return bytes > SERVER_LEAST_POOL_BYTES ? bytes : SERVER_LEAST_POOL_BYTES;
}

struct server *server_new(struct loop *loop, struct request_context *context,
                          struct server_counts *counts, bool is_admin, struct fail *why)
{
    struct server *server = calloc(1, sizeof(*server));

    if (server == NULL) {
        fail_set(why, "out of memory");
        return NULL;
    }
    server->loop = loop;
    server->context = context;
    server->counts = counts;
    server->is_admin = is_admin;
    memset(server->blank, '-', sizeof(server->blank) - 1);
    server->pool_bytes = pool_for(request_context_config(context));
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    server->active = metrics_cell(request_context_sheet(context), M_CONNECTIONS_ACTIVE);
    server->accept_pause.fn = accept_resume;
    server->accept_pause.arg = server;
    server->resume_hook = (struct turn_hook){wait_do_resumes, server, NULL};
    server->run_hook = (struct turn_hook){run_daemons, server, NULL};
    turn_add(loop, TURN_RESUME, &server->resume_hook);
    turn_add(loop, TURN_SERVER, &server->run_hook);
    server->plain = daemon_start(server, false, why);
    if (server->plain == NULL ||
        (server->plain_epoll = watch_daemon(server, server->plain)) == NULL)
        server_free(&server);
    return server;
}

void server_use_tls(struct server *server, struct server_tls *tls)
{
    server_tls_release(&server->tls);
    server->tls = server_tls_hold(tls);
}

bool server_add(struct server *server, int fd, const struct listen_config *listen, struct fail *why)
{
    struct listener *listener = &server->listeners[server->listener_count];

    if (server->listener_count == SERVER_MAX_LISTENERS)
        return fail_set(why, "more than %d listeners", SERVER_MAX_LISTENERS);
    *listener =
        (struct listener){.server = server, .config = *listen, .fd = fd, .daemon = server->plain};
    if (listen->tls.count > 0) {
        listener->daemon = daemon_start(server, true, why);
        if (listener->daemon == NULL)
            return false;
        listener->epoll = watch_daemon(server, listener->daemon);
    }
    server->listener_count++;
    listener->watch = watch_start(server->loop, fd, WATCH_READ, listener_ready, listener);
    if (listener->watch == NULL || (listen->tls.count > 0 && listener->epoll == NULL))
        return fail_set(why, "out of memory");
    return true;
}

void server_stop_accepting(struct server *server)
{
    for (uint32_t i = 0; i < server->listener_count; i++) {
        struct listener *listener = &server->listeners[i];

        if (listener->fd < 0)
            continue;
        for (int batches = 0; batches < SERVER_LAST_BATCHES && listener_accept(listener); batches++)
            continue; /* what waits in the queue is still served */
        watch_stop(&listener->watch);
        close(listener->fd);
        listener->fd = -1;
    }
}

/* Whoever connected just now has a request on its way; whoever had an answer may come again. */
static bool is_idle(const struct connection *c)
{
    return c->request == NULL && !connection_has_unread(c) &&
           (c->served > 0 ||
            loop_now_us(c->server->loop) - c->request_started_us >= SERVER_FIRST_REQUEST_US);
}

void server_close_idle(struct server *server)
{
    struct connection *next;

    if (loop_now_us(server->loop) > SERVER_FIRST_REQUEST_US)
        proxy_close_late(server, loop_now_us(server->loop) - SERVER_FIRST_REQUEST_US);
    for (struct connection *c = server->connections; c != NULL; c = next) {
        next = c->next;
        if (c->tunnel != NULL)
            tunnel_goodbye(c);
        else if (is_idle(c))
            connection_cut(c);
    }
}

size_t server_most_header_bytes(const struct server *server)
{
    return server->pool_bytes - SERVER_ANSWER_BYTES;
}

uint32_t server_connections(const struct server *server)
{
    return server->connection_count;
}

void server_abort(struct server *server)
{
    struct connection *next;

    server->is_aborting = true;
    proxy_close_late(server, UINT64_MAX);
    for (struct connection *c = server->connections; c != NULL; c = next) {
        next = c->next;
        connection_cut(c);
    }
}

void server_free(struct server **server)
{
    struct server *old = *server;

    *server = NULL;
    if (old == NULL)
        return;
    CHECK(old->connection_count == 0); /* the library aborts when a suspended connection is left */
    server_stop_accepting(old);
    for (uint32_t i = 0; i < old->listener_count; i++) {
        struct listener *listener = &old->listeners[i];

        watch_stop(&listener->epoll);
        if (listener->daemon != old->plain)
            MHD_stop_daemon(listener->daemon);
    }
    watch_stop(&old->plain_epoll);
    if (old->plain != NULL)
        MHD_stop_daemon(old->plain);
    deadline_clear(old->loop, &old->accept_pause);
    turn_remove(old->loop, TURN_RESUME, &old->resume_hook);
    turn_remove(old->loop, TURN_SERVER, &old->run_hook);
    if (old->spare_fd >= 0)
        close(old->spare_fd);
    server_tls_release(&old->tls);
    free((void *)old->by_fd);
    free(old);
}

const char *server_library_version(void)
{
    return MHD_get_version();
}

const char *server_library_lacks(void)
{
    return MHD_VERSION < 0x01000000
               ? "an answer to HEAD or 304 of unknown length closes the connection"
               : "";
}
