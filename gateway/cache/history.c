/* history.c - which purges are older than an answer that another gateway fetched.
 *
 * All purges of all gateways stand in one stream and have a place in it, the same for everybody.
 * What is put into the second level says the place up to which its writer had applied purges
 * when the fetch began. Whoever reads it asks here: what was my own purge number when I came to
 * the first purge behind that place? With this stamp it goes into the index as if it had been
 * fetched here then, and everything that makes a slow answer lose against a purge (purge.c, ban.c)
 * holds for it too, tags, users, patterns and all: rather refused too often than served once.
 *
 * A purge of our own is in force at once, but has its place only when it comes back from the
 * stream. So a ticket with the number before it is drawn first, and nothing that is read is
 * stamped later than the oldest ticket that is still out. Places before `base` are unknown
 * (a newcomer's past, a trimmed stream): what is older is refused; so is everything while the
 * stream cannot be heard. Any thread; one lock, not taken where there is no second level. */
#include "cache/cache_priv.h"

#define SILENT_US UINT64_C(5000000) /* the stream is heard at least each two seconds */

static bool is_before(struct cache_place a, struct cache_place b)
{
    return a.ms < b.ms || (a.ms == b.ms && a.number < b.number);
}

void history_init(struct history *history)
{
    CHECK(pthread_mutex_init(&history->lock, NULL) == 0);
    history->ticket_floor = UINT64_MAX;
    history->next_ticket = history->oldest_ticket = 1;
}

/* ---- the stream, as the main thread hears it ---- */

void cache_history_begin(struct cache *cache, const struct cache_place *at,
                         const struct cache_place *live_from, bool was_lost)
{
    struct history *history = &cache->history;

    pthread_mutex_lock(&history->lock);
    history->base = history->heard = *at;
    history->is_base_known = !was_lost;
    history->live_from = *live_from;
    history->event_count = 0;
    history->is_heard = false;
    pthread_mutex_unlock(&history->lock);
}

/* Lock held. The stamps of events never fall towards the newer ones: what a reader of an older
 * place must respect is the least of all that follow. */
static void add_event(struct history *history, struct cache_place at, uint64_t before)
{
    struct purge_event *event;

    if (history->event_count == HISTORY_EVENTS) {
        history->base = history->events[history->event_first].at;
        history->is_base_known = true;
        history->event_first = (history->event_first + 1) % HISTORY_EVENTS;
        history->event_count--;
    }
    for (uint32_t i = history->event_count; i > 0; i--) {
        event = &history->events[(history->event_first + i - 1) % HISTORY_EVENTS];
        if (event->before <= before)
            break;
        event->before = before;
    }
    event = &history->events[(history->event_first + history->event_count++) % HISTORY_EVENTS];
    *event = (struct purge_event){at, before};
}

/* Lock held. */
static uint64_t take_ticket(struct history *history, uint64_t ticket)
{
    struct purge_ticket *taken = &history->tickets[ticket % HISTORY_TICKETS];
    uint64_t before;

    if (ticket < history->oldest_ticket || ticket >= history->next_ticket || taken->is_back)
        return UINT64_MAX; /* told twice */
    before = taken->before;
    taken->is_back = true;
    while (history->oldest_ticket < history->next_ticket &&
           history->tickets[history->oldest_ticket % HISTORY_TICKETS].is_back)
        history->oldest_ticket++;
    return before;
}

void cache_history_comes(struct cache *cache, const struct cache_place *at, uint64_t ticket)
{
    struct history *history = &cache->history;
    uint64_t before, own;

    pthread_mutex_lock(&history->lock);
    before = cache_stamp(cache);
    own = ticket != 0 ? take_ticket(history, ticket) : UINT64_MAX;
    add_event(history, *at, own < before ? own : before);
    pthread_mutex_unlock(&history->lock);
}

void cache_history_heard(struct cache *cache, const struct cache_place *at, uint64_t now_us)
{
    struct history *history = &cache->history;

    pthread_mutex_lock(&history->lock);
    if (is_before(history->heard, *at))
        history->heard = *at;
    history->is_heard = true;
    history->heard_us = now_us;
    pthread_mutex_unlock(&history->lock);
}

void cache_history_stop(struct cache *cache)
{
    struct history *history = &cache->history;

    pthread_mutex_lock(&history->lock);
    history->is_heard = false;
    pthread_mutex_unlock(&history->lock);
}

/* ---- our own ---- */

uint64_t cache_history_ticket(struct cache *cache)
{
    struct history *history = &cache->history;
    uint64_t ticket;

    pthread_mutex_lock(&history->lock);
    if (history->next_ticket - history->oldest_ticket == HISTORY_TICKETS) {
        /* too many are out: the oldest is taken for one that never comes back */
        uint64_t before = history->tickets[history->oldest_ticket % HISTORY_TICKETS].before;

        if (before < history->ticket_floor)
            history->ticket_floor = before;
        history->oldest_ticket++;
    }
    ticket = history->next_ticket++;
    history->tickets[ticket % HISTORY_TICKETS] = (struct purge_ticket){cache_stamp(cache), false};
    pthread_mutex_unlock(&history->lock);
    return ticket;
}

/* ---- what is written and read ---- */

/* Lock held. */
static bool is_current(const struct history *history, uint64_t now_us)
{
    return history->is_heard && !is_before(history->heard, history->live_from) &&
           now_us < history->heard_us + SILENT_US;
}

bool cache_place_now(struct cache *cache, uint64_t now_us, struct cache_place *at)
{
    struct history *history = &cache->history;
    bool is_known;

    pthread_mutex_lock(&history->lock);
    is_known = is_current(history, now_us);
    *at = history->heard;
    pthread_mutex_unlock(&history->lock);
    return is_known;
}

/* Lock held. The first event behind `at`. */
static const struct purge_event *event_after(const struct history *history, struct cache_place at)
{
    uint32_t low = 0, high = history->event_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct purge_event *event =
            &history->events[(history->event_first + middle) % HISTORY_EVENTS];

        if (is_before(at, event->at))
            high = middle;
        else
            low = middle + 1;
    }
    return low < history->event_count
               ? &history->events[(history->event_first + low) % HISTORY_EVENTS]
               : NULL;
}

/* Lock held. */
static bool is_too_old(const struct history *history, struct cache_place at)
{
    return is_before(at, history->base) ||
           (!history->is_base_known && !is_before(history->base, at));
}

bool history_stamp(struct cache *cache, const struct cache_place *at, uint64_t now_us,
                   uint64_t *stamp)
{
    struct history *history = &cache->history;
    const struct purge_event *event;
    bool is_known;

    pthread_mutex_lock(&history->lock);
    is_known = is_current(history, now_us) && !is_too_old(history, *at);
    event = event_after(history, *at);
    *stamp = event != NULL ? event->before : cache_stamp(cache);
    if (history->oldest_ticket < history->next_ticket) {
        uint64_t before = history->tickets[history->oldest_ticket % HISTORY_TICKETS].before;

        if (before < *stamp)
            *stamp = before;
    }
    if (history->ticket_floor < *stamp)
        *stamp = history->ticket_floor;
    pthread_mutex_unlock(&history->lock);
    return is_known;
}
