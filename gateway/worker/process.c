/* process.c - what the process has once: shared things, the admin listener, signals, its end.
 *
 * The main thread keeps a loop of its own for signals, the admin listener, sweeps of the cache and
 * reloads; it never serves a client. SIGTERM drains: clients are told, listeners accept for
 * drain_delay more, what is under way may end within shutdown_grace. Main thread. */
#include "redis/redis.h"
#include "worker/process_priv.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define SWEEP_EVERY_US     200000
#define SWEEP_ENTRIES      2000
#define EVENT_ROWS         1024
#define DRAIN_EVERY_US     20000
#define TELL_US            1000000
#define FDS_PER_CONNECTION 2 /* the client's, and at most one of an upstream */
#define FDS_OF_OUR_OWN     256

static bool worker_load(void *arg, uint32_t worker, double *utilization, double *lag_s)
{
    struct gateway *g = arg;

    return fleet_load(g->fleet, worker, utilization, lag_s);
}

static bool warm(void *arg, struct warming *warming)
{
    struct gateway *g = arg;

    return fleet_warm(g->fleet, warming);
}

static void write_urls(void *arg, struct buf *out)
{
    struct gateway *g = arg;

    (void)fleet_write_urls(g->fleet, out);
}

/* ---- questions from public listeners ---- */

static void question_is_back(void *arg)
{
    request_system_done(arg);
}

static void question_is_here(void *arg)
{
    struct request_system *question = arg;
    struct gateway *g = question->way_back;

    admin_answer(g->admin, question);
}

static void on_answered(void *arg, struct request_system *question)
{
    struct gateway *g = arg;

    if (question->loop == g->loop) {
        request_system_done(question);
        return;
    }
    question->post = (struct post){question_is_back, question, NULL};
    loop_post(question->loop, &question->post);
}

static void on_question(void *arg, struct request_system *question)
{
    struct gateway *g = arg;

    if (question->loop == g->loop) {
        admin_answer(g->admin, question);
        return;
    }
    question->way_back = g;
    question->post = (struct post){question_is_here, question, NULL};
    loop_post(g->loop, &question->post);
}

/* ---- signals and timers ---- */

static void on_sweep(void *arg)
{
    struct gateway *g = arg;

    cache_sweep(g->shared.cache, loop_now_us(g->loop), SWEEP_ENTRIES);
    identify_sweep(g->shared.identify, loop_wall_us(g->loop) / 1000000);
    violations_tell(g);
    if (g->bus != NULL)
        limiter_set_gateways(g->shared.limiter, bus_live(g->bus));
    CHECK(deadline_set(g->loop, &g->sweep, loop_now_us(g->loop) + SWEEP_EVERY_US));
}

/* Workers first; the admin listener stays until they are done. */
static bool has_drained(struct gateway *g, uint64_t now_us)
{
    if (!g->has_stopped_accepting && now_us >= g->stop_accepting_us) {
        g->has_stopped_accepting = true;
        fleet_stop_accepting(g->fleet);
    }
    if (!g->has_given_up && now_us >= g->give_up_us) {
        g->has_given_up = true;
        log_line(LOG_WARN, "shutdown_grace is over: cutting %" PRIu64 " connections",
                 server_counts_connections(g->counts));
        fleet_abort(g->fleet);
    }
    if (!g->has_stopped_accepting || !fleet_is_empty(g->fleet))
        return false;
    server_stop_accepting(g->admin_server);
    server_abort(g->admin_server);
    return server_connections(g->admin_server) == 0 && request_context_live(g->context) == 0;
}

/* Nobody is served any more: what they used goes to the store, which may take a second. */
static bool has_told_usage(struct gateway *g, uint64_t now_us)
{
    if (g->shared.share == NULL)
        return true;
    if (g->tell_until_us == 0)
        g->tell_until_us = now_us + TELL_US;
    return limit_share_is_flushed(g->shared.share) || now_us >= g->tell_until_us;
}

