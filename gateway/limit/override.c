/* override.c - clients who are in another tier for a while, by an operator's word.
 *
 * Rare, so the usual request pays one atomic load that says "nobody". A tier is kept by its
 * name: a reload may drop it, and then the client is back in its own.
 *
 * Any thread; one lock, taken only while there are overrides. */
#include "limit/limit_priv.h"

#include <stdatomic.h>
#include <stdlib.h>

struct override {
    struct hash128 client;
    uint64_t until_us;
    uint32_t round;
    char tier[LIMIT_TIER_MAX];
    struct override *next;
};

bool overrides_init(struct limiter *limiter)
{
    limiter->overrides = calloc(OVERRIDE_CHAINS, sizeof(struct override *));
    CHECK(pthread_mutex_init(&limiter->overrides_lock, NULL) == 0);
    return limiter->overrides != NULL;
}

static void drop(struct limiter *limiter, struct override **at)
{
    struct override *gone = *at;

    *at = gone->next;
    free(gone);
    atomic_fetch_sub_explicit(&limiter->override_count, 1, memory_order_release);
}

void overrides_free(struct limiter *limiter)
{
    for (uint32_t i = 0; limiter->overrides != NULL && i < OVERRIDE_CHAINS; i++)
        while (limiter->overrides[i] != NULL)
            drop(limiter, &limiter->overrides[i]);
    free((void *)limiter->overrides);
    pthread_mutex_destroy(&limiter->overrides_lock);
}

/* The client's place in its chain; those on the way whose time is over are dropped. */
static struct override **find(struct limiter *limiter, struct hash128 client, uint64_t now_us)
{
    struct override **at = &limiter->overrides[client.lo % OVERRIDE_CHAINS];

    while (*at != NULL) {
        if ((*at)->until_us <= now_us)
            drop(limiter, at);
        else if ((*at)->client.lo == client.lo && (*at)->client.hi == client.hi)
            break;
        else
            at = &(*at)->next;
    }
    return at;
}

bool limit_override(struct limiter *limiter, struct hash128 client, struct str tier,
                    uint64_t until_us, uint64_t now_us)
{
    struct override **at;
    bool ok = true;

    CHECK(tier.len < LIMIT_TIER_MAX);
    pthread_mutex_lock(&limiter->overrides_lock);
    at = find(limiter, client, now_us);
    if (tier.len == 0) {
        if (*at != NULL)
            drop(limiter, at);
        goto done;
    }
    if (*at == NULL) {
        ok = atomic_load_explicit(&limiter->override_count, memory_order_relaxed) <
             LIMIT_MAX_OVERRIDES;
        *at = ok ? calloc(1, sizeof(**at)) : NULL;
        ok = *at != NULL;
        if (!ok)
            goto done;
        atomic_fetch_add_explicit(&limiter->override_count, 1, memory_order_release);
    }
    (*at)->client = client;
    (*at)->until_us = until_us;
    (*at)->round = limiter->override_round;
    memcpy((*at)->tier, tier.ptr, tier.len);
    (*at)->tier[tier.len] = '\0';
done:
    pthread_mutex_unlock(&limiter->overrides_lock);
    return ok;
}

void overrides_begin_round(struct limiter *limiter)
{
    pthread_mutex_lock(&limiter->overrides_lock);
    limiter->override_round++;
    pthread_mutex_unlock(&limiter->overrides_lock);
}

void overrides_end_round(struct limiter *limiter)
{
    pthread_mutex_lock(&limiter->overrides_lock);
    for (uint32_t i = 0; i < OVERRIDE_CHAINS; i++)
        for (struct override **at = &limiter->overrides[i]; *at != NULL;) {
            if ((*at)->round != limiter->override_round)
                drop(limiter, at);
            else
                at = &(*at)->next;
        }
    pthread_mutex_unlock(&limiter->overrides_lock);
}

bool limit_overridden(struct limiter *limiter, struct hash128 client, uint64_t now_us,
                      char tier[LIMIT_TIER_MAX])
{
    struct override *found;

    if (atomic_load_explicit(&limiter->override_count, memory_order_acquire) == 0)
        return false;
    pthread_mutex_lock(&limiter->overrides_lock);
    found = *find(limiter, client, now_us);
    if (found != NULL)
        memcpy(tier, found->tier, LIMIT_TIER_MAX);
    pthread_mutex_unlock(&limiter->overrides_lock);
    return found != NULL;
}
