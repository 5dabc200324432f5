/* limit.h - may this caller make one more request now?
 *
 * All windows of a policy are decided in one step: all or nothing. One arithmetic
 * (window.c, pure) serves every store. Here the memory store: one table shared by all
 * workers, sharded, bounded for ever (limits.max_clients), 64-byte entries, idle ones
 * dropped first. Monotonic microseconds are passed in; calendar windows take the wall clock.
 * Any thread; no call blocks for longer than a shard's lock. */
#ifndef GATEWAY_LIMIT_H
#define GATEWAY_LIMIT_H
#include "base/base.h"
#include "config/config.h"

struct limiter; /* the process' counters; survives reloads */

struct limiter *limiter_new(uint64_t max_clients, const struct hash_key *seed) MUST_USE;
void limiter_free(struct limiter **limiter);
void limiter_resize(
    struct limiter *limiter,
    uint64_t max_clients); /* after a reload; only what comes later is bound by it */

struct limit_time {
    uint64_t mono_us;
    int64_t wall_us;
};
/* One window after the decision. */
struct limit_window {
    const struct window_config *window; /* borrowed from the policy */
    uint64_t limit;     /* requests: the window's limit (bucket: its capacity is burst) */
    uint64_t remaining; /* requests left before a denial */
    uint64_t reset_us;  /* until the current period ends (bucket: full again) */
    uint64_t retry_us;  /* when this window refuses: until it would allow; else 0 */
    uint64_t next_us;   /* when nothing remains: until one request would be allowed; else 0 */
    bool refuses;
};
#define LIMIT_MAX_WINDOWS (2 * CONFIG_MAX_WINDOWS)
struct limit_state {
    struct limit_window windows[LIMIT_MAX_WINDOWS];
    uint32_t count;
    bool allowed;
    uint32_t worst; /* index of the refusing window with the longest wait, when not allowed */
};
/* Up to two policies that are one decision: the caller's tier, and a client-scoped limit of the
 * route. */
struct limit_policy {
    const struct window_set *windows;
    struct hash128 key; /* of client (and route): where its counters live */
};
/* Takes `cost` from every window of all policies, or from none. Fills state with what is left
 * after. With cost 0 nothing is taken: a look. dry_run windows are for the caller to ignore. */
void limit_take(struct limiter *limiter, const struct limit_policy *policies, uint32_t policy_count,
                uint64_t cost, struct limit_time now, struct limit_state *state);
/* Gives back what limit_take() took in this turn (a later limit refused). */
void limit_give_back(struct limiter *limiter, const struct limit_policy *policies,
                     uint32_t policy_count, uint64_t cost, struct limit_time now);
/* Forgets the counters of a key. True when there were any. */
bool limit_forget(struct limiter *limiter, struct hash128 key);
struct hash128
limit_key(struct hash128 caller, uint32_t kind,
          struct str route); /* kind 0: tier, 1: route of a client, 2: route for all */

struct limiter_counts {
    uint64_t clients, evicted_idle, evicted_busy;
};
struct limiter_counts limiter_counts(struct limiter *limiter);

/* ---- what the answer says (contract §3) ---- */
/* The window that X-RateLimit-* describe: on a refusal the refusing one with the longest wait;
 * else, of those named `report`, the one with least left; none so named: the shortest of at least
 * 60 s, else the longest. NULL without windows. */
const struct limit_window *limit_reported(const struct limit_state *state, struct str report);
/* Whole seconds to wait, at least 1, never early; jitter is limits.retry_jitter, draw a number in
 * 0..1. */
uint64_t limit_retry_after_s(const struct limit_state *state, double jitter, double draw);
/* `RateLimit-Policy` and `RateLimit` values (draft-ietf-httpapi-ratelimit-headers):
 * structured-field lists. */
bool limit_write_policy(struct buf *out, const struct limit_state *state);
bool limit_write_ratelimit(struct buf *out, const struct limit_state *state);
/* "second", "minute", "hour", "day", "month" or the window's name. */
struct str limit_period_name(const struct window_config *window);

void limit_check(const struct config *config, struct faults *faults);

#endif
