/* str_test.c - slices: comparison, cutting, numbers and globs.
 *
 * The glob tests hold the promise of linear time by sizes: a matcher that
 * tries again from each place would need hours for the last rows. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const struct {
    const char *name, *a, *b;
    bool is_equal, is_equal_folded;
} comparisons[] = {
    {"the same", "abc", "abc", true, true},
    {"another case", "Content-Type", "content-tYPE", false, true},
    {"another length", "ab", "abc", false, false},
    {"both empty", "", "", true, true},
    {"none and empty", NULL, "", true, true},
    {"at and backtick are no pair", "@", "`", false, false},
    {"brackets are no pair", "[", "{", false, false},
    {"high bytes are not folded", "\xC4", "\xE4", false, false},
};

static void comparison_of_slices(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(comparisons); i++) {
        struct str a = str_of(comparisons[i].a), b = str_of(comparisons[i].b);
        if (str_eq(a, b) != comparisons[i].is_equal ||
            str_ieq(a, b) != comparisons[i].is_equal_folded)
            fail_msg("%s", comparisons[i].name);
    }
}

static const struct {
    const char *name, *s, *part;
    bool starts, ends, has;
} parts[] = {
    {"at the start", "abcd", "ab", true, false, true},
    {"at the end", "abcd", "cd", false, true, true},
    {"inside", "abcd", "bc", false, false, true},
    {"all", "abcd", "abcd", true, true, true},
    {"longer", "abcd", "abcde", false, false, false},
    {"empty part", "abcd", "", true, true, true},
    {"empty in empty", "", "", true, true, true},
    {"something in empty", "", "a", false, false, false},
};

static void parts_of_slices(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct str s = str_of(parts[i].s), part = str_of(parts[i].part);
        if (str_starts(s, part) != parts[i].starts || str_ends(s, part) != parts[i].ends ||
            str_has(s, part) != parts[i].has)
            fail_msg("%s", parts[i].name);
    }
}

static void trimming_and_cutting(void **state)
{
    (void)state;
    assert_true(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
    assert_true(str_eq(str_trim(STR(" \t ")), STR("")));
    assert_int_equal(str_trim(STR_NONE).len, 0);
    assert_true(str_eq(str_from(STR("abc"), 1), STR("bc")));
    assert_int_equal(str_from(STR("abc"), 9).len, 0);
    assert_int_equal(str_from(STR_NONE, 9).len, 0);
    assert_int_equal(str_find(STR("abc"), 'c'), 2);
    assert_int_equal(str_find(STR("abc"), 'x'), 3);
    assert_int_equal(str_find(STR_NONE, 'x'), 0);
}

static const struct {
    const char *name, *s, *want; /* parts in brackets */
} splits[] = {
    {"one part", "a", "[a]"},
    {"three parts", "a,b,c", "[a][b][c]"},
    {"an empty one at the end", "a,", "[a][]"},
    {"an empty one at the start", ",a", "[][a]"},
    {"nothing but a separator", ",", "[][]"},
    {"an empty slice is one empty part", "", "[]"},
    {"no slice has no part", NULL, ""},
};

static void splitting_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(splits); i++) {
        struct buf got = buf_new(100);
        struct str rest = str_of(splits[i].s), part;
        while (str_split(&rest, ',', &part))
            buf_addf(&got, "[%.*s]", STR_ARG(part));
        if (!str_eq(buf_str(&got), str_of(splits[i].want)))
            fail_msg("%s: got %.*s", splits[i].name, STR_ARG(buf_str(&got)));
        buf_free(&got);
    }
}

static const struct {
    const char *text;
    bool is_number;
    uint64_t want;
} numbers[] = {
    {"0", true, 0},
    {"007", true, 7},
    {"18446744073709551615", true, UINT64_MAX},
    {"18446744073709551616", false, 0},
    {"18446744073709551620", false, 0},
    {"99999999999999999999", false, 0},
    {"", false, 0},
    {"-1", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"0x1", false, 0},
};

