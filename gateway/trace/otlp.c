/* otlp.c - spans as the JSON of OTLP (opentelemetry-proto, ExportTraceServiceRequest).
 *
 * Protobuf's JSON mapping with OTLP's exceptions: ids are hexadecimal, enums are numbers, 64-bit
 * integers are strings. By hand, like all JSON that we write often. Pure; main thread. */
#include "trace/trace_priv.h"

#include <cjson/cJSON.h>

enum { KIND_SERVER = 2, KIND_CLIENT = 3, STATUS_ERROR = 2 };
/* Span.flags: the trace flags, and what is known of the parent. */
enum { FLAG_SAMPLED = 1, FLAG_KNOWS_PARENT = 0x100, FLAG_PARENT_IS_REMOTE = 0x200 };

static void put_text(struct buf *out, const char *key, struct str text)
{
    buf_addf(out, "{\"key\":\"%s\",\"value\":{\"stringValue\":", key);
    buf_add_json(out, text);
    buf_add_str(out, STR("}}"));
}

static void put_number(struct buf *out, const char *key, int64_t number)
{
    buf_addf(out, "{\"key\":\"%s\",\"value\":{\"intValue\":\"%" PRId64 "\"}}", key, number);
}

static void put_span_id(struct buf *out, const char *name, uint64_t id)
{
    char hex[16];

    (void)hex_write(hex, id, 16);
    buf_addf(out, "\"%s\":\"%.16s\",", name, hex);
}

static void put_trace_id(struct buf *out, const struct trace_context *context)
{
    char hex[TRACE_ID_LEN];

    (void)hex_write(hex_write(hex, context->high, 16), context->low, 16);
    buf_addf(out, "\"traceId\":\"%.*s\",", TRACE_ID_LEN, hex);
}

void otlp_begin(struct buf *out, const struct otlp_source *source)
{
    buf_add_str(out, STR("{\"resourceSpans\":[{\"resource\":{\"attributes\":["));
    put_text(out, "service.name", source->service);
    buf_add_char(out, ',');
    put_text(out, "service.version", source->version);
    buf_add_char(out, ',');
    put_text(out, "service.instance.id", source->instance);
    buf_add_str(out, STR("]},\"scopeSpans\":[{\"scope\":{\"name\":\"gateway\",\"version\":"));
    buf_add_json(out, source->version);
    buf_add_str(out, STR("},\"spans\":["));
}

static void put_attributes(struct buf *out, const struct trace_span *span)
{
    buf_add_str(out, STR("\"attributes\":["));
    for (uint32_t i = 0; i < span->attribute_count; i++) {
        const struct span_attribute *a = &span->attributes[i];

        if (i > 0)
            buf_add_char(out, ',');
        if (a->is_number)
            put_number(out, a->key, a->number);
        else
            put_text(out, a->key, str_at(span->text + a->text.at, a->text.len));
    }
    buf_add_str(out, STR("],"));
}

static unsigned flags_of(const struct trace_span_head *head)
{
    bool is_remote = !head->is_client && head->parent != 0;

    return (head->context.is_sampled ? FLAG_SAMPLED : 0U) | FLAG_KNOWS_PARENT |
           (is_remote ? FLAG_PARENT_IS_REMOTE : 0U);
}

void otlp_span(struct buf *out, const struct trace_span *span, bool is_first)
{
    const struct trace_span_head *head = &span->head;
    int64_t end_us = head->start_us + (int64_t)head->duration_us;

    buf_add_str(out, is_first ? STR("{") : STR(",{"));
    put_trace_id(out, &head->context);
    put_span_id(out, "spanId", head->id);
    if (head->parent != 0)
        put_span_id(out, "parentSpanId", head->parent);
    buf_addf(out, "\"flags\":%u,\"name\":", flags_of(head));
    buf_add_json(out, str_at(span->text + span->name.at, span->name.len));
    buf_addf(out,
             ",\"kind\":%d,\"startTimeUnixNano\":\"%" PRId64 "000\",\"endTimeUnixNano\":\"%" PRId64
             "000\",",
             head->is_client ? KIND_CLIENT : KIND_SERVER, head->start_us, end_us);
    put_attributes(out, span);
    if (head->has_failed)
        buf_addf(out, "\"status\":{\"code\":%d}}", STATUS_ERROR);
    else
        buf_add_str(out, STR("\"status\":{}}"));
}

void otlp_end(struct buf *out)
{
    buf_add_str(out, STR("]}]}]}"));
}

/* {"partialSuccess":{"rejectedSpans":"3"}}: a number, or a number in quotes. */
uint64_t otlp_rejected(struct str answer)
{
    cJSON *json = cJSON_ParseWithLength(answer.ptr != NULL ? answer.ptr : "", answer.len);
    const cJSON *partial = cJSON_GetObjectItemCaseSensitive(json, "partialSuccess");
    const cJSON *count = cJSON_GetObjectItemCaseSensitive(partial, "rejectedSpans");
    uint64_t rejected = 0;

    if (cJSON_IsString(count))
        (void)!str_to_u64(str_of(count->valuestring), &rejected);
    else if (cJSON_IsNumber(count) && count->valuedouble > 0 && count->valuedouble < 1e9)
        rejected = (uint64_t)count->valuedouble;
    cJSON_Delete(json);
    return rejected;
}
