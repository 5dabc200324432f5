/* path.c - the one spelling of a path that rules are matched against (RFC 3986 §6.2.2).
 *
 * Escapes are decoded once and only where they mean the same as their byte; "//" is
 * merged before dot segments go, as nginx and file systems do; a path that climbs
 * above the root or hides a NUL is refused. Most paths are normal already and are
 * returned as they came. Allocates in the caller's arena only; any thread. */
#include "http/http_priv.h"
#include "http/message.h"

struct http_target http_split_target(struct str origin_form)
{
    size_t mark = str_find(origin_form, '?');

    if (mark == origin_form.len)
        return (struct http_target){.path = origin_form, .query = STR_NONE};
    return (struct http_target){.path = str_at(origin_form.ptr, mark),
                                .query =
                                    str_at(origin_form.ptr + mark + 1, origin_form.len - mark - 1)};
}

/* May the path need work? False alarms ("/.well-known") only cost a copy. */
static bool looks_normal(struct str path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] == '%' || path.ptr[i] == '\0')
            return false;
        if (path.ptr[i] == '/' && i + 1 < path.len &&
            (path.ptr[i + 1] == '/' || path.ptr[i + 1] == '.'))
            return false;
    }
    return true;
}

/* Unreserved octets decoded, other escapes in upper case; never longer than `raw`. */
static enum http_refusal normalize_escapes(struct str raw, char *out, size_t *len)
{
    static const char digits[] = "0123456789ABCDEF";
    char *end = out;

    for (size_t i = 0; i < raw.len; i++) {
        int high, low;

        if (raw.ptr[i] == '\0')
            return HTTP_PATH_CONFUSION;
        if (raw.ptr[i] != '%') {
            *end++ = raw.ptr[i];
            continue;
        }
        high = raw.len - i < 3 ? -1 : ascii_hex_value(raw.ptr[i + 1]);
        low = raw.len - i < 3 ? -1 : ascii_hex_value(raw.ptr[i + 2]);
        if (high < 0 || low < 0)
            return HTTP_BAD_ESCAPE;
        if (high == 0 && low == 0)
            return HTTP_PATH_CONFUSION;
        if (http_byte_is((char)(high << 4 | low), HTTP_BYTE_UNRESERVED)) {
            *end++ = (char)(high << 4 | low);
        } else {
            *end++ = '%';
            *end++ = digits[high];
            *end++ = digits[low];
        }
        i += 2;
    }
    *len = (size_t)(end - out);
    return HTTP_SOUND;
}

/* Merges slashes and removes dot segments in place; `path` starts with '/'. What is kept always
 * ends with '/' between two segments, so that ".." cuts back to the slash before. */
static enum http_refusal remove_dots(char *path, size_t *len)
{
    size_t kept = 1, i = 1; /* path[0] is '/' */

    while (i < *len) {
        size_t start = i, length;

        while (i < *len && path[i] != '/')
            i++;
        length = i - start;
        if (length == 2 && path[start] == '.' && path[start + 1] == '.') {
            if (kept == 1)
                return HTTP_PATH_CONFUSION;
            do
                kept--;
            while (path[kept - 1] != '/');
        } else if (length > 0 && !(length == 1 && path[start] == '.')) {
            memmove(path + kept, path + start, length);
            kept += length;
            if (i < *len)
                path[kept++] = '/';
        }
        i++; /* the slash */
    }
    *len = kept;
    return HTTP_SOUND;
}

enum http_refusal http_normalize_path(struct arena *arena, struct str raw_path, struct str *normal)
{
    enum http_refusal refusal;
    size_t len;
    char *text;

    *normal = raw_path;
    if (str_eq(raw_path, STR("*")))
        return HTTP_SOUND;
    if (raw_path.len == 0 || raw_path.ptr[0] != '/')
        return HTTP_BAD_TARGET;
    if (looks_normal(raw_path))
        return HTTP_SOUND;
    text = arena_take(arena, raw_path.len);
    if (text == NULL)
        return HTTP_BAD_TARGET;
    refusal = normalize_escapes(raw_path, text, &len);
    if (refusal == HTTP_SOUND)
        refusal = remove_dots(text, &len);
    if (refusal == HTTP_SOUND)
        *normal = str_at(text, len);
    return refusal;
}

/* "..;x" and "..%3Bx" are ".." to servers that strip path parameters. */
static bool hides_dots(struct str segment)
{
    size_t dots = 0;
    struct str rest;

    while (dots < segment.len && segment.ptr[dots] == '.')
        dots++;
    rest = str_from(segment, dots);
    return (dots == 1 || dots == 2) &&
           (str_starts(rest, STR(";")) || http_starts_folded(rest, STR("%3B")));
}

bool http_path_hides_dots(struct str normal)
{
    struct str rest = normal, segment;

    while (str_split(&rest, '/', &segment))
        if (hides_dots(segment))
            return true;
    return false;
}

bool http_path_is_ambiguous(struct str normal)
{

    for (size_t i = 0; i + 2 < normal.len; i++) {
        struct str escape = str_at(normal.ptr + i, 3);

        if (escape.ptr[0] == '%' && (str_ieq(escape, STR("%2F")) || str_ieq(escape, STR("%5C"))))
            return true;
    }
    return http_path_hides_dots(normal) || str_find(normal, '\\') < normal.len;
}
