/* stage_authorize.c - a service decides whether the request goes on.
 *
 * It is asked once a request, with GET, and told the method, the target, the usual credentials
 * and the fields that the route names. Fields of those names in a yes take the place of the
 * client's on the way upstream (who it is, say); nothing else of its answer is kept. What is no
 * clear yes or no (late, lost, another status) is 503: a door whose keeper is away is shut.
 * Worker's thread; callbacks come from the loop, and none after authorize_cancel(). */
#include "request/request_priv.h"

enum { ANSWER_MOST = 16 * 1024 };

enum authorize_state { AUTHORIZE_NEW, AUTHORIZE_ASKING, AUTHORIZE_DONE };

struct authorize {
    struct request *request;
    enum authorize_state state;
    struct client_exchange *exchange;
    struct client_target target;
    struct deadline deadline;
    struct http_fields fields; /* the question's */
    struct http_fields kept;   /* of a refusal, for the client; of a yes, for the upstream */
    struct buf body;
    int status; /* 0: no answer */
    bool has_tried_again;
};

static const struct client_handler handler;

/* ---- the end of the asking ---- */

static void stop(struct authorize *a)
{
    client_cancel(&a->exchange);
    deadline_clear(a->request->context->loop, &a->deadline);
    a->state = AUTHORIZE_DONE;
}

void authorize_cancel(struct request *r)
{
    if (r->authorize == NULL)
        return;
    stop(r->authorize);
    buf_free(&r->authorize->body);
    r->authorize = NULL;
}

static void on_deadline(void *arg)
{
    struct authorize *a = arg;

    a->status = 0;
    stop(a);
    request_wake(a->request);
}

static bool ask(struct authorize *a, bool may_reuse)
{
    const struct request *r = a->request;
    struct client_request question = {
        .target = &a->target,
        .method = STR("GET"),
        .path = r->route->authorize.service.path,
        .host = a->target.host,
        .fields = &a->fields,
        .connect_timeout_ms = r->route->authorize.timeout_ms,
        .may_reuse = may_reuse,
    };

    a->exchange = client_start(upstream_pool_client(r->context->pool), &question, &handler, a);
    return a->exchange != NULL;
}

static void on_done(void *arg, enum client_outcome outcome, const char *reason)
{
    struct authorize *a = arg;

    (void)reason;
    a->exchange = NULL;
    if (outcome == CLIENT_STALE && !a->has_tried_again) {
        a->has_tried_again = true;
        if (ask(a, false))
            return;
    }
    if (outcome != CLIENT_OK)
        a->status = 0;
    stop(a);
    request_wake(a->request);
}

/* ---- its answer ---- */

static bool is_yes(int status)
{
    return status >= 200 && status < 300;
}

static bool is_named(const struct request *r, struct str name)
{
    const struct str_list *forward = &r->route->authorize.forward;

    for (uint32_t i = 0; i < forward->count; i++)
        if (str_ieq(forward->at[i], name))
            return true;
    return false;
}

static bool is_kept(const struct authorize *a, const struct http_field *field)
{
    if (is_yes(a->status))
        return is_named(a->request, field->name);
    return (a->status == 401 || a->status == 403) &&
           (field->id == HTTP_WWW_AUTHENTICATE || field->id == HTTP_CONTENT_TYPE ||
            field->id == HTTP_SET_COOKIE);
}

static void on_head(void *arg, int status, const struct http_fields *fields,
                    const struct http_answer_facts *facts)
{
    struct authorize *a = arg;
    struct arena *arena = a->request->arena;
    struct http_fields passed; /* without what is this hop's */

    (void)facts;
    a->status = status;
    if (!http_forward_answer(fields, arena, &passed)) {
        a->status = 0;
        return;
    }
    for (uint32_t i = 0; i < passed.count; i++) {
        struct http_field field = passed.at[i];

        if (!is_kept(a, &field))
            continue;
        field.name = arena_copy(arena, field.name);
        field.value = arena_copy(arena, field.value);
        if (field.name.ptr == NULL || field.value.ptr == NULL ||
            !http_fields_add_field(&a->kept, &field))
            a->status = 0;
    }
}

static bool on_body(void *arg, struct str bytes)
{
    struct authorize *a = arg;

    if (a->status == 401 || a->status == 403)
        (void)buf_add_str(&a->body, bytes); /* too long: then ours takes its place */
    return true;
}

static ptrdiff_t on_read(void *arg, char *to, size_t room)
{
    (void)arg;
    (void)to;
    (void)room;
    return CLIENT_READ_END;
}

static const struct client_handler handler = {
    .head = on_head, .body = on_body, .read = on_read, .done = on_done};

/* ---- the question ---- */

static bool add_own(const struct request *r, struct http_fields *fields, struct str name)
{
    struct str value = http_fields_joined_name(&r->head.fields, r->arena, name);

    return value.ptr == NULL || http_fields_add(fields, name, value);
}

