/* probe.h - one exchange as a test sees it: run to its end on a real loop, everything noted.
 *
 * The loop runs on the test's thread and is stopped by done(); a deadline ends a test that
 * hangs. Header only, because a unit test is one file. */
#ifndef TESTS_PROBE_H
#define TESTS_PROBE_H
#include "client/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROBE_HANG_MS = 8000 };

static bool probe_only_libcurl;     /* the next bench goes its way with everything */
static const char *probe_case = ""; /* for the message of one that hangs */

struct bench { /* the surroundings of the exchanges of one test */
    struct loop *loop;
    struct client *client;
    struct client_target target;
    struct deadline hang;
};

struct probe {
    struct bench *bench;
    struct client_exchange *exchange;
    bool is_done, is_cancelled;
    enum client_outcome outcome;
    const char *reason;
    int status, heads, interims, interim_status;
    struct http_answer_facts facts;
    char head_text[8192], trailer_text[512];
    char body[1024]; /* its beginning */
    uint64_t body_bytes;
    struct client_times times;
    /* what it does */
    struct str upload;             /* the request's body */
    size_t upload_at, upload_step; /* at most so much a read, then a pause; 0: all at once */
    uint64_t upload_repeat;        /* so many bytes of 'x' in place of `upload` */
    bool aborts_upload, pauses_now;
    int64_t upload_pause_ms;
    bool refuses, has_refused; /* refuses each piece once and takes it later */
    int64_t refuse_ms;
    enum { CANCEL_NEVER, CANCEL_IN_HEAD, CANCEL_IN_BODY } cancels;
    struct deadline later_read, later_answer;
};

static const char *const outcome_names[] = {
    "ok",       "connect_failed", "connect_timeout", "dns_failed", "tls_failed",
    "stale",    "no_ports",       "empty",           "reset",      "truncated",
    "protocol", "header_limit",   "body_aborted",    "no_memory"};

static inline void probe_hangs(void *arg)
{
    (void)arg;
    fprintf(stderr, "probe: the exchange hangs: %s\n", probe_case);
    abort();
}

static inline void probe_text(char *to, size_t room, const struct http_fields *fields)
{
    size_t len = strlen(to);

    for (uint32_t i = 0; i < fields->count && len < room; i++)
        len += (size_t)snprintf(to + len, room - len, "%.*s=%.*s|", STR_ARG(fields->at[i].name),
                                STR_ARG(fields->at[i].value));
}

static inline void probe_cancel(struct probe *p)
{
    client_cancel(&p->exchange);
    p->is_cancelled = true;
    loop_stop(p->bench->loop);
}

static inline void probe_interim(void *arg, int status, const struct http_fields *fields)
{
    struct probe *p = arg;

    (void)fields;
    p->interims++;
    p->interim_status = status;
}

static inline void probe_head(void *arg, int status, const struct http_fields *fields,
                              const struct http_answer_facts *facts)
{
    struct probe *p = arg;

    assert_false(p->is_done || p->is_cancelled);
    p->heads++;
    p->status = status;
    p->facts = *facts;
    probe_text(p->head_text, sizeof(p->head_text), fields);
    if (p->cancels == CANCEL_IN_HEAD)
        probe_cancel(p);
}

static inline bool probe_body(void *arg, struct str bytes)
{
    struct probe *p = arg;

    assert_false(p->is_done || p->is_cancelled);
    assert_int_equal(p->heads, 1);
    if (p->cancels == CANCEL_IN_BODY) {
        probe_cancel(p);
        return true;
    }
    if (p->refuses && !p->has_refused) {
        p->has_refused = true;
        assert_true(deadline_set(p->bench->loop, &p->later_answer,
                                 loop_now_us(p->bench->loop) + (uint64_t)p->refuse_ms * 1000));
        return false;
    }
    p->has_refused = false;
    for (size_t i = 0; i < bytes.len && p->body_bytes + i < sizeof(p->body) - 1; i++)
        p->body[p->body_bytes + i] = bytes.ptr[i];
    p->body_bytes += bytes.len;
    return true;
}

static inline void probe_trailers(void *arg, const struct http_fields *fields)
{
    struct probe *p = arg;

    probe_text(p->trailer_text, sizeof(p->trailer_text), fields);
}

static inline ptrdiff_t probe_read(void *arg, char *to, size_t room)
{
    struct probe *p = arg;
    size_t left = p->upload.len - p->upload_at;

    if (p->aborts_upload)
        return CLIENT_READ_ABORT;
    if (p->pauses_now) {
        p->pauses_now = false;
        assert_true(
            deadline_set(p->bench->loop, &p->later_read,
                         loop_now_us(p->bench->loop) + (uint64_t)p->upload_pause_ms * 1000));
        return CLIENT_READ_WAIT;
    }
    if (p->upload_repeat > 0) {
        size_t part = p->upload_repeat < room ? (size_t)p->upload_repeat : room;

        memset(to, 'x', part);
        p->upload_repeat -= part;
        return (ptrdiff_t)part;
    }
    if (left == 0)
        return CLIENT_READ_END;
    if (left > room)
        left = room;
    if (p->upload_step > 0 && left > p->upload_step)
        left = p->upload_step;
    memcpy(to, p->upload.ptr + p->upload_at, left);
    p->upload_at += left;
    p->pauses_now = p->upload_step > 0;
    return (ptrdiff_t)left;
}

