/* table.c - the slots of all clients, in shards, bounded for ever.
 *
 * Open addressing, at most PROBES steps from a key's home: a look-up is one cache line nearly
 * always and sixteen at worst. Shards start small and double, so a quiet gateway does not touch
 * memory for a million clients. Removal moves later slots back (no tombstones: the table of a
 * gateway that runs for months stays as fast as on its first day).
 *
 * At the bound a newcomer takes the place of an idle slot near its home, which loses nothing; if
 * there is none, of one who came only once, or else of the smallest used share. Records of the
 * busy go to the overflow (overflow.c), from where they come back as upper bounds. Refusing
 * newcomers a slot instead would switch limits off under a flood of addresses.
 *
 * Any thread; every function but new, free, resize, counts and set_gateways wants the shard's lock
 * held. */
#include "limit/limit_priv.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { PROBES = 16, FIRST_SLOTS = 16, MOST_SHARDS = 256, CLIENTS_PER_SHARD = 512 };

static uint64_t power_of_two_up(uint64_t n)
{
    uint64_t power = 1;

    while (power < n && power < UINT64_C(1) << 62)
        power <<= 1;
    return power;
}

static struct limit_slot *slots_new(uint64_t count)
{
    struct limit_slot *slots = aligned_alloc(64, count * sizeof(*slots));

    if (slots != NULL)
        memset(slots, 0, count * sizeof(*slots));
    return slots;
}

struct limiter *limiter_new(uint64_t max_clients, const struct hash_key *seed)
{
    struct limiter *limiter = calloc(1, sizeof(*limiter));
    uint64_t shards = power_of_two_up(max_clients / CLIENTS_PER_SHARD + 1);

    if (limiter == NULL)
        return NULL;
    limiter->seed = *seed;
    shards = shards < MOST_SHARDS ? shards : MOST_SHARDS;
    limiter->shards = aligned_alloc(64, shards * sizeof(*limiter->shards));
    if (limiter->shards == NULL)
        goto failed;
    memset(limiter->shards, 0, shards * sizeof(*limiter->shards));
    for (; limiter->shard_count < shards; limiter->shard_count++) {
        struct limit_shard *shard = &limiter->shards[limiter->shard_count];

        shard->slots = slots_new(FIRST_SLOTS);
        if (shard->slots == NULL)
            goto failed;
        shard->slot_count = FIRST_SLOTS;
        CHECK(pthread_mutex_init(&shard->lock, NULL) == 0);
    }
    if (!holds_init(limiter) || !top_init(limiter) || !overrides_init(limiter) ||
        !usage_init(limiter) || !overflow_init(limiter))
        goto failed;
    limiter_resize(limiter, max_clients);
    return limiter;
failed:
    limiter_free(&limiter);
    return NULL;
}

void limiter_free(struct limiter **limiter)
{
    struct limiter *it = *limiter;

    if (it == NULL)
        return;
    *limiter = NULL;
    for (uint32_t i = 0; i < it->shard_count; i++) {
        pthread_mutex_destroy(&it->shards[i].lock);
        free(it->shards[i].slots);
    }
    free(it->shards);
    holds_free(it);
    top_free(it);
    overrides_free(it);
    usage_free(it);
    overflow_free(it);
    free(it);
}

void limiter_set_gateways(struct limiter *limiter, uint32_t gateways)
{
    atomic_store_explicit(&limiter->live_gateways, gateways, memory_order_relaxed);
}

/* The remainder goes to the first shards, so that the sum is max_clients. */
void limiter_resize(struct limiter *limiter, uint64_t max_clients)
{
    for (uint32_t i = 0; i < limiter->shard_count; i++) {
        struct limit_shard *shard = &limiter->shards[i];
        uint64_t cap = max_clients / limiter->shard_count;

        pthread_mutex_lock(&shard->lock);
        shard->cap = cap + (i < max_clients % limiter->shard_count);
        if (shard->cap == 0)
            shard->cap = 1;
        pthread_mutex_unlock(&shard->lock);
    }
}

struct limiter_counts limiter_counts(struct limiter *limiter)
{
    struct limiter_counts counts = {0};

