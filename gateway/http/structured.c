/* structured.c - the parser of structured-field dictionaries and lists (RFC 9651 §4.2).
 *
 * A field that fails anywhere fails as a whole, because RFC 9213 ignores it
 * then: so everything is checked, also what nobody asks for, and nothing is
 * guessed. Each take_x() cuts its part from the front of *rest and is false when
 * the part is not there; there is no recursion, since inner lists hold no lists.
 * Any thread; no allocation. */
#include "http/structured_priv.h"

static bool next_is(const struct str *rest, char c)
{
    return rest->len > 0 && rest->ptr[0] == c;
}

static bool take_char(struct str *rest, char c)
{
    if (!next_is(rest, c))
        return false;
    *rest = str_from(*rest, 1);
    return true;
}

static void skip_spaces(struct str *rest)
{
    while (take_char(rest, ' '))
        ;
}

static void skip_blanks(struct str *rest)
{
    while (take_char(rest, ' ') || take_char(rest, '\t'))
        ;
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alpha(char c)
{
    return is_lower(ascii_lower(c));
}

static bool is_key_char(char c)
{
    return is_lower(c) || ascii_is_digit(c) || c == '_' || c == '-' || c == '.' || c == '*';
}

static bool is_token_char(char c)
{
    return is_alpha(c) || ascii_is_digit(c) ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~:/", c) != NULL);
}

static bool is_base64_char(char c)
{
    return is_alpha(c) || ascii_is_digit(c) || c == '+' || c == '/' || c == '=';
}

/* The longest run of such characters; it may be empty. */
static struct str take_run(struct str *rest, bool (*is_part)(char))
{
    size_t len = 0;

    while (len < rest->len && is_part(rest->ptr[len]))
        len++;
    struct str run = str_at(rest->ptr, len);
    *rest = str_from(*rest, len);
    return run;
}

static bool take_key(struct str *rest, struct str *key)
{
    if (rest->len == 0 || !(is_lower(rest->ptr[0]) || rest->ptr[0] == '*'))
        return false;
    *key = take_run(rest, is_key_char);
    return true;
}

/* At most 15 digits, or 12 and 1 to 3 after a point (§4.2.4). */
static bool take_number(struct str *rest, struct http_sf_member *item)
{
    bool is_negative = take_char(rest, '-');
    struct str digits = take_run(rest, ascii_is_digit);

    if (digits.len == 0 || digits.len > 15)
        return false;
    item->kind = HTTP_SF_INTEGER;
    item->integer = 0;
    for (size_t i = 0; i < digits.len; i++)
        item->integer = item->integer * 10 + (digits.ptr[i] - '0');
    if (is_negative)
        item->integer = -item->integer;
    if (!take_char(rest, '.'))
        return true;
    item->kind = HTTP_SF_DECIMAL;
    struct str fraction = take_run(rest, ascii_is_digit);
    return digits.len <= 12 && fraction.len >= 1 && fraction.len <= 3;
}

static bool take_string(struct str *rest, struct http_sf_member *item)
{
    const char *start = rest->ptr + 1;

    item->kind = HTTP_SF_STRING;
    *rest = str_from(*rest, 1);
    while (rest->len > 0) {
        char c = rest->ptr[0];
        if (c == '"') {
            item->text = str_at(start, (size_t)(rest->ptr - start));
            *rest = str_from(*rest, 1);
            return true;
        }
        if (c < ' ' || c > '~') /* signed or not: neither controls nor obs-text */
            return false;
        if (c == '\\') {
            *rest = str_from(*rest, 1);
            if (!next_is(rest, '"') && !next_is(rest, '\\'))
                return false;
        }
        *rest = str_from(*rest, 1);
    }
    return false;
}

static bool take_bytes(struct str *rest, struct http_sf_member *item)
{
    item->kind = HTTP_SF_BYTES;
    *rest = str_from(*rest, 1);
    (void)take_run(rest, is_base64_char);
    return take_char(rest, ':');
}

/* %"…" with lower-case escapes; whether they make UTF-8 is not looked at, nobody reads it. */
static bool take_display(struct str *rest, struct http_sf_member *item)
{
    item->kind = HTTP_SF_DISPLAY;
    *rest = str_from(*rest, 1);
    if (!take_char(rest, '"'))
        return false;
    while (rest->len > 0) {
        char c = rest->ptr[0];
        if (c == '"')
            return take_char(rest, '"');
        if (c < ' ' || c > '~')
            return false;
        if (c == '%') {
            for (size_t i = 1; i <= 2; i++) {
                char digit = i < rest->len ? rest->ptr[i] : '\0';
                if (!ascii_is_digit(digit) && !(digit >= 'a' && digit <= 'f'))
                    return false;
            }
        }
        *rest = str_from(*rest, c == '%' ? 3 : 1);
    }
    return false;
}

static bool take_boolean(struct str *rest, struct http_sf_member *item)
{
    item->kind = HTTP_SF_BOOLEAN;
    *rest = str_from(*rest, 1);
    item->is_true = next_is(rest, '1');
    return take_char(rest, '1') || take_char(rest, '0');
}

static bool take_item(struct str *rest, struct http_sf_member *item)
{
    if (rest->len == 0)
        return false;
    char c = rest->ptr[0];
    if (c == '-' || ascii_is_digit(c))
        return take_number(rest, item);
    if (c == '"')
        return take_string(rest, item);
    if (c == ':')
        return take_bytes(rest, item);
    if (c == '?')
        return take_boolean(rest, item);
    if (c == '%')
        return take_display(rest, item);
    if (c == '@') {
        *rest = str_from(*rest, 1);
        bool is_number = take_number(rest, item) && item->kind == HTTP_SF_INTEGER;
        item->kind = HTTP_SF_DATE;
        return is_number;
    }
    if (!is_alpha(c) && c != '*')
        return false;
    item->kind = HTTP_SF_TOKEN;
    item->text = take_run(rest, is_token_char);
    return true;
}

static bool skip_parameters(struct str *rest)
{
    while (take_char(rest, ';')) {
        struct http_sf_member ignored;
        struct str key;
        skip_spaces(rest);
        if (!take_key(rest, &key) || (take_char(rest, '=') && !take_item(rest, &ignored)))
            return false;
    }
    return true;
}

/* What follows '('. */
static bool skip_inner_list(struct str *rest)
{
    for (;;) {
        struct http_sf_member ignored;
        skip_spaces(rest);
        if (take_char(rest, ')'))
            return true;
        if (!take_item(rest, &ignored) || !skip_parameters(rest))
            return false;
        if (!next_is(rest, ' ') && !next_is(rest, ')'))
            return false;
    }
}

static bool take_value(struct str *rest, struct http_sf_member *member)
{
    if (!take_char(rest, '('))
        return take_item(rest, member);
    member->kind = HTTP_SF_INNER_LIST;
    return skip_inner_list(rest);
}

typedef bool take_member_fn(struct str *rest, struct http_sf_member *member);

static bool take_named_member(struct str *rest, struct http_sf_member *member)
{
    *member = (struct http_sf_member){.kind = HTTP_SF_BOOLEAN, .is_true = true};
    if (!take_key(rest, &member->key) || (take_char(rest, '=') && !take_value(rest, member)))
        return false;
    return skip_parameters(rest);
}

static bool take_list_member(struct str *rest, struct http_sf_member *member)
{
    *member = (struct http_sf_member){.key = STR_NONE};
    return take_value(rest, member) && skip_parameters(rest);
}

/* Members with commas between; what holds for dictionaries and lists alike. */
static bool take_members(struct str rest, take_member_fn *take, http_sf_member_fn *fn, void *arg)
{
    skip_spaces(&rest);
    while (rest.len > 0) {
        struct http_sf_member member;
        if (!take(&rest, &member))
            return false;
        fn(arg, &member);
        skip_blanks(&rest);
        if (rest.len == 0)
            return true;
        if (!take_char(&rest, ','))
            return false;
        skip_blanks(&rest);
        if (rest.len == 0)
            return false; /* a comma with nothing behind it */
    }
    return true;
}

bool http_sf_dictionary(struct str text, http_sf_member_fn *fn, void *arg)
{
    return take_members(text, take_named_member, fn, arg);
}

bool http_sf_list(struct str text, http_sf_member_fn *fn, void *arg)
{
    return take_members(text, take_list_member, fn, arg);
}
