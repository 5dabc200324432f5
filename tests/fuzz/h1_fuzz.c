/* h1_fuzz.c - whatever bytes an upstream sends, the parser reads them the same however they come.
 *
 * The first two bytes choose: HEAD or not, may the protocol change, does body go past the parser
 * where it is known to be body, and how the rest is cut into pieces. It is read whole and in those
 * pieces, as h1_read.c would, and both must tell the same story. Heads are read a third time, line
 * by line, as libcurl's way does (answer.c): what one lets through with a status and fields the
 * other must let through with the same. */
#include "client/answer_priv.h"
#include "client/h1_parse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_HEADERS = 16, STORY_BYTES = 1 << 20 };
static const struct http_answer_limits limits = {MOST_HEADERS, 2048};

/* ---- a story: what happened, as bytes ---- */

static void tell(struct buf *story, const char *what, struct str text)
{
    buf_addf(story, "[%s %zu]", what, text.len);
    buf_add_str(story, text);
}

static void tell_fields(struct buf *story, const struct http_fields *fields)
{
    CHECK(fields->count <= limits.max_headers);
    for (uint32_t i = 0; i < fields->count; i++) {
        CHECK(http_is_token(fields->at[i].name));
        CHECK(http_is_field_value(fields->at[i].value));
        CHECK(fields->at[i].id == http_name_of(fields->at[i].name));
        tell(story, "name", fields->at[i].name);
        tell(story, "value", fields->at[i].value);
    }
}

static void tell_event(struct buf *story, struct buf *body, const struct h1_parser *parser,
                       enum h1_event event)
{
    switch (event) {
    case H1_MORE:
        return;
    case H1_INTERIM:
        CHECK(parser->status >= 100 && parser->status < 200 && parser->status != 101);
        buf_addf(story, "{interim %d}", parser->status);
        tell_fields(story, &parser->fields);
        return;
    case H1_HEAD:
        CHECK(parser->status >= 200 || (parser->status == 101 && parser->may_upgrade));
        CHECK(parser->status <= 999);
        CHECK(!(parser->facts.has_length && parser->facts.is_chunked));
        buf_addf(story, "{head %d keeps %d}", parser->status, parser->keeps);
        tell_fields(story, &parser->fields);
        return;
    case H1_BODY:
        CHECK(parser->body.len > 0);
        buf_add_str(body, parser->body);
        return;
    case H1_END:
        buf_addf(story, "{end}");
        tell_fields(story, &parser->fields);
        return;
    case H1_NONSENSE:
    case H1_TOO_LARGE:
        CHECK(parser->reason != NULL);
        return;
    }
}

/* ---- as h1_read.c gives bytes ---- */

struct reading {
    struct h1_parser parser;
    struct http_field room[MOST_HEADERS];
    struct buf story, body, held;
    enum h1_event last;
    bool had_head, skips_body;
    size_t given;
};

static void begin(struct reading *reading, uint8_t flags)
{
    *reading = (struct reading){.last = H1_MORE};
    reading->story = buf_new(STORY_BYTES);
    reading->body = buf_new(STORY_BYTES);
    reading->held = buf_new(STORY_BYTES);
    h1_parse_begin(&reading->parser, &limits, reading->room);
    reading->parser.is_head = (flags & 1) != 0;
    reading->parser.may_upgrade = (flags & 2) != 0;
}

static bool is_over(const struct reading *reading)
{
    return reading->last == H1_END || reading->last == H1_NONSENSE || reading->last == H1_TOO_LARGE;
}