    counts.overflow_cells = __atomic_load_n(&limiter->shape_count, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < limiter->shard_count; i++) {
        struct limit_shard *shard = &limiter->shards[i];

        pthread_mutex_lock(&shard->lock);
        counts.clients += shard->count;
        counts.evicted_idle += shard->evicted_idle;
        counts.evicted_busy += shard->evicted_busy;
        pthread_mutex_unlock(&shard->lock);
    }
    return counts;
}

/* Keys are keyed hashes already, but for those of `scope: route`; the seed covers them too. */
static uint64_t mixed(const struct limiter *limiter, uint32_t a, uint32_t b)
{
    uint64_t h = (a | (uint64_t)b << 32) ^ limiter->seed.k[0];

    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32 ^ limiter->seed.k[1];
}

struct table_key table_key_of(const struct limiter *limiter, struct hash128 key, uint32_t part)
{
    struct table_key result = {.word = {(uint32_t)key.lo, (uint32_t)(key.lo >> 32),
                                        (uint32_t)key.hi ^ part * UINT32_C(0x9e3779b9)}};
    uint64_t hash = mixed(limiter, result.word[0], result.word[1]);

    result.shard = (uint32_t)(hash >> 56) & (limiter->shard_count - 1);
    result.home = hash + result.word[2];
    return result;
}

/* The same of a key in a slot. */
static uint64_t home_of(const struct limiter *limiter, const uint32_t key[KEY_WORDS])
{
    return mixed(limiter, key[0], key[1]) + key[2];
}

static bool slot_has(const struct limit_slot *slot, const uint32_t key[KEY_WORDS])
{
    return slot->key[0] == key[0] && slot->key[1] == key[1] && slot->key[2] == key[2] &&
           slot->idle_stamp != 0;
}

struct limit_slot *table_find(const struct limiter *limiter, const struct table_key *key)
{
    struct limit_shard *shard = &limiter->shards[key->shard];
    uint64_t mask = shard->slot_count - 1;

    for (uint32_t i = 0; i < PROBES; i++) {
        struct limit_slot *slot = &shard->slots[(key->home + i) & mask];

        if (slot->idle_stamp == 0)
            return NULL;
        if (slot_has(slot, key->word))
            return slot;
    }
    return NULL;
}

/* Linear probing's own removal: whoever would be found sooner in the hole moves there. */
void table_remove(struct limiter *limiter, uint32_t shard_index, struct limit_slot *slot)
{
    struct limit_shard *shard = &limiter->shards[shard_index];
    uint64_t mask = shard->slot_count - 1, hole = (uint64_t)(slot - shard->slots);

    for (uint64_t step = 1; step < shard->slot_count; step++) {
        uint64_t at = ((uint64_t)(slot - shard->slots) + step) & mask;
        struct limit_slot *later = &shard->slots[at];

        if (later->idle_stamp == 0)
            break;
        uint64_t from_home = (at - home_of(limiter, later->key)) & mask;
        if (from_home >= ((at - hole) & mask)) {
            shard->slots[hole] = *later;
            hole = at;
        }
    }
    memset(&shard->slots[hole], 0, sizeof(shard->slots[hole]));
    shard->count--;
    shard->changes++;
}

/* What stands between a key's home and its first empty slot. */
struct neighbourhood {
    struct limit_slot *empty, *idle, *least; /* least: busy, with the smallest used share */
};

static struct neighbourhood look_around(const struct limit_shard *shard, uint64_t home,
                                        uint32_t stamp)
{
    struct neighbourhood seen = {0};

    for (uint32_t i = 0; i < PROBES && seen.idle == NULL; i++) {
        struct limit_slot *slot = &shard->slots[(home + i) & (shard->slot_count - 1)];

        if (slot->idle_stamp == 0) {
            seen.empty = slot;
            break;
        }
        if (slot->idle_stamp <= stamp)
            seen.idle = slot;
        else if (seen.least == NULL || slot->load < seen.least->load)
            seen.least = slot;
    }
    return seen;
}

