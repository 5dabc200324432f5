/* exchange.c - an exchange's life: started, resumed, cancelled, over.
 *
 * What a caller asks is noted and done later, where nothing of libcurl's is on the stack
 * (client.c). An exchange that is over goes to a short list of spare ones with its easy
 * handle, arena and request block, so that the next one allocates next to nothing.
 *
 * Thread: the loop's own. */
#include "client/client_priv.h"

#include <stdlib.h>

enum { MOST_SPARES = 256, ARENA_BLOCK_BYTES = 4096, KEPT_BLOCK_BYTES = 16384 };

static void link_in(struct curl_exchange *exchange)
{
    struct client *client = exchange->base.client;

    exchange->before = NULL;
    exchange->after = client->all;
    if (client->all != NULL)
        client->all->before = exchange;
    client->all = exchange;
}

static void link_out(struct curl_exchange *exchange)
{
    if (exchange->before != NULL)
        exchange->before->after = exchange->after;
    else if (exchange->base.client->all == exchange)
        exchange->base.client->all = exchange->after;
    if (exchange->after != NULL)
        exchange->after->before = exchange->before;
    exchange->before = exchange->after = NULL;
}

static void leave_multi(struct curl_exchange *exchange)
{
    if (exchange->is_in_multi) {
        CHECK(curl_multi_remove_handle(exchange->base.client->multi, exchange->easy) == CURLM_OK);
        exchange->base.client->running--;
        exchange->is_in_multi = false;
    }
    connection_release(exchange);
}

void exchange_free(struct curl_exchange *exchange)
{
    leave_multi(exchange);
    link_out(exchange);
    curl_easy_cleanup(exchange->easy);
    arena_free(&exchange->arena);
    free(exchange->block);
    free(exchange);
}

static struct curl_exchange *make(struct client *client)
{
    struct http_answer_limits limits = {client->options.max_headers,
                                        client->options.max_header_bytes};
    struct curl_exchange *exchange = calloc(1, sizeof(*exchange));

    if (exchange == NULL)
        return NULL;
    exchange->base.client = client;
    exchange->easy = curl_easy_init();
    exchange->arena = arena_new(ARENA_BLOCK_BYTES, answer_most_bytes(&limits));
    if (exchange->easy == NULL || exchange->arena == NULL) {
        exchange_free(exchange);
        return NULL;
    }
    return exchange;
}

static struct curl_exchange *take_spare(struct client *client)
{
    struct curl_exchange *exchange = client->spare;

    if (exchange == NULL)
        return make(client);
    client->spare = exchange->next;
    client->spares--;
    exchange->next = NULL;
    return exchange;
}

/* A handle that could not take its body back to the start fails every later request with the
 * same code: until 8.16 libcurl's mark for it outlives even curl_easy_reset(). */
static bool may_be_stuck(const struct curl_exchange *exchange)
{
    return exchange->body != CLIENT_BODY_NONE && !exchange->ended_well;
}

static void recycle(struct curl_exchange *exchange)
{
    struct client *client = exchange->base.client;

    if (client->spares >= MOST_SPARES || may_be_stuck(exchange)) {
        exchange_free(exchange);
        return;
    }
    link_out(exchange);
    arena_reset(exchange->arena);
    if (exchange->block_room > KEPT_BLOCK_BYTES) {
        free(exchange->block);
        exchange->block = NULL;
        exchange->block_room = 0;
    }
    exchange->next = client->spare;
    client->spare = exchange;
    client->spares++;
}

static void reset(struct curl_exchange *exchange)
{
    struct http_answer_limits limits = {exchange->base.client->options.max_headers,
                                        exchange->base.client->options.max_header_bytes};

    exchange->state = EXCHANGE_NEW;
    exchange->wants_answer = exchange->wants_body = false;
    exchange->paused = 0;
    exchange->sends = 0;
    exchange->has_verdict = exchange->ended_well = false;
    exchange->reason = NULL;
    exchange->base.times = (struct client_times){0};
    exchange->error[0] = '\0';
    answer_begin(&exchange->answer, exchange->arena, &limits);
    exchange->answer.may_be_http2 = exchange->wants_http2;
}

