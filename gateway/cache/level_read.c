/* level_read.c - asking the second level, as a few steps from reply to reply.
 *
 * First the answer of the key, or its Vary rule and then the variant; a large body follows in
 * chunks, two at a time, so that others get a turn. With collapse the first question asks for
 * the lease too: who gets it fetches, the others ask again each few milliseconds until the
 * answer is there, the lease is free (its holder failed or died), or they have waited enough. Each
 * round has store.timeout. One worker's thread; told() comes from the loop. */
#include "cache/level_priv.h"

#include <stdlib.h>

enum { WINDOW = 2, ARENA_BYTES = 3 * 1024 * 1024 };

struct chunk_call {
    struct level_read *read;
    struct redis_call *call;
    uint32_t index;
};

struct level_read {
    struct cache_level *level;
    struct level_read *next, **back;
    struct level_question question;
    level_fn *told;
    void *arg;
    struct level_name base;
    struct buf vary_key; /* the request's values, once the rule is known */
    struct arena *arena;
    struct redis_call *call;
    struct chunk_call chunks[WINDOW];
    uint32_t chunk_count, next_chunk, missing;
    bool is_asking_lease, is_forced, has_waited, is_variant;
    enum lease_state state;
    char token[17];
    struct level_lease *lease;
    uint64_t round_us, give_up_us, poll_ms; /* round_us: when it must be over */
    struct deadline poll;
    struct frame frame;
    struct cache_entry *entry; /* whose body is coming */
    struct block *body;
};

/* ---- the end ---- */

static void drop_body(struct level_read *read)
{
    for (int i = 0; i < WINDOW; i++)
        redis_cancel(&read->chunks[i].call);
    cache_entry_release(&read->entry);
    block_release(&read->body);
}

static void read_free(struct level_read *read)
{
    struct cache_level *level = read->level;

    *read->back = read->next;
    if (read->next != NULL)
        read->next->back = read->back;
    level->read_count--;
    redis_cancel(&read->call);
    drop_body(read);
    deadline_clear(level->loop, &read->poll);
    buf_free(&read->vary_key);
    arena_free(&read->arena);
    free(read);
}

static void finish(struct level_read *read, enum level_outcome outcome)
{
    bool is_found = outcome == LEVEL_HIT || outcome == LEVEL_WAITED;
    struct level_lease *lease = read->lease;
    level_fn *told = read->told;
    void *arg = read->arg;

    level_count(read->level, outcome);
    read->lease = NULL;
    if (is_found)
        level_lease_end(&lease, false);
    read_free(read);
    told(arg, is_found, lease);
}

void level_read_cancel(struct level_read **read)
{
    struct level_read *old = *read;

    *read = NULL;
    if (old == NULL)
        return;
    if (old->is_asking_lease) /* it may be taken when the script runs */
        lease_drop(old->level, &old->base, old->token);
    level_lease_end(&old->lease, false);
    read_free(old);
}

void reads_end(struct cache_level *level)
{
    for (struct level_read *read = level->reads, *next; read != NULL; read = next) {
        next = read->next;
        level_read_cancel(&read);
    }
}

/* ---- nothing there ---- */

static void begin_round(struct level_read *read);

static void on_poll(void *arg)
{
    begin_round(arg);
}

static void wait_a_little(struct level_read *read)
{
    uint64_t now_us = loop_now_us(read->level->loop);

    read->has_waited = true;
    read->poll.fn = on_poll;
    read->poll.arg = read;
    if (now_us >= read->give_up_us ||
        !deadline_set(read->level->loop, &read->poll, now_us + read->poll_ms * 1000)) {
        finish(read, LEVEL_GAVE_UP);
        return;
    }
    if (read->poll_ms < LEVEL_MOST_POLL_MS)
        read->poll_ms *= 2;
}

/* What is there is of no use, because of `why`. */
static void absent(struct level_read *read, enum level_outcome why)
{
    drop_body(read);
    if (!read->question.collapses) {
        finish(read, why);
        return;
    }
    switch (read->state) {
    case LEASE_TAKEN:
    case LEASE_ASIDE:
        finish(read, why);
        return;
    case LEASE_NOT_ASKED:
        read->is_forced = true;
        begin_round(read);
        return;
    case LEASE_HELD_BY_ANOTHER:
        read->is_forced = true;
        wait_a_little(read);
        return;
    }
}

