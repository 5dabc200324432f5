/* advise.h - what would be better: lifetimes for the cache, and what a process should be given.
 *
 * Nothing here changes anything: operators read the advice and decide. Estimates come with the
 * number of observations that they stand on, and say when they are only a bound. The formulas
 * are in README.md. Pure functions, but for the observers: their writer is one worker, and
 * advise_read() may run on any thread beside it. */
#ifndef GATEWAY_ADVISE_H
#define GATEWAY_ADVISE_H
#include "base/base.h"

/* ---- how often does content change? ---- */
/* One refetch of something stored: the time since the fetch before, and whether the body was
 * another. */
struct advise_pair {
    double interval_s;
    bool is_changed;
};
enum advise_rate_kind {
    ADVISE_RATE_UNKNOWN, /* no refetch was seen */
    ADVISE_RATE_ESTIMATE,
    ADVISE_RATE_AT_LEAST, /* every refetch brought a change: it may change much more often */
    ADVISE_RATE_AT_MOST   /* none did: it may never change */
};
struct advise_rate {
    enum advise_rate_kind kind;
    double per_s; /* changes a second */
    uint32_t count, changed;
};
/* The most likely rate of a Poisson process, of what was seen at the refetches alone (Cho and
 * Garcia-Molina 2003, for uneven intervals). At the two ends, where no rate is the most likely,
 * half an observation of the other kind is added. */
struct advise_rate advise_rate_of(const struct advise_pair *pairs, uint32_t count);
/* Of the hits in a lifetime of ttl_s, the share that shows what has changed since. */
double advise_stale_share(double changes_per_s, double ttl_s);
/* The lifetime at which that share is `share` (0 < share < 1); HUGE_VAL where nothing changes. */
double advise_ttl_for_stale_share(double changes_per_s, double share);
/* Of the lookups of a key asked for requests_per_s times, those that a lifetime of ttl_s makes
 * hits. */
double advise_hit_ratio(double requests_per_s, double ttl_s);

/* ---- observers: what workers see, a fixed piece of memory for each route ---- */
struct advise;          /* all of a process */
struct advise_observer; /* one worker's */
struct advise_cells;    /* one route's, as that worker sees it */
enum {
    ADVISE_PAIRS = 256,  /* the newest refetches that are kept, of a route and worker */
    ADVISE_ROUTES = 4096 /* each worker; later names are not observed */
};
struct advise *advise_new(void) MUST_USE;
void advise_free(struct advise **advise); /* with its observers, once their workers have ended */
struct advise_observer *advise_join(struct advise *advise) MUST_USE; /* NULL: out of memory */
/* NULL: too many routes, or out of memory. The functions below take NULL, and see nothing. */
struct advise_cells *advise_cells_of(struct advise_observer *observer, struct str route);
/* A stored answer was looked up again, that long after the last time. */
void advise_saw_reuse(struct advise_cells *cells, uint64_t interval_us);
void advise_saw_hit(struct advise_cells *cells, uint64_t age_us);
struct advise_refetch {
    uint64_t interval_us; /* since the fetch before */
    uint64_t fetch_us;    /* how long this one took to its head */
    uint64_t body_bytes;
    int64_t lifetime_s; /* of what was stored before */
    bool is_changed;
    bool was_served; /* what is replaced was given to somebody after it had expired */
};
void advise_saw_refetch(struct advise_cells *cells, const struct advise_refetch *refetch);

