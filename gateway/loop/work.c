/* work.c - work that would hold the loop too long, on libuv's pool of threads.
 *
 * The pool is the process's (UV_THREADPOOL_SIZE, 4 unless told): what is queued here
 * must be bounded by its caller. There is no cancelling: `done` is always called, so
 * that there is one place that frees the argument, also from loop_free().
 *
 * Threads: work() a pool thread, the rest the loop's own. */
#include "loop/loop_priv.h"

#include <stdatomic.h>
#include <stdlib.h>

struct work_call {
    uv_work_t request;
    struct loop *loop;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

static _Atomic uint64_t pending; /* as libuv's pool, one for the process */

static void on_work(uv_work_t *request)
{
    struct work_call *call = request->data;

    call->work(call->arg);
}

static void on_done(uv_work_t *request, int status)
{
    struct work_call *call = request->data;
    void (*done)(void *arg) = call->done;
    void *arg = call->arg;

    (void)status; /* only uv_cancel() gives another than 0 */
    atomic_fetch_sub_explicit(&pending, 1, memory_order_relaxed);
    turn_begin(call->loop);
    free(call);
    done(arg);
}

bool loop_work(struct loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct work_call *call = malloc(sizeof(*call));

    if (call == NULL)
        return false;
    *call = (struct work_call){.loop = loop, .work = work, .done = done, .arg = arg};
    call->request.data = call;
    if (uv_queue_work(&loop->uv, &call->request, on_work, on_done) != 0) {
        free(call);
        return false;
    }
    atomic_fetch_add_explicit(&pending, 1, memory_order_relaxed);
    return true;
}

uint64_t loop_work_pending(void)
{
    return atomic_load_explicit(&pending, memory_order_relaxed);
}
