/* write.c - all sheets added up, as Prometheus reads them (text exposition 0.0.4).
 *
 * Runs beside the writers: lists only grow, values are read relaxed. Two scrapes at
 * once take turns, because collectors write into a sheet of ours. Counters and the
 * sums of histograms are integers inside and are printed exactly; a metric without
 * series still shows its HELP and TYPE, so that what exists can be seen before it
 * happens.
 *
 * Any thread. */
#include "metrics/metrics_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One series over all sheets. */
struct total {
    uint64_t value; /* counter, or nanoseconds of a histogram */
    double gauge;
    uint64_t bucket[METRICS_MAX_BOUNDS + 1];
};

void metrics_collector(struct metrics *metrics, metrics_fn *fn, void *arg)
{
    struct collector *collector = malloc(sizeof(*collector));

    CHECK(collector != NULL); /* at start */
    collector->fn = fn;
    collector->arg = arg;
    collector->next = atomic_load(&metrics->collectors);
    while (!atomic_compare_exchange_weak(&metrics->collectors, &collector->next, collector))
        continue;
}

static struct total add_up(const struct metric *metric, const struct series *series)
{
    const struct cell *cell = atomic_load_explicit(&series->cells, memory_order_acquire);
    struct total total = {0};

    for (; cell != NULL; cell = cell->next) {
        uint64_t value = atomic_load_explicit(&cell->value, memory_order_relaxed);

        if (metric->kind == METRIC_GAUGE)
            total.gauge += metrics_double(value);
        else
            total.value += value;
        for (size_t i = 0; metric->kind == METRIC_HISTOGRAM && i <= metric->bound_count; i++)
            total.bucket[i] += atomic_load_explicit(&cell->bucket[i], memory_order_relaxed);
    }
    return total;
}

/* ---- numbers ----------------------------------------------------------- */

/* The shortest of two forms that reads back as the same value. */
static void add_double(struct buf *out, double value)
{
    char text[40];

    if (isnan(value)) {
        buf_add_str(out, STR("NaN"));
        return;
    }
    if (isinf(value)) {
        buf_add_str(out, value > 0 ? STR("+Inf") : STR("-Inf"));
        return;
    }
    (void)snprintf(text, sizeof(text), "%.15g", value);
    if (strtod(text, NULL) != value)
        (void)snprintf(text, sizeof(text), "%.17g", value);
    buf_add_str(out, str_of(text));
}

static void add_seconds(struct buf *out, uint64_t ns)
{
    uint64_t rest = ns % 1000000000;
    int digits = 9;

    buf_add_u64(out, ns / 1000000000);
    if (rest == 0)
        return;
    for (; rest % 10 == 0; rest /= 10)
        digits--;
    buf_addf(out, ".%0*" PRIu64, digits, rest);
}

/* ---- lines ------------------------------------------------------------- */

static void begin_line(struct buf *out, const struct metric *metric, const char *suffix,
                       const struct series *series)
{
    buf_add_str(out, str_of(metric->name));
    buf_add_str(out, str_of(suffix));
    if (series->labels.len > 0) {
        buf_add_char(out, '{');
        buf_add_str(out, series->labels);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ' ');
}

/* Has the slot something newer than *newest? Then that is it. */
static void take_newer(struct exemplar_slot *slot, uint64_t *ns, struct exemplar *newest)
{
    uint64_t version = atomic_load_explicit(&slot->version, memory_order_acquire);
    struct exemplar seen = {atomic_load_explicit(&slot->trace_high, memory_order_acquire),
                            atomic_load_explicit(&slot->trace_low, memory_order_acquire),
                            atomic_load_explicit(&slot->wall_us, memory_order_acquire)};
    uint64_t seen_ns = atomic_load_explicit(&slot->ns, memory_order_acquire);

    if (version % 2 == 0 && seen.wall_us > newest->wall_us &&
        atomic_load_explicit(&slot->version, memory_order_relaxed) == version) {
        *newest = seen;
        *ns = seen_ns;
    }
}

/* ` # {trace_id="…"} 0.0123 1700000000.5` behind a bucket's count (OpenMetrics 1.0). */
static void write_exemplar(struct buf *out, const struct series *series, size_t bucket)
{
    const struct cell *cell = atomic_load_explicit(&series->cells, memory_order_acquire);
    struct exemplar newest = {0, 0, 0};
    uint64_t ns = 0;

    for (; cell != NULL; cell = cell->next) {
        struct exemplar_slot *slots = atomic_load_explicit(&cell->exemplars, memory_order_acquire);

        if (slots != NULL)
            take_newer(&slots[bucket], &ns, &newest);
    }
    if (newest.wall_us == 0)
        return;
    buf_addf(out, " # {trace_id=\"%016" PRIx64 "%016" PRIx64 "\"} ", newest.trace_high,
             newest.trace_low);
    add_seconds(out, ns);
    buf_addf(out, " %" PRId64 ".%06" PRId64, newest.wall_us / 1000000, newest.wall_us % 1000000);
}

