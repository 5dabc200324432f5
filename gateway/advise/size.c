/* size.c - what a container should be given, from what it uses.
 *
 * Requests follow the 95th percentile with some room; limits follow the peak, and memory's
 * generously, because too little CPU is slow but too little memory is death. What was never seen
 * cannot be planned for: a window without the busy hour gives too little. Pure; any thread. */
#include "advise/advise.h"

#include <math.h>
#include <stdlib.h>

#define CPU_REQUEST_ROOM    1.15 /* over the 95th percentile */
#define CPU_LIMIT_ROOM      1.5  /* over the peak */
#define MEMORY_REQUEST_ROOM 1.15
#define MEMORY_LIMIT_ROOM   1.3
#define CPU_STEP            0.01
#define MEMORY_STEP         1048576.0
#define WASTE_TARGET        0.3
#define FULL                0.9
#define THROTTLED_WORST     0.25
#define RESTARTS_WORST      3.0
#define GIB                 1073741824.0

void advise_series_add(struct advise_series *series, double cpu_cores, double memory_bytes)
{
    series->cpu[series->next] = (float)fmin(1e6, fmax(0, cpu_cores));
    series->memory[series->next] = (float)fmin(1e18, fmax(0, memory_bytes));
    series->next = (series->next + 1) % ADVISE_SAMPLES;
    if (series->count < ADVISE_SAMPLES)
        series->count++;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static double quantile(const float *sorted, uint32_t count, double share)
{
    return (double)sorted[(uint32_t)ceil(share * count) - 1];
}

static void measure(const float *samples, uint32_t count, struct advise_amount *amount)
{
    float sorted[ADVISE_SAMPLES];

    if (count == 0)
        return;
    memcpy(sorted, samples, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), by_value);
    amount->p50 = quantile(sorted, count, 0.5);
    amount->p95 = quantile(sorted, count, 0.95);
    amount->peak = (double)sorted[count - 1];
}

/* The standard deviation, in means. */
static double variation(const float *samples, uint32_t count)
{
    double mean = 0, squares = 0;

    for (uint32_t i = 0; i < count; i++)
        mean += (double)samples[i] / count;
    for (uint32_t i = 0; i < count; i++)
        squares += ((double)samples[i] - mean) * ((double)samples[i] - mean) / count;
    return mean > 0 ? sqrt(squares) / mean : 0;
}

static double up_to(double value, double step)
{
    return fmax(step, ceil(value / step) * step);
}

static double waste_of(double p95, double request, double limit)
{
    double given = request > 0 ? request : limit;

    return given > 0 ? fmax(0, 1 - p95 / given) : -1;
}

static double part(double value, double worst)
{
    return fmin(1, fmax(0, value / worst));
}

static double stability_of(const struct advise_series *series, const struct advise_trouble *trouble)
{
    return 100 - 30 * part(trouble->restarts, RESTARTS_WORST) - 20 * part(trouble->oom_kills, 1) -
           25 * part(trouble->throttled_ratio, THROTTLED_WORST) -
           15 * part(variation(series->cpu, series->count), 1) -
           10 * part(variation(series->memory, series->count), 0.5);
}

/* Of what is paid for: requests, or limits where nothing is requested. */
static double saving_of(const struct advise_size *size, const struct advise_given *given,
                        const struct advise_prices *prices)
{
    double cpu = given->cpu_request > 0 ? given->cpu_request : given->cpu_limit;
    double memory = given->memory_request > 0 ? given->memory_request : given->memory_limit;
    double saving = 0;

    if (cpu > 0)
        saving += (cpu - size->cpu.request) * prices->cpu_core;
    if (memory > 0)
        saving += (memory - size->memory.request) / GIB * prices->memory_gib;
    return saving;
}

static void judge(const struct advise_given *given, const struct advise_trouble *trouble,
                  struct advise_size *size)
{
    size->priority = ADVISE_URGENT;
    if (trouble->oom_kills > 0)
        size->why = "It was killed for want of memory: raise the memory limit, or find the leak.";
    else if (given->memory_limit > 0 && size->memory.p95 > FULL * given->memory_limit)
        size->why = "Its memory is over 90 % of the limit: it will be killed next.";
    else if (trouble->throttled_ratio > THROTTLED_WORST)
        size->why = "It waits for CPU in more than a quarter of the periods: raise the CPU limit.";
    else if (trouble->restarts >= RESTARTS_WORST)
        size->why = "It restarts again and again.";
    else if (size->cpu.waste > WASTE_TARGET || size->memory.waste > WASTE_TARGET) {
        size->priority = ADVISE_MAJOR;
        size->why = "More than 30 % of what it is given is never used: lower the requests.";
    } else if (size->cpu.waste < 0 || size->memory.waste < 0) {
        size->priority = ADVISE_MINOR;
        size->why = "It has no request and no limit of CPU or memory: give it some.";
    } else {
        size->priority = ADVISE_NOTHING;
        size->why = "What it is given fits what it uses.";
    }
}

void advise_size_of(const struct advise_series *series, const struct advise_given *given,
                    const struct advise_trouble *trouble, const struct advise_prices *prices,
                    struct advise_size *size)
{
    *size = (struct advise_size){.why = "Too few samples were taken yet."};
    measure(series->cpu, series->count, &size->cpu);
    measure(series->memory, series->count, &size->memory);
    size->stability = stability_of(series, trouble);
    size->cpu.waste = waste_of(size->cpu.p95, given->cpu_request, given->cpu_limit);
    size->memory.waste = waste_of(size->memory.p95, given->memory_request, given->memory_limit);
    if (series->count < ADVISE_LEAST_SAMPLES)
        return;
    size->cpu.request = up_to(size->cpu.p95 * CPU_REQUEST_ROOM, CPU_STEP);
    size->cpu.limit = up_to(fmax(size->cpu.peak * CPU_LIMIT_ROOM, size->cpu.request), CPU_STEP);
    size->memory.request = up_to(size->memory.p95 * MEMORY_REQUEST_ROOM, MEMORY_STEP);
    size->memory.limit =
        up_to(fmax(size->memory.peak * MEMORY_LIMIT_ROOM, size->memory.request), MEMORY_STEP);
    size->saving = saving_of(size, given, prices);
    judge(given, trouble, size);
}

const char *advise_priority_name(enum advise_priority priority)
{
    static const char *const names[] = {[ADVISE_NOTHING] = "none",
                                        [ADVISE_MINOR] = "low",
                                        [ADVISE_MAJOR] = "medium",
                                        [ADVISE_URGENT] = "high"};

    return names[priority];
}
