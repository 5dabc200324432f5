/* memory_test.c - decisions over several windows and policies, and the table's bound.
 *
 * What users are promised: all or nothing, exact counts, counters that outlive a reload, a
 * table that never passes its bound and that drops what nobody misses first. */
#include "limit/limit_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* What a row of these tables leaves out is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static const struct hash_key seed = {{17, 42}};
static const uint64_t S = 1000000;

#define SECOND                                                                                     \
    {                                                                                              \
        STR("second"), WINDOW_BUCKET, 5, 10, 1000                                                  \
    }
#define MINUTE                                                                                     \
    {                                                                                              \
        STR("minute"), WINDOW_SLIDING, 100, 100, 60000                                             \
    }
#define HOUR                                                                                       \
    {                                                                                              \
        STR("hour"), WINDOW_SLIDING, 1000, 1000, 3600000                                           \
    }
#define DAY                                                                                        \
    {                                                                                              \
        STR("day"), WINDOW_SLIDING, 5000, 5000, 86400000                                           \
    }
#define MONTH                                                                                      \
    {                                                                                              \
        STR("month"), WINDOW_CALENDAR, 9000, 9000, INT64_C(2678400000)                             \
    }
#define STRICT_TEN                                                                                 \
    {                                                                                              \
        STR("strict"), WINDOW_STRICT, 10, 10, 10000                                                \
    }
#define SIXTY                                                                                      \
    {                                                                                              \
        STR("minute"), WINDOW_SLIDING, 60, 60, 60000                                               \
    }
#define FOUR                                                                                       \
    {                                                                                              \
        STR("minute"), WINDOW_SLIDING, 4, 4, 60000                                                 \
    }
#define FIXED_MINUTE                                                                               \
    {                                                                                              \
        STR("minute"), WINDOW_FIXED, 100, 100, 60000                                               \
    }
#define LONG_MINUTE                                                                                \
    {                                                                                              \
        STR("minute"), WINDOW_SLIDING, 100, 100, 61000                                             \
    }
#define SLOW_SECOND                                                                                \
    {                                                                                              \
        STR("second"), WINDOW_BUCKET, 50, 5, 1000                                                  \
    }
#define FAST_SECOND                                                                                \
    {                                                                                              \
        STR("second"), WINDOW_BUCKET, 10, 40, 1000                                                 \
    }
#define FIXED_TEN                                                                                  \
    {                                                                                              \
        STR("fixed"), WINDOW_FIXED, 50, 50, 10000                                                  \
    }

static const struct window_set free_tier = {{SECOND, MINUTE, HOUR}, 3};
static const struct window_set only_minute = {{MINUTE}, 1};
static const struct window_set everything = {{MONTH, STRICT_TEN, FIXED_TEN, MINUTE, SECOND, HOUR},
                                             6};

static struct limit_time at(uint64_t mono_us)
{
    return (struct limit_time){mono_us, INT64_C(1700000000000000) + (int64_t)mono_us};
}

static struct hash128 client(uint64_t number)
{
    struct hash_key key = {{1, 2}};

    return hash_sip128(&key, str_at((const char *)&number, sizeof(number)));
}

static bool take(struct limiter *limiter, const struct window_set *set, struct hash128 key,
                 uint64_t mono_us, struct limit_state *state)
{
    struct limit_policy policy = {set, key};

    limit_take(limiter, &policy, 1, 1, at(mono_us), state);
    return state->allowed;
}

/* What is left of the window of this name, without taking. */
static uint64_t left(struct limiter *limiter, const struct window_set *set, struct hash128 key,
                     uint64_t mono_us, const char *name)
{
    struct limit_policy policy = {set, key};
    struct limit_state state;

    limit_take(limiter, &policy, 1, 0, at(mono_us), &state);
    assert_true(state.allowed);
    for (uint32_t i = 0; i < state.count; i++) {
        if (str_eq(state.windows[i].window->name, str_of(name)))
            return state.windows[i].remaining;
    }
    fail_msg("no window %s", name);
    return 0;
}

static struct limiter *new_limiter(uint64_t max_clients)
{
    struct limiter *limiter = limiter_new(max_clients, &seed);

    assert_non_null(limiter);
    return limiter;
}

static void remaining_counts_down_by_one(void **state)
{
    struct limiter *limiter = new_limiter(1000);
    struct limit_state got;

    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(take(limiter, &only_minute, client(1), 5 * S + i * 1234, &got));
        assert_int_equal(got.windows[0].remaining, 99 - i);
        assert_int_equal(got.windows[0].limit, 100);
    }
    assert_false(take(limiter, &only_minute, client(1), 6 * S, &got));
    assert_int_equal(got.windows[0].remaining, 0);
    assert_int_equal(limit_retry_after_s(&got, 0, 0), 60); /* 59 left, and 0.6 for one slot */
    assert_true(take(limiter, &only_minute, client(2), 6 * S, &got));
    limiter_free(&limiter);
}

