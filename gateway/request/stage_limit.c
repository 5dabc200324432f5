/* stage_limit.c - may they: the windows of tier and route, requests at a time, and what is
 * settled afterwards.
 *
 * The caller's tier and a route limit of the client's are one decision; a limit that others share
 * (route, ip, header:NAME) is asked after it, and when it refuses, the first is given back in
 * the same turn. Requests at a time (holds.c) are looked at before, or with a store at once with
 * it.
 *
 * What becomes known too late to refuse (cost_header, the bodies' sizes) is charged all the same,
 * and delays who comes next. Worker's thread. */
#include "request/request_priv.h"

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
    p->has_route = p->shows_route = p->has_asked_route = false;
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

static void give_back(struct request *r, const struct limit_policy *policies, uint32_t count,
                      uint64_t cost)
{
    struct limit_call call = {.policy_count = count, .config = r->crules->rules->config};

    if (r->context->store == NULL) {
        limit_give_back(r->context->shared->limiter, policies, count, cost, time_of(r));
        return;
    }
    memcpy(call.policies, policies, count * sizeof(*policies));
    limit_store_give_back(r->context->store, &call, cost, time_of(r));
}

/* Both decisions are there. */
static void join_route(struct request *r, const struct limit_state *route, uint64_t cost)
{
    r->policies.has_asked_route = true;
    if (r->policies.route_is_dry) {
        if (!route->allowed)
            count_dry_block(r, route);
        return;
    }
    if (!route->allowed && r->limits.allowed && cost > 0)
        give_back(r, r->policies.client, r->policies.client_count, cost);
    join_windows(&r->limits, route);
}

static bool asks_route(const struct request *r)
{
    return r->policies.has_route && (r->limits.allowed || r->config->limits.dry_run);
}

/* From the counters in memory; with cost 0 a look, which the store's mirror is good enough for. */
static void decide(struct request *r, uint64_t cost)
{
    struct limiter *limiter = r->context->shared->limiter;
    struct policies *p = &r->policies;

    limit_take(limiter, p->client, p->client_count, cost, time_of(r), &r->limits);
    if (!asks_route(r))
        return;
    limit_take(limiter, &p->route, 1, cost, time_of(r), &r->route_limits);
    join_route(r, &r->route_limits, cost);
}

/* Whom the tier refuses is not asked about the route's limit, but told of it like everybody. */
static void look_at_route(struct request *r)
{
    const struct policies *p = &r->policies;

    if (!p->has_route || !p->shows_route || p->has_asked_route || r->limits.count == 0)
        return;
    limit_take(r->context->shared->limiter, &p->route, 1, 0, time_of(r), &r->route_limits);
    join_windows(&r->limits, &r->route_limits);
}

/* What is known of the cost before the upstream is asked. */
static uint64_t cost_before(const struct request *r)
{
    uint64_t kib = (r->facts.content_length + 1023) / 1024;

    if (r->route->limit.cost_per_kib == 0 || !r->facts.has_body || r->facts.is_chunked)
        return r->route->limit.cost;
    return r->route->limit.cost + kib * r->route->limit.cost_per_kib;
}

/* ---- counters in the store ---- */

static void on_decided(void *arg)
{
    request_wake(arg);
}

/* True: answered at once. */
static bool ask_store(struct request *r, const struct limit_policy *policies, uint32_t count,
                      struct limit_state *state)
{
    r->limit_call = (struct limit_call){
        .policy_count = count,
        .cost = cost_before(r),
        .on_failure = limit_on_failure(r),
        .config = r->crules->rules->config,
        .done = on_decided,
        .arg = r,
        .state = state,
    };
    memcpy(r->limit_call.policies, policies, count * sizeof(*policies));
    return limit_store_take(r->context->store, &r->limit_call, time_of(r));
}

/* Goes on from where the decision is. True: it is made. */
static bool decide_in_store(struct request *r)
{
    struct policies *p = &r->policies;

    switch (r->limit_phase) {
    case LIMIT_NOT_ASKED:
        r->limit_phase = LIMIT_ASKS_CLIENT;
        if (!ask_store(r, p->client, p->client_count, &r->limits))
            return false;
        __attribute__((fallthrough));
    case LIMIT_ASKS_CLIENT:
        if (r->limit_call.is_waiting)
            return false; /* woken for something else */
        if (!asks_route(r) || r->limit_call.origin == LIMIT_FROM_NOBODY)
            break;
        r->limit_phase = LIMIT_ASKS_ROUTE;
        if (!ask_store(r, &p->route, 1, &r->route_limits))
            return false;
        __attribute__((fallthrough));
    case LIMIT_ASKS_ROUTE:
        if (r->limit_call.is_waiting)
            return false;
        join_route(r, &r->route_limits, cost_before(r));
        break;
    case LIMIT_ASKS_HOLDS:
    case LIMIT_DECIDED:
        break;
    }
    r->limit_phase = LIMIT_ASKS_HOLDS;
    return true;
}

static void settle(struct request *r, uint64_t cost);

/* Both were asked in one turn: what the windows took is given back when there are too many at a
 * time. False: it must wait. */
static bool join_holds(struct request *r, uint64_t cost)
{
    bool is_closed;

    if (r->policies.holds_wanted == 0)
        return true;
    if (r->hold_call.is_waiting)
        return false;
    r->hold_full = r->hold_call.full;
    is_closed = r->hold_call.origin == LIMIT_CLOSED;
    if (r->config->limits.dry_run || !r->limits.allowed || (r->hold_full < 0 && !is_closed))
        return true;
    if (r->limit_call.origin != LIMIT_FROM_NOBODY) {
        r->taken = cost;
        settle(r, 0);
    }
    decide(r, 0);
    if (is_closed) {
        r->limits.count = 0;
        r->limits.allowed = false;
    }
    return true;
}

