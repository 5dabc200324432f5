/* advice.c - what would make the cache do better: a score, and a lifetime for each route.
 *
 * The numbers come from the workers' counters and observers, the judgement from advise/. Nothing
 * is applied: an operator reads it, or a program of theirs. What is not known is null, never a
 * guess; how much an answer stands on is told beside it. Main thread. */
#include "admin/admin_priv.h"

#include <math.h>
#include <stdlib.h>

#define TOLERATED    0.01
#define HIT_TARGET   0.8
#define SCORE_TARGET 80.0
#define RATE_TARGET  0.01 /* evictions a second that are as good as none */
enum { ADVICE_BLOCK = 64 * 1024, ADVICE_BYTES = 16 * 1024 * 1024 };

/* ---- evictions a second ---- */

void advice_sample(struct admin *admin)
{
    struct evictions *evictions = &admin->evictions;
    struct cache_counts counts;

    if (admin->shared->cache == NULL)
        return;
    cache_counts(admin->shared->cache, &counts);
    evictions->samples[evictions->next] =
        (struct eviction_sample){loop_now_us(admin->loop), counts.evictions};
    evictions->next = (evictions->next + 1) % EVICTION_SAMPLES;
    if (evictions->count < EVICTION_SAMPLES)
        evictions->count++;
}

static double eviction_rate(const struct admin *admin, uint64_t evictions_now)
{
    const struct evictions *evictions = &admin->evictions;
    uint32_t oldest = (evictions->next + EVICTION_SAMPLES - evictions->count) % EVICTION_SAMPLES;
    const struct eviction_sample *first = &evictions->samples[oldest];
    uint64_t now_us = loop_now_us(admin->loop);

    if (evictions->count == 0 || now_us <= first->at_us || evictions_now <= first->count)
        return 0;
    return (double)(evictions_now - first->count) / ((double)(now_us - first->at_us) / 1e6);
}

/* ---- numbers ---- */

/* Of what is not known (not a number, without end, negative) null. */
static void put(struct buf *out, const char *name, double value)
{
    if (isfinite(value) && value >= 0)
        buf_addf(out, "\"%s\":%.6g,", name, value);
    else
        buf_addf(out, "\"%s\":null,", name);
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : fmin(1, (double)part / (double)whole);
}

static void put_part(struct buf *out, const char *name, double value, double points, int most)
{
    buf_addf(out, "\"%s\":{\"value\":%.6g,\"points\":%.2f,\"most\":%d},", name, value, points,
             most);
}

static void end_object(struct buf *out) /* its last member left a comma */
{
    if (out->len > 0 && out->ptr[out->len - 1] == ',')
        out->len--;
    buf_add_char(out, '}');
}

/* ---- the whole cache ---- */

struct totals {
    struct asked asked;
    struct cache_counts counts;
    uint64_t proven_stale;
};

static void put_target(struct buf *out, const char *name, double target, double value, bool is_met)
{
    buf_addf(out, "\"%s\":{\"target\":%.6g,\"value\":%.6g,\"met\":%s},", name, target, value,
             is_met ? "true" : "false");
}

static uint64_t served_of(const struct asked *asked)
{
    return asked->hits + asked->stale;
}

static uint64_t lookups_of(const struct asked *asked)
{
    return served_of(asked) + asked->misses;
}

static struct advise_cache shares_of(const struct totals *totals)
{
    const struct asked *asked = &totals->asked;
    const struct cache_counts *counts = &totals->counts;
    uint64_t lookups = lookups_of(asked);

    return (struct advise_cache){
        .useful_ratio = ratio(served_of(asked) + asked->revalidated + counts->collapsed, lookups),
        .premature_ratio = ratio(counts->premature, counts->stores),
        .stale_ratio = ratio(totals->proven_stale, lookups),
        .used_ratio = ratio(counts->used, counts->stores),
    };
}

