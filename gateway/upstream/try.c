/* try.c - the tries of an exchange, to the one answer that is delivered.
 *
 * A try is one exchange of the client room with one target. Until a head is delivered a
 * try may be followed by another (retry.c); after it everything passes straight through.
 * Two ends of a try are no failure of the target and cost no attempt: the kept connection
 * turned out dead before anything was sent, or it died under a request that may be
 * repeated, which is how a connection ends whose peer just then gave up waiting.
 *
 * Thread: the worker's; the callbacks run inside the client room. */
#include "upstream/upstream_priv.h"

enum { MOST_STALE = 2 };

static uint64_t now_us(const struct upstream_exchange *exchange)
{
    return loop_now_us(exchange->pool->loop);
}

/* ---- one attempt ------------------------------------------------------ */

struct attempt *attempt_other(struct attempt *attempt)
{
    struct upstream_exchange *exchange = attempt->exchange;

    return &exchange->attempts[attempt == &exchange->attempts[0] ? 1 : 0];
}

bool attempt_is_on(const struct attempt *attempt)
{
    return attempt->target != NULL;
}

static bool start_client(struct attempt *attempt);

/* On the target that was picked. False: out of memory. */
static bool try_target(struct attempt *attempt)
{
    struct upstream_exchange *exchange = attempt->exchange;

    attempt->started_us = now_us(exchange);
    attempt->status = 0;
    attempt_tell_deadline(exchange, attempt->started_us);
    body_rewind(exchange);
    if (!start_client(attempt))
        return false;
    clock_look(exchange);
    return true;
}

bool attempt_start(struct attempt *attempt, struct slot *slot, uint32_t place)
{
    struct upstream_exchange *exchange = attempt->exchange;

    attempt->target = slot->members.targets[place];
    attempt->origin = slot->members.origins[place];
    attempt->needs_fresh = false;
    attempt_begin_trial(attempt);
    if (place < 64)
        exchange->tried |= UINT64_C(1) << place;
    attempt->number = ++exchange->result.attempts;
    exchange->result.target = exchange->upstream->targets[attempt->origin].url;
    if (exchange->handler->trying != NULL)
        exchange->handler->trying(exchange->arg, attempt->number,
                                  &exchange->upstream->targets[attempt->origin],
                                  exchange->traceparent);
    atomic_fetch_add_explicit(&attempt->target->requests, 1, memory_order_relaxed);
    return try_target(attempt);
}

/* ---- one try ---------------------------------------------------------- */

enum try_result try_begin(struct upstream_exchange *exchange)
{
    struct slot *slot = pool_slot(exchange->pool, exchange->upstream);
    struct choose_question question = {.upstream = exchange->upstream,
                                       .tried = exchange->tried,
                                       .hash = exchange->hash,
                                       .worst = STANDING_EJECTED,
                                       .now_us = now_us(exchange)};
    uint32_t place;

    if (slot == NULL)
        return TRY_NO_MEMORY;
    switch (choose_target(slot, &question, &place)) {
    case CHOICE_TARGET:
        break;
    case CHOICE_FULL:
        return TRY_FULL;
    case CHOICE_NONE:
        return TRY_NO_TARGET;
    }
    exchange->main->has_crossed = false;
    if (!attempt_start(exchange->main, slot, place))
        return TRY_NO_MEMORY;
    if (exchange->may_hedge)
        hedge_plan(exchange);
    return TRY_BEGUN;
}

/* Who waits already comes first. */
static enum try_result begin_or_wait(struct upstream_exchange *exchange)
{
    return queue_has_others(exchange) ? TRY_FULL : try_begin(exchange);
}

