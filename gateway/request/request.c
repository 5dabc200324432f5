/* request.c - the door's side of one request: check, run, body, read, finish.
 *
 * What the server room calls, in the order in which a connection brings it. A request ends with
 * request_finish(), which logs it exactly once; the struct may live on while its fetch
 * goes on for others. Worker's thread. */
#include "request/request_priv.h"

#include <stdatomic.h>
#include <stdlib.h>

struct arena *request_arena(struct request *request)
{
    return request->arena;
}

struct http_request_head *request_head(struct request *request)
{
    return &request->head;
}

bool request_has_body(const struct request *request)
{
    return request->facts.has_body;
}

bool request_body_is_coming(const struct request *request)
{
    return request->facts.has_body && !request->facts.expects_continue;
}

static void choose_id(struct request *r)
{
    struct str given = http_fields_get(&r->head.fields, HTTP_X_REQUEST_ID);
    char *fresh;

    if (given.ptr != NULL && http_request_id_is_sane(given)) {
        r->id = given;
        return;
    }
    fresh = arena_take(r->arena, 37);
    if (fresh == NULL) {
        r->id = STR("-");
        return;
    }
    uuid7_write(fresh, loop_wall_us(r->context->loop));
    r->id = str_at(fresh, 36);
}

static enum http_refusal judge(struct request *r)
{
    const struct server_config *server = &r->config->server;
    struct http_limits limits = {server->max_headers, server->max_header_bytes,
                                 server->max_uri_bytes};
    enum http_refusal refusal = http_check_request(&r->head, &limits, &r->facts);

    if (refusal == HTTP_SOUND && r->arrival.has_hidden_bytes)
        refusal = HTTP_HIDDEN_BYTES;
    if (refusal != HTTP_SOUND)
        return refusal;
    r->target = http_split_target(r->facts.origin_form);
    if (str_eq(r->facts.origin_form, STR("*"))) {
        r->path = STR("*");
        return HTTP_SOUND;
    }
    return http_normalize_path(r->arena, r->target.path, &r->path);
}

/* Only the gateway says whose certificate it saw (RFC 9440 §4): clients' own words are dropped. */
static bool tell_certificate(struct request *r)
{
    struct http_fields *fields = &r->head.fields;

    http_fields_remove(fields, HTTP_CLIENT_CERT);
    http_fields_remove(fields, HTTP_CLIENT_CERT_CHAIN);
    return r->arrival.client_cert.len == 0 ||
           http_fields_add_id(fields, HTTP_CLIENT_CERT, r->arrival.client_cert);
}

/* Is the message's syntax sound, so that the connection may go on after the refusal? */
static bool is_well_framed(const struct request *r)
{
    return (r->refusal == HTTP_TRACE_REFUSED || r->refusal == HTTP_PATH_CONFUSION) &&
           !r->facts.has_body && !http_fields_count_of(&r->head.fields, HTTP_CONTENT_LENGTH) &&
           !http_fields_count_of(&r->head.fields, HTTP_TRANSFER_ENCODING);
}

/* When libmicrohttpd finds a body malformed, it may end the connection, and the memory in which
 * the head lies, before we hear of the request's end. */
static enum request_next take_head(struct request *r)
{
    if (tell_certificate(r) && (!r->facts.has_body || request_keep_head(r)))
        return REQUEST_GOES_ON;
    (void)reply_out_of_memory(r);
    r->is_answered = true;
    r->answer.closes = true;
    r->facts.has_body = false;
    return REQUEST_ANSWERS;
}

enum request_next request_check(struct request *request, const struct request_arrival *arrival)
{
    struct request *r = request;
    struct http_refusal_text text;
    struct str slug;

