/* fill_reader.c - the readers' side: attach, be woken, read, leave.
 *
 * A reader is an object of its own, counted through its place in the fill and through
 * the wake-up that may be on its way; leaving makes it silent at once and the last of
 * the two frees it. Reading a block or a chain copies without the lock: what stands
 * between the reader's offset and `total` neither moves nor goes while its offset
 * says so. The reader's own thread, unless said. */
#include "cache/fill_priv.h"

#include <stdlib.h>

/* ---- waking ---- */

static void on_wake(void *arg)
{
    struct fill_reader *reader = arg;
    struct fill *fill = reader->fill;
    fill_fn *wake;

    pthread_mutex_lock(&fill->lock);
    reader->is_posted = reader->is_armed = false;
    wake = reader->back != NULL ? reader->wake : NULL;
    arg = reader->arg;
    if (reader->back == NULL) { /* it left meanwhile: this was what kept it */
        free(reader);
        fill_unlock_release(fill);
        return;
    }
    pthread_mutex_unlock(&fill->lock);
    wake(arg);
}

static void schedule_wake(struct fill_reader *reader, const struct loop *from)
{
    if (!reader->is_armed || reader->is_posted)
        return;
    reader->is_posted = true;
    reader->post = (struct post){.fn = on_wake, .arg = reader};
    fill_schedule(reader->fill->home, from, reader->loop, &reader->post);
}

void fill_notify_readers(struct fill *fill)
{
    for (struct fill_reader *reader = fill->readers; reader != NULL; reader = reader->next)
        schedule_wake(reader, fill->home->loop);
}

uint64_t fill_slowest(const struct fill *fill)
{
    uint64_t slowest = fill->total;

    for (const struct fill_reader *reader = fill->readers; reader != NULL; reader = reader->next) {
        uint64_t offset = reader->is_lent ? 0 : reader->offset;

        if (offset < slowest)
            slowest = offset;
    }
    return slowest;
}

/* ---- coming ---- */

/* Lock held: may somebody still begin at the first byte? */
static bool may_begin(const struct fill *fill)
{
    switch (fill->state) {
    case FILL_NEW:
        return true;
    case FILL_BEGUN:
        break;
    case FILL_WHOLE:
    case FILL_CUT:
        return false;
    }
    switch (fill->mode) {
    case FILL_RING:
        return fill->reader_count == 0 && !fill->is_lost && fill->ring_used == fill->total;
    case FILL_BLOCK:
        return true;
    case FILL_CHAIN:
        return fill->is_storing;
    }
    return false;
}

struct fill_reader *fill_attach_for(struct fill *fill, struct loop *loop, fill_fn *wake, void *arg)
{
    struct fill_reader *reader = malloc(sizeof(*reader));

    if (reader == NULL)
        return NULL;
    *reader = (struct fill_reader){.fill = fill, .loop = loop, .wake = wake, .arg = arg};
    pthread_mutex_lock(&fill->lock);
    if (!may_begin(fill)) {
        pthread_mutex_unlock(&fill->lock);
        free(reader);
        return NULL;
    }
    fill_hold(fill);
    reader->next = fill->readers;
    reader->back = &fill->readers;
    if (reader->next != NULL)
        reader->next->back = &reader->next;
    fill->readers = reader;
    fill->reader_count++;
    pthread_mutex_unlock(&fill->lock);
    return reader;
}

void fill_reader_arm(struct fill_reader *reader)
{
    struct fill *fill = reader->fill;

    pthread_mutex_lock(&fill->lock);
    reader->is_armed = true;
    if (fill->state != FILL_NEW)
        schedule_wake(reader, reader->loop);
    pthread_mutex_unlock(&fill->lock);
}

struct fill_reader *fill_attach(struct fill *fill, struct loop *loop, fill_fn *wake, void *arg)
{
    struct fill_reader *reader = fill_attach_for(fill, loop, wake, arg);

    if (reader != NULL)
        fill_reader_arm(reader);
    return reader;
}

/* ---- reading ---- */

const struct fill_head *fill_reader_head(const struct fill_reader *reader)
{
    struct fill *fill = reader->fill;
    bool is_there;

    pthread_mutex_lock(&fill->lock);
    is_there = fill->state != FILL_NEW && fill->head.fields != NULL;
    pthread_mutex_unlock(&fill->lock);
    return is_there ? &fill->head : NULL;
}

/* Lock held: what a reader without new bytes gets. */
static ptrdiff_t verdict(const struct fill *fill)
{
    switch (fill->state) {
    case FILL_NEW:
    case FILL_BEGUN:
        return FILL_WAIT;
    case FILL_WHOLE:
        return FILL_END;
    case FILL_CUT:
        return FILL_ERROR;
    }
    return FILL_ERROR;
}

/* Lock held: one reader, so what is read is free again. */
static void read_ring(struct fill *fill, char *to, size_t len)
{
    size_t part = fill->ring->size - fill->ring_at;

    if (part > len)
        part = len;
    memcpy(to, fill->ring->bytes + fill->ring_at, part);
    memcpy(to + part, fill->ring->bytes, len - part);
    fill->ring_at = (fill->ring_at + len) % fill->ring->size;
    fill->ring_used -= len;
}

