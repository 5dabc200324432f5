/* fill_priv.h - what the files of fills share: one answer on its way to its readers.
 *
 * A fill's mutex guards everything below "lock"; it is held for a few loads, or for
 * one copy within the ring. Bytes of a block or a chain are copied outside it: only
 * the writer writes, behind `total`, and a reader reads before it; chunks are freed
 * only behind the slowest reader.
 *
 * Wake-ups: on the fill's own loop they wait in the home's list for a hook of the
 * same turn (no system call); for other loops they are posted. What is on its way
 * holds a reference, so its owner can leave at any moment and hears nothing more. */
#ifndef GATEWAY_CACHE_FILL_PRIV_H
#define GATEWAY_CACHE_FILL_PRIV_H
#include "cache/cache_priv.h"

enum {
    RING_FIRST = 16 * 1024,
    RING_MOST = 64 * 1024,
    CHUNK_FIRST = 4 * 1024,
    CHUNK_MOST = 256 * 1024,
    INLINE_HEAD = 1024 /* heads up to this size live in the fill */
};

/* One loop's wake-ups and spare memory. */
struct fill_home {
    _Atomic(struct fill_home *) next;
    struct loop *loop;
    /* the loop's thread */
    struct turn_hook early, late;
    struct turn_end end;
    bool is_hooked, has_end;
    struct post *first, **last;
    /* lock: memory may come back from any thread */
    pthread_mutex_t lock;
    struct fill *fills;
    struct ring *rings;
    uint32_t fill_count, ring_count;
};

struct ring {
    struct ring *next; /* while spare */
    size_t size;
    char bytes[];
};

/* A piece of a body of unknown length. */
struct chunk {
    struct chunk *next;
    struct cache *cache;
    uint64_t start; /* offset of its first byte */
    size_t size, charged;
    char bytes[];
};

enum fill_state { FILL_NEW, FILL_BEGUN, FILL_WHOLE, FILL_CUT };
enum fill_mode { FILL_RING, FILL_BLOCK, FILL_CHAIN };

struct fill {
    pthread_mutex_t lock;
    struct cache *cache;
    struct fill_home *home;
    struct fill *next_spare;
    fill_fn *room; /* the writer's; NULL once it has ended */
    void *room_arg;
    uint64_t url_hash; /* for the budget */

    /* lock */
    uint32_t refs; /* writer, readers, flight, a room() on its way */
    enum fill_state state;
    enum fill_mode mode;
    bool is_storing; /* written by the writer alone, which may read it without the lock */
    bool is_put_off; /* large, and new to a full cache */
    bool is_lost;    /* bytes went by without a reader: nobody can begin any more */
    bool is_room_posted;
    size_t wanted; /* what fill_write() refused; 0: nothing */
    struct post room_post;
    struct fill_reader *readers;
    uint32_t reader_count;
    uint64_t total; /* bytes written */
    struct fill_head head;
    struct http_fields fields, trailers;
    void *head_memory, *trailer_memory;
    bool has_trailers;
    struct cache_entry *draft; /* until the fill dies: readers compare Vary with it */
    /* FILL_RING: bytes [total - ring_used, total) begin at ring_at */
    struct ring *ring;
    size_t ring_at, ring_used;
    struct block *block; /* FILL_BLOCK of a large body; a small one is written into the draft */
    char *bytes;         /* FILL_BLOCK: where the body is written */
    struct chunk *first, *last; /* FILL_CHAIN */
    char inline_head[INLINE_HEAD];
};

struct fill_reader {
    struct fill *fill; /* counted */
    struct loop *loop;
    fill_fn *wake; /* NULL once detached; the reader's own thread */
    void *arg;
    struct post post;
    /* the fill's lock */
    struct fill_reader *next, **back; /* back NULL: detached */
    uint64_t offset;
    bool is_armed, is_posted, is_lent;
};

/* ---- fill_home.c ---- */
struct fill_home *fill_home_of(struct cache *cache,
                               struct loop *loop);       /* the loop's thread; NULL: no memory */
struct fill *fill_take(struct fill_home *home) MUST_USE; /* not zeroed; its lock is ready */
void fill_spare(struct fill_home *home, struct fill *fill);
struct ring *ring_take(struct fill_home *home, size_t size) MUST_USE;
void ring_spare(struct fill_home *home, struct ring **ring);
/* Runs item on `to`; the caller's thread is `from`'s. In this turn if both are the home's, else by
 * a post. */
void fill_schedule(struct fill_home *home, const struct loop *from, struct loop *to,
                   struct post *item);

/* ---- fill.c ---- */
void fill_hold(struct fill *fill);           /* lock held */
void fill_unlock_release(struct fill *fill); /* lock held: gives both back */
/* Lock held: room(), if it is wanted and there is room, or `is_last_gone`. */
void fill_notify_room(struct fill *fill, const struct loop *from, bool is_last_gone);
void fill_notify_readers(struct fill *fill);    /* lock held */
uint64_t fill_slowest(const struct fill *fill); /* lock held; total when there are no readers */

/* ---- fill_chain.c: bodies of unknown length; lock as said in fill_priv.h ---- */
bool chain_is_full(const struct fill *fill); /* lock held: paced, and far enough ahead */
/* Copies to the end; takes the lock. False: out of memory. */
bool chain_append(struct fill *fill, struct str bytes) MUST_USE;
void chain_trim(struct fill *fill); /* lock held: frees what every reader has passed */
void chain_free(struct fill *fill);
const struct chunk *chain_find(const struct fill *fill, uint64_t offset); /* lock held */
/* The writer, at the end: stores the chunks in one piece. False: no room, or purged meanwhile. */
bool chain_store(struct fill *fill, struct cache_replaced *replaced) MUST_USE;

#endif
