/* breaker.c - an upstream that fails as a whole is left alone for a while.
 *
 * Counted are exchanges, after their tries, in slices of the window. Open, everything is
 * refused at once, which costs neither a connection nor a deadline; after open_for trials
 * are let through: as many successes as `half_open` close it, one failure opens it again.
 * The end of being open needs nobody's doing, so it always ends.
 *
 * Threads: any; atomics. A slice that two threads begin at once may lose a count. */
#include "upstream/upstream_priv.h"

static uint64_t epoch_of(const struct upstream_config *config, uint64_t now_us)
{
    uint64_t slice_us = (uint64_t)config->breaker.window_ms * 1000 / BREAKER_SLICES;

    return now_us / (slice_us > 0 ? slice_us : 1) + 1; /* 0: a slice that was never used */
}

static void tell(const struct breaker *breaker, const struct upstream_config *config,
                 const char *state)
{
    struct buf members = buf_new(EVENT_BYTES);

    buf_addf(&members, "\"state\":\"%s\",\"upstream\":", state);
    buf_add_json(&members, config->name);
    if (!members.is_broken)
        events_add(breaker->events, EVENT_BREAKER, clock_wall_us(), buf_str(&members));
    buf_free(&members);
}

static void open_it(struct breaker *breaker, const struct upstream_config *config, uint64_t now_us)
{
    uint64_t until_us = now_us + (uint64_t)config->breaker.open_for_ms * 1000;

    atomic_store(&breaker->until_us, until_us);
    if (atomic_exchange(&breaker->state, BREAKER_OPEN) == BREAKER_OPEN)
        return;
    atomic_fetch_add(&breaker->opened, 1);
    log_line(LOG_WARN, "upstream %.*s: the breaker is open for %" PRId64 " ms",
             STR_ARG(config->name), config->breaker.open_for_ms);
    tell(breaker, config, "open");
}

static void close_it(struct breaker *breaker, const struct upstream_config *config)
{
    for (uint32_t i = 0; i < BREAKER_SLICES; i++)
        atomic_store_explicit(&breaker->slices[i].epoch, 0, memory_order_relaxed);
    if (atomic_exchange(&breaker->state, BREAKER_CLOSED) == BREAKER_CLOSED)
        return;
    log_line(LOG_INFO, "upstream %.*s: the breaker is closed", STR_ARG(config->name));
    tell(breaker, config, "closed");
}

enum breaker_state breaker_state(const struct breaker *breaker, uint64_t now_us)
{
    enum breaker_state state = (enum breaker_state)atomic_load(&breaker->state);

    return state == BREAKER_OPEN && now_us >= atomic_load(&breaker->until_us) ? BREAKER_HALF_OPEN
                                                                              : state;
}

static enum breaker_answer ask_for_trial(struct breaker *breaker)
{
    if (atomic_fetch_sub(&breaker->trials, 1) > 0)
        return BREAKER_TRIAL;
    atomic_fetch_add(&breaker->trials, 1);
    return BREAKER_REFUSE;
}

enum breaker_answer breaker_ask(struct breaker *breaker, const struct upstream_config *config,
                                uint64_t now_us)
{
    unsigned state = atomic_load_explicit(&breaker->state, memory_order_relaxed);

    if (state == BREAKER_CLOSED)
        return BREAKER_PASS;
    if (config->breaker.failures == 0) { /* a reload has switched it off */
        close_it(breaker, config);
        return BREAKER_PASS;
    }
    if (state == BREAKER_OPEN) {
        if (now_us < atomic_load(&breaker->until_us))
            return BREAKER_REFUSE;
        if (atomic_compare_exchange_strong(&breaker->state, &state, BREAKER_HALF_OPEN)) {
            atomic_store(&breaker->successes, 0);
            atomic_store(&breaker->trials, (int)config->breaker.half_open);
            tell(breaker, config, "half_open");
        }
    }
    return ask_for_trial(breaker);
}

void breaker_give_back(struct breaker *breaker)
{
    atomic_fetch_add(&breaker->trials, 1);
}

static void note_trial(struct breaker *breaker, const struct upstream_config *config,
                       bool has_failed, uint64_t now_us)
{
    if (atomic_load(&breaker->state) != BREAKER_HALF_OPEN)
        return; /* another trial has decided */
    if (has_failed)
        open_it(breaker, config, now_us);
    else if (atomic_fetch_add(&breaker->successes, 1) + 1 >= config->breaker.half_open)
        close_it(breaker, config);
    else
        breaker_give_back(breaker);
}

static bool is_too_much(const struct breaker *breaker, const struct upstream_config *config,
                        uint64_t epoch)
{
    uint64_t total = 0, failed = 0;

    for (uint32_t i = 0; i < BREAKER_SLICES; i++) {
        uint64_t its = atomic_load_explicit(&breaker->slices[i].epoch, memory_order_relaxed);

        if (its > epoch || its + BREAKER_SLICES <= epoch)
            continue;
        total += atomic_load_explicit(&breaker->slices[i].total, memory_order_relaxed);
        failed += atomic_load_explicit(&breaker->slices[i].failed, memory_order_relaxed);
    }
    return failed >= config->breaker.failures &&
           (double)failed >= config->breaker.ratio * (double)total;
}

void breaker_note(struct breaker *breaker, const struct upstream_config *config, bool is_trial,
                  bool has_failed, uint64_t now_us)
{
    uint64_t epoch = epoch_of(config, now_us), was;
    uint32_t at = (uint32_t)(epoch % BREAKER_SLICES);

    if (config->breaker.failures == 0)
        return;
    if (is_trial) {
        note_trial(breaker, config, has_failed, now_us);
        return;
    }
    if (atomic_load_explicit(&breaker->state, memory_order_relaxed) != BREAKER_CLOSED)
        return; /* it began before the breaker opened */
    was = atomic_load_explicit(&breaker->slices[at].epoch, memory_order_relaxed);
    if (was != epoch && atomic_compare_exchange_strong(&breaker->slices[at].epoch, &was, epoch)) {
        atomic_store_explicit(&breaker->slices[at].total, 0, memory_order_relaxed);
        atomic_store_explicit(&breaker->slices[at].failed, 0, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&breaker->slices[at].total, 1, memory_order_relaxed);
    if (!has_failed)
        return;
    atomic_fetch_add_explicit(&breaker->slices[at].failed, 1, memory_order_relaxed);
    if (is_too_much(breaker, config, epoch))
        open_it(breaker, config, now_us);
}
