/* raw_test.c - bytes in, bytes out: a real daemon on a loopback socket.
 *
 * One thread: bytes are sent, the loop turns until what is expected has come or the connection has
 * ended. What the framing of each answer is, whether the connection lives on (the same
 * connection is then asked for /health), and what our head check sees that the library
 * hides. */
#include "../request/request_fixture.h"
#include "server/server.h"

#include <errno.h>
#include <fcntl.h>

enum { RECEIVED_ROOM = 1 << 16, WAIT_TURNS = 3000 };

#define ROUTES                                                                                     \
    "\"upstreams\":{\"u\":{\"targets\":[\"http://127.0.0.1:%u\"],\"retry\":{\"attempts\":0}}},"    \
    "\"routes\":[{\"match\":{\"path\":\"/*\"},\"upstream\":\"u\",\"max_body_bytes\":64}]}"
#define CONFIG(server) "{\"limits\":{\"enabled\":false},\"server\":{" server "}," ROUTES

struct bench {
    struct world *world;
    struct server *server;
    struct server_counts *counts;
    uint16_t port;
    struct script_server origin;
    int fd;
    char received[RECEIVED_ROOM];
    size_t len;
    bool has_ended;
};

static void bench_start(struct bench *b, const char *config, const struct step *const *scripts)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct fail why = {""};

    memset(b, 0, sizeof(*b));
    server_start(&b->origin, scripts, 1);
    b->world = world_new(config, b->origin.port);
    b->counts = server_counts_new();
    b->server = server_new(b->world->loop, b->world->context, b->counts, false, &why);
    assert_non_null(b->server);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    b->port = ntohs(at.sin_port);
    assert_true(
        server_add(b->server, fd, &request_rules_config(b->world->rules)->server.listen[0], &why));
    b->fd = -1;
}

