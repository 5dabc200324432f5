/* stage_route.c - the first step: which route is this?
 *
 * 404 and 405 are charged to nobody. Worker's thread. */
#include "request/request_priv.h"

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
    enum step step;

    explain_ask(r);
    if (route_preflight(r, &step))
        return step;
    switch (routes_find(routes, r->facts.host, r->path, r->head.method, &r->match)) {
    case ROUTE_NOT_FOUND:
        return reply_problem(r, 404, "no_route", "No route matches this host and path.", STR_NONE);
    case ROUTE_METHOD_NOT_ALLOWED:
        return not_allowed(r);
    case ROUTE_FOUND:
        break;
    }
    r->route = r->match.route;
    r->upstream = r->route->upstream;
    r->cells = context_cells(r->crules, r->route);
    r->asks_tunnel = tunnel_is_asked(r);
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
    if (r->route->cache.is_on && !r->route->cache.count_hits && !r->is_warm)
        r->walk = &walk_cache_first;
    else if (collect_is_for(r))
        r->walk = &walk_body_first;
    return STEP_NEXT;
}

/* What is no address (a unix socket's peer) is in no block. */
bool route_address_may(const struct request *r)
{
    const struct route_config *route = r->route;
    uint8_t address[16];

    if (route->allow.count == 0 && route->deny.count == 0)
        return true;
    if (!address_parse(r->who.address, address))
        return route->allow.count == 0;
    return !cidr_list_has(&route->deny, address) &&
           (route->allow.count == 0 || cidr_list_has(&route->allow, address));
}
