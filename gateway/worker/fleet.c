/* fleet.c - all workers together: listeners for each, one order to all. Main thread. */
#include "worker/worker_priv.h"

#include <stdlib.h>
#include <unistd.h>

#define EMPTY_WAIT_US 2000

struct fleet {
    struct worker **workers;
    uint32_t count;
    struct listen_config *listen; /* borrowed from the first snapshot, held by `rules` */
    uint32_t listen_count;
    uint16_t *ports;
    struct request_rules *rules;
};

/* A unix socket has one queue for all: each worker gets a descriptor of its own. */
static bool socket_for(const struct listen_config *listen, uint32_t worker,
                       struct server_socket *socket, int *shared_fd, struct fail *why)
{
    if (!listen->is_unix)
        return server_socket_open(listen, socket->port, worker == 0, socket, why);
    if (worker == 0) {
        if (!server_socket_open(listen, 0, true, socket, why))
            return false;
        *shared_fd = socket->fd;
        return true;
    }
    socket->fd = dup(*shared_fd);
    return socket->fd >= 0 ||
           fail_set(why, "unix:%s: out of file descriptors", listen->address.ptr);
}

static bool open_listener(struct fleet *fleet, uint32_t index, struct fail *why)
{
    const struct listen_config *listen = &fleet->listen[index];
    struct server_socket socket = {.port = 0};
    int shared_fd = -1;

    for (uint32_t i = 0; i < fleet->count; i++) {
        if (!socket_for(listen, i, &socket, &shared_fd, why))
            return false;
        fleet->ports[index] = socket.port;
        if (!server_add(fleet->workers[i]->server, socket.fd, listen, why))
            return false;
    }
    return true;
}

struct fleet *fleet_new(const struct fleet_parts *parts, struct request_rules *rules,
                        struct server_tls *tls, bool *bad_listener, struct fail *why)
{
    const struct config *config = request_rules_config(rules);
    struct fleet *fleet = calloc(1, sizeof(*fleet));

    *bad_listener = false;
    if (fleet == NULL)
        goto no_memory;
    fleet->rules = request_rules_hold(rules);
    fleet->listen = config->server.listen;
    fleet->listen_count = config->server.listen_count;
    fleet->ports = calloc(fleet->listen_count + 1, sizeof(*fleet->ports));
    fleet->workers = calloc(config->server.workers, sizeof(struct worker *));
    if (fleet->ports == NULL || fleet->workers == NULL)
        goto no_memory;
    while (fleet->count < config->server.workers) {
        fleet->workers[fleet->count] = worker_new(parts, fleet->count, rules, tls, why);
        if (fleet->workers[fleet->count] == NULL)
            goto failed;
        fleet->count++;
    }
    for (uint32_t i = 0; i < fleet->listen_count; i++)
        if (!open_listener(fleet, i, why)) {
            *bad_listener = true;
            goto failed;
        }
    return fleet;
no_memory:
    fail_set(why, "out of memory");
failed:
    fleet_free(&fleet);
    return NULL;
}

bool fleet_start(struct fleet *fleet, struct fail *why)
{
    for (uint32_t i = 0; i < fleet->count; i++)
        if (!worker_start(fleet->workers[i], why))
            return false;
    return true;
}

bool fleet_write_urls(const struct fleet *fleet, struct buf *out)
{
    for (uint32_t i = 0; i < fleet->listen_count; i++) {
        const struct listen_config *listen = &fleet->listen[i];
        bool is_v6 = str_find(listen->address, ':') < listen->address.len;

        if (i > 0)
            buf_add_char(out, ' ');
        if (listen->is_unix)
            buf_addf(out, "unix:%s", listen->address.ptr);
        else
            buf_addf(out, "%s://%s%s%s:%u", listen->tls.count > 0 ? "https" : "http",
                     is_v6 ? "[" : "", listen->address.ptr, is_v6 ? "]" : "", fleet->ports[i]);
    }
    return !out->is_broken;
}

static void send_all(struct fleet *fleet, post_fn *fn, struct request_rules *rules,
                     struct server_tls *tls)
{
    for (uint32_t i = 0; i < fleet->count; i++)
        if (fleet->workers[i]->is_started && !worker_send(fleet->workers[i], fn, rules, tls))
            log_line(LOG_ERROR, "out of memory: worker %u did not get its order", i);
}

void fleet_use(struct fleet *fleet, struct request_rules *rules, struct server_tls *tls)
{
    send_all(fleet, worker_do_use, rules, tls);
}

void fleet_stop_accepting(struct fleet *fleet)
{
    send_all(fleet, worker_do_stop_accepting, NULL, NULL);
}

bool fleet_is_empty(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->count; i++) /* one that could not be started has nothing */
        if (fleet->workers[i]->is_started && !atomic_load(&fleet->workers[i]->is_empty))
            return false;
    return true;
}

void fleet_abort(struct fleet *fleet)
{
    send_all(fleet, worker_do_abort, NULL, NULL);
}

static bool is_running(const struct fleet *fleet)
{
    return fleet->count > 0 && fleet->workers[0]->is_started;
}

static void remove_unix_sockets(const struct fleet *fleet)
{
    for (uint32_t i = 0; is_running(fleet) && i < fleet->listen_count; i++)
        if (fleet->listen[i].is_unix)
            (void)unlink(fleet->listen[i].address.ptr);
}

void fleet_free(struct fleet **fleet)
{
    struct fleet *old = *fleet;

    *fleet = NULL;
    if (old == NULL)
        return;
    if (is_running(old)) {
        fleet_stop_accepting(old);
        fleet_abort(old);
        while (!fleet_is_empty(old))
            usleep(
                EMPTY_WAIT_US); /* the process is ending: nothing else waits for the main thread */
    }
    remove_unix_sockets(old);
    for (uint32_t i = 0; i < old->count; i++)
        worker_free(&old->workers[i]);
    free((void *)old->workers);
    free(old->ports);
    request_rules_release(&old->rules);
    free(old);
}

bool fleet_load(struct fleet *fleet, uint32_t worker, double *utilization, double *lag_s)
{
    if (worker >= fleet->count)
        return false;
    *utilization =
        (double)atomic_load_explicit(&fleet->workers[worker]->load_ppm, memory_order_relaxed) / 1e6;
    *lag_s =
        (double)atomic_load_explicit(&fleet->workers[worker]->lag_us, memory_order_relaxed) / 1e6;
    return true;
}
