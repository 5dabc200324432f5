/* part_test.c - two stored parts become one, or the whole, or stay what they are. */
#include "cache_fixture.h"

static const char letters[] = "0123456789";

/* Stored under the part's key: bytes first..last of `letters`. */
static struct cache_entry *store_part(struct world *world, const char *etag, unsigned first,
                                      unsigned last, uint64_t stamp)
{
    struct answer answer = {.etag = etag, .stamp = stamp};
    struct intent_parts p;
    struct cache_key part;
    struct fill *fill = fill_new(world->cache, world->loop, no_room, NULL);
    struct fill_head head;
    bool vary_missed;

    intent_of(world, &answer, &p);
    assert_true(cache_key_of_part(world->cache, &p.key, STR_NONE, world->arena, &part));
    p.intent.key = &part;
    assert_true(http_fields_add_id(&p.fields, HTTP_CONTENT_RANGE,
                                   arena_printf(world->arena, "bytes %u-%u/10", first, last)));
    head = (struct fill_head){206, &p.fields, true, last - first + 1};
    assert_true(fill_begin(fill, &head, &p.intent));
    assert_true(fill_write(fill, str_at(letters + first, last - first + 1)));
    assert_true(fill_end(&fill));
    return cache_find(world->cache, &part, &p.request, false, world->arena, &vary_missed);
}

static const struct {
    const char *name;
    const char *older_tag;
    unsigned older[2];
    const char *newer_tag;
    unsigned newer[2];
    const char *want_part, *want_range; /* NULL: as the newer was */
    bool is_whole;
} cases[] = {
    {"side by side", "\"a\"", {0, 3}, "\"a\"", {4, 6}, "0123456", "bytes 0-6/10", false},
    {"the other way round", "\"a\"", {4, 6}, "\"a\"", {0, 3}, "0123456", "bytes 0-6/10", false},
    {"overlapping", "\"a\"", {1, 5}, "\"a\"", {3, 7}, "1234567", "bytes 1-7/10", false},
    {"within the older", "\"a\"", {1, 7}, "\"a\"", {3, 4}, "1234567", "bytes 1-7/10", false},
    {"all of it", "\"a\"", {0, 4}, "\"a\"", {5, 9}, NULL, NULL, true},
    {"a hole between", "\"a\"", {0, 3}, "\"a\"", {5, 9}, NULL, NULL, false},
    {"another tag", "\"a\"", {0, 4}, "\"b\"", {5, 9}, NULL, NULL, false},
    {"weak tags", "W/\"a\"", {0, 4}, "W/\"a\"", {5, 9}, NULL, NULL, false},
    {"no tags", NULL, {0, 4}, NULL, {5, 9}, NULL, NULL, false},
    {"the newer holds the older", "\"a\"", {3, 4}, "\"a\"", {1, 7}, NULL, NULL, false},
};

static void check_case(size_t i, uint64_t purged)
{
    struct world world = world_new(1 << 20, 1 << 16);
    struct answer answer = {.etag = cases[i].newer_tag};
    uint64_t stamp = cache_stamp(world.cache);
    struct cache_entry *older, *newer, *part, *whole;
    struct intent_parts p;
    struct cache_key key;
    bool vary_missed, is_joined = purged == 0 && cases[i].want_part != NULL;

    older = store_part(&world, cases[i].older_tag, cases[i].older[0], cases[i].older[1], stamp);
    if (purged > 0)
        cache_invalidate(world.cache, &(struct purge){.kind = PURGE_URL, .text = STR("/a")});
    newer = store_part(&world, cases[i].newer_tag, cases[i].newer[0], cases[i].newer[1],
                       cache_stamp(world.cache));
    assert_non_null(older);
    assert_non_null(newer);
    intent_of(&world, &answer, &p);
    assert_true(cache_key_of_part(world.cache, &p.key, STR_NONE, world.arena, &key));
    p.intent.key = &key;
    cache_join_parts(world.cache, older, newer, &p.key, &p.intent);

    part = cache_find(world.cache, &key, &p.request, false, world.arena, &vary_missed);
    whole = find(&world, &answer, NULL);
    if ((whole != NULL) != (cases[i].is_whole && purged == 0) || (part == NULL) != (whole != NULL))
        fail_msg("%s: whole %d, part %d", cases[i].name, whole != NULL, part != NULL);
    if (whole != NULL) {
        struct cache_meta meta = cache_entry_meta(whole);

        assert_int_equal(meta.status, 200);
        assert_true(str_eq(meta.body, str_of(letters)));
        assert_int_equal(cache_entry_field(whole, HTTP_CONTENT_RANGE).len, 0);
    } else {
        struct cache_meta meta = cache_entry_meta(part);

        if ((part != newer) != is_joined)
            fail_msg("%s: joined %d", cases[i].name, part != newer);
        if (is_joined &&
            (!str_eq(meta.body, str_of(cases[i].want_part)) ||
             !str_eq(cache_entry_field(part, HTTP_CONTENT_RANGE), str_of(cases[i].want_range))))
            fail_msg("%s: got %.*s", cases[i].name, STR_ARG(meta.body));
    }
    cache_entry_release(&whole);
    cache_entry_release(&part);
    cache_entry_release(&newer);
    cache_entry_release(&older);
    world_free(&world);
}

static void two_parts_meet(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_case(i, 0);
}

static void nothing_is_made_of_what_was_purged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_case(i, 1);
}

static void keys_of_parts_are_their_own(void **state)
{
    struct world world = world_new(1 << 20, 1 << 16);
    struct cache_key whole = key_of(&world, &(struct answer){0}), part, odd, other;

    (void)state;
    assert_false(cache_has_parts(world.cache));
    assert_true(cache_key_of_part(world.cache, &whole, STR_NONE, world.arena, &part));
    assert_true(cache_key_of_part(world.cache, &whole, STR("bytes=0-1"), world.arena, &odd));
    assert_true(cache_key_of_part(world.cache, &whole, STR("bytes=0-2"), world.arena, &other));
    assert_true(cache_has_parts(world.cache));
    assert_false(str_eq(whole.text, part.text));
    assert_false(str_eq(part.text, odd.text));
    assert_false(str_eq(odd.text, other.text));
    assert_int_equal(whole.url_hash, odd.url_hash); /* one purge for all */
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_parts_meet),
        cmocka_unit_test(nothing_is_made_of_what_was_purged),
        cmocka_unit_test(keys_of_parts_are_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
