/* score.c - how well the cache does, as one number whose four parts are told with it.
 *
 * Hits weigh most, and 0.8 is all that is asked for; one entry in twenty evicted while it is
 * fresh and in use, or one answer in a hundred proven stale, costs all of its part.
 * Pure; any thread. */
#include "advise/advise.h"

#include <math.h>

#define HIT_TARGET      0.8
#define PREMATURE_WORST 0.05
#define STALE_WORST     0.01

static double share(double value)
{
    return fmin(1, fmax(0, value));
}

struct advise_score advise_score_of(const struct advise_cache *cache)
{
    struct advise_score score = {
        .hits = 60 * share(cache->useful_ratio / HIT_TARGET),
        .evictions = 20 * (1 - share(cache->premature_ratio / PREMATURE_WORST)),
        .staleness = 10 * (1 - share(cache->stale_ratio / STALE_WORST)),
        .use = 10 * share(cache->used_ratio),
    };

    score.total = score.hits + score.evictions + score.staleness + score.use;
    return score;
}
