/* config.h - JSON text to a checked, immutable, counted snapshot.
 *
 * The only place of defaults. Each section is a table of fields (name, type, default,
 * bounds, what it does); the parser, --schema and --print-config read the same
 * tables. A snapshot never changes after config_load(): threads share it by counted
 * references, and a request keeps the one it was born under. All text in it is owned by
 * the snapshot and NUL-terminated behind its end. Durations are milliseconds, sizes bytes. */
#ifndef GATEWAY_CONFIG_H
#define GATEWAY_CONFIG_H
#include "base/base.h"

struct str_list {
    struct str *at;
    uint32_t count;
};

struct text_pair {
    struct str name, value;
};
struct pair_list {
    struct text_pair *at;
    uint32_t count;
};

/* An address block; IPv4 is kept as IPv4-mapped IPv6. */
struct cidr {
    uint8_t bytes[16];
    uint8_t prefix; /* 0..128 */
};
struct cidr_list {
    struct cidr *at;
    uint32_t count;
};
/* "10.0.0.0/8", "2001:db8::/32", a bare address; IPv4-mapped forms are IPv4. */
bool cidr_parse(struct str text, struct cidr *out) MUST_USE;
/* An address as text, without brackets, zone or port, to 16 bytes; false when it is none. */
bool address_parse(struct str text, uint8_t out[16]) MUST_USE;
bool cidr_list_has(const struct cidr_list *list, const uint8_t address[16]);

/* ---- server ---- */
struct tls_config {
    struct str name, cert, key; /* paths of PEM files */
    struct str client_ca;       /* whom clients' certificates must come from; empty: none */
};
enum client_auth { CLIENT_AUTH_NONE, CLIENT_AUTH_OPTIONAL, CLIENT_AUTH_REQUIRED };
struct listen_config {
    struct str address; /* "127.0.0.1", "::1", or the path of a unix socket */
    uint16_t port;      /* 0: any free one; meaningless for unix */
    bool is_unix;
    struct str_list tls;  /* names of server.tls; empty: plain */
    uint32_t client_auth; /* enum client_auth */
    bool proxy_protocol;  /* each connection begins with a PROXY header */
};
struct server_config {
    struct listen_config *listen;
    uint32_t listen_count;
    uint32_t workers; /* never 0: "auto" is already the cores this process may use (affinity and
                         cgroup cpu.max) */
    struct tls_config *tls;
    uint32_t tls_count;
    uint32_t max_connections, max_connections_per_ip, max_requests_per_connection;
    size_t max_header_bytes, max_uri_bytes;
    uint32_t max_headers;
    uint64_t max_body_bytes;
    int64_t header_timeout_ms, body_timeout_ms, write_timeout_ms, stream_idle_timeout_ms,
        idle_timeout_ms;
    int64_t drain_delay_ms, shutdown_grace_ms;
    struct cidr_list trusted_proxies;
};

struct admin_config {
    struct listen_config listen;
    struct str token; /* empty: none */
    bool metrics_public, is_public;
};

/* ---- store ---- */
enum job_kind { JOB_PROGRESS, JOB_CELERY };
enum eviction_check { EVICTION_WARN, EVICTION_REFUSE, EVICTION_OFF };
/* What may live elsewhere than at store.url: counters; the second level; revoked tokens; usage and
 * tiers for a while; jobs; answers for pictures. */
enum store_role {
    STORE_MAIN,
    STORE_LIMIT,
    STORE_CACHE,
    STORE_REVOKED,
    STORE_USAGE,
    STORE_JOBS,
    STORE_IMAGES,
    STORE_ROLES
};
struct store_config {
    struct str url; /* "memory:", or a URL that redis_url_parse() judges */
    struct str prefix;
    int64_t timeout_ms;                   /* of the cache's questions */
    uint32_t eviction_check;              /* enum eviction_check */
    struct str role_urls[STORE_ROLES];    /* "memory:": as url; STORE_MAIN's is unused */
    struct str tls_ca, tls_cert, tls_key; /* files of rediss://; empty: the system's, none */
    struct str images_prefix;             /* of the names of answers for pictures */
};
struct config;
/* Where what plays `role` lives; "memory:": nowhere but in this process. */
struct str store_url(const struct config *config, enum store_role role);
const char *store_role_name(enum store_role role); /* as under store.roles; "" for STORE_MAIN */
/* The URL with user and password as "***": for logs and printed configurations. */
bool store_url_write_masked(struct str url, struct buf *out);

