/* picture_priv.h - answers for pictures in the store, as its files know them: picture_store.c
 * (begin, end, purges, writing) and picture_read.c (asking). All of it is one worker's. */
#ifndef GATEWAY_CACHE_PICTURE_PRIV_H
#define GATEWAY_CACHE_PICTURE_PRIV_H
#include "cache/cache_priv.h"
#include "redis/redis.h"

#include <stdio.h>

enum { PICTURE_NAME_BYTES = 160 };
enum { OWN, NEAR, CHOICES }; /* the picture itself; the nearest to it that others have */
enum { ASK_VALUE = 0, ASK_TTL = CHOICES, ASK_PURGED = 2 * CHOICES, ASKED };
enum picture_outcome {
    PICTURE_HIT,
    PICTURE_MISS,
    PICTURE_PURGED,  /* a purge may cover it */
    PICTURE_DAMAGED, /* no JSON object */
    PICTURE_LATE,    /* store.timeout */
    PICTURE_AWAY,
    PICTURE_STORED,
    PICTURE_FAILED, /* a write */
    PICTURE_OUTCOMES
};

struct picture_store {
    struct loop *loop;
    struct cache *cache;
    struct redis *redis;
    char prefix[72];
    int64_t timeout_ms;
    struct cell *outcomes[PICTURE_OUTCOMES];
    struct picture_read *reads;
    uint32_t read_count;
    struct arena *arena;         /* the witness's key */
    struct cache_entry *witness; /* held; NULL: nobody has asked yet */
    struct cache_key key;
    struct str route;
    struct str_list tags;
    int64_t ttl_ms, purged_ms; /* wall clock of the last purge that is known; 0: none */
    uint64_t learned_ms;       /* of the index, up to here */
    struct deadline watch;
};

struct picture_read {
    struct picture_store *store;
    struct picture_read *next, **back;
    struct part {
        struct picture_read *read;
        struct redis_call *call;
    } parts[ASKED];
    uint32_t left;
    picture_fn *told;
    void *arg;
    struct redis_call *index;
    struct choice {
        struct image_hash hash;
        struct buf value;
        bool is_asked, has_value;
        int64_t left_ms;
    } at[CHOICES];
    bool is_late;
    int64_t ttl_ms, purged_ms;
    uint64_t stamp, until_us;
    uint32_t distance;
};

void picture_count(struct picture_store *store, enum picture_outcome outcome);
int64_t picture_wall_ms(const struct picture_store *store);
struct str picture_number(char to[24], int64_t value);
/* cache:image:WHAT, and cache:image:hash:HASH, with the prefix. */
void picture_side_name(const struct picture_store *store, const char *what,
                       char name[PICTURE_NAME_BYTES]);
void picture_name(const struct picture_store *store, const struct image_hash *hash,
                  char name[PICTURE_NAME_BYTES]);
bool picture_is_json(struct str text); /* an object, of PICTURE_STORE_MOST */
/* Is there a witness for this question, and has no purge covered it? A purge that has is noted.
 * False: out of memory. */
bool picture_know(struct picture_store *store, const struct picture_question *question);
bool picture_look_at_witness(struct picture_store *store);
void picture_reads_end(struct picture_store *store);

#endif
