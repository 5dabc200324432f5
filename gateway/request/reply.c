/* reply.c - the answer's head and body, from an entry, from a fill, or our own words.
 *
 * Rate-limit fields, the request id and the cache's status are computed for each answer and
 * never stored with an entry. All memory is the request's arena. Worker's thread. */
#include "request/request_priv.h"

#include <stdatomic.h>

bool reply_field(struct request *r, enum http_name name, struct str value)
{
    return value.ptr != NULL && http_fields_add_id(&r->out, name, value);
}

struct str reply_number(struct request *r, uint64_t value)
{
    char *text = arena_take(r->arena, U64_DIGITS);

    return text != NULL ? str_at(text, u64_write(text, value)) : STR_NONE;
}

struct buf *reply_draft(struct request *r)
{
    buf_clear(&r->context->text);
    return &r->context->text;
}

struct str reply_keep(struct request *r)
{
    const struct buf *text = &r->context->text;

    return text->is_broken ? STR_NONE : arena_copy(r->arena, buf_str(text));
}

static struct str shown_status(enum cache_status status)
{
    switch (status) {
    case CACHE_HIT:
        return STR("HIT");
    case CACHE_MISS:
        return STR("MISS");
    case CACHE_EXPIRED:
        return STR("EXPIRED");
    case CACHE_REVALIDATED:
        return STR("REVALIDATED");
    case CACHE_STALE:
        return STR("STALE");
    case CACHE_UPDATING:
        return STR("UPDATING");
    case CACHE_BYPASS:
        return STR("BYPASS");
    case CACHE_OFF:
    case CACHE_STATUSES:
        break;
    }
    return STR_NONE;
}

static bool add_cache_fields(struct request *r)
{
    const struct lookup *c = &r->cache;
    bool is_hit = c->status == CACHE_HIT || c->status == CACHE_STALE || c->status == CACHE_UPDATING;
    struct http_cache_status status = {
        .hit = is_hit,
        .stored = c->stored,
        .collapsed = c->collapsed,
        .fwd = is_hit ? NULL : c->fwd,
        .fwd_status = c->fwd_status,
        .detail = c->detail,
    };

    if (c->entry != NULL && c->status != CACHE_EXPIRED) {
        status.has_ttl = true;
        status.ttl_s = cache_entry_ttl_s(c->entry, loop_now_us(r->context->loop));
    }
    return http_cache_status_write(reply_draft(r), &status) &&
           reply_field(r, HTTP_X_CACHE_STATUS, shown_status(c->status)) &&
           (c->match == NULL || http_fields_add(&r->out, STR("X-Cache-Match"), str_of(c->match))) &&
           reply_field(r, HTTP_CACHE_STATUS, reply_keep(r));
}

bool reply_common(struct request *r)
{
    r->answer.fields = &r->out;
    if (atomic_load_explicit(&r->context->shared->is_draining, memory_order_relaxed))
        r->answer.closes = true;
    if (!reply_field(r, HTTP_X_REQUEST_ID, r->id))
        return false;
    if (r->is_limited && !reply_limit_fields(r))
        return false;
    if (r->cache.status != CACHE_OFF && !add_cache_fields(r))
        return false;
    if (r->route != NULL && r->route->edits_answers && !route_answer_fields(r))
        return false;
    return !r->is_explained || explain_answer(r);
}

/* ---- our own words ---- */

static void start_over(struct request *r, int status)
{
    bool closes = r->answer.closes;

    r->out.count = 0;
    r->answer = (struct request_answer){.status = status, .closes = closes, .fields = &r->out};
}

enum step reply_out_of_memory(struct request *r)
{
    /* Nothing of this may need memory: one static body, no field. */
    start_over(r, 503);
    r->answer.closes = true;
    r->answer.body = REQUEST_BODY_MEMORY;
    r->answer.bytes =
        STR("{\"error\":\"Service Unavailable\",\"message\":\"Out of memory.\",\"status\":503,"
            "\"request_id\":\"-\"}\n");
    r->answer.has_length = true;
    r->answer.length = r->answer.bytes.len;
    r->reason = "memory";
    return STEP_ANSWER;
}

