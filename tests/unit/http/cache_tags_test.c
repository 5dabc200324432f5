/* cache_tags_test.c - which names an answer's fields hold, in which order. */
#include "caching_fixture.h"

static const struct {
    const char *name, *field, *value, *want; /* names with '|' behind each; groups in brackets */
} rows[] = {
    {"Cache-Tag", "Cache-Tag", " a, b c ,,d ", "a|b c|d|"},
    {"Surrogate-Key", "surrogate-key", "a b\t c,d", "a|b|c,d|"},
    {"xkey", "XKEY", "a b, c", "a|b|c|"},
    {"Cache-Groups", "Cache-Groups", "\"a\", \"b c\";x=1", "[a]|[b c]|"},
    {"escapes", "Cache-Groups", "\"a\\\\b\\\"\"", "[a\\b\"]|"},
    {"other members", "Cache-Groups", "1, a, (\"x\"), \"b\"", "[b]|"},
    {"no list", "Cache-Groups", "\"a\", \"b", ""},
    {"a comma at the end", "Cache-Groups", "\"a\",", ""},
    {"an empty group", "Cache-Groups", "\"\"", ""},
    {"another field", "Cache-Tags", "a", ""},
};

static void names_of_each_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena *memory = arena_new(1 << 14, 1 << 20);
        struct http_fields fields;
        struct http_cache_tags tags;
        struct buf got = buf_new(1 << 12);

        assert_true(http_fields_init(&fields, memory, 1));
        assert_true(http_fields_add(&fields, str_of(rows[i].field), str_of(rows[i].value)));
        assert_true(http_cache_tags(&fields, memory, &tags));
        for (uint32_t j = 0; j < tags.count; j++)
            buf_addf(&got, tags.at[j].is_group ? "[%.*s]|" : "%.*s|", STR_ARG(tags.at[j].name));
        if (!str_eq(buf_str(&got), str_of(rows[i].want)))
            fail_msg("%s: got %.*s", rows[i].name, STR_ARG(buf_str(&got)));
        buf_free(&got);
        arena_free(&memory);
    }
}

static void lists_are_read_strictly(void **state)
{
    static const struct {
        const char *text;
        bool is_list;
    } lists[] = {{"", true},     {"a", true},         {"a, b", true}, {"a;x, (b c);y=2", true},
                 {"a b", false}, {"a,,b", false},     {"a=1", false}, {"\"a", false},
                 {"(a", false},  {"a , \"b\"", true}, {", a", false}, {"\"a\"\"b\"", false}};
    struct arena *memory = arena_new(1 << 14, 1 << 20);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        struct http_fields fields;
        struct http_cache_tags groups;
        struct buf text = buf_new(1 << 10);

        arena_reset(memory);
        buf_addf(&text, "%s%s\"last\"", lists[i].text, lists[i].text[0] != '\0' ? ", " : "");
        assert_true(http_fields_init(&fields, memory, 1));
        assert_true(http_fields_add(&fields, STR("Cache-Group-Invalidation"), buf_str(&text)));
        assert_true(http_invalidated_groups(&fields, memory, &groups));
        if ((groups.count > 0) != lists[i].is_list)
            fail_msg("%s", lists[i].text);
        buf_free(&text);
    }
    arena_free(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_each_field),
        cmocka_unit_test(lists_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
