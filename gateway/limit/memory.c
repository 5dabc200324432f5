/* memory.c - one decision over all windows of up to two policies, in the memory store.
 *
 * Copy the records out, let time pass on the copies, ask every window, and only when all agree
 * add to all and write back: all or nothing without an undo. A refusal writes nothing, so it is
 * the cheapest answer, and a client that is refused from its first request on never costs a slot.
 * Two policies may live in two shards: their locks are taken in the order of the shards.
 *
 * A slot names the windows its words belong to (a tag of name, kind and period each). When a
 * reload gives a key other windows, those that are in both are carried over by tag and the others
 * start anew; a changed limit is not part of the tag, so counters outlive it.
 *
 * Any thread; at most two shards' locks are held, for well under a microsecond. */
#include "limit/limit_priv.h"

#include <stdatomic.h>

enum { MOST_POLICIES = 2, MOST_PARTS = MOST_POLICIES * CONFIG_MAX_WINDOWS };

/* Consecutive windows of one policy that share a slot. */
struct part {
    struct table_key key;
    uint16_t tag[SLOT_RECORDS];
    uint32_t policy;
    uint32_t first, count; /* windows */
    uint32_t words;
    struct limit_slot *slot; /* while the shard's `changes` is what it was; NULL: none yet */
    uint64_t changes;
};
struct plan {
    struct limiter *limiter;
    const struct limit_policy *policies;
    struct part parts[MOST_PARTS];
    uint32_t part_count;
    const struct window_config *windows[LIMIT_MAX_WINDOWS];
    union window_record records[LIMIT_MAX_WINDOWS];
    uint32_t window_count;
    uint32_t shards[MOST_POLICIES]; /* locked, ascending */
    uint32_t shard_count;
};

/* Three bits of kind, so that no record is ever read as another kind's, and 13 of name and
 * period: should two collide, a renamed window begins with its predecessor's count. */
static uint16_t tag_of(const struct window_config *window)
{
    uint64_t h = name_hash((uint64_t)window->period_ms, window->name);

    return (uint16_t)((h >> 51) << 3 | ((uint64_t)window->kind + 1));
}

/* The slot begins to come near while the windows' tags are computed. */
static struct part *plan_part(struct plan *plan, uint32_t policy, uint32_t number)
{
    struct part *part = &plan->parts[plan->part_count++];

    part->key = table_key_of(plan->limiter, plan->policies[policy].key, number);
    table_prefetch(plan->limiter, &part->key);
    memset(part->tag, 0, sizeof(part->tag));
    part->policy = policy;
    part->first = plan->window_count;
    part->count = part->words = 0;
    return part;
}

static void plan_policy(struct plan *plan, uint32_t policy)
{
    const struct window_set *set = plan->policies[policy].windows;
    struct part *part = NULL;
    uint32_t number = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        const struct window_config *window = &set->at[i];
        uint32_t words = window_words(window->kind);

        if (part == NULL || part->count == SLOT_RECORDS || part->words + words > RECORD_WORDS)
            part = plan_part(plan, policy, number++);
        part->tag[part->count++] = tag_of(window);
        part->words += words;
        plan->windows[plan->window_count++] = window;
    }
}

/* Locks every shard of the plan. */
static void plan_lock(struct plan *plan, struct limiter *limiter,
                      const struct limit_policy *policies, uint32_t policy_count)
{
    CHECK(policy_count <= MOST_POLICIES);
    plan->limiter = limiter;
    plan->policies = policies;
    plan->part_count = plan->window_count = plan->shard_count = 0;
    for (uint32_t i = 0; i < policy_count; i++) {
        uint32_t before = plan->part_count;

        plan_policy(plan, i);
        if (plan->part_count > before)
            plan->shards[plan->shard_count++] = plan->parts[before].key.shard;
    }
    if (plan->shard_count == 2 && plan->shards[0] == plan->shards[1])
        plan->shard_count = 1;
    if (plan->shard_count == 2 && plan->shards[0] > plan->shards[1]) {
        uint32_t higher = plan->shards[0];

        plan->shards[0] = plan->shards[1];
        plan->shards[1] = higher;
    }
    for (uint32_t i = 0; i < plan->shard_count; i++)
        pthread_mutex_lock(&limiter->shards[plan->shards[i]].lock);
}

