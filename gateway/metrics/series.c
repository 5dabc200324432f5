/* series.c - which series there are: the registry of the process, and each sheet's own
 * way to its cells.
 *
 * A look-up asks the sheet's map, which its thread alone touches. Only a series new to
 * the sheet goes to the registry, under a lock: there it is found or made, counted
 * against the ceiling, and its labels are written once in the form that scrapes print.
 * For each metric with labels the overflow series exists from the start, in each sheet,
 * so that counting never fails; the registry knows it by its key, so that a caller
 * whose labels all read "other" meets the same one.
 *
 * Threads: a sheet's functions its own thread, the rest any. */
#include "metrics/metrics_priv.h"

#include <sched.h>
#include <stdlib.h>

enum {
    KEY_MOST = METRICS_MAX_LABELS * (METRICS_MAX_LABEL_BYTES + 1),
    LABELS_MOST = 4096, /* every byte escaped, and the names */
    ARENA_BLOCK = 16 * 1024,
    SHEET_MOST = 16 * 1024 * 1024,    /* room for every series to be a histogram */
    REGISTRY_MOST = 64 * 1024 * 1024, /* room for every series to have long labels */
};

struct sheet {
    struct metrics *metrics;
    struct sheet *next;
    struct arena *arena;
    struct map *by_key[M_COUNT];
    struct cell *first[M_COUNT]; /* without labels: the cell; else the overflow series' */
};

void metrics_lock(atomic_flag *flag)
{
    while (atomic_flag_test_and_set_explicit(flag, memory_order_acquire))
        sched_yield();
}

void metrics_unlock(atomic_flag *flag)
{
    atomic_flag_clear_explicit(flag, memory_order_release);
}

/* ---- keys and labels --------------------------------------------------- */

/* Bytes of the UTF-8 character that begins at `p`; 0 when none does (RFC 3629). */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;

    if (len > left || p[0] > 0xF4)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
        (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F))
        return 0; /* too long a form, a surrogate, or past U+10FFFF */
    return len;
}

/* One byte that is not UTF-8 would make Prometheus refuse the whole scrape. */
static size_t copy_as_utf8(char *to, struct str value)
{
    size_t i = 0;

    while (i < value.len) {
        size_t len = utf8_length((const unsigned char *)value.ptr + i, value.len - i);

        if (len == 0)
            to[i++] = '?';
        for (size_t end = i + len; i < end; i++)
            to[i] = value.ptr[i];
    }
    return i;
}

static struct str make_key(char key[KEY_MOST], size_t count, const struct str *values)
{
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        struct str value = values[i];

        if (value.len > METRICS_MAX_LABEL_BYTES)
            value.len = METRICS_MAX_LABEL_BYTES;
        key[len] = (char)(unsigned char)copy_as_utf8(key + len + 1, value);
        len += 1 + value.len;
    }
    return str_at(key, len);
}

struct str series_label(const struct series *series, size_t index)
{
    const char *at = series->key.ptr;

    for (size_t i = 0; i < index; i++)
        at += 1 + (unsigned char)*at;
    return str_at(at + 1, (unsigned char)*at);
}

static void add_label(struct buf *out, const char *name, struct str value)
{
    if (out->len > 0)
        buf_add_char(out, ',');
    buf_add_str(out, str_of(name));
    buf_add_str(out, STR("=\""));
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == '\\' || c == '"' || c == '\n')
            buf_add_char(out, '\\');
        buf_add_char(out, c == '\n' ? 'n' : c);
    }
    buf_add_char(out, '"');
}

static struct str labels_of(struct arena *arena, const struct metric *metric,
                            const struct series *series)
{
    struct buf text = buf_new(LABELS_MOST);
    struct str kept;

    for (size_t i = 0; i < metric->label_count; i++)
        add_label(&text, metric->labels[i], series_label(series, i));
    kept = text.is_broken ? STR_NONE : arena_copy(arena, buf_str(&text));
    buf_free(&text);
    return kept;
}

/* ---- the registry ------------------------------------------------------ */

/* Makes a series without linking it. NULL: no memory. */
static struct series *series_new(struct metrics *metrics, enum metric_id id, struct str key)
{
    struct series *series = arena_zero(metrics->arena, sizeof(*series));

    if (series == NULL)
        return NULL;
    series->key = arena_copy(metrics->arena, key);
    if (series->key.ptr == NULL)
        return NULL;
    series->labels = labels_of(metrics->arena, &metric_table[id], series);
    if (series->labels.ptr == NULL)
        return NULL;
    return map_put(metrics->by_key[id], series->key, series) ? series : NULL;
}

/* Under the lock. NULL: no memory, or too many. */
static struct series *find_or_add(struct metrics *metrics, enum metric_id id, struct str key)
{
    struct series *series = map_get(metrics->by_key[id], key);

    if (series != NULL || metrics->series_count == METRICS_MAX_SERIES)
        return series;
    series = series_new(metrics, id, key);
    if (series == NULL)
        return NULL;
    metrics->series_count++;
    atomic_store_explicit(&metrics->last[id]->next, series, memory_order_release);
    metrics->last[id] = series;
    return series;
}

static bool add_first_series(struct metrics *metrics, enum metric_id id)
{
    struct str other[METRICS_MAX_LABELS] = {STR("other"), STR("other"), STR("other"), STR("other")};
    char key[KEY_MOST];
    struct series *series;

    metrics->by_key[id] = map_new();
    if (metrics->by_key[id] == NULL)
        return false;
    series = series_new(metrics, id, make_key(key, metric_table[id].label_count, other));
    metrics->first[id] = metrics->last[id] = series;
    return series != NULL;
}

