/* routes.c - the table of all routes: hosts, and for each a tree of path segments.
 *
 * A node stands for the segments on the way to it; it knows the patterns that end there
 * (`exact`) and those that end there in a `*` (`tail`). Looking a path up walks literal children
 * and the {name} child both, because the best match is the one with the most literal bytes, not the
 * first that fits: /{a}/long beats /a/{b}. Each node is met at most once, and the walk is as deep
 * as the longest pattern, not as the path.
 *
 * Immutable once built; any thread. Everything lies in one arena. */
#include "route/route_priv.h"

#include <stdlib.h>

enum { ARENA_BLOCK = 64 * 1024, ARENA_MOST = 256 * 1024 * 1024, HOST_MOST = 255 };

/* Routes with the same pattern, in the order of the configuration. */
struct leaf {
    const struct route_config *route;
    uint64_t rank; /* of its pattern */
    struct leaf *next;
};
struct node {
    struct map *children;   /* by segment; NULL: none. Freed by the list of all nodes */
    struct node *parameter; /* {name} */
    struct leaf *exact, *tail;
    struct node *next_made;
};
struct routes {
    struct arena *arena;
    struct node *nodes; /* all of them */
    struct map *exact;  /* host in lower case to root */
    struct map *suffix; /* ".example.com" to root */
    struct node *any;
};

/* ---- building ---- */

static struct node *node_new(struct routes *routes)
{
    struct node *node = arena_zero(routes->arena, sizeof(*node));

    if (node == NULL)
        return NULL;
    node->next_made = routes->nodes;
    routes->nodes = node;
    return node;
}

static struct node *child_for(struct routes *routes, struct node *node, struct str segment)
{
    struct str name;

    if (pattern_parameter(segment, &name)) {
        if (node->parameter == NULL)
            node->parameter = node_new(routes);
        return node->parameter;
    }
    if (node->children == NULL)
        node->children = map_new();
    if (node->children == NULL)
        return NULL;
    struct node *child = map_get(node->children, segment);
    if (child == NULL) {
        child = node_new(routes);
        if (child == NULL || !map_put(node->children, segment, child))
            return NULL;
    }
    return child;
}

static bool leaf_add(struct routes *routes, struct leaf **list, const struct route_config *route)
{
    struct leaf *leaf = arena_zero(routes->arena, sizeof(*leaf));

    if (leaf == NULL)
        return false;
    leaf->route = route;
    leaf->rank = pattern_rank(route->match.path);
    while (*list != NULL)
        list = &(*list)->next;
    *list = leaf;
    return true;
}

static bool path_add(struct routes *routes, struct node *node, const struct route_config *route)
{
    struct str rest = route->match.path, segment;

    if (pattern_fault(rest) != NULL)
        return true; /* route_check() has told */
    while (pattern_cut(&rest, &segment)) {
        if (pattern_is_tail(segment, rest))
            return leaf_add(routes, &node->tail, route);
        node = child_for(routes, node, segment);
        if (node == NULL)
            return false;
    }
    return leaf_add(routes, &node->exact, route);
}

struct str route_host_pattern(const struct route_config *route)
{
    struct str host = route->match.host;
    size_t colon = host.len;

    while (colon > 0 && ascii_is_digit(host.ptr[colon - 1]))
        colon--;
    if (colon > 0 && colon < host.len && host.ptr[colon - 1] == ':' &&
        (host.ptr[0] != '[' || (colon > 1 && host.ptr[colon - 2] == ']')))
        return str_at(host.ptr, colon - 1);
    return host.len > 0 ? host : STR("*");
}

static struct str lower_copy(struct arena *arena, struct str s)
{
    char *copy = arena_take(arena, s.len + 1);

    for (size_t i = 0; copy != NULL && i < s.len; i++)
        copy[i] = ascii_lower(s.ptr[i]);
    return str_at(copy, s.len);
}

