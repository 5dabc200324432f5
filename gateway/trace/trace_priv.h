/* trace_priv.h - what the files of trace/ know of each other.
 *
 * context.c  ids, sampling, traceparent: pure but for the random numbers
 * queue.c    a worker's finished spans on their way to the main thread
 * otlp.c     spans as JSON: pure
 * tracer.c   batches to the collector, tries, and what is lost */
#ifndef GATEWAY_TRACE_PRIV_H
#define GATEWAY_TRACE_PRIV_H
#include "trace/trace.h"

#include <stdatomic.h>

/* A worker that serves 4000 sampled requests a second fills its queue in a quarter of a second,
 * which is how often the main thread looks. */
enum { SPAN_ATTRIBUTES = 18, SPAN_TEXT = 640, QUEUE_SPANS = 1024 };

struct span_text {
    uint16_t at, len; /* in trace_span.text */
};
struct span_attribute {
    const char *key; /* static */
    bool is_number;
    int64_t number;
    struct span_text text;
};
struct trace_span {
    struct trace_span_head head;
    struct span_text name;
    uint32_t attribute_count, text_len;
    struct span_attribute attributes[SPAN_ATTRIBUTES];
    char text[SPAN_TEXT];
};

/* One writer, one reader: `written` is the worker's, `read` the main thread's. */
struct trace_queue {
    struct trace_queue *next;
    struct trace_span *spans; /* owned; NULL until tracing is wanted */
    _Atomic uint64_t written, read;
    _Atomic uint64_t dropped;
};
bool queue_provide(struct trace_queue *queue) MUST_USE; /* false: out of memory */
/* The oldest; NULL: none. It stays until queue_forget(). */
const struct trace_span *queue_oldest(const struct trace_queue *queue);
void queue_forget(struct trace_queue *queue);
bool queue_is_empty(const struct trace_queue *queue);

/* ---- otlp.c ---- */
/* Whose spans they are (OpenTelemetry's resource). */
struct otlp_source {
    struct str service, version, instance;
};
void otlp_begin(struct buf *out, const struct otlp_source *source);
void otlp_span(struct buf *out, const struct trace_span *span, bool is_first);
void otlp_end(struct buf *out);
/* How many spans the collector says it refused in a 2xx answer; 0 when it says nothing. */
uint64_t otlp_rejected(struct str answer);

#endif
