/* balance.c - which target next.
 *
 * Round robin is the smooth weighted one (each gains its weight, the richest is taken and
 * pays the sum): a 5:1 pair gives aaabaa, not aaaaab. Least request compares requests in
 * flight for each unit of weight and draws among equals by weight; without the draw all
 * idle workers would fall upon the first target together.
 *
 * Pure. A list of targets is short: one walk to find the best standing, one to pick. */
#include "upstream/upstream_priv.h"

/* Lower is better. An ejected target is worse than trying the same one again. */
static int standing(const struct balance_entry *entry)
{
    return (entry->is_ejected ? 2 : 0) + (entry->is_tried ? 1 : 0);
}

static int best_standing(const struct balance_entry *entries, uint32_t count)
{
    int best = standing(&entries[0]);

    for (uint32_t i = 1; i < count; i++)
        if (standing(&entries[i]) < best)
            best = standing(&entries[i]);
    return best;
}

static uint32_t pick_in_turn(struct balance_entry *entries, uint32_t count, int wanted)
{
    uint32_t best = count;
    int64_t total = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (standing(&entries[i]) != wanted)
            continue;
        entries[i].current += entries[i].weight;
        total += entries[i].weight;
        if (best == count || entries[i].current > entries[best].current)
            best = i;
    }
    entries[best].current -= total;
    return best;
}

/* Negative: a has less to do for its weight than b. */
static int compare_load(const struct balance_entry *a, const struct balance_entry *b)
{
    uint64_t left = (uint64_t)a->in_flight * b->weight;
    uint64_t right = (uint64_t)b->in_flight * a->weight;

    return left < right ? -1 : left > right;
}

static uint32_t pick_least(const struct balance_entry *entries, uint32_t count, int wanted,
                           uint64_t random)
{
    const struct balance_entry *least = NULL;
    uint64_t equal_weight = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (standing(&entries[i]) != wanted)
            continue;
        if (least == NULL || compare_load(&entries[i], least) < 0) {
            least = &entries[i];
            equal_weight = 0;
        }
        if (compare_load(&entries[i], least) == 0)
            equal_weight += entries[i].weight;
    }
    CHECK(equal_weight > 0); /* the caller has seen one that stands as wanted */
    random %= equal_weight;
    for (uint32_t i = 0; i < count; i++) {
        if (standing(&entries[i]) != wanted || compare_load(&entries[i], least) != 0)
            continue;
        if (random < entries[i].weight)
            return i;
        random -= entries[i].weight;
    }
    return (uint32_t)(least - entries); /* not reached: the weights of the equals add up */
}

uint32_t balance_pick(enum balance_kind kind, struct balance_entry *entries, uint32_t count,
                      uint64_t random)
{
    int wanted;

    if (count == 1)
        return 0;
    wanted = best_standing(entries, count);
    if (kind == BALANCE_ROUND_ROBIN)
        return pick_in_turn(entries, count, wanted);
    return pick_least(entries, count, wanted, random);
}