void try_now(void *arg)
{
    struct upstream_exchange *exchange = arg;

    if (exchange->refusal != UPSTREAM_OK) {
        exchange_end(exchange, exchange->refusal, upstream_kind_name(exchange->refusal));
        return;
    }
    switch (begin_or_wait(exchange)) {
    case TRY_BEGUN:
        break;
    case TRY_FULL:
        if (!queue_join(exchange))
            exchange_end(exchange, UPSTREAM_OVERLOAD, "queue_full");
        break;
    case TRY_NO_TARGET:
        exchange_end(exchange, UPSTREAM_NO_TARGET, "no_target");
        break;
    case TRY_NO_MEMORY:
        exchange_end(exchange, UPSTREAM_NO_MEMORY, "memory");
        break;
    }
}

/* ---- its end ----------------------------------------------------------- */

static bool may_retry(const struct attempt *attempt, enum upstream_kind kind)
{
    const struct upstream_exchange *exchange = attempt->exchange;
    const struct upstream_config *upstream = exchange->upstream;
    struct retry_case c = {
        .kind = kind,
        .status = attempt->status,
        .on = upstream->retry.on,
        .attempts_left = exchange->attempts_left,
        .is_repeatable = exchange->is_repeatable,
        .has_head = exchange->has_head,
        .body_is_lost = exchange->body_is_lost,
        .is_charged = exchange->is_charged,
        .budget = upstream->retry.budget,
        .in_flight = atomic_load_explicit(&exchange->group->in_flight, memory_order_relaxed),
        .retrying = atomic_load_explicit(&exchange->group->retrying, memory_order_relaxed),
    };

    if (retry_lacks_budget(&c))
        verdict_note(exchange->pool->upstreams, exchange->group, VERDICT_RETRY_BUDGET,
                     now_us(exchange));
    return retry_is_allowed(&c);
}

static bool has_untried(const struct upstream_exchange *exchange)
{
    uint32_t count = exchange->upstream->target_count;
    uint64_t all = count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;

    return (exchange->tried & all) != all;
}

static void schedule_retry(struct upstream_exchange *exchange, enum upstream_kind kind,
                           const char *reason)
{
    uint32_t nth = exchange->upstream->retry.attempts - --exchange->attempts_left;
    uint64_t delay_us = retry_delay_us(kind, has_untried(exchange), nth, random_u64());

    if (!exchange->is_charged)
        atomic_fetch_add_explicit(&exchange->group->retrying, 1, memory_order_relaxed);
    exchange->is_charged = true;
    if (delay_us == 0)
        try_now(exchange);
    else if (!deadline_set(exchange->pool->loop, &exchange->backoff, now_us(exchange) + delay_us))
        exchange_end(exchange, kind, reason);
}

/* ---- to the other family ------------------------------------------------ */

/* A name's addresses of one family may all lead nowhere while those of the other do: as nothing was
 * sent, any request goes on there, once a try, and it costs neither an attempt nor budget. A place
 * is taken there. NULL: no. */
static struct target *find_across(struct attempt *attempt, enum upstream_kind kind,
                                  struct slot **slot, uint32_t *place)
{
    struct upstream_exchange *exchange = attempt->exchange;
    struct choose_question question = {
        .upstream = exchange->upstream, .tried = exchange->tried, .now_us = now_us(exchange)};

    if ((kind != UPSTREAM_CONNECT && kind != UPSTREAM_CONNECT_TIMEOUT) || attempt->has_crossed ||
        attempt->target->address.len == 0 || attempt_is_on(attempt_other(attempt)))
        return NULL;
    *slot = pool_slot(exchange->pool, exchange->upstream);
    if (*slot == NULL || !choose_across(*slot, &question, attempt->target, place))
        return NULL;
    return (*slot)->members.targets[*place];
}

static void go_across(struct attempt *attempt, struct slot *slot, uint32_t place)
{
    attempt->has_crossed = true;
    if (!attempt_start(attempt, slot, place))
        exchange_end(attempt->exchange, UPSTREAM_NO_MEMORY, "memory");
}

