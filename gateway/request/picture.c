/* picture.c - what collected pictures look like: found out on threads of the pool, a few at a time.
 *
 * Two are decoded at once in the process and 32 more may wait; who comes then is told no. One
 * picture is decoded once for all requests of a worker that bring it meanwhile, and what was
 * looked at lately is remembered, so that a crowd with one picture costs one decoding. The places
 * are the process's: a worker whose pictures wait looks again every five milliseconds.
 * A job has the body of the request that began it, and gives it back; when that client leaves,
 * the job goes on while others wait. Worker's thread, but for decode(). */
#include "request/request_priv.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { LOOK_AGAIN_US = 5000, REMEMBERED = 1024, DIGEST = 64 };

struct picture_job {
    struct picture_job *next, **back;
    struct request_context *context; /* NULL: it has ended before the decoding */
    struct request_shared *shared;
    struct picture_wait *waits;
    struct request *owner; /* of the bytes; NULL: it has left */
    struct buf bytes;
    struct str picture;
    char digest[DIGEST];
    bool is_under_way;
    enum image_result result;
    struct image_hash hash;
};

struct picture_memory { /* each digest has one place */
    struct {
        char digest[DIGEST]; /* zeros: none */
        enum image_result result;
        struct image_hash hash;
    } at[REMEMBERED];
};

/* ---- what was looked at lately ---- */

static uint32_t place_of(const char *digest)
{
    uint32_t place = 0;

    for (size_t i = 0; i < 8; i++)
        place = place * 31 + (uint8_t)digest[i];
    return place % REMEMBERED;
}

/* Hashed or blank is so for ever; a decoder that was too slow may be faster next time. */
static void remember(struct pictures *all, const struct picture_job *job)
{
    uint32_t place = place_of(job->digest);

    if (all->memory == NULL)
        all->memory = calloc(1, sizeof(*all->memory));
    if (all->memory == NULL || (job->result != IMAGE_HASHED && job->result != IMAGE_BLANK))
        return;
    memcpy(all->memory->at[place].digest, job->digest, DIGEST);
    all->memory->at[place].result = job->result;
    all->memory->at[place].hash = job->hash;
}

static bool recall(const struct pictures *all, struct collected *c)
{
    uint32_t place = place_of(c->digest);

    if (all->memory == NULL || memcmp(all->memory->at[place].digest, c->digest, DIGEST) != 0)
        return false;
    c->result = all->memory->at[place].result;
    c->hash = all->memory->at[place].hash;
    return true;
}

/* ---- jobs ---- */

static void count(struct request_context *context, const char *result)
{
    struct str slug = str_of(result);

    count_series(context, M_IMAGE_HASHES, 1, &slug);
}

static void job_unlink(struct picture_job *job)
{
    *job->back = job->next;
    if (job->next != NULL)
        job->next->back = job->back;
    else
        job->context->pictures.last = job->back;
}

static void job_free(struct picture_job *job)
{
    if (job->context != NULL)
        job_unlink(job);
    atomic_fetch_sub(&job->shared->pictures, 1);
    buf_free(&job->bytes);
    free(job);
}

static void leave(struct picture_wait *wait)
{
    struct picture_job *job = wait->job;

    *wait->back = wait->next;
    if (wait->next != NULL)
        wait->next->back = wait->back;
    wait->job = NULL;
    if (job->owner == wait->request)
        job->owner = NULL;
}

static void give_back_bytes(struct picture_job *job)
{
    if (job->owner == NULL)
        return;
    job->owner->collected.bytes = job->bytes;
    job->bytes = (struct buf){0};
}

/* Tells all who wait, and ends it. */
static void tell(struct picture_job *job)
{
    count(job->context, image_result_name(job->result));
    remember(&job->context->pictures, job);
    give_back_bytes(job);
    for (struct picture_wait *wait = job->waits, *next; wait != NULL; wait = next) {
        struct request *r = wait->request;

        next = wait->next;
        leave(wait);
        r->collected.state = PICTURE_TOLD;
        r->collected.result = job->result;
        r->collected.hash = job->hash;
        request_wake(r);
    }
    job_free(job);
}

/* ---- their turns ---- */

static void start_those_that_may(struct request_context *context);

