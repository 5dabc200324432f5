/* queue.c - a worker's finished spans on their way to the main thread.
 *
 * A ring with one writer and one reader needs no lock: the worker fills the slot behind the last
 * and then moves `written`, the main thread reads the oldest and then moves `read`. Full means that
 * the newest is dropped, because what is in the ring may be half told already. Spans are fixed in
 * size, so that writing one allocates nothing; the memory comes when tracing is first wanted. */
#include "trace/trace_priv.h"

#include <stdlib.h>

bool queue_provide(struct trace_queue *queue)
{
    if (queue->spans == NULL)
        queue->spans = malloc(QUEUE_SPANS * sizeof(struct trace_span)); /* touched as it is used */
    return queue->spans != NULL;
}

bool trace_is_on(const struct trace_queue *queue)
{
    return queue != NULL && queue->spans != NULL;
}

/* ---- the worker's ---- */

static struct span_text put(struct trace_span *span, struct str text)
{
    size_t room = SPAN_TEXT - span->text_len;
    struct span_text there = {(uint16_t)span->text_len,
                              (uint16_t)(text.len < room ? text.len : room)};

    if (there.len > 0)
        memcpy(span->text + there.at, text.ptr, there.len);
    span->text_len += there.len;
    return there;
}

struct trace_span *trace_open(struct trace_queue *queue, const struct trace_span_head *head,
                              struct str name)
{
    uint64_t written = atomic_load_explicit(&queue->written, memory_order_relaxed);
    struct trace_span *span;

    if (written - atomic_load_explicit(&queue->read, memory_order_acquire) >= QUEUE_SPANS) {
        atomic_fetch_add_explicit(&queue->dropped, 1, memory_order_relaxed);
        return NULL;
    }
    span = &queue->spans[written % QUEUE_SPANS];
    span->head = *head;
    span->attribute_count = span->text_len = 0;
    span->name = put(span, name);
    return span;
}

static struct span_attribute *attribute(struct trace_span *span, const char *key)
{
    struct span_attribute *new;

    if (span == NULL || span->attribute_count == SPAN_ATTRIBUTES)
        return NULL;
    new = &span->attributes[span->attribute_count++];
    *new = (struct span_attribute){.key = key};
    return new;
}

void trace_put(struct trace_span *span, const char *key, struct str text)
{
    struct span_attribute *new = text.len > 0 ? attribute(span, key) : NULL;

    if (new != NULL)
        new->text = put(span, text);
}

void trace_put_number(struct trace_span *span, const char *key, int64_t number)
{
    struct span_attribute *new = attribute(span, key);

    if (new == NULL)
        return;
    new->is_number = true;
    new->number = number;
}

void trace_close(struct trace_queue *queue, struct trace_span *span)
{
    uint64_t written = atomic_load_explicit(&queue->written, memory_order_relaxed);

    if (span != NULL)
        atomic_store_explicit(&queue->written, written + 1, memory_order_release);
}

/* ---- the main thread's ---- */

bool queue_is_empty(const struct trace_queue *queue)
{
    return atomic_load_explicit(&queue->written, memory_order_acquire) ==
           atomic_load_explicit(&queue->read, memory_order_relaxed);
}

const struct trace_span *queue_oldest(const struct trace_queue *queue)
{
    uint64_t read = atomic_load_explicit(&queue->read, memory_order_relaxed);

    return queue_is_empty(queue) ? NULL : &queue->spans[read % QUEUE_SPANS];
}

void queue_forget(struct trace_queue *queue)
{
    uint64_t read = atomic_load_explicit(&queue->read, memory_order_relaxed);

    atomic_store_explicit(&queue->read, read + 1, memory_order_release);
}
