/* keeper.c - the main thread's part: active checks, success rates compared, names looked up again.
 *
 * Once for the whole process, however many workers there are: what is found lies in the
 * registry, where workers read it. A new configuration, or a name with other addresses,
 * begins the checks anew; how often a target failed in a row stays with the target.
 *
 * Thread: the main thread's loop. */
#include "upstream/upstream_priv.h"

#include <stdlib.h>

struct upstream_keeper *upstream_keeper_new(struct loop *loop, struct upstreams *upstreams,
                                            struct fail *why)
{
    struct client_options options = {
        .keepalive = 1, .idle_timeout_ms = 1000, .max_headers = 256, .max_header_bytes = 48 * 1024};
    struct upstream_keeper *keeper = calloc(1, sizeof(*keeper));

    if (keeper == NULL) {
        fail_set(why, "out of memory");
        return NULL;
    }
    keeper->loop = loop;
    keeper->upstreams = upstreams;
    keeper->client = client_new(loop, &options, why);
    if (keeper->client == NULL)
        upstream_keeper_free(&keeper);
    return keeper;
}

bool upstream_keeper_use(struct upstream_keeper *keeper, struct config *config)
{
    struct config *old = keeper->config;
    bool is_whole;

    health_end(keeper);
    names_end(keeper);
    outlier_end(keeper);
    keeper->config = config_hold(config);
    client_forget_authorities(keeper->client);
    is_whole = names_begin(keeper) && health_begin(keeper) && outlier_begin(keeper);
    config_release(&old);
    return is_whole;
}

void upstream_keeper_free(struct upstream_keeper **keeper)
{
    struct upstream_keeper *dying = *keeper;

    *keeper = NULL;
    if (dying == NULL)
        return;
    health_end(dying);
    names_end(dying);
    outlier_end(dying);
    client_free(&dying->client);
    config_release(&dying->config);
    free(dying);
}
