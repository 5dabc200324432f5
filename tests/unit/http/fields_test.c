/* fields_test.c - the header list: names and their ids, looking up, joining, removing,
 * comma-separated lists. */
#include "message_fixture.h"

static void every_known_name_has_its_id_in_any_case(void **state)
{
    (void)state;
    for (int id = HTTP_OTHER + 1; id < HTTP_NAMES; id++) {
        struct str text = http_name_text((enum http_name)id);
        char folded[64];

        for (int turn = 0; turn < 3; turn++) {
            for (size_t i = 0; i < text.len; i++) {
                char lower = ascii_lower(text.ptr[i]);
                bool is_upper = turn == 1 || (turn == 2 && i % 2 == 0);

                folded[i] = is_upper && lower >= 'a' && lower <= 'z' ? (char)(lower - 32) : lower;
            }
            if (http_name_of(str_at(folded, text.len)) != (enum http_name)id)
                fail_msg("%.*s is not found as %d", (int)text.len, folded, id);
        }
    }
    assert_null(http_name_text(HTTP_OTHER).ptr);
}

static void one_changed_byte_is_another_name(void **state)
{
    (void)state;
    for (int id = HTTP_OTHER + 1; id < HTTP_NAMES; id++) {
        struct str text = http_name_text((enum http_name)id);
        char changed[65];

        for (size_t i = 0; i < text.len; i++)
            for (int byte = 0; byte < 256; byte++) {
                memcpy(changed, text.ptr, text.len);
                changed[i] = (char)byte;
                if (ascii_lower((char)byte) != ascii_lower(text.ptr[i]) &&
                    http_name_of(str_at(changed, text.len)) == (enum http_name)id)
                    fail_msg("byte %d of %.*s may be 0x%02x", (int)i, STR_ARG(text), byte);
            }
        memcpy(changed, text.ptr, text.len);
        changed[text.len] = 's';
        if (http_name_of(str_at(changed, text.len + 1)) == (enum http_name)id ||
            http_name_of(str_at(changed, text.len - 1)) == (enum http_name)id)
            fail_msg("the length of %.*s does not count", STR_ARG(text));
    }
}

