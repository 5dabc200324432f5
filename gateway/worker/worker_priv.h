/* worker_priv.h - a worker, as its two files know it. */
#ifndef GATEWAY_WORKER_PRIV_H
#define GATEWAY_WORKER_PRIV_H
#include "worker/worker.h"

#include <pthread.h>
#include <stdatomic.h>

#define WORKER_TICK_US       250000 /* how often it looks at itself: load, end of drain */
#define WORKER_DRAIN_TICK_US 10000

/* An order on its way; freed by the worker. */
struct order {
    struct post post;
    struct worker *worker;
    struct request_rules *rules;
    struct server_tls *tls;
    struct warming *warming;
};
struct worker {
    uint32_t index;
    struct request_shared *shared;
    struct loop *loop;
    struct upstream_pool *pool;
    struct sheet *sheet;
    struct request_context *context;
    struct limit_store *store;      /* NULL: counters live in memory */
    struct cache_level *level;      /* NULL: the cache has one level */
    struct jobs *jobs;              /* NULL: there is no store for them */
    struct picture_store *pictures; /* NULL: answers for pictures are in memory alone */
    struct server *server;
    pthread_t thread;
    bool is_started, is_draining, is_aborting;
    struct deadline tick;
    struct cell *lag, *utilization, *active, *idle;
    /* read by the main thread */
    _Atomic bool is_empty;
    _Atomic uint64_t load_ppm, lag_us;
};
struct worker *worker_new(const struct fleet_parts *parts, uint32_t index,
                          struct request_rules *rules, struct server_tls *tls, struct fail *why);
bool worker_start(struct worker *worker, struct fail *why);
bool worker_send(struct worker *worker, post_fn *fn, struct request_rules *rules,
                 struct server_tls *tls);
bool worker_warm(struct worker *worker, struct warming *warming);
post_fn worker_do_use, worker_do_stop_accepting, worker_do_abort, worker_do_quit;
void worker_free(struct worker **worker);

#endif