/* The root of a route's host. */
static struct node *host_for(struct routes *routes, const struct route_config *route)
{
    struct str host = route_host_pattern(route);
    struct map *map = routes->exact;

    if (str_eq(host, STR("*")))
        return routes->any;
    if (str_starts(host, STR("*."))) {
        map = routes->suffix;
        host = str_from(host, 1);
    }
    host = lower_copy(routes->arena, host);
    if (host.ptr == NULL)
        return NULL;
    struct node *root = map_get(map, host);
    if (root == NULL) {
        root = node_new(routes);
        if (root == NULL || !map_put(map, host, root))
            return NULL;
    }
    return root;
}

struct routes *routes_new(const struct config *config)
{
    struct routes *routes = calloc(1, sizeof(*routes));

    if (routes == NULL)
        return NULL;
    routes->arena = arena_new(ARENA_BLOCK, ARENA_MOST);
    routes->exact = map_new();
    routes->suffix = map_new();
    if (routes->arena == NULL || routes->exact == NULL || routes->suffix == NULL)
        goto failed;
    routes->any = node_new(routes);
    if (routes->any == NULL)
        goto failed;
    for (uint32_t i = 0; i < config->route_count; i++) {
        struct node *root = host_for(routes, &config->routes[i]);

        if (root == NULL || !path_add(routes, root, &config->routes[i]))
            goto failed;
    }
    return routes;
failed:
    routes_free(&routes);
    return NULL;
}

void routes_free(struct routes **routes)
{
    struct routes *it = *routes;

    if (it == NULL)
        return;
    *routes = NULL;
    for (struct node *node = it->nodes; node != NULL; node = node->next_made)
        map_free(&node->children);
    map_free(&it->exact);
    map_free(&it->suffix);
    arena_free(&it->arena);
    free(it);
}

/* ---- methods ---- */

bool route_has_method(const struct route_config *route, struct str method)
{
    const struct str_list *methods = &route->match.methods;

    if (methods->count == 0)
        return !str_eq(method, STR("CONNECT")) && !str_eq(method, STR("TRACE"));
    for (uint32_t i = 0; i < methods->count; i++) {
        if (str_eq(methods->at[i], method))
            return true;
    }
    return false;
}

/* ---- looking up ---- */

/* The patterns that fit, as far as they are seen: of the best ones the first route, and
 * the first that has the method. */
struct best {
    struct str method;
    uint64_t rank; /* 0: none yet */
    const struct route_config *first, *with_method;
    void (*each)(void *arg, const struct route_config *route, bool is_better); /* or NULL */
    void *arg;
};

static bool is_before(const struct route_config *a, const struct route_config *b)
{
    return b == NULL || a->index < b->index;
}

static void consider(struct best *best, const struct leaf *leaf)
{
    uint64_t rank = leaf != NULL ? leaf->rank : 0;
    bool is_better = rank > best->rank;

    if (leaf == NULL || rank < best->rank)
        return;
    if (is_better) {
        best->rank = rank;
        best->first = best->with_method = NULL;
    }
    for (; leaf != NULL; leaf = leaf->next) {
        if (is_before(leaf->route, best->first))
            best->first = leaf->route;
        if (is_before(leaf->route, best->with_method) &&
            route_has_method(leaf->route, best->method))
            best->with_method = leaf->route;
        if (best->each != NULL)
            best->each(best->arg, leaf->route, is_better);
        is_better = false;
    }
}

/* Recursion ends with the tree: at most PATTERN_DEPTH_MOST. */
static void search(const struct node *node, struct str rest, struct best *best)
{
    struct str segment;

    consider(best, node->tail);
    if (!pattern_cut(&rest, &segment)) {
        consider(best, node->exact);
        return;
    }
    if (node->children != NULL) {
        const struct node *child = map_get(node->children, segment);

        if (child != NULL)
            search(child, rest, best);
    }
    if (node->parameter != NULL && segment.len > 0)
        search(node->parameter, rest, best);
}

