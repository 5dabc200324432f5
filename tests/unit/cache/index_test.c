/* index_test.c - storing and finding: replacement, variants, ages, freshening. */
#include "cache_fixture.h"

static void stored_answer_is_found_whole(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer answer = {.body = "hello", .etag = "\"v1\""};
    struct cache_entry *entry;
    struct http_fields fields;
    struct cache_meta meta;

    (void)state;
    assert_null(find(&world, &answer, NULL));
    assert_true(store(&world, &answer));
    entry = find(&world, &answer, NULL);
    assert_non_null(entry);
    meta = cache_entry_meta(entry);
    assert_int_equal(meta.status, 200);
    assert_true(str_eq(meta.body, STR("hello")));
    assert_true(str_eq(cache_entry_validators(entry).etag, STR("\"v1\"")));
    assert_true(cache_entry_fields(entry, world.arena, &fields));
    assert_int_equal(fields.count, 2);
    assert_true(str_eq(http_fields_get(&fields, HTTP_CONTENT_TYPE), STR("text/plain")));
    assert_true(str_eq(cache_entry_field(entry, HTTP_CONTENT_TYPE), STR("text/plain")));
    assert_null(http_fields_get(&fields, HTTP_CONTENT_LENGTH).ptr);
    assert_int_equal(cache_entry_age_s(entry, START_US + 10 * SECOND_US), 10);
    assert_int_equal(cache_entry_ttl_s(entry, START_US + 10 * SECOND_US), 50);
    assert_int_equal(cache_entry_ttl_s(entry, START_US + 70 * SECOND_US), -10);
    cache_entry_release(&entry);
    world_free(&world);
}

static void a_newer_answer_replaces_the_older(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer first = {.body = "one"}, second = {.body = "two", .has_no_length = true};
    struct cache_entry *held, *entry;

    (void)state;
    assert_true(store(&world, &first));
    held = find(&world, &first, NULL);
    assert_true(store(&world, &second));
    entry = find(&world, &first, NULL);
    assert_true(str_eq(cache_entry_meta(entry).body, STR("two")));
    assert_true(str_eq(cache_entry_meta(held).body, STR("one"))); /* still whole for its holder */
    assert_int_equal(counts_of(&world).entries, 1);
    cache_entry_release(&held);
    cache_entry_release(&entry);
    world_free(&world);
}

static void variants_are_chosen_by_vary(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer gzip = {.vary = "X-Kind", .header = "X-Kind", .value = "g", .body = "g"};
    struct answer plain = {.vary = "X-Kind", .header = "X-Kind", .value = "p", .body = "p"};
    struct answer other = {.header = "X-Kind", .value = "z"};
    struct cache_entry *entry;
    bool vary_missed = true;

    (void)state;
    assert_null(find(&world, &other, &vary_missed));
    assert_false(vary_missed);
    assert_true(store(&world, &gzip) && store(&world, &plain));
    assert_int_equal(counts_of(&world).entries, 2);
    entry = find(&world, &gzip, NULL);
    assert_true(str_eq(cache_entry_meta(entry).body, STR("g")));
    cache_entry_release(&entry);
    entry = find(&world, &plain, &vary_missed);
    assert_true(str_eq(cache_entry_meta(entry).body, STR("p")));
    cache_entry_release(&entry);
    assert_false(vary_missed);
    assert_null(find(&world, &other, &vary_missed));
    assert_true(vary_missed);
    world_free(&world);
}

static void at_most_sixteen_variants_the_oldest_leaves(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    char value[8];
    struct answer answer = {.vary = "X-Kind", .header = "X-Kind", .value = value};

    (void)state;
    for (int i = 0; i < 20; i++) {
        snprintf(value, sizeof(value), "v%d", i);
        assert_true(store(&world, &answer));
    }
    assert_int_equal(counts_of(&world).entries, 16);
    for (int i = 0; i < 20; i++) {
        snprintf(value, sizeof(value), "v%d", i);
        assert_int_equal(has(&world, &answer), i >= 4);
    }
    world_free(&world);
}

