/* scan.c - is this text JSON, and where does each value stand?
 *
 * A strict reading of RFC 8259 before cJSON sees the text: cJSON takes `01`, `1.`, raw
 * control characters, \u0000, a byte order mark and whatever follows the end, and a
 * person who wrote those has made a mistake. Comments are overwritten with blanks, so
 * every offset stays what the person sees. Line breaks inside them are kept.
 *
 * Recursion is bounded by TREE_MAX_DEPTH. Pure; any thread. */
#include "config/tree_priv.h"

enum { MAX_NUMBER = 48 }; /* cJSON cuts longer ones at 63 */

struct scan {
    char *text;
    size_t len, at;
    uint32_t depth;
    struct buf *marks;
    struct syntax_fault *fault;
};

static bool scan_value(struct scan *scan, size_t key_at, bool has_key);

static bool scan_fail(struct scan *scan, size_t at, const char *what)
{
    scan->fault->offset = at;
    return fail_set(&scan->fault->why, "%s", what);
}

static char scan_peek(const struct scan *scan)
{
    return scan->text[scan->at]; /* the NUL at the end is no part of JSON */
}

static bool scan_blank_comment(struct scan *scan)
{
    size_t start = scan->at;
    bool is_line = scan->text[start + 1] == '/';
    size_t at = start + 2;

    for (; at < scan->len; at++) {
        if (is_line && scan->text[at] == '\n')
            break;
        if (!is_line && scan->text[at] == '*' && scan->text[at + 1] == '/')
            break;
    }
    if (!is_line && at >= scan->len)
        return scan_fail(scan, start, "a comment without its end, expected */");
    if (!is_line)
        at += 2;
    for (size_t i = start; i < at; i++) {
        if (scan->text[i] != '\n')
            scan->text[i] = ' ';
    }
    scan->at = at;
    return true;
}

static bool scan_blanks(struct scan *scan)
{
    for (;;) {
        char c = scan_peek(scan);
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            scan->at++;
        } else if (c == '/' &&
                   (scan->text[scan->at + 1] == '/' || scan->text[scan->at + 1] == '*')) {
            if (!scan_blank_comment(scan))
                return false;
        } else {
            return true;
        }
    }
}

static bool scan_escape(struct scan *scan)
{
    char c = scan->text[scan->at + 1];
    int value = 0;

    if (c != 'u') {
        if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL)
            return scan_fail(scan, scan->at, "an unknown escape in a string");
        scan->at += 2;
        return true;
    }
    for (size_t i = 2; i < 6; i++) {
        int digit = scan->at + i < scan->len ? ascii_hex_value(scan->text[scan->at + i]) : -1;
        if (digit < 0)
            return scan_fail(scan, scan->at, "\\u without four hexadecimal digits");
        value = value * 16 + digit;
    }
    if (value == 0)
        return scan_fail(scan, scan->at, "\\u0000 is not allowed in a string");
    scan->at += 6;
    return true;
}

static bool scan_string(struct scan *scan)
{
    size_t start = scan->at++;

    while (scan->at < scan->len) {
        unsigned char c = (unsigned char)scan_peek(scan);
        if (c == '"') {
            scan->at++;
            return true;
        }
        if (c == '\n')
            return scan_fail(scan, start, "a string without its closing quote");
        if (c < 0x20)
            return scan_fail(scan, scan->at,
                             "a raw control character in a string, expected an escape");
        if (c != '\\')
            scan->at++;
        else if (!scan_escape(scan))
            return false;
    }
    return scan_fail(scan, start, "a string without its closing quote");
}

static size_t scan_digits(struct scan *scan)
{
    size_t start = scan->at;

    while (ascii_is_digit(scan_peek(scan)))
        scan->at++;
    return scan->at - start;
}

static bool scan_number(struct scan *scan)
{
    size_t start = scan->at;

    if (scan_peek(scan) == '-')
        scan->at++;
    bool starts_with_zero = scan_peek(scan) == '0';
    size_t digits = scan_digits(scan);
    if (digits == 0)
        return scan_fail(scan, start, "a minus without a number");
    if (starts_with_zero && digits > 1)
        return scan_fail(scan, start, "a number with a leading zero");
    if (scan_peek(scan) == '.') {
        scan->at++;
        if (scan_digits(scan) == 0)
            return scan_fail(scan, start, "a number without digits after its point");
    }
    if (ascii_lower(scan_peek(scan)) == 'e') {
        scan->at++;
        if (scan_peek(scan) == '+' || scan_peek(scan) == '-')
            scan->at++;
        if (scan_digits(scan) == 0)
            return scan_fail(scan, start, "a number without digits in its exponent");
    }
    if (scan->at - start > MAX_NUMBER)
        return scan_fail(scan, start, "a number of more than 48 characters");
    return true;
}

