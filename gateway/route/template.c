/* template.c - text with {host}, {uri} and the path's own {name}, for answers and redirects.
 *
 * Bodies are often JSON, so a brace that opens no known name is a brace. Values come from
 * the request: what could end a quotation, an attribute or an element is encoded as it
 * would be in a URL, where it has no place either. Pure, but for the arena; any thread. */
#include "route/route_priv.h"

static bool is_plain(unsigned char c)
{
    return c > ' ' && c < 0x7f && strchr("<>\"'\\^`{|}", c) == NULL;
}

static void write_value(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (is_plain(c))
            buf_add_char(out, (char)c);
        else
            buf_addf(out, "%%%02X", c);
    }
}

/* The value of a name; false: none of that name. */
static bool find_value(const struct route_match *match, struct route_place place, struct str name,
                       struct str *value)
{
    if (str_eq(name, STR("host")) || str_eq(name, STR("uri"))) {
        *value = str_eq(name, STR("host")) ? place.host : place.uri;
        return true;
    }
    for (uint32_t i = 0; i < match->parameter_count; i++) {
        if (str_eq(match->parameters[i].name, name)) {
            *value = match->parameters[i].value;
            return true;
        }
    }
    return false;
}

bool route_fill(const struct route_match *match, struct str text, struct route_place place,
                struct buf *out)
{
    while (text.len > 0) {
        size_t open = str_find(text, '{'), close;
        struct str value;

        buf_add_str(out, str_at(text.ptr, open));
        text = str_from(text, open);
        if (text.len == 0)
            break;
        close = str_find(text, '}');
        if (close < text.len && find_value(match, place, str_at(text.ptr + 1, close - 1), &value)) {
            write_value(out, value);
            text = str_from(text, close + 1);
        } else {
            buf_add_char(out, '{');
            text = str_from(text, 1);
        }
    }
    return !out->is_broken;
}

/* A name in braces that nothing gives; what is no name is text. */
const char *template_fault(struct str text, struct str pattern)
{
    while (text.len > 0) {
        size_t open = str_find(text, '{'), close;
        struct str name;

        text = str_from(text, open + 1);
        close = str_find(text, '}');
        if (close >= text.len)
            break;
        name = str_at(text.ptr, close);
        if (!str_eq(name, STR("host")) && !str_eq(name, STR("uri")) &&
            !pattern_gives(pattern, name))
            return "a {name} that is neither host nor uri, and that match.path does not have";
    }
    return NULL;
}
