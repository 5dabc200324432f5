/* store.c - revoked tokens in Redis, so that every gateway refuses them, and after a restart too.
 *
 * A sorted set holds the names with their ends. What is revoked here is in force here at once,
 * then it is written to the set, then whoever owns us tells the other gateways name and end: so
 * who has not heard of it finds it in the set. A newcomer, and one that missed something, reads
 * all of it. Requests never ask Redis: they ask this process' own set, so a store that is away
 * makes no 401 and no wait; what is revoked meanwhile waits here, and is written first when it is
 * back. The key has no time to live: an eviction policy for volatile keys must not find it. Where
 * fewer are there than are known here, the store has lost some, and all are written anew.
 * Main thread; identify_revoke() comes by post. */
#include "identify/identify_priv.h"
#include "redis/redis.h"

#include <stdlib.h>

enum {
    PENDING_MOST = 65536,
    AT_ONCE = 128, /* in one call, and in one message */
    NAME_DIGITS = 32,
    KEY_MOST = 192,
};
#define WAIT_US UINT64_C(1000000)  /* for one answer, and before the next try */
#define ENDLESS (INT64_C(1) << 53) /* stands for a token without an end */
_Static_assert(AT_ONCE *(NAME_DIGITS + 1 + 16 + 1) <= IDENTIFY_NEWS_MOST, "one message");

/* clang-format off */
/* Names and ends. */
static const char put_source[] =
"local now = tonumber(redis.call('TIME')[1])\n"
"redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 300)\n"
"for i = 1, #ARGV, 2 do redis.call('ZADD', KEYS[1], 'GT', ARGV[i + 1], ARGV[i]) end\n"
"return 1\n";
/* clang-format on */

struct identify_store {
    struct identify_shared *shared;
    struct loop *loop;
    struct redis *redis;
    struct redis_script put;
    identify_news_fn *tell;
    void *tell_arg;
    char key[KEY_MOST];
    char cursor[U64_DIGITS + 1]; /* in the set, while it is read */
    bool is_putting, is_reading, wants_all, is_loaded, has_complained;
    struct deadline retry;
    struct identify_token *pending; /* ring of PENDING_MOST, made at first use */
    uint32_t first, count;
    uint32_t putting; /* of them, in the call under way; 0: it writes again what was there */
    uint32_t seen;    /* in the set, by the reading under way or the last */
    struct revoked_walk again;
    bool writes_again;
    uint64_t added, saved; /* to and from the ring, since the start */
    struct saved_wait *waits;
    struct deadline too_late;
};
struct saved_wait {
    struct post post;
    struct identify_shared *shared;
    struct saved_wait *next;
    uint64_t upto, until_us;
    identify_saved_fn *fn;
    void *arg;
};

static void go_on(struct identify_store *store);

/* Once, until it works again. */
static void complain(struct identify_store *store, enum redis_outcome outcome)
{
    if (!store->has_complained && outcome != REDIS_OK && outcome != REDIS_LOST)
        log_line(LOG_ERROR, "the store of revoked tokens cannot be used: %s",
                 redis_outcome_word(outcome));
    store->has_complained = outcome != REDIS_OK;
}

static void try_later(struct identify_store *store)
{
    CHECK(deadline_set(store->loop, &store->retry, loop_now_us(store->loop) + WAIT_US));
}

static void on_retry(void *arg)
{
    go_on(arg);
}

static bool ask(struct identify_store *store, const struct redis_script *script,
                const struct str *words, size_t count, redis_reply_fn *fn)
{
    struct redis_command command = {.words = words,
                                    .count = count,
                                    .script = script,
                                    .key = words[1],
                                    .deadline_us = loop_now_us(store->loop) + WAIT_US,
                                    .fn = fn,
                                    .arg = store};

    return redis_send(store->redis, &command) != NULL;
}

/* ---- a token as text: 32 hex digits, and its end ---- */

static size_t name_write(struct hash128 name, char text[NAME_DIGITS + 1])
{
    *hex_write(hex_write(text, name.lo, 16), name.hi, 16) = '\0';
    return NAME_DIGITS;
}

static size_t end_write(int64_t until_s, char text[U64_DIGITS])
{
    return u64_write(text, (uint64_t)(until_s < ENDLESS ? until_s : ENDLESS));
}

/* What the store and other gateways say is input. False: it is no name with an end. */
static bool take(struct identify_store *store, struct str name, struct str end)
{
    struct hash128 hash = {0, 0};
    uint64_t until;

    if (name.len != NAME_DIGITS || !str_to_u64(end, &until))
        return false;
    for (int i = 0; i < NAME_DIGITS; i++) {
        int digit = ascii_hex_value(name.ptr[i]);
        uint64_t *half = i < NAME_DIGITS / 2 ? &hash.lo : &hash.hi;

        if (digit < 0)
            return false;
        *half = *half << 4 | (uint64_t)digit;
    }
    if (revoked_add(shared_revoked(store->shared), hash,
                    until < (uint64_t)ENDLESS ? (int64_t)until : INT64_MAX,
                    loop_wall_us(store->loop) / 1000000) == REVOKED_FULL)
        log_line(LOG_ERROR, "the set of revoked tokens is full: one of the store's is not in it");
    return true;
}

