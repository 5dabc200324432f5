/* verdict.c - what was decided about requests, other than which target: counted, and told.
 *
 * Each verdict is a counter of the upstream, which metrics and /system/upstreams show, and an
 * event; of one kind and upstream an event a second at most, with the count by then, because an
 * overload decides thousands of times alike.
 *
 * Threads: any; atomics. */
#include "upstream/upstream_priv.h"

enum { TELL_EVERY_US = 1000000 };

const char *upstream_verdict_name(enum upstream_verdict verdict)
{
    switch (verdict) {
    case VERDICT_SHED:
        return "shed";
    case VERDICT_QUEUE_FULL:
        return "queue_full";
    case VERDICT_QUEUE_TIMEOUT:
        return "queue_timeout";
    case VERDICT_RETRY_BUDGET:
        return "retry_budget";
    case VERDICT_HEDGE:
        return "hedge";
    case VERDICT_BREAKER:
        return "breaker";
    case VERDICT_NO_TARGET:
        return "no_target";
    case UPSTREAM_VERDICTS:
        break;
    }
    return "unknown";
}

static void tell(struct upstreams *upstreams, const struct group *group,
                 enum upstream_verdict verdict, uint64_t count)
{
    struct buf members = buf_new(EVENT_BYTES);

    buf_addf(&members, "\"verdict\":\"%s\",\"count\":%" PRIu64 ",\"upstream\":",
             upstream_verdict_name(verdict), count);
    buf_add_json(&members, group->name);
    if (!members.is_broken)
        events_add(upstreams->events, EVENT_UPSTREAM, clock_wall_us(), buf_str(&members));
    buf_free(&members);
}

void verdict_note(struct upstreams *upstreams, struct group *group, enum upstream_verdict verdict,
                  uint64_t now_us)
{
    struct verdict *its = &group->verdicts[verdict];
    uint64_t count = atomic_fetch_add_explicit(&its->count, 1, memory_order_relaxed) + 1;
    uint64_t next_us = atomic_load_explicit(&its->tell_at_us, memory_order_relaxed);

    if (now_us >= next_us &&
        atomic_compare_exchange_strong(&its->tell_at_us, &next_us, now_us + TELL_EVERY_US) &&
        events_wants(upstreams->events, EVENT_UPSTREAM, now_us))
        tell(upstreams, group, verdict, count);
}

void verdict_note_end(const struct upstream_exchange *exchange, enum upstream_kind kind)
{
    enum upstream_verdict verdict;

    if (kind == UPSTREAM_SHED)
        verdict = VERDICT_SHED;
    else if (kind == UPSTREAM_BREAKER)
        verdict = VERDICT_BREAKER;
    else if (kind == UPSTREAM_NO_TARGET)
        verdict = VERDICT_NO_TARGET;
    else if (kind == UPSTREAM_OVERLOAD)
        verdict = exchange->is_waiting ? VERDICT_QUEUE_TIMEOUT : VERDICT_QUEUE_FULL;
    else
        return;
    verdict_note(exchange->pool->upstreams, exchange->group, verdict,
                 loop_now_us(exchange->pool->loop));
}
