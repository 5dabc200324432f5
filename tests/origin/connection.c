/* connection.c - one connection: read a request, answer it, again.
 *
 * Input is taken from one growing buffer, output leaves from another; epoll's bits are changed
 * only when they differ, so that a kept connection costs one read and one write a request.
 * While an answer is on its way nothing is read: the slices of its head stay where they are, and
 * a peer that leaves is seen by EPOLLRDHUP. Before a close what the peer still sends is read for a
 * moment, or the kernel would answer it with a reset that swallows the answer. */
#include "origin.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES     65536
#define OUT_HIGH_BYTES ((size_t)1 << 18)
#define LINGER_MS      200

static int epoll_fd;
static struct conn *timers;
static struct conn *dead; /* freed when the turn ends: events of this turn may still name them */
static uint64_t connections;

uint64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- timers: a list, because few connections wait at a time ---- */

static void timer_stop(struct conn *conn)
{
    if (conn->timer_at == 0)
        return;
    conn->timer_at = 0;
    *conn->timer_link = conn->timer_next;
    if (conn->timer_next != NULL)
        conn->timer_next->timer_link = conn->timer_link;
}

void conn_after_ms(struct conn *conn, uint64_t ms, timer_fn *fn)
{
    timer_stop(conn);
    conn->timer_at = now_ms() + ms;
    conn->on_timer = fn;
    conn->timer_next = timers;
    conn->timer_link = &timers;
    if (timers != NULL)
        timers->timer_link = &conn->timer_next;
    timers = conn;
}

static void free_dead(void)
{
    while (dead != NULL) {
        struct conn *conn = dead;

        dead = conn->timer_next;
        free(conn->in.ptr);
        free(conn->out.ptr);
        free(conn->head_bytes.ptr);
        free(conn->body.first.ptr);
        free(conn->body.trailers.ptr);
        free(conn);
    }
}

int conn_timers(void)
{
    uint64_t now = timers == NULL ? 0 : now_ms(), next = UINT64_MAX;
    struct conn *conn = timers;

    while (conn != NULL) {
        if (conn->timer_at <= now) {
            timer_fn *fn = conn->on_timer;

            timer_stop(conn);
            if (fn != NULL)
                fn(conn);
            if (conn->fd >= 0)
                conn_run(conn);
            conn = timers; /* the list may have changed anywhere */
            continue;
        }
        conn = conn->timer_next;
    }
    for (conn = timers; conn != NULL; conn = conn->timer_next)
        next = conn->timer_at < next ? conn->timer_at : next;
    free_dead();
    if (next == UINT64_MAX)
        return -1;
    return next <= now ? 0 : (int)(next - now);
}

/* ---- the end of a connection ---- */

