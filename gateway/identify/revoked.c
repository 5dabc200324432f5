/* revoked.c - tokens that were good and are no more, until they would have ended by themselves.
 *
 * A token is known by its signed part (of its whole text an ECDSA signature has two) or by its
 * jti, as half of a SHA-256: the text is kept nowhere. Reading asks a bit table without a lock, so
 * a token that is not revoked costs two loads; only a set bit takes the lock and looks. The set has
 * a ceiling, where a new revocation is refused aloud: an old one that was dropped in silence would
 * be a token come back to life. Shared by all threads. */
#include "identify/identify_priv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { FILTER_BITS = 1 << 21, WORD = 64, FIRST_ROOM = 256 };

struct entry {
    struct hash128 name;
    int64_t until_s; /* 0: free */
};
struct revoked {
    pthread_mutex_t lock;
    _Atomic uint32_t count;
    _Atomic uint64_t total;
    _Atomic uint64_t *filter; /* FILTER_BITS */
    struct entry *entries;    /* open addressing; room is a power of two */
    uint32_t room;
    int64_t next_end_s; /* no entry ends before */
    uint64_t builds;    /* how often entries have moved */
};

struct revoked *revoked_new(void)
{
    struct revoked *set = calloc(1, sizeof(*set));

    if (set == NULL)
        return NULL;
    set->filter = calloc(FILTER_BITS / WORD, sizeof(*set->filter));
    if (set->filter == NULL) {
        free(set);
        return NULL;
    }
    pthread_mutex_init(&set->lock, NULL);
    set->next_end_s = INT64_MAX;
    return set;
}

void revoked_free(struct revoked **set)
{
    struct revoked *old = *set;

    *set = NULL;
    if (old == NULL)
        return;
    pthread_mutex_destroy(&old->lock);
    free((void *)old->filter);
    free(old->entries);
    free(old);
}

struct hash128 revoked_name(char kind, struct str text)
{
    struct hash128 name = {0, 0};
    char hex[65];

    hash_sha256_hex(text, hex);
    for (int i = 0; i < 16; i++) {
        name.lo = name.lo << 4 | (uint64_t)ascii_hex_value(hex[i]);
        name.hi = name.hi << 4 | (uint64_t)ascii_hex_value(hex[16 + i]);
    }
    name.hi = (name.hi & ~UINT64_C(0xff)) | (unsigned char)kind; /* a jti never names a token */
    return name;
}

/* ---- the filter ---- */

static uint32_t bit_of(struct hash128 name, int which)
{
    return (uint32_t)(which == 0 ? name.lo : name.hi >> 16) % FILTER_BITS;
}

static void filter_add(struct revoked *set, struct hash128 name)
{
    for (int i = 0; i < 2; i++) {
        uint32_t bit = bit_of(name, i);

        atomic_fetch_or_explicit(&set->filter[bit / WORD], UINT64_C(1) << bit % WORD,
                                 memory_order_release);
    }
}

static bool filter_may_have(struct revoked *set, struct hash128 name)
{
    for (int i = 0; i < 2; i++) {
        uint32_t bit = bit_of(name, i);

        if ((atomic_load_explicit(&set->filter[bit / WORD], memory_order_acquire) >> bit % WORD &
             1) == 0)
            return false;
    }
    return true;
}

/* ---- the set; under the lock ---- */

/* The entry of that name, or the free place where it would stand. */
static struct entry *find(struct entry *entries, uint32_t room, struct hash128 name)
{
    uint32_t i = (uint32_t)name.lo & (room - 1);

    while (entries[i].until_s != 0 &&
           (entries[i].name.lo != name.lo || entries[i].name.hi != name.hi))
        i = (i + 1) & (room - 1);
    return &entries[i];
}

/* Moves what has not ended into a table of `room`. */
static bool rebuild(struct revoked *set, uint32_t room, int64_t now_s)
{
    struct entry *entries = calloc(room, sizeof(*entries));
    uint32_t count = 0;

    if (entries == NULL)
        return false;
    set->next_end_s = INT64_MAX;
    for (uint32_t i = 0; i < set->room; i++) {
        if (set->entries[i].until_s <= now_s)
            continue;
        *find(entries, room, set->entries[i].name) = set->entries[i];
        if (set->entries[i].until_s < set->next_end_s)
            set->next_end_s = set->entries[i].until_s;
        count++;
    }
    free(set->entries);
    set->entries = entries;
    set->room = room;
    set->builds++;
    atomic_store_explicit(&set->count, count, memory_order_relaxed);
    return true;
}

