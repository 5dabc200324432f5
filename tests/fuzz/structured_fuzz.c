/* structured_fuzz.c - structured-field dictionaries and the targeted field made of them.
 *
 * Held: every key is one by its grammar and a slice of the input, integers have
 * at most 15 digits; a dictionary stays one, with the same members, when blanks
 * are put round it or a member is appended; a comma at its end breaks it. */
#include "caching_input.h"
#include "http/http.h"
#include "http/structured_priv.h"

struct seen {
    struct str input;
    size_t members;
};

static void check_member(void *arg, const struct http_sf_member *member)
{
    struct seen *seen = arg;
    const int64_t most = INT64_C(999999999999999);

    seen->members++;
    CHECK(member->key.len > 0 && member->key.ptr >= seen->input.ptr);
    CHECK(member->key.ptr + member->key.len <= seen->input.ptr + seen->input.len);
    for (size_t i = 0; i < member->key.len; i++)
        CHECK(member->key.ptr[i] < 'A' || member->key.ptr[i] > 'Z');
    if (member->kind == HTTP_SF_INTEGER)
        CHECK(member->integer >= -most && member->integer <= most);
    if (member->kind == HTTP_SF_STRING || member->kind == HTTP_SF_TOKEN)
        CHECK(member->text.len == 0 ||
              (member->text.ptr > seen->input.ptr &&
               member->text.ptr + member->text.len <= seen->input.ptr + seen->input.len));
}

static bool count_members(const char *front, struct str text, const char *back, size_t *members)
{
    struct buf out = buf_new(1 << 20);
    struct seen seen = {STR_NONE, 0};

    buf_add_str(&out, str_of(front));
    buf_add_str(&out, text);
    buf_add_str(&out, str_of(back));
    seen.input = buf_str(&out);
    bool is_one = http_sf_dictionary(seen.input, check_member, &seen);
    *members = seen.members;
    buf_free(&out);
    return is_one;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_cache_control control;
    struct str input = input_copy(data, size);
    struct seen seen = {input, 0};
    size_t members;

    input_begin();
    if (http_sf_dictionary(input, check_member, &seen)) {
        CHECK(count_members("  ", input, " ", &members) && members == seen.members);
        if (seen.members > 0) {
            CHECK(count_members("", input, ", b=1", &members) && members == seen.members + 1);
            CHECK(!count_members("", input, ",", &members));
        }
    }
    struct http_fields fields = input_fields(input, HTTP_CDN_CACHE_CONTROL);
    if (http_targeted_parse(&fields, arena, &control)) {
        CHECK(control.max_age >= -2 && control.max_age <= HTTP_FOREVER_S);
        CHECK(control.s_maxage >= -2 && control.s_maxage <= HTTP_FOREVER_S);
    }
    input_free(input);
    return 0;
}
