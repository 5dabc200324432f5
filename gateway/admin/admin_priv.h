/* admin_priv.h - what the files of admin/ know of each other.
 *
 * A *call* is one question on its way through: found in the table, judged, answered by its
 * endpoint's function. JSON is written by hand into the question's text: integers stay
 * exact, and nothing is built twice. */
#ifndef GATEWAY_ADMIN_PRIV_H
#define GATEWAY_ADMIN_PRIV_H
#include "admin/admin.h"

enum { ADMIN_MAX_PARAMETERS = 16, ADMIN_MAX_SEGMENTS = 2 };

/* growth.c: resident memory, sampled over a window. */
enum { GROWTH_SAMPLES = 60, GROWTH_EVERY_US = 15 * 1000000 };
struct growth {
    uint64_t rss[GROWTH_SAMPLES];
    uint32_t count, next;
    struct deadline due;
};

/* advice.c: evictions lately, sampled with the memory. */
enum { EVICTION_SAMPLES = 20 };
struct evictions {
    struct eviction_sample {
        uint64_t at_us, count;
    } samples[EVICTION_SAMPLES];
    uint32_t count, next;
};

/* resources.c, scrape.c: what we and our neighbours use. */
struct scrape; /* one that is asked for its containers' metrics */
struct resources {
    struct deadline due;
    uint64_t interval_us, sampled_us, oom_kills_before;
    uint64_t told_us; /* of which sample the metrics tell */
    bool has_reading;
    struct advise_reading reading;
    struct advise_series series;
    struct advise_trouble trouble;
    struct scrape *scrape; /* NULL: nobody is asked */
};

/* What was warmed lately, and who waits for it. */
struct warm_entry {
    struct admin *admin;
    struct warming *warming; /* held; NULL: never used */
    bool is_heard;           /* it is over, and nothing more comes */
    bool gates_ready;
};
struct warmings {
    struct warm_entry entries[16];
    uint64_t last_id;
    struct warm_wait *waiting;
    bool has_been_ready;
};

/* Who follows GET /system/events. */
struct streams {
    struct stream *first;
    uint32_t count;
    struct deadline heartbeat;
    uint64_t dropped; /* who did not read */
};

struct admin {
    struct request_shared *shared;
    struct loop *loop;
    struct admin_hooks hooks;
    struct sheet *sheet;               /* the main thread's own */
    const struct request_rules *rules; /* of the call under way, for the collector; else NULL */
    uint64_t hard_purged, soft_purged; /* entries, by calls of this room */
    struct growth growth;
    struct evictions evictions;
    struct resources resources;
    struct streams streams;
    struct warmings warm;
};

struct parameter {
    struct str name, value; /* decoded; arena */
};

struct call {
    struct admin *admin;
    struct request_system *question;
    const struct config *config;
    const struct endpoint *endpoint; /* NULL: no such path */
    struct parameter parameters[ADMIN_MAX_PARAMETERS];
    uint32_t parameter_count;
    struct parameter members[ADMIN_MAX_PARAMETERS]; /* of the body: its text, numbers as written */
    uint32_t member_count;
    struct str segment, second_segment; /* of the path, where the table says {…}; decoded */
    struct str detail;                  /* for the audit line: what came of it; arena */
    bool is_pending;                    /* call_conclude() comes later */
};

/* ---- admin.c ---- */
/* Of an endpoint that set is_pending and has its answer now. Main thread; the call is gone after
 * it.
 */
void call_conclude(struct call *call);
/* work(arg) off the main thread, then done(arg) on it; both at once where that is not possible. */
void admin_work(struct admin *admin, void (*work)(void *arg), void (*done)(void *arg), void *arg);

/* ---- routes.c ---- */
typedef void endpoint_fn(struct call *call);
enum endpoint_access {
    ACCESS_OPEN,
    ACCESS_METRICS /* open when admin.metrics_public */,
    ACCESS_TOKEN
};
struct endpoint {
    const char *method, *path; /* a path holds "{…}" where one segment is free */
    endpoint_fn *fn;
    enum endpoint_access access;
    const char *op;         /* label of admin_requests_total */
    const char *parameters; /* the names that may come, with a space between; NULL: not looked at */
    const char *members;    /* the same for the body, a flat JSON object; NULL: it takes none */
};
/* Sets call->endpoint and call->segment (still encoded). The row of another method when none fits:
 * routes_fits_method() says so. */
void routes_find_endpoint(struct call *call);
bool routes_read_segment(struct call *call); /* decodes it. False: answered (400) */
bool routes_fits_method(const struct call *call);
struct str routes_allowed(const struct call *call); /* "DELETE, GET, HEAD"; arena */

/* ---- auth.c ---- */
/* May the caller have this? False: answered (401, 403, 404, 429). */
bool auth_check(struct call *call);

/* ---- parameters.c ---- */
/* Reads the query for the endpoint. False: answered (400, with the parameter's name). */
bool parameters_read(struct call *call);
struct str parameter(const struct call *call, const char *name); /* ptr NULL: absent */
/* These leave *value when the parameter is absent. False: answered. */
bool parameter_number(struct call *call, const char *name, uint64_t least, uint64_t most,
                      uint64_t *value);
