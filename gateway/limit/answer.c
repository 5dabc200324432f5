/* answer.c - what becomes of questions to the store: its answer, a late one, or none.
 *
 * The records that come back go through decide.c, once for each who waits, in the order of asking,
 * and their end into the memory store. Without an answer the decision is made from there.
 * One worker's thread. */
#include "limit/link_priv.h"

#include <stdatomic.h>

/* ---- without the server ---- */

/* What a decision costs this gateway's share: as many as there are gateways, but never so much that
 * a full window could not pay it. */
static uint64_t share_cost(const struct limit_store *store, const struct limit_call *call)
{
    uint64_t gateways = atomic_load_explicit(&store->limiter->live_gateways, memory_order_relaxed);
    uint64_t cost = call->cost * (gateways > 0 ? gateways : 1);

    for (uint32_t p = 0; p < call->policy_count; p++)
        for (uint32_t i = 0; i < call->policies[p].windows->count; i++) {
            uint64_t capacity = window_capacity(&call->policies[p].windows->at[i]);

            if (cost > capacity)
                cost = capacity;
        }
    return cost > call->cost ? cost : call->cost;
}

void decide_without(struct limit_store *store, struct limit_call *call, bool is_owed)
{
    struct limit_time now = {loop_now_us(store->loop), loop_wall_us(store->loop)};

    cell_add(store->fallbacks, 1);
    switch (call->on_failure) {
    case ON_FAILURE_LOCAL:
    case ON_FAILURE_INHERIT:
        call->origin = LIMIT_FROM_MEMORY;
        limit_take(store->limiter, call->policies, call->policy_count, share_cost(store, call), now,
                   call->state);
        if (call->state->allowed && is_owed)
            debts_add(store, call);
        return;
    case ON_FAILURE_OPEN:
        call->origin = LIMIT_FROM_NOBODY;
        call->state->count = 0;
        call->state->allowed = true;
        return;
    case ON_FAILURE_CLOSED:
        call->origin = LIMIT_CLOSED;
        call->state->count = 0;
        call->state->allowed = false;
        return;
    }
}

void group_without(struct limit_store *store, struct limit_group *group, bool is_owed)
{
    struct limit_call *call = group->first;

    if (is_owed && group->op == PACKED_CHARGE)
        debts_owe(store, group);
    group->first = NULL;
    while (call != NULL) {
        struct limit_call *next = call->next;

        call->is_waiting = false;
        call->group = NULL;
        decide_without(store, call, is_owed);
        call->done(call->arg);
        call = next;
    }
}

/* ---- answers ---- */

/* The server's records by the clock of this machine. */
static void to_local(const struct window_config *window, union window_record *record,
                     struct limit_time server, struct limit_time now)
{
    uint64_t ahead = server.mono_us > now.mono_us ? server.mono_us - now.mono_us : 0;

    switch (window->kind) {
    case WINDOW_BUCKET:
        record->bucket.tat_ns -=
            record->bucket.tat_ns > ahead * 1000 ? ahead * 1000 : record->bucket.tat_ns;
        break;
    case WINDOW_SLIDING:
        record->sliding.start_us -=
            record->sliding.start_us > ahead ? ahead : record->sliding.start_us;
        break;
    case WINDOW_FIXED:
        record->fixed.start_us -= record->fixed.start_us > ahead ? ahead : record->fixed.start_us;
        break;
    case WINDOW_STRICT:
        record->strict.index += (uint32_t)(now.mono_us / window_slice_us(window)) -
                                (uint32_t)(server.mono_us / window_slice_us(window));
        break;
    case WINDOW_CALENDAR:
        break;
    }
}

static void mirror(struct limit_store *store, const struct limit_group *group,
                   const struct window_config *const *windows, uint32_t count,
                   struct packed_answer *answer)
{
    struct limit_time now = {loop_now_us(store->loop), loop_wall_us(store->loop)};

