/* purge_test.c - what a purge takes, what it counts, and that nothing older than it
 * comes in after it. */
#include "cache_fixture.h"

static const struct answer stock[] = {
    {.target = "/p/1", .tag = "products"},
    {.target = "/p/1", .tag = "products", .is_tls = true},
    {.target = "/p/1", .host = "other.example", .tag = "products"},
    {.target = "/p/1?x=1", .tag = "products"},
    {.target = "/p/2", .tag = "products", .user = "key:acme"},
    {.target = "/q/1", .tag = "q", .user = "key:acme"},
    {.target = "/q/1", .tag = "q", .vary = "X-Kind", .header = "X-Kind", .value = "1"},
    {.target = "/q/1", .tag = "q", .vary = "X-Kind", .header = "X-Kind", .value = "2"},
    {.target = "/q/p/old", .lifetime_s = 1},                    /* dead at the purge: not counted */
    {.target = "/q/p/stale", .lifetime_s = 1, .stale_s = 3600}, /* could be served stale */
};

static struct world stocked(void)
{
    struct world world = world_new(1 << 22, 1 << 20);

    for (size_t i = 0; i < COUNT_OF(stock); i++)
        assert_true(store(&world, &stock[i]));
    return world;
}

static struct purge_result purged(const struct world *world, struct purge purge)
{
    struct purge_result result;

    cache_purge(world->cache, &purge, START_US + 30 * SECOND_US, world->arena, &result);
    assert_true(result.complete && result.is_done);
    return result;
}

static const struct {
    const char *name;
    struct purge purge;
    uint32_t matched, gone; /* gone: entries that leave, dead ones too */
} kinds[] = {
    {"all", {.kind = PURGE_ALL}, 9, 10},
    {"all of a host", {.kind = PURGE_ALL, .host = {"OTHER.example", 13}}, 1, 1},
    {"url of any host", {.kind = PURGE_URL, .text = {"/p/1", 4}}, 3, 3},
    {"url of a host", {.kind = PURGE_URL, .text = {"example.com/p/1", 15}}, 2, 2},
    {"url of a host with port", {.kind = PURGE_URL, .text = {"example.com:80/p/1", 18}}, 2, 2},
    {"url with scheme", {.kind = PURGE_URL, .text = {"https://other.example/p/1", 25}}, 1, 1},
    {"url with query", {.kind = PURGE_URL, .text = {"/p/1?x=1", 8}}, 1, 1},
    {"url not normal", {.kind = PURGE_URL, .text = {"/q/../%70/1", 11}}, 3, 3},
    {"url with users and variants", {.kind = PURGE_URL, .text = {"/q/1", 4}}, 3, 3},
    {"unknown url", {.kind = PURGE_URL, .text = {"/nothing", 8}}, 0, 0},
    {"tag", {.kind = PURGE_TAG, .text = {"products", 8}}, 5, 5},
    {"tag of a host", {.kind = PURGE_TAG, .text = {"q", 1}, .host = {"example.com", 11}}, 3, 3},
    {"unknown tag", {.kind = PURGE_TAG, .text = {"x", 1}}, 0, 0},
    {"user", {.kind = PURGE_USER, .text = {"key:acme", 8}}, 2, 2},
    {"glob", {.kind = PURGE_GLOB, .text = {"/p/*", 4}}, 5, 5},
    {"glob without star is the path", {.kind = PURGE_GLOB, .text = {"/p/1", 4}}, 4, 4},
    {"glob with query", {.kind = PURGE_GLOB, .text = {"/p/*?x*", 7}}, 1, 1},
    {"contained", {.kind = PURGE_GLOB, .text = {"p/", 2}}, 6, 7},
    {"contained, with star", {.kind = PURGE_GLOB, .text = {"p/*", 3}}, 6, 7},
};

