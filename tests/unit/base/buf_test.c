/* buf_test.c - growable buffers: ceilings, what a broken one does, numbers and
 * JSON text. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void growing_keeps_what_was_there(void **state)
{
    struct buf buf = buf_new(100000);

    (void)state;
    for (int i = 0; i < 100000; i++)
        assert_true(buf_add_char(&buf, (char)('a' + i % 26)));
    assert_int_equal(buf.len, 100000);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buf.ptr[i], 'a' + i % 26);
    buf_free(&buf);
    buf_free(NULL);
}

static void ceiling_is_met_exactly_and_never_passed(void **state)
{
    struct buf buf = buf_new(1000);
    char piece[10] = "123456789";

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_true(buf_add(&buf, piece, 10));
    assert_false(buf.is_broken);
    assert_int_equal(buf.len, 1000);
    assert_int_equal(buf.room, 1000);
    assert_false(buf_add_char(&buf, 'x'));
    assert_true(buf.is_broken);
    assert_int_equal(buf.len, 1000);
    buf_drop_front(&buf, 999);
    assert_int_equal(buf.len, 1);
    assert_false(buf_add_char(&buf, 'x')); /* once broken, broken, though there is room */
    assert_false(buf_addf(&buf, "x"));
    buf_clear(&buf);
    assert_true(buf_add_char(&buf, 'x'));
    buf_free(&buf);
    assert_true(buf_add_char(&buf, 'x')); /* usable after free, with the same ceiling */
    assert_false(buf_reserve(&buf, SIZE_MAX));
    buf_free(&buf);
}

static void a_ceiling_of_nothing(void **state)
{
    struct buf buf = buf_new(0);

    (void)state;
    assert_true(buf_add_str(&buf, STR_NONE));
    assert_false(buf_add_char(&buf, 'x'));
    buf_free(&buf);
}

static void printing_at_the_ceiling(void **state)
{
    struct buf buf = buf_new(10);

    (void)state;
    assert_true(buf_addf(&buf, "%s", "12345"));
    assert_true(buf_addf(&buf, "%d", 67890));
    assert_true(str_eq(buf_str(&buf), STR("1234567890")));
    assert_false(buf_addf(&buf, "%d", 1));
    buf_free(&buf);
    buf = buf_new(1000);
    assert_true(buf_addf(&buf, "%0300d", 7)); /* more than the first room */
    assert_int_equal(buf.len, 300);
    buf_free(&buf);
}

static void dropping_from_the_front(void **state)
{
    struct buf buf = buf_new(100);

    (void)state;
    buf_add_str(&buf, STR("abcdef"));
    buf_drop_front(&buf, 2);
    assert_true(str_eq(buf_str(&buf), STR("cdef")));
    buf_drop_front(&buf, 0);
    buf_drop_front(&buf, 4);
    assert_int_equal(buf.len, 0);
    buf_free(&buf);
}

