/* coded_test.c - coded copies: made once, charged, kept through a 304, gone with the body. */
#include "cache_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

static uint64_t used(const struct world *world)
{
    return counts_of(world).memory_bytes;
}

static uint64_t used_of_route(const struct world *world)
{
    struct cache_counts counts;

    assert_true(cache_route_counts(world->cache, STR("r"), &counts));
    return counts.memory_bytes;
}

static void a_copy_is_made_once_and_reads_as_the_body(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer answer = {.body_bytes = 5000};
    struct cache_entry *entry;
    struct str coded;

    (void)state;
    assert_true(store(&world, &answer));
    entry = find(&world, &answer, NULL);
    for (enum codec_kind kind = 0; kind < CODEC_KINDS; kind++) {
        char plain[5001];
        struct codec *decoder = codec_decoder_new(kind, 5000, 0);
        struct codec_io io = {.out = plain, .room = sizeof(plain)};

        assert_int_equal(cache_entry_coded(entry, kind, &coded), CACHE_CODED_NONE);
        assert_true(cache_entry_claim_coding(entry, kind));
        assert_false(cache_entry_claim_coding(entry, kind));
        assert_int_equal(cache_entry_coded(entry, kind, &coded), CACHE_CODED_MAKING);
        cache_entry_code(entry, kind);
        assert_int_equal(cache_entry_coded(entry, kind, &coded), CACHE_CODED_READY);
        assert_false(cache_entry_claim_coding(entry, kind));
        io.in = coded;
        assert_int_equal(codec_run(decoder, &io, CODEC_FINISH), CODEC_DONE);
        assert_int_equal(io.room, 1);
        assert_memory_equal(plain, cache_entry_meta(entry).body.ptr, 5000);
        codec_free(&decoder);
    }
    cache_entry_release(&entry);
    world_free(&world);
}

static void copies_are_charged_and_given_back(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer answer = {.body_bytes = 5000};
    struct cache_entry *entry;
    uint64_t plain;

    (void)state;
    assert_true(store(&world, &answer));
    plain = used(&world);
    assert_int_equal(used_of_route(&world), plain);
    entry = find(&world, &answer, NULL);
    for (enum codec_kind kind = 0; kind < CODEC_KINDS; kind++) {
        uint64_t before = used(&world);

        assert_true(cache_entry_claim_coding(entry, kind));
        cache_entry_code(entry, kind);
        assert_true(used(&world) > before);
    }
    assert_true(used_of_route(&world) > plain);
    cache_entry_release(&entry);
    assert_true(store(&world, &answer)); /* replaces it */
    assert_int_equal(used(&world), plain);
    assert_int_equal(used_of_route(&world), plain);
    world_free(&world);
}

static void what_does_not_shrink_is_remembered(void **state)
{
    static const char noise[] = "q8#zP!0xV~m4&Jd@1kR%7tY^bN*2wG(5fH)u";
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer answer = {.body = noise}, empty = {.target = "/empty"};
    struct cache_entry *entry;
    struct str coded;

    (void)state;
    assert_true(store(&world, &answer));
    entry = find(&world, &answer, NULL);
    assert_true(cache_entry_claim_coding(entry, CODEC_GZIP));
    cache_entry_code(entry, CODEC_GZIP);
    assert_int_equal(cache_entry_coded(entry, CODEC_GZIP, &coded), CACHE_CODED_USELESS);
    assert_false(cache_entry_claim_coding(entry, CODEC_GZIP));
    assert_true(cache_entry_claim_coding(entry, CODEC_ZSTD)); /* the others may */
    cache_entry_code(entry, CODEC_ZSTD);
    cache_entry_release(&entry);

    assert_true(store(&world, &empty));
    entry = find(&world, &empty, NULL);
    assert_int_equal(cache_entry_coded(entry, CODEC_GZIP, &coded), CACHE_CODED_USELESS);
    assert_false(cache_entry_claim_coding(entry, CODEC_GZIP));
    cache_entry_release(&entry);
    world_free(&world);
}

static void a_304_keeps_the_copies(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer answer = {.body_bytes = 5000, .etag = "\"v1\""};
    struct http_fields update = fields_with(world.arena, "Cache-Control", "max-age=60");
    struct cache_entry *entry, *fresh;
    struct intent_parts p;
    struct str coded;
    uint64_t before;

    (void)state;
    assert_true(store(&world, &answer));
    entry = find(&world, &answer, NULL);
    assert_true(cache_entry_claim_coding(entry, CODEC_BROTLI));
    cache_entry_code(entry, CODEC_BROTLI);
    before = used_of_route(&world);
    intent_of(&world, &answer, &p);
    fresh = cache_freshen(world.cache, entry, &update, &p.intent);
    assert_non_null(fresh);
    cache_entry_release(&entry);
    assert_int_equal(cache_entry_coded(fresh, CODEC_BROTLI, &coded), CACHE_CODED_READY);
    assert_true(used_of_route(&world) >= before); /* its own block has a field more */
    cache_entry_release(&fresh);
    world_free(&world);
}

