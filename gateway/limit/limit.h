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
/* How many gateways share the store, this one included: what its share is reckoned by while the
 * store is away. Any thread. */
void limiter_set_gateways(struct limiter *limiter, uint32_t gateways);
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
#define LIMIT_MAX_WINDOWS (2 * CONFIG_MAX_WINDOWS + 2) /* and two limits of requests at a time */
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
    struct hash128 key;  /* of client (and route): where its counters live */
    struct hash128 home; /* the client, or the key itself: what a store keeps together */
};
/* Whose decision comes soon: begins to bring its counters near, because a miss of the caches is
 * half of a decision. Free to be wrong. */
void limit_hint(const struct limiter *limiter, struct hash128 key);
/* Takes `cost` from every window of all policies, or from none. Fills state with what is left
 * after. With cost 0 nothing is taken: a look. dry_run windows are for the caller to ignore. */
void limit_take(struct limiter *limiter, const struct limit_policy *policies, uint32_t policy_count,
                uint64_t cost, struct limit_time now, struct limit_state *state);
/* Gives back what limit_take() took in this turn (a later limit refused). */
void limit_give_back(struct limiter *limiter, const struct limit_policy *policies,
                     uint32_t policy_count, uint64_t cost, struct limit_time now);
/* Takes `cost` whatever is left: what became known too late to refuse. What it takes past a
 * window's end delays those who come later. */
void limit_charge(struct limiter *limiter, const struct limit_policy *policies,
                  uint32_t policy_count, uint64_t cost, struct limit_time now);
/* Forgets the counters of a key. True when there were any. */
bool limit_forget(struct limiter *limiter, struct hash128 key);
/* Whose counters. BY_HEADER: `caller` is the hash of the field's value. */
enum limit_key_kind { LIMIT_TIER, LIMIT_ROUTE_OF_CLIENT, LIMIT_ROUTE, LIMIT_ROUTE_BY_HEADER };
struct hash128 limit_key(struct hash128 caller, enum limit_key_kind kind, struct str route);

/* ---- requests at a time ---- */
/* One more request of `key` on its way, or not: false when there are `most` already. *in_use: with
 * this one. The holder gives it back; who dies with the process has no counter left either. */
bool limit_hold(struct limiter *limiter, struct hash128 key, uint32_t most,
                uint32_t *in_use) MUST_USE;
void limit_hold_drop(struct limiter *limiter, struct hash128 key);
/* How many there are. */
uint32_t limit_held(struct limiter *limiter, struct hash128 key);
/* A window for the state of an answer. */
struct limit_window limit_window_of_holds(uint32_t most, uint32_t in_use, bool refuses);

/* ---- who is served and refused most (bounded sketch) ---- */
enum limit_top_by { LIMIT_TOP_SERVED, LIMIT_TOP_REFUSED };
enum { LIMIT_NAME_MAX = 136, LIMIT_TOP_MOST = 1000 };
struct limit_top_row {
    uint64_t count; /* at most `error` too high, never too low */
    uint64_t error;
    char name[LIMIT_NAME_MAX]; /* NUL-terminated */
};
void limit_top_count(struct limiter *limiter, enum limit_top_by by, struct hash128 client,
                     struct str name);
/* The `most` largest, largest first; how many. */
uint32_t limit_top_list(struct limiter *limiter, enum limit_top_by by, struct limit_top_row *rows,
                        uint32_t most);

/* ---- tier overrides ---- */
enum { LIMIT_MAX_OVERRIDES = 10000, LIMIT_TIER_MAX = 129 };
/* `tier` (copied) instead of the client's own until the monotonic moment; an earlier one is
 * replaced; empty: ends it. False: there are too many, or no memory. */
bool limit_override(struct limiter *limiter, struct hash128 client, struct str tier,
                    uint64_t until_us, uint64_t now_us) MUST_USE;
/* The name of the tier in force, written to `tier`; false: none. Costs one load when nobody has
 * one. */
bool limit_overridden(struct limiter *limiter, struct hash128 client, uint64_t now_us,
                      char tier[LIMIT_TIER_MAX]);

