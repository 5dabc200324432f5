/* usage_test.c - usage rows: exact sums, sorted, bounded, and nothing lost at the bound. */
#include "limit/usage_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const struct hash_key seed = {{17, 42}};
static const int64_t HOUR_US = INT64_C(3600000000), START = INT64_C(1700000000000000);

static struct hash128 client(uint64_t number)
{
    return hash_sip128(&seed, str_at((const char *)&number, sizeof(number)));
}

struct seen {
    char lines[16][64];
    uint32_t count;
    uint64_t requests, rows, others;
};

static bool see(void *arg, const struct limit_usage_row *row)
{
    struct seen *seen = arg;

    if (seen->count < 16)
        snprintf(seen->lines[seen->count++], 64, "%d %.*s %.*s %d %d",
                 (int)(row->hour_s - START / 1000000) / 3600, STR_ARG(row->client),
                 STR_ARG(row->route), (int)row->usage.requests, (int)row->usage.cost);
    seen->requests += row->usage.requests;
    seen->rows++;
    if (str_eq(row->client, STR("other")))
        seen->others += row->usage.requests;
    return true;
}

static void rows_add_up(void **state)
{
    struct limiter *limiter = limiter_new(100, &seed);
    struct limit_usage one = {.requests = 1, .cost = 3};
    struct limit_usage_filter all = {.to_s = INT64_MAX},
                              only = {client(2), true, START / 1000000 + 1, INT64_MAX};
    struct seen seen = {.count = 0}, few = {.count = 0};

    (void)state;
    limit_usage_add(limiter, client(2), STR("key:b"), STR("r"), START, &one);
    limit_usage_add(limiter, client(1), STR("key:a"), STR("s"), START, &one);
    limit_usage_add(limiter, client(1), STR("key:a"), STR("r"), START, &one);
    limit_usage_add(limiter, client(1), STR("key:a"), STR("r"), START + HOUR_US / 2, &one);
    limit_usage_add(limiter, client(2), STR("key:b"), STR("r"), START + HOUR_US, &one);
    assert_true(limit_usage_each(limiter, &all, see, &seen));
    assert_int_equal(seen.rows, 4);
    assert_string_equal(seen.lines[0], "0 key:a r 2 6");
    assert_string_equal(seen.lines[1], "0 key:a s 1 3");
    assert_string_equal(seen.lines[2], "0 key:b r 1 3");
    assert_string_equal(seen.lines[3], "0 key:b r 1 3"); /* its hour began before START */
    assert_true(limit_usage_each(limiter, &only, see, &few));
    assert_int_equal(few.rows, 1);
    limiter_free(&limiter);
}

/* A flood of addresses in one hour: bounded rows, and the sums stay true. */
static void a_flood_is_counted_under_other(void **state)
{
    enum { FLOOD = 300000 };
    struct limiter *limiter = limiter_new(100, &seed);
    struct limit_usage one = {.requests = 1};
    struct limit_usage_filter all = {.to_s = INT64_MAX};
    struct seen seen = {.count = 0}, later = {.count = 0};

    (void)state;
    for (uint64_t i = 0; i < FLOOD; i++)
        limit_usage_add(limiter, client(i), STR("ip:0123456789abcdef"), STR("r"), START, &one);
    assert_true(limit_usage_each(limiter, &all, see, &seen));
    assert_int_equal(seen.requests, FLOOD);
    assert_true(seen.rows <= LIMIT_USAGE_ROWS + USAGE_SHARDS);
    assert_true(seen.others > 0);
    /* in the next hour the old rows make room */
    limit_usage_add(limiter, client(1), STR("key:a"), STR("r"), START + HOUR_US, &one);
    all.from_s = START / 1000000 + 1;
    assert_true(limit_usage_each(limiter, &all, see, &later));
    assert_int_equal(later.rows, 1);
    assert_int_equal(later.others, 0);
    limiter_free(&limiter);
}

struct taken {
    uint64_t requests;
    uint32_t rows, most;
};

static bool take_some(void *arg, const struct usage_row *row, const struct limit_usage *news)
{
    struct taken *taken = arg;

    (void)row;
    if (taken->rows == taken->most)
        return false;
    taken->rows++;
    taken->requests += news->requests;
    return true;
}

/* In small bites, while more comes and tables grow: each request once, none left behind. */
static void news_are_taken_once(void **state)
{
    struct limiter *limiter = limiter_new(100, &seed);
    struct limit_usage one = {.requests = 1};
    struct usage_place place = {0, 0};
    uint64_t added = 0, taken = 0;

    (void)state;
    for (uint64_t round = 0; round < 200; round++) {
        struct taken bite = {.most = 37};

        for (uint64_t i = 0; i < 50; i++, added++)
            limit_usage_add(limiter, client(round * 25 + i), STR("key:a"), STR("r"), START, &one);
        usage_take(limiter, &place, take_some, &bite);
        taken += bite.requests;
    }
    while (usage_has_news(limiter)) {
        struct taken bite = {.most = 400};

        usage_take(limiter, &place, take_some, &bite);
        taken += bite.requests;
    }
    assert_int_equal(taken, added);
    limiter_free(&limiter);
}

/* Two gateways' rows, one scanned twice, and what was not sent: one row, each request once. */
static void rows_of_a_list_are_joined(void **state)
{
    struct usage_list list = {NULL, 0, 0};
    struct usage_item told = {.client = {1, 2}, .hour = 7, .client_len = 5, .names = "key:a\0r"};
    struct usage_item ours = told;
    struct seen seen = {.count = 0};

    (void)state;
    told.usage.requests = 10;
    ours.usage.requests = 3;
    ours.is_ours = true;
    assert_true(usage_list_add(&list, &told) && usage_list_add(&list, &ours));
    told.usage.requests = 12;
    assert_true(usage_list_add(&list, &told) && usage_list_add(&list, &ours));
    usage_list_each(&list, see, &seen);
    assert_int_equal(seen.rows, 1);
    assert_int_equal(seen.requests, 12 + 3 + 3);
    usage_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_add_up),
        cmocka_unit_test(news_are_taken_once),
        cmocka_unit_test(rows_of_a_list_are_joined),
        cmocka_unit_test(a_flood_is_counted_under_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
