/* jobs.h - answers read straight from the store: a job's progress, a task's result.
 *
 * Applications write them as plain keys: job:{id}:progress, or Celery's celery-task-meta-{id}.
 * However many requests wait for a job, on however many workers, each key is read once a period
 * (MGET of many), so that watchers cost Redis nothing; what Celery publishes comes at once.
 * Bounded: keys, watchers and bytes of a value.
 *
 * Threads: the board is the process's; the rest belongs to its loop's thread. Callbacks come from
 * the loop, never from inside the call that asked. */
#ifndef GATEWAY_JOBS_H
#define GATEWAY_JOBS_H
#include "base/base.h"
#include "config/config.h"
#include "loop/loop.h"
#include "metrics/metrics.h"

#define JOBS_MAX_VALUE   (256 * 1024)
#define JOBS_MAX_KEYS    10000
#define JOBS_MAX_WATCHES 20000
#define JOBS_PERIOD_US   500000 /* between two polls */
#define JOBS_FRESH_US    100000 /* what was read this short ago is not asked for again */

/* ---- what a key means; pure ---- */
/* 1 to 64 of A-Za-z0-9_-. */
bool job_id_is_sane(struct str id);
bool job_write_key(enum job_kind kind, struct str prefix, struct str id, struct buf *out);
/* What a client is shown of a value: JSON on one line; of a Celery result without its traceback.
 * is_over: the job will not change any more. False: it is no JSON object, or out of memory. */
bool job_show(enum job_kind kind, struct str value, struct buf *out, bool *is_over) MUST_USE;

/* ---- watching ---- */
enum job_state {
    JOB_NOT_READ,
    JOB_FOUND,
    JOB_ABSENT,
    JOB_AWAY /* the store, or the value is too large */
};
/* value: of FOUND; borrowed until it returns. It may end this watch, and no other. */
typedef void job_fn(void *arg, enum job_state state, struct str value);
struct jobs;
struct job;
struct job_watch { /* the caller's, zeroed */
    struct job *job;
    job_fn *fn;
    void *arg;
    uint64_t seen;
    struct job_watch *next, **back;
};

/* What any worker has read, for all; one a process, and outlives them. NULL: out of memory. */
struct job_board;
struct job_board *job_board_new(void) MUST_USE;
void job_board_free(struct job_board **board);
/* Connects when the first watch comes. NULL with the reason. */
struct jobs *jobs_new(struct loop *loop, struct job_board *board, const struct config *config,
                      struct sheet *sheet, struct fail *why) MUST_USE;
void jobs_free(struct jobs **jobs); /* when nobody watches */
struct job_key {
    enum job_kind kind; /* CELERY: a change is also published, on the channel of that name */
    struct str text;    /* copied */
};
/* Calls fn with what the key holds, and again whenever that has changed, until job_unwatch().
 * False: a ceiling is reached, or out of memory. */
bool job_watch(struct jobs *jobs, struct job_watch *watch, struct job_key key, job_fn *fn,
               void *arg) MUST_USE;
void job_unwatch(struct jobs *jobs, struct job_watch *watch); /* fine when it does not watch */

#endif
