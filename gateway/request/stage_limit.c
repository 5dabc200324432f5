/* stage_limit.c - may they: the windows of tier and route, requests at a time, and what is
 * settled afterwards.
 *
 * The caller's tier and a route limit of the client's are one decision; a limit that others share
 * (route, ip, header:NAME) is asked after it, and when it refuses, the first is given back in
 * the same turn. Requests at a time are looked at before: they cost nothing to give back.
 *
 * What becomes known too late to refuse (cost_header, the bodies' sizes) is charged all the same,
 * and delays who comes next. Worker's thread. */
#include "request/request_priv.h"

#include <stdlib.h>

static bool is_exempt(const struct request *r)
{
    const struct str_list *exempt = &r->config->limits.exempt;

    if (!r->config->limits.enabled || r->route->limit.exempt)
        return true;
    for (uint32_t i = 0; i < exempt->count; i++)
        if (route_pattern_matches(exempt->at[i], r->path))
            return true;
    return false;
}

static struct str kind_of(const struct request *r)
{
    switch (r->who.caller.kind) {
    case CALLER_API_KEY:
        return STR("api_key");
    case CALLER_USER:
        return STR("user");
    case CALLER_IP:
    case CALLER_KINDS:
        break;
    }
    return STR("ip");
}

/* Of a caller's kind and tier in the route's cells: below CALLER_KINDS times the tiers. */
static size_t caller_slot(const struct request *r)
{
    size_t tier = (size_t)(r->who.caller.tier - r->config->tiers);

    return (size_t)r->who.caller.kind * r->config->tier_count + tier;
}

static void count_dry_block(struct request *r, const struct limit_state *state)
{
    struct str values[] = {r->who.caller.tier->name, r->route->name,
                           state->windows[state->worst].window->name};

    count_series(r->context, M_RATE_LIMIT_DRY_RUN, COUNT_OF(values), values);
}

static void count_block(struct request *r)
{
    size_t slot = caller_slot(r) * LIMIT_MAX_WINDOWS + r->limits.worst;
    struct cell **blocks = r->cells->limit_blocks;

    if (blocks == NULL)
        blocks = r->cells->limit_blocks =
            calloc((size_t)r->config->tier_count * CALLER_KINDS * LIMIT_MAX_WINDOWS,
                   sizeof(struct cell *));
    if (blocks == NULL)
        return;
    if (blocks[slot] == NULL) {
        struct str values[] = {kind_of(r), r->who.caller.tier->name, r->route->name,
                               r->limits.windows[r->limits.worst].window->name};

        blocks[slot] =
            metrics_series(r->context->sheet, M_RATE_LIMIT_BLOCKS, COUNT_OF(values), values);
    }
    cell_add(blocks[slot], 1);
}

/* Appends the windows of `more`, so that every answer names them all. */
static void join_windows(struct limit_state *state, const struct limit_state *more)
{
    for (uint32_t i = 0; i < more->count && state->count < LIMIT_MAX_WINDOWS; i++) {
        if (i == more->worst && !more->allowed && state->allowed) {
            state->worst = state->count;
            state->allowed = false;
        }
        state->windows[state->count++] = more->windows[i];
    }
}

static struct hash128 address_hash(const struct request *r)
{
    struct str name = arena_printf(r->arena, "ip:%.*s", STR_ARG(r->who.address));
    struct caller caller;

    if (r->who.caller.kind == CALLER_IP || name.ptr == NULL ||
        !identify_by_name(request_rules_identify(r->crules->rules), name, r->arena, &caller))
        return r->who.caller.hash;
    return caller.hash;
}

/* The counters of the route's own limit. */
static struct limit_policy route_policy(const struct request *r)
{
    const struct route_config *route = r->route;
    const struct window_set *windows = &route->limit.windows;
    struct str value;
    struct hash128 who = {0, 0}, key;

    switch (route->limit.scope) {
    case SCOPE_CLIENT:
        who = r->who.caller.hash;
        return (struct limit_policy){windows, limit_key(who, LIMIT_ROUTE_OF_CLIENT, route->name),
                                     who};
    case SCOPE_IP:
        key = limit_key(address_hash(r), LIMIT_ROUTE_OF_CLIENT, route->name);
        return (struct limit_policy){windows, key, key};
    case SCOPE_HEADER:
        value = http_fields_find(&r->head.fields, route->limit.scope_header);
        who = identify_hash(request_rules_identify(r->crules->rules),
                            value.ptr != NULL ? value : STR(""));
        key = limit_key(who, LIMIT_ROUTE_BY_HEADER, route->name);
        return (struct limit_policy){windows, key, key};
    case SCOPE_ROUTE:
        break;
    }
    key = limit_key(who, LIMIT_ROUTE, route->name);
    return (struct limit_policy){windows, key, key};
}

