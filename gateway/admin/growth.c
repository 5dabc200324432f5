/* growth.c - does the process grow? The slope of its resident memory over a window.
 *
 * A sample every 15 seconds, the last quarter of an hour of them: a straight line through
 * them by least squares is not moved by one request that was large. A cache that fills grows
 * too; a leak is growth that does not end. Main thread. */
#include "admin/admin_priv.h"

enum { LEAST_SAMPLES = 4 };

void growth_add(struct growth *growth, uint64_t rss_bytes)
{
    growth->rss[growth->next] = rss_bytes;
    growth->next = (growth->next + 1) % GROWTH_SAMPLES;
    if (growth->count < GROWTH_SAMPLES)
        growth->count++;
}

double growth_rate(const struct growth *growth)
{
    double n = growth->count, sum_x = n * (n - 1) / 2, sum_xx = (n - 1) * n * (2 * n - 1) / 6;
    double sum_y = 0, sum_xy = 0;

    if (growth->count < LEAST_SAMPLES)
        return 0;
    for (uint32_t i = 0; i < growth->count; i++) { /* from the oldest on */
        uint32_t at = (growth->next + GROWTH_SAMPLES - growth->count + i) % GROWTH_SAMPLES;

        sum_y += (double)growth->rss[at];
        sum_xy += i * (double)growth->rss[at];
    }
    return (n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x * sum_x) /
           ((double)GROWTH_EVERY_US / 1e6);
}

/* Here and not at a scrape, because it walks the heaps. */
static void sample_allocator(struct admin *admin)
{
    static const struct str used = {"used", 4}, free = {"free", 4}, mapped = {"mapped", 6};
    struct allocator_memory memory = process_allocator_read();

    cell_gauge_set(metrics_series(admin->sheet, M_MEMORY_ALLOCATOR, 1, &used),
                   (double)memory.used_bytes);
    cell_gauge_set(metrics_series(admin->sheet, M_MEMORY_ALLOCATOR, 1, &free),
                   (double)memory.free_bytes);
    cell_gauge_set(metrics_series(admin->sheet, M_MEMORY_ALLOCATOR, 1, &mapped),
                   (double)memory.mapped_bytes);
}

static void sample(void *arg)
{
    struct admin *admin = arg;
    struct process_memory memory;

    process_memory_read(&memory);
    growth_add(&admin->growth, memory.rss_bytes);
    sample_allocator(admin);
    advice_sample(admin);
    /* without memory for the heap the samples end, and the rate stays what it was */
    (void)!deadline_set(admin->loop, &admin->growth.due,
                        loop_now_us(admin->loop) + GROWTH_EVERY_US);
}

bool growth_start(struct admin *admin)
{
    admin->growth.due = (struct deadline){.fn = sample, .arg = admin};
    return deadline_set(admin->loop, &admin->growth.due, loop_now_us(admin->loop));
}

void growth_stop(struct admin *admin)
{
    deadline_clear(admin->loop, &admin->growth.due);
}