static void write_whole(const struct admin *admin, const struct totals *totals, struct buf *out)
{
    const struct cache_counts *counts = &totals->counts;
    uint64_t lookups = lookups_of(&totals->asked);
    struct advise_cache cache = shares_of(totals);
    struct advise_score score = advise_score_of(&cache);
    double hit_ratio = ratio(served_of(&totals->asked), lookups);
    double rate = eviction_rate(admin, counts->evictions);

    put(out, "hit_ratio", hit_ratio);
    put(out, "useful_ratio", cache.useful_ratio);
    put(out, "eviction_rate", rate);
    buf_addf(out,
             "\"lookups\":%" PRIu64 ",\"evictions\":%" PRIu64 ",\"premature_evictions\":%" PRIu64
             ",",
             lookups, counts->evictions, counts->premature);
    buf_addf(out, "\"efficiency_score\":%.1f,\"efficiency\":{", score.total);
    put_part(out, "hits", cache.useful_ratio, score.hits, 60);
    put_part(out, "evictions", cache.premature_ratio, score.evictions, 20);
    put_part(out, "staleness", cache.stale_ratio, score.staleness, 10);
    put_part(out, "use", cache.used_ratio, score.use, 10);
    end_object(out);
    buf_add_str(out, STR(",\"targets\":{"));
    put_target(out, "hit_ratio", HIT_TARGET, hit_ratio, hit_ratio > HIT_TARGET);
    put_target(out, "eviction_rate", 0, rate, rate < RATE_TARGET);
    put_target(out, "efficiency_score", SCORE_TARGET, score.total, score.total > SCORE_TARGET);
    end_object(out);
    buf_add_char(out, ',');
}

/* ---- one route ---- */

struct route_advice {
    const struct route_config *route;
    struct asked asked;
    struct cache_counts counts;
    struct advise_seen seen;
    struct advise_question question;
    struct advise_ttl ttl;
};

/* The lifetime that answers had; where none was seen, what the configuration gives. */
static double ttl_now(const struct route_advice *advice)
{
    if (advice->seen.refetches > 0)
        return advice->seen.lifetime_s;
    return advice->route->cache.ttl_ms > 0 ? (double)advice->route->cache.ttl_ms / 1000 : 0;
}

static bool judge(struct call *call, const struct route_config *route, double tolerated,
                  struct arena *arena, struct route_advice *advice)
{
    const struct request_shared *shared = call->admin->shared;

    *advice = (struct route_advice){.route = route};
    advice->asked = asked_of(shared->metrics, &route->name);
    (void)cache_route_counts(shared->cache, route->name, &advice->counts); /* unknown: zeros */
    if (shared->advise != NULL && !advise_read(shared->advise, route->name, arena, &advice->seen))
        return false;
    advice->question = (struct advise_question){
        .seen = &advice->seen,
        .tolerated = tolerated,
        .ttl_s = ttl_now(advice),
        .hits = advice->asked.hits + advice->asked.stale,
        .lookups = advice->asked.hits + advice->asked.stale + advice->asked.misses,
    };
    advise_ttl_of(&advice->question, &advice->ttl);
    return true;
}

static void put_change(const struct advise_rate *rate, struct buf *out)
{
    static const char *const bounds[] = {[ADVISE_RATE_UNKNOWN] = "unknown",
                                         [ADVISE_RATE_ESTIMATE] = "estimate",
                                         [ADVISE_RATE_AT_LEAST] = "at_most",
                                         [ADVISE_RATE_AT_MOST] = "at_least"};

    put(out, "change_interval", rate->per_s > 0 ? 1 / rate->per_s : -1);
    buf_addf(out, "\"change_interval_is\":\"%s\",", bounds[rate->kind]);
}

static void put_times(const struct advise_histogram *histogram, const char *name, struct buf *out)
{
    buf_addf(out, "\"%s\":{\"n\":%" PRIu64 ",\"p50\":%.4g,\"p95\":%.4g},", name, histogram->count,
             advise_quantile_s(histogram, 0.5), advise_quantile_s(histogram, 0.95));
}

