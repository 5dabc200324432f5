/* random_test.c - random numbers, UUIDs and clocks. */
#include "base/base.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void numbers_differ_and_use_all_bits(void **state)
{
    uint64_t all = UINT64_MAX, any = 0, last = random_u64();

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t next = random_u64();
        assert_int_not_equal(next, last);
        all &= next;
        any |= next;
        last = next;
    }
    assert_int_equal(all, 0);
    assert_int_equal(any, UINT64_MAX);
}

static void *draw(void *arg)
{
    *(uint64_t *)arg = random_u64();
    return NULL;
}

static void threads_are_seeded_apart(void **state)
{
    uint64_t first[8];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(first); i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, draw, &first[i]), 0);
        pthread_join(thread, NULL);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(first[i], first[j]);
    }
}

static void secrets_fill_everything(void **state)
{
    unsigned char secret[1000], any[1000] = {0};

    (void)state;
    for (int round = 0; round < 16; round++) {
        random_secret(secret, sizeof(secret));
        for (size_t i = 0; i < sizeof(secret); i++)
            any[i] |= secret[i];
    }
    for (size_t i = 0; i < sizeof(any); i++)
        assert_int_not_equal(any[i], 0); /* 256^-16 each */
    random_secret(secret, 0);
}

static void uuid_has_the_shape_of_version_7(void **state)
{
    char uuid[37];

    (void)state;
    /* the example of RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC */
    uuid7_write(uuid, INT64_C(1645557742000) * 1000);
    assert_int_equal(strlen(uuid), 36);
    assert_memory_equal(uuid, "017f22e2-79b0-7000-", 19);
    assert_non_null(strchr("89ab", uuid[19]));
    for (size_t i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23)
            assert_int_equal(uuid[i], '-');
        else
            assert_true(ascii_hex_value(uuid[i]) >= 0 && (uuid[i] < 'A' || uuid[i] > 'F'));
    }
    uuid7_write(uuid, -5); /* a clock before 1970 must not wrap */
    assert_memory_equal(uuid, "00000000-0000-7000-", 19);
}

static void uuids_sort_by_time_and_are_unique(void **state)
{
    char before[37], next[37];

    (void)state;
    uuid7_write(before, 1000000);
    for (int64_t us = 1000001; us < 1005000; us++) {
        uuid7_write(next, us);
        assert_true(strcmp(before, next) < 0);
        memcpy(before, next, sizeof(before));
    }
    uuid7_write(next, 1004999);
    assert_string_not_equal(before, next);
}

static void clocks_go_forward(void **state)
{
    uint64_t mono = clock_mono_us(), cpu = clock_thread_cpu_us();

    (void)state;
    assert_true(clock_wall_us() > INT64_C(1600000000) * 1000000);
    for (int i = 0; i < 1000; i++) {
        uint64_t next = clock_mono_us();
        assert_true(next >= mono);
        mono = next;
    }
    assert_true(clock_thread_cpu_us() >= cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_differ_and_use_all_bits),
        cmocka_unit_test(threads_are_seeded_apart),
        cmocka_unit_test(secrets_fill_everything),
        cmocka_unit_test(uuid_has_the_shape_of_version_7),
        cmocka_unit_test(uuids_sort_by_time_and_are_unique),
        cmocka_unit_test(clocks_go_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
