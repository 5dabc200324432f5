/* health.c - is it alive, is it ready, and how does it feel?
 *
 * /health says only that the process serves, so that nobody restarts a gateway because an
 * upstream is away; /ready is what takes it out of a load balancer; /system/health is for people
 * and dashboards: four parts, each with a severity, and the worst of them as status.
 * Thresholds are the configuration's (checks.c). Main thread. */
#include "admin/admin_priv.h"

void get_health(struct call *call)
{
    buf_add_str(&call->question->text, STR("{\"status\":\"ok\"}"));
    answer_json(call, 200);
}

void get_ready(struct call *call)
{
    struct request_shared *shared = call->admin->shared;
    struct buf *out = &call->question->text;
    struct str lacking = STR_NONE;

    if (shared->is_draining) {
        buf_add_str(out, STR("{\"status\":\"not_ready\",\"reason\":\"draining\"}"));
    } else if (shared->is_loading) {
        buf_add_str(out, STR("{\"status\":\"not_ready\",\"reason\":\"starting\"}"));
    } else if (!upstreams_are_ready(shared->upstreams, call->config, loop_now_us(call->admin->loop),
                                    &lacking)) {
        buf_add_str(out, STR("{\"status\":\"not_ready\",\"reason\":\"a required upstream has "
                             "no healthy target\",\"upstream\":"));
        buf_add_json(out, lacking);
        buf_add_char(out, '}');
    } else if (warm_holds_ready(call->admin)) {
        buf_add_str(out, STR("{\"status\":\"not_ready\",\"reason\":\"warming\"}"));
    } else {
        buf_add_str(out, STR("{\"status\":\"ready\"}"));
        answer_json(call, 200);
        return;
    }
    answer_json(call, 503);
}

/* ---- the four parts; each leaves its JSON and gives its severity ---- */

static enum severity write_backpressure(struct call *call, struct buf *out)
{
    const struct admin_hooks *hooks = &call->admin->hooks;
    double utilization, lag_s, most_utilization = 0, most_lag_s = 0;
    enum severity severity;

    buf_add_str(out, STR("\"backpressure\":{\"workers\":["));
    for (uint32_t i = 0;
         hooks->worker_load != NULL && hooks->worker_load(hooks->arg, i, &utilization, &lag_s);
         i++) {
        most_utilization = utilization > most_utilization ? utilization : most_utilization;
        most_lag_s = lag_s > most_lag_s ? lag_s : most_lag_s;
        buf_addf(out, "%s{\"worker\":%" PRIu32 ",\"utilization\":%.4f,\"loop_lag_seconds\":%.6f}",
                 i > 0 ? "," : "", i, utilization, lag_s);
    }
    buf_addf(out, "],\"requests_in_flight\":%" PRId64 ",", (int64_t)call->admin->shared->in_flight);
    severity = checks_backpressure(call, out, most_utilization, most_lag_s);
    buf_addf(out, ",\"severity\":\"%s\"}", severity_name(severity));
    return severity;
}

static enum severity write_memory(struct call *call, struct buf *out)
{
    struct process_memory memory;
    struct allocator_memory allocator = process_allocator_read();
    struct cache_counts cache;
    enum severity severity;

    process_memory_read(&memory);
    cache_counts(call->admin->shared->cache, &cache);
    buf_addf(out,
             "\"memory\":{\"rss_bytes\":%" PRIu64 ",\"vms_bytes\":%" PRIu64
             ",\"limit_bytes\":%" PRIu64 ",\"cache_bytes\":%" PRIu64
             ",\"cache_limit_bytes\":%" PRIu64 ",\"growth_rate_bytes_per_second\":%.1f,",
             memory.rss_bytes, memory.vms_bytes, memory.limit_bytes, cache.memory_bytes,
             cache.memory_limit_bytes, growth_rate(&call->admin->growth));
    buf_addf(out,
             "\"allocator\":{\"used_bytes\":%" PRIu64 ",\"free_bytes\":%" PRIu64
             ",\"mapped_bytes\":%" PRIu64 "},",
             allocator.used_bytes, allocator.free_bytes, allocator.mapped_bytes);
    severity = checks_memory(call, out, &memory);
    buf_addf(out, ",\"severity\":\"%s\"}", severity_name(severity));
    return severity;
}