/* ---- identity ---- */
enum identity_source { SOURCE_JWT, SOURCE_API_KEY, SOURCE_BASIC, SOURCE_IP };
struct api_key_config {
    struct str
        sha256_hex; /* 64 lower-case digits: the credential itself is never in the configuration */
    struct str id, tier;
    struct str_list scopes; /* route names; empty: every route */
    int64_t expires_s;      /* since 1970; INT64_MAX: never */
};
struct identity_config {
    enum identity_source sources[4];
    uint32_t source_count;
    struct str hash_secret; /* empty: random for this process */
    struct {
        struct str header, query; /* query empty: none */
        bool hide;                /* not told to the upstream */
        struct api_key_config *keys;
        uint32_t key_count;
    } api_key;
    struct { /* read when secret or jwks_url is set */
        struct str_list algorithms;
        struct str secret, jwks_url;
        struct str issuer, audience; /* empty: not looked at */
        struct str user_claim, tier_claim;
        int64_t leeway_ms;
        bool required;
    } jwt;
    struct {
        struct str htpasswd; /* a file; empty: Basic is not looked at */
    } basic;
    bool revocation;
    struct {             /* tiers of clients, in the store */
        struct str hash; /* its key; empty: nobody is looked up */
        int64_t ttl_ms;
    } tiers_from;
    struct {
        struct str user, tier; /* fields told to upstreams; empty: not told */
    } forward;
    struct {
        uint32_t ipv4_prefix, ipv6_prefix;
    } ip;
};

/* ---- limits ---- */
/* What a decision is without the store; INHERIT: what limits.on_failure says (routes only). */
enum on_failure { ON_FAILURE_LOCAL, ON_FAILURE_OPEN, ON_FAILURE_CLOSED, ON_FAILURE_INHERIT };
enum window_kind { WINDOW_BUCKET, WINDOW_SLIDING, WINDOW_FIXED, WINDOW_STRICT, WINDOW_CALENDAR };
struct window_config {
    struct str name; /* "second", "minute", "hour", "day", "month", or the operator's */
    enum window_kind kind;
    uint64_t limit;    /* requests per period */
    uint64_t burst;    /* bucket: its capacity; else = limit */
    int64_t period_ms; /* calendar: a month, INT64_C(2678400000), by name only */
};
#define CONFIG_MAX_WINDOWS 6
struct window_set {
    struct window_config at[CONFIG_MAX_WINDOWS];
    uint32_t count;
    uint32_t concurrent; /* requests at a time; 0: no such limit */
};
struct tier_config {
    struct str name;
    struct window_set windows;
};
struct limits_config {
    bool enabled;
    struct str default_tier;
    struct str report;   /* name of the window that X-RateLimit-* describe */
    bool reset_is_delta; /* "delta" instead of "epoch" */
    bool dry_run;
    int64_t deadline_ms; /* for the store's decision */
    enum on_failure on_failure;
    bool leases_off; /* no tokens are taken ahead for hot callers */
    uint64_t max_clients;
    bool ietf_headers;
    double retry_jitter;    /* 0..1: Retry-After grows by up to this share */
    struct str_list exempt; /* path patterns */
};

