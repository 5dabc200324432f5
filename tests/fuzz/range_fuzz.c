/* range_fuzz.c - Range with If-Range, and the client's other conditions.
 *
 * The first byte is the size of what is stored, the rest header lines. Held: a
 * range lies within it, and what is written for that range is read as itself;
 * a list of entity tags has each of its own. */
#include "caching_input.h"
#include "http/http.h"

static void check_range(const struct http_range *range, uint64_t size)
{
    struct http_validators stored = {STR_NONE, HTTP_NO_TIME, HTTP_NO_TIME};
    struct http_fields request;
    struct http_range again;

    CHECK(range->first <= range->last && range->last < size);
    struct str text = arena_printf(arena, "bytes=%" PRIu64 "-%" PRIu64, range->first, range->last);
    CHECK(text.ptr != NULL && http_fields_init(&request, arena, 1));
    CHECK(http_fields_add_id(&request, HTTP_RANGE, text));
    CHECK(http_range_parse(&request, &stored, size, &again) == HTTP_RANGE_ONE);
    CHECK(again.first == range->first && again.last == range->last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_validators stored = {STR("\"a\""), 784111777, INT64_C(1800000000)};
    struct http_range range;

    if (size == 0)
        return 0;
    input_begin();
    struct str input = input_copy(data + 1, size - 1);
    struct http_fields request = input_fields(input, HTTP_OTHER);
    if (http_range_parse(&request, &stored, data[0], &range) == HTTP_RANGE_ONE)
        check_range(&range, data[0]);
    if (http_evaluate(&request, &stored, stored.date_s) != HTTP_COND_NONE)
        CHECK(http_has_conditionals(&request));
    stored.etag = http_fields_get(&request, HTTP_ETAG);
    (void)http_evaluate(&request, &stored, stored.date_s);

    request = input_fields(input, HTTP_RANGE);
    if (http_range_parse(&request, &stored, data[0], &range) == HTTP_RANGE_ONE)
        check_range(&range, data[0]);
    struct http_content_range part;
    request = input_fields(input, HTTP_CONTENT_RANGE);
    if (http_content_range_parse(&request, &part))
        CHECK(part.first <= part.last && part.last < part.size);
    if (http_etag_list_has(input, input, false)) { /* one strong tag, and nothing else */
        CHECK(input.len >= 2 && input.ptr[0] == '"' && input.ptr[input.len - 1] == '"');
        struct str list =
            arena_printf(arena, "W/\"%%\",, x, \"y,\" , %.*s , \"z\"", STR_ARG(input));
        CHECK(list.ptr == NULL || http_etag_list_has(list, input, false));
    }
    input_free(input);
    return 0;
}