/* A deadline for the whole may pass because our own side was slow. */
static bool is_targets_fault(const struct attempt *attempt, enum upstream_kind kind)
{
    const struct upstream_exchange *exchange = attempt->exchange;

    if (exchange->is_stream)
        return false;
    if (kind == UPSTREAM_TOTAL_TIMEOUT)
        return !exchange->has_head && !exchange->waits_for_body;
    /* of an answer that was delivered the status was counted with its head */
    return kind_is_targets_fault(kind) || (attempt->status >= 500 && !exchange->has_head);
}

static void tell_end(const struct attempt *attempt, enum upstream_kind kind, bool will_retry)
{
    const struct upstream_exchange *exchange = attempt->exchange;
    struct upstream_try ended = {attempt->number, exchange->upstream->targets[attempt->origin].url,
                                 kind, attempt->status, will_retry};

    if (exchange->handler->tried != NULL)
        exchange->handler->tried(exchange->arg, &ended);
}

static void end_as(struct attempt *attempt, enum upstream_kind kind, const char *reason,
                   bool will_retry)
{
    struct upstream_exchange *exchange = attempt->exchange;
    struct attempt *other = attempt_other(attempt);
    struct target *across = NULL;
    struct slot *slot = NULL;
    uint32_t place = 0;
    bool has_try = attempt_is_on(attempt); /* a deadline may end the pause between two */

    client_cancel(&attempt->current);
    if (has_try && is_targets_fault(attempt, kind))
        attempt_note_failure(attempt);
    else if (has_try && kind == UPSTREAM_OK && attempt->status < 500) /* whole: not before */
        attempt_note_success(attempt);
    if (has_try)
        across = find_across(attempt, kind, &slot, &place);
    attempt_drop(attempt);
    will_retry = will_retry || across != NULL;
    if (has_try)
        tell_end(attempt, kind, will_retry && !attempt_is_on(other));
    if (exchange->is_ended) {
        if (across != NULL)
            atomic_fetch_sub_explicit(&across->in_flight, 1, memory_order_relaxed);
        return;
    }
    if (across != NULL) {
        go_across(attempt, slot, place);
    } else if (attempt_is_on(other)) { /* the one beside it may still answer */
        exchange->main = other;
        exchange->result.target = exchange->upstream->targets[other->origin].url;
        clock_look(exchange);
    } else if (will_retry) {
        schedule_retry(exchange, kind, reason);
    } else {
        exchange_end(exchange, kind, reason);
    }
}

void try_end(struct attempt *attempt, enum upstream_kind kind, const char *reason)
{
    end_as(attempt, kind, reason, attempt_is_on(attempt) && may_retry(attempt, kind));
}

/* ---- what the client room tells ---------------------------------------- */

static void on_interim(void *arg, int status, const struct http_fields *fields)
{
    struct upstream_exchange *exchange = ((struct attempt *)arg)->exchange;

    if (exchange->handler->interim != NULL)
        exchange->handler->interim(exchange->arg, status, fields);
}

/* This answer will be delivered: the other one is not waited for any more. */
static void take_over(struct attempt *attempt)
{
    struct upstream_exchange *exchange = attempt->exchange;

    deadline_clear(exchange->pool->loop, &exchange->hedge);
    attempt_drop(attempt_other(attempt));
    exchange->main = attempt;
    exchange->result.target = exchange->upstream->targets[attempt->origin].url;
    exchange->has_head = true;
    exchange->result.first_byte_us = now_us(exchange) - exchange->started_us + 1;
}

/* A failure, while the one beside it may do better. */
static bool is_given_up(struct attempt *attempt)
{
    return attempt->status >= 500 && attempt_is_on(attempt_other(attempt));
}

static void on_head(void *arg, int status, const struct http_fields *fields,
                    const struct http_answer_facts *facts)
{
    struct attempt *attempt = arg;
    struct upstream_exchange *exchange = attempt->exchange;

    attempt->status = status;
    attempt_note_latency(attempt);
    if (is_given_up(attempt) || may_retry(attempt, UPSTREAM_OK)) {
        end_as(attempt, UPSTREAM_OK, "status", true);
        return;
    }
    if (status >= 500)
        attempt_note_failure(attempt);
    else
        attempt_note_answer(attempt);
    take_over(attempt);
    if (status >= 500 || exchange->is_trial)
        exchange_tell_breaker(exchange, status >= 500);
    body_forget(exchange);
    exchange->active_us = now_us(exchange);
    clock_look(exchange);
    exchange->handler->head(exchange->arg, status, fields, facts, &exchange->result);
}

