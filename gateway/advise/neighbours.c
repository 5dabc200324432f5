/* neighbours.c - containers around us: from the samples of a scrape to what each uses.
 *
 * cAdvisor names a container by labels: namespace, pod and container under Kubernetes, name under
 * Docker; what has neither is a group of the machine and left out. CPU is a counter, so a first
 * scrape gives no rate; one that falls, or another start time, is a restart. Requests come from
 * kube-state-metrics where a Prometheus brings them, else from CPU shares and the reservation.
 * Main thread. */
#include "advise/advise.h"

#include <stdio.h>
#include <stdlib.h>

enum { MISSED_MOST = 10 };

static bool name_of(const struct advise_metric *metric, char name[ADVISE_NAME])
{
    struct str container = advise_label(metric, "container"), pod = advise_label(metric, "pod");
    struct str space = advise_label(metric, "namespace"), docker = advise_label(metric, "name");
    int len = 0;

    if (container.len > 0 && pod.len > 0 && !str_eq(container, STR("POD")))
        len = snprintf(name, ADVISE_NAME, "%.*s/%.*s/%.*s", STR_ARG(space), STR_ARG(pod),
                       STR_ARG(container));
    else if (docker.len > 0 && pod.len == 0)
        len = snprintf(name, ADVISE_NAME, "%.*s", STR_ARG(docker));
    return len > 0 && len < ADVISE_NAME;
}

static struct advise_neighbour *find(struct advise_neighbours *neighbours, const char *name)
{
    struct advise_neighbour *one;

    for (uint32_t i = 0; i < neighbours->count; i++)
        if (strcmp(neighbours->at[i]->name, name) == 0)
            return neighbours->at[i];
    if (neighbours->count >= ADVISE_NEIGHBOURS || (one = calloc(1, sizeof(*one))) == NULL) {
        neighbours->left_out++;
        return NULL;
    }
    memcpy(one->name, name, strlen(name) + 1);
    neighbours->at[neighbours->count++] = one;
    return one;
}

static void take_given(struct advise_neighbour *one, const struct advise_metric *metric,
                       bool is_request)
{
    bool is_cpu = str_eq(advise_label(metric, "resource"), STR("cpu"));

    if (!is_cpu && !str_eq(advise_label(metric, "resource"), STR("memory")))
        return;
    if (is_cpu && is_request)
        one->given.cpu_request = metric->value;
    else if (is_cpu)
        one->given.cpu_limit = metric->value;
    else if (is_request)
        one->given.memory_request = metric->value;
    else
        one->given.memory_limit = metric->value;
}

enum place {
    CPU,
    MEMORY,
    QUOTA,
    PERIOD,
    SHARES,
    MEMORY_LIMIT,
    RESERVATION,
    PERIODS,
    THROTTLED,
    STARTED,
    OOM,
    RESTARTS,
    REQUESTS,
    LIMITS
};
static const struct {
    const char *name;
    enum place place;
} known[] = {
    {"container_cpu_usage_seconds_total", CPU},
    {"container_memory_working_set_bytes", MEMORY},
    {"container_spec_cpu_quota", QUOTA},
    {"container_spec_cpu_period", PERIOD},
    {"container_spec_cpu_shares", SHARES},
    {"container_spec_memory_limit_bytes", MEMORY_LIMIT},
    {"container_spec_memory_reservation_limit_bytes", RESERVATION},
    {"container_cpu_cfs_periods_total", PERIODS},
    {"container_cpu_cfs_throttled_periods_total", THROTTLED},
    {"container_start_time_seconds", STARTED},
    {"container_oom_events_total", OOM},
    {"kube_pod_container_status_restarts_total", RESTARTS},
    {"kube_pod_container_resource_requests", REQUESTS},
    {"kube_pod_container_resource_limits", LIMITS},
};

