/* limit_priv.h - what the files of this room share: the pure arithmetic of one
 * window, and the table that keeps records.
 *
 * A record is the state of one window, at most five words. A slot is one cache line:
 * 96 bits of the key, up to three records and what eviction needs. A policy whose windows do
 * not fit one slot (bucket and two sliding windows do) is spread over several *parts*, slots of
 * their own in the same shard under keys derived from the first: no second table, no
 * pointers, and the common policy pays nothing for the rare one. */
#ifndef GATEWAY_LIMIT_PRIV_H
#define GATEWAY_LIMIT_PRIV_H
#include "limit/limit.h"

#include <pthread.h>

/* Of names that an operator chose, windows' and routes': quick, not for what strangers send. Every
 * byte tells; `seed` is what else should. */
static inline uint64_t name_hash(uint64_t seed, struct str name)
{
    uint64_t h = seed * UINT64_C(0x9e3779b97f4a7c15) + name.len, word;
    uint32_t low, high;

    for (size_t at = 0; at < name.len; at += sizeof(word)) {
        const char *from = name.ptr + at;
        size_t left = name.len - at;

        word = 0;
        if (left >= sizeof(word)) {
            memcpy(&word, from, sizeof(word));
        } else if (left >= sizeof(low)) {
            memcpy(&low, from, sizeof(low));
            memcpy(&high, from + left - sizeof(high), sizeof(high));
            word = low | (uint64_t)high << 32;
        } else {
            for (size_t i = 0; i < left; i++)
                word = word << 8 | (uint8_t)from[i];
        }
        h = (h ^ h >> 29 ^ word) * UINT64_C(0xbf58476d1ce4e5b9);
    }
    return h;
}

/* ---- window.c: one window, pure ---- */

enum { RECORD_WORDS = 5, STRICT_SLICES = 8 };

/* All zero is "never used", for every kind. */
union window_record {
    uint64_t words[RECORD_WORDS];
    struct {
        uint64_t tat_ns; /* theoretical arrival time: when the bucket is full again */
    } bucket;
    struct {
        uint64_t start_us; /* of the current window; meaningless while both counts are 0 */
        uint32_t current, previous;
    } sliding;
    struct {
        uint64_t start_us; /* monotonic; of a calendar window wall time */
        uint64_t count;
    } fixed;
    struct {
        uint32_t index;                     /* of the newest slice, modulo 2^32 */
        uint32_t counts[STRICT_SLICES + 1]; /* newest first */
    } strict;
};
_Static_assert(sizeof(union window_record) == RECORD_WORDS * sizeof(uint64_t), "five words");

/* How many words a record of this kind has. */
static inline uint32_t window_words(enum window_kind kind)
{
    switch (kind) {
    case WINDOW_BUCKET:
        return 1;
    case WINDOW_SLIDING:
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        return 2;
    case WINDOW_STRICT:
        return RECORD_WORDS;
    }
    return RECORD_WORDS;
}
/* Copies a record's words; no call for so few. */
static inline void words_copy(uint64_t *to, const uint64_t *from, uint32_t words)
{
    to[0] = from[0];
    if (words > 1)
        to[1] = from[1];
    if (words > 2)
        memcpy(to + 2, from + 2, (RECORD_WORDS - 2) * sizeof(*to));
}
/* Most requests at one moment: the limit, of a bucket its burst. */
uint64_t window_capacity(const struct window_config *window);
/* Of a bucket: the time that one request costs. Of a strict window: an eighth of its period. */
uint64_t window_interval_ns(const struct window_config *window);
uint64_t window_slice_us(const struct window_config *window);
/* Lets time pass: everything below wants a rolled record. A `now` that lies a little before the
 * record's own time (another worker's clock was read later) counts as that time. */
void window_roll(const struct window_config *window, union window_record *record,
                 struct limit_time now);
bool window_allows(const struct window_config *window, const union window_record *record,
                   uint64_t cost, struct limit_time now);
/* window_roll() and window_allows() in one step. */
bool window_ask(const struct window_config *window, union window_record *record, uint64_t cost,
                struct limit_time now);
