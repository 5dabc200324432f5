/* metrics.c - GET /metrics, and the values that live elsewhere.
 *
 * Cache, limiter, targets and the process keep their own numbers; they are copied into cells
 * when somebody scrapes. What only grows there is a counter here: the cell is raised to it.
 * Upstreams come from the snapshot of the question that asked for the scrape.
 * Main thread. */
#include "admin/admin_priv.h"

static void set(struct sheet *sheet, enum metric_id id, uint64_t value)
{
    cell_gauge_set(metrics_cell(sheet, id), (double)value);
}

static void raise_to(struct cell *cell, uint64_t total)
{
    uint64_t was = cell_count(cell);

    if (total > was)
        cell_add(cell, total - was);
}

static void collect_cache(struct admin *admin, struct sheet *sheet)
{
    static const struct str purge = {"purge", 5}, soft = {"soft_purge", 10}, write = {"write", 5};
    struct cache_counts counts;

    cache_counts(admin->shared->cache, &counts);
    set(sheet, M_CACHE_ENTRIES, counts.entries);
    set(sheet, M_CACHE_PICTURES, counts.pictures);
    set(sheet, M_CACHE_MEMORY, counts.memory_bytes);
    set(sheet, M_CACHE_MEMORY_LIMIT, counts.memory_limit_bytes);
    raise_to(metrics_cell(sheet, M_CACHE_EVICTIONS), counts.evictions);
    raise_to(metrics_series(sheet, M_CACHE_INVALIDATIONS, 1, &purge), admin->hard_purged);
    raise_to(metrics_series(sheet, M_CACHE_INVALIDATIONS, 1, &soft), admin->soft_purged);
    if (counts.invalidations >= admin->hard_purged) /* the rest: unsafe requests that passed */
        raise_to(metrics_series(sheet, M_CACHE_INVALIDATIONS, 1, &write),
                 counts.invalidations - admin->hard_purged);
}

static void collect_events(const struct admin *admin, struct sheet *sheet)
{
    set(sheet, M_EVENT_STREAMS, admin->streams.count);
    raise_to(metrics_cell(sheet, M_STREAMS_DROPPED), admin->streams.dropped);
    if (admin->shared->events != NULL)
        raise_to(metrics_cell(sheet, M_EVENTS_LOST), events_lost(admin->shared->events));
}

static void collect_limiter(const struct admin *admin, struct sheet *sheet)
{
    struct limiter_counts counts = limiter_counts(admin->shared->limiter);

    set(sheet, M_RATE_LIMIT_CLIENTS, counts.clients);
    raise_to(metrics_cell(sheet, M_RATE_LIMIT_EVICTED), counts.evicted_idle + counts.evicted_busy);
}

static void collect_tokens(const struct admin *admin, struct sheet *sheet)
{
    struct identify_counts counts;

    if (admin->shared->identify == NULL)
        return;
    counts = identify_counts(admin->shared->identify);
    set(sheet, M_REVOKED_TOKENS, counts.revoked_tokens);
    raise_to(metrics_cell(sheet, M_TOKEN_REVOCATIONS), counts.revocations);
}

/* A target in its slow start is up, and counted apart. */
static void collect_targets(const struct admin *admin, struct sheet *sheet,
                            const struct upstream_config *upstream)
{
    uint64_t now_us = loop_now_us(admin->loop);
    uint32_t counts[TARGET_STATES + 1] = {0};
    struct target_status status;

    for (uint32_t i = 0; upstreams_status(admin->shared->upstreams, upstream, i, now_us, &status);
         i++)
        counts[status.state == TARGET_UP && status.share < 1 ? TARGET_STATES : status.state]++;
    for (uint32_t i = 0; i <= TARGET_STATES; i++) {
        const char *state =
            i == TARGET_STATES ? "slow_start" : target_state_name((enum target_state)i);
        struct str values[] = {upstream->name, str_of(state)};

        cell_gauge_set(metrics_series(sheet, M_UPSTREAM_TARGETS, COUNT_OF(values), values),
                       (double)counts[i]);
    }
}

static void collect_verdicts(struct sheet *sheet, struct str upstream,
                             const struct upstream_status *status)
{
    for (uint32_t i = 0; i < UPSTREAM_VERDICTS; i++) {
        struct str values[] = {upstream, str_of(upstream_verdict_name((enum upstream_verdict)i))};

        raise_to(metrics_series(sheet, M_UPSTREAM_VERDICTS, COUNT_OF(values), values),
                 status->verdicts[i]);
    }
}

