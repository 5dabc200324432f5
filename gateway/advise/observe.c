/* observe.c - what workers see of their routes, and how it is put together.
 *
 * Every count has one writer, the worker that owns it: a relaxed load and store, with no locked
 * instruction and no line of memory that another worker writes. Readers add up what they find;
 * a number that is one behind does no harm. The newest refetches are kept one by one, because
 * the estimate needs pairs; times and uses go into bins half a power of two wide. */
#include "advise/advise.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef _Atomic uint64_t count;

struct advise_cells {
    _Atomic(struct advise_cells *) next;
    count reuse[ADVISE_BINS], age[ADVISE_BINS];
    count reuse_ms, age_ms;
    count refetches, changes, proven_stale, fetch_us, body_bytes, lifetime_s;
    _Atomic uint32_t pairs[ADVISE_PAIRS]; /* milliseconds * 2, and 1 where it changed; 0: none */
    size_t route_len;
    char route[];
};
struct advise_observer {
    struct advise_observer *next;
    _Atomic(struct advise_cells *) cells;
};
struct advise {
    _Atomic(struct advise_observer *) observers;
};

/* ---- building ---- */

struct advise *advise_new(void)
{
    return calloc(1, sizeof(struct advise));
}

static void observer_free(struct advise_observer *observer)
{
    struct advise_cells *cells = atomic_load(&observer->cells);

    while (cells != NULL) {
        struct advise_cells *next = atomic_load(&cells->next);

        free(cells);
        cells = next;
    }
    free(observer);
}

void advise_free(struct advise **advise)
{
    struct advise *old = *advise;

    *advise = NULL;
    if (old == NULL)
        return;
    for (struct advise_observer *next, *one = atomic_load(&old->observers); one != NULL;
         one = next) {
        next = one->next;
        observer_free(one);
    }
    free(old);
}

struct advise_observer *advise_join(struct advise *advise)
{
    struct advise_observer *observer = calloc(1, sizeof(*observer));

    if (observer == NULL)
        return NULL;
    observer->next = atomic_load(&advise->observers);
    while (!atomic_compare_exchange_weak(&advise->observers, &observer->next, observer))
        continue;
    return observer;
}

static struct advise_cells *find(struct advise_observer *observer, struct str route, uint32_t *seen)
{
    struct advise_cells *cells = atomic_load_explicit(&observer->cells, memory_order_acquire);

    for (*seen = 0; cells != NULL; ++*seen) {
        if (str_eq(str_at(cells->route, cells->route_len), route))
            return cells;
        cells = atomic_load_explicit(&cells->next, memory_order_acquire);
    }
    return NULL;
}

struct advise_cells *advise_cells_of(struct advise_observer *observer, struct str route)
{
    uint32_t seen;
    struct advise_cells *cells = find(observer, route, &seen);

