/* h1_parse.c - the parser: heads and trailers whole, bodies as they come.
 *
 * A head is looked at twice: for its end, line by line, with the limits, so that a hostile
 * upstream costs no more than they allow; then for its fields, in one pass. What the fields
 * mean is http_check_answer()'s, the same judge that libcurl's answers have. A folded line
 * (RFC 9112 §5.2) is joined with one blank, in place.
 *
 * Trailers never fail an answer whose body is whole: what is odd or may not pass is dropped,
 * only their size is bounded. A chunk's extension is read over, and bounded too. */
#include "client/h1_parse.h"

enum { STATUS_LEN = sizeof("HTTP/1.1 200") - 1, MOST_SIZE_DIGITS = 16 };

void h1_parse_begin(struct h1_parser *parser, const struct http_answer_limits *limits,
                    struct http_field *room)
{
    *parser = (struct h1_parser){.limits = *limits};
    parser->fields = (struct http_fields){.at = room, .room = limits->max_headers};
}

static enum h1_event nonsense(struct h1_parser *parser, const char *reason)
{
    parser->reason = reason;
    return H1_NONSENSE;
}

static enum h1_event too_large(struct h1_parser *parser, const char *reason)
{
    parser->reason = reason;
    return H1_TOO_LARGE;
}

/* ---- the end of a section ---------------------------------------------- */

static struct str without_line_end(const char *line, const char *lf)
{
    if (lf > line && lf[-1] == '\r')
        lf--;
    return str_at(line, (size_t)(lf - line));
}

/* HTTP/1.0 or HTTP/1.1, a blank, three digits, then nothing or a blank (RFC 9112 §4). */
static const char *status_fault(struct str line)
{
    const char *digit = line.ptr + sizeof("HTTP/1.1 ") - 1;

    if (line.len < STATUS_LEN ||
        !(str_starts(line, STR("HTTP/1.1 ")) || str_starts(line, STR("HTTP/1.0 "))))
        return "bad_version";
    if (!ascii_is_digit(digit[0]) || !ascii_is_digit(digit[1]) || !ascii_is_digit(digit[2]) ||
        (line.len > STATUS_LEN && line.ptr[STATUS_LEN] != ' '))
        return "bad_status";
    return NULL;
}

/* Not HTTP at all is known by its first bytes; it may never send a line's end. */
static bool may_become_status(const char *bytes, size_t len)
{
    static const char begin[] = "HTTP/1.";

    return memcmp(bytes, begin, len < sizeof(begin) - 1 ? len : sizeof(begin) - 1) == 0;
}

/* One line of the section: true when the section goes on. */
static bool count_line(struct h1_parser *parser, struct str line, enum h1_event *event)
{
    bool is_status = parser->place == H1_AT_HEAD && parser->lines == 0;
    const char *fault = is_status ? status_fault(line) : NULL;

    *event = H1_END;
    if (fault != NULL) {
        *event = nonsense(parser, fault);
        return false;
    }
    parser->head_bytes += line.len + (is_status ? 0 : 2);
    if (parser->head_bytes > parser->limits.max_header_bytes) {
        *event = too_large(parser, "headers_too_large");
        return false;
    }
    if (line.len == 0)
        return false;
    /* the status line is none of the fields, hence more by one; a folded line counts as one */
    if (++parser->lines > parser->limits.max_headers + (parser->place == H1_AT_HEAD ? 1 : 0)) {
        *event = too_large(parser, "too_many_headers");
        return false;
    }
    return true;
}

/* H1_END: whole, up to *end. */
static enum h1_event find_end(struct h1_parser *parser, const char *bytes, size_t len, size_t *end)
{
    const char *at = bytes + parser->scanned;
    enum h1_event event = H1_MORE;