static enum step finish_text(struct request *r, struct str content_type, struct str body)
{
    if (body.ptr == NULL || !reply_field(r, HTTP_CONTENT_TYPE, content_type) || !reply_common(r))
        return reply_out_of_memory(r);
    if (r->cache.status != CACHE_HIT && http_fields_count_of(&r->out, HTTP_VIA) == 0 &&
        !reply_field(r, HTTP_VIA, STR("1.1 gateway")))
        return reply_out_of_memory(r);
    r->answer.has_length = true;
    r->answer.length = body.len;
    r->answer.bytes = body;
    r->answer.body = str_eq(r->head.method, STR("HEAD")) ? REQUEST_BODY_EMPTY : REQUEST_BODY_MEMORY;
    return STEP_ANSWER;
}

enum step reply_text(struct request *r, int status, struct str content_type, struct str body)
{
    start_over(r, status);
    return finish_text(r, content_type, body);
}

enum step reply_empty(struct request *r, int status)
{
    start_over(r, status);
    if (!reply_field(r, HTTP_VIA, STR("1.1 gateway")) || !reply_common(r))
        return reply_out_of_memory(r);
    r->answer.has_length = true;
    r->answer.body = REQUEST_BODY_EMPTY;
    return STEP_ANSWER;
}

enum step reply_problem(struct request *r, int status, const char *reason, const char *message,
                        struct str extra)
{
    bool as_problem = http_accepts_problem(&r->head.fields);
    struct http_problem problem = {
        .status = status,
        .error = status == 429 ? "Rate limit exceeded" : NULL,
        .message = str_of(message),
        .request_id = r->id,
        .extra = extra,
    };
    struct str body = STR_NONE;

    start_over(r, status);
    r->reason = reason;
    if (http_problem_write(reply_draft(r), &problem, as_problem))
        body = reply_keep(r);
    if (!http_fields_add(&r->out, STR("X-Content-Type-Options"), STR("nosniff")))
        return reply_out_of_memory(r);
    return finish_text(r, as_problem ? STR("application/problem+json") : STR("application/json"),
                       body);
}

static enum step reply_not_acceptable(struct request *r)
{
    return reply_problem(r, 406, "not_acceptable",
                         "The answer cannot be given in any content coding that is accepted.",
                         STR_NONE);
}

/* ---- from an entry ---- */

static bool is_about_the_body(enum http_name id)
{
    return id == HTTP_CONTENT_TYPE || id == HTTP_CONTENT_ENCODING || id == HTTP_CONTENT_LANGUAGE ||
           id == HTTP_CONTENT_RANGE;
}

static bool add_entry_fields(struct request *r, const struct http_fields *fields, bool whole)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];

        if ((!whole && is_about_the_body(field->id)) || http_is_tag_field(field->id))
            continue;
        if (!http_fields_add_field(&r->out, field))
            return false;
    }
    return true;
}

static bool add_content_range(struct request *r, const struct http_range *range, uint64_t size)
{
    return reply_field(r, HTTP_CONTENT_RANGE,
                       arena_printf(r->arena, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
                                    range->first, range->last, size));
}

/* Of a stored part, what of it was asked for; one that is not what its Content-Range says goes as
 * it is, to the Range that brought it. */
static bool apply_part(struct request *r, const struct stored *part)
{
    struct str body = part->meta.body;
    struct http_content_range has;
    struct http_range range;

    if (!http_content_range_parse(&part->fields, &has) || has.last - has.first + 1 != body.len ||
        http_range_parse(&r->head.fields, &part->validators, has.size, &range) != HTTP_RANGE_ONE ||
        range.first < has.first || range.last > has.last)
        return true;
    (void)http_fields_remove(&r->out, HTTP_CONTENT_RANGE);
    r->answer.bytes = str_at(body.ptr + (range.first - has.first), range.last - range.first + 1);
    return add_content_range(r, &range, has.size);
}

/* One range of a stored 200; else the whole. */
static bool apply_range(struct request *r, const struct stored *stored)
{
    const struct cache_meta *meta = &stored->meta;
    struct http_range range;

    if (meta->status == 206)
        return apply_part(r, stored);
    if (meta->status != 200 || !str_eq(r->head.method, STR("GET")))
        return true;
    switch (http_range_parse(&r->head.fields, &stored->validators, meta->body.len, &range)) {
    case HTTP_RANGE_NONE:
        return true;
    case HTTP_RANGE_UNSATISFIABLE:
        r->answer.status = 416;
        r->answer.bytes = STR("");
        return reply_field(r, HTTP_CONTENT_RANGE,
                           arena_printf(r->arena, "bytes */%zu", meta->body.len));
    case HTTP_RANGE_ONE:
        break;
    }
    r->answer.status = 206;
    r->answer.bytes = str_at(meta->body.ptr + range.first, range.last - range.first + 1);
    return add_content_range(r, &range, meta->body.len);
}

