/* hold.c - requests at a time: how many of a key are on their way now.
 *
 * A key has a count only while somebody holds it, so the table is as large as the requests in
 * flight, which the server room bounds. The holder is a request: it gives back when it ends,
 * however it ends, and a process that dies takes its counts along: nothing can leak into a
 * count that refuses for ever.
 *
 * Any thread; one of HOLD_SHARDS locks is held for a few instructions. */
#include "limit/limit_priv.h"

#include <stdlib.h>

struct hold {
    struct hash128 key;
    uint32_t count;
    struct hold *next;
};

static struct hold_shard *shard_of(struct limiter *limiter, struct hash128 key)
{
    return &limiter->holds[key.lo % HOLD_SHARDS];
}

/* Where the hold is linked, or would be. */
static struct hold **place_of(struct hold_shard *shard, struct hash128 key)
{
    struct hold **at = &shard->chains[key.hi % HOLD_CHAINS];

    while (*at != NULL && ((*at)->key.lo != key.lo || (*at)->key.hi != key.hi))
        at = &(*at)->next;
    return at;
}

bool holds_init(struct limiter *limiter)
{
    limiter->holds = calloc(HOLD_SHARDS, sizeof(*limiter->holds));
    if (limiter->holds == NULL)
        return false;
    for (uint32_t i = 0; i < HOLD_SHARDS; i++)
        CHECK(pthread_mutex_init(&limiter->holds[i].lock, NULL) == 0);
    return true;
}

void holds_free(struct limiter *limiter)
{
    for (uint32_t i = 0; limiter->holds != NULL && i < HOLD_SHARDS; i++) {
        for (uint32_t c = 0; c < HOLD_CHAINS; c++) {
            while (limiter->holds[i].chains[c] != NULL) {
                struct hold *gone = limiter->holds[i].chains[c];

                limiter->holds[i].chains[c] = gone->next;
                free(gone);
            }
        }
        pthread_mutex_destroy(&limiter->holds[i].lock);
    }
    free(limiter->holds);
}

bool limit_hold(struct limiter *limiter, struct hash128 key, uint32_t most, uint32_t *in_use)
{
    struct hold_shard *shard = shard_of(limiter, key);
    struct hold **at;
    bool has = false;

    *in_use = 0;
    pthread_mutex_lock(&shard->lock);
    at = place_of(shard, key);
    if (*at == NULL && most > 0) {
        *at = calloc(1, sizeof(**at)); /* without memory: refused, as when there are too many */
        if (*at != NULL)
            (*at)->key = key;
    }
    if (*at != NULL) {
        has = (*at)->count < most;
        (*at)->count += has;
        *in_use = (*at)->count;
    }
    pthread_mutex_unlock(&shard->lock);
    return has;
}

void limit_hold_drop(struct limiter *limiter, struct hash128 key)
{
    struct hold_shard *shard = shard_of(limiter, key);
    struct hold **at, *gone = NULL;

    pthread_mutex_lock(&shard->lock);
    at = place_of(shard, key);
    CHECK(*at != NULL);
    if (--(*at)->count == 0) {
        gone = *at;
        *at = gone->next;
    }
    pthread_mutex_unlock(&shard->lock);
    free(gone);
}

uint32_t limit_held(struct limiter *limiter, struct hash128 key)
{
    struct hold_shard *shard = shard_of(limiter, key);
    struct hold **at;
    uint32_t count;

    pthread_mutex_lock(&shard->lock);
    at = place_of(shard, key);
    count = *at != NULL ? (*at)->count : 0;
    pthread_mutex_unlock(&shard->lock);
    return count;
}

/* No period: when one of them ends nobody knows, so a second is what a refused client is told. */
struct limit_window limit_window_of_holds(uint32_t most, uint32_t in_use, bool refuses)
{
    static const struct window_config concurrent = {.name = {"concurrent", 10},
                                                    .kind = WINDOW_FIXED};
    enum { RETRY_US = 1000000 };

    return (struct limit_window){.window = &concurrent,
                                 .limit = most,
                                 .remaining = most > in_use ? most - in_use : 0,
                                 .retry_us = refuses ? RETRY_US : 0,
                                 .next_us = most > in_use ? 0 : RETRY_US,
                                 .refuses = refuses};
}
