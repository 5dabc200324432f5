/* ring_test.c - the last records stay, the newest that fits is found. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct record {
    int id, value;
};

static void put(struct ring *ring, int id, int value)
{
    *(struct record *)ring_open(ring) = (struct record){id, value};
    ring_close(ring);
}

static bool has_id(const void *slot, const void *arg)
{
    return ((const struct record *)slot)->id == *(const int *)arg;
}

static void the_newest_is_found_until_it_is_overwritten(void **state)
{
    static const struct {
        const char *name;
        int puts, id, want; /* put i as (id i % 4, value i); -1: not found */
    } cases[] = {
        {"empty", 0, 0, -1},
        {"the only one", 1, 0, 0},
        {"never put", 3, 3, -1},
        {"the newer of two", 6, 1, 5},
        {"the oldest kept", 8, 3, 7},
        {"of the turn before", 7, 3, 3},
        {"after many turns", 1001, 0, 1000},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ring *ring = ring_new(5, sizeof(struct record));
        struct record found = {0, -1};

        assert_non_null(ring);
        for (int n = 0; n < cases[i].puts; n++)
            put(ring, n % 4, n);
        if (!ring_find(ring, has_id, &cases[i].id, &found))
            found.value = -1;
        if (found.value != cases[i].want)
            fail_msg("%s: got %d, want %d", cases[i].name, found.value, cases[i].want);
        ring_free(&ring);
        assert_null(ring);
    }
}

static void what_was_overwritten_is_gone(void **state)
{
    struct ring *ring = ring_new(2, sizeof(struct record));
    struct record found;
    int id = 1;

    (void)state;
    put(ring, 1, 1);
    put(ring, 2, 2);
    assert_true(ring_find(ring, has_id, &id, &found));
    put(ring, 3, 3);
    assert_false(ring_find(ring, has_id, &id, &found));
    ring_free(&ring);
    ring_free(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_is_found_until_it_is_overwritten),
        cmocka_unit_test(what_was_overwritten_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