struct curl_exchange *exchange_connect(struct client *client, const struct client_request *request,
                                       const struct client_handler *handler,
                                       void (*connected)(void *arg), void *arg)
{
    struct curl_exchange *exchange = take_spare(client);

    if (exchange == NULL)
        return NULL;
    exchange->wants_http2 =
        request->target->protocol == CLIENT_HTTP2 && client->speaks_http2 && connected == NULL;
    reset(exchange);
    exchange->handler = handler;
    exchange->connected = connected;
    exchange->arg = arg;
    exchange->body = request->body;
    exchange->body_left = request->body_length;
    if (!options_apply(exchange, request)) {
        exchange_free(exchange);
        return NULL;
    }
    link_in(exchange);
    client_defer(&exchange->base);
    return exchange;
}

struct curl_exchange *exchange_start(struct client *client, const struct client_request *request,
                                     const struct client_handler *handler, void *arg)
{
    return exchange_connect(client, request, handler, NULL, arg);
}

void exchange_resume_answer(struct curl_exchange *exchange)
{
    exchange->wants_answer = true;
    client_defer(&exchange->base);
}

void exchange_resume_body(struct curl_exchange *exchange)
{
    exchange->wants_body = true;
    client_defer(&exchange->base);
}

void exchange_cancel(struct curl_exchange *exchange)
{
    if (exchange->state == EXCHANGE_ENDED)
        return;
    exchange->state = EXCHANGE_CANCELLED;
    client_defer(&exchange->base);
}

void exchange_judge(struct curl_exchange *exchange, enum client_outcome outcome, const char *reason)
{
    if (exchange->has_verdict)
        return;
    exchange->has_verdict = true;
    exchange->outcome = outcome;
    exchange->reason = reason;
}

static void begin(struct curl_exchange *exchange)
{
    struct client *client = exchange->base.client;

    if (exchange->has_verdict) {
        exchange_finish(exchange, exchange->outcome, exchange->reason);
        return;
    }
    exchange->state = EXCHANGE_RUNNING;
    if (curl_multi_add_handle(client->multi, exchange->easy) != CURLM_OK) {
        exchange_finish(exchange, CLIENT_NO_MEMORY, "memory");
        return;
    }
    exchange->is_in_multi = true;
    client->running++;
}

/* Calls back before it returns: what libcurl holds goes to the body callback first. */
static void unpause(struct curl_exchange *exchange)
{
    int before = exchange->paused;
    CURLcode code;

    if (exchange->wants_answer)
        exchange->paused &= ~CURLPAUSE_RECV;
    if (exchange->wants_body)
        exchange->paused &= ~CURLPAUSE_SEND;
    exchange->wants_answer = exchange->wants_body = false;
    if (exchange->paused == before)
        return;
    code = curl_easy_pause(exchange->easy, exchange->paused);
    if (code != CURLE_OK) /* the transfer itself does not learn of this */
        transfer_end(exchange, code);
}

void exchange_catch_up(struct curl_exchange *exchange)
{
    switch (exchange->state) {
    case EXCHANGE_NEW:
        begin(exchange);
        return;
    case EXCHANGE_RUNNING:
        unpause(exchange);
        return;
    case EXCHANGE_CANCELLED:
        leave_multi(exchange);
        recycle(exchange);
        return;
    case EXCHANGE_ENDED:
        recycle(exchange);
        return;
    }
}

void exchange_finish(struct curl_exchange *exchange, enum client_outcome outcome,
                     const char *reason)
{
    const struct answer *answer = &exchange->answer;

    leave_multi(exchange);
    exchange->base.client->has_called_back = true;
    if (outcome == CLIENT_OK && answer->place == ANSWER_AT_TRAILERS && answer->fields.count > 0 &&
        exchange->handler->trailers != NULL)
        exchange->handler->trailers(exchange->arg, &answer->fields);
    if (exchange->state != EXCHANGE_CANCELLED) { /* the callback may have done so */
        exchange->state = EXCHANGE_ENDED;
        exchange->handler->done(exchange->arg, outcome, reason);
    }
    if (!exchange->base.is_deferred) /* else when the list is next walked */
        recycle(exchange);
}
