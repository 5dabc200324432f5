/* deadline.c - one heap of deadlines a loop.
 *
 * A 4-ary heap: a request sets and clears several deadlines, most of them far from
 * the root, and four children of 16 bytes share a cache line. Each deadline knows its
 * place, so that clearing needs no search. Keys are copied into the heap; the embedded
 * struct is touched only when its place changes.
 *
 * A deadline set by another's callback for a moment that has passed waits for the next
 * turn (which does not wait), so a callback that sets itself again cannot hold the loop.
 *
 * Thread: the loop's own. */
#include "loop/loop_priv.h"

#include <stdlib.h>

enum { HEAP_FIRST_ROOM = 256, HEAP_MOST = 1 << 28 };

static void put(struct loop *loop, uint32_t index, struct heap_entry entry)
{
    loop->heap[index] = entry;
    entry.deadline->slot = index + 1;
}

static void sift_up(struct loop *loop, uint32_t index, struct heap_entry entry)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / 4;

        if (loop->heap[parent].at_us <= entry.at_us)
            break;
        put(loop, index, loop->heap[parent]);
        index = parent;
    }
    put(loop, index, entry);
}

static void sift_down(struct loop *loop, uint32_t index, struct heap_entry entry)
{
    for (;;) {
        uint32_t first = index * 4 + 1, least = first;

        if (first >= loop->heap_count)
            break;
        for (uint32_t i = first + 1; i < first + 4 && i < loop->heap_count; i++)
            if (loop->heap[i].at_us < loop->heap[least].at_us)
                least = i;
        if (loop->heap[least].at_us >= entry.at_us)
            break;
        put(loop, index, loop->heap[least]);
        index = least;
    }
    put(loop, index, entry);
}

/* Its place; a deadline that was copied or freed while set is found out here. */
static uint32_t index_of(const struct loop *loop, const struct deadline *deadline)
{
    uint32_t index = deadline->slot - 1;

    CHECK(index < loop->heap_count && loop->heap[index].deadline == deadline);
    return index;
}

/* Puts `entry` where `index` is free, wherever it belongs from there. */
static void settle(struct loop *loop, uint32_t index, struct heap_entry entry)
{
    if (index > 0 && loop->heap[(index - 1) / 4].at_us > entry.at_us)
        sift_up(loop, index, entry);
    else
        sift_down(loop, index, entry);
}

static bool grow(struct loop *loop)
{
    uint32_t room = loop->heap_room == 0 ? HEAP_FIRST_ROOM : loop->heap_room * 2;
    struct heap_entry *larger;

    if (room > HEAP_MOST)
        return false;
    larger = realloc(loop->heap, room * sizeof(*larger));
    if (larger == NULL)
        return false;
    loop->heap = larger;
    loop->heap_room = room;
    return true;
}

bool deadline_set(struct loop *loop, struct deadline *deadline, uint64_t at_us)
{
    struct heap_entry entry = {at_us, deadline};

    if (loop->is_expiring && at_us <= loop->now_us)
        entry.at_us = loop->now_us + 1;
    if (deadline->slot == 0) {
        if (loop->heap_count == loop->heap_room && !grow(loop))
            return false;
        deadline->at_us = at_us;
        sift_up(loop, loop->heap_count++, entry);
        return true;
    }
    deadline->at_us = at_us;
    settle(loop, index_of(loop, deadline), entry);
    return true;
}

void deadline_clear(struct loop *loop, struct deadline *deadline)
{
    uint32_t index;

    if (deadline->slot == 0)
        return;
    index = index_of(loop, deadline);
    deadline->slot = 0;
    loop->heap_count--;
    if (index < loop->heap_count)
        settle(loop, index, loop->heap[loop->heap_count]);
}

uint64_t deadline_nearest(const struct loop *loop)
{
    return loop->heap_count == 0 ? UINT64_MAX : loop->heap[0].at_us;
}

void deadline_expire(struct loop *loop)
{
    loop->is_expiring = true;
    while (loop->heap_count > 0 && loop->heap[0].at_us <= loop->now_us) {
        struct deadline *deadline = loop->heap[0].deadline;

        deadline_clear(loop, deadline);
        deadline->fn(deadline->arg);
    }
    loop->is_expiring = false;
}
