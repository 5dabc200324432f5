/* answer.c - collects the lines of an answer's head and of its trailers.
 *
 * Limits come first, so that a hostile upstream costs at most one line more than
 * allowed; meaning comes at the blank line (http_check_answer). A folded line
 * (RFC 9112 §5.2) is joined with one blank, as the RFC asks of a gateway. Trailers
 * never fail an answer whose body is whole: what is odd or may not pass is dropped,
 * only their size is bounded.
 *
 * Any thread; allocates in the answer's arena only. */
#include "client/answer_priv.h"

enum { FIRST_ROOM = 24 };

void answer_begin(struct answer *answer, struct arena *arena,
                  const struct http_answer_limits *limits)
{
    *answer = (struct answer){.arena = arena, .limits = *limits};
}

size_t answer_most_bytes(const struct http_answer_limits *limits)
{
    /* Every byte that is copied counts against max_header_bytes; a short line of four is
     * rounded up to 16, and half of a block may be wasted at its end. The list doubles as
     * it grows. */
    return 12 * limits->max_header_bytes + limits->max_headers * (8 * sizeof(struct http_field)) +
           8192;
}

static enum answer_step nonsense(struct answer *answer, const char *reason)
{
    answer->reason = reason;
    return ANSWER_NONSENSE;
}

static enum answer_step too_large(struct answer *answer, const char *reason)
{
    answer->reason = reason;
    return ANSWER_TOO_LARGE;
}

static struct str without_line_end(struct str line)
{
    if (line.len > 0 && line.ptr[line.len - 1] == '\n')
        line.len--;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

static bool start_fields(struct answer *answer)
{
    arena_reset(answer->arena);
    answer->bytes = 0;
    return http_fields_init(&answer->fields, answer->arena, FIRST_ROOM);
}

/* What stands before the code; empty: no version that is understood. Of HTTP/2 libcurl makes a line
 * like those of HTTP/1. */
static struct str version_of(const struct answer *answer, struct str line)
{
    if (str_starts(line, STR("HTTP/1.1 ")) || str_starts(line, STR("HTTP/1.0 ")))
        return STR("HTTP/1.1 ");
    if (answer->may_be_http2 && str_starts(line, STR("HTTP/2 ")))
        return STR("HTTP/2 ");
    return STR_NONE;
}

/* A version, a blank, three digits, then nothing or a blank (RFC 9112 §4). */
static enum answer_step take_status(struct answer *answer, struct str line)
{
    struct str version = version_of(answer, line);
    const char *digit = line.ptr + version.len;

    if (line.len > answer->limits.max_header_bytes)
        return too_large(answer, "headers_too_large");
    if (version.len == 0 || line.len < version.len + 3)
        return nonsense(answer, "bad_version");
    if (!ascii_is_digit(digit[0]) || !ascii_is_digit(digit[1]) || !ascii_is_digit(digit[2]) ||
        (line.len > version.len + 3 && digit[3] != ' '))
        return nonsense(answer, "bad_status");
    answer->is_http2 = version.len == sizeof("HTTP/2 ") - 1;
    answer->status = (digit[0] - '0') * 100 + (digit[1] - '0') * 10 + (digit[2] - '0');
    if (answer->status == 101)
        return nonsense(answer, "switching_protocols"); /* nobody asked for it */
    if (!start_fields(answer))
        return ANSWER_NO_MEMORY;
    answer->bytes = line.len;
    answer->place = ANSWER_AT_FIELDS;
    return ANSWER_MORE;
}

static enum answer_step take_fold(struct answer *answer, struct str line)
{
    struct http_field *last;
    struct str more = str_trim(line);
    char *joined;

    if (answer->fields.count == 0)
        return nonsense(answer, "bad_header_name");
    last = &answer->fields.at[answer->fields.count - 1];
    if (more.len == 0)
        return ANSWER_MORE;
    answer->bytes += last->value.len; /* copied again: many folds cost their square */
    if (answer->bytes > answer->limits.max_header_bytes)
        return too_large(answer, "headers_too_large");
    joined = arena_take(answer->arena, last->value.len + 1 + more.len);
    if (joined == NULL)
        return ANSWER_NO_MEMORY;
    if (last->value.len > 0)
        memcpy(joined, last->value.ptr, last->value.len);
    joined[last->value.len] = ' ';
    memcpy(joined + last->value.len + 1, more.ptr, more.len);
    last->value = str_trim(str_at(joined, last->value.len + 1 + more.len));
    return ANSWER_MORE;
}

static enum answer_step take_field(struct answer *answer, struct str line)
{
    struct str copy;
    size_t colon;

    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return take_fold(answer, line);
    if (answer->fields.count >= answer->limits.max_headers)
        return too_large(answer, "too_many_headers");
    copy = arena_copy(answer->arena, line);
    if (copy.ptr == NULL)
        return ANSWER_NO_MEMORY;
    colon = str_find(copy, ':');
    if (colon == copy.len)
        return nonsense(answer, "bad_header_name");
    if (!http_fields_add(&answer->fields, str_at(copy.ptr, colon),
                         str_trim(str_from(copy, colon + 1))))
        return ANSWER_NO_MEMORY;
    return ANSWER_MORE;
}

static enum answer_step end_head(struct answer *answer)
{
    const char *reason = NULL;

    if (answer->status / 100 == 1) {
        answer->place = ANSWER_AT_STATUS;
        if (++answer->interims > ANSWER_MOST_INTERIMS)
            return too_large(answer, "too_many_interims");
        return ANSWER_INTERIM;
    }
    if (!http_check_answer(answer->status, &answer->fields, &answer->limits, &answer->facts,
                           &reason))
        return nonsense(answer, reason);
    answer->place = ANSWER_AT_BODY;
    return ANSWER_HEAD;
}

static enum answer_step take_trailer(struct answer *answer, struct str line)
{
    size_t colon = str_find(line, ':');
    struct str name = str_at(line.ptr, colon), value = str_trim(str_from(line, colon + 1));

    if (colon == line.len || !http_is_token(name) || !http_is_field_value(value) ||
        !http_trailer_may_pass(name))
        return ANSWER_MORE;
    return take_field(answer, line);
}

enum answer_step answer_line(struct answer *answer, struct str line)
{
    line = without_line_end(line);
    if (answer->place == ANSWER_AT_STATUS)
        return take_status(answer, line);
    if (answer->place == ANSWER_AT_BODY) {
        if (!start_fields(answer))
            return ANSWER_NO_MEMORY;
        answer->place = ANSWER_AT_TRAILERS;
    }
    answer->bytes += line.len + 2;
    if (answer->bytes > answer->limits.max_header_bytes)
        return too_large(answer, "headers_too_large");
    if (answer->place == ANSWER_AT_TRAILERS)
        return take_trailer(answer, line);
    if (line.len == 0)
        return end_head(answer);
    return take_field(answer, line);
}