enum { ADVISE_BINS = 56 }; /* half powers of two, from 1 ms on */
struct advise_histogram {
    uint64_t counts[ADVISE_BINS];
    uint64_t count;
    double sum_s;
};
/* The upper end of the bin that holds the quantile (0..1); 0 of none. */
double advise_quantile_s(const struct advise_histogram *histogram, double quantile);
/* One route, all workers together. */
struct advise_seen {
    struct advise_histogram reuse, age;
    const struct advise_pair *pairs; /* arena; the newest of each worker */
    uint32_t pair_count;
    uint64_t refetches, changes; /* since the start */
    uint64_t proven_stale;       /* answers known to have been old: served while a refresh found
                                    another body */
    double fetch_s, body_bytes, lifetime_s; /* means over the refetches */
};
/* False: out of memory. A route that nobody has seen is all zeros. */
bool advise_read(struct advise *advise, struct str route, struct arena *arena,
                 struct advise_seen *seen) MUST_USE;

/* ---- a lifetime for a route ---- */
enum { ADVISE_LEAST_TTL_S = 1, ADVISE_MOST_TTL_S = 7 * 86400, ADVISE_LEAST_REFETCHES = 20 };
enum advise_confidence {
    ADVISE_NONE, /* fewer than 20 refetches */
    ADVISE_LOW,  /* fewer than 5 of one kind: the rate is hardly more than a bound */
    ADVISE_GOOD
};
enum advise_action {
    ADVISE_WAIT, /* nothing can be said yet */
    ADVISE_KEEP, /* within a fifth of what is best */
    ADVISE_RAISE,
    ADVISE_LOWER,
    ADVISE_PROBE,    /* it changes more often than we look: a bound alone is known */
    ADVISE_NOT_WORTH /* even the best lifetime makes few hits */
};
struct advise_question {
    const struct advise_seen *seen;
    double tolerated; /* the share of hits that may be stale, 0..1, both excluded */
    double ttl_s;     /* now; 0: unknown */
    uint64_t lookups, hits;
};
struct advise_ttl {
    struct advise_rate rate;
    enum advise_confidence confidence;
    enum advise_action action;
    double ttl_s;             /* recommended, whole seconds; 0 with ADVISE_WAIT */
    double stale_ttl_s;       /* what staleness alone would allow */
    double useful_ttl_s;      /* longer gains next to nothing; HUGE_VAL: unknown */
    double requests_per_s;    /* of one key; 0: unknown */
    double hit_now, hit_then; /* predicted ratios; negative: unknown */
    double stale_now, stale_then;
};
void advise_ttl_of(const struct advise_question *question, struct advise_ttl *ttl);
/* One sentence for a person. */
void advise_write_why(const struct advise_question *question, const struct advise_ttl *ttl,
                      struct buf *out);
const char *advise_action_name(enum advise_action action);
const char *advise_confidence_name(enum advise_confidence confidence);

/* ---- how well does the cache do? 0 to 100 ---- */
struct advise_cache {
    double useful_ratio;    /* of lookups: fresh, stale, confirmed by 304, or shared with another */
    double premature_ratio; /* of what was stored: evicted while fresh and in use */
    double stale_ratio;     /* of lookups: answers proven stale */
    double used_ratio;      /* of what was stored: asked for at least once */
};
struct advise_score {
    double hits, evictions, staleness, use; /* of 60, 20, 10 and 10 points */
    double total;
};
struct advise_score advise_score_of(const struct advise_cache *cache);

/* ---- right-sizing: what is used against what is given ---- */
enum {
    ADVISE_SAMPLES = 360,      /* the newest that are kept */
    ADVISE_LEAST_SAMPLES = 12, /* for a recommendation */
    ADVISE_NAME = 200
};
struct advise_series {
    float cpu[ADVISE_SAMPLES], memory[ADVISE_SAMPLES]; /* cores; bytes */
    uint32_t count, next;
};
void advise_series_add(struct advise_series *series, double cpu_cores, double memory_bytes);
/* 0: not given. */
struct advise_given {
    double cpu_request, cpu_limit, memory_request, memory_limit;
};
struct advise_trouble {
    double restarts, oom_kills;
    double throttled_ratio; /* of the scheduler's periods */
};
struct advise_prices { /* a month; any currency */
    double cpu_core, memory_gib;
};
struct advise_amount {
    double p50, p95, peak;
    double request, limit; /* recommended; 0: too few samples */
    double waste;          /* share of what is given that the 95th percentile leaves; negative:
                              nothing is given */
};
enum advise_priority { ADVISE_NOTHING, ADVISE_MINOR, ADVISE_MAJOR, ADVISE_URGENT };
struct advise_size {
    struct advise_amount cpu, memory;
    double stability; /* 0 to 100 */
    double saving;    /* a month; negative: it needs more than it has */
    enum advise_priority priority;
    const char *why; /* static, one sentence */
};
void advise_size_of(const struct advise_series *series, const struct advise_given *given,
                    const struct advise_trouble *trouble, const struct advise_prices *prices,
                    struct advise_size *size);
