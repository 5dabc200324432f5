/* evict_test.c - the budget is never passed, every byte comes back, and what is asked
 * for often outlives a scan. */
#include "cache/cache_priv.h"

#include "cache_fixture.h"

#include <unistd.h>

static uint64_t listed_bytes(const struct world *world, uint32_t *entries)
{
    struct cache_item items[64];
    uint64_t cursor = 0, bytes = 0;

    *entries = 0;
    do {
        struct arena *arena = arena_new(1 << 14, 1 << 22);
        uint32_t count = cache_list(world->cache, STR("*"), STR_NONE, START_US, cursor, 64, arena,
                                    items, &cursor);

        for (uint32_t i = 0; i < count; i++)
            bytes += items[i].size;
        *entries += count;
        arena_free(&arena);
    } while (cursor != 0);
    return bytes;
}

static void a_hundred_thousand_inserts_stay_within_the_budget(void **state)
{
    enum { LIMIT = 2 << 20 };
    struct world world = world_new(LIMIT, 64 << 10);
    uint64_t random = 88172645463325252U;
    struct cache_counts counts;
    struct tag_cell *cell;
    uint32_t entries;
    char target[32];

    (void)state;
    for (int i = 0; i < 100000; i++) {
        struct answer answer = {.target = target, .tag = "t"};

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        snprintf(target, sizeof(target), "/r/%u", (unsigned)(random >> 20) % 20000);
        answer.body_bytes = (random >> 8) % ((random & 15) == 0 ? 40000 : 2000);
        answer.has_no_length = (random & 16) != 0;
        arena_reset(world.arena);
        assert_true(store(&world, &answer));
        if (i % 64 != 0)
            continue;
        counts = counts_of(&world);
        assert_true(counts.memory_bytes <= LIMIT);
    }
    counts = counts_of(&world);
    assert_true(counts.evictions > 0);
    assert_true(counts.memory_bytes > LIMIT / 2);
    cell = cell_find(world.cache, STR("t"));
    assert_true(listed_bytes(&world, &entries) + cell->charged == counts.memory_bytes);
    cell_release(world.cache, cell);
    assert_int_equal(entries, counts.entries);
    cache_resize(world.cache, LIMIT / 4, 64 << 10);
    assert_true(counts_of(&world).memory_bytes <= LIMIT / 4);
    cache_resize(world.cache, 0, 64 << 10);
    counts = counts_of(&world);
    assert_int_equal(counts.memory_bytes, 0);
    assert_int_equal(counts.entries, 0);
    world_free(&world);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages, resident;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &pages, &resident), 2);
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}
#endif

/* What is charged is what the process occupies, or little less: malloc leaves gaps between
 * neighbours of many sizes. */
static void the_process_occupies_what_is_charged(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)state; /* memory is dealt out otherwise */
#else
    enum { LIMIT = 48 << 20 };
    struct world world = world_new(LIMIT, 1 << 20);
    uint64_t random = 88172645463325252U, before = resident_bytes(), charged;
    uint32_t entries;
    char target[32];

    (void)state;
    for (int i = 0; i < 150000; i++) {
        struct answer answer = {.target = target};

        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        answer.body_bytes = (random >> 20) % (UINT64_C(64) << (random >> 60) % 11);
        answer.has_no_length = (random >> 40 & 3) == 0;
        snprintf(target, sizeof(target), "/r/%d", i);
        arena_reset(world.arena);
        (void)store(&world, &answer);
    }
    charged = counts_of(&world).memory_bytes;
    print_message("charged %" PRIu64 " of %d, resident %" PRIu64 "\n", charged, LIMIT,
                  resident_bytes() - before);
    assert_true(resident_bytes() - before <= UINT64_C(5) * LIMIT / 4);
    assert_true(charged > LIMIT / 10 * 9 && charged <= LIMIT);
    assert_true(listed_bytes(&world, &entries) == charged);
    world_free(&world);
#endif
}

static void what_is_held_stays_charged_until_it_is_released(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer answer = {.body_bytes = 100000};
    struct cache_entry *entry;

    (void)state;
    assert_true(store(&world, &answer));
    entry = find(&world, &answer, NULL);
    cache_resize(world.cache, 1000, 1 << 20);
    assert_int_equal(counts_of(&world).entries, 0);
    assert_true(counts_of(&world).memory_bytes > 100000);
    cache_entry_release(&entry);
    assert_int_equal(counts_of(&world).memory_bytes, 0);
    world_free(&world);
}

static void what_can_never_fit_pushes_nobody_out(void **state)
{
    struct world world = world_new(64 << 10, 1 << 20);
    struct answer small = {.target = "/s", .body = "s"};
    struct answer large = {.target = "/l", .body_bytes = 200000};

    (void)state;
    assert_true(store(&world, &small));
    assert_false(store(&world, &large));
    assert_true(has(&world, &small));
    assert_int_equal(counts_of(&world).evictions, 0);
    world_free(&world);
}

/* ---- large newcomers ---- */

enum { FULL = 4 << 20, LARGE = 100000 };

/* Until the first has had to leave: there is room for one small entry at most. */
static void fill_up(const struct world *world)
{
    char target[32];
    struct answer answer = {.target = target, .body_bytes = 1000};

    for (int i = 0; counts_of(world).evictions == 0; i++) {
        snprintf(target, sizeof(target), "/small/%d", i);
        arena_reset(world->arena);
        assert_true(store(world, &answer));
    }
}