    if (parser->place == H1_AT_HEAD && parser->lines == 0 && !may_become_status(bytes, len))
        return nonsense(parser, "bad_version");
    for (;;) {
        size_t left = len - (size_t)(at - bytes);
        const char *lf = left > 0 ? memchr(at, '\n', left) : NULL;

        parser->scanned = (size_t)(at - bytes); /* lines that are whole */
        if (lf == NULL) {
            if (parser->head_bytes + left > parser->limits.max_header_bytes + 2)
                return too_large(parser, "headers_too_large");
            return H1_MORE;
        }
        if (!count_line(parser, without_line_end(at, lf), &event)) {
            *end = (size_t)(lf - bytes) + 1;
            return event;
        }
        at = lf + 1;
    }
}

static void begin_section(struct h1_parser *parser, enum h1_place place)
{
    parser->place = place;
    parser->scanned = parser->head_bytes = 0;
    parser->lines = 0;
}

/* ---- fields ------------------------------------------------------------ */

/* Moves what a folded line says to the end of the value before it, which lies further down. */
static bool fold(struct h1_parser *parser, struct str line)
{
    struct http_field *last;
    struct str more = str_trim(line);
    char *end;

    if (parser->fields.count == 0)
        return false;
    last = &parser->fields.at[parser->fields.count - 1];
    if (more.len == 0)
        return true;
    end = (char *)(uintptr_t)last->value.ptr + last->value.len;
    if (last->value.len > 0) { /* a line's end and a blank lay between: there is room for one */
        *end++ = ' ';
        last->value.len++;
    }
    memmove(end, more.ptr, more.len);
    last->value.len += more.len;
    return true;
}

static bool add_field(struct h1_parser *parser, struct str line)
{
    size_t colon = str_find(line, ':');
    struct http_field *field;

    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return fold(parser, line);
    if (colon == line.len)
        return false;
    field = &parser->fields.at[parser->fields.count++];
    field->name = str_at(line.ptr, colon);
    field->value = str_trim(str_at(line.ptr + colon + 1, line.len - colon - 1));
    field->id = http_name_of(field->name);
    return true;
}

static void add_trailer(struct h1_parser *parser, struct str line)
{
    size_t colon = str_find(line, ':');

    if (colon < line.len && http_is_token(str_at(line.ptr, colon)) &&
        http_is_field_value(str_trim(str_at(line.ptr + colon + 1, line.len - colon - 1))) &&
        http_trailer_may_pass(str_at(line.ptr, colon)))
        (void)add_field(parser, line);
}

/* The lines of a whole section, without the status line. */
static bool read_fields(struct h1_parser *parser, const char *at, const char *end)
{
    parser->fields.count = 0;
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        struct str line = without_line_end(at, lf);

        at = lf + 1;
        if (line.len == 0)
            break;
        if (parser->place == H1_AT_TRAILERS)
            add_trailer(parser, line);
        else if (!add_field(parser, line))
            return false;
    }
    return true;
}

/* ---- heads ------------------------------------------------------------- */

static enum h1_event interim(struct h1_parser *parser)
{
    for (uint32_t i = 0; i < parser->fields.count; i++) {
        const struct http_field *field = &parser->fields.at[i];

        if (!http_is_token(field->name))
            return nonsense(parser, "bad_header_name");
        if (!http_is_field_value(field->value))
            return nonsense(parser, "bad_header_value");
    }
    if (++parser->interims > H1_MOST_INTERIMS)
        return too_large(parser, "too_many_interims");
    begin_section(parser, H1_AT_HEAD);
    return H1_INTERIM;
}

/* RFC 9112 §6.3, what remains of it after http_check_answer(). */
static void enter_body(struct h1_parser *parser, bool is_http10)
{
    const struct http_answer_facts *facts = &parser->facts;

    parser->keeps =
        is_http10 ? !facts->is_chunked &&
                        http_fields_has_token(&parser->fields, HTTP_CONNECTION, STR("keep-alive"))
                  : !http_fields_has_token(&parser->fields, HTTP_CONNECTION, STR("close"));
    parser->place = H1_AT_BODY;
    if (parser->is_head || parser->status == 204 || parser->status == 304) {
        parser->place = H1_AT_END;
    } else if (facts->is_chunked) {
        parser->place = H1_AT_SIZE;
        parser->left = parser->digits = parser->extension = 0;
    } else if (facts->has_length) {
        parser->left = facts->content_length;
    } else {
        parser->left = UINT64_MAX;
        parser->keeps = false;
    }
}