/* The last spans, likewise. */
static bool has_told_traces(struct gateway *g, uint64_t now_us)
{
    if (g->tell_until_us == 0)
        g->tell_until_us = now_us + TELL_US;
    tracer_flush(g->shared.tracer);
    return tracer_is_idle(g->shared.tracer) || now_us >= g->tell_until_us;
}

static void on_drain(void *arg)
{
    struct gateway *g = arg;
    uint64_t now_us = loop_now_us(g->loop);

    g->is_over = has_drained(g, now_us) && has_told_usage(g, now_us) && has_told_traces(g, now_us);
    if (g->is_over)
        loop_stop(g->loop);
    else
        CHECK(deadline_set(g->loop, &g->drain, now_us + DRAIN_EVERY_US));
}

static void on_stop_signal(void *arg, int signal)
{
    struct gateway *g = arg;
    const struct server_config *config = &request_rules_config(g->rules)->server;
    uint64_t now_us = loop_now_us(g->loop);

    if (g->shared.is_draining) {
        log_line(LOG_WARN, "second signal %d: leaving at once", signal);
        log_close();
        _exit(EXIT_FAULT);
    }
    log_line(LOG_INFO, "signal %d: draining%s", signal,
             replace_is_done(g) ? ", the successor is ready" : "");
    if (!replace_is_done(g))
        notify_stopping();
    admin_drain(g->admin);
    g->shared.is_draining = true;
    g->stop_accepting_us = now_us;
    if (replace_is_done(g)) { /* it accepts from the same queues */
        g->has_admin_path = false;
        fleet_keep_paths(g->fleet);
        server_stop_accepting(g->admin_server);
    } else {
        g->stop_accepting_us += (uint64_t)config->drain_delay_ms * 1000;
    }
    g->give_up_us = g->stop_accepting_us + (uint64_t)config->shutdown_grace_ms * 1000;
    on_drain(g);
}

static void on_reload_signal(void *arg, int signal)
{
    (void)signal;
    notify_reloading();
    (void)process_reload(arg, NULL);
    notify_ready();
}

static void on_reopen_signal(void *arg, int signal)
{
    (void)arg;
    (void)signal;
    log_reopen();
}

static bool watch_signals(struct gateway *g)
{
    (void)signal(SIGPIPE, SIG_IGN);
    return loop_on_signal(g->loop, SIGTERM, on_stop_signal, g) &&
           loop_on_signal(g->loop, SIGINT, on_stop_signal, g) &&
           loop_on_signal(g->loop, SIGHUP, on_reload_signal, g) &&
           loop_on_signal(g->loop, SIGUSR1, on_reopen_signal, g) &&
           loop_on_signal(g->loop, SIGUSR2, replace_on_signal, g) &&
           loop_on_signal(g->loop, SIGCHLD, replace_on_child, g);
}

/* ---- start and end ---- */

static void raise_fd_limit(const struct config *config)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)config->server.max_connections * FDS_PER_CONNECTION + FDS_OF_OUR_OWN;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < need)
        log_line(LOG_WARN,
                 "server.max_connections %u may need %llu file descriptors, the limit is %llu",
                 config->server.max_connections, (unsigned long long)need,
                 (unsigned long long)limit.rlim_cur);
}

static bool make_shared(struct gateway *g, struct config *config, struct fail *why)
{
    random_secret(&g->shared.seed, sizeof(g->shared.seed));
    g->shared.system = on_question;
    g->shared.system_arg = g;
    g->loop = loop_new(why);
    if (g->loop == NULL)
        return false;
    process_share_seed(g, config);
    g->shared.cache =
        cache_new(config->cache.memory_bytes, config->cache.max_object_bytes, &g->shared.seed);
    g->shared.jobs = job_board_new();
    g->shared.limiter = limiter_new(config->limits.max_clients, &g->shared.seed);
    g->shared.upstreams = upstreams_new();
    g->shared.identify = identify_shared_new();
    g->shared.metrics = metrics_new();
    g->shared.records = request_records_new();
    g->shared.advise = advise_new();
    g->shared.events = events_new(EVENT_ROWS, loop_wall_us(g->loop));
    g->counts = server_counts_new();
    if (g->shared.upstreams != NULL)
        upstreams_tell(g->shared.upstreams, g->shared.events);
    if (g->shared.cache == NULL || g->shared.limiter == NULL || g->shared.upstreams == NULL ||
        g->shared.identify == NULL || g->shared.metrics == NULL || g->shared.records == NULL ||
        g->shared.events == NULL || g->shared.advise == NULL || g->shared.jobs == NULL ||
        g->counts == NULL || !upstreams_adopt(g->shared.upstreams, config))
        return fail_set(why, "out of memory");
    g->rules = request_rules_new(config, &g->shared, why);
    g->tls = g->rules != NULL ? server_tls_new(config, why) : NULL;
    return g->tls != NULL;
}