static void numbers_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        uint64_t got = 0;
        bool is_number = str_to_u64(str_of(numbers[i].text), &got);
        if (is_number != numbers[i].is_number || got != numbers[i].want)
            fail_msg("'%s': got %d, %" PRIu64, numbers[i].text, is_number, got);
    }
}

static const struct {
    const char *glob, *text;
    bool matches;
} globs[] = {
    {"", "", true},
    {"", "a", false},
    {"*", "", true},
    {"*", "anything", true},
    {"**", "anything", true},
    {"abc", "abc", true},
    {"abc", "abcd", false},
    {"abc", "ab", false},
    {"a*", "abc", true},
    {"a*", "bc", false},
    {"*c", "abc", true},
    {"*c", "cb", false},
    {"a*c", "ac", true},
    {"a*c", "abbc", true},
    {"a*a", "a", false}, /* the two ends may not share a byte */
    {"ab*ba", "aba", false},
    {"ab*ba", "abba", true},
    {"*b*", "abc", true},
    {"*x*", "abc", false},
    {"a*b*c", "a-b-b-c", true},
    {"a*b*c", "a-c-b", false},
    {"*aab*", "aaab", true},
    {"*ab*ab", "ab", false},
    {"*ab*ab", "abab", true},
    {"/v1/*/items", "/v1/x/y/items", true},
    {"a?c", "abc", false}, /* only the star is special */
    {"a?c", "a?c", true},
    {"a.c", "abc", false},
    {"[a]", "a", false},
};

static void globs_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(globs); i++) {
        if (str_glob(str_of(globs[i].glob), str_of(globs[i].text)) != globs[i].matches)
            fail_msg("%s on %s", globs[i].glob, globs[i].text);
    }
}

/* "a*a*a*…b" on "aaaa…": every star could stand anywhere. */
static void globs_meant_to_be_slow_are_not(void **state)
{
    static char text[1 << 16];
    static char glob[4001];
    uint64_t before = clock_thread_cpu_us();

    (void)state;
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i + 1 < sizeof(glob); i += 2)
        memcpy(glob + i, "a*", 2);
    glob[sizeof(glob) - 1] = 'b';
    assert_false(str_glob(str_at(glob, sizeof(glob)), str_at(text, sizeof(text))));
    memset(glob + 1, 'a', sizeof(glob) - 1); /* "*aaaa…b*": one long part that nearly fits */
    glob[0] = '*';
    glob[sizeof(glob) - 2] = 'b';
    glob[sizeof(glob) - 1] = '*';
    assert_false(str_glob(str_at(glob, sizeof(glob)), str_at(text, sizeof(text))));
    assert_true(clock_thread_cpu_us() - before < 1000000); /* tried again and again: minutes */
}

static void hex_digits(void **state)
{
    (void)state;
    assert_int_equal(ascii_hex_value('0'), 0);
    assert_int_equal(ascii_hex_value('9'), 9);
    assert_int_equal(ascii_hex_value('a'), 10);
    assert_int_equal(ascii_hex_value('F'), 15);
    assert_int_equal(ascii_hex_value('g'), -1);
    assert_int_equal(ascii_hex_value('\0'), -1);
}

static void decimal_digits_at_every_border(void **state)
{
    (void)state;
    for (uint64_t power = 1; power < UINT64_MAX / 10; power *= 10) {
        const uint64_t values[] = {power - 1, power, power + 1, power * 9 + 9};

        for (size_t i = 0; i < COUNT_OF(values); i++) {
            char got[U64_DIGITS], want[U64_DIGITS + 1];
            int len = snprintf(want, sizeof(want), "%" PRIu64, values[i]);

            if (!str_eq(str_at(got, u64_write(got, values[i])), str_at(want, (size_t)len)))
                fail_msg("%s is written otherwise", want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparison_of_slices),           cmocka_unit_test(parts_of_slices),
        cmocka_unit_test(trimming_and_cutting),           cmocka_unit_test(splitting_of_every_form),
        cmocka_unit_test(numbers_of_every_form),          cmocka_unit_test(globs_of_every_form),
        cmocka_unit_test(globs_meant_to_be_slow_are_not), cmocka_unit_test(hex_digits),
        cmocka_unit_test(decimal_digits_at_every_border),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
