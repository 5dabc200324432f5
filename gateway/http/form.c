/* form.c - multipart/form-data, part by part (RFC 7578, RFC 2046 §5.1.1).
 *
 * Strict on purpose: what two programs could read as two different forms (a preamble, blanks behind
 * a boundary, several boundaries or names) is no form here. Nothing is copied or decoded; a form is
 * read once from its beginning to its end, and its parts and their heads are bounded.
 * Pure functions; any thread. */
#include "http/http.h"

static size_t find(struct str s, struct str part)
{
    const char *at = s.len >= part.len ? memmem(s.ptr, s.len, part.ptr, part.len) : NULL;

    return at != NULL ? (size_t)(at - s.ptr) : s.len;
}

/* bchars of RFC 2046. */
static bool is_boundary(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            !str_has(STR("'()+_,-./:=? "), str_at(&c, 1)))
            return false;
    }
    return s.len > 0 && s.len <= 70 && s.ptr[s.len - 1] != ' ';
}

/* The next "name=value" behind a ';', its quotes taken off but its escapes left. False: none is
 * left, or *is_sound says no. */
static bool next_parameter(struct str *rest, struct str *name, struct str *value, bool *is_sound)
{
    struct str s = str_trim(*rest);
    size_t end;

    *is_sound = s.len == 0;
    if (s.len == 0 || s.ptr[0] != ';')
        return false;
    s = str_trim(str_from(s, 1));
    end = str_find(s, '=');
    *name = str_at(s.ptr, end);
    *is_sound = false;
    if (end == s.len || !http_is_token(*name))
        return false;
    s = str_from(s, end + 1);
    if (s.len > 0 && s.ptr[0] == '"') {
        for (end = 1; end < s.len && s.ptr[end] != '"'; end++)
            end += s.ptr[end] == '\\';
        if (end >= s.len)
            return false;
        *value = str_at(s.ptr + 1, end - 1);
        end++;
    } else {
        end = str_find(s, ';');
        *value = str_trim(str_at(s.ptr, end));
    }
    *rest = str_from(s, end);
    *is_sound = true;
    return true;
}

/* The one parameter of that name; ptr NULL: there is none, or it cannot be told. */
static struct str parameter(struct str value, struct str wanted)
{
    struct str rest = str_from(value, str_find(value, ';')), name, content, found = STR_NONE;
    bool is_sound;

    while (next_parameter(&rest, &name, &content, &is_sound)) {
        if (!str_ieq(name, wanted))
            continue;
        if (found.ptr != NULL)
            return STR_NONE;
        found = content;
    }
    return is_sound ? found : STR_NONE;
}

static bool has_type(struct str value, struct str type)
{
    return str_ieq(str_trim(str_at(value.ptr, str_find(value, ';'))), type);
}

bool http_form_begin(struct http_form *form, struct str content_type, struct str body)
{
    struct str boundary = has_type(content_type, STR("multipart/form-data"))
                              ? parameter(content_type, STR("boundary"))
                              : STR_NONE;

    if (boundary.ptr == NULL || !is_boundary(boundary))
        return false;
    *form = (struct http_form){.delimiter = "\r\n--", .delimiter_len = 4 + boundary.len};
    memcpy(form->delimiter + 4, boundary.ptr, boundary.len);
    if (!str_starts(body, str_at(form->delimiter + 2, form->delimiter_len - 2)))
        return false;
    form->rest = str_from(body, form->delimiter_len - 2);
    return true;
}

/* The name in the one Content-Disposition of a part's head. */
static bool read_head(struct str head, struct str *name)
{
    *name = STR_NONE;
    while (head.len > 0) {
        size_t end = find(head, STR("\r\n")), colon;
        struct str line = str_at(head.ptr, end), field;

        head = str_from(head, end + 2);
        colon = str_find(line, ':');
        field = str_at(line.ptr, colon);
        if (colon == line.len || !http_is_token(field))
            return false; /* a continued line, too */
        if (!str_ieq(field, STR("Content-Disposition")))
            continue;
        line = str_trim(str_from(line, colon + 1));
        if (name->ptr != NULL || !has_type(line, STR("form-data")))
            return false;
        *name = parameter(line, STR("name"));
        if (name->ptr == NULL)
            return false;
    }
    return name->ptr != NULL;
}

/* Behind the last boundary: nothing, or one CRLF. */
static bool is_end(struct str rest)
{
    return str_eq(rest, STR("--")) || str_eq(rest, STR("--\r\n"));
}

enum http_form_step http_form_next(struct http_form *form, struct http_form_part *part)
{
    struct str delimiter = str_at(form->delimiter, form->delimiter_len);
    size_t head, end;

    if (is_end(form->rest))
        return form->parts > 0 ? HTTP_FORM_END : HTTP_FORM_BROKEN;
    if (++form->parts > HTTP_FORM_MOST_PARTS || !str_starts(form->rest, STR("\r\n")))
        return HTTP_FORM_BROKEN;
    form->rest = str_from(form->rest, 2);
    head = find(form->rest.len > HTTP_FORM_MOST_HEAD ? str_at(form->rest.ptr, HTTP_FORM_MOST_HEAD)
                                                     : form->rest,
                STR("\r\n\r\n"));
    if (head + 4 > form->rest.len || head >= HTTP_FORM_MOST_HEAD)
        return HTTP_FORM_BROKEN;
    end = head + 2 + find(str_from(form->rest, head + 2), delimiter);
    if (end == form->rest.len || !read_head(str_at(form->rest.ptr, head), &part->name))
        return HTTP_FORM_BROKEN;
    if (end < head + 4)
        return HTTP_FORM_BROKEN; /* a boundary in place of the blank line */
    part->whole = str_at(form->rest.ptr, end);
    part->content = str_from(part->whole, head + 4);
    form->rest = str_from(form->rest, end + delimiter.len);
    return HTTP_FORM_PART;
}