struct metrics *metrics_new(void)
{
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    bool is_whole;

    if (metrics == NULL)
        return NULL;
    atomic_flag_clear(&metrics->is_registering);
    atomic_flag_clear(&metrics->is_writing);
    metrics->arena = arena_new(ARENA_BLOCK, REGISTRY_MOST);
    is_whole = metrics->arena != NULL;
    for (int id = 0; id < M_COUNT && is_whole; id++)
        is_whole = add_first_series(metrics, (enum metric_id)id);
    if (is_whole)
        metrics->collected = metrics_sheet(metrics);
    if (metrics->collected == NULL)
        metrics_free(&metrics);
    return metrics;
}

/* ---- sheets ------------------------------------------------------------ */

static void sheet_free(struct sheet *sheet)
{
    for (int id = 0; id < M_COUNT; id++)
        map_free(&sheet->by_key[id]);
    arena_free(&sheet->arena);
    free(sheet);
}

void metrics_free(struct metrics **metrics)
{
    struct metrics *dying = *metrics;
    struct sheet *sheet;
    struct collector *collector;

    if (dying == NULL)
        return;
    *metrics = NULL;
    for (sheet = atomic_load(&dying->sheets); sheet != NULL;) {
        struct sheet *next = sheet->next;

        sheet_free(sheet);
        sheet = next;
    }
    for (collector = atomic_load(&dying->collectors); collector != NULL;) {
        struct collector *next = collector->next;

        free(collector);
        collector = next;
    }
    for (int id = 0; id < M_COUNT; id++)
        map_free(&dying->by_key[id]);
    arena_free(&dying->arena);
    free(dying);
}

static struct cell *cell_new(struct sheet *sheet, const struct metric *metric)
{
    size_t buckets = metric->kind == METRIC_HISTOGRAM ? metric->bound_count + 1 : 0;
    struct cell *cell =
        arena_zero(sheet->arena, sizeof(struct cell) + buckets * sizeof(cell->bucket[0]));

    if (cell != NULL)
        cell->metric = metric;
    return cell;
}

struct exemplar_slot *sheet_exemplars(struct sheet *sheet, struct cell *cell)
{
    size_t buckets = cell->metric->bound_count + 1;
    struct exemplar_slot *slots = arena_zero(sheet->arena, buckets * sizeof(struct exemplar_slot));

    atomic_store_explicit(&cell->exemplars, slots, memory_order_release);
    return slots;
}

/* From here scrapes see it. */
static void publish_cell(struct series *series, struct cell *cell)
{
    cell->next = atomic_load_explicit(&series->cells, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&series->cells, &cell->next, cell,
                                                  memory_order_release, memory_order_relaxed))
        continue;
}

static bool fill_sheet(struct sheet *sheet)
{
    sheet->arena = arena_new(ARENA_BLOCK, SHEET_MOST);
    if (sheet->arena == NULL)
        return false;
    for (int id = 0; id < M_COUNT; id++) {
        sheet->by_key[id] = map_new();
        sheet->first[id] = cell_new(sheet, &metric_table[id]);
        if (sheet->by_key[id] == NULL || sheet->first[id] == NULL)
            return false;
    }
    return true;
}

struct sheet *metrics_sheet(struct metrics *metrics)
{
    struct sheet *sheet = calloc(1, sizeof(*sheet));

    if (sheet == NULL)
        return NULL;
    sheet->metrics = metrics;
    if (!fill_sheet(sheet)) {
        sheet_free(sheet);
        return NULL;
    }
    for (int id = 0; id < M_COUNT; id++)
        publish_cell(metrics->first[id], sheet->first[id]);
    sheet->next = atomic_load(&metrics->sheets);
    while (!atomic_compare_exchange_weak(&metrics->sheets, &sheet->next, sheet))
        continue;
    return sheet;
}

static struct cell *overflow_cell(struct sheet *sheet, enum metric_id id)
{
    atomic_store_explicit(&sheet->metrics->first[id]->is_visible, true, memory_order_relaxed);
    return sheet->first[id];
}

/* The cell of a series that this sheet has not met yet; NULL: no memory, or too many. */
static struct cell *add_cell(struct sheet *sheet, enum metric_id id, struct str key)
{
    struct metrics *metrics = sheet->metrics;
    struct series *series;
    struct cell *cell;

    metrics_lock(&metrics->is_registering);
    series = find_or_add(metrics, id, key);
    metrics_unlock(&metrics->is_registering);
    if (series == NULL)
        return NULL;
    if (series == metrics->first[id])
        return overflow_cell(sheet, id);
    cell = cell_new(sheet, &metric_table[id]);
    if (cell == NULL || !map_put(sheet->by_key[id], series->key, cell))
        return NULL;
    publish_cell(series, cell);
    return cell;
}

struct cell *metrics_series(struct sheet *sheet, enum metric_id id, size_t count,
                            const struct str *values)
{
    char bytes[KEY_MOST];
    struct str key;
    struct cell *cell;

    CHECK(count == metric_table[id].label_count);
    if (count == 0)
        return sheet->first[id];
    key = make_key(bytes, count, values);
    cell = map_get(sheet->by_key[id], key);
    if (cell == NULL)
        cell = add_cell(sheet, id, key);
    if (cell != NULL)
        return cell;
    cell_add(sheet->first[M_EVICTED_SERIES], 1);
    return overflow_cell(sheet, id);
}

struct cell *metrics_cell(struct sheet *sheet, enum metric_id id)
{
    CHECK(metric_table[id].label_count == 0);
    return sheet->first[id];
}
