/* record.c - one JSON line for each request that came in (--record FILE).
 *
 * Written with one write(2) before the answer leaves, so that whoever has the answer finds the
 * line. A request that was cut is recorded when its connection ends, with "complete": false.
 * Members: connection, sound, complete, fault, method, target, headers (in order, duplicates
 * kept), trailers, body_length, fnv1a64, body (its first 1 KiB). */
#include "origin.h"

#include <fcntl.h>
#include <unistd.h>

#define SHOWN_BYTES 1024

static int record_fd = -1;
static struct text line;

bool record_open(const char *path)
{
    record_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return record_fd >= 0;
}

void text_headers(struct text *out, const struct head *head)
{
    text_put(out, "[");
    for (size_t i = 0; i < head->field_count; i++) {
        text_put(out, i > 0 ? ",[" : "[");
        text_json(out, head->fields[i].name);
        text_put(out, ",");
        text_json(out, head->fields[i].value);
        text_put(out, "]");
    }
    text_put(out, "]");
}

/* The parser stopped somewhere in the head: the bytes themselves tell more than its fields. */
static void add_raw_head(const struct conn *conn)
{
    struct slice raw = {conn->in.ptr + conn->in_at, conn->in.len - conn->in_at};

    if (raw.len > SHOWN_BYTES)
        raw.len = SHOWN_BYTES;
    text_put(&line, ",\"raw\":");
    text_json(&line, raw);
}

void record_request(const struct conn *conn, const char *fault, bool is_complete)
{
    struct slice shown = {conn->body.first.ptr, conn->body.first.len};
    bool has_head = conn->phase != PHASE_HEAD || fault == NULL;

    if (record_fd < 0)
        return;
    if (shown.len > SHOWN_BYTES)
        shown.len = SHOWN_BYTES;
    line.len = 0;
    text_addf(&line, "{\"connection\":%llu,\"sound\":%s,\"complete\":%s",
              (unsigned long long)conn->number, fault == NULL ? "true" : "false",
              is_complete ? "true" : "false");
    if (fault != NULL) {
        text_put(&line, ",\"fault\":");
        text_json(&line, (struct slice){fault, strlen(fault)});
    }
    if (has_head) {
        text_put(&line, ",\"method\":");
        text_json(&line, conn->head.method);
        text_put(&line, ",\"target\":");
        text_json(&line, conn->head.target);
        text_put(&line, ",\"headers\":");
        text_headers(&line, &conn->head);
        text_put(&line, ",\"trailers\":[");
        text_add(&line, conn->body.trailers.ptr, conn->body.trailers.len);
        text_addf(&line, "],\"body_length\":%llu,\"fnv1a64\":\"%016llx\",\"body\":",
                  (unsigned long long)conn->body.length, (unsigned long long)conn->body.hash);
        text_json(&line, shown);
    } else {
        add_raw_head(conn);
    }
    text_put(&line, "}\n");
    if (write(record_fd, line.ptr, line.len) < 0)
        _exit(1);
}
