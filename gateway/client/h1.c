/* h1.c - an exchange's life on the short way: started, resumed, cancelled, over.
 *
 * The request's text is written when it is asked for, into a buffer that the exchange keeps for
 * the next one; everything else happens in the turn's hooks or from the loop. An exchange that
 * is over is spare at once, unless the list of what was asked in this turn still holds it.
 *
 * Thread: the loop's own. */
#include "client/h1_priv.h"

#include <stdlib.h>

static struct h1_exchange *of(struct client_exchange *exchange)
{
    return CONTAINER_OF(exchange, struct h1_exchange, base);
}

/* ---- all of a client's -------------------------------------------------- */

struct h1 *h1_new(struct client *client)
{
    struct h1 *h1 = malloc(sizeof(*h1)); /* its buffers need no clearing */

    if (h1 == NULL)
        return NULL;
    memset(h1, 0, offsetof(struct h1, in));
    h1->hosts = map_new();
    h1->fields = calloc((size_t)client->options.max_headers + 1, sizeof(struct http_field));
    if (h1->hosts == NULL || h1->fields == NULL)
        h1_free(&h1);
    return h1;
}

static void link_in(struct h1_exchange *exchange)
{
    struct h1 *h1 = exchange->base.client->h1;

    exchange->before = NULL;
    exchange->after = h1->all;
    if (h1->all != NULL)
        h1->all->before = exchange;
    h1->all = exchange;
}

static void link_out(struct h1_exchange *exchange)
{
    if (exchange->before != NULL)
        exchange->before->after = exchange->after;
    else
        exchange->base.client->h1->all = exchange->after;
    if (exchange->after != NULL)
        exchange->after->before = exchange->before;
    exchange->before = exchange->after = NULL;
}

static void free_one(struct h1_exchange *exchange)
{
    free(exchange->out);
    free(exchange->held);
    free(exchange);
}

static void leave_waiting(struct h1_exchange *exchange)
{
    struct h1_exchange **at = &exchange->host->waiting;

    while (*at != NULL && *at != exchange)
        at = &(*at)->next_waiting;
    if (*at != NULL)
        *at = exchange->next_waiting;
    exchange->next_waiting = NULL;
}

/* Nothing of it is on the wire or in a list after this. */
static void leave_all(struct h1_exchange *exchange, bool keeps)
{
    deadline_clear(exchange->base.client->loop, &exchange->connect_by);
    if (exchange->connection != NULL)
        h1_connection_release(exchange, keeps);
    h1_secure_end(&exchange->secure);
    if (exchange->host == NULL)
        return;
    leave_waiting(exchange);
    exchange->host->exchanges--;
    exchange->host = NULL;
}

void h1_free(struct h1 **h1)
{
    struct h1 *dying = *h1;

    if (dying == NULL)
        return;
    while (dying->all != NULL) {
        struct h1_exchange *exchange = dying->all;

        leave_all(exchange, false);
        dying->all = exchange->after;
        free_one(exchange);
    }
    while (dying->spare != NULL) {
        struct h1_exchange *exchange = dying->spare;

        dying->spare = exchange->after;
        free_one(exchange);
    }
    while (dying->first != NULL) {
        struct h1_host *host = dying->first;

        dying->first = host->next;
        h1_host_close_idle(host, UINT64_MAX);
        h1_host_free(host);
    }
    map_free(&dying->hosts);
    free(dying->fields);
    free(dying);
    *h1 = NULL; /* what closed above looked at it */
}

struct client_counts h1_counts(const struct client *client)
{
    return (struct client_counts){client->h1->busy, client->h1->idle};
}

/* ---- start --------------------------------------------------------------- */

/* What was large goes back; the rest is there for the next request. */
static void recycle(struct h1_exchange *exchange)
{
    struct h1 *h1 = exchange->base.client->h1;

    link_out(exchange);
    if (h1->spares >= H1_MOST_SPARES) {
        free_one(exchange);
        return;
    }
    if (exchange->out_room > H1_KEPT_BYTES) {
        free(exchange->out);
        exchange->out = NULL;
        exchange->out_room = 0;
    }
    free(exchange->held);
    exchange->held = NULL;
    exchange->held_room = 0;
    exchange->after = h1->spare;
    h1->spare = exchange;
    h1->spares++;
}

static struct h1_exchange *take_spare(struct client *client)
{
    struct h1_exchange *exchange = client->h1->spare;
    char *out = NULL;
    size_t out_room = 0;

    if (exchange != NULL) {
        client->h1->spare = exchange->after;
        client->h1->spares--;
        out = exchange->out;
        out_room = exchange->out_room;
    } else {
        exchange = malloc(sizeof(*exchange));
        if (exchange == NULL)
            return NULL;
    }
    *exchange = (struct h1_exchange){.base = {.client = client, .is_h1 = true}};
    exchange->out = out;
    exchange->out_room = out_room;
    return exchange;
}

