/* events.c - the ring, its lock, and the bell.
 *
 * Rows have a fixed size: half a mebibyte in all holds a thousand, and neither side has to
 * think about where one ends. The lock is held for one copy of a row. The rate is decided
 * before that, by one atomic a kind, because a flood of refusals must not queue up for a
 * lock. The bell is a post to the listener's loop, not rung again before it was heard.
 * Any thread. */
#include "events/events.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct events {
    pthread_mutex_t lock;
    uint64_t newest; /* id; the row is at newest % room */
    uint64_t first;  /* lower than all ids */
    uint32_t room;
    struct loop *loop; /* the listener's; NULL: nobody listens */
    post_fn *fn;
    void *arg;
    bool is_ringing;
    struct post bell;
    /* second << 16 | rows let in during it */
    _Atomic uint64_t windows[EVENT_KINDS];
    _Atomic uint64_t suppressed[EVENT_KINDS]; /* since the last row of the kind */
    _Atomic uint64_t lost;
    struct event_row rows[];
};

static const struct {
    struct str name;
    uint32_t per_second;
} kinds[EVENT_KINDS] = {
    [EVENT_LIMIT] = {{"limit_violation", 15}, 20},
    [EVENT_INVALIDATION] = {{"invalidation", 12}, 50},
    [EVENT_TARGET] = {{"target", 6}, 50},
    [EVENT_BREAKER] = {{"breaker", 7}, 50},
    [EVENT_RELOAD] = {{"reload", 6}, 50},
    [EVENT_UPSTREAM] = {{"upstream", 8}, 50},
    [EVENT_STORE] = {{"store", 5}, 50},
};

struct str event_kind_name(enum event_kind kind)
{
    return kinds[kind].name;
}

struct events *events_new(uint32_t rows, int64_t wall_us)
{
    struct events *events = calloc(1, sizeof(*events) + rows * sizeof(events->rows[0]));

    CHECK(rows > 0);
    if (events == NULL)
        return NULL;
    CHECK(pthread_mutex_init(&events->lock, NULL) == 0);
    events->room = rows;
    events->first = events->newest = (uint64_t)wall_us;
    return events;
}

void events_free(struct events **events)
{
    if (*events != NULL)
        (void)pthread_mutex_destroy(&(*events)->lock);
    free(*events);
    *events = NULL;
}

/* ---- adding ---- */

static void leave_out(struct events *events, enum event_kind kind)
{
    atomic_fetch_add_explicit(&events->suppressed[kind], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&events->lost, 1, memory_order_relaxed);
}

bool events_wants(struct events *events, enum event_kind kind, uint64_t now_us)
{
    uint64_t second = now_us / 1000000 << 16, window, next;

    if (events == NULL)
        return false;
    window = atomic_load_explicit(&events->windows[kind], memory_order_relaxed);
    do {
        next = window >> 16 << 16 == second ? window + 1 : second | 1;
        if ((next & 0xffff) > kinds[kind].per_second) {
            leave_out(events, kind);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&events->windows[kind], &window, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void on_bell(void *arg)
{
    struct events *events = arg;
    post_fn *fn;
    void *listener;

    pthread_mutex_lock(&events->lock);
    events->is_ringing = false;
    fn = events->fn;
    listener = events->arg;
    pthread_mutex_unlock(&events->lock);
    if (fn != NULL)
        fn(listener);
}

/* Lock held. */
static void ring(struct events *events)
{
    if (events->fn == NULL || events->is_ringing)
        return;
    events->is_ringing = true;
    events->bell = (struct post){.fn = on_bell, .arg = events};
    loop_post(events->loop, &events->bell);
}

void events_add(struct events *events, enum event_kind kind, int64_t wall_us, struct str members)
{
    struct event_row *row;
    uint64_t suppressed;
    char head[128];
    int len;

    if (events == NULL)
        return;
    suppressed = atomic_exchange_explicit(&events->suppressed[kind], 0, memory_order_relaxed);
    len = snprintf(head, sizeof(head), "{\"time\":%" PRId64 ".%03d", wall_us / 1000000,
                   (int)(wall_us / 1000 % 1000));
    if (suppressed > 0)
        len += snprintf(head + len, sizeof(head) - (size_t)len, ",\"suppressed\":%" PRIu64,
                        suppressed);
    if (members.len > 0)
        head[len++] = ',';
    if ((size_t)len + members.len + 1 > EVENT_BYTES) {
        atomic_fetch_add_explicit(&events->suppressed[kind], suppressed, memory_order_relaxed);
        leave_out(events, kind);
        return;
    }
    pthread_mutex_lock(&events->lock);
    row = &events->rows[++events->newest % events->room];
    row->id = events->newest;
    row->kind = kind;
    memcpy(row->text, head, (size_t)len);
    if (members.len > 0)
        memcpy(row->text + len, members.ptr, members.len);
    row->len = (uint32_t)((size_t)len + members.len + 1);
    row->text[row->len - 1] = '}';
    ring(events);
    pthread_mutex_unlock(&events->lock);
}

void events_addf(struct events *events, enum event_kind kind, int64_t wall_us, const char *format,
                 ...)
{
    char text[EVENT_BYTES + 1];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len >= 0) /* one that was cut is too long for a row, and left out there */
        events_add(events, kind, wall_us,
                   str_at(text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1));
}

/* ---- reading ---- */

bool events_read(struct events *events, uint64_t *after, struct event_row *row)
{
    bool is_there;

    pthread_mutex_lock(&events->lock);
    is_there = events->newest > *after && events->newest > events->first;
    if (is_there) {
        uint64_t oldest = events->newest - events->first > events->room
                              ? events->newest - events->room + 1
                              : events->first + 1;
        const struct event_row *next;

        next = &events->rows[(*after + 1 > oldest ? *after + 1 : oldest) % events->room];
        row->id = next->id;
        row->kind = next->kind;
        row->len = next->len;
        memcpy(row->text, next->text, next->len);
        *after = next->id;
    }
    pthread_mutex_unlock(&events->lock);
    return is_there;
}

uint64_t events_newest(struct events *events)
{
    uint64_t newest;

    pthread_mutex_lock(&events->lock);
    newest = events->newest;
    pthread_mutex_unlock(&events->lock);
    return newest;
}

uint64_t events_lost(struct events *events)
{
    return atomic_load_explicit(&events->lost, memory_order_relaxed);
}

void events_listen(struct events *events, struct loop *loop, post_fn *fn, void *arg)
{
    pthread_mutex_lock(&events->lock);
    events->loop = loop;
    events->fn = fn;
    events->arg = arg;
    pthread_mutex_unlock(&events->lock);
}