static void unknown_names_have_none(void **state)
{
    static const char *const unknown[] = {
        "",
        "x",
        "xx",
        "xyz",
        "DNT",
        "X-Forwarded-Port",
        "Content_Length",
        "Content-Length ",
        " Host",
        "Hosts",
        "Hos",
        "X-RateLimit-Remaininf",
        "Transfer\rEncoding",
        "\x48OST\x80",
        "a-name-of-more-than-thirty-two-bytes-is-none",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        if (http_name_of(str_of(unknown[i])) != HTTP_OTHER)
            fail_msg("\"%s\" has an id", unknown[i]);
    assert_int_equal(http_name_of(STR_NONE), HTTP_OTHER);
}

static void order_duplicates_and_spelling_are_kept(void **state)
{
    struct http_fields fields;

    (void)state;
    arena_reset(test_arena);
    assert_true(http_fields_init(&fields, test_arena, 0));
    for (int i = 0; i < 200; i++) {
        assert_true(http_fields_add(&fields, STR("sEt-Cookie"), STR("\t a=1 \t")));
        assert_true(http_fields_add(&fields, STR("x-Other"), STR("")));
    }
    assert_int_equal(fields.count, 400);
    assert_int_equal(http_fields_count_of(&fields, HTTP_SET_COOKIE), 200);
    expect_str("spelling", "name", fields.at[398].name, "sEt-Cookie");
    expect_str("blanks at the ends", "value", fields.at[398].value, "a=1");
    assert_int_equal(http_fields_bytes(&fields),
                     200 * (sizeof("sEt-Cookie: a=1\r\n") + sizeof("x-Other: \r\n") - 2));
}

static void a_full_arena_is_told(void **state)
{
    struct arena *small = arena_new(1024, 1024);
    struct http_fields fields;
    bool went_in = true;

    (void)state;
    assert_non_null(small);
    assert_true(http_fields_init(&fields, small, 2));
    for (int i = 0; went_in && i < 1000; i++)
        went_in = http_fields_add(&fields, STR("a"), STR("b"));
    assert_false(went_in);
    assert_false(http_fields_init(&fields, small, 1000));
    assert_int_equal(fields.room, 0);
    arena_free(&small);
}

static void looking_up(void **state)
{
    struct http_fields fields;

    (void)state;
    arena_reset(test_arena);
    fields_of(&fields, test_arena,
              "Host: a\nVary: x\nX-One: 1\nvary: y\nx-one: 2\nExpect:\nAccept: only\nX-Empty:\n");
    expect_str("first of two", "value", http_fields_get(&fields, HTTP_VARY), "x");
    expect_str("empty is not absent", "value", http_fields_get(&fields, HTTP_EXPECT), "");
    expect_str("absent", "value", http_fields_get(&fields, HTTP_COOKIE), NULL);
    expect_str("by known name", "value", http_fields_find(&fields, STR("HOST")), "a");
    expect_str("by other name", "value", http_fields_find(&fields, STR("X-ONE")), "1");
    expect_str("other, empty", "value", http_fields_find(&fields, STR("x-empty")), "");
    expect_str("other, absent", "value", http_fields_find(&fields, STR("x-two")), NULL);
    expect_str("joined", "value", http_fields_joined(&fields, test_arena, HTTP_VARY), "x, y");
    expect_str("joined one", "value", http_fields_joined(&fields, test_arena, HTTP_ACCEPT), "only");
    expect_str("joined none", "value", http_fields_joined(&fields, test_arena, HTTP_COOKIE), NULL);
    expect_str("joined other", "value", http_fields_joined_name(&fields, test_arena, STR("X-oNE")),
               "1, 2");
    expect_str("joined known name", "value",
               http_fields_joined_name(&fields, test_arena, STR("VARY")), "x, y");
}

static void removing_and_setting(void **state)
{
    struct http_fields fields;

    (void)state;
    arena_reset(test_arena);
    fields_of(&fields, test_arena, "A: 1\nVary: x\nB: 2\nvary: y\na: 3\nC: 4\n");
    assert_int_equal(http_fields_remove(&fields, HTTP_VARY), 2);
    assert_int_equal(http_fields_remove(&fields, HTTP_VARY), 0);
    assert_string_equal(text_of(&fields, test_arena), "A: 1\nB: 2\na: 3\nC: 4\n");
    assert_int_equal(http_fields_remove_name(&fields, STR("a")), 2);
    assert_true(http_fields_set(&fields, HTTP_AGE, STR("5")));
    assert_true(http_fields_set(&fields, HTTP_AGE, STR("6")));
    assert_string_equal(text_of(&fields, test_arena), "B: 2\nC: 4\nAge: 6\n");
    assert_int_equal(http_fields_remove_name(&fields, STR("AGE")), 1);
}

static void members_of_every_list(void **state)
{
    static const struct {
        const char *name, *list, *members; /* members: each followed by '|' */
    } cases[] = {
        {"empty", "", ""},
        {"one", "a", "a|"},
        {"two", "a,b", "a|b|"},
        {"blanks", " a \t,\t b ", "a|b|"},
        {"inner blanks stay", "a b , c", "a b|c|"},
        {"empty members", ",,a,, ,b,", "a|b|"},
        {"only commas", ", ,\t,", ""},
        {"quoted comma", "\"a,b\",c", "\"a,b\"|c|"},
        {"quoted value", "x=\"1,2\", y", "x=\"1,2\"|y|"},
        {"escaped quote", "\"a\\\",b\",c", "\"a\\\",b\"|c|"},
        {"escaped backslash", "\"a\\\\\",b", "\"a\\\\\"|b|"},
        {"open quote runs to the end", "a,\"b,c", "a|\"b,c|"},
        {"backslash at the end", "\"a\\", "\"a\\|"},
        {"backslash outside quotes", "a\\,b", "a\\|b|"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct str rest = str_of(cases[i].list), member;
        struct buf got = buf_new(1000);

        while (http_list_next(&rest, &member)) {
            buf_add_str(&got, member);
            buf_add_char(&got, '|');
        }
        if (!str_eq(buf_str(&got), str_of(cases[i].members)))
            fail_msg("%s: got %.*s", cases[i].name, STR_ARG(buf_str(&got)));
        buf_free(&got);
    }
}

static void tokens_of_all_lines(void **state)
{
    static const struct {
        const char *name, *fields, *token;
        bool want;
    } cases[] = {
        {"alone", "Connection: close\n", "close", true},
        {"any case", "Connection: ClOsE\n", "close", true},
        {"in a list", "Connection: a, close ,b\n", "close", true},
        {"second line", "Connection: a\nConnection: close\n", "close", true},
        {"part of a word", "Connection: closed\n", "close", false},
        {"with a parameter", "Connection: close;x\n", "close", false},
        {"quoted", "Connection: \"close\"\n", "close", false},
        {"other field", "Via: close\n", "close", false},
        {"absent", "", "close", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http_fields fields;

        arena_reset(test_arena);
        fields_of(&fields, test_arena, cases[i].fields);
        if (http_fields_has_token(&fields, HTTP_CONNECTION, str_of(cases[i].token)) !=
            cases[i].want)
            fail_msg("%s", cases[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_known_name_has_its_id_in_any_case),
        cmocka_unit_test(one_changed_byte_is_another_name),
        cmocka_unit_test(unknown_names_have_none),
        cmocka_unit_test(order_duplicates_and_spelling_are_kept),
        cmocka_unit_test(a_full_arena_is_told),
        cmocka_unit_test(looking_up),
        cmocka_unit_test(removing_and_setting),
        cmocka_unit_test(members_of_every_list),
        cmocka_unit_test(tokens_of_all_lines),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
