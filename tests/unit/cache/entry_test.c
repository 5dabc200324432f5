/* entry_test.c - what an entry keeps in few bytes is what was put in: fields of every
 * spelling and length, dates far away, labels that the key holds and others, and what it
 * costs. */
#include "cache/cache_priv.h"

#include "cache_fixture.h"

static struct cache_entry *made_of(const struct world *world, const struct answer *answer,
                                   const struct http_fields *fields, const char *path)
{
    struct intent_parts p;

    intent_of(world, answer, &p);
    if (path != NULL) {
        p.key.path = str_of(path);
        p.key.url_hash = url_hash_of(world->cache, p.key.path, p.key.query);
    }
    return entry_new(world->cache, 200, fields != NULL ? fields : &p.fields, &p.intent, 0);
}

/* ---- fields ---- */

static const struct {
    const char *name;
    size_t value_len;
    bool is_kept;
} fields_cases[] = {
    {"Content-Type", 10, true},
    {"content-type", 10, true},
    {"X-Unknown-Name", 3, true},
    {"ETag", 0, true},
    {"x", 0, true},
    {"Cache-Control", 127, true},
    {"Cache-Control", 128, true},
    {"X-Long", 16383, true},
    {"X-Long", 16384, true},
    {"X-Longer", 100000, true},
    {"Content-Length", 1, false},
    {"Age", 1, false},
    {"Transfer-Encoding", 7, false},
    {"VIA", 5, true},
};

static void fields_come_out_as_they_went_in(void **state)
{
    struct world world = world_new(4 << 20, 1 << 20);
    struct http_fields in, out;
    struct cache_entry *entry;
    uint32_t at = 0;
    char *value = malloc(100000);
    char name[300];

    (void)state;
    memset(value, 'v', 100000);
    memset(name, 'n', sizeof(name));
    assert_true(http_fields_init(&in, world.arena, 4));
    for (size_t i = 0; i < COUNT_OF(fields_cases); i++)
        assert_true(http_fields_add(&in, str_of(fields_cases[i].name),
                                    str_at(value, fields_cases[i].value_len)));
    assert_true(http_fields_add(&in, str_at(name, sizeof(name)), STR("a long name")));
    entry = made_of(&world, &(struct answer){0}, &in, NULL);
    assert_non_null(entry);
    assert_true(cache_entry_fields(entry, world.arena, &out));
    for (size_t i = 0; i < COUNT_OF(fields_cases); i++) {
        if (!fields_cases[i].is_kept)
            continue;
        if (!str_eq(out.at[at].name, in.at[i].name) || out.at[at].id != in.at[i].id ||
            out.at[at].value.ptr == NULL || !str_eq(out.at[at].value, in.at[i].value))
            fail_msg("%s of %zu bytes", fields_cases[i].name, fields_cases[i].value_len);
        at++;
    }
    assert_true(str_eq(out.at[at].name, str_at(name, sizeof(name))));
    assert_int_equal(out.count, at + 1);
    assert_true(cache_entry_field(entry, HTTP_ETAG).ptr != NULL); /* empty is not absent */
    assert_null(cache_entry_field(entry, HTTP_DATE).ptr);
    cache_entry_release(&entry);
    assert_int_equal(counts_of(&world).memory_bytes, 0);
    free(value);
    world_free(&world);
}

/* ---- dates ---- */

static const struct {
    const char *modified;
    int64_t want_s;
} dates[] = {
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
    {"Fri, 01 Jan 2200 00:00:00 GMT", INT64_C(7258118400)},
    {"yesterday", HTTP_NO_TIME},
    {NULL, HTTP_NO_TIME},
};

static void dates_of_any_century_are_kept(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(dates); i++) {
        struct http_fields fields = fields_with(
            world.arena, dates[i].modified != NULL ? "Last-Modified" : NULL, dates[i].modified);
        struct cache_entry *entry = made_of(&world, &(struct answer){0}, &fields, NULL);
        int64_t got = cache_entry_validators(entry).last_modified_s;

        if (got != dates[i].want_s)
            fail_msg("%s: got %" PRId64 ", want %" PRId64, dates[i].modified, got, dates[i].want_s);
        assert_int_equal(cache_entry_validators(entry).date_s, 1);
        cache_entry_release(&entry);
    }
    world_free(&world);
}

/* ---- the text ---- */

static const struct {
    const char *name;
    struct answer answer;
    const char *path; /* matched by another spelling than is sent; NULL: the same */
    const char *want_path_query, *want_label;
    bool is_in_key;
} labels[] = {
    {"plain", {.target = "/a"}, NULL, "/a", "example.com/a", true},
    {"with a query", {.target = "/a?b=c"}, NULL, "/a?b=c", "example.com/a?b=c", true},
    {"with an empty one", {.target = "/a?"}, NULL, "/a?", "example.com/a?", true},
    {"of a user", {.target = "/a", .user = "u"}, NULL, "/a", "example.com/a [u]", true},
    {"rewritten", {.target = "/b?c", .user = "u"}, "/a", "/a?c", "example.com/a?c [u]", false},
    {"longer than sent", {.target = "/"}, "/a/b/c", "/a/b/c", "example.com/a/b/c", false},
};

