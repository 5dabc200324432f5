/* request_fixture.h - a worker's context without its connections, and requests as the server room
 * drives them: checked, run, woken, read, finished.
 *
 * What the connection would own lives in `struct visit` and is overwritten when the visit
 * ends, so that whatever still points there is found out. The loop runs on the test's
 * thread, and a deadline ends a test that hangs. Header only, because a unit test is one
 * file. */
#ifndef REQUEST_FIXTURE_H
#define REQUEST_FIXTURE_H
#define server_connections script_connections /* server/ has one of that name */
#include "../client/script_server.h"
#undef server_connections
#include "request/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { HANG_US = 8000000, HEAD_ROOM = 4096, BODY_ROOM = 1 << 20 };

struct world {
    struct request_shared shared;
    struct loop *loop;
    struct upstream_pool *pool;
    struct sheet *sheet;
    struct request_context *context;
    struct request_rules *rules;
    struct request_system *question; /* the last one asked; unanswered */
    struct deadline hang, soon;
};

struct visit {
    struct world *world;
    struct request *request;
    uint32_t wakes;
    char head[HEAD_ROOM]; /* the connection's memory */
    size_t head_len;
    char peer[64];
    char body[BODY_ROOM]; /* of the answer */
    size_t body_len;
    enum request_next next;
};

static inline void hangs(void *arg)
{
    (void)arg;
    fprintf(stderr, "request_fixture: a request hangs\n");
    abort();
}

static inline void stop_soon(void *arg)
{
    loop_stop(arg);
}

static inline void keep_question(void *arg, struct request_system *question)
{
    ((struct world *)arg)->question = question;
}

static inline struct config *config_of(const char *text)
{
    char path[] = "/tmp/request_test_XXXXXX";
    char *const env[] = {NULL};
    int fd = mkstemp(path);
    struct faults *faults = faults_new();
    struct config *config;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    config = config_load(path, env, faults);
    unlink(path);
    if (config == NULL)
        fail_msg("configuration: %.*s", STR_ARG(faults_text(faults, 0)));
    faults_free(&faults);
    return config;
}

/* %u in `format` is the port of the upstream. */
static inline struct world *world_new(const char *format, unsigned port)
{
    static const struct client_options options = {
        .keepalive = 8, .idle_timeout_ms = 60000, .max_headers = 64, .max_header_bytes = 16384};
    struct world *world = calloc(1, sizeof(*world));
    char *text = malloc(strlen(format) + 64);
    struct config *config;
    struct fail why = {""};

    assert_non_null(world);
    assert_non_null(text);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, strlen(format) + 64, format, port);
#pragma GCC diagnostic pop
    config = config_of(text);
    free(text);
    world->shared.seed = (struct hash_key){{1, 2}};
    world->shared.cache = cache_new(UINT64_C(16) << 20, UINT64_C(1) << 20, &world->shared.seed);
    world->shared.limiter = limiter_new(1000, &world->shared.seed);
    world->shared.upstreams = upstreams_new();
    world->shared.metrics = metrics_new();
    world->shared.system = keep_question;
    world->shared.system_arg = world;
    world->loop = loop_new(&why);
    assert_true(upstreams_adopt(world->shared.upstreams, config));
    world->rules = request_rules_new(config, &world->shared, &why);
    config_release(&config);
    assert_non_null(world->rules);
    world->pool = upstream_pool_new(world->loop, world->shared.upstreams, &options, &why);
    world->sheet = metrics_sheet(world->shared.metrics);
    world->context = request_context_new(world->loop, &world->shared, world->pool, world->sheet);
    assert_non_null(world->context);
    request_context_use(world->context, world->rules);
    world->hang = (struct deadline){.fn = hangs};
    world->soon = (struct deadline){.fn = stop_soon, .arg = world->loop};
    return world;
}

/* Some turns of the loop: what was put off happens. */
static inline void settle(struct world *world)
{
    for (int i = 0; i < 3; i++) {
        assert_true(deadline_set(world->loop, &world->soon, loop_now_us(world->loop)));
        loop_run(world->loop);
    }
}

static inline void world_free(struct world *world)
{
    settle(world);
    assert_int_equal(request_context_live(world->context), 0);
    assert_int_equal(atomic_load(&world->shared.in_flight), 0);
    deadline_clear(world->loop, &world->hang);
    deadline_clear(world->loop, &world->soon);
    upstream_pool_free(&world->pool);
    request_context_free(&world->context);
    request_rules_release(&world->rules);
    loop_free(&world->loop);
    cache_free(&world->shared.cache);
    limiter_free(&world->shared.limiter);
    upstreams_free(&world->shared.upstreams);
    metrics_free(&world->shared.metrics);
    free(world);
}

