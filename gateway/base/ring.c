/* ring.c - the last N records of one kind, oldest overwritten first.
 *
 * One thread writes in place (ring_open, fill the slot, ring_close), any thread looks for one
 * (ring_find copies it out). A short mutex guards the slots: with one writer it is
 * uncontended but for the rare reader, and costs about as much as the memory it protects.
 * Slots are touched as they are used, so an idle ring holds next to no memory. */
#include "base/base.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct ring {
    pthread_mutex_t lock;
    uint64_t written; /* slots ever opened */
    uint32_t slots;
    size_t slot_bytes;
    char *memory;
};

struct ring *ring_new(uint32_t slots, size_t slot_bytes)
{
    struct ring *ring = calloc(1, sizeof(*ring));

    CHECK(slots > 0 && slot_bytes > 0);
    if (ring == NULL)
        return NULL;
    ring->memory = calloc(slots, slot_bytes);
    if (ring->memory == NULL) {
        free(ring);
        return NULL;
    }
    ring->slots = slots;
    ring->slot_bytes = slot_bytes;
    CHECK(pthread_mutex_init(&ring->lock, NULL) == 0);
    return ring;
}

void ring_free(struct ring **ring)
{
    struct ring *old = *ring;

    *ring = NULL;
    if (old == NULL)
        return;
    (void)pthread_mutex_destroy(&old->lock);
    free(old->memory);
    free(old);
}

void *ring_open(struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    return ring->memory + ring->written++ % ring->slots * ring->slot_bytes;
}

void ring_close(struct ring *ring)
{
    pthread_mutex_unlock(&ring->lock);
}

bool ring_find(struct ring *ring, ring_fits_fn *fits, const void *arg, void *copy)
{
    bool is_found = false;

    pthread_mutex_lock(&ring->lock);
    for (uint64_t back = 1; !is_found && back <= ring->slots && back <= ring->written; back++) {
        const char *slot = ring->memory + (ring->written - back) % ring->slots * ring->slot_bytes;

        is_found = fits(slot, arg);
        if (is_found)
            memcpy(copy, slot, ring->slot_bytes);
    }
    pthread_mutex_unlock(&ring->lock);
    return is_found;
}
