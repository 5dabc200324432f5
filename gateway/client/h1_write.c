/* h1_write.c - the request's text, and its bytes to the socket.
 *
 * The head is written once, from the caller's fields, into one buffer; a first piece of the
 * body leaves in the same system call. A piece is read from the handler into the client's own
 * buffer, and only what the socket did not take is copied to wait.
 *
 * A socket that takes no more is no end yet: the answer that explains why (413, and a close)
 * may be there to be read.
 *
 * Thread: the loop's own. */
#include "client/h1_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_ROUNDS = 8 }; /* pieces in a turn: others wait too */

/* ---- the head ------------------------------------------------------------ */

static char *put(char *to, struct str text)
{
    if (text.len > 0)
        memcpy(to, text.ptr, text.len);
    return to + text.len;
}

static char *put_field(char *to, struct str name, struct str value)
{
    to = put(to, name);
    *to++ = ':';
    if (value.len > 0)
        *to++ = ' ';
    to = put(to, value);
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static size_t head_bytes(const struct client_request *request)
{
    const struct http_fields *fields = request->fields;
    size_t bytes = request->method.len + request->path.len + request->host.len +
                   sizeof("  HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n") +
                   U64_DIGITS;

    for (uint32_t i = 0; i < fields->count; i++)
        bytes += fields->at[i].name.len + fields->at[i].value.len + sizeof(": \r\n");
    return bytes;
}

static bool make_room(struct h1_exchange *exchange, size_t bytes)
{
    char *larger;

    if (bytes <= exchange->out_room)
        return true;
    larger = malloc(bytes);
    if (larger == NULL)
        return false;
    free(exchange->out);
    exchange->out = larger;
    exchange->out_room = bytes;
    return true;
}

bool h1_write_head(struct h1_exchange *exchange, const struct client_request *request)
{
    const struct http_fields *fields = request->fields;
    char digits[U64_DIGITS], *to;

    if (!make_room(exchange, head_bytes(request)))
        return false;
    to = put(exchange->out, request->method);
    *to++ = ' ';
    to = put(put(to, request->path), STR(" HTTP/1.1\r\n"));
    to = put_field(to, STR("Host"), request->host);
    for (uint32_t i = 0; i < fields->count; i++) /* framing is ours: twice is a smuggled request */
        if (!client_field_is_framing(fields->at[i].id))
            to = put_field(to, fields->at[i].name, fields->at[i].value);
    if (request->body == CLIENT_BODY_SIZED)
        to = put_field(to, STR("Content-Length"),
                       str_at(digits, u64_write(digits, request->body_length)));
    if (request->body == CLIENT_BODY_CHUNKED)
        to = put(to, STR("Transfer-Encoding: chunked\r\n"));
    to = put(to, STR("\r\n"));
    exchange->out_at = 0;
    exchange->out_len = (size_t)(to - exchange->out);
    return true;
}

/* ---- a piece of the body ------------------------------------------------- */

/* "size CRLF bytes CRLF" around what stands behind the room for it. */
static struct str frame(char *bytes, size_t len)
{
    char size[H1_FRAME_BYTES];
    size_t head = (size_t)snprintf(size, sizeof(size), "%zx\r\n", len);

    memcpy(bytes - head, size, head);
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): bytes, not a string */
    memcpy(bytes + len, "\r\n", 2);
    return str_at(bytes - head, head + len + 2);
}

static struct str last_chunk(struct h1_exchange *exchange)
{
    exchange->body_has_ended = true;
    return STR("0\r\n\r\n");
}

/* Reads a piece. False: the exchange has ended. An empty piece: nothing to send now. */
static bool read_piece(struct h1_exchange *exchange, struct str *piece)
{
    char *to = exchange->base.client->h1->piece + H1_FRAME_BYTES - 2;
    bool is_sized = exchange->body == CLIENT_BODY_SIZED;
    size_t room = H1_PIECE_BYTES;
    ptrdiff_t got;

    *piece = STR_NONE;
    if (exchange->body_has_ended || exchange->body_waits || exchange->stops_sending ||
        exchange->out_len - exchange->out_at >= H1_PIECE_BYTES) /* that much waits already */
        return true;
    if (is_sized && room > exchange->body_left)
        room = (size_t)exchange->body_left;
    exchange->base.client->has_called_back = true;
    got = exchange->handler->read(exchange->arg, to, room);
    if (!h1_goes_on(exchange))
        return false;
    exchange->base.times.sent_us = h1_now_us(exchange);
    if (got == CLIENT_READ_WAIT) {
        exchange->body_waits = true;
    } else if (got == CLIENT_READ_END && exchange->is_tunnel) {
        exchange->body_has_ended = true;
    } else if (got == CLIENT_READ_END && !is_sized) {
        *piece = last_chunk(exchange);
    } else if (got < 0) {
        h1_finish(exchange, CLIENT_BODY_ABORTED,
                  got == CLIENT_READ_END ? "short_request_body" : "request_body");
        return false;
    } else {
        CHECK((size_t)got <= room);
        *piece = is_sized || exchange->is_tunnel ? str_at(to, (size_t)got) : frame(to, (size_t)got);
        if (is_sized)
            exchange->body_has_ended = (exchange->body_left -= (uint64_t)got) == 0;
    }
    return true;
}