/* ---- one request ---- */

static inline void on_visit_wake(void *arg)
{
    struct visit *visit = arg;

    visit->wakes++;
    loop_stop(visit->world->loop);
}

static const struct request_io visit_io = {on_visit_wake, NULL};

static inline struct str note(struct visit *visit, const char *text)
{
    size_t len = strlen(text);
    char *at = visit->head + visit->head_len;

    assert_true(visit->head_len + len < sizeof(visit->head));
    memcpy(at, text, len);
    visit->head_len += len;
    return str_at(at, len);
}

/* line: "GET /path HTTP/1.1"; fields: "Name: value" each, NULL at the end. Checked, not yet run. */
static inline struct visit *visit_new(struct world *world, const char *line,
                                      const char *const *fields)
{
    struct visit *visit = calloc(1, sizeof(*visit));
    struct request_arrival arrival = {.started_us = clock_mono_us()};
    struct http_request_head *head;
    struct str rest, method = STR_NONE, target = STR_NONE;

    assert_non_null(visit);
    visit->world = world;
    snprintf(visit->peer, sizeof(visit->peer), "192.0.2.77");
    arrival.peer = str_of(visit->peer);
    visit->request = request_new(world->context, &visit_io, visit);
    assert_non_null(visit->request);
    head = request_head(visit->request);
    rest = note(visit, line);
    assert_true(str_split(&rest, ' ', &method) && str_split(&rest, ' ', &target));
    head->method = method;
    head->version = rest;
    head->target = arena_copy(request_arena(visit->request), target);
    for (; fields != NULL && *fields != NULL; fields++) {
        struct str field = note(visit, *fields);
        size_t colon = str_find(field, ':');

        assert_true(http_fields_add(&head->fields, str_at(field.ptr, colon),
                                    str_trim(str_from(field, colon + 1))));
    }
    visit->next = request_check(visit->request, &arrival);
    return visit;
}

/* Until the next wake. */
static inline void visit_wait(struct visit *visit)
{
    uint32_t before = visit->wakes;
    struct world *world = visit->world;

    assert_true(deadline_set(world->loop, &world->hang, clock_mono_us() + HANG_US));
    while (visit->wakes == before)
        loop_run(world->loop);
    deadline_clear(world->loop, &world->hang);
}

static inline const struct request_answer *visit_run(struct visit *visit)
{
    if (visit->next == REQUEST_ANSWERS)
        return request_answer(visit->request);
    while ((visit->next = request_run(visit->request)) == REQUEST_WAITS)
        visit_wait(visit);
    return visit->next == REQUEST_ANSWERS ? request_answer(visit->request) : NULL;
}

/* All of the answer's body into visit->body; false: cut. */
static inline bool visit_read(struct visit *visit)
{
    const struct request_answer *answer = request_answer(visit->request);

    visit->body_len = 0;
    if (answer->body == REQUEST_BODY_MEMORY) {
        memcpy(visit->body, answer->bytes.ptr, answer->bytes.len);
        visit->body_len = answer->bytes.len;
    }
    while (answer->body == REQUEST_BODY_STREAM) {
        ptrdiff_t got = request_read(visit->request, visit->body + visit->body_len,
                                     sizeof(visit->body) - visit->body_len);

        if (got == REQUEST_READ_WAIT)
            visit_wait(visit);
        else if (got == REQUEST_READ_END || got == REQUEST_READ_ERROR)
            return got == REQUEST_READ_END;
        else
            visit->body_len += (size_t)got;
    }
    return true;
}

static inline struct str visit_field(const struct visit *visit, const char *name)
{
    return http_fields_find(request_answer(visit->request)->fields, str_of(name));
}

/* The connection is through with it, and its memory is gone. */
static inline void visit_end(struct visit **visit, enum request_outcome outcome)
{
    struct visit *ended = *visit;

    *visit = NULL;
    request_finish(&ended->request, outcome, 0, ended->body_len);
    memset(ended, 0x5a, sizeof(*ended));
    free(ended);
}

/* Start to end: the status. */
static inline int visit_whole(struct world *world, const char *line, const char *const *fields)
{
    struct visit *visit = visit_new(world, line, fields);
    int status;

    assert_non_null(visit_run(visit));
    assert_true(visit_read(visit));
    status = request_answer(visit->request)->status;
    visit_end(&visit, REQUEST_DONE);
    return status;
}

#define HOST ((const char *const[]){"Host: t", NULL})

static inline int logs_off(void **state)
{
    struct log_options options = {"off", "off", false, LOG_INFO};
    struct fail why = {""};

    (void)state;
    return log_open(&options, &why) ? 0 : -1;
}

static inline int logs_end(void **state)
{
    (void)state;
    log_close();
    return 0;
}

#endif
