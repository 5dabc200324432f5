/* rate.c - how often content changes, from what refetches showed.
 *
 * A refetch tells only that something changed in between, not how often; counting changes over
 * time therefore finds too few. The most likely rate L of a Poisson process solves
 *     sum over changed t/(e^(L t) - 1)  =  sum over unchanged t
 * whose left side falls with L: bisection on the logarithm. Pure; any thread. */
#include "advise/advise.h"

#include <math.h>

#define RATE_LEAST 1e-12 /* once in thirty thousand years */
#define RATE_MOST  1e6
enum { STEPS = 100 };

struct sums {
    double unchanged_s, all_s;
    uint32_t changed;
};

static struct sums sums_of(const struct advise_pair *pairs, uint32_t count)
{
    struct sums sums = {0, 0, 0};

    for (uint32_t i = 0; i < count; i++) {
        sums.all_s += pairs[i].interval_s;
        if (pairs[i].is_changed)
            sums.changed++;
        else
            sums.unchanged_s += pairs[i].interval_s;
    }
    return sums;
}

static double changed_side(const struct advise_pair *pairs, uint32_t count, double rate)
{
    double sum = 0;

    for (uint32_t i = 0; i < count; i++)
        if (pairs[i].is_changed && rate * pairs[i].interval_s < 700) /* e^700: the end of doubles */
            sum += pairs[i].interval_s / expm1(rate * pairs[i].interval_s);
    return sum;
}

static double most_likely(const struct advise_pair *pairs, uint32_t count, double unchanged_s)
{
    double least = log(RATE_LEAST), most = log(RATE_MOST);

    for (int step = 0; step < STEPS; step++) {
        double middle = (least + most) / 2;

        if (changed_side(pairs, count, exp(middle)) > unchanged_s)
            least = middle;
        else
            most = middle;
    }
    return exp((least + most) / 2);
}

struct advise_rate advise_rate_of(const struct advise_pair *pairs, uint32_t count)
{
    struct sums sums = sums_of(pairs, count);
    struct advise_rate rate = {.count = count, .changed = sums.changed};

    if (count == 0 || sums.all_s <= 0)
        return rate;
    if (sums.changed == 0) {
        rate.kind = ADVISE_RATE_AT_MOST;
        rate.per_s = 0.5 / sums.all_s;
    } else if (sums.changed == count) {
        rate.kind = ADVISE_RATE_AT_LEAST;
        rate.per_s = most_likely(pairs, count, 0.5 * sums.all_s / count);
    } else {
        rate.kind = ADVISE_RATE_ESTIMATE;
        rate.per_s = most_likely(pairs, count, sums.unchanged_s);
    }
    return rate;
}

/* Where x is small the formula loses its digits; there it is x/2 - x²/6. */
static double stale_share(double x)
{
    return x < 1e-4 ? x / 2 - x * x / 6 : 1 + expm1(-x) / x;
}

double advise_stale_share(double changes_per_s, double ttl_s)
{
    return changes_per_s > 0 && ttl_s > 0 ? stale_share(changes_per_s * ttl_s) : 0;
}

double advise_ttl_for_stale_share(double changes_per_s, double share)
{
    double least = 0, most = 2 / (1 - share); /* stale_share(x) >= 1 - 1/x */

    if (changes_per_s <= 0)
        return HUGE_VAL;
    for (int step = 0; step < STEPS; step++) {
        double middle = (least + most) / 2;

        if (stale_share(middle) < share)
            least = middle;
        else
            most = middle;
    }
    return (least + most) / 2 / changes_per_s;
}

double advise_hit_ratio(double requests_per_s, double ttl_s)
{
    double during = requests_per_s * ttl_s; /* hits that follow a miss */

    return during / (1 + during);
}