static void numbers_as_text(void **state)
{
    static const struct {
        uint64_t value;
        const char *want;
    } cases[] = {
        {0, "0"}, {9, "9"}, {10, "10"}, {1234567, "1234567"}, {UINT64_MAX, "18446744073709551615"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf buf = buf_new(100);
        assert_true(buf_add_u64(&buf, cases[i].value));
        assert_true(str_eq(buf_str(&buf), str_of(cases[i].want)));
        buf_free(&buf);
    }
}

#define BAD "\xEF\xBF\xBD"
static const struct {
    const char *name;
    struct str text;
    const char *want; /* without the quotes around it */
} json_cases[] = {
    {"empty", {"", 0}, ""},
    {"plain", {"abc /~", 6}, "abc /~"},
    {"quote and backslash", {"a\"b\\c", 5}, "a\\\"b\\\\c"},
    {"line ends and tab", {"\r\n\t", 3}, "\\r\\n\\t"},
    {"other controls", {"\0\x01\x1f", 3}, "\\u0000\\u0001\\u001f"},
    {"delete is plain JSON, but shown", {"\x7f", 1}, "\x7f"},
    {"two, three and four bytes",
     {"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", 9},
     "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"},
    {"highest", {"\xF4\x8F\xBF\xBF", 4}, "\xF4\x8F\xBF\xBF"},
    {"too high", {"\xF4\x90\x80\x80", 4}, BAD BAD BAD BAD},
    {"overlong slash", {"\xC0\xAF", 2}, BAD BAD},
    {"overlong three", {"\xE0\x80\xAF", 3}, BAD BAD BAD},
    {"overlong four", {"\xF0\x80\x80\xAF", 4}, BAD BAD BAD BAD},
    {"surrogate", {"\xED\xA0\x80", 3}, BAD BAD BAD},
    {"a lone continuation", {"a\x80z", 3}, "a" BAD "z"},
    {"cut short", {"a\xE2\x82", 3}, "a" BAD BAD},
    {"cut by a quote", {"\xE2\"", 2}, BAD "\\\""},
    {"never a byte of UTF-8", {"\xFF\xFE", 2}, BAD BAD},
};

static void json_text_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(json_cases); i++) {
        struct buf got = buf_new(1000), want = buf_new(1000);
        buf_addf(&want, "\"%s\"", json_cases[i].want);
        /* from the heap, so that reading past the end is seen */
        char *text = malloc(json_cases[i].text.len + 1);
        assert_non_null(text);
        memcpy(text, json_cases[i].text.ptr, json_cases[i].text.len);
        char *exact = realloc(text, json_cases[i].text.len > 0 ? json_cases[i].text.len : 1);
        assert_non_null(exact);
        assert_true(buf_add_json(&got, str_at(exact, json_cases[i].text.len)));
        if (!str_eq(buf_str(&got), buf_str(&want)))
            fail_msg("%s: got %.*s", json_cases[i].name, STR_ARG(buf_str(&got)));
        free(exact);
        buf_free(&got);
        buf_free(&want);
    }
}

static void json_past_the_ceiling_is_a_failure(void **state)
{
    struct buf buf = buf_new(5);

    (void)state;
    assert_true(buf_add_json(&buf, STR("abc")));
    buf_clear(&buf);
    assert_false(buf_add_json(&buf, STR("abcd")));
    buf_clear(&buf);
    assert_false(buf_add_json(&buf, STR("\n\n")));
    buf_free(&buf);
}

/* Eight bytes are looked at together: each of them must be seen wherever it stands. */
static void json_wherever_the_odd_byte_stands(void **state)
{
    (void)state;
    for (size_t at = 0; at < 20; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            bool is_plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
            struct buf buf = buf_new(200);
            char text[20];

            memset(text, 'x', sizeof(text));
            text[at] = (char)byte;
            buf_add_json(&buf, str_at(text, sizeof(text))); /* makes room, so that the next */
            buf_clear(&buf);                                /* may be written in one piece */
            assert_true(buf_add_json(&buf, str_at(text, sizeof(text))));
            if ((buf.len == sizeof(text) + 2) != is_plain ||
                (is_plain && memcmp(buf.ptr + 1, text, sizeof(text)) != 0))
                fail_msg("%u at %zu: %.*s", byte, at, STR_ARG(buf_str(&buf)));
            buf_free(&buf);
        }
    }
}

static void reading_goes_on_where_it_stopped(void **state)
{
    struct buf buf = buf_new(16);
    size_t at = 0;
    char to[4];

    (void)state;
    assert_int_equal(buf_read(&buf, &at, to, sizeof(to)), 0); /* it has no memory yet */
    assert_true(buf_add_str(&buf, STR("abcdef")));
    assert_int_equal(buf_read(&buf, &at, to, sizeof(to)), 4);
    assert_memory_equal(to, "abcd", 4);
    assert_int_equal(buf_read(&buf, &at, to, sizeof(to)), 2);
    assert_memory_equal(to, "ef", 2);
    assert_int_equal(buf_read(&buf, &at, to, sizeof(to)), 0);
    assert_int_equal(at, 6);
    buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_goes_on_where_it_stopped),
        cmocka_unit_test(growing_keeps_what_was_there),
        cmocka_unit_test(ceiling_is_met_exactly_and_never_passed),
        cmocka_unit_test(a_ceiling_of_nothing),
        cmocka_unit_test(printing_at_the_ceiling),
        cmocka_unit_test(dropping_from_the_front),
        cmocka_unit_test(numbers_as_text),
        cmocka_unit_test(json_text_of_every_form),
        cmocka_unit_test(json_past_the_ceiling_is_a_failure),
        cmocka_unit_test(json_wherever_the_odd_byte_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
