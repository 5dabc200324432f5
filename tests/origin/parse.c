/* parse.c - a request as RFC 9112 has it, and nothing else.
 *
 * A second opinion: where a lenient server would guess, this one says no, and the recorder
 * writes down that the gateway let something through. Chunk extensions are legal but the gateway
 * frames bodies anew, so one that arrives is a fault too. Works on whole heads in place; slices
 * point into the given bytes. */
#include "origin.h"

static bool is_token_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_token_byte(s.ptr[i]))
            return false;
    return s.len > 0;
}

static bool is_value(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static const char *check_target(const struct head *head)
{
    struct slice t = head->target;

    if (slice_is(t, "*"))
        return slice_is(head->method, "OPTIONS") ? NULL : "an asterisk without OPTIONS";
    if (t.len == 0 || t.ptr[0] != '/')
        return "target is not in origin form";
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.ptr[i];

        if (c <= 0x20 || c >= 0x7f || strchr("\"<>\\^{}`|#", c) != NULL)
            return "a byte that no target may hold";
        if (c == '%' &&
            (t.len - i < 3 || hex_value(t.ptr[i + 1]) < 0 || hex_value(t.ptr[i + 2]) < 0))
            return "a malformed escape";
    }
    return NULL;
}

static const char *read_request_line(struct head *head, struct slice line)
{
    const char *first = memchr(line.ptr, ' ', line.len), *second;
    size_t method, target;
    struct slice version;

    if (first == NULL)
        return "no blank in the request line";
    method = (size_t)(first - line.ptr);
    second = memchr(first + 1, ' ', line.len - method - 1);
    if (second == NULL)
        return "no version";
    target = (size_t)(second - first) - 1;
    head->method = (struct slice){line.ptr, method};
    head->target = (struct slice){first + 1, target};
    version = (struct slice){second + 1, line.len - method - target - 2};
    if (!is_token(head->method))
        return "method is not a token";
    if (!slice_is(version, "HTTP/1.1") && !slice_is(version, "HTTP/1.0"))
        return "version is neither 1.0 nor 1.1";
    head->minor = version.ptr[7] - '0';
    head->is_head = slice_is(head->method, "HEAD");
    head->path = head->target;
    head->query = (struct slice){NULL, 0};
    second = memchr(head->target.ptr, '?', target);
    if (second != NULL) {
        head->path.len = (size_t)(second - head->target.ptr);
        head->query = (struct slice){second + 1, target - head->path.len - 1};
    }
    return check_target(head);
}

static const char *read_field(struct slice line, struct field *field)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    struct slice value;

    if (colon == NULL)
        return "a field without colon";
    field->name = (struct slice){line.ptr, (size_t)(colon - line.ptr)};
    if (!is_token(field->name))
        return "a field name that is no token";
    value = (struct slice){colon + 1, line.len - field->name.len - 1};
    while (value.len > 0 && (value.ptr[0] == ' ' || value.ptr[0] == '\t'))
        value = (struct slice){value.ptr + 1, value.len - 1};
    while (value.len > 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
        value.len--;
    field->value = value;
    return is_value(value) ? NULL : "a control character in a field value";
}

/* What the fields that frame the message have said so far. */
struct framing {
    int hosts, lengths, codings;
    bool asks_close, asks_keep;
};

static const char *note_connection(struct slice value, struct framing *seen)
{
    while (value.len > 0) {
        const char *comma = memchr(value.ptr, ',', value.len);
        size_t len = comma == NULL ? value.len : (size_t)(comma - value.ptr);
        struct slice part = {value.ptr, len};

        while (part.len > 0 && part.ptr[0] == ' ')
            part = (struct slice){part.ptr + 1, part.len - 1};
        seen->asks_close |= slice_is_folded(part, "close");
        seen->asks_keep |= slice_is_folded(part, "keep-alive");
        len += comma != NULL;
        value = (struct slice){value.ptr + len, value.len - len};
    }
    return NULL;
}

static const char *note_field(struct head *head, const struct field *field, struct framing *seen)
{
    if (slice_is_folded(field->name, "Host")) {
        seen->hosts++;
        return field->value.len > 0 ? NULL : "Host is empty";
    }
    if (slice_is_folded(field->name, "Content-Length")) {
        seen->lengths++;
        head->body = BODY_LENGTH;
        return slice_number(field->value, &head->length) ? NULL : "Content-Length is no number";
    }
    if (slice_is_folded(field->name, "Transfer-Encoding")) {
        seen->codings++;
        head->body = BODY_CHUNKED;
        return slice_is_folded(field->value, "chunked") ? NULL : "Transfer-Encoding is not chunked";
    }
    if (slice_is_folded(field->name, "Expect"))
        head->expects_continue = slice_is_folded(field->value, "100-continue");
    if (slice_is_folded(field->name, "Connection"))
        return note_connection(field->value, seen);
    return NULL;
}

static const char *check_framing(struct head *head, const struct framing *seen)
{
    if (seen->hosts > 1 || (seen->hosts == 0 && head->minor == 1))
        return "not exactly one Host";
    if (seen->lengths + seen->codings > 1)
        return "framed more than once";
    if (seen->codings == 1 && head->minor == 0)
        return "chunks in HTTP/1.0";
    head->keep_alive = !seen->asks_close && (seen->asks_keep || head->minor == 1);
    if (head->body == BODY_LENGTH && head->length == 0)
        head->body = BODY_NONE;
    return NULL;
}

