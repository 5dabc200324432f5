/* metrics_priv.h - what the files of metrics/ know of each other.
 *
 * A *series* is a metric with label values, once a process; a *cell* is its value in
 * one sheet. Series hang in a list of their metric, cells in a list of their series;
 * both lists only grow, and what is linked never changes, so that a scrape walks them
 * while workers write and register. */
#ifndef GATEWAY_METRICS_PRIV_H
#define GATEWAY_METRICS_PRIV_H
#include "metrics/metrics.h"

#include <stdatomic.h>

enum { METRICS_MAX_BOUNDS = 20 };

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* As text too: a scrape formats no floating point for it, and 0.1 stays "0.1". */
struct bound {
    uint64_t ns;
    const char *text;
};

struct metric {
    const char *name, *help;
    enum metric_kind kind;
    size_t label_count, bound_count;
    const char *labels[METRICS_MAX_LABELS];
    uint64_t per_unit;          /* a counter of parts: so many make one; 0: whole ones */
    const struct bound *bounds; /* ascending; the bucket above the last is implied */
};
extern const struct metric metric_table[M_COUNT];

/* The newest trace of one bucket. The writer makes `version` odd, writes, and makes it even again:
 * a reader that meets an odd one, or another one than before, has read nothing. */
struct exemplar_slot {
    _Atomic uint64_t version, trace_high, trace_low, ns;
    _Atomic int64_t wall_us; /* 0: none yet */
};
struct cell {
    _Atomic uint64_t value; /* counter: it; gauge: bits of a double; histogram: sum, nanoseconds */
    const struct metric *metric;
    struct cell *next;                         /* the same series in another sheet */
    _Atomic(struct exemplar_slot *) exemplars; /* one a bucket; NULL: none was ever given */
    _Atomic uint64_t bucket[]; /* histogram: each alone, not cumulative; one more than bounds */
};

struct series {
    struct str key;         /* per label one byte of length, then the value */
    struct str labels;      /* as exposed, escaped, without braces */
    atomic_bool is_visible; /* the overflow series: once it was used */
    _Atomic(struct cell *) cells;
    _Atomic(struct series *) next;
};

struct collector {
    metrics_fn *fn;
    void *arg;
    struct collector *next;
};

struct metrics {
    struct series *first[M_COUNT]; /* the series without labels, or the overflow series */
    atomic_flag is_registering;    /* guards what follows, up to sheets */
    struct series *last[M_COUNT];
    struct arena *arena;
    struct map *by_key[M_COUNT];
    size_t series_count;

    _Atomic(struct sheet *) sheets;
    _Atomic(struct collector *) collectors;
    atomic_flag is_writing;
    struct sheet *collected; /* the collectors' sheet: written by who writes the exposition */
};

/* Spins with sched_yield(): held for microseconds while a series is made, and by one
 * scrape against another. */
void metrics_lock(atomic_flag *flag);
void metrics_unlock(atomic_flag *flag);

/* Of a cell whose buckets have exemplars from now on; NULL: no memory. The sheet's thread. */
struct exemplar_slot *sheet_exemplars(struct sheet *sheet, struct cell *cell);

/* A gauge's value, from its bits. */
double metrics_double(uint64_t bits);

/* The value of label `index` in a series' key. */
struct str series_label(const struct series *series, size_t index);

#endif
