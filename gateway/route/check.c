/* check.c - can the routes of a configuration be told apart, and can each be reached?
 *
 * Run by --check and at a reload, on the main thread. Comparing all pairs is fine for the
 * few thousand routes a file may hold. */
#include "route/route_priv.h"

#include <stdio.h>

static void add(const struct config *config, struct faults *faults, uint32_t route,
                const char *field, const char *text)
{
    char path[64];

    snprintf(path, sizeof(path), "routes[%" PRIu32 "].%s", route, field);
    faults_add(faults, config, path, "%s", text);
}

static bool methods_overlap(const struct route_config *a, const struct route_config *b)
{
    if (a->match.methods.count == 0 && b->match.methods.count == 0)
        return true;
    if (a->match.methods.count == 0)
        return methods_overlap(b, a);
    for (uint32_t i = 0; i < a->match.methods.count; i++) {
        if (route_has_method(b, a->match.methods.at[i]))
            return true;
    }
    return false;
}

static void check_pair(const struct config *config, const struct route_config *earlier,
                       const struct route_config *later, struct faults *faults)
{
    char path[64];

    if (!pattern_is_same(earlier->match.path, later->match.path) ||
        !str_ieq(route_host_pattern(earlier), route_host_pattern(later)) ||
        !methods_overlap(earlier, later))
        return;
    snprintf(path, sizeof(path), "routes[%" PRIu32 "].match", later->index);
    faults_add(faults, config, path,
               "the same host, path and a method of routes[%" PRIu32
               "] (%.*s), which comes first: expected another path, host or methods",
               earlier->index, STR_ARG(earlier->name));
}

static void check_route(const struct config *config, const struct route_config *route,
                        struct faults *faults)
{
    const char *path_fault = pattern_fault(route->match.path);
    const char *rewrite =
        path_fault == NULL ? rewrite_fault(route->rewrite, route->match.path) : NULL;

    if (path_fault != NULL)
        add(config, faults, route->index, "match.path", path_fault);
    if (path_fault == NULL && template_fault(route->redirect.to, route->match.path) != NULL)
        add(config, faults, route->index, "redirect.to",
            template_fault(route->redirect.to, route->match.path));
    if (rewrite != NULL)
        add(config, faults, route->index, "rewrite", rewrite);
    if (route->strip_prefix.len > 0 && route->strip_prefix.ptr[0] != '/')
        add(config, faults, route->index, "strip_prefix", "expected a path that begins with /");
}

void route_check(const struct config *config, struct faults *faults)
{
    for (uint32_t i = 0; i < config->route_count; i++) {
        check_route(config, &config->routes[i], faults);
        for (uint32_t k = 0; k < i; k++)
            check_pair(config, &config->routes[k], &config->routes[i], faults);
    }
    for (uint32_t i = 0; i < config->limits.exempt.count; i++) {
        const char *fault = pattern_fault(config->limits.exempt.at[i]);
        char path[64];

        snprintf(path, sizeof(path), "limits.exempt[%" PRIu32 "]", i);
        if (fault != NULL)
            faults_add(faults, config, path, "%s", fault);
    }
}
