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

/* ---- one try -------------------------------------------------------- */

static void pick_target(struct upstream_exchange *exchange, struct slot *slot)
{
    uint64_t now = now_us(exchange);
    uint32_t i;

    for (i = 0; i < slot->count; i++) {
        struct balance_entry *entry = &slot->entries[i];

        entry->is_ejected = target_is_ejected(slot->targets[i], now);
        entry->is_tried = i < 64 && (exchange->tried >> i & 1) != 0;
        entry->in_flight = atomic_load_explicit(&slot->targets[i]->in_flight, memory_order_relaxed);
    }
    i = balance_pick(exchange->upstream->balance, slot->entries, slot->count, random_u64());
    exchange->target_index = i;
    if (i < 64)
        exchange->tried |= UINT64_C(1) << i;
    exchange->target = slot->targets[i];
    atomic_fetch_add_explicit(&exchange->target->in_flight, 1, memory_order_relaxed);
}

static struct str host_to_send(const struct upstream_exchange *exchange,
                               const struct target_config *target)
{
    struct str authority;

    switch (exchange->upstream->host) {
    case HOST_NAME:
        return exchange->upstream->host_name;
    case HOST_CLIENT:
        if (exchange->client_host.len > 0)
            return exchange->client_host;
        break; /* HTTP/1.0 without Host */
    case HOST_TARGET:
        break;
    }
    if (target->port == (target->is_https ? 443 : 80))
        return target->host;
    authority =
        arena_printf(exchange->arena, "%.*s:%u", STR_ARG(target->host), (unsigned)target->port);
    return authority.ptr != NULL ? authority : target->host;
}

static bool start_client(struct upstream_exchange *exchange);

/* On the target that was picked. False: out of memory. */
static bool try_target(struct upstream_exchange *exchange)
{
    exchange->try_started_us = now_us(exchange);
    exchange->status = 0;
    body_rewind(exchange);
    if (!start_client(exchange))
        return false;
    clock_look(exchange);
    return true;
}

bool try_begin(struct upstream_exchange *exchange, struct slot *slot)
{
    pick_target(exchange, slot);
    exchange->needs_fresh = false;
    exchange->result.attempts++;
    exchange->result.target = exchange->upstream->targets[exchange->target_index].url;
    atomic_fetch_add_explicit(&exchange->target->requests, 1, memory_order_relaxed);
    return try_target(exchange);
}

static void begin_try(struct upstream_exchange *exchange)
{
    struct slot *slot = pool_slot(exchange->pool, exchange->upstream);

    if (slot != NULL && slot->count == 0)
        exchange_end(exchange, UPSTREAM_NO_TARGET, "no_target");
    else if (slot == NULL || !try_begin(exchange, slot))
        exchange_end(exchange, UPSTREAM_NO_MEMORY, "memory");
}

void try_after_backoff(void *arg)
{
    begin_try(arg);
}

static void note_failure(struct upstream_exchange *exchange)
{
    struct slot *slot = pool_slot(exchange->pool, exchange->upstream);

    if (slot != NULL)
        eject_note_failure(exchange->pool->upstreams, exchange->upstream, slot->targets,
                           exchange->target, now_us(exchange));
}