/* ---- cache ---- */
struct negative_ttl {
    int status;
    int64_t ttl_ms;
};
struct cache_config {
    bool enabled;
    uint64_t memory_bytes;
    uint64_t max_object_bytes;
    int64_t default_ttl_ms;
    struct negative_ttl *negative;
    uint32_t negative_count;
    int64_t stale_while_revalidate_ms, stale_if_unreachable_ms, stale_if_error_ms;
    bool store_set_cookie, heuristic, honor_client, normalize_vary, collapse;
    bool store; /* the store is a second level; without a store it means nothing */
    struct str_list warm_urls;
    bool warm_before_ready;
    struct str_list compress; /* names of codings, the best first; empty: off */
    uint64_t compress_min_bytes;
    struct str_list compress_types; /* "text/html", or the type and a star */
};

/* ---- upstreams ---- */
enum balance_kind { BALANCE_ROUND_ROBIN, BALANCE_LEAST_REQUEST, BALANCE_P2C_EWMA, BALANCE_HASH };
enum hash_kind { HASH_CLIENT, HASH_PATH, HASH_HEADER, HASH_COOKIE };
enum protocol_kind { PROTOCOL_AUTO, PROTOCOL_HTTP1, PROTOCOL_HTTP2 };
struct target_config {
    struct str url; /* as written: scheme://host[:port], or unix:/path */
    bool is_https;
    struct str host; /* name or address, brackets kept for IPv6 */
    uint16_t port;
    uint32_t weight;      /* >= 1 */
    bool is_backup;       /* only while the others cannot */
    struct str unix_path; /* of unix:/path; else empty. host is "localhost" then */
};
#define CONFIG_MAX_STATUSES 16
/* what a retry may answer to, as bits */
enum {
    RETRY_CONNECT = 1,
    RETRY_RESET = 2,
    RETRY_TIMEOUT = 4,
    RETRY_500 = 8,
    RETRY_502 = 16,
    RETRY_503 = 32,
    RETRY_504 = 64
};
enum health_type { HEALTH_HTTP, HEALTH_TCP };
enum host_kind { HOST_CLIENT, HOST_TARGET, HOST_NAME };
struct upstream_config {
    struct str name;
    uint32_t index; /* in config->upstreams */
    struct target_config *targets;
    uint32_t target_count;
    bool required;
    enum host_kind host;
    struct str host_name; /* for HOST_NAME */
    enum balance_kind balance;
    enum hash_kind hash_on;
    struct str hash_name; /* of the header or cookie */
    enum protocol_kind protocol;
    int64_t connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms, timeout_ms;
    uint32_t keepalive;
    struct {
        uint32_t attempts;
        uint32_t on; /* RETRY_* */
        double budget;
        size_t buffer_bytes;
    } retry;
    struct {
        uint32_t failures; /* 0: off */
        int64_t eject_for_ms;
        double max;
        struct {
            uint32_t hosts;  /* with enough answers, at least; 0: off */
            uint32_t volume; /* answers that are enough */
            double factor;   /* of the standard deviation */
            int64_t interval_ms;
        } success_rate;
    } ejection;
    struct {
        uint32_t failures; /* 0: off */
        double ratio;
        int64_t window_ms, open_for_ms;
        uint32_t half_open; /* trials at a time, and successes that close it */
    } breaker;
    struct {
        bool is_on;            /* absent: no active checks */
        uint32_t type;         /* enum health_type */
        struct str path, body; /* body: text that the answer's must contain; empty: any */
        int64_t interval_ms, timeout_ms;
        uint32_t healthy, unhealthy; /* in a row */
        int expect[CONFIG_MAX_STATUSES];
        uint32_t expect_count;
    } health;
    uint32_t max_requests; /* concurrent, each target, whole process */
    uint32_t queue;        /* that may wait for one, whole process */
    int64_t queue_timeout_ms;
    int64_t slow_start_ms, dns_ttl_ms; /* slow_start 0: none */
    bool hedge, adaptive;
    struct {
        struct str ca; /* empty: the system's */
        bool verify;
        struct str cert, key; /* our own; empty: none */
    } tls;
};

