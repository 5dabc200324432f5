/* usage.c - GET /system/usage: what clients used, by route and hour, as JSON or CSV.
 *
 * Rows come sorted by hour, then client, then route, so that two exports can be compared
 * line by line. With a store they are those of all gateways. Moments are epoch seconds or RFC 3339;
 * a row belongs to a span when its hour begins in it. Main thread. */
#include "admin/admin_priv.h"

#include <time.h>

struct export
{
    struct call *call;
    struct buf *text;
    bool is_csv;
    uint64_t rows;
    struct limit_usage sum;
};

/* "2026-11-21T07:00:00Z" */
static void write_hour(struct buf *text, int64_t hour_s)
{
    time_t at = (time_t)hour_s;
    struct tm utc;
    char shown[32];

    if (gmtime_r(&at, &utc) != NULL && strftime(shown, sizeof(shown), "%Y-%m-%dT%H:%M:%SZ", &utc))
        buf_add_str(text, str_of(shown));
}

/* RFC 4180, and no cell that a spreadsheet would run as a formula. */
static void write_cell(struct buf *text, struct str value)
{
    bool is_formula = value.len > 0 && str_find(STR("=+-@"), value.ptr[0]) < 4;

    buf_add_char(text, '"');
    if (is_formula)
        buf_add_char(text, '\'');
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '"')
            buf_add_char(text, '"');
        buf_add_char(text, value.ptr[i]);
    }
    buf_add_char(text, '"');
}

static void write_csv(struct export *export, const struct limit_usage_row *row)
{
    struct buf *text = export->text;
    const struct limit_usage *usage = &row->usage;

    write_cell(text, row->client);
    buf_add_char(text, ',');
    write_cell(text, row->route);
    buf_add_char(text, ',');
    write_hour(text, row->hour_s);
    buf_addf(text, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\r\n",
             usage->requests, usage->refused, usage->bytes_in + usage->bytes_out, usage->bytes_in,
             usage->bytes_out, usage->cost);
}

static void write_counts(struct buf *text, const struct limit_usage *usage)
{
    buf_addf(text,
             "\"requests\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"bytes\":%" PRIu64
             ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"cost\":%" PRIu64 "}",
             usage->requests, usage->refused, usage->bytes_in + usage->bytes_out, usage->bytes_in,
             usage->bytes_out, usage->cost);
}

static void write_json(struct export *export, const struct limit_usage_row *row)
{
    struct buf *text = export->text;

    buf_add_str(text, export->rows > 0 ? STR(",{\"client\":") : STR("{\"client\":"));
    buf_add_json(text, row->client);
    buf_add_str(text, STR(",\"route\":"));
    buf_add_json(text, row->route);
    buf_add_str(text, STR(",\"hour\":\""));
    write_hour(text, row->hour_s);
    buf_add_str(text, STR("\","));
    write_counts(text, &row->usage);
}

static bool write_row(void *arg, const struct limit_usage_row *row)
{
    struct export *export = arg;

    if (export->is_csv)
        write_csv(export, row);
    else
        write_json(export, row);
    export->rows++;
    export->sum.requests += row->usage.requests;
    export->sum.refused += row->usage.refused;
    export->sum.bytes_in += row->usage.bytes_in;
    export->sum.bytes_out += row->usage.bytes_out;
    export->sum.cost += row->usage.cost;
    return !export->text->is_broken;
}

static bool read_moment(struct call *call, const char *name, int64_t *value)
{
    struct str text = parameter(call, name);
    uint64_t number;

    if (text.ptr == NULL || time_parse(text, value))
        return true;
    if (str_to_u64(text, &number) && number <= INT32_MAX * UINT64_C(1000)) {
        *value = (int64_t)number;
        return true;
    }
    answer_refusal(call, 400,
                   "%s: must be epoch seconds, or a moment such as 2026-11-21T07:00:00Z.", name);
    return false;
}

static bool read_format(struct call *call, bool *is_csv)
{
    struct str text = parameter(call, "format"), accept;

    accept = http_fields_get(call->question->fields, HTTP_ACCEPT);
    *is_csv = text.ptr != NULL ? str_eq(text, STR("csv"))
                               : accept.ptr != NULL && str_has(accept, STR("text/csv"));
    if (text.ptr == NULL || *is_csv || str_eq(text, STR("json")))
        return true;
    answer_refusal(call, 400, "format: must be json or csv.");
    return false;
}

static bool read_filter(struct call *call, struct limit_usage_filter *filter)
{
    struct str name = parameter(call, "client");
    struct caller caller;

    *filter = (struct limit_usage_filter){.to_s = INT64_MAX};
    if (!read_moment(call, "from", &filter->from_s) || !read_moment(call, "to", &filter->to_s))
        return false;
    if (name.ptr == NULL)
        return true;
    filter->has_client = true;
    if (identify_by_name(request_rules_identify(call->question->rules), name, call->question->arena,
                         &caller)) {
        filter->client = caller.hash;
        return true;
    }
    answer_refusal(call, 400, "client: must be key:ID of a known key, ip:ADDRESS, or a bare id.");
    return false;
}

static void write_begin(struct export *export)
{
    buf_add_str(export->text,
                export->is_csv
                    ? STR("client,route,hour,requests,refused,bytes,bytes_in,bytes_out,cost\r\n")
                    : STR("{\"items\":["));
}

/* is_whole false: other gateways' rows may be missing, and it says so. */
static void write_end(struct export *export, bool is_whole)
{
    if (export->is_csv) {
        answer_text(export->call, 200, STR("text/csv; charset=utf-8"));
        return;
    }
    buf_add_str(export->text, STR("],\"total\":{"));
    write_counts(export->text, &export->sum);
    if (!is_whole)
        buf_add_str(export->text, STR(",\"complete\":false"));
    buf_add_char(export->text, '}');
    answer_json(export->call, 200);
}

static void on_usage(void *arg, bool ok, bool is_whole)
{
    struct export *export = arg;

    if (ok)
        write_end(export, is_whole);
    else
        answer_refusal(export->call, 503, "Out of memory, or too many rows: ask for fewer hours.");
    call_conclude(export->call);
}

void get_usage(struct call *call)
{
    struct export *export = arena_zero(call->question->arena, sizeof(*export));
    const struct request_shared *shared = call->admin->shared;
    struct limit_usage_filter filter;

    if (export == NULL) {
        answer_refusal(call, 503, "Out of memory.");
        return;
    }
    export->call = call;
    export->text = &call->question->text;
    if (!read_format(call, &export->is_csv) || !read_filter(call, &filter))
        return;
    write_begin(export);
    if (shared->share != NULL &&
        limit_share_usage(shared->share, &filter, write_row, on_usage, export)) {
        call->is_pending = true;
        return;
    }
    if (limit_usage_each(shared->limiter, &filter, write_row, export))
        write_end(export, shared->share == NULL);
    else
        answer_refusal(call, 503, "Out of memory.");
}
