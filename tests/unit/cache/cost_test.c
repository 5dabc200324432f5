/* cost_test.c - what a purge costs does not depend on what stays.
 *
 * A thousand entries with a tag are purged, alone and among many others: a million, or a
 * hundred thousand where a sanitizer makes each dear. The mark, which puts a purge in force,
 * is one number wherever the entries lie. Counting and taking out the thousand touches their
 * neighbours in the tables too, which no processor cache holds when there are a million: a
 * few times dearer, never a thousand times, and within ten milliseconds. Time is the
 * thread's own on the processor and the best of several turns counts, so a machine busy with
 * other things changes the figures, hardly their ratio. */
#include "cache_fixture.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MANY = 100000 };
#else
enum { MANY = 1000000 };
#endif
enum { TAGGED = 1000, TURNS = 9, FLUSH_BYTES = 48 << 20 };

static void store_many(const struct world *world, uint32_t from, uint32_t count, const char *tag)
{
    char target[32];

    for (uint32_t i = from; i < from + count; i++) {
        snprintf(target, sizeof(target), "/%u", i);
        arena_reset(world->arena);
        assert_true(store(world, &(struct answer){.target = target, .tag = tag}));
    }
}

static void empty_processor_caches(void)
{
    static unsigned char *memory;

    if (memory == NULL)
        memory = calloc(1, FLUSH_BYTES);
    for (size_t i = 0; i < FLUSH_BYTES; i += 64)
        memory[i]++;
    if (memory[FLUSH_BYTES - 64] == 255) { /* never: nine turns of four measures */
        free(memory);
        memory = NULL;
    }
}

struct costs {
    uint64_t purge_us, mark_ns;
};

/* The thousand are stored anew for each turn. */
static struct costs measure(const struct world *world)
{
    struct purge purge = {.kind = PURGE_TAG, .text = STR("t")};
    struct costs best = {UINT64_MAX, UINT64_MAX};
    struct purge_result result;

    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t began, took;

        store_many(world, 0, TAGGED, "t");
        empty_processor_caches();
        began = clock_thread_cpu_us();
        cache_purge(world->cache, &purge, START_US, world->arena, &result);
        took = clock_thread_cpu_us() - began;
        assert_int_equal(result.matched, TAGGED);
        best.purge_us = took < best.purge_us ? took : best.purge_us;

        store_many(world, 0, TAGGED, "t");
        empty_processor_caches();
        began = clock_thread_cpu_us();
        for (int i = 0; i < 1000; i++) /* one is too short for the clock */
            cache_invalidate(world->cache, &purge);
        took = clock_thread_cpu_us() - began;
        best.mark_ns = took < best.mark_ns ? took : best.mark_ns; /* us for 1000 */
        assert_false(has(world, &(struct answer){.target = "/7"}));
    }
    return best;
}

static void among_a_million_it_costs_what_it_costs_alone(void **state)
{
    struct world world = world_new(UINT64_C(4) << 30, 1 << 20);
    struct costs alone, among;

    (void)state;
    alone = measure(&world);
    store_many(&world, TAGGED, MANY, NULL);
    among = measure(&world);
    print_message("purge of %d by tag: %" PRIu64 " us alone, %" PRIu64
                  " us among %d; a mark: %" PRIu64 " ns and %" PRIu64 " ns\n",
                  TAGGED, alone.purge_us, among.purge_us, MANY, alone.mark_ns, among.mark_ns);
    assert_true(among.mark_ns < 2 * alone.mark_ns + 100);
    assert_true(among.purge_us < 10000);
    assert_true(among.purge_us < 10 * alone.purge_us + 1000);
    assert_int_equal(counts_of(&world).entries,
                     MANY + TAGGED - 1); /* marked; only the one looked for is reclaimed */
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(among_a_million_it_costs_what_it_costs_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
