/* store.c - what the process has of the store: the bus to the other gateways, and its health.
 *
 * Purges of one gateway are those of all: what an operator or a successful write dropped here goes
 * over the bus, and what comes from it is dropped here, by the same cheap marks. When messages
 * may have been missed everything is dropped; while the store is away for long, everything is
 * marked stale twice a minute, since somebody may have purged it. Whose tier an operator changed
 * and which tokens are revoked go the same way, told here and kept in the store. A gateway runs
 * and starts without its store. Main thread, but for on_purged(). */
#include "redis/redis.h"
#include "worker/process_priv.h"

#include <stdlib.h>

#define WAIT_LOOK_US UINT64_C(2000)
#define WAIT_MOST_US UINT64_C(5000000)

/* "<kind><soft> <ticket>\n<host>\n<text>"; a text may hold anything. The ticket is for ourselves.
 */
static bool write_purge(const struct purge *purge, struct buf *out)
{
    return buf_addf(out, "%d%d %" PRIu64 "\n", (int)purge->kind, purge->soft, purge->ticket) &&
           buf_add_str(out, purge->host) && buf_add_char(out, '\n') &&
           buf_add_str(out, purge->text);
}

bool store_read_purge(struct str payload, struct purge *purge)
{
    struct str rest = payload, kind;

    *purge = (struct purge){0};
    if (!str_split(&rest, '\n', &kind) || kind.len < 2 || kind.ptr[0] < '0' ||
        kind.ptr[0] > '0' + PURGE_USER || kind.ptr[1] < '0' || kind.ptr[1] > '1' ||
        !str_split(&rest, '\n', &purge->host) || rest.ptr == NULL)
        return false;
    if (kind.len > 2 && (kind.ptr[2] != ' ' || !str_to_u64(str_from(kind, 3), &purge->ticket)))
        return false;
    switch (kind.ptr[0] - '0') {
    case PURGE_ALL:
        purge->kind = PURGE_ALL;
        break;
    case PURGE_URL:
        purge->kind = PURGE_URL;
        break;
    case PURGE_GLOB:
        purge->kind = PURGE_GLOB;
        break;
    case PURGE_TAG:
        purge->kind = PURGE_TAG;
        break;
    default:
        purge->kind = PURGE_USER;
    }
    purge->soft = kind.ptr[1] == '1';
    purge->text = rest;
    return purge->kind == PURGE_ALL || rest.len > 0;
}

/* ---- in ---- */

static void on_purge(void *arg, struct str payload)
{
    struct gateway *g = arg;
    struct purge purge;

    if (store_read_purge(payload, &purge))
        cache_invalidate(g->shared.cache, &purge);
    else
        log_line(LOG_WARN, "store: a purge of another gateway could not be read");
}

static void on_gap(void *arg, bool is_lost)
{
    struct gateway *g = arg;
    struct purge all = {.kind = PURGE_ALL, .soft = !is_lost};

    cache_invalidate(g->shared.cache, &all);
    events_addf(g->shared.events, EVENT_INVALIDATION, loop_wall_us(g->loop),
                "\"by\":\"store\",\"kind\":\"all\",\"soft\":%s", is_lost ? "false" : "true");
}

/* ---- places, for the second level ---- */

static struct cache_place place_of(const struct bus_place *at)
{
    return (struct cache_place){at->ms, at->number};
}

/* After a loss nothing that is in the second level now may be used: a message moves everybody's
 * place on, so that what is fetched from here on can be told from it. */
static void on_begins(void *arg, const struct bus_place *at, const struct bus_place *end,
                      bool was_lost)
{
    struct gateway *g = arg;
    struct cache_place from = place_of(at), live_from = place_of(end);

    cache_history_begin(g->shared.cache, &from, &live_from, was_lost);
    if (was_lost)
        (void)bus_publish(g->bus, "mark", STR("-"));
    /* all that is kept beside the stream was written there before its message */
    limit_share_hear(g->shared.share, STR_NONE);
    identify_store_catch_up(g->revoked);
}

/* Our own comes back: one without a ticket is put in force once more, now that it has its place.
 * What was there before us concerns what is in the second level. */
static void on_comes(void *arg, const struct bus_place *at, const char *kind,
                     enum bus_origin origin, struct str payload)
{
    struct gateway *g = arg;
    struct cache_place place = place_of(at);
    struct purge purge;

    if (!str_eq(str_of(kind), STR("purge")) || !store_read_purge(payload, &purge))
        return;
    cache_history_comes(g->shared.cache, &place, origin == BUS_OWN ? purge.ticket : 0);
    if (origin == BUS_PAST || (origin == BUS_OWN && purge.ticket == 0))
        cache_invalidate(g->shared.cache, &purge);
}

static void on_heard(void *arg, const struct bus_place *at)
{
    struct gateway *g = arg;
    struct cache_place place = place_of(at);

    cache_history_heard(g->shared.cache, &place, loop_now_us(g->loop));
}

static void on_stops(void *arg)
{
    struct gateway *g = arg;

    cache_history_stop(g->shared.cache);
}

/* ---- out ---- */

/* Any thread. */
static void on_purged(void *arg, const struct purge *purge)
{
    struct gateway *g = arg;
    struct buf payload = buf_new(BUS_MAX_PAYLOAD);

    if (!write_purge(purge, &payload) || !bus_publish(g->bus, "purge", buf_str(&payload)))
        log_line(LOG_WARN, "store: a purge could not be told to the other gateways");
    buf_free(&payload);
}