enum step reply_entry(struct request *r, struct cache_entry *entry, enum cache_status status)
{
    struct stored stored = {.entry = entry,
                            .meta = cache_entry_meta(entry),
                            .validators = cache_entry_validators(entry)};
    uint64_t now_us = loop_now_us(r->context->loop);
    int64_t age_s = cache_entry_age_s(entry, now_us);
    bool is_head = str_eq(r->head.method, STR("HEAD"));
    bool is_unmodified =
        stored.meta.status == 200 && !r->cache.is_by_body &&
        http_evaluate(&r->head.fields, &stored.validators,
                      loop_wall_us(r->context->loop) / 1000000) == HTTP_COND_NOT_MODIFIED;

    r->cache.status = status;
    if (!cache_entry_fields(entry, r->arena, &stored.fields))
        return reply_out_of_memory(r);
    if (!coding_of_entry(r, &stored))
        return reply_not_acceptable(r);
    start_over(r, is_unmodified ? 304 : stored.meta.status);
    if (status == CACHE_HIT) {
        cache_entry_count_hit(entry);
        advise_saw_hit(r->cells->seen, age_s > 0 ? (uint64_t)age_s * 1000000 : 0);
    }
    r->answer.bytes = r->coding.is_wanted ? r->coding.whole : stored.meta.body;
    if (!add_entry_fields(r, &stored.fields, !is_unmodified) || !coding_fields(r) ||
        !reply_field(r, HTTP_AGE, reply_number(r, (uint64_t)(age_s < 0 ? 0 : age_s))) ||
        (!is_unmodified && !apply_range(r, &stored)) || !reply_common(r))
        return reply_out_of_memory(r);
    r->answer.has_length = true;
    r->answer.length = r->answer.bytes.len;
    r->answer.body =
        is_head || is_unmodified || !http_answer_has_body(r->head.method, r->answer.status)
            ? REQUEST_BODY_EMPTY
            : REQUEST_BODY_MEMORY;
    return STEP_ANSWER;
}

/* ---- from a fill ---- */

static void answer_whole(struct request *r, struct str body)
{
    r->answer.body = REQUEST_BODY_MEMORY;
    r->answer.bytes = body;
    r->answer.has_length = true;
    r->answer.length = body.len;
}

enum step reply_reader(struct request *r)
{
    const struct fill_head *head = fill_reader_head(r->reader);

    if (head->status == 101)
        return reply_tunnel(r, head);
    if (!coding_of_reader(r, head)) {
        fill_detach(&r->reader);
        return reply_not_acceptable(r);
    }
    start_over(r, head->status);
    for (uint32_t i = 0; i < head->fields->count; i++) {
        const struct http_field *field = &head->fields->at[i];

        if (r->cache.status != CACHE_OFF && http_is_tag_field(field->id))
            continue; /* words between the origin and this cache */
        if (!http_fields_add_field(&r->out, field))
            return reply_out_of_memory(r);
    }
    if (!coding_fields(r) || !reply_common(r))
        return reply_out_of_memory(r);
    r->answer.has_length = head->has_length && !r->coding.is_wanted;
    r->answer.length = head->length;
    if (!http_answer_has_body(r->head.method, head->status)) {
        r->answer.body = REQUEST_BODY_EMPTY;
    } else if (r->coding.codec != NULL) {
        r->answer.body = REQUEST_BODY_STREAM;
    } else if (r->coding.is_wanted) {
        answer_whole(r, r->coding.whole);
    } else if ((head->has_length || fill_reader_trailers(r->reader) == NULL) &&
               fill_reader_whole(r->reader, &r->answer.bytes)) { /* trailers need chunks */
        answer_whole(r, r->answer.bytes);
    } else {
        r->answer.body = REQUEST_BODY_STREAM;
    }
    return STEP_ANSWER;
}
