/* mirror.c - a copy of a request for a second upstream, whose answer nobody reads.
 *
 * The client never waits for it: a copy is sent when the request is whole (its body is
 * gathered as it passes), in an exchange of its own that outlives the request and ends
 * with the worker. Copies at a time and bytes of a body are bounded; what is over is not
 * copied, and counted. Worker's thread. */
#include "request/request_priv.h"

#include <stdlib.h>

enum { MIRRORS_AT_ONCE = 64, MIRROR_BODY = 64 * 1024 };

struct mirror {
    struct request_context *context;
    struct context_rules *crules; /* counted: the exchange borrows its upstream */
    const struct route_config *route;
    struct upstream_exchange *exchange; /* NULL: not begun */
    struct mirror *next, **back;
    struct upstream_request request;
    struct http_fields fields; /* the request's arena; until it is begun */
    struct buf body;
    size_t sent;
};

static void count(struct request_context *context, const struct route_config *route,
                  const char *outcome)
{
    struct str values[] = {route->name, str_of(outcome)};

    count_series(context, M_MIRROR_REQUESTS, COUNT_OF(values), values);
}

void mirror_drop(struct mirror **mirror)
{
    struct mirror *gone = *mirror;

    *mirror = NULL;
    if (gone == NULL)
        return;
    upstream_cancel(&gone->exchange);
    *gone->back = gone->next;
    if (gone->next != NULL)
        gone->next->back = gone->back;
    gone->context->mirror_count--;
    context_rules_release(&gone->crules);
    buf_free(&gone->body);
    free(gone);
}

/* ---- its own exchange ---- */

static void on_head(void *arg, int status, const struct http_fields *fields,
                    const struct http_answer_facts *facts, const struct upstream_result *so_far)
{
    (void)arg;
    (void)status;
    (void)fields;
    (void)facts;
    (void)so_far;
}

static bool on_body(void *arg, struct str bytes)
{
    (void)arg;
    (void)bytes;
    return true;
}

static void on_trailers(void *arg, const struct http_fields *fields)
{
    (void)arg;
    (void)fields;
}

static ptrdiff_t on_read(void *arg, char *to, size_t room)
{
    struct mirror *mirror = arg;
    size_t taken = buf_read(&mirror->body, &mirror->sent, to, room);

    return taken > 0 ? (ptrdiff_t)taken : CLIENT_READ_END;
}

static void on_done(void *arg, const struct upstream_result *result)
{
    struct mirror *mirror = arg;

    mirror->exchange = NULL; /* freed when this returns */
    count(mirror->context, mirror->route, result->kind == UPSTREAM_OK ? "ok" : "error");
    mirror_drop(&mirror);
}

static const struct upstream_handler handler = {
    .head = on_head,
    .body = on_body,
    .trailers = on_trailers,
    .read = on_read,
    .done = on_done,
};

static void begin(struct mirror *mirror)
{
    struct upstream_request request = mirror->request;

    request.fields = &mirror->fields;
    if (request.body != CLIENT_BODY_NONE) {
        request.body = CLIENT_BODY_SIZED;
        request.body_length = mirror->body.len;
    }
    mirror->exchange = upstream_start(mirror->context->pool, &request, &handler, mirror);
    if (mirror->exchange == NULL) {
        count(mirror->context, mirror->route, "dropped");
        mirror_drop(&mirror);
    }
}

/* ---- beside the request ---- */

static bool is_chosen(const struct request *r)
{
    double share = r->route->mirror.share;

    return share > 0 && !r->fetch.is_refresh &&
           (share >= 1 || (double)(random_u64() >> 11) * 0x1p-53 < share);
}

static struct mirror *mirror_new(struct request *r, const struct http_fields *fields,
                                 const struct upstream_request *request)
{
    struct request_context *context = r->context;
    struct mirror *mirror =
        context->mirror_count < MIRRORS_AT_ONCE ? calloc(1, sizeof(*mirror)) : NULL;

    if (mirror == NULL)
        return NULL;
    mirror->context = context;
    mirror->crules = context_rules_hold(r->crules);
    mirror->route = r->route;
    mirror->fields = *fields;
    mirror->request = *request;
    mirror->request.upstream = r->route->mirror.upstream;
    mirror->request.share = 1;
    mirror->request.hash_key = r->who.caller.name;
    mirror->body = buf_new(MIRROR_BODY);
    mirror->next = context->mirrors;
    mirror->back = &context->mirrors;
    if (mirror->next != NULL)
        mirror->next->back = &mirror->next;
    context->mirrors = mirror;
    context->mirror_count++;
    return mirror;
}

void mirror_request(struct request *r, const struct http_fields *fields,
                    const struct upstream_request *request)
{
    struct mirror *mirror;

    if (!is_chosen(r))
        return;
    mirror = request->body == CLIENT_BODY_SIZED && request->body_length > MIRROR_BODY
                 ? NULL
                 : mirror_new(r, fields, request);
    if (mirror == NULL)
        count(r->context, r->route, "dropped");
    else if (request->body == CLIENT_BODY_NONE || (!r->facts.has_body))
        begin(mirror);
    else
        r->mirror = mirror;
}

void mirror_body(struct request *r, struct str bytes)
{
    struct mirror *mirror = r->mirror;
    bool is_all;

    if (!buf_add_str(&mirror->body, bytes)) {
        count(r->context, r->route, "dropped");
        mirror_drop(&r->mirror);
        return;
    }
    is_all = r->facts.is_chunked ? r->body.ended && r->body.len == 0
                                 : mirror->body.len == r->facts.content_length;
    if (!is_all)
        return;
    r->mirror = NULL;
    begin(mirror);
}

void mirrors_end(struct request_context *context)
{
    for (struct mirror *mirror = context->mirrors, *next; mirror != NULL; mirror = next) {
        next = mirror->next;
        mirror_drop(&mirror);
    }
}