static void want_hold(struct policies *p, struct hash128 key, uint32_t most)
{
    if (most == 0)
        return;
    p->holds[p->holds_wanted] = key;
    p->most[p->holds_wanted++] = most;
}

static void gather_policies(struct request *r)
{
    const struct route_config *route = r->route;
    const struct window_set *tier = &r->who.caller.tier->windows;
    struct policies *p = &r->policies;
    struct limit_policy own;

    p->route_is_dry = route->limit.dry_run && !r->config->limits.dry_run;
    p->client[0] = (struct limit_policy){tier, limit_key(r->who.caller.hash, LIMIT_TIER, STR_NONE),
                                         r->who.caller.hash};
    p->client_count = 1;
    p->holds_wanted = 0;
    p->has_route = p->shows_route = false;
    want_hold(p, p->client[0].key, tier->concurrent);
    if (route->limit.windows.count == 0 && route->limit.windows.concurrent == 0)
        return;
    own = route_policy(r);
    if (!p->route_is_dry)
        want_hold(p, own.key, own.windows->concurrent);
    p->shows_route = !p->route_is_dry;
    if (own.windows->count == 0)
        return;
    if (route->limit.scope == SCOPE_CLIENT && !p->route_is_dry) {
        p->client[1] = own;
        p->client_count = 2;
        return;
    }
    p->has_route = true;
    p->route = own;
}

static struct limit_time time_of(const struct request *r)
{
    return (struct limit_time){loop_now_us(r->context->loop), loop_wall_us(r->context->loop)};
}

static void decide(struct request *r, uint64_t cost)
{
    struct limiter *limiter = r->context->shared->limiter;
    struct limit_time now = time_of(r);
    struct policies *p = &r->policies;
    struct limit_state route_state;

    limit_take(limiter, p->client, p->client_count, cost, now, &r->limits);
    if (!p->has_route || (!r->limits.allowed && !r->config->limits.dry_run))
        return;
    limit_take(limiter, &p->route, 1, cost, now, &route_state);
    if (p->route_is_dry) {
        if (!route_state.allowed)
            count_dry_block(r, &route_state);
        return;
    }
    if (!route_state.allowed && r->limits.allowed && cost > 0)
        limit_give_back(limiter, p->client, p->client_count, cost, now);
    join_windows(&r->limits, &route_state);
}

/* ---- requests at a time ---- */

static void drop_holds(struct request *r)
{
    while (r->hold_count > 0)
        limit_hold_drop(r->context->shared->limiter, r->policies.holds[--r->hold_count]);
}

/* The index of the limit that is full; -1: all are held now. */
static int take_holds(struct request *r)
{
    const struct policies *p = &r->policies;
    uint32_t in_use;

    for (uint32_t i = 0; i < p->holds_wanted; i++) {
        if (!limit_hold(r->context->shared->limiter, p->holds[i], p->most[i], &in_use)) {
            drop_holds(r);
            return (int)i;
        }
        r->hold_count++;
    }
    return -1;
}

/* Every answer names these limits too. */
static void join_holds(struct request *r, int full)
{
    const struct policies *p = &r->policies;
    struct limit_state *state = &r->limits;

    for (uint32_t i = 0; i < p->holds_wanted && state->count < LIMIT_MAX_WINDOWS; i++) {
        uint32_t in_use = limit_held(r->context->shared->limiter, p->holds[i]);

        if ((int)i == full) {
            state->worst = state->count;
            state->allowed = false;
        }
        state->windows[state->count++] = limit_window_of_holds(p->most[i], in_use, (int)i == full);
    }
}

static void count_decision(struct request *r)
{
    size_t slot = caller_slot(r);
    struct cell **hits = r->cells->limit_hits;

    if (hits == NULL)
        hits = r->cells->limit_hits =
            calloc((size_t)r->config->tier_count * CALLER_KINDS, sizeof(struct cell *));
    if (hits == NULL)
        return;
    if (hits[slot] == NULL) {
        struct str values[] = {kind_of(r), r->who.caller.tier->name, r->route->name};

        hits[slot] = metrics_series(r->context->sheet, M_RATE_LIMIT_HITS, COUNT_OF(values), values);
    }
    cell_add(hits[slot], 1);
}

/* What is known of the cost before the upstream is asked. */
static uint64_t cost_before(const struct request *r)
{
    uint64_t kib = (r->facts.content_length + 1023) / 1024;

    if (r->route->limit.cost_per_kib == 0 || !r->facts.has_body || r->facts.is_chunked)
        return r->route->limit.cost;
    return r->route->limit.cost + kib * r->route->limit.cost_per_kib;
}

