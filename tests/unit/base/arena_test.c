/* arena_test.c - pieces that live as long as their owner: alignment, ceiling,
 * what a reset keeps. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void pieces_are_aligned_and_apart(void **state)
{
    struct arena *arena = arena_new(1024, 65536);
    char *before = NULL;

    (void)state;
    assert_non_null(arena);
    for (size_t size = 0; size < 200; size++) {
        char *piece = arena_take(arena, size);
        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % 16, 0);
        assert_ptr_not_equal(piece, before);
        memset(piece, 0xAA, size); /* the sanitizer tells if it is not ours */
        before = piece;
    }
    arena_free(&arena);
    assert_null(arena);
    arena_free(&arena);
    arena_free(NULL);
}

static void zeroed_pieces_are_zero_after_use(void **state)
{
    struct arena *arena = arena_new(1024, 4096);
    static const char zeros[512];

    (void)state;
    for (int round = 0; round < 3; round++) {
        char *piece = arena_zero(arena, sizeof(zeros));
        assert_non_null(piece);
        assert_memory_equal(piece, zeros, sizeof(zeros));
        memset(piece, 0xFF, sizeof(zeros));
        arena_reset(arena);
    }
    arena_free(&arena);
}

static void ceiling_is_met_and_a_reset_gives_all_back(void **state)
{
    struct arena *arena = arena_new(1024, 4096);

    (void)state;
    for (int round = 0; round < 3; round++) {
        size_t taken = 0;
        while (arena_take(arena, 64) != NULL)
            taken += 64;
        assert_int_equal(taken, 4096);
        assert_null(arena_take(arena, 1));
        assert_null(arena_copy(arena, STR("")).ptr);
        assert_null(arena_printf(arena, "x").ptr);
        arena_reset(arena);
    }
    arena_free(&arena);
}

static void large_pieces_leave_the_block_in_use(void **state)
{
    struct arena *arena = arena_new(1024, 16384);

    (void)state;
    char *small = arena_take(arena, 16);
    assert_non_null(arena_take(arena, 8000));
    assert_ptr_equal(arena_take(arena, 16), small + 16);
    assert_null(arena_take(arena, 8000)); /* 1024 + 8000 + 8000 */
    assert_non_null(arena_take(arena, 7000));
    assert_null(arena_take(arena, SIZE_MAX));
    assert_null(arena_take(arena, SIZE_MAX - 8));
    arena_reset(arena);
    assert_ptr_equal(arena_take(arena, 16), small); /* the first block is the same */
    arena_free(&arena);
}

static void ceiling_below_one_block(void **state)
{
    struct arena *arena = arena_new(4096, 100);

    (void)state;
    assert_non_null(arena_take(arena, 96));
    assert_null(arena_take(arena, 1));
    arena_free(&arena);
}

static void copies_end_with_nul(void **state)
{
    struct arena *arena = arena_new(1024, 65536);
    struct str copy = arena_copy(arena, STR("hello"));
    struct str empty = arena_copy(arena, STR_NONE);

    (void)state;
    assert_string_equal(copy.ptr, "hello");
    assert_int_equal(copy.len, 5);
    assert_non_null(empty.ptr);
    assert_string_equal(empty.ptr, "");
    assert_int_equal(empty.len, 0);
    arena_free(&arena);
}

static void printing_short_and_long(void **state)
{
    struct arena *arena = arena_new(1024, 65536);

    (void)state;
    assert_string_equal(arena_printf(arena, "%d-%s", 7, "x").ptr, "7-x");
    for (int width = 254; width < 259; width++) { /* around the size formatted at once */
        struct str text = arena_printf(arena, "%0*d", width, 5);
        assert_int_equal(text.len, width);
        assert_int_equal(strlen(text.ptr), width);
        assert_int_equal(text.ptr[width - 1], '5');
    }
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(zeroed_pieces_are_zero_after_use),
        cmocka_unit_test(ceiling_is_met_and_a_reset_gives_all_back),
        cmocka_unit_test(large_pieces_leave_the_block_in_use),
        cmocka_unit_test(ceiling_below_one_block),
        cmocka_unit_test(copies_end_with_nul),
        cmocka_unit_test(printing_short_and_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