/* The tunnel's first bytes may stand right behind. */
static enum h1_event upgrade(struct h1_parser *parser)
{
    const char *reason = NULL;
    struct http_answer_facts facts;

    if (!parser->may_upgrade)
        return nonsense(parser, "switching_protocols");
    /* the fields are judged as any answer's; a length or coding means nothing here */
    if (!http_check_answer(200, &parser->fields, &parser->limits, &facts, &reason))
        return nonsense(parser, reason);
    parser->facts = (struct http_answer_facts){0};
    parser->place = H1_AT_BODY;
    parser->left = UINT64_MAX;
    parser->keeps = false;
    return H1_HEAD;
}

static enum h1_event take_head(struct h1_parser *parser, char *bytes, size_t end)
{
    const char *lf = memchr(bytes, '\n', end);
    const char *digit = bytes + sizeof("HTTP/1.1 ") - 1;
    bool is_http10 = bytes[sizeof("HTTP/1.") - 1] == '0';
    const char *reason = NULL;

    parser->status = (digit[0] - '0') * 100 + (digit[1] - '0') * 10 + (digit[2] - '0');
    if (!read_fields(parser, lf + 1, bytes + end))
        return nonsense(parser, "bad_header_name");
    if (parser->status == 101)
        return upgrade(parser);
    if (parser->status / 100 == 1)
        return interim(parser);
    if (!http_check_answer(parser->status, &parser->fields, &parser->limits, &parser->facts,
                           &reason))
        return nonsense(parser, reason);
    enter_body(parser, is_http10);
    return H1_HEAD;
}

static enum h1_event parse_section(struct h1_parser *parser, char *bytes, size_t len, size_t *used)
{
    size_t end = 0;
    enum h1_event event = find_end(parser, bytes, len, &end);

    if (event != H1_END)
        return event;
    *used = end;
    if (parser->place == H1_AT_HEAD)
        return take_head(parser, bytes, end);
    (void)read_fields(parser, bytes, bytes + end); /* a trailer is dropped, never refused */
    parser->place = H1_AT_END;
    return H1_END;
}

/* ---- bodies ------------------------------------------------------------ */

static enum h1_event parse_body(struct h1_parser *parser, const char *bytes, size_t len,
                                size_t *used)
{
    size_t part = parser->left < len ? (size_t)parser->left : len;

    if (parser->left == 0) {
        parser->place = H1_AT_END;
        parser->fields.count = 0;
        return H1_END;
    }
    if (part == 0)
        return H1_MORE;
    if (parser->left != UINT64_MAX)
        parser->left -= part;
    parser->body = str_at(bytes, part);
    *used = part;
    return H1_BODY;
}

static bool end_size(struct h1_parser *parser)
{
    if (parser->digits == 0)
        return false;
    parser->place = H1_AT_SIZE_LF;
    return true;
}

