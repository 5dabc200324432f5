/* purge_bench.c - what purges cost among a million entries, and what the cache weighs.
 *
 * A thousand entries with a tag, or under one pattern, and one URL are purged among a
 * million; then everything. Each is wall time of one call, the best of a few turns (all
 * but the last, of which there is one). Then ten million answers of random sizes go
 * through a cache that holds a fraction of them: what the process occupies beside what
 * the cache says it is charged. One thread. */
#include "cache/cache.h"

#include <malloc.h>

#include "../unit/cache/cache_fixture.h"

enum { ENTRIES = 1000000, TAGGED = 1000, TURNS = 5, INSERTS = 10000000 };

static void store_numbered(const struct world *world, const char *prefix, int count,
                           const char *tag)
{
    char target[48];

    for (int i = 0; i < count; i++) {
        struct answer answer = {
            .target = target, .tag = tag, .body_bytes = 100, .lifetime_s = 100000000};

        (void)snprintf(target, sizeof(target), "%s%d", prefix, i);
        arena_reset(world->arena);
        CHECK(store(world, &answer));
    }
}

static double run(const struct world *world, const struct purge *purge, uint64_t want)
{
    struct purge_result result;
    uint64_t began = clock_mono_us();

    cache_purge(world->cache, purge, START_US, world->arena, &result);
    double took_ms = (double)(clock_mono_us() - began) / 1000;
    if (result.matched != want)
        printf("purged %" PRIu64 " instead of %" PRIu64 "\n", result.matched, want);
    arena_reset(world->arena);
    return took_ms;
}

static void print_best(const struct world *world, const char *what, const struct purge *purge,
                       const char *prefix, int count)
{
    double best = 0;

    for (int turn = 0; turn < TURNS; turn++) {
        store_numbered(world, prefix, count, purge->kind == PURGE_TAG ? "t" : NULL);
        double took = run(world, purge, (uint64_t)count);

        if (turn == 0 || took < best)
            best = took;
    }
    printf("%-34s %9.3f ms\n", what, best);
}

static void measure_purges(void)
{
    struct world world = world_new(UINT64_C(4) << 30, 1 << 20);

    store_numbered(&world, "/many/", ENTRIES, NULL);
    printf("purge among %d entries\n", ENTRIES);
    print_best(&world, "1,000 by tag", &(struct purge){.kind = PURGE_TAG, .text = STR("t")},
               "/tagged/", TAGGED);
    print_best(&world, "one by URL",
               &(struct purge){.kind = PURGE_URL, .text = STR("example.com/url/0")}, "/url/", 1);
    print_best(&world, "1,000 by pattern (a walk)",
               &(struct purge){.kind = PURGE_GLOB, .text = STR("/glob/*")}, "/glob/", TAGGED);
    printf("%-34s %9.3f ms\n", "all of them, counted and freed",
           run(&world, &(struct purge){.kind = PURGE_ALL}, ENTRIES));
    world_free(&world);
}

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0, resident = 0;

    if (file != NULL && fscanf(file, "%lu %lu", &pages, &resident) != 2)
        resident = 0;
    if (file != NULL)
        (void)fclose(file);
    return (uint64_t)resident * 4096;
}

/* Sizes from nothing to 128 KiB, small ones more often, as answers of an API are. */
static size_t random_size(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*random >> 20) % (UINT64_C(64) << (*random >> 60 & 15) % 12);
}

static void measure_memory(void)
{
    enum { MEMORY = 256 << 20 };
    struct world world = world_new(MEMORY, 1 << 20);
    uint64_t random = 42, before = resident_bytes(), most = 0;
    char target[32];

    for (int i = 0; i < INSERTS; i++) {
        struct answer answer = {.target = target, .lifetime_s = 100000000};

        answer.body_bytes = random_size(&random);
        answer.has_no_length = (random >> 40 & 3) == 0;
        (void)snprintf(target, sizeof(target), "/r/%d", i);
        arena_reset(world.arena);
        (void)store(&world, &answer); /* a large newcomer may be put off */
        if (i % 100000 == 0 && resident_bytes() - before > most)
            most = resident_bytes() - before;
    }
    printf("%d inserts into %d MiB: charged %.0f MiB, resident at most %.0f MiB (%.2f x)\n",
           INSERTS, MEMORY >> 20, (double)counts_of(&world).memory_bytes / (1 << 20),
           (double)most / (1 << 20), (double)most / MEMORY);
    world_free(&world);
    (void)malloc_trim(0);
}

int main(void)
{
    measure_memory();
    measure_purges();
    return EXIT_SUCCESS;
}
