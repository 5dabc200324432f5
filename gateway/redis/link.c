/* link.c - one connection: connects, greets, ends; link_io.c writes and reads.
 *
 * Whatever ends a connection goes one way (link_end): its calls are LOST, and another
 * attempt comes after a pause of 50 ms, doubling to 5 s, with a fifth of jitter, so that the
 * workers of many gateways do not come back in step. A connection that owes a reply for longer
 * than stall_ms is ended: the other side of a broken path sends no word of it.
 *
 * One thread: the loop's. */
#include "redis/redis_priv.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#define FIRST_PAUSE_US 50000
#define MOST_PAUSE_US  5000000

static void on_ready(void *arg, int fd, int ready);
static void on_resolved(void *arg, const struct resolved *resolved);
static void try_address(struct redis_link *link);

static uint64_t now_of(const struct redis_link *link)
{
    return loop_now_us(link->redis->loop);
}

void link_arm(struct redis_link *link, uint64_t at_us)
{
    /* its place in the heap stays; without memory the next event finds what is due */
    (void)!deadline_set(link->redis->loop, &link->timer, at_us);
}

void link_wake(struct redis_link *link, uint64_t at_us)
{
    if (!deadline_is_set(&link->timer) || link->timer.at_us > at_us)
        link_arm(link, at_us);
}

void link_say_why(struct redis_link *link, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(link->why, sizeof(link->why), format, args);
    va_end(args);
}

/* ---- the end ---- */

void link_silence(struct redis_link *link)
{
    if (link->redis == NULL)
        return;
    watch_stop(&link->watch);
    loop_resolve_cancel(&link->resolution);
    deadline_clear(link->redis->loop, &link->timer);
    if (link->fd >= 0)
        (void)close(link->fd);
    link->fd = -1;
    link->state = LINK_DOWN;
}

static struct redis_call *take_calls(struct redis_link *link)
{
    struct redis_call *all = link->first;

    if (all == NULL)
        all = link->held_first;
    else
        link->last->next = link->held_first;
    link->first = link->last = link->held_first = link->held_last = NULL;
    return all;
}

static void lose(struct redis_call *call)
{
    while (call != NULL) {
        struct redis_call *next = call->next;

        call->link = NULL;
        call_end(call, REDIS_LOST, NULL);
        call = next;
    }
}

void link_release(struct redis_link *link)
{
    if (link->redis == NULL)
        return;
    lose(take_calls(link));
    reader_free(&link->reader);
    tls_free(&link->tls);
    buf_free(&link->out);
    buf_free(&link->held);
}

static uint64_t pause_us(struct redis_link *link)
{
    uint64_t pause = FIRST_PAUSE_US;

    for (uint32_t i = 0; i < link->failures && pause < MOST_PAUSE_US; i++)
        pause *= 2;
    if (pause > MOST_PAUSE_US)
        pause = MOST_PAUSE_US;
    link->failures++;
    return pause + pause / 5 - random_u64() % (pause / 5 * 2);
}

/* Nothing of the connection is in use: no callback of it is on the stack. */
void link_end(struct redis_link *link)
{
    struct redis_call *lost = take_calls(link);

    link_silence(link);
    reader_free(&link->reader);
    tls_free(&link->tls);
    buf_clear(&link->out);
    buf_clear(&link->held);
    health_reset(link);
    link->doom = NULL;
    link->greetings = 0;
    link->sourced = NULL;
    if (link->is_open)
        link_arm(link, now_of(link) + pause_us(link));
    redis_link_changed(link);
    lose(lost);
}

void link_doom(struct redis_link *link, const char *why)
{
    if (link->doom != NULL || link->redis->is_ended)
        return;
    link->doom = why;
    link_say_why(link, "%s", why);
    link_arm(link, now_of(link));
}

/* ---- connecting ---- */

static bool set_path(struct redis_link *link)
{
    struct socket_address *address = &link->addresses[0];
    size_t len = strlen(link->place.host);

    if (len >= sizeof(address->as.path.sun_path))
        return false;
    *address = (struct socket_address){.len = sizeof(address->as.path)};
    address->as.path.sun_family = AF_UNIX;
    memcpy(address->as.path.sun_path, link->place.host, len);
    link->address_count = 1;
    return true;
}

/* A path needs no look-up; what comes of it is told by the loop too. */
static void try_now(struct redis_link *link)
{
    uint64_t until_us = now_of(link) + (uint64_t)link->redis->options.connect_ms * 1000;

    link->state = LINK_RESOLVING;
    link->address = link->address_count = 0;
    if (link->place.port != 0) {
        link_arm(link, until_us);
        link->resolution = loop_resolve(link->redis->loop, str_of(link->place.host),
                                        link->place.port, on_resolved, link);
        if (link->resolution == NULL)
            link_doom(link, "out of memory");
    } else if (set_path(link)) {
        link_arm(link, until_us);
        try_address(link);
    } else {
        link_doom(link, "the path of its socket is too long");
    }
}

static void on_resolved(void *arg, const struct resolved *resolved)
{
    struct redis_link *link = arg;

    link->resolution = NULL;
    link->address_count = resolved->count < LINK_ADDRESSES ? resolved->count : LINK_ADDRESSES;
    memcpy(link->addresses, resolved->at, link->address_count * sizeof(link->addresses[0]));
    if (resolved->count == 0) {
        link_doom(link, "its name has no address");
        link_say_why(link, "%.60s: %.60s", link->place.host, resolved->why);
        return;
    }
    try_address(link);
}

