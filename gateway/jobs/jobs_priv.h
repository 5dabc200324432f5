/* jobs_priv.h - what jobs.c (the poll), board.c (what any worker has read) and ear.c (what is
 * published) know of each other.
 *
 * All but the board belongs to the loop's thread. */
#ifndef GATEWAY_JOBS_PRIV_H
#define GATEWAY_JOBS_PRIV_H
#include "jobs/jobs.h"
#include "redis/redis.h"

/* ---- board.c: any thread ---- */
enum { BOARD_CLAIM_US = 1200000 /* longer than a read may take */ };
struct board_note; /* of one key; lives while somebody holds it */
/* NULL: out of memory. */
struct board_note *board_hold(struct job_board *board, struct str key) MUST_USE;
void board_release(struct job_board *board, struct board_note **note); /* NULL is fine */
struct board_view {
    enum job_state state;
    uint64_t version, sent_us; /* version: the one seen last, in and out; sent_us: of the reading */
    bool is_news;              /* value was written: it is another version */
    struct buf *value;         /* the caller's */
};
enum board_say {
    BOARD_KNOWN,      /* read less than fresh_us ago: *view is filled */
    BOARD_BEING_READ, /* by another worker, now */
    BOARD_READ_IT     /* the caller does, and tells */
};
enum board_say board_look(struct job_board *board, struct board_note *note, uint64_t now_us,
                          uint64_t fresh_us, struct board_view *view) MUST_USE;
/* What was read by a command sent at sent_us; JOB_AWAY: nothing was, another may try. */
void board_tell(struct job_board *board, struct board_note *note, uint64_t sent_us,
                enum job_state state, struct str value);

struct job {
    struct job *next, **back, *next_asked;
    enum job_kind kind;
    struct str key; /* owned */
    struct buf value;
    enum job_state state;
    uint64_t version, known_us, published_us;
    bool is_asked, is_on_its_way;
    struct board_note *note;
    uint64_t note_version;
    struct job_watch *watches;
};
struct batch;
struct jobs {
    struct loop *loop;
    struct job_board *board;
    struct buf from_board; /* a value on its way, reused */
    struct sheet *sheet;
    struct redis_url url;
    struct redis *redis; /* NULL until the first watch */
    struct redis *ear;   /* NULL until the first watch of what is published */
    uint64_t began_us, soon_us;
    struct map *by_key;
    struct job *all, *asked;
    struct batch *batches;
    uint32_t watch_count;
    struct deadline soon, period;
    struct cell *watching;
};

/* Takes note of what a key holds, and tells whoever has not seen it. */
void job_learn(struct jobs *jobs, struct job *job, enum job_state state, struct str value);

/* ---- ear.c ---- */
void ear_follow(struct jobs *jobs, const struct job *job); /* after it was put into all */
void ear_forget(struct jobs *jobs, const struct job *job);

#endif
