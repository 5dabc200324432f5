/* reload.c - a configuration, judged whole and then put in force.
 *
 * The snapshot is checked by config/ and by every folder that can judge its own part, before
 * anything of it is used: a faulty file changes nothing. Requests under way keep
 * the snapshot they were born under; counters and entries live on. Main thread. */
#include "worker/process_priv.h"

#include <unistd.h> /* environ */

struct config *process_load(const char *file, struct faults *faults)
{
    struct config *config = config_load(file, environ, faults);

    if (config == NULL)
        return NULL;
    redis_check(config, faults);
    route_check(config, faults);
    identify_check(config, faults);
    limit_check(config, faults);
    upstream_check(config, faults);
    server_check(config, faults);
    if (faults_count(faults) > 0)
        config_release(&config);
    return config;
}

bool process_open_log(const struct config *config, struct fail *why)
{
    struct log_options options = {config->log.access.ptr, config->log.errors.ptr, config->log.json,
                                  (enum log_level)config->log.level};

    return log_open(&options, why);
}

/* ---- reload ---- */

static bool same_listen(const struct listen_config *a, const struct listen_config *b)
{
    bool same = str_eq(a->address, b->address) && a->port == b->port && a->is_unix == b->is_unix &&
                a->tls.count == b->tls.count && a->client_auth == b->client_auth &&
                a->proxy_protocol == b->proxy_protocol;

    for (uint32_t i = 0; same && i < a->tls.count; i++)
        same = str_eq(a->tls.at[i], b->tls.at[i]);
    return same;
}

/* Sockets, threads and the connections' memory are made once: a file that wants others is refused
 * whole, and says what to do. */
static void check_fixed(const struct gateway *g, const struct config *new, struct faults *faults)
{
    const struct config *old = request_rules_config(g->rules);
    size_t most = server_most_header_bytes(g->admin_server);
    bool same = old->server.listen_count == new->server.listen_count;

    for (uint32_t i = 0; same && i < old->server.listen_count; i++)
        same = same_listen(&old->server.listen[i], &new->server.listen[i]);
    if (!same)
        faults_add(
            faults, new, "server.listen",
            "differs from the running gateway's; a reload cannot change it, restart instead");
    if (old->server.workers != new->server.workers)
        faults_add(
            faults, new, "server.workers",
            "differs from the running gateway's; a reload cannot change it, restart instead");
    if (new->server.max_header_bytes > most)
        faults_add(faults, new, "server.max_header_bytes",
                   "is more than the %zu bytes that the running gateway's connections have; a "
                   "reload cannot change it, restart instead",
                   most);
    if (!str_eq(old->store.url, new->store.url) || !str_eq(old->store.prefix, new->store.prefix))
        faults_add(faults, new, "store.url",
                   "differs from the running gateway's, or its prefix does; a reload cannot "
                   "change it, restart instead");
    for (int role = STORE_LIMIT; role < STORE_ROLES; role++)
        if (!str_eq(old->store.role_urls[role], new->store.role_urls[role]))
            faults_add(
                faults, new, "store.roles",
                "differ from the running gateway's; a reload cannot change them, restart instead");
    if (!str_eq(old->store.images_prefix, new->store.images_prefix))
        faults_add(
            faults, new, "store.roles.images.prefix",
            "differs from the running gateway's; a reload cannot change it, restart instead");
    if (!str_eq(old->store.tls_ca, new->store.tls_ca) ||
        !str_eq(old->store.tls_cert, new->store.tls_cert) ||
        !str_eq(old->store.tls_key, new->store.tls_key))
        faults_add(
            faults, new, "store.tls",
            "differs from the running gateway's; a reload cannot change it, restart instead");
    if (!same_listen(&old->admin.listen, &new->admin.listen))
        faults_add(
            faults, new, "admin.listen",
            "differs from the running gateway's; a reload cannot change it, restart instead");
}

/* Everything that can fail comes before anything is put in force. */
static bool put_in_force(struct gateway *g, struct config *config, struct fail *why)
{
    struct request_rules *rules = request_rules_new(config, &g->shared, why);
    struct server_tls *tls = rules != NULL ? server_tls_new(config, why) : NULL;

    if (tls == NULL || !upstreams_adopt(g->shared.upstreams, config) ||
        !process_open_log(config, why)) {
        server_tls_release(&tls);
        request_rules_release(&rules);
        return false;
    }
    if (g->shared.store != NULL)
        limit_store_use(g->shared.store, config);
    limiter_resize(g->shared.limiter, config->limits.max_clients);
    cache_resize(g->shared.cache, config->cache.memory_bytes, config->cache.max_object_bytes);
    identify_fetcher_use(g->fetcher, config);
    if (!tracer_use(g->shared.tracer, config))
        log_line(LOG_ERROR, "out of memory: trace.otlp is not told of spans");
    request_context_use(g->context, rules);
    server_use_tls(g->admin_server, tls);
    server_tls_tell(tls, g->tls, g->sheet);
    fleet_use(g->fleet, rules, tls);
    if (!upstream_keeper_use(g->keeper, config))
        log_line(LOG_ERROR, "out of memory: some targets are not looked after");
    request_rules_release(&g->rules);
    server_tls_release(&g->tls);
    g->rules = rules;
    g->tls = tls;
    admin_warm(g->admin, config);
    admin_measure(g->admin, config);
    return true;
}

bool process_reload(void *arg, struct buf *out)
{
    struct gateway *g = arg;
    struct faults *faults = faults_new();
    struct config *config;
    struct fail why = {""};
    bool ok = false;

    CHECK(faults != NULL);
    config = process_load(g->file, faults);
    if (config != NULL) {
        check_fixed(g, config, faults);
        if (faults_count(faults) == 0) {
            ok = put_in_force(g, config, &why);
            if (!ok)
                faults_add(faults, config, "", "%s", why.text);
        }
    }
    for (uint32_t i = 0; i < faults_count(faults); i++)
        log_line(LOG_ERROR, "configuration refused: %.*s", STR_ARG(faults_text(faults, i)));
    if (ok)
        log_line(LOG_INFO, "configuration reloaded from %s",
                 request_rules_config(g->rules)->source.ptr);
    if (out != NULL) {
        buf_add_char(out, '[');
        for (uint32_t i = 0; i < faults_count(faults); i++) {
            if (i > 0)
                buf_add_char(out, ',');
            buf_add_json(out, faults_text(faults, i));
        }
        buf_add_char(out, ']');
    }
    admin_count_reload(g->admin, ok);
    config_release(&config);
    faults_free(&faults);
    return ok;
}