void window_give_back(const struct window_config *window, union window_record *record,
                      uint64_t cost, struct limit_time now);
/* Microseconds until `cost` would be allowed if nobody else asks; 0: now. A cost over the
 * capacity is never allowed: one period is said then. */
uint64_t window_wait_us(const struct window_config *window, const union window_record *record,
                        uint64_t cost, struct limit_time now);
/* Microseconds until the record says the same as one never used. */
uint64_t window_idle_us(const struct window_config *window, const union window_record *record,
                        struct limit_time now);
/* What a table keeps beside a record: window_idle_us(), and the used share, of LOAD_SHARE. */
struct window_rest {
    uint64_t idle_us;
    uint16_t load;
};
struct window_rest window_rest(const struct window_config *window,
                               const union window_record *record, uint64_t remaining,
                               struct limit_time now);
/* Adds `cost`, whatever is left, and describes what is left then. */
void window_take(const struct window_config *window, union window_record *record, uint64_t cost,
                 struct limit_time now, struct limit_window *out);
/* Fills everything but `refuses` and `retry_us`. */
void window_describe(const struct window_config *window, const union window_record *record,
                     struct limit_time now, struct limit_window *out);

/* ---- decide.c ---- */
/* One decision on records that are at hand, for every store: takes `cost` from all or from none,
 * and says what is left. With cost 0 it is a look. */
void decision_take(const struct window_config *const *windows, union window_record *records,
                   uint32_t count, uint64_t cost, struct limit_time now, struct limit_state *state);
/* The windows of all policies in one row; how many. */
uint32_t decision_windows(const struct limit_policy *policies, uint32_t policy_count,
                          const struct window_config *windows[LIMIT_MAX_WINDOWS]);

/* ---- memory.c ---- */
/* Puts records in place of what is known, as a store told them. */
void memory_put(struct limiter *limiter, const struct limit_policy *policies, uint32_t policy_count,
                const union window_record *records, struct limit_time now);

/* ---- calendar.c ---- */
struct calendar_span {
    uint64_t start_us, end_us; /* wall, UTC */
};
/* The month that holds wall_us; for a period of at most a day, the span aligned to it. */
struct calendar_span calendar_span(int64_t period_ms, int64_t wall_us);

/* ---- table.c: slots in shards ---- */

enum { SLOT_RECORDS = 3, KEY_WORDS = 3 };

/* What eviction compares: who came once goes before who came again, whatever the overflow says they
 * used, because addresses of a flood come once; then the smaller used share. */
enum { LOAD_SHARE = 32767, LOAD_AGAIN = 32768 };

struct limit_slot {
    uint32_t key[KEY_WORDS];
    uint32_t idle_stamp; /* table_stamp() from which on dropping it loses nothing; 0: empty */
    uint16_t tag[SLOT_RECORDS]; /* which windows the words belong to; 0: none */
    uint16_t load; /* LOAD_AGAIN, and the fullest window's used share when last written */
    uint64_t words[RECORD_WORDS];
};
_Static_assert(sizeof(struct limit_slot) == 64, "one cache line");

struct limit_shard {
    pthread_mutex_t lock;
    struct limit_slot *slots; /* owned */
    uint64_t slot_count;      /* a power of two */
    uint64_t changes;         /* grows whenever a pointer to a slot may have become wrong */
    /* to here one line, with which a decision for a known client does */
    uint64_t count, cap;
    uint64_t evicted_idle, evicted_busy;
} __attribute__((aligned(64)));

enum {
    HOLD_SHARDS = 16,
    HOLD_CHAINS = 256,
    TOP_SHARDS = 8,
    OVERRIDE_CHAINS = 1024,
    USAGE_SHARDS = 16,
    MOST_SHAPES = 16
};
struct hold;
struct hold_shard {
    pthread_mutex_t lock;
    struct hold *chains[HOLD_CHAINS];
};
struct top_shard;
struct override;
struct usage_row;
struct usage_shard {
    pthread_mutex_t lock;
    struct usage_row *rows; /* owned */
    uint32_t room, count;   /* room: a power of two, or 0 */
    uint32_t oldest;        /* hour of any row */
    bool has_news;          /* some row may have grown since it was sent */
    uint64_t lost;
} __attribute__((aligned(64)));
struct overflow_shape;

