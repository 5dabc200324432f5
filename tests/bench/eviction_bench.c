/* eviction_bench.c - what the cache keeps: its hit ratio against LRU, SIEVE and Belady's bound.
 *
 * Traces of equal objects run through the real cache (keys, fills, shards, S3-FIFO) with a
 * memory that holds a share of them; the others are plain simulators with room for as many
 * objects as the real cache held. Belady's policy knows the future: nobody can do better.
 * The last lines say what one entry of 1 KiB is charged, beyond what it holds (body, kept
 * fields, key) and beyond the body alone. One thread. */
#include "cache/cache.h"

#include <math.h>

#include "../unit/cache/cache_fixture.h"

enum { REQUESTS = 2000000, OBJECTS = 200000, BODY_BYTES = 1024, NOBODY = -1 };

struct trace {
    const char *name;
    double skew, one_hit, drift; /* Zipf's exponent; share of URLs asked once; how often a popular
                                                  object and any other change places */
    int scan_every;              /* requests between two scans of a tenth of all objects; 0: none */
};
static const struct trace traces[] = {
    {"zipf 0.8", 0.8, 0, 0, 0},
    {"zipf 1.0, 30 % asked once", 1.0, 0.3, 0, 0},
    {"zipf 0.9, drifting, scans", 0.9, 0, 0.01, 200000},
};

static uint64_t random_state = 42;

static double random_unit(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(random_state >> 11) / 9007199254740992.0;
}

