/* table.c - every metric, one row each: what it is called, what it tells, its labels.
 *
 * This is the place to add a metric: a name in enum metric_id, a row here, a call
 * where it happens. Counters end in _total, times are seconds, sizes bytes; label
 * sets are closed (a route's name, never a path; never a client). The help text is
 * what an operator reads in the dashboard's tooltip, so it is a sentence.
 *
 * Constant data; any thread. */
#include "metrics/metrics_priv.h"

/* A proxied request: half a millisecond to ten seconds. */
static const struct bound request_bounds[] = {
    {500000, "0.0005"},  {1000000, "0.001"},  {2500000, "0.0025"}, {5000000, "0.005"},
    {10000000, "0.01"},  {25000000, "0.025"}, {50000000, "0.05"},  {100000000, "0.1"},
    {250000000, "0.25"}, {500000000, "0.5"},  {1000000000, "1"},   {2500000000, "2.5"},
    {5000000000, "5"},   {10000000000, "10"},
};

/* A decision in memory takes a fraction of a microsecond, one in the store a millisecond. */
static const struct bound decision_bounds[] = {
    {100, "1e-07"},     {250, "2.5e-07"},    {500, "5e-07"},      {1000, "1e-06"},
    {2500, "2.5e-06"},  {5000, "5e-06"},     {10000, "1e-05"},    {25000, "2.5e-05"},
    {50000, "5e-05"},   {100000, "0.0001"},  {250000, "0.00025"}, {500000, "0.0005"},
    {1000000, "0.001"}, {2500000, "0.0025"}, {5000000, "0.005"},  {10000000, "0.01"},
};

_Static_assert(COUNT_OF(request_bounds) <= METRICS_MAX_BOUNDS, "a scrape adds up on its stack");
_Static_assert(COUNT_OF(decision_bounds) <= METRICS_MAX_BOUNDS, "a scrape adds up on its stack");

/* The label names are counted here, so that a row cannot miscount them. */
#define LABELS(...)                                                                                \
    .label_count = sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), .labels = {__VA_ARGS__}
#define BOUNDS(rows) .bound_count = COUNT_OF(rows), .bounds = (rows)
#define ROW(id, metric_name, metric_help, ...)                                                     \
    [id] = {.name = "gateway_" metric_name, .help = (metric_help), __VA_ARGS__}
#define COUNTER(id, name, help, ...)   ROW(id, name, help, .kind = METRIC_COUNTER, __VA_ARGS__)
#define GAUGE(id, name, help, ...)     ROW(id, name, help, .kind = METRIC_GAUGE, __VA_ARGS__)
#define HISTOGRAM(id, name, help, ...) ROW(id, name, help, .kind = METRIC_HISTOGRAM, __VA_ARGS__)

