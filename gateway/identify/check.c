/* check.c - do the keys of a configuration agree with each other?
 *
 * config/ has judged their digests, tiers and scopes one by one. Run by --check and at a
 * reload, on the main thread. */
#include "identify/identify_priv.h"

/* Keys with one id are one client with one set of counters: which tier would hold? */
static void check_pair(const struct config *config, const struct api_key_config *a,
                       const struct api_key_config *b, struct faults *faults)
{
    if (str_eq(a->id, b->id) && !str_eq(a->tier, b->tier))
        faults_add(faults, config, "identity.api_key.keys",
                   "two keys of \"%.*s\" have the tiers \"%.*s\" and \"%.*s\", expected one tier "
                   "for one id",
                   STR_ARG(a->id), STR_ARG(a->tier), STR_ARG(b->tier));
}

void identify_check(const struct config *config, struct faults *faults)
{
    const struct api_key_config *keys = config->identity.api_key.keys;
    struct map *by_id = map_new();

    for (uint32_t i = 0; by_id != NULL && i < config->identity.api_key.key_count; i++) {
        const struct api_key_config *first = map_get(by_id, keys[i].id);

        if (first != NULL)
            check_pair(config, first, &keys[i], faults);
        else if (!map_put(by_id, keys[i].id, &config->identity.api_key.keys[i]))
            break; /* out of memory: what was not compared is not a fault */
    }
    map_free(&by_id);
}