static void collect_upstream(const struct admin *admin, struct sheet *sheet,
                             const struct upstream_config *upstream)
{
    const struct str *name = &upstream->name;
    struct upstream_status status;

    upstreams_upstream_status(admin->shared->upstreams, upstream, loop_now_us(admin->loop),
                              &status);
    cell_gauge_set(metrics_series(sheet, M_BREAKER_STATE, 1, name), (double)status.breaker);
    cell_gauge_set(metrics_series(sheet, M_UPSTREAM_QUEUED, 1, name), (double)status.queued);
    raise_to(metrics_series(sheet, M_BREAKER_OPENED, 1, name), status.breaker_opened);
    for (uint32_t i = 0; i < EJECTION_CAUSES; i++) {
        struct str values[] = {*name, str_of(ejection_cause_name((enum ejection_cause)i))};

        raise_to(metrics_series(sheet, M_UPSTREAM_EJECTIONS, COUNT_OF(values), values),
                 status.ejected[i]);
    }
    collect_targets(admin, sheet, upstream);
    collect_verdicts(sheet, *name, &status);
    if (upstream->health.is_on) {
        struct str good[] = {*name, STR("good")}, bad[] = {*name, STR("bad")};

        raise_to(metrics_series(sheet, M_HEALTH_CHECKS, COUNT_OF(good), good), status.checks_good);
        raise_to(metrics_series(sheet, M_HEALTH_CHECKS, COUNT_OF(bad), bad), status.checks_bad);
    }
    if (upstream->hedge)
        raise_to(metrics_series(sheet, M_UPSTREAM_HEDGES, 1, name), status.verdicts[VERDICT_HEDGE]);
    if (upstream->adaptive)
        cell_gauge_set(metrics_series(sheet, M_UPSTREAM_LIMIT, 1, name), (double)status.limit);
}

static void collect_upstreams(const struct admin *admin, struct sheet *sheet)
{
    const struct config *config = admin->rules != NULL ? request_rules_config(admin->rules) : NULL;
    char text[METRICS_MAX_LABEL_BYTES];

    for (uint32_t i = 0; config != NULL && i < config->upstream_count; i++) {
        struct str name = config->upstreams[i].name, label = STR("upstream:");
        size_t room = sizeof(text) - label.len;

        memcpy(text, label.ptr, label.len);
        memcpy(text + label.len, name.ptr, name.len < room ? name.len : room);
        label = str_at(text, label.len + (name.len < room ? name.len : room));
        cell_gauge_set(metrics_series(sheet, M_DEPENDENCY_HEALTH, 1, &label),
                       healthy_targets(admin, &config->upstreams[i]) > 0 ? 1 : 0);
        collect_upstream(admin, sheet, &config->upstreams[i]);
    }
}

static void collect_process(const struct admin *admin, struct sheet *sheet)
{
    struct str version = str_of(GATEWAY_VERSION), work = STR("work"), names = STR("names");
    struct process_memory memory;

    process_memory_read(&memory);
    set(sheet, M_MEMORY_RSS, memory.rss_bytes);
    set(sheet, M_MEMORY_VMS, memory.vms_bytes);
    cell_gauge_set(metrics_cell(sheet, M_MEMORY_GROWTH), growth_rate(&admin->growth));
    set(sheet, M_MEMORY_LIMIT, memory.limit_bytes);
    cell_gauge_set(metrics_series(sheet, M_TASKS_PENDING, 1, &work), (double)loop_work_pending());
    cell_gauge_set(metrics_series(sheet, M_TASKS_PENDING, 1, &names),
                   (double)loop_resolve_pending());
    set(sheet, M_OPEN_FDS, process_open_fds());
    set(sheet, M_DRAINING, admin->shared->is_draining ? 1 : 0);
    raise_to(metrics_cell(sheet, M_LOG_DROPPED), log_dropped());
    cell_gauge_set(metrics_series(sheet, M_BUILD_INFO, 1, &version), 1);
}

void metrics_collect(void *arg, struct sheet *sheet)
{
    struct admin *admin = arg;
    const struct config *config = admin->rules != NULL ? request_rules_config(admin->rules) : NULL;

    collect_cache(admin, sheet);
    collect_events(admin, sheet);
    collect_limiter(admin, sheet);
    collect_tokens(admin, sheet);
    collect_upstreams(admin, sheet);
    collect_process(admin, sheet);
    if (config != NULL) {
        advice_collect(admin, config, sheet);
        resources_collect(admin, config, sheet);
    }
}

/* Prometheus asks for OpenMetrics before it asks for plain text; who does not name it gets that. */
static bool wants_open_metrics(const struct call *call)
{
    struct str rest =
        http_fields_joined(call->question->fields, call->question->arena, HTTP_ACCEPT);
    struct str range;

    while (rest.ptr != NULL && http_list_next(&rest, &range))
        if (str_ieq(str_trim(str_at(range.ptr, str_find(range, ';'))),
                    STR("application/openmetrics-text")))
            return true;
    return false;
}

void get_metrics(struct call *call)
{
    if (wants_open_metrics(call)) {
        (void)!metrics_write_open(call->admin->shared->metrics, &call->question->text);
        answer_text(call, 200, STR("application/openmetrics-text; version=1.0.0; charset=utf-8"));
        return;
    }
    /* over its ceiling: answer_text() says so */
    (void)!metrics_write(call->admin->shared->metrics, &call->question->text);
    answer_text(call, 200, STR("text/plain; version=0.0.4; charset=utf-8"));
}