/* ---- out ---- */

static const struct identify_token *pending_at(const struct identify_store *store, uint32_t i)
{
    return &store->pending[(store->first + i) % PENDING_MOST];
}

static bool tell_others(struct identify_store *store)
{
    struct buf text = buf_new(IDENTIFY_NEWS_MOST);
    char name[NAME_DIGITS + 1], end[U64_DIGITS];
    bool ok = true;

    for (uint32_t i = 0; i < store->putting && store->tell != NULL; i++) {
        const struct identify_token *token = pending_at(store, i);

        (void)buf_add_str(&text, str_at(name, name_write(token->name, name)));
        (void)buf_add_char(&text, ' ');
        (void)buf_add_str(&text, str_at(end, end_write(token->until_s, end)));
        (void)buf_add_char(&text, '\n');
    }
    if (store->tell != NULL && store->putting > 0)
        ok = !text.is_broken && store->tell(store->tell_arg, buf_str(&text));
    buf_free(&text);
    return ok;
}

/* Those whose revocations are written, and those who have waited long enough. */
static void tell_waits(struct identify_store *store)
{
    uint64_t now_us = loop_now_us(store->loop);

    for (struct saved_wait **at = &store->waits; *at != NULL;) {
        struct saved_wait *wait = *at;
        bool is_saved = store->saved >= wait->upto;

        if (!is_saved && now_us < wait->until_us) {
            at = &wait->next;
            continue;
        }
        *at = wait->next;
        wait->fn(wait->arg, is_saved);
        free(wait);
    }
    if (store->waits != NULL && !deadline_is_set(&store->too_late))
        CHECK(deadline_set(store->loop, &store->too_late, store->waits->until_us));
}

static void on_too_late(void *arg)
{
    tell_waits(arg);
}

static void on_put(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct identify_store *store = arg;

    (void)reply;
    store->is_putting = false;
    complain(store, outcome);
    if (outcome != REDIS_OK || !tell_others(store)) {
        if (store->putting == 0) /* they are walked once more from the start */
            store->again = (struct revoked_walk){0};
        try_later(store); /* to write it twice is no harm */
        return;
    }
    store->first = (store->first + store->putting) % PENDING_MOST;
    store->count -= store->putting;
    store->saved += store->putting;
    tell_waits(store);
    go_on(store);
}

static void put(struct identify_store *store, const struct identify_token *tokens, uint32_t count)
{
    char names[AT_ONCE][NAME_DIGITS + 1], ends[AT_ONCE][U64_DIGITS];
    struct str words[2 + 2 * AT_ONCE] = {STR("1"), str_of(store->key)};

    for (uint32_t i = 0; i < count; i++) {
        words[2 + 2 * i] = str_at(names[i], name_write(tokens[i].name, names[i]));
        words[3 + 2 * i] = str_at(ends[i], end_write(tokens[i].until_s, ends[i]));
    }
    store->is_putting = ask(store, &store->put, words, 2 + 2 * (size_t)count, on_put);
    if (!store->is_putting)
        try_later(store);
}

static void put_pending(struct identify_store *store)
{
    struct identify_token tokens[AT_ONCE];

    store->putting = store->count < AT_ONCE ? store->count : AT_ONCE;
    for (uint32_t i = 0; i < store->putting; i++)
        tokens[i] = *pending_at(store, i);
    put(store, tokens, store->putting);
}

static void put_again(struct identify_store *store)
{
    struct identify_token tokens[AT_ONCE];
    uint32_t count = revoked_next(shared_revoked(store->shared), &store->again, tokens, AT_ONCE);

    store->putting = 0;
    store->writes_again = count > 0;
    if (count > 0)
        put(store, tokens, count);
}

static void save(struct identify_store *store, const struct identify_token *token)
{
    if (store->pending == NULL)
        store->pending = calloc(PENDING_MOST, sizeof(*store->pending));
    if (store->pending == NULL || store->count == PENDING_MOST) {
        log_line(LOG_ERROR, "a revocation is this gateway's alone: too many wait for the store");
        return;
    }
    store->pending[(store->first + store->count++) % PENDING_MOST] = *token;
    store->added++;
    go_on(store);
}

/* ---- in ---- */

static bool ask_some(struct identify_store *store);

static void all_is_read(struct identify_store *store)
{
    uint32_t known = revoked_count(shared_revoked(store->shared));

    if (!store->is_loaded)
        log_line(LOG_INFO, "%u revoked tokens in the store", known);
    store->is_loaded = true;
    if (store->seen >= known)
        return;
    store->writes_again = true;
    store->again = (struct revoked_walk){0};
}

