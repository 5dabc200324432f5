/* broken_stream.c - the faults of /broken/ that need time, size or memory of the connection.
 *
 * "extra" and "idle-408" speak on a connection that is idle after a sound answer: the next
 * request on it must not be given those bytes. "close-reused" closes only a connection that has
 * served before, which is what a kept connection's death looks like from the other side. */
#include "origin.h"

#define HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

/* ---- silence, drips, no end ---- */

static bool wait_on(struct conn *conn)
{
    conn_after_ms(conn, 3600000, NULL);
    return true;
}

void broken_never(struct conn *conn, struct slice rest)
{
    (void)rest;
    conn->step = wait_on;
}

static bool drip(struct conn *conn)
{
    static const char bytes[] = HELLO;

    text_add(&conn->out, bytes + conn->plan.sent++, 1);
    if (conn->plan.sent == sizeof bytes - 1)
        return false;
    conn_after_ms(conn, conn->plan.interval_ms, NULL);
    return true;
}

void broken_drip(struct conn *conn, struct slice rest)
{
    (void)rest;
    conn->plan.sent = 0;
    conn->plan.interval_ms = query_number(conn->head.query, "ms", 1000);
    conn->step = drip;
}

static bool more_filler(struct conn *conn)
{
    answer_piece(conn, filler, sizeof filler);
    return true;
}

void broken_endless(struct conn *conn, struct slice rest)
{
    (void)rest;
    answer_head(conn, 200, "Content-Type: application/octet-stream\r\n", -1);
    conn->step = more_filler;
}

/* ---- an answer before its time, or after ---- */

void broken_early_413(struct conn *conn, struct slice rest)
{
    (void)rest;
    if (query_number(conn->head.query, "close", 0) != 0)
        conn->ending = END_CLOSE;
    answer_fault(conn, 413, "It is too large, says the origin.");
}

static void say_extra(struct conn *conn)
{
    if (conn->phase == PHASE_HEAD)
        text_put(&conn->out,
                 "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nX-Poison: yes\r\n\r\npoisoned");
}

static void say_408(struct conn *conn)
{
    if (conn->phase != PHASE_HEAD)
        return;
    text_put(&conn->out, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 8\r\n"
                         "X-Poison: yes\r\nConnection: close\r\n\r\npoisoned");
    conn->phase = PHASE_LINGER;
    conn->ending = END_CLOSE;
}

void broken_extra(struct conn *conn, struct slice rest)
{
    (void)rest;
    text_put(&conn->out, HELLO);
    conn_after_ms(conn, 20, say_extra);
}

void broken_idle_408(struct conn *conn, struct slice rest)
{
    (void)rest;
    text_put(&conn->out, HELLO);
    conn_after_ms(conn, 20, say_408);
}

void broken_close_reused(struct conn *conn, struct slice rest)
{
    (void)rest;
    if (conn->requests > 1)
        conn->ending = END_CLOSE;
    else
        text_put(&conn->out, HELLO);
}

/* ---- too much of it ---- */

void broken_flood(struct conn *conn, struct slice rest)
{
    uint64_t n = query_number(conn->head.query, "n", 20000);

    (void)rest;
    while (n-- > 0)
        text_put(&conn->out, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    text_put(&conn->out, HELLO);
}

void broken_big_header(struct conn *conn, struct slice rest)
{
    uint64_t kb = query_number(conn->head.query, "kb", 400);

    (void)rest;
    text_put(&conn->out, "HTTP/1.1 200 OK\r\nX-Big: ");
    while (kb-- > 0)
        for (int i = 0; i < 16; i++)
            text_put(&conn->out,
                     "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz01");
    text_put(&conn->out, "\r\nContent-Length: 5\r\n\r\nhello");
}

void broken_many_headers(struct conn *conn, struct slice rest)
{
    uint64_t n = query_number(conn->head.query, "n", 20000);

    (void)rest;
    text_put(&conn->out, "HTTP/1.1 200 OK\r\n");
    for (uint64_t i = 0; i < n; i++)
        text_addf(&conn->out, "X-N%llu: %llu\r\n", (unsigned long long)i, (unsigned long long)i);
    text_put(&conn->out, "Content-Length: 5\r\n\r\nhello");
}
