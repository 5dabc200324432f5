/* record.c - the decision record: what became of a request and why, kept for a while.
 *
 * Written once, at the request's end, into a slot of the worker's own ring, with the texts
 * packed behind each other: no allocation, and some hundred bytes copied. Requests that
 * failed, were refused or slow go into a second ring too, where the flood of good ones does
 * not push them out. Query values are left out: people put keys there.
 * Worker's thread; request_records_find() any. */
#include "request/request_priv.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { RECENT_SLOTS = 1024, NOTABLE_SLOTS = 256, MOST_RINGS = 512 };

struct request_records {
    _Atomic uint32_t count;
    struct ring *rings[MOST_RINGS]; /* the first `count` are there; more workers keep none */
};

struct request_records *request_records_new(void)
{
    return calloc(1, sizeof(struct request_records));
}

void request_records_free(struct request_records **records)
{
    struct request_records *old = *records;

    *records = NULL;
    if (old == NULL)
        return;
    for (uint32_t i = 0; i < atomic_load(&old->count); i++)
        ring_free(&old->rings[i]);
    free(old);
}

/* Contexts are made one after another, by the main thread. */
static struct ring *add_ring(struct request_records *records, uint32_t slots)
{
    uint32_t count = atomic_load(&records->count);

    records->rings[count] = ring_new(slots, sizeof(struct request_record));
    if (records->rings[count] == NULL)
        return NULL;
    atomic_store(&records->count, count + 1);
    return records->rings[count];
}

bool records_join(struct request_records *records, struct request_context *context)
{
    if (atomic_load(&records->count) + 2 > MOST_RINGS)
        return true;
    context->recent = add_ring(records, RECENT_SLOTS);
    context->notable = add_ring(records, NOTABLE_SLOTS);
    return context->recent != NULL && context->notable != NULL;
}

/* ---- writing ---- */

static struct record_text put(struct request_record *record, struct str text)
{
    size_t room = RECORD_TEXT - record->text_len;
    struct record_text there = {(uint16_t)record->text_len,
                                (uint16_t)(text.len < room ? text.len : room)};

    if (there.len > 0)
        memcpy(record->text + there.at, text.ptr, there.len);
    record->text_len += there.len;
    return there;
}

/* "a,b" of "a=1&b=2&secret": a part without '=' may be anything. */
static struct record_text put_names(struct request_record *record, struct str query)
{
    struct record_text all = {(uint16_t)record->text_len, 0};

    while (query.len > 0) {
        struct str part = str_at(query.ptr, str_find(query, '&'));
        size_t equals = str_find(part, '=');

        query = str_from(query, part.len < query.len ? part.len + 1 : part.len);
        if (equals == part.len)
            continue;
        if (all.len > 0)
            all.len = (uint16_t)(all.len + put(record, STR(",")).len);
        all.len = (uint16_t)(all.len + put(record, str_at(part.ptr, equals)).len);
    }
    return all;
}

static void put_windows(struct request_record *record, const struct request *r)
{
    record->window_count = 0;
    if (!r->is_limited)
        return;
    for (uint32_t i = 0; i < r->limits.count && i < RECORD_WINDOWS; i++) {
        const struct limit_window *window = &r->limits.windows[i];

        record->windows[record->window_count++] = (struct record_window){
            .name = put(record, limit_period_name(window->window)),
            .limit = window->limit,
            .before = window->remaining + r->charged,
            .after = window->remaining,
            .reset_us = window->reset_us,
            .refuses = window->refuses,
        };
    }
}

static const char *outcome_of(const struct request_try *one)
{
    if (one->ended_us == 0)
        return "given_up";
    return one->kind == UPSTREAM_OK ? "ok" : upstream_kind_name(one->kind);
}

