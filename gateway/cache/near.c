/* near.c - which stored answer was for a picture that looks like this one?
 *
 * A ring of what has been stored by a picture: the 256 bits of its perceptual hash, the digest
 * that its key is made of, and the scope in which it may be found (host, URL, user, the form's
 * other fields: the hash of a key without the digest). It is looked through from end to end: all
 * 16384 take some tens of microseconds, next to milliseconds for decoding, and no input makes it
 * slower. Different pictures differ in half of their first 64 bits, so the other words are hardly
 * ever read. The newest takes the oldest's place. What an entry's end leaves behind is taken out
 * by whoever finds it. Any thread. */
#include "cache/cache_priv.h"

#include <stdlib.h>

/* An array each: a search reads the scopes, and of the rest what it needs. 2 MB, at the first
 * picture. */
struct near {
    uint32_t next, used, gone;                  /* gone: of the used ones, were dropped */
    struct hash128 scopes[CACHE_MOST_PICTURES]; /* 0, 0: nothing is there */
    struct image_hash hashes[CACHE_MOST_PICTURES];
    char digests[CACHE_MOST_PICTURES][CACHE_DIGEST];
};

static bool is_in(const struct near *near, uint32_t i, const struct hash128 *scope)
{
    return near->scopes[i].lo == scope->lo && near->scopes[i].hi == scope->hi;
}

static bool is_free(const struct near *near, uint32_t i)
{
    return near->scopes[i].lo == 0 && near->scopes[i].hi == 0;
}

/* Where it is; near->used when it is not. */
static uint32_t place_of(const struct near *near, const struct hash128 *scope, const char *digest)
{
    uint32_t i = 0;

    while (i < near->used &&
           (!is_in(near, i, scope) || memcmp(near->digests[i], digest, CACHE_DIGEST) != 0))
        i++;
    return i;
}

static void put(struct near *near, const struct hash128 *scope, const struct image_hash *hash,
                const char *digest)
{
    uint32_t at = near->next;

    if (at < near->used && is_free(near, at))
        near->gone--;
    near->scopes[at] = *scope;
    near->hashes[at] = *hash;
    memcpy(near->digests[at], digest, CACHE_DIGEST);
    near->next = (at + 1) % CACHE_MOST_PICTURES;
    near->used += near->used < CACHE_MOST_PICTURES;
}

void cache_near_add(struct cache *cache, const struct hash128 *scope, const struct image_hash *hash,
                    const char digest[CACHE_DIGEST + 1])
{
    pthread_mutex_lock(&cache->near_lock);
    if (cache->near == NULL)
        cache->near = calloc(1, sizeof(*cache->near));
    if (cache->near != NULL && place_of(cache->near, scope, digest) == cache->near->used)
        put(cache->near, scope, hash, digest);
    pthread_mutex_unlock(&cache->near_lock);
}

/* Into its place among the nearest so far; *count grows to the room. */
static void rank(struct cache_near *to, uint32_t room, uint32_t *count, const char *digest,
                 uint32_t distance)
{
    uint32_t place = *count < room ? (*count)++ : room - 1;

    for (; place > 0 && to[place - 1].distance > distance; place--)
        to[place] = to[place - 1];
    to[place].distance = distance;
    memcpy(to[place].digest, digest, CACHE_DIGEST);
    to[place].digest[CACHE_DIGEST] = '\0';
}

/* Without an instruction for it (the compiler's own is a call and a table then). */
static inline uint32_t ones(uint64_t word)
{
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return (uint32_t)(word * 0x0101010101010101 >> 56);
}

uint32_t cache_near_find(struct cache *cache, const struct hash128 *scope,
                         const struct image_hash *hash, uint32_t most, struct cache_near *to,
                         uint32_t room)
{
    const struct near *near;
    uint32_t count = 0;

    pthread_mutex_lock(&cache->near_lock);
    near = cache->near;
    for (uint32_t i = 0; near != NULL && i < near->used; i++) {
        uint32_t distance;

        if (!is_in(near, i, scope) || ones(near->hashes[i].at[0] ^ hash->at[0]) > most)
            continue;
        distance = image_distance(&near->hashes[i], hash);
        if (distance <= most && (count < room || distance < to[room - 1].distance))
            rank(to, room, &count, near->digests[i], distance);
    }
    pthread_mutex_unlock(&cache->near_lock);
    return count;
}

void cache_near_drop(struct cache *cache, const struct hash128 *scope,
                     const char digest[CACHE_DIGEST + 1])
{
    struct near *near;
    uint32_t at;

    pthread_mutex_lock(&cache->near_lock);
    near = cache->near;
    at = near != NULL ? place_of(near, scope, digest) : 0;
    if (near != NULL && at < near->used) {
        near->scopes[at] = (struct hash128){0, 0};
        near->gone++;
    }
    pthread_mutex_unlock(&cache->near_lock);
}

uint64_t near_count(struct cache *cache)
{
    uint64_t count;

    pthread_mutex_lock(&cache->near_lock);
    count = cache->near != NULL ? cache->near->used - cache->near->gone : 0;
    pthread_mutex_unlock(&cache->near_lock);
    return count;
}