static int dial(struct bench *b)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(b->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void look(struct bench *b)
{
    ssize_t got = recv(b->fd, b->received + b->len, RECEIVED_ROOM - 1 - b->len, 0);

    if (got > 0)
        b->len += (size_t)got;
    else
        b->has_ended = got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    b->received[b->len] = '\0';
}

/* Turns until `text` has come, or the connection has ended; at most some seconds. */
static bool until(struct bench *b, const char *text)
{
    for (int i = 0; i < WAIT_TURNS && !b->has_ended; i++) {
        settle(b->world);
        look(b);
        if (text != NULL && strstr(b->received, text) != NULL)
            return true;
        if (i > 10)
            server_pause(1);
    }
    return b->has_ended && (text == NULL || strstr(b->received, text) != NULL);
}

static void send_bytes(struct bench *b, const char *bytes, size_t len)
{
    assert_int_equal(send(b->fd, bytes, len, MSG_NOSIGNAL), len);
}

static void bench_stop(struct bench *b)
{
    if (b->fd >= 0)
        close(b->fd);
    server_stop_accepting(b->server);
    for (int i = 0; i < WAIT_TURNS && server_connections(b->server) > 0; i++) {
        server_abort(b->server);
        settle(b->world);
    }
    assert_int_equal(server_connections(b->server), 0);
    assert_int_equal(server_counts_connections(b->counts), 0);
    server_free(&b->server);
    server_counts_free(&b->counts);
    world_free(b->world);
    server_stop(&b->origin);
}

/* ---- answers ---- */

#define HEALTH "GET /health HTTP/1.1\r\nHost: t\r\n\r\n"
#define ALIVE  "{\"status\":\"ok\"}\n"

static const struct {
    const char *name, *request, *origin;
    const char *want[4], *never[4];
    bool lives; /* the connection serves the next request; else it ends */
} answers[] = {
    {"a length",
     "GET /a HTTP/1.1\r\nHost: t\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
     {"HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n", "\r\n\r\nhello"},
     {"Transfer-Encoding", "Connection: close"},
     true},
    {"chunks",
     "GET /a HTTP/1.1\r\nHost: t\r\n\r\n",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
     {"HTTP/1.1 200 OK\r\n", "hello"},
     {"Connection: close"},
     true},
    {"chunks for HTTP/1.0",
     "GET /a HTTP/1.0\r\nHost: t\r\n\r\n",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
     {"200 OK\r\n", "hello"},
     {"Transfer-Encoding"},
     false},
    {"HEAD with a length",
     "HEAD /a HTTP/1.1\r\nHost: t\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
     {"Content-Length: 5\r\n"},
     {"Connection: close", "hello"},
     true},
    {"HEAD of nothing",
     "HEAD /a HTTP/1.1\r\nHost: t\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     {"Content-Length: 0\r\n"},
     {"Connection: close"},
     true},
    {"204",
     "GET /a HTTP/1.1\r\nHost: t\r\n\r\n",
     "HTTP/1.1 204 No Content\r\n\r\n",
     {"204 No Content\r\n"},
     {"Content-Length", "Transfer-Encoding", "Connection: close"},
     true},
    {"304 with a length",
     "GET /a HTTP/1.1\r\nHost: t\r\nIf-None-Match: \"a\"\r\n\r\n",
     "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n",
     {"304 Not Modified\r\n", "ETag: \"a\"\r\n"},
     {"Content-Length: 0", "\r\n\r\n0"},
     true},
    {"the client closes",
     "GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
     "",
     {ALIVE},
     {NULL},
     false},
    {"HTTP/1.0", "GET /health HTTP/1.0\r\nHost: t\r\n\r\n", "", {ALIVE}, {NULL}, false},
    {"cut within the body",
     "GET /a HTTP/1.1\r\nHost: t\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
     {"Content-Length: 50\r\n", "hello"},
     {NULL},
     false},
    {"a body",
     "POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody",
     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
     {"\r\n\r\nok"},
     {"Connection: close"},
     true},
    {"a body too large as announced",
     "POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 65\r\n\r\n",
     "",
     {"413 Content Too Large\r\n", "Connection: close\r\n", "\"status\":413"},
     {"100 Continue"},
     false},
    {"a body too large on its way",
     "POST /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n"
     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n",
     "",
     {"HTTP/1.1 413 Content Too Large\r\n", "Connection: close\r\n", "\"status\":413"},
     {NULL},
     false},
    {"the library's own refusal",
     "POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n",
     "",
     {"HTTP/1.1 400"},
     {NULL},
     false},
};

static bool is_wrong(const char *received, const char *const *texts, bool want)
{
    for (size_t i = 0; i < 4 && texts[i] != NULL; i++)
        if ((strstr(received, texts[i]) != NULL) != want)
            return true;
    return false;
}

static void answers_are_framed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        const struct step script[] = {
            {S_HEAD, NULL, 0}, {S_SEND, answers[i].origin, 0}, {S_END, NULL, 0}};
        const struct step *scripts[] = {script};
        struct bench *b = calloc(1, sizeof(*b));
        char *rest;

        assert_non_null(b);
        bench_start(b, CONFIG(""), scripts);
        b->fd = dial(b);
        send_bytes(b, answers[i].request, strlen(answers[i].request));
        if (answers[i].lives) {
            send_bytes(b, HEALTH, strlen(HEALTH));
            if (!until(b, ALIVE) || b->has_ended)
                fail_msg("%s: the connection does not live on: %s", answers[i].name, b->received);
            rest = strstr(b->received + 1, "HTTP/1.1 200 OK\r\nDate");
            while (rest != NULL && strstr(rest + 1, "HTTP/1.1 ") != NULL)
                rest = strstr(rest + 1, "HTTP/1.1 ");
            if (rest != NULL && rest != b->received)
                *rest = '\0'; /* of the second answer nothing is said */
        } else if (!until(b, NULL)) {
            fail_msg("%s: the connection does not end: %s", answers[i].name, b->received);
        }
        if (is_wrong(b->received, answers[i].want, true) ||
            is_wrong(b->received, answers[i].never, false))
            fail_msg("%s: %s", answers[i].name, b->received);
        bench_stop(b);
        free(b);
    }
}

/* ---- heads ---- */

