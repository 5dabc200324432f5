/* events.h - a bounded ring of what happened, as rows of text for operators.
 *
 * Any thread adds a row; readers keep a place of their own and miss what the ring has
 * overwritten. Adding copies a line under a short lock and wakes nobody while nobody
 * listens. What clients can cause is let in at a bounded rate, and the next row of the kind
 * says how many were left out. Any thread, unless said. */
#ifndef GATEWAY_EVENTS_H
#define GATEWAY_EVENTS_H
#include "base/base.h"
#include "loop/loop.h"

enum event_kind {
    EVENT_LIMIT,        /* a request was refused by a window */
    EVENT_INVALIDATION, /* a purge, or a write that drops entries */
    EVENT_TARGET,       /* ejected, back, up, down */
    EVENT_BREAKER,      /* opened, half open, closed */
    EVENT_RELOAD,       /* a configuration was taken or refused */
    EVENT_UPSTREAM,     /* requests were shed, refused, queued in vain, hedged */
    EVENT_STORE,        /* the store went away or came back */
    EVENT_KINDS
};
/* "limit_violation", "invalidation", "target", "breaker", "reload", "upstream", "store". */
struct str event_kind_name(enum event_kind kind);

enum { EVENT_BYTES = 480 }; /* of one row; a longer one is left out, and counted as such */
struct event_row {
    uint64_t id; /* one more than the row before; rises over restarts too */
    enum event_kind kind;
    uint32_t len;
    char text[EVENT_BYTES]; /* a JSON object */
};

struct events;
/* `rows` kept. wall_us: now; ids begin there, so that those of the process before are lower. NULL:
 * out of memory. */
struct events *events_new(uint32_t rows, int64_t wall_us) MUST_USE;
void events_free(struct events **events); /* when nobody adds any more; NULL is fine */

/* Is there room for one more of this kind in this second? Ask before the row is written; false is
 * counted. now_us: monotonic. `events` may be NULL: no. */
bool events_wants(struct events *events, enum event_kind kind, uint64_t now_us);
/* Adds {"time":…,members}: `members` is the inside of a JSON object, without braces (copied).
 * `time` is wall_us in seconds; "suppressed" is added when rows of this kind were left out since
 * the last. `events` may be NULL. */
void events_add(struct events *events, enum event_kind kind, int64_t wall_us, struct str members);
/* printf of the members; what may hold a quote goes through buf_add_json() and events_add(). */
void events_addf(struct events *events, enum event_kind kind, int64_t wall_us, const char *format,
                 ...) PRINTF_LIKE(4, 5);

/* The next row after `*after` (0: the oldest kept), copied; *after moves to it. False: none yet. A
 * row whose id is not the next one has lost some before it. */
bool events_read(struct events *events, uint64_t *after, struct event_row *row);
uint64_t events_newest(struct events *events); /* id; what a reader who wants no past begins with */
uint64_t events_lost(struct events *events);   /* rows left out, by rate or length */

/* fn(arg) on `loop` after rows were added, once for many; one listener. NULL fn: none, and what is
 * on its way stays silent. On the listener's thread. */
void events_listen(struct events *events, struct loop *loop, post_fn *fn, void *arg);

#endif