static void ask(struct request *r)
{
    uint64_t cost = cost_before(r);
    int full;

    gather_policies(r);
    full = r->policies.holds_wanted > 0 ? take_holds(r) : -1;
    if (full >= 0 && !r->config->limits.dry_run)
        decide(r, 0); /* nothing is taken: only for what the answer says */
    else
        decide(r, cost);
    if (r->policies.holds_wanted > 0)
        join_holds(r, full);
    if (r->limits.allowed || r->config->limits.dry_run)
        r->taken = r->charged = r->limits.allowed ? cost : 0;
    else
        drop_holds(r);
}

enum step stage_limit(struct request *r)
{
    uint64_t started;

    if (is_exempt(r) || r->is_limited)
        return refuse_identity(r);
    started = clock_mono_us();
    ask(r);
    cell_observe(r->context->decision, (double)(clock_mono_us() - started) / 1e6);
    r->is_limited = r->limits.count > 0;
    count_decision(r);
    if (!r->limits.allowed && r->limits.count > 0) {
        if (r->config->limits.dry_run) {
            count_dry_block(r, &r->limits);
        } else {
            count_block(r);
            tell_refused(r);
            r->is_refused_by_limit = true;
            return reply_limited(r);
        }
    }
    return refuse_identity(r);
}

void limit_look(struct request *r)
{
    if (is_exempt(r) || r->is_warm)
        return;
    gather_policies(r);
    decide(r, 0);
    if (r->policies.holds_wanted > 0)
        join_holds(r, -1);
    r->is_limited = r->limits.count > 0;
}

void limit_override_tier(struct request *r)
{
    const struct tier_config *tier;
    char name[LIMIT_TIER_MAX];

    if (!limit_overridden(r->context->shared->limiter, r->who.caller.hash,
                          loop_now_us(r->context->loop), name))
        return;
    tier = config_tier(r->config, str_of(name));
    if (tier != NULL) /* a reload may have dropped it: then the client is back in its own */
        r->who.caller.tier = tier;
}

/* ---- what is settled afterwards ---- */

/* Makes `taken` what it should be. */
static void settle(struct request *r, uint64_t cost)
{
    struct limiter *limiter = r->context->shared->limiter;
    struct limit_time now = time_of(r);
    struct policies *p = &r->policies;

    if (cost > r->taken) {
        limit_charge(limiter, p->client, p->client_count, cost - r->taken, now);
        if (p->has_route)
            limit_charge(limiter, &p->route, 1, cost - r->taken, now);
    } else if (cost < r->taken) {
        limit_give_back(limiter, p->client, p->client_count, r->taken - cost, now);
        if (p->has_route)
            limit_give_back(limiter, &p->route, 1, r->taken - cost, now);
    }
    r->taken = cost;
}

void limit_settle_header(struct request *r, const struct http_fields *fields)
{
    enum { MOST_COST = 1000000 }; /* as in the configuration: an upstream's slip is bounded too */
    uint64_t cost, before;
    struct str value;

    if (r->route->limit.cost_header.len == 0 || r->taken == 0 || r->is_finished)
        return;
    value = http_fields_find(fields, r->route->limit.cost_header);
    if (value.ptr == NULL || !str_to_u64(str_trim(value), &cost))
        return;                               /* it does not say: the usual cost stays */
    before = r->taken - r->route->limit.cost; /* for the body */
    settle(r, before + (cost < MOST_COST ? cost : MOST_COST));
    r->charged = r->taken;
    decide(r, 0);
    if (r->policies.holds_wanted > 0)
        join_holds(r, -1);
}

/* Both bodies, in KiB; what was announced is charged already. */
static void settle_bodies(struct request *r, uint64_t bytes_in, uint64_t bytes_out)
{
    uint64_t whole = (bytes_in + bytes_out + 1023) / 1024 * r->route->limit.cost_per_kib;
    uint64_t before = cost_before(r) - r->route->limit.cost;

    if (r->route->limit.cost_per_kib > 0 && r->taken > 0 && whole > before)
        settle(r, r->taken + whole - before);
}

void limit_finish(struct request *r, uint64_t bytes_in, uint64_t bytes_out)
{
    struct limiter *limiter = r->context->shared->limiter;
    const struct caller *caller = &r->who.caller;
    struct limit_usage usage = {.requests = 1, .bytes_in = bytes_in, .bytes_out = bytes_out};

    drop_holds(r);
    if (!r->is_known || r->route == NULL)
        return;
    settle_bodies(r, bytes_in, bytes_out);
    usage.refused = r->is_refused_by_limit;
    usage.cost = r->taken;
    limit_usage_add(limiter, caller->hash, caller->name, r->route->name,
                    loop_wall_us(r->context->loop), &usage);
    limit_top_count(limiter, r->is_refused_by_limit ? LIMIT_TOP_REFUSED : LIMIT_TOP_SERVED,
                    caller->hash, caller->name);
}
