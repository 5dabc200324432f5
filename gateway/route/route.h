/* route.h - which route is this? (contract §2 "Routing")
 *
 * A table built once from a snapshot and read by every worker: host, then path, then
 * method. Immutable, so any thread. Linear in the path's length, never in the
 * number of routes (a tree by segments for each host). */
#ifndef GATEWAY_ROUTE_H
#define GATEWAY_ROUTE_H
#include "base/base.h"
#include "config/config.h"

struct routes;
#define ROUTE_MAX_PARAMETERS 16

enum route_result { ROUTE_FOUND, ROUTE_NOT_FOUND, ROUTE_METHOD_NOT_ALLOWED };
struct route_parameter {
    struct str name, value; /* `{name}` segments in order; the `*` tail has the name "*" */
};
struct route_match {
    const struct route_config *route; /* set for FOUND and METHOD_NOT_ALLOWED */
    struct route_parameter parameters[ROUTE_MAX_PARAMETERS];
    uint32_t parameter_count;
};

/* Borrows `config`, which must outlive it. NULL: out of memory. */
struct routes *routes_new(const struct config *config) MUST_USE;
void routes_free(struct routes **routes);
/* host: lower or upper case, without port, STR_NONE when unknown; path: normalised (http_normalize_path).
 * Slices in match borrow from path. */
enum route_result routes_find(const struct routes *routes, struct str host, struct str path, struct str method,
                              struct route_match *match);
/* "GET, HEAD, POST": what the best path of the last METHOD_NOT_ALLOWED allows, over all its routes. Arena. */
struct str routes_allow(const struct routes *routes, struct str host, struct str path, struct arena *arena);
/* Is the normalised path among these patterns (route syntax)? For limits.exempt and `invalidates`. */
bool route_pattern_matches(struct str pattern, struct str path);

/* The path and query sent upstream: strip_prefix, then rewrite ({name}, {*}; raw parts of the client's own target where the
 * pattern says), the query kept. raw: origin-form as received. Result borrowed from raw or in the arena. False: the result would not be a
 * sound origin-form target ("//host", control bytes, above the root): 400. */
bool route_rewrite(const struct route_match *match, struct str raw, struct arena *arena, struct str *target) MUST_USE;

/* Judges patterns, templates, duplicate names, shadowed routes. */
void route_check(const struct config *config, struct faults *faults);

#endif
