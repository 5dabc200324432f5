/* trace.h - spans of requests, told to a collector by OTLP over HTTP.
 *
 * A worker decides which traces are sampled (W3C Trace Context) and writes finished spans into a
 * queue of its own; the main thread takes them out in batches and sends them, one exchange at a
 * time. Everything is bounded: a full queue drops the newest span, a collector that stays away
 * loses a batch after a few tries, and both are counted in trace_spans_total. A span has only what
 * the caller puts into it: this room knows no request. */
#ifndef GATEWAY_TRACE_H
#define GATEWAY_TRACE_H
#include "base/base.h"
#include "config/config.h"
#include "loop/loop.h"
#include "metrics/metrics.h"

/* ---- which trace: any thread ---- */
struct trace_context {
    uint64_t high, low; /* the trace's id; never both 0 */
    uint64_t parent;    /* the caller's span; 0: the trace begins here */
    bool is_sampled;
};
enum { TRACE_PARENT_LEN = 55, TRACE_ID_LEN = 32 };
/* Goes on with the trace of `traceparent`, which is valid (http_traceparent_is_valid), and with its
 * caller's decision; empty: begins one, sampled with the probability `share` (0 to 1). */
struct trace_context trace_begin(struct str traceparent, double share);
uint64_t trace_new_span(void); /* an id, never 0 */
/* The traceparent that names `span` as the parent; no NUL. */
void trace_write_parent(char to[TRACE_PARENT_LEN], const struct trace_context *context,
                        uint64_t span);

/* ---- spans: the thread of the queue's worker ---- */
struct trace_queue; /* lives as long as the tracer */
struct trace_span;  /* a place in the queue, until trace_close() */
struct trace_span_head {
    struct trace_context context;
    uint64_t id, parent; /* parent 0: none */
    int64_t start_us;    /* since 1970 */
    uint64_t duration_us;
    bool is_client;  /* of a request that we made; else of one that we served */
    bool has_failed; /* the status is an error */
};
/* Are spans wanted? False until a configuration with trace.otlp was put in force. */
bool trace_is_on(const struct trace_queue *queue);
/* The next place; the name is copied. NULL: the queue is full, the span is dropped and counted. */
struct trace_span *trace_open(struct trace_queue *queue, const struct trace_span_head *head,
                              struct str name) MUST_USE;
/* An attribute; `key` is static, the text copied. What has no room in the span is cut or left out;
 * an empty text is left out. NULL span: nothing happens. */
void trace_put(struct trace_span *span, const char *key, struct str text);
void trace_put_number(struct trace_span *span, const char *key, int64_t number);
void trace_close(struct trace_queue *queue, struct trace_span *span); /* NULL span is fine */

/* ---- the tracer: the main thread ---- */
struct tracer;
struct tracer *tracer_new(struct loop *loop, struct sheet *sheet, struct fail *why) MUST_USE;
/* After all who have a queue of it have ended. What was not sent is lost. */
void tracer_free(struct tracer **tracer);
/* One for each worker, before its thread runs. NULL: out of memory. */
struct trace_queue *tracer_join(struct tracer *tracer) MUST_USE;
/* Goes by this configuration from now on; before a worker does. What is under way to another
 * collector is lost. False: out of memory, and nothing is traced that was not before. */
bool tracer_use(struct tracer *tracer, const struct config *config) MUST_USE;
/* Sends at once what there is. */
void tracer_flush(struct tracer *tracer);
/* Nothing waits, or the collector is away: there is nothing to wait for. */
bool tracer_is_idle(const struct tracer *tracer);

#endif
