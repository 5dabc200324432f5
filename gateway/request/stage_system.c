/* stage_system.c - the paths that are never proxied, limited or cached: health, and the
 * questions for the admin room (contract §2 "Reserved").
 *
 * Health is answered on the spot. Questions go to the main thread and come back as a post.
 * On a public listener /system is 404 unless admin.public, but for a caller's own
 * windows. Worker's thread; the main thread's for the admin listener. */
#include "request/request_priv.h"

static bool is_health(struct str path)
{
    return str_eq(path, STR("/health")) || str_eq(path, STR("/health_check"));
}

/* "/system/…" for both spellings; STR_NONE for other paths. */
static struct str system_path(struct str path)
{
    if (str_starts(path, STR("/api/v1/system/")))
        return str_from(path, sizeof("/api/v1") - 1);
    return str_starts(path, STR("/system/")) || str_eq(path, STR("/system")) ? path : STR_NONE;
}

static bool is_get_or_head(const struct request *r)
{
    return str_eq(r->head.method, STR("GET")) || str_eq(r->head.method, STR("HEAD"));
}

static enum step health(struct request *r)
{
    if (is_get_or_head(r))
        return reply_text(r, 200, STR("application/json"), STR("{\"status\":\"ok\"}\n"));
    (void)reply_problem(r, 405, "method_not_allowed", "Only GET and HEAD are served here.",
                        STR_NONE);
    return reply_field(r, HTTP_ALLOW, STR("GET, HEAD")) ? STEP_ANSWER : reply_out_of_memory(r);
}

/* ---- a caller's own windows ---- */

static void on_looked(void *arg)
{
    request_wake(arg);
}

/* True: what the store says is in r->limits; false: it comes, and wakes us. */
static bool look(struct request *r)
{
    const struct caller *caller = &r->who.caller;
    struct limit_policy policy = {&caller->tier->windows,
                                  limit_key(caller->hash, LIMIT_TIER, STR_NONE), caller->hash};
    struct limit_time now = {loop_now_us(r->context->loop), loop_wall_us(r->context->loop)};

    if (r->context->store == NULL) {
        limit_take(r->context->shared->limiter, &policy, 1, 0, now, &r->limits);
        return true;
    }
    r->limit_phase = LIMIT_ASKS_CLIENT; /* who leaves cancels it */
    r->limit_call = (struct limit_call){
        .policies = {policy},
        .policy_count = 1,
        .config = r->crules->rules->config,
        .done = on_looked,
        .arg = r,
        .state = &r->limits,
    };
    return limit_store_take(r->context->store, &r->limit_call, now);
}

static enum step write_windows(struct request *r)
{
    struct buf text = buf_new(16 * 1024);
    struct str body = STR_NONE;

    if (request_write_limit_state(r->crules->rules, &r->who.caller, &r->limits,
                                  loop_wall_us(r->context->loop), &text))
        body = arena_copy(r->arena, buf_str(&text));
    buf_free(&text);
    return body.ptr != NULL ? reply_text(r, 200, STR("application/json"), body)
                            : reply_out_of_memory(r);
}

/* They need no token: whoever may ask for a resource may know what is left. */
static enum step own_windows(struct request *r)
{
    struct identify_question question = {
        .fields = &r->head.fields,
        .query = r->target.query,
        .peer = r->arrival.peer,
        .route = NULL,
        .wall_s = loop_wall_us(r->context->loop) / 1000000,
        .memory = r->context->memory,
    };

    if (r->tier_ask.is_waiting)
        return STEP_WAIT;
    if (r->limit_phase == LIMIT_ASKS_CLIENT)
        return r->limit_call.is_waiting ? STEP_WAIT : write_windows(r);
    r->identity =
        identify_ask(request_rules_identify(r->crules->rules), &question, r->arena, &r->who);
    if (r->identity != IDENTIFY_OK)
        return refuse_credential(r);
    if (!limit_find_tier(r))
        return STEP_WAIT;
    return look(r) ? write_windows(r) : STEP_WAIT;
}

/* ---- questions ---- */

/* The main thread may still read it, and has the arena, when the client has left: what lives in the
 * connection moves, and what the log line needs is made now. */
static bool leave_connection(struct request *r)
{
    r->arrival.peer = arena_copy(r->arena, r->arrival.peer);
    r->client = STR("unix");
    if (r->arrival.peer.len > 0)
        r->client = identify_hide_address(request_rules_identify(r->crules->rules), r->arrival.peer,
                                          r->arena);
    return request_keep_head(r) && r->arrival.peer.ptr != NULL && r->client.ptr != NULL;
}

