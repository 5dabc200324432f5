/* holds.c - requests at a time: held from the limit's step to the request's end.
 *
 * In memory a hold is counted at once. With a store all gateways count together (limit/), so the
 * answer may come later; it is asked for in the same turn as the windows. What is held is given
 * back however the request ends. Worker's thread. */
#include "request/request_priv.h"

enum on_failure limit_on_failure(const struct request *r)
{
    enum on_failure on_failure = r->route->limit.on_failure;

    return on_failure == ON_FAILURE_INHERIT ? r->config->limits.on_failure : on_failure;
}

void holds_drop(struct request *r)
{
    limit_store_hold_drop(&r->hold_call);
    while (r->hold_count > 0)
        limit_hold_drop(r->context->shared->limiter, r->policies.holds[--r->hold_count]);
}

static void on_held(void *arg)
{
    request_wake(arg);
}

static int take_in_store(struct request *r)
{
    const struct policies *p = &r->policies;
    struct limit_hold_call *call = &r->hold_call;

    *call = (struct limit_hold_call){
        .count = p->holds_wanted, .on_failure = limit_on_failure(r), .done = on_held, .arg = r};
    memcpy(call->keys, p->holds, sizeof(call->keys));
    memcpy(call->most, p->most, sizeof(call->most));
    return limit_store_hold(r->context->store, call) ? call->full : -1;
}

int holds_take(struct request *r)
{
    const struct policies *p = &r->policies;
    uint32_t in_use;

    if (r->context->store != NULL)
        return take_in_store(r);
    for (uint32_t i = 0; i < p->holds_wanted; i++) {
        if (!limit_hold(r->context->shared->limiter, p->holds[i], p->most[i], &in_use)) {
            holds_drop(r);
            return (int)i;
        }
        r->hold_count++;
    }
    return -1;
}

/* As the store told it when it was asked, else what this gateway has. */
static uint32_t in_use_of(const struct request *r, uint32_t index)
{
    if (r->hold_call.store != NULL && r->hold_call.in_use[index] > 0)
        return r->hold_call.in_use[index];
    return limit_held(r->context->shared->limiter, r->policies.holds[index]);
}

void holds_join(struct request *r, int full)
{
    const struct policies *p = &r->policies;
    struct limit_state *state = &r->limits;

    if (state->count == 0 && !state->allowed)
        return; /* closed: nothing is known */
    for (uint32_t i = 0; i < p->holds_wanted && state->count < LIMIT_MAX_WINDOWS; i++) {
        uint32_t in_use = in_use_of(r, i);

        if ((int)i == full) {
            state->worst = state->count;
            state->allowed = false;
        }
        state->windows[state->count++] = limit_window_of_holds(p->most[i], in_use, (int)i == full);
    }
}
