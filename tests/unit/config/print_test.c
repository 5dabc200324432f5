/* print_test.c - what is printed reads back the same, secrets stay inside, the schema is whole.
 *
 * The page of settings is held to the tables here too: it is written from them, and a
 * row that is missing there means that somebody forgot to. */
#include "config_fixture.h"

#include <cjson/cJSON.h>

static char *file_text(const char *path, size_t *len)
{
    struct fail why = {""};
    char *text = file_read(path, 1 << 20, len, &why);

    if (text == NULL)
        fail_msg("%s", why.text);
    return text;
}

static void printed_reads_back(const char *text, char *const *env)
{
    struct buf first, second;
    struct config *config = load_text(text, env, NULL);

    print_config(config, &first, false);
    config_release(&config);
    config = load_text(first.ptr, NULL, NULL);
    print_config(config, &second, false);
    config_release(&config);
    for (char *at = strstr(first.ptr, " // from"); at != NULL; at = strstr(first.ptr, " // from"))
        memmove(at, strchr(at, '\n'), strlen(strchr(at, '\n')) + 1);
    assert_string_equal(first.ptr, second.ptr);
    buf_free(&first);
    buf_free(&second);
}

static void round_trips(void **state)
{
    char *const env[] = {"GATEWAY_UPSTREAM=http://app:8000", "RATE_LIMIT_BURST=9", NULL};
    size_t len;
    char *text = file_text("config/gateway.json", &len);

    (void)state;
    printed_reads_back("{}", NULL);
    printed_reads_back(text, NULL);
    printed_reads_back(text, env);
    printed_reads_back("{\"tiers\": {\"a.b \\\"c\": {\"per_second\": 3, \"windows\": [{\"name\": "
                       "\"w\", \"limit\": 2, \"kind\": "
                       "\"bucket\", \"per\": \"1500ms\", \"burst\": 7}, {\"name\": \"m\", "
                       "\"limit\": 1, \"kind\": \"calendar\"}]}}, "
                       "\"cache\": {\"negative_ttl\": {\"404\": 1.5}}}",
                       NULL);
    free(text);
}

static void secrets_stay_inside(void **state)
{
    static const char text[] = "{\"admin\": {\"token\": \"sesame\"}, \"identity\": "
                               "{\"hash_secret\": \"opensesame\", \"api_key\": {\"keys\": {"
                               "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
                               "\": {\"id\": \"acme\", \"tier\": \"${T}\"}}}}}";
    char *const env[] = {"T=premium", NULL};
    struct config *config = load_text(text, env, NULL);

    (void)state;
    for (int as_json = 0; as_json < 2; as_json++) {
        struct buf out;
        print_config(config, &out, as_json == 1);
        assert_null(strstr(out.ptr, "sesame"));
        assert_null(strstr(out.ptr, "e3b0c44298"));
        assert_non_null(strstr(out.ptr, "\"token\": \"***\""));
        assert_non_null(strstr(out.ptr, "\"hash_secret\": \"***\""));
        assert_non_null(strstr(out.ptr, "\"e3b0c442...\": {"));
        assert_non_null(strstr(out.ptr, as_json == 1
                                            ? "\"identity.api_key.keys.e3b0c442....tier\": \"T\""
                                            : "\"tier\": \"premium\", // from T"));
        buf_free(&out);
    }
    config_release(&config);
}

static void json_has_no_comments(void **state)
{
    char *const env[] = {"CACHE_ENABLED=0", NULL};
    struct config *config = load_text("{}", env, NULL);
    struct buf out;

    (void)state;
    print_config(config, &out, true);
    cJSON *json = cJSON_Parse(out.ptr);
    assert_non_null(json);
    const cJSON *marks = cJSON_GetObjectItemCaseSensitive(json, "from_environment");
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(marks, "cache.enabled")->valuestring,
                        "CACHE_ENABLED");
    cJSON_Delete(json);
    buf_free(&out);
    config_release(&config);
}

/* Each field of a section is in the schema with its sentence, and on the page. */
static void compare_section(const struct section *section, const cJSON *schema, const char *page)
{
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(schema, "properties");

    assert_int_equal(cJSON_GetArraySize(properties), section->count);
    for (size_t i = 0; i < section->count; i++) {
        const struct field *field = &section->fields[i];
        const cJSON *property = cJSON_GetObjectItemCaseSensitive(properties, field->name);
        const struct collection *collection = field->detail;
        assert_non_null(property);
        assert_true(strlen(field->about) > 0);
        assert_string_equal(cJSON_GetObjectItemCaseSensitive(property, "description")->valuestring,
                            field->about);
        if (strstr(page, field->about) == NULL)
            fail_msg("config/README.md lacks %s: run config/settings.mjs", field->name);
        if (field->kind == &kind_section)
            compare_section(field->detail, property, page);
        else if (field->kind == &kind_map)
            compare_section(collection->section,
                            cJSON_GetObjectItemCaseSensitive(property, "additionalProperties"),
                            page);
        else if (field->kind == &kind_list)
            compare_section(collection->section,
                            cJSON_GetObjectItemCaseSensitive(property, "items"), page);
        else if (field->initial != NULL)
            assert_non_null(cJSON_GetObjectItemCaseSensitive(property, "default"));
    }
}

static void the_schema_is_whole(void **state)
{
    struct buf out = buf_new(1 << 20);
    size_t len;
    char *page = file_text("config/README.md", &len);

    (void)state;
    assert_true(config_write_schema(&out));
    assert_true(buf_add_char(&out, '\0'));
    cJSON *schema = cJSON_Parse(out.ptr);
    assert_non_null(schema);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(schema, "$schema")->valuestring,
                        "https://json-schema.org/draft/2020-12/schema");
    compare_section(&root_section, schema, page);
    cJSON_Delete(schema);
    buf_free(&out);
    free(page);
}

static void without_room_writing_fails(void **state)
{
    struct buf out = buf_new(100);
    struct config *config = load_text("{}", NULL, NULL);

    (void)state;
    assert_false(config_write(config, &out, false));
    buf_clear(&out);
    assert_false(config_write_schema(&out));
    buf_free(&out);
    config_release(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(secrets_stay_inside),
        cmocka_unit_test(json_has_no_comments),
        cmocka_unit_test(the_schema_is_whole),
        cmocka_unit_test(without_room_writing_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