static void a_refusal_by_one_window_costs_nothing_in_the_others(void **state)
{
    struct limiter *limiter = new_limiter(1000);
    struct limit_state got;

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_true(take(limiter, &free_tier, client(1), S, &got));
    for (int i = 0; i < 500; i++) {
        assert_false(take(limiter, &free_tier, client(1), S, &got));
        assert_int_equal(got.worst, 0);
        assert_true(got.windows[0].refuses);
        assert_false(got.windows[1].refuses);
        assert_int_equal(got.windows[1].remaining, 90);
        assert_int_equal(got.windows[2].remaining, 990);
    }
    assert_int_equal(got.windows[0].retry_us, S / 5);
    assert_true(take(limiter, &free_tier, client(1), S + S / 5, &got));
    limiter_free(&limiter);
}

static void two_policies_are_one_decision(void **state)
{
    static const struct window_set route = {{{STR("minute"), WINDOW_SLIDING, 3, 3, 60000}}, 1};
    struct limiter *limiter = new_limiter(1000000);
    struct limit_state got;

    (void)state;
    for (uint64_t c = 0; c < 200; c++) { /* in all kinds of pairs of shards */
        struct limit_policy policies[] = {
            {&free_tier, client(c)},
            {&route, limit_key(client(c), 1, STR("reports"))},
        };
        for (int i = 0; i < 5; i++) {
            limit_take(limiter, policies, 2, 1, at(S), &got);
            assert_int_equal(got.allowed, i < 3);
        }
        assert_int_equal(got.count, 4);
        assert_int_equal(got.worst, 3);
        assert_int_equal(got.windows[1].remaining, 97);
        limit_give_back(limiter, policies, 2, 1, at(S));
        limit_take(limiter, policies, 2, 1, at(S), &got);
        assert_true(got.allowed);
        assert_int_equal(got.windows[1].remaining, 97);
    }
    limiter_free(&limiter);
}

static void a_cost_is_taken_whole_or_not(void **state)
{
    struct limiter *limiter = new_limiter(1000);
    struct limit_policy policy = {&only_minute, client(1)};
    struct limit_state got;

    (void)state;
    limit_take(limiter, &policy, 1, 97, at(S), &got);
    assert_true(got.allowed);
    limit_take(limiter, &policy, 1, 4, at(S), &got);
    assert_false(got.allowed);
    assert_int_equal(got.windows[0].remaining, 3);
    limit_take(limiter, &policy, 1, 3, at(S), &got);
    assert_true(got.allowed);
    limit_take(limiter, &policy, 1, 0, at(S), &got); /* a look is never refused */
    assert_true(got.allowed);
    assert_int_equal(got.windows[0].remaining, 0);
    assert_true(got.windows[0].next_us > 0);
    limiter_free(&limiter);
}

static void looks_and_refusals_leave_no_entry(void **state)
{
    static const struct window_set none = {{{STR("x"), WINDOW_SLIDING, 0, 0, 1000}}, 1};
    static const struct window_set empty = {.count = 0};
    struct limiter *limiter = new_limiter(1000);
    struct limit_state got;

    (void)state;
    assert_int_equal(left(limiter, &free_tier, client(1), S, "hour"), 1000);
    assert_false(take(limiter, &none, client(2), S, &got));
    assert_true(take(limiter, &empty, client(3), S, &got));
    assert_int_equal(got.count, 0);
    assert_int_equal(limiter_counts(limiter).clients, 0);
    limiter_free(&limiter);
}

/* Six windows of five kinds do not fit one slot: seen against one window at a time. */
static void a_policy_of_many_slots_is_as_exact_as_its_windows(void **state)
{
    struct limiter *limiter = new_limiter(1000);
    union window_record records[6] = {{{0}}};
    uint64_t now = 3 * S, random = 1;

    (void)state;
    for (int step = 0; step < 100000; step++) {
        struct limit_state got;
        bool want = true;

        random = random * UINT64_C(6364136223846793005) + 1442695040888963407U;
        now += (random >> 33) % 700000;
        for (size_t i = 0; i < 6; i++) {
            window_roll(&everything.at[i], &records[i], at(now));
            want = want && window_allows(&everything.at[i], &records[i], 1, at(now));
        }
        assert_int_equal(take(limiter, &everything, client(7), now, &got), want);
        for (size_t i = 0; i < 6; i++) {
            struct limit_window one;

            if (want)
                window_take(&everything.at[i], &records[i], 1, at(now), &one);
            window_describe(&everything.at[i], &records[i], at(now), &one);
            assert_int_equal(one.remaining, got.windows[i].remaining);
            assert_int_equal(one.reset_us, got.windows[i].reset_us);
        }
    }
    limiter_free(&limiter);
}