static void on_connect_late(void *arg);

struct client_exchange *h1_start(struct client *client, const struct client_request *request,
                                 const struct client_handler *handler, void *arg)
{
    struct http_answer_limits limits = {client->options.max_headers,
                                        client->options.max_header_bytes};
    struct h1_exchange *exchange = take_spare(client);

    if (exchange == NULL)
        return NULL;
    exchange->handler = handler;
    exchange->arg = arg;
    exchange->body = request->body;
    exchange->body_left = request->body_length;
    exchange->body_has_ended = request->body == CLIENT_BODY_NONE ||
                               (request->body == CLIENT_BODY_SIZED && request->body_length == 0);
    exchange->may_reuse = request->may_reuse;
    exchange->keepalive = request->target->keepalive;
    exchange->connect_by = (struct deadline){.fn = on_connect_late, .arg = exchange};
    exchange->connect_until_us = h1_now_us(exchange);
    if (request->connect_timeout_ms > 0)
        exchange->connect_until_us += (uint64_t)request->connect_timeout_ms * 1000;
    h1_parse_begin(&exchange->parser, &limits, client->h1->fields);
    exchange->parser.is_head = str_eq(request->method, STR("HEAD"));
    exchange->parser.may_upgrade = request->upgrades;
    link_in(exchange);
    exchange->fault = client_request_fault(request);
    if (exchange->fault == NULL) {
        exchange->host = h1_host_of(client, request->target);
        if (exchange->host == NULL || !h1_write_head(exchange, request) ||
            (request->target->is_https && !h1_secure_begin(exchange, request))) {
            recycle(exchange);
            return NULL;
        }
        exchange->host->exchanges++;
    }
    client_defer(&exchange->base);
    return &exchange->base;
}

static void on_connect_late(void *arg)
{
    struct h1_exchange *exchange = arg;

    if (exchange->state != H1_CANCELLED)
        h1_finish(arg, CLIENT_CONNECT_TIMEOUT, "connect_timeout");
}

/* ---- resume, cancel ------------------------------------------------------ */

void h1_resume_answer(struct client_exchange *exchange)
{
    of(exchange)->wants_answer = true;
    client_defer(exchange);
}

void h1_resume_body(struct client_exchange *exchange)
{
    of(exchange)->wants_body = true;
    client_defer(exchange);
}

void h1_cancel(struct client_exchange *exchange)
{
    if (of(exchange)->state == H1_ENDED)
        return;
    of(exchange)->state = H1_CANCELLED;
    client_defer(exchange);
}

static void begin(struct h1_exchange *exchange)
{
    if (exchange->fault != NULL)
        h1_finish(exchange, CLIENT_PROTOCOL, exchange->fault);
    else if (exchange->secure != NULL)
        exchange->state = H1_CONNECTING; /* libcurl is at it */
    else
        h1_connect(exchange);
}

static void go_on(struct h1_exchange *exchange)
{
    bool wants_answer = exchange->wants_answer && exchange->answer_waits;

    if (exchange->wants_body && exchange->body_waits) {
        exchange->body_waits = false;
        exchange->wants_body = false;
        if (h1_write(exchange) == H1_SENT_OVER)
            return;
    }
    exchange->wants_answer = exchange->wants_body = false;
    if (wants_answer && exchange->secure != NULL)
        h1_secure_read_on(exchange);
    else if (wants_answer)
        h1_read_on(exchange);
}

void h1_catch_up(struct client_exchange *base)
{
    struct h1_exchange *exchange = of(base);

    switch (exchange->state) {
    case H1_NEW:
        begin(exchange);
        return;
    case H1_RESOLVING:
    case H1_CONNECTING:
        return; /* what was resumed will be asked for anyway */
    case H1_RUNNING:
        go_on(exchange);
        return;
    case H1_CANCELLED:
        leave_all(exchange, exchange->answer_is_whole);
        recycle(exchange);
        return;
    case H1_ENDED:
        recycle(exchange);
        return;
    }
}

void h1_finish(struct h1_exchange *exchange, enum client_outcome outcome, const char *reason)
{
    leave_all(exchange, outcome == CLIENT_OK && exchange->answer_is_whole);
    exchange->base.client->has_called_back = true;
    if (exchange->state != H1_CANCELLED) { /* a callback may have done so */
        exchange->state = H1_ENDED;
        exchange->handler->done(exchange->arg, outcome, reason);
    }
    if (!exchange->base.is_deferred) /* else when the list is next walked */
        recycle(exchange);
}
