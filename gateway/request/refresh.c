/* refresh.c - an entry is fetched anew while it answers: a request without a client.
 *
 * Stale-while-revalidate (RFC 5861 §3) and early refresh come here. The new request has the head
 * of the one that found the entry, because Vary and the origin ask for it, but not what
 * that client asked of the cache, nor its conditions and ranges. A flight makes it the only one
 * of its key; those who cannot use the stale entry follow it. It is an orphan from the
 * start: a stop that has lost patience ends it like the others. Worker's thread. */
#include "request/request_priv.h"

static bool is_for_the_cache(enum http_name id)
{
    switch (id) {
    case HTTP_CACHE_CONTROL:
    case HTTP_PRAGMA:
    case HTTP_RANGE:
    case HTTP_IF_RANGE:
    case HTTP_IF_MATCH:
    case HTTP_IF_NONE_MATCH:
    case HTTP_IF_MODIFIED_SINCE:
    case HTTP_IF_UNMODIFIED_SINCE:
        return true;
    default: /* all others may matter to the origin */
        return false;
    }
}

static bool copy_head(const struct request *from, struct request *r)
{
    const struct http_fields *fields = &from->head.fields;

    r->head.method = STR("GET");
    r->facts = from->facts;
    r->arrival = from->arrival;
    r->arrival.peer = arena_copy(r->arena, from->arrival.peer);
    r->arrival.client_cert = STR_NONE; /* it stands in the fields */
    r->who = from->who;
    r->who.address = arena_copy(r->arena, from->who.address);
    r->who.caller.name = arena_copy(r->arena, from->who.caller.name);
    r->who.caller.id = arena_copy(r->arena, from->who.caller.id);
    r->who.token = (struct identify_token){0}; /* asked about already */
    r->path = from->path;
    r->id = from->id;
    r->upstream_target = from->upstream_target;
    for (uint32_t i = 0; i < fields->count; i++)
        if (!is_for_the_cache(fields->at[i].id) &&
            !http_fields_add_field(&r->head.fields, &fields->at[i]))
            return false;
    return request_keep_head(r);
}

static struct request *new_refresh(const struct request *of, struct flight **lead)
{
    static const struct http_fields none = {NULL, 0, 0, NULL};
    struct request *r = request_new_without_client(of);

    if (r == NULL)
        return NULL;
    r->context->refreshing++;
    r->fetch.is_refresh = true;
    r->route = of->route;
    r->upstream = of->upstream;
    r->cells = of->cells;
    r->cache.status = CACHE_EXPIRED;
    r->cache.fwd = "stale";
    r->cache.entry = cache_entry_hold(of->cache.entry);
    http_cache_control_parse(&none, true, &r->cache.wants);
    if (!copy_head(of, r) || !lookup_build_key(r, &r->cache.key)) {
        request_release(r);
        return NULL;
    }
    r->cache.is_keyed = true;
    r->fetch.lead = *lead;
    *lead = NULL;
    return r;
}

static void count(struct request_context *context, const char *outcome)
{
    struct str slug = str_of(outcome);

    count_series(context, M_CACHE_REFRESHES, 1, &slug);
}

void refresh_ended(const struct request *r)
{
    r->context->refreshing--;
    count(r->context, r->cache.stored ? "stored" : "failed");
}

enum refresh refresh_start(struct request *r)
{
    struct request_context *context = r->context;
    uint64_t now_us = loop_now_us(context->loop);
    struct flight *lead;
    struct request *refresh = NULL;

    if (context->is_aborting)
        return REFRESH_NOT_NOW;
    if (context->refreshing >= REQUEST_REFRESHES) {
        count(context, "ceiling");
        return REFRESH_NOT_NOW;
    }
    switch (cache_lead(context->shared->cache, &r->cache.key, now_us, &lead)) {
    case FLIGHT_FOLLOW:
        return REFRESH_BY_ANOTHER;
    case FLIGHT_ALONE:
        return REFRESH_NOT_NOW;
    case FLIGHT_LEAD:
        break;
    }
    if (lookup_has_changed(r)) { /* the flight before ended between the look-up and this */
        flight_close(&lead, FLIGHT_RETRY, false, now_us);
        return REFRESH_BY_ANOTHER;
    }
    refresh = new_refresh(r, &lead);
    if (refresh == NULL || !fetch_start(refresh)) {
        flight_close(refresh != NULL ? &refresh->fetch.lead : &lead, FLIGHT_RETRY, false, now_us);
        if (refresh != NULL)
            request_release(refresh);
        return REFRESH_NOT_NOW;
    }
    fetch_join_orphans(refresh);
    request_release(refresh); /* the fetch holds it from here on */
    return REFRESH_STARTED;
}

/* Does the answer that was not kept say that the entry is over? One that was refused for this
 * request's credentials, or that speaks of load, does not. */
static bool ends_entry(const struct request *r)
{
    const char *refused = r->cache.detail;
    int status = r->cache.fwd_status;

    if (refused == NULL || strcmp(refused, "authorization") == 0 || strcmp(refused, "cookie") == 0)
        return false;
    return status < 400 || status == 404 || status == 410;
}

void refresh_failed(struct request *r)
{
    if (ends_entry(r))
        cache_drop(r->context->shared->cache, r->cache.entry);
    else
        cache_entry_let_rest(r->cache.entry, CACHE_REST_ERROR, loop_now_us(r->context->loop));
}
