/* broken.c - /broken/: answers that are wrong on purpose, as a table of bytes.
 *
 * A row is what is sent, whatever was asked, and how the connection ends. Rows with a function
 * need time or size (broken_stream.c). Each fault is one that a proxy met in the field: what it
 * must not do is hand any of it on, nor give the next user of the connection what was left. */
#include "origin.h"

#define OK   "HTTP/1.1 200 OK\r\n"
#define JSON "Content-Type: application/json\r\n"
/* never to be seen by a client: it stands where another's answer would be */
#define POISON OK "Content-Length: 8\r\nX-Poison: yes\r\n\r\npoisoned"

static const struct {
    const char *path;
    struct slice bytes;
    enum ending ending;
    path_fn *show;
} rows[] = {
    /* the connection */
    {"close", {"", 0}, END_CLOSE, NULL},
    {"reset", {"", 0}, END_RESET, NULL},
    {"close-reused", {"", 0}, END_KEEP, broken_close_reused},
    {"never", {"", 0}, END_KEEP, broken_never},
    {"drip", {"", 0}, END_KEEP, broken_drip},
    {"endless", {"", 0}, END_KEEP, broken_endless},
    {"early-413", {"", 0}, END_KEEP, broken_early_413},
    {"idle-408", {"", 0}, END_KEEP, broken_idle_408},
    {"extra", {"", 0}, END_KEEP, broken_extra},
    {"reset-mid-head", SLICE(OK "Content-Le"), END_RESET, NULL},
    {"close-mid-head", SLICE(OK "Content-Le"), END_CLOSE, NULL},
    {"reset-mid-body", SLICE(OK "Content-Length: 100\r\n\r\nhello"), END_RESET, NULL},
    {"connection-close", SLICE(OK "Content-Length: 5\r\nConnection: close\r\n\r\nhello"), END_CLOSE,
     NULL},
    {"http10", SLICE("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"), END_CLOSE, NULL},
    {"close-delimited", SLICE(OK "Content-Type: text/plain\r\n\r\nhello"), END_CLOSE, NULL},
    /* the length */
    {"short", SLICE(OK "Content-Length: 100\r\n\r\nhello"), END_CLOSE, NULL},
    {"surplus", SLICE(OK "Content-Length: 5\r\n\r\nhello" POISON), END_KEEP, NULL},
    {"two-lengths", SLICE(OK "Content-Length: 5\r\nContent-Length: 7\r\n\r\nhello"), END_KEEP,
     NULL},
    {"list-length", SLICE(OK "Content-Length: 5, 7\r\n\r\nhello"), END_KEEP, NULL},
    {"length-and-chunked",
     SLICE(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), END_KEEP, NULL},
    {"plus-length", SLICE(OK "Content-Length: +5\r\n\r\nhello"), END_KEEP, NULL},
    {"minus-length", SLICE(OK "Content-Length: -5\r\n\r\nhello"), END_KEEP, NULL},
    {"huge-length", SLICE(OK "Content-Length: 10000000000000000000000\r\n\r\nhello"), END_CLOSE,
     NULL},
    {"te-gzip", SLICE(OK "Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
     END_KEEP, NULL},
    {"two-codings",
     SLICE(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
     END_KEEP, NULL},
    {"head-body", SLICE(OK "Content-Length: 5\r\n\r\nhello" POISON), END_KEEP, NULL},
    {"204-body", SLICE("HTTP/1.1 204 No Content\r\n\r\n" POISON), END_KEEP, NULL},
    {"304-body", SLICE("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n" POISON), END_KEEP, NULL},
    /* chunks */
    {"chunk-cut", SLICE(OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), END_CLOSE, NULL},
    {"bad-chunk", SLICE(OK "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"), END_KEEP,
     NULL},
    {"minus-chunk", SLICE(OK "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"),
     END_KEEP, NULL},
    {"vast-chunk",
     SLICE(OK "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"),
     END_KEEP, NULL},
    {"bad-terminator", SLICE(OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"),
     END_KEEP, NULL},
    {"bad-second-chunk",
     SLICE(OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nhello\r\n0\r\n\r\n"), END_KEEP,
     NULL},
    /* the status line */
    {"garbage", SLICE("\x16\x03\x01%\xff\xfe;;; what is this\r\n\r\n"), END_CLOSE, NULL},
    {"http09", SLICE("<html>hello</html>\r\n"), END_CLOSE, NULL},
    {"ssh", SLICE("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), END_CLOSE, NULL},
    {"tls-alert", SLICE("\x15\x03\x01\x00\x02\x02\x46"), END_CLOSE, NULL},
    {"status-1000", SLICE("HTTP/1.1 1000 Odd\r\nContent-Length: 0\r\n\r\n"), END_KEEP, NULL},
    {"status-99", SLICE("HTTP/1.1 99 Odd\r\nContent-Length: 0\r\n\r\n"), END_KEEP, NULL},
    {"status-000", SLICE("HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n"), END_KEEP, NULL},
    {"status-999", SLICE("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"), END_KEEP, NULL},
    {"http2-text", SLICE("HTTP/2 200 OK\r\nContent-Length: 5\r\n\r\nhello"), END_KEEP, NULL},
    {"http3-text", SLICE("HTTP/3.7 200 OK\r\nContent-Length: 5\r\n\r\nhello"), END_KEEP, NULL},
    {"no-reason", SLICE("HTTP/1.1 200\r\n" JSON "Content-Length: 3\r\n\r\n{}\n"), END_KEEP, NULL},
    {"101",
     SLICE("HTTP/1.1 101 Switching Protocols\r\nUpgrade: odd\r\nConnection: "
           "Upgrade\r\n\r\nodd"),
     END_KEEP, NULL},
    {"100-twice",
     SLICE("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" OK
           "Content-Length: 5\r\n\r\nhello"),
     END_KEEP, NULL},
    {"103",
     SLICE("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Early: yes\r\n\r\n" OK
           "Content-Length: 5\r\n\r\nhello"),
     END_KEEP, NULL},
    {"103-flood", {"", 0}, END_KEEP, broken_flood},
    /* the fields */
    {"big-header", {"", 0}, END_KEEP, broken_big_header},
    {"many-headers", {"", 0}, END_KEEP, broken_many_headers},
    {"no-colon", SLICE(OK "no colon here\r\nContent-Length: 5\r\n\r\nhello"), END_KEEP, NULL},
    {"nul", SLICE(OK "X-A: a\0b\r\nContent-Length: 5\r\n\r\nhello"), END_KEEP, NULL},
    {"bad-name", SLICE(OK "X Bad: 1\r\nContent-Length: 5\r\n\r\nhello"), END_KEEP, NULL},
    {"blank-before-colon", SLICE(OK "Content-Length : 5\r\n\r\nhello"), END_CLOSE, NULL},
    {"bare-cr", SLICE(OK "X-A: a\rSet-Cookie: evil=1\r\nContent-Length: 5\r\n\r\nhello"), END_KEEP,
     NULL},
    {"control", SLICE(OK "X-A: a\x01z\r\nContent-Length: 5\r\n\r\nhello"), END_KEEP, NULL},
    {"obs-fold", SLICE(OK "X-A: a\r\n b\r\nContent-Length: 5\r\n\r\nhello"), END_KEEP, NULL},
    {"lf-only", SLICE("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"), END_KEEP, NULL},
    {"connection-secret",
     SLICE(OK "Connection: X-Secret\r\nX-Secret: internal\r\nKeep-Alive: timeout=5\r\n"
              "Proxy-Authenticate: Basic\r\nContent-Length: 5\r\n\r\nhello"),
     END_KEEP, NULL},
    {"rate-headers",
     SLICE(OK "X-RateLimit-Limit: 31337\r\nX-RateLimit-Remaining: 31337\r\n"
              "X-RateLimit-Reset: 31337\r\nX-Request-Id: forged\r\nContent-Length: 5\r\n\r\nhello"),
     END_KEEP, NULL},
    {"redirect",
     SLICE("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/internal\r\n"
           "Content-Length: 0\r\n\r\n"),
     END_KEEP, NULL},
};

/* What was sent must leave before the reset, which would overtake it. */
static bool end_now(struct conn *conn)
{
    (void)conn;
    return false;
}

void show_broken(struct conn *conn, struct slice rest)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (!slice_is(rest, rows[i].path))
            continue;
        if (rows[i].show != NULL) {
            rows[i].show(conn, rest);
            return;
        }
        text_add(&conn->out, rows[i].bytes.ptr, rows[i].bytes.len);
        if (rows[i].ending != END_KEEP)
            conn->ending = rows[i].ending;
        if (rows[i].ending == END_RESET && rows[i].bytes.len > 0) {
            conn->step = end_now;
            conn_after_ms(conn, 20, NULL);
        }
        return;
    }
    answer_fault(conn, 404, "Nothing is broken in this way.");
}
