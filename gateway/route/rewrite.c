/* rewrite.c - the target that goes upstream: strip_prefix, or a template.
 *
 * A template is text with {name} and {*}. Values come from the normalised path, the one that
 * was matched: what a rule was judged on is what is sent. A value in the template's query is
 * encoded where a query would read more into it ("&", "=", "+"); in its path it is a segment
 * already. What comes out is judged again, because a template can put together what no client
 * could send: "//host" would name another server, ".." another place.
 *
 * Pure, but for the request's arena; any thread. */
#include "route/route_priv.h"

/* The next `{…}` of a template: *before is the text up to it. False: no more, all is *before. */
static bool cut_hole(struct str *rest, struct str *before, struct str *name)
{
    size_t open = str_find(*rest, '{');

    *before = str_at(rest->ptr, open);
    if (open == rest->len)
        return false;
    *rest = str_from(*rest, open + 1);
    size_t close = str_find(*rest, '}');
    *name = str_at(rest->ptr, close);
    *rest = str_from(*rest, close + 1);
    return true;
}

static const struct str *value_of(const struct route_match *match, struct str name)
{
    for (uint32_t i = 0; i < match->parameter_count; i++) {
        if (str_eq(match->parameters[i].name, name))
            return &match->parameters[i].value;
    }
    return NULL;
}

/* Text being put together; `at` may be NULL to measure only. */
struct writer {
    char *at;
    size_t len;
    bool in_query;
};

static void write_char(struct writer *out, char c)
{
    if (out->at != NULL)
        out->at[out->len] = c;
    out->len++;
}

static void write_text(struct writer *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        out->in_query = out->in_query || text.ptr[i] == '?';
        write_char(out, text.ptr[i]);
    }
}

static void write_value(struct writer *out, struct str value)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (!out->in_query || (c != '&' && c != '=' && c != '+')) {
            write_char(out, c);
            continue;
        }
        write_char(out, '%');
        write_char(out, digits[(unsigned char)c >> 4]);
        write_char(out, digits[(unsigned char)c & 15]);
    }
}

/* The whole target once. False: a hole that the route has no value for. */
static bool write_target(struct writer *out, const struct route_match *match, struct str query)
{
    struct str rest = match->route->rewrite, before, name;

    while (cut_hole(&rest, &before, &name)) {
        const struct str *value = value_of(match, name);

        if (value == NULL)
            return false;
        write_text(out, before);
        write_value(out, *value);
    }
    write_text(out, before);
    if (query.ptr != NULL) {
        write_char(out, out->in_query ? '&' : '?');
        write_text(out, query);
    }
    return true;
}

static bool is_sound(struct str target)
{
    struct str path = str_at(target.ptr, str_find(target, '?')), segment;

    if (path.len == 0 || path.ptr[0] != '/' || str_starts(path, STR("//")))
        return false;
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.ptr[i];

        if (c <= ' ' || c >= 0x7f || c == '#' || c == '\\')
            return false;
    }
    while (pattern_cut(&path, &segment)) {
        if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")))
            return false;
    }
    return true;
}

static bool rewritten(const struct route_match *match, struct str query, struct arena *arena,
                      struct str *target)
{
    struct writer out = {0};

    if (!write_target(&out, match, query))
        return false;
    out = (struct writer){.at = arena_take(arena, out.len + 1)};
    if (out.at == NULL || !write_target(&out, match, query))
        return false;
    out.at[out.len] = '\0';
    *target = str_at(out.at, out.len);
    return is_sound(*target);
}

/* The path without the prefix, or as it was when it does not begin with it. */
static struct str stripped(struct str path, struct str prefix)
{
    while (prefix.len > 0 && prefix.ptr[prefix.len - 1] == '/')
        prefix.len--;
    if (prefix.len == 0 || !str_starts(path, prefix))
        return path;
    if (path.len == prefix.len)
        return STR("/");
    return path.ptr[prefix.len] == '/' ? str_from(path, prefix.len) : path;
}

/* Puts the query behind *target. */
static bool joined(struct arena *arena, struct str query, struct str *target)
{
    size_t path_len = target->len;
    char *text = arena_take(arena, path_len + 1 + query.len);

    if (text == NULL)
        return false;
    memcpy(text, target->ptr, path_len);
    text[path_len] = '?';
    memcpy(text + path_len + 1, query.ptr, query.len);
    *target = str_at(text, path_len + 1 + query.len);
    return true;
}

bool route_rewrite(const struct route_match *match, struct str raw, struct arena *arena,
                   struct str *target)
{
    struct str query = str_from(raw, str_find(raw, '?') + 1);

    *target = raw;
    if (str_find(raw, '?') == raw.len)
        query = STR_NONE;
    if (match->route->rewrite.len > 0)
        return rewritten(match, query, arena, target);
    if (match->route->strip_prefix.len == 0)
        return true;
    *target = stripped(match->path, match->route->strip_prefix);
    return (query.ptr == NULL || joined(arena, query, target)) && is_sound(*target);
}

bool pattern_gives(struct str pattern, struct str wanted)
{
    struct str segment, name;

    while (pattern_cut(&pattern, &segment)) {
        if (pattern_is_tail(segment, pattern) && str_eq(wanted, STR("*")))
            return true;
        if (pattern_parameter(segment, &name) && str_eq(wanted, name))
            return true;
    }
    return false;
}

const char *rewrite_fault(struct str template, struct str pattern)
{
    struct str rest = template, before, name;

    if (template.len == 0)
        return NULL;
    if (template.ptr[0] != '/')
        return "expected a path that begins with /";
    for (size_t i = 0; i < template.len; i++) {
        unsigned char c = (unsigned char)template.ptr[i];

        if (c <= ' ' || c >= 0x7f || c == '#' || c == '\\')
            return "blanks, control bytes, #, \\ and bytes over 126 are in no target: encode them";
    }
    while (cut_hole(&rest, &before, &name)) {
        if (name.ptr + name.len == template.ptr + template.len)
            return "{ without }";
        if (str_find(before, '}') < before.len)
            return "} without {";
        if (!pattern_gives(pattern, name))
            return "a {name} that match.path does not have";
    }
    return str_find(before, '}') < before.len ? "} without {" : NULL;
}
