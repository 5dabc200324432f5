/* cache.c - /cache: an answer with the caching headers that the query asks for.
 *
 *   cc, cdn, etag, lm, vary, age, expires, date, cookie: Cache-Control, CDN-Cache-Control, ETag,
 *   Last-Modified, Vary, Age, Expires, Date and Set-Cookie, percent-decoded; status, bytes, ms
 *   (wait) are numbers. X-Origin-Count says how often this very target was asked for. The
 * request's If-None-Match and If-Modified-Since are answered with 304 when they fit; a Range is
 * ignored. ETags without quotes get them. */
#include "origin.h"

#include <stdio.h>

static const struct {
    const char *name, *header;
} words[] = {
    {"cc", "Cache-Control"}, {"cdn", "CDN-Cache-Control"},
    {"lm", "Last-Modified"}, {"vary", "Vary"},
    {"age", "Age"},          {"expires", "Expires"},
    {"date", "Date"},        {"cookie", "Set-Cookie"},
    {"ct", "Content-Type"},
};

struct slice find_header(const struct head *head, const char *name)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (slice_is_folded(head->fields[i].name, name))
            return head->fields[i].value;
    return (struct slice){NULL, 0};
}

static struct slice strong_part(struct slice tag)
{
    return slice_starts(tag, "W/") ? (struct slice){tag.ptr + 2, tag.len - 2} : tag;
}

/* If-None-Match: any member equal to the tag, by weak comparison. */
static bool names_tag(struct slice list, struct slice tag)
{
    tag = strong_part(tag);
    if (slice_is(list, "*"))
        return true;
    for (size_t i = 0; tag.len > 0 && i + tag.len <= list.len; i++)
        if (memcmp(list.ptr + i, tag.ptr, tag.len) == 0)
            return true;
    return false;
}

static bool is_unchanged(const struct head *head, struct slice tag, struct slice modified)
{
    struct slice match = find_header(head, "If-None-Match");
    struct slice since = find_header(head, "If-Modified-Since");

    if (match.ptr != NULL)
        return tag.len > 0 && names_tag(match, tag);
    return modified.len > 0 && since.len == modified.len &&
           memcmp(since.ptr, modified.ptr, since.len) == 0;
}

static void add_tag(struct text *headers, struct slice tag)
{
    bool is_quoted = tag.len > 0 && tag.ptr[tag.len - 1] == '"';

    if (tag.len == 0)
        return;
    text_put(headers, is_quoted ? "ETag: " : "ETag: \"");
    text_add(headers, tag.ptr, tag.len);
    text_put(headers, is_quoted ? "\r\n" : "\"\r\n");
}

static void cache_now(struct conn *conn)
{
    static struct text headers, body;
    struct slice query = conn->head.query, modified = {NULL, 0}, tag;
    char room[512], tag_room[256], modified_room[64];
    uint64_t count = count_of(conn->head.target), bytes = query_number(query, "bytes", 0);
    int status = (int)query_number(query, "status", 200);

    headers.len = body.len = 0;
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        struct slice value = query_words(query, words[i].name, room, sizeof room);

        if (value.len > 0)
            text_addf(&headers, "%s: %.*s\r\n", words[i].header, SLICE_ARG(value));
    }
    tag = query_words(query, "etag", tag_room, sizeof tag_room);
    modified = query_words(query, "lm", modified_room, sizeof modified_room);
    add_tag(&headers, tag);
    text_addf(&headers, "X-Origin-Count: %llu\r\n", (unsigned long long)count);
    if (is_unchanged(&conn->head, tag, modified)) {
        text_add(&headers, "", 1);
        answer_head(conn, 304, headers.ptr, 0);
        return;
    }
    if (!query_find(query, "ct", &modified))
        text_put(&headers, "Content-Type: application/json\r\n");
    text_add(&headers, "", 1);
    text_put(&body, "{\"target\":");
    text_json(&body, conn->head.target);
    text_addf(&body, ",\"count\":%llu", (unsigned long long)count);
    if (bytes > 0 && bytes <= (1 << 26)) {
        text_put(&body, ",\"filler\":\"");
        for (uint64_t left = bytes; left > 0; left--)
            text_add(&body, "x", 1);
        text_put(&body, "\"");
    }
    text_put(&body, "}\n");
    answer_with(conn, status >= 200 && status <= 999 ? status : 200, headers.ptr,
                text_slice(&body));
}

static bool cache_later(struct conn *conn)
{
    cache_now(conn);
    return false;
}

void show_cache(struct conn *conn, struct slice rest)
{
    uint64_t ms = query_number(conn->head.query, "ms", 0);

    (void)rest;
    if (ms == 0) {
        cache_now(conn);
        return;
    }
    conn->step = cache_later;
    conn_after_ms(conn, ms, NULL);
}