/* ---- routes ---- */
enum auth_kind { AUTH_NONE, AUTH_IDENTITY, AUTH_OFF };
enum limit_scope { SCOPE_CLIENT, SCOPE_IP, SCOPE_ROUTE, SCOPE_HEADER };
enum per_user_kind { PER_USER_ABSENT, PER_USER_TRUE, PER_USER_FALSE };
enum key_query { KEY_QUERY_ALL, KEY_QUERY_SORTED, KEY_QUERY_NONE, KEY_QUERY_LISTED };
/* Removed and replaced first, then added. */
struct header_edits {
    struct pair_list set, add;
    struct str_list remove;
};
struct split_config {
    struct str name; /* empty */
    const struct upstream_config *upstream;
    uint32_t weight;
};
enum sticky_kind { STICKY_NONE, STICKY_CLIENT, STICKY_COOKIE };
/* A service that is asked: "http://host:port/path". */
struct service_config {
    struct str url, host, path; /* url empty: none */
    uint16_t port;
    bool is_https;
};
/* What of a body stands in the key. */
enum key_body { KEY_BODY_NONE, KEY_BODY_SHA256 };
enum key_image { KEY_IMAGE_NONE, KEY_IMAGE_PHASH };
struct route_config {
    struct str name;
    uint32_t index; /* in config->routes */
    struct {
        struct str path, host;
        struct str_list methods; /* empty: all but CONNECT and TRACE */
    } match;
    const struct upstream_config *upstream; /* NULL: split, respond or redirect */
    struct split_config *split;             /* instead of it: one of these, by weight */
    uint32_t split_count, split_weight;     /* the weights' sum */
    enum sticky_kind sticky;
    struct str strip_prefix, rewrite;
    int64_t timeout_ms;      /* -1: the upstream's */
    uint64_t max_body_bytes; /* the server's where the route says nothing */
    enum auth_kind auth;
    struct {
        struct window_set windows; /* count 0: no limit of its own */
        uint32_t cost;             /* at least 1 */
        uint32_t cost_per_kib;     /* of both bodies, on top */
        struct str cost_header;    /* of the upstream's answer: the whole cost; empty: none */
        bool exempt, dry_run;
        enum on_failure on_failure;
        enum limit_scope scope;
        struct str scope_header; /* for SCOPE_HEADER */
    } limit;
    struct {
        bool is_on;     /* a route without `cache` is never cached */
        int64_t ttl_ms; /* -1: not set; CACHE_TTL_<ROUTE> wins over the file */
        bool ttl_override;
        enum per_user_kind per_user;
        bool count_hits;
        bool early_refresh;
        int64_t stale_while_revalidate_ms; /* -1: the cache's */
        struct str_list tags;
        bool soft_invalidation;
        enum key_query query;
        struct str_list query_names, query_ignore, key_headers; /* query_ignore are globs */
        struct str_list methods;                                /* whose answers are kept */
        bool gets, posts;                                       /* the same: GET and HEAD; POST */
        enum key_body body;      /* what of a POST's body makes an entry */
        uint64_t key_body_bytes; /* a longer body goes past the cache */
        enum key_image image;    /* what of a picture in it does */
        uint32_t distance;       /* bits of 256 in which a near picture's hash may differ */
        bool image_store;        /* its answers are in the store of images, too */
        bool shadow;             /* tells what it would have answered, and asks */
        double price_per_call;   /* of the upstream, for the money saved; 0: none */
        struct str_list bypass_headers, bypass_cookies; /* requests with these go past it */
    } cache;
    struct str_list invalidates; /* path globs */
    bool revokes_token;          /* a successful answer here ends the caller's token */
    bool websocket;              /* a client may ask for one */
    bool is_critical;            /* never shed for others' sake */
    struct {
        struct header_edits request, response;
    } headers;
    struct {
        struct str_list origins; /* empty: off; globs */
        struct str_list methods, headers;
        bool credentials;
        int64_t max_age_ms;
    } cors;
    struct cidr_list allow, deny; /* allow empty: everyone */
    struct {
        struct service_config service;
        int64_t timeout_ms;
        struct str_list forward; /* empty: Authorization and Cookie */
    } authorize;
    struct {
        const struct upstream_config *upstream; /* NULL: off */
        double share;
    } mirror;
    bool edits_requests, edits_answers; /* headers (or cors) has something to do */
    struct {
        bool is_on;
        uint32_t status;
        struct str body; /* a template, as redirect.to */
        struct pair_list headers;
    } respond;
    struct {
        struct str to; /* empty: off */
        uint32_t status;
    } redirect;
    struct {
        bool is_on;
        uint32_t kind; /* enum job_kind */
        struct str prefix;
    } job;
};

