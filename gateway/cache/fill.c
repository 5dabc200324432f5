/* fill.c - the writer's side of one upstream answer.
 *
 * Three ways to keep the bytes, chosen when the head is known: one piece of the
 * announced length (in the draft entry, or a block beside it when large), which is the
 * entry's body as it is; a chain, when the length
 * is unknown; a ring, when nothing is stored and one reader takes all. The draft
 * entry is built with the head, because what the intent points to lives no longer; it
 * gets its body and its place at the end, if the answer is whole.
 *
 * Writer's thread; the lock and who holds what are explained in fill_priv.h. */
#include "cache/fill_priv.h"

#include <stdlib.h>

/* ---- references ---- */

void fill_hold(struct fill *fill)
{
    fill->refs++;
}

static void fill_die(struct fill *fill)
{
    cache_entry_release(&fill->draft);
    block_release(&fill->block);
    chain_free(fill);
    ring_spare(fill->home, &fill->ring);
    free(fill->head_memory);
    free(fill->trailer_memory);
    fill_spare(fill->home, fill);
}

void fill_unlock_release(struct fill *fill)
{
    bool is_last = --fill->refs == 0;

    pthread_mutex_unlock(&fill->lock);
    if (is_last)
        fill_die(fill);
}

/* ---- room ---- */

static void on_room(void *arg)
{
    struct fill *fill = arg;
    fill_fn *room;

    pthread_mutex_lock(&fill->lock);
    fill->is_room_posted = false;
    room = fill->room;
    arg = fill->room_arg;
    fill_unlock_release(fill);
    if (room != NULL) /* then the writer holds it, here on its own thread */
        room(arg);
}

/* Enough that the writer does not come back for crumbs. */
static bool has_room(const struct fill *fill)
{
    size_t room;

    if (fill->mode == FILL_CHAIN)
        return fill->total - fill_slowest(fill) <= RING_MOST / 2;
    if (fill->ring_used == 0)
        return true;
    room = fill->ring->size - fill->ring_used;
    return room >= fill->wanted && room >= fill->ring->size / 2;
}

void fill_notify_room(struct fill *fill, const struct loop *from, bool is_last_gone)
{
    if (fill->room == NULL || fill->is_room_posted ||
        (!is_last_gone && (fill->wanted == 0 || !has_room(fill))))
        return;
    fill->wanted = 0;
    fill->is_room_posted = true;
    fill_hold(fill);
    fill->room_post = (struct post){.fn = on_room, .arg = fill};
    fill_schedule(fill->home, from, fill->home->loop, &fill->room_post);
}

/* ---- the beginning ---- */

struct fill *fill_new(struct cache *cache, struct loop *loop, fill_fn *room, void *arg)
{
    struct fill_home *home = fill_home_of(cache, loop);
    struct fill *fill = home != NULL ? fill_take(home) : NULL;

    if (fill == NULL)
        return NULL;
    /* all but the lock before and the inline head behind */
    memset((char *)fill + sizeof(fill->lock), 0,
           offsetof(struct fill, inline_head) - sizeof(fill->lock));
    fill->cache = cache;
    fill->home = home;
    fill->room = room;
    fill->room_arg = arg;
    fill->refs = 1;
    return fill;
}
_Static_assert(offsetof(struct fill, lock) == 0, "fill_new() clears what follows the lock");

/* Copies fields into `inside` or into *memory when they are too many for it. */
static bool copy_fields(const struct http_fields *from, struct http_fields *to, char *inside,
                        size_t inside_bytes, void **memory)
{
    size_t bytes = from->count * sizeof(struct http_field);
    char *at = inside;

    *to = (struct http_fields){.count = 0};
    for (uint32_t i = 0; i < from->count; i++)
        bytes += from->at[i].name.len + from->at[i].value.len;
    if (bytes > inside_bytes)
        at = *memory = malloc(bytes);
    if (at == NULL)
        return bytes == 0;
    *to = (struct http_fields){.at = (struct http_field *)(void *)at, .count = from->count};
    at += from->count * sizeof(struct http_field);
    for (uint32_t i = 0; i < from->count; i++) {
        const struct http_field *field = &from->at[i];

        to->at[i] = (struct http_field){.id = field->id};
        to->at[i].name = str_at(at, field->name.len);
        memcpy(at, field->name.ptr, field->name.len);
        at += field->name.len;
        to->at[i].value = str_at(at, field->value.len);
        if (field->value.len > 0)
            memcpy(at, field->value.ptr, field->value.len);
        at += field->value.len;
    }
    return true;
}
_Static_assert(offsetof(struct fill, inline_head) % _Alignof(struct http_field) == 0,
               "fields are laid out in the inline head");

