/* picture_store.c - answers for pictures where other programs find them, by the hash of the
 * picture.
 *
 * cache:image:hash:<64 hex digits> holds the plain JSON answer and lives as long as it is fresh.
 * There is no room beside it for what it belongs to, so it serves one route alone
 * (config/check.c), and purges are told by a witness: an entry like those of that route, in no
 * index, that the bans, tags and URLs of purges are held against. Once it is covered, all that
 * was written before is too, here at once; and for others, and after a restart, the moment stands
 * in cache:image:purged. When a value was written is told by the time it has left to live; what
 * could be older than a purge is not used. One worker's thread. */
#include "cache/cache_priv.h"
#include "redis/redis.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MOST_READS = 1024,
    NAME_BYTES = 160,
    WRITE_US = 1000000,
    WATCH_US = 500000, /* between two looks at the witness */
    SLACK_MS = 1000,   /* clocks of gateways, and of the store */
    DAY_MS = 86400000
};
enum { ASK_VALUE, ASK_TTL, ASK_PURGED, ASKED };

enum outcome { HIT, MISS, PURGED, DAMAGED, LATE, AWAY, STORED, FAILED, OUTCOMES };
static const char *const words[OUTCOMES] = {"hit",  "miss", "purged", "damaged",
                                            "late", "away", "stored", "failed"};

struct picture_store {
    struct loop *loop;
    struct cache *cache;
    struct redis *redis;
    char prefix[72];
    int64_t timeout_ms;
    struct cell *outcomes[OUTCOMES];
    struct picture_read *reads;
    uint32_t read_count;
    struct arena *arena;         /* the witness's key */
    struct cache_entry *witness; /* held; NULL: nobody has asked yet */
    struct cache_key key;
    struct str route;
    struct str_list tags;
    int64_t ttl_ms, purged_ms; /* wall clock of the last purge that is known; 0: none */
    struct deadline watch;
};

struct picture_read {
    struct picture_store *store;
    struct picture_read *next, **back;
    struct part {
        struct picture_read *read;
        struct redis_call *call;
    } parts[ASKED];
    uint32_t left;
    picture_fn *told;
    void *arg;
    struct buf value;
    bool has_value, is_late;
    int64_t ttl_ms, left_ms, purged_ms;
    uint64_t stamp;
};

static void count(struct picture_store *store, enum outcome outcome)
{
    cell_add(store->outcomes[outcome], 1);
}

static int64_t wall_ms(const struct picture_store *store)
{
    return loop_wall_us(store->loop) / 1000;
}

static struct str write_number(char to[24], int64_t value)
{
    return str_at(to, (size_t)snprintf(to, 24, "%" PRId64, value));
}

/* ---- purges ---- */

static bool make_witness(struct picture_store *store)
{
    static const struct http_fields none = {NULL, 0, 0, NULL};
    struct http_verdict verdict = {.may_store = true, .why = "stored", .lifetime_s = INT32_MAX};
    struct cache_intent intent = {
        .key = &store->key,
        .request = &none,
        .verdict = &verdict,
        .stamp = cache_stamp(store->cache),
        .response_us = loop_now_us(store->loop),
        .route = store->route,
        .tags = &store->tags,
    };

    cache_entry_release(&store->witness);
    store->witness = entry_new(store->cache, 200, &none, &intent, 0);
    return store->witness != NULL;
}

static void purged_name(const struct picture_store *store, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "%scache:image:purged", store->prefix);
}

/* While the store is away, this gateway remembers. */
static void write_purged(struct picture_store *store)
{
    char name[NAME_BYTES], moment[24], life[24];
    struct str text[] = {STR("SET"), STR_NONE, write_number(moment, store->purged_ms), STR("PX"),
                         write_number(life, store->ttl_ms + 30 * (int64_t)DAY_MS)};
    struct redis_command command = {
        .words = text, .count = COUNT_OF(text), .deadline_us = loop_now_us(store->loop) + WRITE_US};

    purged_name(store, name);
    command.key = text[1] = str_of(name);
    (void)redis_send(store->redis, &command);
}

