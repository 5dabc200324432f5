/* picture_read.c - asking the store for an answer to a picture.
 *
 * First what others have written since the last question, by the index: that fills the same ring
 * in which memory's own pictures are found (near.c), under a scope of its own. Then, at once, the
 * answer of the picture itself and of the nearest that is known, how long each has to live, and
 * the moment of the last purge. All of it has store.timeout. One worker's thread; told() comes from
 * the loop. */
#include "cache/picture_priv.h"

#include <stdlib.h>

enum {
    MOST_READS = 1024,
    SLACK_MS = 1000, /* clocks of gateways, and of the store */
    MOST_NEWS = 2048 /* hashes that one question learns */
};

static void read_free(struct picture_read *read)
{
    *read->back = read->next;
    if (read->next != NULL)
        read->next->back = read->back;
    read->store->read_count--;
    redis_cancel(&read->index);
    for (int i = 0; i < ASKED; i++)
        redis_cancel(&read->parts[i].call);
    for (int i = 0; i < CHOICES; i++)
        buf_free(&read->at[i].value);
    free(read);
}

void picture_read_cancel(struct picture_read **read)
{
    struct picture_read *old = *read;

    *read = NULL;
    if (old != NULL)
        read_free(old);
}

/* Written after the last purge, as far as its time to live tells? age_ms < 0: it does not. */
static bool is_newer(const struct picture_read *read, int64_t age_ms)
{
    const struct picture_store *store = read->store;
    int64_t purged_ms = store->purged_ms > read->purged_ms ? store->purged_ms : read->purged_ms;

    return purged_ms == 0 ||
           (age_ms >= 0 && picture_wall_ms(store) - age_ms > purged_ms + SLACK_MS);
}

static enum picture_outcome judge(const struct picture_read *read, const struct choice *choice)
{
    int64_t age_ms = choice->left_ms >= 0 ? read->ttl_ms - choice->left_ms : -1;

    if (!choice->has_value)
        return PICTURE_MISS;
    if (!picture_is_json(buf_str(&choice->value)))
        return PICTURE_DAMAGED;
    if (!picture_look_at_witness(read->store) || !is_newer(read, age_ms))
        return PICTURE_PURGED;
    return PICTURE_HIT;
}

static void tell(struct picture_read *read, enum picture_outcome outcome,
                 const struct choice *choice)
{
    struct picture_answer answer = {.stamp = read->stamp};

    picture_count(read->store, outcome);
    if (outcome == PICTURE_HIT) {
        int64_t left_ms = choice->left_ms >= 0 ? choice->left_ms : read->ttl_ms;
        int64_t age_ms = left_ms < read->ttl_ms ? read->ttl_ms - left_ms : 0;

        answer.value = buf_str(&choice->value);
        answer.age_s = age_ms / 1000;
        answer.lifetime_s = (age_ms + left_ms) / 1000;
        answer.hash = choice->hash;
    }
    read->told(read->arg, &answer);
    read_free(read);
}

static struct hash128 index_scope(const struct picture_store *store)
{
    return hash_sip128(&store->cache->seed, STR("cache:image:index"));
}

static void finish(struct picture_read *read)
{
    struct hash128 scope = index_scope(read->store);
    enum picture_outcome own = judge(read, &read->at[OWN]), near;
    char digits[IMAGE_HASH_DIGITS + 1];

    if (read->is_late) {
        tell(read, PICTURE_LATE, NULL);
        return;
    }
    if (own == PICTURE_HIT || !read->at[NEAR].is_asked) {
        tell(read, own, &read->at[OWN]);
        return;
    }
    near = judge(read, &read->at[NEAR]);
    image_hash_write(&read->at[NEAR].hash, digits);
    if (near == PICTURE_MISS) /* it has ended there */
        cache_near_drop(read->store->cache, &scope, digits);
    tell(read, near == PICTURE_HIT ? near : own, &read->at[NEAR]);
}

static void take_part(struct picture_read *read, int which, const struct redis_reply *reply)
{
    struct choice *choice = &read->at[which % CHOICES];
    bool is_text = reply->form == REDIS_STRING;
    uint64_t moment;

    if (which == ASK_PURGED) {
        if (is_text && str_to_u64(reply->text, &moment) && moment < INT64_MAX / 2)
            read->purged_ms = (int64_t)moment;
    } else if (which >= ASK_TTL) {
        if (reply->form == REDIS_INTEGER)
            choice->left_ms = reply->integer;
    } else {
        choice->has_value = is_text && buf_add_str(&choice->value, reply->text);
    }
}

static void on_reply(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct part *part = arg;
    struct picture_read *read = part->read;

    part->call = NULL;
    if (outcome == REDIS_OK)
        take_part(read, (int)(part - read->parts), reply);
    else if (outcome != REDIS_WRONG_TYPE)
        read->is_late = true;
    if (--read->left == 0)
        finish(read);
}