/* ---- to the socket ------------------------------------------------------- */

static bool is_retry(int number)
{
    return number == EAGAIN || number == EWOULDBLOCK || number == EINTR;
}

static ssize_t send_both(struct h1_exchange *exchange, struct str piece)
{
    struct iovec parts[2] = {
        {exchange->out + exchange->out_at, exchange->out_len - exchange->out_at},
        {(void *)(uintptr_t)piece.ptr, piece.len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    int fd = exchange->connection->fd;

    if (exchange->secure != NULL)
        return h1_secure_send(exchange->secure, parts);
    if (piece.len == 0)
        return send(fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (parts[0].iov_len == 0)
        return send(fd, piece.ptr, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* What the socket left of out and piece becomes out. False: out of memory. */
static bool keep_rest(struct h1_exchange *exchange, struct str piece, size_t sent)
{
    size_t waiting = exchange->out_len - exchange->out_at;

    if (sent >= waiting) {
        exchange->out_at = exchange->out_len = 0;
        piece = str_from(piece, sent - waiting);
    } else {
        exchange->out_at += sent;
    }
    if (piece.len == 0)
        return true;
    waiting = exchange->out_len - exchange->out_at;
    if (exchange->out_at + waiting + piece.len > exchange->out_room) {
        char *larger = malloc(waiting + piece.len);

        if (larger == NULL)
            return false;
        if (waiting > 0)
            memcpy(larger, exchange->out + exchange->out_at, waiting);
        free(exchange->out);
        exchange->out = larger;
        exchange->out_room = waiting + piece.len;
        exchange->out_at = 0;
    }
    memcpy(exchange->out + exchange->out_at + waiting, piece.ptr, piece.len);
    exchange->out_len = exchange->out_at + waiting + piece.len;
    return true;
}

void h1_stop_sending(struct h1_exchange *exchange)
{
    exchange->stops_sending = exchange->body_has_ended = true;
    exchange->out_at = exchange->out_len = 0;
    exchange->parser.keeps = false;
}

static bool has_unsent(const struct h1_exchange *exchange)
{
    return exchange->out_at < exchange->out_len ||
           (exchange->secure != NULL && h1_secure_has_unsent(exchange->secure));
}

void h1_watch(struct h1_exchange *exchange)
{
    int events = exchange->answer_waits ? 0 : WATCH_READ;

    if (has_unsent(exchange) || (!exchange->body_has_ended && !exchange->body_waits))
        events |= WATCH_WRITE;
    watch_change(exchange->connection->watch, events);
}

/* One round; *goes_on: another may follow at once. */
static enum h1_sent write_once(struct h1_exchange *exchange, bool *goes_on)
{
    struct str piece;
    size_t all;
    ssize_t sent;

    *goes_on = false;
    if (!read_piece(exchange, &piece))
        return H1_SENT_OVER;
    all = exchange->out_len - exchange->out_at + piece.len;
    if (all == 0)
        return H1_SENT_OK;
    sent = send_both(exchange, piece);
    if (sent < 0 && !is_retry(errno)) {
        if (!exchange->connection->is_used || exchange->has_sent ||
            !keep_rest(exchange, piece, 0)) {
            h1_stop_sending(exchange);
            return H1_SENT_OK;
        }
        return H1_SENT_NOTHING;
    }
    exchange->has_sent = exchange->has_sent || sent > 0;
    if (!keep_rest(exchange, piece, sent > 0 ? (size_t)sent : 0)) {
        h1_finish(exchange, CLIENT_NO_MEMORY, "memory");
        return H1_SENT_OVER;
    }
    *goes_on = sent == (ssize_t)all;
    return H1_SENT_OK;
}

enum h1_sent h1_write(struct h1_exchange *exchange)
{
    enum h1_sent result = H1_SENT_OK;
    bool goes_on = true;

    if (exchange->secure != NULL && !h1_secure_flush(exchange->secure))
        h1_stop_sending(exchange);
    for (int i = 0; i < MOST_ROUNDS && goes_on && result == H1_SENT_OK; i++)
        result = write_once(exchange, &goes_on);
    if (result != H1_SENT_OK)
        return result;
    if (exchange->is_tunnel && exchange->body_has_ended && !exchange->has_shut &&
        !has_unsent(exchange)) {
        exchange->has_shut = true;
        (void)shutdown(exchange->connection->fd, SHUT_WR);
    }
    if (exchange->answer_is_whole && exchange->body_has_ended &&
        exchange->out_at == exchange->out_len) {
        h1_read_is_over(exchange);
        return H1_SENT_OVER;
    }
    h1_watch(exchange);
    return H1_SENT_OK;
}
