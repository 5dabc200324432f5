/* vary.c - which stored variant fits a request (RFC 9111 §4.1).
 *
 * The selecting values become a part of the cache key, so the form must be
 * injective: a name, then nothing (absent) or a mark, a length and a text. The
 * text of any field is its lines joined, with blanks round list members gone.
 * With `normalize`, Accept-Encoding and Accept-Language are written as
 * preferences: members of equal weight sorted, weights as an order. Nothing that
 * a client accepts or refuses is dropped, so a variant never reaches one that
 * could not read it; an odd q leaves the text as it came. Any thread. */
#include "http/caching_priv.h"
#include "http/message.h"

#include <stdlib.h>

static int compare(struct str a, struct str b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        char x = ascii_lower(a.ptr[i]), y = ascii_lower(b.ptr[i]);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return (a.len > b.len) - (a.len < b.len);
}

static int compare_names(const void *a, const void *b)
{
    return compare(*(const struct str *)a, *(const struct str *)b);
}

/* ---- the names ---- */

/* No more than this many members are in all lines of Vary. */
static size_t most_names(const struct http_fields *answer)
{
    size_t most = 0;

    for (uint32_t i = 0; i < answer->count; i++) {
        if (answer->at[i].id != HTTP_VARY)
            continue;
        most++;
        for (size_t k = 0; k < answer->at[i].value.len; k++)
            most += answer->at[i].value.ptr[k] == ',';
    }
    return most;
}

/* False at a member that is no field name: '*' itself, or nonsense that could stand for anything.
 */
static bool collect_names(const struct http_fields *answer, struct str *names, size_t *count)
{
    for (uint32_t i = 0; i < answer->count; i++) {
        struct str rest = answer->at[i].value, part;
        if (answer->at[i].id != HTTP_VARY)
            continue;
        while (str_split(&rest, ',', &part)) {
            part = str_trim(part);
            if (part.len == 0)
                continue;
            if (str_eq(part, STR("*")) || !http_is_token(part))
                return false;
            names[(*count)++] = part;
        }
    }
    return true;
}

static struct str join_names(const struct str *names, size_t count, struct arena *arena)
{
    size_t room = 0, len = 0;

    for (size_t i = 0; i < count; i++)
        room += names[i].len + 1;
    char *text = arena_take(arena, room);
    if (text == NULL)
        return STR_NONE;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && str_ieq(names[i], names[i - 1]))
            continue;
        if (len > 0)
            text[len++] = ',';
        for (size_t k = 0; k < names[i].len; k++)
            text[len++] = ascii_lower(names[i].ptr[k]);
    }
    return str_at(text, len);
}

struct str http_vary_names(const struct http_fields *answer, struct arena *arena, bool *is_star)
{
    size_t most = most_names(answer), count = 0;

    *is_star = false;
    if (most == 0)
        return STR_NONE;
    struct str *names = arena_take(arena, most * sizeof(*names));
    if (names == NULL || !collect_names(answer, names, &count)) {
        *is_star = true; /* without memory too: what cannot be told apart is not reused */
        return STR_NONE;
    }
    if (count == 0)
        return STR_NONE;
    qsort(names, count, sizeof(*names), compare_names);
    struct str joined = join_names(names, count, arena);
    *is_star = joined.ptr == NULL;
    return joined;
}

/* ---- the values ---- */

/* Drops the blanks round the commas of a list, but not those inside quoted strings. */
static bool squeeze(struct str value, struct arena *arena, struct str *out)
{
    char *text = arena_take(arena, value.len + 1);
    size_t len = 0;
    bool is_quoted = false, after_comma = true;

    if (text == NULL)
        return false;
    value = str_trim(value);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        bool is_blank = c == ' ' || c == '\t';
        if (!is_quoted && is_blank && after_comma)
            continue;
        if (!is_quoted && c == ',') {
            while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
                len--;
        }
        text[len++] = c;
        after_comma = c == ',';
        if (c == '"')
            is_quoted = !is_quoted;
        else if (is_quoted && c == '\\' && i + 1 < value.len)
            text[len++] = value.ptr[++i];
    }
    *out = str_at(text, len);
    return true;
}

struct preference {
    struct str name;
    unsigned weight; /* thousandths */
};

static int compare_preferences(const void *a, const void *b)
{
    const struct preference *x = a, *y = b;

    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return compare(x->name, y->name);
}

bool http_qvalue(struct str text, unsigned *weight)
{
    static const unsigned place[] = {100, 10, 1};

    if (text.len == 0 || text.len > 5 || (text.ptr[0] != '0' && text.ptr[0] != '1'))
        return false;
    *weight = text.ptr[0] == '1' ? 1000 : 0;
    if (text.len > 1 && text.ptr[1] != '.')
        return false;
    for (size_t i = 2; i < text.len; i++) {
        if (!ascii_is_digit(text.ptr[i]))
            return false;
        *weight += place[i - 2] * (unsigned)(text.ptr[i] - '0');
    }
    return *weight <= 1000;
}