static bool on_body(void *arg, struct str bytes)
{
    struct upstream_exchange *exchange = ((struct attempt *)arg)->exchange;
    bool is_taken;

    exchange->active_us = now_us(exchange);
    is_taken = exchange->handler->body(exchange->arg, bytes);
    exchange->waits_for_reader = !is_taken;
    return is_taken;
}

static char *on_place(void *arg, size_t *room)
{
    struct upstream_exchange *exchange = ((struct attempt *)arg)->exchange;
    char *to;

    *room = 1;
    if (exchange->handler->place == NULL)
        return NULL;
    to = exchange->handler->place(exchange->arg, room);
    exchange->waits_for_reader = to == NULL && *room == 0;
    return to;
}

static void on_placed(void *arg, size_t len)
{
    struct upstream_exchange *exchange = ((struct attempt *)arg)->exchange;

    exchange->active_us = now_us(exchange);
    exchange->handler->placed(exchange->arg, len);
}

static void on_trailers(void *arg, const struct http_fields *fields)
{
    struct upstream_exchange *exchange = ((struct attempt *)arg)->exchange;

    if (exchange->handler->trailers != NULL)
        exchange->handler->trailers(exchange->arg, fields);
}

static ptrdiff_t on_read(void *arg, char *to, size_t room)
{
    return body_read(((struct attempt *)arg)->exchange, to, room);
}

/* The kept connection is to blame, not the target: once more on a fresh one. */
static bool is_connections_fault(const struct attempt *attempt, enum client_outcome outcome,
                                 bool was_reused)
{
    if (attempt->stale_tries >= MOST_STALE || attempt->exchange->body_is_lost)
        return false;
    return outcome == CLIENT_STALE ||
           (outcome == CLIENT_EMPTY && was_reused && attempt->exchange->is_repeatable);
}

static void on_done(void *arg, enum client_outcome outcome, const char *reason)
{
    struct attempt *attempt = arg;
    struct client_times times = client_exchange_times(attempt->current);

    attempt->current = NULL;
    if (is_connections_fault(attempt, outcome, times.is_reused)) {
        attempt->stale_tries++;
        attempt->needs_fresh = true;
        if (!try_target(attempt))
            exchange_end(attempt->exchange, UPSTREAM_NO_MEMORY, "memory");
        return;
    }
    if (outcome == CLIENT_PROTOCOL && times.connected_us == 0)
        attempt_drop(attempt); /* our own request was refused: that was no try */
    try_end(attempt, kind_of_outcome(outcome), reason);
}

static const struct client_handler client_handler = {
    .interim = on_interim,
    .head = on_head,
    .body = on_body,
    .trailers = on_trailers,
    .read = on_read,
    .done = on_done,
    .place = on_place,
    .placed = on_placed,
};

static bool start_client(struct attempt *attempt)
{
    struct upstream_exchange *exchange = attempt->exchange;
    const struct upstream_config *upstream = exchange->upstream;
    struct client_request request = {
        .target = &attempt->client_target,
        .method = exchange->method,
        .path = exchange->path,
        .host = attempt_host(exchange, &upstream->targets[attempt->origin]),
        .fields = &exchange->fields,
        .body = exchange->body,
        .body_length = exchange->body_length,
        .connect_timeout_ms = upstream->connect_timeout_ms,
        .may_reuse = !attempt->needs_fresh,
        .upgrades = exchange->upgrades,
    };

    attempt->client_target = target_for_client(upstream, attempt->origin, attempt->target);
    attempt->current = client_start(exchange->pool->client, &request, &client_handler, attempt);
    return attempt->current != NULL;
}