/* False: out of memory. */
static bool ask(struct request *r)
{
    struct request_system *q = &r->system;
    struct str path;

    if (!leave_connection(r))
        return false;
    path = system_path(r->path);
    if (path.ptr == NULL)
        path = r->path;

    q->method = r->head.method;
    q->path = path;
    q->query = r->target.query;
    q->peer = r->arrival.peer;
    q->fields = &r->head.fields;
    q->arena = r->arena;
    q->request_id = r->id;
    q->is_public = !r->arrival.is_admin;
    q->rules = r->crules->rules;
    q->loop = r->context->loop;
    q->body = arena_copy(r->arena, buf_str(&q->text));
    buf_clear(&q->text);
    if (q->body.ptr == NULL)
        return false;
    q->request = r;
    request_hold(r);
    r->context->shared->system(r->context->shared->system_arg, q);
    return true;
}

void request_system_done(struct request_system *question)
{
    struct request *r = question->request;

    question->request = NULL;
    r->system.status = question->status;
    if (r->is_finished)
        fill_detach(&question->stream);
    request_wake(r);
    request_release(r);
}

static void on_stream(void *arg)
{
    request_wake(arg);
}

bool request_system_stream(struct request_system *question, struct fill *fill)
{
    question->stream = fill_attach_for(fill, question->loop, on_stream, question->request);
    if (question->stream != NULL)
        question->status = fill_reader_head(question->stream)->status;
    return question->stream != NULL;
}

static enum step answer_stream(struct request *r)
{
    r->reader = r->system.stream;
    r->system.stream = NULL;
    fill_reader_arm(r->reader);
    return reply_reader(r);
}

/* What a page may load and who may frame it; what it is and where it came from is not guessed or
 * told. */
static bool guard_page(struct request *r)
{
    return http_fields_add(&r->out, STR("Content-Security-Policy"), r->system.content_policy) &&
           http_fields_add(&r->out, STR("X-Content-Type-Options"), STR("nosniff")) &&
           http_fields_add(&r->out, STR("Referrer-Policy"), STR("no-referrer")) &&
           http_fields_add(&r->out, STR("Cross-Origin-Opener-Policy"), STR("same-origin"));
}

static enum step answer_question(struct request *r)
{
    struct request_system *q = &r->system;

    if (q->stream != NULL)
        return answer_stream(r);
    if (q->status >= 400 && q->content_type.ptr == NULL)
        (void)reply_problem(r, q->status, "admin",
                            q->answer.ptr != NULL ? q->answer.ptr : http_reason(q->status),
                            STR_NONE);
    else
        (void)reply_text(r, q->status, q->content_type, q->answer);
    if (q->allow.ptr != NULL && !reply_field(r, HTTP_ALLOW, q->allow))
        return reply_out_of_memory(r);
    if (q->status == 401 &&
        !reply_field(r, HTTP_WWW_AUTHENTICATE, STR("Bearer realm=\"gateway admin\"")))
        return reply_out_of_memory(r);
    if (q->content_policy.ptr != NULL && !guard_page(r))
        return reply_out_of_memory(r);
    return http_fields_set(&r->out, HTTP_CACHE_CONTROL, STR("no-store")) ? STEP_ANSWER
                                                                         : reply_out_of_memory(r);
}

/* Waits for the whole body, then for the answer. */
static enum step question(struct request *r)
{
    if (r->system.status != 0)
        return answer_question(r);
    if (r->system.request != NULL && r->is_asked)
        return STEP_WAIT;
    if (r->facts.has_body && !r->body.ended) {
        r->takes_question_body = true;
        return STEP_WAIT;
    }
    r->is_asked = true;
    if (!ask(r))
        return reply_out_of_memory(r);
    return r->system.status != 0 ? answer_question(r) : STEP_WAIT;
}

enum step stage_system(struct request *r)
{
    struct str path = system_path(r->path);

    if (r->system.text.max == 0)
        r->system.text = buf_new(64 * 1024 * 1024);
    if (r->arrival.is_admin)
        return is_health(r->path) ? health(r) : question(r);
    if (is_health(r->path))
        return health(r);
    if (path.ptr == NULL)
        return STEP_NEXT;
    if (r->config->admin.is_public)
        return question(r);
    if (str_eq(path, STR("/system/rate-limit/status")) && is_get_or_head(r) &&
        !str_has(r->target.query, STR("client=")))
        return own_windows(r);
    return reply_problem(r, 404, "no_route", "No route matches this host and path.", STR_NONE);
}