/* ---- the step ---- */

/* False: it must wait. */
static bool ask(struct request *r)
{
    uint64_t cost = cost_before(r);

    if (r->limit_phase == LIMIT_NOT_ASKED) {
        r->limit_started_us = clock_mono_us();
        gather_policies(r);
        r->hold_full = r->policies.holds_wanted > 0 ? holds_take(r) : -1;
    }
    if (r->hold_full >= 0 && !r->config->limits.dry_run)
        decide(r, 0); /* nothing is taken: only for what the answer says */
    else if (r->context->store == NULL)
        decide(r, cost);
    else if (!decide_in_store(r) || !join_holds(r, cost))
        return false;
    r->limit_phase = LIMIT_DECIDED;
    look_at_route(r);
    if (r->policies.holds_wanted > 0)
        holds_join(r, r->hold_full);
    if (r->limits.allowed || r->config->limits.dry_run)
        r->taken = r->charged = r->limits.allowed ? cost : 0;
    else
        holds_drop(r);
    return true;
}

static enum step refuse_closed(struct request *r)
{
    enum step step = reply_problem(r, 503, "limit_store",
                                   "Limits cannot be checked now; try again later.", STR_NONE);

    return reply_field(r, HTTP_RETRY_AFTER, STR("1")) ? step : reply_out_of_memory(r);
}

enum step stage_limit(struct request *r)
{
    if (is_exempt(r) || r->is_limited || r->limit_phase == LIMIT_DECIDED)
        return refuse_identity(r);
    if (!ask(r))
        return STEP_WAIT;
    cell_observe(r->context->decision, (double)(clock_mono_us() - r->limit_started_us) / 1e6);
    r->is_limited = r->limits.count > 0;
    count_decision(r);
    if (r->limits.allowed)
        return refuse_identity(r);
    if (r->config->limits.dry_run) {
        if (r->limits.count > 0)
            count_dry_block(r, &r->limits);
        return refuse_identity(r);
    }
    if (r->limits.count == 0)
        return r->context->store != NULL ? refuse_closed(r) : refuse_identity(r);
    count_block(r);
    tell_refused(r);
    r->is_refused_by_limit = true;
    return reply_limited(r);
}

void limit_look(struct request *r)
{
    if (is_exempt(r) || r->is_warm)
        return;
    gather_policies(r);
    decide(r, 0);
    if (r->policies.holds_wanted > 0)
        holds_join(r, -1);
    r->is_limited = r->limits.count > 0;
}

/* ---- which tier ---- */

/* Once: identify may be asked again, and knows nothing of it. */
static void keep_tier(struct request *r)
{
    r->kept_tier = config_tier(r->config, r->tier_ask.tier);
}

static void on_tier(void *arg)
{
    keep_tier(arg);
    request_wake(arg);
}

/* True: it is known, or there is none. */
static bool look_up_tier(struct request *r)
{
    const struct caller *caller = &r->who.caller;

    if (r->has_asked_tier || caller->kind == CALLER_IP || r->context->store == NULL)
        return !r->tier_ask.is_waiting;
    r->has_asked_tier = true;
    r->tier_ask = (struct limit_tier_ask){.done = on_tier, .arg = r};
    if (!limit_store_tier(r->context->store, caller->hash, caller->name, &r->tier_ask))
        return false;
    keep_tier(r);
    return true;
}

bool limit_find_tier(struct request *r)
{
    struct caller *caller = &r->who.caller;
    const struct tier_config *tier = NULL;
    char name[LIMIT_TIER_MAX];

    if (!look_up_tier(r))
        return false;
    if (limit_overridden(r->context->shared->limiter, caller->hash, loop_now_us(r->context->loop),
                         name))
        tier = config_tier(r->config, str_of(name));
    if (tier == NULL) /* none, or a reload has dropped it */
        tier = r->kept_tier;
    if (tier != NULL)
        caller->tier = tier;
    return true;
}

/* ---- what is settled afterwards ---- */

static void charge(struct request *r, const struct limit_policy *policies, uint32_t count,
                   uint64_t cost)
{
    struct limit_call call = {.policy_count = count, .config = r->crules->rules->config};

    if (r->context->store == NULL) {
        limit_charge(r->context->shared->limiter, policies, count, cost, time_of(r));
        return;
    }
    memcpy(call.policies, policies, count * sizeof(*policies));
    limit_store_charge(r->context->store, &call, cost, time_of(r));
}

/* Makes `taken` what it should be. */
static void settle(struct request *r, uint64_t cost)
{
    struct policies *p = &r->policies;

    if (cost > r->taken) {
        charge(r, p->client, p->client_count, cost - r->taken);
        if (p->has_route)
            charge(r, &p->route, 1, cost - r->taken);
    } else if (cost < r->taken) {
        give_back(r, p->client, p->client_count, r->taken - cost);
        if (p->has_route)
            give_back(r, &p->route, 1, r->taken - cost);
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
        holds_join(r, -1);
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

    if (r->limit_phase == LIMIT_ASKS_CLIENT || r->limit_phase == LIMIT_ASKS_ROUTE)
        limit_store_cancel(&r->limit_call); /* what it asked for is taken all the same */
    holds_drop(r);
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
