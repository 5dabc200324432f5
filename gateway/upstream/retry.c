/* retry.c - may a request be tried again, and when.
 *
 * A retry is wanted when the configuration names what happened, and harmless when nothing
 * had been sent or the request may be repeated. The budget keeps retries a share of all
 * requests in flight, so that an upstream that is down does not get a multiple of its
 * load; three are always allowed, or a quiet upstream would have none.
 *
 * Pure: what it looks at is passed in. */
#include "upstream/upstream_priv.h"

enum { ALWAYS_ALLOWED = 3, LEAST_DELAY_US = 5000, DELAY_SPAN_US = 20000 };

static uint32_t bit_of_status(int status)
{
    switch (status) {
    case 500:
        return RETRY_500;
    case 502:
        return RETRY_502;
    case 503:
        return RETRY_503;
    case 504:
        return RETRY_504;
    default:
        return 0;
    }
}

static uint32_t bit_of(enum upstream_kind kind, int status)
{
    if (kind_is_unsent(kind))
        return RETRY_CONNECT;
    if (kind == UPSTREAM_RESET || kind == UPSTREAM_EMPTY)
        return RETRY_RESET;
    if (kind == UPSTREAM_FIRST_BYTE_TIMEOUT)
        return RETRY_TIMEOUT;
    return kind == UPSTREAM_OK ? bit_of_status(status) : 0;
}

bool retry_budget_allows(double budget, uint32_t in_flight, uint32_t retrying)
{
    return retrying < ALWAYS_ALLOWED || (double)retrying < budget * (double)in_flight;
}

static bool is_wanted(const struct retry_case *c)
{
    if (c->attempts_left == 0 || c->has_head || c->body_is_lost)
        return false;
    if ((bit_of(c->kind, c->status) & c->on) == 0)
        return false;
    return kind_is_unsent(c->kind) || c->is_repeatable;
}

bool retry_lacks_budget(const struct retry_case *c)
{
    return is_wanted(c) && !c->is_charged &&
           !retry_budget_allows(c->budget, c->in_flight, c->retrying);
}

bool retry_is_allowed(const struct retry_case *c)
{
    return is_wanted(c) && !retry_lacks_budget(c);
}

uint64_t retry_delay_us(enum upstream_kind kind, bool is_other_target, uint32_t nth,
                        uint64_t random)
{
    if (kind_is_unsent(kind) && is_other_target)
        return 0;
    return LEAST_DELAY_US + random % (DELAY_SPAN_US * (uint64_t)(nth < 8 ? nth : 8));
}
