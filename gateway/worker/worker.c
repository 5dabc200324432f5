/* worker.c - one thread: build, run, take a new configuration, drain.
 *
 * Everything is made on the main thread before the thread starts, so that a failure is the
 * start's failure; from then on it belongs to the worker. A tick looks at the load, and, while
 * draining, whether anything is left. */
#include "worker/worker_priv.h"

#include <signal.h>
#include <stdlib.h>

static void look(struct worker *worker)
{
    struct loop_load load = loop_load_take(worker->loop);
    struct client_counts connections = upstream_pool_counts(worker->pool);

    cell_gauge_set(worker->utilization, load.utilization);
    cell_gauge_set(worker->lag, (double)load.longest_turn_us / 1e6);
    cell_gauge_set(worker->active, connections.active);
    cell_gauge_set(worker->idle, connections.idle);
    atomic_store_explicit(&worker->load_ppm, (uint64_t)(load.utilization * 1e6),
                          memory_order_relaxed);
    atomic_store_explicit(&worker->lag_us, load.longest_turn_us, memory_order_relaxed);
}

static void on_tick(void *arg)
{
    struct worker *worker = arg;
    uint64_t pause_us = worker->is_draining ? WORKER_DRAIN_TICK_US : WORKER_TICK_US;

    look(worker);
    if (worker->is_draining) {
        if (worker->is_aborting) {
            server_abort(worker->server);
            request_context_abort(worker->context);
        } else {
            server_close_idle(worker->server);
        }
        if (server_connections(worker->server) == 0 && request_context_live(worker->context) == 0)
            atomic_store(&worker->is_empty, true);
    }
    CHECK(deadline_set(worker->loop, &worker->tick,
                       loop_now_us(worker->loop) + pause_us)); /* its place in the heap exists */
}

/* As many kept connections as the upstreams together may have. */
static struct client_options pool_options(const struct config *config)
{
    struct client_options options = {
        .idle_timeout_ms = 60000,
        .max_headers = 256,
        .max_header_bytes = 48 * 1024,
    };

    for (uint32_t i = 0; i < config->upstream_count; i++) {
        const struct upstream_config *upstream = &config->upstreams[i];

        options.keepalive += upstream->keepalive * upstream->target_count;
        if (i == 0 || upstream->idle_timeout_ms < options.idle_timeout_ms)
            options.idle_timeout_ms = upstream->idle_timeout_ms;
    }
    return options;
}

static void name_cells(struct worker *worker)
{
    struct fail index;
    struct str name, active[] = {STR("all"), STR("active")}, idle[] = {STR("all"), STR("idle")};

    fail_set(&index, "%u", worker->index);
    name = str_of(index.text);
    worker->lag = metrics_series(worker->sheet, M_LOOP_LAG, 1, &name);
    worker->utilization = metrics_series(worker->sheet, M_LOOP_UTILIZATION, 1, &name);
    worker->active = metrics_series(worker->sheet, M_UPSTREAM_CONNECTIONS, 2, active);
    worker->idle = metrics_series(worker->sheet, M_UPSTREAM_CONNECTIONS, 2, idle);
}

/* A reload may want it first. */
static bool open_level(struct worker *worker, const struct config *config, struct fail *why)
{
    struct cache_level_options options = {.loop = worker->loop,
                                          .cache = worker->shared->cache,
                                          .sheet = worker->sheet,
                                          .seed = worker->shared->seed};

    if (worker->level != NULL) {
        cache_level_use(worker->level, config);
        return true;
    }
    if (!config->cache.store)
        return true;
    worker->level = cache_level_new(&options, config, why);
    request_context_use_level(worker->context, worker->level);
    return worker->level != NULL;
}

static bool open_pictures(struct worker *worker, const struct config *config, struct fail *why)
{
    if (str_eq(store_url(config, STORE_IMAGES), STR("memory:")))
        return true;
    worker->pictures =
        picture_store_new(worker->loop, worker->shared->cache, worker->sheet, config, why);
    request_context_use_pictures(worker->context, worker->pictures);
    return worker->pictures != NULL;
}

static bool open_store(struct worker *worker, const struct config *config, struct fail *why)
{
    if (!str_eq(store_url(config, STORE_JOBS), STR("memory:"))) {
        worker->jobs = jobs_new(worker->loop, worker->shared->jobs, config, worker->sheet, why);
        if (worker->jobs == NULL)
            return false;
        request_context_use_jobs(worker->context, worker->jobs);
    }
    if (!open_pictures(worker, config, why))
        return false;
    if (str_eq(config->store.url, STR("memory:")))
        return true;
    worker->store =
        limit_store_new(worker->loop, worker->shared->limiter, config, worker->sheet, why);
    request_context_use_store(worker->context, worker->store);
    return worker->store != NULL && open_level(worker, config, why);
}

