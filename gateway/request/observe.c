/* observe.c - what is left of a request: one log line and its counts, exactly once.
 *
 * Everything comes from the same record that the answer's fields came from, so they cannot
 * disagree. A line never holds a query, a credential or a raw client address.
 * Worker's thread. */
#include "request/request_priv.h"

#include <stdlib.h>

const char *cache_status_name(enum cache_status status)
{
    static const char *const names[CACHE_STATUSES] = {
        [CACHE_OFF] = "none",      [CACHE_HIT] = "hit",
        [CACHE_MISS] = "miss",     [CACHE_EXPIRED] = "expired",
        [CACHE_STALE] = "stale",   [CACHE_REVALIDATED] = "revalidated",
        [CACHE_BYPASS] = "bypass", [CACHE_UPDATING] = "updating",
    };

    return names[status];
}

void count_series(struct request_context *context, enum metric_id id, size_t count,
                  const struct str *values)
{
    cell_add(metrics_series(context->sheet, id, count, values), 1);
}

static const struct str label_names[METHOD_LABELS] = {
    [LABEL_GET] = {"GET", 3},         [LABEL_HEAD] = {"HEAD", 4},   [LABEL_POST] = {"POST", 4},
    [LABEL_PUT] = {"PUT", 3},         [LABEL_PATCH] = {"PATCH", 5}, [LABEL_DELETE] = {"DELETE", 6},
    [LABEL_OPTIONS] = {"OPTIONS", 7}, [LABEL_OTHER] = {"other", 5},
};

static enum method_label label_of(struct str method)
{
    for (int i = 0; i < LABEL_OTHER; i++)
        if (str_eq(method, label_names[i]))
            return (enum method_label)i;
    return LABEL_OTHER;
}

static void count_request(struct request *r, int status)
{
    enum method_label label = label_of(r->head.method);
    struct cell **cells = r->cells->requests[label];
    int slot = status >= 100 && status < 600 ? status - 100 : STATUS_CELLS - 1;

    if (cells == NULL)
        cells = r->cells->requests[label] = calloc(STATUS_CELLS, sizeof(*cells));
    if (cells == NULL)
        return;
    if (cells[slot] == NULL) {
        struct fail text;
        struct str values[] = {r->cells->name, label_names[label], STR_NONE};

        fail_set(&text, "%d", status);
        values[2] = str_of(text.text);
        cells[slot] = metrics_series(r->context->sheet, M_REQUESTS, COUNT_OF(values), values);
    }
    cell_add(cells[slot], 1);
}

static void count_cache(struct request *r)
{
    enum cache_status status = r->cache.status;

    if (status == CACHE_OFF)
        return;
    if (r->cells->cache[status] == NULL) {
        struct str values[] = {r->cells->name, str_of(cache_status_name(status))};

        r->cells->cache[status] =
            metrics_series(r->context->sheet, M_CACHE_REQUESTS, COUNT_OF(values), values);
    }
    cell_add(r->cells->cache[status], 1);
}

/* ---- the line ---- */

static void put_text(struct buf *line, const char *name, struct str value)
{
    if (value.len == 0)
        return;
    buf_add_str(line, STR(",\""));
    buf_add_str(line, str_of(name));
    buf_add_str(line, STR("\":"));
    buf_add_json(line, value.len > 2048 ? str_at(value.ptr, 2048) : value);
}

static void put_number(struct buf *line, const char *name, uint64_t value)
{
    buf_add_str(line, STR(",\""));
    buf_add_str(line, str_of(name));
    buf_add_str(line, STR("\":"));
    buf_add_u64(line, value);
}

