/* reply_limit.c - what an answer says of the caller's windows (contract §3; RFC 6585;
 * draft-ietf-httpapi-ratelimit-headers). Worker's thread. */
#include "request/request_priv.h"

#include <stdlib.h>

/* Whole seconds until, rounded up: a client that waits so long is never early. */
static uint64_t seconds_up(uint64_t us)
{
    return (us + 999999) / 1000000;
}

static uint64_t retry_after_s(struct request *r)
{
    double draw = (double)(random_u64() >> 11) / 9007199254740992.0;

    return limit_retry_after_s(&r->limits, r->config->limits.retry_jitter, draw);
}

static bool add_reported(struct request *r, uint64_t wait_s)
{
    const struct limit_window *window = limit_reported(&r->limits, r->config->limits.report);
    uint64_t reset_s;

    if (window == NULL)
        return true;
    reset_s = r->is_refused_by_limit ? wait_s : seconds_up(window->reset_us);
    if (!r->config->limits.reset_is_delta)
        reset_s += (uint64_t)(loop_wall_us(r->context->loop) / 1000000);
    return reply_field(r, HTTP_X_RATELIMIT_LIMIT, reply_number(r, window->limit)) &&
           reply_field(r, HTTP_X_RATELIMIT_REMAINING, reply_number(r, window->remaining)) &&
           reply_field(r, HTTP_X_RATELIMIT_RESET, reply_number(r, reset_s));
}

/* Does the state hold every window of tier and route? Not after on_failure `open`. */
static bool is_whole(const struct request *r)
{
    const struct policies *p = &r->policies;
    uint32_t count = p->holds_wanted;

    for (uint32_t i = 0; i < p->client_count; i++)
        count += p->client[i].windows->count;
    if (p->has_route && p->shows_route)
        count += p->route.windows->count;
    return r->limits.count == count;
}

/* It names windows and no counts, so it is the same for every answer to one tier on one route, but
 * for whether the route's own windows were asked. Written once, kept with the route's cells. */
static struct str policy_of(struct request *r)
{
    const struct tier_config *tier = r->who.caller.tier;
    struct route_cells *cells = r->cells;
    size_t slot = (size_t)(tier - r->config->tiers) * 2 + r->policies.shows_route;
    bool is_kept = is_whole(r);
    struct str text;
    char *kept;

    if (is_kept && cells->policies != NULL && cells->policies[slot].ptr != NULL)
        return cells->policies[slot];
    if (!limit_write_policy(reply_draft(r), &r->limits))
        return STR_NONE;
    text = reply_keep(r);
    if (!is_kept)
        return text;
    if (cells->policies == NULL)
        cells->policies = calloc((size_t)r->config->tier_count * 2, sizeof(*cells->policies));
    kept = cells->policies != NULL && text.len > 0 ? malloc(text.len) : NULL;
    if (kept == NULL)
        return text;
    memcpy(kept, text.ptr, text.len);
    cells->policies[slot] = str_at(kept, text.len);
    return cells->policies[slot];
}

static bool add_ietf(struct request *r)
{
    return reply_field(r, HTTP_RATELIMIT_POLICY, policy_of(r)) &&
           limit_write_ratelimit(reply_draft(r), &r->limits) &&
           reply_field(r, HTTP_RATELIMIT, reply_keep(r));
}

bool reply_limit_fields(struct request *r)
{
    uint64_t wait_s = r->is_refused_by_limit ? r->wait_s : 0;

    return add_reported(r, wait_s) && (!r->config->limits.ietf_headers || add_ietf(r)) &&
           (!r->is_refused_by_limit || reply_field(r, HTTP_RETRY_AFTER, reply_number(r, wait_s)));
}

enum step reply_limited(struct request *r)
{
    const struct limit_window *window = &r->limits.windows[r->limits.worst];
    struct str period = limit_period_name(window->window);
    struct str tier = r->who.caller.tier->name;
    struct buf *text = reply_draft(r);
    struct str message, members;

    r->wait_s = retry_after_s(r);
    buf_add_str(text, STR("Limit of "));
    buf_add_u64(text, window->limit);
    if (window->window->period_ms > 0) {
        buf_add_str(text, STR(" requests per "));
        buf_add_str(text, period);
    } else {
        buf_add_str(text, STR(" requests at a time"));
    }
    buf_add_str(text, STR(" is used up; try again in "));
    buf_add_u64(text, r->wait_s);
    buf_add_str(text, STR(" s."));
    message = reply_keep(r);
    text = reply_draft(r);
    buf_add_str(text, STR("\"limit\":"));
    buf_add_u64(text, window->limit);
    buf_add_str(text, STR(",\"period\":"));
    buf_add_json(text, period);
    buf_add_str(text, STR(",\"reset_time\":"));
    buf_add_u64(text, (uint64_t)(loop_wall_us(r->context->loop) / 1000000) + r->wait_s);
    buf_add_str(text, STR(",\"retry_after\":"));
    buf_add_u64(text, r->wait_s);
    buf_add_str(text, STR(",\"tier\":"));
    buf_add_json(text, tier);
    members = reply_keep(r);
    if (members.ptr == NULL || message.ptr == NULL)
        return reply_out_of_memory(r);
    return reply_problem(r, 429, "rate_limited", message.ptr, members);
}

/* ---- GET /system/rate-limit/status ---- */

static bool write_window(struct buf *out, const struct limit_window *window, int64_t wall_s,
                         bool delta)
{
    uint64_t reset_s = seconds_up(window->reset_us) + (delta ? 0 : (uint64_t)wall_s);

    return buf_add_json(out, window->window->name) &&
           buf_addf(out, ":{\"limit\":%" PRIu64 ",\"remaining\":%" PRIu64 ",\"reset\":%" PRIu64 "}",
                    window->limit, window->remaining, reset_s);
}

bool request_write_limit_state(const struct request_rules *rules, const struct caller *caller,
                               const struct limit_state *state, int64_t wall_us, struct buf *out)
{
    if (!buf_addf(out, "{\"client\":") || !buf_add_json(out, caller->name) ||
        !buf_addf(out, ",\"tier\":") || !buf_add_json(out, caller->tier->name) ||
        !buf_addf(out, ",\"windows\":{"))
        return false;
    for (uint32_t i = 0; i < state->count; i++)
        if ((i > 0 && !buf_add_char(out, ',')) ||
            !write_window(out, &state->windows[i], wall_us / 1000000,
                          rules->config->limits.reset_is_delta))
            return false;
    return buf_addf(out, "}}\n");
}

bool request_write_limit_status(const struct request_rules *rules,
                                const struct request_shared *shared, const struct caller *caller,
                                struct limit_time now, struct buf *out)
{
    struct limit_policy policy = {&caller->tier->windows,
                                  limit_key(caller->hash, LIMIT_TIER, STR_NONE), caller->hash};
    struct limit_state state;

    limit_take(shared->limiter, &policy, 1, 0, now, &state);
    return request_write_limit_state(rules, caller, &state, now.wall_us, out);
}
