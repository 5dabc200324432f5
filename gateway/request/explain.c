/* explain.c - X-Gateway-Explain: 1, an operator's question about one request, answered on it.
 *
 * With the admin token as Bearer the answer carries the decision record as far as it is known
 * before the body: one line of JSON in ASCII. The token is no credential of the caller's: it is
 * taken out before identity is looked at, and no upstream sees it. Without the right one the
 * question is as if it had not come; http/forward.c keeps the field itself from
 * going on, in both directions. What has no such field pays one look. Worker's thread;
 * request_judge_token() any. */
#include "request/request_priv.h"

enum { GUESSES = 60, EXPLAIN_BYTES = 8 * 1024 };

static const struct window_set guesses = {
    .at = {{.name = {"wrong_tokens", 12},
            .kind = WINDOW_FIXED,
            .limit = GUESSES,
            .burst = GUESSES,
            .period_ms = 60000}},
    .count = 1,
};

/* ---- the token ---- */

struct str request_bearer(const struct http_fields *fields)
{
    struct str value = http_fields_get(fields, HTTP_AUTHORIZATION);
    size_t blank = str_find(value, ' ');

    if (value.ptr == NULL || http_fields_count_of(fields, HTTP_AUTHORIZATION) != 1 ||
        !str_ieq(str_at(value.ptr, blank), STR("Bearer")))
        return STR_NONE;
    return str_trim(str_from(value, blank));
}

static bool same_secret(struct str a, struct str b)
{
    char digests[2][65];

    hash_sha256_hex(a, digests[0]);
    hash_sha256_hex(b, digests[1]);
    return bytes_equal_constant_time(digests[0], digests[1], 64);
}

enum token_verdict request_judge_token(const struct request_shared *shared,
                                       const struct config *config, struct str given,
                                       struct str peer, struct str where, struct limit_time now)
{
    struct hash128 address = hash_sip128(&shared->seed, peer);
    struct limit_policy policy = {&guesses, limit_key(address, LIMIT_ROUTE_OF_CLIENT, where),
                                  address};
    struct limit_state state;

    if (config->admin.token.len == 0 || given.len == 0)
        return TOKEN_WRONG;
    limit_take(shared->limiter, &policy, 1, 0, now, &state);
    if (state.count > 0 && state.windows[0].remaining == 0)
        return TOKEN_TOO_MANY;
    if (same_secret(given, config->admin.token))
        return TOKEN_RIGHT;
    limit_take(shared->limiter, &policy, 1, 1, now, &state);
    return TOKEN_WRONG;
}

/* ---- the question ---- */

void explain_ask(struct request *r)
{
    struct str asked = http_fields_get(&r->head.fields, HTTP_X_GATEWAY_EXPLAIN), given;
    struct limit_time now;

    if (asked.ptr == NULL || r->is_warm)
        return;
    given = request_bearer(&r->head.fields);
    if (!str_eq(asked, STR("1")) || given.len == 0)
        return;
    now = (struct limit_time){loop_now_us(r->context->loop), loop_wall_us(r->context->loop)};
    if (request_judge_token(r->context->shared, r->config, given, r->arrival.peer,
                            STR("explain token"), now) != TOKEN_RIGHT)
        return;
    r->is_explained = true;
    (void)http_fields_remove(&r->head.fields, HTTP_AUTHORIZATION);
}

/* ---- the answer ---- */

/* `code` is one code point above ASCII; JSON writes those beyond the first plane as a pair. */
static void put_escaped(struct buf *out, uint32_t code)
{
    if (code < 0x10000) {
        buf_addf(out, "\\u%04x", (unsigned)code);
        return;
    }
    code -= 0x10000;
    buf_addf(out, "\\u%04x\\u%04x", (unsigned)(0xd800 | code >> 10),
             (unsigned)(0xdc00 | (code & 0x3ff)));
}

/* `text` is sound UTF-8: buf_add_json() has made it so. */
static void put_ascii(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len;) {
        uint32_t first = (unsigned char)text.ptr[i], more;

        if (first < 0x80) {
            buf_add_char(out, text.ptr[i++]);
            continue;
        }
        more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        first &= 0x3fu >> more;
        for (i++; more > 0 && i < text.len; i++, more--)
            first = first << 6 | ((unsigned char)text.ptr[i] & 0x3f);
        put_escaped(out, first);
    }
}

bool explain_answer(struct request *r)
{
    uint64_t now_us = loop_now_us(r->context->loop);
    struct request_end so_far = {.status = r->answer.status,
                                 .duration_us = now_us - r->arrival.started_us,
                                 .bytes_in = r->body.received};
    struct request_record *record = arena_zero(r->arena, sizeof(*record));
    struct buf text = buf_new(EXPLAIN_BYTES), ascii = buf_new(EXPLAIN_BYTES);
    struct str value = STR("{\"error\":\"too long\"}");

    if (record != NULL) {
        record_fill(record, r, &so_far);
        request_record_write(&text, record);
        put_ascii(&ascii, buf_str(&text));
        if (!text.is_broken && !ascii.is_broken)
            value = arena_copy(r->arena, buf_str(&ascii));
    }
    buf_free(&text);
    buf_free(&ascii);
    return record != NULL && value.ptr != NULL &&
           http_fields_set(&r->out, HTTP_X_GATEWAY_EXPLAIN, value);
}