static void plan_unlock(struct plan *plan)
{
    for (uint32_t i = plan->shard_count; i-- > 0;)
        pthread_mutex_unlock(&plan->limiter->shards[plan->shards[i]].lock);
}

/* Carries over what a slot with other windows still says of this policy's. */
static void carry_over(struct plan *plan, uint32_t policy, const struct limit_slot *slot)
{
    uint32_t at = 0;

    for (uint32_t r = 0; r < SLOT_RECORDS && slot->tag[r] != 0; r++) {
        uint32_t words = window_words((enum window_kind)((slot->tag[r] & 7) - 1));

        for (uint32_t p = 0; p < plan->part_count; p++) {
            const struct part *part = &plan->parts[p];

            for (uint32_t i = 0; i < part->count && part->policy == policy; i++) {
                if (part->tag[i] == slot->tag[r])
                    words_copy(plan->records[part->first + i].words, slot->words + at, words);
            }
        }
        at += words;
    }
}

/* A key's slots hold other windows than the policy says: a reload came between. */
static void load_reshaped(struct plan *plan, uint32_t policy)
{
    for (uint32_t number = 0; number < CONFIG_MAX_WINDOWS; number++) {
        struct table_key key = table_key_of(plan->limiter, plan->policies[policy].key, number);
        const struct limit_slot *slot = table_find(plan->limiter, &key);

        if (slot != NULL)
            carry_over(plan, policy, slot);
    }
}

static void load_part(struct plan *plan, const struct part *part, const uint64_t from[RECORD_WORDS])
{
    for (uint32_t i = part->first; i < part->first + part->count; i++) {
        uint32_t words = window_words(plan->windows[i]->kind);

        words_copy(plan->records[i].words, from, words);
        from += words;
    }
}

static void load_nothing(struct plan *plan, const struct part *part)
{
    memset(&plan->records[part->first], 0, part->count * sizeof(plan->records[0]));
}

/* Fills the records from the table: zeros where there is nothing. */
static void plan_load(struct plan *plan, struct limit_time now)
{
    uint64_t words[RECORD_WORDS];
    uint32_t reshaped = 0; /* a bit for each policy */

    for (uint32_t i = 0; i < plan->part_count; i++) {
        struct part *part = &plan->parts[i];

        part->slot = table_find(plan->limiter, &part->key);
        part->changes = plan->limiter->shards[part->key.shard].changes;
        if (part->slot != NULL && memcmp(part->slot->tag, part->tag, sizeof(part->tag)) == 0) {
            load_part(plan, part, part->slot->words);
            continue;
        }
        load_nothing(plan, part);
        if (part->slot != NULL)
            reshaped |= 1U << part->policy;
        else if (overflow_get(plan->limiter, part->key.word, part->tag, table_stamp(now.mono_us),
                              words))
            load_part(plan, part, words);
    }
    for (uint32_t policy = 0; reshaped >> policy != 0; policy++) {
        if (reshaped >> policy & 1)
            load_reshaped(plan, policy);
    }
}

/* Writes one part back; `remaining` of its windows says how full they are. `is_asked`: for a
 * request, not for what is settled after one. */
static void store_part(struct plan *plan, struct part *part, const struct limit_state *state,
                       bool is_asked, struct limit_time now)
{
    struct limit_shard *shard = &plan->limiter->shards[part->key.shard];
    struct limit_slot *slot = part->slot;
    uint64_t idle_us = 0, *to;
    uint16_t again = 0, load = 0;

    if (slot == NULL || shard->changes != part->changes)
        slot = table_find(plan->limiter, &part->key);
    if (slot == NULL)
        slot = table_claim(plan->limiter, &part->key, table_stamp(now.mono_us));
    else
        again = is_asked ? LOAD_AGAIN : slot->load & LOAD_AGAIN;
    memcpy(slot->tag, part->tag, sizeof(slot->tag));
    to = slot->words;
    for (uint32_t i = part->first; i < part->first + part->count; i++) {
        const struct window_config *window = plan->windows[i];
        struct window_rest rest =
            window_rest(window, &plan->records[i], state->windows[i].remaining, now);

        words_copy(to, plan->records[i].words, window_words(window->kind));
        to += window_words(window->kind);
        idle_us = rest.idle_us > idle_us ? rest.idle_us : idle_us;
        load = rest.load > load ? rest.load : load;
    }
    slot->load = load | again;
    slot->idle_stamp = table_stamp(now.mono_us + idle_us) + 1;
}

