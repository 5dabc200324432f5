/* limit_bench.c - nanoseconds a decision in the memory store.
 *
 * Tiers of one, two and three windows; one client, a hundred thousand and a million in random
 * order; allowed and refused; alone and on two threads. The clock is passed in, as a worker reads
 * it once a turn. Time is the thread's own CPU time, taken over chunks of decisions: the median
 * chunk is what a decision costs here, and the best tenth what it costs while nobody else uses the
 * caches. With FIRM=1 in the environment the program fails when the usual tier (two windows, a
 * hundred thousand clients) takes longer than FIRM_NS in the best tenth. */
#include "limit/limit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CHUNK = 20000, CHUNKS = 100, MOST_THREADS = 2, FIRM_NS = 150, FIRM_TRIES = 3 };

#define SECOND                                                                                     \
    {                                                                                              \
        STR("second"), WINDOW_BUCKET, 1000000000, 1000000000, 1000                                 \
    }
#define MINUTE                                                                                     \
    {                                                                                              \
        STR("minute"), WINDOW_SLIDING, 1000000000, 1000000000, 60000                               \
    }
#define HOUR                                                                                       \
    {                                                                                              \
        STR("hour"), WINDOW_SLIDING, 4000000000, 4000000000, 3600000                               \
    }
static const struct window_set one = {.at = {MINUTE}, .count = 1};
static const struct window_set two = {.at = {MINUTE, HOUR}, .count = 2};
static const struct window_set three = {.at = {SECOND, MINUTE, HOUR}, .count = 3};
static const struct window_set shut = {.at = {{STR("minute"), WINDOW_SLIDING, 1, 1, 60000},
                                              {STR("hour"), WINDOW_SLIDING, 1, 1, 3600000}},
                                       .count = 2};

struct work {
    const char *name;
    const struct window_set *tier, *route; /* route: NULL or a second policy */
    uint64_t clients;
    int threads;
    bool is_cold; /* no hint */
};

struct run {
    struct limiter *limiter;
    const struct work *work;
    uint64_t state, next, admitted;
    struct limit_time now;
    double ns[CHUNKS];
};

static double cpu_ns(void)
{
    struct timespec at;

    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at) == 0);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

static struct hash128 key_of(uint64_t number)
{
    return (struct hash128){number * UINT64_C(0x9e3779b97f4a7c15), number};
}

static void decide(struct run *run, uint64_t number)
{
    struct hash128 key = key_of(number);
    struct limit_policy policies[] = {{run->work->tier, key, key},
                                      {run->work->route, {key.lo ^ 77, key.hi}, key}};
    struct limit_state state;

    run->now.mono_us += 1;
    limit_take(run->limiter, policies, run->work->route != NULL ? 2 : 1, 1, run->now, &state);
    run->admitted += state.allowed;
}

static void *run_chunks(void *arg)
{
    struct run *run = arg;

    for (int chunk = 0; chunk < CHUNKS; chunk++) {
        double begin = cpu_ns();

        for (int i = 0; i < CHUNK; i++) {
            uint64_t number = run->next;

            run->state = run->state * UINT64_C(6364136223846793005) + 1442695040888963407U;
            run->next = (run->state >> 33) % run->work->clients;
            if (!run->work->is_cold)
                limit_hint(run->limiter, key_of(run->next));
            decide(run, number);
        }
        run->ns[chunk] = (cpu_ns() - begin) / CHUNK;
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The best tenth's border, of the first thread. */
static double measure(const struct work *work)
{
    static const struct hash_key seed = {{1, 2}};
    struct limit_time now = {clock_mono_us(), clock_wall_us()};
    struct limiter *limiter = limiter_new(2000000, &seed);
    struct run runs[MOST_THREADS];
    pthread_t ids[MOST_THREADS];
    uint64_t admitted = 0;

    CHECK(limiter != NULL);
    runs[0] = (struct run){.limiter = limiter, .work = work, .now = now};
    for (uint64_t i = 0; i < work->clients; i++) /* all are there */
        decide(&runs[0], i);
    for (int i = 0; i < work->threads; i++) {
        runs[i] = (struct run){
            .limiter = limiter, .work = work, .state = (uint64_t)i + 1, .now = runs[0].now};
        CHECK(pthread_create(&ids[i], NULL, run_chunks, &runs[i]) == 0);
    }
    for (int i = 0; i < work->threads; i++) {
        pthread_join(ids[i], NULL);
        admitted += runs[i].admitted;
    }
    qsort(runs[0].ns, CHUNKS, sizeof(runs[0].ns[0]), by_size);
    printf("%-32s %8" PRIu64 " clients %d thread%s %6.1f ns  %6.1f in the best tenth  %6.2f M/s "
           "of a core  %5.1f %% admitted\n",
           work->name, work->clients, work->threads, work->threads > 1 ? "s" : " ",
           runs[0].ns[CHUNKS / 2], runs[0].ns[CHUNKS / 10], 1000 / runs[0].ns[CHUNKS / 2],
           100.0 * (double)admitted / ((double)CHUNK * CHUNKS * work->threads));
    fflush(stdout);
    limiter_free(&limiter);
    return runs[0].ns[CHUNKS / 10];
}

int main(void)
{
    static const struct work works[] = {
        {"limit: two windows", &two, NULL, 100000, 1, false}, /* the one that is held to FIRM_NS */
        {"limit: two windows, no hint", &two, NULL, 100000, 1, true},
        {"limit: one window", &one, NULL, 1, 1, false},
        {"limit: one window", &one, NULL, 100000, 1, false},
        {"limit: one window", &one, NULL, 1000000, 1, false},
        {"limit: two windows", &two, NULL, 1, 1, false},
        {"limit: two windows", &two, NULL, 1000000, 1, false},
        {"limit: three windows", &three, NULL, 1, 1, false},
        {"limit: three windows", &three, NULL, 100000, 1, false},
        {"limit: three windows", &three, NULL, 1000000, 1, false},
        {"limit: three windows, no hint", &three, NULL, 1000000, 1, true},
        {"limit: two windows, refused", &shut, NULL, 100000, 1, false},
        {"limit: three windows and a route's", &three, &one, 100000, 1, false},
        {"limit: two windows", &two, NULL, 1, 2, false},
        {"limit: two windows", &two, NULL, 100000, 2, false},
    };
    int tries = 1;
    bool is_firm = measure(&works[0]) <= FIRM_NS;

    for (size_t i = 1; i < COUNT_OF(works); i++)
        (void)measure(&works[i]);
    for (; getenv("FIRM") != NULL && !is_firm && tries < FIRM_TRIES; tries++)
        is_firm = measure(&works[0]) <= FIRM_NS;
    return getenv("FIRM") != NULL && !is_firm ? EXIT_FAILURE : EXIT_SUCCESS;
}