static bool scan_word(struct scan *scan)
{
    static const char *const words[] = {"true", "false", "null"};

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        struct str word = str_of(words[i]);
        if (str_starts(str_at(scan->text + scan->at, scan->len - scan->at), word)) {
            scan->at += word.len;
            return true;
        }
    }
    if (scan->at >= scan->len)
        return scan_fail(scan, scan->at, "the text ends too early, expected a value");
    if (scan_peek(scan) == '\0')
        return scan_fail(scan, scan->at, "a NUL byte");
    return scan_fail(
        scan, scan->at,
        "expected a value: an object, a list, a string, a number, true, false or null");
}

/* After a value in an object or a list: true when another follows, with *is_end clear. */
static bool scan_next(struct scan *scan, char closing, bool *is_end)
{
    if (!scan_blanks(scan))
        return false;
    *is_end = scan_peek(scan) == closing && scan->at < scan->len;
    if (!*is_end && scan_peek(scan) != ',')
        return scan_fail(scan, scan->at,
                         closing == '}' ? "expected , or } after a value"
                                        : "expected , or ] after a value");
    scan->at++;
    if (*is_end)
        return true;
    if (!scan_blanks(scan))
        return false;
    if (scan_peek(scan) == closing)
        return scan_fail(scan, scan->at, "a comma without a value behind it");
    return true;
}

static bool scan_member(struct scan *scan)
{
    size_t key_at = scan->at;

    if (scan_peek(scan) != '"')
        return scan_fail(scan, scan->at, "expected a name in double quotes");
    if (!scan_string(scan) || !scan_blanks(scan))
        return false;
    if (scan_peek(scan) != ':')
        return scan_fail(scan, scan->at, "expected : after a name");
    scan->at++;
    return scan_blanks(scan) && scan_value(scan, key_at, true);
}

static bool scan_group(struct scan *scan)
{
    bool is_object = scan_peek(scan) == '{';
    char closing = is_object ? '}' : ']';
    bool is_end = false;

    if (++scan->depth > TREE_MAX_DEPTH)
        return scan_fail(scan, scan->at, "nested deeper than 32");
    scan->at++;
    if (!scan_blanks(scan))
        return false;
    if (scan_peek(scan) == closing) {
        scan->at++;
        is_end = true;
    }
    while (!is_end) {
        bool is_read = is_object ? scan_member(scan) : scan_value(scan, 0, false);
        if (!is_read || !scan_next(scan, closing, &is_end))
            return false;
    }
    scan->depth--;
    return true;
}

static bool scan_value(struct scan *scan, size_t key_at, bool has_key)
{
    char c = scan_peek(scan);
    struct scan_mark mark = {(uint32_t)(has_key ? key_at : scan->at), (uint32_t)scan->at};

    if (!buf_add(scan->marks, &mark, sizeof(mark)))
        return scan_fail(scan, scan->at, "out of memory");
    if (c == '{' || c == '[')
        return scan_group(scan);
    if (c == '"')
        return scan_string(scan);
    if (c == '-' || ascii_is_digit(c))
        return scan_number(scan);
    return scan_word(scan);
}

bool scan_json(char *text, size_t len, struct buf *marks, struct syntax_fault *fault)
{
    struct scan scan = {.text = text, .len = len, .marks = marks, .fault = fault};
    size_t bad = scan_utf8(str_at(text, len));

    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        return scan_fail(&scan, 0, "a byte order mark, expected plain UTF-8");
    if (bad < len)
        return scan_fail(&scan, bad, "a byte that is not UTF-8");
    if (!scan_blanks(&scan))
        return false;
    if (scan.at == len)
        return scan_fail(&scan, 0, "the file is empty, expected an object");
    if (scan_peek(&scan) != '{')
        return scan_fail(&scan, scan.at, "expected an object: the file starts with {");
    if (!scan_value(&scan, scan.at, false) || !scan_blanks(&scan))
        return false;
    if (scan.at < len)
        return scan_fail(&scan, scan.at, "text after the end of the configuration");
    return true;
}

static bool is_continuation(const unsigned char *s, size_t left, size_t i)
{
    return i < left && (s[i] & 0xC0) == 0x80;
}

static size_t utf8_length(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4 || !is_continuation(s, left, 1))
        return 0;
    if (s[0] < 0xE0)
        return 2;
    if (!is_continuation(s, left, 2) || (s[0] == 0xE0 && s[1] < 0xA0) ||
        (s[0] == 0xED && s[1] > 0x9F))
        return 0; /* overlong, or half of a surrogate pair */
    if (s[0] < 0xF0)
        return 3;
    if (!is_continuation(s, left, 3) || (s[0] == 0xF0 && s[1] < 0x90) ||
        (s[0] == 0xF4 && s[1] > 0x8F))
        return 0;
    return 4;
}

size_t scan_utf8(struct str text)
{
    const unsigned char *bytes = (const unsigned char *)text.ptr;
    size_t i = 0;

    while (i < text.len) {
        size_t length = utf8_length(bytes + i, text.len - i);
        if (length == 0)
            return i;
        i += length;
    }
    return i;
}

void scan_place(struct str text, size_t offset, uint32_t *line, uint32_t *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < offset && i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            (*line)++;
            *column = 1;
        } else if (((unsigned char)text.ptr[i] & 0xC0) != 0x80) {
            (*column)++;
        }
    }
}