static void put_seen(const struct route_advice *advice, struct buf *out)
{
    const struct advise_seen *seen = &advice->seen;

    buf_addf(out,
             "\"refetches\":%" PRIu64 ",\"changes\":%" PRIu64 ",\"n\":%u,\"evictions\":%" PRIu64
             ",\"premature_evictions\":%" PRIu64 ",\"invalidations\":%" PRIu64 ",",
             seen->refetches, seen->changes, seen->pair_count, advice->counts.evictions,
             advice->counts.premature, advice->counts.invalidations);
    put_times(&seen->reuse, "reuse_interval", out);
    put_times(&seen->age, "age_at_hit", out);
    put(out, "fetch_time", seen->refetches > 0 ? seen->fetch_s : -1);
    put(out, "body_bytes", seen->refetches > 0 ? seen->body_bytes : -1);
}

static void write_why(const struct route_advice *advice, struct buf *out)
{
    struct buf why = buf_new(1024);

    if (advice->counts.premature > advice->counts.stores / 20)
        buf_add_str(&why, STR("Entries leave for want of memory while they are fresh and in use: "
                              "give cache.memory more first. "));
    advise_write_why(&advice->question, &advice->ttl, &why);
    buf_add_str(out, STR("\"why\":"));
    buf_add_json(out, buf_str(&why));
    buf_free(&why);
}

static void write_route(const struct route_advice *advice, struct buf *out)
{
    const struct advise_ttl *ttl = &advice->ttl;
    bool is_known = ttl->confidence != ADVISE_NONE;

    put(out, "hit_ratio", ratio(advice->question.hits, advice->question.lookups));
    put(out, "current_ttl", advice->question.ttl_s > 0 ? advice->question.ttl_s : -1);
    put(out, "recommended_ttl", is_known ? ttl->ttl_s : -1);
    buf_addf(out, "\"action\":\"%s\",\"confidence\":\"%s\",", advise_action_name(ttl->action),
             advise_confidence_name(ttl->confidence));
    put_change(&ttl->rate, out);
    buf_add_str(out, STR("\"current\":{"));
    put(out, "hit_ratio", ttl->hit_now);
    put(out, "stale_share",
        ttl->rate.count > 0 && advice->question.ttl_s > 0 ? ttl->stale_now : -1);
    end_object(out);
    buf_add_str(out, STR(",\"predicted\":{"));
    put(out, "hit_ratio", ttl->hit_then);
    put(out, "stale_share", is_known ? ttl->stale_then : -1);
    end_object(out);
    if (ttl->hit_now >= 0 && ttl->hit_then >= 0)
        buf_addf(out, ",\"hits_gained\":%.6g,\"staleness_risked\":%.6g,",
                 ttl->hit_then - ttl->hit_now, ttl->stale_then);
    else
        buf_add_str(out, STR(",\"hits_gained\":null,\"staleness_risked\":null,"));
    put_seen(advice, out);
    write_why(advice, out);
}

/* Calls of the upstream that answers to POST by content saved; of a route in shadow: would have. */
static void write_saved(struct metrics *metrics, const struct route_config *route, struct buf *out)
{
    bool shadow = route->cache.shadow;
    enum metric_id id = shadow ? M_CACHE_SHADOW_MATCHES : M_CACHE_CALLS_SAVED;
    double exact = metrics_sum2(metrics, id, 0, route->name, 1, STR("exact"));
    double near = metrics_sum2(metrics, id, 0, route->name, 1, STR("near"));
    double money = shadow ? (exact + near) * route->cache.price_per_call
                          : metrics_sum(metrics, M_CACHE_MONEY_SAVED, 0, route->name);

    buf_addf(out, ",\"%s\":{\"calls\":%.0f,\"exact\":%.0f,\"near\":%.0f,\"money\":%.10g}",
             shadow ? "would_have_saved" : "saved", exact + near, exact, near, money);
}

