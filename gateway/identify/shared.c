/* shared.c - what all threads know together of who may be whom: public keys, revoked tokens.
 *
 * Keys are a counted set that the main thread replaces; a worker takes a reference under a short
 * lock, and only for a token that it has not verified before. Any thread. */
#include "identify/identify_priv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { USERS_SEEN = 1 << 16 };

struct identify_shared {
    pthread_mutex_t lock;
    struct jwt_keys *keys; /* under the lock; NULL: none came yet */
    _Atomic uint64_t version, refetch_at_us;
    struct revoked *revoked;
    struct identify_store *_Atomic store; /* NULL: none; the main thread's to set */
    struct identify_fetcher *fetcher;     /* set before a worker runs; NULL: there is none */
    _Atomic uint64_t *seen; /* USERS_SEEN places: 48 bits of a user, 16 of the tier's name */
};

struct identify_shared *identify_shared_new(void)
{
    struct identify_shared *shared = calloc(1, sizeof(*shared));

    if (shared == NULL)
        return NULL;
    pthread_mutex_init(&shared->lock, NULL);
    shared->revoked = revoked_new();
    shared->seen = calloc(USERS_SEEN, sizeof(*shared->seen));
    if (shared->revoked == NULL || shared->seen == NULL)
        identify_shared_free(&shared);
    return shared;
}

void identify_shared_free(struct identify_shared **shared)
{
    struct identify_shared *old = *shared;

    *shared = NULL;
    if (old == NULL)
        return;
    jwt_keys_release(&old->keys);
    revoked_free(&old->revoked);
    free((void *)old->seen);
    pthread_mutex_destroy(&old->lock);
    free(old);
}

struct jwt_keys *shared_keys(struct identify_shared *shared, struct str url)
{
    struct jwt_keys *keys = NULL;

    pthread_mutex_lock(&shared->lock);
    if (shared->keys != NULL && str_eq(jwt_keys_url(shared->keys), url))
        keys = jwt_keys_hold(shared->keys);
    pthread_mutex_unlock(&shared->lock);
    return keys;
}

void shared_put_keys(struct identify_shared *shared, struct jwt_keys *keys)
{
    struct jwt_keys *old;

    pthread_mutex_lock(&shared->lock);
    old = shared->keys;
    shared->keys = keys;
    pthread_mutex_unlock(&shared->lock);
    atomic_fetch_add_explicit(&shared->version, 1, memory_order_release);
    jwt_keys_release(&old);
}

uint64_t shared_version(struct identify_shared *shared)
{
    return atomic_load_explicit(&shared->version, memory_order_acquire);
}

void shared_set_refetch(struct identify_shared *shared, uint64_t at_us)
{
    atomic_store_explicit(&shared->refetch_at_us, at_us, memory_order_relaxed);
}

bool shared_may_refetch(struct identify_shared *shared, uint64_t now_us)
{
    return now_us >= atomic_load_explicit(&shared->refetch_at_us, memory_order_relaxed);
}

struct revoked *shared_revoked(struct identify_shared *shared)
{
    return shared->revoked;
}

void shared_set_fetcher(struct identify_shared *shared, struct identify_fetcher *fetcher)
{
    shared->fetcher = fetcher;
}

struct identify_fetcher *shared_fetcher(struct identify_shared *shared)
{
    return shared->fetcher;
}

void shared_set_store(struct identify_shared *shared, struct identify_store *store)
{
    atomic_store(&shared->store, store);
}

struct identify_store *shared_store(struct identify_shared *shared)
{
    return atomic_load(&shared->store);
}

/* ---- users whose tier a token told ----
 *
 * An operator who asks for a user has no token: the last tier that was seen is remembered. One
 * place a user, the latest wins; a place that was lost to another means limits.default_tier. */

static const struct hash_key tier_key = {{0x7465, 0x7265}};

static uint64_t seen_user(struct hash128 user)
{
    return user.hi & ~UINT64_C(0xffff);
}

static uint64_t seen_tier(struct str name)
{
    return hash_sip64(&tier_key, name) & 0xffff;
}

void shared_see_user(struct identify_shared *shared, struct hash128 user, struct str tier)
{
    atomic_store_explicit(&shared->seen[user.lo % USERS_SEEN], seen_user(user) | seen_tier(tier),
                          memory_order_relaxed);
}

const struct tier_config *shared_seen_tier(struct identify_shared *shared, struct hash128 user,
                                           const struct config *config)
{
    uint64_t seen = atomic_load_explicit(&shared->seen[user.lo % USERS_SEEN], memory_order_relaxed);

    if ((seen & ~UINT64_C(0xffff)) != seen_user(user))
        return NULL;
    for (uint32_t i = 0; i < config->tier_count; i++)
        if ((seen & 0xffff) == seen_tier(config->tiers[i].name))
            return &config->tiers[i];
    return NULL;
}
