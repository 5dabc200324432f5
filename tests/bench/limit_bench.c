/* limit_bench.c - nanoseconds a decision, for one thread and for two.
 *
 * The free tier's three windows, a million clients in random order, then a hundred in turn; the
 * clock is passed in, as a worker reads it once a turn. Prints one line a case. */
#include "limit/limit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { DECISIONS = 4000000, MOST_THREADS = 2 };

static const struct window_set tier = {.at = {{STR("second"), WINDOW_BUCKET, 5, 10, 1000},
                                              {STR("minute"), WINDOW_SLIDING, 100, 100, 60000},
                                              {STR("hour"), WINDOW_SLIDING, 1000, 1000, 3600000}},
                                       .count = 3};
static const struct window_set route = {.at = {{STR("minute"), WINDOW_SLIDING, 50, 50, 60000}},
                                        .count = 1};

struct run {
    struct limiter *limiter;
    uint64_t clients, state, admitted;
    uint32_t policies;
};

static void *run_all(void *arg)
{
    struct run *run = arg;
    struct limit_time now = {clock_mono_us(), clock_wall_us()};

    for (int i = 0; i < DECISIONS; i++) {
        run->state = run->state * UINT64_C(6364136223846793005) + 1442695040888963407U;
        uint64_t number = (run->state >> 33) % run->clients;
        struct hash128 key = {number * UINT64_C(0x9e3779b97f4a7c15), number};
        struct limit_policy policies[] = {{&tier, key, key}, {&route, {key.lo ^ 77, key.hi}, key}};
        struct limit_state state;

        now.mono_us += 1;
        limit_take(run->limiter, policies, run->policies, 1, now, &state);
        run->admitted += state.allowed;
    }
    return NULL;
}

static void measure(const char *name, struct limiter *limiter, uint64_t clients, uint32_t policies,
                    int threads)
{
    struct run runs[MOST_THREADS];
    pthread_t ids[MOST_THREADS];
    uint64_t begin = clock_mono_us(), admitted = 0;

    for (int i = 0; i < threads; i++) {
        runs[i] = (struct run){limiter, clients, (uint64_t)i + 1, 0, policies};
        CHECK(pthread_create(&ids[i], NULL, run_all, &runs[i]) == 0);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        admitted += runs[i].admitted;
    }
    double us = (double)(clock_mono_us() - begin), all = (double)DECISIONS * threads;
    printf("%-36s %d thread%s %6.1f ns a decision and thread, %6.2f M/s, %4.1f %% admitted\n", name,
           threads, threads > 1 ? "s:" : ": ", us * 1000 / DECISIONS, all / us,
           100.0 * (double)admitted / all);
}

int main(void)
{
    static const struct hash_key seed = {{1, 2}};
    static const struct {
        const char *name;
        uint64_t clients;
        uint32_t policies;
    } cases[] = {
        {"tier, 1000000 clients, first pass", 1000000, 1},
        {"tier, 1000000 clients", 1000000, 1},
        {"tier, 100 clients", 100, 1},
        {"tier and route, 100000 clients", 100000, 2},
    };
    struct limiter *limiter = limiter_new(2000000, &seed);

    CHECK(limiter != NULL);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (int threads = 1; threads <= MOST_THREADS; threads++)
            measure(cases[i].name, limiter, cases[i].clients, cases[i].policies, threads);
    }
    limiter_free(&limiter);
    return EXIT_SUCCESS;
}
