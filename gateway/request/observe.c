/* observe.c - what is left of a request: its counts, its line and its record, exactly once.
 *
 * Everything comes from what the answer's fields came from, so they cannot disagree.
 * Worker's thread. */
#include "request/request_priv.h"

#include <stdlib.h>

enum { SLOW_RECORD_BYTES = 3600 }; /* of a log line's 4096 */

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

struct str observe_method(struct str method)
{
    return label_names[label_of(method)];
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

/* With its decision record, as /system/explain would tell it: where the time went and why. One a
 * second and worker is enough to notice; all are counted. */
static void tell_slow(struct request *r, const struct request_end *end)
{
    uint64_t now_us = loop_now_us(r->context->loop);
    struct buf text = buf_new(SLOW_RECORD_BYTES);
    struct request_record record;

    count_series(r->context, M_SLOW_REQUESTS, 1, &r->cells->name);
    if (now_us < r->context->next_slow_line_us)
        return;
    r->context->next_slow_line_us = now_us + 1000000;
    record_fill(&record, r, end);
    request_record_write(&text, &record);
    log_line(LOG_WARN,
             "slow request: request_id=%.*s route=%.*s duration_ms=%" PRIu64 " record=%.*s",
             STR_ARG(r->id), STR_ARG(r->cells->name), end->duration_us / 1000,
             STR_ARG(text.is_broken ? STR("too long") : buf_str(&text)));
    buf_free(&text);
}

static void observe_duration(struct request *r, uint64_t duration_us, bool has_failed)
{
    double seconds = (double)duration_us / 1e6;
    struct trace_context trace;
    struct exemplar exemplar;

    if (!trace_is_told(r, has_failed, &trace)) {
        cell_observe(r->cells->duration, seconds);
        return;
    }
    exemplar = (struct exemplar){trace.high, trace.low, loop_wall_us(r->context->loop)};
    cell_observe_traced(r->context->sheet, r->cells->duration, seconds, &exemplar);
}

void observe(struct request *r, enum request_outcome outcome, uint64_t bytes_in, uint64_t bytes_out)
{
    uint64_t duration_us = clock_mono_us() - r->arrival.started_us;
    int status = r->is_answered ? r->answer.status : 499;
    struct request_end end;
    bool has_failed;

    if (r->context->pool == NULL || r->is_warm)
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
    end = (struct request_end){status, duration_us, bytes_in, bytes_out};
    has_failed = status >= 500 || outcome == REQUEST_CUT;
    count_request(r, status);
    count_cache(r);
    observe_duration(r, duration_us, has_failed);
    cell_add(r->cells->bytes, bytes_out);
    if (r->fetch.is_on && r->fetch.first_byte_us > 0) {
        if (r->cells->upstream_duration == NULL)
            r->cells->upstream_duration =
                metrics_series(r->context->sheet, M_UPSTREAM_DURATION, 1, &r->upstream->name);
        cell_observe(r->cells->upstream_duration, (double)r->fetch.first_byte_us / 1e6);
    }
    if (duration_us >= (uint64_t)r->config->log.slow_ms * 1000)
        tell_slow(r, &end);
    record_write(r, &end);
    if (r->trace != NULL)
        trace_finish(r, &end, has_failed);
    if (log_access_is_on())
        line_write(r, &end);
}