static const struct {
    const char *name;
    struct window_set set;
    const char *window;
    uint64_t want_left; /* after ten requests under free_tier */
    bool want_next;     /* the eleventh, under this set, passes */
} reloads[] = {
    {"the same", {{SECOND, MINUTE, HOUR}, 3}, "minute", 90, false},
    {"another limit", {{SIXTY, HOUR}, 2}, "minute", 50, true},
    {"a limit below the count", {{FOUR}, 1}, "minute", 0, false},
    {"another order", {{HOUR, MINUTE, SECOND}, 3}, "hour", 990, false},
    {"moved to another slot", {{DAY, MONTH, MINUTE, HOUR}, 4}, "hour", 990, true},
    {"a new one begins anew", {{DAY, MONTH, MINUTE, HOUR}, 4}, "day", 5000, true},
    {"another kind begins anew", {{FIXED_MINUTE}, 1}, "minute", 100, true},
    {"another period begins anew", {{LONG_MINUTE}, 1}, "minute", 100, true},
    {"a bucket's debt is time: less", {{SLOW_SECOND}, 1}, "second", 0, false},
    {"a bucket's debt is time: more", {{FAST_SECOND}, 1}, "second", 20, true},
};

static void counters_outlive_a_reload(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(reloads); i++) {
        struct limiter *limiter = new_limiter(1000);
        struct limit_state got;

        for (int k = 0; k < 10; k++)
            assert_true(take(limiter, &free_tier, client(1), S, &got));
        uint64_t seen = left(limiter, &reloads[i].set, client(1), S, reloads[i].window);
        if (seen != reloads[i].want_left)
            fail_msg("%s: %" PRIu64 " left, want %" PRIu64, reloads[i].name, seen,
                     reloads[i].want_left);
        if (take(limiter, &reloads[i].set, client(1), S, &got) != reloads[i].want_next)
            fail_msg("%s: the next one", reloads[i].name);
        if (left(limiter, &reloads[i].set, client(1), S, reloads[i].window) !=
            reloads[i].want_left - reloads[i].want_next)
            fail_msg("%s: it was not written", reloads[i].name);
        limiter_free(&limiter);
    }
}

static void what_is_forgotten_begins_anew(void **state)
{
    struct limiter *limiter = new_limiter(10000);
    struct limit_state got;

    (void)state;
    assert_false(limit_forget(limiter, client(1)));
    for (uint64_t c = 0; c < 300; c++)
        assert_true(take(limiter, &everything, client(c), S, &got));
    for (uint64_t c = 0; c < 300; c += 2)
        assert_true(limit_forget(limiter, client(c)));
    for (uint64_t c = 0; c < 300; c++)
        assert_int_equal(left(limiter, &everything, client(c), S, "minute"), 99 + (c % 2 == 0));
    assert_false(limit_forget(limiter, client(0)));
    for (uint64_t c = 1; c < 300; c += 2)
        assert_true(limit_forget(limiter, client(c)));
    assert_int_equal(limiter_counts(limiter).clients, 0);
    limiter_free(&limiter);
}

static void nobody_is_lost_below_the_bound(void **state)
{
    struct limiter *limiter = new_limiter(200000);
    struct limit_state got;

    (void)state;
    for (uint64_t c = 0; c < 150000; c++)
        assert_true(take(limiter, &free_tier, client(c), S, &got));
    for (uint64_t c = 0; c < 150000; c++)
        assert_int_equal(left(limiter, &free_tier, client(c), S, "minute"), 99);
    struct limiter_counts counts = limiter_counts(limiter);
    assert_int_equal(counts.clients, 150000);
    assert_int_equal(counts.evicted_idle + counts.evicted_busy, 0);
    limiter_free(&limiter);
}

static const uint64_t bounds[] = {1, 2, 7, 100, 1000, 20000};

static void a_flood_stays_within_the_bound(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bounds); i++) {
        struct limiter *limiter = new_limiter(bounds[i]);
        struct limit_state got;
        uint64_t taken = 3 * bounds[i] + 500;

        for (uint64_t c = 0; c < taken; c++)
            assert_true(take(limiter, &free_tier, client(c), S + c, &got));
        struct limiter_counts counts = limiter_counts(limiter);
        assert_true(counts.clients <= bounds[i]);
        assert_true(counts.clients >= bounds[i] - bounds[i] / 10);
        assert_int_equal(counts.clients + counts.evicted_busy + counts.evicted_idle, taken);
        limiter_free(&limiter);
    }
}

