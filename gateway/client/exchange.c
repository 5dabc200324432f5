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

static void link_in(struct client_exchange *exchange)
{
    struct client *client = exchange->client;

    exchange->before = NULL;
    exchange->after = client->all;
    if (client->all != NULL)
        client->all->before = exchange;
    client->all = exchange;
}

static void link_out(struct client_exchange *exchange)
{
    if (exchange->before != NULL)
        exchange->before->after = exchange->after;
    else if (exchange->client->all == exchange)
        exchange->client->all = exchange->after;
    if (exchange->after != NULL)
        exchange->after->before = exchange->before;
    exchange->before = exchange->after = NULL;
}

static void leave_multi(struct client_exchange *exchange)
{
    if (exchange->is_in_multi) {
        CHECK(curl_multi_remove_handle(exchange->client->multi, exchange->easy) == CURLM_OK);
        exchange->client->running--;
        exchange->is_in_multi = false;
    }
    connection_release(exchange);
}

void exchange_free(struct client_exchange *exchange)
{
    leave_multi(exchange);
    link_out(exchange);
    curl_easy_cleanup(exchange->easy);
    arena_free(&exchange->arena);
    free(exchange->block);
    free(exchange);
}

static struct client_exchange *make(struct client *client)
{
    struct http_answer_limits limits = {client->options.max_headers,
                                        client->options.max_header_bytes};
    struct client_exchange *exchange = calloc(1, sizeof(*exchange));

    if (exchange == NULL)
        return NULL;
    exchange->client = client;
    exchange->easy = curl_easy_init();
    exchange->arena = arena_new(ARENA_BLOCK_BYTES, answer_most_bytes(&limits));
    if (exchange->easy == NULL || exchange->arena == NULL) {
        exchange_free(exchange);
        return NULL;
    }
    return exchange;
}

static struct client_exchange *take_spare(struct client *client)
{
    struct client_exchange *exchange = client->spare;

    if (exchange == NULL)
        return make(client);
    client->spare = exchange->next;
    client->spares--;
    exchange->next = NULL;
    return exchange;
}

/* A handle that could not take its body back to the start fails every later request with the
 * same code: until 8.16 libcurl's mark for it outlives even curl_easy_reset(). */
static bool may_be_stuck(const struct client_exchange *exchange)
{
    return exchange->body != CLIENT_BODY_NONE && !exchange->ended_well;
}

static void recycle(struct client_exchange *exchange)
{
    struct client *client = exchange->client;

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

static void reset(struct client_exchange *exchange)
{
    struct http_answer_limits limits = {exchange->client->options.max_headers,
                                        exchange->client->options.max_header_bytes};

    exchange->state = EXCHANGE_NEW;
    exchange->wants_answer = exchange->wants_body = false;
    exchange->paused = 0;
    exchange->sends = 0;
    exchange->has_verdict = exchange->ended_well = false;
    exchange->reason = NULL;
    exchange->times = (struct client_times){0};
    exchange->error[0] = '\0';
    answer_begin(&exchange->answer, exchange->arena, &limits);
}

struct client_exchange *client_start(struct client *client, const struct client_request *request,
                                     const struct client_handler *handler, void *arg)
{
    struct client_exchange *exchange = take_spare(client);

    if (exchange == NULL)
        return NULL;
    reset(exchange);
    exchange->handler = handler;
    exchange->arg = arg;
    exchange->body = request->body;
    exchange->body_left = request->body_length;
    if (!options_apply(exchange, request)) {
        exchange_free(exchange);
        return NULL;
    }
    link_in(exchange);
    exchange_defer(exchange);
    return exchange;
}

void exchange_defer(struct client_exchange *exchange)
{
    struct client *client = exchange->client;

    client_kick(client);
    if (exchange->is_deferred)
        return;
    exchange->is_deferred = true;
    exchange->next = NULL;
    *client->deferred_tail = exchange;
    client->deferred_tail = &exchange->next;
}

void client_resume_answer(struct client_exchange *exchange)
{
    exchange->wants_answer = true;
    exchange_defer(exchange);
}

void client_resume_body(struct client_exchange *exchange)
{
    exchange->wants_body = true;
    exchange_defer(exchange);
}

void client_cancel(struct client_exchange **exchange)
{
    struct client_exchange *ended = *exchange;

    *exchange = NULL;
    if (ended == NULL || ended->state == EXCHANGE_ENDED)
        return;
    ended->state = EXCHANGE_CANCELLED;
    exchange_defer(ended);
}

struct client_times client_exchange_times(const struct client_exchange *exchange)
{
    return exchange->times;
}

void exchange_judge(struct client_exchange *exchange, enum client_outcome outcome,
                    const char *reason)
{
    if (exchange->has_verdict)
        return;
    exchange->has_verdict = true;
    exchange->outcome = outcome;
    exchange->reason = reason;
}

static void begin(struct client_exchange *exchange)
{
    struct client *client = exchange->client;

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
static void unpause(struct client_exchange *exchange)
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

void exchange_catch_up(struct client_exchange *exchange)
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

void exchange_finish(struct client_exchange *exchange, enum client_outcome outcome,
                     const char *reason)
{
    const struct answer *answer = &exchange->answer;

    leave_multi(exchange);
    exchange->client->has_called_back = true;
    if (outcome == CLIENT_OK && answer->place == ANSWER_AT_TRAILERS && answer->fields.count > 0 &&
        exchange->handler->trailers != NULL)
        exchange->handler->trailers(exchange->arg, &answer->fields);
    if (exchange->state != EXCHANGE_CANCELLED) { /* the callback may have done so */
        exchange->state = EXCHANGE_ENDED;
        exchange->handler->done(exchange->arg, outcome, reason);
    }
    if (!exchange->is_deferred) /* else when the list is next walked */
        recycle(exchange);
}
