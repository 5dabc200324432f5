/* checks.c - what /system/health judges by the thresholds of health.*: a value, where it is worth a
 * look and where clients feel it, each with its own severity, so that nobody has to guess which of
 * them made the whole yellow. Main thread. */
#include "admin/admin_priv.h"

#include <sys/resource.h>

/* "name": {value, warning, critical, severity}; the first of a part has no comma before it. */
struct check {
    const char *name;
    double value, warning, critical;
    bool is_unknown;   /* nothing to judge: null, and normal */
    bool is_time_left; /* less is worse */
};

const char *severity_name(enum severity severity)
{
    switch (severity) {
    case SEVERITY_NORMAL:
        return "normal";
    case SEVERITY_WARNING:
        return "warning";
    case SEVERITY_CRITICAL:
        return "critical";
    }
    return "critical";
}

enum severity worse(enum severity a, enum severity b)
{
    return a > b ? a : b;
}

static bool is_past(const struct check *check, double threshold)
{
    return check->is_time_left ? check->value <= threshold : check->value >= threshold;
}

static enum severity judge(const struct check *check)
{
    if (check->is_unknown)
        return SEVERITY_NORMAL;
    if (is_past(check, check->critical))
        return SEVERITY_CRITICAL;
    return is_past(check, check->warning) ? SEVERITY_WARNING : SEVERITY_NORMAL;
}

static enum severity write_checks(struct buf *out, const struct check *checks, size_t count)
{
    enum severity worst = SEVERITY_NORMAL;

    buf_add_str(out, STR("\"checks\":{"));
    for (size_t i = 0; i < count; i++) {
        const struct check *check = &checks[i];
        enum severity severity = judge(check);

        worst = worse(worst, severity);
        buf_addf(out, "%s\"%s\":{\"value\":", i > 0 ? "," : "", check->name);
        if (check->is_unknown)
            buf_add_str(out, STR("null"));
        else
            buf_addf(out, "%.6g", check->value);
        buf_addf(out, ",\"warning\":%.6g,\"critical\":%.6g,\"severity\":\"%s\"}", check->warning,
                 check->critical, severity_name(severity));
    }
    buf_add_char(out, '}');
    return worst;
}

/* 0: unknown, or without a limit. */
static double fds_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return 0;
    return (double)limit.rlim_cur;
}

enum severity checks_backpressure(struct call *call, struct buf *out, double utilization,
                                  double lag_s)
{
    const struct health_config *h = &call->config->health;
    double queue = metrics_sum(call->admin->shared->metrics, M_STORE_QUEUE, -1, STR_NONE);
    double most_fds = fds_limit();
    const struct check checks[] = {
        {.name = "loop_lag_seconds",
         .value = lag_s,
         .warning = (double)h->loop_lag.warning_ms / 1e3,
         .critical = (double)h->loop_lag.critical_ms / 1e3},
        {.name = "loop_utilization",
         .value = utilization,
         .warning = h->utilization.warning,
         .critical = h->utilization.critical},
        {.name = "store_queue",
         .value = queue,
         .warning = h->store_queue.warning,
         .critical = h->store_queue.critical},
        {.name = "tasks_pending",
         .value = (double)loop_work_pending(),
         .warning = h->tasks_pending.warning,
         .critical = h->tasks_pending.critical},
        {.name = "open_fds_share",
         .value = most_fds > 0 ? (double)process_open_fds() / most_fds : 0,
         .warning = h->open_fds.warning,
         .critical = h->open_fds.critical,
         .is_unknown = most_fds <= 0},
    };

    return write_checks(out, checks, COUNT_OF(checks));
}

enum severity checks_memory(struct call *call, struct buf *out, const struct process_memory *memory)
{
    const struct health_config *h = &call->config->health;
    double rate = growth_rate(&call->admin->growth);
    bool grows = rate > 0 && memory->limit_bytes > memory->rss_bytes;
    const struct check checks[] = {
        {.name = "rss_share",
         .value =
             memory->limit_bytes > 0 ? (double)memory->rss_bytes / (double)memory->limit_bytes : 0,
         .warning = h->memory.warning,
         .critical = h->memory.critical,
         .is_unknown = memory->limit_bytes == 0},
        {.name = "full_in_seconds",
         .value = grows ? (double)(memory->limit_bytes - memory->rss_bytes) / rate : 0,
         .warning = (double)h->memory_full_in.warning_ms / 1e3,
         .critical = (double)h->memory_full_in.critical_ms / 1e3,
         .is_unknown = !grows,
         .is_time_left = true},
    };

    return write_checks(out, checks, COUNT_OF(checks));
}