/* False, and it is over: there is no reply to go on with. */
static bool has_reply(struct level_read *read, enum redis_outcome outcome)
{
    if (outcome == REDIS_OK)
        return true;
    if (read->is_asking_lease)
        lease_drop(read->level, &read->base, read->token);
    read->is_asking_lease = false;
    finish(read, outcome == REDIS_LATE ? LEVEL_LATE : LEVEL_AWAY);
    return false;
}

static struct redis_call *send_get(struct level_read *read, const struct level_name *name,
                                   redis_reply_fn *fn, void *arg)
{
    struct str words[] = {STR("GET"), str_of(name->text)};
    struct redis_command command = {.words = words,
                                    .count = COUNT_OF(words),
                                    .key = words[1],
                                    .deadline_us = read->round_us,
                                    .fn = fn,
                                    .arg = arg};

    return redis_send(read->level->redis, &command);
}

/* ---- the answer ---- */

static void put_in_index(struct level_read *read)
{
    if (read->body != NULL)
        entry_set_block(read->entry, read->body); /* takes the reference */
    read->body = NULL;
    if (index_insert(read->level->cache, read->entry, NULL))
        finish(read, read->has_waited ? LEVEL_WAITED : LEVEL_HIT);
    else
        absent(read, LEVEL_PURGED);
}

static void on_chunk(void *arg, enum redis_outcome outcome, const struct redis_reply *reply);

static bool ask_chunk(struct level_read *read, struct chunk_call *chunk)
{
    struct level_name name;

    if (read->next_chunk == read->chunk_count)
        return true;
    chunk->read = read;
    chunk->index = read->next_chunk++;
    level_name_of(&read->base, read->level, read->frame.vary_key, (int)chunk->index, &name);
    chunk->call = send_get(read, &name, on_chunk, chunk);
    return chunk->call != NULL;
}

static void on_chunk(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct chunk_call *chunk = arg;
    struct level_read *read = chunk->read;
    struct str piece;

    chunk->call = NULL;
    if (!has_reply(read, outcome))
        return;
    if (reply->form != REDIS_STRING ||
        !frame_read_chunk(reply->text, &read->frame, chunk->index, &piece)) {
        absent(read, LEVEL_DAMAGED); /* or another answer is just being written */
        return;
    }
    memcpy(read->body->bytes + (size_t)chunk->index * FRAME_CHUNK, piece.ptr, piece.len);
    if (--read->missing == 0)
        put_in_index(read);
    else if (!ask_chunk(read, chunk))
        finish(read, LEVEL_AWAY);
}

static void ask_chunks(struct level_read *read)
{
    read->next_chunk = 0;
    read->missing = read->chunk_count;
    for (int i = 0; i < WINDOW; i++)
        if (!ask_chunk(read, &read->chunks[i])) {
            finish(read, LEVEL_AWAY);
            return;
        }
}

/* The frame's slices live in the reply, which goes: what the chunks need is kept. */
static void take_answer(struct level_read *read)
{
    struct cache_level *level = read->level;
    struct cache *cache = level->cache;
    struct level_moment moment = {
        .now_us = loop_now_us(level->loop), .wall_us = loop_wall_us(level->loop), .stamp = 0};
    struct frame *frame = &read->frame;
    bool is_inside;

    if (!history_stamp(cache, &frame->place, moment.now_us, &moment.stamp)) {
        absent(read, LEVEL_PURGED);
        return;
    }
    read->entry = level_entry_of(cache, frame, &read->question, &moment, read->arena);
    is_inside = frame->body_bytes <= INSIDE_MOST;
    if (read->entry != NULL && !is_inside)
        read->body = block_new(cache, (size_t)frame->body_bytes, read->question.key->url_hash);
    if (read->entry == NULL || (!is_inside && read->body == NULL)) {
        absent(read, LEVEL_MISS);
        return;
    }
    read->chunk_count = frame_chunks(frame);
    if (read->chunk_count > 0) {
        frame->vary_key = read->is_variant ? buf_str(&read->vary_key) : STR_NONE;
        ask_chunks(read);
        return;
    }
    if (frame->body.len > 0)
        memcpy(is_inside ? entry_inside(read->entry) : read->body->bytes, frame->body.ptr,
               frame->body.len);
    put_in_index(read);
}

/* ---- the frame ---- */

static void take_frame(struct level_read *read, const struct redis_reply *reply);

static void on_variant(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct level_read *read = arg;

    read->call = NULL;
    if (has_reply(read, outcome))
        take_frame(read, reply);
}

