/* range.c - the part of a stored answer that a Range asks for (RFC 9110 §14).
 *
 * One range, in bytes. A server may ignore any Range, and the whole answer is
 * always right: so several ranges, other units, and everything that is not
 * quite the grammar get the whole. If-Range compares strongly; a date must be
 * the very Last-Modified, and at least a second older than Date, or a second
 * change within that second would go unseen (§8.8.2.2). Any thread. */
#include "http/caching_priv.h"

/* Digits, at least one; saturates, because "behind the end" is all that a large one says. */
static bool read_position(struct str text, uint64_t *value)
{
    if (text.len == 0)
        return false;
    *value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.ptr[i]))
            return false;
        uint64_t digit = (uint64_t)(text.ptr[i] - '0');
        *value = *value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *value * 10 + digit;
    }
    return true;
}

/* Is the client's part still a part of what is stored? */
static bool if_range_holds(const struct http_fields *request, const struct http_validators *stored)
{
    struct str value = http_only_line(request, HTTP_IF_RANGE);

    if (http_fields_count_of(request, HTTP_IF_RANGE) == 0)
        return true;
    if (value.len == 0)
        return false;
    if (value.ptr[0] == '"')
        return stored->etag.ptr != NULL && str_eq(value, stored->etag) &&
               http_etag_list_has(value, stored->etag, false);
    if (stored->last_modified_s == HTTP_NO_TIME || stored->date_s == HTTP_NO_TIME)
        return false;
    return http_date_parse(value, stored->date_s) == stored->last_modified_s &&
           stored->date_s > stored->last_modified_s;
}

/* "-N": the last N bytes. */
static enum http_range_result suffix_range(struct str digits, uint64_t size,
                                           struct http_range *range)
{
    uint64_t count;

    if (!read_position(digits, &count))
        return HTTP_RANGE_NONE;
    if (count == 0)
        return HTTP_RANGE_UNSATISFIABLE;
    if (size == 0)
        return HTTP_RANGE_NONE; /* satisfiable by the RFC, but no Content-Range could say so */
    range->first = count < size ? size - count : 0;
    range->last = size - 1;
    return HTTP_RANGE_ONE;
}

enum http_range_result http_range_parse(const struct http_fields *request,
                                        const struct http_validators *stored, uint64_t size,
                                        struct http_range *range)
{
    struct str value = http_only_line(request, HTTP_RANGE), unit = STR("bytes=");
    uint64_t first, last = UINT64_MAX;

    if (value.len < unit.len || !str_ieq(str_at(value.ptr, unit.len), unit))
        return HTTP_RANGE_NONE;
    struct str spec = str_trim(str_from(value, unit.len));
    size_t dash = str_find(spec, '-');
    if (dash == spec.len || !if_range_holds(request, stored))
        return HTTP_RANGE_NONE;
    struct str head = str_at(spec.ptr, dash), tail = str_from(spec, dash + 1);
    if (head.len == 0)
        return suffix_range(tail, size, range);
    if (!read_position(head, &first) || (tail.len > 0 && !read_position(tail, &last)) ||
        first > last)
        return HTTP_RANGE_NONE;
    if (first >= size)
        return HTTP_RANGE_UNSATISFIABLE;
    range->first = first;
    range->last = last < size ? last : size - 1;
    return HTTP_RANGE_ONE;
}

bool http_content_range_parse(const struct http_fields *answer, struct http_content_range *range)
{
    struct str value = http_only_line(answer, HTTP_CONTENT_RANGE), unit = STR("bytes ");

    if (value.len < unit.len || !str_ieq(str_at(value.ptr, unit.len), unit))
        return false;
    struct str spec = str_trim(str_from(value, unit.len));
    size_t dash = str_find(spec, '-'), slash = str_find(spec, '/');
    if (dash >= slash || slash == spec.len)
        return false;
    return read_position(str_at(spec.ptr, dash), &range->first) &&
           read_position(str_at(spec.ptr + dash + 1, slash - dash - 1), &range->last) &&
           read_position(str_from(spec, slash + 1), &range->size) && range->first <= range->last &&
           range->last < range->size;
}

bool http_range_is_whole(const struct http_content_range *range)
{
    return range->first == 0 && range->last + 1 == range->size;
}
