/* redis.c - the client: takes commands, finds their connection, gives answers.
 *
 * Nothing waits here for a connection to come: a command that cannot be written now is not
 * taken, and the caller's own way without a store begins at once. The bytes of a command are
 * kept while it may have to be sent again (scripts, and everything in a Cluster).
 *
 * One thread: the loop's. */
#include "redis/redis_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum { DEFAULT_CALLS = 4096, DEFAULT_MS = 1000 };
#define DEFAULT_OUT   ((size_t)4 << 20)
#define DEFAULT_REPLY ((size_t)8 << 20)

void redis_script_init(struct redis_script *script, struct str source)
{
    script->source = source;
    hash_sha1_hex(source, script->sha1);
}

/* ---- up or away ---- */

static const struct redis_link *best_link(const struct redis *redis)
{
    const struct redis_link *best = &redis->links[0];

    for (uint32_t i = 0; i < redis->link_count; i++)
        if (redis->links[i].is_open && link_takes(&redis->links[i]))
            return &redis->links[i];
    return best;
}

static bool is_usable(const struct redis *redis)
{
    return (redis->cluster == NULL || redis->cluster->has_map) && link_takes(best_link(redis));
}

static void say_why(struct redis *redis)
{
    const struct redis_link *link = best_link(redis);
    const char *why = link->why;

    if (link->is_tripped)
        why = "it does not answer in time";
    else if (why[0] == '\0' && redis->sentinel != NULL && redis->sentinel->link.why[0] != '\0')
        why = redis->sentinel->link.why;
    redis->is_away = why[0] != '\0' && !str_starts(str_of(why), STR("refused: LOADING"));
    if (why[0] == '\0')
        why = redis->cluster != NULL ? "no map of the Cluster yet" : "not connected yet";
    snprintf(redis->why, sizeof(redis->why), "%s", why);
}

static void look(struct redis *redis)
{
    bool is_up = is_usable(redis);

    if (is_up)
        redis->why[0] = '\0';
    else
        say_why(redis);
    if (is_up == redis->is_up || redis->is_ended)
        return;
    redis->is_up = is_up;
    if (redis->options.changed != NULL)
        redis->options.changed(redis->options.arg, is_up, str_of(redis->why));
}

void redis_link_changed(struct redis_link *link)
{
    struct redis *redis = link->redis;

    if (redis->is_ended)
        return;
    if (redis->sentinel != NULL)
        sentinel_link_changed(redis);
    if (redis->cluster != NULL)
        cluster_link_changed(redis, link);
    look(redis);
    if (redis->cluster != NULL && redis->is_up && link_takes(link) && !redis->is_ended &&
        redis->options.node_back != NULL)
        redis->options.node_back(redis->options.arg);
}

bool redis_is_up(const struct redis *redis)
{
    return redis->is_up;
}

bool redis_is_away(const struct redis *redis)
{
    return !redis->is_up && redis->is_away;
}

const char *redis_why(const struct redis *redis)
{
    return redis->why;
}

uint32_t redis_queue(const struct redis *redis)
{
    return redis->calls;
}

/* ---- sending ---- */

static struct redis_link *link_for(struct redis *redis, struct str key)
{
    struct redis_link *link = &redis->links[0];

    if (redis->cluster != NULL)
        link = cluster_link_for(redis, key);
    return link != NULL && link_takes(link) ? link : NULL;
}

static bool write_command(struct redis_link *link, struct redis_call *call,
                          const struct redis_command *command)
{
    if (!encode_words(&call->copy, "EVALSHA", command) ||
        !link_write(link, call, buf_str(&call->copy)))
        return false;
    if (call->script == NULL && link->redis->cluster == NULL)
        buf_clear(&call->copy);
    return true;
}

static struct redis_call *refuse(struct redis *redis)
{
    if (redis->away_cell != NULL) {
        cell_add(redis->away_cell, 1);
        cell_add(redis->away_kind_cell, 1);
    }
    return NULL;
}

struct redis_call *redis_send(struct redis *redis, const struct redis_command *command)
{
    struct redis_link *link = link_for(redis, command->key);
    struct redis_call *call;

    CHECK(command->count > 0 && command->count <= REDIS_MAX_ARGS);
    if (link == NULL || redis->calls >= redis->options.max_calls ||
        (call = call_new(redis)) == NULL)
        return refuse(redis);
    call->fn = command->fn;
    call->arg = command->arg;
    call->late = command->late;
    call->late_arg = command->late_arg;
    memcpy(call->note, command->note, sizeof(call->note));
    call->script = command->script;
    call->is_waited_for = true;
    if (redis->queue_cell != NULL) {
        call->is_counted = true;
        redis->counted++;
        cell_gauge_add(redis->queue_cell, 1);
    }
    if (command->deadline_us != 0 &&
        !deadline_set(redis->loop, &call->deadline, command->deadline_us)) {
        call_recycle(call);
        return refuse(redis);
    }
    if (!write_command(link, call, command)) {
        call_recycle(call);
        return refuse(redis);
    }
    return call;
}