static void take(struct advise_neighbour *one, enum place place, const struct advise_metric *metric)
{
    double value = metric->value;

    switch (place) {
    case CPU:
        one->now.cpu_s += value;
        one->is_seen = true;
        break; /* a core each, or all in one */
    case MEMORY:
        one->now.memory_bytes = value;
        break;
    case QUOTA:
        one->now.quota = value;
        break;
    case PERIOD:
        one->now.period = value;
        break;
    case SHARES:
        one->now.shares = value;
        break;
    case MEMORY_LIMIT:
        one->given.memory_limit = value < 1e15 ? value : 0;
        break; /* else: none */
    case RESERVATION:
        one->given.memory_request = value < 1e15 ? value : 0;
        break;
    case PERIODS:
        one->now.periods = value;
        break;
    case THROTTLED:
        one->now.throttled = value;
        break;
    case STARTED:
        one->now.started = value;
        break;
    case OOM:
        one->now.oom_kills = value;
        break;
    case RESTARTS:
        one->trouble.restarts = value;
        break;
    case REQUESTS:
        take_given(one, metric, true);
        break;
    case LIMITS:
        take_given(one, metric, false);
        break;
    }
}

void advise_neighbours_take(void *arg, const struct advise_metric *metric)
{
    char name[ADVISE_NAME];
    struct advise_neighbour *one;

    if (metric->value < 0)
        return;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_eq(metric->name, str_of(known[i].name))) {
            if (name_of(metric, name) && (one = find(arg, name)) != NULL)
                take(one, known[i].place, metric);
            return;
        }
}

void advise_neighbours_begin(struct advise_neighbours *neighbours)
{
    for (uint32_t i = 0; i < neighbours->count; i++) {
        neighbours->at[i]->is_seen = false;
        memset(&neighbours->at[i]->now, 0, sizeof(neighbours->at[i]->now));
    }
}

static void end_one(struct advise_neighbour *one, double elapsed_s)
{
    bool is_new = one->has_before &&
                  (one->now.started > one->before.started || one->now.cpu_s < one->before.cpu_s);
    double periods = one->now.periods - one->before.periods;

    if (one->now.quota > 0 && one->now.period > 0)
        one->given.cpu_limit = one->now.quota / one->now.period;
    if (one->now.shares > 2 && one->given.cpu_request <= 0) /* 2: nothing was asked for */
        one->given.cpu_request = one->now.shares / 1024;
    one->trouble.oom_kills = one->now.oom_kills;
    if (is_new)
        one->trouble.restarts++;
    else if (one->has_before && elapsed_s > 0) {
        advise_series_add(&one->series, (one->now.cpu_s - one->before.cpu_s) / elapsed_s,
                          one->now.memory_bytes);
        if (periods > 0)
            one->trouble.throttled_ratio = (one->now.throttled - one->before.throttled) / periods;
    }
    one->before = one->now;
    one->has_before = true;
    one->missed = 0;
}

void advise_neighbours_end(struct advise_neighbours *neighbours, uint64_t now_us)
{
    double elapsed_s = now_us > neighbours->scraped_us && neighbours->scraped_us > 0
                           ? (double)(now_us - neighbours->scraped_us) / 1e6
                           : 0;

    for (uint32_t i = 0; i < neighbours->count;) {
        struct advise_neighbour *one = neighbours->at[i];

        if (one->is_seen)
            end_one(one, elapsed_s);
        else if (one->has_before) /* then what it used since is not of one interval */
            one->has_before = false;
        if (one->is_seen || ++one->missed < MISSED_MOST) {
            i++;
            continue;
        }
        free(one);
        neighbours->at[i] = neighbours->at[--neighbours->count];
    }
    neighbours->scraped_us = now_us;
}

void advise_neighbours_free(struct advise_neighbours *neighbours)
{
    for (uint32_t i = 0; i < neighbours->count; i++)
        free(neighbours->at[i]);
    *neighbours = (struct advise_neighbours){.count = 0};
}