static void each_kind_takes_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct world world = stocked();
        struct purge purge = kinds[i].purge;
        struct purge_result dry, result;
        uint64_t bytes = counts_of(&world).memory_bytes;

        purge.dry_run = true;
        dry = purged(&world, purge);
        if (counts_of(&world).entries != COUNT_OF(stock))
            fail_msg("%s: a dry run took something", kinds[i].name);
        purge.dry_run = false;
        result = purged(&world, purge);
        if (result.matched != kinds[i].matched || dry.matched != result.matched ||
            dry.bytes != result.bytes || dry.sample_count != result.sample_count)
            fail_msg("%s: matched %d, dry %d, want %u", kinds[i].name, (int)result.matched,
                     (int)dry.matched, kinds[i].matched);
        if (counts_of(&world).entries != COUNT_OF(stock) - kinds[i].gone)
            fail_msg("%s: %d are left", kinds[i].name, (int)counts_of(&world).entries);
        assert_true(counts_of(&world).memory_bytes <= bytes - result.bytes);
        assert_int_equal(counts_of(&world).invalidations, kinds[i].gone);
        assert_int_equal(purged(&world, purge).matched, 0);
        for (size_t j = 0; j < COUNT_OF(stock); j++) /* what comes after is not touched */
            assert_true(store(&world, &stock[j]));
        assert_int_equal(counts_of(&world).entries, COUNT_OF(stock));
        for (size_t j = 0; j < COUNT_OF(stock); j++)
            assert_true(has(&world, &stock[j]));
        world_free(&world);
    }
}

static void soft_purge_marks_stale(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct world world = stocked();
        struct purge purge = kinds[i].purge;
        uint32_t soft = 0;

        purge.soft = true;
        if (purged(&world, purge).matched != kinds[i].matched)
            fail_msg("%s", kinds[i].name);
        for (size_t j = 0; j < COUNT_OF(stock); j++) {
            struct cache_entry *entry = find(&world, &stock[j], NULL);

            assert_non_null(entry);
            soft += cache_entry_is_soft_purged(entry);
            if (cache_entry_is_soft_purged(entry))
                assert_true(cache_entry_ttl_s(entry, START_US) <= 0);
            cache_entry_release(&entry);
        }
        if (soft != kinds[i].gone)
            fail_msg("%s: %u soft", kinds[i].name, soft);
        world_free(&world);
    }
}

/* The origin made its answer before the purge: it is not stored after it. One made after the stamp
 * is. */
static void an_answer_older_than_a_purge_that_covers_it_is_not_stored(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        for (int soft = 0; soft < 2; soft++) {
            struct world world = world_new(1 << 22, 1 << 20);
            struct purge purge = kinds[i].purge;
            struct answer answer;
            uint64_t before;
            uint32_t refused = 0;

            assert_true(store(&world, &(struct answer){.target = "/first"}));
            invalidate_url(world.cache, STR("x"), STR("/unrelated"));
            before = cache_stamp(world.cache);
            purge.soft = soft != 0;
            purged(&world, purge);
            for (size_t j = 0; j < COUNT_OF(stock); j++) {
                answer = stock[j];
                answer.stamp = before;
                refused += !store(&world, &answer);
            }
            /* hosts share marks with the URL, so a purge of one may refuse the other's too */
            if (refused < kinds[i].gone ||
                counts_of(&world).entries > 1 + COUNT_OF(stock) - refused)
                fail_msg("%s: refused %u", kinds[i].name, refused);
            for (size_t j = 0; j < COUNT_OF(stock); j++)
                assert_true(store(&world, &stock[j]));
            world_free(&world);
        }
    }
}

static void a_dry_run_refuses_nobody(void **state)
{
    struct world world = world_new(1 << 22, 1 << 20);
    struct answer answer = {.target = "/p/1"};

    (void)state;
    invalidate_url(world.cache, STR("x"), STR("/unrelated"));
    answer.stamp = cache_stamp(world.cache);
    purged(&world, (struct purge){.kind = PURGE_ALL, .dry_run = true});
    assert_true(store(&world, &answer));
    world_free(&world);
}

static void workers_invalidate_a_url(void **state)
{
    struct world world = stocked();

    (void)state;
    invalidate_url(world.cache, STR("Example.com"), STR("/p/1"));
    assert_false(has(&world, &stock[0]));
    assert_false(has(&world, &stock[1]));
    assert_true(has(&world, &stock[2]));
    assert_true(has(&world, &stock[3]));
    invalidate_url(world.cache, STR("example.com"), STR("/p/1?x=1"));
    assert_false(has(&world, &stock[3]));
    world_free(&world);
}