static void write_bucket(struct buf *out, const struct metric *metric, const struct series *series,
                         const char *bound, uint64_t count)
{
    buf_add_str(out, str_of(metric->name));
    buf_add_str(out, STR("_bucket{"));
    buf_add_str(out, series->labels);
    if (series->labels.len > 0)
        buf_add_char(out, ',');
    buf_add_str(out, STR("le=\""));
    buf_add_str(out, str_of(bound));
    buf_add_str(out, STR("\"} "));
    buf_add_u64(out, count);
}

static void write_histogram(struct buf *out, const struct metric *metric,
                            const struct series *series, const struct total *total, bool is_open)
{
    uint64_t count = 0;

    for (size_t i = 0; i <= metric->bound_count; i++) {
        const char *bound = i < metric->bound_count ? metric->bounds[i].text : "+Inf";

        count += total->bucket[i];
        write_bucket(out, metric, series, bound, count);
        if (is_open)
            write_exemplar(out, series, i);
        buf_add_char(out, '\n');
    }
    begin_line(out, metric, "_sum", series);
    add_seconds(out, total->value);
    buf_add_char(out, '\n');
    begin_line(out, metric, "_count", series);
    buf_add_u64(out, count);
    buf_add_char(out, '\n');
}

static void write_series(struct buf *out, const struct metric *metric, const struct series *series,
                         bool is_open)
{
    struct total total = add_up(metric, series);

    if (metric->kind == METRIC_HISTOGRAM) {
        write_histogram(out, metric, series, &total, is_open);
        return;
    }
    begin_line(out, metric, "", series);
    if (metric->kind == METRIC_GAUGE)
        add_double(out, total.gauge);
    else if (metric->per_unit > 0)
        add_double(out, (double)total.value / (double)metric->per_unit);
    else
        buf_add_u64(out, total.value);
    buf_add_char(out, '\n');
}

static bool is_visible(const struct metric *metric, const struct series *series,
                       const struct series *first)
{
    return series != first || metric->label_count == 0 ||
           atomic_load_explicit(&series->is_visible, memory_order_relaxed);
}

/* OpenMetrics names a counter's family without the end that its series have. */
static struct str family_name(const struct metric *metric, bool is_open)
{
    static const struct str end = {"_total", 6};
    struct str name = str_of(metric->name);

    if (is_open && metric->kind == METRIC_COUNTER)
        name.len -= end.len; /* it is there: tests/vtc/admin-openmetrics.vtc */
    return name;
}

static void write_metric(const struct metrics *metrics, enum metric_id id, bool is_open,
                         struct buf *out)
{
    static const char *const kinds[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    const struct metric *metric = &metric_table[id];
    const struct series *series = metrics->first[id];
    struct str name = family_name(metric, is_open);

    buf_addf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", STR_ARG(name), metric->help, STR_ARG(name),
             kinds[metric->kind]);
    for (; series != NULL && !out->is_broken;
         series = atomic_load_explicit(&series->next, memory_order_acquire))
        if (is_visible(metric, series, metrics->first[id]))
            write_series(out, metric, series, is_open);
}

static bool write_all(struct metrics *metrics, bool is_open, struct buf *out)
{
    const struct collector *collector;

    metrics_lock(&metrics->is_writing);
    for (collector = atomic_load(&metrics->collectors); collector != NULL;
         collector = collector->next)
        collector->fn(collector->arg, metrics->collected);
    for (int id = 0; id < M_COUNT; id++)
        write_metric(metrics, (enum metric_id)id, is_open, out);
    metrics_unlock(&metrics->is_writing);
    return !out->is_broken;
}

bool metrics_write(struct metrics *metrics, struct buf *out)
{
    return write_all(metrics, false, out);
}

bool metrics_write_open(struct metrics *metrics, struct buf *out)
{
    return write_all(metrics, true, out) && buf_add_str(out, STR("# EOF\n"));
}

static bool label_is(const struct series *series, int label, struct str value)
{
    return label < 0 || str_eq(series_label(series, (size_t)label), value);
}

double metrics_sum2(struct metrics *metrics, enum metric_id id, int label_a, struct str value_a,
                    int label_b, struct str value_b)
{
    const struct metric *metric = &metric_table[id];
    const struct series *series = metrics->first[id];
    double sum = 0;

    CHECK(label_a < (int)metric->label_count && label_b < (int)metric->label_count);
    for (; series != NULL; series = atomic_load_explicit(&series->next, memory_order_acquire)) {
        struct total total;

        if (!label_is(series, label_a, value_a) || !label_is(series, label_b, value_b))
            continue;
        total = add_up(metric, series);
        if (metric->kind == METRIC_COUNTER)
            sum += (double)total.value / (double)(metric->per_unit > 0 ? metric->per_unit : 1);
        sum += total.gauge;
        for (size_t i = 0; i <= metric->bound_count; i++)
            sum += (double)total.bucket[i];
    }
    return sum;
}

double metrics_sum(struct metrics *metrics, enum metric_id id, int label, struct str value)
{
    return metrics_sum2(metrics, id, label, value, -1, STR_NONE);
}
