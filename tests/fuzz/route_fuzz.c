/* route_fuzz.c - a table of routes and one request, against the definition.
 *
 * Input: lines. The first is the host, the second the path, the third the method; every other one
 * "PATTERN [HOST]". Held: the tree gives the route that the rules give when all patterns are tried
 * one after another on the same host, parameters are slices of the path, and no input is slow. */
#include "route/route_priv.h"

#include <stdlib.h>

enum { MOST_ROUTES = 64 };

struct input {
    struct config config;
    struct route_config routes[MOST_ROUTES];
    struct str host, path, method;
};

static struct str next_line(struct str *rest)
{
    struct str line = STR_NONE;

    (void)(rest->len > 0 && str_split(rest, '\n', &line));
    return line;
}

static void input_read(struct input *input, struct str text)
{
    input->config.routes = input->routes;
    input->host = next_line(&text);
    input->path = next_line(&text);
    input->method = next_line(&text);
    while (text.len > 0 && input->config.route_count < MOST_ROUTES) {
        struct route_config *route = &input->routes[input->config.route_count];
        struct str line = next_line(&text), pattern = STR_NONE;

        (void)(line.len > 0 && str_split(&line, ' ', &pattern));
        route->index = input->config.route_count++;
        route->match.path = pattern;
        route->match.host = line;
    }
}

/* The best of all with the same host pattern as `like`. */
static const struct route_config *by_definition(const struct input *input,
                                                const struct route_config *like)
{
    const struct route_config *best = NULL;

    for (uint32_t i = 0; i < input->config.route_count; i++) {
        const struct route_config *route = &input->routes[i];

        if (!str_ieq(route_host_pattern(route), route_host_pattern(like)) ||
            !route_pattern_matches(route->match.path, input->path))
            continue;
        if (best == NULL || pattern_rank(route->match.path) > pattern_rank(best->match.path))
            best = route;
    }
    return best;
}

static void check_parameters(const struct route_match *match, struct str path)
{
    for (uint32_t i = 0; i < match->parameter_count; i++) {
        struct str value = match->parameters[i].value;

        CHECK(value.len == 0 ||
              (value.ptr >= path.ptr && value.ptr + value.len <= path.ptr + path.len));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input *input = calloc(1, sizeof(*input));
    struct route_match match;
    struct arena *arena = arena_new(4096, 1 << 20);

    CHECK(input != NULL && arena != NULL);
    input_read(input, str_at((const char *)data, size));
    struct routes *routes = routes_new(&input->config);
    CHECK(routes != NULL);
    enum route_result result = routes_find(routes, input->host, input->path, input->method, &match);
    struct str allow = routes_allow(routes, input->host, input->path, arena);
    CHECK((match.route == NULL) == (result == ROUTE_NOT_FOUND));
    CHECK((allow.len > 0) == (result != ROUTE_NOT_FOUND));
    if (match.route != NULL) {
        CHECK(match.route == by_definition(input, match.route));
        check_parameters(&match, input->path);
    } else {
        for (uint32_t i = 0; i < input->config.route_count; i++) {
            CHECK(!str_eq(route_host_pattern(&input->routes[i]), STR("*")) ||
                  !route_pattern_matches(input->routes[i].match.path, input->path));
        }
    }
    routes_free(&routes);
    arena_free(&arena);
    free(input);
    return 0;
}