static void put_tries(struct request_record *record, const struct request *r)
{
    uint64_t began_us = r->arrival.started_us, now_us = loop_now_us(r->context->loop);

    record->try_count = 0;
    for (uint32_t i = 0; i < r->try_count && i < RECORD_TRIES; i++) {
        const struct request_try *one = &r->tries[i];
        uint64_t until_us = one->ended_us > 0 ? one->ended_us : now_us;

        record->tries[record->try_count++] = (struct record_try){
            .target = put(record, one->target->url),
            .outcome = outcome_of(one),
            .status = one->status,
            .started_us = one->started_us > began_us ? one->started_us - began_us : 0,
            .took_us = until_us > one->started_us ? until_us - one->started_us : 0,
        };
    }
    record->wait_count = r->wait_count;
    for (uint32_t i = 0; i < r->wait_count; i++)
        record->waits[i] = r->waits[i];
}

static void put_request(struct request_record *record, struct request *r)
{
    record->text_len = 0;
    record->match_host = put(record, r->route != NULL ? r->route->match.host : STR_NONE);
    record->match_path = put(record, r->route != NULL ? r->route->match.path : STR_NONE);
    record->id = put(record, r->id);
    record->client = put(record, observe_client(r));
    record->tier = put(record, r->is_known ? r->who.caller.tier->name : STR_NONE);
    record->method = put(record, r->head.method);
    record->route = put(record, r->cells->name);
    record->user = put(record, r->cache.is_keyed ? r->cache.key.user : STR_NONE);
    record->upstream = put(record, r->fetch.is_on ? r->upstream->name : STR_NONE);
    record->target = put(record, r->fetch.is_on ? r->fetch.target_name : STR_NONE);
    put_tries(record, r);
    put_windows(record, r);
    record->host = put(record, r->facts.host);
    record->query_names = put_names(record, r->target.query);
    record->path = put(record, r->path); /* last: the longest */
}

void record_fill(struct request_record *record, struct request *r, const struct request_end *end)
{
    bool fetched = r->fetch.is_on && r->fetch.started_us >= r->arrival.started_us;

    record->wall_us = loop_wall_us(r->context->loop);
    record->total_us = end->duration_us;
    record->upstream_started_us = fetched ? r->fetch.started_us - r->arrival.started_us : 0;
    record->upstream_first_byte_us = fetched && r->fetch.first_byte_us > 0
                                         ? record->upstream_started_us + r->fetch.first_byte_us
                                         : 0;
    record->bytes_in = end->bytes_in;
    record->bytes_out = end->bytes_out;
    record->status = end->status;
    record->fwd_status = r->cache.fwd_status;
    record->attempts = r->fetch.is_on ? r->fetch.attempts : 0;
    record->was_limited = r->is_limited;
    record->was_stored = r->cache.stored;
    record->was_collapsed = r->cache.collapsed;
    record->has_cache = r->cache.status != CACHE_OFF;
    record->cache = cache_status_name(r->cache.status);
    record->fwd = r->cache.fwd;
    record->detail = r->cache.detail;
    record->reason = r->reason;
    record->walk = r->walk != NULL ? r->walk->name : NULL;
    put_request(record, r);
}

/* The second ring gets a copy: nobody but this thread writes into the first. */
void record_write(struct request *r, const struct request_end *end)
{
    struct request_record *record;

    if (r->context->recent == NULL)
        return;
    record = ring_open(r->context->recent);
    record_fill(record, r, end);
    ring_close(r->context->recent);
    if (end->status < 400 && end->duration_us < (uint64_t)r->config->log.slow_ms * 1000)
        return;
    memcpy(ring_open(r->context->notable), record,
           offsetof(struct request_record, text) + record->text_len);
    ring_close(r->context->notable);
}

/* ---- reading ---- */

struct str request_record_str(const struct request_record *record, struct record_text text)
{
    return str_at(record->text + text.at, text.len);
}

static bool has_id(const void *slot, const void *arg)
{
    const struct request_record *record = slot;

    return str_eq(request_record_str(record, record->id), *(const struct str *)arg);
}

bool request_records_find(struct request_records *records, struct str id,
                          struct request_record *record)
{
    for (uint32_t i = 0; i < atomic_load(&records->count); i++)
        if (ring_find(records->rings[i], has_id, &id, record))
            return true;
    return false;
}
