/* route_priv.h - path patterns, as the files of this room read them.
 *
 * A pattern is a path whose segments are literal, `{name}`, or, the last one alone, `*`. It is
 * never compiled: it is short, and walking it beside the path is as fast. */
#ifndef GATEWAY_ROUTE_PRIV_H
#define GATEWAY_ROUTE_PRIV_H
#include "route/route.h"

enum { PATTERN_DEPTH_MOST = 128 }; /* segments */

/* Cuts the first segment off *rest ("/a/b" gives "a", leaves "/b"). False when *rest is empty. */
bool pattern_cut(struct str *rest, struct str *segment);
/* `{name}`: the name. False for every other segment. */
bool pattern_parameter(struct str segment, struct str *name);
static inline bool pattern_is_tail(struct str segment, struct str rest)
{
    return rest.len == 0 && segment.len == 1 && segment.ptr[0] == '*';
}
/* What is wrong with a pattern, for a person; NULL: nothing. */
const char *pattern_fault(struct str pattern);
/* Higher is better: the exact path, then literal bytes, then `{name}` before `*`. */
uint64_t pattern_rank(struct str pattern);
/* Do the two match the same paths? (names of parameters do not count) */
bool pattern_is_same(struct str a, struct str b);
/* Matches, and fills the parameters when `match` is not NULL. */
bool pattern_match(struct str pattern, struct str path, struct route_match *match);

/* Is the method among the route's, as they are written? */
bool route_has_method(const struct route_config *route, struct str method);
/* The host pattern without a port. */
struct str route_host_pattern(const struct route_config *route);

/* Does the pattern give a value of this name? */
bool pattern_gives(struct str pattern, struct str wanted);
/* What is wrong with redirect.to for this path pattern; NULL: nothing. */
const char *template_fault(struct str text, struct str pattern);
/* What is wrong with a rewrite template for this path pattern; NULL: nothing. */
const char *rewrite_fault(struct str template, struct str pattern);

#endif
