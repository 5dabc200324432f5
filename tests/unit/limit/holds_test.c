/* holds_test.c - requests at a time, tier overrides, and the sketch of who comes most. */
#include "limit/limit_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const struct hash_key seed = {{17, 42}};

static struct hash128 client(uint64_t number)
{
    return hash_sip128(&seed, str_at((const char *)&number, sizeof(number)));
}

static void at_most_so_many_at_a_time(void **state)
{
    struct limiter *limiter = limiter_new(100, &seed);
    uint32_t in_use;

    (void)state;
    assert_non_null(limiter);
    assert_true(limit_hold(limiter, client(1), 2, &in_use));
    assert_int_equal(in_use, 1);
    assert_true(limit_hold(limiter, client(1), 2, &in_use));
    assert_false(limit_hold(limiter, client(1), 2, &in_use));
    assert_int_equal(in_use, 2);
    assert_true(limit_hold(limiter, client(2), 1, &in_use)); /* another one's are their own */
    limit_hold_drop(limiter, client(1));
    assert_true(limit_hold(limiter, client(1), 2, &in_use));
    limit_hold_drop(limiter, client(1));
    limit_hold_drop(limiter, client(1));
    assert_int_equal(limit_held(limiter, client(1)), 0);
    assert_int_equal(limit_held(limiter, client(2)), 1);
    limiter_free(&limiter);
}

static void an_override_ends(void **state)
{
    struct limiter *limiter = limiter_new(100, &seed);
    char tier[LIMIT_TIER_MAX];

    (void)state;
    assert_false(limit_overridden(limiter, client(1), 0, tier));
    assert_true(limit_override(limiter, client(1), STR("premium"), 100, 0));
    assert_true(limit_override(limiter, client(2), STR("internal"), UINT64_MAX, 0));
    assert_true(limit_overridden(limiter, client(1), 99, tier));
    assert_string_equal(tier, "premium");
    assert_true(limit_override(limiter, client(1), STR("free"), 200, 0)); /* the last word counts */
    assert_true(limit_overridden(limiter, client(1), 150, tier));
    assert_string_equal(tier, "free");
    assert_false(limit_overridden(limiter, client(1), 200, tier));
    assert_true(limit_overridden(limiter, client(2), UINT64_MAX - 1, tier));
    assert_true(limit_override(limiter, client(2), STR(""), 0, 0));
    assert_false(limit_overridden(limiter, client(2), 1, tier));
    limiter_free(&limiter);
}

static void overrides_are_bounded(void **state)
{
    struct limiter *limiter = limiter_new(100, &seed);

    (void)state;
    for (uint64_t i = 0; i < LIMIT_MAX_OVERRIDES; i++)
        assert_true(limit_override(limiter, client(i), STR("free"), 1000, 0));
    assert_false(limit_override(limiter, client(LIMIT_MAX_OVERRIDES), STR("free"), 1000, 0));
    limiter_free(&limiter);
}

/* Ten callers make most of the requests among a hundred thousand: the sketch finds them, and its
 * counts are never too low. */
static void the_top_is_found(void **state)
{
    enum { HEAVY = 10, LIGHT = 100000, EACH = 20000 };
    struct limiter *limiter = limiter_new(100, &seed);
    struct limit_top_row rows[HEAVY];
    char name[32];

    (void)state;
    for (uint64_t i = 0; i < HEAVY * EACH; i++) {
        uint64_t heavy = i % HEAVY, light = HEAVY + i % LIGHT;

        snprintf(name, sizeof(name), "key:%d", (int)heavy);
        limit_top_count(limiter, LIMIT_TOP_REFUSED, client(heavy), str_of(name));
        limit_top_count(limiter, LIMIT_TOP_REFUSED, client(light), STR("ip:light"));
    }
    assert_int_equal(limit_top_list(limiter, LIMIT_TOP_REFUSED, rows, HEAVY), HEAVY);
    for (int i = 0; i < HEAVY; i++) {
        assert_memory_equal(rows[i].name, "key:", 4);
        assert_true(rows[i].count >= EACH);
        assert_true(rows[i].count - rows[i].error <= EACH);
    }
    assert_int_equal(limit_top_list(limiter, LIMIT_TOP_SERVED, rows, HEAVY), 0);
    limiter_free(&limiter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_most_so_many_at_a_time),
        cmocka_unit_test(an_override_ends),
        cmocka_unit_test(overrides_are_bounded),
        cmocka_unit_test(the_top_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