/* ---- begin and end ---- */

static void name_cells(struct redis *redis)
{
    struct sheet *sheet = redis->options.sheet;
    struct str away = STR("away");

    if (sheet == NULL)
        return;
    redis->queue_cell = metrics_cell(sheet, M_STORE_QUEUE);
    redis->duration_cell = metrics_cell(sheet, M_STORE_DURATION);
    redis->away_cell = metrics_series(sheet, M_STORE_COMMANDS, 1, &away);
    redis->away_kind_cell = metrics_series(sheet, M_STORE_ERRORS, 1, &away);
    for (int i = 0; i < REDIS_OUTCOMES; i++) {
        struct str word = str_of(redis_outcome_word((enum redis_outcome)i));

        redis->outcome_cells[i] = metrics_series(sheet, M_STORE_COMMANDS, 1, &word);
        if (i != REDIS_OK)
            redis->kind_cells[i] = metrics_series(sheet, M_STORE_ERRORS, 1, &word);
    }
}

static void fill_defaults(struct redis_options *options)
{
    if (options->max_calls == 0)
        options->max_calls = DEFAULT_CALLS;
    if (options->max_out_bytes == 0)
        options->max_out_bytes = DEFAULT_OUT;
    if (options->max_reply_bytes == 0)
        options->max_reply_bytes = DEFAULT_REPLY;
    if (options->connect_ms == 0)
        options->connect_ms = DEFAULT_MS;
    if (options->stall_ms == 0)
        options->stall_ms = DEFAULT_MS;
}

struct redis *redis_new(struct loop *loop, const struct redis_options *options)
{
    struct redis *redis = calloc(1, sizeof(*redis));
    uint32_t most = options->url.kind == REDIS_CLUSTER ? REDIS_MAX_LINKS : 1;
    struct fail why = {""};
    bool ok = true;

    if (redis == NULL)
        return NULL;
    redis->loop = loop;
    redis->options = *options;
    fill_defaults(&redis->options);
    redis->links = calloc(most, sizeof(*redis->links));
    if (redis->links == NULL) {
        free(redis);
        return NULL;
    }
    redis->link_count = most;
    name_cells(redis);
    if (options->url.is_tls) {
        redis->tls_files = tls_files_new(&options->url, &why);
        if (redis->tls_files == NULL) {
            log_line(LOG_ERROR, "store: %s", why.text);
            redis_free(&redis);
            return NULL;
        }
    }
    snprintf(redis->why, sizeof(redis->why), "not connected yet");
    switch (options->url.kind) {
    case REDIS_SERVER:
        link_open(redis, &redis->links[0], &options->url.places[0], LINK_DATA);
        break;
    case REDIS_SENTINEL:
        ok = sentinel_start(redis);
        break;
    case REDIS_CLUSTER:
        ok = cluster_start(redis);
    }
    if (!ok)
        redis_free(&redis);
    return redis;
}

static void release(void *arg)
{
    struct redis *redis = arg;

    for (uint32_t i = 0; i < redis->link_count; i++)
        link_release(&redis->links[i]);
    if (redis->sentinel != NULL)
        link_release(&redis->sentinel->link);
    while (redis->spare != NULL) {
        struct redis_call *call = redis->spare;

        redis->spare = call->next;
        buf_free(&call->copy);
        free(call);
    }
    tls_files_free(&redis->tls_files);
    free(redis->sentinel);
    free(redis->cluster);
    free(redis->links);
    free(redis);
}

/* Silent at once; memory goes at the end of the turn, when no caller's stack and no list of the
 * loop's holds any of it: flushes that were asked for earlier in this turn come before. */
void redis_free(struct redis **redis)
{
    struct redis *old = *redis;

    *redis = NULL;
    if (old == NULL)
        return;
    old->is_ended = true;
    if (old->queue_cell != NULL) /* the sheet may be gone when the memory goes */
        cell_gauge_add(old->queue_cell, -(int64_t)old->counted);
    old->queue_cell = NULL;
    sentinel_stop(old);
    cluster_stop(old);
    for (uint32_t i = 0; i < old->link_count; i++)
        link_silence(&old->links[i]);
    old->end = (struct turn_end){.fn = release, .arg = old};
    loop_at_turn_end(old->loop, &old->end);
}