static void four_are_made_at_once(void **state)
{
    static const char *const targets[] = {"/1", "/2", "/3", "/4", "/5"};
    struct world world = world_new(1 << 20, 1 << 20);
    struct cache_entry *entries[COUNT_OF(targets)];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct answer answer = {.target = targets[i], .body_bytes = 2000};

        assert_true(store(&world, &answer));
        entries[i] = find(&world, &answer, NULL);
        assert_int_equal(cache_entry_claim_coding(entries[i], CODEC_GZIP), i < 4);
    }
    for (size_t i = 0; i < 4; i++)
        cache_entry_code(entries[i], CODEC_GZIP);
    assert_true(cache_entry_claim_coding(entries[4], CODEC_GZIP));
    cache_entry_code(entries[4], CODEC_GZIP);
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        cache_entry_release(&entries[i]);
    world_free(&world);
}

/* The body and its copies outlive the cache in the hands of who sends them. */
static void a_purged_entry_gives_all_back_with_its_last_holder(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer answer = {.body_bytes = 5000};
    struct purge purge = {.kind = PURGE_ALL};
    struct purge_result result;
    struct cache_entry *entry;
    struct str coded;

    (void)state;
    assert_true(store(&world, &answer));
    entry = find(&world, &answer, NULL);
    assert_true(cache_entry_claim_coding(entry, CODEC_ZSTD));
    cache_purge(world.cache, &purge, START_US, world.arena, &result);
    cache_entry_code(entry, CODEC_ZSTD); /* while it was being made */
    assert_int_equal(cache_entry_coded(entry, CODEC_ZSTD, &coded), CACHE_CODED_READY);
    assert_true(used(&world) > 5000);
    cache_entry_release(&entry);
    assert_int_equal(used(&world), 0);
    world_free(&world);
}

/* ---- several threads ---- */

enum { THREADS = 3, ROUNDS = 300, BODY_BYTES = 3000 };
static atomic_int made;

static void *ask_for_copies(void *arg)
{
    struct cache_entry *entry = arg;

    for (int i = 0; i < ROUNDS; i++) {
        enum codec_kind kind = (enum codec_kind)(i % CODEC_KINDS);
        struct str coded = STR("");

        switch (cache_entry_coded(entry, kind, &coded)) {
        case CACHE_CODED_READY:
            CHECK(coded.len > 0 && coded.len < BODY_BYTES);
            break;
        case CACHE_CODED_NONE:
            if (cache_entry_claim_coding(entry, kind)) {
                cache_entry_code(entry, kind);
                atomic_fetch_add(&made, 1);
            }
            break;
        case CACHE_CODED_MAKING:
        case CACHE_CODED_USELESS:
            break;
        }
    }
    return NULL;
}

/* Each makes what nobody has made, while the entry is replaced and freshened. */
static void threads_make_each_copy_once(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct answer answer = {.body_bytes = BODY_BYTES, .etag = "\"v1\""};

    (void)state;
    for (int round = 0; round < 20; round++) {
        struct http_fields update = fields_with(world.arena, "Cache-Control", "max-age=60");
        struct cache_entry *entry, *fresh;
        struct intent_parts parts;
        pthread_t threads[THREADS];

        atomic_store(&made, 0);
        assert_true(store(&world, &answer));
        entry = find(&world, &answer, NULL);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, ask_for_copies, entry), 0);
        intent_of(&world, &answer, &parts);
        fresh = cache_freshen(world.cache, entry, &update, &parts.intent);
        assert_non_null(fresh);
        assert_true(store(&world, &answer));
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&made), CODEC_KINDS);
        cache_entry_release(&fresh);
        cache_entry_release(&entry);
    }
    struct purge purge = {.kind = PURGE_ALL};
    struct purge_result result;

    cache_purge(world.cache, &purge, START_US, world.arena, &result);
    assert_int_equal(counts_of(&world).entries, 0);
    assert_int_equal(used(&world), 0);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_made_once_and_reads_as_the_body),
        cmocka_unit_test(copies_are_charged_and_given_back),
        cmocka_unit_test(what_does_not_shrink_is_remembered),
        cmocka_unit_test(a_304_keeps_the_copies),
        cmocka_unit_test(four_are_made_at_once),
        cmocka_unit_test(threads_make_each_copy_once),
        cmocka_unit_test(a_purged_entry_gives_all_back_with_its_last_holder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
