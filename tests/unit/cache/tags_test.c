/* tags_test.c - the names that answers bring along: what a purge by one of them takes,
 * at once and however many carry it, and that nothing of a tag stays behind. */
#include "cache/cache_priv.h"

#include "cache_fixture.h"

static struct purge tag_purge(const char *tag)
{
    return (struct purge){.kind = PURGE_TAG, .text = str_of(tag)};
}

static uint64_t purged(const struct world *world, struct purge purge)
{
    struct purge_result result;

    cache_purge(world->cache, &purge, START_US, world->arena, &result);
    assert_true(result.complete && result.is_done);
    return result.matched;
}

static const struct {
    const char *name, *field, *value, *tag;
    bool is_found;
} fields[] = {
    {"Cache-Tag, the first", "Cache-Tag", "a,b , c d", "a", true},
    {"Cache-Tag, the second", "Cache-Tag", "a,b , c d", "b", true},
    {"Cache-Tag keeps blanks inside", "Cache-Tag", "a,b , c d", "c d", true},
    {"Cache-Tag is not cut at blanks", "Cache-Tag", "a,b , c d", "c", false},
    {"case tells names apart", "Cache-Tag", "a", "A", false},
    {"Surrogate-Key", "Surrogate-Key", "x  y\tz", "y", true},
    {"Surrogate-Key, the last", "Surrogate-Key", "x  y\tz", "z", true},
    {"Surrogate-Key keeps commas", "Surrogate-Key", "x,y", "x,y", true},
    {"xkey by blanks", "xkey", "1 2,3", "2", true},
    {"xkey by commas", "xkey", "1 2,3", "3", true},
    {"Cache-Groups", "Cache-Groups", "\"g\", \"h i\"", "h i", true},
    {"Cache-Groups with escapes", "Cache-Groups", "\"a\\\"b\"", "a\"b", true},
    {"Cache-Groups that is none", "Cache-Groups", "\"g\", \"h", "g", false},
    {"a group that is no string", "Cache-Groups", "g, \"h\"", "g", false},
    {"nothing", "Cache-Tag", " , ,", "", false},
};

static void every_field_names_its_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        struct world world = world_new(1 << 22, 1 << 20);
        struct answer answer = {.tag_field = fields[i].field, .tag_value = fields[i].value};

        assert_true(store(&world, &answer));
        if (purged(&world, tag_purge(fields[i].tag)) != fields[i].is_found ||
            has(&world, &answer) == fields[i].is_found)
            fail_msg("%s", fields[i].name);
        world_free(&world);
    }
}

static char *many_tags(uint32_t count, size_t len)
{
    struct buf text = buf_new(1 << 20);

    for (uint32_t i = 0; i < count; i++) {
        buf_addf(&text, "%u", i + 1000);
        for (size_t j = 4; j < len; j++)
            buf_add_char(&text, 'x');
        buf_add_char(&text, i + 1 < count ? ',' : '\0');
    }
    assert_false(text.is_broken);
    return text.ptr;
}

static void what_a_purge_could_miss_is_not_stored(void **state)
{
    static const struct {
        const char *name;
        uint32_t count;
        size_t len;
        bool is_stored;
    } cases[] = {{"the most", HTTP_MAX_TAGS, 8, true},
                 {"one more", HTTP_MAX_TAGS + 1, 8, false},
                 {"the longest", 1, HTTP_MAX_TAG_BYTES, true},
                 {"a byte more", 1, HTTP_MAX_TAG_BYTES + 1, false}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world world = world_new(1 << 22, 1 << 20);
        char *tags = many_tags(cases[i].count, cases[i].len);
        struct answer answer = {.tag_field = "Cache-Tag", .tag_value = tags};

        if (store(&world, &answer) != cases[i].is_stored)
            fail_msg("%s", cases[i].name);
        free(tags);
        world_free(&world);
    }
}

