/* decide.c - all or nothing over several windows, on records that a store has at hand.
 *
 * Ask every window, and only when all agree add to all. Both stores come through here, the
 * memory store with the records of its slots, the Redis store with those that the script
 * returned, so what they tell cannot differ. Pure functions; any thread. */
#include "limit/limit_priv.h"

/* Asks every window; describes those that refuse. */
static void ask(const struct window_config *const *windows, union window_record *records,
                uint64_t cost, struct limit_time now, struct limit_state *state)
{
    uint64_t longest_us = 0;

    state->allowed = true;
    state->worst = 0;
    for (uint32_t i = 0; i < state->count; i++) {
        struct limit_window *out = &state->windows[i];

        out->refuses = !window_ask(windows[i], &records[i], cost, now) && cost > 0;
        out->retry_us = 0;
        if (!out->refuses)
            continue;
        out->retry_us = window_wait_us(windows[i], &records[i], cost, now);
        if (state->allowed || out->retry_us > longest_us) {
            longest_us = out->retry_us;
            state->worst = i;
        }
        state->allowed = false;
    }
}

void decision_take(const struct window_config *const *windows, union window_record *records,
                   uint32_t count, uint64_t cost, struct limit_time now, struct limit_state *state)
{
    state->count = count;
    ask(windows, records, cost, now, state);
    for (uint32_t i = 0; i < count; i++)
        window_take(windows[i], &records[i], state->allowed ? cost : 0, now, &state->windows[i]);
}

uint32_t decision_windows(const struct limit_policy *policies, uint32_t policy_count,
                          const struct window_config *windows[LIMIT_MAX_WINDOWS])
{
    uint32_t count = 0;

    for (uint32_t p = 0; p < policy_count; p++)
        for (uint32_t i = 0; i < policies[p].windows->count; i++)
            windows[count++] = &policies[p].windows->at[i];
    return count;
}
