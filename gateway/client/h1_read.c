/* h1_read.c - the answer's bytes to the handler, and what the connection's end means.
 *
 * Bytes are read into the client's one buffer and handed on from there: a head that comes whole
 * and a body that is taken are copied nowhere here. What cannot be handed on yet waits in the
 * exchange (an unfinished head, or a piece that the handler did not take), and while the handler
 * has no room nothing more is read, so the kernel's window slows the upstream.
 *
 * A connection is kept only after an answer that ended by its own framing, with nothing behind
 * it and all of the request sent.
 *
 * Thread: the loop's own. */
#include "client/h1_priv.h"

#include <errno.h>
#include <stdlib.h>

enum { READ_ON_BYTES = 16384 }; /* behind what is held */

/* ---- what waits ---------------------------------------------------------- */

static bool make_room(struct h1_exchange *exchange, size_t bytes)
{
    char *larger;

    if (bytes <= exchange->held_room)
        return true;
    larger = malloc(bytes);
    if (larger == NULL)
        return false;
    if (exchange->held_len > 0)
        memcpy(larger, exchange->held + exchange->held_at, exchange->held_len);
    free(exchange->held);
    exchange->held = larger;
    exchange->held_at = 0;
    exchange->held_room = bytes;
    return true;
}

/* Keeps them; they may lie in `held` already. False: out of memory, and the exchange has ended. */
static bool hold(struct h1_exchange *exchange, const char *bytes, size_t len)
{
    bool is_inside = exchange->held != NULL && bytes >= exchange->held &&
                     bytes <= exchange->held + exchange->held_room;

    if (len == 0) {
        exchange->held_at = exchange->held_len = 0;
        return true;
    }
    if (is_inside) {
        exchange->held_at = (size_t)(bytes - exchange->held);
        exchange->held_len = len;
        return true;
    }
    exchange->held_at = exchange->held_len = 0;
    if (!make_room(exchange, len)) {
        h1_finish(exchange, CLIENT_NO_MEMORY, "memory");
        return false;
    }
    memcpy(exchange->held, bytes, len);
    exchange->held_len = len;
    return true;
}

/* ---- the end ------------------------------------------------------------- */

void h1_read_is_over(struct h1_exchange *exchange)
{
    if (exchange->has_surplus || !exchange->body_has_ended || exchange->out_at < exchange->out_len)
        exchange->parser.keeps = false;
    h1_finish(exchange, CLIENT_OK, "ok");
}

static void answer_is_whole(struct h1_exchange *exchange, size_t surplus)
{
    struct h1_parser *parser = &exchange->parser;

    exchange->answer_is_whole = true;
    exchange->has_surplus = surplus > 0;
    exchange->held_len = exchange->held_at = 0;
    if (parser->fields.count > 0 && exchange->handler->trailers != NULL)
        exchange->handler->trailers(exchange->arg, &parser->fields);
    if (!h1_goes_on(exchange))
        return;
    if (parser->keeps && !exchange->has_surplus &&
        (!exchange->body_has_ended || exchange->out_at < exchange->out_len))
        return; /* it goes on reading what we send, as a 2xx promises */
    h1_read_is_over(exchange);
}

static void lost(struct h1_exchange *exchange)
{
    if (exchange->answer_is_whole)
        h1_read_is_over(exchange);
    else if (h1_parse_has_head(&exchange->parser))
        h1_finish(exchange, CLIENT_TRUNCATED, "cut_in_body");
    else if (exchange->base.times.first_byte_us != 0)
        h1_finish(exchange, CLIENT_RESET, "cut_in_head");
    else
        h1_finish(exchange, CLIENT_EMPTY, "closed_before_answer");
}

static void ended(struct h1_exchange *exchange)
{
    exchange->parser.keeps = false;
    if (!exchange->answer_is_whole && h1_parse_has_head(&exchange->parser) &&
        h1_parse_ends_here(&exchange->parser)) {
        exchange->parser.fields.count = 0;
        answer_is_whole(exchange, 0);
    } else {
        lost(exchange);
    }
}

/* ---- what comes ---------------------------------------------------------- */

/* After such an answer nothing more is sent; another goes on while the body does. */
static void head_has_come(struct h1_exchange *exchange)
{
    struct h1_parser *parser = &exchange->parser;

    if (parser->status == 101) { /* what the handler gives from now on goes out as it is */
        exchange->is_tunnel = true;
        exchange->body_has_ended = exchange->body_waits = false;
    }
    exchange->handler->head(exchange->arg, parser->status, &parser->fields, &parser->facts);
    if (h1_goes_on(exchange) && exchange->is_tunnel)
        h1_watch(exchange);
    if (h1_goes_on(exchange) && parser->status >= 300 &&
        (!exchange->body_has_ended || exchange->out_at < exchange->out_len)) {
        h1_stop_sending(exchange);
        h1_watch(exchange);
    }
}