/* Has a purge covered what is there? False: without memory for a witness nothing can be told. */
static bool look_at_witness(struct picture_store *store)
{
    if (store->witness != NULL && !purge_covers(store->cache, store->witness) &&
        ban_check(store->cache, store->witness) == BAN_CLEAR &&
        !cache_entry_is_soft_purged(store->witness))
        return true;
    if (store->witness != NULL) {
        store->purged_ms = wall_ms(store);
        write_purged(store);
    }
    return make_witness(store);
}

static void on_watch(void *arg)
{
    struct picture_store *store = arg;

    (void)look_at_witness(store);
    CHECK(deadline_set(store->loop, &store->watch, loop_now_us(store->loop) + WATCH_US));
}

static bool copy_key(struct picture_store *store, const struct cache_key *key)
{
    struct cache_key *own = &store->key;

    *own = *key;
    own->text = arena_copy(store->arena, key->text);
    own->url = arena_copy(store->arena, key->url);
    own->host = arena_copy(store->arena, key->host);
    own->path = arena_copy(store->arena, key->path);
    own->query = STR_NONE;
    own->user = STR_NONE;
    return own->text.ptr != NULL && own->url.ptr != NULL && own->host.ptr != NULL &&
           own->path.ptr != NULL;
}

static bool copy_tags(struct picture_store *store, const struct str_list *tags)
{
    struct str *at = arena_take(store->arena, tags->count * sizeof(*at) + 1);

    store->tags = (struct str_list){at, at != NULL ? tags->count : 0};
    for (uint32_t i = 0; i < store->tags.count; i++) {
        at[i] = arena_copy(store->arena, tags->at[i]);
        if (at[i].ptr == NULL)
            return false;
    }
    return at != NULL;
}

/* The question that the witness stands for; after a reload it may be another. */
static bool is_known(const struct picture_store *store, const struct picture_question *question)
{
    bool is_same = store->witness != NULL && str_eq(store->key.path, question->key->path) &&
                   str_eq(store->route, question->route) &&
                   store->tags.count == question->tags->count;

    for (uint32_t i = 0; is_same && i < store->tags.count; i++)
        is_same = str_eq(store->tags.at[i], question->tags->at[i]);
    return is_same;
}

static bool know(struct picture_store *store, const struct picture_question *question)
{
    store->ttl_ms = question->ttl_ms;
    if (is_known(store, question))
        return look_at_witness(store);
    cache_entry_release(&store->witness);
    arena_reset(store->arena);
    store->route = arena_copy(store->arena, question->route);
    return store->route.ptr != NULL && copy_key(store, question->key) &&
           copy_tags(store, question->tags) && make_witness(store) &&
           (deadline_is_set(&store->watch) ||
            deadline_set(store->loop, &store->watch, loop_now_us(store->loop) + WATCH_US));
}

/* ---- reading ---- */

static void read_free(struct picture_read *read)
{
    *read->back = read->next;
    if (read->next != NULL)
        read->next->back = read->back;
    read->store->read_count--;
    for (int i = 0; i < ASKED; i++)
        redis_cancel(&read->parts[i].call);
    buf_free(&read->value);
    free(read);
}

void picture_read_cancel(struct picture_read **read)
{
    struct picture_read *old = *read;

    *read = NULL;
    if (old != NULL)
        read_free(old);
}

static bool is_json_object(struct str text)
{
    cJSON *json = text.len > 0 && text.len <= PICTURE_STORE_MOST
                      ? cJSON_ParseWithLength(text.ptr, text.len)
                      : NULL;
    bool is_object = cJSON_IsObject(json);

    cJSON_Delete(json);
    return is_object;
}

