/* json.c - one JSON object or list, read strictly: what tokens and key sets are made of.
 *
 * What a token says decides who somebody is, so no two readers of it may disagree: a name twice,
 * NUL, bytes that are not UTF-8, half a surrogate, a number that is none, anything behind the end
 * are refused, where lenient libraries take the first or the last of two claims. Members of nested
 * values are only walked over, to a fixed depth. Values are given as raw text, strings decoded.
 * Pure functions; any thread. */
#include "identify/identify_priv.h"

enum { DEPTH_MOST = 16 };

struct cursor {
    const char *at, *end;
    struct arena *arena;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
        c->at++;
}

static bool take(struct cursor *c, char wanted)
{
    skip_blanks(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

/* ---- text ---- */

static bool hex4(struct cursor *c, uint32_t *value)
{
    *value = 0;
    if (c->end - c->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int digit = ascii_hex_value(*c->at++);

        if (digit < 0)
            return false;
        *value = *value << 4 | (uint32_t)digit;
    }
    return true;
}

static size_t utf8_write(char *to, uint32_t code)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 0x3f));
        to[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 0x3f));
    to[2] = (char)(0x80 | (code >> 6 & 0x3f));
    to[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* Behind "\u". NUL and surrogates without their other half are refused. */
static bool take_escaped_code(struct cursor *c, char *to, size_t *len)
{
    uint32_t code, low;

    if (!hex4(c, &code) || code == 0 || (code >= 0xdc00 && code < 0xe000))
        return false;
    if (code >= 0xd800 && code < 0xdc00) {
        if (c->end - c->at < 2 || c->at[0] != '\\' || c->at[1] != 'u')
            return false;
        c->at += 2;
        if (!hex4(c, &low) || low < 0xdc00 || low >= 0xe000)
            return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    *len += utf8_write(to + *len, code);
    return true;
}

static bool take_escape(struct cursor *c, char *to, size_t *len)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const char *found;

    if (c->at == c->end || *c->at == '\0')
        return false;
    if (*c->at == 'u') {
        c->at++;
        return take_escaped_code(c, to, len);
    }
    found = strchr(from, *c->at++);
    if (found == NULL)
        return false;
    to[(*len)++] = into[found - from];
    return true;
}

/* Bytes of the UTF-8 sequence at `at` (RFC 3629), or 0. */
static size_t utf8_length(const char *at, const char *end)
{
    const unsigned char *b = (const unsigned char *)at;
    size_t left = (size_t)(end - at), need;
    unsigned char least = 0x80, most = 0xbf;

    if (b[0] < 0x80)
        return 1;
    if (b[0] < 0xc2 || b[0] > 0xf4)
        return 0;
    need = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    if (left < need)
        return 0;
    if (b[0] == 0xe0)
        least = 0xa0;
    else if (b[0] == 0xed)
        most = 0x9f;
    else if (b[0] == 0xf0)
        least = 0x90;
    else if (b[0] == 0xf4)
        most = 0x8f;
    if (b[1] < least || b[1] > most)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

/* How far the string reaches that begins at c->at, behind its quote; *has_escape: it must be
 * decoded. False: no end, a control byte, not UTF-8. */
static bool measure(const struct cursor *c, size_t *len, bool *has_escape)
{
    const char *at = c->at;

    *has_escape = false;
    while (at < c->end && *at != '"') {
        size_t bytes = utf8_length(at, c->end);

        if (bytes == 0 || (unsigned char)*at < 0x20)
            return false;
        if (*at == '\\') {
            *has_escape = true;
            bytes = 2;
        }
        if (bytes > (size_t)(c->end - at))
            return false;
        at += bytes;
    }
    *len = (size_t)(at - c->at);
    return at < c->end;
}

static bool take_string(struct cursor *c, struct str *text)
{
    bool has_escape;
    size_t raw, len = 0;

    if (!take(c, '"') || !measure(c, &raw, &has_escape))
        return false;
    if (!has_escape) {
        *text = str_at(c->at, raw);
        c->at += raw + 1;
        return true;
    }
    char *to = arena_take(c->arena, raw + 1); /* no escape is shorter than what it stands for */
    const char *end = c->at + raw;
    if (to == NULL)
        return false;
    while (c->at < end) {
        if (*c->at != '\\') {
            to[len++] = *c->at++;
            continue;
        }
        c->at++;
        if (!take_escape(c, to, &len) || c->at > end)
            return false;
    }
    c->at++;
    *text = str_at(to, len);
    return true;
}

/* ---- numbers and words ---- */

static bool take_digits(struct cursor *c)
{
    const char *start = c->at;

    while (c->at < c->end && ascii_is_digit(*c->at))
        c->at++;
    return c->at > start;
}

static bool take_number(struct cursor *c)
{
    if (c->at < c->end && *c->at == '-')
        c->at++;
    if (c->at < c->end && *c->at == '0')
        c->at++;
    else if (!take_digits(c))
        return false;
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        if (!take_digits(c))
            return false;
    }
    if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
        c->at++;
        if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
            c->at++;
        return take_digits(c);
    }
    return true;
}