static void labels_are_read_from_the_key_or_beside_it(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(labels); i++) {
        struct cache_entry *entry = made_of(&world, &labels[i].answer, NULL, labels[i].path);
        struct cache_key key = key_of(&world, &labels[i].answer);
        struct str label = entry_label(entry, world.arena);

        if (!str_eq(entry_key(entry), key.text) || !str_eq(label, str_of(labels[i].want_label)) ||
            !str_eq(entry_path_query(entry), str_of(labels[i].want_path_query)) ||
            !str_eq(entry_user(entry), key.user) || !str_eq(entry_host(entry), key.host) ||
            (entry->label_at < entry->key_len) != labels[i].is_in_key)
            fail_msg("%s: got %.*s", labels[i].name, STR_ARG(label));
        assert_int_equal(shard_of_entry(entry) - world.cache->shards, entry_url_hash(entry) >> 58);
        cache_entry_release(&entry);
    }
    world_free(&world);
}

static void a_part_s_label_is_in_its_key_too(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct intent_parts p;
    struct cache_key part;
    struct cache_entry *entry;

    (void)state;
    intent_of(&world, &(struct answer){.target = "/a?q", .vary = "X", .header = "X", .value = "1"},
              &p);
    assert_true(cache_key_of_part(world.cache, &p.key, STR("bytes=0-1"), world.arena, &part));
    p.intent.key = &part;
    entry = entry_new(world.cache, 206, &p.fields, &p.intent, 0);
    assert_true(str_eq(entry_path_query(entry), STR("/a?q")));
    assert_true(entry->label_at < entry->key_len);
    assert_true(str_eq(entry_vary_names(entry), STR("x")));
    assert_true(entry_vary_key(entry).len > 0);
    cache_entry_release(&entry);
    world_free(&world);
}

static void what_no_entry_can_say_is_not_kept(void **state)
{
    struct world world = world_new(4 << 20, 1 << 20);
    char *target = malloc(70000);
    struct answer answer = {.target = target, .body = "b"};

    (void)state;
    memset(target, 'a', 70000);
    target[0] = '/';
    target[69999] = '\0';
    assert_false(store(&world, &answer));
    target[60000] = '\0';
    assert_true(store(&world, &answer));
    assert_true(has(&world, &answer));
    free(target);
    world_free(&world);
}

/* ---- what it costs ---- */

static void a_kibibyte_costs_a_quarter_more_at_most(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)state; /* memory is dealt out otherwise */
#else
    struct world world = world_new(4 << 20, 1 << 20);

    (void)state;
    for (int has_no_length = 0; has_no_length < 2; has_no_length++) {
        struct answer answer = {
            .target = "/products/1000", .body_bytes = 1024, .has_no_length = has_no_length};
        uint64_t content =
            1024 + key_of(&world, &answer).text.len + strlen("Content-Typetext/plain");

        assert_true(store(&world, &answer));
        assert_true(counts_of(&world).memory_bytes <= content * 5 / 4);
    }
    world_free(&world);
#endif
}

/* A 304 shares a body that lies in the entry before: that one stays, and stays charged. */
static void the_first_of_a_row_holds_the_body(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer answer = {.body_bytes = 1000, .etag = "\"v1\"", .tag = "t"};
    struct http_fields update = fields_with(world.arena, "X-New", "yes");
    struct cache_entry *entry, *fresh;
    uint64_t after_one = 0;

    (void)state;
    assert_true(store(&world, &answer));
    entry = find(&world, &answer, NULL);
    for (int i = 0; i < 5; i++) {
        struct intent_parts p;

        intent_of(&world, &answer, &p);
        fresh = cache_freshen(world.cache, entry, &update, &p.intent);
        assert_non_null(fresh);
        assert_ptr_equal(cache_entry_meta(fresh).body.ptr, cache_entry_meta(entry).body.ptr);
        cache_entry_release(&entry);
        entry = fresh;
        if (i == 0)
            after_one = counts_of(&world).memory_bytes;
        assert_int_equal(counts_of(&world).memory_bytes, after_one); /* nothing piles up */
    }
    cache_drop(world.cache, entry);
    cache_entry_release(&entry);
    assert_int_equal(counts_of(&world).memory_bytes, 0);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_come_out_as_they_went_in),
        cmocka_unit_test(dates_of_any_century_are_kept),
        cmocka_unit_test(labels_are_read_from_the_key_or_beside_it),
        cmocka_unit_test(a_part_s_label_is_in_its_key_too),
        cmocka_unit_test(what_no_entry_can_say_is_not_kept),
        cmocka_unit_test(a_kibibyte_costs_a_quarter_more_at_most),
        cmocka_unit_test(the_first_of_a_row_holds_the_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
