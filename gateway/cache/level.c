/* level.c - the second level: what one gateway fetched, all of them have.
 *
 * Under `<prefix>cache:{hash}` stands the answer of a key, or the rule that names the Vary fields;
 * a variant and the chunks of a large body stand beside it, under the same hash tag, so that
 * a Cluster keeps them together. The hash is keyed: nobody learns from a name who asked for what.
 * It is asked only where the cache in memory has nothing, within store.timeout, and written only
 * after the answer has gone its way: a store that is slow or away costs a few deadlines until
 * the breaker of redis/ opens, then nothing.
 *
 * An answer comes back with its true age by the wall clock, and with the purge stamp that its
 * fetch would have had here (history.c). One worker's thread. */
#include "cache/level_priv.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const words[LEVEL_OUTCOMES] = {
    "hit",    "miss",    "purged", "damaged", "late",   "away",
    "waited", "gave_up", "stored", "local",   "failed",
};

void level_count(struct cache_level *level, enum level_outcome outcome)
{
    cell_add(level->outcomes[outcome], 1);
}

/* ---- names ---- */

static void hash_write(const struct cache_level *level, struct str text, char digits[33])
{
    struct hash128 hash = hash_sip128(&level->secret, text);

    *hex_write(hex_write(digits, hash.hi, 16), hash.lo, 16) = '\0';
}

void level_name(const struct cache_level *level, struct str key, struct level_name *name)
{
    char digits[33];

    hash_write(level, key, digits);
    snprintf(name->text, sizeof(name->text), "%scache:{%s}", level->prefix, digits);
}

void level_name_of(const struct level_name *base, const struct cache_level *level,
                   struct str vary_key, int chunk, struct level_name *name)
{
    char digits[33] = "-";

    if (vary_key.len == 0 && chunk < 0) {
        *name = *base;
        return;
    }
    if (vary_key.len > 0)
        hash_write(level, vary_key, digits);
    if (chunk < 0)
        snprintf(name->text, sizeof(name->text), "%.120s:v:%s", base->text, digits);
    else
        snprintf(name->text, sizeof(name->text), "%.120s:v:%s:%d", base->text, digits, chunk);
}

void level_name_lease(const struct level_name *base, struct level_name *name)
{
    snprintf(name->text, sizeof(name->text), "%.120s:lease", base->text);
}

/* ---- begin and end ---- */

void cache_level_use(struct cache_level *level, const struct config *config)
{
    struct str secret = config->identity.hash_secret;

    level->timeout_ms = config->store.timeout_ms;
    level->secret = level->seed;
    if (secret.len > 0) {
        struct hash128 hash = hash_sip128(&(struct hash_key){{0, 0}}, secret);

        level->secret = (struct hash_key){{hash.lo, hash.hi}};
    }
}

static void name_cells(struct cache_level *level, struct sheet *sheet)
{
    for (int i = 0; i < LEVEL_OUTCOMES; i++) {
        struct str word = str_of(words[i]);

        level->outcomes[i] = metrics_series(sheet, M_CACHE_SECOND_LEVEL, 1, &word);
    }
}

struct cache_level *cache_level_new(const struct cache_level_options *options,
                                    const struct config *config, struct fail *why)
{
    struct cache_level *level = calloc(1, sizeof(*level));
    struct redis_options redis = {.name = "gateway-cache",
                                  .sheet = options->sheet,
                                  .max_calls = 4096,
                                  .max_out_bytes = (size_t)16 * 1024 * 1024};

    if (level == NULL) {
        fail_set(why, "out of memory");
        return NULL;
    }
    level->loop = options->loop;
    level->cache = options->cache;
    level->seed = options->seed;
    snprintf(level->prefix, sizeof(level->prefix), "%.*s", STR_ARG(config->store.prefix));
    name_cells(level, options->sheet);
    leases_init(level);
    cache_level_use(level, config);
    if (!redis_url_for(config, STORE_CACHE, &redis.url, why)) {
        free(level);
        return NULL;
    }
    level->redis = redis_new(options->loop, &redis);
    if (level->redis == NULL) {
        fail_set(why, "out of memory");
        free(level);
        return NULL;
    }
    return level;
}

void cache_level_free(struct cache_level **level)
{
    struct cache_level *old = *level;

    *level = NULL;
    if (old == NULL)
        return;
    reads_end(old);
    writes_end(old);
    leases_end(old);
    redis_free(&old->redis);
    free(old);
}
