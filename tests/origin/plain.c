/* plain.c - answers made at once from the request alone: bytes, echoes, counts.
 *
 * /bytes is the benches' path: its head is kept from one request to the next, so that a request
 * costs two copies. Nothing here waits. */
#include "origin.h"

#include <stdio.h>
#include <time.h>

#define SMALL_BYTES 65536

static struct text body;

static bool send_filler(struct conn *conn)
{
    uint64_t part = conn->plan.left < sizeof filler ? conn->plan.left : sizeof filler;

    answer_piece(conn, filler, (size_t)part);
    conn->plan.left -= part;
    if (conn->plan.left > 0)
        return true;
    answer_piece_end(conn, conn->plan.status != 0 ? "X-Sum: 42\r\nContent-Length: 7\r\n"
                                                    "Set-Cookie: trailer=1\r\n"
                                                  : "");
    return false;
}

void show_bytes(struct conn *conn, struct slice rest)
{
    static struct text kept;
    static uint64_t kept_size;
    static time_t kept_at;
    bool is_plain = conn->head.minor == 1 && conn->head.keep_alive;
    uint64_t size;

    if (!slice_number(rest, &size)) {
        answer_fault(conn, 400, "/bytes/N needs a number.");
        return;
    }
    if (size <= SMALL_BYTES && is_plain && !conn->head.is_head) {
        time_t now = time(NULL);

        if (kept.len == 0 || kept_size != size || kept_at != now) {
            size_t start = conn->out.len;

            answer_with(conn, 200, "Content-Type: application/octet-stream\r\n",
                        (struct slice){filler, (size_t)size});
            kept.len = 0;
            text_add(&kept, conn->out.ptr + start, conn->out.len - start);
            kept_size = size;
            kept_at = now;
        } else {
            text_add(&conn->out, kept.ptr, kept.len);
        }
        return;
    }
    answer_head(conn, 200, "Content-Type: application/octet-stream\r\n", (int64_t)size);
    conn->plan.left = conn->head.is_head ? 0 : size;
    conn->plan.status = 0;
    conn->step = send_filler;
}

void show_chunked(struct conn *conn, struct slice rest)
{
    if (!slice_number(rest, &conn->plan.left)) {
        answer_fault(conn, 400, "/chunked/N needs a number.");
        return;
    }
    conn->plan.status = (int)query_number(conn->head.query, "trailers", 0);
    answer_head(conn, 200,
                conn->plan.status != 0
                    ? "Content-Type: application/octet-stream\r\nTrailer: X-Sum\r\n"
                    : "Content-Type: application/octet-stream\r\n",
                -1);
    if (conn->head.is_head)
        return;
    conn->step = send_filler;
}

static void add_body_facts(const struct conn *conn)
{
    text_addf(&body, "\"body_length\":%llu,\"fnv1a64\":\"%016llx\"",
              (unsigned long long)conn->body.length, (unsigned long long)conn->body.hash);
}

void show_echo(struct conn *conn, struct slice rest)
{
    struct slice shown = text_slice(&conn->body.first);

    (void)rest;
    if (shown.len > 1024)
        shown.len = 1024;
    body.len = 0;
    text_put(&body, "{\"method\":");
    text_json(&body, conn->head.method);
    text_put(&body, ",\"target\":");
    text_json(&body, conn->head.target);
    text_put(&body, ",\"headers\":");
    text_headers(&body, &conn->head);
    text_put(&body, ",");
    add_body_facts(conn);
    text_put(&body, ",\"body\":");
    text_json(&body, shown);
    text_put(&body, "}\n");
    answer_json(conn, 200, &body);
}

void show_headers(struct conn *conn, struct slice rest)
{
    (void)rest;
    body.len = 0;
    text_put(&body, "{\"headers\":");
    text_headers(&body, &conn->head);
    text_put(&body, "}\n");
    answer_json(conn, 200, &body);
}

void show_upload(struct conn *conn, struct slice rest)
{
    (void)rest;
    body.len = 0;
    text_addf(&body, "{\"bytes\":%llu,\"fnv1a64\":\"%016llx\"}\n",
              (unsigned long long)conn->body.length, (unsigned long long)conn->body.hash);
    answer_json(conn, 200, &body);
}

void show_canary(struct conn *conn, struct slice rest)
{
    struct slice id = {NULL, 0};

    (void)rest;
    (void)query_find(conn->head.query, "id", &id);
    body.len = 0;
    text_put(&body, "{\"canary\":");
    text_json(&body, id);
    text_put(&body, "}\n");
    answer_json(conn, 200, &body);
}

void show_health(struct conn *conn, struct slice rest)
{
    (void)rest;
    answer(conn, 200, "application/json", SLICE("{\"status\":\"ok\"}\n"));
}

void show_status_code(struct conn *conn, struct slice rest)
{
    uint64_t status;

    if (!slice_number(rest, &status) || status < 200 || status > 999) {
        answer_fault(conn, 400, "/status-code/N needs a status from 200 to 999.");
        return;
    }
    body.len = 0;
    text_addf(&body, "{\"status\":%u}\n", (unsigned)status);
    answer_json(conn, (int)status, &body);
}

/* GET /count/PATH, with its query if it had one; DELETE /count forgets all. */
void show_count(struct conn *conn, struct slice rest)
{
    struct slice target;

    if (slice_is(conn->head.method, "DELETE")) {
        count_reset();
        answer(conn, 200, "application/json", SLICE("{\"reset\":true}\n"));
        return;
    }
    if (conn->head.target.len <= strlen("/count/")) {
        answer_fault(conn, 404, "/count/PATH tells how often /PATH was asked for.");
        return;
    }
    (void)rest;
    target = (struct slice){conn->head.target.ptr + 6, conn->head.target.len - 6};
    body.len = 0;
    text_put(&body, "{\"path\":");
    text_json(&body, target);
    text_addf(&body, ",\"count\":%llu}\n", (unsigned long long)count_of(target));
    answer_json(conn, 200, &body);
}

void show_set_cookie(struct conn *conn, struct slice rest)
{
    (void)rest;
    answer_with(conn, 200,
                "Content-Type: application/json\r\n"
                "Set-Cookie: session=s3cr3t; Path=/; HttpOnly\r\n"
                "Set-Cookie: theme=dark; Path=/; Max-Age=3600\r\n",
                SLICE("{\"cookies\":2}\n"));
}

void show_private(struct conn *conn, struct slice rest)
{
    (void)rest;
    body.len = 0;
    text_addf(&body, "{\"secret\":\"for one reader\",\"connection\":%llu,\"request\":%llu}\n",
              (unsigned long long)conn->number, (unsigned long long)conn->requests);
    answer_with(conn, 200,
                "Content-Type: application/json\r\nCache-Control: private, max-age=60\r\n",
                text_slice(&body));
}
