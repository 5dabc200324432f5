/* check.c - are the limits of a configuration ones that can be kept?
 *
 * config/ has judged types and bounds; here stands what only the arithmetic knows: what fits a
 * counter, and which cost no window would ever let pass. Run by --check and at a reload, on
 * the main thread. */
#include "limit/limit_priv.h"

#include <stdio.h>

static void check_window(const struct config *config, const char *path,
                         const struct window_config *window, struct faults *faults)
{
    bool is_narrow = window->kind == WINDOW_SLIDING || window->kind == WINDOW_STRICT;

    if (is_narrow && window->limit > UINT32_MAX)
        faults_add(faults, config, path,
                   "the window \"%.*s\" allows %" PRIu64
                   ", expected at most 4294967295 for sliding and strict windows",
                   STR_ARG(window->name), window->limit);
    if (window->kind == WINDOW_BUCKET &&
        (double)window_capacity(window) * (double)window_interval_ns(window) > 4503599627370496.0)
        faults_add(faults, config, path,
                   "the bucket \"%.*s\" takes more than 52 days to fill, expected a window of "
                   "another kind",
                   STR_ARG(window->name));
}

static void check_set(const struct config *config, const char *path, const struct window_set *set,
                      struct faults *faults)
{
    for (uint32_t i = 0; i < set->count; i++)
        check_window(config, path, &set->at[i], faults);
}

static void check_cost(const struct config *config, const struct route_config *route,
                       struct faults *faults)
{
    char path[64];

    snprintf(path, sizeof(path), "routes[%" PRIu32 "].limit.cost", route->index);
    for (uint32_t i = 0; i < route->limit.windows.count; i++) {
        const struct window_config *window = &route->limit.windows.at[i];

        if (route->limit.cost > window_capacity(window))
            faults_add(faults, config, path,
                       "%" PRIu32 " is more than the window \"%.*s\" holds (%" PRIu64
                       "): every request would be refused",
                       route->limit.cost, STR_ARG(window->name), window_capacity(window));
    }
}

void limit_check(const struct config *config, struct faults *faults)
{
    char path[256];

    if (config->identity.tiers_from.hash.len > 0 && str_eq(config->store.url, STR("memory:")))
        log_line(LOG_WARN, "identity.tiers_from.hash is set, but store.url is memory: nobody's "
                           "tier is looked up");
    for (uint32_t i = 0; i < config->tier_count; i++) {
        snprintf(path, sizeof(path), "tiers.%.*s", STR_ARG(config->tiers[i].name));
        check_set(config, path, &config->tiers[i].windows, faults);
    }
    for (uint32_t i = 0; i < config->route_count; i++) {
        snprintf(path, sizeof(path), "routes[%" PRIu32 "].limit", i);
        check_set(config, path, &config->routes[i].limit.windows, faults);
        check_cost(config, &config->routes[i], faults);
    }
}