/* The piece in memory of its own size, so that reading past it is caught. */
static void give(struct reading *reading, const uint8_t *data, size_t len)
{
    size_t all, used = 0, at = 0;
    char *bytes;

    if (reading->skips_body && reading->held.len == 0) {
        uint64_t left = h1_parse_body_left(&reading->parser);
        size_t part = left < len ? (size_t)left : len;

        buf_add(&reading->body, data, part);
        if (part > 0)
            h1_parse_skip_body(&reading->parser, part);
        data += part;
        len -= part;
    }
    CHECK(buf_add(&reading->held, data, len));
    all = reading->held.len;
    bytes = malloc(all > 0 ? all : 1);
    CHECK(bytes != NULL);
    if (all > 0)
        memcpy(bytes, reading->held.ptr, all);
    do {
        reading->last = h1_parse(&reading->parser, bytes + at, all - at, &used);
        CHECK(used <= all - at);
        at += used;
        reading->had_head = reading->had_head || reading->last == H1_HEAD;
        tell_event(&reading->story, &reading->body, &reading->parser, reading->last);
    } while (reading->last != H1_MORE && !is_over(reading));
    buf_clear(&reading->held);
    CHECK(buf_add(&reading->held, bytes + at, all - at));
    /* an unfinished section, never body: bounded */
    CHECK(is_over(reading) || reading->held.len <= limits.max_header_bytes + MOST_HEADERS + 64 ||
          reading->parser.place == H1_AT_HEAD || reading->parser.place == H1_AT_TRAILERS);
    free(bytes);
    reading->given += len;
}

static void finish(struct reading *reading)
{
    buf_free(&reading->story);
    buf_free(&reading->body);
    buf_free(&reading->held);
}

/* ---- as libcurl's way reads heads ---- */

static void compare_with_lines(const struct reading *whole, const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(512, answer_most_bytes(&limits));
    struct buf story = buf_new(STORY_BYTES);
    struct str rest = str_at((const char *)data, size);
    enum answer_step step = ANSWER_MORE;
    struct answer answer;

    CHECK(arena != NULL);
    answer_begin(&answer, arena, &limits);
    while (rest.len > 0 && (step == ANSWER_MORE || step == ANSWER_INTERIM)) {
        size_t len = str_find(rest, '\n');

        if (len == rest.len)
            break;
        step = answer_line(&answer, str_at(rest.ptr, len + 1));
        rest = str_from(rest, len + 1);
        if (step == ANSWER_INTERIM)
            buf_addf(&story, "{interim %d}", answer.status);
        if (step == ANSWER_HEAD)
            buf_addf(&story, "{head %d keeps %d}", answer.status, whole->parser.keeps);
        if (step == ANSWER_INTERIM || step == ANSWER_HEAD)
            for (uint32_t i = 0; i < answer.fields.count; i++) {
                tell(&story, "name", answer.fields.at[i].name);
                tell(&story, "value", answer.fields.at[i].value);
            }
    }
    /* theirs counts a folded value's bytes again with each fold; ours counts its lines, and looks
     * at the fields of a 1xx */
    if (step == ANSWER_HEAD)
        CHECK(whole->had_head || whole->last == H1_TOO_LARGE || answer.interims > 0);
    if (whole->had_head && whole->parser.status != 101) {
        CHECK(step == ANSWER_HEAD || step == ANSWER_TOO_LARGE);
        CHECK(step != ANSWER_HEAD || (whole->story.len >= story.len &&
                                      memcmp(whole->story.ptr, story.ptr, story.len) == 0));
    }
    buf_free(&story);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading whole, pieces;
    size_t step, at = 0;

    if (size < 2)
        return 0;
    begin(&whole, data[0]);
    begin(&pieces, data[0]);
    pieces.skips_body = (data[0] & 4) != 0;
    step = data[1] % 61u + 1;
    data += 2;
    size -= 2;
    give(&whole, data, size);
    while (at < size && !is_over(&pieces)) {
        size_t len = step < size - at ? step : size - at;

        give(&pieces, data + at, len);
        at += len;
    }
    if (size == 0)
        give(&pieces, data, 0);
    CHECK(is_over(&whole) == is_over(&pieces));
    CHECK(!is_over(&whole) || whole.last == pieces.last ||
          (whole.last != H1_END && pieces.last != H1_END)); /* refused, for one reason or another */
    CHECK(
        whole.story.len == pieces.story.len &&
        (whole.story.len == 0 || memcmp(whole.story.ptr, pieces.story.ptr, whole.story.len) == 0));
    CHECK(whole.body.len == pieces.body.len &&
          (whole.body.len == 0 || memcmp(whole.body.ptr, pieces.body.ptr, whole.body.len) == 0));
    CHECK(h1_parse_ends_here(&whole.parser) == h1_parse_ends_here(&pieces.parser) ||
          whole.last != H1_MORE);
    compare_with_lines(&whole, data, size);
    finish(&whole);
    finish(&pieces);
    return 0;
}