static bool may_retry(const struct upstream_exchange *exchange, enum upstream_kind kind)
{
    const struct upstream_config *upstream = exchange->upstream;
    struct retry_case c = {
        .kind = kind,
        .status = exchange->status,
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
        begin_try(exchange);
    else if (!deadline_set(exchange->pool->loop, &exchange->backoff, now_us(exchange) + delay_us))
        exchange_end(exchange, kind, reason);
}

/* A deadline for the whole may pass because our own side was slow. */
static bool is_targets_fault(const struct upstream_exchange *exchange, enum upstream_kind kind)
{
    if (kind == UPSTREAM_TOTAL_TIMEOUT)
        return !exchange->has_head && !exchange->waits_for_body;
    /* of an answer that was delivered the status was counted with its head */
    return kind_is_targets_fault(kind) || (exchange->status >= 500 && !exchange->has_head);
}

static void end_as(struct upstream_exchange *exchange, enum upstream_kind kind, const char *reason,
                   bool will_retry)
{
    bool has_try = exchange->target != NULL; /* a deadline may end the pause between two */

    client_cancel(&exchange->current);
    if (has_try && is_targets_fault(exchange, kind))
        note_failure(exchange);
    exchange_leave_target(exchange);
    if (has_try && exchange->handler->tried != NULL)
        exchange->handler->tried(exchange->arg, exchange->result.target, kind, exchange->status,
                                 will_retry);
    if (exchange->is_ended)
        return;
    if (will_retry)
        schedule_retry(exchange, kind, reason);
    else
        exchange_end(exchange, kind, reason);
}

void try_end(struct upstream_exchange *exchange, enum upstream_kind kind, const char *reason)
{
    end_as(exchange, kind, reason, exchange->target != NULL && may_retry(exchange, kind));
}

/* ---- what the client room tells ---------------------------------------- */

static void on_interim(void *arg, int status, const struct http_fields *fields)
{
    struct upstream_exchange *exchange = arg;

    if (exchange->handler->interim != NULL)
        exchange->handler->interim(exchange->arg, status, fields);
}

static void note_latency(struct upstream_exchange *exchange)
{
    uint64_t took_us = now_us(exchange) - exchange->try_started_us + 1;
    uint64_t before = atomic_load_explicit(&exchange->target->latency_us, memory_order_relaxed);
    uint64_t after = before == 0 ? took_us : before - before / 8 + took_us / 8;

    /* of two workers at once one sample is lost: it is an average */
    atomic_store_explicit(&exchange->target->latency_us, after, memory_order_relaxed);
}

static void on_head(void *arg, int status, const struct http_fields *fields,
                    const struct http_answer_facts *facts)
{
    struct upstream_exchange *exchange = arg;

    exchange->status = status;
    note_latency(exchange);
    if (may_retry(exchange, UPSTREAM_OK)) {
        end_as(exchange, UPSTREAM_OK, "status", true);
        return;
    }
    if (status >= 500)
        note_failure(exchange);
    else
        eject_note_success(exchange->target);
    exchange->has_head = true;
    exchange->result.first_byte_us = now_us(exchange) - exchange->started_us + 1;
    body_forget(exchange);
    exchange->active_us = now_us(exchange);
    clock_look(exchange);
    exchange->handler->head(exchange->arg, status, fields, facts, &exchange->result);
}

static bool on_body(void *arg, struct str bytes)
{
    struct upstream_exchange *exchange = arg;
    bool is_taken;

    exchange->active_us = now_us(exchange);
    is_taken = exchange->handler->body(exchange->arg, bytes);
    exchange->waits_for_reader = !is_taken;
    return is_taken;
}

static void on_trailers(void *arg, const struct http_fields *fields)
{
    struct upstream_exchange *exchange = arg;

    if (exchange->handler->trailers != NULL)
        exchange->handler->trailers(exchange->arg, fields);
}

/* The kept connection is to blame, not the target: once more on a fresh one. */
static bool is_connections_fault(const struct upstream_exchange *exchange,
                                 enum client_outcome outcome, bool was_reused)
{
    if (exchange->stale_tries >= MOST_STALE || exchange->body_is_lost)
        return false;
    return outcome == CLIENT_STALE ||
           (outcome == CLIENT_EMPTY && was_reused && exchange->is_repeatable);
}

static void on_done(void *arg, enum client_outcome outcome, const char *reason)
{
    struct upstream_exchange *exchange = arg;
    struct client_times times = client_exchange_times(exchange->current);

    exchange->current = NULL;
    if (is_connections_fault(exchange, outcome, times.is_reused)) {
        exchange->stale_tries++;
        exchange->needs_fresh = true;
        if (!try_target(exchange))
            exchange_end(exchange, UPSTREAM_NO_MEMORY, "memory");
        return;
    }
    if (outcome == CLIENT_PROTOCOL && times.connected_us == 0)
        exchange_leave_target(exchange); /* our own request was refused: that was no try */
    try_end(exchange, kind_of_outcome(outcome), reason);
}

static const struct client_handler client_handler = {on_interim,  on_head,   on_body,
                                                     on_trailers, body_read, on_done};

static bool start_client(struct upstream_exchange *exchange)
{
    const struct upstream_config *upstream = exchange->upstream;
    const struct target_config *target = &upstream->targets[exchange->target_index];
    struct client_request request = {
        .target = &exchange->client_target,
        .method = exchange->method,
        .path = exchange->path,
        .host = host_to_send(exchange, target),
        .fields = &exchange->fields,
        .body = exchange->body,
        .body_length = exchange->body_length,
        .connect_timeout_ms = upstream->connect_timeout_ms,
        .may_reuse = !exchange->needs_fresh,
    };

    exchange->client_target = (struct client_target){
        .is_https = target->is_https,
        .host = target->host,
        .port = target->port,
        .tls_ca = upstream->tls.ca,
        .tls_verify = upstream->tls.verify,
        .keepalive = upstream->keepalive,
    };
    exchange->current = client_start(exchange->pool->client, &request, &client_handler, exchange);
    return exchange->current != NULL;
}
