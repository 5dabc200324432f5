/* race_test.c - fetch against purge: what the origin said before a purge is never served after it.
 *
 * The origin has a version. A fetch takes its stamp, reads the version, and stores what it
 * read some time later; a write raises the version and then purges, by any way there is.
 * Once the purge has returned, whoever begins to look must not see an older version. First
 * a thousand random orders of these steps on one thread, then all at once on many. */
#include "cache_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { ORDERS = 1000, STEPS = 40, FETCHES = 4, WRITES = 400, READERS = 2 };

static const char *const kinds[] = {"url",       "mark url", "tag",      "mark tag", "glob",
                                    "mark glob", "all",      "mark all", "user",     "mark user"};

static uint64_t roll(uint64_t *random, uint64_t below)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return (*random >> 11) % below;
}

/* In one of the ways above; in force when it returns. */
static void purge_somehow(struct cache *cache, size_t kind)
{
    static const struct purge purges[] = {
        {.kind = PURGE_URL, .text = {"/a", 2}},     {.kind = PURGE_TAG, .text = {"t", 1}},
        {.kind = PURGE_GLOB, .text = {"/a*", 3}},   {.kind = PURGE_ALL},
        {.kind = PURGE_USER, .text = {"key:k", 5}},
    };
    struct arena *arena = arena_new(1 << 12, 1 << 16);
    struct purge_result result;

    assert_non_null(arena);
    if (kind % 2 == 1)
        cache_invalidate(cache, &purges[kind / 2]);
    else
        cache_purge(cache, &purges[kind / 2], START_US, arena, &result);
    arena_free(&arena);
}

static int version_of(const struct cache_entry *entry)
{
    uint64_t version;

    assert_true(str_to_u64(cache_entry_meta(entry).body, &version));
    return (int)version;
}

/* The version that a look finds now; -1: none. */
static int seen(const struct world *world, const struct answer *answer)
{
    struct cache_entry *entry = find(world, answer, NULL);
    int version = entry != NULL ? version_of(entry) : -1;

    cache_entry_release(&entry);
    return version;
}

/* ---- one thread, random orders ---- */

struct pending {
    bool is_on, has_read;
    uint64_t stamp;
    char body[16];
};

static void a_thousand_orders(void **state)
{
    uint64_t random = 88172645463325252U;

    (void)state;
    for (int order = 0; order < ORDERS; order++) {
        struct world world = world_new(1 << 20, 1 << 18);
        struct pending fetches[FETCHES] = {{false, false, 0, ""}};
        struct answer answer = {.tag = "t", .user = "key:k"};
        int version = 1, purged = 1; /* purged: no older one may be seen */

        for (int step = 0; step < STEPS; step++) {
            struct pending *fetch = &fetches[roll(&random, FETCHES)];
            size_t kind = roll(&random, COUNT_OF(kinds));

            switch (roll(&random, 5)) {
            case 0: /* the write, seen by fetches that read before its purge */
                version++;
                break;
            case 1:
                purge_somehow(world.cache, kind);
                purged = version;
                break;
            default:
                if (!fetch->is_on) {
                    *fetch = (struct pending){true, false, cache_stamp(world.cache), ""};
                } else if (!fetch->has_read) {
                    fetch->has_read = true;
                    snprintf(fetch->body, sizeof(fetch->body), "%d", version);
                } else {
                    answer.stamp = fetch->stamp;
                    answer.body = fetch->body;
                    if (answer.stamp != 0) /* 0 is the fixture's word for now */
                        (void)store(&world, &answer);
                    fetch->is_on = false;
                }
            }
            if (seen(&world, &answer) != -1 && seen(&world, &answer) < purged)
                fail_msg("order %d, step %d (%s): version %d after the purge of %d", order, step,
                         kinds[kind], seen(&world, &answer), purged);
        }
        world_free(&world);
    }
}

/* ---- many threads ---- */

struct field {
    struct cache *cache;
    atomic_int version, purged;
    atomic_bool is_over;
    atomic_uint stored, found;
};

static void *fetch_and_store(void *arg)
{
    struct field *field = arg;
    struct fail why = {""};
    struct world world = {field->cache, NULL, loop_new(&why)};
    uint64_t random = (uint64_t)(uintptr_t)&world | 1;

    while (!atomic_load(&field->is_over)) {
        char body[16];
        struct answer answer = {.tag = "t", .user = "key:k", .body = body};

        world.arena = arena_new(1 << 14, 1 << 18);
        answer.stamp = cache_stamp(field->cache);
        snprintf(body, sizeof(body), "%d", atomic_load(&field->version));
        for (uint64_t i = roll(&random, 2000); i > 0; i--) /* on its way */
            atomic_signal_fence(memory_order_seq_cst);
        if (answer.stamp != 0 && store(&world, &answer))
            atomic_fetch_add(&field->stored, 1);
        arena_free(&world.arena);
    }
    loop_free(&world.loop);
    return NULL;
}

static void *look(void *arg)
{
    struct field *field = arg;
    struct world world = {field->cache, NULL, NULL};

    while (!atomic_load(&field->is_over)) {
        struct answer answer = {.user = "key:k"};
        int least = atomic_load(&field->purged), version;

        world.arena = arena_new(1 << 12, 1 << 18);
        version = seen(&world, &answer);
        if (version != -1 && version < least)
            fail_msg("version %d after the purge of %d", version, least);
        if (version != -1)
            atomic_fetch_add(&field->found, 1);
        arena_free(&world.arena);
    }
    return NULL;
}

static void all_at_once(void **state)
{
    struct world world = world_new(1 << 22, 1 << 18);
    struct field field = {.cache = world.cache, .version = 1, .purged = 1};
    pthread_t threads[2 * READERS];
    uint64_t random = 4101842887655102017U;

    (void)state;
    cache_invalidate(world.cache, &(struct purge){.kind = PURGE_TAG, .text = STR("none")});
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[2 * i], NULL, fetch_and_store, &field), 0);
        assert_int_equal(pthread_create(&threads[2 * i + 1], NULL, look, &field), 0);
    }
    for (int i = 0; i < WRITES; i++) {
        unsigned before = atomic_load(&field.stored);
        int version = atomic_fetch_add(&field.version, 1) + 1;

        purge_somehow(world.cache, roll(&random, COUNT_OF(kinds)));
        atomic_store(&field.purged, version);
        if (i % 16 == 0)
            cache_sweep(world.cache, START_US, 10);
        while (atomic_load(&field.stored) == before) /* so that something is there to purge */
            sched_yield();
    }
    atomic_store(&field.is_over, true);
    for (int i = 0; i < 2 * READERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(atomic_load(&field.stored) >= WRITES);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_orders),
        cmocka_unit_test(all_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