/* "2026-11-21T04:15:00.123Z", civil from days after H. Hinnant's algorithm. */
static void put_time(struct buf *line, int64_t wall_us)
{
    int64_t seconds = wall_us / 1000000, days = seconds / 86400 + 719468, left = seconds % 86400;
    int64_t era = days / 146097, doe = days % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9, year = yoe + era * 400 + (month <= 2);
    int64_t parts[] = {year,        month,          doy - (153 * mp + 2) / 5 + 1,
                       left / 3600, left / 60 % 60, left % 60};
    static const char after[] = "--T::.";
    int64_t milli = wall_us / 1000 % 1000;

    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (parts[i] < 10)
            buf_add_char(line, '0');
        buf_add_u64(line, (uint64_t)parts[i]);
        buf_add_char(line, after[i]);
    }
    buf_add_char(line, (char)('0' + milli / 100));
    buf_add_char(line, (char)('0' + milli / 10 % 10));
    buf_add_char(line, (char)('0' + milli % 10));
    buf_add_char(line, 'Z');
}

struct str observe_client(struct request *r)
{
    if (r->is_known)
        return r->who.caller.name;
    if (r->client.ptr != NULL)
        return r->client;
    if (r->arrival.peer.len == 0)
        return STR("unix");
    return identify_hide_address(request_rules_identify(r->crules->rules), r->arrival.peer,
                                 r->arena);
}

static void write_line(struct request *r, const struct request_end *end)
{
    struct buf *line = &r->context->line;

    buf_clear(line);
    buf_add_str(line, STR("{\"time\":\""));
    put_time(line, loop_wall_us(r->context->loop));
    buf_add_char(line, '"');
    put_text(line, "request_id", r->id);
    put_text(line, "client", observe_client(r));
    put_text(line, "method", r->head.method);
    put_text(line, "path", r->path);
    put_text(line, "route", r->cells->name);
    put_number(line, "status", (uint64_t)end->status);
    put_number(line, "duration_ms", end->duration_us / 1000);
    buf_add_char(line, '.');
    buf_add_char(line, (char)('0' + end->duration_us / 100 % 10));
    buf_add_char(line, (char)('0' + end->duration_us / 10 % 10));
    buf_add_char(line, (char)('0' + end->duration_us % 10));
    put_number(line, "bytes_in", end->bytes_in);
    put_number(line, "bytes_out", end->bytes_out);
    if (r->cache.status != CACHE_OFF)
        put_text(line, "cache", str_of(cache_status_name(r->cache.status)));
    if (r->is_known)
        put_text(line, "tier", r->who.caller.tier->name);
    if (r->fetch.is_on) {
        put_text(line, "upstream", r->route->upstream->name);
        put_text(line, "target", r->fetch.target_name);
        put_number(line, "attempts", r->fetch.attempts);
    }
    if (r->reason != NULL)
        put_text(line, "reason", str_of(r->reason));
    buf_add_char(line, '}');
    log_access(buf_str(line));
}

void observe(struct request *r, enum request_outcome outcome, uint64_t bytes_in, uint64_t bytes_out)
{
    uint64_t duration_us = clock_mono_us() - r->arrival.started_us;
    int status = r->is_answered ? r->answer.status : 499;

    if (r->context->pool == NULL)
        return; /* the admin listener's have counters of their own */
    switch (outcome) {
    case REQUEST_DONE:
        break;
    case REQUEST_CLIENT_LEFT:
        status = 499;
        if (r->reason == NULL)
            r->reason = "client_abort";
        break;
    case REQUEST_CUT:
        if (r->reason == NULL)
            r->reason = r->fetch.is_done && r->fetch.kind != UPSTREAM_OK
                            ? upstream_kind_name(r->fetch.kind)
                            : "cut";
        break;
    }
    count_request(r, status);
    count_cache(r);
    cell_observe(r->cells->duration, (double)duration_us / 1e6);
    cell_add(r->cells->bytes, bytes_out);
    if (r->fetch.is_on && r->fetch.first_byte_us > 0) {
        if (r->cells->upstream_duration == NULL)
            r->cells->upstream_duration = metrics_series(r->context->sheet, M_UPSTREAM_DURATION, 1,
                                                         &r->route->upstream->name);
        cell_observe(r->cells->upstream_duration, (double)r->fetch.first_byte_us / 1e6);
    }
    struct request_end end = {status, duration_us, bytes_in, bytes_out};
    record_write(r, &end);
    if (log_access_is_on())
        write_line(r, &end);
}