bool store_share_purges(void *arg, const struct purge *purges, uint32_t count,
                        void (*told)(void *arg, uint32_t known, uint32_t applied), void *told_arg)
{
    struct gateway *g = arg;

    if (g->bus == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++)
        on_purged(g, &purges[i]);
    return bus_wait(g->bus, told, told_arg);
}

/* ---- tiers for a while ---- */

static void on_tier(void *arg, struct str client)
{
    struct gateway *g = arg;

    limit_share_hear(g->shared.share, client);
}

static void tell_tier(void *arg, struct str client)
{
    struct gateway *g = arg;

    if (!bus_publish(g->bus, "tier", client))
        log_line(LOG_WARN, "store: another tier could not be told to the other gateways");
}

/* ---- revoked tokens ---- */

_Static_assert(IDENTIFY_NEWS_MOST <= BUS_MAX_PAYLOAD, "one message");

static void on_revoked(void *arg, struct str news)
{
    struct gateway *g = arg;

    identify_store_hear(g->revoked, news);
}

static bool tell_revoked(void *arg, struct str news)
{
    struct gateway *g = arg;

    return bus_publish(g->bus, "revoked", news);
}

bool store_when_revoked(void *arg, void (*told)(void *arg, bool is_saved), void *told_arg)
{
    struct gateway *g = arg;

    return g->revoked != NULL && identify_store_when_saved(g->revoked, told, told_arg);
}

/* ---- health ---- */

const char *store_why(void *arg)
{
    const struct gateway *g = arg;

    return g->bus == NULL ? NULL : redis_why(bus_redis(g->bus));
}

static void on_changed(void *arg, bool is_up, struct str why)
{
    struct gateway *g = arg;

    cell_gauge_set(g->store_health, is_up ? 1 : 0);
    events_addf(g->shared.events, EVENT_STORE, loop_wall_us(g->loop), "\"state\":\"%s\"",
                is_up ? "up" : "down");
    if (is_up)
        log_line(LOG_INFO, "store: is there");
    else
        log_line(LOG_WARN, "store: is away: %.*s; limits and cache go on without it", STR_ARG(why));
    if (is_up)
        eviction_ask(&g->evictions[0], bus_redis(g->bus));
}

/* ---- the start ---- */

static bool knows_enough(const struct gateway *g)
{
    const struct config *config = request_rules_config(g->rules);

    return (!config->identity.revocation || identify_store_is_loaded(g->revoked)) &&
           (config->store.eviction_check != EVICTION_REFUSE || evictions_told(g));
}

/* A store that cannot be reached is not waited for, nor one that does not answer in time: then
 * tokens that were revoked before are not known until it is back, and a line says so. */
static void on_wait(void *arg)
{
    struct gateway *g = arg;
    uint64_t now_us = loop_now_us(g->loop);
    bool is_away = redis_is_away(bus_redis(g->bus)) || identify_store_is_away(g->revoked);
    bool is_over = knows_enough(g) || now_us >= g->wait_until_us || is_away;

    if (!is_over) {
        CHECK(deadline_set(g->loop, &g->wait, now_us + WAIT_LOOK_US));
        return;
    }
    if (!knows_enough(g))
        log_line(LOG_WARN,
                 "store: revoked tokens could not be read (%s): those of before are "
                 "taken as good until they are",
                 redis_why(bus_redis(g->bus)));
    loop_stop(g->loop);
}

void store_wait(struct gateway *g)
{
    if (g->bus == NULL || knows_enough(g))
        return;
    g->shared.is_loading = true;
    g->wait = (struct deadline){.fn = on_wait, .arg = g};
    g->wait_until_us = clock_mono_us() + WAIT_MOST_US;
    if (deadline_set(g->loop, &g->wait, clock_mono_us()))
        loop_run(g->loop);
    deadline_clear(g->loop, &g->wait);
    g->shared.is_loading = false;
}

bool store_begin(struct gateway *g, const struct config *config, struct fail *why)
{
    struct bus_options options = {
        .prefix = config->store.prefix, .sheet = g->sheet, .changed = on_changed, .arg = g};
    struct bus_follower follower = {on_begins, on_comes, on_heard, on_stops, g};
    struct str name = STR("store");
    struct buf masked = buf_new(4096);

    if (str_eq(config->store.url, STR("memory:")))
        return true;
    if (!redis_url_for(config, STORE_MAIN, &options.url, why))
        return false;
    if (!evictions_begin(g, config, why))
        return false;
    g->store_health = metrics_series(g->sheet, M_DEPENDENCY_HEALTH, 1, &name);
    g->bus = bus_new(g->loop, &options);
    if (g->bus == NULL)
        return fail_set(why, "out of memory");
    bus_subscribe(g->bus, "purge", on_purge, on_gap, g);
    bus_subscribe(g->bus, "tier", on_tier, NULL, g);
    limit_share_tell(g->shared.share, tell_tier, g);
    bus_subscribe(g->bus, "revoked", on_revoked, NULL, g);
    identify_store_tell(g->revoked, tell_revoked, g);
    bus_follow(g->bus, &follower);
    g->shared.purged = on_purged;
    g->shared.purged_arg = g;
    (void)store_url_write_masked(config->store.url, &masked);
    log_line(LOG_INFO, "store: %.*s", STR_ARG(buf_str(&masked)));
    buf_free(&masked);
    return true;
}
