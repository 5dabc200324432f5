/* fill_home.c - one loop's place for fills: wake-ups within the turn, spare memory.
 *
 * Nearly every reader lives on the loop of its writer, and every proxied request has
 * one. A post to our own loop would cost a write to its eventfd, a read from it and
 * another turn; a list that hooks of this turn empty costs nothing. It is emptied
 * before the server resumes (TURN_DEFERRED), once more for what that caused
 * (TURN_FLUSH), and if anything is left the loop does not wait. The hooks are there
 * only while the list is in use, so a cache leaves nothing in a loop that is idle. */
#include "cache/fill_priv.h"

#include <stdlib.h>

enum { SPARE_FILLS = 64, SPARE_RINGS = 64, NOT_SPARED = 512 /* malloc's own spare pieces do */ };

/* ---- wake-ups ---- */

static void run_list(struct fill_home *home)
{
    struct post *item = home->first;

    home->first = NULL;
    home->last = &home->first;
    while (item != NULL) {
        struct post *next = item->next;

        item->fn(item->arg);
        item = next;
    }
}

static void on_turn_end(void *arg)
{
    struct fill_home *home = arg;

    home->has_end = false;
    if (home->first != NULL) {
        loop_wait_at_most(home->loop, 0);
        return;
    }
    turn_remove(home->loop, TURN_DEFERRED, &home->early);
    turn_remove(home->loop, TURN_FLUSH, &home->late);
    home->is_hooked = false;
}

static void want_end(struct fill_home *home)
{
    if (home->has_end)
        return;
    home->has_end = true;
    home->end = (struct turn_end){.fn = on_turn_end, .arg = home};
    loop_at_turn_end(home->loop, &home->end);
}

static void on_turn(void *arg)
{
    want_end(arg);
    run_list(arg);
}

static void add_to_list(struct fill_home *home, struct post *item)
{
    item->next = NULL;
    *home->last = item;
    home->last = &item->next;
    want_end(home);
    if (home->is_hooked)
        return;
    home->is_hooked = true;
    home->early = home->late = (struct turn_hook){.fn = on_turn, .arg = home};
    turn_add(home->loop, TURN_DEFERRED, &home->early);
    turn_add(home->loop, TURN_FLUSH, &home->late);
}

void fill_schedule(struct fill_home *home, const struct loop *from, struct loop *to,
                   struct post *item)
{
    if (from == home->loop && to == home->loop)
        add_to_list(home, item);
    else
        loop_post(to, item);
}

/* ---- spare memory ---- */

struct fill *fill_take(struct fill_home *home)
{
    struct fill *fill;

    pthread_mutex_lock(&home->lock);
    fill = home->fills;
    if (fill != NULL) {
        home->fills = fill->next_spare;
        home->fill_count--;
    }
    pthread_mutex_unlock(&home->lock);
    if (fill != NULL)
        return fill;
    fill = malloc(sizeof(*fill));
    if (fill != NULL)
        CHECK(pthread_mutex_init(&fill->lock, NULL) == 0);
    return fill;
}

static void fill_destroy(struct fill *fill)
{
    pthread_mutex_destroy(&fill->lock);
    free(fill);
}

void fill_spare(struct fill_home *home, struct fill *fill)
{
    bool is_kept;

    pthread_mutex_lock(&home->lock);
    is_kept = home->fill_count < SPARE_FILLS;
    if (is_kept) {
        fill->next_spare = home->fills;
        home->fills = fill;
        home->fill_count++;
    }
    pthread_mutex_unlock(&home->lock);
    if (!is_kept)
        fill_destroy(fill);
}

struct ring *ring_take(struct fill_home *home, size_t size)
{
    struct ring *ring = NULL;

    if (size > NOT_SPARED && size <= RING_FIRST) {
        size = RING_FIRST;
        pthread_mutex_lock(&home->lock);
        ring = home->rings;
        if (ring != NULL) {
            home->rings = ring->next;
            home->ring_count--;
        }
        pthread_mutex_unlock(&home->lock);
        if (ring != NULL)
            return ring;
    }
    ring = malloc(sizeof(*ring) + size);
    if (ring != NULL)
        ring->size = size;
    return ring;
}

void ring_spare(struct fill_home *home, struct ring **ring)
{
    struct ring *spare = *ring;

    *ring = NULL;
    if (spare == NULL)
        return;
    if (spare->size == RING_FIRST) {
        pthread_mutex_lock(&home->lock);
        if (home->ring_count < SPARE_RINGS) {
            spare->next = home->rings;
            home->rings = spare;
            home->ring_count++;
            spare = NULL;
        }
        pthread_mutex_unlock(&home->lock);
    }
    free(spare);
}

/* ---- life ---- */

static struct fill_home *find_home(struct cache *cache, const struct loop *loop)
{
    struct fill_home *home = atomic_load_explicit(&cache->homes, memory_order_acquire);

    while (home != NULL && home->loop != loop)
        home = atomic_load_explicit(&home->next, memory_order_relaxed);
    return home;
}

struct fill_home *fill_home_of(struct cache *cache, struct loop *loop)
{
    struct fill_home *home = find_home(cache, loop);

    if (home != NULL)
        return home;
    home = calloc(1, sizeof(*home));
    if (home == NULL)
        return NULL;
    home->loop = loop;
    home->last = &home->first;
    CHECK(pthread_mutex_init(&home->lock, NULL) == 0);
    pthread_mutex_lock(&cache->homes_lock);
    atomic_store_explicit(&home->next, atomic_load(&cache->homes), memory_order_relaxed);
    atomic_store_explicit(&cache->homes, home, memory_order_release);
    pthread_mutex_unlock(&cache->homes_lock);
    loop_wait_at_most(loop, 0); /* the first writer may stand before the loop's first turn */
    return home;
}

void fill_homes_free(struct cache *cache)
{
    struct fill_home *home = atomic_load(&cache->homes);

    while (home != NULL) {
        struct fill_home *next = atomic_load(&home->next);

        for (struct fill *fill; (fill = home->fills) != NULL;) {
            home->fills = fill->next_spare;
            fill_destroy(fill);
        }
        for (struct ring *ring; (ring = home->rings) != NULL;) {
            home->rings = ring->next;
            free(ring);
        }
        pthread_mutex_destroy(&home->lock);
        free(home);
        home = next;
    }
    atomic_store(&cache->homes, NULL);
}
