/* otlp_answer_fuzz.c - what a collector answers, and spans of any text.
 *
 * The input is an answer: how many spans it refuses is read without a fault. It is also a name and
 * a value of a span: the JSON that tells it is whole again when it is read, with both in it. */
#include "trace/trace.h"
#include "trace/trace_priv.h"

#include <stdlib.h>

#include <cjson/cJSON.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct trace_queue queue;
    struct str input = str_at((const char *)data, size);
    struct trace_span_head head = {.context = {1, 2, 3, true}, .id = 4, .parent = 5};
    struct otlp_source source = {STR("s"), STR("v"), STR("i")};
    struct buf out = buf_new((size_t)1 << 20);
    struct trace_span *span;
    cJSON *json;

    (void)otlp_rejected(input);
    CHECK(queue_provide(&queue));
    span = trace_open(&queue, &head, input);
    trace_put(span, "text", input);
    trace_put_number(span, "number", (int64_t)size);
    trace_close(&queue, span);
    otlp_begin(&out, &source);
    otlp_span(&out, queue_oldest(&queue), true);
    otlp_end(&out);
    queue_forget(&queue);
    CHECK(queue_is_empty(&queue) && !out.is_broken);
    json = cJSON_ParseWithLength(out.ptr, out.len);
    CHECK(json != NULL);
    cJSON_Delete(json);
    buf_free(&out);
    return 0;
}
