/* sheet.c - counting: what a worker does to its own cells.
 *
 * Each cell has one writing thread, so no locked instruction is needed: a relaxed load
 * and a relaxed store, which compile to plain ones, and a scrape may read a value a
 * moment old. Of a histogram only one bucket and the sum are written; its count is the
 * sum of its buckets, so that the two can never disagree.
 *
 * Thread: the sheet's own; cell_count() any. */
#include "metrics/metrics_priv.h"

static void add_to(_Atomic uint64_t *value, uint64_t n)
{
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

double metrics_double(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

void cell_add(struct cell *cell, uint64_t n)
{
    CHECK(cell->metric->kind == METRIC_COUNTER);
    add_to(&cell->value, n);
}

void cell_gauge_set(struct cell *cell, double value)
{
    CHECK(cell->metric->kind == METRIC_GAUGE);
    atomic_store_explicit(&cell->value, bits_of(value), memory_order_relaxed);
}

void cell_gauge_add(struct cell *cell, int64_t n)
{
    double now = metrics_double(atomic_load_explicit(&cell->value, memory_order_relaxed));

    cell_gauge_set(cell, now + (double)n);
}

/* Nothing lasts longer than thirty years; below 0, and NaN, is a clock's fault and counts as 0. */
static uint64_t to_ns(double seconds)
{
    if (!(seconds > 0.0))
        return 0;
    return seconds < 1e9 ? (uint64_t)(seconds * 1e9 + 0.5) : UINT64_C(1000000000000000000);
}

/* The first bound that is not below: bounds are inclusive ("le"). */
static size_t bucket_of(const struct metric *metric, uint64_t ns)
{
    size_t low = 0, high = metric->bound_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (metric->bounds[middle].ns < ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t observe(struct cell *cell, uint64_t ns)
{
    size_t bucket = bucket_of(cell->metric, ns);

    CHECK(cell->metric->kind == METRIC_HISTOGRAM);
    add_to(&cell->bucket[bucket], 1);
    add_to(&cell->value, ns);
    return bucket;
}

void cell_observe(struct cell *cell, double seconds)
{
    (void)observe(cell, to_ns(seconds));
}

void cell_observe_traced(struct sheet *sheet, struct cell *cell, double seconds,
                         const struct exemplar *exemplar)
{
    uint64_t ns = to_ns(seconds), version;
    size_t bucket = observe(cell, ns);
    struct exemplar_slot *slot = atomic_load_explicit(&cell->exemplars, memory_order_relaxed);

    if (slot == NULL)
        slot = sheet_exemplars(sheet, cell);
    if (slot == NULL)
        return;
    slot += bucket;
    version = atomic_load_explicit(&slot->version, memory_order_relaxed);
    atomic_store_explicit(&slot->version, version + 1, memory_order_relaxed);
    atomic_store_explicit(&slot->trace_high, exemplar->trace_high, memory_order_release);
    atomic_store_explicit(&slot->trace_low, exemplar->trace_low, memory_order_release);
    atomic_store_explicit(&slot->ns, ns, memory_order_release);
    atomic_store_explicit(&slot->wall_us, exemplar->wall_us, memory_order_release);
    atomic_store_explicit(&slot->version, version + 2, memory_order_release);
}

uint64_t cell_count(const struct cell *cell)
{
    uint64_t count = 0;

    CHECK(cell->metric->kind != METRIC_GAUGE);
    if (cell->metric->kind == METRIC_COUNTER)
        return atomic_load_explicit(&cell->value, memory_order_relaxed);
    for (size_t i = 0; i <= cell->metric->bound_count; i++)
        count += atomic_load_explicit(&cell->bucket[i], memory_order_relaxed);
    return count;
}