/* The URL was judged by --check. */
static bool make_revoked_store(struct gateway *g, const struct config *config, struct fail *why)
{
    struct redis_url url;

    if (!redis_url_for(config, STORE_REVOKED, &url, why))
        return false;
    g->revoked =
        identify_store_new(g->shared.identify, g->loop, &url, config->store.prefix, g->sheet, why);
    return g->revoked != NULL;
}

static bool make_admin(struct gateway *g, const struct config *config, struct fail *why,
                       bool *bad_listener)
{
    struct admin_hooks hooks = {
        process_reload,     worker_load,        on_answered, warm, write_urls,
        store_share_purges, store_when_revoked, store_why,   g};
    struct server_socket socket;

    g->sheet = metrics_sheet(g->shared.metrics);
    g->admin = admin_new(&g->shared, g->loop, &hooks);
    g->context = g->sheet != NULL ? request_context_new(g->loop, &g->shared, NULL, g->sheet) : NULL;
    if (g->admin == NULL || g->context == NULL)
        return fail_set(why, "out of memory");
    if (!str_eq(config->store.url, STR("memory:"))) {
        g->shared.store = limit_store_new(g->loop, g->shared.limiter, config, g->sheet, why);
        if (g->shared.store == NULL || !make_revoked_store(g, config, why))
            return false;
        g->shared.share = limit_share_new(g->loop, g->shared.limiter, config, g->sheet, why);
        if (g->shared.share == NULL)
            return false;
    }
    g->fetcher = identify_fetcher_new(g->shared.identify, g->loop, g->sheet, why);
    g->shared.tracer = g->fetcher != NULL ? tracer_new(g->loop, g->sheet, why) : NULL;
    if (g->shared.tracer == NULL)
        return false;
    if (!tracer_use(g->shared.tracer, config))
        return fail_set(why, "out of memory");
    identify_fetcher_use(g->fetcher, config);
    request_context_use(g->context, g->rules);
    g->admin_server = server_new(g->loop, g->context, g->counts, true, why);
    if (g->admin_server == NULL)
        return false;
    server_use_tls(g->admin_server, g->tls);
    server_tls_tell(g->tls, NULL, g->sheet);
    socket.fd = inherit_take(&g->inherited, &config->admin.listen, 0, &socket.port);
    *bad_listener =
        socket.fd < 0 && !server_socket_open(&config->admin.listen, 0, true, &socket, why);
    if (*bad_listener)
        return false;
    g->admin_port = socket.port;
    g->admin_fd = socket.fd;
    g->has_admin_path = config->admin.listen.is_unix;
    return server_add(g->admin_server, socket.fd, &config->admin.listen, why);
}

static void say_ready(const struct gateway *g, const struct config *config)
{
    const struct listen_config *admin = &config->admin.listen;
    bool is_v6 = str_find(admin->address, ':') < admin->address.len;
    struct buf urls = buf_new(64 * 1024);

    buf_addf(&urls, "gateway: ready on ");
    fleet_write_urls(g->fleet, &urls);
    if (admin->is_unix)
        buf_addf(&urls, ", admin on unix:%s\n", admin->address.ptr);
    else
        buf_addf(&urls, ", admin on %s://%s%s%s:%u\n", admin->tls.count > 0 ? "https" : "http",
                 is_v6 ? "[" : "", admin->address.ptr, is_v6 ? "]" : "", g->admin_port);
    (void)!write(STDERR_FILENO, urls.ptr, urls.len);
    buf_free(&urls);
}