static bool read_preference(struct str member, struct preference *preference)
{
    size_t end = str_find(member, ';');
    struct str weight = str_trim(str_from(member, end + 1));

    preference->name = str_trim(str_at(member.ptr, end));
    preference->weight = 1000;
    if (!http_is_token(preference->name))
        return false;
    if (end == member.len)
        return true;
    if (weight.len < 2 || ascii_lower(weight.ptr[0]) != 'q' || weight.ptr[1] != '=')
        return false;
    return http_qvalue(str_from(weight, 2), &preference->weight);
}

/* "br,gzip;deflate;=identity": groups from the most wanted to the least, '=' before what is
 * refused. Neither ';' nor
 * '=' nor ',' can be part of a name. */
static size_t write_preferences(const struct preference *at, size_t count, char *text)
{
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        bool is_same_group = i > 0 && at[i].weight == at[i - 1].weight;
        if (is_same_group && str_ieq(at[i].name, at[i - 1].name))
            continue;
        if (i > 0)
            text[len++] = is_same_group ? ',' : ';';
        if (at[i].weight == 0 && !is_same_group)
            text[len++] = '=';
        for (size_t k = 0; k < at[i].name.len; k++)
            text[len++] = ascii_lower(at[i].name.ptr[k]);
    }
    return len;
}

/* False: some member is odd; or no memory, and then the plain form fails as well. */
static bool as_preferences(struct str value, struct arena *arena, struct str *out)
{
    size_t most = 1, count = 0;
    struct str rest = value, part;

    for (size_t i = 0; i < value.len; i++)
        most += value.ptr[i] == ',';
    struct preference *at = arena_take(arena, most * sizeof(*at));
    char *text = arena_take(arena, value.len + most + 1);
    if (at == NULL || text == NULL)
        return false;
    while (str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.len > 0 && !read_preference(part, &at[count++]))
            return false;
    }
    qsort(at, count, sizeof(*at), compare_preferences);
    *out = str_at(text, write_preferences(at, count, text));
    return true;
}

static bool add_value(struct buf *out, char mark, struct str text)
{
    return buf_add_char(out, mark) && buf_add_u64(out, text.len) && buf_add_char(out, ':') &&
           buf_add_str(out, text);
}

static bool add_selecting(struct buf *out, struct str name, const struct http_fields *request,
                          bool normalize, struct arena *arena)
{
    struct str value = http_fields_find(request, name), text;
    bool is_preference =
        str_ieq(name, STR("Accept-Encoding")) || str_ieq(name, STR("Accept-Language"));

    if (value.ptr == NULL)
        return true;
    value = http_fields_joined_name(request, arena, name);
    if (value.ptr == NULL)
        return false;
    if (normalize && is_preference && as_preferences(value, arena, &text))
        return add_value(out, '~', text);
    return squeeze(value, arena, &text) && add_value(out, '=', text);
}

bool http_vary_key(struct buf *out, struct str names, const struct http_fields *request,
                   bool normalize, struct arena *arena)
{
    struct str rest = names, name;

    while (rest.len > 0 && str_split(&rest, ',', &name)) {
        if (!buf_add_str(out, name) || !buf_add_char(out, '\n'))
            return false;
        if (!add_selecting(out, name, request, normalize, arena) || !buf_add_char(out, '\n'))
            return false;
    }
    return !out->is_broken;
}

/* ---- by the language that came ---- */

/* Cuts one name with its value off a key: value is empty when the field was absent, else mark,
 * length and text. */
static bool take_selecting(struct str *rest, struct str *name, struct str *value)
{
    size_t end = str_find(*rest, '\n'), at = 0, len = 0;

    if (end == rest->len)
        return false;
    *name = str_at(rest->ptr, end);
    *rest = str_from(*rest, end + 1);
    if (rest->len > 0 && rest->ptr[0] != '\n') {
        for (at = 1; at < rest->len && ascii_is_digit(rest->ptr[at]); at++)
            len = len * 10 + (size_t)(rest->ptr[at] - '0');
        at += 1 + len; /* the colon, the text */
    }
    if (at >= rest->len)
        return false;
    *value = str_at(rest->ptr, at);
    *rest = str_from(*rest, at + 1);
    return true;
}

/* The only member of the first group of preferences, which is not refused; else empty. */
static struct str most_wanted(struct str value)
{
    struct str text = str_from(value, str_find(value, ':') + 1);
    struct str first = str_at(text.ptr, str_find(text, ';'));
    bool is_one = first.len > 0 && str_find(first, ',') == first.len && first.ptr[0] != '=';

    return value.len > 0 && value.ptr[0] == '~' && is_one ? first : STR("");
}

bool http_vary_language_fits(struct str stored, struct str asked, struct str content_language)
{
    struct str stored_name, stored_value, name, value, wanted = STR("");

    while (stored.len > 0 && asked.len > 0) {
        if (!take_selecting(&stored, &stored_name, &stored_value) ||
            !take_selecting(&asked, &name, &value) || !str_eq(stored_name, name))
            return false;
        if (str_eq(name, STR("accept-language")))
            wanted = most_wanted(value);
        else if (!str_eq(stored_value, value))
            return false;
    }
    return stored.len == asked.len && wanted.len > 0 && !str_eq(wanted, STR("*")) &&
           str_ieq(wanted, content_language);
}
