/* picture_store.c - answers for pictures where other programs find them, by the hash of the
 * picture.
 *
 * cache:image:hash:<64 hex digits> holds the plain JSON answer and lives as long as it is fresh;
 * cache:image:index says which hashes were written when, so that every gateway learns with its
 * next question what others have, and can find the nearest.
 * There is no room beside the answer for what it belongs to, so it serves one route alone
 * (config/check.c), and purges are told by a witness: an entry like those of that route, in no
 * index, that the bans, tags and URLs of purges are held against. Once it is covered, all that
 * was written before is too, here at once; and for others, and after a restart, the moment stands
 * in cache:image:purged. When a value was written is told by the time it has left to live; what
 * could be older than a purge is not used. One worker's thread. */
#include "cache/picture_priv.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

enum {
    WRITE_US = 1000000,
    WATCH_US = 500000, /* between two looks at the witness */
    DAY_MS = 86400000
};

static const char *const words[PICTURE_OUTCOMES] = {"hit",  "miss", "purged", "damaged",
                                                    "late", "away", "stored", "failed"};

void picture_count(struct picture_store *store, enum picture_outcome outcome)
{
    cell_add(store->outcomes[outcome], 1);
}

int64_t picture_wall_ms(const struct picture_store *store)
{
    return loop_wall_us(store->loop) / 1000;
}

struct str picture_number(char to[24], int64_t value)
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

void picture_side_name(const struct picture_store *store, const char *what,
                       char name[PICTURE_NAME_BYTES])
{
    snprintf(name, PICTURE_NAME_BYTES, "%scache:image:%s", store->prefix, what);
}

/* While the store is away, this gateway remembers. */
static void write_purged(struct picture_store *store)
{
    char name[PICTURE_NAME_BYTES], moment[24], life[24];
    struct str text[] = {STR("SET"), STR_NONE, picture_number(moment, store->purged_ms), STR("PX"),
                         picture_number(life, store->ttl_ms + 30 * (int64_t)DAY_MS)};
    struct redis_command command = {
        .words = text, .count = COUNT_OF(text), .deadline_us = loop_now_us(store->loop) + WRITE_US};

    picture_side_name(store, "purged", name);
    command.key = text[1] = str_of(name);
    (void)redis_send(store->redis, &command);
}

/* Has a purge covered what is there? False: without memory for a witness nothing can be told. */
bool picture_look_at_witness(struct picture_store *store)
{
    if (store->witness != NULL && !purge_covers(store->cache, store->witness) &&
        ban_check(store->cache, store->witness) == BAN_CLEAR &&
        !cache_entry_is_soft_purged(store->witness))
        return true;
    if (store->witness != NULL) {
        store->purged_ms = picture_wall_ms(store);
        write_purged(store);
    }
    return make_witness(store);
}

static void on_watch(void *arg)
{
    struct picture_store *store = arg;

    (void)picture_look_at_witness(store);
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

bool picture_know(struct picture_store *store, const struct picture_question *question)
{
    store->ttl_ms = question->ttl_ms;
    if (is_known(store, question))
        return picture_look_at_witness(store);
    cache_entry_release(&store->witness);
    arena_reset(store->arena);
    store->route = arena_copy(store->arena, question->route);
    return store->route.ptr != NULL && copy_key(store, question->key) &&
           copy_tags(store, question->tags) && make_witness(store) &&
           (deadline_is_set(&store->watch) ||
            deadline_set(store->loop, &store->watch, loop_now_us(store->loop) + WATCH_US));
}

void picture_name(const struct picture_store *store, const struct image_hash *hash,
                  char name[PICTURE_NAME_BYTES])
{
    char digits[IMAGE_HASH_DIGITS + 1];

    image_hash_write(hash, digits);
    snprintf(name, PICTURE_NAME_BYTES, "%scache:image:hash:%s", store->prefix, digits);
}

bool picture_is_json(struct str text)
{
    cJSON *json = text.len > 0 && text.len <= PICTURE_STORE_MOST
                      ? cJSON_ParseWithLength(text.ptr, text.len)
                      : NULL;
    bool is_object = cJSON_IsObject(json);

    cJSON_Delete(json);
    return is_object;
}

/* ---- writing ---- */

static void on_written(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    (void)reply;
    picture_count(arg, outcome == REDIS_OK ? PICTURE_STORED : PICTURE_FAILED);
}

static void send_blind(struct picture_store *store, const struct str *text, size_t count)
{
    struct redis_command command = {.words = text,
                                    .count = count,
                                    .key = text[1],
                                    .deadline_us = loop_now_us(store->loop) + WRITE_US};

    (void)redis_send(store->redis, &command);
}

/* The newest CACHE_MOST_PICTURES stay there. */
static void put_in_index(struct picture_store *store, const char *digits)
{
    char name[PICTURE_NAME_BYTES], moment[24], oldest[24];
    struct str add[] = {STR("ZADD"), STR_NONE, picture_number(moment, picture_wall_ms(store)),
                        str_of(digits)};
    struct str trim[] = {STR("ZREMRANGEBYRANK"), STR_NONE, STR("0"),
                         picture_number(oldest, -CACHE_MOST_PICTURES - 1)};

    picture_side_name(store, "index", name);
    add[1] = trim[1] = str_of(name);
    send_blind(store, add, COUNT_OF(add));
    send_blind(store, trim, COUNT_OF(trim));
}

void picture_store_put(struct picture_store *store, const struct picture_question *question,
                       struct str value, int64_t ttl_ms)
{
    char name[PICTURE_NAME_BYTES], life[24];
    struct str text[] = {STR("SET"), STR_NONE, value, STR("PX"), picture_number(life, ttl_ms)};
    struct redis_command command = {.words = text,
                                    .count = COUNT_OF(text),
                                    .deadline_us = loop_now_us(store->loop) + WRITE_US,
                                    .fn = on_written,
                                    .arg = store};

    if (ttl_ms <= 0 || !picture_is_json(value))
        return;
    picture_name(store, question->hash, name);
    command.key = text[1] = str_of(name);
    if (!picture_know(store, question) || redis_send(store->redis, &command) == NULL)
        picture_count(store, PICTURE_FAILED);
    else
        put_in_index(store, name + strlen(name) - IMAGE_HASH_DIGITS);
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
    for (int i = 0; i < PICTURE_OUTCOMES; i++) {
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
    picture_reads_end(old);
    redis_free(&old->redis);
    deadline_clear(old->loop, &old->watch);
    cache_entry_release(&old->witness);
    arena_free(&old->arena);
    free(old);
}
