/* ear.c - what Celery publishes, so that a change is told when it happens.
 *
 * Its Redis backend sends each result to a channel with the name of its key. One connection
 * subscribes to the keys that somebody watches; the poll goes on beside it, because a publication
 * that is missed is not repeated. Without memory, and in a Cluster (where any node could lose its
 * channels alone), there is the poll only. The loop's thread. */
#include "jobs/jobs_priv.h"

enum { CALLS = JOBS_MAX_KEYS * 2 };

static void say(const struct jobs *jobs, struct str verb, const struct job *job)
{
    struct str words[] = {verb, job->key};
    struct redis_command command = {.words = words, .count = COUNT_OF(words)};

    (void)redis_send(jobs->ear, &command); /* away: all are subscribed to when it is back */
}

static void on_change(void *arg, bool is_up, struct str why)
{
    struct jobs *jobs = arg;

    (void)why;
    for (const struct job *job = jobs->all; is_up && job != NULL; job = job->next)
        if (job->kind == JOB_CELERY)
            say(jobs, STR("SUBSCRIBE"), job);
}

static void on_message(void *arg, struct str channel, struct str text)
{
    struct jobs *jobs = arg;
    struct job *job = map_get(jobs->by_key, channel);

    if (job == NULL)
        return; /* forgotten a moment ago */
    job->published_us = loop_now_us(jobs->loop);
    job_learn(jobs, job, JOB_FOUND, text);
}

void ear_follow(struct jobs *jobs, const struct job *job)
{
    struct redis_options options = {.url = jobs->url,
                                    .name = "gateway-jobs-ear",
                                    .sheet = jobs->sheet,
                                    .max_calls = CALLS,
                                    .changed = on_change,
                                    .message = on_message,
                                    .arg = jobs};

    if (job->kind != JOB_CELERY || jobs->url.kind == REDIS_CLUSTER)
        return;
    if (jobs->ear == NULL)
        jobs->ear = redis_new(jobs->loop, &options);
    else
        say(jobs, STR("SUBSCRIBE"), job);
}

void ear_forget(struct jobs *jobs, const struct job *job)
{
    if (job->kind == JOB_CELERY && jobs->ear != NULL)
        say(jobs, STR("UNSUBSCRIBE"), job);
}
