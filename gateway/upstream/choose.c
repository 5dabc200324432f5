/* choose.c - who may be asked now, and a place there.
 *
 * Each target's standing is looked up, balance.c picks among the best, and the place is
 * taken at once: requests in flight are counted for the whole process, so two workers may
 * want the last place together. Who loses looks again. A target that is ejected is asked
 * only when nobody else may be, and not because the others are busy.
 *
 * Thread: the worker's; the states are atomics. */
#include "upstream/upstream_priv.h"

enum { WEIGHT_UNIT = 256, LEAST_RAMP = 16 /* of the unit */ };

/* Little at first, for a target that is back: caches and pools are cold. */
double target_share(const struct target *target, const struct upstream_config *config,
                    uint64_t now_us)
{
    uint64_t span_us = (uint64_t)config->slow_start_ms * 1000, since_us, ejected_us;

    if (span_us == 0)
        return 1;
    since_us = atomic_load_explicit(&target->since_us, memory_order_relaxed);
    ejected_us = atomic_load_explicit(&target->ejected_until_us, memory_order_relaxed);
    if (ejected_us > since_us)
        since_us = ejected_us;
    if (since_us == 0 || now_us >= since_us + span_us)
        return 1;
    return now_us <= since_us ? 0 : (double)(now_us - since_us) / (double)span_us;
}

static uint32_t weight_now(const struct target *target, const struct upstream_config *upstream,
                           uint32_t weight, uint64_t now_us)
{
    uint32_t unit = (uint32_t)(WEIGHT_UNIT * target_share(target, upstream, now_us));

    return weight * (unit < LEAST_RAMP ? LEAST_RAMP : unit);
}

/* Back from an ejection it gets one request, and no other before an answer has come. */
static bool is_being_tried(const struct target *target)
{
    return atomic_load_explicit(&target->trial, memory_order_relaxed) == TRIAL_ON;
}

static uint32_t standing_of(const struct target *target, bool is_backup, bool is_tried,
                            uint64_t now_us)
{
    if (!target_is_usable(target))
        return STANDING_OUT;
    if (target_is_ejected(target, now_us) || is_being_tried(target))
        return STANDING_EJECTED;
    return (is_tried ? STANDING_TRIED : STANDING_GOOD) + (is_backup ? 1u : 0u);
}

static uint64_t peak_now(const struct target *target, uint64_t now_us)
{
    uint64_t peak_us = atomic_load_explicit(&target->peak_us, memory_order_relaxed);
    uint64_t at_us = atomic_load_explicit(&target->peak_at_us, memory_order_relaxed);

    return peak_us == 0 ? 0 : latency_decayed(peak_us, now_us > at_us ? now_us - at_us : 0) + 1;
}

static void look_at(struct slot *slot, const struct choose_question *q, uint32_t i)
{
    const struct target *target = slot->members.targets[i];
    const struct target_config *origin = &q->upstream->targets[slot->members.origins[i]];
    struct balance_entry *entry = &slot->entries[i];

    entry->weight = weight_now(target, q->upstream, origin->weight, q->now_us);
    entry->in_flight = atomic_load_explicit(&target->in_flight, memory_order_relaxed);
    entry->standing =
        standing_of(target, origin->is_backup, i < 64 && (q->tried >> i & 1) != 0, q->now_us);
    if (q->upstream->balance == BALANCE_P2C_EWMA)
        entry->peak_us = peak_now(target, q->now_us);
}

static bool take_place(struct target *target, uint32_t most)
{
    if (atomic_fetch_add_explicit(&target->in_flight, 1, memory_order_relaxed) < most)
        return true;
    atomic_fetch_sub_explicit(&target->in_flight, 1, memory_order_relaxed);
    return false;
}

/* All are looked at. What is left to pick from stands at most this badly, apart from being full. */
static uint32_t worst_allowed(const struct slot *slot, uint32_t worst)
{
    for (uint32_t i = 0; i < slot->members.count; i++)
        if (slot->entries[i].standing < STANDING_EJECTED)
            return worst < STANDING_EJECTED ? worst : STANDING_EJECTED - 1;
    return worst;
}

enum choice choose_target(struct slot *slot, const struct choose_question *q, uint32_t *place)
{
    struct balance_question balance = {q->upstream->balance, 0};
    uint32_t count = slot->members.count, worst;
    enum choice nobody = CHOICE_NONE;

    for (uint32_t i = 0; i < count; i++)
        look_at(slot, q, i);
    worst = worst_allowed(slot, q->worst);
    for (;;) {
        bool has_any = false;

        for (uint32_t i = 0; i < count; i++) {
            struct balance_entry *entry = &slot->entries[i];

            if (entry->standing > worst) {
                entry->standing = STANDING_OUT;
            } else if (entry->in_flight >= q->upstream->max_requests) {
                entry->standing = STANDING_OUT;
                nobody = CHOICE_FULL;
            } else {
                has_any = true;
            }
        }
        if (!has_any)
            return nobody;
        balance.random = balance.kind == BALANCE_HASH ? q->hash : random_u64();
        *place = balance_pick(&balance, slot->entries, count);
        if (take_place(slot->members.targets[*place], q->upstream->max_requests))
            return CHOICE_TARGET;
        slot->entries[*place].in_flight = UINT32_MAX; /* another was quicker */
    }
}

/* ---- the other family of a name ----------------------------------------- */

static bool is_ip6(const struct target *target)
{
    return target->address.len > 0 && target->address.ptr[0] == '[';
}

bool choose_across(struct slot *slot, const struct choose_question *q, const struct target *from,
                   uint32_t *place)
{
    for (uint32_t i = 0; i < slot->members.count && i < 64; i++) {
        struct target *target = slot->members.targets[i];

        if (target->named != from->named || is_ip6(target) == is_ip6(from) ||
            (q->tried >> i & 1) != 0 ||
            standing_of(target, false, false, q->now_us) != STANDING_GOOD)
            continue;
        *place = i;
        if (take_place(target, q->upstream->max_requests))
            return true;
    }
    return false;
}
