/* route_fields.c - header fields that a route's configuration writes: headers and cors.
 *
 * Requests are changed last before they leave, answers last before they are sent, whoever
 * made them: a page may read a 429 too, and what the cache keeps stays the origin's.
 * A preflight (the Fetch standard's CORS protocol) is answered from the configuration for the
 * method it asks about, before identity, because browsers send it without credentials.
 * Worker's thread. */
#include "request/request_priv.h"

/* ---- edits ---- */

static bool edit(struct http_fields *fields, const struct header_edits *edits)
{
    for (uint32_t i = 0; i < edits->remove.count; i++)
        (void)http_fields_remove_name(fields, edits->remove.at[i]);
    for (uint32_t i = 0; i < edits->set.count; i++)
        (void)http_fields_remove_name(fields, edits->set.at[i].name);
    for (uint32_t i = 0; i < edits->set.count; i++)
        if (!http_fields_add(fields, edits->set.at[i].name, edits->set.at[i].value))
            return false;
    for (uint32_t i = 0; i < edits->add.count; i++)
        if (!http_fields_add(fields, edits->add.at[i].name, edits->add.at[i].value))
            return false;
    return true;
}

bool route_request_fields(const struct request *r, struct http_fields *fields)
{
    return edit(fields, &r->route->headers.request);
}

/* ---- cors ---- */

static bool origin_may(const struct route_config *route, struct str origin)
{
    for (uint32_t i = 0; i < route->cors.origins.count; i++)
        if (str_glob(route->cors.origins.at[i], origin))
            return true;
    return false;
}

static bool is_for_all(const struct route_config *route)
{
    return route->cors.origins.count == 1 && str_eq(route->cors.origins.at[0], STR("*"));
}

static bool add_vary_origin(struct request *r)
{
    for (uint32_t i = 0; i < r->out.count; i++) {
        struct http_field *field = &r->out.at[i];

        if (field->id != HTTP_VARY)
            continue;
        if (http_fields_has_token(&r->out, HTTP_VARY, STR("Origin")) ||
            http_fields_has_token(&r->out, HTTP_VARY, STR("*")))
            return true;
        field->value = arena_printf(r->arena, "%.*s, Origin", STR_ARG(field->value));
        return field->value.ptr != NULL;
    }
    return reply_field(r, HTTP_VARY, STR("Origin"));
}

/* The upstream's own are replaced: two of them would be none to a browser. */
static bool add_cors(struct request *r)
{
    static const char *const own[] = {
        "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials",
        "Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age"};
    struct str origin = http_fields_get(&r->head.fields, HTTP_ORIGIN);
    bool for_all = is_for_all(r->route);

    for (size_t i = 0; i < COUNT_OF(own); i++)
        (void)http_fields_remove_name(&r->out, str_of(own[i]));
    if (!for_all && !add_vary_origin(r))
        return false;
    if (origin.ptr == NULL || !origin_may(r->route, origin))
        return true;
    return http_fields_add(&r->out, STR("Access-Control-Allow-Origin"),
                           for_all ? STR("*") : origin) &&
           (!r->route->cors.credentials ||
            http_fields_add(&r->out, STR("Access-Control-Allow-Credentials"), STR("true")));
}

bool route_answer_fields(struct request *r)
{
    if (r->split_cookie.len > 0 && !reply_field(r, HTTP_SET_COOKIE, r->split_cookie))
        return false;
    return (r->route->cors.origins.count == 0 || add_cors(r)) &&
           edit(&r->out, &r->route->headers.response);
}

/* ---- preflights ---- */

static struct str joined(struct arena *arena, const struct str_list *list)
{
    struct str text = STR("");

    for (uint32_t i = 0; i < list->count && text.ptr != NULL; i++)
        text = arena_printf(arena, "%.*s%s%.*s", STR_ARG(text), i > 0 ? ", " : "",
                            STR_ARG(list->at[i]));
    return text;
}

static struct str allowed_methods(const struct request *r)
{
    const struct route_config *route = r->route;

    if (route->cors.methods.count > 0)
        return joined(r->arena, &route->cors.methods);
    if (route->match.methods.count > 0)
        return joined(r->arena, &route->match.methods);
    return STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
}

static bool add_preflight_fields(struct request *r)
{
    const struct route_config *route = r->route;
    struct str headers = joined(r->arena, &route->cors.headers);
    struct str methods = allowed_methods(r);

    if (route->cors.headers.count == 0)
        headers = http_fields_joined_name(&r->head.fields, r->arena,
                                          STR("Access-Control-Request-Headers"));
    return methods.ptr != NULL &&
           http_fields_add(&r->out, STR("Access-Control-Allow-Methods"), methods) &&
           (headers.len == 0 ||
            http_fields_add(&r->out, STR("Access-Control-Allow-Headers"), headers)) &&
           http_fields_add(&r->out, STR("Access-Control-Max-Age"),
                           reply_number(r, (uint64_t)route->cors.max_age_ms / 1000));
}

bool route_preflight(struct request *r, enum step *step)
{
    struct str origin, method;

    if (!str_eq(r->head.method, STR("OPTIONS")))
        return false;
    origin = http_fields_get(&r->head.fields, HTTP_ORIGIN);
    method = http_fields_find(&r->head.fields, STR("Access-Control-Request-Method"));
    if (origin.ptr == NULL || method.ptr == NULL ||
        routes_find(request_rules_routes(r->crules->rules), r->facts.host, r->path, method,
                    &r->match) != ROUTE_FOUND ||
        r->match.route->cors.origins.count == 0)
        return false;
    r->route = r->match.route;
    r->cells = context_cells(r->crules, r->route);
    *step = reply_empty(r, 204);
    if (origin_may(r->route, origin) && !add_preflight_fields(r))
        *step = reply_out_of_memory(r);
    return true;
}
