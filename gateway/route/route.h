/* route.h - which route is this? (contract §2 "Routing")
 *
 * A table built once from a snapshot and read by every worker: host, then path, then
 * method. Immutable, so any thread. The tree by segments for each host is walked once: linear in
 * the path's length; routes cost only where their patterns fit the same path.
 *
 * Hosts are asked from the most specific one (exact, the longest *.suffix, `*`) to the least, and
 * the first at which any path fits decides, methods included: a host without a fitting path
 * leaves the request to the next, a host whose path fits but not its methods is 405. Where GET is
 * listed HEAD is allowed too (RFC 9110 §9.1 wants both of every server). */
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
    struct str path; /* the normalised path that was matched; borrowed */
};

/* Borrows `config`, which must outlive it. NULL: out of memory. */
struct routes *routes_new(const struct config *config) MUST_USE;
void routes_free(struct routes **routes);
/* host: lower or upper case, without port, STR_NONE when unknown; path: normalised
 * (http_normalize_path). Slices in match borrow from path. */
enum route_result routes_find(const struct routes *routes, struct str host, struct str path,
                              struct str method, struct route_match *match);
/* "GET, HEAD, POST": what the best path of the last METHOD_NOT_ALLOWED allows, over all its routes.
 * Arena. */
struct str routes_allow(const struct routes *routes, struct str host, struct str path,
                        struct arena *arena);
/* Is the normalised path among these patterns (route syntax)? For limits.exempt and `invalidates`.
 */
bool route_pattern_matches(struct str pattern, struct str path);

/* The path and query sent upstream. Without strip_prefix and rewrite that is `raw` (origin-form as
 * received), byte for byte. With them it is made of the normalised path, the one that was matched,
 * so that the two cannot differ; the query is kept as it came. A rewrite wins over strip_prefix.
 * Result borrowed from raw, from the matched path, or in the arena. False: the result would not be
 * a sound origin-form target ("//host", control bytes, dot segments): 400. */
bool route_rewrite(const struct route_match *match, struct str raw, struct arena *arena,
                   struct str *target) MUST_USE;

/* Appends `text` with {host}, {uri} and the names of the match's parameters filled in; values are
 * percent-encoded where they hold quotes, brackets or blanks. False: past out's ceiling. */
struct route_place {
    struct str host, uri; /* host without port; uri: path and query as they came */
};
bool route_fill(const struct route_match *match, struct str text, struct route_place place,
                struct buf *out);

/* Judges patterns, templates, duplicate names, shadowed routes. */
void route_check(const struct config *config, struct faults *faults);

#endif
