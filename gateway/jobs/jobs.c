/* jobs.c - keys that somebody waits for, and the one poll that reads them.
 *
 * A key that is new is read at once, together with all others that came in the same moment; from
 * then on it is read with the rest each period, while somebody watches. What was read a moment ago
 * answers whoever comes next, so that clients who poll by themselves are collapsed too.
 * The loop's thread. */
#include "jobs/jobs_priv.h"

#include <stdlib.h>

enum {
    BATCH = 128,
    ANSWER_US = 1000000,
    CONNECT_US = 1000000,
    SOON_US = 20000,
    FRESH_US = JOBS_PERIOD_US * 9 / 10, /* read by any worker: not again in this period */
    MOST_REPLY = 64 << 20
};

struct batch { /* one command's keys */
    struct jobs *jobs;
    struct batch *next, **back;
    uint64_t sent_us;
    size_t count;
    struct job *at[BATCH];
};

/* ---- keys ---------------------------------------------------------------- */

static struct job *job_new(struct jobs *jobs, struct job_key key)
{
    struct job *job = calloc(1, sizeof(*job));
    char *copy = malloc(key.text.len + 1);

    if (job == NULL || copy == NULL)
        goto failed;
    memcpy(copy, key.text.ptr, key.text.len);
    job->kind = key.kind;
    job->key = str_at(copy, key.text.len);
    job->value = buf_new(JOBS_MAX_VALUE);
    job->note = board_hold(jobs->board, job->key);
    if (job->note == NULL || !map_put(jobs->by_key, job->key, job))
        goto failed;
    job->next = jobs->all;
    job->back = &jobs->all;
    if (job->next != NULL)
        job->next->back = &job->next;
    jobs->all = job;
    ear_follow(jobs, job);
    return job;
failed:
    if (job != NULL)
        board_release(jobs->board, &job->note);
    free(job);
    free(copy);
    return NULL;
}

static void job_free(struct jobs *jobs, struct job *job)
{
    map_remove(jobs->by_key, job->key);
    *job->back = job->next;
    if (job->next != NULL)
        job->next->back = job->back;
    board_release(jobs->board, &job->note);
    buf_free(&job->value);
    free((void *)(uintptr_t)job->key.ptr);
    free(job);
}

/* ---- what was read ------------------------------------------------------- */

static void deliver(struct job *job)
{
    for (struct job_watch *watch = job->watches, *next; watch != NULL; watch = next) {
        next = watch->next;
        if (watch->seen == job->version)
            continue;
        watch->seen = job->version;
        watch->fn(watch->arg, job->state, buf_str(&job->value));
    }
}

void job_learn(struct jobs *jobs, struct job *job, enum job_state state, struct str value)
{
    if (state == JOB_FOUND && value.len > JOBS_MAX_VALUE)
        state = JOB_AWAY;
    if (state != job->state || (state == JOB_FOUND && !str_eq(value, buf_str(&job->value)))) {
        if (state == JOB_FOUND) {
            buf_clear(&job->value);
            if (!buf_add_str(&job->value, value))
                state = JOB_AWAY;
        }
        job->state = state;
        job->version++;
    }
    job->known_us = loop_now_us(jobs->loop);
    deliver(job);
}

static void batch_free(struct batch *batch)
{
    *batch->back = batch->next;
    if (batch->next != NULL)
        batch->next->back = batch->back;
    free(batch);
}

static void on_reply(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct batch *batch = arg;
    bool is_sound =
        outcome == REDIS_OK && reply->form == REDIS_ARRAY && reply->count == batch->count;

    for (size_t i = 0; i < batch->count; i++) {
        const struct redis_reply *item = is_sound ? redis_item(reply, i) : NULL;
        struct job *job = batch->at[i];
        bool is_text = item != NULL && item->form == REDIS_STRING;
        enum job_state state = is_text ? JOB_FOUND : item != NULL ? JOB_ABSENT : JOB_AWAY;

        job->is_on_its_way = false;
        board_tell(batch->jobs->board, job->note, batch->sent_us, state,
                   is_text ? item->text : STR_NONE);
        if (item != NULL && job->published_us >= batch->sent_us)
            continue; /* read before what was published since */
        job_learn(batch->jobs, job, state, is_text ? item->text : STR_NONE);
    }
    batch_free(batch);
}

