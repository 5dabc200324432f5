/* map_test.c - the hash map against a plain array that knows the truth. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { KEYS = 2000 };

static void put_get_and_remove(void **state)
{
    struct map *map = map_new();
    int one = 1, two = 2;

    (void)state;
    assert_non_null(map);
    assert_null(map_get(map, STR("a")));
    assert_null(map_remove(map, STR("a")));
    assert_true(map_put(map, STR("a"), &one));
    assert_true(map_put(map, STR_NONE, &two)); /* an empty key is a key */
    assert_ptr_equal(map_get(map, STR("a")), &one);
    assert_ptr_equal(map_get(map, STR("")), &two);
    assert_null(map_get(map, STR("A")));
    assert_true(map_put(map, STR("a"), &two));
    assert_int_equal(map_count(map), 2);
    assert_ptr_equal(map_remove(map, STR("a")), &two);
    assert_null(map_get(map, STR("a")));
    assert_int_equal(map_count(map), 1);
    map_free(&map);
    assert_null(map);
    map_free(&map);
    map_free(NULL);
}

static void replacing_takes_the_new_key(void **state)
{
    struct map *map = map_new();
    char old_key[] = "key", new_key[] = "key";
    int value = 0;

    (void)state;
    assert_true(map_put(map, str_of(old_key), &value));
    assert_true(map_put(map, str_of(new_key), &value));
    memset(old_key, 'x', sizeof(old_key)); /* the first owner is gone */
    assert_ptr_equal(map_get(map, STR("key")), &value);
    map_free(&map);
}

static void count_entry(void *arg, struct str key, void *value)
{
    size_t *sum = arg;

    assert_string_equal(key.ptr, value); /* each value is its key */
    (*sum)++;
}

static void many_changes_in_random_order(void **state)
{
    static char keys[KEYS][16];
    bool is_in[KEYS] = {false};
    size_t count = 0, seen = 0;
    struct map *map = map_new();

    (void)state;
    for (size_t i = 0; i < KEYS; i++)
        snprintf(keys[i], sizeof(keys[i]), "key-%zu", i);
    for (int step = 0; step < 100000; step++) {
        size_t i = random_u64() % KEYS;
        struct str key = str_of(keys[i]);
        assert_ptr_equal(map_get(map, key), is_in[i] ? keys[i] : NULL);
        if (random_u64() % 2 == 0) {
            assert_true(map_put(map, key, keys[i]));
            count += !is_in[i];
            is_in[i] = true;
        } else {
            assert_ptr_equal(map_remove(map, key), is_in[i] ? keys[i] : NULL);
            count -= is_in[i];
            is_in[i] = false;
        }
        assert_int_equal(map_count(map), count);
    }
    map_each(map, count_entry, &seen);
    assert_int_equal(seen, count);
    for (size_t i = 0; i < KEYS; i++)
        assert_ptr_equal(map_get(map, str_of(keys[i])), is_in[i] ? keys[i] : NULL);
    map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_get_and_remove),
        cmocka_unit_test(replacing_takes_the_new_key),
        cmocka_unit_test(many_changes_in_random_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