static void a_tag_too_many_in_all_refuses_the_answer(void **state)
{
    struct world world = world_new(1 << 22, 1 << 20);

    (void)state;
    world.cache->cell_limit = 2;
    assert_true(store(&world, &(struct answer){.target = "/1", .tag = "a"}));
    assert_true(store(&world, &(struct answer){.target = "/2", .tag = "b"}));
    assert_false(store(&world, &(struct answer){.target = "/3", .tag = "c"}));
    assert_true(store(&world, &(struct answer){.target = "/4", .tag = "a"}));
    assert_int_equal(purged(&world, tag_purge("b")), 1);
    assert_true(store(&world, &(struct answer){.target = "/3", .tag = "c"}));
    world_free(&world);
}

static void a_tag_goes_with_its_last_entry(void **state)
{
    struct world world = world_new(1 << 22, 1 << 20);
    char target[16];

    (void)state;
    for (int i = 0; i < 500; i++) {
        snprintf(target, sizeof(target), "/%d", i);
        assert_true(store(&world, &(struct answer){.target = target,
                                                   .tag = "all",
                                                   .tag_field = "Cache-Tag",
                                                   .tag_value = target}));
    }
    assert_int_equal(world.cache->cell_count, 501);
    assert_int_equal(purged(&world, tag_purge("/7")), 1);
    assert_int_equal(world.cache->cell_count, 500);
    assert_int_equal(purged(&world, tag_purge("all")), 499);
    assert_int_equal(world.cache->cell_count, 0);
    assert_int_equal(counts_of(&world).memory_bytes, 0);
    world_free(&world);
}

static void a_mark_takes_all_at_once_and_spares_what_comes_after(void **state)
{
    struct world world = world_new(1 << 22, 1 << 20);
    struct answer old = {.target = "/1", .tag = "t"}, other = {.target = "/2", .tag = "u"};
    struct answer late = {.target = "/3", .tag = "t"};
    struct purge purge = tag_purge("t");

    (void)state;
    invalidate_url(world.cache, STR("x"), STR("/unrelated"));
    late.stamp = cache_stamp(world.cache);
    assert_true(store(&world, &old));
    assert_true(store(&world, &other));
    cache_invalidate(world.cache, &purge);
    assert_int_equal(purged(&world, purge), 0); /* none could have been served any more */
    assert_false(has(&world, &old));
    assert_true(has(&world, &other));
    assert_false(store(&world, &late));
    late.stamp = 0;
    assert_true(store(&world, &late));
    assert_true(has(&world, &late));
    assert_int_equal(counts_of(&world).entries, 2);
    world_free(&world);
}

static void a_soft_mark_makes_stale(void **state)
{
    struct world world = world_new(1 << 22, 1 << 20);
    struct answer answer = {.tag = "t"};
    struct purge purge = {.kind = PURGE_TAG, .text = STR("t"), .soft = true};
    struct cache_entry *entry;

    (void)state;
    assert_true(store(&world, &answer));
    cache_invalidate(world.cache, &purge);
    entry = find(&world, &answer, NULL);
    assert_non_null(entry);
    assert_true(cache_entry_is_soft_purged(entry));
    assert_true(cache_entry_ttl_s(entry, START_US) <= 0);
    cache_entry_release(&entry);
    assert_true(store(&world, &answer));
    entry = find(&world, &answer, NULL);
    assert_false(cache_entry_is_soft_purged(entry));
    cache_entry_release(&entry);
    world_free(&world);
}

