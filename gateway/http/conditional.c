/* conditional.c - what a stored answer says to If-None-Match and If-Modified-Since
 * (RFC 9110 §13, RFC 9111 §4.3.2).
 *
 * Entity tags are read by their own grammar and not as quoted strings: a
 * backslash in one is a character, a comma too. A member that is no tag (no
 * quotes, w/ in lower case) matches nothing, but those behind it still count.
 * Without Last-Modified the client's date is held against Date, as the RFC
 * says: a copy older than that gets the whole answer. Any thread. */
#include "http/caching_priv.h"

static bool is_tag_char(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte == 0x21 || (byte >= 0x23 && byte != 0x7f);
}

/* Cuts an entity tag: is_weak and what stands between the quotes. */
static bool take_tag(struct str *rest, bool *is_weak, struct str *opaque)
{
    struct str s = *rest;
    size_t len = 0;

    *is_weak = str_starts(s, STR("W/"));
    if (*is_weak)
        s = str_from(s, 2);
    if (s.len == 0 || s.ptr[0] != '"')
        return false;
    s = str_from(s, 1);
    while (len < s.len && is_tag_char(s.ptr[len]))
        len++;
    if (len == s.len || s.ptr[len] != '"')
        return false;
    *opaque = str_at(s.ptr, len);
    *rest = str_from(s, len + 1);
    return true;
}

static void skip_between(struct str *rest)
{
    while (rest->len > 0 && (rest->ptr[0] == ',' || rest->ptr[0] == ' ' || rest->ptr[0] == '\t'))
        *rest = str_from(*rest, 1);
}

/* Nothing but blanks before the next comma or the end. */
static bool is_at_end_of_member(struct str rest)
{
    return str_trim(str_at(rest.ptr, str_find(rest, ','))).len == 0;
}

bool http_etag_list_has(struct str list, struct str etag, bool weak_comparison)
{
    struct str wanted, opaque, rest = list;
    bool is_wanted_weak, is_weak;

    if (!take_tag(&etag, &is_wanted_weak, &wanted) || etag.len > 0)
        return false;
    for (skip_between(&rest); rest.len > 0; skip_between(&rest)) {
        bool is_tag = take_tag(&rest, &is_weak, &opaque) && is_at_end_of_member(rest);
        bool may_match = weak_comparison || (!is_weak && !is_wanted_weak);
        if (is_tag && may_match && str_eq(opaque, wanted))
            return true;
        rest = str_from(rest, str_find(rest, ','));
    }
    return false;
}

static bool is_none_match(const struct http_fields *request, struct str etag)
{
    for (uint32_t i = 0; i < request->count; i++) {
        struct str value = request->at[i].value;
        if (request->at[i].id != HTTP_IF_NONE_MATCH)
            continue;
        if (str_eq(value, STR("*")) || (etag.ptr != NULL && http_etag_list_has(value, etag, true)))
            return false;
    }
    return true;
}

enum http_condition http_evaluate(const struct http_fields *request,
                                  const struct http_validators *stored, int64_t now_s)
{
    if (http_fields_count_of(request, HTTP_IF_NONE_MATCH) > 0)
        return is_none_match(request, stored->etag) ? HTTP_COND_NONE : HTTP_COND_NOT_MODIFIED;

    struct str since = http_only_line(request, HTTP_IF_MODIFIED_SINCE);

    if (since.ptr == NULL)
        return HTTP_COND_NONE;
    int64_t since_s = http_date_parse(since, now_s);
    int64_t changed_s =
        stored->last_modified_s != HTTP_NO_TIME ? stored->last_modified_s : stored->date_s;
    if (since_s == HTTP_NO_TIME || changed_s == HTTP_NO_TIME)
        return HTTP_COND_NONE;
    return changed_s <= since_s ? HTTP_COND_NOT_MODIFIED : HTTP_COND_NONE;
}

bool http_has_conditionals(const struct http_fields *request)
{
    for (uint32_t i = 0; i < request->count; i++) {
        enum http_name id = request->at[i].id;
        if (id == HTTP_IF_MATCH || id == HTTP_IF_NONE_MATCH || id == HTTP_IF_MODIFIED_SINCE ||
            id == HTTP_IF_UNMODIFIED_SINCE || id == HTTP_IF_RANGE)
            return true;
    }
    return false;
}