static bool send_batch(struct jobs *jobs, struct job *const *at, size_t count)
{
    struct str words[BATCH + 1] = {STR("MGET")};
    struct batch *batch = calloc(1, sizeof(*batch));
    struct redis_command command = {.words = words,
                                    .count = count + 1,
                                    .key = at[0]->key,
                                    .deadline_us = loop_now_us(jobs->loop) + ANSWER_US,
                                    .fn = on_reply,
                                    .arg = batch};

    if (batch == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        words[i + 1] = at[i]->key;
    if (redis_send(jobs->redis, &command) == NULL) {
        free(batch);
        return false;
    }
    batch->jobs = jobs;
    batch->count = count;
    batch->sent_us = loop_now_us(jobs->loop);
    memcpy(batch->at, at, count * sizeof(struct job *));
    batch->next = jobs->batches;
    batch->back = &jobs->batches;
    if (batch->next != NULL)
        batch->next->back = &batch->next;
    jobs->batches = batch;
    for (size_t i = 0; i < count; i++)
        at[i]->is_on_its_way = true;
    return true;
}

static void ask(struct jobs *jobs, struct job *const *at, size_t count)
{
    if (count == 0 || send_batch(jobs, at, count))
        return;
    for (size_t i = 0; i < count; i++) {
        board_tell(jobs->board, at[i]->note, 0, JOB_AWAY, STR_NONE);
        job_learn(jobs, at[i], JOB_AWAY, STR_NONE);
    }
}

/* What another worker has read, or is reading. */
static enum board_say take_from_board(struct jobs *jobs, struct job *job, uint64_t fresh_us)
{
    bool has_value = job->state == JOB_FOUND || job->state == JOB_ABSENT;
    struct board_view view = {.version = has_value ? job->note_version : UINT64_MAX,
                              .value = &jobs->from_board};
    enum board_say say =
        board_look(jobs->board, job->note, loop_now_us(jobs->loop), fresh_us, &view);

    if (say != BOARD_KNOWN)
        return say;
    job->note_version = view.version;
    if (view.sent_us <= job->published_us)
        return say; /* older than what was published */
    if (view.is_news)
        job_learn(jobs, job, view.state, buf_str(view.value));
    else
        deliver(job);
    job->known_us = view.sent_us;
    return say;
}

/* Keys of a Cluster live on different nodes: one command each. */
static size_t batch_size(const struct jobs *jobs)
{
    return jobs->url.kind == REDIS_CLUSTER ? 1 : BATCH;
}

/* ---- when ---------------------------------------------------------------- */

static void be_soon(struct jobs *jobs)
{
    uint64_t now_us = loop_now_us(jobs->loop);

    if (!deadline_is_set(&jobs->soon))
        CHECK(
            deadline_set(jobs->loop, &jobs->soon, now_us > jobs->soon_us ? now_us : jobs->soon_us));
}

/* The next moment, with the others that are asked for. */
static void ask_again(struct jobs *jobs, struct job *job)
{
    if (!job->is_asked) {
        job->is_asked = true;
        job->next_asked = jobs->asked;
        jobs->asked = job;
    }
    be_soon(jobs);
}

static void on_soon(void *arg)
{
    struct jobs *jobs = arg;
    uint64_t now_us = loop_now_us(jobs->loop);
    struct job *asked = jobs->asked, *batch[BATCH];
    size_t count = 0;

    jobs->soon_us = now_us + SOON_US;
    if (!redis_is_up(jobs->redis) && now_us - jobs->began_us < CONNECT_US) {
        be_soon(jobs); /* it connects */
        return;
    }
    jobs->asked = NULL;
    while (asked != NULL) {
        struct job *job = asked;

        asked = job->next_asked;
        job->is_asked = false;
        if (job->state != JOB_NOT_READ && now_us - job->known_us < JOBS_FRESH_US) {
            deliver(job);
            continue;
        }
        if (job->is_on_its_way)
            continue;
        switch (take_from_board(jobs, job, JOBS_FRESH_US)) {
        case BOARD_KNOWN:
            break;
        case BOARD_BEING_READ:
            ask_again(jobs, job);
            break;
        case BOARD_READ_IT:
            batch[count++] = job;
            break;
        }
        if (count == batch_size(jobs)) {
            ask(jobs, batch, count);
            count = 0;
        }
    }
    ask(jobs, batch, count);
}

static void on_period(void *arg)
{
    struct jobs *jobs = arg;
    struct job *batch[BATCH];
    size_t count = 0;

    for (struct job *job = jobs->all, *next; job != NULL; job = next) {
        next = job->next;
        if (job->is_on_its_way || job->is_asked)
            continue;
        if (job->watches == NULL) {
            ear_forget(jobs, job);
            job_free(jobs, job);
            continue;
        }
        if (take_from_board(jobs, job, FRESH_US) != BOARD_READ_IT)
            continue;
        batch[count++] = job;
        if (count == batch_size(jobs)) {
            ask(jobs, batch, count);
            count = 0;
        }
    }
    ask(jobs, batch, count);
    if (jobs->all != NULL)
        CHECK(deadline_set(jobs->loop, &jobs->period, loop_now_us(jobs->loop) + JOBS_PERIOD_US));
}

/* ---- the door ------------------------------------------------------------ */

static bool connect_once(struct jobs *jobs)
{
    struct redis_options options = {.url = jobs->url,
                                    .name = "gateway-jobs",
                                    .sheet = jobs->sheet,
                                    .max_reply_bytes = MOST_REPLY};

    if (jobs->redis == NULL) {
        jobs->redis = redis_new(jobs->loop, &options);
        jobs->began_us = loop_now_us(jobs->loop);
    }
    return jobs->redis != NULL;
}

bool job_watch(struct jobs *jobs, struct job_watch *watch, struct job_key key, job_fn *fn,
               void *arg)
{
    struct job *job = map_get(jobs->by_key, key.text);

    if (jobs->watch_count >= JOBS_MAX_WATCHES || !connect_once(jobs))
        return false;
    if (job == NULL &&
        (map_count(jobs->by_key) >= JOBS_MAX_KEYS || (job = job_new(jobs, key)) == NULL))
        return false;
    *watch = (struct job_watch){
        .job = job, .fn = fn, .arg = arg, .next = job->watches, .back = &job->watches};
    if (watch->next != NULL)
        watch->next->back = &watch->next;
    job->watches = watch;
    jobs->watch_count++;
    cell_gauge_add(jobs->watching, 1);
    ask_again(jobs, job);
    if (!deadline_is_set(&jobs->period))
        CHECK(deadline_set(jobs->loop, &jobs->period, loop_now_us(jobs->loop) + JOBS_PERIOD_US));
    return true;
}

void job_unwatch(struct jobs *jobs, struct job_watch *watch)
{
    if (watch->job == NULL)
        return;
    *watch->back = watch->next;
    if (watch->next != NULL)
        watch->next->back = watch->back;
    watch->job = NULL;
    jobs->watch_count--;
    cell_gauge_add(jobs->watching, -1);
}

struct jobs *jobs_new(struct loop *loop, struct job_board *board, const struct config *config,
                      struct sheet *sheet, struct fail *why)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));

    if (jobs == NULL || (jobs->by_key = map_new()) == NULL) {
        fail_set(why, "out of memory");
        jobs_free(&jobs);
        return NULL;
    }
    jobs->loop = loop;
    jobs->board = board;
    jobs->from_board = buf_new(JOBS_MAX_VALUE);
    jobs->sheet = sheet;
    jobs->soon = (struct deadline){.fn = on_soon, .arg = jobs};
    jobs->period = (struct deadline){.fn = on_period, .arg = jobs};
    jobs->watching = metrics_cell(sheet, M_JOB_WATCHERS);
    if (!redis_url_for(config, STORE_JOBS, &jobs->url, why))
        jobs_free(&jobs);
    return jobs;
}

void jobs_free(struct jobs **jobs)
{
    struct jobs *old = *jobs;

    *jobs = NULL;
    if (old == NULL)
        return;
    CHECK(old->watch_count == 0);
    redis_free(&old->ear);
    redis_free(&old->redis);
    if (old->loop != NULL) {
        deadline_clear(old->loop, &old->soon);
        deadline_clear(old->loop, &old->period);
    }
    for (struct batch *batch = old->batches, *next; batch != NULL; batch = next) {
        next = batch->next;
        batch_free(batch);
    }
    for (struct job *job = old->all, *next; job != NULL; job = next) {
        next = job->next;
        job_free(old, job);
    }
    map_free(&old->by_key);
    buf_free(&old->from_board);
    free(old);
}
