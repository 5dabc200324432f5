/* tiers.c - tiers that are kept elsewhere: a hash in the store that a billing system writes.
 *
 * A field is a client as the admin API names it ("user:42", "key:acme"), its value a tier. What was
 * read is remembered for identity.tiers_from.ttl, that there is no field too, and read anew in the
 * background once half of that is over: so a change is in force within the ttl, and nearly nobody
 * waits. Who does, a client that this worker has not met for as long, waits for limits.deadline at
 * most: to decide by the wrong tier could refuse somebody who has paid. Without an answer the last
 * tier known stays, else the client's own; nobody is refused for it. A tier that is none of the
 * configuration's is counted and passed over. Bounded: the place of who was read longest ago goes.
 * One worker's thread. */
#include "limit/link_priv.h"

#include <stdlib.h>

enum { SETS = 1024, WAYS = 4 };
#define WARN_EVERY_US UINT64_C(60000000)

enum tier_result { TIER_FOUND, TIER_NONE, TIER_UNKNOWN, TIER_FAILED, TIER_RESULTS };

struct tier_place {
    struct hash128 client;
    uint64_t learned_us;  /* 0: nothing is known */
    uint32_t name;        /* of limit_tiers.names, from 1; 0: none */
    uint32_t asked_under; /* generation */
    struct redis_call *call;
    struct limit_tier_ask *waiting;
    struct limit_tiers *tiers;
};
struct limit_tiers {
    struct limit_store *store;
    struct str key;   /* owned; empty: nobody is looked up */
    struct str names; /* owned: each tier's name and a line feed */
    uint64_t ttl_us, warn_at_us;
    uint32_t generation; /* of key and names: what was asked under another is not believed */
    struct cell *cells[TIER_RESULTS];
    struct tier_place places[SETS][WAYS];
};

/* ---- names ---- */

static struct str name_at(const struct limit_tiers *tiers, uint32_t index)
{
    struct str rest = tiers->names, name = STR_NONE;

    for (uint32_t i = 0; i < index; i++)
        (void)str_split(&rest, '\n', &name);
    return name;
}

/* 0: none of ours. */
static uint32_t name_find(const struct limit_tiers *tiers, struct str wanted)
{
    struct str rest = tiers->names, name;

    for (uint32_t i = 1; wanted.len > 0 && str_split(&rest, '\n', &name); i++)
        if (str_eq(name, wanted))
            return i;
    return 0;
}

/* ---- what the server says ---- */

static void warn(struct limit_tiers *tiers, const char *what)
{
    uint64_t now_us = loop_now_us(tiers->store->loop);

    if (now_us < tiers->warn_at_us)
        return;
    tiers->warn_at_us = now_us + WARN_EVERY_US;
    log_line(LOG_WARN, "identity.tiers_from: %.*s: %s", STR_ARG(tiers->key), what);
}

static void learn(struct limit_tiers *tiers, struct tier_place *place, enum redis_outcome outcome,
                  const struct redis_reply *reply)
{
    enum tier_result result = TIER_NONE;

    if (outcome == REDIS_LATE || outcome == REDIS_LOST || outcome == REDIS_NOT_READY) {
        cell_add(tiers->cells[TIER_FAILED], 1);
        return;
    }
    place->learned_us = loop_now_us(tiers->store->loop);
    if (outcome != REDIS_OK) { /* what was known stays */
        cell_add(tiers->cells[TIER_FAILED], 1);
        warn(tiers, redis_outcome_word(outcome));
        return;
    }
    place->name = reply->form == REDIS_STRING ? name_find(tiers, reply->text) : 0;
    if (place->name > 0)
        result = TIER_FOUND;
    else if (reply->form != REDIS_NIL)
        result = TIER_UNKNOWN;
    if (result == TIER_UNKNOWN)
        warn(tiers, "a client has a tier there that the configuration does not have");
    cell_add(tiers->cells[result], 1);
}

static void wake(struct tier_place *place)
{
    struct limit_tier_ask *first = place->waiting;

    place->waiting = NULL;
    if (first != NULL)
        first->back = &first; /* who comes from here on waits for the next answer */
    for (struct limit_tier_ask *ask = first; ask != NULL; ask = first) {
        limit_store_tier_cancel(ask);
        ask->tier = name_at(place->tiers, place->name);
        ask->done(ask->arg);
    }
}

static void on_tier(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct tier_place *place = arg;

    place->call = NULL;
    if (place->asked_under == place->tiers->generation)
        learn(place->tiers, place, outcome, reply);
    wake(place);
}

static struct tier_place *find(struct limit_tiers *tiers, struct hash128 client)
{
    struct tier_place *set = tiers->places[client.lo % SETS];

    for (int i = 0; i < WAYS; i++)
        if (set[i].client.lo == client.lo && set[i].client.hi == client.hi)
            return &set[i];
    return NULL;
}

/* Too late for who waited, but not for who comes next. */
static void on_late(void *arg, const uint8_t note[REDIS_NOTE_BYTES], enum redis_outcome outcome,
                    const struct redis_reply *reply)
{
    struct limit_tiers *tiers = arg;
    struct tier_place *place;
    struct hash128 client;
    uint32_t generation;

    memcpy(&client, note, sizeof(client));
    memcpy(&generation, note + sizeof(client), sizeof(generation));
    place = find(tiers, client);
    if (place != NULL && generation == tiers->generation)
        learn(tiers, place, outcome, reply);
}

