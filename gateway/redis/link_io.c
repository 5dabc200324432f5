/* link_io.c - of one connection: what goes out at the end of the turn, and what comes in.
 *
 * Commands gather in `out` and leave in one write; replies are matched by their order. With TLS
 * (tls.c) the same bytes pass through records on their way, no more than SEAL_BYTES of them ahead
 * of the socket, so that the ceiling of `out` holds for both.
 *
 * One thread: the loop's. */
#include "redis/redis_priv.h"

#include <errno.h>

enum { READ_BYTES = 64 * 1024, READS_A_TURN = 16, SEAL_BYTES = 256 * 1024 };

/* ---- out ---- */

/* What stands ready for the socket. False: the connection is doomed. */
static bool seal(struct redis_link *link)
{
    size_t sealed = tls_sealed(link->tls).len;
    struct str plain =
        str_at(link->out.ptr, link->out.len < SEAL_BYTES ? link->out.len : SEAL_BYTES);

    if (sealed >= SEAL_BYTES || plain.len == 0)
        return true;
    if (!tls_seal(link->tls, plain)) {
        link_doom(link, "TLS: a record could not be written");
        return false;
    }
    buf_drop_front(&link->out, plain.len);
    return true;
}

static struct str ready_bytes(const struct redis_link *link)
{
    return link->tls != NULL ? tls_sealed(link->tls) : buf_str(&link->out);
}

static void flush(void *arg)
{
    struct redis_link *link = arg;
    struct str bytes;
    ssize_t sent;

    link->is_flush_asked = false;
    if (link->fd < 0 || link->redis->is_ended || link->state < LINK_SECURING ||
        (link->tls != NULL && !seal(link)))
        return;
    bytes = ready_bytes(link);
    if (bytes.len == 0)
        return;
    sent = send(link->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0 && link->tls != NULL)
        tls_sent(link->tls, (size_t)sent);
    else if (sent > 0)
        buf_drop_front(&link->out, (size_t)sent);
    else if (sent < 0 && errno != EAGAIN && errno != EINTR)
        link_doom(link, "connection lost while writing");
    watch_change(link->watch,
                 ready_bytes(link).len + link->out.len > 0 ? WATCH_READ | WATCH_WRITE : WATCH_READ);
}

void link_ask_flush(struct redis_link *link)
{
    if (link->is_flush_asked)
        return;
    link->is_flush_asked = true;
    link->flush = (struct turn_end){.fn = flush, .arg = link};
    loop_at_turn_end(link->redis->loop, &link->flush);
}

bool link_takes(const struct redis_link *link)
{
    return link->state == LINK_UP && !link->is_tripped && link->doom == NULL;
}

static void append(struct redis_call **first, struct redis_call **last, struct redis_call *call)
{
    call->next = NULL;
    if (*last == NULL)
        *first = call;
    else
        (*last)->next = call;
    *last = call;
}

bool link_write(struct redis_link *link, struct redis_call *call, struct str bytes)
{
    bool is_held = link->state != LINK_UP;
    struct buf *out = is_held ? &link->held : &link->out;

    if (link->state == LINK_DOWN || link->doom != NULL ||
        link->out.len + bytes.len > link->redis->options.max_out_bytes)
        return false;
    if (!buf_add_str(out, bytes)) {
        link_doom(link, "out of memory"); /* half a command may stand there */
        return false;
    }
    call->link = link;
    if (call->sent_us == 0)
        call->sent_us = loop_now_us(link->redis->loop);
    if (is_held) {
        append(&link->held_first, &link->held_last, call);
        return true;
    }
    append(&link->first, &link->last, call);
    link_ask_flush(link);
    if (!deadline_is_set(&link->timer))
        link_arm(link,
                 loop_now_us(link->redis->loop) + (uint64_t)link->redis->options.stall_ms * 1000);
    return true;
}

/* ---- in ---- */

static void take_reply(struct redis_link *link, const struct redis_reply *reply)
{
    struct redis_call *call = link->first;

    if (link->greetings > 0) {
        greeting_take(link, reply);
        return;
    }
    if (message_take(link->redis, reply))
        return;
    if (call == NULL) {
        link_doom(link, "a reply that nobody asked for");
        return;
    }
    link->first = call->next;
    if (link->first == NULL)
        link->last = NULL;
    call->next = NULL;
    answer_call(link, call, reply);
}

/* False: the link is not to be touched any more. */
static bool take_replies(struct redis_link *link)
{
    const struct redis_reply *reply;

    while (link->doom == NULL) {
        switch (reader_next(link->reader, &reply)) {
        case READER_MORE:
            return true;
        case READER_BROKEN:
            link_doom(link, "its bytes are no Redis protocol, or a reply is too large");
            return true;
        case READER_REPLY:
            take_reply(link, reply);
            if (link->redis->is_ended)
                return false;
        }
    }
    return true;
}

static bool take_plain(struct redis_link *link, const char *bytes, size_t len)
{
    if (!reader_feed(link->reader, bytes, len)) {
        link_doom(link, "a reply is too large");
        return true;
    }
    return take_replies(link);
}

/* As take_replies(): what came, out of its records. */
static bool take_records(struct redis_link *link, const char *bytes, size_t len)
{
    char plain[READ_BYTES], why[TLS_WHY_BYTES];

    if (!tls_feed(link->tls, bytes, len)) {
        link_doom(link, "out of memory");
        return true;
    }
    if (link->state == LINK_SECURING)
        link_secure(link);
    while (link->state >= LINK_GREETING && link->doom == NULL) {
        size_t got;

        switch (tls_open(link->tls, plain, sizeof(plain), &got, why)) {
        case TLS_READY:
            if (!take_plain(link, plain, got))
                return false;
            break;
        case TLS_WANTS_MORE:
            link_ask_flush(link); /* a new key, an answer to its question */
            return true;
        case TLS_BROKEN:
            link_doom(link, "");
            link_say_why(link, "%s", why);
            return true;
        }
    }
    return true;
}

void link_read(struct redis_link *link)
{
    char bytes[READ_BYTES];

    for (int i = 0; i < READS_A_TURN && link->doom == NULL; i++) {
        ssize_t got = recv(link->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            link_doom(link, got == 0 ? "it closed the connection" : strerror(errno));
            break;
        }
        if (link->tls != NULL ? !take_records(link, bytes, (size_t)got)
                              : !take_plain(link, bytes, (size_t)got))
            return;
        if ((size_t)got < sizeof(bytes))
            break;
    }
    if (link->doom != NULL)
        link_end(link);
}