static bool next_line(const char *bytes, size_t len, size_t *at, struct slice *line)
{
    const char *start = bytes + *at, *lf = memchr(start, '\n', len - *at);

    if (lf == NULL || lf == start || lf[-1] != '\r')
        return false;
    *line = (struct slice){start, (size_t)(lf - start) - 1};
    *at += line->len + 2;
    return true;
}

static const char *read_head(struct head *head, const char *bytes, size_t len)
{
    struct framing seen = {0};
    const char *fault;
    struct slice line;
    size_t at = 0;

    if (!next_line(bytes, len, &at, &line))
        return "a line that ends without CR";
    fault = read_request_line(head, line);
    while (fault == NULL) {
        struct field *field = &head->fields[head->field_count];

        if (!next_line(bytes, len, &at, &line))
            return "a line that ends without CR";
        if (line.len == 0)
            return check_framing(head, &seen);
        if (head->field_count++ == MAX_FIELDS - 1)
            return "too many fields";
        fault = read_field(line, field);
        if (fault == NULL)
            fault = note_field(head, field, &seen);
    }
    return fault;
}

long parse_head(struct head *head, const char *bytes, size_t len, const char **fault)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    const char *bare = end == NULL ? memmem(bytes, len, "\n\n", 2) : NULL;

    if (end == NULL && bare == NULL) {
        *fault = "the head is too long";
        return len > MAX_HEAD_BYTES ? -1 : 0;
    }
    len = end != NULL ? (size_t)(end - bytes) + 4 : (size_t)(bare - bytes) + 2;
    head->method = head->target = head->path = head->query = (struct slice){NULL, 0};
    head->field_count = 0;
    head->length = 0;
    head->body = BODY_NONE;
    head->keep_alive = head->is_head = head->expects_continue = false;
    *fault = read_head(head, bytes, len);
    return *fault == NULL ? (long)len : -1;
}

/* ---- bodies ---- */

static void keep_bytes(struct body *body, const char *bytes, size_t len)
{
    size_t free = BODY_KEPT_BYTES - body->first.len;

    body->hash = fnv1a64(body->hash, bytes, len);
    body->length += len;
    text_add(&body->first, bytes, len < free ? len : free);
}

static const char *read_chunk_size(struct body *body, struct slice line)
{
    if (line.len == 0 || line.len > 16)
        return "a chunk size of no or too many digits";
    body->left = 0;
    for (size_t i = 0; i < line.len; i++) {
        if (hex_value(line.ptr[i]) < 0)
            return "a chunk size that is not hexadecimal";
        body->left = body->left << 4 | (uint64_t)hex_value(line.ptr[i]);
    }
    body->chunk = body->left == 0 ? CHUNK_TRAILERS : CHUNK_DATA;
    return NULL;
}

static const char *read_trailer(struct body *body, struct slice line)
{
    struct field field;
    const char *fault;

    if (line.len == 0) {
        body->chunk = CHUNK_DONE;
        return NULL;
    }
    fault = read_field(line, &field);
    if (fault != NULL)
        return fault;
    text_put(&body->trailers, body->trailers.len > 0 ? ",[" : "[");
    text_json(&body->trailers, field.name);
    text_put(&body->trailers, ",");
    text_json(&body->trailers, field.value);
    text_put(&body->trailers, "]");
    return NULL;
}

/* One line of the chunked framing; the bytes taken, 0 when it is not whole, or -1. */
static long take_line(struct body *body, const char *bytes, size_t len, const char **fault)
{
    struct slice line;
    size_t at = 0;

    if (!next_line(bytes, len, &at, &line)) {
        *fault = "a chunk line that ends without CR";
        return memchr(bytes, '\n', len) != NULL || len > 8192 ? -1 : 0;
    }
    if (body->chunk == CHUNK_SIZE)
        *fault = read_chunk_size(body, line);
    else if (body->chunk == CHUNK_TRAILERS)
        *fault = read_trailer(body, line);
    else
        *fault = line.len == 0 ? NULL : "more data than the chunk's size";
    if (body->chunk == CHUNK_END)
        body->chunk = CHUNK_SIZE;
    return *fault == NULL ? (long)at : -1;
}

long body_take(struct body *body, const char *bytes, size_t len, bool *is_done, const char **fault)
{
    size_t taken = 0;

    *is_done = false;
    while (taken < len) {
        if (body->kind == BODY_LENGTH || body->chunk == CHUNK_DATA) {
            size_t part = len - taken < body->left ? len - taken : (size_t)body->left;

            keep_bytes(body, bytes + taken, part);
            body->left -= part;
            taken += part;
            if (body->left > 0)
                break;
            body->chunk = body->kind == BODY_LENGTH ? CHUNK_DONE : CHUNK_END;
        } else {
            long line = take_line(body, bytes + taken, len - taken, fault);

            if (line <= 0)
                return line < 0 ? -1 : (long)taken;
            taken += (size_t)line;
        }
        if (body->chunk == CHUNK_DONE) {
            *is_done = true;
            break;
        }
    }
    return (long)taken;
}
