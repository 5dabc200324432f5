/* answer.c - heads and bodies of sound answers.
 *
 * Each handler says what is particular; the date, the length, keep-alive for HTTP/1.0 and the
 * missing body of HEAD are added here, so that only /broken/ ever leaves them out. */
#include "origin.h"

#include <stdio.h>
#include <time.h>

char filler[65536];

/* Readable, and a piece in the wrong place shows. */
void filler_fill(void)
{
    for (size_t i = 0; i < sizeof filler; i++)
        filler[i] = (char)(i % 64 == 63 ? '\n' : 'a' + (int)(i % 26));
}

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };

    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Whatever";
}

/* "Date: …\r\n", made once a second. */
static const char *date_line(void)
{
    static char line[64];
    static time_t made;
    time_t now = time(NULL);
    struct tm utc;

    if (now != made && gmtime_r(&now, &utc) != NULL) {
        (void)strftime(line, sizeof line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
        made = now;
    }
    return line;
}

void answer_head(struct conn *conn, int status, const char *headers, int64_t length)
{
    struct text *out = &conn->out;
    bool has_body = status >= 200 && status != 204 && status != 304;

    text_addf(out, "HTTP/1.1 %d %s\r\n", status, reason_of(status));
    if (strstr(headers, "Date: ") == NULL)
        text_put(out, date_line());
    text_put(out, headers);
    conn->is_chunked = false;
    if (has_body && length >= 0) {
        text_addf(out, "Content-Length: %lld\r\n", (long long)length);
    } else if (has_body && conn->head.minor == 1) {
        text_put(out, "Transfer-Encoding: chunked\r\n");
        conn->is_chunked = true;
    } else if (has_body) {
        conn->ending = END_CLOSE;
    }
    if (conn->ending == END_CLOSE)
        text_put(out, "Connection: close\r\n");
    else if (conn->head.minor == 0)
        text_put(out, "Connection: keep-alive\r\n");
    text_put(out, "\r\n");
}

void answer_with(struct conn *conn, int status, const char *headers, struct slice body)
{
    answer_head(conn, status, headers, (int64_t)body.len);
    if (!conn->head.is_head && status >= 200 && status != 204 && status != 304)
        text_add(&conn->out, body.ptr, body.len);
}

void answer(struct conn *conn, int status, const char *type, struct slice body)
{
    char headers[128];

    (void)snprintf(headers, sizeof headers, "Content-Type: %s\r\n", type);
    answer_with(conn, status, headers, body);
}

void answer_json(struct conn *conn, int status, const struct text *body)
{
    answer(conn, status, "application/json", text_slice(body));
}

void answer_fault(struct conn *conn, int status, const char *message)
{
    static struct text body;

    body.len = 0;
    text_addf(&body, "{\"error\":\"%s\",\"message\":", reason_of(status));
    text_json(&body, (struct slice){message, strlen(message)});
    text_put(&body, "}\n");
    answer_json(conn, status, &body);
}

void answer_piece(struct conn *conn, const void *bytes, size_t len)
{
    if (conn->head.is_head || len == 0)
        return;
    if (conn->is_chunked)
        text_addf(&conn->out, "%zx\r\n", len);
    text_add(&conn->out, bytes, len);
    if (conn->is_chunked)
        text_put(&conn->out, "\r\n");
}

void answer_piece_end(struct conn *conn, const char *trailers)
{
    if (conn->is_chunked && !conn->head.is_head)
        text_addf(&conn->out, "0\r\n%s\r\n", trailers);
}