#define BYTES(text) text, sizeof(text) - 1
static const struct {
    const char *name, *bytes;
    size_t len;
    const char *status;
} heads[] = {
    {"plain", BYTES(HEALTH), "200"},
    {"blanks around a value", BYTES("GET /health HTTP/1.1\r\nHost: \t t \t \r\nA:b\r\n\r\n"),
     "200"},
    {"an empty value", BYTES("GET /health HTTP/1.1\r\nHost: t\r\nA:\r\nB: \r\n\r\n"), "200"},
    {"a query", BYTES("GET /health?a=b&c=%41 HTTP/1.1\r\nHost: t\r\n\r\n"), "200"},
    {"escapes", BYTES("GET /%68ealth HTTP/1.1\r\nHost: t\r\n\r\n"), "200"},
    {"a line before", BYTES("\r\nGET /health HTTP/1.1\r\nHost: t\r\n\r\n"), "200"},
    {"a bare LF", BYTES("GET /health HTTP/1.1\r\nHost: t\nA: b\r\n\r\n"), "400"},
    {"a folded line", BYTES("GET /health HTTP/1.1\r\nHost: t\r\nA: b\r\n c\r\n\r\n"), "400"},
    {"a NUL in a value", BYTES("GET /health HTTP/1.1\r\nHost: t\r\nA: b\0c\r\n\r\n"), "400"},
    {"a NUL in the target", BYTES("GET /health\0x HTTP/1.1\r\nHost: t\r\n\r\n"), "400 or silence"},
    {"a blank before the colon", BYTES("GET /health HTTP/1.1\r\nHost : t\r\n\r\n"), "400"},
    {"an empty name", BYTES("GET /health HTTP/1.1\r\nHost: t\r\n: b\r\n\r\n"), "400"},
    {"two blanks", BYTES("GET  /health HTTP/1.1\r\nHost: t\r\n\r\n"), "400"},
    {"a control byte", BYTES("GET /health HTTP/1.1\r\nHost: t\r\nA: \x01\r\n\r\n"), "400"},
};

static void hidden_bytes_are_refused(void **state)
{
    static const struct step serve[] = {{S_SERVE, NULL, 0}};
    const struct step *scripts[] = {serve};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        struct bench *b = calloc(1, sizeof(*b));

        assert_non_null(b);
        bench_start(b, CONFIG(""), scripts);
        b->fd = dial(b);
        send_bytes(b, heads[i].bytes, heads[i].len);
        (void)until(b, "\r\n\r\n");
        if ((b->received[0] != '\0' || strstr(heads[i].status, "silence") == NULL) &&
            (strncmp(b->received, "HTTP/1.1 ", 9) != 0 ||
             strncmp(b->received + 9, heads[i].status, 3) != 0))
            fail_msg("%s: %s", heads[i].name, b->received);
        if (heads[i].status[0] == '4' && !until(b, NULL))
            fail_msg("%s: the connection lives on", heads[i].name);
        bench_stop(b);
        free(b);
    }
}

/* ---- connections ---- */

static const struct {
    const char *name, *config, *request, *want; /* the connection ends after it */
} ends[] = {
    {"the last request of a connection", CONFIG("\"max_requests_per_connection\":2"), HEALTH HEALTH,
     "Connection: close"},
    {"no head", CONFIG("\"header_timeout\":\"100ms\""), "", ""},
    {"a head that does not end", CONFIG("\"header_timeout\":\"100ms\""),
     "GET /health HTTP/1.1\r\nHost: t\r\n", "HTTP/1.1 408 "},
    {"a line that does not end", CONFIG("\"header_timeout\":\"100ms\""), "GET /hea",
     "HTTP/1.1 408 "},
    {"a body that does not end", CONFIG("\"body_timeout\":\"100ms\""),
     "POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nhalf", "HTTP/1.1 408 "},
    {"nothing after an answer", CONFIG("\"idle_timeout\":\"100ms\""), HEALTH, ALIVE},
};

