/* warm.c - URLs fetched before anybody asks: requests without a connection.
 *
 * Each URL is a request that walks through the usual steps, but for those about callers:
 * nobody is identified, no window is charged, and neither counters nor the log take it for
 * a client. Whoever reads its answer is the slot below, which throws the bytes away: the
 * cache is a tap on the stream, as always. Four at a time and fifty a second, because an
 * origin that has just been emptied is the last to be stormed. A drain starts no more.
 *
 * Threads: a warming is looked at from anywhere; its run belongs to one worker. */
#include "request/request_priv.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { SLOTS = 4, PER_SECOND = 50, READ_BYTES = 16 * 1024, READS_A_TURN = 16 };

struct warm_url {
    struct warm_target target; /* text behind the array */
    _Atomic int state, status;
    _Atomic(const char *) why;
};

struct warming {
    atomic_uint references;
    atomic_bool is_over;
    uint64_t id;
    struct loop *home;
    struct post post; /* to home, when it is over */
    uint32_t count;
    struct warm_url urls[];
};

static size_t text_bytes(const struct warm_target *target)
{
    return target->url.len + target->authority.len + target->target.len;
}

static struct str put(char **at, struct str text)
{
    struct str copy = str_at(*at, text.len);

    if (text.len > 0)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return copy;
}

struct warming *warming_new(uint64_t id, const struct warm_target *targets, uint32_t count,
                            struct loop *home, const struct post *over)
{
    size_t size = sizeof(struct warming) + count * sizeof(struct warm_url);
    struct warming *warming;
    char *at;

    for (uint32_t i = 0; i < count; i++)
        size += text_bytes(&targets[i]);
    warming = calloc(1, size);
    if (warming == NULL)
        return NULL;
    atomic_init(&warming->references, 1);
    warming->id = id;
    warming->home = home;
    warming->post = *over;
    warming->count = count;
    at = (char *)&warming->urls[count];
    for (uint32_t i = 0; i < count; i++) {
        struct warm_target *target = &warming->urls[i].target;

        target->url = put(&at, targets[i].url);
        target->authority = put(&at, targets[i].authority);
        target->target = put(&at, targets[i].target);
        target->is_tls = targets[i].is_tls;
    }
    return warming;
}

struct warming *warming_hold(struct warming *warming)
{
    atomic_fetch_add(&warming->references, 1);
    return warming;
}

void warming_release(struct warming **warming)
{
    struct warming *held = *warming;

    *warming = NULL;
    if (held != NULL && atomic_fetch_sub(&held->references, 1) == 1)
        free(held);
}

uint64_t warming_id(const struct warming *warming)
{
    return warming->id;
}

uint32_t warming_count(const struct warming *warming)
{
    return warming->count;
}

bool warming_is_over(const struct warming *warming)
{
    return atomic_load(&warming->is_over);
}

struct warm_result warming_result(const struct warming *warming, uint32_t index)
{
    const struct warm_url *url = &warming->urls[index];

    return (struct warm_result){.url = url->target.url,
                                .state = (enum warm_state)atomic_load(&url->state),
                                .status = atomic_load(&url->status),
                                .why = atomic_load(&url->why)};
}

/* ---- the run, on its worker ---- */

struct warm_slot {
    struct warm_run *run;
    struct warm_url *url;
    struct request *request; /* NULL: free */
    bool is_answered;
    struct deadline go;
};

struct warm_run {
    struct warm_run *next, **back; /* of the context */
    struct request_context *context;
    struct warming *warming; /* held */
    uint32_t begun, active;
    double tokens;
    uint64_t filled_us; /* when tokens was right */
    struct deadline tick;
    struct warm_slot slots[SLOTS];
};

static void run_on(struct warm_run *run);

/* Home keeps its reference until it has heard. */
static void tell_home(struct warming *warming)
{
    atomic_store(&warming->is_over, true);
    loop_post(warming->home, &warming->post);
    warming_release(&warming);
}

static void run_free(struct warm_run *run)
{
    struct warming *warming = run->warming;

    deadline_clear(run->context->loop, &run->tick);
    *run->back = run->next;
    if (run->next != NULL)
        run->next->back = run->back;
    free(run);
    tell_home(warming);
}

/* What was begun to be kept may have outgrown its place, or been purged meanwhile. */
static bool is_kept(struct request *r)
{
    if (!r->cache.stored && !r->cache.collapsed) /* collapsed: another's fetch, for the same key */
        return false;
    return r->fetch.fill != NULL ? fill_is_storing(r->fetch.fill) : lookup_has_changed(r);
}

static enum warm_state state_of(struct request *r, bool is_whole)
{
    enum cache_status status = r->cache.status;

    if (!is_whole || r->answer.status >= 500)
        return WARM_FAILED;
    if (status == CACHE_HIT || status == CACHE_STALE || status == CACHE_UPDATING)
        return WARM_FRESH;
    if (status == CACHE_REVALIDATED || is_kept(r))
        return WARM_STORED;
    return r->answer.status >= 400 ? WARM_FAILED : WARM_NOT_STORED;
}

static void slot_end(struct warm_slot *slot, bool is_whole)
{
    struct request *r = slot->request;
    enum warm_state state = r->is_answered ? state_of(r, is_whole) : WARM_FAILED;

    atomic_store(&slot->url->status, r->is_answered ? r->answer.status : 0);
    atomic_store(&slot->url->why, state == WARM_FAILED ? r->reason : r->cache.detail);
    atomic_store(&slot->url->state, (int)state);
    deadline_clear(r->context->loop, &slot->go);
    request_finish(&slot->request, is_whole ? REQUEST_DONE : REQUEST_CUT, 0, 0);
    slot->run->active--;
}

