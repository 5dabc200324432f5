/* map.c - a hash map from a slice to a pointer.
 *
 * Open addressing with linear steps: one array, few cache misses. Removal
 * moves later entries back, so no tombstones pile up in a map that lives for
 * weeks. Keys are hashed with SipHash under a key drawn once a process, so a
 * client cannot choose names that collide. The full hash is kept: growing
 * never touches the keys, and a comparison of bytes is nearly always a match.
 *
 * One thread at a time. */
#include "base/base.h"

#include <pthread.h>
#include <stdlib.h>

enum { FIRST_SLOTS = 16 }; /* a power of two */

struct slot {
    uint64_t hash; /* 0: empty */
    struct str key;
    void *value;
};

struct map {
    struct slot *slots;
    size_t slot_count; /* a power of two */
    size_t count;
};

static struct hash_key process_key;

static void draw_process_key(void)
{
    random_secret(&process_key, sizeof(process_key));
}

static uint64_t hash_of(struct str key)
{
    return hash_sip64(&process_key, key) | 1; /* never 0; the lowest bit is not used */
}

static size_t home_of(const struct map *map, uint64_t hash)
{
    return (size_t)(hash >> 1) & (map->slot_count - 1);
}

struct map *map_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct map *map = calloc(1, sizeof(*map));

    pthread_once(&once, draw_process_key);
    if (map == NULL)
        return NULL;
    map->slots = calloc(FIRST_SLOTS, sizeof(*map->slots));
    map->slot_count = FIRST_SLOTS;
    if (map->slots == NULL) {
        free(map);
        return NULL;
    }
    return map;
}

void map_free(struct map **map)
{
    if (map == NULL || *map == NULL)
        return;
    free((*map)->slots);
    free(*map);
    *map = NULL;
}

/* The slot that holds `key`, or the empty one where it belongs. */
static struct slot *slot_for(const struct map *map, uint64_t hash, struct str key)
{
    size_t i = home_of(map, hash);

    while (map->slots[i].hash != 0) {
        if (map->slots[i].hash == hash && str_eq(map->slots[i].key, key))
            break;
        i = (i + 1) & (map->slot_count - 1);
    }
    return &map->slots[i];
}

static bool map_grow(struct map *map)
{
    struct map grown = {.slot_count = map->slot_count * 2, .count = map->count};

    grown.slots = calloc(grown.slot_count, sizeof(*grown.slots));
    if (grown.slots == NULL)
        return false;
    for (size_t i = 0; i < map->slot_count; i++) {
        const struct slot *slot = &map->slots[i];
        if (slot->hash == 0)
            continue;
        size_t to = home_of(&grown, slot->hash);
        while (grown.slots[to].hash != 0)
            to = (to + 1) & (grown.slot_count - 1);
        grown.slots[to] = *slot;
    }
    free(map->slots);
    *map = grown;
    return true;
}

bool map_put(struct map *map, struct str key, void *value)
{
    uint64_t hash = hash_of(key);
    struct slot *slot = slot_for(map, hash, key);

    if (slot->hash == 0) {
        if (map->count >= map->slot_count / 4 * 3) {
            if (!map_grow(map))
                return false;
            slot = slot_for(map, hash, key);
        }
        map->count++;
    }
    /* the new key too: the old one may die with the value it came from */
    *slot = (struct slot){.hash = hash, .key = key, .value = value};
    return true;
}

void *map_get(const struct map *map, struct str key)
{
    if (map->count == 0)
        return NULL;
    return slot_for(map, hash_of(key), key)->value;
}

void *map_remove(struct map *map, struct str key)
{
    struct slot *slot = slot_for(map, hash_of(key), key);
    size_t mask = map->slot_count - 1;

    if (slot->hash == 0)
        return NULL;
    void *value = slot->value;
    size_t hole = (size_t)(slot - map->slots);
    for (size_t i = (hole + 1) & mask; map->slots[i].hash != 0; i = (i + 1) & mask) {
        size_t home = home_of(map, map->slots[i].hash);
        /* may move back only if its home is not between the hole and here */
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole] = (struct slot){.hash = 0};
    map->count--;
    return value;
}

size_t map_count(const struct map *map)
{
    return map->count;
}

void map_each(const struct map *map, void (*fn)(void *arg, struct str key, void *value), void *arg)
{
    for (size_t i = 0; i < map->slot_count; i++) {
        if (map->slots[i].hash != 0)
            fn(arg, map->slots[i].key, map->slots[i].value);
    }
}
