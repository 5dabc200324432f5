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
    struct identify_memory *old = *memory;

    *memory = NULL;
    if (old == NULL)
        return;
    verified_free(&old->verified);
    old->is_dead = true;
    memory_release(old);
}

void memory_release(struct identify_memory *memory)
{
    if (memory->jobs == 0)
        free(memory);
}

void memory_link(struct identify_memory *memory, struct identify_wait **list,
                 struct identify_wait *wait)
{
    wait->memory = memory;
    wait->next = *list;
    wait->back = list;
    if (wait->next != NULL)
        wait->next->back = &wait->next;
    *list = wait;
}

/* They ask again; a wait that a callback cancels is gone from the list before its turn. */
void memory_wake(struct identify_wait **list)
{
    if (*list != NULL)
        (*list)->back = list;
    while (*list != NULL) {
        struct identify_wait *wait = *list;

        identify_wait_cancel(wait);
        wait->fn(wait->arg);
    }
}

static void on_answer(void *arg)
{
    struct identify_memory *memory = arg;
    struct identify_wait *first = memory->waiting;

    memory->is_asking = false;
    memory->waiting = NULL;
    memory_wake(&first);
}

void identify_wait(struct identify_memory *memory, struct identify_answer *answer,
                   struct identify_wait *wait)
{
    struct identify_fetcher *fetcher;
    struct basic_job *job = answer->job;

    CHECK(wait->memory == NULL);
    if (job != NULL) {
        answer->job = NULL;
        basic_start(job, wait);
        return;
    }
    fetcher = shared_fetcher(memory->shared);
    CHECK(fetcher != NULL);
    memory_link(memory, &memory->waiting, wait);
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
