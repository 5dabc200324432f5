/* tries.c - what was tried upstream for a request: for its decision record and its spans.
 *
 * Noted as the tries begin and end, a few at most, without allocation. Worker's thread. */
#include "request/request_priv.h"

void try_begins(void *request, uint32_t number, const struct target_config *target,
                char *traceparent)
{
    struct request *r = request;

    if (r->try_count == REQUEST_TRIES)
        return;
    r->tries[r->try_count++] = (struct request_try){
        .span = trace_try(r, traceparent),
        .started_us = loop_now_us(r->context->loop),
        .target = target,
        .number = number,
    };
}

/* The newest of this number: a fetch may have been started over. */
void try_ends(struct request *r, const struct upstream_try *ended)
{
    for (uint32_t i = r->try_count; i > 0; i--) {
        struct request_try *one = &r->tries[i - 1];

        if (one->number != ended->number)
            continue;
        one->ended_us = loop_now_us(r->context->loop);
        one->kind = ended->kind;
        one->status = ended->status;
        return;
    }
}