static void bans_hide_at_once_and_the_sweep_reclaims(void **state)
{
    struct world world = stocked();

    (void)state;
    invalidate_glob(world.cache, STR_NONE, STR("/q/*"));
    assert_int_equal(counts_of(&world).entries, COUNT_OF(stock));
    assert_false(has(&world, &stock[5]));
    assert_false(has(&world, &stock[6]));
    assert_true(has(&world, &stock[0]));
    assert_int_equal(
        purged(&world, (struct purge){.kind = PURGE_GLOB, .text = STR("/q/*")}).matched, 0);
    invalidate_glob(world.cache, STR("other.example"), STR("/p/"));
    assert_true(has(&world, &stock[2])); /* "/p/" is that path alone */
    invalidate_glob(world.cache, STR("other.example"), STR("p/"));
    assert_false(has(&world, &stock[2]));
    assert_true(has(&world, &stock[0]));
    cache_sweep(world.cache, START_US, 1000);
    assert_int_equal(counts_of(&world).entries, 4);
    world_free(&world);
}

static void retired_bans_leave_a_floor_behind(void **state)
{
    struct world world = world_new(1 << 22, 1 << 20);
    struct answer kept = {.target = "/kept", .lifetime_s = HTTP_FOREVER_S};
    struct answer late = {.target = "/late"};
    uint64_t much_later = clock_mono_us() + 3600 * SECOND_US;

    (void)state;
    invalidate_url(world.cache, STR("x"), STR("/unrelated"));
    late.stamp = cache_stamp(world.cache);
    assert_true(store(&world, &kept));
    invalidate_glob(world.cache, STR_NONE, STR("/gone/*"));
    cache_sweep(world.cache, START_US, 1000); /* too young to retire */
    assert_true(store(&world, &late));
    cache_sweep(world.cache, much_later, 1000);
    assert_true(has(&world, &kept));    /* it was tested before the ban retired */
    assert_false(store(&world, &late)); /* nobody knows any more what it was to be tested against */
    late.stamp = 0;
    assert_true(store(&world, &late));
    world_free(&world);
}

static void a_thousand_bans_become_one_for_everything(void **state)
{
    struct world world = stocked();
    char glob[32];

    (void)state;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 1000; i++) {
            snprintf(glob, sizeof(glob), "/other/%d", i);
            invalidate_glob(world.cache, STR_NONE, str_of(glob));
        }
    assert_true(has(&world, &stock[0])); /* the same thousand again are no more */
    invalidate_glob(world.cache, STR_NONE, STR("/one/more"));
    for (size_t i = 0; i < COUNT_OF(stock); i++)
        assert_false(has(&world, &stock[i]));
    assert_true(store(&world, &stock[0]));
    assert_true(has(&world, &stock[0]));
    world_free(&world);
}

static void the_sweep_drops_what_nobody_can_use(void **state)
{
    struct world world = world_new(1 << 22, 1 << 20);
    struct answer plain = {.target = "/plain", .lifetime_s = 1};
    struct answer tagged = {.target = "/etag", .lifetime_s = 1, .etag = "\"e\""};
    struct answer stale = {.target = "/stale", .lifetime_s = 1, .stale_s = 7200};
    struct answer strict = {
        .target = "/strict", .lifetime_s = 1, .stale_s = 7200, .must_revalidate = true};
    struct answer fresh = {.target = "/fresh", .lifetime_s = 100000};

    (void)state;
    assert_true(store(&world, &plain) && store(&world, &tagged) && store(&world, &stale));
    assert_true(store(&world, &strict) && store(&world, &fresh));
    cache_sweep(world.cache, START_US + 10 * SECOND_US, 1000);
    assert_false(has(&world, &plain) || has(&world, &strict));
    assert_true(has(&world, &tagged) && has(&world, &stale) && has(&world, &fresh));
    for (int i = 0; i < 100; i++) /* a few at a time comes to the same */
        cache_sweep(world.cache, START_US + 7190 * SECOND_US, 1);
    assert_false(has(&world, &tagged));
    assert_true(has(&world, &stale) && has(&world, &fresh));
    cache_sweep(world.cache, START_US + 8000 * SECOND_US, 1000);
    assert_int_equal(counts_of(&world).entries, 1);
    world_free(&world);
}