static int zipf_draw(const double *sums)
{
    double at = random_unit() * sums[OBJECTS - 1];
    int low = 0, high = OBJECTS - 1;

    while (low < high) {
        int middle = (low + high) / 2;

        if (sums[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void swap(int *one, int *other)
{
    int kept = *one;

    *one = *other;
    *other = kept;
}

static void make_trace(const struct trace *trace, int *ids)
{
    double *sums = malloc(sizeof(double) * OBJECTS);
    int *object = malloc(sizeof(int) * OBJECTS); /* of each rank */
    int once = OBJECTS, left = 0, scanned = 0;

    CHECK(sums != NULL && object != NULL);
    for (int i = 0; i < OBJECTS; i++) {
        sums[i] = (i > 0 ? sums[i - 1] : 0) + 1 / pow(i + 1, trace->skew);
        object[i] = (int)((int64_t)i * 7919 % OBJECTS);
    }
    for (int i = 0; i < REQUESTS; i++) {
        if (trace->scan_every > 0 && i > 0 && i % trace->scan_every == 0)
            left = OBJECTS / 10;
        if (left > 0 && i % 2 == 0) {
            left--;
            ids[i] = scanned++ % OBJECTS;
        } else if (random_unit() < trace->one_hit) {
            ids[i] = once++;
        } else {
            ids[i] = object[zipf_draw(sums)];
        }
        if (random_unit() < trace->drift)
            swap(&object[zipf_draw(sums)], &object[(int)(random_unit() * OBJECTS)]);
    }
    free(object);
    free(sums);
}

/* ---- the real one ---- */

static double run_cache(const int *ids, uint64_t memory, uint64_t *entries)
{
    struct world world = world_new(memory, BODY_BYTES * 4);
    int hits = 0;

    for (int i = 0; i < REQUESTS; i++) {
        char target[32];
        struct answer answer = {
            .target = target, .body_bytes = BODY_BYTES, .lifetime_s = 100000000};
        struct cache_entry *entry;

        (void)snprintf(target, sizeof(target), "/products/%d", ids[i]);
        entry = find(&world, &answer, NULL);
        if (entry != NULL) {
            cache_entry_count_hit(entry);
            cache_entry_release(&entry);
            hits++;
        } else {
            CHECK(store(&world, &answer));
        }
        arena_reset(world.arena);
    }
    *entries = counts_of(&world).entries;
    world_free(&world);
    return (double)hits / REQUESTS;
}

/* ---- a list of ids, for LRU and SIEVE ---- */

struct list {
    int *newer, *older, newest, oldest;
    bool *is_in, *is_visited;
};

static void list_push(struct list *list, int id)
{
    list->newer[id] = NOBODY;
    list->older[id] = list->newest;
    if (list->newest != NOBODY)
        list->newer[list->newest] = id;
    else
        list->oldest = id;
    list->newest = id;
    list->is_in[id] = true;
}

static void list_remove(struct list *list, int id)
{
    int newer = list->newer[id], older = list->older[id];

    if (newer != NOBODY)
        list->older[newer] = older;
    else
        list->newest = older;
    if (older != NOBODY)
        list->newer[older] = newer;
    else
        list->oldest = newer;
    list->is_in[id] = false;
}

static double run_list(const int *ids, uint64_t room, bool is_sieve)
{
    size_t all = OBJECTS + REQUESTS;
    struct list list = {malloc(all * sizeof(int)),
                        malloc(all * sizeof(int)),
                        NOBODY,
                        NOBODY,
                        calloc(all, 1),
                        calloc(all, 1)};
    uint64_t held = 0;
    int hits = 0, hand = NOBODY;

    CHECK(list.newer != NULL && list.older != NULL && list.is_in != NULL &&
          list.is_visited != NULL);
    for (int i = 0; i < REQUESTS; i++) {
        int id = ids[i], victim = list.oldest;

        if (list.is_in[id]) {
            hits++;
            list.is_visited[id] = true;
            if (!is_sieve) {
                list_remove(&list, id);
                list_push(&list, id);
            }
            continue;
        }
        if (held == room) {
            if (is_sieve) { /* the hand goes from old to new and forgives once */
                for (victim = hand != NOBODY ? hand : list.oldest; list.is_visited[victim];
                     victim = list.newer[victim] != NOBODY ? list.newer[victim] : list.oldest)
                    list.is_visited[victim] = false;
                hand = list.newer[victim];
            }
            list_remove(&list, victim);
            held--;
        }
        list_push(&list, id);
        list.is_visited[id] = false;
        held++;
    }
    free(list.newer);
    free(list.older);
    free(list.is_in);
    free(list.is_visited);
    return (double)hits / REQUESTS;
}

/* ---- Belady: out goes what is asked for last, or never again ---- */

struct future {
    int next, id; /* the request that asks for it next */
};

static void heap_push(struct future *heap, int *count, struct future one)
{
    int at = (*count)++;

    for (; at > 0 && heap[(at - 1) / 2].next < one.next; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = one;
}

static struct future heap_pop(struct future *heap, int *count)
{
    struct future top = heap[0], last = heap[--*count];
    int at = 0;

    for (int child = 1; child < *count; child = 2 * at + 1) {
        if (child + 1 < *count && heap[child + 1].next > heap[child].next)
            child++;
        if (heap[child].next <= last.next)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

static double run_belady(const int *ids, uint64_t room)
{
    size_t all = OBJECTS + REQUESTS;
    int *next = malloc(REQUESTS * sizeof(int)), *held_until = malloc(all * sizeof(int));
    struct future *heap = malloc(REQUESTS * sizeof(*heap));
    int count = 0, hits = 0;
    uint64_t held = 0;

    CHECK(next != NULL && held_until != NULL && heap != NULL);
    for (size_t i = 0; i < all; i++)
        held_until[i] = REQUESTS;
    for (int i = REQUESTS - 1; i >= 0; i--) {
        next[i] = held_until[ids[i]];
        held_until[ids[i]] = i;
    }
    for (size_t i = 0; i < all; i++)
        held_until[i] = NOBODY;
    for (int i = 0; i < REQUESTS; i++) {
        if (held_until[ids[i]] != NOBODY) {
            hits++;
        } else if (next[i] == REQUESTS) {
            continue; /* never again: it is not even let in */
        } else if (held == room) {
            struct future out;

            do /* entries that were asked for since are out of date */
                out = heap_pop(heap, &count);
            while (held_until[out.id] != out.next);
            held_until[out.id] = NOBODY;
        } else {
            held++;
        }
        held_until[ids[i]] = next[i];
        heap_push(heap, &count, (struct future){next[i], ids[i]});
    }
    free(next);
    free(held_until);
    free(heap);
    return (double)hits / REQUESTS;
}

/* ---- */

struct cost {
    double charged, content; /* bytes of one entry; content: body, fields as text, key */
};

static double content_of(const struct world *world, const struct answer *answer)
{
    struct intent_parts p;
    size_t bytes = BODY_BYTES;

    intent_of(world, answer, &p);
    for (uint32_t i = 0; i < p.fields.count; i++)
        if (p.fields.at[i].id != HTTP_CONTENT_LENGTH)
            bytes += p.fields.at[i].name.len + p.fields.at[i].value.len;
    return (double)(bytes + p.key.text.len);
}

static struct cost entry_cost(bool has_no_length)
{
    struct world world = world_new(64 << 20, 1 << 20);
    struct cache_counts counts;
    struct cost cost = {0, 0};

    for (int i = 0; i < 10000; i++) {
        char target[32];
        struct answer answer = {.target = target,
                                .body_bytes = BODY_BYTES,
                                .has_no_length = has_no_length,
                                .lifetime_s = 100000000};

        (void)snprintf(target, sizeof(target), "/products/%d", i);
        CHECK(store(&world, &answer));
        cost.content += content_of(&world, &answer) / 10000;
        arena_reset(world.arena);
    }
    counts = counts_of(&world);
    cost.charged = (double)counts.memory_bytes / (double)counts.entries;
    world_free(&world);
    return cost;
}

static void print_cost(const char *what, struct cost cost)
{
    printf(
        "an entry of 1 KiB %s is charged %.0f bytes: %.1f %% beyond its content of %.0f, %.1f %% "
        "beyond its body\n",
        what, cost.charged, 100 * (cost.charged / cost.content - 1), cost.content,
        100 * (cost.charged / BODY_BYTES - 1));
}

int main(void)
{
    struct cost announced = entry_cost(false), chunked = entry_cost(true);
    int *ids = malloc(REQUESTS * sizeof(int));

    CHECK(ids != NULL);
    printf("hit ratios           memory |  ours |   LRU | SIEVE | Belady\n");
    for (size_t i = 0; i < COUNT_OF(traces); i++) {
        make_trace(&traces[i], ids);
        for (int percent = 5; percent <= 20; percent += 15) {
            uint64_t entries;
            double ours =
                run_cache(ids, (uint64_t)(announced.charged * OBJECTS * percent / 100), &entries);

            printf("%-26s %2d %% | %.3f | %.3f | %.3f | %.3f\n", traces[i].name, percent, ours,
                   run_list(ids, entries, false), run_list(ids, entries, true),
                   run_belady(ids, entries));
        }
    }
    print_cost("with a length", announced);
    print_cost("without", chunked);
    free(ids);
    return EXIT_SUCCESS;
}
