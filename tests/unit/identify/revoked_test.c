/* revoked_test.c - the set of revoked tokens: until when, how many, and how they are named. */
#include "identify/identify_priv.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const int64_t NOW_S = 1800000000;

static struct hash128 numbered(char kind, int number)
{
    char text[32];

    snprintf(text, sizeof(text), "%d", number);
    return revoked_name(kind, str_of(text));
}

static void kept_until_its_end(void **state)
{
    struct revoked *set = revoked_new();
    struct hash128 name = numbered('t', 1);

    (void)state;
    assert_non_null(set);
    assert_false(revoked_has(set, name, NOW_S));
    assert_int_equal(revoked_add(set, name, NOW_S + 10, NOW_S), REVOKED_NOW);
    assert_int_equal(revoked_add(set, name, NOW_S + 5, NOW_S), REVOKED_ALREADY);
    assert_true(revoked_has(set, name, NOW_S + 9));
    assert_false(revoked_has(set, name, NOW_S + 10));
    assert_false(revoked_has(set, numbered('t', 2), NOW_S));
    assert_false(revoked_has(set, numbered('j', 1), NOW_S)); /* a jti is no token */
    assert_int_equal(revoked_add(set, numbered('t', 3), NOW_S, NOW_S), REVOKED_ENDED);
    assert_int_equal(revoked_count(set), 1);
    assert_int_equal(revoked_total(set), 1);
    assert_int_equal(revoked_add(set, name, NOW_S + 20, NOW_S + 9), REVOKED_LONGER);
    assert_true(revoked_has(set, name, NOW_S + 19));
    assert_int_equal(revoked_total(set), 1);
    revoked_free(&set);
    assert_null(set);
}

static void what_has_ended_is_forgotten_and_the_rest_is_not(void **state)
{
    struct revoked *set = revoked_new();

    (void)state;
    assert_non_null(set);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(
            revoked_add(set, numbered('t', i), i % 2 == 0 ? NOW_S + 10 : INT64_MAX, NOW_S),
            REVOKED_NOW);
    revoked_sweep(set, NOW_S + 9);
    assert_int_equal(revoked_count(set), 5000);
    revoked_sweep(set, NOW_S + 10);
    assert_int_equal(revoked_count(set), 2500);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(revoked_has(set, numbered('t', i), NOW_S + 10), i % 2);
    /* room is found again without a sweep */
    for (int i = 0; i < 5000; i++)
        (void)!revoked_add(set, numbered('j', i), NOW_S + 20 + i, NOW_S + 10 + i);
    assert_true(revoked_count(set) <= 8192); /* half of what 5000 needed */
    revoked_free(&set);
}

static void full_is_said(void **state)
{
    struct revoked *set = revoked_new();
    struct hash128 name = {0, 0};
    int64_t refused = 0;

    (void)state;
    assert_non_null(set);
    for (uint64_t i = 1; i <= REVOKED_MOST + 10; i++) {
        name.lo = i * UINT64_C(0x9e3779b97f4a7c15);
        name.hi = i;
        refused += revoked_add(set, name, NOW_S + 10, NOW_S) == REVOKED_FULL;
    }
    assert_int_equal(refused, 10);
    name = (struct hash128){UINT64_C(0x9e3779b97f4a7c15), 1};
    assert_true(revoked_has(set, name, NOW_S));
    assert_false(revoked_has(set, numbered('t', 1), NOW_S));
    /* when they have ended there is room */
    assert_int_equal(revoked_add(set, numbered('t', 1), NOW_S + 99, NOW_S + 10), REVOKED_NOW);
    assert_int_equal(revoked_count(set), 1);
    revoked_free(&set);
}

/* ---- several threads ---- */

enum { ADDED = 3000 };

static void *add_some(void *arg)
{
    for (int i = 0; i < ADDED; i++)
        (void)!revoked_add(arg, numbered('t', i), NOW_S + 1 + i % 50, NOW_S);
    return NULL;
}

/* What is refused once stays refused, whoever sweeps meanwhile. */
static void *look_at_them(void *arg)
{
    static bool was_there[ADDED];

    for (int round = 0; round < 20; round++)
        for (int i = 0; i < ADDED; i++) {
            bool is_there = revoked_has(arg, numbered('t', i), NOW_S);

            assert_true(is_there || !was_there[i]);
            was_there[i] = is_there;
        }
    return NULL;
}

static void read_while_others_write(void **state)
{
    struct revoked *set = revoked_new();
    pthread_t threads[3];

    (void)state;
    assert_non_null(set);
    assert_int_equal(revoked_add(set, numbered('j', 0), NOW_S - 1, NOW_S - 2), REVOKED_NOW);
    assert_int_equal(pthread_create(&threads[0], NULL, add_some, set), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, add_some, set), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, look_at_them, set), 0);
    for (int i = 0; i < 200; i++) {
        (void)!revoked_add(set, numbered('j', i), NOW_S - 1, NOW_S - 2);
        revoked_sweep(set, NOW_S);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_true(revoked_has(set, numbered('t', ADDED - 1), NOW_S));
    assert_int_equal(revoked_count(set), ADDED);
    revoked_free(&set);
}

/* ---- naming a token ---- */

static const struct {
    const char *name, *text;
    int64_t want_until_s; /* 0: it is no token */
} texts[] = {
    {"with an end", "e30.eyJleHAiOjE5MDAwMDAwMDB9.AA", 1900000030},
    {"another signature", "e30.eyJleHAiOjE5MDAwMDAwMDB9.BB", 1900000030},
    {"without an end", "e30.e30.AA", INT64_MAX},
    {"an end that is text", "e30.eyJleHAiOiIxIn0.AA", 0},
    {"no JSON", "e30.AAAA.AA", 0},
    {"one dot", "e30.e30", 0},
    {"nothing", "", 0},
};

static void a_token_is_named_by_its_signed_part(void **state)
{
    struct tier_config tier = {.name = STR("free")};
    struct config config = {.tiers = &tier,
                            .tier_count = 1,
                            .limits = {.default_tier = STR("free")},
                            .identity = {.jwt = {.leeway_ms = 30000}}};
    struct hash_key seed = {{1, 2}};
    struct identify *identify = identify_new(&config, &seed, NULL, NULL);
    struct arena *arena = arena_new(4096, 1 << 20);
    struct identify_token tokens[COUNT_OF(texts)];

    (void)state;
    assert_non_null(identify);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        bool is_token = identify_token_of(identify, str_of(texts[i].text), arena, &tokens[i]);

        if (is_token != (texts[i].want_until_s != 0))
            fail_msg("%s: %d", texts[i].name, is_token);
        if (is_token && tokens[i].until_s != texts[i].want_until_s)
            fail_msg("%s: %" PRId64, texts[i].name, tokens[i].until_s);
    }
    assert_memory_equal(&tokens[0].name, &tokens[1].name, sizeof(tokens[0].name));
    assert_true(tokens[0].name.lo != tokens[2].name.lo);
    assert_int_equal(identify_token_of_id(identify, STR("1"), 1900000000).until_s, 1900000030);
    arena_free(&arena);
    identify_free(&identify);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_until_its_end),
        cmocka_unit_test(what_has_ended_is_forgotten_and_the_rest_is_not),
        cmocka_unit_test(full_is_said),
        cmocka_unit_test(read_while_others_write),
        cmocka_unit_test(a_token_is_named_by_its_signed_part),
    };
    return cmocka_run_group_tests_name("identify/revoked", tests, NULL, NULL);
}
