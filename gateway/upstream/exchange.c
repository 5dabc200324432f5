/* exchange.c - an exchange's life: started with a copy of the request, resumed, over.
 *
 * The request is copied because it may be sent again (try.c) after its caller's memory is
 * gone. An exchange that is over is silent, and is given back at the end of the turn,
 * because a callback of its own may still be on the stack. Spare ones keep their arena.
 *
 * Thread: the worker's. */
#include "upstream/upstream_priv.h"

#include <stdlib.h>

enum { MOST_SPARES = 256, ARENA_BLOCK_BYTES = 4096, ARENA_MOST_BYTES = 4 << 20 };

static uint64_t now_us(const struct upstream_exchange *exchange)
{
    return loop_now_us(exchange->pool->loop);
}

/* ---- given back -------------------------------------------------------- */

static void link_out(struct upstream_exchange *exchange)
{
    if (exchange->before != NULL)
        exchange->before->next = exchange->next;
    else if (exchange->pool->all == exchange)
        exchange->pool->all = exchange->next;
    if (exchange->next != NULL)
        exchange->next->before = exchange->before;
    exchange->before = exchange->next = NULL;
}

static void exchange_free(struct upstream_exchange *exchange)
{
    buf_free(&exchange->kept);
    arena_free(&exchange->arena);
    free(exchange);
}

static void give_back(void *arg)
{
    struct upstream_exchange *exchange = arg;
    struct upstream_pool *pool = exchange->pool;

    link_out(exchange);
    if (pool->spares >= MOST_SPARES) {
        exchange_free(exchange);
        return;
    }
    buf_free(&exchange->kept);
    arena_reset(exchange->arena);
    exchange->next = pool->spare;
    pool->spare = exchange;
    pool->spares++;
}

static void free_at_turn_end(void *arg)
{
    exchange_free(arg);
}

void pool_free_exchanges(struct upstream_pool *pool)
{
    while (pool->all != NULL) {
        struct upstream_exchange *exchange = pool->all;

        link_out(exchange);
        CHECK(pool->all != exchange);
        if (!exchange->is_ended) {
            clock_stop(exchange);
            client_cancel(&exchange->current);
            exchange_free(exchange);
        } else { /* the loop holds it until the turn ends */
            exchange->end.fn = free_at_turn_end;
        }
    }
    while (pool->spare != NULL) {
        struct upstream_exchange *exchange = pool->spare;

        pool->spare = exchange->next;
        exchange_free(exchange);
    }
}

void exchange_leave_target(struct upstream_exchange *exchange)
{
    if (exchange->target != NULL)
        atomic_fetch_sub_explicit(&exchange->target->in_flight, 1, memory_order_relaxed);
    exchange->target = NULL;
}

/* Silent from here on. */
static void retire(struct upstream_exchange *exchange)
{
    exchange->is_ended = true;
    clock_stop(exchange);
    client_cancel(&exchange->current);
    exchange_leave_target(exchange);
    if (exchange->is_charged)
        atomic_fetch_sub_explicit(&exchange->group->retrying, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&exchange->group->in_flight, 1, memory_order_relaxed);
    exchange->end = (struct turn_end){.fn = give_back, .arg = exchange};
    loop_at_turn_end(exchange->pool->loop, &exchange->end);
}

void exchange_end(struct upstream_exchange *exchange, enum upstream_kind kind, const char *reason)
{
    exchange->result.kind = kind;
    exchange->result.reason = reason;
    retire(exchange);
    exchange->handler->done(exchange->arg, &exchange->result);
}

/* ---- start, resume, cancel --------------------------------------------- */

static bool copy_text(struct arena *arena, struct str from, struct str *to)
{
    *to = arena_copy(arena, from);
    return to->ptr != NULL;
}