    if (cells != NULL || seen >= ADVISE_ROUTES)
        return cells;
    cells = calloc(1, sizeof(*cells) + route.len);
    if (cells == NULL)
        return NULL;
    cells->route_len = route.len;
    if (route.len > 0)
        memcpy(cells->route, route.ptr, route.len);
    atomic_store_explicit(&cells->next,
                          atomic_load_explicit(&observer->cells, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&observer->cells, cells, memory_order_release);
    return cells;
}

/* ---- writing: the observer's own worker ---- */

static void add(count *to, uint64_t n)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static uint64_t value_of(const count *of)
{
    return atomic_load_explicit(of, memory_order_relaxed);
}

/* Two bins for each power of two. */
static uint32_t bin_of(uint64_t ms)
{
    uint32_t power, bin;

    if (ms < 2)
        return 0;
    power = 63 - (uint32_t)__builtin_clzll(ms);
    bin = 2 * power + (uint32_t)((ms >> (power - 1)) & 1);
    return bin < ADVISE_BINS ? bin : ADVISE_BINS - 1;
}

static double bin_end_s(uint32_t bin)
{
    double start_ms = ldexp(1, (int)(bin / 2));

    return (bin % 2 == 1 ? start_ms * 2 : start_ms * 1.5) / 1000;
}

void advise_saw_reuse(struct advise_cells *cells, uint64_t interval_us)
{
    if (cells == NULL)
        return;
    add(&cells->reuse[bin_of(interval_us / 1000)], 1);
    add(&cells->reuse_ms, interval_us / 1000);
}

void advise_saw_hit(struct advise_cells *cells, uint64_t age_us)
{
    if (cells == NULL)
        return;
    add(&cells->age[bin_of(age_us / 1000)], 1);
    add(&cells->age_ms, age_us / 1000);
}

void advise_saw_refetch(struct advise_cells *cells, const struct advise_refetch *refetch)
{
    uint64_t ms = refetch->interval_us / 1000, at;

    if (cells == NULL || ms == 0) /* twice in a millisecond tells nothing of change */
        return;
    if (ms > UINT32_MAX / 2)
        ms = UINT32_MAX / 2;
    at = value_of(&cells->refetches) % ADVISE_PAIRS;
    atomic_store_explicit(&cells->pairs[at], (uint32_t)(ms * 2) | (refetch->is_changed ? 1 : 0),
                          memory_order_relaxed);
    add(&cells->refetches, 1);
    add(&cells->fetch_us, refetch->fetch_us);
    add(&cells->body_bytes, refetch->body_bytes);
    add(&cells->lifetime_s, refetch->lifetime_s > 0 ? (uint64_t)refetch->lifetime_s : 0);
    if (refetch->is_changed)
        add(&cells->changes, 1);
    if (refetch->is_changed && refetch->was_served)
        add(&cells->proven_stale, 1);
}

/* ---- reading ---- */

static void read_bins(const count *from, const count *sum_ms, struct advise_histogram *to)
{
    for (uint32_t i = 0; i < ADVISE_BINS; i++) {
        to->counts[i] += value_of(&from[i]);
        to->count += value_of(&from[i]);
    }
    to->sum_s += (double)value_of(sum_ms) / 1000;
}

static void read_pairs(const struct advise_cells *cells, struct advise_pair *to, uint32_t *at)
{
    for (uint32_t i = 0; i < ADVISE_PAIRS; i++) {
        uint32_t packed = atomic_load_explicit(&cells->pairs[i], memory_order_relaxed);

        if (packed > 0)
            to[(*at)++] = (struct advise_pair){(double)(packed >> 1) / 1000, (packed & 1) != 0};
    }
}

static void read_cells(const struct advise_cells *cells, struct advise_seen *seen)
{
    read_bins(cells->reuse, &cells->reuse_ms, &seen->reuse);
    read_bins(cells->age, &cells->age_ms, &seen->age);
    seen->refetches += value_of(&cells->refetches);
    seen->changes += value_of(&cells->changes);
    seen->proven_stale += value_of(&cells->proven_stale);
    seen->fetch_s += (double)value_of(&cells->fetch_us) / 1e6;
    seen->body_bytes += (double)value_of(&cells->body_bytes);
    seen->lifetime_s += (double)value_of(&cells->lifetime_s);
}

bool advise_read(struct advise *advise, struct str route, struct arena *arena,
                 struct advise_seen *seen)
{
    struct advise_observer *first = atomic_load(&advise->observers), *one;
    struct advise_pair *pairs;
    uint32_t observers = 0, unused;

    *seen = (struct advise_seen){.pairs = NULL};
    for (one = first; one != NULL; one = one->next)
        observers++;
    pairs = arena_take(arena, (size_t)observers * ADVISE_PAIRS * sizeof(*pairs) + 1);
    if (pairs == NULL)
        return false;
    for (one = first; one != NULL; one = one->next) {
        const struct advise_cells *cells = find(one, route, &unused);

        if (cells == NULL)
            continue;
        read_cells(cells, seen);
        read_pairs(cells, pairs, &seen->pair_count);
    }
    seen->pairs = pairs;
    if (seen->refetches > 0) {
        seen->fetch_s /= (double)seen->refetches;
        seen->body_bytes /= (double)seen->refetches;
        seen->lifetime_s /= (double)seen->refetches;
    }
    return true;
}

double advise_quantile_s(const struct advise_histogram *histogram, double quantile)
{
    double wanted = quantile * (double)histogram->count, below = 0;

    for (uint32_t i = 0; i < ADVISE_BINS && histogram->count > 0; i++) {
        below += (double)histogram->counts[i];
        if (below >= wanted && histogram->counts[i] > 0)
            return bin_end_s(i);
    }
    return 0;
}