/* A byte of the line before a chunk, or of the line's end behind it (RFC 9112 §7.1). */
static bool take_chunk_byte(struct h1_parser *parser, char c)
{
    int digit;

    switch (parser->place) {
    case H1_AT_SIZE:
        digit = ascii_hex_value(c);
        if (digit < 0 && (c == ';' || c == ' ' || c == '\t') && parser->digits > 0) {
            parser->place = c == ';' ? H1_AT_EXTENSION : H1_AT_PAD;
            return true;
        }
        if (digit < 0)
            return c == '\r' && end_size(parser);
        if (++parser->digits > MOST_SIZE_DIGITS || parser->left > (INT64_MAX >> 4))
            return false;
        parser->left = parser->left << 4 | (uint64_t)digit;
        return true;
    case H1_AT_PAD: /* some servers fill the size's field up with blanks */
        if (c == ';')
            parser->place = H1_AT_EXTENSION;
        else if (c == '\r')
            return end_size(parser);
        else if (c != ' ' && c != '\t')
            return false;
        return ++parser->extension <= H1_MOST_EXTENSION;
    case H1_AT_EXTENSION:
        if (c == '\r')
            return end_size(parser);
        if (((unsigned char)c < ' ' && c != '\t') || c == 0x7f)
            return false;
        return ++parser->extension <= H1_MOST_EXTENSION;
    case H1_AT_SIZE_LF:
        if (parser->left == 0)
            begin_section(parser, H1_AT_TRAILERS);
        else
            parser->place = H1_AT_CHUNK;
        return c == '\n';
    case H1_AT_CHUNK_CR:
        parser->place = H1_AT_CHUNK_LF;
        return c == '\r';
    case H1_AT_CHUNK_LF:
        parser->place = H1_AT_SIZE;
        parser->left = parser->digits = parser->extension = 0;
        return c == '\n';
    case H1_AT_HEAD:
    case H1_AT_BODY:
    case H1_AT_CHUNK:
    case H1_AT_TRAILERS:
    case H1_AT_END:
        break;
    }
    return false;
}

static enum h1_event parse_chunked(struct h1_parser *parser, const char *bytes, size_t len,
                                   size_t *used)
{
    size_t at = 0, part;

    while (at < len && parser->place != H1_AT_CHUNK && parser->place != H1_AT_TRAILERS)
        if (!take_chunk_byte(parser, bytes[at++]))
            return nonsense(parser, "bad_chunk");
    *used = at;
    if (at == len || parser->place != H1_AT_CHUNK)
        return H1_MORE;
    part = parser->left < len - at ? (size_t)parser->left : len - at;
    parser->left -= part;
    if (parser->left == 0)
        parser->place = H1_AT_CHUNK_CR;
    parser->body = str_at(bytes + at, part);
    *used = at + part;
    return H1_BODY;
}

enum h1_event h1_parse(struct h1_parser *parser, char *bytes, size_t len, size_t *used)
{
    enum h1_event event;
    size_t section = 0;

    *used = 0;
    switch (parser->place) {
    case H1_AT_END: /* of an answer without a body */
        parser->fields.count = 0;
        return H1_END;
    case H1_AT_HEAD:
    case H1_AT_TRAILERS:
        return parse_section(parser, bytes, len, used);
    case H1_AT_BODY:
        return parse_body(parser, bytes, len, used);
    case H1_AT_SIZE:
    case H1_AT_PAD:
    case H1_AT_EXTENSION:
    case H1_AT_SIZE_LF:
    case H1_AT_CHUNK:
    case H1_AT_CHUNK_CR:
    case H1_AT_CHUNK_LF:
        break;
    }
    event = parse_chunked(parser, bytes, len, used);
    if (event != H1_MORE || parser->place != H1_AT_TRAILERS)
        return event;
    event = parse_section(parser, bytes + *used, len - *used, &section);
    *used += section;
    return event;
}

uint64_t h1_parse_body_left(const struct h1_parser *parser)
{
    return parser->place == H1_AT_BODY || parser->place == H1_AT_CHUNK ? parser->left : 0;
}

void h1_parse_skip_body(struct h1_parser *parser, size_t len)
{
    CHECK(len <= h1_parse_body_left(parser));
    if (parser->left != UINT64_MAX)
        parser->left -= len;
    if (parser->place == H1_AT_CHUNK && parser->left == 0)
        parser->place = H1_AT_CHUNK_CR;
}

bool h1_parse_ends_here(const struct h1_parser *parser)
{
    return parser->place == H1_AT_END ||
           (parser->place == H1_AT_BODY && parser->left == UINT64_MAX) ||
           (parser->place == H1_AT_BODY && parser->left == 0);
}

bool h1_parse_has_head(const struct h1_parser *parser)
{
    return parser->place != H1_AT_HEAD;
}
