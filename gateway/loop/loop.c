/* loop.c - the loop itself: its turn, its hooks, how long it waits, how busy it is.
 *
 * A turn ends in libuv's prepare phase: masks are applied, the wait is bounded. The
 * one uv_timer is not moved when the nearest deadline moves later, which is what
 * every finished request does: it fires early once, wakes us for nothing and is armed
 * again. Deadlines run in the check phase, because libuv 1.44 runs its own timers
 * before it waits, a turn late for us.
 *
 * Busy time is measured here and not by UV_METRICS_IDLE_TIME: with that option libuv
 * asks epoll twice (first without waiting) in each turn that waits, while the two
 * clock readings of ours are needed for the longest turn anyway.
 *
 * Thread: the loop's own, but for loop_stop(). */
#include "loop/loop_priv.h"

#include <stdlib.h>

void turn_begin(struct loop *loop)
{
    if (loop->is_in_turn)
        return;
    loop->is_in_turn = true;
    loop->now_us = clock_mono_us();
    loop->wall_us = clock_wall_us();
    loop->idle_us += loop->now_us - loop->wait_began_us;
}

uint64_t loop_now_us(const struct loop *loop)
{
    return loop->now_us;
}

int64_t loop_wall_us(const struct loop *loop)
{
    return loop->wall_us;
}

/* ---- how long to wait -------------------------------------------------- */

void loop_wait_at_most(struct loop *loop, uint64_t wait_us)
{
    if (wait_us < loop->wait_at_most_us)
        loop->wait_at_most_us = wait_us;
}

static void on_no_wait(uv_idle_t *idle)
{
    (void)idle; /* being active is its whole effect */
}

static void on_timer(uv_timer_t *timer)
{
    struct loop *loop = timer->data;

    loop->armed_for_us = UINT64_MAX;
}

static void bound_the_wait(struct loop *loop, uint64_t now_us)
{
    uint64_t until_us = deadline_nearest(loop);
    bool is_due;

    if (loop->wait_at_most_us < UINT64_MAX - now_us && now_us + loop->wait_at_most_us < until_us)
        until_us = now_us + loop->wait_at_most_us;
    loop->wait_at_most_us = UINT64_MAX;

    is_due = until_us <= now_us;
    if (is_due != (uv_is_active((uv_handle_t *)&loop->no_wait) != 0)) {
        if (is_due)
            CHECK(uv_idle_start(&loop->no_wait, on_no_wait) == 0);
        else
            uv_idle_stop(&loop->no_wait);
    }
    if (is_due || until_us >= loop->armed_for_us)
        return;
    uv_update_time(&loop->uv); /* libuv's own time is as old as this turn */
    CHECK(uv_timer_start(&loop->timer, on_timer, (until_us - now_us + 999) / 1000, 0) == 0);
    loop->armed_for_us = until_us;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop *loop = prepare->data;
    uint64_t now_us;

    watch_apply_changes(loop);
    now_us = clock_mono_us();
    if (loop->is_in_turn && now_us - loop->now_us > loop->longest_turn_us)
        loop->longest_turn_us = now_us - loop->now_us;
    loop->is_in_turn = false;
    loop->wait_began_us = now_us;
    bound_the_wait(loop, now_us);
}

struct loop_load loop_load_take(struct loop *loop)
{
    uint64_t now_us = clock_mono_us(), elapsed_us = now_us - loop->load_since_us;
    struct loop_load load = {0.0, loop->longest_turn_us};

    if (elapsed_us > loop->idle_us)
        load.utilization = (double)(elapsed_us - loop->idle_us) / (double)elapsed_us;
    loop->load_since_us = now_us;
    loop->idle_us = 0;
    loop->longest_turn_us = 0;
    return load;
}

/* ---- the end of a turn ------------------------------------------------- */

void turn_add(struct loop *loop, enum turn_order order, struct turn_hook *hook)
{
    struct turn_hook **at = &loop->hooks[order];

    while (*at != NULL)
        at = &(*at)->next;
    hook->next = NULL;
    *at = hook;
}