static void another_vary_rule_sends_the_older_variants_away(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer old = {.body = "old"};
    struct answer new = {.vary = "X-Kind", .header = "X-Kind", .value = "1"};
    struct answer star = {.target = "/star", .vary = "*"};
    bool vary_missed;

    (void)state;
    assert_true(store(&world, &old) && store(&world, &new));
    assert_int_equal(counts_of(&world).entries, 1);
    assert_null(find(&world, &old, &vary_missed)); /* has no X-Kind */
    assert_true(vary_missed);
    assert_true(has(&world, &new));
    assert_false(store(&world, &star));
    world_free(&world);
}

static void thousands_of_keys_are_all_found(void **state)
{
    struct world world = world_new(64 << 20, 1 << 20);
    char target[32], tag[16];
    struct answer answer = {.target = target, .tag = tag, .body = "x"};

    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(target, sizeof(target), "/k/%d", i);
        snprintf(tag, sizeof(tag), "t%d", i % 300);
        assert_true(store(&world, &answer));
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(target, sizeof(target), "/k/%d", i);
        assert_true(has(&world, &answer));
    }
    assert_int_equal(counts_of(&world).entries, 5000);
    assert_int_equal(counts_of(&world).stores, 5000);
    world_free(&world);
}

static void a_304_makes_a_new_entry_with_the_old_body(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer answer = {.body = "body", .etag = "\"v1\"", .lifetime_s = 5};
    struct answer update = {.etag = "\"v1\"", .lifetime_s = 100};
    struct cache_entry *old, *fresh, *again;
    struct intent_parts p;
    struct http_fields fields, kept;

    (void)state;
    assert_true(store(&world, &answer));
    old = find(&world, &answer, NULL);
    intent_of(&world, &update, &p);
    fields = fields_with(world.arena, "X-New", "yes");
    fresh = cache_freshen(world.cache, old, &fields, &p.intent);
    assert_non_null(fresh);
    assert_true(cache_entry_meta(fresh).body.ptr == cache_entry_meta(old).body.ptr);
    assert_int_equal(cache_entry_ttl_s(fresh, START_US), 100);
    assert_true(cache_entry_fields(fresh, world.arena, &kept));
    assert_true(str_eq(http_fields_find(&kept, STR("x-new")), STR("yes")));
    assert_null(cache_freshen(world.cache, old, &fields, &p.intent)); /* it is no longer there */
    again = find(&world, &answer, NULL);
    assert_ptr_equal(again, fresh);
    assert_int_equal(counts_of(&world).entries, 1);
    cache_entry_release(&old);
    cache_entry_release(&fresh);
    assert_true(str_eq(cache_entry_meta(again).body, STR("body")));
    cache_entry_release(&again);
    world_free(&world);
}

static void counts_stand_by_route(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer a = {.target = "/a", .route = "ra"}, b = {.target = "/b", .route = "rb"};
    struct cache_counts counts;

    (void)state;
    assert_true(store(&world, &a) && store(&world, &a) && store(&world, &b));
    assert_true(cache_route_counts(world.cache, STR("ra"), &counts));
    assert_int_equal(counts.entries, 1);
    assert_int_equal(counts.stores, 2);
    assert_true(counts.memory_bytes > 0);
    assert_false(cache_route_counts(world.cache, STR("none"), &counts));
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_answer_is_found_whole),
        cmocka_unit_test(a_newer_answer_replaces_the_older),
        cmocka_unit_test(variants_are_chosen_by_vary),
        cmocka_unit_test(at_most_sixteen_variants_the_oldest_leaves),
        cmocka_unit_test(another_vary_rule_sends_the_older_variants_away),
        cmocka_unit_test(thousands_of_keys_are_all_found),
        cmocka_unit_test(a_304_makes_a_new_entry_with_the_old_body),
        cmocka_unit_test(counts_stand_by_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
