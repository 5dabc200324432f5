/* later.c - answers that take their time: slow ones, streams of events, jobs, the image analyser.
 *
 * A step function runs when its timer has passed; what it needs to know is in the connection's
 * plan. Jobs are never worked on: their progress is the time since they were posted. */
#include "origin.h"

#include <stdio.h>

static struct text body;

static bool slow_end(struct conn *conn)
{
    body.len = 0;
    text_addf(&body, "{\"waited_ms\":%llu}\n", (unsigned long long)conn->plan.interval_ms);
    answer_json(conn, 200, &body);
    return false;
}

void show_slow(struct conn *conn, struct slice rest)
{
    (void)rest;
    conn->plan.interval_ms = query_number(conn->head.query, "ms", 1000);
    conn->step = slow_end;
    conn_after_ms(conn, conn->plan.interval_ms, NULL);
}

/* ---- /slow-body?ms=&bytes=: ten pieces ---- */

static bool slow_piece(struct conn *conn)
{
    uint64_t part = conn->plan.sent < conn->plan.left ? conn->plan.sent : conn->plan.left;

    while (part > 0) {
        uint64_t some = part < sizeof filler ? part : sizeof filler;

        text_add(&conn->out, filler, (size_t)some);
        conn->plan.left -= some;
        part -= some;
    }
    if (conn->plan.left == 0)
        return false;
    conn_after_ms(conn, conn->plan.interval_ms, NULL);
    return true;
}

void show_slow_body(struct conn *conn, struct slice rest)
{
    uint64_t bytes = query_number(conn->head.query, "bytes", 1000);

    (void)rest;
    answer_head(conn, 200, "Content-Type: text/plain\r\n", (int64_t)bytes);
    if (conn->head.is_head || bytes == 0)
        return;
    conn->plan.left = bytes;
    conn->plan.sent = bytes / 10 + 1;
    conn->plan.interval_ms = query_number(conn->head.query, "ms", 1000) / 10;
    conn->step = slow_piece;
}

/* ---- /events?count=&interval_ms=: server-sent events; count 0 is without end ---- */

static bool send_event(struct conn *conn)
{
    conn->plan.sent++;
    body.len = 0;
    text_addf(&body, "id: %llu\nevent: tick\ndata: {\"n\":%llu,\"at_ms\":%llu}\n\n",
              (unsigned long long)conn->plan.sent, (unsigned long long)conn->plan.sent,
              (unsigned long long)now_ms());
    answer_piece(conn, body.ptr, body.len);
    if (conn->plan.sent == conn->plan.left) {
        answer_piece_end(conn, "");
        return false;
    }
    conn_after_ms(conn, conn->plan.interval_ms, NULL);
    return true;
}

void show_events(struct conn *conn, struct slice rest)
{
    (void)rest;
    conn->plan.left = query_number(conn->head.query, "count", 10);
    conn->plan.interval_ms = query_number(conn->head.query, "interval_ms", 100);
    conn->plan.sent = 0;
    answer_head(conn, 200, "Content-Type: text/event-stream\r\nCache-Control: no-store\r\n", -1);
    if (!conn->head.is_head)
        conn->step = send_event;
}

/* ---- /analyze: looks at a picture for 50 ms ---- */

static bool analyze_end(struct conn *conn)
{
    static const char *const classes[] = {"cat",  "dog",       "bicycle", "teapot", "invoice",
                                          "face", "landscape", "receipt", "car",    "plant"};
    uint64_t hash = conn->body.hash;

    body.len = 0;
    text_addf(&body,
              "{\"bytes\":%llu,\"fnv1a64\":\"%016llx\",\"class\":\"%s\",\"confidence\":0.%02u,"
              "\"model\":\"sample-vision-1\"}\n",
              (unsigned long long)conn->body.length, (unsigned long long)hash,
              classes[hash % COUNT_OF(classes)], (unsigned)(50 + hash / 16 % 50));
    answer_json(conn, 200, &body);
    return false;
}

void show_analyze(struct conn *conn, struct slice rest)
{
    (void)rest;
    if (!slice_is(conn->head.method, "POST")) {
        answer_fault(conn, 405, "A picture is analysed by POST.");
        return;
    }
    conn->step = analyze_end;
    conn_after_ms(conn, query_number(conn->head.query, "ms", 50), NULL);
}

/* ---- /jobs and /status/{job} ---- */

#define JOBS_KEPT 1024

static struct {
    uint64_t started_at, duration_ms;
} jobs[JOBS_KEPT];
static uint64_t job_count;

void show_jobs(struct conn *conn, struct slice rest)
{
    char headers[128];

    (void)rest;
    body.len = 0;
    if (!slice_is(conn->head.method, "POST")) {
        text_addf(&body, "{\"jobs\":%llu}\n", (unsigned long long)job_count);
        answer_json(conn, 200, &body);
        return;
    }
    jobs[job_count % JOBS_KEPT].started_at = now_ms();
    jobs[job_count % JOBS_KEPT].duration_ms = query_number(conn->head.query, "ms", 2000) + 1;
    job_count++;
    (void)snprintf(headers, sizeof headers,
                   "Content-Type: application/json\r\nLocation: /status/%llu\r\n",
                   (unsigned long long)job_count);
    text_addf(&body, "{\"id\":\"%llu\",\"status\":\"queued\",\"status_url\":\"/status/%llu\"}\n",
              (unsigned long long)job_count, (unsigned long long)job_count);
    answer_with(conn, 202, headers, text_slice(&body));
}

void show_job_status(struct conn *conn, struct slice rest)
{
    uint64_t id, passed, duration;

    if (!slice_number(rest, &id) || id == 0 || id > job_count || id + JOBS_KEPT <= job_count) {
        answer_fault(conn, 404, "There is no such job.");
        return;
    }
    passed = now_ms() - jobs[(id - 1) % JOBS_KEPT].started_at;
    duration = jobs[(id - 1) % JOBS_KEPT].duration_ms;
    body.len = 0;
    text_addf(&body, "{\"id\":\"%llu\",\"status\":\"%s\",\"progress\":%llu}\n",
              (unsigned long long)id, passed >= duration ? "done" : "running",
              (unsigned long long)(passed >= duration ? 100 : passed * 100 / duration));
    answer_with(conn, 200, "Content-Type: application/json\r\nCache-Control: no-store\r\n",
                text_slice(&body));
}