static bool copy_fields(struct upstream_exchange *exchange, const struct http_fields *fields)
{
    uint32_t count = fields->count;
    size_t bytes = 0;
    char *text;

    for (uint32_t i = 0; i < count; i++)
        bytes += fields->at[i].name.len + fields->at[i].value.len;
    exchange->fields =
        (struct http_fields){.count = count, .room = count, .arena = exchange->arena};
    exchange->fields.at = arena_take(exchange->arena, count * sizeof(struct http_field));
    text = arena_take(exchange->arena, bytes);
    if (exchange->fields.at == NULL || text == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct http_field field = fields->at[i];

        if (field.name.len > 0)
            memcpy(text, field.name.ptr, field.name.len);
        field.name.ptr = text;
        text += field.name.len;
        if (field.value.len > 0)
            memcpy(text, field.value.ptr, field.value.len);
        field.value.ptr = text;
        text += field.value.len;
        exchange->fields.at[i] = field;
    }
    return true;
}

static bool copy_request(struct upstream_exchange *exchange, const struct upstream_request *request)
{
    exchange->body = request->body;
    exchange->body_length = request->body_length;
    exchange->is_repeatable =
        request->has_idempotency_key || http_method_is_idempotent(request->method);
    return copy_text(exchange->arena, request->method, &exchange->method) &&
           copy_text(exchange->arena, request->path, &exchange->path) &&
           copy_text(exchange->arena, request->client_host, &exchange->client_host) &&
           copy_fields(exchange, request->fields);
}

static struct upstream_exchange *take_spare(struct upstream_pool *pool)
{
    struct upstream_exchange *exchange = pool->spare;
    struct arena *arena;

    if (exchange != NULL) {
        pool->spare = exchange->next;
        pool->spares--;
    } else {
        exchange = calloc(1, sizeof(*exchange));
        if (exchange == NULL)
            return NULL;
        exchange->arena = arena_new(ARENA_BLOCK_BYTES, ARENA_MOST_BYTES);
        if (exchange->arena == NULL) {
            free(exchange);
            return NULL;
        }
    }
    arena = exchange->arena;
    *exchange = (struct upstream_exchange){.pool = pool, .arena = arena};
    return exchange;
}

static void link_in(struct upstream_exchange *exchange)
{
    exchange->next = exchange->pool->all;
    if (exchange->next != NULL)
        exchange->next->before = exchange;
    exchange->pool->all = exchange;
}

struct upstream_exchange *upstream_start(struct upstream_pool *pool,
                                         const struct upstream_request *request,
                                         const struct upstream_handler *handler, void *arg)
{
    const struct upstream_config *upstream = request->upstream;
    struct slot *slot = pool_slot(pool, upstream);
    struct upstream_exchange *exchange = slot == NULL ? NULL : take_spare(pool);

    if (exchange == NULL)
        return NULL;
    exchange->upstream = upstream;
    exchange->handler = handler;
    exchange->arg = arg;
    exchange->started_us = now_us(exchange);
    exchange->attempts_left = upstream->retry.attempts;
    exchange->kept = buf_new(upstream->retry.buffer_bytes);
    exchange->backoff = (struct deadline){.fn = try_after_backoff, .arg = exchange};
    if (!copy_request(exchange, request) || !clock_start(exchange, request->timeout_ms)) {
        exchange_free(exchange);
        return NULL;
    }
    exchange->group = slot->group;
    atomic_fetch_add_explicit(&exchange->group->in_flight, 1, memory_order_relaxed);
    link_in(exchange);
    if (slot->count > 0 ? try_begin(exchange, slot)
                        : deadline_set(pool->loop, &exchange->backoff, exchange->started_us))
        return exchange; /* without a target the end comes by the deadline: never from in here */
    retire(exchange);
    return NULL;
}

void upstream_resume_answer(struct upstream_exchange *exchange)
{
    exchange->waits_for_reader = false;
    exchange->active_us = now_us(exchange);
    if (exchange->current != NULL)
        client_resume_answer(exchange->current);
}

void upstream_resume_body(struct upstream_exchange *exchange)
{
    exchange->waits_for_body = false;
    if (exchange->current != NULL)
        client_resume_body(exchange->current);
}

void upstream_cancel(struct upstream_exchange **exchange)
{
    struct upstream_exchange *ended = *exchange;

    *exchange = NULL;
    if (ended != NULL && !ended->is_ended)
        retire(ended);
}
