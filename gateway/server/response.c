/* response.c - a request's answer as libmicrohttpd wants it, or written by ourselves.
 *
 * Bodies are sent from where they lie: an entry, a fill's block, the arena. What the two
 * versions can do with HEAD and 304 of unknown length differs (library-facts §2.9).
 * Owner's thread. */
#include "http/http.h"
#include "server/server_priv.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Status line, Date, framing: what the library adds to our fields. */
#define HEAD_OVERHEAD 512
/* What TLS adds to a record, generously; and what the kernel counts for a buffer. */
#define SERVER_TLS_RECORD 4096

static ssize_t read_body(void *arg, uint64_t at, char *to, size_t room)
{
    struct connection *c = arg;
    ptrdiff_t got;

    (void)at;
    if (c->is_lost || c->is_cut)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    got = request_read(c->request, to, room);
    if (got == REQUEST_READ_WAIT && c->is_gone)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (got == REQUEST_READ_WAIT) {
        connection_phase(c, PHASE_THINK);
        connection_suspend(c);
        return 0;
    }
    if (got == REQUEST_READ_END) {
        const struct http_fields *trailers = request_trailers(c->request);

        for (uint32_t i = 0; trailers != NULL && i < trailers->count; i++) {
            const char *value = scratch_field(c->server, &trailers->at[i]);

            if (value != NULL)
                (void)MHD_add_response_footer(c->response, c->server->scratch, value);
        }
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (got == REQUEST_READ_ERROR) {
        c->is_short = true;
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    connection_phase(c, PHASE_WRITE);
    wait_not(c->server);
    c->bytes_out += (uint64_t)got;
    return got;
}

static struct MHD_Response *make_empty(struct connection *c, const struct request_answer *answer)
{
    struct MHD_Response *response;

    if (answer->status == 204 ||
        (answer->has_length && answer->length == 0 && answer->status != 304))
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (answer->has_length) /* HEAD, 304: the reader is never asked */
        return MHD_create_response_from_callback(answer->length, 1, read_body, c, NULL);
#if MHD_VERSION >= 0x01000000
    response = MHD_create_response_empty(MHD_RF_HEAD_ONLY_RESPONSE);
#else
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1, read_body, c, NULL);
    if (response != NULL)
        (void)MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
#endif
    return response;
}

static struct MHD_Response *make(struct connection *c, const struct request_answer *answer)
{
    switch (answer->body) {
    case REQUEST_BODY_EMPTY:
        return make_empty(c, answer);
    case REQUEST_BODY_MEMORY:
        c->bytes_out = answer->bytes.len;
        /* the library takes a pointer to non-const and does not write through it */
        return MHD_create_response_from_buffer(
            answer->bytes.len, (void *)(uintptr_t)answer->bytes.ptr, MHD_RESPMEM_PERSISTENT);
    case REQUEST_BODY_STREAM:
    case REQUEST_BODY_TUNNEL: /* tunnel.c has sent it already */
        break;
    }
    return MHD_create_response_from_callback(answer->has_length ? answer->length : MHD_SIZE_UNKNOWN,
                                             SERVER_BLOCK_BYTES, read_body, c, NULL);
}

const char *scratch_field(struct server *server, const struct http_field *field)
{
    char *value = server->scratch + field->name.len + 1;

    if (field->name.len + field->value.len + 2 > sizeof(server->scratch))
        return NULL;
    memcpy(server->scratch, field->name.ptr, field->name.len);
    server->scratch[field->name.len] = '\0';
    if (field->value.len > 0)
        memcpy(value, field->value.ptr, field->value.len);
    value[field->value.len] = '\0';
    return value;
}

/* ---- the answer's head ---- */

/* What the library writes itself, or minds: it gets to see them. */
static bool is_librarys(enum http_name id)
{
    return id == HTTP_CONNECTION || id == HTTP_CONTENT_LENGTH || id == HTTP_TRANSFER_ENCODING;
}

static char *put_bytes(char *to, struct str text)
{
    if (text.len > 0)
        memcpy(to, text.ptr, text.len);
    return to + text.len;
}

/* This second's, written once. */
static struct str date_now(struct server *server)
{
    int64_t now_s = loop_wall_us(server->loop) / 1000000;

    if (server->date_s != now_s)
        http_date_write(server->date, now_s);
    server->date_s = now_s;
    return str_at(server->date, sizeof(server->date) - 1);
}

static void add_field(struct connection *c, const struct http_field *field)
{
    const char *value = scratch_field(c->server, field);

    if (value != NULL)
        (void)MHD_add_response_header(c->response, c->server->scratch, value);
}

/* The bytes of all fields behind Date's value, as add_whole() writes them. 0: they must be given
 * one by one, because one holds what would end a line. */
static size_t whole_bytes(const struct http_fields *fields)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];

        if (!http_is_field_value(field->value) ||
            (field->id == HTTP_OTHER && !http_is_token(field->name)))
            return 0;
        if (field->id != HTTP_DATE && !is_librarys(field->id))
            bytes += sizeof("\r\n: ") - 1 + field->name.len + field->value.len;
    }
    return bytes;
}

/* The library keeps each field as three pieces of malloc's memory and reads it eight times, which
 * is half of what a small answer costs. So the fields are given to it as one: Date, with a value
 * of as many bytes as the whole has, and the value it keeps is then written over. It looks at no
 * byte of it again, but copies them into the answer's head. False: one by one, please. */