/* ---- usage: for billing ---- */
struct limit_usage {
    uint64_t requests, refused, bytes_in, bytes_out, cost;
};
enum { LIMIT_USAGE_ROWS = 200000, LIMIT_USAGE_STORE_ROWS = 2000000 };
/* Adds to the row of client, route and hour. Past LIMIT_USAGE_ROWS the oldest hours go; if all are
 * of this hour, the client is counted under "other": no request is lost. */
void limit_usage_add(struct limiter *limiter, struct hash128 client, struct str name,
                     struct str route, int64_t wall_us, const struct limit_usage *more);
struct limit_usage_row {
    struct str client, route; /* borrowed during the call */
    int64_t hour_s;           /* since 1970, where the hour begins */
    struct limit_usage usage;
};
typedef bool limit_usage_fn(void *arg, const struct limit_usage_row *row); /* false: enough */
struct limit_usage_filter {
    struct hash128 client;
    bool has_client;
    int64_t from_s, to_s; /* hours that begin in [from, to) */
};
/* Every row that fits, by hour; fn must be quick. False: out of memory. */
bool limit_usage_each(struct limiter *limiter, const struct limit_usage_filter *filter,
                      limit_usage_fn *fn, void *arg) MUST_USE;

struct limiter_counts {
    uint64_t clients, evicted_idle, evicted_busy; /* busy: kept in the overflow's upper bounds */
    uint64_t overflow_cells;                      /* 0 until a busy client had to go */
};
struct limiter_counts limiter_counts(struct limiter *limiter);

/* ---- counters in Redis, shared by all gateways: one for each worker ---- */
struct limit_store;
struct loop;
struct sheet;
/* NULL: out of memory, or the URL is unsound. `limiter` is what it mirrors to, and decides by while
 * the server is away. */
struct limit_store *limit_store_new(struct loop *loop, struct limiter *limiter,
                                    const struct config *config, struct sheet *sheet,
                                    struct fail *why) MUST_USE;
void limit_store_use(struct limit_store *store, const struct config *config); /* after a reload */
void limit_store_free(struct limit_store **store); /* calls on their way end unanswered */
/* Where a decision came from. */
enum limit_origin {
    LIMIT_FROM_STORE,
    LIMIT_FROM_MEMORY, /* the store was away: this gateway's share */
    LIMIT_FROM_NOBODY, /* the store was away, and on_failure is open: allowed, nothing is known */
    LIMIT_CLOSED       /* the store was away, and on_failure is closed */
};
typedef void limit_done_fn(void *arg);
/* Embedded in who asks; policies and their windows are borrowed until it is done. */
struct limit_call {
    struct limit_policy policies[2];
    uint32_t policy_count;
    uint64_t cost;
    enum on_failure on_failure; /* never INHERIT */
    struct config *config;      /* the snapshot that the windows are of */
    limit_done_fn *done;
    void *arg;
    /* the answer */
    struct limit_state *state;
    enum limit_origin origin;
    /* the store's own */
    bool is_waiting;
    struct limit_call *next;
    struct limit_group *group;
};
/* Asks for `cost` of all windows of the policies, or of none; 0: a look. True: answered at once,
 * and `done` is not called; false: it will be, once, from the loop, unless cancelled. */
bool limit_store_take(struct limit_store *store, struct limit_call *call,
                      struct limit_time now) MUST_USE;
void limit_store_cancel(struct limit_call *call); /* fine when it waits for nothing */
/* Requests at a time, of all gateways together. Embedded in who asks; keys, limits, on_failure,
 * done and arg are set by it, the rest zeroed before the first use. */