static bool take_word(struct cursor *c, struct str word)
{
    if ((size_t)(c->end - c->at) < word.len || memcmp(c->at, word.ptr, word.len) != 0)
        return false;
    c->at += word.len;
    return true;
}

/* ---- values ---- */

static bool take_value(struct cursor *c, struct json_value *value, int depth);

/* What stands between brackets; nothing of it is kept. */
static bool skip_members(struct cursor *c, char close, int depth)
{
    struct json_value value;
    struct str name;

    if (depth == DEPTH_MOST)
        return false;
    if (take(c, close))
        return true;
    do {
        if (close == '}' && (!take_string(c, &name) || !take(c, ':')))
            return false;
        if (!take_value(c, &value, depth + 1))
            return false;
    } while (take(c, ','));
    return take(c, close);
}

/* Bounded by DEPTH_MOST, so it cannot run out of stack. */
static bool take_value(struct cursor *c, struct json_value *value, int depth) /* NOLINT */
{
    bool is_sound;

    skip_blanks(c);
    if (c->at == c->end)
        return false;
    const char *start = c->at;
    switch (*start) {
    case '"':
        value->kind = JSON_STRING;
        return take_string(c, &value->text);
    case '{':
    case '[':
        c->at++;
        value->kind = *start == '{' ? JSON_OBJECT : JSON_LIST;
        is_sound = skip_members(c, *start == '{' ? '}' : ']', depth);
        break;
    case 't':
    case 'f':
        value->kind = JSON_BOOL;
        is_sound = take_word(c, *start == 't' ? STR("true") : STR("false"));
        break;
    case 'n':
        value->kind = JSON_NULL;
        is_sound = take_word(c, STR("null"));
        break;
    default:
        value->kind = JSON_NUMBER;
        is_sound = take_number(c);
        break;
    }
    value->text = str_at(start, (size_t)(c->at - start));
    return is_sound;
}

static bool is_at_end(struct cursor *c)
{
    skip_blanks(c);
    return c->at == c->end;
}

const struct json_value *json_get(const struct json_object *object, struct str name)
{
    for (uint32_t i = 0; i < object->count; i++)
        if (str_eq(object->members[i].name, name))
            return &object->members[i].value;
    return NULL;
}

bool json_read_object(struct str text, struct arena *arena, struct json_object *object)
{
    struct cursor c = {text.ptr, text.ptr + text.len, arena};

    object->count = 0;
    if (text.len == 0 || !take(&c, '{'))
        return false;
    if (take(&c, '}'))
        return is_at_end(&c);
    do {
        struct json_member *member = &object->members[object->count];

        if (object->count == JSON_MEMBERS_MOST || !take_string(&c, &member->name) ||
            !take(&c, ':') || json_get(object, member->name) != NULL ||
            !take_value(&c, &member->value, 1))
            return false;
        object->count++;
    } while (take(&c, ','));
    return take(&c, '}') && is_at_end(&c);
}

bool json_read_list(struct str text, struct arena *arena, struct json_list *list)
{
    struct cursor c = {text.ptr, text.ptr + text.len, arena};

    list->count = 0;
    if (text.len == 0 || !take(&c, '['))
        return false;
    if (take(&c, ']'))
        return is_at_end(&c);
    do {
        if (list->count == JSON_MEMBERS_MOST || !take_value(&c, &list->values[list->count], 1))
            return false;
        list->count++;
    } while (take(&c, ','));
    return take(&c, ']') && is_at_end(&c);
}

/* 2^53: beyond it readers that use doubles disagree (RFC 8259 §6). */
bool json_to_whole(const struct json_value *value, int64_t *number)
{
    uint64_t whole;

    if (value->kind != JSON_NUMBER || !str_to_u64(value->text, &whole) ||
        whole > (UINT64_C(1) << 53))
        return false;
    *number = (int64_t)whole;
    return true;
}
