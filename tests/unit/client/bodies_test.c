/* bodies_test.c - bodies both ways: sized and chunked, paused, refused early, larger than memory.
 *
 * What is held of an answer that nobody takes is bounded: libcurl's buffer and the kernel's. */
#include "probe.h"
#include "script_server.h"

#define OK_HI "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

struct stage {
    struct script_server *server;
    struct bench bench;
};

static void stage_start(struct stage *stage, const struct step *const *scripts, size_t count)
{
    stage->server = malloc(sizeof(*stage->server));
    assert_non_null(stage->server);
    server_start(stage->server, scripts, count);
    bench_start(&stage->bench, stage->server->port);
}

static void stage_stop(struct stage *stage)
{
    bench_stop(&stage->bench);
    server_stop(stage->server);
    free(stage->server);
}

static const struct step serve[] = {{S_SERVE, NULL, 0}};

/* ---- the request's ----------------------------------------------------- */

static const struct step takes_sized[] = {
    {S_UNTIL, "\r\n\r\nfirst second", 0}, {S_SEND, OK_HI, 0}, {S_SERVE, NULL, 0}};
static const struct step takes_chunked[] = {
    {S_UNTIL, "\r\n0\r\n\r\n", 0}, {S_SEND, OK_HI, 0}, {S_SERVE, NULL, 0}};
static const struct step takes_nothing[] = {
    {S_HEAD, NULL, 0}, {S_SEND, OK_HI, 0}, {S_SERVE, NULL, 0}};