/* Written after the last purge, as far as its time to live tells? age_ms < 0: it does not. */
static bool is_newer(const struct picture_read *read, int64_t age_ms)
{
    const struct picture_store *store = read->store;
    int64_t purged_ms = store->purged_ms > read->purged_ms ? store->purged_ms : read->purged_ms;

    return purged_ms == 0 || (age_ms >= 0 && wall_ms(store) - age_ms > purged_ms + SLACK_MS);
}

static enum outcome judge(const struct picture_read *read)
{
    int64_t age_ms = read->left_ms >= 0 ? read->ttl_ms - read->left_ms : -1;

    if (read->is_late)
        return LATE;
    if (!read->has_value)
        return MISS;
    if (!is_json_object(buf_str(&read->value)))
        return DAMAGED;
    if (!look_at_witness(read->store) || !is_newer(read, age_ms))
        return PURGED;
    return HIT;
}

static void finish(struct picture_read *read)
{
    enum outcome outcome = judge(read);
    int64_t left_ms = read->left_ms >= 0 ? read->left_ms : read->ttl_ms;
    int64_t age_ms = left_ms < read->ttl_ms ? read->ttl_ms - left_ms : 0;
    struct picture_answer answer = {.stamp = read->stamp};

    count(read->store, outcome);
    if (outcome == HIT) {
        answer.value = buf_str(&read->value);
        answer.age_s = age_ms / 1000;
        answer.lifetime_s = (age_ms + left_ms) / 1000;
    }
    read->told(read->arg, &answer);
    read_free(read);
}

static void on_reply(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct part *part = arg;
    struct picture_read *read = part->read;
    bool is_text = outcome == REDIS_OK && reply->form == REDIS_STRING;
    uint64_t moment;

    part->call = NULL;
    if (outcome != REDIS_OK)
        read->is_late = true;
    switch (part - read->parts) {
    case ASK_VALUE:
        read->has_value = is_text && buf_add_str(&read->value, reply->text);
        break;
    case ASK_TTL:
        if (outcome == REDIS_OK && reply->form == REDIS_INTEGER)
            read->left_ms = reply->integer;
        break;
    case ASK_PURGED:
        if (is_text && str_to_u64(reply->text, &moment) && moment < INT64_MAX / 2)
            read->purged_ms = (int64_t)moment;
        break;
    default:
        break;
    }
    if (--read->left == 0)
        finish(read);
}

static void name_of(const struct picture_store *store, const struct image_hash *hash,
                    char name[NAME_BYTES])
{
    char digits[IMAGE_HASH_DIGITS + 1];

    image_hash_write(hash, digits);
    snprintf(name, NAME_BYTES, "%scache:image:hash:%s", store->prefix, digits);
}

static bool send_part(struct picture_read *read, int which, const char *word, const char *name)
{
    struct picture_store *store = read->store;
    struct str text[] = {str_of(word), str_of(name)};
    struct redis_command command = {.words = text,
                                    .count = COUNT_OF(text),
                                    .key = text[1],
                                    .deadline_us = loop_now_us(store->loop) +
                                                   (uint64_t)store->timeout_ms * 1000,
                                    .fn = on_reply,
                                    .arg = &read->parts[which]};

    read->parts[which].read = read;
    read->parts[which].call = redis_send(store->redis, &command);
    read->left++;
    return read->parts[which].call != NULL;
}

static bool send_all(struct picture_read *read, const struct image_hash *hash)
{
    char name[NAME_BYTES], purged[NAME_BYTES];

    name_of(read->store, hash, name);
    purged_name(read->store, purged);
    return send_part(read, ASK_VALUE, "GET", name) && send_part(read, ASK_TTL, "PTTL", name) &&
           send_part(read, ASK_PURGED, "GET", purged);
}

