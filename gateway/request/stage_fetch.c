/* stage_fetch.c - ask the upstream, or wait for somebody who does.
 *
 * The exchange belongs to the request that started it, but not to its client: when
 * the client leaves, it goes on while others read, or while it is being stored. Its end drops
 * the last reference. Worker's thread; callbacks come from the loop. */
#include "request/request_priv.h"

static const struct upstream_handler handler;

/* ---- the body on its way up ---- */

static ptrdiff_t on_read(void *arg, char *to, size_t room)
{
    struct request *r = arg;
    struct body_buffer *body = &r->body;
    size_t taken = body->len < room ? body->len : room;
    size_t first =
        REQUEST_BODY_ROOM - body->start < taken ? REQUEST_BODY_ROOM - body->start : taken;

    if ((r->is_finished && r->collected.phase != COLLECT_WHOLE) || body->discards)
        return CLIENT_READ_ABORT;
    if (r->collected.sent < r->collected.bytes.len)
        return (ptrdiff_t)collect_read(r, to, room);
    if (taken == 0) {
        if (body->ended)
            return CLIENT_READ_END;
        body->reader_waits = true;
        return CLIENT_READ_WAIT;
    }
    memcpy(to, body->bytes + body->start, first);
    memcpy(to + first, body->bytes, taken - first);
    body->start = (body->start + taken) % REQUEST_BODY_ROOM;
    body->len -= taken;
    if (r->mirror != NULL)
        mirror_body(r, str_at(to, taken));
    if (body->writer_waits) {
        body->writer_waits = false;
        request_wake(r);
    }
    return (ptrdiff_t)taken;
}

/* ---- the answer on its way down ---- */

static void note_result(struct request *r, const struct upstream_result *result)
{
    r->fetch.target_name = result->target;
    r->fetch.attempts = result->attempts;
    r->fetch.first_byte_us = result->first_byte_us;
    r->fetch.kind = result->kind;
    r->fetch.retry_after_s = result->retry_after_s;
    r->fetch.reason = result->reason;
}

/* 100 answers an expectation that we met ourselves; a client of HTTP/1.0 knows no interim answers;
 * and nothing may leave while the library still reads the request (RFC 9110 §15.2). */
static bool tell_interim(struct request *r, int status, const struct http_fields *fields)
{
    struct http_fields passed;

    if (r->is_finished || r->fetch.is_answered || r->io->interim == NULL ||
        r->facts.version != HTTP_1_1 || (r->facts.has_body && !r->body.ended))
        return false;
    return http_forward_answer(fields, r->arena, &passed) &&
           r->io->interim(r->io_arg, status, &passed);
}

static void on_interim(void *arg, int status, const struct http_fields *fields)
{
    struct request *r = arg;
    struct str outcome;

    if (status == 100)
        return;
    outcome = tell_interim(r, status, fields) ? STR("passed") : STR("dropped");
    count_series(r->context, M_INTERIM, 1, &outcome);
}

static void on_head(void *arg, int status, const struct http_fields *fields,
                    const struct http_answer_facts *facts, const struct upstream_result *so_far)
{
    struct request *r = arg;
    struct str type = http_fields_get(fields, HTTP_CONTENT_TYPE);

    note_result(r, so_far);
    if (status == 101 || str_starts(type, STR("text/event-stream")))
        upstream_is_stream(r->fetch.exchange, r->config->server.stream_idle_timeout_ms);
    fetch_on_head(r, status, fields, facts);
    if (r->fetch.fill != NULL && fetch_is_for_nobody(r)) { /* those who waited go for themselves */
        fetch_drop(r, FLIGHT_GO);
        return;
    }
    /* After such an answer nothing more is sent upstream, and none can leave before the body is in:
     * the rest is thrown away. (An upstream that goes on reading after a 2xx gets all of it.) */
    if (status >= 300 && r->facts.has_body && !r->body.ended)
        r->body.discards = true;
    if (r->body.writer_waits) {
        r->body.writer_waits = false;
        request_wake(r);
    }
}

static bool on_body(void *arg, struct str bytes)
{
    struct request *r = arg;
    bool is_taken = true; /* without a fill the client had an entry or an error in its place */

    if (r->fetch.fill != NULL)
        is_taken = fill_write(r->fetch.fill, bytes);
    if (fetch_is_for_nobody(r)) {
        fetch_drop(r, FLIGHT_GO);
        return true;
    }
    return is_taken;
}

