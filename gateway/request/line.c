/* line.c - the access log's line of one request, as JSON.
 *
 * Which fields it has, the configuration may choose (log.fields). A line never holds a
 * query, a credential or a raw client address. It is written into the worker's own buffer
 * and handed to the log's thread: no system call here. Worker's thread. */
#include "request/request_priv.h"

static const struct str field_names[] = {
    {"time", 4},   {"request_id", 10}, {"client", 6},       {"method", 6},   {"path", 4},
    {"route", 5},  {"status", 6},      {"duration_ms", 11}, {"bytes_in", 8}, {"bytes_out", 9},
    {"cache", 5},  {"tier", 4},        {"upstream", 8},     {"target", 6},   {"attempts", 8},
    {"reason", 6}, {"match", 5},
};
enum line_field {
    LINE_TIME,
    LINE_REQUEST_ID,
    LINE_CLIENT,
    LINE_METHOD,
    LINE_PATH,
    LINE_ROUTE,
    LINE_STATUS,
    LINE_DURATION,
    LINE_BYTES_IN,
    LINE_BYTES_OUT,
    LINE_CACHE,
    LINE_TIER,
    LINE_UPSTREAM,
    LINE_TARGET,
    LINE_ATTEMPTS,
    LINE_REASON,
    LINE_MATCH
};

uint32_t line_fields(const struct str_list *names)
{
    uint32_t bits = 0;

    for (uint32_t i = 0; i < names->count; i++)
        for (uint32_t field = 0; field < COUNT_OF(field_names); field++)
            if (str_eq(names->at[i], field_names[field]))
                bits |= 1U << field;
    return names->count > 0 ? bits : UINT32_MAX;
}

static bool put_name(struct buf *line, const struct request *r, enum line_field field)
{
    if ((r->crules->line_fields & 1U << field) == 0)
        return false;
    buf_add_str(line, line->len > 1 ? STR(",\"") : STR("\""));
    buf_add_str(line, field_names[field]);
    buf_add_str(line, STR("\":"));
    return true;
}

static void put_text(struct buf *line, const struct request *r, enum line_field field,
                     struct str value)
{
    if (value.len > 0 && put_name(line, r, field))
        buf_add_json(line, value.len > 2048 ? str_at(value.ptr, 2048) : value);
}

static void put_number(struct buf *line, const struct request *r, enum line_field field,
                       uint64_t value)
{
    if (put_name(line, r, field))
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

    buf_add_char(line, '"');
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (parts[i] < 10)
            buf_add_char(line, '0');
        buf_add_u64(line, (uint64_t)parts[i]);
        buf_add_char(line, after[i]);
    }
    buf_add_char(line, (char)('0' + milli / 100));
    buf_add_char(line, (char)('0' + milli / 10 % 10));
    buf_add_char(line, (char)('0' + milli % 10));
    buf_add_str(line, STR("Z\""));
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

static void put_duration(struct buf *line, uint64_t us)
{
    buf_add_u64(line, us / 1000);
    buf_add_char(line, '.');
    buf_add_char(line, (char)('0' + us / 100 % 10));
    buf_add_char(line, (char)('0' + us / 10 % 10));
    buf_add_char(line, (char)('0' + us % 10));
}

void line_write(struct request *r, const struct request_end *end)
{
    struct buf *line = &r->context->line;

    buf_clear(line);
    buf_add_char(line, '{');
    if (put_name(line, r, LINE_TIME))
        put_time(line, loop_wall_us(r->context->loop));
    put_text(line, r, LINE_REQUEST_ID, r->id);
    put_text(line, r, LINE_CLIENT, observe_client(r));
    put_text(line, r, LINE_METHOD, r->head.method);
    put_text(line, r, LINE_PATH, r->path);
    put_text(line, r, LINE_ROUTE, r->cells->name);
    put_number(line, r, LINE_STATUS, (uint64_t)end->status);
    if (put_name(line, r, LINE_DURATION))
        put_duration(line, end->duration_us);
    put_number(line, r, LINE_BYTES_IN, end->bytes_in);
    put_number(line, r, LINE_BYTES_OUT, end->bytes_out);
    if (r->cache.status != CACHE_OFF)
        put_text(line, r, LINE_CACHE, str_of(cache_status_name(r->cache.status)));
    if (r->is_known)
        put_text(line, r, LINE_TIER, r->who.caller.tier->name);
    if (r->fetch.is_on) {
        put_text(line, r, LINE_UPSTREAM, r->upstream->name);
        put_text(line, r, LINE_TARGET, r->fetch.target_name);
        put_number(line, r, LINE_ATTEMPTS, r->fetch.attempts);
    }
    if (r->reason != NULL)
        put_text(line, r, LINE_REASON, str_of(r->reason));
    if (r->cache.match != NULL)
        put_text(line, r, LINE_MATCH, str_of(r->cache.match));
    buf_add_char(line, '}');
    log_access(buf_str(line));
}
