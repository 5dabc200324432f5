/* resources.c - what this gateway and its neighbours use, against what they are given.
 *
 * One timer samples our cgroup (or process) and asks for our neighbours; the judgement is
 * advise/'s, and the formulas stand in its README. Ordered by how much it matters, then by what
 * it saves. Main thread. */
#include "admin/admin_priv.h"

#include <math.h>
#include <stdlib.h>

#define WASTE_TARGET     0.3
#define STABILITY_TARGET 80.0

/* ---- samples ---- */

static void sample(struct resources *resources, uint64_t now_us)
{
    struct advise_reading reading;
    double elapsed_s = (double)(now_us - resources->sampled_us) / 1e6;
    uint64_t periods;

    advise_read_self(&reading);
    if (!resources->has_reading)
        resources->oom_kills_before = reading.oom_kills; /* of those who were there before us */
    else if (elapsed_s > 0 && reading.is_cgroup == resources->reading.is_cgroup) {
        advise_series_add(&resources->series,
                          (reading.cpu_s - resources->reading.cpu_s) / elapsed_s,
                          (double)reading.memory_bytes);
        periods = reading.periods - resources->reading.periods;
        resources->trouble.throttled_ratio =
            periods > 0
                ? (double)(reading.throttled - resources->reading.throttled) / (double)periods
                : 0;
    }
    resources->trouble.oom_kills = (double)(reading.oom_kills - resources->oom_kills_before);
    resources->reading = reading;
    resources->sampled_us = now_us;
    resources->has_reading = true;
}

static void on_due(void *arg)
{
    struct admin *admin = arg;
    struct resources *resources = &admin->resources;
    uint64_t now_us = loop_now_us(admin->loop);

    sample(resources, now_us);
    if (resources->scrape != NULL)
        scrape_start(resources->scrape);
    /* without memory for the heap the samples end */
    (void)!deadline_set(admin->loop, &resources->due, now_us + resources->interval_us);
}

void admin_measure(struct admin *admin, const struct config *config)
{
    struct resources *resources = &admin->resources;

    if (resources->scrape != NULL && !scrape_is_of(resources->scrape, &config->resources))
        scrape_free(&resources->scrape);
    if (resources->scrape == NULL)
        resources->scrape = scrape_new(admin->loop, &config->resources);
    resources->interval_us = (uint64_t)config->resources.interval_ms * 1000;
    resources->due = (struct deadline){.fn = on_due, .arg = admin, .slot = resources->due.slot};
    (void)!deadline_set(admin->loop, &resources->due, loop_now_us(admin->loop));
}

void resources_end(struct admin *admin)
{
    deadline_clear(admin->loop, &admin->resources.due);
    scrape_free(&admin->resources.scrape);
}

/* ---- the answer ---- */

struct item {
    struct str name;
    const struct advise_series *series;
    const struct advise_given *given;
    const struct advise_trouble *trouble;
    struct advise_size size;
};

static void put(struct buf *out, const char *name, double value, bool is_known)
{
    if (is_known)
        buf_addf(out, "\"%s\":%.12g,", name, value);
    else
        buf_addf(out, "\"%s\":null,", name);
}

static void put_amount(struct buf *out, const char *name, const struct advise_amount *amount,
                       double request, double limit, bool has_samples)
{
    buf_addf(out, "\"%s\":{", name);
    put(out, "p50", amount->p50, has_samples);
    put(out, "p95", amount->p95, has_samples);
    put(out, "peak", amount->peak, has_samples);
    put(out, "request", request, request > 0);
    put(out, "limit", limit, limit > 0);
    put(out, "waste", amount->waste, has_samples && amount->waste >= 0);
    put(out, "recommended_request", amount->request, amount->request > 0);
    put(out, "recommended_limit", amount->limit, amount->limit > 0);
    out->len--; /* the comma */
    buf_add_str(out, STR("},"));
}

static void write_item(struct buf *out, const struct item *item)
{
    const struct advise_given *given = item->given;
    const struct advise_size *size = &item->size;
    bool has_samples = item->series->count > 0;

    buf_add_str(out, STR("{\"name\":"));
    buf_add_json(out, item->name);
    buf_addf(out, ",\"samples\":%u,", item->series->count);
    put_amount(out, "cpu", &size->cpu, given->cpu_request, given->cpu_limit, has_samples);
    put_amount(out, "memory", &size->memory, given->memory_request, given->memory_limit,
               has_samples);
    put(out, "stability_score", size->stability, has_samples);
    buf_addf(out, "\"restarts\":%.0f,\"oom_kills\":%.0f,", item->trouble->restarts,
             item->trouble->oom_kills);
    put(out, "throttled_ratio", item->trouble->throttled_ratio, true);
    put(out, "monthly_saving", size->saving, true);
    buf_addf(out, "\"priority\":\"%s\",\"why\":\"%s\"}", advise_priority_name(size->priority),
             size->why);
}

static int by_priority(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    if (x->size.priority != y->size.priority)
        return x->size.priority > y->size.priority ? -1 : 1;
    return (x->size.saving < y->size.saving) - (x->size.saving > y->size.saving);
}

static void write_neighbours(struct buf *out, const struct item *items, uint32_t count,
                             double saving)
{
    buf_add_str(out, STR(",\"neighbours\":["));
    for (uint32_t i = 0; i < count; i++) {
        saving += items[i].size.saving;
        if (i > 0)
            buf_add_char(out, ',');
        write_item(out, &items[i]);
    }
    buf_addf(out, "],\"monthly_saving\":%.6g", saving);
}

