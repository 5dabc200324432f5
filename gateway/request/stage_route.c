/* stage_route.c - the steps before anything is asked: which route, who, may they.
 *
 * 404 and 405 are charged to nobody; a bad credential is charged to its address, so the
 * refusal waits until the limit has been asked. Worker's thread. */
#include "request/request_priv.h"

#include <stdlib.h>

static enum step not_allowed(struct request *r)
{
    struct str allow =
        routes_allow(request_rules_routes(r->crules->rules), r->facts.host, r->path, r->arena);
    enum step step = reply_problem(r, 405, "method_not_allowed",
                                   "The route does not serve this method.", STR_NONE);

    if (allow.ptr != NULL)
        (void)reply_field(r, HTTP_ALLOW, allow);
    return step;
}

/* The body's announced length is judged before a byte of it is read. */
static bool body_fits(const struct request *r)
{
    return !r->facts.has_body || r->facts.is_chunked ||
           r->facts.content_length <= r->route->max_body_bytes;
}

enum step stage_route(struct request *r)
{
    const struct routes *routes = request_rules_routes(r->crules->rules);

    switch (routes_find(routes, r->facts.host, r->path, r->head.method, &r->match)) {
    case ROUTE_NOT_FOUND:
        return reply_problem(r, 404, "no_route", "No route matches this host and path.", STR_NONE);
    case ROUTE_METHOD_NOT_ALLOWED:
        return not_allowed(r);
    case ROUTE_FOUND:
        break;
    }
    r->route = r->match.route;
    r->cells = context_cells(r->crules, r->route);
    if (http_path_hides_dots(r->path) ||
        (r->route->auth == AUTH_IDENTITY && http_path_is_ambiguous(r->path))) {
        struct str slug = STR("path_confusion");

        count_series(r->context, M_REJECTED, 1, &slug);
        return reply_problem(r, 400, "protected_route", "The path holds an encoded separator.",
                             STR_NONE);
    }
    if (!body_fits(r)) {
        struct str slug = STR("body_too_large");

        count_series(r->context, M_REJECTED, 1, &slug);
        return reply_problem(r, 413, "body_too_large",
                             "The request body is larger than this route allows.", STR_NONE);
    }
    if (!route_rewrite(&r->match, r->facts.origin_form, r->arena, &r->upstream_target))
        return reply_problem(r, 400, "injection_blocked", "The target cannot be rewritten safely.",
                             STR_NONE);
    if (r->route->cache.is_on && !r->route->cache.count_hits)
        r->walk = &walk_cache_first;
    return STEP_NEXT;
}

static void count_auth(struct request *r, const char *result)
{
    struct str values[] = {r->who.credential_seen ? STR("api_key") : STR("none"), str_of(result)};

    count_series(r->context, M_AUTH, COUNT_OF(values), values);
}

/* A hidden key leaves the target before the cache's key is made from it: it is no part of what the
 * upstream is asked, and entries are listed by their keys. False: out of memory. */
static bool hide_in_target(struct request *r)
{
    struct http_target target = http_split_target(r->upstream_target);
    struct http_fields none = {NULL, 0, 0, NULL};
    struct str query = target.query;

    if (!r->config->identity.api_key.hide || !r->who.credential_seen)
        return true;
    if (!identify_hide_credential(request_rules_identify(r->crules->rules), &none, &query,
                                  r->arena))
        return false;
    if (query.ptr != target.query.ptr)
        r->upstream_target = query.len > 0 ? arena_printf(r->arena, "%.*s?%.*s",
                                                          STR_ARG(target.path), STR_ARG(query))
                                           : target.path;
    return r->upstream_target.ptr != NULL;
}

enum step stage_identify(struct request *r)
{
    struct identify_question question = {
        .fields = &r->head.fields,
        .query = r->target.query,
        .peer = r->arrival.peer,
        .route = r->route,
        .wall_s = loop_wall_us(r->context->loop) / 1000000,
    };

    r->identity =
        identify_ask(request_rules_identify(r->crules->rules), &question, r->arena, &r->who);
    r->is_known = true;
    switch (r->identity) {
    case IDENTIFY_OK:
        if (r->who.credential_seen)
            count_auth(r, "ok");
        if (!hide_in_target(r))
            return reply_out_of_memory(r);
        break;
    case IDENTIFY_NEEDED:
    case IDENTIFY_INVALID:
    case IDENTIFY_FORBIDDEN:
        count_auth(r, r->who.reason != NULL ? r->who.reason : "refused");
        break;
    }
    return STEP_NEXT;
}

enum step refuse_credential(struct request *r, const char *reason, const char *message)
{
    enum step step = reply_problem(r, 401, reason, message, STR_NONE);

    return reply_field(r, HTTP_WWW_AUTHENTICATE, STR("ApiKey realm=\"gateway\""))
               ? step
               : reply_out_of_memory(r);
}