/* clang-format off */
const struct metric metric_table[M_COUNT] = {
    COUNTER(M_REQUESTS, "requests_total",
        "Requests answered, by status code; 499 is a client that left.",
        LABELS("route", "method", "status")),
    HISTOGRAM(M_REQUEST_DURATION, "request_duration_seconds",
        "Time from a request's first byte to the last byte of its answer.",
        BOUNDS(request_bounds), LABELS("route")),
    COUNTER(M_RESPONSE_BYTES, "response_bytes_total",
        "Body bytes sent to clients.", LABELS("route")),
    GAUGE(M_REQUESTS_IN_FLIGHT, "requests_in_flight",
        "Requests that have begun and are not yet answered in full.", .label_count = 0),
    GAUGE(M_CONNECTIONS_ACTIVE, "connections_active",
        "Client connections that are open.", .label_count = 0),
    GAUGE(M_WEBSOCKETS, "websocket_connections_active",
        "WebSockets that are relayed.", LABELS("route")),
    COUNTER(M_REJECTED, "rejected_total",
        "Requests refused as malformed, too large or too slow.", LABELS("reason")),
    COUNTER(M_RATE_LIMIT_HITS, "rate_limit_hits_total",
        "Rate limit decisions.", LABELS("identifier_type", "tier", "route")),
    COUNTER(M_RATE_LIMIT_BLOCKS, "rate_limit_blocks_total",
        "Requests denied by a rate limit, by the window that was exhausted.",
        LABELS("identifier_type", "tier", "route", "window")),
    COUNTER(M_RATE_LIMIT_DRY_RUN, "rate_limit_dry_run_total",
        "Requests that a rate limit in dry run would have denied.",
        LABELS("tier", "route", "window")),
    HISTOGRAM(M_RATE_LIMIT_DECISION, "rate_limit_decision_seconds",
        "Time that a rate limit decision took.", BOUNDS(decision_bounds)),
    GAUGE(M_RATE_LIMIT_CLIENTS, "rate_limit_clients",
        "Clients that the rate limiter remembers.", .label_count = 0),
    COUNTER(M_RATE_LIMIT_EVICTED, "rate_limit_evicted_total",
        "Clients that the rate limiter forgot to make room.", .label_count = 0),
    COUNTER(M_CACHE_REQUESTS, "cache_requests_total",
        "Requests by what the cache made of them.", LABELS("route", "status")),
    COUNTER(M_CACHE_REFUSED, "cache_refused_total",
        "Responses that were not stored, by reason.", LABELS("reason")),
    GAUGE(M_CACHE_ENTRIES, "cache_entries", "Responses in the cache.", .label_count = 0),
    GAUGE(M_CACHE_MEMORY, "cache_memory_bytes",
        "Memory that cached responses hold, keys and headers included.", .label_count = 0),
    GAUGE(M_CACHE_MEMORY_LIMIT, "cache_memory_limit_bytes",
        "Memory that cached responses may hold.", .label_count = 0),
    COUNTER(M_CACHE_EVICTIONS, "cache_evictions_total",
        "Cached responses removed to make room.", .label_count = 0),
    COUNTER(M_CACHE_INVALIDATIONS, "cache_invalidations_total",
        "Cached responses purged or made stale, by cause.", LABELS("reason")),
    COUNTER(M_CACHE_COLLAPSED, "cache_collapsed_total",
        "Requests answered by a fetch that another request had begun.", .label_count = 0),
    COUNTER(M_CACHE_REFRESHES, "cache_refreshes_total",
        "Fetches without a client, of entries that answered meanwhile, by outcome.",
        LABELS("outcome")),
    COUNTER(M_UPSTREAM_REQUESTS, "upstream_requests_total",
        "Attempts to reach an upstream's target, by outcome.",
        LABELS("upstream", "target", "outcome")),
    COUNTER(M_UPSTREAM_ERRORS, "upstream_errors_total",
        "Attempts that failed, by kind of failure.", LABELS("upstream", "kind")),
    HISTOGRAM(M_UPSTREAM_DURATION, "upstream_duration_seconds",
        "Time from the start of an exchange, with its retries, to the head of the answer.",
        BOUNDS(request_bounds), LABELS("upstream")),
    COUNTER(M_UPSTREAM_RETRIES, "upstream_retries_total",
        "Attempts after the first.", LABELS("upstream")),
    GAUGE(M_UPSTREAM_CONNECTIONS, "upstream_connections",
        "Connections to an upstream, by state.", LABELS("upstream", "state")),
    COUNTER(M_UPSTREAM_EJECTIONS, "upstream_ejections_total",
        "Targets left out for a while after failures in a row.", LABELS("upstream")),
    COUNTER(M_UPSTREAM_HEDGES, "upstream_hedges_total",
        "Requests sent to a second target because the first took unusually long.",
        LABELS("upstream")),
    GAUGE(M_UPSTREAM_QUEUED, "upstream_queued",
        "Requests that wait because every target has max_requests.", LABELS("upstream")),
    GAUGE(M_UPSTREAM_LIMIT, "upstream_adaptive_limit",
        "Requests at a time that an adaptive upstream is believed to bear.", LABELS("upstream")),
    COUNTER(M_HEALTH_CHECKS, "upstream_health_checks_total",
        "Active checks of an upstream's targets, by result.", LABELS("upstream", "result")),
    GAUGE(M_BREAKER_STATE, "circuit_breaker_state",
        "0 closed, 1 half open, 2 open.", LABELS("upstream")),
    COUNTER(M_BREAKER_OPENED, "circuit_breaker_opened_total",
        "Times that an upstream's breaker opened.", LABELS("upstream")),
    GAUGE(M_DEPENDENCY_HEALTH, "dependency_health_status",
        "1 while a dependency answers, 0 while it does not.", LABELS("dependency")),
    COUNTER(M_AUTH, "auth_total", "Checks of credentials, by result.",
        LABELS("method", "result")),
    COUNTER(M_JWKS_FETCHES, "jwks_fetches_total",
        "Fetches of the public keys of tokens, by outcome.", LABELS("outcome")),
    GAUGE(M_JWKS_KEYS, "jwks_keys", "Public keys of tokens in force."),
    COUNTER(M_TOKEN_REVOCATIONS, "token_revocations_total", "Tokens revoked."),
    GAUGE(M_REVOKED_TOKENS, "revoked_tokens",
        "Revoked tokens that have not ended by themselves yet."),
    COUNTER(M_STORE_COMMANDS, "store_commands_total", "Commands to the store, by outcome.",
        LABELS("outcome")),
    COUNTER(M_STORE_ERRORS, "store_errors_total",
        "Commands to the store that brought no answer to use, by kind.", LABELS("kind")),
    HISTOGRAM(M_STORE_DURATION, "store_duration_seconds",
        "From handing a command over to its reply.", BOUNDS(decision_bounds), .label_count = 0),
    GAUGE(M_STORE_QUEUE, "backpressure_store_queue_size",
        "Commands that wait for their reply from the store.", .label_count = 0),
    GAUGE(M_LOOP_LAG, "backpressure_event_loop_lag_seconds",
        "Longest turn of a worker's event loop since the last scrape.", LABELS("worker")),
    GAUGE(M_LOOP_UTILIZATION, "backpressure_loop_utilization",
        "Share of time that a worker's event loop was busy, 0 to 1.", LABELS("worker")),
    COUNTER(M_MIRROR_REQUESTS, "mirror_requests_total",
        "Copies of requests for a route's mirror, by outcome: ok, error, dropped.",
        LABELS("route", "outcome")),
    COUNTER(M_SLOW_REQUESTS, "slow_requests_total",
        "Requests that took longer than log.slow.", LABELS("route")),
    COUNTER(M_TIMEOUTS, "timeouts_total", "Deadlines that passed, by kind.", LABELS("kind")),
    COUNTER(M_SHED, "shed_total", "Requests turned away to protect the gateway, by cause.",
        LABELS("cause")),
    COUNTER(M_ERRORS, "errors_total", "Error answers made by the gateway itself, by type.",
        LABELS("type", "route")),
    GAUGE(M_EVENT_STREAMS, "event_streams", "Operators who follow the events.", .label_count = 0),
    COUNTER(M_STREAMS_DROPPED, "event_streams_dropped_total",
        "Followers of the events who did not read, and were dropped.", .label_count = 0),
    COUNTER(M_EVENTS_LOST, "events_suppressed_total",
        "Events left out because too many of a kind came at once.", .label_count = 0),
    COUNTER(M_ADMIN_REQUESTS, "admin_requests_total", "Requests of operators.",
        LABELS("op", "result")),
    COUNTER(M_LOG_DROPPED, "log_dropped_total",
        "Log lines lost because they could not be written fast enough.", .label_count = 0),
    GAUGE(M_MEMORY_RSS, "memory_rss_bytes", "Memory of the process that is resident.",
        .label_count = 0),
    GAUGE(M_MEMORY_VMS, "memory_vms_bytes", "Address space of the process.", .label_count = 0),
    GAUGE(M_MEMORY_GROWTH, "memory_growth_rate_bytes_per_second",
        "Slope of the resident memory over the last quarter of an hour, by least squares.",
        .label_count = 0),
    GAUGE(M_OPEN_FDS, "open_fds", "File descriptors that the process has open.",
        .label_count = 0),
    GAUGE(M_DRAINING, "draining", "1 while the gateway finishes its last requests.",
        .label_count = 0),
    COUNTER(M_CONFIG_RELOADS, "config_reloads_total",
        "Attempts to take a new configuration, by outcome.", LABELS("outcome")),
    GAUGE(M_CONFIG_LAST_RELOAD, "config_last_reload_timestamp_seconds",
        "When the configuration in force was taken, in seconds since 1970.", .label_count = 0),
    COUNTER(M_EVICTED_SERIES, "evicted_series_total",
        "Look-ups of a series that was counted as other, because there were too many.",
        .label_count = 0),
    GAUGE(M_BUILD_INFO, "build_info", "1; the version stands in the label.",
        LABELS("version")),
};
/* clang-format on */