static void write_source(struct buf *out, const struct scrape *scrape)
{
    if (scrape == NULL) {
        buf_add_str(out, STR(",\"source\":null"));
        return;
    }
    buf_add_str(out, STR(",\"source\":{\"url\":"));
    buf_add_json(out, scrape_url(scrape));
    buf_addf(out, ",\"left_out\":%" PRIu64 ",\"why\":", scrape_neighbours(scrape)->left_out);
    if (scrape_why(scrape) != NULL)
        buf_add_json(out, str_of(scrape_why(scrape)));
    else
        buf_add_str(out, STR("null"));
    buf_add_char(out, '}');
}

static struct item judged(struct str name, const struct advise_series *series,
                          const struct advise_given *given, const struct advise_trouble *trouble,
                          const struct advise_prices *prices)
{
    struct item item = {name, series, given, trouble, {.why = ""}};

    advise_size_of(series, given, trouble, prices, &item.size);
    return item;
}

static struct item judged_self(const struct resources *resources,
                               const struct advise_prices *prices)
{
    return judged(STR("gateway"), &resources->series, &resources->reading.given,
                  &resources->trouble, prices);
}

static struct item judged_neighbour(const struct advise_neighbour *neighbour,
                                    const struct advise_prices *prices)
{
    return judged(str_of(neighbour->name), &neighbour->series, &neighbour->given,
                  &neighbour->trouble, prices);
}

void get_resources(struct call *call)
{
    const struct resources *resources = &call->admin->resources;
    const struct resources_config *config = &call->config->resources;
    const struct advise_neighbours *all =
        resources->scrape != NULL ? scrape_neighbours(resources->scrape) : NULL;
    struct advise_prices prices = {config->cpu_core_month, config->memory_gib_month};
    struct item own = judged_self(resources, &prices);
    uint32_t count = all != NULL ? all->count : 0;
    struct item *items = arena_take(call->question->arena, ((size_t)count + 1) * sizeof(*items));
    struct buf *out = &call->question->text;

    if (items == NULL) {
        answer_refusal(call, 503, "There is not enough memory for the answer.");
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        items[i] = judged_neighbour(all->at[i], &prices);
    qsort(items, count, sizeof(*items), by_priority);
    buf_addf(out,
             "{\"interval\":%.6g,\"from\":\"%s\",\"gateway\":", (double)config->interval_ms / 1000,
             resources->reading.is_cgroup ? "cgroup" : "process");
    write_item(out, &own);
    write_neighbours(out, items, count, own.size.saving);
    write_source(out, resources->scrape);
    buf_addf(out,
             ",\"targets\":{\"cpu_waste\":%.6g,\"memory_waste\":%.6g,\"stability_score\":%.6g}}",
             WASTE_TARGET, WASTE_TARGET, STABILITY_TARGET);
    answer_json(call, 200);
}

/* ---- the metrics ---- */

static double or_nan(double value, bool is_known)
{
    return is_known ? value : NAN;
}

static void tell_self(const struct resources *resources, const struct item *own,
                      struct sheet *sheet)
{
    struct str cpu = STR("cpu"), memory = STR("memory");
    bool has_samples = resources->series.count > 0;

    cell_gauge_set(metrics_series(sheet, M_RESOURCE_WASTE, 1, &cpu),
                   or_nan(own->size.cpu.waste, has_samples && own->size.cpu.waste >= 0));
    cell_gauge_set(metrics_series(sheet, M_RESOURCE_WASTE, 1, &memory),
                   or_nan(own->size.memory.waste, has_samples && own->size.memory.waste >= 0));
    cell_gauge_set(metrics_cell(sheet, M_RESOURCE_STABILITY),
                   or_nan(own->size.stability, has_samples));
}

/* Only the numbers of each priority: names of containers come and go, and would make series
 * without end. Samples are sorted to judge them, so once for each sample and no oftener. */
void resources_collect(struct admin *admin, const struct config *config, struct sheet *sheet)
{
    struct resources *resources = &admin->resources;
    const struct advise_neighbours *all =
        resources->scrape != NULL ? scrape_neighbours(resources->scrape) : NULL;
    struct advise_prices prices = {config->resources.cpu_core_month,
                                   config->resources.memory_gib_month};
    uint32_t counts[ADVISE_URGENT + 1] = {0};
    struct item item;
    double saving;

    if (resources->told_us == resources->sampled_us)
        return;
    resources->told_us = resources->sampled_us;
    item = judged_self(resources, &prices);
    tell_self(resources, &item, sheet);
    counts[item.size.priority]++;
    saving = item.size.saving;
    for (uint32_t i = 0; all != NULL && i < all->count; i++) {
        item = judged_neighbour(all->at[i], &prices);
        counts[item.size.priority]++;
        saving += item.size.saving;
    }
    for (uint32_t i = 0; i < COUNT_OF(counts); i++) {
        struct str name = str_of(advise_priority_name((enum advise_priority)i));

        cell_gauge_set(metrics_series(sheet, M_RESOURCE_CONTAINERS, 1, &name), counts[i]);
    }
    cell_gauge_set(metrics_cell(sheet, M_RESOURCE_SAVING), saving);
}