/* [cursor, [name, end, …]] */
static void on_some(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct identify_store *store = arg;
    const struct redis_reply *cursor = redis_item(reply, 0), *some = redis_item(reply, 1);

    store->is_reading = false;
    complain(store, outcome);
    if (outcome != REDIS_OK || cursor == NULL || some == NULL ||
        cursor->text.len >= sizeof(store->cursor)) {
        store->wants_all = true;
        try_later(store);
        return;
    }
    for (size_t i = 0; i + 1 < some->count; i += 2)
        (void)take(store, some->items[i]->text, some->items[i + 1]->text);
    store->seen += (uint32_t)some->count / 2;
    memcpy(store->cursor, cursor->text.ptr, cursor->text.len);
    store->cursor[cursor->text.len] = '\0';
    if (!str_eq(cursor->text, STR("0"))) {
        store->is_reading = ask_some(store);
        store->wants_all |= !store->is_reading;
    } else {
        all_is_read(store);
    }
    go_on(store);
}

/* A scan gives whatever stood there from its start to its end, also while others write. */
static bool ask_some(struct identify_store *store)
{
    struct str words[] = {STR("ZSCAN"), str_of(store->key), str_of(store->cursor), STR("COUNT"),
                          STR("1000")};

    return ask(store, NULL, words, COUNT_OF(words), on_some);
}

static void read_all(struct identify_store *store)
{
    memcpy(store->cursor, "0", sizeof("0"));
    store->seen = 0;
    store->is_reading = ask_some(store);
    store->wants_all = !store->is_reading;
    if (store->wants_all)
        try_later(store);
}

/* ---- what is next ---- */

static void go_on(struct identify_store *store)
{
    if (!redis_is_up(store->redis))
        return;
    if (!store->is_putting && store->count > 0)
        put_pending(store);
    else if (!store->is_putting && store->writes_again)
        put_again(store);
    if (!store->is_reading && store->wants_all)
        read_all(store);
}

void identify_store_tell(struct identify_store *store, identify_news_fn *tell, void *arg)
{
    store->tell = tell;
    store->tell_arg = arg;
}

void identify_store_hear(struct identify_store *store, struct str news)
{
    bool is_sound = true;
    struct str line;

    while (str_split(&news, '\n', &line)) {
        size_t blank = str_find(line, ' ');

        is_sound &=
            line.len == 0 || take(store, str_at(line.ptr, blank), str_from(line, blank + 1));
    }
    if (!is_sound)
        log_line(LOG_WARN, "store: a revocation of another gateway could not be read");
}

void identify_store_catch_up(struct identify_store *store)
{
    store->wants_all = true;
    go_on(store);
}

bool identify_store_is_loaded(const struct identify_store *store)
{
    return store->is_loaded;
}

bool identify_store_is_away(const struct identify_store *store)
{
    return redis_is_away(store->redis);
}

/* ---- life ---- */

static void on_change(void *arg, bool is_up, struct str why)
{
    struct identify_store *store = arg;

    (void)why; /* said by others */
    if (!is_up)
        return;
    store->wants_all |= store->is_loaded; /* before, the bus says when */
    go_on(store);
}

struct identify_store *identify_store_new(struct identify_shared *shared, struct loop *loop,
                                          const struct redis_url *url, struct str prefix,
                                          struct sheet *sheet, struct fail *why)
{
    static const char name[] = "revoked:{tokens}";
    struct identify_store *store = calloc(1, sizeof(*store));
    struct redis_options options = {
        .url = *url, .name = "gateway-revoked", .sheet = sheet, .changed = on_change, .arg = store};

    if (store == NULL || prefix.len > KEY_MOST / 2) {
        fail_set(why, store == NULL ? "out of memory" : "store.prefix is too long");
        free(store);
        return NULL;
    }
    store->shared = shared;
    store->loop = loop;
    store->retry = (struct deadline){.fn = on_retry, .arg = store};
    store->too_late = (struct deadline){.fn = on_too_late, .arg = store};
    redis_script_init(&store->put, str_of(put_source));
    memcpy(store->key, prefix.ptr, prefix.len);
    memcpy(store->key + prefix.len, name, sizeof(name));
    store->redis = redis_new(loop, &options);
    if (store->redis == NULL) {
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
    redis_free(&old->redis);
    deadline_clear(old->loop, &old->retry);
    deadline_clear(old->loop, &old->too_late);
    for (struct saved_wait *wait = old->waits, *next; wait != NULL; wait = next) {
        next = wait->next;
        free(wait);
    }
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
        save(store, &saving->token);
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

/* Comes after every on_saving() of what was revoked before. A full ring has lost some. */
static void on_waiting(void *arg)
{
    struct saved_wait *wait = arg;
    struct identify_store *store = shared_store(wait->shared);

    if (store == NULL || store->count == PENDING_MOST) {
        wait->fn(wait->arg, false);
        free(wait);
        return;
    }
    wait->upto = store->added;
    wait->until_us = loop_now_us(store->loop) + UINT64_C(1000) * IDENTIFY_SAVE_MS;
    wait->next = store->waits;
    store->waits = wait;
    tell_waits(store);
}

bool identify_store_when_saved(struct identify_store *store, identify_saved_fn *fn, void *arg)
{
    struct saved_wait *wait = malloc(sizeof(*wait));

    if (wait == NULL)
        return false;
    *wait = (struct saved_wait){
        .post = {on_waiting, wait, NULL}, .shared = store->shared, .fn = fn, .arg = arg};
    loop_post(store->loop, &wait->post);
    return true;
}
