/* metrics.h - one table of all metrics; each thread's own cells; text exposition.
 *
 * A metric is one row of METRICS in table.c (name, kind, help, label names). Cells
 * live in a sheet: each worker writes its own without locks (relaxed atomics, one
 * writer) and metrics_write() adds all sheets up, from any thread. A series is found
 * by its label values through metrics_series(), which is slow (a hash look-up): code
 * on the hot path keeps the returned cell in the object it counts for (a route, a
 * target). Series are bounded: past METRICS_MAX_SERIES a look-up gives the metric's
 * overflow series with "other" in every label, and evicted_series_total counts it. */
#ifndef GATEWAY_METRICS_H
#define GATEWAY_METRICS_H
#include "base/base.h"

/* Of the process: a series counts once, however many sheets have it. */
#define METRICS_MAX_SERIES 20000
#define METRICS_MAX_LABELS 4
/* A longer value is cut; bytes that are not UTF-8 become '?'. */
#define METRICS_MAX_LABEL_BYTES 255
/* Some counters are kept in these and shown in whole ones. */
#define METRICS_MILLIONTHS 1000000

enum metric_id {
    M_REQUESTS,             /* requests_total{route,method,status} */
    M_REQUEST_DURATION,     /* request_duration_seconds{route} histogram */
    M_RESPONSE_BYTES,       /* response_bytes_total{route} */
    M_REQUESTS_IN_FLIGHT,   /* requests_in_flight gauge */
    M_CONNECTIONS_ACTIVE,   /* connections_active gauge */
    M_WEBSOCKETS,           /* websocket_connections_active{route} gauge */
    M_REJECTED,             /* rejected_total{reason} */
    M_INTERIM,              /* interim_responses_total{outcome} */
    M_RATE_LIMIT_HITS,      /* rate_limit_hits_total{identifier_type,tier,route} */
    M_RATE_LIMIT_BLOCKS,    /* rate_limit_blocks_total{identifier_type,tier,route,window} */
    M_RATE_LIMIT_DRY_RUN,   /* rate_limit_dry_run_total{tier,route,window} */
    M_RATE_LIMIT_DECISION,  /* rate_limit_decision_seconds histogram */
    M_RATE_LIMIT_CLIENTS,   /* rate_limit_clients gauge */
    M_RATE_LIMIT_EVICTED,   /* rate_limit_evicted_total */
    M_CACHE_REQUESTS,       /* cache_requests_total{route,status} */
    M_CACHE_REFUSED,        /* cache_refused_total{reason} */
    M_CACHE_ENTRIES,        /* cache_entries gauge */
    M_CACHE_MEMORY,         /* cache_memory_bytes gauge */
    M_CACHE_MEMORY_LIMIT,   /* cache_memory_limit_bytes gauge */
    M_CACHE_EVICTIONS,      /* cache_evictions_total */
    M_CACHE_INVALIDATIONS,  /* cache_invalidations_total{reason} */
    M_CACHE_COLLAPSED,      /* cache_collapsed_total */
    M_CACHE_REFRESHES,      /* cache_refreshes_total{outcome}: stored, failed, ceiling */
    M_CACHE_CALLS_SAVED,    /* cache_calls_saved_total{route,match}: exact, near */
    M_CACHE_SHADOW_MATCHES, /* cache_shadow_matches_total{route,match} */
    M_CACHE_MONEY_SAVED,    /* cache_money_saved_total{route}; kept in millionths */
    M_CACHE_PICTURES,       /* cache_pictures gauge */
    M_IMAGE_STORE,          /* image_store_total{outcome} */
    M_IMAGE_HASHES,         /* image_hashes_total{result} */
    M_CACHE_SECOND_LEVEL,   /* cache_second_level_total{outcome} */
    M_CACHE_EFFICIENCY,     /* cache_efficiency_score gauge */
    M_UPSTREAM_REQUESTS,    /* upstream_requests_total{upstream,target,outcome} */
    M_UPSTREAM_ERRORS,      /* upstream_errors_total{upstream,kind} */
    M_UPSTREAM_DURATION,    /* upstream_duration_seconds{upstream} histogram */
    M_UPSTREAM_RETRIES,     /* upstream_retries_total{upstream} */
    M_UPSTREAM_CONNECTIONS, /* upstream_connections{upstream,state} gauge */
    M_UPSTREAM_TARGETS,     /* upstream_targets{upstream,state} */
    M_UPSTREAM_VERDICTS,    /* upstream_verdicts_total{upstream,verdict} */
    M_UPSTREAM_EJECTIONS,   /* upstream_ejections_total{upstream,cause} */
    M_UPSTREAM_HEDGES,      /* upstream_hedges_total{upstream} */
    M_UPSTREAM_QUEUED,      /* upstream_queued{upstream} gauge */
    M_UPSTREAM_LIMIT,       /* upstream_adaptive_limit{upstream} gauge */
    M_HEALTH_CHECKS,        /* upstream_health_checks_total{upstream,result} */
    M_BREAKER_STATE,        /* circuit_breaker_state{upstream} gauge */
    M_BREAKER_OPENED,       /* circuit_breaker_opened_total{upstream} */
    M_DEPENDENCY_HEALTH,    /* dependency_health_status{dependency} gauge */
    M_AUTH,                 /* auth_total{method,result} */
    M_JWKS_FETCHES,         /* jwks_fetches_total{outcome} */
    M_JWKS_KEYS,            /* jwks_keys gauge */
    M_TOKEN_REVOCATIONS,    /* token_revocations_total */
    M_REVOKED_TOKENS,       /* revoked_tokens gauge */
    M_STORE_COMMANDS,       /* store_commands_total{outcome} */
    M_STORE_ERRORS,         /* store_errors_total{kind} */
    M_STORE_DURATION,       /* store_duration_seconds histogram */
    M_STORE_FALLBACKS,      /* store_fallbacks_total */
    M_TIER_LOOKUPS,         /* tier_lookups_total{result} */
    M_STORE_QUEUE,          /* backpressure_store_queue_size gauge */
    M_LOOP_LAG,             /* backpressure_event_loop_lag_seconds{worker} gauge */
    M_LOOP_UTILIZATION,     /* backpressure_loop_utilization{worker} gauge */
    M_TASKS_PENDING,        /* backpressure_tasks_pending{type} gauge */
    M_MIRROR_REQUESTS,      /* mirror_requests_total{route,outcome} */
    M_SLOW_REQUESTS,        /* slow_requests_total{route} */
    M_TIMEOUTS,             /* timeouts_total{kind} */
    M_SHED,                 /* shed_total{cause} */
    M_ERRORS,               /* errors_total{type,route} */
    M_EVENT_STREAMS,        /* event_streams gauge */
    M_STREAMS_DROPPED,      /* event_streams_dropped_total */
    M_EVENTS_LOST,          /* events_suppressed_total */
    M_ADMIN_REQUESTS,       /* admin_requests_total{op,result} */
    M_LOG_DROPPED,          /* log_dropped_total */
    M_MEMORY_RSS,           /* memory_rss_bytes gauge */
    M_MEMORY_VMS,           /* memory_vms_bytes gauge */
    M_MEMORY_LIMIT,         /* memory_limit_bytes gauge */
    M_MEMORY_GROWTH,        /* memory_growth_rate_bytes_per_second gauge */
    M_MEMORY_ALLOCATOR,     /* memory_allocator_bytes{state} gauge */
    M_OPEN_FDS,             /* open_fds gauge */
    M_DRAINING,             /* draining gauge */
    M_JOB_WATCHERS,         /* job_watchers */
    M_RESOURCE_WASTE,       /* resource_waste_ratio{resource} gauge */
    M_RESOURCE_STABILITY,   /* resource_stability_score gauge */
    M_RESOURCE_CONTAINERS,  /* resource_containers{priority} gauge */
    M_RESOURCE_SAVING,      /* resource_monthly_saving gauge */
    M_TRACE_SPANS,          /* trace_spans_total{outcome} */
    M_CERTIFICATE_EXPIRY,   /* tls_certificate_expiry_timestamp_seconds{name} gauge */
    M_CONFIG_RELOADS,       /* config_reloads_total{outcome} */
    M_CONFIG_LAST_RELOAD,   /* config_last_reload_timestamp_seconds gauge */
    M_EVICTED_SERIES,       /* evicted_series_total */
    M_BUILD_INFO,           /* build_info{version} gauge, always 1 */
    M_COUNT
};

