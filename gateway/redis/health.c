/* health.c - when to stop asking a connection, and when to trust it again.
 *
 * A Redis that answers late costs each request its deadline, so after three calls in a row that
 * were not answered in time, or a fifth of at least twenty within a second, nothing more is
 * sent. From then on only a probe goes out, after a pause that doubles from 200 ms to 5 s with
 * a fifth of jitter; three probes in a row that are answered as quickly as the missed calls
 * should have been end the pause. A connection that answers nothing at all is ended by
 * link.c, which then connects anew.
 *
 * One thread: the loop's. */
#include "redis/redis_priv.h"

enum { MISSES_IN_A_ROW = 3, LEAST_ASKED = 20, MISSED_SHARE = 5, PROBES_TO_PASS = 3 };
#define SPAN_US        1000000
#define FIRST_PAUSE_US 200000
#define MOST_PAUSE_US  5000000
#define NEXT_PROBE_US  10000
#define LEAST_PROBE_US 2000
/* The pauses begin anew when no trip came for so long. */
#define FORGET_US 30000000

static void begin_span(struct redis_link *link, uint64_t now_us)
{
    if (now_us - link->span_began_us < SPAN_US)
        return;
    link->span_began_us = now_us;
    link->asked = link->missed = 0;
}

static void pause_asking(struct redis_link *link, uint64_t now_us)
{
    uint64_t pause_us = FIRST_PAUSE_US;

    for (uint32_t i = 0; i < link->trips && pause_us < MOST_PAUSE_US; i++)
        pause_us *= 2;
    if (pause_us > MOST_PAUSE_US)
        pause_us = MOST_PAUSE_US;
    pause_us += pause_us / 5 - random_u64() % (pause_us / 5 * 2);
    link->trips++;
    link->probes_passed = 0;
    link->probe_at_us = now_us + pause_us;
    link_wake(link, link->probe_at_us);
}

void health_reset(struct redis_link *link)
{
    link->misses = link->asked = link->missed = link->probes_passed = 0;
    link->is_tripped = link->is_probing = false;
}

void health_missed(struct redis_link *link, uint64_t span_us)
{
    uint64_t now_us = loop_now_us(link->redis->loop);

    begin_span(link, now_us);
    link->misses++;
    link->asked++;
    link->missed++;
    if (link->is_tripped || link->state != LINK_UP ||
        (link->misses < MISSES_IN_A_ROW &&
         (link->asked < LEAST_ASKED || link->missed * MISSED_SHARE < link->asked)))
        return;
    if (link->probe_at_us != 0 && now_us - link->probe_at_us > FORGET_US)
        link->trips = 0;
    link->is_tripped = true;
    link->probe_span_us = span_us > LEAST_PROBE_US ? span_us : LEAST_PROBE_US;
    pause_asking(link, now_us);
    redis_link_changed(link);
}

void health_answered(struct redis_link *link)
{
    begin_span(link, loop_now_us(link->redis->loop));
    link->asked++;
    link->misses = 0;
}

/* fn of the probe's call; a late probe comes as LATE. */
static void on_probe(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct redis_link *link = arg;
    uint64_t now_us = loop_now_us(link->redis->loop);

    (void)reply;
    link->is_probing = false;
    if (!link->is_tripped || link->state != LINK_UP)
        return;
    if (outcome != REDIS_OK) {
        pause_asking(link, now_us);
        return;
    }
    link->probes_passed++;
    link->probe_at_us = now_us + NEXT_PROBE_US;
    if (link->probes_passed < PROBES_TO_PASS) {
        link_wake(link, link->probe_at_us);
        return;
    }
    health_reset(link);
    redis_link_changed(link);
}

void health_look(struct redis_link *link, uint64_t now_us)
{
    static const char *const ping[] = {"PING", NULL};

    if (!link->is_tripped || link->is_probing || now_us < link->probe_at_us)
        return;
    link->is_probing = call_internal(link, ping, now_us + link->probe_span_us, on_probe, link);
    if (!link->is_probing)
        pause_asking(link, now_us);
}

uint64_t health_next_us(const struct redis_link *link)
{
    return link->is_tripped && !link->is_probing ? link->probe_at_us : UINT64_MAX;
}
