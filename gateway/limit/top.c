/* top.c - who is served and who is refused most: a space-saving sketch (Metwally and
 * others, 2005), cut into groups of eight counters.
 *
 * A client belongs to one group, by its hash. When its group is full it takes over the smallest
 * counter there and begins at that count, so a count is never too low, and too high by at most
 * the `error` that is kept beside it. Groups instead of one list: a request looks at eight
 * counters that lie together, and at no heap. Memory is fixed from the start.
 *
 * Any thread; one lock a group of groups, held for eight comparisons. */
#include "limit/limit_priv.h"

#include <stdlib.h>

enum { GROUP = 8, GROUPS = 32 }; /* of each shard */

struct counter {
    struct hash128 client;
    uint64_t count, error;
};
struct top_shard {
    pthread_mutex_t lock;
    struct counter counters[GROUPS][GROUP];
    char names[GROUPS][GROUP][LIMIT_NAME_MAX];
};

bool top_init(struct limiter *limiter)
{
    for (int by = 0; by <= LIMIT_TOP_REFUSED; by++) {
        limiter->top[by] = calloc(TOP_SHARDS, sizeof(*limiter->top[by]));
        if (limiter->top[by] == NULL)
            return false;
        for (uint32_t i = 0; i < TOP_SHARDS; i++)
            CHECK(pthread_mutex_init(&limiter->top[by][i].lock, NULL) == 0);
    }
    return true;
}

void top_free(struct limiter *limiter)
{
    for (int by = 0; by <= LIMIT_TOP_REFUSED; by++) {
        for (uint32_t i = 0; limiter->top[by] != NULL && i < TOP_SHARDS; i++)
            pthread_mutex_destroy(&limiter->top[by][i].lock);
        free(limiter->top[by]);
    }
}

void limit_top_count(struct limiter *limiter, enum limit_top_by by, struct hash128 client,
                     struct str name)
{
    struct top_shard *shard = &limiter->top[by][client.lo % TOP_SHARDS];
    uint32_t group = (uint32_t)(client.hi % GROUPS), at = 0;
    struct counter *counters = shard->counters[group];

    pthread_mutex_lock(&shard->lock);
    for (uint32_t i = 0; i < GROUP; i++) {
        if (counters[i].count > 0 && counters[i].client.lo == client.lo &&
            counters[i].client.hi == client.hi) {
            counters[i].count++;
            pthread_mutex_unlock(&shard->lock);
            return;
        }
        if (counters[i].count < counters[at].count)
            at = i;
    }
    struct counter *taken = &counters[at];
    char *kept = shard->names[group][at];
    size_t len = name.len < LIMIT_NAME_MAX ? name.len : LIMIT_NAME_MAX - 1;

    taken->error = taken->count;
    taken->count++;
    taken->client = client;
    memcpy(kept, name.ptr, len);
    kept[len] = '\0';
    pthread_mutex_unlock(&shard->lock);
}

/* Keeps `rows` sorted, largest first. */
static uint32_t insert(struct limit_top_row *rows, uint32_t count, uint32_t most,
                       const struct counter *counter, const char *name)
{
    uint32_t at = count;

    while (at > 0 && rows[at - 1].count < counter->count)
        at--;
    if (at >= most)
        return count;
    if (count == most)
        count--;
    memmove(&rows[at + 1], &rows[at], (count - at) * sizeof(*rows));
    rows[at].count = counter->count;
    rows[at].error = counter->error;
    memcpy(rows[at].name, name, LIMIT_NAME_MAX);
    return count + 1;
}

uint32_t limit_top_list(struct limiter *limiter, enum limit_top_by by, struct limit_top_row *rows,
                        uint32_t most)
{
    uint32_t count = 0;

    for (uint32_t s = 0; s < TOP_SHARDS; s++) {
        struct top_shard *shard = &limiter->top[by][s];

        pthread_mutex_lock(&shard->lock);
        for (uint32_t g = 0; g < GROUPS; g++)
            for (uint32_t i = 0; i < GROUP; i++)
                if (shard->counters[g][i].count > 0)
                    count = insert(rows, count, most, &shard->counters[g][i], shard->names[g][i]);
        pthread_mutex_unlock(&shard->lock);
    }
    return count;
}
