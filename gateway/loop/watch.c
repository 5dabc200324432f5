/* watch.c - fds of the loop.
 *
 * A watch is a uv_poll_t that belongs to an fd *number* for the loop's life: it is
 * stopped when the caller is done, and the next fd with the same number takes it over.
 * So there is no asynchronous uv_close() between a stop and a start, and the three
 * system calls of uv_poll_init() are paid once a number, not once a connection. A few
 * hundred bytes for each number ever seen are the price.
 *
 * Masks are applied just before the wait: what changes and changes back in one turn
 * costs nothing, where libuv would remove and add the fd each time. Stopping is the
 * exception: uv_poll_stop() at once takes the fd out of epoll and out of the events
 * of this turn, so that the caller may close it, and a new fd of that number may be
 * watched, in the same turn.
 *
 * Thread: the loop's own. */
#include "loop/loop_priv.h"

#include <stdlib.h>
#include <sys/stat.h>

enum { WATCH_FIRST_ROOM = 64 };

struct watch {
    uv_poll_t poll;
    struct loop *loop;
    struct watch *next_changed;
    watch_fn *fn; /* NULL: nobody watches this number now */
    void *arg;
    int fd;
    int wanted, applied; /* WATCH_* */
    bool is_changed;     /* in the list of changes, which may be stale: masks decide */
};

_Static_assert((int)WATCH_READ == (int)UV_READABLE, "masks are passed through");
_Static_assert((int)WATCH_WRITE == (int)UV_WRITABLE, "masks are passed through");
_Static_assert((int)WATCH_GONE == (int)UV_DISCONNECT, "masks are passed through");

static void note_change(struct watch *watch)
{
    if (watch->is_changed)
        return;
    watch->is_changed = true;
    watch->next_changed = watch->loop->changed;
    watch->loop->changed = watch;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    int ready = events & watch->wanted;

    turn_begin(watch->loop);
    if (status < 0) {
        /* libuv has stopped polling by itself and left the fd in epoll. Level-triggered
         * means that we ask again, unless the owner is done with it. */
        uv_poll_stop(poll);
        watch->applied = 0;
        note_change(watch);
    }
    if (status < 0 || events == 0)
        ready = watch->wanted;
    if (ready != 0)
        watch->fn(watch->arg, watch->fd, ready);
}

void watch_apply_changes(struct loop *loop)
{
    while (loop->changed != NULL) {
        struct watch *watch = loop->changed;

        loop->changed = watch->next_changed;
        watch->is_changed = false;
        if (watch->wanted == watch->applied)
            continue;
        if (watch->wanted == 0)
            CHECK(uv_poll_stop(&watch->poll) == 0);
        else
            CHECK(uv_poll_start(&watch->poll, watch->wanted, on_poll) == 0);
        watch->applied = watch->wanted;
    }
}

static bool make_room(struct loop *loop, size_t count)
{
    size_t room = loop->watch_room == 0 ? WATCH_FIRST_ROOM : loop->watch_room;
    struct watch **larger;

    if (count <= loop->watch_room)
        return true;
    while (room < count)
        room *= 2;
    larger = realloc(loop->watches, room * sizeof(struct watch *));
    if (larger == NULL)
        return false;
    memset(larger + loop->watch_room, 0, (room - loop->watch_room) * sizeof(struct watch *));
    loop->watches = larger;
    loop->watch_room = room;
    return true;
}

static void on_probe_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static struct watch *watch_new(struct loop *loop, int fd)
{
    struct watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL)
        return NULL;
    if (uv_poll_init(&loop->uv, &watch->poll, fd) != 0) { /* nothing is registered then */
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->loop = loop;
    watch->fd = fd;
    loop->watches[fd] = watch;
    return watch;
}

/* uv_poll_init() looks whether epoll takes the fd. A number that is used again skips
 * that, and libuv aborts later if epoll refuses, so look here; anything that is not
 * surely pollable (an epoll fd is not known by fstat) is left to epoll itself. */
static bool is_pollable(struct loop *loop, int fd)
{
    struct stat st;
    uv_poll_t *probe;

    if (fstat(fd, &st) != 0)
        return false;
    if (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode))
        return true;
    probe = malloc(sizeof(*probe));
    if (probe == NULL)
        return false;
    if (uv_poll_init(&loop->uv, probe, fd) != 0) {
        free(probe);
        return false;
    }
    probe->data = probe;
    uv_close((uv_handle_t *)probe, on_probe_closed);
    return true;
}

struct watch *watch_start(struct loop *loop, int fd, int events, watch_fn *fn, void *arg)
{
    struct watch *watch;

    CHECK(fn != NULL);
    if (fd < 0 || !make_room(loop, (size_t)fd + 1))
        return NULL;
    watch = loop->watches[fd];
    if (watch == NULL)
        watch = watch_new(loop, fd);
    else if (watch->fn != NULL || !is_pollable(loop, fd))
        return NULL;
    if (watch == NULL)
        return NULL;
    watch->fn = fn;
    watch->arg = arg;
    watch_change(watch, events);
    return watch;
}

void watch_change(struct watch *watch, int events)
{
    watch->wanted = events & (WATCH_READ | WATCH_WRITE | WATCH_GONE);
    if (watch->wanted != watch->applied)
        note_change(watch);
}

void watch_stop(struct watch **watch)
{
    struct watch *stopped = *watch;

    *watch = NULL;
    if (stopped == NULL)
        return;
    stopped->wanted = 0;
    stopped->fn = NULL;
    stopped->arg = NULL;
    if (stopped->applied == 0)
        return;
    CHECK(uv_poll_stop(&stopped->poll) == 0);
    stopped->applied = 0;
}

void watch_free_all(struct loop *loop)
{
    for (size_t i = 0; i < loop->watch_room; i++)
        free(loop->watches[i]);
    free(loop->watches);
}