static void decode(void *arg)
{
    struct picture_job *job = arg;

    job->result = image_hash(job->picture, &job->hash);
}

static void decoded(void *arg)
{
    struct picture_job *job = arg;
    struct request_context *context = job->context;

    atomic_fetch_sub(&job->shared->decoding, 1);
    if (context == NULL) {
        job_free(job);
        return;
    }
    tell(job);
    start_those_that_may(context);
}

static bool take_place(struct request_shared *shared)
{
    if (atomic_fetch_add(&shared->decoding, 1) < PICTURES_AT_ONCE)
        return true;
    atomic_fetch_sub(&shared->decoding, 1);
    return false;
}

static void on_again(void *arg)
{
    start_those_that_may(arg);
}

static void start(struct picture_job *job)
{
    job->is_under_way = loop_work(job->context->loop, decode, decoded, job);
    if (job->is_under_way)
        return;
    atomic_fetch_sub(&job->shared->decoding, 1); /* out of memory */
    job->result = IMAGE_TOO_BIG;
    tell(job);
}

static void start_those_that_may(struct request_context *context)
{
    struct deadline *again = &context->pictures.again;
    bool is_full = false;

    for (struct picture_job *job = context->pictures.first, *next; job != NULL; job = next) {
        next = job->next;
        if (job->is_under_way)
            continue;
        is_full = !take_place(context->shared);
        if (is_full)
            break;
        start(job);
    }
    if (!is_full || deadline_is_set(again))
        return;
    *again = (struct deadline){.fn = on_again, .arg = context};
    CHECK(deadline_set(context->loop, again, loop_now_us(context->loop) + LOOK_AGAIN_US));
}

/* ---- asking ---- */

static struct picture_job *job_of(const struct request_context *context, const char *digest)
{
    struct picture_job *job = context->pictures.first;

    while (job != NULL && memcmp(job->digest, digest, DIGEST) != 0)
        job = job->next;
    return job;
}

static struct picture_job *job_new(struct request *r)
{
    struct request_context *context = r->context;
    struct picture_job *job = NULL;

    if (atomic_fetch_add(&context->shared->pictures, 1) < PICTURES_MOST)
        job = calloc(1, sizeof(*job));
    if (job == NULL) {
        atomic_fetch_sub(&context->shared->pictures, 1);
        return NULL;
    }
    job->context = context;
    job->shared = context->shared;
    job->owner = r;
    job->bytes = r->collected.bytes;
    job->picture = r->collected.picture;
    r->collected.bytes = (struct buf){0};
    memcpy(job->digest, r->collected.digest, DIGEST);
    if (context->pictures.last == NULL)
        context->pictures.last = &context->pictures.first;
    job->back = context->pictures.last;
    *job->back = job;
    context->pictures.last = &job->next;
    return job;
}

bool picture_ask(struct request *r)
{
    struct collected *c = &r->collected;
    struct picture_job *job;

    if (recall(&r->context->pictures, c)) {
        c->state = PICTURE_TOLD;
        return true;
    }
    job = job_of(r->context, c->digest);
    if (job == NULL)
        job = job_new(r);
    if (job == NULL) {
        count(r->context, "queue_full");
        return false;
    }
    c->state = PICTURE_ASKED;
    c->wait =
        (struct picture_wait){.job = job, .next = job->waits, .back = &job->waits, .request = r};
    if (c->wait.next != NULL)
        c->wait.next->back = &c->wait.next;
    job->waits = &c->wait;
    start_those_that_may(r->context);
    return true;
}

void picture_cancel(struct request *r)
{
    struct picture_job *job = r->collected.wait.job;

    picture_read_cancel(&r->collected.read);
    if (job == NULL)
        return;
    leave(&r->collected.wait);
    if (job->waits == NULL && !job->is_under_way)
        job_free(job);
}

void pictures_end(struct request_context *context)
{
    struct picture_job *job = context->pictures.first;

    /* nobody waits any more; what is under way ends with the loop */
    for (struct picture_job *next; job != NULL; job = next) {
        next = job->next;
        job->context = NULL;
    }
    context->pictures.first = NULL;
    deadline_clear(context->loop, &context->pictures.again);
    free(context->pictures.memory);
    context->pictures.memory = NULL;
}