static void wait_for_reader(struct h1_exchange *exchange, size_t rest)
{
    struct str body = exchange->parser.body;

    if (!hold(exchange, body.ptr, body.len + rest))
        return;
    exchange->held_body = body.len;
    exchange->answer_waits = true;
    h1_watch(exchange);
}

static void take_interim(struct h1_exchange *exchange)
{
    if (exchange->handler->interim != NULL)
        exchange->handler->interim(exchange->arg, exchange->parser.status,
                                   &exchange->parser.fields);
}

/* Hands on all that it can; may end the exchange. */
static void take(struct h1_exchange *exchange, char *bytes, size_t len)
{
    struct h1_parser *parser = &exchange->parser;
    size_t used;

    while (h1_goes_on(exchange)) {
        enum h1_event event = h1_parse(parser, bytes, len, &used);

        bytes += used;
        len -= used;
        switch (event) {
        case H1_MORE:
            (void)hold(exchange, bytes, len);
            return;
        case H1_INTERIM:
            take_interim(exchange);
            break;
        case H1_HEAD:
            head_has_come(exchange);
            break;
        case H1_BODY:
            if (!exchange->handler->body(exchange->arg, parser->body)) {
                if (h1_goes_on(exchange))
                    wait_for_reader(exchange, len);
                return;
            }
            break;
        case H1_END:
            answer_is_whole(exchange, len);
            return;
        case H1_NONSENSE:
            h1_finish(exchange, CLIENT_PROTOCOL, parser->reason);
            return;
        case H1_TOO_LARGE:
            h1_finish(exchange, CLIENT_HEADER_LIMIT, parser->reason);
            return;
        }
    }
}

/* ---- straight to its place ------------------------------------------------ */

enum { LEAST_PLACED = 8192 }; /* what is less goes the other way, together with what follows */

/* Body that is known to be body is read to where the handler wants it. False: not so now. */
static bool read_to_place(struct h1_exchange *exchange)
{
    struct h1_parser *parser = &exchange->parser;
    uint64_t left = h1_parse_body_left(parser);
    size_t room = 1;
    char *to;
    ssize_t got;

    if (left < LEAST_PLACED || exchange->held_len > 0 || exchange->handler->place == NULL)
        return false;
    to = exchange->handler->place(exchange->arg, &room);
    if (to == NULL && room > 0)
        return false;
    if (to == NULL) { /* the handler's reader is behind */
        exchange->held_body = 0;
        exchange->answer_waits = true;
        h1_watch(exchange);
        return true;
    }
    got = h1_receive(exchange, to, room < left ? room : (size_t)left);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return true;
    exchange->base.client->has_called_back = true;
    if (got == 0) {
        ended(exchange);
    } else if (got < 0) {
        lost(exchange);
    } else {
        h1_parse_skip_body(parser, (size_t)got);
        exchange->handler->placed(exchange->arg, (size_t)got);
        take(exchange, exchange->base.client->h1->in, 0); /* it may be the end */
    }
    return true;
}

void h1_read(struct h1_exchange *exchange)
{
    struct client *client = exchange->base.client;
    char *to = client->h1->in;
    size_t room = h1_parse_has_head(&exchange->parser) ? H1_PIECE_READ_BYTES : H1_IN_BYTES;
    ssize_t got;

    if (read_to_place(exchange))
        return;

    if (exchange->held_len > 0) { /* an unfinished section: it must stay in one piece */
        if (!make_room(exchange, exchange->held_at + exchange->held_len + READ_ON_BYTES)) {
            h1_finish(exchange, CLIENT_NO_MEMORY, "memory");
            return;
        }
        to = exchange->held + exchange->held_at + exchange->held_len;
        room = READ_ON_BYTES;
    }
    got = h1_receive(exchange, to, room);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    client->has_called_back = true;
    if (got <= 0) {
        if (got == 0)
            ended(exchange);
        else
            lost(exchange);
        return;
    }
    if (exchange->base.times.first_byte_us == 0)
        exchange->base.times.first_byte_us = h1_now_us(exchange);
    if (exchange->answer_is_whole) { /* nobody asked for this */
        exchange->has_surplus = true;
        h1_read_is_over(exchange);
        return;
    }
    if (exchange->held_len > 0)
        take(exchange, exchange->held + exchange->held_at, exchange->held_len + (size_t)got);
    else
        take(exchange, to, (size_t)got);
}

void h1_read_on(struct h1_exchange *exchange)
{
    size_t len = exchange->held_len, body = exchange->held_body;
    char *bytes;

    exchange->base.client->has_called_back = true;
    if (len == 0) { /* the socket holds what comes next */
        exchange->answer_waits = false;
        h1_watch(exchange);
        return;
    }
    bytes = exchange->held + exchange->held_at;
    if (body > 0 && !exchange->handler->body(exchange->arg, str_at(bytes, body)))
        return; /* not yet; it waits as before */
    exchange->held_body = 0;
    exchange->answer_waits = false;
    if (!h1_goes_on(exchange))
        return;
    h1_watch(exchange);
    take(exchange, bytes + body, len - body);
}