/* Straight from the socket to where readers find it. */
static char *on_place(void *arg, size_t *room)
{
    struct request *r = arg;

    *room = 1;
    return r->fetch.fill != NULL ? fill_place(r->fetch.fill, room) : NULL;
}

static void on_placed(void *arg, size_t len)
{
    struct request *r = arg;

    fill_placed(r->fetch.fill, len);
    if (fetch_is_for_nobody(r))
        fetch_drop(r, FLIGHT_GO);
}

static void on_trailers(void *arg, const struct http_fields *fields)
{
    struct request *r = arg;

    if (r->fetch.fill != NULL)
        fill_trailers(r->fetch.fill, fields);
}

/* Who was turned away without being tried, and why. */
static void count_shed(struct request *r)
{
    struct str cause = STR_NONE;

    if (r->fetch.kind == UPSTREAM_OVERLOAD)
        cause = STR("max_requests");
    else if (r->fetch.kind == UPSTREAM_SHED)
        cause = STR("adaptive");
    else if (r->fetch.kind == UPSTREAM_BREAKER)
        cause = STR("breaker");
    if (cause.ptr != NULL)
        count_series(r->context, M_SHED, 1, &cause);
}

static void count_end(struct request *r)
{
    struct str upstream = r->upstream->name;
    struct str values[] = {upstream, str_of(upstream_kind_name(r->fetch.kind))};

    if (r->fetch.kind == UPSTREAM_OK)
        return;
    count_series(r->context, M_UPSTREAM_ERRORS, COUNT_OF(values), values);
    count_shed(r);
}

static void on_done(void *arg, const struct upstream_result *result)
{
    struct request *r = arg;
    struct cache_replaced replaced;
    bool had_head = r->fetch.is_answered || r->fetch.fill != NULL;

    note_result(r, result);
    r->fetch.exchange = NULL;
    r->fetch.is_done = true;
    count_end(r);
    fetch_leave_orphans(r);
    if (r->fetch.fill != NULL) {
        if (result->kind != UPSTREAM_OK) {
            fill_fail(&r->fetch.fill);
            r->cache.stored = false;
        } else if (fill_end_over(&r->fetch.fill, &replaced)) {
            r->cache.stored = true;
            fetch_saw_other(r, &replaced);
            part_on_stored(r);
            picture_on_stored(r);
            second_put(r);
        }
    } else if (!had_head) {
        fetch_on_failure(r);
    }
    fetch_close_flight(r, FLIGHT_RETRY, false);
    if (r->body.writer_waits) {
        r->body.writer_waits = false;
        request_wake(r);
    }
    request_release(r);
}

/* The usual end of a try. */
static void count_tried_well(struct request *r, struct str target)
{
    struct tried_cell *kept = &r->cells->tried[((uintptr_t)target.ptr >> 4) % TRIED_CELLS];

    if (kept->target != target.ptr) {
        struct str values[] = {r->upstream->name, target, STR("ok")};

        kept->cell =
            metrics_series(r->context->sheet, M_UPSTREAM_REQUESTS, COUNT_OF(values), values);
        kept->target = target.ptr;
    }
    cell_add(kept->cell, 1);
}

static void on_tried(void *arg, const struct upstream_try *ended)
{
    struct request *r = arg;
    struct str upstream = r->upstream->name;
    struct str values[] = {upstream, ended->target,
                           ended->kind != UPSTREAM_OK ? STR("error") : STR("5xx")};

    try_ends(r, ended);
    if (ended->kind == UPSTREAM_OK && ended->status < 500)
        count_tried_well(r, ended->target);
    else
        count_series(r->context, M_UPSTREAM_REQUESTS, COUNT_OF(values), values);
    if (ended->will_retry)
        count_series(r->context, M_UPSTREAM_RETRIES, 1, &upstream);
}

static const struct upstream_handler handler = {
    .interim = on_interim,
    .head = on_head,
    .body = on_body,
    .trailers = on_trailers,
    .read = on_read,
    .done = on_done,
    .trying = try_begins,
    .tried = on_tried,
    .place = on_place,
    .placed = on_placed,
};

/* ---- the start ---- */

