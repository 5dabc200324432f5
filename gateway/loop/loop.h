/* loop.h - a thread's event loop: fds, deadlines, a place at the end of each
 * turn, messages from other threads, work off the loop, names looked up.
 *
 * libuv underneath, known to this folder only. A turn goes: wait, ready fds and
 * posted messages in any order, then (libuv's check phase) the deadlines that
 * have passed, then the turn's hooks in their order, then objects that die at
 * the end of the turn. Callbacks come from the loop, never from inside the call
 * that asked. Everything but loop_post() and loop_stop() belongs to the loop's
 * own thread. */
#ifndef GATEWAY_LOOP_H
#define GATEWAY_LOOP_H
#include "base/base.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct loop;
struct loop *loop_new(struct fail *why) MUST_USE;
/* After loop_run() returned, or instead of it. Runs what waits for the end of the turn, waits
 * for loop_work() on its way and calls its `done`; posts, deadlines, watches, look-ups are
 * forgotten. */
void loop_free(struct loop **loop);
void loop_run(struct loop *loop);  /* until loop_stop() */
void loop_stop(struct loop *loop); /* any thread; ends after the present turn */

const char *loop_library_version(void);

/* The moment this turn began: monotonic microseconds, read once a turn. */
uint64_t loop_now_us(const struct loop *loop);
/* The same moment as wall clock time, microseconds since 1970. */
int64_t loop_wall_us(const struct loop *loop);
/* Share of time (0..1) that the loop was busy, and the longest turn in microseconds,
 * since the last call. */
struct loop_load {
    double utilization;
    uint64_t longest_turn_us;
};
struct loop_load loop_load_take(struct loop *loop);

/* ---- fds ---- */
enum { WATCH_READ = 1, WATCH_WRITE = 2, WATCH_GONE = 4 /* peer closed or half-closed */ };
struct watch; /* pooled; outlives its fd */
/* `ready` is a set of WATCH_*; an error of the fd arrives as all that was asked for.
 * Level-triggered. */
typedef void watch_fn(void *arg, int fd, int ready);
/* Watches fd (borrowed, non-blocking) for `events`. NULL: out of memory, not pollable, or the
 * fd is watched already (one watch for each fd). */
struct watch *watch_start(struct loop *loop, int fd, int events, watch_fn *fn, void *arg) MUST_USE;
/* 0 pauses it (errors too). System calls are made once, before the wait, if at all. */
void watch_change(struct watch *watch, int events);
/* Silent from now on, clears the pointer; the fd may be closed at once. NULL is fine. */
void watch_stop(struct watch **watch);

/* ---- deadlines: one heap a loop; embedded, no allocation ---- */
typedef void deadline_fn(void *arg);
struct deadline {
    uint64_t at_us; /* loop_now_us() scale */
    deadline_fn *fn;
    void *arg;
    uint32_t slot; /* 1-based place in the heap; 0: not set */
};
/* Sets or moves it. fn runs once, in the check phase of the turn in which at_us has passed.
 * False: out of memory (heap growth), and it is not set. */
bool deadline_set(struct loop *loop, struct deadline *deadline, uint64_t at_us) MUST_USE;
void deadline_clear(struct loop *loop, struct deadline *deadline); /* fine when not set */
static inline bool deadline_is_set(const struct deadline *d)
{
    return d->slot != 0;
}

/* ---- the end of a turn ---- */
/* In this order, after the deadlines; each once a turn. */
enum turn_order { TURN_CLIENT, TURN_DEFERRED, TURN_FLUSH, TURN_RESUME, TURN_SERVER, TURN_ORDERS };
typedef void turn_fn(void *arg);
struct turn_hook {
    turn_fn *fn;
    void *arg;
    struct turn_hook *next;
};
/* `hook` is the caller's and must live until turn_remove(). */
void turn_add(struct loop *loop, enum turn_order order, struct turn_hook *hook);
void turn_remove(struct loop *loop, enum turn_order order, struct turn_hook *hook);
/* Makes the next wait at most wait_us long (0: do not wait; otherwise rounded up to whole
 * milliseconds). For libraries that have timeouts of their own; forgotten after one turn. */
void loop_wait_at_most(struct loop *loop, uint64_t wait_us);
/* Calls fn(arg) at the very end of this turn, after the hooks and in the order of asking: for
 * freeing what callbacks of this turn may still hold. It may free the item. */
struct turn_end {
    turn_fn *fn;
    void *arg;
    struct turn_end *next;
};
void loop_at_turn_end(struct loop *loop, struct turn_end *item);

/* ---- other threads ---- */
typedef void post_fn(void *arg);
/* Runs fn(arg) on the loop's thread, in the order of posting. Any thread. The item is the
 * caller's and must stay until fn runs; an item on its way must not be posted again.
 * Many posts cost one wake-up. */
struct post {
    post_fn *fn;
    void *arg;
    struct post *next;
};
void loop_post(struct loop *loop, struct post *item);
/* Runs work(arg) on a thread of the pool, then done(arg) on this loop. False: could not be queued.
 */
bool loop_work(struct loop *loop, void (*work)(void *arg), void (*done)(void *arg),
               void *arg) MUST_USE;
/* Calls of loop_work() of all loops that wait or run: the pool is the process's. Any thread. */
uint64_t loop_work_pending(void);

/* ---- names ---- */
struct socket_address { /* as connect() takes it */
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
        struct sockaddr_un path;
    } as;
    socklen_t len;
};
enum { RESOLVE_MOST = 32 /* addresses of one name */, RESOLVE_NAME_MOST = 255 };
struct resolved {
    struct socket_address at[RESOLVE_MOST]; /* in the order to try them: both families in turn */
    uint32_t count;                         /* 0: it failed */
    const char *why;                        /* then: static, for people */
};
typedef void resolved_fn(void *arg, const struct resolved *resolved);
struct resolution;
/* What addresses `host` (copied; a name, or an address, of IPv6 with or without brackets) has, each
 * with `port`. Calls `done` once, from the loop, never before this returns; `resolved` lives during
 * the call. A few names at a time are looked up in threads of their own, the others wait: it may
 * take as long as name servers like, so the caller has a deadline. The answer says nothing of how
 * long it is good for: getaddrinfo() knows no lifetimes. NULL: out of memory, too many wait, or the
 * name is empty or too long; and no callback comes. */
struct resolution *loop_resolve(struct loop *loop, struct str host, uint16_t port,
                                resolved_fn *done, void *arg) MUST_USE;
/* No callback comes; clears the pointer. NULL is fine. */
void loop_resolve_cancel(struct resolution **resolution);
/* Names of all loops that are looked up now, or wait for it. Any thread. */
uint64_t loop_resolve_pending(void);
/* An address that needs no look-up: any thread, pure. False: it is a name. */
bool socket_address_parse(struct str host, uint16_t port, struct socket_address *address);
/* For tests: in place of getaddrinfo(), on the thread of a look-up; fills in count and why. Before
 * the first loop_resolve(). */
typedef void resolve_ask_fn(const char *host, uint16_t port, struct resolved *to);
void loop_resolve_by(struct loop *loop, resolve_ask_fn *ask);

/* ---- signals (main thread's loop only) ---- */
typedef void signal_fn(void *arg, int signal);
bool loop_on_signal(struct loop *loop, int signal, signal_fn *fn, void *arg) MUST_USE;

#endif