static void conn_close(struct conn *conn)
{
    if (conn->fd < 0)
        return;
    if (conn->phase == PHASE_BODY || conn->is_body_behind ||
        (conn->phase == PHASE_HEAD && conn->in.len > conn->in_at))
        record_request(conn, conn->phase == PHASE_HEAD ? "the head was cut" : NULL, false);
    if (conn->ending == END_RESET) {
        struct linger hard = {.l_onoff = 1, .l_linger = 0};

        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    (void)close(conn->fd);
    conn->fd = -1;
    timer_stop(conn);
    conn->timer_next = dead;
    dead = conn;
}

/* ---- input ---- */

static void refuse(struct conn *conn, const char *fault)
{
    record_request(conn, fault, true);
    conn->head.keep_alive = false;
    conn->head.minor = 1;
    conn->head.is_head = false;
    conn->phase = PHASE_ANSWER;
    conn->ending = END_CLOSE;
    conn->is_body_behind = false;
    answer_fault(conn, 400, fault);
}

static void body_start(struct conn *conn)
{
    conn->body.kind = conn->head.body;
    conn->body.chunk = CHUNK_SIZE;
    conn->body.left = conn->body.kind == BODY_LENGTH ? conn->head.length : 0;
    conn->body.length = 0;
    conn->body.hash = FNV_START;
    conn->body.first.len = 0;
    conn->body.trailers.len = 0;
}

static void answer_start(struct conn *conn)
{
    conn->phase = PHASE_ANSWER;
    conn->ending = conn->head.keep_alive ? END_KEEP : END_CLOSE;
    conn->requests++;
    route_answer(conn);
}

static bool read_head(struct conn *conn)
{
    const char *fault = NULL;
    char *start = conn->in.ptr + conn->in_at;
    size_t len = conn->in.len - conn->in_at;
    long taken;

    if (len == 0 || conn->out.len - conn->out_at > OUT_HIGH_BYTES)
        return false;
    taken = parse_head(&conn->head, start, len, &fault);
    if (taken == 0)
        return false;
    if (taken < 0) {
        refuse(conn, fault);
        return true;
    }
    conn->in_at += (size_t)taken;
    body_start(conn);
    if (conn->head.body == BODY_NONE) {
        record_request(conn, NULL, true);
        answer_start(conn);
        return true;
    }
    /* reading the body moves the buffer: the head moves out first */
    conn->head_bytes.len = 0;
    text_add(&conn->head_bytes, start, (size_t)taken);
    (void)parse_head(&conn->head, conn->head_bytes.ptr, (size_t)taken, &fault);
    conn->phase = PHASE_BODY;
    if (route_is_early(&conn->head)) {
        conn->is_body_behind = true;
        answer_start(conn);
    } else if (conn->head.expects_continue && conn->in_at == conn->in.len) {
        text_put(&conn->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    return true;
}

static bool read_body(struct conn *conn)
{
    const char *fault = NULL;
    bool is_done;
    long taken = body_take(&conn->body, conn->in.ptr + conn->in_at, conn->in.len - conn->in_at,
                           &is_done, &fault);

    if (taken < 0) {
        refuse(conn, fault);
        return true;
    }
    conn->in_at += (size_t)taken;
    if (!is_done)
        return false;
    record_request(conn, NULL, true);
    if (conn->is_body_behind) {
        conn->is_body_behind = false;
        conn->phase = PHASE_HEAD;
    } else {
        answer_start(conn);
    }
    return true;
}

/* ---- output ---- */

static bool go_on(struct conn *conn)
{
    if (conn->step != NULL) {
        if (conn->timer_at != 0 || conn->out.len - conn->out_at > OUT_HIGH_BYTES)
            return false;
        if (!conn->step(conn))
            conn->step = NULL;
        return true;
    }
    if (conn->ending != END_KEEP) {
        conn->phase = PHASE_LINGER;
        return false;
    }
    conn->phase = conn->is_body_behind ? PHASE_BODY : PHASE_HEAD;
    return true;
}

static bool advance(struct conn *conn)
{
    switch (conn->phase) {
    case PHASE_HEAD:
        return read_head(conn);
    case PHASE_BODY:
        return read_body(conn);
    case PHASE_ANSWER:
        return go_on(conn);
    case PHASE_LINGER:
        break;
    }
    conn->in_at = conn->in.len;
    return false;
}

/* False when the connection is broken. */
static bool flush(struct conn *conn)
{
    while (conn->out_at < conn->out.len) {
        ssize_t sent = send(conn->fd, conn->out.ptr + conn->out_at, conn->out.len - conn->out_at,
                            MSG_NOSIGNAL);

        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        conn->out_at += (size_t)sent;
    }
    conn->out.len = conn->out_at = 0;
    return true;
}

static void watch(struct conn *conn)
{
    bool is_full = conn->out.len - conn->out_at > OUT_HIGH_BYTES;
    struct epoll_event event = {.data.ptr = conn};

    if (conn->phase != PHASE_ANSWER && !is_full)
        event.events |= EPOLLIN;
    if (conn->phase == PHASE_ANSWER)
        event.events |= EPOLLRDHUP;
    if (conn->out_at < conn->out.len)
        event.events |= EPOLLOUT;
    if (event.events == conn->watched)
        return;
    conn->watched = event.events;
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
}

void conn_run(struct conn *conn)
{
    do {
        while (advance(conn)) {
        }
        if (!flush(conn)) {
            conn_close(conn);
            return;
        }
    } while (conn->out.len == 0 && conn->step != NULL && conn->timer_at == 0);
    if (conn->phase == PHASE_LINGER && conn->out.len == 0 && !conn->is_shut) {
        if (conn->ending == END_RESET) {
            conn_close(conn);
            return;
        }
        conn->is_shut = true;
        (void)shutdown(conn->fd, SHUT_WR);
        conn_after_ms(conn, LINGER_MS, conn_close);
    }
    watch(conn);
}

static bool fill(struct conn *conn)
{
    ssize_t got;

    if (conn->in_at == conn->in.len) {
        conn->in.len = conn->in_at = 0;
    } else if (conn->in_at > READ_BYTES) {
        conn->in.len -= conn->in_at;
        memmove(conn->in.ptr, conn->in.ptr + conn->in_at, conn->in.len);
        conn->in_at = 0;
    }
    text_reserve(&conn->in, conn->phase == PHASE_HEAD ? 8192 : READ_BYTES);
    got = recv(conn->fd, conn->in.ptr + conn->in.len, conn->in.room - conn->in.len, 0);
    if (got > 0)
        conn->in.len += (size_t)got;
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

void conn_ready(struct conn *conn, uint32_t events)
{
    if (conn->fd < 0)
        return;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 ||
        (conn->phase == PHASE_ANSWER && (events & EPOLLRDHUP) != 0) ||
        ((events & EPOLLIN) != 0 && conn->phase != PHASE_ANSWER && !fill(conn))) {
        conn_close(conn);
        return;
    }
    conn_run(conn);
}

void conn_accept(int epoll, int fd)
{
    struct conn *conn = calloc(1, sizeof *conn);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    int on = 1;

    if (conn == NULL)
        abort();
    epoll_fd = epoll;
    conn->fd = fd;
    conn->number = ++connections;
    conn->watched = EPOLLIN;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}