static void ask_variant(struct level_read *read)
{
    const struct level_question *question = &read->question;
    struct level_name name;

    buf_clear(&read->vary_key);
    if (!http_vary_key(&read->vary_key, read->frame.vary_names, question->request,
                       question->normalize_vary, read->arena) ||
        read->vary_key.len == 0) {
        absent(read, LEVEL_MISS);
        return;
    }
    read->is_variant = true;
    level_name_of(&read->base, read->level, buf_str(&read->vary_key), -1, &name);
    read->call = send_get(read, &name, on_variant, read);
    if (read->call == NULL)
        finish(read, LEVEL_AWAY);
}

static void take_frame(struct level_read *read, const struct redis_reply *reply)
{
    struct frame *frame = &read->frame;

    arena_reset(read->arena);
    if (reply == NULL || reply->form != REDIS_STRING) {
        absent(read, LEVEL_MISS);
        return;
    }
    if (frame_read(reply->text, read->arena, frame) != FRAME_SOUND ||
        !str_eq(frame->key, read->question.key->text) ||
        (read->is_variant && !str_eq(frame->vary_key, buf_str(&read->vary_key))) ||
        (frame->is_rule && read->is_variant)) {
        absent(read, LEVEL_DAMAGED);
        return;
    }
    if (frame->is_rule)
        ask_variant(read);
    else
        take_answer(read);
}

static void on_lease(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct level_read *read = arg;
    const struct redis_reply *state = redis_item(reply, 0);

    read->call = NULL;
    if (!has_reply(read, outcome))
        return;
    read->is_asking_lease = false;
    read->state = LEASE_ASIDE; /* nonsense is not waited for */
    if (state != NULL && state->form == REDIS_INTEGER && state->integer >= LEASE_HELD_BY_ANOTHER &&
        state->integer <= LEASE_NOT_ASKED)
        read->state = (enum lease_state)state->integer;
    if (read->state == LEASE_NOT_ASKED && read->is_forced)
        read->state = LEASE_ASIDE;
    if (read->state == LEASE_TAKEN)
        read->lease = lease_new(read->level, &read->base, read->token);
    take_frame(read, redis_item(reply, 1));
}

static void on_plain(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    on_variant(arg, outcome, reply);
}

static struct redis_call *send_first(struct level_read *read)
{
    struct cache_level *level = read->level;

    read->round_us = loop_now_us(level->loop) + (uint64_t)level->timeout_ms * 1000;
    read->is_variant = false;
    if (!read->question.collapses)
        return send_get(read, &read->base, on_plain, read);
    read->call = lease_ask(level, &read->base, read->token, read->is_forced, on_lease, read);
    read->is_asking_lease = read->call != NULL;
    return read->call;
}

static void begin_round(struct level_read *read)
{
    read->call = send_first(read);
    if (read->call == NULL)
        finish(read, LEVEL_AWAY);
}

/* ---- the door ---- */

static struct level_read *read_new(struct cache_level *level, const struct level_question *question,
                                   level_fn *told, void *arg)
{
    struct level_read *read = calloc(1, sizeof(*read));

    if (read == NULL)
        return NULL;
    read->arena = arena_new(4096, ARENA_BYTES);
    if (read->arena == NULL) {
        free(read);
        return NULL;
    }
    read->level = level;
    read->question = *question;
    read->told = told;
    read->arg = arg;
    read->vary_key = buf_new(MAX_VARY_BYTES);
    read->poll_ms = LEVEL_FIRST_POLL_MS;
    read->give_up_us = loop_now_us(level->loop) + (uint64_t)LEVEL_WAIT_MS * 1000;
    *hex_write(read->token, random_u64(), 16) = '\0';
    level_name(level, question->key->text, &read->base);
    read->next = level->reads;
    read->back = &level->reads;
    if (read->next != NULL)
        read->next->back = &read->next;
    level->reads = read;
    level->read_count++;
    return read;
}

struct level_read *cache_level_ask(struct cache_level *level, const struct level_question *question,
                                   level_fn *told, void *arg)
{
    struct level_read *read = NULL;
    struct cache_place place;

    if (redis_is_up(level->redis) && level->read_count < LEVEL_MAX_READS &&
        cache_place_now(level->cache, loop_now_us(level->loop), &place))
        read = read_new(level, question, told, arg);
    if (read != NULL) {
        read->call = send_first(read);
        if (read->call != NULL)
            return read;
        read_free(read);
    }
    level_count(level, LEVEL_AWAY);
    return NULL;
}