/* Lock held; given up for the copy, and held again after it. */
static size_t read_chain(struct fill_reader *reader, char *to, size_t len)
{
    struct fill *fill = reader->fill;
    const struct chunk *chunk = chain_find(fill, reader->offset);
    size_t at = (size_t)(reader->offset - chunk->start);

    if (len > chunk->size - at)
        len = chunk->size - at;
    pthread_mutex_unlock(&fill->lock);
    memcpy(to, chunk->bytes + at, len);
    pthread_mutex_lock(&fill->lock);
    return len;
}

static size_t read_some(struct fill_reader *reader, char *to, size_t len)
{
    struct fill *fill = reader->fill;
    const char *from;

    switch (fill->mode) {
    case FILL_RING:
        read_ring(fill, to, len);
        return len;
    case FILL_CHAIN:
        return read_chain(reader, to, len);
    case FILL_BLOCK:
        break;
    }
    from = fill->bytes + reader->offset;
    pthread_mutex_unlock(&fill->lock);
    memcpy(to, from, len);
    pthread_mutex_lock(&fill->lock);
    return len;
}

/* Lock held: did these `len` bytes take it past the first chunk? The last reader to do so lets it
 * be freed; the others need not ask all the others. */
static bool left_first_chunk(const struct fill_reader *reader, size_t len)
{
    const struct chunk *first = reader->fill->first;
    uint64_t end = first->start + first->size;

    return reader->offset >= end && reader->offset - len < end;
}

ptrdiff_t fill_read(struct fill_reader *reader, char *to, size_t room)
{
    struct fill *fill = reader->fill;
    ptrdiff_t got;

    pthread_mutex_lock(&fill->lock);
    reader->is_armed = true;
    if (reader->offset == fill->total || room == 0) {
        got = reader->offset == fill->total ? verdict(fill) : FILL_WAIT;
    } else {
        uint64_t ready = fill->total - reader->offset;
        size_t len = read_some(reader, to, ready < room ? (size_t)ready : room);

        reader->offset += len;
        got = (ptrdiff_t)len;
        if (fill->mode == FILL_CHAIN && left_first_chunk(reader, len))
            chain_trim(fill);
        fill_notify_room(fill, reader->loop, false);
    }
    pthread_mutex_unlock(&fill->lock);
    return got;
}

/* Lock held: the first byte of a body that lies in one piece; NULL when it does not. */
static const char *one_piece(const struct fill *fill)
{
    if (fill->total == 0)
        return "";
    switch (fill->mode) {
    case FILL_RING:
        return !fill->is_lost && fill->ring_used == fill->total && fill->ring_at == 0
                   ? fill->ring->bytes
                   : NULL;
    case FILL_BLOCK:
        return fill->bytes;
    case FILL_CHAIN:
        return !fill->is_lost && fill->first == fill->last ? fill->first->bytes : NULL;
    }
    return NULL;
}

bool fill_reader_whole(struct fill_reader *reader, struct str *body)
{
    struct fill *fill = reader->fill;
    const char *bytes = NULL;

    pthread_mutex_lock(&fill->lock);
    if (reader->offset == 0 &&
        (fill->state == FILL_WHOLE || (fill->state == FILL_BEGUN && fill->mode == FILL_BLOCK &&
                                       fill->total == fill->head.length)))
        bytes = one_piece(fill);
    if (bytes != NULL) {
        *body = str_at(bytes, (size_t)fill->total);
        reader->is_lent = true;
    }
    pthread_mutex_unlock(&fill->lock);
    return bytes != NULL;
}

const struct http_fields *fill_reader_trailers(const struct fill_reader *reader)
{
    struct fill *fill = reader->fill;
    bool is_there;

    pthread_mutex_lock(&fill->lock);
    is_there = fill->has_trailers && fill->state == FILL_WHOLE;
    pthread_mutex_unlock(&fill->lock);
    return is_there ? &fill->trailers : NULL;
}

bool fill_reader_fits(const struct fill_reader *reader, const struct http_fields *request,
                      bool normalize_vary, struct arena *arena)
{
    const struct cache_entry *draft =
        reader->fill->draft; /* set before the head, kept to the end */
    struct buf values = buf_new(MAX_VARY_BYTES);
    bool fits;

    if (draft == NULL || draft->vary_names_len == 0)
        return true;
    fits = http_vary_key(&values, entry_vary_names(draft), request, normalize_vary, arena) &&
           str_eq(buf_str(&values), entry_vary_key(draft));
    buf_free(&values);
    return fits;
}

/* ---- going ---- */

void fill_detach(struct fill_reader **reader)
{
    struct fill_reader *leaving = *reader;
    struct fill *fill;

    *reader = NULL;
    if (leaving == NULL)
        return;
    fill = leaving->fill;
    pthread_mutex_lock(&fill->lock);
    *leaving->back = leaving->next;
    if (leaving->next != NULL)
        leaving->next->back = leaving->back;
    leaving->back = NULL;
    fill->reader_count--;
    if (fill->mode == FILL_CHAIN)
        chain_trim(fill);
    fill_notify_room(fill, leaving->loop, fill->reader_count == 0);
    if (leaving->is_posted) { /* on_wake() frees it and gives back its reference */
        pthread_mutex_unlock(&fill->lock);
        return;
    }
    free(leaving);
    fill_unlock_release(fill);
}