static void count_dropped(struct limiter *limiter, struct limit_shard *shard,
                          const struct limit_slot *slot, uint32_t stamp)
{
    if (slot->idle_stamp <= stamp) {
        shard->evicted_idle++;
        return;
    }
    shard->evicted_busy++;
    (void)overflow_put(limiter, slot, stamp); /* past its bound the client is as new */
}

/* Drops what is cheapest to lose among the next PROBES slots that are taken: past the first
 * empty one too, or a busy client with few neighbours would fall to any newcomer. */
static void drop_one(struct limiter *limiter, uint32_t shard_index, uint64_t home, uint32_t stamp)
{
    struct limit_shard *shard = &limiter->shards[shard_index];
    struct limit_slot *victim = NULL;
    uint32_t seen = 0;

    for (uint64_t i = 0; i < shard->slot_count && seen < PROBES; i++) {
        struct limit_slot *slot = &shard->slots[(home + i) & (shard->slot_count - 1)];

        if (slot->idle_stamp == 0)
            continue;
        seen++;
        if (victim == NULL || slot->idle_stamp <= stamp || slot->load < victim->load)
            victim = slot;
        if (slot->idle_stamp <= stamp)
            break;
    }
    CHECK(victim != NULL);
    count_dropped(limiter, shard, victim, stamp);
    table_remove(limiter, shard_index, victim);
}

/* Doubles the shard's room. False: no memory, or a neighbourhood would be too full. */
static bool grow(const struct limiter *limiter, struct limit_shard *shard)
{
    uint64_t count = shard->slot_count * 2;
    struct limit_slot *old = shard->slots, *slots = slots_new(count);

    if (slots == NULL)
        return false;
    for (uint64_t i = 0; i < shard->slot_count; i++) {
        uint64_t home = home_of(limiter, old[i].key), step = 0;

        if (old[i].idle_stamp == 0)
            continue;
        while (step < PROBES && slots[(home + step) & (count - 1)].idle_stamp != 0)
            step++;
        if (step == PROBES) {
            free(slots);
            return false;
        }
        slots[(home + step) & (count - 1)] = old[i];
    }
    free(old);
    __atomic_store_n(&shard->slots, slots, __ATOMIC_RELAXED); /* for table_prefetch() */
    __atomic_store_n(&shard->slot_count, count, __ATOMIC_RELAXED);
    shard->changes++;
    return true;
}

/* A third of the slots stays empty, and never more than four slots a client are made. */
static bool wants_growth(const struct limit_shard *shard)
{
    return shard->count * 3 >= shard->slot_count * 2 && shard->slot_count < 4 * shard->cap;
}

struct limit_slot *table_claim(struct limiter *limiter, const struct table_key *key, uint32_t stamp)
{
    struct limit_shard *shard = &limiter->shards[key->shard];
    uint64_t home = key->home;
    struct limit_slot *slot;

    if (shard->count < shard->cap && wants_growth(shard))
        (void)grow(limiter, shard);   /* without memory we drop sooner */
    while (shard->count > shard->cap) /* a reload lowered the bound */
        drop_one(limiter, key->shard, home, stamp);
    struct neighbourhood seen = look_around(shard, home, stamp);
    if (seen.empty == NULL && seen.idle == NULL && shard->count < shard->cap &&
        shard->slot_count < 4 * shard->cap && grow(limiter, shard))
        seen = look_around(shard, home, stamp);
    if (seen.idle == NULL && shard->count >= shard->cap) {
        drop_one(limiter, key->shard, home, stamp);
        seen = look_around(shard, home, stamp);
    }
    bool may_add = seen.empty != NULL && shard->count < shard->cap;
    slot = seen.idle != NULL ? seen.idle : may_add ? seen.empty : seen.least;
    CHECK(slot != NULL);
    if (slot == seen.empty)
        shard->count++;
    else
        count_dropped(limiter, shard, slot, stamp);
    memset(slot, 0, sizeof(*slot));
    memcpy(slot->key, key->word, sizeof(slot->key));
    slot->idle_stamp = stamp;
    shard->changes++;
    return slot;
}
