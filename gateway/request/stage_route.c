/* stage_route.c - the steps before anything is asked: which route, who.
 *
 * 404 and 405 are charged to nobody; a bad credential is charged to its address, so the
 * refusal waits until the limit has been asked (stage_limit.c). Worker's thread. */
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
    limit_override_tier(r);
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
enum step refuse_identity(struct request *r)
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