static void every_kind_can_be_marked(void **state)
{
    static const struct {
        const char *name;
        struct purge purge;
        bool is_gone[3];
    } cases[] = {
        {"all", {.kind = PURGE_ALL}, {true, true, true}},
        {"all of a host", {.kind = PURGE_ALL, .host = {"b", 1}}, {false, false, true}},
        {"user", {.kind = PURGE_USER, .text = {"key:k", 5}}, {false, true, false}},
        {"url", {.kind = PURGE_URL, .host = {"a", 1}, .text = {"/1", 2}}, {true, true, false}},
        {"url of any host", {.kind = PURGE_URL, .text = {"/1", 2}}, {true, true, true}},
        {"glob", {.kind = PURGE_GLOB, .text = {"/*", 2}}, {true, true, true}},
        {"tag", {.kind = PURGE_TAG, .text = {"t", 1}}, {true, false, false}},
    };
    const struct answer stock[] = {{.target = "/1", .host = "a", .tag = "t"},
                                   {.target = "/1", .host = "a", .user = "key:k"},
                                   {.target = "/1", .host = "b"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world world = world_new(1 << 22, 1 << 20);

        for (size_t j = 0; j < COUNT_OF(stock); j++)
            assert_true(store(&world, &stock[j]));
        cache_invalidate(world.cache, &cases[i].purge);
        for (size_t j = 0; j < COUNT_OF(stock); j++)
            if (has(&world, &stock[j]) == cases[i].is_gone[j])
                fail_msg("%s: %zu", cases[i].name, j);
        world_free(&world);
    }
}

/* RFC 9875 §2: a group means something within its origin alone. */
static void groups_end_at_their_origin(void **state)
{
    static const struct answer stock[] = {
        {.host = "a", .tag_field = "Cache-Groups", .tag_value = "\"g\""},
        {.host = "a", .is_tls = true, .tag_field = "Cache-Groups", .tag_value = "\"g\""},
        {.host = "b", .tag_field = "Cache-Groups", .tag_value = "\"g\""},
        {.host = "a", .target = "/2", .tag_field = "Cache-Tag", .tag_value = "g"}};
    struct world world = world_new(1 << 22, 1 << 20);
    struct cache_key key = key_of(&world, &stock[0]);
    struct str tag = cache_group_tag(&key, STR("g"), world.arena);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(stock); i++)
        assert_true(store(&world, &stock[i]));
    cache_invalidate(world.cache, &(struct purge){.kind = PURGE_TAG, .text = tag});
    assert_false(has(&world, &stock[0]));
    assert_true(has(&world, &stock[1]));
    assert_true(has(&world, &stock[2]));
    assert_true(has(&world, &stock[3]));
    assert_int_equal(purged(&world, tag_purge("g")), 3); /* an operator means all of them */
    world_free(&world);
}

/* More links in one chain than a step of the walk takes, of several tags, some of one entry. */
static void a_long_chain_is_walked_in_steps(void **state)
{
    struct world world = world_new(1 << 26, 1 << 20);
    char target[32];

    (void)state;
    for (int i = 0; i < 40000; i++) {
        snprintf(target, sizeof(target), "/%d", i);
        assert_true(store(&world, &(struct answer){.target = target,
                                                   .tag = i % 2 == 0 ? "even" : "odd",
                                                   .tag_field = "Cache-Tag",
                                                   .tag_value = "all, all, more"}));
    }
    assert_int_equal(
        purged(&world, (struct purge){.kind = PURGE_TAG, .text = STR("more"), .dry_run = true}),
        40000);
    assert_int_equal(purged(&world, tag_purge("even")), 20000);
    assert_int_equal(purged(&world, tag_purge("all")), 20000);
    assert_int_equal(counts_of(&world).entries, 0);
    world_free(&world);
}

static void a_walk_out_of_time_purges_all_the_same(void **state)
{
    struct world world = world_new(1 << 26, 1 << 20);
    struct purge purge = {.kind = PURGE_GLOB, .text = STR("/*"), .walk_us = 1};
    struct purge_result result;
    char target[32];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        snprintf(target, sizeof(target), "/%d", i);
        assert_true(store(&world, &(struct answer){.target = target}));
    }
    cache_purge(world.cache, &purge, START_US, world.arena, &result);
    assert_true(result.is_done && !result.complete);
    assert_true(result.matched < 20000);
    for (int i = 0; i < 20000; i += 97) {
        snprintf(target, sizeof(target), "/%d", i);
        assert_false(has(&world, &(struct answer){.target = target}));
    }
    cache_sweep(world.cache, START_US, 100000);
    assert_int_equal(counts_of(&world).entries, 0);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_names_its_answer),
        cmocka_unit_test(what_a_purge_could_miss_is_not_stored),
        cmocka_unit_test(a_tag_too_many_in_all_refuses_the_answer),
        cmocka_unit_test(a_tag_goes_with_its_last_entry),
        cmocka_unit_test(a_mark_takes_all_at_once_and_spares_what_comes_after),
        cmocka_unit_test(a_soft_mark_makes_stale),
        cmocka_unit_test(every_kind_can_be_marked),
        cmocka_unit_test(groups_end_at_their_origin),
        cmocka_unit_test(a_long_chain_is_walked_in_steps),
        cmocka_unit_test(a_walk_out_of_time_purges_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