static bool search_root(const struct node *root, struct str path, struct best *best)
{
    if (root != NULL)
        search(root, path, best);
    return best->first != NULL;
}

/* From the most specific host to the least, until a path fits. */
static void search_hosts(const struct routes *routes, struct str host, struct str path,
                         struct best *best)
{
    char lower[HOST_MOST];

    if (path.len == 0 || path.ptr[0] != '/')
        return;
    if (host.len > 0 && host.len <= sizeof(lower)) {
        for (size_t i = 0; i < host.len; i++)
            lower[i] = ascii_lower(host.ptr[i]);
        host = str_at(lower, host.len);
        if (search_root(map_get(routes->exact, host), path, best))
            return;
        for (size_t i = 1; i < host.len && map_count(routes->suffix) > 0; i++) {
            if (host.ptr[i] == '.' &&
                search_root(map_get(routes->suffix, str_from(host, i)), path, best))
                return;
        }
    }
    search_root(routes->any, path, best);
}

enum route_result routes_find(const struct routes *routes, struct str host, struct str path,
                              struct str method, struct route_match *match)
{
    struct best best = {.method = method};

    match->route = NULL;
    match->parameter_count = 0;
    match->path = path;
    search_hosts(routes, host, path, &best);
    if (best.first == NULL)
        return ROUTE_NOT_FOUND;
    if (best.with_method == NULL && str_eq(method, STR("HEAD"))) { /* nobody lists it */
        best = (struct best){.method = STR("GET")};
        search_hosts(routes, host, path, &best);
    }
    match->route = best.with_method != NULL ? best.with_method : best.first;
    CHECK(pattern_match(match->route->match.path, path, match));
    return best.with_method != NULL ? ROUTE_FOUND : ROUTE_METHOD_NOT_ALLOWED;
}

/* ---- Allow ---- */

enum { METHODS_MOST = 64 };

struct methods {
    struct str at[METHODS_MOST];
    uint32_t count;
};

static void methods_add(struct methods *methods, struct str method)
{
    for (uint32_t i = 0; i < methods->count; i++) {
        if (str_eq(methods->at[i], method))
            return;
    }
    if (methods->count < METHODS_MOST)
        methods->at[methods->count++] = method;
}

static void methods_of_route(void *arg, const struct route_config *route, bool is_better)
{
    static const struct str usual[] = {{"GET", 3},   {"HEAD", 4},   {"POST", 4},   {"PUT", 3},
                                       {"PATCH", 5}, {"DELETE", 6}, {"OPTIONS", 7}};
    struct methods *methods = arg;

    if (is_better)
        methods->count = 0;
    if (route->match.methods.count == 0) {
        for (size_t i = 0; i < COUNT_OF(usual); i++)
            methods_add(methods, usual[i]);
    }
    for (uint32_t i = 0; i < route->match.methods.count; i++) {
        methods_add(methods, route->match.methods.at[i]);
        if (str_eq(route->match.methods.at[i], STR("GET")))
            methods_add(methods, STR("HEAD"));
    }
}

struct str routes_allow(const struct routes *routes, struct str host, struct str path,
                        struct arena *arena)
{
    struct methods methods = {.count = 0};
    struct best best = {.each = methods_of_route, .arg = &methods};
    size_t len = 0, at = 0;

    search_hosts(routes, host, path, &best);
    for (uint32_t i = 0; i < methods.count; i++)
        len += methods.at[i].len + 2;
    char *text = arena_take(arena, len + 1);
    if (text == NULL)
        return STR_NONE;
    for (uint32_t i = 0; i < methods.count; i++) {
        if (i > 0) {
            text[at++] = ',';
            text[at++] = ' ';
        }
        memcpy(text + at, methods.at[i].ptr, methods.at[i].len);
        at += methods.at[i].len;
    }
    return str_at(text, at);
}
