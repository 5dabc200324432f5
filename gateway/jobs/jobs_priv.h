/* jobs_priv.h - what jobs.c (the poll) and ear.c (what is published) know of each other.
 *
 * All of it belongs to the loop's thread. */
#ifndef GATEWAY_JOBS_PRIV_H
#define GATEWAY_JOBS_PRIV_H
#include "jobs/jobs.h"
#include "redis/redis.h"

struct job {
    struct job *next, **back, *next_asked;
    enum job_kind kind;
    struct str key; /* owned */
    struct buf value;
    enum job_state state;
    uint64_t version, known_us, published_us;
    bool is_asked, is_on_its_way;
    struct job_watch *watches;
};
struct batch;
struct jobs {
    struct loop *loop;
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