struct limiter {
    struct limit_shard *shards; /* owned */
    uint32_t shard_count;       /* a power of two */
    struct hash_key seed;
    struct hold_shard *holds;                     /* hold.c */
    struct top_shard *top[LIMIT_TOP_REFUSED + 1]; /* top.c */
    struct override **overrides;                  /* override.c */
    pthread_mutex_t overrides_lock;
    _Atomic uint32_t override_count;
    uint32_t override_round;       /* grows before all are read from the store */
    struct usage_shard *usage;     /* usage.c */
    struct overflow_shape *shapes; /* overflow.c */
    uint32_t shape_count;
    pthread_mutex_t overflow_lock;
    _Atomic uint32_t live_gateways; /* that share the store; 0: not known */
    _Atomic uint32_t forgets;       /* grows with each limit_forget() */
};

/* Each makes its part; false: out of memory. Free is fine after a failed init. */
bool holds_init(struct limiter *limiter) MUST_USE;
void holds_free(struct limiter *limiter);
bool top_init(struct limiter *limiter) MUST_USE;
void top_free(struct limiter *limiter);
bool overrides_init(struct limiter *limiter) MUST_USE;
void overrides_free(struct limiter *limiter);
/* Between the two limit_override() tells all that the store knows; the rest is dropped. One
 * thread. */
void overrides_begin_round(struct limiter *limiter);
void overrides_end_round(struct limiter *limiter);
bool usage_init(struct limiter *limiter) MUST_USE;
void usage_free(struct limiter *limiter);
bool overflow_init(struct limiter *limiter) MUST_USE;
void overflow_free(struct limiter *limiter);

/* ---- overflow.c ---- */
/* Keeps an upper bound of a busy slot's records. False: no place for its shape; they are lost. */
bool overflow_put(struct limiter *limiter, const struct limit_slot *slot, uint32_t stamp);
/* The smallest upper bound for a key; false: there is none, it is as new. */
bool overflow_get(struct limiter *limiter, const uint32_t key[KEY_WORDS],
                  const uint16_t tag[SLOT_RECORDS], uint32_t stamp, uint64_t words[RECORD_WORDS]);
/* Makes *to say at any later moment at least what it and *from say. Both rolled to one moment. */
void overflow_merge(enum window_kind kind, union window_record *to,
                    const union window_record *from);

/* A key as slots hold it, and where it lives. */
struct table_key {
    uint32_t word[KEY_WORDS];
    uint32_t shard;
    uint64_t home; /* where its search begins, to be masked */
};
struct table_key table_key_of(const struct limiter *limiter, struct hash128 key, uint32_t part);
/* Seconds of the monotonic clock in the form of idle_stamp. */
static inline uint32_t table_stamp(uint64_t mono_us)
{
    return (uint32_t)(mono_us / 1000000) + 1;
}
/* Brings a key's line near. No lock is wanted: what it reads may be old, and a line that is no
 * longer a slot's is a wasted hint. */
static inline void table_prefetch(const struct limiter *limiter, const struct table_key *key)
{
    const struct limit_shard *shard = &limiter->shards[key->shard];
    uintptr_t slots = (uintptr_t)__atomic_load_n(&shard->slots, __ATOMIC_RELAXED);
    uint64_t count = __atomic_load_n(&shard->slot_count, __ATOMIC_RELAXED);

    __builtin_prefetch(
        (const void *)(slots + (key->home & (count - 1)) * sizeof(struct limit_slot)), 1);
}
/* Of a locked shard; NULL: not there. */
struct limit_slot *table_find(const struct limiter *limiter, const struct table_key *key);
/* Makes room for a key that is not there: the slot carries the key, the rest is the caller's
 * to fill. Never fails: at the bound another slot is dropped. The shard is locked. */
struct limit_slot *table_claim(struct limiter *limiter, const struct table_key *key,
                               uint32_t stamp);
void table_remove(struct limiter *limiter, uint32_t shard, struct limit_slot *slot);

#endif
