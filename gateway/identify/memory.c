/* memory.c - what one worker has found out already, and its requests that wait for keys.
 *
 * A request whose token names an unknown signer waits; all that wait on a worker are one question
 * to the main thread, which fetches once for all workers and answers in any case. So nothing here
 * grows but the list of requests, and a request that leaves takes itself out of it.
 *
 * Worker's thread; the two posts carry the question to the main thread and back. */
#include "identify/identify_priv.h"

#include <stdlib.h>

struct identify_memory *identify_memory_new(struct identify_shared *shared, struct loop *loop)
{
    struct identify_memory *memory = calloc(1, sizeof(*memory));

    if (memory == NULL)
        return NULL;
    memory->shared = shared;
    memory->loop = loop;
    memory->verified = verified_new();
    if (memory->verified == NULL)
        identify_memory_free(&memory);
    return memory;
}

void identify_memory_free(struct identify_memory **memory)
{
    if (*memory != NULL)
        verified_free(&(*memory)->verified);
    free(*memory);
    *memory = NULL;
}

/* They ask again; a wait that a callback cancels is gone from the list before its turn. */
static void on_answer(void *arg)
{
    struct identify_memory *memory = arg;
    struct identify_wait *first = memory->waiting;

    memory->is_asking = false;
    memory->waiting = NULL;
    if (first != NULL)
        first->back = &first;
    while (first != NULL) {
        struct identify_wait *wait = first;

        identify_wait_cancel(wait);
        wait->fn(wait->arg);
    }
}

void identify_wait(struct identify_memory *memory, struct identify_wait *wait)
{
    struct identify_fetcher *fetcher = shared_fetcher(memory->shared);

    CHECK(wait->memory == NULL && fetcher != NULL);
    wait->memory = memory;
    wait->next = memory->waiting;
    wait->back = &memory->waiting;
    if (wait->next != NULL)
        wait->next->back = &wait->next;
    memory->waiting = wait;
    if (memory->is_asking)
        return;
    memory->is_asking = true;
    memory->there = (struct post){fetcher_is_asked, memory, NULL};
    memory->back = (struct post){on_answer, memory, NULL};
    loop_post(fetcher_loop(fetcher), &memory->there);
}

void identify_wait_cancel(struct identify_wait *wait)
{
    if (wait->memory == NULL)
        return;
    *wait->back = wait->next;
    if (wait->next != NULL)
        wait->next->back = wait->back;
    wait->memory = NULL;
}
