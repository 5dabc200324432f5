/* stage_job.c - routes that answer with a job's state, straight from the store.
 *
 * One answer; or, with ?wait=SECONDS, the first that is news to a client that says what it has in
 * If-None-Match; or, with Accept: text/event-stream, each change until the job is over. A stream is
 * written from what is newest when its client has room, so a slow one skips states in between; it
 * is told "degraded" when the store goes away, and goes on when that is back. Worker's thread;
 * callbacks come from the loop, and none after job_cancel(). */
#include "request/request_priv.h"

#include <stdio.h>

enum { MOST_WAIT_S = 60, HEARTBEAT_US = 15000000, PIECE = 16 * 1024 };

struct job_call {
    struct request *request;
    struct job_watch watch;
    struct deadline deadline; /* of the waiting, or the stream's heartbeat */
    enum job_state state;
    struct buf body; /* what is shown */
    char tag[35];    /* a quoted entity tag */
    bool is_over, is_sound, is_late, wants_stream;
    uint64_t wait_s;
    struct fill *fill; /* of a stream */
    struct buf event;  /* on its way */
    size_t event_at;
    bool is_news;     /* there is a state that the stream has not told */
    bool is_degraded; /* nothing is known at present, and the stream has not told */
};

void job_cancel(struct request *r)
{
    struct job_call *c = r->job;

    r->job = NULL;
    if (c == NULL)
        return;
    if (r->context->jobs != NULL)
        job_unwatch(r->context->jobs, &c->watch);
    deadline_clear(r->context->loop, &c->deadline);
    if (c->fill != NULL)
        fill_fail(&c->fill);
    buf_free(&c->body);
    buf_free(&c->event);
}

/* ---- a stream ------------------------------------------------------------ */

static void end_stream(struct job_call *c)
{
    job_unwatch(c->request->context->jobs, &c->watch);
    deadline_clear(c->request->context->loop, &c->deadline);
    (void)fill_end(&c->fill);
}

static void write_event(struct job_call *c)
{
    buf_clear(&c->event);
    c->event_at = 0;
    if (c->is_degraded) {
        c->is_degraded = false;
        buf_add_str(&c->event, STR("event: degraded\ndata: {}\n\n"));
        return;
    }
    c->is_news = false;
    if (c->state == JOB_FOUND)
        buf_addf(&c->event, "id: %.32s\ndata: %.*s\n\n", c->tag + 1, STR_ARG(buf_str(&c->body)));
}

/* As much as there is room for; what is left leaves in on_room(). */
static void pump(struct job_call *c)
{
    while (c->fill != NULL) {
        size_t left = c->event.len - c->event_at;

        if (left == 0 && (c->is_degraded || c->is_news)) {
            write_event(c);
        } else if (left == 0) {
            if (c->is_over || c->state == JOB_ABSENT)
                end_stream(c);
            return;
        } else {
            size_t part = left < PIECE ? left : PIECE;

            if (!fill_write(c->fill, str_at(c->event.ptr + c->event_at, part)))
                return;
            c->event_at += part;
        }
    }
}

static void on_room(void *arg)
{
    struct job_call *c = arg;

    if (c->fill != NULL && fill_readers(c->fill) > 0)
        pump(c);
}

static void on_reader(void *arg)
{
    request_wake(arg);
}

static void beat(struct job_call *c)
{
    struct loop *loop = c->request->context->loop;

    /* without room the client has enough to read */
    bool is_idle = c->event.len == c->event_at && fill_write(c->fill, STR(": heartbeat\n\n"));

    (void)is_idle;
    if (!deadline_set(loop, &c->deadline, loop_now_us(loop) + HEARTBEAT_US))
        end_stream(c);
}

static enum step stream(struct request *r, struct job_call *c)
{
    struct http_fields fields;
    struct fill_head head = {.status = 200, .fields = &fields};

    if (c->is_over &&
        str_eq(http_fields_find(&r->head.fields, STR("Last-Event-ID")), str_at(c->tag + 1, 32)))
        return reply_empty(r, 204); /* a browser that connects again is told to stop */
    if (!http_fields_init(&fields, r->arena, 4) ||
        !http_fields_add_id(&fields, HTTP_CONTENT_TYPE, STR("text/event-stream")) ||
        !http_fields_add_id(&fields, HTTP_CACHE_CONTROL, STR("no-store")))
        return reply_out_of_memory(r);
    c->fill = fill_new(r->context->shared->cache, r->context->loop, on_room, c);
    if (c->fill == NULL || !fill_begin(c->fill, &head, NULL) ||
        !fill_write(c->fill, STR("retry: 2000\n\n")) ||
        (r->reader = fill_attach(c->fill, r->context->loop, on_reader, r)) == NULL)
        return reply_out_of_memory(r);
    c->is_news = true;
    beat(c);
    pump(c);
    return reply_reader(r);
}

/* ---- what is known ------------------------------------------------------- */

static bool has_it(const struct job_call *c)
{
    struct str given =
        http_fields_joined(&c->request->head.fields, c->request->arena, HTTP_IF_NONE_MATCH);

    return given.ptr != NULL && c->state == JOB_FOUND && c->is_sound &&
           http_etag_list_has(given, str_at(c->tag, 34), true);
}

static bool is_ready(const struct job_call *c)
{
    switch (c->state) {
    case JOB_NOT_READ:
        return false;
    case JOB_AWAY:
        return true;
    case JOB_ABSENT:
        return c->is_late || c->wait_s == 0;
    case JOB_FOUND:
        return c->is_late || c->wait_s == 0 || c->wants_stream || c->is_over || !has_it(c);
    }
    return true;
}

