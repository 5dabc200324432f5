/* hold_store.c - requests at a time, of all gateways together: who asks, and who holds.
 *
 * A request is first counted in this process (hold.c): when this gateway alone is full, nobody
 * needs to be asked. Then the server is asked for one more (hold_link.c). Two limits are granted
 * together or not at all. While the server is away or late, this gateway's part of the limit is
 * what its own count may reach, and never less than one.
 *
 * One worker's thread. */
#include "limit/hold_priv.h"

#include <stdatomic.h>
#include <stdlib.h>

/* ---- keys ---- */

static struct held_key **place_of(struct limit_holds *holds, struct hash128 key)
{
    struct held_key **at = &holds->keys[key.lo % KEY_CHAINS];

    while (*at != NULL && ((*at)->key.lo != key.lo || (*at)->key.hi != key.hi))
        at = &(*at)->chain;
    return at;
}

static struct held_key *key_of(struct limit_holds *holds, struct hash128 name)
{
    struct held_key **at = place_of(holds, name), *key = *at;

    if (key != NULL)
        return key;
    key = calloc(1, sizeof(*key));
    if (key == NULL)
        return NULL;
    key->key = name;
    *at = key;
    key->next = holds->all;
    key->back = &holds->all;
    if (key->next != NULL)
        key->next->back = &key->next;
    holds->all = key;
    return key;
}

void held_release(struct limit_holds *holds, struct held_key *key)
{
    if (key->held > 0 || key->waits != NULL || key->is_asked || key->is_in_turn)
        return;
    *place_of(holds, key->key) = key->chain;
    *key->back = key->next;
    if (key->next != NULL)
        key->next->back = key->back;
    free(key);
}

/* ---- answers ---- */

/* All parts have theirs: together, or not at all. */
static void finish(struct limit_hold_call *call)
{
    call->is_waiting = false;
    for (uint32_t i = 0; i < call->count && call->full < 0; i++)
        if (call->parts[i].state == HOLD_REFUSED)
            call->full = (int)i;
    if (call->full >= 0 || call->origin == LIMIT_CLOSED)
        limit_store_hold_drop(call);
}

static void answer_part(struct limit_hold_part *part, bool is_held, uint32_t in_use)
{
    struct limit_hold_call *call = part->call;

    part->state = is_held ? HOLD_HELD : HOLD_REFUSED;
    if (is_held)
        part->at->held++;
    call->in_use[part - call->parts] = in_use;
    if (--call->left > 0)
        return;
    finish(call);
    if (call->is_answered_later)
        call->done(call->arg);
}

/* This gateway's part, since nobody else can be asked. */
static void answer_without(struct limit_holds *holds, struct limit_hold_part *part)
{
    struct limit_store *store = holds->store;
    struct limit_hold_call *call = part->call;
    uint32_t index = (uint32_t)(part - call->parts), most = call->most[index];
    uint32_t gateways = atomic_load_explicit(&store->limiter->live_gateways, memory_order_relaxed);
    uint32_t in_use = limit_held(store->limiter, call->keys[index]);
    uint32_t share = gateways > 1 ? (most + gateways - 1) / gateways : most;

    cell_add(store->fallbacks, 1);
    switch (call->on_failure) {
    case ON_FAILURE_LOCAL:
    case ON_FAILURE_INHERIT:
        call->origin = LIMIT_FROM_MEMORY;
        answer_part(part, in_use <= share, in_use);
        return;
    case ON_FAILURE_OPEN:
        call->origin = LIMIT_FROM_NOBODY;
        answer_part(part, true, in_use);
        return;
    case ON_FAILURE_CLOSED:
        call->origin = LIMIT_CLOSED;
        answer_part(part, true, in_use);
        return;
    }
}

void held_answer(struct limit_holds *holds, struct held_key *key, bool ok, uint32_t granted,
                 uint32_t in_use)
{
    uint32_t left = granted;

    while (key->asked != NULL) {
        struct limit_hold_part *part = key->asked;

        key->asked = part->next;
        if (!ok)
            answer_without(holds, part);
        else
            answer_part(part, left > 0, left > 0 ? in_use - left + 1 : in_use);
        left -= left > 0;
    }
    key->is_changed = key->is_changed || !ok || left > 0; /* who asked for it has left */
}

