/* stage_picture.c - is there an answer for a picture like this one?
 *
 * The step after the look-up by the bytes, where that found nothing: only then is the picture
 * decoded, and the nearest stored one taken, within the route's distance and in the caller's
 * scope. What is found is an ordinary entry of an ordinary key: it must be fresh, not purged, of a
 * variant that fits, and one that this caller may have. A blank picture looks like any other, so
 * nothing is kept for it. In shadow nobody is answered: header, log and counters tell what
 * would have been. What is saved is counted in calls and, where they have a price, in money.
 * Worker's thread. */
#include "request/request_priv.h"

enum { CANDIDATES = 4 };

static void count_match(struct request *r, const char *what)
{
    struct str values[] = {r->cells->name, str_of(what)};
    double price = r->route->cache.price_per_call;

    if (r->route->cache.shadow) {
        count_series(r->context, M_CACHE_SHADOW_MATCHES, COUNT_OF(values), values);
        return;
    }
    count_series(r->context, M_CACHE_CALLS_SAVED, COUNT_OF(values), values);
    if (price > 0)
        cell_add(metrics_series(r->context->sheet, M_CACHE_MONEY_SAVED, 1, values),
                 (uint64_t)(price * METRICS_MILLIONTHS + 0.5));
}

bool picture_may_answer(struct request *r)
{
    struct lookup *c = &r->cache;
    const char *what = c->is_near ? "near" : "exact", *after = "";
    struct str text;

    if (c->match != NULL)
        return false; /* shadow: it was told */
    if (r->route->cache.shadow)
        after = "; shadow";
    text = c->is_near ? arena_printf(r->arena, "near; distance=%u%s", c->distance, after)
                      : arena_printf(r->arena, "exact%s", after);
    c->match = text.ptr != NULL ? text.ptr : what;
    count_match(r, what);
    return !r->route->cache.shadow;
}

/* The key of the same request with another picture; an empty digest: the scope of its pictures. */
static bool key_with(struct request *r, const char *digest, struct cache_key *key)
{
    struct str own = r->collected.key;
    bool is_built;

    r->collected.key = arena_printf(r->arena, "%.*s%s", STR_ARG(r->collected.key_head), digest);
    is_built = r->collected.key.ptr != NULL && lookup_build_key(r, key);
    r->collected.key = own;
    return is_built;
}

/* Sets r's entry where it may answer. */
static bool try_candidate(struct request *r, const struct cache_key *scope,
                          const struct cache_near *near)
{
    struct cache *cache = r->context->shared->cache;
    struct lookup *c = &r->cache;
    struct cache_key key;
    bool vary_missed;

    if (!key_with(r, near->digest, &key))
        return false;
    c->entry = cache_find(cache, &key, &r->head.fields, r->config->cache.normalize_vary, r->arena,
                          &vary_missed);
    if (c->entry == NULL && !vary_missed)
        cache_near_drop(cache, &scope->hash, near->digest);
    if (c->entry == NULL)
        return false;
    if (lookup_may_share(r, c->entry) && lookup_judge(r, c->entry) == HTTP_USE_FRESH)
        return true;
    cache_entry_release(&c->entry);
    return false;
}

static bool find_near(struct request *r, const struct cache_key *scope)
{
    struct cache_near near[CANDIDATES];
    uint32_t count;

    count = cache_near_find(r->context->shared->cache, &scope->hash, &r->collected.hash,
                            r->route->cache.distance, near, CANDIDATES);
    for (uint32_t i = 0; i < count; i++) {
        if (!try_candidate(r, scope, &near[i]))
            continue;
        r->cache.is_near = true;
        r->cache.distance = near[i].distance;
        r->cache.detail = r->collected.is_shared ? "store" : "near";
        return true;
    }
    return false;
}

static bool is_for(const struct request *r)
{
    return r->collected.picture.ptr != NULL && r->cache.is_keyed && r->cache.entry == NULL &&
           r->cache.status == CACHE_MISS && r->cache.match == NULL;
}

enum step stage_picture(struct request *r)
{
    struct collected *c = &r->collected;
    struct cache_key scope;

    if (!is_for(r))
        return STEP_NEXT;
    r->cache.is_near = false;
    if (c->state == PICTURE_NOT_ASKED && !picture_ask(r))
        return lookup_bypass(r, "pictures");
    if (c->state == PICTURE_ASKED)
        return STEP_WAIT;
    if (c->result == IMAGE_BLANK)
        return lookup_bypass(r, "blank");
    if (c->result == IMAGE_HASHED && !key_with(r, "", &scope))
        return reply_out_of_memory(r);
    if (c->result == IMAGE_HASHED && find_near(r, &scope))
        return lookup_serve(r, CACHE_HIT);
    if (c->result == IMAGE_HASHED && picture_shared_ask(r, &scope))
        return STEP_WAIT;
    return r->cache.wants.only_if_cached ? lookup_unsatisfiable(r) : STEP_NEXT;
}

void picture_on_stored(struct request *r)
{
    struct cache *cache = r->context->shared->cache;
    struct cache_key scope;
    struct cache_entry *entry;
    bool vary_missed;

    if (!r->cache.is_by_body || r->collected.picture.ptr == NULL ||
        r->collected.state != PICTURE_TOLD || r->collected.result != IMAGE_HASHED ||
        !key_with(r, "", &scope))
        return;
    cache_near_add(cache, &scope.hash, &r->collected.hash, r->collected.digest);
    entry = cache_find(cache, &r->cache.key, &r->head.fields, r->config->cache.normalize_vary,
                       r->arena, &vary_missed);
    if (entry != NULL && cache_entry_meta(entry).stored_us >= r->fetch.started_us)
        picture_shared_put(r, &scope, entry);
    cache_entry_release(&entry);
}
