/* tunnel.c - a connection after 101: bytes both ways between its socket and its request.
 *
 * libmicrohttpd's own upgrade is of no use in an external loop (library-facts B3), so the
 * connection is suspended for good, its 101 is written here, and its fd, with the TLS session
 * where there is one, is ours until the end. Then it is resumed for the library to close it.
 *
 * Down: what the request has is read when the last piece has gone out, so a client that does not
 * read slows the upstream; up: the socket is read when the request has room. The frames that go
 * down are counted, not read: a goodbye of ours (1001) must stand between two of them.
 *
 * Owner's thread. */
#include "server/server_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { MOST_ROUNDS = 8, FRAME_HEAD = 14 };

/* Where in a stream of frames we are (RFC 6455 §5.2). */
struct frames {
    uint64_t left; /* of this frame's payload */
    unsigned char head[FRAME_HEAD];
    size_t head_len;
};
struct tunnel {
    char *out; /* owned */
    size_t out_at, out_len, out_room;
    struct frames down;
    bool is_framed;      /* the 101 has gone out: what follows are frames */
    bool client_ended;   /* it sends no more */
    bool upstream_ended; /* nothing more comes down */
    bool wants_goodbye;
    bool has_shut; /* our side is closed: we wait for the client's end */
};

void tunnel_free(struct tunnel **tunnel)
{
    struct tunnel *old = *tunnel;

    *tunnel = NULL;
    if (old == NULL)
        return;
    free(old->out);
    free(old);
}

/* ---- frames -------------------------------------------------------------- */

static size_t head_need(const struct frames *frames)
{
    size_t need = 2;

    if (frames->head_len < 2)
        return need;
    if ((frames->head[1] & 0x7f) == 126)
        need += 2;
    else if ((frames->head[1] & 0x7f) == 127)
        need += 8;
    return (frames->head[1] & 0x80) != 0 ? need + 4 : need;
}

static uint64_t payload_of(const struct frames *frames)
{
    size_t first = 2, bytes = 0;
    uint64_t length = frames->head[1] & 0x7f;

    if (length < 126)
        return length;
    bytes = length == 126 ? 2 : 8;
    length = 0;
    for (size_t i = first; i < first + bytes; i++)
        length = length << 8 | frames->head[i];
    return length;
}

static void frames_pass(struct frames *frames, struct str bytes)
{
    while (bytes.len > 0) {
        if (frames->left > 0) {
            size_t part = frames->left < bytes.len ? (size_t)frames->left : bytes.len;

            frames->left -= part;
            bytes = str_from(bytes, part);
            continue;
        }
        frames->head[frames->head_len++] = (unsigned char)*bytes.ptr;
        bytes = str_from(bytes, 1);
        if (frames->head_len == head_need(frames)) {
            frames->left = payload_of(frames);
            frames->head_len = 0;
        }
    }
}

static bool frames_are_whole(const struct frames *frames)
{
    return frames->left == 0 && frames->head_len == 0;
}

/* To the end of this frame, as far as it is known. */
static size_t frames_rest(const struct frames *frames, size_t most)
{
    if (frames->left > 0)
        return frames->left < most ? (size_t)frames->left : most;
    return head_need(frames) - frames->head_len;
}

/* ---- the socket ---------------------------------------------------------- */

static gnutls_session_t session_of(const struct connection *c)
{
    if (c->listener->daemon == c->server->plain)
        return NULL;
    return MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;
}

enum { SOCKET_WAIT = -1, SOCKET_LOST = -2 };

