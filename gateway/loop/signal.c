/* signal.c - signals as callbacks of a loop.
 *
 * libuv's handler writes to a pipe that the loop reads, so `fn` may do anything. One
 * handler a signal and loop; it stays until loop_free(). Only the main thread's loop
 * asks for signals: libuv would deliver them to every loop that does.
 *
 * Thread: the loop's own. */
#include "loop/loop_priv.h"

#include <stdlib.h>

struct signal_watch {
    uv_signal_t handle;
    struct loop *loop;
    struct signal_watch *next;
    signal_fn *fn;
    void *arg;
};

static void on_signal(uv_signal_t *handle, int number)
{
    struct signal_watch *watch = handle->data;

    turn_begin(watch->loop);
    watch->fn(watch->arg, number);
}

bool loop_on_signal(struct loop *loop, int signal, signal_fn *fn, void *arg)
{
    struct signal_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL)
        return false;
    if (uv_signal_init(&loop->uv, &watch->handle) != 0) {
        free(watch);
        return false;
    }
    watch->handle.data = watch;
    watch->loop = loop;
    watch->fn = fn;
    watch->arg = arg;
    watch->next = loop->signals; /* kept also when the start fails: libuv knows the handle */
    loop->signals = watch;
    return uv_signal_start(&watch->handle, on_signal, signal) == 0;
}

void signal_free_all(struct loop *loop)
{
    while (loop->signals != NULL) {
        struct signal_watch *watch = loop->signals;

        loop->signals = watch->next;
        free(watch);
    }
}
