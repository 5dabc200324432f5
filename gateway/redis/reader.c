/* reader.c - bytes to replies, by hiredis' parser.
 *
 * The parser alone is taken from hiredis: its connections resolve names on the calling thread,
 * have no deadline for a command and differ between 0.14 and 1.2 in who frees what. Its objects
 * are ours: they come from an arena that is emptied after each reply, so a reply costs no
 * malloc, and a length in the reply cannot make us ask for more than a reply may have
 * ("*2000000000" would be 16 GiB of pointers with hiredis' own).
 *
 * One thread: the connection's. */
#include "redis/redis_priv.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

enum { ARENA_BLOCK = 4096, MOST_DEPTH = 7 };

struct reader {
    redisReader *hiredis;
    struct arena *arena;
    size_t max_bytes;
    bool has_reply; /* the arena holds one that was handed out */
};

#if HIREDIS_MAJOR >= 1
typedef size_t items_count;
#else
typedef int items_count;
#endif

/* Puts a new reply into its place; NULL makes the parser stop with an error. */
static void *place(const redisReadTask *task, struct redis_reply *reply)
{
    if (reply != NULL && task->parent != NULL) {
        struct redis_reply *parent = task->parent->obj;

        parent->items[task->idx] = reply;
    }
    return reply;
}

static struct redis_reply *reply_new(const redisReadTask *task, enum redis_form form)
{
    struct reader *reader = task->privdata;
    struct redis_reply *reply = arena_zero(reader->arena, sizeof(*reply));

    if (reply != NULL)
        reply->form = form;
    return reply;
}

static void *create_string(const redisReadTask *task, char *bytes, size_t len)
{
    struct reader *reader = task->privdata;
    enum redis_form form = task->type == REDIS_REPLY_ERROR    ? REDIS_FAULT
                           : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
                                                              : REDIS_STRING;
    struct redis_reply *reply = reply_new(task, form);

    /* a number in words, a text with a kind: RESP3, which nobody asked for */
    if (reply == NULL || (form == REDIS_STRING && task->type != REDIS_REPLY_STRING))
        return NULL;
    reply->text = arena_copy(reader->arena, str_at(bytes, len));
    return reply->text.ptr != NULL ? place(task, reply) : NULL;
}

/* hiredis 0.14 stops at seven by itself, 1.2 does not. */
static bool is_too_deep(const redisReadTask *task)
{
    int depth = 0;

    for (; task != NULL; task = task->parent)
        depth++;
    return depth > MOST_DEPTH;
}

static void *create_array(const redisReadTask *task, items_count count)
{
    struct reader *reader = task->privdata;
    struct redis_reply *reply = reply_new(task, REDIS_ARRAY);

    if (reply == NULL || task->type != REDIS_REPLY_ARRAY || is_too_deep(task) ||
        (int64_t)count < 0 || (int64_t)count > REDIS_MAX_ITEMS)
        return NULL;
    reply->count = (size_t)count;
    if (count > 0) {
        reply->items = arena_zero(reader->arena, reply->count * sizeof(struct redis_reply *));
        if (reply->items == NULL)
            return NULL;
    }
    return place(task, reply);
}

static void *create_integer(const redisReadTask *task, long long value)
{
    struct redis_reply *reply = reply_new(task, REDIS_INTEGER);

    if (reply == NULL)
        return NULL;
    reply->integer = value;
    return place(task, reply);
}

static void *create_nil(const redisReadTask *task)
{
    return place(task, reply_new(task, REDIS_NIL));
}

static void free_nothing(void *reply)
{
    (void)reply; /* the arena's */
}

#if HIREDIS_MAJOR >= 1
/* RESP3 was not asked for. */
static void *refuse_double(const redisReadTask *task, double value, char *text, size_t len)
{
    (void)task, (void)value, (void)text, (void)len;
    return NULL;
}

static void *refuse_bool(const redisReadTask *task, int value)
{
    (void)task, (void)value;
    return NULL;
}
#endif

static redisReplyObjectFunctions functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
#if HIREDIS_MAJOR >= 1
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
    .createNil = create_nil,
    .freeObject = free_nothing,
};

struct reader *reader_new(size_t max_reply_bytes)
{
    struct reader *reader = calloc(1, sizeof(*reader));

    if (reader == NULL)
        return NULL;
    reader->max_bytes = max_reply_bytes;
    /* pointers and heads of an array's items weigh more than their bytes on the wire */
    reader->arena = arena_new(ARENA_BLOCK, max_reply_bytes * 4 + ARENA_BLOCK);
    reader->hiredis = redisReaderCreateWithFunctions(&functions);
    if (reader->arena == NULL || reader->hiredis == NULL) {
        reader_free(&reader);
        return NULL;
    }
    reader->hiredis->privdata = reader;
    return reader;
}

void reader_free(struct reader **reader)
{
    struct reader *old = *reader;

    *reader = NULL;
    if (old == NULL)
        return;
    if (old->hiredis != NULL)
        redisReaderFree(old->hiredis);
    arena_free(&old->arena);
    free(old);
}

bool reader_feed(struct reader *reader, const char *bytes, size_t len)
{
    redisReader *r = reader->hiredis;

    return r->len - r->pos + len <= reader->max_bytes && redisReaderFeed(r, bytes, len) == REDIS_OK;
}

enum reader_result reader_next(struct reader *reader, const struct redis_reply **reply)
{
    void *whole = NULL;

    if (reader->has_reply)
        arena_reset(reader->arena);
    reader->has_reply = false;
    if (redisReaderGetReply(reader->hiredis, &whole) != REDIS_OK)
        return READER_BROKEN;
    if (whole == NULL)
        return READER_MORE;
    reader->has_reply = true;
    *reply = whole;
    return READER_REPLY;
}

const struct redis_reply *redis_item(const struct redis_reply *reply, size_t index)
{
    return reply != NULL && reply->form == REDIS_ARRAY && index < reply->count ? reply->items[index]
                                                                               : NULL;
}
