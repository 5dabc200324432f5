/* overflow.c - what is known of clients whose slot had to go while it was busy.
 *
 * A count-min sketch whose cells hold whole records. A cell is the upper bound of all records
 * that were put into it: merged part by part so that at any later moment none of them says
 * more. A client that comes back begins with the smallest of its ROWS cells: it may be refused
 * for what others used, and is never allowed more than its own record would have allowed. Fading
 * needs no rotation, because records fade by themselves.
 *
 * Records merge only with their like, so each shape of a slot (its tags) has cells of its own, made
 * when it first overflows; MOST_SHAPES bound the memory (4 MiB each). Past that a busy client is
 * forgotten, and counted as before. The overflow's lock is held inside a shard's. */
#include "limit/limit_priv.h"

#include <stdlib.h>

enum { ROWS = 4, COLUMNS = 16384 };

struct overflow_shape {
    uint16_t tag[SLOT_RECORDS];
    struct limit_slot *cells; /* ROWS * COLUMNS, owned */
};

static struct overflow_shape *shape_of(struct limiter *limiter, const uint16_t tag[SLOT_RECORDS],
                                       bool makes)
{
    struct overflow_shape *shape;

    for (uint32_t i = 0; i < limiter->shape_count; i++)
        if (memcmp(limiter->shapes[i].tag, tag, sizeof(limiter->shapes[i].tag)) == 0)
            return &limiter->shapes[i];
    if (!makes || limiter->shape_count == MOST_SHAPES)
        return NULL;
    shape = &limiter->shapes[limiter->shape_count];
    shape->cells = aligned_alloc(64, ROWS * COLUMNS * sizeof(*shape->cells));
    if (shape->cells == NULL)
        return NULL;
    memset(shape->cells, 0, ROWS * COLUMNS * sizeof(*shape->cells));
    memcpy(shape->tag, tag, sizeof(shape->tag));
    __atomic_store_n(&limiter->shape_count, limiter->shape_count + 1, __ATOMIC_RELAXED);
    return shape;
}

bool overflow_init(struct limiter *limiter)
{
    limiter->shapes = calloc(MOST_SHAPES, sizeof(*limiter->shapes));
    CHECK(pthread_mutex_init(&limiter->overflow_lock, NULL) == 0);
    return limiter->shapes != NULL;
}

void overflow_free(struct limiter *limiter)
{
    for (uint32_t i = 0; limiter->shapes != NULL && i < limiter->shape_count; i++)
        free(limiter->shapes[i].cells);
    free(limiter->shapes);
    pthread_mutex_destroy(&limiter->overflow_lock);
}

static struct limit_slot *cell_of(struct overflow_shape *shape, const struct limiter *limiter,
                                  const uint32_t key[KEY_WORDS], uint32_t row)
{
    uint64_t h = ((uint64_t)key[0] | (uint64_t)key[1] << 32) ^ limiter->seed.k[row & 1];

    h = (h ^ h >> 31 ^ key[2] ^ (uint64_t)row << 48) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ h >> 29) * UINT64_C(0x94d049bb133111eb);
    return &shape->cells[row * COLUMNS + (h >> 40) % COLUMNS];
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint32_t larger32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* The newer border with the larger counts: each fades no sooner than either did. */
static void merge_sliding(union window_record *to, const union window_record *from)
{
    to->sliding.start_us = larger(to->sliding.start_us, from->sliding.start_us);
    to->sliding.current = larger32(to->sliding.current, from->sliding.current);
    to->sliding.previous = larger32(to->sliding.previous, from->sliding.previous);
}

static void merge_strict(union window_record *to, const union window_record *from)
{
    union window_record older = *from, result = *to;
    uint32_t gone;

    if ((int32_t)(from->strict.index - to->strict.index) > 0) {
        older = *to;
        result = *from;
    }
    gone = result.strict.index - older.strict.index;
    for (uint32_t i = 0; i + gone <= STRICT_SLICES && gone <= STRICT_SLICES; i++)
        result.strict.counts[i + gone] =
            larger32(result.strict.counts[i + gone], older.strict.counts[i]);
    *to = result;
}

void overflow_merge(enum window_kind kind, union window_record *to, const union window_record *from)
{
    switch (kind) {
    case WINDOW_BUCKET:
        to->bucket.tat_ns = larger(to->bucket.tat_ns, from->bucket.tat_ns);
        break;
    case WINDOW_SLIDING:
        merge_sliding(to, from);
        break;
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        to->fixed.start_us = larger(to->fixed.start_us, from->fixed.start_us);
        to->fixed.count = larger(to->fixed.count, from->fixed.count);
        break;
    case WINDOW_STRICT:
        merge_strict(to, from);
        break;
    }
}

static enum window_kind kind_of(uint16_t tag)
{
    return (enum window_kind)((tag & 7) - 1);
}

static void merge_slot(struct limit_slot *cell, const struct limit_slot *slot, uint32_t stamp)
{
    uint32_t at = 0;

    if (cell->idle_stamp <= stamp) { /* what it says is over */
        memcpy(cell->words, slot->words, sizeof(cell->words));
        cell->idle_stamp = slot->idle_stamp;
        cell->load = slot->load & LOAD_SHARE;
        return;
    }
    for (uint32_t i = 0; i < SLOT_RECORDS && slot->tag[i] != 0; i++) {
        uint32_t words = window_words(kind_of(slot->tag[i]));
        union window_record to = {.words = {0}}, from = {.words = {0}};

        memcpy(to.words, cell->words + at, words * sizeof(uint64_t));
        memcpy(from.words, slot->words + at, words * sizeof(uint64_t));
        overflow_merge(kind_of(slot->tag[i]), &to, &from);
        memcpy(cell->words + at, to.words, words * sizeof(uint64_t));
        at += words;
    }
    /* a strict window of the newer border fades later than either */
    cell->idle_stamp = larger32(cell->idle_stamp, slot->idle_stamp);
    if ((slot->load & LOAD_SHARE) > cell->load)
        cell->load = slot->load & LOAD_SHARE;
}

bool overflow_put(struct limiter *limiter, const struct limit_slot *slot, uint32_t stamp)
{
    struct overflow_shape *shape;

    pthread_mutex_lock(&limiter->overflow_lock);
    shape = shape_of(limiter, slot->tag, true);
    for (uint32_t row = 0; shape != NULL && row < ROWS; row++)
        merge_slot(cell_of(shape, limiter, slot->key, row), slot, stamp);
    pthread_mutex_unlock(&limiter->overflow_lock);
    return shape != NULL;
}

bool overflow_get(struct limiter *limiter, const uint32_t key[KEY_WORDS],
                  const uint16_t tag[SLOT_RECORDS], uint32_t stamp, uint64_t words[RECORD_WORDS])
{
    struct overflow_shape *shape;
    const struct limit_slot *least = NULL;

    if (__atomic_load_n(&limiter->shape_count, __ATOMIC_RELAXED) == 0)
        return false;
    pthread_mutex_lock(&limiter->overflow_lock);
    shape = shape_of(limiter, tag, false);
    for (uint32_t row = 0; shape != NULL && row < ROWS; row++) {
        const struct limit_slot *cell = cell_of(shape, limiter, key, row);

        if (cell->idle_stamp <= stamp) { /* nothing of this client can be in it */
            least = NULL;
            break;
        }
        if (least == NULL || cell->load < least->load)
            least = cell;
    }
    if (least != NULL)
        memcpy(words, least->words, RECORD_WORDS * sizeof(uint64_t));
    pthread_mutex_unlock(&limiter->overflow_lock);
    return least != NULL;
}