void turn_remove(struct loop *loop, enum turn_order order, struct turn_hook *hook)
{
    struct turn_hook **at = &loop->hooks[order];

    while (*at != NULL && *at != hook)
        at = &(*at)->next;
    if (*at == NULL)
        return;
    if (loop->next_hook == hook) /* removed by a hook of the same order that runs now */
        loop->next_hook = hook->next;
    *at = hook->next;
    hook->next = NULL;
}

void loop_at_turn_end(struct loop *loop, struct turn_end *item)
{
    item->next = NULL;
    *loop->ends_tail = item;
    loop->ends_tail = &item->next;
}

static void run_hooks(struct loop *loop)
{
    for (int order = 0; order < TURN_ORDERS; order++) {
        struct turn_hook *hook = loop->hooks[order];

        while (hook != NULL) {
            loop->next_hook = hook->next;
            hook->fn(hook->arg);
            hook = loop->next_hook;
        }
    }
}

/* Items may free themselves and add others, which still belong to this turn. */
static void run_turn_ends(struct loop *loop)
{
    while (loop->ends != NULL) {
        struct turn_end *item = loop->ends;

        loop->ends = item->next;
        if (loop->ends == NULL)
            loop->ends_tail = &loop->ends;
        item->fn(item->arg);
    }
}

static void on_check(uv_check_t *check)
{
    struct loop *loop = check->data;

    turn_begin(loop);
    deadline_expire(loop);
    run_hooks(loop);
    run_turn_ends(loop);
    if (atomic_load_explicit(&loop->is_stop_asked, memory_order_acquire))
        uv_stop(&loop->uv);
}

const char *loop_library_version(void)
{
    return uv_version_string();
}

/* ---- life -------------------------------------------------------------- */

static void on_async(uv_async_t *async)
{
    struct loop *loop = async->data;

    turn_begin(loop);
    post_run(loop);
}

/* The calls that only link a handle into the loop cannot fail; uv_async_init() has
 * been given its fd by uv_loop_init(). */
static void start_handles(struct loop *loop)
{
    CHECK(uv_prepare_init(&loop->uv, &loop->prepare) == 0);
    CHECK(uv_check_init(&loop->uv, &loop->check) == 0);
    CHECK(uv_idle_init(&loop->uv, &loop->no_wait) == 0);
    CHECK(uv_timer_init(&loop->uv, &loop->timer) == 0);
    CHECK(uv_async_init(&loop->uv, &loop->async, on_async) == 0);
    loop->prepare.data = loop->check.data = loop->timer.data = loop->async.data = loop;
    CHECK(uv_prepare_start(&loop->prepare, on_prepare) == 0);
    CHECK(uv_check_start(&loop->check, on_check) == 0);
}

struct loop *loop_new(struct fail *why)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    int status;

    if (loop == NULL) {
        fail_set(why, "out of memory");
        return NULL;
    }
    status = uv_loop_init(&loop->uv);
    if (status != 0) {
        fail_set(why, "event loop: %s", uv_strerror(status));
        free(loop);
        return NULL;
    }
    start_handles(loop);
    loop->now_us = loop->wait_began_us = loop->load_since_us = clock_mono_us();
    loop->wall_us = clock_wall_us();
    loop->wait_at_most_us = loop->armed_for_us = UINT64_MAX;
    loop->ends_tail = &loop->ends;
    return loop;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void loop_free(struct loop **loop)
{
    struct loop *dying = *loop;

    if (dying == NULL)
        return;
    *loop = NULL;
    resolve_end(dying);
    run_turn_ends(dying); /* what was to be freed at the end of the last turn */
    uv_walk(&dying->uv, close_handle, NULL);
    while (uv_run(&dying->uv, UV_RUN_DEFAULT) != 0)
        continue; /* closing ends in a turn of its own; work on its way is awaited */
    run_turn_ends(dying);
    CHECK(uv_loop_close(&dying->uv) == 0);
    watch_free_all(dying);
    signal_free_all(dying);
    free(dying->heap);
    free(dying);
}

void loop_run(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    loop->is_in_turn = false; /* what follows is no part of a turn's length */
    atomic_store_explicit(&loop->is_stop_asked, false, memory_order_relaxed);
}

void loop_stop(struct loop *loop)
{
    atomic_store_explicit(&loop->is_stop_asked, true, memory_order_release);
    CHECK(uv_async_send(&loop->async) == 0);
}
