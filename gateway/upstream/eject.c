/* eject.c - a target that fails again and again is left alone for a while.
 *
 * Ejection ends by itself after its time: the target gets requests again, one at a time
 * until it has answered one, and while none has succeeded, one failure is enough to eject it anew:
 * a target that stays frozen costs one request its wait, not all that come meanwhile. At most a
 * share of the targets is ejected at once and never the last one, because an outage of all
 * is no better for trying none.
 *
 * Threads: any. The count is an atomic; the decision, which looks at all targets, is made
 * under the registry's lock and is rare. */
#include "upstream/upstream_priv.h"

#include <stdio.h>

uint32_t eject_most(double share, uint32_t count)
{
    uint32_t most;

    if (count < 2 || !(share > 0))
        return 0;
    most = share >= 1 ? count : (uint32_t)(share * (double)count + 1e-9);
    return most < count ? most : count - 1;
}

bool target_is_ejected(const struct target *target, uint64_t now_us)
{
    return atomic_load_explicit(&target->ejected_until_us, memory_order_relaxed) > now_us;
}

bool target_is_failing(const struct target *target, uint64_t now_us)
{
    return atomic_load_explicit(&target->failing_until_us, memory_order_relaxed) > now_us;
}

void eject_note_answer(const struct upstreams *upstreams, const struct upstream_config *config,
                       struct target *target, uint64_t now_us)
{
    if (atomic_load_explicit(&target->trial, memory_order_relaxed) == TRIAL_NONE ||
        target_is_ejected(target, now_us)) /* it was asked before */
        return;
    if (atomic_exchange_explicit(&target->trial, TRIAL_NONE, memory_order_relaxed) != TRIAL_NONE)
        target_tell_return(upstreams, config, target, "answer");
}

void eject_note_success(struct target *target)
{
    if (atomic_load_explicit(&target->failing_until_us, memory_order_relaxed) != 0)
        atomic_store_explicit(&target->failing_until_us, 0, memory_order_relaxed);
    /* read first: writing would move the cache line between workers with every request */
    if (atomic_load_explicit(&target->consecutive, memory_order_relaxed) != 0)
        atomic_store_explicit(&target->consecutive, 0, memory_order_relaxed);
}

/* One more may be: a share of all at most, and another must stand. */
static bool may_eject(const struct upstream_config *config, const struct members *members,
                      const struct target *target, uint64_t now_us)
{
    uint32_t ejected = 0, standing = 0;

    for (uint32_t i = 0; i < members->count; i++) {
        const struct target *other = members->targets[i];

        if (target_is_ejected(other, now_us))
            ejected++;
        else if (other != target && target_is_usable(other))
            standing++;
    }
    return standing > 0 && ejected < eject_most(config->ejection.max, members->count);
}

const char *ejection_cause_name(enum ejection_cause cause)
{
    return cause == EJECTED_BY_SUCCESS_RATE ? "success_rate" : "failures";
}

static void tell(struct upstreams *upstreams, const struct upstream_config *config,
                 const struct target *target, enum ejection_cause cause, const char *why)
{
    log_line(LOG_WARN, "upstream %.*s: target %.*s%s%.*s is ejected for %" PRId64 " ms after %s",
             STR_ARG(config->name), STR_ARG(target->url), target->address.len > 0 ? " at " : "",
             STR_ARG(target->address), config->ejection.eject_for_ms, why);
    target_tell(upstreams, config->name, target, "ejected", ejection_cause_name(cause),
                config->ejection.eject_for_ms);
}

/* The lock is held. False: it may not be. */
static bool eject(const struct upstream_config *config, const struct members *members,
                  struct target *target, uint64_t now_us, enum ejection_cause cause)
{
    uint64_t until_us = now_us + (uint64_t)config->ejection.eject_for_ms * 1000;

    if (target_is_ejected(target, now_us) || !may_eject(config, members, target, now_us))
        return false;
    atomic_store_explicit(&target->ejected_by, cause, memory_order_relaxed);
    atomic_store_explicit(&target->ejected_until_us, until_us, memory_order_relaxed);
    atomic_store_explicit(&target->trial, TRIAL_DUE, memory_order_relaxed);
    atomic_store_explicit(&target->peak_us, 0, memory_order_relaxed); /* it returns unknown */
    atomic_fetch_add_explicit(&members->group->ejected[cause], 1, memory_order_relaxed);
    return true;
}

void eject_note_failure(struct upstreams *upstreams, const struct upstream_config *config,
                        const struct members *members, struct target *target, uint64_t now_us)
{
    uint32_t failures =
        atomic_fetch_add_explicit(&target->consecutive, 1, memory_order_relaxed) + 1;
    char why[32];

    atomic_fetch_add_explicit(&target->failures, 1, memory_order_relaxed);
    if (config->ejection.failures == 0 || failures < config->ejection.failures)
        return;
    pthread_mutex_lock(&upstreams->lock);
    if (eject(config, members, target, now_us, EJECTED_BY_FAILURES)) {
        atomic_store_explicit(&target->consecutive, config->ejection.failures - 1,
                              memory_order_relaxed);
        snprintf(why, sizeof(why), "%" PRIu32 " failures", failures);
        tell(upstreams, config, target, EJECTED_BY_FAILURES, why);
    } else { /* it goes on being tried, but nobody should count on it */
        atomic_store_explicit(&target->failing_until_us,
                              now_us + (uint64_t)config->ejection.eject_for_ms * 1000,
                              memory_order_relaxed);
    }
    pthread_mutex_unlock(&upstreams->lock);
}

void eject_outlier(struct upstreams *upstreams, const struct upstream_config *config,
                   const struct members *members, struct target *target, uint64_t now_us,
                   const char *why)
{
    pthread_mutex_lock(&upstreams->lock);
    if (eject(config, members, target, now_us, EJECTED_BY_SUCCESS_RATE))
        tell(upstreams, config, target, EJECTED_BY_SUCCESS_RATE, why);
    pthread_mutex_unlock(&upstreams->lock);
}