static const struct {
    const char *name;
    bool is_full;
    size_t body_bytes;
    bool is_in_first, is_in_second;
} newcomers[] = {
    {"large, while there is room", false, LARGE, true, true},
    {"large, when it is full", true, LARGE, false, true},
    {"small, when it is full", true, 60000, true, true},
};

static void what_is_large_comes_into_a_full_cache_at_the_second_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(newcomers) * 2; i++) {
        struct world world = world_new(FULL, 1 << 20);
        size_t row = i / 2;
        struct answer answer = {
            .target = "/l", .body_bytes = newcomers[row].body_bytes, .has_no_length = i % 2 == 1};
        bool is_in_first, is_in_second;

        if (newcomers[row].is_full)
            fill_up(&world);
        is_in_first = store(&world, &answer);
        is_in_second = store(&world, &answer);
        if (is_in_first != newcomers[row].is_in_first ||
            is_in_second != newcomers[row].is_in_second)
            fail_msg("%s%s: first %d, second %d", newcomers[row].name,
                     answer.has_no_length ? ", chunked" : "", is_in_first, is_in_second);
        assert_true(counts_of(&world).memory_bytes <= FULL);
        world_free(&world);
    }
}

static void a_large_answer_in_the_cache_is_renewed_there(void **state)
{
    struct world world = world_new(FULL, 1 << 20);
    struct answer answer = {.target = "/l", .body_bytes = LARGE};

    (void)state;
    assert_true(store(&world, &answer));
    fill_up(&world);
    for (int i = 0; i < 3; i++) {
        assert_true(has(&world, &answer));
        assert_true(store(&world, &answer));
    }
    world_free(&world);
}

static void told(void *arg, enum flight_outcome outcome, struct fill_reader *reader)
{
    (void)arg;
    (void)outcome;
    (void)reader;
}

static void what_others_wait_for_is_no_newcomer(void **state)
{
    struct world world = world_new(FULL, 1 << 20);
    struct answer answer = {.target = "/l", .body_bytes = LARGE};
    struct cache_key key;
    struct flight_wait wait = {.loop = world.loop, .told = told, .wake = no_room};
    struct flight *lead = NULL, *none = NULL;

    (void)state;
    fill_up(&world);
    key = key_of(&world, &answer);
    assert_int_equal(cache_join(world.cache, &key, START_US, &wait, &lead), FLIGHT_LEAD);
    assert_int_equal(cache_join(world.cache, &key, START_US, &wait, &none), FLIGHT_FOLLOW);
    assert_true(store(&world, &answer));
    flight_leave(&wait);
    flight_close(&lead, FLIGHT_RETRY, false, START_US);
    world_free(&world);
}

/* ---- scans ---- */

enum { HOT_KEYS = 400, SCAN_STEPS = 60000 }; /* every fourth request is for a hot key */

static int hits_under_scan(struct world *world)
{
    char target[32];
    struct answer answer = {.target = target, .body_bytes = 1000};
    int hits = 0;

    for (int i = 0; i < SCAN_STEPS; i++) {
        bool is_hot = i % 4 == 0;
        struct cache_entry *entry;

        arena_reset(world->arena);
        if (is_hot)
            snprintf(target, sizeof(target), "/hot/%d", i / 4 % HOT_KEYS);
        else
            snprintf(target, sizeof(target), "/scan/%d", i);
        entry = find(world, &answer, NULL);
        if (entry == NULL) {
            assert_true(store(world, &answer));
            continue;
        }
        hits += is_hot;
        cache_entry_count_hit(entry);
        cache_entry_release(&entry);
    }
    return hits;
}

/* The same requests to a plain FIFO of as many entries. */
static int hits_of_fifo(uint64_t room)
{
    uint64_t entered[HOT_KEYS] = {0}, entries = 0;
    int hits = 0;

    for (int i = 0; i < SCAN_STEPS; i++) {
        uint64_t *at = &entered[i / 4 % HOT_KEYS];

        if (i % 4 == 0 && *at > 0 && entries - *at < room)
            hits++;
        else if (++entries, i % 4 == 0)
            *at = entries;
    }
    return hits;
}

static void hot_keys_survive_a_scan_better_than_in_a_fifo(void **state)
{
    struct world world = world_new(3 << 19, 1 << 20);
    int ours = hits_under_scan(&world);
    int fifo = hits_of_fifo(counts_of(&world).entries);

    (void)state;
    print_message("hits among %d: S3-FIFO %d, FIFO %d\n", SCAN_STEPS / 4, ours, fifo);
    assert_true(ours > 12000);
    assert_true(ours > fifo * 5 / 4);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_thousand_inserts_stay_within_the_budget),
        cmocka_unit_test(the_process_occupies_what_is_charged),
        cmocka_unit_test(what_is_held_stays_charged_until_it_is_released),
        cmocka_unit_test(what_can_never_fit_pushes_nobody_out),
        cmocka_unit_test(what_is_large_comes_into_a_full_cache_at_the_second_request),
        cmocka_unit_test(a_large_answer_in_the_cache_is_renewed_there),
        cmocka_unit_test(what_others_wait_for_is_no_newcomer),
        cmocka_unit_test(hot_keys_survive_a_scan_better_than_in_a_fifo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