static inline void probe_done(void *arg, enum client_outcome outcome, const char *reason)
{
    struct probe *p = arg;

    assert_false(p->is_done || p->is_cancelled);
    p->is_done = true;
    p->outcome = outcome;
    p->reason = reason;
    p->times = client_exchange_times(p->exchange);
    p->exchange = NULL;
    deadline_clear(p->bench->loop, &p->later_read);
    deadline_clear(p->bench->loop, &p->later_answer);
    loop_stop(p->bench->loop);
}

static inline void probe_later_read(void *arg)
{
    struct probe *p = arg;

    if (p->exchange != NULL)
        client_resume_body(p->exchange);
}

static inline void probe_later_answer(void *arg)
{
    struct probe *p = arg;

    if (p->exchange != NULL)
        client_resume_answer(p->exchange);
}

static const struct client_handler probe_handler = {.interim = probe_interim,
                                                    .head = probe_head,
                                                    .body = probe_body,
                                                    .trailers = probe_trailers,
                                                    .read = probe_read,
                                                    .done = probe_done};

static inline void bench_start(struct bench *bench, uint16_t port)
{
    struct client_options options = {64, 60000, 100, 32768, probe_only_libcurl};
    struct fail why = {{0}};

    memset(bench, 0, sizeof(*bench));
    bench->loop = loop_new(&why);
    assert_non_null(bench->loop);
    bench->client = client_new(bench->loop, &options, &why);
    assert_non_null(bench->client);
    bench->target = (struct client_target){
        .host = STR("127.0.0.1"), .port = port, .tls_verify = true, .keepalive = 64};
    bench->hang = (struct deadline){.fn = probe_hangs};
}

static inline void bench_stop(struct bench *bench)
{
    client_free(&bench->client);
    loop_free(&bench->loop);
}

/* Starts `p` with the request; fields and host have usable defaults. */
static inline void probe_start(struct bench *bench, struct probe *p, struct client_request *request)
{
    static const struct http_fields no_fields = {NULL, 0, 0, NULL};

    p->bench = bench;
    p->later_read = (struct deadline){.fn = probe_later_read, .arg = p};
    p->later_answer = (struct deadline){.fn = probe_later_answer, .arg = p};
    request->target = &bench->target;
    if (request->fields == NULL)
        request->fields = &no_fields;
    if (request->host.ptr == NULL)
        request->host = STR("upstream.test");
    if (request->connect_timeout_ms == 0)
        request->connect_timeout_ms = 1000;
    p->exchange = client_start(bench->client, request, &probe_handler, p);
    assert_non_null(p->exchange);
}

static inline void bench_run(struct bench *bench)
{
    assert_true(
        deadline_set(bench->loop, &bench->hang, clock_mono_us() + (uint64_t)PROBE_HANG_MS * 1000));
    loop_run(bench->loop);
    deadline_clear(bench->loop, &bench->hang);
}

static inline void bench_wakes(void *arg)
{
    loop_stop(arg);
}

/* The loop runs on, so that idle connections are heard. */
static inline void bench_idle(struct bench *bench, uint64_t ms)
{
    struct deadline until = {.fn = bench_wakes, .arg = bench->loop};

    assert_true(deadline_set(bench->loop, &until, clock_mono_us() + ms * 1000));
    loop_run(bench->loop);
}

static inline void probe_run(struct bench *bench, struct probe *p, struct client_request *request)
{
    probe_start(bench, p, request);
    bench_run(bench);
}

static inline void probe_get(struct bench *bench, struct probe *p, struct str method,
                             struct str path)
{
    struct client_request request = {.method = method, .path = path, .may_reuse = true};

    probe_run(bench, p, &request);
}

/* An exchange that must get its own answer, whatever happened before. */
static inline void bench_canary(struct bench *bench, const char *name)
{
    static unsigned count;
    struct probe p = {0};
    char path[32], want[64];

    snprintf(path, sizeof(path), "/canary-%u", ++count);
    snprintf(want, sizeof(want), "canary GET %s", path);
    probe_get(bench, &p, STR("GET"), str_of(path));
    if (p.outcome == CLIENT_STALE) { /* as the upstream room does */
        struct client_request again = {.method = STR("GET"), .path = str_of(path)};

        p = (struct probe){0};
        probe_run(bench, &p, &again);
    }
    if (p.outcome != CLIENT_OK || strcmp(p.body, want) != 0)
        fail_msg("%s: the canary got %s (%s) \"%s\"", name, outcome_names[p.outcome], p.reason,
                 p.body);
}

/* The same tests of our own short way, then of libcurl's: a caller must not see which it was. */
static inline int probe_both_ways(const struct CMUnitTest *tests, size_t count)
{
    int failed = _cmocka_run_group_tests("h1", tests, count, NULL, NULL);

    probe_only_libcurl = true;
    return failed + _cmocka_run_group_tests("libcurl", tests, count, NULL, NULL);
}

#endif
