/* cache_control_fuzz.c - the list syntax of Cache-Control and the Pragma beside it.
 *
 * Held: numbers are absent, unusable or within bounds; field lists are slices of
 * the input; a line added in front that forbids storing always does; and another's
 * quoted string around the whole value sets nothing. */
#include "caching_input.h"
#include "http/http.h"

static void check_number(int64_t value)
{
    CHECK(value >= -2 && value <= HTTP_FOREVER_S);
}

static void check_inside(struct str part, struct str whole)
{
    if (part.len > 0)
        CHECK(part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_control(const struct http_cache_control *control, struct str input)
{
    check_number(control->max_age);
    check_number(control->s_maxage);
    check_number(control->min_fresh);
    check_number(control->max_stale);
    check_number(control->stale_while_revalidate);
    check_number(control->stale_if_error);
    check_inside(control->no_cache_list, input);
    check_inside(control->private_list, input);
    CHECK(control->no_cache || !control->no_cache_fields);
    CHECK(control->is_private || !control->private_fields);
}

/* a="VALUE": nothing in it counts when it holds neither quote nor backslash. */
static void check_quoted(struct str input)
{
    struct http_cache_control control;
    struct http_fields fields;

    if (str_find(input, '"') < input.len || str_find(input, '\\') < input.len)
        return;
    struct str quoted = arena_printf(arena, "a=\"%.*s\"", STR_ARG(input));
    if (quoted.ptr == NULL || str_find(input, '\0') < input.len)
        return;
    CHECK(http_fields_init(&fields, arena, 1));
    CHECK(http_fields_add_id(&fields, HTTP_CACHE_CONTROL, quoted));
    http_cache_control_parse(&fields, false, &control);
    CHECK(!control.no_store && !control.no_cache && !control.is_private && !control.is_public);
    CHECK(control.max_age == -1 && control.s_maxage == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_cache_control control;
    struct str input = input_copy(data, size);

    input_begin();
    struct http_fields fields = input_fields(input, HTTP_CACHE_CONTROL);
    http_cache_control_parse(&fields, false, &control);
    check_control(&control, input);
    http_cache_control_parse(&fields, true, &control);
    check_control(&control, input);
    check_quoted(input);
    CHECK(http_fields_add_id(&fields, HTTP_CACHE_CONTROL, STR("x=\"y\", No-Store")));
    http_cache_control_parse(&fields, false, &control);
    CHECK(control.no_store);
    fields = input_fields(input, HTTP_PRAGMA);
    http_cache_control_parse(&fields, true, &control);
    CHECK(control.no_cache == http_fields_has_token(&fields, HTTP_PRAGMA, STR("no-cache")));
    input_free(input);
    return 0;
}