static void uploads_with_pauses(void **state)
{
    static const struct {
        const char *method;
        enum client_body body;
        const char *text;
        size_t step;
        const struct step *script;
        const char *saw;
    } rows[] = {
        {"POST", CLIENT_BODY_SIZED, "first second", 0, takes_sized, "Content-Length: 12\r\n"},
        {"GET", CLIENT_BODY_SIZED, "first second", 5, takes_sized, "Content-Length: 12\r\n"},
        {"PUT", CLIENT_BODY_CHUNKED, "first second", 0, takes_chunked,
         "c\r\nfirst second\r\n0\r\n\r\n"},
        {"PATCH", CLIENT_BODY_CHUNKED, "first second", 6, takes_chunked,
         "6\r\nfirst \r\n6\r\nsecond\r\n0\r\n\r\n"},
        {"POST", CLIENT_BODY_SIZED, "", 0, takes_nothing, "Content-Length: 0\r\n"},
        {"POST", CLIENT_BODY_CHUNKED, "", 0, takes_chunked, "Transfer-Encoding: chunked\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct step *scripts[] = {rows[i].script};
        struct client_request request = {.method = str_of(rows[i].method),
                                         .path = STR("/up"),
                                         .body = rows[i].body,
                                         .body_length = strlen(rows[i].text),
                                         .may_reuse = true};
        struct probe p = {
            .upload = str_of(rows[i].text), .upload_step = rows[i].step, .upload_pause_ms = 5};
        struct stage s;

        probe_case = rows[i].saw;
        stage_start(&s, scripts, 1);
        probe_run(&s.bench, &p, &request);
        if (p.outcome != CLIENT_OK || server_saw(s.server, rows[i].saw) != 1)
            fail_msg("row %zu: %s (%s), upstream saw:\n%s", i, outcome_names[p.outcome], p.reason,
                     s.server->seen);
        assert_int_equal(server_saw(s.server, "Expect"), 0);
        bench_canary(&s.bench, "after an upload");
        assert_int_equal(server_connections(s.server), 1);
        stage_stop(&s);
    }
}

static void a_large_upload(void **state)
{
    static const struct step takes[] = {
        {S_HEAD, NULL, 0}, {S_BODY, NULL, 20 << 20}, {S_SEND, OK_HI, 0}, {S_SERVE, NULL, 0}};
    const struct step *scripts[] = {takes};
    struct client_request request = {.method = STR("POST"),
                                     .path = STR("/"),
                                     .body = CLIENT_BODY_SIZED,
                                     .body_length = 20 << 20,
                                     .may_reuse = true};
    struct probe p = {.upload_repeat = 20 << 20};
    struct stage s;

    (void)state;
    stage_start(&s, scripts, 1);
    probe_run(&s.bench, &p, &request);
    assert_int_equal(p.outcome, CLIENT_OK);
    bench_canary(&s.bench, "after a large upload");
    stage_stop(&s);
}

static const struct step refuses_and_closes[] = {
    {S_HEAD, NULL, 0},
    {S_SEND, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno", 0},
    {S_FIN, NULL, 0},
    {S_DRAIN, NULL, 0}};
static const struct step refuses[] = {
    {S_HEAD, NULL, 0},
    {S_SEND, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", 0},
    {S_DRAIN, NULL, 0}};

static void an_early_answer_is_delivered(void **state)
{
    const struct step *firsts[] = {refuses_and_closes, refuses};

    (void)state;
    for (size_t i = 0; i < 2 * COUNT_OF(firsts); i++) {
        const struct step *scripts[] = {firsts[i / 2], serve};
        struct client_request request = {.method = STR("POST"),
                                         .path = STR("/"),
                                         .body = CLIENT_BODY_SIZED,
                                         .body_length = 20 << 20,
                                         .may_reuse = true};
        struct probe p = {.upload_repeat = 20 << 20};
        struct stage s;

        if (i % 2 != 0) { /* the client pauses for ever after a piece */
            request.body = CLIENT_BODY_CHUNKED;
            p = (struct probe){.upload = STR("abcdef"), .upload_step = 3, .upload_pause_ms = 60000};
        }
        probe_case = "early 413";
        stage_start(&s, scripts, 2);
        probe_run(&s.bench, &p, &request);
        if (p.outcome != CLIENT_OK || p.status != 413 || strcmp(p.body, "no") != 0)
            fail_msg("%zu: %s (%s) %d", i, outcome_names[p.outcome], p.reason, p.status);
        bench_canary(&s.bench, "after 413");
        assert_int_equal(server_connections(s.server), 2);
        stage_stop(&s);
    }
}

static void our_side_gives_up(void **state)
{
    static const struct step waits[] = {{S_HEAD, NULL, 0}, {S_DRAIN, NULL, 0}};
    const struct step *scripts[] = {waits, serve};
    struct client_request request = {.method = STR("POST"),
                                     .path = STR("/"),
                                     .body = CLIENT_BODY_SIZED,
                                     .body_length = 12,
                                     .may_reuse = true};
    struct probe ends_early = {.upload = STR("short")}, aborts = {.aborts_upload = true};
    struct stage s;

    (void)state;
    stage_start(&s, scripts, 1);
    probe_run(&s.bench, &ends_early, &request);
    assert_int_equal(ends_early.outcome, CLIENT_BODY_ABORTED);
    probe_run(&s.bench, &aborts, &request);
    assert_int_equal(aborts.outcome, CLIENT_BODY_ABORTED);
    stage_stop(&s);
}

/* ---- the answer's ------------------------------------------------------ */

static const char block_of_kib[] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
_Static_assert(sizeof(block_of_kib) == 1025, "a KiB and its end");

static const struct step gives_50_mb[] = {
    {S_HEAD, NULL, 0},
    {S_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n", 0},
    {S_REPEAT, block_of_kib, 51200},
    {S_SERVE, NULL, 0}};
static const struct step gives_without_end[] = {
    {S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.1 200 OK\r\n\r\n", 0}, {S_REPEAT, block_of_kib, SIZE_MAX}};

/* Under a sanitizer what was freed stays resident, so there is nothing to be seen. */
static long resident_kib(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0;
#else
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &pages, &resident), 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
#endif
}

static void a_large_answer_a_slow_reader(void **state)
{
    const struct step *scripts[] = {gives_50_mb};
    struct stage s;
    struct probe fast = {0}, slow = {.refuses = true, .refuse_ms = 0};
    long before_kib, after_kib;

    (void)state;
    stage_start(&s, scripts, 1);
    probe_get(&s.bench, &fast, STR("GET"), STR("/"));
    assert_int_equal(fast.outcome, CLIENT_OK);
    assert_int_equal(fast.body_bytes, 52428800);
    bench_canary(&s.bench, "after a large answer");
    assert_int_equal(server_connections(s.server), 1);
    stage_stop(&s);

    stage_start(&s, scripts, 1);
    before_kib = resident_kib();
    probe_get(&s.bench, &slow, STR("GET"), STR("/")); /* every piece is refused once */
    after_kib = resident_kib();
    assert_int_equal(slow.outcome, CLIENT_OK);
    assert_int_equal(slow.body_bytes, 52428800);
    if (after_kib - before_kib > 8192)
        fail_msg("%ld KiB more are held", after_kib - before_kib);
    bench_canary(&s.bench, "after a slow reader");
    stage_stop(&s);
}

/* Somebody who reads nothing at all: the upstream must come to a stop. */
static void backpressure_reaches_the_upstream(void **state)
{
    const struct step *scripts[] = {gives_without_end, serve};
    struct client_request request = {.method = STR("GET"), .path = STR("/"), .may_reuse = true};
    struct probe p = {.refuses = true, .refuse_ms = 60000};
    struct stage s;
    long before_kib, after_kib;

    (void)state;
    stage_start(&s, scripts, 2);
    before_kib = resident_kib();
    probe_start(&s.bench, &p, &request);
    bench_idle(&s.bench, 200);
    after_kib = resident_kib();
    assert_true(p.has_refused);
    assert_int_equal(p.body_bytes, 0);
    if (after_kib - before_kib > 4096)
        fail_msg("%ld KiB more are held", after_kib - before_kib);
    assert_int_equal(client_counts(s.bench.client).active, 1);
    deadline_clear(s.bench.loop, &p.later_answer);
    client_cancel(&p.exchange);
    bench_canary(&s.bench, "after one that never read");
    assert_int_equal(client_counts(s.bench.client).active, 0);
    stage_stop(&s);
}

static void cancelled_in_a_callback(void **state)
{
    const struct step *scripts[] = {gives_50_mb, gives_50_mb, serve};
    struct probe in_head = {.cancels = CANCEL_IN_HEAD}, in_body = {.cancels = CANCEL_IN_BODY};
    struct stage s;

    (void)state;
    stage_start(&s, scripts, 3);
    probe_get(&s.bench, &in_head, STR("GET"), STR("/"));
    probe_get(&s.bench, &in_body, STR("GET"), STR("/"));
    assert_false(in_head.is_done || in_body.is_done);
    bench_canary(&s.bench, "after two cancelled");
    stage_stop(&s);
}

static void cancelled_before_it_began(void **state)
{
    const struct step *scripts[] = {serve};
    struct client_request request = {.method = STR("GET"), .path = STR("/x"), .may_reuse = true};
    struct probe p = {0};
    struct stage s;

    (void)state;
    stage_start(&s, scripts, 1);
    probe_start(&s.bench, &p, &request);
    client_cancel(&p.exchange);
    assert_null(p.exchange);
    client_cancel(&p.exchange);
    bench_canary(&s.bench, "after one that never began");
    assert_int_equal(server_saw(s.server, "/x "), 0);
    stage_stop(&s);
}

/* Many at once, and the client goes while some are under way. */
static void many_at_once_and_an_end(void **state)
{
    enum { MANY = 100 };
    const struct step *scripts[] = {serve};
    struct client_request request = {.method = STR("GET"), .path = STR("/x"), .may_reuse = true};
    struct probe *p = calloc(MANY, sizeof(*p));
    struct stage s;
    int done = 0;

    (void)state;
    assert_non_null(p);
    stage_start(&s, scripts, 1);
    for (int i = 0; i < MANY; i++)
        probe_start(&s.bench, &p[i], &request);
    while (done < MANY / 2) {
        bench_run(&s.bench);
        done = 0;
        for (int i = 0; i < MANY; i++)
            done += p[i].is_done ? 1 : 0;
    }
    for (int i = 0; i < MANY; i++)
        if (p[i].is_done)
            assert_string_equal(p[i].body, "canary GET /x");
    stage_stop(&s);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uploads_with_pauses),
        cmocka_unit_test(a_large_upload),
        cmocka_unit_test(an_early_answer_is_delivered),
        cmocka_unit_test(our_side_gives_up),
        cmocka_unit_test(a_large_answer_a_slow_reader),
        cmocka_unit_test(backpressure_reaches_the_upstream),
        cmocka_unit_test(cancelled_in_a_callback),
        cmocka_unit_test(cancelled_before_it_began),
        cmocka_unit_test(many_at_once_and_an_end),
    };

    return probe_both_ways(tests, COUNT_OF(tests));
}