static bool send_part(struct picture_read *read, int which, const char *word, const char *name)
{
    struct str text[] = {str_of(word), str_of(name)};
    struct redis_command command = {.words = text,
                                    .count = COUNT_OF(text),
                                    .key = text[1],
                                    .deadline_us = read->until_us,
                                    .fn = on_reply,
                                    .arg = &read->parts[which]};

    read->parts[which].read = read;
    read->parts[which].call = redis_send(read->store->redis, &command);
    read->left++;
    return read->parts[which].call != NULL;
}

static bool send_choice(struct picture_read *read, int which)
{
    char name[PICTURE_NAME_BYTES];

    picture_name(read->store, &read->at[which].hash, name);
    read->at[which].is_asked = true;
    return send_part(read, ASK_VALUE + which, "GET", name) &&
           send_part(read, ASK_TTL + which, "PTTL", name);
}

/* ---- the index ---- */

static void learn(struct picture_store *store, const struct redis_reply *reply)
{
    struct hash128 scope = index_scope(store);

    for (size_t i = 0; i + 1 < reply->count; i += 2) {
        const struct redis_reply *member = redis_item(reply, i), *score = redis_item(reply, i + 1);
        char digits[IMAGE_HASH_DIGITS + 1] = "";
        struct image_hash hash;
        uint64_t moment;

        if (member->form != REDIS_STRING || !image_hash_read(member->text, &hash))
            continue;
        memcpy(digits, member->text.ptr, IMAGE_HASH_DIGITS);
        cache_near_add(store->cache, &scope, &hash, digits);
        if (score->form == REDIS_STRING && str_to_u64(score->text, &moment) &&
            moment > store->learned_ms)
            store->learned_ms = moment;
    }
}

static void on_index(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct picture_read *read = arg;
    struct picture_store *store = read->store;
    struct hash128 scope = index_scope(store);
    struct cache_near near;
    char purged[PICTURE_NAME_BYTES];

    read->index = NULL;
    if (outcome == REDIS_OK && reply->form == REDIS_ARRAY)
        learn(store, reply);
    picture_side_name(store, "purged", purged);
    if (cache_near_find(store->cache, &scope, &read->at[OWN].hash, read->distance, &near, 1) > 0 &&
        near.distance > 0 &&
        image_hash_read(str_at(near.digest, IMAGE_HASH_DIGITS), &read->at[NEAR].hash) &&
        !send_choice(read, NEAR))
        tell(read, PICTURE_AWAY, NULL);
    else if (!send_choice(read, OWN) || !send_part(read, ASK_PURGED, "GET", purged))
        tell(read, PICTURE_AWAY, NULL);
}

static bool send_index(struct picture_read *read)
{
    struct picture_store *store = read->store;
    char name[PICTURE_NAME_BYTES], from[24], most[24];
    uint64_t since_ms = store->learned_ms > 2 * SLACK_MS ? store->learned_ms - 2 * SLACK_MS : 0;
    struct str text[] = {STR("ZRANGEBYSCORE"),
                         STR_NONE,
                         picture_number(from, (int64_t)since_ms),
                         STR("+inf"),
                         STR("WITHSCORES"),
                         STR("LIMIT"),
                         STR("0"),
                         picture_number(most, MOST_NEWS)};
    struct redis_command command = {.words = text,
                                    .count = COUNT_OF(text),
                                    .deadline_us = read->until_us,
                                    .fn = on_index,
                                    .arg = read};

    picture_side_name(store, "index", name);
    command.key = text[1] = str_of(name);
    read->index = redis_send(store->redis, &command);
    return read->index != NULL;
}

static struct picture_read *read_new(struct picture_store *store,
                                     const struct picture_question *question)
{
    struct picture_read *read = calloc(1, sizeof(*read));

    if (read == NULL)
        return NULL;
    *read = (struct picture_read){.store = store,
                                  .next = store->reads,
                                  .back = &store->reads,
                                  .ttl_ms = question->ttl_ms,
                                  .stamp = cache_stamp(store->cache),
                                  .until_us =
                                      loop_now_us(store->loop) + (uint64_t)store->timeout_ms * 1000,
                                  .distance = question->distance};
    for (int i = 0; i < CHOICES; i++)
        read->at[i] = (struct choice){
            .hash = *question->hash, .value = buf_new(PICTURE_STORE_MOST), .left_ms = -1};
    if (read->next != NULL)
        read->next->back = &read->next;
    store->reads = read;
    store->read_count++;
    return read;
}

struct picture_read *picture_store_ask(struct picture_store *store,
                                       const struct picture_question *question, picture_fn *told,
                                       void *arg)
{
    struct picture_read *read = NULL;

    if (redis_is_up(store->redis) && store->read_count < MOST_READS &&
        picture_know(store, question))
        read = read_new(store, question);
    if (read != NULL && send_index(read)) {
        read->told = told;
        read->arg = arg;
        return read;
    }
    if (read != NULL)
        read_free(read);
    picture_count(store, PICTURE_AWAY);
    return NULL;
}

void picture_reads_end(struct picture_store *store)
{
    for (struct picture_read *read = store->reads, *next; read != NULL; read = next) {
        next = read->next;
        read_free(read);
    }
}