uint32_t healthy_targets(const struct admin *admin, const struct upstream_config *upstream)
{
    struct target_status status;
    uint32_t healthy = 0;

    for (uint32_t i = 0; i < upstream->target_count; i++)
        if (upstreams_status(admin->shared->upstreams, upstream, i, loop_now_us(admin->loop),
                             &status) &&
            status.state == TARGET_UP)
            healthy++;
    return healthy;
}

/* Away is a warning: requests are served without it. */
static enum severity write_store(struct call *call, struct buf *out)
{
    const struct admin_hooks *hooks = &call->admin->hooks;
    const char *why = hooks->store_why != NULL ? hooks->store_why(hooks->arg) : NULL;
    enum severity severity = why != NULL && why[0] != '\0' ? SEVERITY_WARNING : SEVERITY_NORMAL;

    buf_addf(out, "\"store\":{\"kind\":\"%s\"", why != NULL ? "redis" : "memory");
    if (why != NULL)
        buf_addf(out, ",\"up\":%s,\"reason\":", why[0] == '\0' ? "true" : "false");
    if (why != NULL)
        buf_add_json(out, str_of(why));
    buf_addf(out, ",\"severity\":\"%s\"}", severity_name(severity));
    return severity;
}

static enum severity write_dependencies(struct call *call, struct buf *out)
{
    enum severity worst = SEVERITY_NORMAL;

    buf_add_str(out, STR("\"dependencies\":{\"upstreams\":{"));
    for (uint32_t i = 0; i < call->config->upstream_count; i++) {
        const struct upstream_config *upstream = &call->config->upstreams[i];
        uint32_t healthy = healthy_targets(call->admin, upstream);
        enum severity severity = SEVERITY_NORMAL;

        if (healthy < upstream->target_count)
            severity = healthy == 0 && upstream->required ? SEVERITY_CRITICAL : SEVERITY_WARNING;
        worst = worse(worst, severity);
        if (i > 0)
            buf_add_char(out, ',');
        buf_add_json(out, upstream->name);
        buf_addf(out,
                 ":{\"healthy_targets\":%" PRIu32 ",\"targets\":%" PRIu32
                 ",\"required\":%s,\"severity\":\"%s\"}",
                 healthy, upstream->target_count, upstream->required ? "true" : "false",
                 severity_name(severity));
    }
    buf_add_str(out, STR("},"));
    worst = worse(worst, write_store(call, out));
    buf_addf(out, ",\"severity\":\"%s\"}", severity_name(worst));
    return worst;
}

static enum severity write_breakers(struct call *call, struct buf *out)
{
    static const enum severity severities[] = {[BREAKER_CLOSED] = SEVERITY_NORMAL,
                                               [BREAKER_HALF_OPEN] = SEVERITY_WARNING,
                                               [BREAKER_OPEN] = SEVERITY_CRITICAL};
    enum severity worst = SEVERITY_NORMAL;

    buf_add_str(out, STR("\"circuit_breakers\":{\"upstreams\":{"));
    for (uint32_t i = 0; i < call->config->upstream_count; i++) {
        const struct upstream_config *upstream = &call->config->upstreams[i];
        struct upstream_status status;

        upstreams_upstream_status(call->admin->shared->upstreams, upstream,
                                  loop_now_us(call->admin->loop), &status);
        worst = worse(worst, severities[status.breaker]);
        if (i > 0)
            buf_add_char(out, ',');
        buf_add_json(out, upstream->name);
        buf_addf(out,
                 ":{\"state\":\"%s\",\"opened\":%" PRIu64
                 ",\"open_for_seconds\":%.3f,\"severity\":\"%s\"}",
                 breaker_name(status.breaker), status.breaker_opened,
                 (double)status.breaker_open_us / 1e6, severity_name(severities[status.breaker]));
    }
    buf_addf(out, "},\"severity\":\"%s\"}", severity_name(worst));
    return worst;
}

void get_system_health(struct call *call)
{
    struct buf *out = &call->question->text;
    enum severity worst;

    buf_add_char(out, '{');
    worst = write_backpressure(call, out);
    buf_add_char(out, ',');
    worst = worse(worst, write_memory(call, out));
    buf_add_char(out, ',');
    worst = worse(worst, write_dependencies(call, out));
    buf_add_char(out, ',');
    worst = worse(worst, write_breakers(call, out));
    buf_addf(out, ",\"draining\":%s,\"status\":\"%s\"}",
             call->admin->shared->is_draining ? "true" : "false", severity_name(worst));
    answer_json(call, 200);
}