struct picture_read *picture_store_ask(struct picture_store *store,
                                       const struct picture_question *question, picture_fn *told,
                                       void *arg)
{
    struct picture_read *read = NULL;

    if (redis_is_up(store->redis) && store->read_count < MOST_READS && know(store, question))
        read = calloc(1, sizeof(*read));
    if (read == NULL) {
        count(store, AWAY);
        return NULL;
    }
    *read = (struct picture_read){.store = store,
                                  .next = store->reads,
                                  .back = &store->reads,
                                  .told = told,
                                  .arg = arg,
                                  .value = buf_new(PICTURE_STORE_MOST),
                                  .ttl_ms = question->ttl_ms,
                                  .left_ms = -1,
                                  .stamp = cache_stamp(store->cache)};
    if (read->next != NULL)
        read->next->back = &read->next;
    store->reads = read;
    store->read_count++;
    if (send_all(read, question->hash))
        return read;
    read_free(read);
    count(store, AWAY);
    return NULL;
}

/* ---- writing ---- */

static void on_written(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    (void)reply;
    count(arg, outcome == REDIS_OK ? STORED : FAILED);
}

void picture_store_put(struct picture_store *store, const struct picture_question *question,
                       struct str value, int64_t ttl_ms)
{
    char name[NAME_BYTES], life[24];
    struct str text[] = {STR("SET"), STR_NONE, value, STR("PX"), write_number(life, ttl_ms)};
    struct redis_command command = {.words = text,
                                    .count = COUNT_OF(text),
                                    .deadline_us = loop_now_us(store->loop) + WRITE_US,
                                    .fn = on_written,
                                    .arg = store};

    if (ttl_ms <= 0 || !is_json_object(value))
        return;
    name_of(store, question->hash, name);
    command.key = text[1] = str_of(name);
    if (!know(store, question) || redis_send(store->redis, &command) == NULL)
        count(store, FAILED);
}

bool cache_put(struct cache *cache, int status, const struct http_fields *fields, struct str body,
               const struct cache_intent *intent)
{
    bool fits = body.len <= INSIDE_MOST && body.len <= atomic_load(&cache->max_object);
    struct cache_entry *entry = fits ? entry_new(cache, status, fields, intent, body.len) : NULL;
    bool is_stored;

    if (entry == NULL)
        return false;
    if (body.len > 0)
        memcpy(entry_inside(entry), body.ptr, body.len);
    is_stored = index_insert(cache, entry, NULL);
    cache_entry_release(&entry);
    return is_stored;
}

/* ---- begin and end ---- */

void picture_store_use(struct picture_store *store, const struct config *config)
{
    store->timeout_ms = config->store.timeout_ms;
}

struct picture_store *picture_store_new(struct loop *loop, struct cache *cache, struct sheet *sheet,
                                        const struct config *config, struct fail *why)
{
    struct picture_store *store = calloc(1, sizeof(*store));
    struct redis_options options = {.name = "gateway-images", .sheet = sheet};

    fail_set(why, "out of memory");
    if (store == NULL || !redis_url_for(config, STORE_IMAGES, &options.url, why))
        goto failed;
    store->loop = loop;
    store->cache = cache;
    store->watch = (struct deadline){.fn = on_watch, .arg = store};
    snprintf(store->prefix, sizeof(store->prefix), "%.*s", STR_ARG(config->store.images_prefix));
    for (int i = 0; i < OUTCOMES; i++) {
        struct str word = str_of(words[i]);

        store->outcomes[i] = metrics_series(sheet, M_IMAGE_STORE, 1, &word);
    }
    picture_store_use(store, config);
    store->arena = arena_new(4096, (size_t)256 * 1024);
    store->redis = store->arena != NULL ? redis_new(loop, &options) : NULL;
    if (store->redis == NULL)
        goto failed;
    return store;
failed:
    if (store != NULL)
        arena_free(&store->arena);
    free(store);
    return NULL;
}

void picture_store_free(struct picture_store **store)
{
    struct picture_store *old = *store;

    *store = NULL;
    if (old == NULL)
        return;
    for (struct picture_read *read = old->reads, *next; read != NULL; read = next) {
        next = read->next;
        read_free(read);
    }
    redis_free(&old->redis);
    deadline_clear(old->loop, &old->watch);
    cache_entry_release(&old->witness);
    arena_free(&old->arena);
    free(old);
}