/* ---- asking ---- */

static bool begin_part(struct limit_holds *holds, struct limit_hold_call *call, uint32_t index)
{
    struct limit_hold_part *part = &call->parts[index];

    *part = (struct limit_hold_part){.call = call, .at = key_of(holds, call->keys[index])};
    if (part->at == NULL || !limit_hold(holds->store->limiter, call->keys[index], call->most[index],
                                        &call->in_use[index])) {
        if (part->at != NULL)
            held_release(holds, part->at);
        part->at = NULL;
        call->full = (int)index;
        return false;
    }
    part->state = HOLD_WAITS;
    return true;
}

static void ask_part(struct limit_holds *holds, struct limit_hold_part *part, uint64_t now_us)
{
    struct held_key *key = part->at;

    if (!redis_is_up(holds->store->redis) || key->is_late) {
        answer_without(holds, part);
        return;
    }
    part->asked_us = now_us;
    if (key->waits == NULL)
        key->waits = part;
    else
        key->waits_last->next = part;
    key->waits_last = part;
    holds_ask_soon(holds, key);
}

bool limit_store_hold(struct limit_store *store, struct limit_hold_call *call)
{
    struct limit_holds *holds = store->holds;

    call->store = store;
    call->full = -1;
    call->origin = LIMIT_FROM_STORE;
    call->is_waiting = call->is_answered_later = false;
    if (holds == NULL)
        holds = store->holds = shared_holds_new(store);
    memset(call->parts, 0, sizeof(call->parts));
    if (holds == NULL) { /* no memory: as when there are too many */
        call->full = 0;
        return true;
    }
    for (uint32_t i = 0; i < call->count; i++)
        if (!begin_part(holds, call, i)) {
            limit_store_hold_drop(call);
            return true;
        }
    call->left = call->count;
    for (uint32_t i = 0; i < call->count; i++)
        ask_part(holds, &call->parts[i], loop_now_us(store->loop));
    call->is_waiting = call->is_answered_later = call->left > 0;
    return !call->is_waiting;
}

static void unlink_part(struct limit_hold_part *part)
{
    struct held_key *key = part->at;
    struct limit_hold_part **at = &key->waits, *last = NULL;

    for (; *at != NULL && *at != part; at = &(*at)->next)
        last = *at;
    if (*at == part) {
        *at = part->next;
        if (key->waits_last == part)
            key->waits_last = last;
        return;
    }
    for (at = &key->asked; *at != NULL && *at != part; at = &(*at)->next)
        ;
    if (*at == part)
        *at = part->next;
}

static void drop_part(struct limit_holds *holds, struct limit_hold_part *part)
{
    struct held_key *key = part->at;

    if (part->state == HOLD_FREE || key == NULL)
        return;
    if (part->state == HOLD_WAITS)
        unlink_part(part);
    if (part->state == HOLD_HELD) {
        key->held--;
        key->is_changed = true;
    }
    limit_hold_drop(holds->store->limiter, key->key);
    part->state = HOLD_FREE;
    if (key->is_changed)
        holds_ask_soon(holds, key);
    else
        held_release(holds, key);
}

void limit_store_hold_drop(struct limit_hold_call *call)
{
    call->is_waiting = false;
    for (uint32_t i = 0; i < call->count && call->store != NULL; i++)
        drop_part(call->store->holds, &call->parts[i]);
}

/* ---- life ---- */

struct limit_holds *shared_holds_new(struct limit_store *store)
{
    struct limit_holds *holds = calloc(1, sizeof(*holds));

    if (holds == NULL)
        return NULL;
    holds->store = store;
    holds_link_init(holds);
    return holds;
}

void shared_holds_free(struct limit_holds **holds)
{
    struct limit_holds *old = *holds;
    struct held_key *key, *next;

    *holds = NULL;
    if (old == NULL)
        return;
    holds_link_end(old);
    for (key = old->all; key != NULL; key = next) {
        next = key->next;
        free(key);
    }
    free(old);
}