/* One who used half of the hour outlives a hundred thousand who came once. */
static void a_flood_drops_the_idle_and_the_little_used_first(void **state)
{
    static const struct window_set slow = {{MINUTE, HOUR}, 2};
    struct limiter *limiter = new_limiter(1000);
    struct limit_state got;

    (void)state;
    for (int i = 0; i < 90; i++)
        assert_true(take(limiter, &slow, client(1u << 30), S, &got));
    for (uint64_t c = 0; c < 100000; c++)
        assert_true(take(limiter, &slow, client(c), S + c, &got));
    assert_int_equal(left(limiter, &slow, client(1u << 30), 2 * S, "minute"), 10);
    assert_int_equal(limiter_counts(limiter).evicted_idle, 0);
    uint64_t busy = limiter_counts(limiter).evicted_busy;
    for (uint64_t c = 0; c < 500; c++) /* two hours later all are idle */
        assert_true(take(limiter, &slow, client(c + (1u << 20)), 3 * 3600 * S, &got));
    assert_true(limiter_counts(limiter).evicted_idle >= 400);
    assert_true(limiter_counts(limiter).evicted_busy - busy <= 50);
    limiter_free(&limiter);
}

/* What the overflow gives newcomers as an upper bound grows with a flood, until they look busier
 * than who is known: it must not drive these out. */
static void who_came_again_outlives_a_flood(void **state)
{
    enum { KNOWN = 100, FLOOD = 300000 };
    static const struct window_set slow = {{{STR("hour"), WINDOW_SLIDING, 10, 10, 3600000}}, 1};
    struct limiter *limiter = new_limiter(1000);
    struct limit_state got;

    (void)state;
    for (uint64_t i = 0; i < 2 * KNOWN; i++)
        assert_true(take(limiter, &slow, client((1u << 30) + i % KNOWN), S, &got));
    for (uint64_t c = 0; c < FLOOD; c++)
        (void)take(limiter, &slow, client(c), 2 * S, &got);
    /* the overflow is that full: a newcomer may do little */
    assert_true(left(limiter, &slow, client(1u << 29), 2 * S, "hour") < 6);
    for (uint64_t i = 0; i < KNOWN; i++)
        assert_int_equal(left(limiter, &slow, client((1u << 30) + i), 2 * S, "hour"), 8);
    limiter_free(&limiter);
}

static void a_reload_moves_the_bound(void **state)
{
    struct limiter *limiter = new_limiter(1000);
    struct limit_state got;

    (void)state;
    for (uint64_t c = 0; c < 2000; c++)
        assert_true(take(limiter, &free_tier, client(c), S, &got));
    limiter_resize(limiter, 50);
    for (uint64_t c = 2000; c < 2500; c++)
        assert_true(take(limiter, &free_tier, client(c), S, &got));
    assert_true(limiter_counts(limiter).clients <= 50);
    limiter_resize(limiter, 5000);
    for (uint64_t c = 3000; c < 6000; c++)
        assert_true(take(limiter, &free_tier, client(c), S, &got));
    /* those that had to go are kept as upper bounds: few newcomers are taken for one of them */
    uint64_t whole = 0;
    for (uint64_t c = 3000; c < 6000; c++) {
        uint64_t rest = left(limiter, &free_tier, client(c), S, "minute");

        assert_in_range(rest, 98, 99);
        whole += rest == 99;
    }
    assert_true(whole > 2900);
    limiter_free(&limiter);
}

static void keys_of_every_kind_differ(void **state)
{
    struct hash128 a = client(1), b = client(2);

    (void)state;
    struct hash128 tier = limit_key(a, 0, STR("r")), own = limit_key(a, 1, STR("r"));
    struct hash128 other = limit_key(a, 1, STR("s")), all = limit_key(a, 2, STR("r"));
    assert_true(tier.lo != own.lo && own.lo != other.lo && own.lo != all.lo);
    assert_true(limit_key(b, 1, STR("r")).lo != own.lo);
    assert_true(limit_key(b, 2, STR("r")).lo == all.lo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remaining_counts_down_by_one),
        cmocka_unit_test(a_refusal_by_one_window_costs_nothing_in_the_others),
        cmocka_unit_test(two_policies_are_one_decision),
        cmocka_unit_test(a_cost_is_taken_whole_or_not),
        cmocka_unit_test(looks_and_refusals_leave_no_entry),
        cmocka_unit_test(a_policy_of_many_slots_is_as_exact_as_its_windows),
        cmocka_unit_test(counters_outlive_a_reload),
        cmocka_unit_test(what_is_forgotten_begins_anew),
        cmocka_unit_test(nobody_is_lost_below_the_bound),
        cmocka_unit_test(a_flood_stays_within_the_bound),
        cmocka_unit_test(a_flood_drops_the_idle_and_the_little_used_first),
        cmocka_unit_test(who_came_again_outlives_a_flood),
        cmocka_unit_test(a_reload_moves_the_bound),
        cmocka_unit_test(keys_of_every_kind_differ),
    };
    return cmocka_run_group_tests_name("limit/memory", tests, NULL, NULL);
}