static bool make_room(struct revoked *set, int64_t now_s)
{
    uint32_t count = atomic_load_explicit(&set->count, memory_order_relaxed);

    if (set->room > 0 && count < set->room / 2)
        return true;
    if (set->room > 0 && set->next_end_s <= now_s) {
        if (!rebuild(set, set->room, now_s))
            return false;
        count = atomic_load_explicit(&set->count, memory_order_relaxed);
        if (count < set->room / 4)
            return true;
    }
    if (count >= REVOKED_MOST)
        return false;
    return rebuild(set, set->room == 0 ? FIRST_ROOM : set->room * 2, now_s);
}

enum revoked_result revoked_add(struct revoked *set, struct hash128 name, int64_t until_s,
                                int64_t now_s)
{
    enum revoked_result result = REVOKED_FULL;

    if (until_s <= now_s)
        return REVOKED_ENDED;
    pthread_mutex_lock(&set->lock);
    if (make_room(set, now_s)) {
        struct entry *entry = find(set->entries, set->room, name);

        result = REVOKED_ALREADY;
        if (entry->until_s < until_s)
            result = entry->until_s > now_s ? REVOKED_LONGER : REVOKED_NOW;
        if (result == REVOKED_NOW)
            atomic_fetch_add_explicit(&set->total, 1, memory_order_relaxed);
        if (entry->until_s == 0)
            atomic_fetch_add_explicit(&set->count, 1, memory_order_relaxed);
        entry->name = name;
        if (entry->until_s < until_s)
            entry->until_s = until_s;
        if (until_s < set->next_end_s)
            set->next_end_s = until_s;
        filter_add(set, name);
    }
    pthread_mutex_unlock(&set->lock);
    return result;
}

uint32_t revoked_next(struct revoked *set, struct revoked_walk *walk, struct identify_token *tokens,
                      uint32_t most)
{
    enum {
        MOVED_MOST = 256
    }; /* places, by a rebuild: far more than a half full table has in a row */
    uint32_t count = 0;

    pthread_mutex_lock(&set->lock);
    if (walk->room != set->room)
        walk->at = 0;
    else if (walk->builds != set->builds)
        walk->at -= walk->at < MOVED_MOST ? walk->at : MOVED_MOST;
    walk->room = set->room;
    walk->builds = set->builds;
    for (; walk->at < set->room && count < most; walk->at++)
        if (set->entries[walk->at].until_s != 0)
            tokens[count++] = (struct identify_token){set->entries[walk->at].name,
                                                      set->entries[walk->at].until_s};
    pthread_mutex_unlock(&set->lock);
    return count;
}

bool revoked_has(struct revoked *set, struct hash128 name, int64_t now_s)
{
    bool is_there = false;

    if (!filter_may_have(set, name))
        return false;
    pthread_mutex_lock(&set->lock);
    if (set->room > 0)
        is_there = find(set->entries, set->room, name)->until_s > now_s;
    pthread_mutex_unlock(&set->lock);
    return is_there;
}

void revoked_sweep(struct revoked *set, int64_t now_s)
{
    pthread_mutex_lock(&set->lock);
    if (set->room > 0 && set->next_end_s <= now_s && rebuild(set, set->room, now_s)) {
        /* each word is replaced at once by one that holds every bit that is still needed, so no
         * reader can miss a token in between */
        uint64_t *bits = calloc(FILTER_BITS / WORD, sizeof(*bits));

        for (uint32_t i = 0; bits != NULL && i < set->room; i++) {
            for (int which = 0; which < 2 && set->entries[i].until_s != 0; which++) {
                uint32_t bit = bit_of(set->entries[i].name, which);

                bits[bit / WORD] |= UINT64_C(1) << bit % WORD;
            }
        }
        for (uint32_t i = 0; bits != NULL && i < FILTER_BITS / WORD; i++)
            atomic_store_explicit(&set->filter[i], bits[i], memory_order_release);
        free(bits);
    }
    pthread_mutex_unlock(&set->lock);
}

uint32_t revoked_count(const struct revoked *set)
{
    return atomic_load_explicit(&((struct revoked *)(uintptr_t)set)->count, memory_order_relaxed);
}

uint64_t revoked_total(const struct revoked *set)
{
    return atomic_load_explicit(&((struct revoked *)(uintptr_t)set)->total, memory_order_relaxed);
}