struct log_config {
    struct str access, errors; /* "stdout", "stderr", "off" or a path */
    bool json;
    uint32_t level;         /* enum log_level */
    struct str_list fields; /* of the access log; none: all */
    int64_t slow_ms;        /* requests that take longer are counted and named */
};

/* ---- resources ---- */
struct resources_config {
    int64_t interval_ms;
    struct service_config cadvisor, prometheus; /* url empty: none */
    double cpu_core_month, memory_gib_month;    /* prices */
};

/* ---- trace ---- */
struct trace_config {
    struct service_config otlp; /* url empty: nothing is traced */
    double sample;
    struct str service; /* the resource's service.name */
};

/* ---- health: from where on GET /system/health is worried ---- */
struct health_config {
    struct {
        int64_t warning_ms, critical_ms;
    } loop_lag, memory_full_in;
    struct {
        double warning, critical; /* shares, 0 to 1 */
    } utilization, open_fds, memory;
    struct {
        uint32_t warning, critical;
    } store_queue, tasks_pending;
};

struct config {
    struct server_config server;
    struct admin_config admin;
    struct store_config store;
    struct identity_config identity;
    struct tier_config *tiers;
    uint32_t tier_count;
    struct limits_config limits;
    struct cache_config cache;
    struct upstream_config *upstreams;
    uint32_t upstream_count;
    struct route_config *routes;
    uint32_t route_count;
    struct log_config log;
    struct resources_config resources;
    struct trace_config trace;
    struct health_config health;
    struct str source; /* the file's name, or "built-in defaults" */
};

/* As settings are read: "250ms", "1h", or a number of seconds; a moment as in RFC 3339. */
bool duration_parse(struct str text, int64_t *ms) MUST_USE;
bool time_parse(struct str text, int64_t *seconds) MUST_USE;

const struct tier_config *config_tier(const struct config *config, struct str name); /* or NULL */

/* ---- faults ---- */
/* A list of `FILE:LINE:COL: path.to.field: what is wrong, what was expected`. */
struct faults;
struct faults *faults_new(void) MUST_USE;
void faults_free(struct faults **faults);
uint32_t faults_count(const struct faults *faults);
struct str faults_text(const struct faults *faults, uint32_t index); /* borrowed */
/* For rooms that judge their own settings (x_check): the place is found from the field's path,
 * e.g. "server.tls.main.cert" or "routes[3].match.path"; without one the line is FILE: path: text.
 */
void faults_add(struct faults *faults, const struct config *config, const char *path,
                const char *format, ...) PRINTF_LIKE(4, 5);

/* ---- loading ---- */
/* Reads, substitutes ${NAME}, merges the environment, checks. file NULL: the built-in defaults with
 * the environment. NULL with at least one fault, or a snapshot with one reference. env: NAME=VALUE
 * strings ended by NULL (main passes environ; tests their own). Any thread; blocking (reads the
 * file). */
struct config *config_load(const char *file, char *const *env, struct faults *faults) MUST_USE;
struct config *config_hold(struct config *config); /* one more reference */
void config_release(struct config **config);       /* one less; clears the pointer; NULL is fine */

/* The JSON Schema (2020-12) of the configuration, from the field tables. */
bool config_write_schema(struct buf *out) MUST_USE;
/* The effective configuration as JSON with comments that mark values from the environment (`// from
 * NAME`); secrets as "***". as_json: no comments, for GET /system/config, marks under
 * "from_environment": {path: NAME}. */
bool config_write(const struct config *config, struct buf *out, bool as_json) MUST_USE;

#endif
