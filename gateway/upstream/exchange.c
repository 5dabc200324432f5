/* exchange.c - an exchange's life: started with a copy of the request, resumed, over.
 *
 * The request is copied because it may be sent again (try.c) after its caller's memory is
 * gone. An exchange that is over is silent, and is given back at the end of the turn,
 * because a callback of its own may still be on the stack. Spare ones keep their arena.
 *
 * Thread: the worker's. */
#include "upstream/upstream_priv.h"

#include <stdlib.h>

enum {
    MOST_SPARES = 256,
    ARENA_BLOCK_BYTES = 4096,
    ARENA_MOST_BYTES = 4 << 20,
    TRACEPARENT_BYTES = 55
};

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
            queue_leave(exchange);
            attempt_drop(&exchange->attempts[0]);
            attempt_drop(&exchange->attempts[1]);
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

void attempt_drop(struct attempt *attempt)
{
    client_cancel(&attempt->current);
    if (attempt->target == NULL)
        return;
    atomic_fetch_sub_explicit(&attempt->target->in_flight, 1, memory_order_relaxed);
    attempt_end_trial(attempt);
    attempt->target = NULL;
    queue_note_room(attempt->exchange->pool);
}

void exchange_tell_breaker(struct upstream_exchange *exchange, bool has_failed)
{
    if (exchange->is_judged)
        return;
    exchange->is_judged = true;
    breaker_note(&exchange->group->breaker, exchange->upstream, exchange->is_trial, has_failed,
                 now_us(exchange));
}

/* Silent from here on. */
static void retire(struct upstream_exchange *exchange)
{
    exchange->is_ended = true;
    clock_stop(exchange);
    queue_leave(exchange);
    attempt_drop(&exchange->attempts[0]);
    attempt_drop(&exchange->attempts[1]);
    if (exchange->is_trial && !exchange->is_judged)
        breaker_give_back(&exchange->group->breaker);
    if (exchange->is_charged)
        atomic_fetch_sub_explicit(&exchange->group->retrying, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&exchange->group->in_flight, 1, memory_order_relaxed);
    exchange->end = (struct turn_end){.fn = give_back, .arg = exchange};
    loop_at_turn_end(exchange->pool->loop, &exchange->end);
}

/* Of the upstream: a deadline for the whole may pass because our own side was slow. */
static bool says_something(const struct upstream_exchange *exchange, enum upstream_kind kind)
{
    if (exchange->result.attempts == 0)
        return false;
    if (kind == UPSTREAM_TOTAL_TIMEOUT)
        return !exchange->has_head && !exchange->waits_for_body;
    return kind == UPSTREAM_OK || kind_is_targets_fault(kind);
}

void exchange_end(struct upstream_exchange *exchange, enum upstream_kind kind, const char *reason)
{
    exchange->result.kind = kind;
    exchange->result.reason = reason;
    verdict_note_end(exchange, kind);
    if (exchange->result.retry_after_s == 0)
        exchange->result.retry_after_s = 1;
    if (says_something(exchange, kind))
        exchange_tell_breaker(exchange, kind != UPSTREAM_OK);
    retire(exchange);
    exchange->handler->done(exchange->arg, &exchange->result);
}

/* ---- start, resume, cancel --------------------------------------------- */

static bool copy_text(struct arena *arena, struct str from, struct str *to)
{
    *to = arena_copy(arena, from);
    return to->ptr != NULL;
}

/* The name is Envoy's; it is what services and their libraries read. */
#define DEADLINE_FIELD "X-Envoy-Expected-Rq-Timeout-Ms"

static bool is_deadline(const struct http_field *field)
{
    return field->name.len == sizeof(DEADLINE_FIELD) - 1 &&
           str_ieq(field->name, STR(DEADLINE_FIELD));
}

/* Its value is written when a try begins: attempt_start(). */
static struct http_field deadline_field(const struct upstream_exchange *exchange)
{
    return (struct http_field){.name = STR(DEADLINE_FIELD),
                               .value = str_at(exchange->deadline_text, 0)};
}

static bool copy_fields(struct upstream_exchange *exchange, const struct http_fields *fields)
{
    uint32_t count = fields->count, kept = 0;
    size_t bytes = 0;
    char *text;

    for (uint32_t i = 0; i < count; i++)
        bytes += fields->at[i].name.len + fields->at[i].value.len;
    exchange->fields = (struct http_fields){.room = count + 1, .arena = exchange->arena};
    exchange->fields.at = arena_take(exchange->arena, (count + 1) * sizeof(struct http_field));
    text = arena_take(exchange->arena, bytes);
    if (exchange->fields.at == NULL || text == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct http_field field = fields->at[i];

        if (is_deadline(&field)) /* a client has no say in ours */
            continue;
        if (field.name.len > 0)
            memcpy(text, field.name.ptr, field.name.len);
        field.name.ptr = text;
        text += field.name.len;
        if (field.value.len > 0)
            memcpy(text, field.value.ptr, field.value.len);
        if (field.id == HTTP_TRACEPARENT && field.value.len == TRACEPARENT_BYTES)
            exchange->traceparent = text; /* who writes it over writes all of it */
        field.value.ptr = text;
        text += field.value.len;
        exchange->fields.at[kept++] = field;
    }
    exchange->fields.at[kept++] = deadline_field(exchange);
    exchange->fields.count = kept;
    return true;
}

