/* ttl.c - the lifetime that a route should have, and why.
 *
 * Two ceilings: what the tolerated share of stale hits allows, given how often the content
 * changes; and what is of use, given how often a key is asked for. A lifetime runs from the
 * fetch, so hits go on rising past the longest time between two uses: of use is what makes
 * 95 % of the lookups hits, and at least the 95th percentile of the times between uses, for keys
 * that are rarer than the mean. Pure; any thread. */
#include "advise/advise.h"

#include <math.h>

#define USEFUL_HITS 19.0 /* after each miss: a ratio of 0.95 */
#define WORTH       0.2  /* of the lookups must become hits */
#define NEAR        0.2  /* a lifetime within a fifth of the best needs no change */
enum { LEAST_SEEN = 20, LEAST_OF_A_KIND = 5 };

static enum advise_confidence confidence_of(const struct advise_rate *rate)
{
    uint32_t fewer =
        rate->changed < rate->count - rate->changed ? rate->changed : rate->count - rate->changed;

    if (rate->count < ADVISE_LEAST_REFETCHES)
        return ADVISE_NONE;
    return fewer < LEAST_OF_A_KIND ? ADVISE_LOW : ADVISE_GOOD;
}

/* Requests a second for one key: what would make the hit ratio that was seen at this lifetime;
 * without one, from the times between uses. 0: unknown. */
static double requests_of(const struct advise_question *question)
{
    const struct advise_histogram *reuse = &question->seen->reuse;
    double hits = (double)question->hits, misses = (double)(question->lookups - question->hits);

    if (question->lookups >= LEAST_SEEN && misses > 0 && hits > 0 && question->ttl_s > 0)
        return hits / misses / question->ttl_s;
    if (reuse->count >= LEAST_SEEN && reuse->sum_s > 0)
        return (double)reuse->count / reuse->sum_s;
    return 0;
}

static double clamped(double ttl_s)
{
    if (ttl_s >= ADVISE_MOST_TTL_S)
        return ADVISE_MOST_TTL_S;
    return ttl_s <= ADVISE_LEAST_TTL_S ? ADVISE_LEAST_TTL_S : floor(ttl_s);
}

static enum advise_action action_of(const struct advise_question *question,
                                    const struct advise_ttl *ttl)
{
    double now_s = question->ttl_s;

    if (ttl->confidence == ADVISE_NONE)
        return ADVISE_WAIT;
    if (ttl->hit_then >= 0 && ttl->hit_then < WORTH)
        return ADVISE_NOT_WORTH;
    if (ttl->rate.kind == ADVISE_RATE_AT_LEAST)
        return ADVISE_PROBE;
    if (now_s > 0 && fabs(ttl->ttl_s - now_s) <= NEAR * now_s)
        return ADVISE_KEEP;
    return ttl->ttl_s > now_s ? ADVISE_RAISE : ADVISE_LOWER;
}

void advise_ttl_of(const struct advise_question *question, struct advise_ttl *ttl)
{
    const struct advise_seen *seen = question->seen;
    double per_s = requests_of(question), p95_s = advise_quantile_s(&seen->reuse, 0.95);

    *ttl = (struct advise_ttl){
        .requests_per_s = per_s, .useful_ttl_s = HUGE_VAL, .hit_now = -1, .hit_then = -1};
    ttl->rate = advise_rate_of(seen->pairs, seen->pair_count);
    ttl->confidence = confidence_of(&ttl->rate);
    ttl->stale_ttl_s = advise_ttl_for_stale_share(ttl->rate.per_s, question->tolerated);
    if (per_s > 0)
        ttl->useful_ttl_s = fmax(p95_s, USEFUL_HITS / per_s);
    if (ttl->confidence != ADVISE_NONE)
        ttl->ttl_s = clamped(fmin(ttl->stale_ttl_s, ttl->useful_ttl_s));
    ttl->stale_now = advise_stale_share(ttl->rate.per_s, question->ttl_s);
    ttl->stale_then = advise_stale_share(ttl->rate.per_s, ttl->ttl_s);
    if (per_s > 0 && question->ttl_s > 0)
        ttl->hit_now = advise_hit_ratio(per_s, question->ttl_s);
    if (per_s > 0 && ttl->ttl_s > 0)
        ttl->hit_then = advise_hit_ratio(per_s, ttl->ttl_s);
    ttl->action = action_of(question, ttl);
}