/* The draft, and the block for a body of known length. Without memory the answer is not stored, no
 * more. */
static void begin_storing(struct fill *fill, const struct fill_head *head,
                          const struct cache_intent *intent)
{
    struct cache *cache = fill->cache;

    if (head->has_length && head->length > atomic_load(&cache->max_object))
        return;
    bool is_inside = head->has_length && head->length <= INSIDE_MOST;

    fill->url_hash = intent->key->url_hash;
    fill->is_put_off = head->has_length && head->length > LARGE_BYTES &&
                       !flight_is_followed(cache, intent->key) &&
                       !budget_admits(cache, fill->url_hash, intent->key->hash.lo, head->length);
    if (fill->is_put_off)
        return;
    fill->draft =
        entry_new(cache, head->status, head->fields, intent, is_inside ? (size_t)head->length : 0);
    if (fill->draft == NULL)
        return;
    fill->is_storing = true;
    if (is_inside) {
        fill->bytes = entry_inside(fill->draft);
    } else if (head->has_length) {
        fill->block = block_new(cache, (size_t)head->length, fill->url_hash);
        fill->is_storing = fill->block != NULL;
        fill->bytes = fill->is_storing ? fill->block->bytes : NULL;
    }
}

/* Out of memory: the readers will know, and the writer goes on for nobody. */
static void cut(struct fill *fill)
{
    pthread_mutex_lock(&fill->lock);
    fill->is_storing = false;
    fill->state = FILL_CUT;
    fill_notify_readers(fill);
    pthread_mutex_unlock(&fill->lock);
}

bool fill_begin(struct fill *fill, const struct fill_head *head, const struct cache_intent *intent)
{
    CHECK(fill->state == FILL_NEW);
    fill->head = *head;
    fill->head.fields = &fill->fields;
    if (!copy_fields(head->fields, &fill->fields, fill->inline_head, sizeof(fill->inline_head),
                     &fill->head_memory)) {
        fill->head.fields = NULL;
        cut(fill);
        return false;
    }
    if (intent != NULL)
        begin_storing(fill, head, intent);
    pthread_mutex_lock(&fill->lock);
    if (fill->is_storing)
        fill->mode = head->has_length ? FILL_BLOCK : FILL_CHAIN;
    else
        fill->mode = fill->reader_count > 1 ? FILL_CHAIN : FILL_RING;
    fill->state = FILL_BEGUN;
    fill_notify_readers(fill);
    pthread_mutex_unlock(&fill->lock);
    return true;
}

/* ---- the bytes ---- */

/* Lock held, nobody reads without it. A larger ring with the same content at its start. */
static bool ring_grow(struct fill *fill, size_t size)
{
    struct ring *grown = ring_take(fill->home, size), *old = fill->ring;

    if (grown == NULL)
        return false;
    if (old != NULL && fill->ring_used > 0) {
        size_t head = old->size - fill->ring_at;

        if (head > fill->ring_used)
            head = fill->ring_used;
        memcpy(grown->bytes, old->bytes + fill->ring_at, head);
        memcpy(grown->bytes + head, old->bytes, fill->ring_used - head);
    }
    ring_spare(fill->home, &fill->ring);
    fill->ring = grown;
    fill->ring_at = 0;
    return true;
}

/* The first ring fits a small answer, the next is the largest; past that only what comes at once
 * and alone. */