static int start(struct gateway *g, struct config *config)
{
    struct fleet_parts parts;
    struct fail why = {""};
    bool bad_listener = false;

    if (!make_shared(g, config, &why) || !make_admin(g, config, &why, &bad_listener))
        goto failed;
    if (!store_begin(g, config, &why))
        goto failed;
    parts = (struct fleet_parts){&g->shared, g->counts, g->loop, &g->inherited};
    g->fleet = fleet_new(&parts, g->rules, g->tls, &bad_listener, &why);
    if (g->fleet == NULL || !watch_signals(g))
        goto failed;
    g->sweep = (struct deadline){.fn = on_sweep, .arg = g};
    g->drain = (struct deadline){.fn = on_drain, .arg = g};
    if (!deadline_set(g->loop, &g->sweep, loop_now_us(g->loop) + SWEEP_EVERY_US))
        goto failed;
    g->keeper = upstream_keeper_new(g->loop, g->shared.upstreams, &why);
    if (g->keeper == NULL || !upstream_keeper_use(g->keeper, config))
        goto failed;
    inherit_close(&g->inherited);
    store_wait(g);
    if (g->is_over)
        return 0;
    if (!fleet_start(g->fleet, &why))
        goto failed;
    admin_warm(g->admin, config);
    admin_measure(g->admin, config);
    say_ready(g, config);
    notify_ready();
    replace_end_predecessor();
    return 0;
failed:
    fprintf(stderr, "gateway: %s\n", why.text[0] != '\0' ? why.text : "could not start");
    return bad_listener ? EXIT_LISTENER : EXIT_FAULT;
}

static void finish(struct gateway *g)
{
    fleet_free(&g->fleet);
    evictions_end(g);
    bus_free(&g->bus);
    if (g->has_admin_path)
        (void)unlink(request_rules_config(g->rules)->admin.listen.address.ptr);
    server_free(&g->admin_server);
    if (g->loop != NULL) {
        deadline_clear(g->loop, &g->sweep);
        deadline_clear(g->loop, &g->drain);
    }
    upstream_keeper_free(&g->keeper);
    request_context_free(&g->context);
    identify_fetcher_free(&g->fetcher);
    identify_store_free(&g->revoked);
    tracer_free(&g->shared.tracer);
    admin_free(&g->admin);
    request_rules_release(&g->rules);
    server_tls_release(&g->tls);
    cache_free(&g->shared.cache);
    job_board_free(&g->shared.jobs);
    limit_share_free(&g->shared.share);
    limit_store_free(&g->shared.store);
    limiter_free(&g->shared.limiter);
    upstreams_free(&g->shared.upstreams);
    identify_shared_free(&g->shared.identify);
    server_counts_free(&g->counts);
    metrics_free(&g->shared.metrics);
    events_free(&g->shared.events);
    request_records_free(&g->shared.records);
    advise_free(&g->shared.advise);
    loop_free(&g->loop);
}

int process_run(const char *file, struct config *config)
{
    static struct gateway gateway; /* the process' one; signals and hooks point into it */
    struct fail why = {""};
    int status;

    gateway.file = file;
    replace_init(&gateway);
    inherit_read(&gateway.inherited);
    (void)mallopt(M_TRIM_THRESHOLD,
                  64 * 1024 * 1024); /* a proxy's heap breathes: do not give back and ask again */
    (void)mallopt(M_TOP_PAD, 1024 * 1024);
    if (!process_open_log(config, &why)) {
        fprintf(stderr, "gateway: log: %s\n", why.text);
        return EXIT_FAULT;
    }
    raise_fd_limit(config);
    status = start(&gateway, config);
    if (status == 0 && !gateway.is_over)
        loop_run(gateway.loop);
    if (gateway.is_refused)
        status = EXIT_FAULT;
    finish(&gateway);
    log_close();
    return status;
}