/* A stored answer is to be confirmed: our validators take the place of the client's. */
static bool add_validators(struct request *r, struct http_fields *fields)
{
    static const enum http_name replaced[] = {HTTP_IF_NONE_MATCH, HTTP_IF_MODIFIED_SINCE,
                                              HTTP_IF_MATCH,      HTTP_IF_UNMODIFIED_SINCE,
                                              HTTP_RANGE,         HTTP_IF_RANGE};
    struct http_validators stored = cache_entry_validators(r->cache.entry);
    struct str modified = cache_entry_field(r->cache.entry, HTTP_LAST_MODIFIED);

    if (stored.etag.ptr == NULL && stored.last_modified_s == HTTP_NO_TIME)
        return true;
    r->cache.validates = true;
    for (size_t i = 0; i < COUNT_OF(replaced); i++)
        (void)http_fields_remove(fields, replaced[i]);
    if (stored.etag.ptr != NULL && !http_fields_add_id(fields, HTTP_IF_NONE_MATCH, stored.etag))
        return false;
    return stored.last_modified_s == HTTP_NO_TIME ||
           http_fields_add_id(fields, HTTP_IF_MODIFIED_SINCE, modified);
}

/* The target has lost it before the look-up. */
static bool hide_credential(struct request *r, struct http_fields *fields)
{
    struct str no_query = STR_NONE;

    if (!r->config->identity.api_key.hide || !r->who.credential_seen)
        return true;
    return identify_hide_credential(request_rules_identify(r->crules->rules), fields, &no_query,
                                    r->arena);
}

static bool gather_fields(struct request *r, struct http_fields *fields)
{
    struct http_peer peer = {
        .address = r->who.address,
        .socket = r->arrival.peer,
        .is_trusted = r->who.peer_is_trusted,
        .is_tls = r->arrival.is_tls,
        .host = r->facts.authority,
        .traceparent = trace_parent(r),
    };

    if (!http_forward_request(&r->head.fields, &peer, r->id, r->facts.version, r->arena, fields))
        return false;
    if (r->cache.entry != NULL && str_eq(r->head.method, STR("GET")) && !add_validators(r, fields))
        return false;
    if (r->cache.completes && !part_add_range(r, fields))
        return false;
    return hide_credential(r, fields) && authorize_tell(r, fields) &&
           identify_forward(request_rules_identify(r->crules->rules), &r->who.caller, fields) &&
           (!r->route->edits_requests || route_request_fields(r, fields));
}

/* An empty body that was announced is announced again: many a server refuses a POST without a
 * length (RFC 9110 §8.6). */
static enum client_body body_kind(const struct request *r)
{
    /* a HEAD's content means nothing (RFC 9110 §9.3.2), and libcurl cannot send it: it ends here */
    if (str_eq(r->head.method, STR("HEAD")))
        return CLIENT_BODY_NONE;
    if (r->facts.has_body)
        return r->facts.is_chunked ? CLIENT_BODY_CHUNKED : CLIENT_BODY_SIZED;
    if (http_method_is_safe(r->head.method) ||
        http_fields_count_of(&r->head.fields, HTTP_CONTENT_LENGTH) == 0)
        return CLIENT_BODY_NONE;
    return CLIENT_BODY_SIZED;
}

/* ---- the exchange ---- */

bool fetch_start(struct request *r)
{
    const struct upstream_config *upstream = r->upstream;
    struct http_fields fields;
    struct upstream_request request;

    if (!gather_fields(r, &fields) || (r->asks_tunnel && !tunnel_add_fields(&fields)))
        return false;
    request = (struct upstream_request){
        .upstream = upstream,
        .method = r->head.method,
        .path = r->upstream_target,
        .client_host = r->facts.authority,
        .fields = &fields,
        .body = body_kind(r),
        .body_length = r->facts.content_length,
        .timeout_ms = r->route->timeout_ms >= 0 ? r->route->timeout_ms : upstream->timeout_ms,
        .upgrades = r->asks_tunnel,
        .has_idempotency_key = http_fields_count_of(&r->head.fields, HTTP_IDEMPOTENCY_KEY) > 0,
        .hash_key = fetch_hash_key(r),
        .share = fetch_share(r),
    };
    r->body.discards = r->facts.has_body && request.body == CLIENT_BODY_NONE;
    r->collected.sent = 0;
    r->fetch.started_us = loop_now_us(r->context->loop);
    r->fetch.sent_wall_s = loop_wall_us(r->context->loop) / 1000000;
    second_note_place(r);
    r->fetch.stamp = cache_stamp(r->context->shared->cache);
    request_hold(r);
    r->fetch.exchange = upstream_start(r->context->pool, &request, &handler, r);
    if (r->fetch.exchange == NULL) {
        request_release(r);
        return false;
    }
    r->fetch.is_on = true;
    if (r->route->mirror.upstream != NULL)
        mirror_request(r, &fields, &request);
    return true;
}