static size_t ring_size_for(const struct fill *fill, size_t len)
{
    size_t size = RING_MOST;

    if (fill->ring == NULL && len <= RING_FIRST) {
        size = RING_FIRST;
        if (fill->head.has_length && fill->head.length < size && fill->head.length >= len)
            size = (size_t)fill->head.length;
    }
    return fill->ring_used == 0 && len > size ? len : size;
}

static void ring_copy(struct fill *fill, struct str bytes)
{
    size_t end, part;

    CHECK(fill->ring != NULL);
    if (fill->ring_used == 0)
        fill->ring_at = 0;
    end = (fill->ring_at + fill->ring_used) % fill->ring->size;
    part = fill->ring->size - end < bytes.len ? fill->ring->size - end : bytes.len;
    memcpy(fill->ring->bytes + end, bytes.ptr, part);
    memcpy(fill->ring->bytes, bytes.ptr + part, bytes.len - part);
    fill->ring_used += bytes.len;
    fill->total += bytes.len;
}

enum ring_result { RING_TAKEN, RING_FULL, RING_NO_MEMORY };

/* Lock held. */
static enum ring_result ring_write(struct fill *fill, struct str bytes)
{
    size_t size = fill->ring != NULL ? fill->ring->size : 0;
    bool may_grow = size < RING_MOST || (bytes.len > size && fill->ring_used == 0);

    if (bytes.len > size - fill->ring_used && may_grow &&
        ring_grow(fill, ring_size_for(fill, bytes.len)))
        size = fill->ring->size;
    if (bytes.len <= size - fill->ring_used) {
        ring_copy(fill, bytes);
        fill_notify_readers(fill);
        return RING_TAKEN;
    }
    if (fill->reader_count == 0) { /* nobody will ever read it: let the upstream finish */
        fill->total += bytes.len;
        fill->is_lost = true;
        fill->ring_used = 0;
        return RING_TAKEN;
    }
    if (fill->ring_used == 0)
        return RING_NO_MEMORY;
    fill->wanted = bytes.len;
    return RING_FULL;
}

/* Only the writer touches what is behind total: no lock for the copy. */
static bool block_write(struct fill *fill, struct str bytes)
{
    uint64_t room = fill->head.length - fill->total;

    if (bytes.len > room) { /* more than was announced: not this answer's bytes */
        bytes.len = (size_t)room;
        fill->is_storing = false;
    }
    if (bytes.len > 0)
        memcpy(fill->bytes + fill->total, bytes.ptr, bytes.len);
    pthread_mutex_lock(&fill->lock);
    fill->total += bytes.len;
    fill_notify_readers(fill);
    pthread_mutex_unlock(&fill->lock);
    return true;
}

static bool chain_write(struct fill *fill, struct str bytes)
{
    bool is_full;

    pthread_mutex_lock(&fill->lock);
    if (fill->is_storing && fill->total + bytes.len > atomic_load(&fill->cache->max_object))
        fill->is_storing = false;
    is_full = chain_is_full(fill);
    if (is_full)
        fill->wanted = bytes.len;
    pthread_mutex_unlock(&fill->lock);
    if (is_full)
        return false;
    if (chain_append(fill, bytes))
        return true;
    cut(fill);
    return true;
}

bool fill_write(struct fill *fill, struct str bytes)
{
    enum ring_result result;

    CHECK(fill->state != FILL_NEW);
    if (bytes.len == 0 || fill->state == FILL_CUT)
        return true; /* cut: out of memory; the readers know, the rest is dropped */
    switch (fill->mode) {
    case FILL_BLOCK:
        return block_write(fill, bytes);
    case FILL_CHAIN:
        return chain_write(fill, bytes);
    case FILL_RING:
        break;
    }
    pthread_mutex_lock(&fill->lock);
    result = ring_write(fill, bytes);
    pthread_mutex_unlock(&fill->lock);
    if (result == RING_NO_MEMORY)
        cut(fill);
    return result != RING_FULL;
}

/* ---- bytes that come straight to their place ------------------------------ */

enum { LEAST_PLACE = 4096 }; /* smaller pieces are not worth a system call each */

