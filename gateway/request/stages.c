/* stages.c - the way of a request: read this first.
 *
 * A walk is a list of steps; each step is one function in a stage_*.c, asks the room of
 * its skill and says how to go on. A step that waits is called again when the
 * request is woken, and looks at what it has learned meanwhile.
 *
 * Limit first is the usual order: a hit is limited like any other request. Cache first
 * serves routes with "count_hits": false: what the cache can answer costs nothing. Body first
 * serves POSTs whose body makes the key: admitted, read to a ceiling, looked up (by the
 * bytes, then by what a picture shows), answered in the final call.
 * Warming has no caller. The admin listener's requests know one step. Worker's thread. */
#include "request/request_priv.h"

static stage_fn *const limit_first[] = {stage_system, stage_route,     stage_identify,
                                        stage_limit,  stage_authorize, stage_answer,
                                        stage_lookup, stage_fetch,     NULL};
static stage_fn *const cache_first[] = {stage_system,    stage_route,  stage_identify,
                                        stage_authorize, stage_lookup, stage_limit,
                                        stage_answer,    stage_fetch,  NULL};
static stage_fn *const body_first[] = {
    stage_system, stage_route,   stage_identify, stage_limit,   stage_authorize,
    stage_answer, stage_collect, stage_lookup,   stage_picture, stage_fetch,
    NULL};
static stage_fn *const nobodys[] = {stage_route, stage_answer, stage_lookup, stage_fetch, NULL};
static stage_fn *const system_only[] = {stage_system, NULL};

const struct walk walk_limit_first = {"limit first", limit_first};
const struct walk walk_cache_first = {"cache first", cache_first};
const struct walk walk_body_first = {"body first", body_first};
const struct walk walk_warm = {"warm", nobodys};
const struct walk walk_system = {"system", system_only};

static uint32_t step_of(const struct walk *walk, stage_fn *stage)
{
    uint32_t i = 0;

    while (walk->stages[i] != stage)
        i++;
    return i;
}

/* ---- how long steps wait ---- */

static const char *name_of(stage_fn *stage)
{
    static const struct {
        stage_fn *stage;
        const char *name;
    } names[] = {{stage_identify, "identity"},   {stage_limit, "limit"},
                 {stage_authorize, "authorize"}, {stage_collect, "body"},
                 {stage_lookup, "lookup"},       {stage_fetch, "upstream"},
                 {stage_picture, "picture"}};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (names[i].stage == stage)
            return names[i].name;
    return "other";
}

/* The step that waited is called again; most waits are one. */
static void note_wait(struct request *r)
{
    uint64_t us = loop_now_us(r->context->loop) - r->waits_since_us;
    const char *name = name_of(r->walk->stages[r->step]);
    struct record_wait *last = r->wait_count > 0 ? &r->waits[r->wait_count - 1] : NULL;

    r->waits_since_us = 0;
    if (last != NULL && last->step == name)
        last->us += us;
    else if (r->wait_count < RECORD_WAITS)
        r->waits[r->wait_count++] = (struct record_wait){name, us};
}

/* May the body be taken now? Once somebody wants it: the exchange with the upstream, the admin
 * room, or the key. */
static enum request_next wait_or_body(struct request *r)
{
    if (r->facts.has_body && !r->body.ended &&
        (r->fetch.is_on || r->takes_question_body || r->collected.phase == COLLECT_TAKES))
        return REQUEST_WANTS_BODY;
    r->is_waiting = true;
    return REQUEST_WAITS;
}

/* An answer of our own to a request whose body is small and on its way: taken and thrown away
 * first, the connection can be kept, and no reset overtakes the answer. */
static bool is_worth_draining(const struct request *r)
{
    uint64_t most =
        request_body_limit(r) < REQUEST_DRAIN_BYTES ? request_body_limit(r) : REQUEST_DRAIN_BYTES;

    return !r->facts.is_chunked && !r->facts.expects_continue && r->facts.content_length <= most;
}

enum request_next walk_on(struct request *r)
{
    r->is_waiting = false;
    if (r->waits_since_us != 0)
        note_wait(r);
    while (!r->is_answered) {
        stage_fn *stage = r->walk->stages[r->step];

        CHECK(stage != NULL); /* the last step of a walk always answers or waits */
        switch (stage(r)) {
        case STEP_NEXT:
            r->step++;
            break;
        case STEP_WAIT:
            r->waits_since_us = loop_now_us(r->context->loop);
            return wait_or_body(r);
        case STEP_LOOKUP:
            r->step = step_of(r->walk, stage_lookup);
            break;
        case STEP_ANSWER:
            r->is_answered = true;
            break;
        }
    }
    /* No answer can leave before the body is in: what is still to come is thrown away. */
    if (r->facts.has_body && !r->body.ended && (r->fetch.is_on || is_worth_draining(r))) {
        r->body.discards = true;
        return REQUEST_WANTS_BODY;
    }
    return REQUEST_ANSWERS;
}