/* The refusal of the identify step, said after the limit has charged it. */
static enum step refuse_identity(struct request *r)
{
    switch (r->identity) {
    case IDENTIFY_OK:
        return STEP_NEXT;
    case IDENTIFY_FORBIDDEN:
        return reply_problem(r, 403, r->who.reason, "This credential may not use the route.",
                             STR_NONE);
    case IDENTIFY_NEEDED:
    case IDENTIFY_INVALID:
        break;
    }
    return refuse_credential(r, r->who.reason,
                             r->identity == IDENTIFY_NEEDED ? "This route needs a credential."
                                                            : "The credential is not valid.");
}

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
    return r->who.caller.kind == CALLER_IP ? STR("ip") : STR("api_key");
}

/* Of a caller's kind and tier in the route's cells: below twice the number of tiers. */
static size_t caller_slot(const struct request *r)
{
    size_t tier = (size_t)(r->who.caller.tier - r->config->tiers);

    return (r->who.caller.kind == CALLER_IP ? 0 : r->config->tier_count) + tier;
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
            calloc((size_t)r->config->tier_count * 2 * LIMIT_MAX_WINDOWS, sizeof(struct cell *));
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

/* The policies of one request: [0] the tier and [1] the route's own when it is the client's, as one
 * decision; `route` is charged after it. */
struct policies {
    struct limit_policy client[2], route;
    uint32_t client_count;
    bool has_route, route_is_dry;
};

static void gather_policies(const struct request *r, struct policies *p)
{
    const struct route_config *route = r->route;
    bool is_dry = route->limit.dry_run && !r->config->limits.dry_run;

    p->client[0] = (struct limit_policy){&r->who.caller.tier->windows,
                                         limit_key(r->who.caller.hash, 0, STR_NONE)};
    p->client_count = 1;
    p->has_route = false;
    p->route_is_dry = is_dry;
    if (route->limit.windows.count == 0)
        return;
    if (route->limit.scope == SCOPE_CLIENT && !is_dry) {
        p->client[1] = (struct limit_policy){&route->limit.windows,
                                             limit_key(r->who.caller.hash, 1, route->name)};
        p->client_count = 2;
        return;
    }
    p->has_route = true;
    p->route.windows = &route->limit.windows;
    p->route.key = route->limit.scope == SCOPE_CLIENT
                       ? limit_key(r->who.caller.hash, 1, route->name)
                       : limit_key((struct hash128){0, 0}, 2, route->name);
}

static void decide(struct request *r, uint64_t cost)
{
    struct limiter *limiter = r->context->shared->limiter;
    struct limit_time now = {loop_now_us(r->context->loop), loop_wall_us(r->context->loop)};
    struct policies p;
    struct limit_state route_state;

    gather_policies(r, &p);
    limit_take(limiter, p.client, p.client_count, cost, now, &r->limits);
    if (!p.has_route || (!r->limits.allowed && !r->config->limits.dry_run))
        return;
    limit_take(limiter, &p.route, 1, cost, now, &route_state);
    if (p.route_is_dry) {
        if (!route_state.allowed)
            count_dry_block(r, &route_state);
        return;
    }
    if (!route_state.allowed && r->limits.allowed && cost > 0)
        limit_give_back(limiter, p.client, p.client_count, cost, now);
    join_windows(&r->limits, &route_state);
}

static void count_decision(struct request *r)
{
    size_t slot = caller_slot(r);
    struct cell **hits = r->cells->limit_hits;

    if (hits == NULL)
        hits = r->cells->limit_hits =
            calloc((size_t)r->config->tier_count * 2, sizeof(struct cell *));
    if (hits == NULL)
        return;
    if (hits[slot] == NULL) {
        struct str values[] = {kind_of(r), r->who.caller.tier->name, r->route->name};

        hits[slot] = metrics_series(r->context->sheet, M_RATE_LIMIT_HITS, COUNT_OF(values), values);
    }
    cell_add(hits[slot], 1);
}

enum step stage_limit(struct request *r)
{
    uint64_t started;

    if (is_exempt(r) || r->is_limited)
        return refuse_identity(r);
    started = clock_mono_us();
    decide(r, r->route->limit.cost);
    cell_observe(r->context->decision, (double)(clock_mono_us() - started) / 1e6);
    r->is_limited = r->limits.count > 0;
    r->charged = r->limits.allowed ? r->route->limit.cost : 0;
    count_decision(r);
    if (!r->limits.allowed && r->limits.count > 0) {
        if (r->config->limits.dry_run) {
            count_dry_block(r, &r->limits);
        } else {
            count_block(r);
            r->is_refused_by_limit = true;
            return reply_limited(r);
        }
    }
    return refuse_identity(r);
}

void limit_look(struct request *r)
{
    if (is_exempt(r))
        return;
    decide(r, 0);
    r->is_limited = r->limits.count > 0;
}