/* Lock held. The free part of the ring that lies in one piece. */
static char *ring_place(struct fill *fill, size_t *room)
{
    struct ring *ring = fill->ring;
    size_t end, left;

    *room = 1;
    if (ring == NULL || ring->size < RING_MOST || fill->reader_count == 0)
        return NULL;
    if (fill->ring_used == 0)
        fill->ring_at = 0;
    left = ring->size - fill->ring_used;
    if (left < LEAST_PLACE) {
        fill->wanted = LEAST_PLACE;
        *room = 0;
        return NULL;
    }
    end = (fill->ring_at + fill->ring_used) % ring->size;
    *room = ring->size - end < left ? ring->size - end : left;
    return ring->bytes + end;
}

char *fill_place(struct fill *fill, size_t *room)
{
    char *to = NULL;

    *room = 1;
    if (fill->state != FILL_BEGUN)
        return NULL;
    if (fill->mode == FILL_BLOCK && fill->total < fill->head.length) {
        *room = (size_t)(fill->head.length - fill->total);
        return fill->bytes + fill->total;
    }
    if (fill->mode != FILL_RING)
        return NULL;
    pthread_mutex_lock(&fill->lock);
    to = ring_place(fill, room);
    pthread_mutex_unlock(&fill->lock);
    return to;
}

void fill_placed(struct fill *fill, size_t len)
{
    pthread_mutex_lock(&fill->lock);
    if (fill->mode == FILL_RING)
        fill->ring_used += len;
    fill->total += len;
    fill_notify_readers(fill);
    pthread_mutex_unlock(&fill->lock);
}

void fill_trailers(struct fill *fill, const struct http_fields *fields)
{
    struct http_fields copy;

    if (fields->count == 0 || fill->has_trailers ||
        !copy_fields(fields, &copy, NULL, 0, &fill->trailer_memory))
        return; /* trailers are optional to everyone (RFC 9110 §6.5.1) */
    pthread_mutex_lock(&fill->lock);
    fill->trailers = copy;
    fill->has_trailers = true;
    pthread_mutex_unlock(&fill->lock);
}

/* ---- the end ---- */

static bool store(struct fill *fill, struct cache_replaced *replaced)
{
    *replaced = (struct cache_replaced){.is_any = false};
    if (!fill->is_storing || fill->state != FILL_BEGUN ||
        (fill->head.has_length && fill->total != fill->head.length))
        return false;
    if (fill->mode == FILL_CHAIN && fill->total > 0)
        return chain_store(fill, replaced);
    if (fill->block != NULL)
        entry_set_block(fill->draft, block_hold(fill->block));
    return index_replace(fill->cache, fill->draft, NULL, replaced);
}

/* Lock held: gives up the writer's reference. */
static void finish(struct fill **fill, enum fill_state state)
{
    struct fill *done = *fill;

    *fill = NULL;
    if (done->state != FILL_CUT)
        done->state = state;
    done->room = NULL;
    done->is_storing = false;
    if (done->mode == FILL_CHAIN)
        chain_trim(done);
    fill_notify_readers(done);
    fill_unlock_release(done);
}

bool fill_end_over(struct fill **fill, struct cache_replaced *replaced)
{
    struct fill *done = *fill;
    /* before the readers hear of the end: whoever asks again after its answer finds the entry */
    bool is_stored = store(done, replaced);
    bool is_short =
        done->head.has_length && done->total < done->head.length && done->mode == FILL_BLOCK;

    pthread_mutex_lock(&done->lock);
    finish(fill, is_short || done->state == FILL_NEW ? FILL_CUT : FILL_WHOLE);
    return is_stored;
}

void fill_fail(struct fill **fill)
{
    struct fill *failed = *fill;

    if (failed == NULL)
        return;
    pthread_mutex_lock(&failed->lock);
    finish(fill, FILL_CUT);
}

uint32_t fill_readers(struct fill *fill)
{
    uint32_t count;

    pthread_mutex_lock(&fill->lock);
    count = fill->reader_count;
    pthread_mutex_unlock(&fill->lock);
    return count;
}

bool fill_is_storing(const struct fill *fill)
{
    return fill->is_storing;
}

bool fill_is_put_off(const struct fill *fill)
{
    return fill->is_put_off;
}
