/* cache_tags.c - the names that an origin gives its answers for later purges.
 *
 * Cache-Tag has commas between its names (Cloudflare), Surrogate-Key blanks (Fastly), xkey
 * either (Varnish's vmod_xkey); Cache-Groups is a structured list of strings whose names
 * mean something within one origin alone (RFC 9875 §2). A name that could not be kept would
 * be one that a purge misses, so too many or too long is an answer that must not be stored;
 * a malformed Cache-Groups is ignored, as RFC 9651 says of all such fields.
 * Pure functions; any thread. */
#include "http/caching.h"
#include "http/structured_priv.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void add(struct http_cache_tags *tags, struct str name, bool is_group)
{
    if (name.len == 0)
        return;
    if (name.len > HTTP_MAX_TAG_BYTES || tags->count == HTTP_MAX_TAGS) {
        tags->is_too_much = true;
        return;
    }
    tags->at[tags->count++] = (struct http_cache_tag){name, is_group};
}

static void add_names(struct http_cache_tags *tags, struct str text, bool by_blank, bool by_comma)
{
    size_t start = 0;

    for (size_t i = 0; i <= text.len; i++) {
        bool is_end = i == text.len || (by_comma && text.ptr[i] == ',') ||
                      (by_blank && is_blank(text.ptr[i]));

        if (!is_end)
            continue;
        add(tags, str_trim(str_at(text.ptr + start, i - start)), false);
        start = i + 1;
    }
}

struct reading {
    struct http_cache_tags *tags;
    struct arena *arena;
};

/* Without the backslashes of a structured string. */
static struct str unescaped(struct str text, struct arena *arena)
{
    size_t len = 0;
    char *to;

    if (str_find(text, '\\') == text.len)
        return text;
    to = arena_take(arena, text.len);
    for (size_t i = 0; to != NULL && i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        to[len++] = text.ptr[i];
    }
    return str_at(to, len);
}

/* Members of other types are no group (RFC 9875 §2). */
static void on_group(void *arg, const struct http_sf_member *member)
{
    struct reading *reading = arg;

    if (member->kind == HTTP_SF_STRING)
        add(reading->tags, unescaped(member->text, reading->arena), true);
}

static void add_groups(struct http_cache_tags *tags, const struct http_fields *fields,
                       enum http_name id, struct arena *arena)
{
    struct reading reading = {tags, arena};
    struct str text = http_fields_joined(fields, arena, id);
    uint32_t before = tags->count;
    bool was_too_much = tags->is_too_much;

    if (text.ptr == NULL || http_sf_list(text, on_group, &reading))
        return;
    tags->count = before;
    tags->is_too_much = was_too_much;
}

bool http_has_cache_tags(const struct http_fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++)
        switch (fields->at[i].id) {
        case HTTP_CACHE_TAG:
        case HTTP_SURROGATE_KEY:
        case HTTP_XKEY:
        case HTTP_CACHE_GROUPS:
            return true;
        default: /* the others name nothing */
            break;
        }
    return false;
}

static bool begin(struct http_cache_tags *tags, struct arena *arena)
{
    tags->at = arena_take(arena, HTTP_MAX_TAGS * sizeof(*tags->at));
    return tags->at != NULL;
}

bool http_cache_tags(const struct http_fields *fields, struct arena *arena,
                     struct http_cache_tags *tags)
{
    *tags = (struct http_cache_tags){.count = 0};
    if (!http_has_cache_tags(fields))
        return true;
    if (!begin(tags, arena))
        return false;
    for (uint32_t i = 0; i < fields->count; i++) {
        enum http_name id = fields->at[i].id;

        if (id == HTTP_CACHE_TAG || id == HTTP_SURROGATE_KEY || id == HTTP_XKEY)
            add_names(tags, fields->at[i].value, id != HTTP_CACHE_TAG, id != HTTP_SURROGATE_KEY);
    }
    add_groups(tags, fields, HTTP_CACHE_GROUPS, arena);
    return !tags->is_too_much;
}

bool http_invalidated_groups(const struct http_fields *fields, struct arena *arena,
                             struct http_cache_tags *tags)
{
    *tags = (struct http_cache_tags){.count = 0};
    if (http_fields_count_of(fields, HTTP_CACHE_GROUP_INVALIDATION) == 0)
        return true;
    if (!begin(tags, arena))
        return false;
    add_groups(tags, fields, HTTP_CACHE_GROUP_INVALIDATION, arena);
    return true;
}

bool http_is_tag_field(enum http_name id)
{
    return id == HTTP_CACHE_TAG || id == HTTP_SURROGATE_KEY || id == HTTP_XKEY;
}
