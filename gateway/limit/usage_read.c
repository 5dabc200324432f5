/* usage_read.c - usage of all gateways, read from the store for one who asks.
 *
 * The hours that fit, then each hour's hash page by page, so that no reply is large and the server
 * does other work between. What this gateway has not sent is held back meanwhile and added at the
 * end: its own rows are exact at that moment. When the store fails on the way, the answer is
 * this gateway's own rows, and says so. The main thread. */
#include "limit/share_priv.h"

#include <stdlib.h>

enum { HOURS_MOST = 2000, CURSOR_MOST = 24 };

struct usage_reader {
    struct limit_share *share;
    struct usage_reader *next;
    struct limit_usage_filter filter;
    limit_usage_fn *fn;
    limit_usage_done_fn *done;
    void *arg;
    struct usage_list list;
    uint32_t *hours; /* owned */
    uint32_t hour_count, at;
    char cursor[CURSOR_MOST];
    bool has_begun;
};

static void reader_free(struct usage_reader *reader)
{
    usage_list_free(&reader->list);
    free(reader->hours);
    free(reader);
}

static void end(struct usage_reader *reader, bool ok, bool is_whole)
{
    struct limit_share *share = reader->share;
    struct usage_reader **at = &share->readers;

    while (*at != reader)
        at = &(*at)->next;
    *at = reader->next;
    share->reader_count--;
    if (ok)
        usage_list_each(&reader->list, reader->fn, reader->arg);
    reader->done(reader->arg, ok, is_whole);
    reader_free(reader);
    if (share->readers == NULL)
        flush_go(share);
}

/* Whole: of the store and what is new here; else this gateway's own. */
static void conclude(struct usage_reader *reader, bool is_whole)
{
    if (!is_whole)
        usage_list_free(&reader->list);
    end(reader, usage_list_gather(&reader->list, reader->share->limiter, &reader->filter, is_whole),
        is_whole);
}

static bool ask(struct usage_reader *reader, const struct str *words, size_t count,
                redis_reply_fn *fn)
{
    struct limit_share *share = reader->share;
    struct redis_command command = {.words = words,
                                    .count = count,
                                    .key = str_of(share->hours_key), /* all have one tag */
                                    .deadline_us = loop_now_us(share->loop) + 2 * SHARE_WAIT_US,
                                    .fn = fn,
                                    .arg = reader};

    return redis_send(share->redis, &command) != NULL;
}

/* ---- an hour's rows ---- */

/* A reply is input: what is no row of ours is passed over. False: no memory, or too many. */
static bool take_row(struct usage_reader *reader, struct str field, struct str value)
{
    struct usage_item item = {.hour = reader->hours[reader->at]};
    double n[USAGE_PACKED_BYTES / sizeof(double)];
    struct str route, client;
    char names[2 * 256];

    if (!share_name_read(field, &item.client) || value.len <= USAGE_PACKED_BYTES)
        return true;
    memcpy(n, value.ptr, sizeof(n));
    for (size_t i = 0; i < COUNT_OF(n); i++)
        if (!(n[i] >= 0 && n[i] <= 9007199254740992.0))
            return true;
    route = str_from(field, SHARE_NAME_DIGITS);
    client = str_from(value, USAGE_PACKED_BYTES);
    if (route.len + client.len + 2 > sizeof(names) ||
        memchr(client.ptr, '\0', client.len) != NULL || memchr(field.ptr, '\0', field.len) != NULL)
        return true;
    memcpy(names, client.ptr, client.len);
    names[client.len] = '\0';
    memcpy(names + client.len + 1, route.ptr, route.len);
    names[client.len + 1 + route.len] = '\0';
    item.client_len = (uint32_t)client.len;
    item.names = names;
    item.usage = (struct limit_usage){(uint64_t)n[0], (uint64_t)n[1], (uint64_t)n[2],
                                      (uint64_t)n[3], (uint64_t)n[4]};
    return usage_list_add(&reader->list, &item);
}

static void next_page(struct usage_reader *reader);

