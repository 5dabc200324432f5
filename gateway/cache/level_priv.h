/* level_priv.h - the second level, as its files know it: level.c (begin, end, names), level_read.c
 * (asking), level_lease.c (one fetch for all gateways), level_write.c (putting there),
 * level_entry.c (an entry to a frame and back). */
#ifndef GATEWAY_CACHE_LEVEL_PRIV_H
#define GATEWAY_CACHE_LEVEL_PRIV_H
#include "cache/frame_priv.h"
#include "redis/redis.h"

enum {
    LEVEL_MAX_READS = 1024, /* under way, each worker */
    LEVEL_MAX_WRITES = 64,  /* the same */
    LEVEL_NAME_BYTES = 192, /* prefix (64), role, 32 digits, variant, chunk */
    LEVEL_LEASE_MS = 2000,  /* a dead holder's lease ends after this */
    LEVEL_RENEW_MS = 500,
    LEVEL_WAIT_MS = 10000,   /* longest wait for another gateway's fetch */
    LEVEL_FIRST_POLL_MS = 2, /* doubles up to the next */
    LEVEL_MOST_POLL_MS = 10,
    LEVEL_ASIDE_MS = 10000,
    LEVEL_WRITE_MS = 1000 /* for each command of a write */
};

/* What became of a question or a write; the labels of cache_second_level_total. */
enum level_outcome {
    LEVEL_HIT,
    LEVEL_MISS,
    LEVEL_PURGED,  /* a purge may cover it */
    LEVEL_DAMAGED, /* another version's, cut, or not what its name says */
    LEVEL_LATE,    /* store.timeout */
    LEVEL_AWAY,    /* the store, or the stream of purges; or too much is under way */
    LEVEL_WAITED,  /* another gateway's fetch: found there in the end */
    LEVEL_GAVE_UP, /* waiting for another gateway's fetch */
    LEVEL_STORED,
    LEVEL_LOCAL,  /* not for the second level: too large, a part, stale at once */
    LEVEL_FAILED, /* a write */
    LEVEL_OUTCOMES
};

enum { SCRIPT_ASK, SCRIPT_RENEW, SCRIPT_END, LEVEL_SCRIPTS };
struct cache_level {
    struct loop *loop;
    struct cache *cache;
    struct redis *redis;
    struct hash_key seed, secret;
    char prefix[72];
    struct redis_script scripts[LEVEL_SCRIPTS];
    int64_t timeout_ms;
    struct cell *outcomes[LEVEL_OUTCOMES];
    struct level_read *reads;
    struct level_write *writes;
    struct level_lease *leases;
    uint32_t read_count, write_count;
};

/* Names of one key's answers: all have the same hash tag. */
struct level_name {
    char text[LEVEL_NAME_BYTES];
};
void level_name(const struct cache_level *level, struct str key, struct level_name *name);
/* `vary_key` of a variant (empty: of the answer that does not vary); chunk < 0: its frame. */
void level_name_of(const struct level_name *base, const struct cache_level *level,
                   struct str vary_key, int chunk, struct level_name *name);
void level_name_lease(const struct level_name *base, struct level_name *name);
void level_count(struct cache_level *level, enum level_outcome outcome);

/* ---- level_lease.c ---- */
struct level_lease {
    struct cache_level *level; /* NULL: it ended, the lease is nobody's any more */
    struct level_lease *next, **back;
    struct level_name name;
    char token[17];
    struct deadline renewal;
};
/* Asks for the frame `name`, and for the lease when it is not there (or `is_forced`). The reply is
 * [state, frame or nil]: LEASE_… */
enum lease_state { LEASE_HELD_BY_ANOTHER, LEASE_TAKEN, LEASE_ASIDE, LEASE_NOT_ASKED };
struct redis_call *lease_ask(struct cache_level *level, const struct level_name *name,
                             const char token[17], bool is_forced, redis_reply_fn *fn, void *arg);
/* Whatever became of the asking: it is not held under this token. */
void lease_drop(struct cache_level *level, const struct level_name *base, const char token[17]);
void leases_init(struct cache_level *level);
/* The lease that was taken with this token; NULL: no memory, and it is given back. */
struct level_lease *lease_new(struct cache_level *level, const struct level_name *base,
                              const char token[17]);
void leases_end(struct cache_level *level); /* with the level */

/* ---- level_entry.c ---- */
/* What the entry is in the store. Slices of the entry and the arena. False: it is not for there. */
bool level_frame_of(const struct cache_entry *entry, const struct cache_place *place,
                    struct arena *arena, struct frame *frame) MUST_USE;
int64_t level_life_ms(const struct frame *frame, int64_t wall_us); /* <= 0: none */
struct level_moment {
    uint64_t now_us; /* monotonic */
    int64_t wall_us;
    uint64_t stamp; /* history_stamp() */
};
/* The entry that the frame describes, not in the index, its body still to be put in: inside up to
 * INSIDE_MOST. NULL: no memory or budget, or not for this question. */
struct cache_entry *level_entry_of(struct cache *cache, const struct frame *frame,
                                   const struct level_question *question,
                                   const struct level_moment *moment, struct arena *arena) MUST_USE;

void reads_end(struct cache_level *level);
void writes_end(struct cache_level *level);

#endif