static ssize_t socket_put(const struct connection *c, const char *bytes, size_t len)
{
    gnutls_session_t session = session_of(c);
    ssize_t sent;

    if (session != NULL) {
        sent = gnutls_record_send(session, bytes, len);
        if (sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED)
            return SOCKET_WAIT;
        return sent < 0 ? SOCKET_LOST : sent;
    }
    sent = send(c->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? SOCKET_WAIT
                                                                         : SOCKET_LOST;
    return sent;
}

/* 0: the client has closed its side. */
static ssize_t socket_get(const struct connection *c, char *to, size_t room)
{
    gnutls_session_t session = session_of(c);
    ssize_t got;

    if (session != NULL) {
        got = gnutls_record_recv(session, to, room);
        if (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED)
            return SOCKET_WAIT;
        if (got == GNUTLS_E_PREMATURE_TERMINATION)
            return 0;
        return got < 0 ? SOCKET_LOST : got;
    }
    got = recv(c->fd, to, room, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? SOCKET_WAIT
                                                                         : SOCKET_LOST;
    return got;
}

static void socket_shut(const struct connection *c)
{
    gnutls_session_t session = session_of(c);

    if (session != NULL)
        (void)gnutls_bye(session, GNUTLS_SHUT_WR);
    (void)shutdown(c->fd, SHUT_WR);
}

/* ---- down ---------------------------------------------------------------- */

/* 1001, "going away" (RFC 6455 §7.4.1), unmasked as a server's frames are. */
static void write_goodbye(struct tunnel *t)
{
    static const unsigned char frame[] = {0x88, 0x02, 0x03, 0xe9};

    memcpy(t->out, frame, sizeof(frame));
    t->out_at = 0;
    t->out_len = sizeof(frame);
    t->upstream_ended = true; /* what else comes down is not wanted */
}

static void fill_out(struct connection *c)
{
    struct tunnel *t = c->tunnel;
    size_t room = SERVER_TUNNEL_BYTES;
    ptrdiff_t got;

    t->is_framed = true;
    t->out_at = t->out_len = 0;
    if (t->upstream_ended)
        return;
    if (t->wants_goodbye && frames_are_whole(&t->down)) {
        write_goodbye(t);
        return;
    }
    if (t->wants_goodbye)
        room = frames_rest(&t->down, room);
    got = request_read(c->request, t->out, room);
    if (got == REQUEST_READ_END || got == REQUEST_READ_ERROR)
        t->upstream_ended = true;
    if (got <= 0)
        return;
    frames_pass(&t->down, str_at(t->out, (size_t)got));
    t->out_len = (size_t)got;
}

/* False: the client is lost. */
static bool pump_down(struct connection *c)
{
    struct tunnel *t = c->tunnel;

    for (int i = 0; i < MOST_ROUNDS; i++) {
        ssize_t sent;

        if (t->out_at == t->out_len)
            fill_out(c);
        if (t->out_at == t->out_len)
            return true;
        sent = socket_put(c, t->out + t->out_at, t->out_len - t->out_at);
        if (sent == SOCKET_WAIT)
            return true;
        if (sent < 0)
            return false;
        t->out_at += (size_t)sent;
        if (t->is_framed)
            c->bytes_out += (uint64_t)sent;
    }
    return true;
}

/* ---- up ------------------------------------------------------------------ */

/* The upstream has ended: only the client's end is waited for. After a goodbye of ours the client's
 * own is still told upstream. */
static bool discards(const struct tunnel *t)
{
    return t->has_shut && !t->wants_goodbye;
}

/* False: the client is lost. */
static bool pump_up(struct connection *c)
{
    struct tunnel *t = c->tunnel;

    for (int i = 0; i < MOST_ROUNDS && !t->client_ended; i++) {
        size_t room = discards(t) ? sizeof(c->server->scratch) : request_tunnel_room(c->request);
        ssize_t got;

        if (room == 0)
            return true;
        if (room > sizeof(c->server->scratch))
            room = sizeof(c->server->scratch);
        got = socket_get(c, c->server->scratch, room);
        if (got == SOCKET_WAIT)
            return true;
        if (got < 0)
            return false;
        if (got == 0) {
            t->client_ended = true;
            request_body_end(c->request);
        } else if (!discards(t)) {
            request_tunnel_write(c->request, str_at(c->server->scratch, (size_t)got));
            c->bytes_in += (uint64_t)got;
        }
        if (got < (ssize_t)room && session_of(c) == NULL)
            return true; /* the socket is empty */
    }
    return true;
}

/* ---- both ---------------------------------------------------------------- */

static void end(struct connection *c)
{
    watch_stop(&c->watch);
    c->stage = STAGE_TUNNEL_END;
    connection_resume(c);
}

static void watch_both(struct connection *c)
{
    struct tunnel *t = c->tunnel;
    bool is_blocked = t->out_at < t->out_len;
    int events = 0;

    if (!t->client_ended && (discards(t) || request_tunnel_room(c->request) > 0))
        events |= WATCH_READ;
    if (is_blocked)
        events |= WATCH_WRITE;
    watch_change(c->watch, events);
    if (t->has_shut)
        return;
    if (!is_blocked)
        connection_phase(c, PHASE_THINK);
    else if (c->phase != PHASE_WRITE)
        connection_phase(c, PHASE_WRITE);
}

/* A session may hold bytes that the socket no longer shows. */
static bool has_pending(const struct connection *c)
{
    gnutls_session_t session = session_of(c);

    return session != NULL && gnutls_record_check_pending(session) > 0;
}

static void pump(struct connection *c, bool is_readable)
{
    struct tunnel *t = c->tunnel;

    if ((is_readable || has_pending(c)) && !pump_up(c)) {
        end(c);
        return;
    }
    if (!t->has_shut && !pump_down(c)) {
        end(c);
        return;
    }
    if (t->upstream_ended && t->out_at == t->out_len && !t->has_shut) {
        t->has_shut = true;
        socket_shut(c);
        connection_phase(c, PHASE_LINGER);
    }
    if (t->has_shut && t->client_ended && (discards(t) || request_tunnel_is_drained(c->request)))
        end(c);
    else
        watch_both(c);
}

static void on_ready(void *arg, int fd, int ready)
{
    struct connection *c = arg;

    (void)fd;
    if (c->stage == STAGE_TUNNEL)
        pump(c, (ready & WATCH_READ) != 0);
}

void tunnel_resume(struct connection *c)
{
    pump(c, false);
}

void tunnel_goodbye(struct connection *c)
{
    if (c->stage != STAGE_TUNNEL || c->tunnel->wants_goodbye)
        return;
    c->tunnel->wants_goodbye = true;
    connection_resume(c);
}

/* ---- the start ----------------------------------------------------------- */

static bool write_head(struct connection *c, const struct request_answer *answer)
{
    struct tunnel *t = c->tunnel;
    struct buf text = buf_new(SERVER_SCRATCH_BYTES);

    (void)buf_add_str(&text, STR("HTTP/1.1 101 Switching Protocols\r\n"));
    for (uint32_t i = 0; i < answer->fields->count; i++)
        (void)buf_addf(&text, "%.*s: %.*s\r\n", STR_ARG(answer->fields->at[i].name),
                       STR_ARG(answer->fields->at[i].value));
    (void)buf_add_str(&text, STR("\r\n"));
    if (!buf_reserve(&text, text.len < SERVER_TUNNEL_BYTES ? SERVER_TUNNEL_BYTES - text.len : 0)) {
        buf_free(&text);
        return false;
    }
    t->out = text.ptr; /* the tunnel's from now on */
    t->out_len = text.len;
    return true;
}

enum MHD_Result tunnel_start(struct connection *c)
{
    const struct request_answer *answer = request_answer(c->request);

    if (c->is_gone || c->is_cut)
        return MHD_NO;
    c->tunnel = calloc(1, sizeof(*c->tunnel));
    if (c->tunnel == NULL || !write_head(c, answer))
        return MHD_NO;
    watch_stop(&c->watch);
    c->watch = watch_start(c->server->loop, c->fd, WATCH_READ | WATCH_WRITE, on_ready, c);
    if (c->watch == NULL)
        return MHD_NO;
    c->stage = STAGE_TUNNEL;
    connection_phase(c, PHASE_THINK);
    connection_suspend(c);
    connection_resume(c); /* the 101 leaves in the resume hook */
    return MHD_YES;
}