static bool add_told(const struct request *r, struct http_fields *fields)
{
    static const struct str usual[] = {{"Authorization", 13}, {"Cookie", 6}};
    const struct str_list *forward = &r->route->authorize.forward;

    for (uint32_t i = 0; i < COUNT_OF(usual); i++)
        if (!is_named(r, usual[i]) && !add_own(r, fields, usual[i]))
            return false;
    for (uint32_t i = 0; i < forward->count; i++)
        if (!add_own(r, fields, forward->at[i]))
            return false;
    return http_fields_add(fields, STR("X-Original-Method"), r->head.method) &&
           http_fields_add(fields, STR("X-Original-URI"), r->facts.origin_form) &&
           (r->facts.authority.len == 0 ||
            http_fields_add(fields, STR("X-Forwarded-Host"), r->facts.authority)) &&
           http_fields_add(fields, STR("X-Forwarded-Proto"),
                           r->arrival.is_tls ? STR("https") : STR("http")) &&
           http_fields_add(fields, STR("X-Forwarded-For"), r->who.address) &&
           http_fields_add_id(fields, HTTP_X_REQUEST_ID, r->id);
}

static bool begin(struct request *r)
{
    const struct service_config *service = &r->route->authorize.service;
    struct authorize *a = arena_zero(r->arena, sizeof(*a));
    uint64_t until_us =
        loop_now_us(r->context->loop) + (uint64_t)r->route->authorize.timeout_ms * 1000;

    if (a == NULL)
        return false;
    a->request = r;
    a->body = buf_new(ANSWER_MOST);
    a->deadline = (struct deadline){.fn = on_deadline, .arg = a};
    a->target = (struct client_target){.is_https = service->is_https,
                                       .host = service->host,
                                       .port = service->port,
                                       .tls_verify = true,
                                       .keepalive = 16};
    a->state = AUTHORIZE_ASKING;
    if (!http_fields_init(&a->fields, r->arena, 12) || !http_fields_init(&a->kept, r->arena, 4) ||
        !add_told(r, &a->fields) || !deadline_set(r->context->loop, &a->deadline, until_us))
        return false;
    if (!ask(a, true)) {
        deadline_clear(r->context->loop, &a->deadline);
        return false;
    }
    r->authorize = a;
    return true;
}

/* ---- the decision ---- */

static void count(struct request *r, const char *result)
{
    struct str values[] = {STR("authorize"), str_of(result)};

    count_series(r->context, M_AUTH, COUNT_OF(values), values);
}

static enum step unknown(struct request *r)
{
    enum step step;

    count(r, "failed");
    step = reply_problem(r, 503, "authorize_failed",
                         "The service that decides about this request gave no answer.", STR_NONE);
    return reply_field(r, HTTP_RETRY_AFTER, STR("1")) ? step : reply_out_of_memory(r);
}

static enum step refused(struct request *r, const struct authorize *a)
{
    struct str type = http_fields_get(&a->kept, HTTP_CONTENT_TYPE);
    enum step step;

    count(r, "refused");
    r->reason = "authorize_refused";
    if (a->body.is_broken || a->body.len == 0)
        step = reply_problem(r, a->status, "authorize_refused",
                             "This request was refused by the service that decides.", STR_NONE);
    else
        step = reply_text(r, a->status, type.len > 0 ? type : STR("text/plain"),
                          arena_copy(r->arena, buf_str(&a->body)));
    for (uint32_t i = 0; i < a->kept.count; i++)
        if (a->kept.at[i].id != HTTP_CONTENT_TYPE &&
            !http_fields_add_field(&r->out, &a->kept.at[i]))
            return reply_out_of_memory(r);
    return step;
}

enum step stage_authorize(struct request *r)
{
    const struct authorize *a = r->authorize;

    if (r->route->authorize.service.url.len == 0 || r->identity != IDENTIFY_OK)
        return STEP_NEXT; /* cache first: the limit step refuses who is not known */
    if (a == NULL)
        return begin(r) ? STEP_WAIT : unknown(r);
    if (a->state != AUTHORIZE_DONE)
        return STEP_WAIT;
    if (is_yes(a->status)) {
        count(r, "ok");
        return STEP_NEXT;
    }
    return a->status == 401 || a->status == 403 ? refused(r, a) : unknown(r);
}

bool authorize_tell(const struct request *r, struct http_fields *fields)
{
    const struct authorize *a = r->authorize;

    if (a == NULL)
        return true;
    for (uint32_t i = 0; i < a->kept.count; i++)
        (void)http_fields_remove_name(fields, a->kept.at[i].name);
    for (uint32_t i = 0; i < a->kept.count; i++)
        if (!http_fields_add_field(fields, &a->kept.at[i]))
            return false;
    return true;
}
