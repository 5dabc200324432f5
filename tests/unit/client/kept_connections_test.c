/* kept_connections_test.c - one connection for many requests, and never a request twice.
 *
 * The regressions of libcurl's two habits: reading what lay on an idle connection as the
 * next answer (7.88), and sending a request of any method again when a kept connection
 * dies under it. */
#include "probe.h"
#include "script_server.h"

#define OK_HI "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

static const struct step serve[] = {{S_SERVE, NULL, 0}};

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

static void a_thousand_requests_one_connection(void **state)
{
    const struct step *scripts[] = {serve};
    struct stage s;

    (void)state;
    stage_start(&s, scripts, 1);
    for (int i = 0; i < 1000; i++)
        bench_canary(&s.bench, "of a thousand");
    assert_int_equal(server_connections(s.server), 1);
    assert_int_equal(client_counts(s.bench.client).idle, 1);
    assert_int_equal(client_counts(s.bench.client).active, 0);
    stage_stop(&s);
}

static void fresh_when_asked(void **state)
{
    const struct step *scripts[] = {serve};
    struct client_request request = {.method = STR("GET"), .path = STR("/fresh")};
    struct stage s;
    struct probe p = {0};

    (void)state;
    stage_start(&s, scripts, 1);
    bench_canary(&s.bench, "first");
    probe_run(&s.bench, &p, &request);
    assert_int_equal(p.outcome, CLIENT_OK);
    assert_false(p.times.is_reused);
    assert_int_equal(server_connections(s.server), 2);
    stage_stop(&s);
}

/* ---- bytes on an idle connection --------------------------------------- */

static const struct {
    const char *name;
    struct step steps[6];
} poisons[] = {
    {"a second answer, unasked",
     {{S_HEAD, NULL, 0},
      {S_SEND, OK_HI, 0},
      {S_PAUSE, NULL, 10},
      {S_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 0},
      {S_SERVE, NULL, 0}}},
    {"408 and close",
     {{S_HEAD, NULL, 0},
      {S_SEND, OK_HI, 0},
      {S_PAUSE, NULL, 10},
      {S_SEND, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
       0}}},
    {"close", {{S_HEAD, NULL, 0}, {S_SEND, OK_HI, 0}, {S_PAUSE, NULL, 10}}},
    {"reset", {{S_HEAD, NULL, 0}, {S_SEND, OK_HI, 0}, {S_PAUSE, NULL, 10}, {S_RST, NULL, 0}}},
};

static void poison_is_never_delivered(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(poisons); i++) {
        for (int heard = 0; heard < 2; heard++) { /* by the loop, or only by the guard */
            const struct step *scripts[] = {poisons[i].steps, serve};
            struct stage s;
            struct probe first = {0}, next = {0};

            probe_case = poisons[i].name;
            stage_start(&s, scripts, 2);
            probe_get(&s.bench, &first, STR("GET"), STR("/one"));
            assert_int_equal(first.outcome, CLIENT_OK);
            if (heard)
                bench_idle(&s.bench, 40);
            else
                server_pause(40); /* the poison waits in the socket, unheard */
            probe_get(&s.bench, &next, STR("POST"), STR("/two"));
            if (next.outcome == CLIENT_OK)
                assert_string_equal(next.body, "canary POST /two");
            else if (next.outcome != CLIENT_STALE || heard)
                fail_msg("%s: %s (%s)", poisons[i].name, outcome_names[next.outcome], next.reason);
            assert_int_equal(server_saw(s.server, "/two "), next.outcome == CLIENT_OK ? 1 : 0);
            bench_canary(&s.bench, poisons[i].name);
            stage_stop(&s);
        }
    }
}

/* ---- a kept connection that dies under a request ----------------------- */

static const char *const methods[] = {"GET", "DELETE", "POST", "PUT"};
static const struct step dies[] = {
    {S_HEAD, NULL, 0}, {S_SEND, OK_HI, 0}, {S_HEAD, NULL, 0}, {S_END, NULL, 0}};
static const struct step is_reset[] = {
    {S_HEAD, NULL, 0}, {S_SEND, OK_HI, 0}, {S_HEAD, NULL, 0}, {S_RST, NULL, 0}};

static void no_request_is_sent_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4 * COUNT_OF(methods); i++) {
        bool has_body = (i & 1) != 0;
        const struct step *scripts[] = {(i & 2) != 0 ? is_reset : dies, serve};
        struct client_request request = {
            .method = str_of(methods[i / 4]), .path = STR("/once"), .may_reuse = true};
        struct stage s;
        struct probe first = {0}, p = {0};

        probe_case = methods[i / 4];
        stage_start(&s, scripts, 2);
        probe_get(&s.bench, &first, STR("GET"), STR("/one"));
        assert_int_equal(first.outcome, CLIENT_OK);
        if (has_body) {
            request.body = CLIENT_BODY_SIZED;
            request.body_length = 3;
            p.upload = STR("abc");
        }
        probe_run(&s.bench, &p, &request);
        if (p.outcome != CLIENT_EMPTY)
            fail_msg("%s: %s (%s)", methods[i / 4], outcome_names[p.outcome], p.reason);
        assert_true(p.times.is_reused);
        assert_int_equal(server_saw(s.server, "/once "), 1);
        bench_canary(&s.bench, methods[i / 4]);
        assert_int_equal(server_saw(s.server, "/once "), 1);
        stage_stop(&s);
    }
}

