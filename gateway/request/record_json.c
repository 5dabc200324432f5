/* record_json.c - a decision record as JSON, for whoever asks why.
 *
 * One writer for both ways to ask, GET /system/explain and X-Gateway-Explain, so that they cannot
 * tell two stories. By hand, so that integers stay exact. Any thread. */
#include "request/request_priv.h"

static void put_text(struct buf *out, const char *name, const struct request_record *record,
                     struct record_text text)
{
    buf_addf(out, ",\"%s\":", name);
    if (text.len > 0)
        buf_add_json(out, request_record_str(record, text));
    else
        buf_add_str(out, STR("null"));
}

static void put_word(struct buf *out, const char *name, const char *word)
{
    if (word != NULL)
        buf_addf(out, ",\"%s\":\"%s\"", name, word);
    else
        buf_addf(out, ",\"%s\":null", name);
}

static void put_bool(struct buf *out, const char *name, bool value)
{
    buf_addf(out, ",\"%s\":%s", name, value ? "true" : "false");
}

static void put_ms(struct buf *out, const char *name, uint64_t us)
{
    buf_addf(out, "\"%s\":%llu.%03u", name, (unsigned long long)(us / 1000), (unsigned)(us % 1000));
}

static void put_limit(struct buf *out, const struct request_record *record)
{
    buf_add_str(out, STR(",\"limit\":"));
    if (!record->was_limited) {
        buf_add_str(out, STR("null"));
        return;
    }
    buf_add_str(out, STR("{\"windows\":["));
    for (uint32_t i = 0; i < record->window_count; i++) {
        const struct record_window *window = &record->windows[i];

        buf_add_str(out, i > 0 ? STR(",{\"name\":") : STR("{\"name\":"));
        buf_add_json(out, request_record_str(record, window->name));
        buf_addf(out, ",\"limit\":%llu,\"before\":%llu,\"after\":%llu,\"reset_s\":%llu",
                 (unsigned long long)window->limit, (unsigned long long)window->before,
                 (unsigned long long)window->after,
                 (unsigned long long)((window->reset_us + 999999) / 1000000));
        put_bool(out, "refuses", window->refuses);
        buf_add_char(out, '}');
    }
    buf_add_str(out, STR("]}"));
}

static void put_cache(struct buf *out, const struct request_record *record)
{
    buf_add_str(out, STR(",\"cache\":"));
    if (!record->has_cache) {
        buf_add_str(out, STR("null"));
        return;
    }
    buf_addf(out, "{\"status\":\"%s\"", record->cache);
    put_word(out, "forwarded_because", record->fwd);
    put_word(out, "detail", record->detail);
    put_bool(out, "stored", record->was_stored);
    put_bool(out, "collapsed", record->was_collapsed);
    buf_add_str(out, STR(",\"key\":{\"host\":"));
    buf_add_json(out, request_record_str(record, record->host));
    put_text(out, "path", record, record->path);
    put_text(out, "query_names", record, record->query_names);
    put_text(out, "user", record, record->user);
    buf_add_str(out, STR("}}"));
}

static void put_tries(struct buf *out, const struct request_record *record)
{
    buf_add_str(out, STR(",\"tries\":["));
    for (uint32_t i = 0; i < record->try_count; i++) {
        const struct record_try *one = &record->tries[i];

        buf_add_str(out, i > 0 ? STR(",{\"target\":") : STR("{\"target\":"));
        buf_add_json(out, request_record_str(record, one->target));
        buf_addf(out, ",\"outcome\":\"%s\",\"status\":%d,", one->outcome, one->status);
        put_ms(out, "started_ms", one->started_us);
        buf_add_char(out, ',');
        put_ms(out, "took_ms", one->took_us);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

static void put_match(struct buf *out, const struct request_record *record)
{
    buf_add_str(out, STR(",\"match\":"));
    if (record->match_path.len == 0) {
        buf_add_str(out, STR("null"));
        return;
    }
    buf_add_str(out, STR("{\"host\":"));
    buf_add_json(out, request_record_str(record, record->match_host));
    put_text(out, "path", record, record->match_path);
    buf_add_char(out, '}');
}

static void put_upstream(struct buf *out, const struct request_record *record)
{
    buf_add_str(out, STR(",\"upstream\":"));
    if (record->upstream.len == 0) {
        buf_add_str(out, STR("null"));
        return;
    }
    buf_add_str(out, STR("{\"name\":"));
    buf_add_json(out, request_record_str(record, record->upstream));
    put_text(out, "target", record, record->target);
    buf_addf(out, ",\"attempts\":%u", record->attempts);
    put_tries(out, record);
    buf_add_char(out, '}');
}

static void put_times(struct buf *out, const struct request_record *record)
{
    buf_add_str(out, STR(",\"times_ms\":{"));
    put_ms(out, "total", record->total_us);
    if (record->upstream.len > 0) {
        buf_add_char(out, ',');
        put_ms(out, "upstream_started", record->upstream_started_us);
        if (record->upstream_first_byte_us > 0) {
            buf_add_char(out, ',');
            put_ms(out, "upstream_first_byte", record->upstream_first_byte_us);
        }
    }
    buf_add_str(out, STR(",\"waited\":{"));
    for (uint32_t i = 0; i < record->wait_count; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        put_ms(out, record->waits[i].step, record->waits[i].us);
    }
    buf_add_str(out, STR("}}"));
}

void request_record_write(struct buf *out, const struct request_record *record)
{
    buf_add_str(out, STR("{\"request_id\":"));
    buf_add_json(out, request_record_str(record, record->id));
    buf_addf(out, ",\"ended_at\":%.3f,\"status\":%d", (double)record->wall_us / 1e6,
             record->status);
    put_word(out, "reason", record->reason);
    put_text(out, "method", record, record->method);
    put_text(out, "host", record, record->host);
    put_text(out, "path", record, record->path);
    put_text(out, "route", record, record->route);
    put_match(out, record);
    put_word(out, "order", record->walk);
    put_text(out, "client", record, record->client);
    put_text(out, "tier", record, record->tier);
    put_limit(out, record);
    put_cache(out, record);
    put_upstream(out, record);
    buf_addf(out, ",\"bytes_in\":%llu,\"bytes_out\":%llu", (unsigned long long)record->bytes_in,
             (unsigned long long)record->bytes_out);
    put_times(out, record);
    buf_add_char(out, '}');
}
