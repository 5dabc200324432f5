/* read_alike_test.c - our parser and libcurl's read the same bytes the same.
 *
 * Answers are put together from sound and unsound parts by a generator that starts at the same
 * place each time. Each is sent on a connection of its own, to our short way and to libcurl's, and
 * the connection then ends. What one calls whole the other must call whole, with the same status,
 * fields, body and trailers; where ours refuses what libcurl takes, the reason is one of those
 * named below; the other way round never. */
#include "probe.h"
#include "script_server.h"

enum { ANSWERS = 400, MOST_TEXT = 1024 };

static uint32_t seed;
static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static const char *const statuses[] = {
    "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n",         "HTTP/1.1 404 Not Found\r\n",
    "HTTP/1.0 200 OK\r\n", "HTTP/1.1 204 No Content\r\n", "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.1 500\r\n",    "HTTP/1.1 200 OK\n",           "HTTP/1.1 999 What\r\n",
    "HTTP/1.2 200 OK\r\n", "HTTP/1.1 20 OK\r\n"};
static const char *const interims[] = {"HTTP/1.1 100 Continue\r\n\r\n",
                                       "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"};
static const char *const fields[] = {
    "Content-Type: text/plain\r\n",
    "X-A: one\r\n two\r\n",
    "X-Empty:\r\n",
    "X-Blank:   b \t\r\n",
    "Set-Cookie: a=b\r\n",
    "Set-Cookie: c=d\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "x-lower: \xc3\xa4\r\n",
    "X-Lf: 1\n",
    "Content-Length : 3\r\n",
    "X-Cr: a\rb\r\n",
};
static const char *const framings[] = {
    "Content-Length: 5\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 7\r\n",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding: Chunked\r\n",
    "",
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
};
static const char *const plain_bodies[] = {"hello", "hel", "", "hello, world"};
static const char *const chunked_bodies[] = {
    "5\r\nhello\r\n0\r\n\r\n",
    "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    "5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\nbad name: 2\r\n\r\n",
    "05\r\nhello\r\n000\r\n\r\n",
    "5  \r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n",
    "5\r\nhel",
    "5\r\nhelloX\r\n0\r\n\r\n",
    "g\r\nhello\r\n0\r\n\r\n",
    "\r\nhello\r\n0\r\n\r\n",
    "0\r\n\r\nmore",
    "fffffffffffffffff\r\nhello\r\n",
};

#define PICK(list) (list)[draw(COUNT_OF(list))]

static void put_together(char *text)
{
    const char *framing = PICK(framings);
    const char *const parts[] = {
        draw(5) == 0 ? PICK(interims) : "",
        PICK(statuses),
        draw(2) == 0 ? PICK(fields) : "",
        framing,
        draw(2) == 0 ? PICK(fields) : "",
        "\r\n",
        strcasestr(framing, "chunked") != NULL ? PICK(chunked_bodies) : PICK(plain_bodies),
    };
    size_t len = 0;

    for (size_t i = 0; i < COUNT_OF(parts); i++)
        len += (size_t)snprintf(text + len, MOST_TEXT - len, "%s", parts[i]);
}

static void read_one(const char *text, const char *method, bool only_libcurl, struct probe *p)
{
    const struct step steps[] = {{S_HEAD, NULL, 0}, {S_SEND, text, 0}, {S_END, NULL, 0}};
    const struct step *scripts[] = {steps};
    struct script_server *server = malloc(sizeof(*server));
    struct bench bench;

    assert_non_null(server);
    probe_case = text;
    probe_only_libcurl = only_libcurl;
    server_start(server, scripts, 1);
    bench_start(&bench, server->port);
    probe_get(&bench, p, str_of(method), STR("/"));
    bench_stop(&bench);
    server_stop(server);
    free(server);
}

/* What libcurl forgives: its lines of chunks may have anything behind the size. */
static bool may_be_stricter(const struct probe *ours)
{
    return strcmp(ours->reason, "bad_chunk") == 0;
}

static void compare(const char *text, const char *method)
{
    struct probe ours = {0}, theirs = {0};

    read_one(text, method, false, &ours);
    read_one(text, method, true, &theirs);
    if (ours.outcome != CLIENT_OK && theirs.outcome == CLIENT_OK && may_be_stricter(&ours))
        return;
    if ((ours.outcome == CLIENT_OK) != (theirs.outcome == CLIENT_OK) ||
        ours.status != theirs.status || strcmp(ours.head_text, theirs.head_text) != 0)
        fail_msg("%s:\n%s\nours: %s (%s) %d %s\nlibcurl: %s (%s) %d %s", method, text,
                 outcome_names[ours.outcome], ours.reason, ours.status, ours.head_text,
                 outcome_names[theirs.outcome], theirs.reason, theirs.status, theirs.head_text);
    if (ours.outcome == CLIENT_OK && (strcmp(ours.body, theirs.body) != 0 ||
                                      strcmp(ours.trailer_text, theirs.trailer_text) != 0))
        fail_msg("%s:\n%s\nours: \"%s\" %s\nlibcurl: \"%s\" %s", method, text, ours.body,
                 ours.trailer_text, theirs.body, theirs.trailer_text);
}

static void both_read_alike(void **state)
{
    char text[MOST_TEXT];

    (void)state;
    seed = 20;
    for (int i = 0; i < ANSWERS; i++) {
        put_together(text);
        compare(text, i % 8 == 7 ? "HEAD" : "GET");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_read_alike)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