/* ---- the step ---- */

static void on_told(void *arg, enum flight_outcome outcome, struct fill_reader *reader)
{
    struct request *r = arg;

    r->cache.is_following = false;
    r->cache.outcome = outcome;
    r->reader = reader;
    request_wake(r);
}

static void on_wake(void *arg)
{
    request_wake(arg);
}

static enum step start(struct request *r)
{
    if (fetch_start(r))
        return STEP_WAIT;
    fetch_close_flight(r, FLIGHT_RETRY, false);
    return reply_out_of_memory(r);
}

/* What other gateways have first. */
static enum step ask_or_start(struct request *r)
{
    return second_ask(r) ? STEP_WAIT : start(r);
}

/* The second level has spoken. */
static enum step go_on_after_second(struct request *r)
{
    bool is_found = r->fetch.second == SECOND_FOUND;

    r->fetch.second = SECOND_OVER;
    if (!is_found)
        return start(r);
    fetch_close_flight(r, FLIGHT_RETRY, false);
    r->cache.detail = "l2";
    return STEP_LOOKUP;
}

static enum step join(struct request *r)
{
    struct lookup *c = &r->cache;

    if (!c->is_keyed || c->is_alone || c->status == CACHE_BYPASS)
        return ask_or_start(r);
    c->wait.loop = r->context->loop;
    c->wait.told = on_told;
    c->wait.wake = on_wake;
    c->wait.arg = r;
    switch (cache_join(r->context->shared->cache, &c->key, loop_now_us(r->context->loop), &c->wait,
                       &r->fetch.lead)) {
    case FLIGHT_LEAD:
        /* The flight before may have ended between our look-up and this. */
        if (c->tries < REQUEST_RETRIES && lookup_has_changed(r)) {
            c->tries++;
            fetch_close_flight(r, FLIGHT_RETRY, false);
            return STEP_LOOKUP;
        }
        return ask_or_start(r);
    case FLIGHT_ALONE: /* what could not be shared here is not in the second level either */
        return start(r);
    case FLIGHT_FOLLOW:
        break;
    }
    c->is_following = true;
    c->collapsed = true;
    return STEP_WAIT;
}

/* The leader has spoken. */
static enum step follow(struct request *r)
{
    struct lookup *c = &r->cache;

    switch (c->outcome) {
    case FLIGHT_READ:
        if (fill_reader_fits(r->reader, &r->head.fields, r->config->cache.normalize_vary,
                             r->arena)) {
            cell_add(r->context->collapsed, 1);
            return reply_reader(r);
        }
        fill_detach(&r->reader);
        break;
    case FLIGHT_RETRY:
        if (++c->tries <= REQUEST_RETRIES) {
            c->collapsed = false;
            return STEP_LOOKUP;
        }
        break;
    case FLIGHT_FAILED: /* one attempt is enough for all who have something to show */
        if (c->entry != NULL &&
            lookup_serves_stale(r, cache_entry_meta(c->entry).stale_if_unreachable_s))
            return reply_entry(r, c->entry, CACHE_STALE);
        break;
    case FLIGHT_GO:
        break;
    }
    c->collapsed = false;
    c->is_alone = true;
    return start(r);
}

enum step stage_fetch(struct request *r)
{
    if (r->fetch.is_answered)
        return r->reader != NULL ? reply_reader(r) : STEP_ANSWER;
    if (r->fetch.starts_over) {
        r->fetch.starts_over = false;
        return start(r);
    }
    if (r->fetch.second == SECOND_FOUND || r->fetch.second == SECOND_NOTHING)
        return go_on_after_second(r);
    if (r->fetch.is_on || r->fetch.read != NULL || r->cache.is_following)
        return STEP_WAIT;
    return r->cache.collapsed ? follow(r) : join(r);
}
