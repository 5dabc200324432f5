/* store.c - revoked tokens in Redis, so that every gateway refuses them, and after a restart too.
 *
 * A sorted set holds the names with their ends, a stream tells of new ones; one script writes both,
 * and both have one hash tag. A gateway reads the end of the stream, then the set, then follows the
 * stream: nothing falls between. Requests never ask Redis: they ask this process' own set, so a
 * store that is away makes no 401 and no wait; what is revoked meanwhile waits here to be written.
 * The keys have no time to live: an eviction policy for volatile keys must not find them.
 * Main thread; identify_revoke() comes by post. */
#include "identify/identify_priv.h"
#include "redis/redis.h"

#include <stdlib.h>

enum {
    PENDING_MOST = 65536,
    PAGE = 1000,
    NAME_DIGITS = 32,
    FOLLOW_MS = 500, /* one wait of the reader at the stream */
    STALL_MS = 3000,
    WRITE_US = 1000000,
    RETRY_US = 1000000,
    KEY_MOST = 192,
};
#define ENDLESS (INT64_C(1) << 53) /* stands for a token without an end */

/* clang-format off */
static const char write_source[] =
"local now = tonumber(redis.call('TIME')[1])\n"
"redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 300)\n"
"redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])\n"
"redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, '*', ARGV[1], ARGV[2])\n"
"return 1\n";
/* clang-format on */

struct identify_store {
    struct identify_shared *shared;
    struct loop *loop;
    struct redis *writer, *reader;
    struct redis_script script;
    char set_key[KEY_MOST], feed_key[KEY_MOST];
    char last_id[48]; /* of the stream */
    uint64_t offset;  /* in the set, while it is read */
    int64_t from_s;
    bool is_writing, is_reading, is_loaded;
    struct deadline retry, reread;
    struct identify_token *pending; /* ring of PENDING_MOST, made at first use */
    uint32_t first, count;
};

static int64_t wall_s(const struct identify_store *store)
{
    return loop_wall_us(store->loop) / 1000000;
}

/* ---- writing ---- */

static void write_next(struct identify_store *store);

static void try_later(struct identify_store *store)
{
    CHECK(deadline_set(store->loop, &store->retry, loop_now_us(store->loop) + RETRY_US));
}

static void on_written(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct identify_store *store = arg;

    (void)reply;
    store->is_writing = false;
    if (outcome != REDIS_OK) {
        try_later(store); /* writing it twice is no harm */
        return;
    }
    store->first = (store->first + 1) % PENDING_MOST;
    store->count--;
    write_next(store);
}

static void on_retry(void *arg)
{
    write_next(arg);
}

static void name_write(struct hash128 name, char text[NAME_DIGITS + 1])
{
    *hex_write(hex_write(text, name.lo, 16), name.hi, 16) = '\0';
}

static void write_next(struct identify_store *store)
{
    char name[NAME_DIGITS + 1], end[U64_DIGITS];
    struct str words[] = {STR("2"), str_of(store->set_key), str_of(store->feed_key), STR_NONE,
                          STR_NONE};
    struct redis_command command = {.words = words,
                                    .count = COUNT_OF(words),
                                    .script = &store->script,
                                    .key = words[1],
                                    .deadline_us = loop_now_us(store->loop) + WRITE_US,
                                    .fn = on_written,
                                    .arg = store};

    if (store->is_writing || store->count == 0)
        return;
    const struct identify_token *token = &store->pending[store->first];
    name_write(token->name, name);
    words[3] = str_at(name, NAME_DIGITS);
    words[4] = str_at(
        end, u64_write(end, (uint64_t)(token->until_s < ENDLESS ? token->until_s : ENDLESS)));
    store->is_writing = redis_send(store->writer, &command) != NULL;
    if (!store->is_writing)
        try_later(store);
}

static void store_save(struct identify_store *store, const struct identify_token *token)
{
    if (store->pending == NULL)
        store->pending = calloc(PENDING_MOST, sizeof(*store->pending));
    if (store->pending == NULL || store->count == PENDING_MOST) {
        log_line(LOG_ERROR, "a revocation is this gateway's alone: too many wait for the store");
        return;
    }
    store->pending[(store->first + store->count++) % PENDING_MOST] = *token;
    write_next(store);
}

/* ---- reading ---- */

static void follow(struct identify_store *store);

