/* loop_priv.h - what the files of loop/ know of each other.
 *
 * One struct for all, because a turn walks through all of them: prepare (watch.c
 * applies the masks that changed, loop.c bounds the wait), libuv's wait, ready fds
 * and posts, check (deadline.c, then the hooks). turn_begin() is called by whatever
 * libuv calls first after the wait: it reads the clock once, so that callbacks of
 * fds and deadlines of one turn agree on the time. */
#ifndef GATEWAY_LOOP_PRIV_H
#define GATEWAY_LOOP_PRIV_H
#include "loop/loop.h"

#include <stdatomic.h>
#include <uv.h>

/* The key stands beside the pointer: comparing touches one array, not every owner. */
struct heap_entry {
    uint64_t at_us;
    struct deadline *deadline;
};

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t no_wait; /* active: libuv polls without waiting */
    uv_timer_t timer;  /* bounds the wait; its callback does nothing else */
    uv_async_t async;  /* posts and loop_stop() */

    bool is_in_turn; /* after the wait, before the next prepare */
    uint64_t now_us;
    int64_t wall_us;
    uint64_t wait_at_most_us; /* asked for during this turn; UINT64_MAX: nothing */
    uint64_t armed_for_us;    /* what the timer was armed for; UINT64_MAX: not armed */

    uint64_t wait_began_us, idle_us, load_since_us, longest_turn_us;

    struct watch **watches; /* by fd number; owned */
    size_t watch_room;
    struct watch *changed; /* masks to apply before the next wait */

    struct heap_entry *heap; /* slot s of a deadline is heap[s - 1] */
    uint32_t heap_count, heap_room;
    bool is_expiring;

    struct turn_hook *hooks[TURN_ORDERS];
    struct turn_hook *next_hook; /* the one to run after the present one */
    struct turn_end *ends, **ends_tail;

    struct signal_watch *signals;
    struct resolver *resolver; /* NULL until the first name is looked up */
    resolve_ask_fn *ask;       /* NULL: getaddrinfo() */

    _Atomic(struct post *) posts; /* newest first */
    atomic_bool is_stop_asked;
};

/* Reads the clock if this is the first callback after the wait. */
void turn_begin(struct loop *loop);

/* watch.c: brings libuv up to date with every mask changed in this turn. */
void watch_apply_changes(struct loop *loop);
void watch_free_all(struct loop *loop); /* after uv_loop_close() */

/* deadline.c */
uint64_t deadline_nearest(const struct loop *loop); /* UINT64_MAX: none */
void deadline_expire(struct loop *loop);            /* runs those that have passed */

/* post.c */
void post_run(struct loop *loop);

/* resolve.c: before anything of the loop is closed */
void resolve_end(struct loop *loop);

/* signal.c */
void signal_free_all(struct loop *loop); /* after uv_loop_close() */

#endif