const char *advise_priority_name(enum advise_priority priority);

/* ---- cgroup.c: what the kernel says of us ---- */
struct advise_reading {
    bool is_cgroup;        /* false: of this process alone, from /proc */
    double cpu_s;          /* used since the start */
    uint64_t memory_bytes; /* without what the kernel can drop at once */
    uint64_t memory_peak;  /* 0: unknown */
    uint64_t periods, throttled, oom_kills;
    struct advise_given given; /* the limits */
};
/* Of the cgroup (version 2) at `folder`; false: there is none. Small files made in memory: reading
 * does not block. */
bool advise_read_cgroup(const char *folder, struct advise_reading *reading) MUST_USE;
void advise_read_process(struct advise_reading *reading);
void advise_read_self(struct advise_reading *reading); /* our cgroup, else our process */
/* The least memory limit of our cgroup and those around it, in bytes; 0: none. */
uint64_t advise_memory_limit(void);

/* ---- exposition.c: Prometheus' text format, as cAdvisor and a federation endpoint write it ----
 */
enum { ADVISE_LINE = 8192, ADVISE_LABELS = 64 };
struct advise_metric {
    struct str name;
    struct {
        struct str name, value; /* escapes left as they are */
    } labels[ADVISE_LABELS];
    uint32_t label_count; /* more are left out */
    double value;
};
struct str advise_label(const struct advise_metric *metric, const char *name); /* or empty */
/* One line. False: a comment, empty, or malformed. */
bool advise_parse_line(struct str line, struct advise_metric *metric) MUST_USE;
/* Bytes in pieces: complete lines go to `fn`; longer ones than ADVISE_LINE are left out. */
struct advise_lines {
    char line[ADVISE_LINE];
    size_t len;
    bool is_long;
};
typedef void advise_metric_fn(void *arg, const struct advise_metric *metric);
void advise_lines_feed(struct advise_lines *lines, struct str bytes, advise_metric_fn *fn,
                       void *arg);

/* ---- neighbours.c: containers around us, scrape by scrape ---- */
enum { ADVISE_NEIGHBOURS = 128 };
struct advise_neighbour {
    char name[ADVISE_NAME];
    struct advise_series series;
    struct advise_given given;
    struct advise_trouble trouble;
    struct { /* of the scrape under way, and of the one before */
        double cpu_s, memory_bytes, quota, period, shares, periods, throttled, started, oom_kills;
    } now, before;
    bool is_seen, has_before;
    uint32_t missed;
};
struct advise_neighbours {
    struct advise_neighbour *at[ADVISE_NEIGHBOURS]; /* owned */
    uint32_t count;
    uint64_t scraped_us;
    uint64_t left_out; /* samples of containers past the ceiling */
};
void advise_neighbours_begin(struct advise_neighbours *neighbours);
advise_metric_fn advise_neighbours_take; /* arg: the neighbours */
/* The scrape is whole: rates since the one before; who was not seen ten times is forgotten. */
void advise_neighbours_end(struct advise_neighbours *neighbours, uint64_t now_us);
void advise_neighbours_free(struct advise_neighbours *neighbours); /* its content */

#endif
