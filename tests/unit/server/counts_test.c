/* counts_test.c - connections counted, all together and for each address, also where addresses
 * share a neighbourhood of slots. */
#include "server/server_priv.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NO_LIMIT = 1000000, MANY = 20000, THREADS = 4 };

static void address_of(uint32_t number, uint8_t address[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    memcpy(address, mapped, sizeof(mapped));
    for (int i = 0; i < 4; i++)
        address[12 + i] = (uint8_t)(number >> (24 - 8 * i));
}

static bool take(struct server_counts *counts, uint32_t most, uint32_t most_per_ip, uint32_t number,
                 const char **why)
{
    uint8_t address[16];

    address_of(number, address);
    return counts_take(counts, most, most_per_ip, address, why);
}

static void give(struct server_counts *counts, uint32_t number, bool per_ip)
{
    uint8_t address[16];

    address_of(number, address);
    counts_give(counts, address, per_ip);
}

static void the_whole_has_a_limit(void **state)
{
    struct server_counts *counts = server_counts_new();
    const char *why = "";

    (void)state;
    assert_true(take(counts, 2, 0, 1, &why));
    assert_true(take(counts, 2, 0, 1, &why));
    assert_false(take(counts, 2, 0, 2, &why));
    assert_string_equal(why, "connections");
    assert_int_equal(server_counts_connections(counts), 2);
    give(counts, 1, false);
    assert_true(take(counts, 2, 0, 2, &why));
    server_counts_free(&counts);
    assert_null(counts);
}

static void an_address_has_a_limit(void **state)
{
    struct server_counts *counts = server_counts_new();
    const char *why = "";

    (void)state;
    assert_true(take(counts, NO_LIMIT, 2, 1, &why));
    assert_true(take(counts, NO_LIMIT, 2, 1, &why));
    assert_false(take(counts, NO_LIMIT, 2, 1, &why));
    assert_string_equal(why, "connections_per_ip");
    assert_int_equal(server_counts_connections(counts), 2); /* the refused one is in no sum */
    assert_true(take(counts, NO_LIMIT, 2, 2, &why));
    give(counts, 1, true);
    assert_true(take(counts, NO_LIMIT, 2, 1, &why));
    assert_false(take(counts, NO_LIMIT, 2, 1, &why));
    server_counts_free(&counts);
}

/* Every address keeps its own count while others around it come and go. */
static void gaps_lose_nobody(void **state)
{
    struct server_counts *counts = server_counts_new();
    const char *why;

    (void)state;
    for (uint32_t i = 0; i < MANY; i++)
        assert_true(take(counts, NO_LIMIT, 1, i, &why));
    for (uint32_t i = 0; i < MANY; i += 3)
        give(counts, i, true);
    for (uint32_t i = 0; i < MANY; i++) {
        bool is_free = i % 3 == 0;

        if (take(counts, NO_LIMIT, 1, i, &why) != is_free)
            fail_msg("address %u: %s", i, is_free ? "still counted" : "lost");
    }
    for (uint32_t i = 0; i < MANY; i++)
        give(counts, i, true);
    assert_int_equal(server_counts_connections(counts), 0);
    server_counts_free(&counts);
}

/* More addresses than slots: the one too many is refused, and the table recovers. */
static void a_full_table_refuses(void **state)
{
    struct server_counts *counts = server_counts_new();
    const char *why = "";
    uint32_t taken = 0;

    (void)state;
    while (taken < 70000 && take(counts, NO_LIMIT, 1, taken, &why))
        taken++;
    assert_int_equal(taken, 65536);
    assert_string_equal(why, "connections_per_ip");
    give(counts, 77, true);
    assert_true(take(counts, NO_LIMIT, 1, 100000, &why));
    for (uint32_t i = 0; i < taken; i++)
        give(counts, i != 77 ? i : 100000, true);
    assert_int_equal(server_counts_connections(counts), 0);
    server_counts_free(&counts);
}

/* ---- from several threads ---- */

static void *come_and_go(void *arg)
{
    const char *why;

    for (uint32_t i = 0; i < 5000; i++)
        if (take(arg, NO_LIMIT, 3, i % 7, &why))
            give(arg, i % 7, true);
    return NULL;
}

static void threads_agree(void **state)
{
    struct server_counts *counts = server_counts_new();
    pthread_t threads[THREADS];
    const char *why;

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, counts), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(server_counts_connections(counts), 0);
    for (uint32_t i = 0; i < 7; i++)
        assert_true(take(counts, NO_LIMIT, 1, i, &why));
    server_counts_free(&counts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_has_a_limit), cmocka_unit_test(an_address_has_a_limit),
        cmocka_unit_test(gaps_lose_nobody),      cmocka_unit_test(a_full_table_refuses),
        cmocka_unit_test(threads_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