static void connections_end(void **state)
{
    static const struct step hang[] = {{S_HANG, NULL, 0}};
    const struct step *scripts[] = {hang};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        struct bench *b = calloc(1, sizeof(*b));

        assert_non_null(b);
        bench_start(b, ends[i].config, scripts);
        b->fd = dial(b);
        send_bytes(b, ends[i].request, strlen(ends[i].request));
        if (!until(b, NULL))
            fail_msg("%s: it does not end", ends[i].name);
        if (strstr(b->received, ends[i].want) == NULL)
            fail_msg("%s: %s", ends[i].name, b->received);
        bench_stop(b);
        free(b);
    }
}

static void one_connection_too_many(void **state)
{
    static const struct step serve[] = {{S_SERVE, NULL, 0}};
    const struct step *scripts[] = {serve};
    struct bench *b = calloc(1, sizeof(*b));
    int first;

    (void)state;
    assert_non_null(b);
    bench_start(b, CONFIG("\"max_connections\":1"), scripts);
    first = dial(b);
    settle(b->world);
    b->fd = dial(b);
    assert_true(until(b, NULL));
    assert_non_null(strstr(b->received, "HTTP/1.1 503 Service Unavailable\r\n"));
    assert_non_null(strstr(b->received, "Retry-After: 1\r\n"));
    assert_non_null(strstr(b->received, "\"status\":503"));
    close(b->fd);
    close(first);
    for (int i = 0; i < WAIT_TURNS && server_connections(b->server) > 0; i++)
        settle(b->world);
    b->fd = dial(b);
    b->len = 0;
    b->has_ended = false;
    send_bytes(b, HEALTH, strlen(HEALTH));
    assert_true(until(b, ALIVE));
    bench_stop(b);
    free(b);
}

/* The client goes while its request is suspended: nothing is left of it. */
static void a_client_that_leaves_is_noticed(void **state)
{
    static const struct step hang[] = {{S_HANG, NULL, 0}};
    const struct step *scripts[] = {hang};
    struct bench *b = calloc(1, sizeof(*b));

    (void)state;
    assert_non_null(b);
    bench_start(b, CONFIG(""), scripts);
    b->fd = dial(b);
    send_bytes(b, "GET /a HTTP/1.1\r\nHost: t\r\n\r\n", 28);
    for (int i = 0; i < WAIT_TURNS && server_saw(&b->origin, "GET /a") == 0; i++)
        settle(b->world);
    assert_int_equal(request_context_live(b->world->context), 1);
    close(b->fd);
    b->fd = -1;
    for (int i = 0; i < WAIT_TURNS && server_connections(b->server) > 0; i++)
        settle(b->world);
    assert_int_equal(server_connections(b->server), 0);
    assert_int_equal(request_context_live(b->world->context), 0);
    bench_stop(b);
    free(b);
}

/* It said that it would ask no more: what is ready is sent, and the connection ends at once. */
static void a_half_closed_client_gets_what_is_ready(void **state)
{
    static const struct step serve[] = {{S_SERVE, NULL, 0}};
    const struct step *scripts[] = {serve};

    (void)state;
    for (int turns = 0; turns < 3; turns++) {
        struct bench *b = calloc(1, sizeof(*b));

        assert_non_null(b);
        bench_start(b, CONFIG(""), scripts);
        b->fd = dial(b);
        for (int i = 0; i < turns; i++)
            settle(b->world);
        send_bytes(b, HEALTH HEALTH, 2 * strlen(HEALTH));
        assert_int_equal(shutdown(b->fd, SHUT_WR), 0);
        assert_true(until(b, NULL));
        if (strstr(b->received, ALIVE) == NULL ||
            strstr(strstr(b->received, ALIVE) + 1, ALIVE) == NULL)
            fail_msg("after %d turns: %s", turns, b->received);
        bench_stop(b);
        free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_framed),
        cmocka_unit_test(hidden_bytes_are_refused),
        cmocka_unit_test(connections_end),
        cmocka_unit_test(one_connection_too_many),
        cmocka_unit_test(a_client_that_leaves_is_noticed),
        cmocka_unit_test(a_half_closed_client_gets_what_is_ready),
    };

    return cmocka_run_group_tests(tests, logs_off, logs_end);
}