struct metrics; /* the whole process's; any thread */
struct sheet;   /* one thread's cells */
struct cell;    /* one series of one sheet; lives as long as it, written by its thread */

struct metrics *metrics_new(void) MUST_USE;
void metrics_free(struct metrics **metrics); /* with all sheets */
/* A sheet for one writing thread. Lives until metrics_free(): counts outlive their worker. */
struct sheet *metrics_sheet(struct metrics *metrics) MUST_USE;

/* The series of metric `id` with these label values, in the table's order (copied). The number of
 * values must be the table's. Never NULL: without memory or past the ceiling it is the overflow
 * series. */
struct cell *metrics_series(struct sheet *sheet, enum metric_id id, size_t count,
                            const struct str *values);
/* Shorthands for metrics without labels; cheap. */
struct cell *metrics_cell(struct sheet *sheet, enum metric_id id);

void cell_add(struct cell *cell, uint64_t n);      /* counters */
void cell_gauge_add(struct cell *cell, int64_t n); /* gauges that sum over threads */
void cell_gauge_set(struct cell *cell,
                    double value); /* sheets are added up: set on one sheet only */
void cell_observe(struct cell *cell, double seconds); /* histograms; kept as nanoseconds */
/* A trace that stands for what was observed; who asks for OpenMetrics is shown the newest of each
 * bucket. */
struct exemplar {
    uint64_t trace_high, trace_low;
    int64_t wall_us; /* since 1970 */
};
void cell_observe_traced(struct sheet *sheet /* the cell's */, struct cell *cell, double seconds,
                         const struct exemplar *exemplar);
uint64_t
cell_count(const struct cell *cell); /* a counter's value, or a histogram's count: for tests */

/* Values that live elsewhere (cache, limiter, process): fn runs at the start of each
 * metrics_write(), on the thread that writes. */
typedef void metrics_fn(void *arg, struct sheet *sheet);
void metrics_collector(struct metrics *metrics, metrics_fn *fn, void *arg);

/* Prometheus text exposition 0.0.4 of everything, sheets added up. Any thread, one at a time
 * (a lock inside). False: out is over its ceiling. */
bool metrics_write(struct metrics *metrics, struct buf *out) MUST_USE;
/* The same as OpenMetrics 1.0, with exemplars. */
bool metrics_write_open(struct metrics *metrics, struct buf *out) MUST_USE;
/* Sum over sheets of one metric (of a histogram: its count), over all series whose label
 * `label` (index, or -1: all series) equals value. */
double metrics_sum(struct metrics *metrics, enum metric_id id, int label, struct str value);
/* The same over the series whose labels `label_a` and `label_b` have these values. */
double metrics_sum2(struct metrics *metrics, enum metric_id id, int label_a, struct str value_a,
                    int label_b, struct str value_b);

#endif
