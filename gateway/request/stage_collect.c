/* stage_collect.c - a body that makes the key, taken whole before the look-up.
 *
 * Only for POSTs of routes whose operator says that their answers may be kept by content, and
 * only after identity and limits: until then not a byte is read. Bounded twice: a body
 * by the route's key.max_body_bytes, all of a worker by REQUEST_COLLECTED. What is over goes
 * past the cache: what has come so far is sent first, the rest streams behind it. A long
 * body is digested on a thread of the pool, which has the bytes to itself meanwhile; a client
 * that leaves in between leaves the work to end alone. Worker's thread. */
#include "request/request_priv.h"

#include <stdlib.h>

enum { AT_ONCE_BYTES = 128 * 1024 /* a digest of this takes a tenth of a millisecond */ };

struct collect_work {
    struct request *request; /* NULL: nobody waits any more */
    struct buf bytes;
    char type[256]; /* Content-Type; a longer one is of no form */
    bool is_for_picture, has_picture, is_done;
    struct picture_place place; /* where has_picture; in the bytes */
    char digest[65];
};

bool collect_is_for(const struct request *r)
{
    return r->route->cache.posts && r->config->cache.enabled && str_eq(r->head.method, STR("POST"));
}

/* ---- taking it ---- */

bool collect_take(struct request *r, struct str bytes)
{
    struct collected *c = &r->collected;
    size_t *all = &r->context->collected;

    if (*all + bytes.len <= REQUEST_COLLECTED && c->bytes.len + bytes.len <= c->bytes.max &&
        buf_add_str(&c->bytes, bytes)) {
        *all += bytes.len;
        c->charged += bytes.len;
        return true;
    }
    c->phase = COLLECT_SPILLED;
    r->is_answered = walk_on(r) == REQUEST_ANSWERS;
    return false;
}

size_t collect_read(struct request *r, char *to, size_t room)
{
    struct collected *c = &r->collected;
    size_t taken = buf_read(&c->bytes, &c->sent, to, room);

    if (r->mirror != NULL)
        mirror_body(r, str_at(to, taken));
    return taken;
}

/* ---- the digest ---- */

static void work_free(struct collect_work *work)
{
    buf_free(&work->bytes);
    free(work);
}

/* The digest of the body, or of its picture and of all else. */
static void work(void *arg)
{
    struct collect_work *work = arg;
    struct str body = buf_str(&work->bytes);

    work->has_picture =
        work->is_for_picture && picture_find(body, str_of(work->type), &work->place);
    if (work->has_picture)
        body = work->place.picture;
    hash_sha256_hex(body, work->digest);
}

static void worked(void *arg)
{
    struct collect_work *work = arg;

    work->is_done = true;
    if (work->request == NULL)
        work_free(work);
    else
        request_wake(work->request);
}

/* Takes the bytes. */
static void work_prepare(struct collect_work *work, struct request *r)
{
    struct str type = http_fields_get(&r->head.fields, HTTP_CONTENT_TYPE);

    *work = (struct collect_work){.request = r,
                                  .bytes = r->collected.bytes,
                                  .is_for_picture = r->route->cache.image == KEY_IMAGE_PHASH};
    if (type.len > 0 && type.len < sizeof(work->type))
        memcpy(work->type, type.ptr, type.len);
    r->collected.bytes = (struct buf){0};
}

/* A picture's key has no Content-Type: its first bytes say what it is. */
static void work_give_back(struct collect_work *work, struct request *r)
{
    struct collected *c = &r->collected;
    struct str type = http_fields_get(&r->head.fields, HTTP_CONTENT_TYPE);

    c->bytes = work->bytes;
    memcpy(c->digest, work->digest, sizeof(c->digest));
    if (work->has_picture) {
        c->picture = work->place.picture;
        c->is_alone = work->place.is_alone;
        c->key_head = arena_printf(r->arena, "POST\npicture\n%s\n", work->place.others);
    } else {
        c->key_head =
            arena_printf(r->arena, "POST\n%.*s\n", (int)type.len, type.len > 0 ? type.ptr : "");
    }
    if (c->key_head.ptr != NULL)
        c->key = arena_printf(r->arena, "%.*s%s", STR_ARG(c->key_head), c->digest);
}

static bool start_work(struct request *r)
{
    struct collect_work *started = calloc(1, sizeof(*started));

    if (started == NULL)
        return false;
    work_prepare(started, r);
    if (!loop_work(r->context->loop, work, worked, started)) {
        work_free(started);
        return false;
    }
    r->collected.work = started;
    r->collected.phase = COLLECT_WORKS;
    return true;
}

static enum step take_back(struct request *r)
{
    struct collected *c = &r->collected;

    if (!c->work->is_done)
        return STEP_WAIT;
    work_give_back(c->work, r);
    free(c->work);
    c->work = NULL;
    return STEP_NEXT;
}

void collect_cancel(struct request *r)
{
    struct collect_work *gone = r->collected.work;

    r->collected.work = NULL;
    picture_cancel(r);
    if (gone == NULL)
        return;
    gone->request = NULL;
    if (gone->is_done)
        work_free(gone);
}

void collect_release(struct request *r)
{
    r->context->collected -= r->collected.charged;
    r->collected.charged = 0;
    buf_free(&r->collected.bytes);
}

/* ---- the step ---- */

/* The bytes are here, and so is their digest: from now on the body has a known length. */
static enum step whole(struct request *r)
{
    struct collected *c = &r->collected;

    if (c->key.ptr == NULL)
        return reply_out_of_memory(r);
    c->phase = COLLECT_WHOLE;
    if (r->facts.has_body) {
        r->facts.is_chunked = false;
        r->facts.content_length = c->bytes.len;
    }
    return STEP_NEXT;
}

static enum step digest(struct request *r)
{
    struct collect_work at_once;

    if (r->collected.bytes.len > AT_ONCE_BYTES)
        return start_work(r) ? STEP_WAIT : reply_out_of_memory(r);
    work_prepare(&at_once, r);
    work(&at_once);
    work_give_back(&at_once, r);
    return whole(r);
}

enum step stage_collect(struct request *r)
{
    struct collected *c = &r->collected;
    uint64_t most = r->route->cache.key_body_bytes;

    switch (c->phase) {
    case COLLECT_NOT:
        if (!r->facts.has_body)
            return digest(r);
        if (!r->facts.is_chunked && r->facts.content_length > most) {
            c->phase = COLLECT_SPILLED;
            return STEP_NEXT;
        }
        c->bytes = buf_new(most);
        c->phase = COLLECT_TAKES;
        return STEP_WAIT;
    case COLLECT_TAKES:
        return r->body.ended ? digest(r) : STEP_WAIT;
    case COLLECT_WORKS:
        return take_back(r) == STEP_WAIT ? STEP_WAIT : whole(r);
    case COLLECT_WHOLE:
    case COLLECT_SPILLED:
        break;
    }
    return STEP_NEXT;
}
