/* post.c - messages from other threads.
 *
 * A stack that any thread pushes to and the loop empties in one exchange, then turns
 * round: so the order is that of the pushes, no lock is held by anyone, and since the
 * loop always takes everything the ABA problem cannot arise. Only the push that finds
 * the stack empty wakes the loop; the pusher of every later item knows that this
 * wake-up is still to be answered.
 *
 * Threads: loop_post() any, the rest the loop's own. */
#include "loop/loop_priv.h"

void loop_post(struct loop *loop, struct post *item)
{
    struct post *newest = atomic_load_explicit(&loop->posts, memory_order_relaxed);

    do {
        item->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&loop->posts, &newest, item,
                                                    memory_order_release, memory_order_relaxed));
    if (newest == NULL)
        CHECK(uv_async_send(&loop->async) == 0);
}

void post_run(struct loop *loop)
{
    struct post *item = atomic_exchange_explicit(&loop->posts, NULL, memory_order_acquire);
    struct post *oldest = NULL;

    while (item != NULL) {
        struct post *older = item->next;

        item->next = oldest;
        oldest = item;
        item = older;
    }
    while (oldest != NULL) {
        item = oldest;
        oldest = item->next; /* before fn: it may free the item or post it again */
        item->fn(item->arg);
    }
}