static void read_again(struct identify_store *store)
{
    store->is_reading = false;
    CHECK(deadline_set(store->loop, &store->reread, loop_now_us(store->loop) + RETRY_US));
}

/* A reply is input: what is no name and no end is passed over. */
static void take(struct identify_store *store, const struct redis_reply *name,
                 const struct redis_reply *end)
{
    struct hash128 hash = {0, 0};
    uint64_t until;

    if (name == NULL || end == NULL || name->text.len != NAME_DIGITS ||
        !str_to_u64(end->text, &until))
        return;
    for (int i = 0; i < NAME_DIGITS; i++) {
        int digit = ascii_hex_value(name->text.ptr[i]);
        uint64_t *half = i < NAME_DIGITS / 2 ? &hash.lo : &hash.hi;

        if (digit < 0)
            return;
        *half = *half << 4 | (uint64_t)digit;
    }
    if (revoked_add(shared_revoked(store->shared), hash,
                    until < (uint64_t)ENDLESS ? (int64_t)until : INT64_MAX,
                    wall_s(store)) == REVOKED_FULL)
        log_line(LOG_ERROR, "the set of revoked tokens is full: one of the store's is not in it");
}

static bool ask(struct identify_store *store, const struct str *words, size_t count,
                redis_reply_fn *fn)
{
    struct redis_command command = {
        .words = words,
        .count = count,
        .key = str_of(store->set_key), /* the other key has the same tag */
        .fn = fn,
        .arg = store,
    };

    return redis_send(store->reader, &command) != NULL;
}

/* Streams' entries: [[id, [name, end]], …]. */
static void take_entries(struct identify_store *store, const struct redis_reply *entries)
{
    const struct redis_reply *entry;

    for (size_t i = 0; entries != NULL && (entry = redis_item(entries, i)) != NULL; i++) {
        const struct redis_reply *id = redis_item(entry, 0), *pair = redis_item(entry, 1);

        if (id == NULL || id->text.len == 0 || id->text.len >= sizeof(store->last_id) ||
            pair == NULL)
            continue;
        memcpy(store->last_id, id->text.ptr, id->text.len);
        store->last_id[id->text.len] = '\0';
        take(store, redis_item(pair, 0), redis_item(pair, 1));
    }
}

static void on_news(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct identify_store *store = arg;
    const struct redis_reply *stream;

    if (outcome != REDIS_OK) {
        read_again(store);
        return;
    }
    stream = redis_item(reply, 0); /* NIL: nothing came in this while */
    if (stream != NULL)
        take_entries(store, redis_item(stream, 1));
    follow(store);
}

static void follow(struct identify_store *store)
{
    char wait[U64_DIGITS];
    struct str words[] = {STR("XREAD"),
                          STR("COUNT"),
                          STR("1000"),
                          STR("BLOCK"),
                          STR_NONE,
                          STR("STREAMS"),
                          str_of(store->feed_key),
                          str_of(store->last_id)};

    words[4] = str_at(wait, u64_write(wait, FOLLOW_MS));
    if (!ask(store, words, COUNT_OF(words), on_news))
        read_again(store);
}

static bool ask_page(struct identify_store *store);

static void on_page(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct identify_store *store = arg;
    size_t i = 0;

    if (outcome != REDIS_OK || reply->form != REDIS_ARRAY) {
        read_again(store);
        return;
    }
    for (; i + 1 < reply->count; i += 2)
        take(store, redis_item(reply, i), redis_item(reply, i + 1));
    store->offset += PAGE;
    if (i / 2 == PAGE) {
        if (!ask_page(store))
            read_again(store);
        return;
    }
    if (!store->is_loaded)
        log_line(LOG_INFO, "%u revoked tokens in the store",
                 revoked_count(shared_revoked(store->shared)));
    store->is_loaded = true;
    follow(store);
}

static bool ask_page(struct identify_store *store)
{
    char from[U64_DIGITS], offset[U64_DIGITS], page[U64_DIGITS];
    struct str words[] = {STR("ZRANGEBYSCORE"), str_of(store->set_key), STR_NONE, STR("+inf"),
                          STR("WITHSCORES"),    STR("LIMIT"),           STR_NONE, STR_NONE};

    words[2] = str_at(from, u64_write(from, (uint64_t)store->from_s));
    words[6] = str_at(offset, u64_write(offset, store->offset));
    words[7] = str_at(page, u64_write(page, PAGE));
    return ask(store, words, COUNT_OF(words), on_page);
}

