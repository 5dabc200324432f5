/* cache_tags_fuzz.c - the fields that name answers for purges.
 *
 * Held: names are not empty, within the bounds, without blanks at their ends, and those that
 * are no group are slices of the input; a line of Surrogate-Key more is a name more, or too
 * many; groups that an answer invalidates are those that it would be in. */
#include "caching_input.h"
#include "http/http.h"

static void check_names(const struct http_cache_tags *tags, struct str input)
{
    CHECK(tags->count <= HTTP_MAX_TAGS);
    for (uint32_t i = 0; i < tags->count; i++) {
        struct str name = tags->at[i].name;

        CHECK(name.len > 0 && name.len <= HTTP_MAX_TAG_BYTES);
        if (tags->at[i].is_group)
            continue;
        CHECK(str_trim(name).len == name.len);
        CHECK(name.ptr >= input.ptr && name.ptr + name.len <= input.ptr + input.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = input_copy(data, size);
    struct http_cache_tags tags, groups;
    struct http_fields fields;
    uint32_t group_count = 0;

    input_begin();
    fields = input_fields(input, HTTP_OTHER);
    bool is_kept = http_cache_tags(&fields, arena, &tags);
    CHECK(is_kept || tags.is_too_much);
    check_names(&tags, input);
    for (uint32_t i = 0; i < tags.count; i++)
        group_count += tags.at[i].is_group;
    for (uint32_t i = 0; i < fields.count; i++)
        if (fields.at[i].id == HTTP_CACHE_GROUP_INVALIDATION)
            fields.at[i].id = HTTP_OTHER;
        else if (fields.at[i].id == HTTP_CACHE_GROUPS)
            fields.at[i].id = HTTP_CACHE_GROUP_INVALIDATION;
    CHECK(http_invalidated_groups(&fields, arena, &groups));
    CHECK(!is_kept || groups.count == group_count);
    CHECK(http_fields_add_id(&fields, HTTP_SURROGATE_KEY, STR(" one-more ")));
    uint32_t others = tags.count - group_count;
    if (is_kept && http_cache_tags(&fields, arena, &tags))
        CHECK(tags.count == others + 1);
    input_free(input);
    return 0;
}
