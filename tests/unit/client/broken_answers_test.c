/* broken_answers_test.c - what comes of every way in which an upstream can misbehave.
 *
 * One row, one scripted connection; then a canary on the same client must get its own
 * answer, so nothing of the mischief is left in a kept connection. */
#include "probe.h"
#include "script_server.h"

#include <curl/curlver.h>

#define OK11 "HTTP/1.1 200 OK\r\n"

/* libcurl 8 refuses these itself, before we see them, and gives reasons of its own. */
#if LIBCURL_VERSION_NUM >= 0x080000
#define OURS(reason) NULL
#else
#define OURS(reason) reason
#endif

enum { MOST_STEPS = 6 };
static const struct row {
    const char *name, *method;
    struct step steps[MOST_STEPS];
    enum client_outcome outcome;
    int status;         /* of the head that was delivered; 0: none was */
    const char *body;   /* NULL: not looked at */
    const char *reason; /* NULL: not looked at */
} rows[] = {
    /* clang-format off */
    {"plain", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length: 2\r\n\r\nhi", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 200, "hi", "ok"},
    {"100, 102, 103 come before the head", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK11 "Content-Length: 2\r\n\r\nhi", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 200, "hi", NULL},
    {"20 000 times 103", "GET", {{S_HEAD, NULL, 0}, {S_REPEAT, "HTTP/1.1 103 E\r\nLink: </a>\r\n\r\n", 20000}, {S_SEND, OK11 "Content-Length: 0\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_HEADER_LIMIT, 0, NULL, "too_many_interims"},
    {"closed before a byte", "GET", {{S_HEAD, NULL, 0}}, CLIENT_EMPTY, 0, NULL, NULL},
    {"reset before a byte", "GET", {{S_HEAD, NULL, 0}, {S_RST, NULL, 0}}, CLIENT_EMPTY, 0, NULL, NULL},
    {"reset in the head", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "A: b\r\n", 0}, {S_PAUSE, NULL, 20}, {S_RST, NULL, 0}}, CLIENT_RESET, 0, NULL, NULL},
    {"closed in the head", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "A: b\r\n", 0}}, CLIENT_RESET, 0, NULL, NULL},
    {"closed in the status line", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.1 20", 0}}, CLIENT_RESET, 0, NULL, NULL},
    {"reset in a sized body", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length: 10\r\n\r\nhi", 0}, {S_PAUSE, NULL, 20}, {S_RST, NULL, 0}}, CLIENT_TRUNCATED, 200, "hi", NULL},
    {"closed in a sized body", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length: 10\r\n\r\nhi", 0}}, CLIENT_TRUNCATED, 200, "hi", NULL},
    {"closed in a chunked body", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", 0}}, CLIENT_TRUNCATED, 200, "hi", NULL},
    {"closed in a chunk", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Transfer-Encoding: chunked\r\n\r\n9\r\nhi", 0}}, CLIENT_TRUNCATED, 200, "hi", NULL},
    {"reset in a body that ends with the connection", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "\r\nhi", 0}, {S_PAUSE, NULL, 20}, {S_RST, NULL, 0}}, CLIENT_TRUNCATED, 200, "hi", NULL},
    {"a body that ends with the connection", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "\r\nhi", 0}}, CLIENT_OK, 200, "hi", NULL},
    {"more bytes than announced, at once", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 200, "hi", NULL},
    {"more bytes than announced, soon after", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length: 2\r\n\r\nhi", 0}, {S_PAUSE, NULL, 5}, {S_SEND, OK11 "Content-Length: 6\r\n\r\npoison", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 200, "hi", NULL},
    {"chunk size is garbage", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Transfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 200, "", "bad_chunk"},
    {"chunk size is negative", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Transfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n0\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 200, "", "bad_chunk"},
    {"chunk size overflows", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhi\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 200, "", "bad_chunk"},
    {"chunk without its end", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Transfer-Encoding: chunked\r\n\r\n2\r\nhixx0\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 200, "hi", "bad_chunk"},
    {"two lengths", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, "multi_cl"},
    {"length and chunked", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, "te_and_cl"},
    {"length +3", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length: +3\r\n\r\nhi!", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, OURS("bad_cl")},
    {"length -3", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length: -3\r\n\r\nhi!", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, NULL},
    {"length 10^22", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length: 10000000000000000000000\r\n\r\nhi!", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, "bad_cl"},
    {"gzip, chunked", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, OURS("bad_te")},
    {"garbage", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "\x16\x03\x01\x02gar\r\nbage\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, NULL},
    {"HTTP/0.9", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "<html>hello</html>", 0}}, CLIENT_PROTOCOL, 0, NULL, NULL},
    {"an SSH banner", "GET", {{S_SEND, "SSH-2.0-OpenSSH_9.2\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, NULL},
    {"status 99", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, NULL},
    {"status 000", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, NULL},
    {"status 1000", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.1 1000 X\r\nContent-Length: 0\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, NULL},
    {"HTTP/2 on HTTP/1", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/2 200\r\nContent-Length: 2\r\n\r\nhi", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, "bad_version"},
    {"HTTP/3.7", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/3.7 200 OK\r\nContent-Length: 2\r\n\r\nhi", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, NULL},
    {"lines end with LF alone", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 200, "hi", NULL},
    {"NUL in a field", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "A: b", 0}, {S_NUL, NULL, 0}, {S_SEND, "c\r\nContent-Length: 0\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, NULL},
    {"a line without colon", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "nonsense\r\nContent-Length: 0\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, NULL},
    {"bare CR in a value", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "A: b\rSet-Cookie: x\r\nContent-Length: 0\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, "bad_header_value"},
    {"blank before the colon", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length : 2\r\n\r\nhi", 0}}, CLIENT_PROTOCOL, 0, NULL, "bad_header_name"},
    {"one header of 400 kB", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "A: ", 0}, {S_REPEAT, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 10000}, {S_SEND, "\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_HEADER_LIMIT, 0, NULL, "headers_too_large"},
    {"one header of 60 kB", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "A: ", 0}, {S_REPEAT, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1500}, {S_SEND, "\r\n\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_HEADER_LIMIT, 0, NULL, "headers_too_large"},
    {"20 000 headers", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11, 0}, {S_REPEAT, "A: b\r\n", 20000}, {S_SEND, "\r\n", 0}, {S_DRAIN, NULL, 0}}, CLIENT_HEADER_LIMIT, 0, NULL, "too_many_headers"},
    {"204 with a body", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.1 204 No Content\r\n\r\n", 0}, {S_PAUSE, NULL, 5}, {S_SEND, OK11 "Content-Length: 6\r\n\r\npoison", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 204, "", NULL},
    {"204 with a body at once", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.1 204 No Content\r\n\r\n" OK11 "Content-Length: 6\r\n\r\npoison", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 204, "", NULL},
    {"304 with a length and a body", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 304, "", NULL},
    {"HEAD with a body", "HEAD", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length: 6\r\n\r\npoison", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 200, "", NULL},
    {"HEAD with a body later", "HEAD", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Length: 6\r\n\r\n", 0}, {S_PAUSE, NULL, 5}, {S_SEND, "poison", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 200, "", NULL},
    {"101 unasked", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nwhat", 0}, {S_DRAIN, NULL, 0}}, CLIENT_PROTOCOL, 0, NULL, "switching_protocols"},
    {"trailers", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\nContent-Length: 4\r\n\r\n", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 200, "hi", NULL},
    {"closes after each answer", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Connection: close\r\nContent-Length: 2\r\n\r\nhi", 0}}, CLIENT_OK, 200, "hi", NULL},
    {"HTTP/1.0", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.0 200 OK\r\n\r\nhi", 0}}, CLIENT_OK, 200, "hi", NULL},
    {"HTTP/1.0 that keeps the connection", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 200, "hi", NULL},
    {"redirect to the inside", "GET", {{S_HEAD, NULL, 0}, {S_SEND, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 302, "", NULL},
    {"gzip is not unpacked", "GET", {{S_HEAD, NULL, 0}, {S_SEND, OK11 "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", 0}, {S_SERVE, NULL, 0}}, CLIENT_OK, 200, "hi", NULL},
    /* clang-format on */
};
static const struct step canary[] = {{S_SERVE, NULL, 0}};

static void run_row(const struct row *row)
{
    const struct step *scripts[] = {row->steps, canary};
    struct script_server *server = malloc(sizeof(*server));
    struct bench bench;
    struct probe p = {0};
    size_t seen;

    assert_non_null(server);
    probe_case = row->name;
    server_start(server, scripts, COUNT_OF(scripts));
    bench_start(&bench, server->port);
    probe_get(&bench, &p, str_of(row->method), STR("/row"));
    if (probe_only_libcurl && row->outcome == CLIENT_RESET && p.outcome == CLIENT_EMPTY)
        p.outcome = CLIENT_RESET; /* of half a status line libcurl does not tell */
    if (p.outcome != row->outcome || p.status != row->status)
        fail_msg("%s: got %s (%s) after status %d, want %s after %d", row->name,
                 outcome_names[p.outcome], p.reason, p.status, outcome_names[row->outcome],
                 row->status);
    if (row->body != NULL && strcmp(row->body, p.body) != 0)
        fail_msg("%s: the body is \"%s\"", row->name, p.body);
    if (row->reason != NULL && strcmp(row->reason, p.reason) != 0)
        fail_msg("%s: the reason is %s", row->name, p.reason);
    /* who speaks first may be left before the request is read; nobody sees it twice */
    seen = server_saw(server, "/row ");
    if (seen > 1 || (seen == 0 && row->steps[0].kind == S_HEAD))
        fail_msg("%s: the server saw it %zu times", row->name, seen);
    if (row->outcome == CLIENT_OK && row->steps[2].kind == S_PAUSE)
        bench_idle(&bench, 200); /* poison that comes after the next request cannot be told */
    bench_canary(&bench, row->name);
    bench_canary(&bench, row->name);
    bench_stop(&bench);
    server_stop(server);
    free(server);
}

static void each_row_and_its_canary(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        run_row(&rows[i]);
}

static void details_of_heads(void **state)
{
    static const struct step steps[] = {
        {S_HEAD, NULL, 0},
        {S_SEND,
         OK11 "A: one\r\n  two\r\nA: three\r\nEmpty:\r\nTransfer-Encoding: chunked\r\n\r\n"
              "2\r\nhi\r\n0\r\nX-Sum: 1\r\nContent-Length: 4\r\nbad name: x\r\n\r\n",
         0},
        {S_SERVE, NULL, 0}};
    const struct step *scripts[] = {steps};
    struct script_server *server = malloc(sizeof(*server));
    struct bench bench;
    struct probe p = {0};

    (void)state;
    assert_non_null(server);
    server_start(server, scripts, 1);
    bench_start(&bench, server->port);
    probe_get(&bench, &p, STR("GET"), STR("/"));
    assert_int_equal(p.outcome, CLIENT_OK);
    assert_string_equal(p.head_text, "A=one two|A=three|Empty=|Transfer-Encoding=chunked|");
    assert_string_equal(p.trailer_text, "X-Sum=1|");
    assert_true(p.facts.is_chunked);
    assert_false(p.times.is_reused);
    assert_true(p.times.connected_us > 0 && p.times.first_byte_us >= p.times.connected_us);
    bench_canary(&bench, "after trailers");
    assert_int_equal(server_connections(server), 1);
    bench_stop(&bench);
    server_stop(server);
    free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_row_and_its_canary),
                                       cmocka_unit_test(details_of_heads)};

    return probe_both_ways(tests, COUNT_OF(tests));
}
