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
    struct inherited *inherited;
    int sockets[INHERITED_MOST]; /* for a successor; the workers' own */
    uint32_t socket_count;
    bool keeps_paths;
};

/* Where one listener's sockets come from, worker by worker. */
struct supply {
    int first; /* -1: none yet */
    bool is_passed;
    uint16_t port;
};

/* TCP sockets share an address by SO_REUSEPORT. A unix socket, and one that was passed to us, has
 * one queue for all: each worker gets a descriptor of its own. */
static bool socket_for(struct fleet *fleet, const struct listen_config *listen,
                       struct supply *supply, int *fd, struct fail *why)
{
    struct server_socket socket = {.port = 0};

    *fd = inherit_take(fleet->inherited, listen, supply->port, &socket.port);
    if (*fd >= 0) {
        supply->is_passed = true;
        supply->port = socket.port;
    } else if (supply->first >= 0 && (listen->is_unix || supply->is_passed)) {
        *fd = dup(supply->first);
        if (*fd < 0)
            return fail_set(why, "%s: out of file descriptors", listen->address.ptr);
    } else {
        if (!server_socket_open(listen, supply->port, supply->first < 0, &socket, why))
            return false;
        *fd = socket.fd;
        supply->port = socket.port;
    }
    if (supply->first < 0)
        supply->first = *fd;
    return true;
}

static bool give_socket(struct fleet *fleet, uint32_t worker, int fd,
                        const struct listen_config *listen, struct fail *why)
{
    if (fleet->socket_count < INHERITED_MOST)
        fleet->sockets[fleet->socket_count++] = fd;
    return server_add(fleet->workers[worker % fleet->count]->server, fd, listen, why);
}

static bool open_listener(struct fleet *fleet, uint32_t index, struct fail *why)
{
    const struct listen_config *listen = &fleet->listen[index];
    struct supply supply = {.first = -1};
    uint32_t worker = 0;
    uint16_t port;
    int fd;

    for (; worker < fleet->count; worker++)
        if (!socket_for(fleet, listen, &supply, &fd, why) ||
            !give_socket(fleet, worker, fd, listen, why))
            return false;
    fleet->ports[index] = supply.port;
    /* a predecessor had more workers: who waits in those queues is served too */
    while (supply.is_passed &&
           (fd = inherit_take(fleet->inherited, listen, supply.port, &port)) >= 0)
        if (!give_socket(fleet, worker++, fd, listen, why))
            return false;
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
    fleet->inherited = parts->inherited;
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

uint32_t fleet_sockets(const struct fleet *fleet, int *fds, uint32_t room)
{
    uint32_t count = fleet->socket_count < room ? fleet->socket_count : room;

    memcpy(fds, fleet->sockets, count * sizeof(*fds));
    return count;
}

void fleet_keep_paths(struct fleet *fleet)
{
    fleet->keeps_paths = true;
}

bool fleet_warm(struct fleet *fleet, struct warming *warming)
{
    return fleet->count > 0 && fleet->workers[0]->is_started &&
           worker_warm(fleet->workers[0], warming);
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
    for (uint32_t i = 0; is_running(fleet) && !fleet->keeps_paths && i < fleet->listen_count; i++)
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