static void on_end_of_feed(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct identify_store *store = arg;

    if (outcome != REDIS_OK) {
        read_again(store);
        return;
    }
    memcpy(store->last_id, "0-0", sizeof("0-0"));
    take_entries(store, reply);
    store->offset = 0;
    store->from_s = wall_s(store);
    if (!ask_page(store))
        read_again(store);
}

static void read_all(struct identify_store *store)
{
    struct str words[] = {
        STR("XREVRANGE"), str_of(store->feed_key), STR("+"), STR("-"), STR("COUNT"), STR("1")};

    if (store->is_reading)
        return;
    store->is_reading = ask(store, words, COUNT_OF(words), on_end_of_feed);
    if (!store->is_reading)
        read_again(store);
}

static void on_reread(void *arg)
{
    read_all(arg);
}

/* ---- the store comes and goes ---- */

static void on_reader(void *arg, bool is_up, struct str why)
{
    struct identify_store *store = arg;

    (void)why;
    if (is_up)
        read_all(store);
}

static void on_writer(void *arg, bool is_up, struct str why)
{
    struct identify_store *store = arg;

    if (is_up)
        write_next(store);
    else
        log_line(LOG_WARN, "the store of revoked tokens is away (%.*s): new ones wait",
                 STR_ARG(why));
}

struct identify_store *identify_store_new(struct identify_shared *shared, struct loop *loop,
                                          const struct redis_url *url, struct str prefix,
                                          struct sheet *sheet, struct fail *why)
{
    struct identify_store *store = calloc(1, sizeof(*store));
    struct redis_options options = {.url = *url,
                                    .name = "gateway-revoked",
                                    .sheet = sheet,
                                    .stall_ms = STALL_MS,
                                    .changed = on_writer,
                                    .arg = store};

    if (store == NULL || prefix.len > KEY_MOST / 2) {
        fail_set(why, store == NULL ? "out of memory" : "store.prefix is too long");
        free(store);
        return NULL;
    }
    store->shared = shared;
    store->loop = loop;
    store->retry = (struct deadline){.fn = on_retry, .arg = store};
    store->reread = (struct deadline){.fn = on_reread, .arg = store};
    redis_script_init(&store->script, str_of(write_source));
    memcpy(store->set_key, prefix.ptr, prefix.len);
    memcpy(store->set_key + prefix.len, "revoked:{tokens}", sizeof("revoked:{tokens}"));
    memcpy(store->feed_key, prefix.ptr, prefix.len);
    memcpy(store->feed_key + prefix.len, "revoked:{tokens}:new", sizeof("revoked:{tokens}:new"));
    store->writer = redis_new(loop, &options);
    options.changed = on_reader;
    options.name = "gateway-revoked-new";
    store->reader = redis_new(loop, &options);
    if (store->writer == NULL || store->reader == NULL) {
        fail_set(why, "out of memory");
        identify_store_free(&store);
        return NULL;
    }
    shared_set_store(shared, store);
    return store;
}

void identify_store_free(struct identify_store **store)
{
    struct identify_store *old = *store;

    *store = NULL;
    if (old == NULL)
        return;
    shared_set_store(old->shared, NULL);
    redis_free(&old->writer);
    redis_free(&old->reader);
    deadline_clear(old->loop, &old->retry);
    deadline_clear(old->loop, &old->reread);
    free(old->pending);
    free(old);
}

/* ---- from any thread ---- */

struct saving {
    struct post post;
    struct identify_shared *shared;
    struct identify_token token;
};

static void on_saving(void *arg)
{
    struct saving *saving = arg;
    struct identify_store *store = shared_store(saving->shared);

    if (store != NULL)
        store_save(store, &saving->token);
    free(saving);
}

void store_post(struct identify_shared *shared, struct identify_store *store,
                const struct identify_token *token)
{
    struct saving *saving = malloc(sizeof(*saving));

    if (saving == NULL) {
        log_line(LOG_ERROR, "a revocation is this gateway's alone: out of memory");
        return;
    }
    *saving = (struct saving){{on_saving, saving, NULL}, shared, *token};
    loop_post(store->loop, &saving->post);
}