/* [cursor, [field, value, …]] */
static void on_page(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct usage_reader *reader = arg;
    const struct redis_reply *cursor = redis_item(reply, 0), *rows = redis_item(reply, 1);

    if (outcome != REDIS_OK || cursor == NULL || rows == NULL || cursor->text.len >= CURSOR_MOST) {
        conclude(reader, false);
        return;
    }
    for (size_t i = 0; i + 1 < rows->count; i += 2)
        if (!take_row(reader, rows->items[i]->text, rows->items[i + 1]->text)) {
            end(reader, false, true);
            return;
        }
    memcpy(reader->cursor, cursor->text.ptr, cursor->text.len);
    reader->cursor[cursor->text.len] = '\0';
    if (str_eq(cursor->text, STR("0")))
        reader->at++;
    next_page(reader);
}

static void next_page(struct usage_reader *reader)
{
    char key[SHARE_KEY_MOST + U64_DIGITS], pattern[SHARE_NAME_DIGITS + 2];
    size_t len = strlen(reader->share->hour_key);
    struct str words[] = {STR("HSCAN"), STR_NONE, str_of(reader->cursor), STR("COUNT"), STR("1000"),
                          STR("MATCH"), STR_NONE};

    if (reader->at == reader->hour_count) {
        conclude(reader, true);
        return;
    }
    memcpy(key, reader->share->hour_key, len);
    words[1] = str_at(key, len + u64_write(key + len, reader->hours[reader->at]));
    share_name_write(reader->filter.client, pattern);
    pattern[SHARE_NAME_DIGITS] = '*';
    words[6] = str_at(pattern, SHARE_NAME_DIGITS + 1);
    if (!ask(reader, words, reader->filter.has_client ? 7 : 5, on_page))
        conclude(reader, false);
}

/* ---- which hours ---- */

static void on_hours(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct usage_reader *reader = arg;

    if (outcome != REDIS_OK || reply->form != REDIS_ARRAY) {
        conclude(reader, false);
        return;
    }
    for (size_t i = 0; i < reply->count; i++) {
        uint64_t hour;
        int64_t hour_s;

        if (!str_to_u64(reply->items[i]->text, &hour) || hour > UINT32_MAX ||
            reader->hour_count == HOURS_MOST)
            continue;
        hour_s = (int64_t)hour * USAGE_HOUR_S;
        if (hour_s >= reader->filter.from_s && hour_s < reader->filter.to_s)
            reader->hours[reader->hour_count++] = (uint32_t)hour;
    }
    next_page(reader);
}

static bool begin(struct usage_reader *reader)
{
    struct str words[] = {STR("ZRANGE"), str_of(reader->share->hours_key), STR("0"), STR("-1")};

    reader->has_begun = true;
    return ask(reader, words, COUNT_OF(words), on_hours);
}

void readers_go(struct limit_share *share, bool is_counted)
{
    struct usage_reader *next;

    for (struct usage_reader *reader = share->readers; reader != NULL; reader = next) {
        next = reader->next;
        if (reader->has_begun)
            continue;
        if (!is_counted || !begin(reader))
            conclude(reader, false);
    }
}

bool limit_share_usage(struct limit_share *share, const struct limit_usage_filter *filter,
                       limit_usage_fn *fn, limit_usage_done_fn *done, void *arg)
{
    struct usage_reader *reader;

    if (!redis_is_up(share->redis) || share->reader_count == SHARE_READERS ||
        (share->rows > 0 && !share->is_adding)) /* a call that failed: is it counted? */
        return false;
    reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return false;
    reader->hours = calloc(HOURS_MOST, sizeof(*reader->hours));
    if (reader->hours == NULL) {
        free(reader);
        return false;
    }
    reader->share = share;
    reader->filter = *filter;
    reader->fn = fn;
    reader->done = done;
    reader->arg = arg;
    memcpy(reader->cursor, "0", 2);
    reader->next = share->readers;
    share->readers = reader;
    share->reader_count++;
    if (share->is_adding || begin(reader))
        return true;
    share->readers = reader->next;
    share->reader_count--;
    reader_free(reader);
    return false;
}

void readers_end(struct limit_share *share)
{
    while (share->readers != NULL) {
        struct usage_reader *gone = share->readers;

        share->readers = gone->next;
        reader_free(gone);
    }
}
