/* sections_health.c - from where on GET /system/health is worried.
 *
 * Each has two values, for warning and for critical; the defaults are where an operator would
 * begin to look. Rows as in sections_server.c. Constant tables. */
#include "config/config_priv.h"

#define H                              struct health_config
#define WARNING(kind, m, ini, lo, hi)  FIELD("warning", kind, H, m, ini, lo, hi, "worth a look")
#define CRITICAL(kind, m, ini, lo, hi) FIELD("critical", kind, H, m, ini, lo, hi, "clients feel it")

static const struct field loop_lag_fields[] = {
    WARNING(kind_duration, loop_lag.warning_ms, "100ms", 1, MINUTES(10)),
    CRITICAL(kind_duration, loop_lag.critical_ms, "1s", 1, MINUTES(10)),
};
static const struct field utilization_fields[] = {
    WARNING(kind_share, utilization.warning, "0.85", 0, 1),
    CRITICAL(kind_share, utilization.critical, "0.97", 0, 1),
};
static const struct field store_queue_fields[] = {
    WARNING(kind_count, store_queue.warning, "1000", 1, 1000000),
    CRITICAL(kind_count, store_queue.critical, "10000", 1, 1000000),
};
static const struct field tasks_pending_fields[] = {
    WARNING(kind_count, tasks_pending.warning, "100", 1, 1000000),
    CRITICAL(kind_count, tasks_pending.critical, "1000", 1, 1000000),
};
static const struct field open_fds_fields[] = {
    WARNING(kind_share, open_fds.warning, "0.8", 0, 1),
    CRITICAL(kind_share, open_fds.critical, "0.95", 0, 1),
};
static const struct field memory_fields[] = {
    WARNING(kind_share, memory.warning, "0.8", 0, 1),
    CRITICAL(kind_share, memory.critical, "0.92", 0, 1),
};
static const struct field memory_full_in_fields[] = {
    WARNING(kind_duration, memory_full_in.warning_ms, "2h", 0, DAYS(30)),
    CRITICAL(kind_duration, memory_full_in.critical_ms, "10m", 0, DAYS(30)),
};

static const struct section loop_lag_section = {SECTION(loop_lag_fields, 0)};
static const struct section utilization_section = {SECTION(utilization_fields, 0)};
static const struct section store_queue_section = {SECTION(store_queue_fields, 0)};
static const struct section tasks_pending_section = {SECTION(tasks_pending_fields, 0)};
static const struct section open_fds_section = {SECTION(open_fds_fields, 0)};
static const struct section memory_section = {SECTION(memory_fields, 0)};
static const struct section memory_full_in_section = {SECTION(memory_full_in_fields, 0)};

static const struct field health_fields[] = {
    FIELD_NESTED("loop_lag", loop_lag_section, "longest turn of a worker's loop, lately"),
    FIELD_NESTED("utilization", utilization_section, "of a worker's loop, 0 to 1"),
    FIELD_NESTED("store_queue", store_queue_section, "commands that wait for the store"),
    FIELD_NESTED("tasks_pending", tasks_pending_section, "tasks that wait for a thread, or run"),
    FIELD_NESTED("open_fds", open_fds_section, "share of the file descriptors we may have"),
    FIELD_NESTED("memory", memory_section, "share of the memory we may have that is resident"),
    FIELD_NESTED("memory_full_in", memory_full_in_section,
                 "time until memory is full at its present growth; less is worse"),
};

/* What is worse first stands nearer to the usual. */
static void judge(struct reader *reader, const struct node *node, const char *name, bool is_right)
{
    const struct node *child = node_child(node, str_of(name));

    if (!is_right)
        reader_fault_in(reader, child != NULL ? child : node, child != NULL ? "warning" : NULL,
                        "comes after health.%s.critical, expected to come before it", name);
}

static void health_finish(struct reader *reader, const struct node *node, void *base)
{
    const struct health_config *h = base;

    judge(reader, node, "loop_lag", h->loop_lag.warning_ms <= h->loop_lag.critical_ms);
    judge(reader, node, "utilization", h->utilization.warning <= h->utilization.critical);
    judge(reader, node, "store_queue", h->store_queue.warning <= h->store_queue.critical);
    judge(reader, node, "tasks_pending", h->tasks_pending.warning <= h->tasks_pending.critical);
    judge(reader, node, "open_fds", h->open_fds.warning <= h->open_fds.critical);
    judge(reader, node, "memory", h->memory.warning <= h->memory.critical);
    judge(reader, node, "memory_full_in",
          h->memory_full_in.warning_ms >= h->memory_full_in.critical_ms);
}

const struct section system_health_section = {SECTION(health_fields, sizeof(H)),
                                              .finish = health_finish};