/* False: not yet at the end. */
static bool read_on(struct warm_slot *slot, bool *is_whole)
{
    char bytes[READ_BYTES];

    *is_whole = true;
    if (request_answer(slot->request)->body != REQUEST_BODY_STREAM)
        return true;
    for (int i = 0; i < READS_A_TURN; i++) {
        ptrdiff_t got = request_read(slot->request, bytes, sizeof(bytes));

        if (got == REQUEST_READ_WAIT)
            return false;
        *is_whole = got != REQUEST_READ_ERROR;
        if (got < 0)
            return true;
    }
    CHECK(deadline_set(slot->run->context->loop, &slot->go, loop_now_us(slot->run->context->loop)));
    return false;
}

static void on_go(void *arg)
{
    struct warm_slot *slot = arg;
    bool is_whole;

    if (!slot->is_answered)
        slot->is_answered = request_run(slot->request) == REQUEST_ANSWERS;
    if (!slot->is_answered || !read_on(slot, &is_whole))
        return;
    slot_end(slot, is_whole);
    run_on(slot->run);
}

static void on_wake(void *arg)
{
    struct warm_slot *slot = arg;
    struct loop *loop = slot->run->context->loop;

    CHECK(deadline_set(loop, &slot->go, loop_now_us(loop)));
}

static const struct request_io io = {.wake = on_wake};

static bool make_head(struct request *r, const struct warm_target *target)
{
    struct http_request_head *head = request_head(r);

    head->method = STR("GET");
    head->version = STR("HTTP/1.1");
    head->target = arena_copy(r->arena, target->target);
    return head->target.ptr != NULL &&
           http_fields_add_id(&head->fields, HTTP_HOST, arena_copy(r->arena, target->authority)) &&
           http_fields_add_id(&head->fields, HTTP_USER_AGENT, STR("gateway-warm"));
}

/* False: it has its result already. */
static bool slot_begin(struct warm_slot *slot, struct warm_run *run, struct warm_url *url)
{
    struct loop *loop = run->context->loop;
    struct request_arrival arrival = {
        .peer = STR(""), .is_tls = url->target.is_tls, .started_us = loop_now_us(loop)};
    struct request *r = request_new(run->context, &io, slot);

    atomic_store(&url->state, WARM_FAILED);
    if (r == NULL)
        return false;
    r->is_warm = true;
    *slot = (struct warm_slot){.run = run, .url = url, .request = r};
    slot->go = (struct deadline){.fn = on_go, .arg = slot};
    if (!make_head(r, &url->target) || request_check(r, &arrival) != REQUEST_GOES_ON ||
        !deadline_set(loop, &slot->go, loop_now_us(loop))) {
        atomic_store(&url->status, r->is_answered ? r->answer.status : 0);
        request_finish(&slot->request, REQUEST_CUT, 0, 0);
        return false;
    }
    r->walk = &walk_warm;
    r->identity = IDENTIFY_OK;
    r->who.caller.kind = CALLER_IP;
    r->who.caller.tier = config_tier(r->config, r->config->limits.default_tier);
    atomic_store(&url->state, WARM_FETCHING);
    return true;
}

static bool take_token(struct warm_run *run)
{
    uint64_t now_us = loop_now_us(run->context->loop);

    run->tokens += (double)(now_us - run->filled_us) / 1e6 * PER_SECOND;
    if (run->tokens > PER_SECOND)
        run->tokens = PER_SECOND;
    run->filled_us = now_us;
    if (run->tokens < 1) {
        CHECK(deadline_set(run->context->loop, &run->tick, now_us + 1000000 / PER_SECOND));
        return false;
    }
    run->tokens -= 1;
    return true;
}

/* Fills the slots that are free; ends when nothing is left to do. */
static void run_on(struct warm_run *run)
{
    bool is_ending = run->context->is_aborting ||
                     atomic_load_explicit(&run->context->shared->is_draining, memory_order_relaxed);

    for (uint32_t i = 0; i < SLOTS && !is_ending; i++) {
        if (run->slots[i].request != NULL)
            continue;
        while (run->begun < run->warming->count) {
            if (!take_token(run))
                return;
            if (slot_begin(&run->slots[i], run, &run->warming->urls[run->begun++])) {
                run->active++;
                break;
            }
        }
    }
    if (run->active == 0)
        run_free(run);
}

static void on_tick(void *arg)
{
    run_on(arg);
}

void request_warm(struct request_context *context, struct warming *warming)
{
    struct warm_run *run = calloc(1, sizeof(*run));

    warming = warming_hold(warming);
    if (run == NULL) {
        tell_home(warming);
        return;
    }
    run->context = context;
    run->warming = warming;
    run->tokens = PER_SECOND;
    run->filled_us = loop_now_us(context->loop);
    run->tick = (struct deadline){.fn = on_tick, .arg = run};
    run->next = context->warming;
    run->back = &context->warming;
    if (run->next != NULL)
        run->next->back = &run->next;
    context->warming = run;
    run_on(run);
}

void warm_abort(struct request_context *context)
{
    while (context->warming != NULL) {
        struct warm_run *run = context->warming;

        for (uint32_t i = 0; i < SLOTS; i++)
            if (run->slots[i].request != NULL)
                slot_end(&run->slots[i], false);
        run_free(run);
    }
}