static bool add_whole(struct connection *c, const struct http_fields *fields)
{
    struct server *server = c->server;
    struct str date = http_fields_get(fields, HTTP_DATE);
    size_t bytes = whole_bytes(fields);
    char *to;

    if (date.len == 0)
        date = date_now(server);
    bytes += date.len;
    if (bytes == date.len || bytes >= sizeof(server->blank) ||
        MHD_add_response_header(c->response, MHD_HTTP_HEADER_DATE,
                                server->blank + sizeof(server->blank) - 1 - bytes) != MHD_YES)
        return false;
    to = (char *)(uintptr_t)MHD_get_response_header(c->response, MHD_HTTP_HEADER_DATE);
    to = put_bytes(to, date);
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];

        if (field->id == HTTP_DATE || is_librarys(field->id))
            continue;
        to = put_bytes(put_bytes(to, STR("\r\n")), field->name);
        to = put_bytes(put_bytes(to, STR(": ")), field->value);
    }
    return true;
}

/* The library refuses empty values and a few names it writes itself: those are left out. */
static void add_fields(struct connection *c, const struct request_answer *answer)
{
    bool is_whole;

    if (answer->closes) /* first: added later it would wipe the library's flags for Date */
        (void)MHD_add_response_header(c->response, MHD_HTTP_HEADER_CONNECTION, "close");
    is_whole = add_whole(c, answer->fields);
    for (uint32_t i = 0; i < answer->fields->count; i++)
        if (!is_whole || is_librarys(answer->fields->at[i].id))
            add_field(c, &answer->fields->at[i]);
}

/* Both heads share the connection's memory; past it the library would close without a word. */
static bool fits(struct connection *c, const struct request_answer *answer)
{
    size_t head =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;

    return head + http_fields_bytes(answer->fields) + HEAD_OVERHEAD < c->server->pool_bytes;
}

enum MHD_Result response_queue(struct connection *c)
{
    const struct request_answer *answer = request_answer(c->request);
    uint32_t most = request_context_config(c->server->context)->server.max_requests_per_connection;
    enum MHD_Result result;

    if (!fits(c, answer)) {
        request_head_does_not_fit(c->request);
        answer = request_answer(c->request);
    }
    if (most > 0 && c->served + 1 >= most)
        request_close_after(c->request);
    c->response = make(c, answer);
    if (c->response == NULL)
        return MHD_NO;
    add_fields(c, answer);
    result = MHD_queue_response(c->mhd, (unsigned int)answer->status, c->response);
    MHD_destroy_response(c->response); /* the connection keeps its own reference */
    return result;
}

/* ---- by ourselves ---- */

static void send_all(struct connection *c, struct str bytes)
{
    bool tls = c->listener->daemon != c->server->plain;

    if (!tls) {
        (void)send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
        gnutls_session_t session =
            MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;

        (void)gnutls_record_send(session, bytes.ptr, bytes.len);
    }
}

/* Room for all of it, or the answer behind it would be torn: a 1xx can be left out, half of one
 * cannot. */
static bool socket_has_room(int fd, size_t bytes)
{
    int unsent = 0, room = 0;
    socklen_t size = sizeof(room);

    return ioctl(fd, SIOCOUTQ, &unsent) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &size) == 0 && unsent >= 0 &&
           (size_t)unsent * 2 + bytes * 2 + SERVER_TLS_RECORD < (size_t)room;
}

bool response_interim(struct connection *c, int status, const struct http_fields *fields)
{
    struct buf text = buf_new(SERVER_ANSWER_BYTES);
    bool leaves;

    buf_addf(&text, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    for (uint32_t i = 0; i < fields->count; i++)
        buf_addf(&text, "%.*s: %.*s\r\n", STR_ARG(fields->at[i].name),
                 STR_ARG(fields->at[i].value));
    leaves = buf_add_str(&text, STR("\r\n")) && socket_has_room(c->fd, text.len);
    if (leaves)
        send_all(c, buf_str(&text));
    buf_free(&text);
    return leaves;
}

/* Small, whole, and best effort: a client that does not read gets what its socket's buffer takes.
 */
void response_raw(struct connection *c)
{
    const struct request_answer *answer = request_answer(c->request);
    struct buf text = buf_new(SERVER_SCRATCH_BYTES);

    if (c->raw_answered || c->stage == STAGE_QUEUED)
        return;
    c->raw_answered = true;
    buf_addf(&text, "HTTP/1.1 %d %s\r\n", answer->status, http_reason(answer->status));
    for (uint32_t i = 0; i < answer->fields->count; i++)
        buf_addf(&text, "%.*s: %.*s\r\n", STR_ARG(answer->fields->at[i].name),
                 STR_ARG(answer->fields->at[i].value));
    buf_addf(&text, "Connection: close\r\nContent-Length: %zu\r\n\r\n", answer->bytes.len);
    if (buf_add_str(&text, answer->bytes)) {
        send_all(c, buf_str(&text));
        c->bytes_out = answer->bytes.len;
    }
    buf_free(&text);
    (void)shutdown(c->fd, SHUT_WR);
}

void raw_refusal(int fd, int status, const char *message)
{
    struct http_problem problem = {
        .status = status, .message = str_of(message), .request_id = STR("-")};
    struct buf body = buf_new(4096), text = buf_new(4096);

    if (http_problem_write(&body, &problem, false) &&
        buf_addf(&text,
                 "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%sVia: 1.1 "
                 "gateway\r\nConnection: close\r\n"
                 "Content-Length: %zu\r\n\r\n",
                 status, http_reason(status), status == 503 ? "Retry-After: 1\r\n" : "",
                 body.len) &&
        buf_add_str(&text, buf_str(&body))) {
        (void)send(fd, text.ptr, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)shutdown(fd, SHUT_WR);
    }
    buf_free(&body);
    buf_free(&text);
}
