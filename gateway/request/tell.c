/* tell.c - what operators who follow the events hear of requests.
 *
 * The ring is asked first whether it takes one more of the kind, so that a flood costs an
 * atomic each and not a line. Names are those of the access log: a client that is an
 * address stands there as its hash. Worker's thread. */
#include "request/request_priv.h"

static bool wants(const struct request *r, enum event_kind kind)
{
    return events_wants(r->context->shared->events, kind, loop_now_us(r->context->loop));
}

/* The member is left out when it is too long for a row. */
static void put(struct buf *members, const char *name, struct str value)
{
    size_t before = members->len;

    buf_addf(members, "%s\"%s\":", before > 0 ? "," : "", name);
    buf_add_json(members, value);
    if (!members->is_broken && members->len <= EVENT_BYTES - 128)
        return;
    members->is_broken = false;
    members->len = before;
}

static void add(const struct request *r, enum event_kind kind, struct buf *members)
{
    events_add(r->context->shared->events, kind, loop_wall_us(r->context->loop), buf_str(members));
    buf_free(members);
}

void tell_refused(struct request *r)
{
    struct buf members = buf_new(8 * EVENT_BYTES);

    if (!wants(r, EVENT_LIMIT))
        return;
    put(&members, "client", observe_client(r));
    put(&members, "tier", r->who.caller.tier->name);
    put(&members, "route", r->route->name);
    put(&members, "window", r->limits.windows[r->limits.worst].window->name);
    put(&members, "request_id", r->id);
    add(r, EVENT_LIMIT, &members);
}

void tell_invalidated(struct request *r)
{
    struct buf members = buf_new(8 * EVENT_BYTES);

    if (!wants(r, EVENT_INVALIDATION))
        return;
    put(&members, "by", STR("write"));
    put(&members, "route", r->route->name);
    put(&members, "method", r->head.method);
    put(&members, "path", r->path);
    put(&members, "request_id", r->id);
    add(r, EVENT_INVALIDATION, &members);
}
