/* body.c - the request's body, kept while another try may need it.
 *
 * What the handler gives is copied up to the upstream's retry.buffer. A larger body is
 * sent once: the copy is dropped when it overflows, and the request is not tried again
 * unless nothing of the body had been read.
 *
 * Thread: the worker's, inside the client room's callback. */
#include "upstream/upstream_priv.h"

static void keep(struct upstream_exchange *exchange, const char *bytes, size_t len)
{
    if (exchange->body_is_lost)
        return;
    if (exchange->has_head || !buf_add(&exchange->kept, bytes, len)) {
        buf_free(&exchange->kept);
        exchange->body_is_lost = true;
        exchange->kept_at = 0;
        return;
    }
    exchange->kept_at = exchange->kept.len;
}

ptrdiff_t body_read(void *arg, char *to, size_t room)
{
    struct upstream_exchange *exchange = arg;
    ptrdiff_t got;

    if (!exchange->body_is_lost && exchange->kept_at < exchange->kept.len)
        return (ptrdiff_t)buf_read(&exchange->kept, &exchange->kept_at, to, room);
    if (exchange->body_has_ended)
        return CLIENT_READ_END;
    got = exchange->handler->read(exchange->arg, to, room);
    if (exchange->is_ended)
        return CLIENT_READ_ABORT;
    exchange->waits_for_body = got == CLIENT_READ_WAIT;
    if (got == CLIENT_READ_END)
        exchange->body_has_ended = true;
    if (got > 0 && exchange->has_head) /* of a tunnel either side's bytes are life */
        exchange->active_us = loop_now_us(exchange->pool->loop);
    if (got > 0)
        keep(exchange, to, (size_t)got);
    return got;
}

void body_rewind(struct upstream_exchange *exchange)
{
    exchange->kept_at = 0;
    exchange->waits_for_body = false;
}

void body_forget(struct upstream_exchange *exchange)
{
    if (exchange->kept_at < exchange->kept.len)
        return; /* a second try is still sending it */
    if (exchange->kept.len > 0)
        exchange->body_is_lost = true;
    exchange->kept_at = 0;
    buf_free(&exchange->kept);
}