static void the_sample_holds_ten_readable_keys(void **state)
{
    struct world world = stocked();
    struct purge_result result;

    (void)state;
    result = purged(&world,
                    (struct purge){.kind = PURGE_USER, .text = STR("key:acme"), .dry_run = true});
    assert_int_equal(result.sample_count, 2);
    assert_true(str_eq(result.sample[0], STR("example.com/p/2 [key:acme]")) ||
                str_eq(result.sample[1], STR("example.com/p/2 [key:acme]")));
    for (int i = 0; i < 30; i++) {
        char target[16];

        snprintf(target, sizeof(target), "/many/%d", i);
        assert_true(store(&world, &(struct answer){.target = target}));
    }
    result = purged(&world, (struct purge){.kind = PURGE_GLOB, .text = STR("many")});
    assert_int_equal(result.matched, 30);
    assert_int_equal(result.sample_count, 10);
    world_free(&world);
}

static void the_list_goes_page_by_page(void **state)
{
    struct world world = world_new(1 << 22, 1 << 20);
    struct cache_item items[7];
    uint64_t cursor = 0;
    uint32_t seen = 0, pages = 0;
    char target[16];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(target, sizeof(target), i < 50 ? "/l/%d" : "/m/%d", i);
        assert_true(store(&world, &(struct answer){.target = target, .tag = "a\"b", .user = "u"}));
    }
    do {
        uint32_t count = cache_list(world.cache, STR("/l/*"), STR("example.com"), START_US, cursor,
                                    7, world.arena, items, &cursor);

        seen += count;
        pages++;
        for (uint32_t i = 0; i < count; i++) {
            assert_true(str_starts(items[i].key, STR("example.com/l/")));
            assert_true(str_ends(items[i].key, STR(" [u]")));
            assert_true(str_eq(items[i].tags, STR("[\"a\\\"b\",\"user:u\"]")));
            assert_int_equal(items[i].ttl_s, 60);
        }
    } while (cursor != 0);
    assert_int_equal(seen, 50);
    assert_true(pages >= 8);
    world_free(&world);
}

/* The tables double several times between pages, and some entries leave. */
static void the_list_misses_nobody_who_stays(void **state)
{
    struct world world = world_new(1 << 26, 1 << 20);
    struct cache_item items[5];
    bool seen[300] = {false};
    uint64_t cursor = 0;
    uint32_t more = 0, left = 0;
    char target[24];

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(seen); i++) {
        snprintf(target, sizeof(target), "/stays/%u", i);
        assert_true(store(&world, &(struct answer){.target = target}));
        snprintf(target, sizeof(target), "/leaves/%u", i);
        assert_true(store(&world, &(struct answer){.target = target}));
    }
    do {
        uint32_t count = cache_list(world.cache, STR("*"), STR_NONE, START_US, cursor, 5,
                                    world.arena, items, &cursor);

        assert_true(count > 0 || cursor == 0);
        for (uint32_t i = 0; i < count; i++)
            if (str_has(items[i].key, STR("/stays/")))
                seen[strtol(items[i].key.ptr + sizeof("example.com/stays/") - 1, NULL, 10)] = true;
        for (int i = 0; i < 30 && more < 6000; i++, more++) {
            snprintf(target, sizeof(target), "/more/%u", more);
            assert_true(store(&world, &(struct answer){.target = target}));
        }
        snprintf(target, sizeof(target), "/leaves/%u", left++);
        invalidate_url(world.cache, STR("example.com"), str_of(target));
        arena_reset(world.arena);
    } while (cursor != 0);
    for (uint32_t i = 0; i < COUNT_OF(seen); i++)
        if (!seen[i])
            fail_msg("/stays/%u was never listed", i);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_takes_its_own),
        cmocka_unit_test(soft_purge_marks_stale),
        cmocka_unit_test(an_answer_older_than_a_purge_that_covers_it_is_not_stored),
        cmocka_unit_test(a_dry_run_refuses_nobody),
        cmocka_unit_test(workers_invalidate_a_url),
        cmocka_unit_test(bans_hide_at_once_and_the_sweep_reclaims),
        cmocka_unit_test(retired_bans_leave_a_floor_behind),
        cmocka_unit_test(a_thousand_bans_become_one_for_everything),
        cmocka_unit_test(the_sweep_drops_what_nobody_can_use),
        cmocka_unit_test(the_sample_holds_ten_readable_keys),
        cmocka_unit_test(the_list_goes_page_by_page),
        cmocka_unit_test(the_list_misses_nobody_who_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