    r->arrival = *arrival;
    choose_id(r);
    trace_request(r);
    r->walk = arrival->is_admin ? &walk_system : &walk_limit_first;
    r->refusal = judge(r);
    if (r->refusal == HTTP_SOUND)
        return take_head(r);
    text = http_refusal_text(r->refusal);
    slug = str_of(text.slug);
    count_series(r->context, M_REJECTED, 1, &slug);
    (void)reply_problem(r, text.status, text.slug, text.message, STR_NONE);
    if (r->refusal == HTTP_TRACE_REFUSED || r->refusal == HTTP_CONNECT_REFUSED)
        (void)reply_field(r, HTTP_ALLOW, STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    r->is_answered = true;
    if (is_well_framed(r))
        return REQUEST_GOES_ON;
    r->answer.closes = true;
    r->facts.has_body = false;
    return REQUEST_ANSWERS;
}

enum request_next request_run(struct request *request)
{
    if (request->is_answered)
        return REQUEST_ANSWERS;
    return walk_on(request);
}

static bool is_question(const struct request *r)
{
    return r->takes_question_body;
}

uint64_t request_body_limit(const struct request *r)
{
    if (is_question(r))
        return REQUEST_SYSTEM_BODY;
    return r->route != NULL ? r->route->max_body_bytes : r->config->server.max_body_bytes;
}

static ptrdiff_t body_too_large(struct request *r)
{
    struct str slug = STR("body_too_large");

    count_series(r->context, M_REJECTED, 1, &slug);
    if (!r->is_answered) {
        r->fetch.is_answered = true;
        (void)reply_problem(r, 413, "body_too_large",
                            "The request body is larger than this route allows.", STR_NONE);
        r->is_answered = true;
    }
    r->answer.closes = true;
    if (r->fetch.exchange != NULL)
        upstream_resume_body(r->fetch.exchange); /* its read callback sees the refusal and aborts */
    r->body.discards = true;
    return REQUEST_BODY_REFUSED;
}

ptrdiff_t request_body(struct request *request, struct str bytes)
{
    struct request *r = request;
    struct body_buffer *body = &r->body;
    size_t at, first, taken;

    if (body->received + bytes.len > request_body_limit(r))
        return body_too_large(r);
    if (is_question(r)) {
        body->received += bytes.len;
        return buf_add_str(&r->system.text, bytes) ? (ptrdiff_t)bytes.len : body_too_large(r);
    }
    if (body->discards || r->fetch.is_done) {
        body->received += bytes.len;
        return (ptrdiff_t)bytes.len;
    }
    if (r->collected.phase == COLLECT_TAKES && collect_take(r, bytes)) {
        body->received += bytes.len;
        return (ptrdiff_t)bytes.len;
    }
    if (r->is_answered) { /* the walk went on without the whole body, and ended */
        r->answer.closes = true;
        body->discards = true;
        return REQUEST_BODY_REFUSED;
    }
    if (body->bytes == NULL)
        body->bytes = malloc(REQUEST_BODY_ROOM);
    if (body->bytes == NULL)
        return body_too_large(r);
    taken = REQUEST_BODY_ROOM - body->len;
    if (taken > bytes.len)
        taken = bytes.len;
    at = (body->start + body->len) % REQUEST_BODY_ROOM;
    first = REQUEST_BODY_ROOM - at < taken ? REQUEST_BODY_ROOM - at : taken;
    memcpy(body->bytes + at, bytes.ptr, first);
    memcpy(body->bytes, bytes.ptr + first, taken - first);
    body->len += taken;
    body->received += taken;
    if (taken > 0 && body->reader_waits && r->fetch.exchange != NULL) {
        body->reader_waits = false;
        upstream_resume_body(r->fetch.exchange);
    }
    if (taken < bytes.len) {
        body->writer_waits = true;
        r->is_waiting = true;
    }
    return (ptrdiff_t)taken;
}

void request_body_end(struct request *request)
{
    request->body.ended = true;
    if (request->body.reader_waits && request->fetch.exchange != NULL) {
        request->body.reader_waits = false;
        upstream_resume_body(request->fetch.exchange);
    }
}

void request_timed_out(struct request *request, const struct request_arrival *arrival,
                       const char *reason)
{
    struct str slug = str_of(reason);

    if (request->id.ptr == NULL) { /* its head never came whole, so nobody has judged it */
        request->arrival = *arrival;
        choose_id(request);
    }
    count_series(request->context, M_TIMEOUTS, 1, &slug);
    if (!request->is_answered) {
        request->fetch.is_answered = true;
        (void)reply_problem(request, 408, reason, "The request did not arrive in time.", STR_NONE);
        request->is_answered = true;
    }
    request->answer.closes = true;
}

const struct request_answer *request_answer(struct request *request)
{
    CHECK(request->is_answered);
    return &request->answer;
}

ptrdiff_t request_read(struct request *request, char *to, size_t room)
{
    ptrdiff_t got = request->coding.codec != NULL ? coding_read(request, to, room)
                                                  : fill_read(request->reader, to, room);

    if (got == FILL_WAIT) {
        request->is_waiting = true;
        return REQUEST_READ_WAIT;
    }
    if (got == FILL_END)
        return REQUEST_READ_END;
    return got == FILL_ERROR ? REQUEST_READ_ERROR : got;
}

const struct http_fields *request_trailers(const struct request *request)
{
    return request->reader != NULL ? fill_reader_trailers(request->reader) : NULL;
}

void request_finish(struct request **request, enum request_outcome outcome, uint64_t bytes_in,
                    uint64_t bytes_out)
{
    struct request *r = *request;

    *request = NULL;
    if (r == NULL)
        return;
    r->is_finished = true;
    tunnel_finish(r);
    if (r->context->pool != NULL) {
        atomic_fetch_sub_explicit(&r->context->shared->in_flight, 1, memory_order_relaxed);
        cell_gauge_add(r->context->in_flight, -1);
    }
    limit_finish(r, bytes_in, bytes_out);
    observe(r, outcome, bytes_in, bytes_out);
    if (r->cache.is_following)
        flight_leave(&r->cache.wait);
    identify_wait_cancel(&r->identity_wait);
    limit_store_tier_cancel(&r->tier_ask);
    if (r->system.request != NULL)
        r->system.is_cancelled = true;
    else
        fill_detach(&r->system.stream);
    fill_detach(&r->reader);
    coding_end(r);
    authorize_cancel(r);
    job_cancel(r);
    mirror_drop(&r->mirror);
    collect_cancel(r);
    fetch_client_left(r);
    request_release(r);
}

void request_head_does_not_fit(struct request *request)
{
    fill_detach(&request->reader);
    coding_end(request);
    (void)reply_problem(request, 502, "pool_exhausted",
                        "The upstream's header fields are too large.", STR_NONE);
}

void request_close_after(struct request *request)
{
    request->answer.closes = true;
}

void request_refused_by_library(struct request *request, const struct request_arrival *arrival)
{
    struct str slug = STR("mhd_reject");

    request->arrival = *arrival;
    request->id = STR("-");
    count_series(request->context, M_REJECTED, 1, &slug);
    request->answer.status = 400;
    request->reason = "mhd_reject";
    request->is_answered = true;
}

void request_count_shed(struct request_context *context, const char *cause)
{
    struct str slug = str_of(cause);

    count_series(context, M_SHED, 1, &slug);
}

void request_count_timeout(struct request_context *context, const char *kind)
{
    struct str slug = str_of(kind);

    count_series(context, M_TIMEOUTS, 1, &slug);
}

void request_count_rejected(struct request_context *context, const char *reason)
{
    struct str slug = str_of(reason);

    count_series(context, M_REJECTED, 1, &slug);
}