/* ---- asking ---- */

/* The client's place, or one that was made its. NULL: each that it could have is being read. */
static struct tier_place *place_of(struct limit_tiers *tiers, struct hash128 client)
{
    struct tier_place *set = tiers->places[client.lo % SETS], *oldest = NULL;
    struct tier_place *place = find(tiers, client);

    if (place != NULL)
        return place;
    for (int i = 0; i < WAYS; i++)
        if (set[i].call == NULL && (oldest == NULL || set[i].learned_us < oldest->learned_us))
            oldest = &set[i];
    if (oldest != NULL)
        *oldest = (struct tier_place){.client = client};
    return oldest;
}

static void send_ask(struct limit_tiers *tiers, struct tier_place *place, struct str name)
{
    struct limit_store *store = tiers->store;
    struct str words[] = {STR("HGET"), tiers->key, name};
    struct redis_command command = {.words = words,
                                    .count = COUNT_OF(words),
                                    .key = tiers->key,
                                    .deadline_us = loop_now_us(store->loop) +
                                                   (uint64_t)store->deadline_ms * 1000,
                                    .fn = on_tier,
                                    .arg = place,
                                    .late = on_late,
                                    .late_arg = tiers};

    memcpy(command.note, &place->client, sizeof(place->client));
    memcpy(command.note + sizeof(place->client), &tiers->generation, sizeof(tiers->generation));
    place->tiers = tiers;
    place->asked_under = tiers->generation;
    place->call = redis_send(store->redis, &command);
}

bool limit_store_tier(struct limit_store *store, struct hash128 client, struct str name,
                      struct limit_tier_ask *ask)
{
    struct limit_tiers *tiers = store->tiers;
    struct tier_place *place;
    uint64_t age_us;

    ask->tier = STR_NONE;
    ask->is_waiting = false;
    if (tiers == NULL || tiers->key.len == 0 || (place = place_of(tiers, client)) == NULL)
        return true;
    age_us = place->learned_us > 0 ? loop_now_us(store->loop) - place->learned_us : UINT64_MAX;
    if (age_us >= tiers->ttl_us / 2 && place->call == NULL && redis_is_up(store->redis))
        send_ask(tiers, place, name);
    ask->is_waiting = place->call != NULL && age_us >= tiers->ttl_us;
    if (!ask->is_waiting) {
        ask->tier = name_at(tiers, place->name);
        return true;
    }
    ask->next = place->waiting;
    ask->back = &place->waiting;
    if (ask->next != NULL)
        ask->next->back = &ask->next;
    place->waiting = ask;
    return false;
}

void limit_store_tier_cancel(struct limit_tier_ask *ask)
{
    if (!ask->is_waiting)
        return;
    ask->is_waiting = false;
    *ask->back = ask->next;
    if (ask->next != NULL)
        ask->next->back = ask->back;
}

/* ---- life ---- */

static struct str copy(struct str text)
{
    char *made = text.len > 0 ? malloc(text.len) : NULL;

    if (made == NULL)
        return STR_NONE;
    memcpy(made, text.ptr, text.len);
    return str_at(made, text.len);
}

static void put(struct str *text, struct str now)
{
    free((void *)(uintptr_t)text->ptr);
    *text = copy(now);
}

static struct limit_tiers *tiers_new(struct limit_store *store)
{
    static const struct str words[TIER_RESULTS] = {
        {"found", 5}, {"none", 4}, {"unknown_tier", 12}, {"failed", 6}};
    struct limit_tiers *tiers = calloc(1, sizeof(*tiers));

    if (tiers == NULL)
        return NULL;
    tiers->store = store;
    for (int i = 0; i < TIER_RESULTS; i++)
        tiers->cells[i] = metrics_series(store->sheet, M_TIER_LOOKUPS, 1, &words[i]);
    return tiers;
}

void tiers_use(struct limit_store *store, const struct config *config)
{
    const struct str key = config->identity.tiers_from.hash;
    struct buf names = buf_new(1024 * 1024);
    struct limit_tiers *tiers = store->tiers;

    if (tiers == NULL && key.len > 0)
        tiers = store->tiers = tiers_new(store);
    for (uint32_t i = 0; i < config->tier_count; i++) {
        buf_add_str(&names, config->tiers[i].name);
        buf_add_char(&names, '\n');
    }
    if (tiers == NULL) {
        if (key.len > 0)
            log_line(LOG_ERROR, "out of memory: nobody's tier is looked up");
    } else {
        tiers->ttl_us = (uint64_t)config->identity.tiers_from.ttl_ms * 1000;
        if (!str_eq(tiers->key, key) || !str_eq(tiers->names, buf_str(&names))) {
            put(&tiers->key, key);
            put(&tiers->names, buf_str(&names));
            tiers->generation++;
            for (uint32_t i = 0; i < SETS * WAYS; i++)
                tiers->places[i / WAYS][i % WAYS].learned_us =
                    tiers->places[i / WAYS][i % WAYS].name = 0;
        }
    }
    buf_free(&names);
}

void tiers_free(struct limit_tiers **tiers)
{
    struct limit_tiers *old = *tiers;

    *tiers = NULL;
    if (old == NULL)
        return;
    put(&old->key, STR_NONE);
    put(&old->names, STR_NONE);
    free(old);
}
