/* outlier.c - a target that fails more often than the others is left out for a while.
 *
 * One that answers every other request with 500 never fails often enough in a row. So each
 * interval the shares of good answers are compared: a target is an outlier when its share lies
 * more than so many standard deviations below the mean of all, and a twentieth at least, for
 * where all are nearly alike the smallest difference is many deviations. Only targets with
 * enough answers count, and below some number of them nothing is said: among n targets even
 * one that always fails lies sqrt(n - 1) deviations below the mean. (Envoy has the same rule
 * and the same defaults.) The end, and how many may be out, are as for every ejection.
 *
 * Counting costs requests nothing: tries and failures are counted anyway.
 *
 * Thread: the main thread's loop. */
#include "upstream/upstream_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define LEAST_DISTANCE 0.05

struct judge {
    struct judge *next;
    struct upstream_keeper *keeper;
    const struct upstream_config *upstream;
    struct deadline due;
};

static double mean_of(const double *rates, uint32_t count)
{
    double sum = 0;

    for (uint32_t i = 0; i < count; i++)
        sum += rates[i];
    return sum / (double)count;
}

double outlier_least(const double *rates, uint32_t count, const struct upstream_config *upstream)
{
    double mean, squares = 0;

    if (count < 2 || count < upstream->ejection.success_rate.hosts)
        return -1;
    mean = mean_of(rates, count);
    for (uint32_t i = 0; i < count; i++)
        squares += (rates[i] - mean) * (rates[i] - mean);
    return fmin(mean - LEAST_DISTANCE,
                mean - upstream->ejection.success_rate.factor * sqrt(squares / (double)count));
}

/* ---- what was counted ---------------------------------------------------- */

static uint64_t tries_of(const struct target *target)
{
    uint64_t begun = atomic_load_explicit(&target->requests, memory_order_relaxed);
    uint64_t in_flight = atomic_load_explicit(&target->in_flight, memory_order_relaxed);

    return begun > in_flight ? begun - in_flight : 0;
}

/* Since the last time. False: too little to say. */
static bool take_rate(struct target *target, uint32_t volume, double *rate)
{
    uint64_t failures = atomic_load_explicit(&target->failures, memory_order_relaxed);
    uint64_t all = tries_of(target), tries = 0, failed;

    if (all > target->judged_tries)
        tries = all - target->judged_tries;
    failed = failures - target->judged_failures;
    target->judged_tries = all;
    target->judged_failures = failures;
    if (tries < volume) {
        atomic_store_explicit(&target->success_ppm, 0, memory_order_relaxed);
        return false;
    }
    *rate = failed >= tries ? 0 : 1 - (double)failed / (double)tries;
    atomic_store_explicit(&target->success_ppm, (uint32_t)(*rate * 1e6) + 1, memory_order_relaxed);
    return true;
}

static void judge(struct upstreams *upstreams, const struct upstream_config *upstream,
                  const struct members *members, double *rates, uint64_t now_us)
{
    double *all = rates + members->count, least;
    uint32_t count = 0;
    char why[96];

    for (uint32_t i = 0; i < members->count; i++) {
        rates[i] = 2; /* not known: above every least */
        if (take_rate(members->targets[i], upstream->ejection.success_rate.volume, &rates[i]))
            all[count++] = rates[i];
    }
    least = outlier_least(all, count, upstream);
    for (uint32_t i = 0; i < members->count; i++) {
        if (!(rates[i] < least))
            continue;
        snprintf(why, sizeof(why), "%.1f %% good answers, where all have %.1f %%", 100 * rates[i],
                 100 * mean_of(all, count));
        eject_outlier(upstreams, upstream, members, members->targets[i], now_us, why);
    }
}

bool outlier_judge(struct upstreams *upstreams, const struct upstream_config *upstream,
                   uint64_t now_us)
{
    struct members members;
    double *rates;

    if (!registry_resolve(upstreams, upstream, &members))
        return false;
    rates = calloc(members.count > 0 ? members.count : 1, 2 * sizeof(double));
    if (rates != NULL)
        judge(upstreams, upstream, &members, rates, now_us);
    free(rates);
    members_clear(&members);
    return rates != NULL;
}

/* ---- when ---------------------------------------------------------------- */

static bool plan(struct judge *judge)
{
    struct loop *loop = judge->keeper->loop;

    return deadline_set(loop, &judge->due,
                        loop_now_us(loop) +
                            (uint64_t)judge->upstream->ejection.success_rate.interval_ms * 1000);
}

static void on_due(void *arg)
{
    struct judge *judge = arg;

    CHECK(plan(judge)); /* into the place that it just left */
    /* without memory nobody is judged this time */
    (void)!outlier_judge(judge->keeper->upstreams, judge->upstream,
                         loop_now_us(judge->keeper->loop));
}

static bool add(struct upstream_keeper *keeper, const struct upstream_config *upstream)
{
    struct judge *judge = calloc(1, sizeof(*judge));

    if (judge == NULL)
        return false;
    *judge = (struct judge){.next = keeper->judges, .keeper = keeper, .upstream = upstream};
    judge->due = (struct deadline){.fn = on_due, .arg = judge};
    keeper->judges = judge;
    return plan(judge);
}

bool outlier_begin(struct upstream_keeper *keeper)
{
    bool is_whole = true;

    for (uint32_t i = 0; i < keeper->config->upstream_count; i++) {
        const struct upstream_config *upstream = &keeper->config->upstreams[i];

        if (upstream->ejection.failures > 0 && upstream->ejection.success_rate.hosts > 0)
            is_whole = add(keeper, upstream) && is_whole;
    }
    return is_whole;
}

void outlier_end(struct upstream_keeper *keeper)
{
    for (struct judge *judge = keeper->judges, *next; judge != NULL; judge = next) {
        next = judge->next;
        deadline_clear(keeper->loop, &judge->due);
        free(judge);
    }
    keeper->judges = NULL;
}
