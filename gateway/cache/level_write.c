/* level_write.c - putting an answer into the second level, behind everything else.
 *
 * The chunks of a large body go first, two at a time; the frame that names them comes last, so
 * that who finds a frame finds its body. A rule is written before its variant. Then the lease ends:
 * on one connection nobody sees it free before the answer is there. A write that fails is a miss of
 * somebody later, nothing more. One worker's thread. */
#include "cache/level_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum { WINDOW = 2, ARENA_BYTES = 1024 * 1024 };
#define RULE_LIFE_MS INT64_C(86400000)

struct level_write {
    struct cache_level *level;
    struct level_write *next, **back;
    struct cache_entry *entry; /* held */
    struct arena *arena;
    struct frame frame;
    struct level_name base;
    struct level_lease *lease;
    struct buf bytes;
    uint32_t next_chunk, on_way;
    bool has_failed;
};

static void write_free(struct level_write *write)
{
    struct cache_level *level = write->level;

    *write->back = write->next;
    if (write->next != NULL)
        write->next->back = write->back;
    level->write_count--;
    level_lease_end(&write->lease, false);
    cache_entry_release(&write->entry);
    arena_free(&write->arena);
    buf_free(&write->bytes);
    free(write);
}

void writes_end(struct cache_level *level)
{
    for (struct level_write *write = level->writes, *next; write != NULL; write = next) {
        next = write->next;
        write_free(write);
    }
}

static bool send_set(struct level_write *write, const struct level_name *name, int64_t life_ms,
                     redis_reply_fn *fn)
{
    struct cache_level *level = write->level;
    char life[24];

    snprintf(life, sizeof(life), "%" PRId64, life_ms);
    struct str words[] = {STR("SET"), str_of(name->text), buf_str(&write->bytes), STR("PX"),
                          str_of(life)};
    struct redis_command command = {.words = words,
                                    .count = COUNT_OF(words),
                                    .key = words[1],
                                    .deadline_us =
                                        loop_now_us(level->loop) + (uint64_t)LEVEL_WRITE_MS * 1000,
                                    .fn = fn,
                                    .arg = fn != NULL ? write : NULL};
    return redis_send(level->redis, &command) != NULL;
}

static int64_t life_ms(const struct level_write *write)
{
    return level_life_ms(&write->frame, loop_wall_us(write->level->loop));
}

/* ---- the frame ---- */

static void on_frame(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct level_write *write = arg;

    (void)reply;
    level_count(write->level, outcome == REDIS_OK ? LEVEL_STORED : LEVEL_FAILED);
    write_free(write);
}

static bool send_rule(struct level_write *write)
{
    struct frame rule = {
        .is_rule = true, .key = write->frame.key, .vary_names = write->frame.vary_names};
    int64_t life = life_ms(write);

    buf_clear(&write->bytes);
    return frame_write(&rule, &write->bytes) &&
           send_set(write, &write->base, life > RULE_LIFE_MS ? life : RULE_LIFE_MS, NULL);
}

/* The copies of what was sent live in redis/ until then: no buffer is kept beside them. */
static bool send_frame(struct level_write *write)
{
    struct level_name name;
    bool is_sent;

    if (write->frame.vary_names.len > 0 && !send_rule(write))
        return false;
    level_name_of(&write->base, write->level, write->frame.vary_key, -1, &name);
    buf_clear(&write->bytes);
    is_sent = life_ms(write) > 0 && frame_write(&write->frame, &write->bytes) &&
              send_set(write, &name, life_ms(write), on_frame);
    buf_free(&write->bytes);
    if (is_sent)
        level_lease_end(&write->lease, false);
    return is_sent;
}

static void give_up(struct level_write *write)
{
    level_count(write->level, LEVEL_FAILED);
    write_free(write);
}

/* ---- chunks ---- */

static void on_chunk(void *arg, enum redis_outcome outcome, const struct redis_reply *reply);

static bool send_chunk(struct level_write *write)
{
    uint32_t index = write->next_chunk++;
    size_t at = (size_t)index * FRAME_CHUNK;
    struct str body = cache_entry_meta(write->entry).body, rest = str_from(body, at);
    struct str piece = str_at(rest.ptr, rest.len < FRAME_CHUNK ? rest.len : FRAME_CHUNK);
    struct level_name name;

    level_name_of(&write->base, write->level, write->frame.vary_key, (int)index, &name);
    buf_clear(&write->bytes);
    if (!frame_write_chunk(write->frame.nonce, index, piece, &write->bytes) ||
        life_ms(write) <= 0 || !send_set(write, &name, life_ms(write), on_chunk))
        return false;
    write->on_way++;
    return true;
}

/* Sends what comes next; a failure ends it when nothing is on its way any more. */
static void go_on(struct level_write *write)
{
    uint32_t chunks = frame_chunks(&write->frame);

    while (!write->has_failed && write->on_way < WINDOW && write->next_chunk < chunks)
        write->has_failed = !send_chunk(write);
    if (write->on_way > 0)
        return;
    if (write->has_failed || !send_frame(write))
        give_up(write);
}

static void on_chunk(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct level_write *write = arg;

    (void)reply;
    write->on_way--;
    if (outcome != REDIS_OK)
        write->has_failed = true;
    go_on(write);
}

/* ---- the door ---- */

static struct level_write *write_new(struct cache_level *level, struct cache_entry *entry)
{
    struct level_write *write = calloc(1, sizeof(*write));

    if (write == NULL)
        return NULL;
    write->arena = arena_new(2048, ARENA_BYTES);
    if (write->arena == NULL) {
        free(write);
        return NULL;
    }
    write->level = level;
    write->entry = cache_entry_hold(entry);
    write->bytes = buf_new(FRAME_MAX_BYTES);
    level_name(level, entry_key(entry), &write->base);
    write->next = level->writes;
    write->back = &level->writes;
    if (write->next != NULL)
        write->next->back = &write->next;
    level->writes = write;
    level->write_count++;
    return write;
}

void cache_level_put(struct cache_level *level, struct cache_entry *entry,
                     const struct cache_place *place, struct level_lease **lease)
{
    struct level_write *write = NULL;

    if (redis_is_up(level->redis) && level->write_count < LEVEL_MAX_WRITES)
        write = write_new(level, entry);
    if (write == NULL) {
        level_count(level, LEVEL_FAILED);
        level_lease_end(lease, false);
        return;
    }
    if (!level_frame_of(entry, place, write->arena, &write->frame)) {
        level_count(level, LEVEL_LOCAL);
        level_lease_end(lease, true);
        write_free(write);
        return;
    }
    write->lease = *lease;
    *lease = NULL;
    go_on(write);
}