bool parameter_flag(struct call *call, const char *name, bool *value);
bool parameter_host(struct call *call, struct str *value);
/* A text that must not be empty when it is there; in the form that paths have inside: what no URL
 * may hold is
 * %-encoded. */
bool parameter_path(struct call *call, const char *name, struct str *value);
/* %-decodes into the arena; ptr NULL: malformed, a control byte, or out of memory. '+' stays
 * itself. */
struct str percent_decoded(struct str text, struct arena *arena);

/* ---- body.c ---- */
/* Reads the body's members for the endpoint. False: answered (400). */
bool members_read(struct call *call);
struct str body_member(const struct call *call, const char *name); /* ptr NULL: absent */

/* ---- admin.c: answers ---- */
/* What question->text holds is the answer. */
void answer_text(struct call *call, int status, struct str content_type);
void answer_json(struct call *call, int status);
/* A problem: the request room makes the body. */
void answer_refusal(struct call *call, int status, const char *format, ...) PRINTF_LIKE(3, 4);

/* ---- health.c ---- */
enum severity { SEVERITY_NORMAL, SEVERITY_WARNING, SEVERITY_CRITICAL };
const char *severity_name(enum severity severity);
enum severity worse(enum severity a, enum severity b);
/* Targets that may be tried, of all. */
uint32_t healthy_targets(const struct admin *admin, const struct upstream_config *upstream);

/* ---- upstreams.c ---- */
const char *breaker_name(enum breaker_state state);

/* ---- process.c ---- */
struct process_memory {
    uint64_t rss_bytes, vms_bytes;
    uint64_t
        limit_bytes; /* what this process may have: the cgroup's, else the machine's; 0: unknown */
};
void process_memory_read(struct process_memory *memory);
uint64_t process_open_fds(void);
/* Of the C library's heaps: what is handed out, what is kept for later, and what was mapped for one
 * large piece each. Walks them: not often. */
struct allocator_memory {
    uint64_t used_bytes, free_bytes, mapped_bytes;
};
struct allocator_memory process_allocator_read(void);

/* ---- checks.c: "checks": {…} of a part, and the worst of them ---- */
enum severity checks_backpressure(struct call *call, struct buf *out, double utilization,
                                  double lag_s);
enum severity checks_memory(struct call *call, struct buf *out,
                            const struct process_memory *memory);

/* ---- growth.c ---- */
bool growth_start(struct admin *admin) MUST_USE; /* samples from now on; false: out of memory */
void growth_stop(struct admin *admin);
void growth_add(struct growth *growth, uint64_t rss_bytes);
/* Bytes a second, by least squares over the window; 0 with fewer than four samples. */
double growth_rate(const struct growth *growth);

/* ---- cache.c ---- */
/* What was asked of the cache; misses: with those that the upstream confirmed (revalidated). */
struct asked {
    uint64_t hits, misses, stale, bypass, revalidated;
};
struct asked asked_of(struct metrics *metrics, const struct str *route); /* route NULL: of all */

/* ---- advice.c ---- */
void advice_sample(struct admin *admin);
void advice_collect(struct admin *admin, const struct config *config, struct sheet *sheet);

/* ---- resources.c ---- */
void resources_end(struct admin *admin);
void resources_collect(struct admin *admin, const struct config *config, struct sheet *sheet);

/* ---- scrape.c ---- */
/* NULL: out of memory, or neither a cAdvisor nor a Prometheus is configured. */
struct scrape *scrape_new(struct loop *loop, const struct resources_config *config);
void scrape_free(struct scrape **scrape);
bool scrape_is_of(const struct scrape *scrape, const struct resources_config *config);
void scrape_start(struct scrape *scrape); /* one that is under way is given up */
const struct advise_neighbours *scrape_neighbours(const struct scrape *scrape);
struct str scrape_url(const struct scrape *scrape);
const char *scrape_why(const struct scrape *scrape); /* the last one failed; NULL: it did not */

/* ---- events.c ---- */
void streams_end(struct admin *admin);

/* ---- warm.c ---- */
void warm_configured(struct admin *admin, const struct config *config);
bool warm_holds_ready(const struct admin *admin); /* cache.warm.before_ready */
void warm_end(struct admin *admin);

/* ---- page/, made into C by page/embed.sh: the document in order ---- */
extern const unsigned char page_head[], page_style[], page_body[], page_script[], page_tail[];
extern const size_t page_head_len, page_style_len, page_body_len, page_script_len, page_tail_len;

/* ---- metrics.c ---- */
metrics_fn metrics_collect;

/* ---- endpoints ---- */
endpoint_fn get_health, get_ready, get_system_health, get_metrics;
endpoint_fn get_cache_stats, get_cache_entries, get_cache_entry, get_cache_advice;
endpoint_fn delete_cache, delete_cache_user, delete_cache_endpoint, post_cache_invalidate;
endpoint_fn get_rate_limit_status, get_rate_limit_top, delete_rate_limit_client,
    put_rate_limit_client, get_usage;
endpoint_fn get_events, get_cache_warm, post_cache_warm;
endpoint_fn post_tokens_revoke;
endpoint_fn get_upstreams, get_resources, put_upstream_target, get_explain, get_config,
    post_config_reload;
endpoint_fn get_dashboard;

#endif