/* ---- the endpoint ---- */

static bool read_tolerated(struct call *call, double *tolerated)
{
    struct str text = parameter(call, "stale");
    char *end;

    *tolerated = TOLERATED;
    if (text.ptr == NULL)
        return true;
    text = arena_copy(call->question->arena, text); /* with a NUL */
    if (text.ptr != NULL && text.len > 0) {
        *tolerated = strtod(text.ptr, &end);
        if (end == text.ptr + text.len && *tolerated >= 0.0001 && *tolerated <= 0.9)
            return true;
    }
    answer_refusal(call, 400,
                   "stale is the share of hits that may be old: expected 0.0001 to 0.9.");
    return false;
}

static bool write_routes(struct call *call, double tolerated, struct arena *arena,
                         struct totals *totals, struct buf *out)
{
    const struct config *config = call->config;
    bool is_first = true;

    for (uint32_t i = 0; i < config->route_count; i++) {
        struct route_advice advice;

        if (!config->routes[i].cache.is_on)
            continue;
        arena_reset(arena);
        if (!judge(call, &config->routes[i], tolerated, arena, &advice))
            return false;
        totals->proven_stale += advice.seen.proven_stale;
        if (!is_first)
            buf_add_char(out, ',');
        is_first = false;
        buf_add_json(out, config->routes[i].name);
        buf_add_str(out, STR(":{"));
        write_route(&advice, out);
        if (config->routes[i].cache.posts)
            write_saved(call->admin->shared->metrics, &config->routes[i], out);
        buf_add_char(out, '}');
    }
    return true;
}

void get_cache_advice(struct call *call)
{
    struct buf *out = &call->question->text, routes = buf_new(ADVICE_BYTES);
    struct arena *arena = arena_new(ADVICE_BLOCK, ADVICE_BYTES);
    struct totals totals = {.asked = asked_of(call->admin->shared->metrics, NULL)};
    double tolerated;

    cache_counts(call->admin->shared->cache, &totals.counts);
    if (!read_tolerated(call, &tolerated))
        goto done;
    if (arena == NULL || !write_routes(call, tolerated, arena, &totals, &routes)) {
        answer_refusal(call, 503, "There is not enough memory for the advice.");
        goto done;
    }
    buf_add_char(out, '{');
    write_whole(call->admin, &totals, out);
    put(out, "tolerated_stale_share", tolerated);
    buf_add_str(out, STR("\"applied\":false,\"routes\":{"));
    buf_add_str(out, buf_str(&routes));
    buf_add_str(out, STR("}}"));
    answer_json(call, routes.is_broken ? 503 : 200);
done:
    arena_free(&arena);
    buf_free(&routes);
}

/* ---- the metric ---- */

void advice_collect(struct admin *admin, const struct config *config, struct sheet *sheet)
{
    struct totals totals = {.asked = asked_of(admin->shared->metrics, NULL)};
    struct arena *arena = arena_new(ADVICE_BLOCK, ADVICE_BYTES);
    struct advise_cache cache;
    bool is_whole = arena != NULL;

    cache_counts(admin->shared->cache, &totals.counts);
    for (uint32_t i = 0; is_whole && admin->shared->advise != NULL && i < config->route_count;
         i++) {
        struct advise_seen seen;

        if (!config->routes[i].cache.is_on)
            continue;
        arena_reset(arena);
        is_whole = advise_read(admin->shared->advise, config->routes[i].name, arena, &seen);
        totals.proven_stale += is_whole ? seen.proven_stale : 0;
    }
    cache = shares_of(&totals);
    cell_gauge_set(metrics_cell(sheet, M_CACHE_EFFICIENCY),
                   is_whole && lookups_of(&totals.asked) > 0 ? advise_score_of(&cache).total : NAN);
    arena_free(&arena);
}
