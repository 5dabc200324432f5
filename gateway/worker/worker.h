/* worker.h - one thread with everything a request needs, and all of them together.
 *
 * A fleet is the process' workers. The main thread starts it, hands it new snapshots, drains and
 * stops it; each order travels by loop_post(), so that a worker's things are touched on its
 * own thread alone. All functions here are the main thread's. */
#ifndef GATEWAY_WORKER_H
#define GATEWAY_WORKER_H
#include "base/base.h"
#include "request/request.h"
#include "server/server.h"

/* ---- sockets that were passed to us (inherit.c) ---- */
enum { INHERITED_MOST = 1024 };
struct inherited {
    int fds[INHERITED_MOST];
    uint32_t count;
    bool is_ours; /* of a gateway before us: one that was told port 0 has found its port */
};
/* A socket that listens there (port 0: on the configured one), the caller's from now on, and its
 * port; -1: none. */
int inherit_take(struct inherited *inherited, const struct listen_config *listen, uint16_t port,
                 uint16_t *real);

struct fleet;
struct fleet_parts { /* borrowed; outlive the fleet */
    struct request_shared *shared;
    struct server_counts *counts;
    struct loop *main_loop;      /* where the workers' news arrive */
    struct inherited *inherited; /* NULL: none */
};
/* Makes server.workers of the snapshot's configuration, with their loops, and opens its listeners
 * for each. NULL with the reason; *bad_listener is true when a listener could not be opened (exit
 * 3). */
struct fleet *fleet_new(const struct fleet_parts *parts, struct request_rules *rules,
                        struct server_tls *tls, bool *bad_listener, struct fail *why) MUST_USE;
/* Starts the threads. False: a thread could not be started. */
bool fleet_start(struct fleet *fleet, struct fail *why) MUST_USE;
/* "http://0.0.0.0:8080 https://…", the real addresses. */
bool fleet_write_urls(const struct fleet *fleet, struct buf *out);
/* Hands a new snapshot to every worker; requests under way keep theirs. */
void fleet_use(struct fleet *fleet, struct request_rules *rules, struct server_tls *tls);
/* The listening sockets, still the workers'; how many, at most `room`. */
uint32_t fleet_sockets(const struct fleet *fleet, int *fds, uint32_t room);
void fleet_keep_paths(struct fleet *fleet); /* unix sockets are a successor's: do not remove them */
/* Has the first worker fetch them. False: out of memory, or the fleet does not run. */
bool fleet_warm(struct fleet *fleet, struct warming *warming);
void fleet_stop_accepting(struct fleet *fleet); /* and closes idle connections */
bool fleet_is_empty(struct fleet *fleet);       /* no connection and no fetch is left */
void fleet_abort(struct fleet *fleet);          /* cuts what is left */
void fleet_free(struct fleet **fleet);          /* stops and joins the threads; cuts what is left */
/* Load since the last call, at most once a second fresh; false past the last worker. */
bool fleet_load(struct fleet *fleet, uint32_t worker, double *utilization, double *lag_s);

/* ---- the process ---- */
enum { EXIT_FAULT = 1, EXIT_USAGE = 2, EXIT_LISTENER = 3 };
/* Loads and checks, with what every folder says of its part. NULL with at least one fault. */
struct config *process_load(const char *file, struct faults *faults) MUST_USE;
/* Runs the gateway until a signal ends it; the exit status. file is read again by a reload. */
int process_run(const char *file, struct config *config);

#endif
