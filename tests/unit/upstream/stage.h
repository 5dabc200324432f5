/* stage.h - scripted targets, a pool with its loop, and one exchange as its caller sees it.
 *
 * The loop runs on the test's thread and is stopped by done(); a deadline ends a test that
 * hangs. Header only, because a unit test is one file. */
#ifndef TESTS_STAGE_H
#define TESTS_STAGE_H
#include "../client/script_server.h"
#include "upstream/upstream_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static const struct step serve[] = {{S_SERVE, NULL, 0}};
static const struct step is_silent[] = {{S_HEAD, NULL, 0}, {S_HANG, NULL, 0}};

struct seen { /* one exchange as its caller sees it */
    struct loop *loop;
    struct upstream_exchange *exchange;
    int status, tries, last_status;
    enum upstream_kind last_kind;
    bool last_will_retry, is_done, cancels_in_head, is_stream;
    char body[256];
    size_t body_len;
    struct upstream_result result;
    struct str upload;
    size_t upload_at;
};

static void on_head(void *arg, int status, const struct http_fields *fields,
                    const struct http_answer_facts *facts, const struct upstream_result *so_far)
{
    struct seen *seen = arg;

    (void)fields;
    (void)facts;
    assert_int_equal(seen->status, 0);
    assert_true(so_far->attempts > 0);
    seen->status = status;
    if (seen->is_stream)
        upstream_is_stream(seen->exchange, 100);
    if (seen->cancels_in_head) {
        upstream_cancel(&seen->exchange);
        loop_stop(seen->loop);
    }
}

static bool on_body(void *arg, struct str bytes)
{
    struct seen *seen = arg;

    assert_true(seen->body_len + bytes.len < sizeof(seen->body));
    memcpy(seen->body + seen->body_len, bytes.ptr, bytes.len);
    seen->body_len += bytes.len;
    return true;
}

static ptrdiff_t on_read(void *arg, char *to, size_t room)
{
    struct seen *seen = arg;
    size_t left = seen->upload.len - seen->upload_at;

    if (left == 0)
        return CLIENT_READ_END;
    left = left < room ? left : room;
    memcpy(to, seen->upload.ptr + seen->upload_at, left);
    seen->upload_at += left;
    return (ptrdiff_t)left;
}

static void on_done(void *arg, const struct upstream_result *result)
{
    struct seen *seen = arg;

    assert_false(seen->is_done);
    seen->is_done = true;
    seen->result = *result;
    seen->exchange = NULL;
    loop_stop(seen->loop);
}

static void on_tried(void *arg, const struct upstream_try *ended)
{
    struct seen *seen = arg;

    assert_true(ended->target.len > 0);
    seen->tries++;
    seen->last_kind = ended->kind;
    seen->last_status = ended->status;
    seen->last_will_retry = ended->will_retry;
}

static const struct upstream_handler handler = {
    .head = on_head, .body = on_body, .read = on_read, .done = on_done, .tried = on_tried};

enum { MOST_TARGETS = 3 };
struct stage {
    struct script_server *servers[MOST_TARGETS];
    char urls[MOST_TARGETS][64];
    struct target_config targets[MOST_TARGETS];
    struct upstream_config config;
    struct loop *loop;
    struct upstreams *upstreams;
    struct upstream_pool *pool;
    struct deadline hang;
};

static void hangs(void *arg)
{
    (void)arg;
    fprintf(stderr, "the exchange hangs\n");
    abort();
}

static void stage_start(struct stage *s)
{
    struct client_options options = {64, 60000, 100, 32768, false};
    struct fail why = {{0}};

    memset(s, 0, sizeof(*s));
    s->loop = loop_new(&why);
    s->upstreams = upstreams_new();
    assert_non_null(s->loop);
    assert_non_null(s->upstreams);
    s->pool = upstream_pool_new(s->loop, s->upstreams, &options, &why);
    assert_non_null(s->pool);
    s->config = (struct upstream_config){.name = STR("u"),
                                         .targets = s->targets,
                                         .balance = BALANCE_ROUND_ROBIN,
                                         .connect_timeout_ms = 1000,
                                         .first_byte_timeout_ms = 2000,
                                         .idle_timeout_ms = 2000};
    s->config.keepalive = 64;
    s->config.retry.attempts = 1;
    s->config.retry.on = RETRY_CONNECT | RETRY_RESET | RETRY_502 | RETRY_503 | RETRY_504;
    s->config.retry.budget = 0.2;
    s->config.retry.buffer_bytes = 1024;
    s->config.ejection.failures = 5;
    s->config.ejection.eject_for_ms = 10000;
    s->config.ejection.max = 0.5;
    s->config.max_requests = 100;
    s->config.queue_timeout_ms = 1000;
    s->hang = (struct deadline){.fn = hangs};
}

static void add_target(struct stage *s, uint16_t port)
{
    uint32_t i = s->config.target_count++;

    snprintf(s->urls[i], sizeof(s->urls[i]), "http://127.0.0.1:%u", (unsigned)port);
    s->targets[i] = (struct target_config){
        .url = str_of(s->urls[i]), .host = STR("127.0.0.1"), .port = port, .weight = 1};
}

static void add_server(struct stage *s, const struct step *const *scripts, size_t count)
{
    uint32_t i = s->config.target_count;

    s->servers[i] = malloc(sizeof(struct script_server));
    assert_non_null(s->servers[i]);
    server_start(s->servers[i], scripts, count);
    add_target(s, s->servers[i]->port);
}

static void stage_stop(struct stage *s)
{
    struct target_status status;

    for (uint32_t i = 0; i < s->config.target_count; i++) { /* nothing is left in flight */
        assert_true(upstreams_status(s->upstreams, &s->config, i, loop_now_us(s->loop), &status));
        assert_int_equal(status.in_flight, 0);
    }
    upstream_pool_free(&s->pool);
    loop_free(&s->loop);
    upstreams_free(&s->upstreams);
    for (uint32_t i = 0; i < MOST_TARGETS; i++)
        if (s->servers[i] != NULL) {
            server_stop(s->servers[i]);
            free(s->servers[i]);
        }
}

static void run(struct stage *s, struct seen *seen, const char *method, int64_t timeout_ms)
{
    const struct http_fields fields = {NULL, 0, 0, NULL};
    struct upstream_request request = {.upstream = &s->config,
                                       .method = str_of(method),
                                       .path = STR("/x"),
                                       .client_host = STR("client.test"),
                                       .fields = &fields,
                                       .timeout_ms = timeout_ms};

    if (seen->upload.len > 0) {
        request.body = CLIENT_BODY_SIZED;
        request.body_length = seen->upload.len;
    }
    seen->loop = s->loop;
    seen->exchange = upstream_start(s->pool, &request, &handler, seen);
    assert_non_null(seen->exchange);
    assert_true(deadline_set(s->loop, &s->hang, clock_mono_us() + 8000000));
    loop_run(s->loop);
    deadline_clear(s->loop, &s->hang);
}

#endif