static void on_state(void *arg, enum job_state state, struct str value)
{
    struct job_call *c = arg;
    char digest[65], before[sizeof(c->tag)];

    if (state == JOB_AWAY && c->fill != NULL) { /* it may come back before anything has changed */
        c->is_degraded = true;
        pump(c);
        return;
    }
    c->state = state;
    memcpy(before, c->tag, sizeof(before));
    if (state == JOB_FOUND) {
        buf_clear(&c->body);
        c->is_sound =
            job_show((enum job_kind)c->request->route->job.kind, value, &c->body, &c->is_over);
        hash_sha256_hex(buf_str(&c->body), digest);
        snprintf(c->tag, sizeof(c->tag), "\"%.32s\"", digest);
    }
    if (c->fill != NULL) {
        c->is_news = c->is_news || (c->is_sound && memcmp(before, c->tag, sizeof(before)) != 0);
        pump(c);
    } else if (is_ready(c)) {
        request_wake(c->request);
    }
}

static void on_deadline(void *arg)
{
    struct job_call *c = arg;

    if (c->fill != NULL) {
        beat(c);
        return;
    }
    c->is_late = true;
    if (is_ready(c))
        request_wake(c->request);
}

/* ---- the question -------------------------------------------------------- */

static struct str last_parameter(const struct request *r)
{
    for (uint32_t i = r->match.parameter_count; i > 0; i--)
        if (!str_eq(r->match.parameters[i - 1].name, STR("*")))
            return r->match.parameters[i - 1].value;
    return STR_NONE;
}

/* ?wait= of the query, in seconds; false when it is no number. */
static bool read_wait(const struct request *r, uint64_t *wait_s)
{
    struct str rest = r->target.query, part;

    *wait_s = 0;
    while (rest.len > 0 && str_split(&rest, '&', &part))
        if (str_starts(part, STR("wait=")) && !str_to_u64(str_from(part, 5), wait_s))
            return false;
    if (*wait_s > MOST_WAIT_S)
        *wait_s = MOST_WAIT_S;
    return true;
}

static bool wants_stream(const struct request *r)
{
    struct str accepts = http_fields_joined(&r->head.fields, r->arena, HTTP_ACCEPT), member;

    while (accepts.len > 0 && http_list_next(&accepts, &member))
        if (str_starts(member, STR("text/event-stream")))
            return str_eq(r->head.method, STR("GET"));
    return false;
}

static enum step away(struct request *r, const char *reason)
{
    enum step step =
        reply_problem(r, 503, reason, "The store of jobs gives no answer now.", STR_NONE);

    return reply_field(r, HTTP_RETRY_AFTER, STR("1")) ? step : reply_out_of_memory(r);
}

static enum step begin(struct request *r)
{
    struct loop *loop = r->context->loop;
    struct job_call *c = arena_zero(r->arena, sizeof(*c));
    enum job_kind kind = (enum job_kind)r->route->job.kind;
    struct str id = last_parameter(r);
    struct buf *key = reply_draft(r);

    if (c == NULL)
        return reply_out_of_memory(r);
    if (!job_id_is_sane(id))
        return reply_problem(r, 400, "job_id", "A job's id is 1 to 64 of A-Z, a-z, 0-9, _ and -.",
                             STR_NONE);
    if (!read_wait(r, &c->wait_s))
        return reply_problem(r, 400, "job_wait", "wait is a number of seconds.", STR_NONE);
    if (r->context->jobs == NULL)
        return away(r, "job_store");
    c->request = r;
    c->body = buf_new(JOBS_MAX_VALUE * 2);
    c->event = buf_new(JOBS_MAX_VALUE * 2 + 256);
    c->deadline = (struct deadline){.fn = on_deadline, .arg = c};
    c->wants_stream = wants_stream(r);
    r->job = c;
    if (!job_write_key(kind, r->route->job.prefix, id, key) ||
        !job_watch(r->context->jobs, &c->watch, (struct job_key){kind, buf_str(key)}, on_state, c))
        return away(r, "job_watches");
    if (c->wait_s > 0 && !deadline_set(loop, &c->deadline, loop_now_us(loop) + c->wait_s * 1000000))
        return reply_out_of_memory(r);
    return STEP_WAIT;
}

static enum step answer(struct request *r, struct job_call *c)
{
    struct str tag = arena_copy(r->arena, str_at(c->tag, 34));
    enum step step;

    if (tag.ptr == NULL)
        return reply_out_of_memory(r);
    step = has_it(c) ? reply_empty(r, 304)
                     : reply_text(r, 200, STR("application/json"),
                                  arena_copy(r->arena, buf_str(&c->body)));
    return reply_field(r, HTTP_ETAG, tag) &&
                   http_fields_set(&r->out, HTTP_CACHE_CONTROL, STR("no-store"))
               ? step
               : reply_out_of_memory(r);
}

enum step stage_job(struct request *r)
{
    struct job_call *c = r->job;

    if (c == NULL)
        return begin(r);
    if (!is_ready(c))
        return STEP_WAIT;
    if (c->state == JOB_FOUND && c->is_sound && c->wants_stream)
        return stream(r, c);
    job_unwatch(r->context->jobs, &c->watch);
    deadline_clear(r->context->loop, &c->deadline);
    if (c->state == JOB_AWAY)
        return away(r, "job_store");
    if (c->state == JOB_ABSENT)
        return reply_problem(r, 404, "job_unknown", "There is no such job.", STR_NONE);
    if (!c->is_sound)
        return reply_problem(r, 502, "job_value",
                             "What the store has of this job is no JSON object.", STR_NONE);
    return answer(r, c);
}