enum { LIMIT_HOLDS = 2 };
struct limit_hold_call;
struct limit_hold_part { /* the store's own */
    struct limit_hold_call *call;
    struct limit_hold_part *next;
    struct held_key *at;
    uint64_t asked_us;
    enum { HOLD_FREE, HOLD_WAITS, HOLD_HELD, HOLD_REFUSED } state;
};
struct limit_hold_call {
    struct hash128 keys[LIMIT_HOLDS];
    uint32_t most[LIMIT_HOLDS], count;
    enum on_failure on_failure;
    limit_done_fn *done;
    void *arg;
    /* the answer */
    int full;                     /* the limit that is full: nothing is held; -1: all are */
    uint32_t in_use[LIMIT_HOLDS]; /* with this one */
    enum limit_origin origin;     /* CLOSED: nothing is held */
    /* the store's own */
    bool is_waiting, is_answered_later;
    uint32_t left;
    struct limit_store *store;
    struct limit_hold_part parts[LIMIT_HOLDS];
};
/* One more request of each key, or of none, counted here too (limit_hold()). A gateway that dies
 * holds what it held for six seconds more. As limit_store_take() answers. */
bool limit_store_hold(struct limit_store *store, struct limit_hold_call *call) MUST_USE;
/* Gives back what is held, and asks no more. Fine at any time, and twice. */
void limit_store_hold_drop(struct limit_hold_call *call);

/* As limit_charge() and limit_give_back(), there and in the mirror; nobody is told. */
void limit_store_charge(struct limit_store *store, const struct limit_call *call, uint64_t cost,
                        struct limit_time now);
void limit_store_give_back(struct limit_store *store, const struct limit_call *call, uint64_t cost,
                           struct limit_time now);
/* Forgets the counters of these policies, there and here. */
void limit_store_forget(struct limit_store *store, const struct limit_policy *policies,
                        uint32_t count);

/* ---- tiers that a billing system keeps in the store (identity.tiers_from) ---- */
/* Embedded in who asks. */
struct limit_tier_ask {
    limit_done_fn *done;
    void *arg;
    struct str tier; /* the answer, until `done` returns; empty: the client's own is in force */
    bool is_waiting; /* false at first */
    /* the store's own */
    struct limit_tier_ask *next, **back;
};
/* Whose tier is said elsewhere? name: as the admin API names the client. True: answered at once,
 * and `done` is not called; false: it will be, once, from the loop, unless cancelled, within
 * limits.deadline. */
bool limit_store_tier(struct limit_store *store, struct hash128 client, struct str name,
                      struct limit_tier_ask *ask) MUST_USE;
void limit_store_tier_cancel(struct limit_tier_ask *ask); /* fine when it waits for nothing */

/* ---- what gateways share beside counters: tier overrides and usage. The main thread ---- */
struct limit_share;
/* Another gateway should know of this (borrowed; at most 32 bytes). */
typedef void limit_news_fn(void *arg, struct str news);
/* From now on overrides are the store's, and what is new of usage is added there each second.
 * Away: this gateway goes on with its own, and catches up. NULL with the reason. */
struct limit_share *limit_share_new(struct loop *loop, struct limiter *limiter,
                                    const struct config *config, struct sheet *sheet,
                                    struct fail *why) MUST_USE;
/* What was not added is lost; calls on their way end unanswered. */
void limit_share_free(struct limit_share **share);
void limit_share_tell(struct limit_share *share, limit_news_fn *tell, void *arg);
/* Another gateway's news; STR_NONE: some were missed. */
void limit_share_hear(struct limit_share *share, struct str news);
/* As limit_override(), for every gateway. */
bool limit_share_override(struct limit_share *share, struct hash128 client, struct str tier,
                          uint64_t until_us, uint64_t now_us) MUST_USE;
/* Is all usage in the store, or can it not be brought there now? Begins to bring it. */
bool limit_share_is_flushed(struct limit_share *share);
/* `fn` for every row that fits, of all gateways, then `done`, from the loop. ok false: out of
 * memory, or too many rows; is_whole false: the store went away, and rows are this gateway's. */
typedef void limit_usage_done_fn(void *arg, bool ok, bool is_whole);
/* False: the store cannot be asked now; nothing is called. */
bool limit_share_usage(struct limit_share *share, const struct limit_usage_filter *filter,
                       limit_usage_fn *fn, limit_usage_done_fn *done, void *arg) MUST_USE;

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