static bool begin_connect(struct redis_link *link, const struct socket_address *address)
{
    link->fd = socket(address->as.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return false;
    /* a unix socket whose queue is full says EAGAIN: that is as good as refused */
    if (connect(link->fd, &address->as.any, address->len) != 0 && errno != EINPROGRESS)
        return false;
    link->watch = watch_start(link->redis->loop, link->fd, WATCH_WRITE, on_ready, link);
    return link->watch != NULL;
}

static void try_address(struct redis_link *link)
{
    link->state = LINK_CONNECTING;
    while (link->address < link->address_count) {
        if (begin_connect(link, &link->addresses[link->address++]))
            return;
        link_say_why(link, "connect: %s", strerror(errno));
        if (link->fd >= 0)
            (void)close(link->fd);
        link->fd = -1;
    }
    if (link->doom == NULL) {
        link->doom = link->why;
        link_arm(link, now_of(link));
    }
}

static void set_options(const struct redis_link *link)
{
    int on = 1, idle_s = 30, every_s = 5, count = 3;

    if (link->place.port == 0)
        return;
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(link->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof(every_s));
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static void begin_greeting(struct redis_link *link)
{
    link->state = LINK_GREETING;
    if (link->reader == NULL || !greeting_write(link)) {
        link_doom(link, "out of memory");
        return;
    }
    link_ask_flush(link);
}

static void on_connected(struct redis_link *link)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        link_say_why(link, "connect: %s", strerror(error));
        watch_stop(&link->watch);
        (void)close(link->fd);
        link->fd = -1;
        try_address(link);
        return;
    }
    set_options(link);
    link->reader = reader_new(link->redis->options.max_reply_bytes);
    buf_clear(&link->out);
    watch_change(link->watch, WATCH_READ);
    if (link->redis->tls_files != NULL) {
        link->state = LINK_SECURING;
        link->tls = tls_new(link->redis->tls_files, link->place.host);
        if (link->tls == NULL || link->reader == NULL)
            link_doom(link, "out of memory");
        else
            link_secure(link);
        return;
    }
    begin_greeting(link);
}

void link_secure(struct redis_link *link)
{
    char why[TLS_WHY_BYTES];

    switch (tls_shake(link->tls, why)) {
    case TLS_READY:
        begin_greeting(link);
        break;
    case TLS_WANTS_MORE:
        break;
    case TLS_BROKEN:
        link_doom(link, "");
        link_say_why(link, "%s", why);
    }
    link_ask_flush(link); /* a refusal is told to the other side, too, if there is time */
}

static void on_ready(void *arg, int fd, int ready)
{
    struct redis_link *link = arg;

    (void)fd;
    if (link->state == LINK_CONNECTING) {
        on_connected(link);
        return;
    }
    if ((ready & WATCH_WRITE) != 0)
        link_ask_flush(link);
    if ((ready & WATCH_READ) != 0)
        link_read(link);
}

/* ---- time ---- */

static void look_at_time(struct redis_link *link)
{
    uint64_t now_us = now_of(link), next_us = UINT64_MAX, probe_us;

    if (link->first != NULL) {
        next_us = link->first->sent_us + (uint64_t)link->redis->options.stall_ms * 1000;
        if (next_us <= now_us) {
            link_doom(link, "it answers no more");
            link_end(link);
            return;
        }
    }
    health_look(link, now_us);
    probe_us = health_next_us(link);
    if (probe_us < next_us)
        next_us = probe_us;
    if (next_us != UINT64_MAX)
        link_arm(link, next_us);
}

static void on_timer(void *arg)
{
    struct redis_link *link = arg;

    if (link->doom != NULL) {
        link_end(link);
        return;
    }
    switch (link->state) {
    case LINK_DOWN:
        if (link->is_open)
            try_now(link);
        return;
    case LINK_RESOLVING:
    case LINK_CONNECTING:
    case LINK_SECURING:
    case LINK_GREETING:
        link_say_why(link, link->state == LINK_SECURING
                               ? "no TLS within connect_ms: does it speak it?"
                               : "no connection within connect_ms");
        link_end(link);
        return;
    case LINK_UP:
        look_at_time(link);
    }
}

/* ---- begin ---- */

void link_open(struct redis *redis, struct redis_link *link, const struct redis_place *place,
               enum link_role role)
{
    bool is_flush_asked = link->is_flush_asked;
    struct turn_end end = link->flush;

    *link = (struct redis_link){.redis = redis, .role = role, .place = *place, .fd = -1};
    link->is_flush_asked = is_flush_asked; /* the loop may still hold it */
    link->flush = end;
    link->is_open = true;
    link->out = buf_new(redis->options.max_out_bytes + 65536);
    link->held = buf_new(redis->options.max_out_bytes + 65536);
    link->timer = (struct deadline){.fn = on_timer, .arg = link};
    try_now(link);
}

void link_retarget(struct redis_link *link, const struct redis_place *place)
{
    link->place = *place;
    link->failures = 0;
    if (link->state == LINK_DOWN)
        link_arm(link, now_of(link));
    else
        link_doom(link, "another is the master now");
}

void link_try_now(struct redis_link *link)
{
    if (link->state == LINK_DOWN && link->is_open)
        link_arm(link, now_of(link));
}
