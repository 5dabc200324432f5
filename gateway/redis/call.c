/* call.c - calls: pooled, each with its own deadline.
 *
 * A call stays in its connection's list until its reply comes, whoever still waits: replies are
 * matched by order alone. When the deadline passes, or the caller cancels, the caller is
 * forgotten at once and the place in the list stays.
 *
 * One thread: the loop's. */
#include "redis/redis_priv.h"

#include <stdlib.h>

static void on_deadline(void *arg)
{
    struct redis_call *call = arg;
    redis_reply_fn *fn = call->fn;
    uint64_t now_us = loop_now_us(call->redis->loop);

    if (call->redis->is_ended)
        return;
    call->is_waited_for = false;
    call->fn = NULL;
    if (call->redis->outcome_cells[REDIS_LATE] != NULL && !call->is_internal) {
        cell_add(call->redis->outcome_cells[REDIS_LATE], 1);
        cell_add(call->redis->kind_cells[REDIS_LATE], 1);
    }
    if (call->link != NULL)
        health_missed(call->link, now_us - call->sent_us);
    if (fn != NULL)
        fn(call->arg, REDIS_LATE, NULL);
}

struct redis_call *call_new(struct redis *redis)
{
    struct redis_call *call = redis->spare;

    if (call != NULL) {
        redis->spare = call->next;
        redis->spare_count--;
    } else {
        call = calloc(1, sizeof(*call));
        if (call == NULL)
            return NULL;
        call->copy = buf_new(REDIS_MAX_COMMAND);
    }
    call->next = NULL;
    call->redis = redis;
    call->deadline = (struct deadline){.fn = on_deadline, .arg = call};
    redis->calls++;
    return call;
}

void call_recycle(struct redis_call *call)
{
    struct redis *redis = call->redis;
    struct buf copy = call->copy;

    deadline_clear(redis->loop, &call->deadline);
    redis->calls--;
    if (redis->queue_cell != NULL && call->is_counted) {
        redis->counted--;
        cell_gauge_add(redis->queue_cell, -1);
    }
    if (redis->spare_count >= REDIS_KEPT_CALLS) {
        buf_free(&copy);
        free(call);
        return;
    }
    if (copy.room > REDIS_SMALL_COPY)
        buf_free(&copy);
    buf_clear(&copy);
    *call = (struct redis_call){.next = redis->spare, .copy = copy};
    redis->spare = call;
    redis->spare_count++;
}

static void count(struct redis_call *call, enum redis_outcome outcome, bool has_reply)
{
    struct redis *redis = call->redis;

    if (redis->queue_cell == NULL || call->is_internal)
        return;
    if (has_reply)
        cell_observe(redis->duration_cell,
                     (double)(loop_now_us(redis->loop) - call->sent_us) / 1e6);
    if (!call->is_waited_for)
        return; /* counted as late, or nobody asks any more */
    cell_add(redis->outcome_cells[outcome], 1);
    if (outcome != REDIS_OK)
        cell_add(redis->kind_cells[outcome], 1);
}

void call_end(struct redis_call *call, enum redis_outcome outcome, const struct redis_reply *reply)
{
    redis_reply_fn *fn = call->fn;
    redis_late_fn *late = call->is_waited_for ? NULL : call->late;
    void *arg = call->arg, *late_arg = call->late_arg;
    uint8_t note[REDIS_NOTE_BYTES];

    memcpy(note, call->note, sizeof(note));
    if (!call->redis->is_ended)
        count(call, outcome, reply != NULL);
    else
        fn = NULL, late = NULL;
    call_recycle(call);
    if (fn != NULL)
        fn(arg, outcome, reply);
    else if (late != NULL)
        late(late_arg, note, outcome, reply);
}

void redis_cancel(struct redis_call **call)
{
    struct redis_call *cancelled = *call;

    *call = NULL;
    if (cancelled == NULL)
        return;
    deadline_clear(cancelled->redis->loop, &cancelled->deadline);
    cancelled->fn = NULL;
    cancelled->is_waited_for = false;
}

bool call_internal(struct redis_link *link, const char *const *words, uint64_t deadline_us,
                   redis_reply_fn *fn, void *arg)
{
    struct buf bytes = buf_new(4096);
    struct redis_call *call = call_new(link->redis);
    bool ok = false;

    if (call == NULL)
        return false;
    call->is_internal = true;
    call->fn = fn;
    call->arg = arg;
    call->is_waited_for = fn != NULL;
    ok = encode_text(&bytes, words) && link_write(link, call, buf_str(&bytes)) &&
         (deadline_us == 0 || deadline_set(link->redis->loop, &call->deadline, deadline_us));
    if (!ok && call->link == NULL)
        call_recycle(call);
    buf_free(&bytes);
    return ok;
}