static bool copy_request(struct upstream_exchange *exchange, const struct upstream_request *request)
{
    exchange->body = request->body;
    exchange->body_length = request->body_length;
    exchange->upgrades = request->upgrades;
    exchange->is_repeatable =
        request->has_idempotency_key || http_method_is_idempotent(request->method);
    exchange->may_hedge = exchange->upstream->hedge && request->body == CLIENT_BODY_NONE &&
                          !request->upgrades && str_eq(request->method, STR("GET"));
    exchange->hash =
        exchange->upstream->balance == BALANCE_HASH ? balance_hash(request->hash_key) : 0;
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

static void set_up(struct upstream_exchange *exchange, const struct upstream_request *request)
{
    exchange->upstream = request->upstream;
    exchange->started_us = now_us(exchange);
    exchange->attempts_left = request->upstream->retry.attempts;
    exchange->kept = buf_new(request->upstream->retry.buffer_bytes);
    exchange->backoff = (struct deadline){.fn = try_now, .arg = exchange};
    exchange->hedge = (struct deadline){.fn = hedge_now, .arg = exchange};
    exchange->attempts[0].exchange = exchange->attempts[1].exchange = exchange;
    exchange->main = &exchange->attempts[0];
}

static uint32_t seconds_until(uint64_t at_us, uint64_t now)
{
    return at_us <= now ? 1 : (uint32_t)((at_us - now + 999999) / 1000000);
}

/* What forbids even to try; the answer comes by a deadline, never from inside the call. */
static void admit(struct upstream_exchange *exchange, double share)
{
    struct group *group = exchange->group;
    uint32_t in_flight = atomic_fetch_add_explicit(&group->in_flight, 1, memory_order_relaxed);
    uint64_t now = now_us(exchange);

    if (exchange->upstream->adaptive && !adaptive_allows(&group->adaptive, in_flight, share)) {
        exchange->refusal = UPSTREAM_SHED;
        return;
    }
    switch (breaker_ask(&group->breaker, exchange->upstream, now)) {
    case BREAKER_PASS:
        break;
    case BREAKER_TRIAL:
        exchange->is_trial = true;
        break;
    case BREAKER_REFUSE:
        exchange->refusal = UPSTREAM_BREAKER;
        exchange->result.retry_after_s = seconds_until(
            atomic_load_explicit(&group->breaker.until_us, memory_order_relaxed), now);
        break;
    }
}

/* What cannot begin at once is dealt with by the deadline. False: out of memory. */
static bool begin(struct upstream_exchange *exchange)
{
    enum try_result result = TRY_FULL;

    if (exchange->refusal == UPSTREAM_OK && !queue_has_others(exchange))
        result = try_begin(exchange);
    if (result == TRY_FULL || result == TRY_NO_TARGET)
        return deadline_set(exchange->pool->loop, &exchange->backoff, exchange->started_us);
    return result == TRY_BEGUN;
}

struct upstream_exchange *upstream_start(struct upstream_pool *pool,
                                         const struct upstream_request *request,
                                         const struct upstream_handler *handler, void *arg)
{
    struct slot *slot = pool_slot(pool, request->upstream);
    struct upstream_exchange *exchange = slot == NULL ? NULL : take_spare(pool);

    if (exchange == NULL)
        return NULL;
    set_up(exchange, request);
    exchange->handler = handler;
    exchange->arg = arg;
    if (!copy_request(exchange, request) || !clock_start(exchange, request->timeout_ms)) {
        exchange_free(exchange);
        return NULL;
    }
    exchange->group = slot->members.group;
    admit(exchange, request->share);
    link_in(exchange);
    if (begin(exchange))
        return exchange;
    retire(exchange);
    return NULL;
}

void upstream_resume_answer(struct upstream_exchange *exchange)
{
    exchange->waits_for_reader = false;
    exchange->active_us = now_us(exchange);
    if (exchange->main->current != NULL)
        client_resume_answer(exchange->main->current);
}

void upstream_resume_body(struct upstream_exchange *exchange)
{
    exchange->waits_for_body = false;
    if (exchange->main->current != NULL)
        client_resume_body(exchange->main->current);
}

void upstream_cancel(struct upstream_exchange **exchange)
{
    struct upstream_exchange *ended = *exchange;

    *exchange = NULL;
    if (ended != NULL && !ended->is_ended)
        retire(ended);
}