static void idle_ones_are_swept(void **state)
{
    const struct step *scripts[] = {serve};
    struct client_options options = {64, 500, 100, 32768, probe_only_libcurl};
    struct fail why;
    struct stage s;

    (void)state;
    stage_start(&s, scripts, 1);
    client_free(&s.bench.client);
    s.bench.client = client_new(s.bench.loop, &options, &why);
    assert_non_null(s.bench.client);
    bench_canary(&s.bench, "before");
    assert_int_equal(client_counts(s.bench.client).idle, 1);
    bench_idle(&s.bench, 1100);
    assert_int_equal(client_counts(s.bench.client).idle, 0);
    bench_canary(&s.bench, "after");
    assert_int_equal(server_connections(s.server), 2);
    stage_stop(&s);
}

static void nothing_with_a_line_break_is_sent(void **state)
{
    const struct step *scripts[] = {serve};
    struct http_field bad = {STR("A"), STR("b\r\nHost: evil"), HTTP_OTHER};
    const struct http_fields fields = {&bad, 1, 1, NULL};
    struct client_request requests[] = {
        {.method = STR("GET"), .path = STR("/a\r\nX: y")},
        {.method = STR("GET"), .path = STR("/a b")},
        {.method = STR("GET /x HTTP/1.1\r\nA:"), .path = STR("/")},
        {.method = STR("GET"), .path = STR("/"), .host = STR("a\r\nb")},
        {.method = STR("GET"), .path = STR("/"), .fields = &fields},
        {.method = STR("HEAD"), .path = STR("/"), .body = CLIENT_BODY_CHUNKED},
    };
    struct stage s;

    (void)state;
    stage_start(&s, scripts, 1);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        struct probe p = {0};

        probe_run(&s.bench, &p, &requests[i]);
        assert_int_equal(p.outcome, CLIENT_PROTOCOL);
    }
    assert_int_equal(server_connections(s.server), 0);
    stage_stop(&s);
}

static void what_is_sent(void **state)
{
    static const struct step steps[] = {{S_HEAD, NULL, 0},
                                        {S_SEND, OK_HI, 0},
                                        {S_HEAD, NULL, 0},
                                        {S_SEND, OK_HI, 0},
                                        {S_SERVE, NULL, 0}};
    const struct step *scripts[] = {steps};
    struct http_field at[] = {{STR("X-A"), STR("1"), HTTP_OTHER},
                              {STR("X-Empty"), STR(""), HTTP_OTHER},
                              {STR("Content-Length"), STR("7"), HTTP_CONTENT_LENGTH},
                              {STR("X-A"), STR("2"), HTTP_OTHER}};
    const struct http_fields fields = {at, 4, 4, NULL};
    struct client_request request = {.method = STR("PATCH"),
                                     .path = STR("/raw/../%zz?a=b#x^{}|"),
                                     .fields = &fields,
                                     .may_reuse = true};
    struct client_request options = {.method = STR("OPTIONS"), .path = STR("*"), .may_reuse = true};
    struct stage s;
    struct probe p = {0}, q = {0};

    (void)state;
    stage_start(&s, scripts, 1);
    probe_run(&s.bench, &p, &request);
    probe_run(&s.bench, &q, &options);
    assert_int_equal(q.outcome, CLIENT_OK);
    assert_true(q.times.is_reused);
    assert_string_equal(s.server->seen,
                        "PATCH /raw/../%zz?a=b#x^{}| HTTP/1.1\r\n"
                        "Host: upstream.test\r\nX-A: 1\r\nX-Empty:\r\nX-A: 2\r\n\r\n"
                        "OPTIONS * HTTP/1.1\r\nHost: upstream.test\r\n\r\n");
    stage_stop(&s);
}

static void failures_to_connect(void **state)
{
    const struct step *scripts[] = {serve};
    struct stage s;
    struct probe p = {0}, q = {0};
    struct script_server *gone;

    (void)state;
    stage_start(&s, scripts, 1);
    gone = malloc(sizeof(*gone));
    assert_non_null(gone);
    server_start(gone, scripts, 1);
    s.bench.target.port = gone->port;
    server_stop(gone);
    free(gone);
    probe_get(&s.bench, &p, STR("GET"), STR("/"));
    assert_int_equal(p.outcome, CLIENT_CONNECT_FAILED);
    assert_int_equal(p.times.connected_us, 0);
    s.bench.target.host = STR("no-such-host.invalid");
    probe_get(&s.bench, &q, STR("GET"), STR("/"));
    assert_int_equal(q.outcome, CLIENT_DNS_FAILED);
    stage_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_requests_one_connection),
        cmocka_unit_test(fresh_when_asked),
        cmocka_unit_test(poison_is_never_delivered),
        cmocka_unit_test(no_request_is_sent_twice),
        cmocka_unit_test(idle_ones_are_swept),
        cmocka_unit_test(nothing_with_a_line_break_is_sent),
        cmocka_unit_test(what_is_sent),
        cmocka_unit_test(failures_to_connect),
    };

    return probe_both_ways(tests, COUNT_OF(tests));
}
