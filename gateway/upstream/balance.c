/* balance.c - which target next.
 *
 * Round robin is the smooth weighted one (each gains its weight, the richest is taken and
 * pays the sum): a 5:1 pair gives aaabaa, not aaaaab. Least request compares requests in
 * flight for each unit of weight and draws among equals by weight; without the draw all
 * idle workers would fall upon the first target together. The quicker of two: two are
 * drawn by weight, and the one whose latency times its queue is less wins; two are enough
 * to stay away from the worst, and few enough that not all workers run to the best.
 *
 * The hash is rendezvous hashing: each target has a score of its own for each key, and the
 * best score wins. A target that goes takes only its own keys along, and nothing is kept
 * between requests. Loads are bounded: a target with a quarter more than its fair part of
 * what is in flight is passed over for the next best score.
 *
 * Pure. A list of targets is short: one walk to find the best standing, one to pick. */
#include "upstream/upstream_priv.h"

#include <math.h>

#define MOST_LOAD 1.25 /* of the fair part */

static uint32_t best_standing(const struct balance_entry *entries, uint32_t count)
{
    uint32_t best = entries[0].standing;

    for (uint32_t i = 1; i < count; i++)
        if (entries[i].standing < best)
            best = entries[i].standing;
    return best;
}

static uint32_t pick_in_turn(struct balance_entry *entries, uint32_t count, uint32_t wanted)
{
    uint32_t best = count;
    int64_t total = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].standing != wanted)
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

static uint32_t pick_least(const struct balance_entry *entries, uint32_t count, uint32_t wanted,
                           uint64_t random)
{
    const struct balance_entry *least = NULL;
    uint64_t equal_weight = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].standing != wanted)
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
        if (entries[i].standing != wanted || compare_load(&entries[i], least) != 0)
            continue;
        if (random < entries[i].weight)
            return i;
        random -= entries[i].weight;
    }
    return (uint32_t)(least - entries); /* not reached: the weights of the equals add up */
}

/* ---- the quicker of two ------------------------------------------------ */

/* One drawn by weight, but for the place `not`. `count`: there is none. */
static uint32_t draw(const struct balance_entry *entries, uint32_t count, uint32_t wanted,
                     uint32_t not, uint64_t random)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < count; i++)
        total += i != not &&entries[i].standing == wanted ? entries[i].weight : 0;
    if (total == 0)
        return count;
    random %= total;
    for (uint32_t i = 0; i < count; i++) {
        if (i == not || entries[i].standing != wanted)
            continue;
        if (random < entries[i].weight)
            return i;
        random -= entries[i].weight;
    }
    return count;
}

/* One of which nothing is known is tried at once, and then not again before it has answered. */
static double cost(const struct balance_entry *entry)
{
    if (entry->peak_us == 0)
        return entry->in_flight == 0 ? 0 : 1e12 * (double)entry->in_flight;
    return (double)entry->peak_us * ((double)entry->in_flight + 1);
}

static uint32_t pick_quicker(const struct balance_entry *entries, uint32_t count, uint32_t wanted,
                             uint64_t random)
{
    uint32_t a = draw(entries, count, wanted, count, random & UINT32_MAX);
    uint32_t b = draw(entries, count, wanted, a, random >> 32);

    return b == count || cost(&entries[a]) <= cost(&entries[b]) ? a : b;
}

/* ---- the hash ---------------------------------------------------------- */

uint64_t balance_hash(struct str text)
{
    static const struct hash_key same_everywhere = {
        {UINT64_C(0x9ae16a3b2f90404f), UINT64_C(0xc3a5c85c97cb3127)}};

    return hash_sip64(&same_everywhere, text);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a ^ b; /* the finalizer of SplitMix64 (Steele, Lea, Flood) */

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Less is better: exponentially distributed, so that a target of twice the weight wins twice as
 * many keys. */
static double score(const struct balance_entry *entry, uint64_t key)
{
    double uniform = ((double)(mix(entry->name, key) >> 11) + 0.5) * 0x1p-53;

    return -log(uniform) / (double)entry->weight;
}

static uint32_t pick_hashed(const struct balance_entry *entries, uint32_t count, uint32_t wanted,
                            uint64_t key)
{
    uint64_t in_flight = 1, weight = 0; /* with the one to come */
    uint32_t best = count, least_loaded = count;
    double best_score = 0;

    for (uint32_t i = 0; i < count; i++)
        if (entries[i].standing == wanted) {
            in_flight += entries[i].in_flight;
            weight += entries[i].weight;
        }
    for (uint32_t i = 0; i < count; i++) {
        double fair = (double)in_flight * (double)entries[i].weight / (double)weight, its;

        if (entries[i].standing != wanted)
            continue;
        if (least_loaded == count || compare_load(&entries[i], &entries[least_loaded]) < 0)
            least_loaded = i;
        if ((double)entries[i].in_flight + 1 > ceil(fair * MOST_LOAD))
            continue;
        its = score(&entries[i], key);
        if (best == count || its < best_score) {
            best = i;
            best_score = its;
        }
    }
    return best < count ? best : least_loaded;
}

uint32_t balance_pick(const struct balance_question *question, struct balance_entry *entries,
                      uint32_t count)
{
    uint32_t wanted;

    if (count == 1)
        return 0;
    wanted = best_standing(entries, count);
    switch (question->kind) {
    case BALANCE_ROUND_ROBIN:
        return pick_in_turn(entries, count, wanted);
    case BALANCE_LEAST_REQUEST:
        break;
    case BALANCE_P2C_EWMA:
        return pick_quicker(entries, count, wanted, question->random);
    case BALANCE_HASH:
        return pick_hashed(entries, count, wanted, question->random);
    }
    return pick_least(entries, count, wanted, question->random);
}