void limit_hint(const struct limiter *limiter, struct hash128 key)
{
    struct table_key first = table_key_of(limiter, key, 0);

    table_prefetch(limiter, &first);
}

void limit_take(struct limiter *limiter, const struct limit_policy *policies, uint32_t policy_count,
                uint64_t cost, struct limit_time now, struct limit_state *state)
{
    struct plan plan;

    plan_lock(&plan, limiter, policies, policy_count);
    plan_load(&plan, now);
    decision_take(plan.windows, plan.records, plan.window_count, cost, now, state);
    if (state->allowed && cost > 0) {
        for (uint32_t i = 0; i < plan.part_count; i++)
            store_part(&plan, &plan.parts[i], state, true, now);
    }
    plan_unlock(&plan);
}

/* Takes or gives back without asking. Nothing is given back to who was dropped since. */
static void change(struct limiter *limiter, const struct limit_policy *policies,
                   uint32_t policy_count, uint64_t taken, uint64_t given, struct limit_time now)
{
    struct plan plan;
    struct limit_state state;

    plan_lock(&plan, limiter, policies, policy_count);
    plan_load(&plan, now);
    for (uint32_t i = 0; i < plan.window_count; i++) {
        window_roll(plan.windows[i], &plan.records[i], now);
        if (given > 0)
            window_give_back(plan.windows[i], &plan.records[i], given, now);
        window_take(plan.windows[i], &plan.records[i], taken, now, &state.windows[i]);
    }
    for (uint32_t i = 0; i < plan.part_count; i++) {
        if (plan.parts[i].slot != NULL || taken > 0)
            store_part(&plan, &plan.parts[i], &state, false, now);
    }
    plan_unlock(&plan);
}

void limit_give_back(struct limiter *limiter, const struct limit_policy *policies,
                     uint32_t policy_count, uint64_t cost, struct limit_time now)
{
    change(limiter, policies, policy_count, 0, cost, now);
}

void limit_charge(struct limiter *limiter, const struct limit_policy *policies,
                  uint32_t policy_count, uint64_t cost, struct limit_time now)
{
    change(limiter, policies, policy_count, cost, 0, now);
}

void memory_put(struct limiter *limiter, const struct limit_policy *policies, uint32_t policy_count,
                const union window_record *records, struct limit_time now)
{
    struct plan plan;
    struct limit_state state;

    plan_lock(&plan, limiter, policies, policy_count);
    for (uint32_t i = 0; i < plan.window_count; i++) {
        plan.records[i] = records[i];
        window_describe(plan.windows[i], &plan.records[i], now, &state.windows[i]);
    }
    for (uint32_t i = 0; i < plan.part_count; i++) {
        plan.parts[i].slot = NULL;
        store_part(&plan, &plan.parts[i], &state, true, now);
    }
    plan_unlock(&plan);
}

bool limit_forget(struct limiter *limiter, struct hash128 key)
{
    uint32_t shard = table_key_of(limiter, key, 0).shard;
    bool had_some = false;

    atomic_fetch_add_explicit(&limiter->forgets, 1, memory_order_relaxed);
    pthread_mutex_lock(&limiter->shards[shard].lock);
    for (uint32_t number = 0; number < CONFIG_MAX_WINDOWS; number++) {
        struct table_key part = table_key_of(limiter, key, number);
        struct limit_slot *slot = table_find(limiter, &part);

        if (slot != NULL) {
            table_remove(limiter, shard, slot);
            had_some = true;
        }
    }
    pthread_mutex_unlock(&limiter->shards[shard].lock);
    return had_some;
}

/* The caller's hash is keyed by a secret already, so it serves as the key of what is derived. */
struct hash128 limit_key(struct hash128 caller, enum limit_key_kind kind, struct str route)
{
    struct hash_key key = {{caller.lo ^ (uint64_t)kind, caller.hi}};

    if (kind == LIMIT_TIER)
        return caller;
    if (kind == LIMIT_ROUTE) /* one for all callers */
        key = (struct hash_key){{kind, 0}};
    return hash_sip128(&key, route);
}