struct worker *worker_new(const struct fleet_parts *parts, uint32_t index,
                          struct request_rules *rules, struct server_tls *tls, struct fail *why)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    struct client_options options = pool_options(request_rules_config(rules));

    if (worker == NULL)
        goto no_memory;
    worker->index = index;
    worker->shared = parts->shared;
    worker->tick.fn = on_tick;
    worker->tick.arg = worker;
    if ((worker->loop = loop_new(why)) == NULL ||
        (worker->pool = upstream_pool_new(worker->loop, parts->shared->upstreams, &options, why)) ==
            NULL) {
        worker_free(&worker);
        return NULL;
    }
    if ((worker->sheet = metrics_sheet(parts->shared->metrics)) == NULL ||
        (worker->context =
             request_context_new(worker->loop, parts->shared, worker->pool, worker->sheet)) == NULL)
        goto no_memory;
    name_cells(worker);
    if (!open_store(worker, request_rules_config(rules), why)) {
        worker_free(&worker);
        return NULL;
    }
    request_context_use(worker->context, rules);
    worker->server = server_new(worker->loop, worker->context, parts->counts, false, why);
    if (worker->server == NULL) {
        worker_free(&worker);
        return NULL;
    }
    server_use_tls(worker->server, tls);
    return worker;
no_memory:
    fail_set(why, "out of memory");
    worker_free(&worker);
    return NULL;
}

static void *run(void *arg)
{
    struct worker *worker = arg;

    loop_run(worker->loop);
    return NULL;
}

bool worker_start(struct worker *worker, struct fail *why)
{
    sigset_t all, before;

    if (!deadline_set(worker->loop, &worker->tick, loop_now_us(worker->loop) + WORKER_TICK_US))
        return fail_set(why, "out of memory");
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    worker->is_started = pthread_create(&worker->thread, NULL, run, worker) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return worker->is_started || fail_set(why, "a worker thread could not be started");
}

/* ---- orders, on the worker's thread ---- */

void worker_do_use(void *arg)
{
    struct order *order = arg;

    request_context_use(order->worker->context, order->rules);
    client_forget_authorities(upstream_pool_client(order->worker->pool));
    if (order->worker->pictures != NULL)
        picture_store_use(order->worker->pictures, request_rules_config(order->rules));
    if (order->worker->store != NULL) {
        const struct config *config = request_rules_config(order->rules);
        struct fail why;

        limit_store_use(order->worker->store, config);
        if (!open_level(order->worker, config, &why))
            log_line(LOG_ERROR, "cache.store: a worker goes without: %s", why.text);
    }
    server_use_tls(order->worker->server, order->tls);
    request_rules_release(&order->rules);
    server_tls_release(&order->tls);
    free(order);
}

static void tick_now(struct worker *worker)
{
    CHECK(deadline_set(worker->loop, &worker->tick, loop_now_us(worker->loop)));
}

void worker_do_stop_accepting(void *arg)
{
    struct order *order = arg;

    server_stop_accepting(order->worker->server);
    order->worker->is_draining = true;
    tick_now(order->worker);
    free(order);
}

void worker_do_abort(void *arg)
{
    struct order *order = arg;

    order->worker->is_aborting = true;
    order->worker->is_draining = true;
    tick_now(order->worker);
    free(order);
}

void worker_do_quit(void *arg)
{
    struct order *order = arg;

    loop_stop(order->worker->loop);
    free(order);
}

/* False: out of memory; the order is not given. */
static void do_warm(void *arg)
{
    struct order *order = arg;

    request_warm(order->worker->context, order->warming);
    warming_release(&order->warming);
    free(order);
}

bool worker_warm(struct worker *worker, struct warming *warming)
{
    struct order *order = calloc(1, sizeof(*order));

    if (order == NULL)
        return false;
    order->worker = worker;
    order->warming = warming_hold(warming);
    order->post = (struct post){do_warm, order, NULL};
    loop_post(worker->loop, &order->post);
    return true;
}

bool worker_send(struct worker *worker, post_fn *fn, struct request_rules *rules,
                 struct server_tls *tls)
{
    struct order *order = calloc(1, sizeof(*order));

    if (order == NULL)
        return false;
    order->worker = worker;
    order->rules = rules != NULL ? request_rules_hold(rules) : NULL;
    order->tls = server_tls_hold(tls);
    order->post = (struct post){fn, order, NULL};
    loop_post(worker->loop, &order->post);
    return true;
}

void worker_free(struct worker **worker)
{
    struct worker *old = *worker;

    *worker = NULL;
    if (old == NULL)
        return;
    if (old->is_started) {
        (void)worker_send(old, worker_do_quit, NULL, NULL);
        pthread_join(old->thread, NULL);
    }
    if (old->loop != NULL)
        deadline_clear(old->loop, &old->tick);
    server_free(&old->server);
    if (old->context != NULL)
        request_context_abort(old->context); /* what goes on without a client needs the pool */
    upstream_pool_free(&old->pool);
    request_context_free(&old->context);
    cache_level_free(&old->level);
    limit_store_free(&old->store);
    picture_store_free(&old->pictures);
    jobs_free(&old->jobs);
    loop_free(&old->loop);
    free(old);
}