const char *advise_action_name(enum advise_action action)
{
    static const char *const names[] = {
        [ADVISE_WAIT] = "wait",   [ADVISE_KEEP] = "keep",   [ADVISE_RAISE] = "raise",
        [ADVISE_LOWER] = "lower", [ADVISE_PROBE] = "probe", [ADVISE_NOT_WORTH] = "not_worth_it"};

    return names[action];
}

const char *advise_confidence_name(enum advise_confidence confidence)
{
    static const char *const names[] = {
        [ADVISE_NONE] = "none", [ADVISE_LOW] = "low", [ADVISE_GOOD] = "good"};

    return names[confidence];
}

/* ---- why ---- */

static void write_time(struct buf *out, double seconds)
{
    if (seconds >= 2 * 86400)
        buf_addf(out, "%.1f days", seconds / 86400);
    else if (seconds >= 2 * 3600)
        buf_addf(out, "%.1f hours", seconds / 3600);
    else if (seconds >= 120)
        buf_addf(out, "%.1f minutes", seconds / 60);
    else
        buf_addf(out, "%.2g seconds", seconds);
}

static void write_change(const struct advise_ttl *ttl, struct buf *out)
{
    if (ttl->rate.kind == ADVISE_RATE_AT_MOST) {
        buf_addf(out, "No change was seen in %u refetches", ttl->rate.count);
        return;
    }
    buf_addf(out, "Content changes %severy ",
             ttl->rate.kind == ADVISE_RATE_AT_LEAST ? "at least " : "about ");
    write_time(out, 1 / ttl->rate.per_s);
}

static void write_reason(const struct advise_question *question, const struct advise_ttl *ttl,
                         struct buf *out)
{
    double limit = fmin(ttl->stale_ttl_s, ttl->useful_ttl_s);

    if (limit < ADVISE_LEAST_TTL_S)
        buf_addf(out, "; no lifetime of a second or more keeps stale hits under %.3g %%",
                 question->tolerated * 100);
    else if (limit >= ADVISE_MOST_TTL_S)
        buf_add_str(out, STR("; this is the longest lifetime that is recommended"));
    else if (ttl->stale_ttl_s <= ttl->useful_ttl_s)
        buf_addf(out, "; longer, and more than %.3g %% of the hits would be stale",
                 question->tolerated * 100);
    else
        buf_add_str(out, STR("; longer would gain next to no hits"));
}

void advise_write_why(const struct advise_question *question, const struct advise_ttl *ttl,
                      struct buf *out)
{
    if (ttl->action == ADVISE_WAIT) {
        buf_addf(out, "%u refetches were seen, and %d are needed for a first estimate.",
                 ttl->rate.count, ADVISE_LEAST_REFETCHES);
        return;
    }
    write_change(ttl, out);
    switch (ttl->action) {
    case ADVISE_PROBE:
        buf_add_str(out, STR(", for nearly every refetch brought another body; a shorter lifetime "
                             "for a while would show how often"));
        break;
    case ADVISE_NOT_WORTH:
        buf_addf(out,
                 " and a key is asked for too rarely: at most %.0f %% of the lookups can be hits, "
                 "so invalidate by events, or do not cache",
                 ttl->hit_then * 100);
        break;
    case ADVISE_WAIT:
    case ADVISE_KEEP:
    case ADVISE_RAISE:
    case ADVISE_LOWER:
        write_reason(question, ttl, out);
        break;
    }
    buf_add_char(out, '.');
}