    for (uint32_t i = 0; i < count; i++) {
        window_roll(windows[i], &answer->records[i], answer->now);
        to_local(windows[i], &answer->records[i], answer->now, now);
    }
    memory_put(store->limiter, group->policies, group->policy_count, answer->records, now);
}

void obey(struct limit_state *state, bool is_granted)
{
    enum { RETRY_US = 1000000 };

    if (state->allowed == is_granted || state->count == 0)
        return;
    state->allowed = is_granted;
    for (uint32_t i = 0; i < state->count && is_granted; i++)
        state->windows[i].refuses = false;
    if (!is_granted) {
        state->worst = 0;
        state->windows[0].refuses = true;
        state->windows[0].retry_us = RETRY_US;
    }
}

static void answer_group(struct limit_store *store, struct limit_group *group, struct str text,
                         bool is_late)
{
    const struct window_config *windows[LIMIT_MAX_WINDOWS];
    uint32_t count = decision_windows(group->policies, group->policy_count, windows), granted = 0;
    struct packed_answer answer;
    struct limit_call *call = group->first;

    if (!packed_answer_read(text, windows, count, &answer)) {
        group_without(store, group, false);
        return;
    }
    group->first = NULL;
    while (call != NULL) {
        struct limit_call *next = call->next;

        decision_take(windows, answer.records, count, group->cost, answer.now, call->state);
        obey(call->state, granted < answer.granted);
        granted += call->state->allowed;
        if (!call->state->allowed)
            deny_note(store, call, &answer);
        call->origin = LIMIT_FROM_STORE;
        call->is_waiting = false;
        call->group = NULL;
        call->done(call->arg);
        call = next;
    }
    if (!is_late)
        lease_note(store, group, answer.granted - granted, &answer);
    for (; granted < answer.granted; granted++) { /* taken ahead, or by who has left */
        struct limit_state state;

        decision_take(windows, answer.records, count, group->cost, answer.now, &state);
    }
    if (group->op == PACKED_TAKE)
        mirror(store, group, windows, count, &answer);
}

static void answer_batch(struct limit_batch *batch, const struct redis_reply *reply, bool is_late)
{
    for (uint32_t i = 0; i < batch->count; i++) /* their copies will be written */
        limit_hint(batch->store->limiter, batch->groups[i].policies[0].key);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct redis_reply *item = redis_item(reply, i);

        if (item != NULL && item->form == REDIS_STRING)
            answer_group(batch->store, &batch->groups[i], item->text, is_late);
        else if (!is_late)
            group_without(batch->store, &batch->groups[i], false);
    }
}

void batch_on_reply(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct limit_batch *batch = arg;
    struct limit_store *store = batch->store;
    bool was_not_done = outcome != REDIS_OK && outcome != REDIS_LATE && outcome != REDIS_LOST;

    if (outcome == REDIS_OK) {
        answer_batch(batch, reply, false);
        batch_free(batch);
        debts_pay_soon(store);
        return;
    }
    /* what may have been counted there is not owed */
    for (uint32_t i = 0; i < batch->count; i++)
        group_without(store, &batch->groups[i], was_not_done);
    if (outcome == REDIS_LATE)
        batch->is_late = true; /* its reply is still of use */
    else
        batch_free(batch);
}

void batch_on_late(void *arg, const uint8_t note[REDIS_NOTE_BYTES], enum redis_outcome outcome,
                   const struct redis_reply *reply)
{
    struct limit_store *store = arg;
    struct limit_batch *batch;
    uint32_t slot;
    uint64_t generation;

    memcpy(&slot, note, sizeof(slot));
    memcpy(&generation, note + sizeof(slot), sizeof(generation));
    if (slot >= store->batch_count || store->batches[slot]->generation != generation)
        return;
    batch = store->batches[slot];
    if (outcome == REDIS_OK)
        answer_batch(batch, reply, true);
    batch_free(batch);
}
