/* spans_test.c - spans in their queue and as JSON: in order, bounded, whole, while one thread
 * writes and another reads. */
#include "trace/trace_priv.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct trace_span_head head = {
    .context = {.high = 0, .low = 0xabc, .is_sampled = true},
    .id = 0x1,
    .parent = 0xb7ad6b7169203331,
    .start_us = 1700000000123456,
    .duration_us = 1500,
};

static struct trace_queue *new_queue(void)
{
    struct trace_queue *queue = calloc(1, sizeof(*queue));

    assert_non_null(queue);
    assert_false(trace_is_on(queue));
    assert_true(queue_provide(queue));
    assert_true(trace_is_on(queue));
    return queue;
}

static void free_queue(struct trace_queue *queue)
{
    free(queue->spans);
    free(queue);
}

static void a_span_is_told_as_the_protocol_says(void **state)
{
    static const char want[] =
        "{\"traceId\":\"00000000000000000000000000000abc\",\"spanId\":\"0000000000000001\","
        "\"parentSpanId\":\"b7ad6b7169203331\",\"flags\":769,\"name\":\"GET /\\\"x\","
        "\"kind\":2,\"startTimeUnixNano\":\"1700000000123456000\","
        "\"endTimeUnixNano\":\"1700000000124956000\",\"attributes\":["
        "{\"key\":\"url.path\",\"value\":{\"stringValue\":\"/\xc3\xbc\"}},"
        "{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":\"200\"}}],\"status\":{}}";
    struct trace_queue *queue = new_queue();
    struct trace_span *span = trace_open(queue, &head, STR("GET /\"x"));
    struct buf out = buf_new(4096);

    (void)state;
    trace_put(span, "url.path", STR("/\xc3\xbc"));
    trace_put(span, "empty", STR_NONE);
    trace_put_number(span, "http.response.status_code", 200);
    assert_true(queue_is_empty(queue));
    trace_close(queue, span);
    otlp_span(&out, queue_oldest(queue), true);
    assert_int_equal(out.len, sizeof(want) - 1);
    assert_memory_equal(out.ptr, want, out.len);
    queue_forget(queue);
    assert_null(queue_oldest(queue));
    buf_free(&out);
    free_queue(queue);
}

static void what_has_no_room_is_cut_or_left_out(void **state)
{
    struct trace_queue *queue = new_queue();
    struct trace_span *span;
    char letters[400];

    (void)state;
    memset(letters, 'x', sizeof(letters));
    span = trace_open(queue, &head, str_at(letters, sizeof(letters)));
    trace_put(span, "a", str_at(letters, sizeof(letters)));
    trace_put(span, "b", STR("lost"));
    assert_int_equal(span->attributes[0].text.len, SPAN_TEXT - 400);
    assert_int_equal(span->attributes[1].text.len, 0);
    for (int i = 0; i < SPAN_ATTRIBUTES * 2; i++)
        trace_put_number(span, "n", i);
    assert_int_equal(span->attribute_count, SPAN_ATTRIBUTES);
    trace_close(queue, span);
    free_queue(queue);
}

static void a_full_queue_drops_the_newest_and_counts(void **state)
{
    struct trace_queue *queue = new_queue();
    struct trace_span_head numbered = head;

    (void)state;
    for (uint64_t i = 1; i <= QUEUE_SPANS + 7; i++) {
        struct trace_span *span;

        numbered.id = i;
        span = trace_open(queue, &numbered, STR("n"));
        assert_int_equal(span != NULL, i <= QUEUE_SPANS);
        trace_put(span, "fine", STR("without a span"));
        trace_put_number(span, "too", 1);
        trace_close(queue, span);
    }
    assert_int_equal(atomic_load(&queue->dropped), 7);
    assert_int_equal(queue_oldest(queue)->head.id, 1);
    queue_forget(queue);
    assert_int_equal(queue_oldest(queue)->head.id, 2);
    free_queue(queue);
}

enum { MANY = 20000 };

static void *write_many(void *arg)
{
    struct trace_queue *queue = arg;
    struct trace_span_head numbered = head;

    for (uint64_t i = 1; i <= MANY; i++) {
        struct trace_span *span;

        numbered.id = i;
        span = trace_open(queue, &numbered, STR("n"));
        trace_put_number(span, "n", (int64_t)i);
        trace_close(queue, span);
    }
    return NULL;
}

static void one_thread_reads_what_another_writes(void **state)
{
    struct trace_queue *queue = new_queue();
    const struct trace_span *span;
    uint64_t last = 0, seen = 0;
    pthread_t writer;

    (void)state;
    assert_int_equal(pthread_create(&writer, NULL, write_many, queue), 0);
    while (seen + atomic_load(&queue->dropped) < MANY) {
        span = queue_oldest(queue);
        if (span == NULL) {
            (void)sched_yield();
            continue;
        }
        assert_true(span->head.id > last);
        assert_int_equal(span->attributes[0].number, span->head.id);
        last = span->head.id;
        seen++;
        queue_forget(queue);
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_true(queue_is_empty(queue));
    free_queue(queue);
}

static const struct {
    const char *name, *answer;
    uint64_t want;
} answers[] = {
    {"all taken", "{}", 0},
    {"none left out", "{\"partialSuccess\":{}}", 0},
    {"a number in quotes", "{\"partialSuccess\":{\"rejectedSpans\":\"3\"}}", 3},
    {"a number", "{\"partialSuccess\":{\"rejectedSpans\":4,\"errorMessage\":\"x\"}}", 4},
    {"below zero", "{\"partialSuccess\":{\"rejectedSpans\":-4}}", 0},
    {"another form", "{\"partialSuccess\":[1]}", 0},
    {"nonsense", "<html>", 0},
    {"nothing", "", 0},
};

static void refused_spans_are_read_from_any_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        if (otlp_rejected(str_of(answers[i].answer)) != answers[i].want)
            fail_msg("%s", answers[i].name);
    assert_int_equal(otlp_rejected(STR_NONE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_is_told_as_the_protocol_says),
        cmocka_unit_test(what_has_no_room_is_cut_or_left_out),
        cmocka_unit_test(a_full_queue_drops_the_newest_and_counts),
        cmocka_unit_test(one_thread_reads_what_another_writes),
        cmocka_unit_test(refused_spans_are_read_from_any_answer),
    };

    return cmocka_run_group_tests_name("trace: spans", tests, NULL, NULL);
}
