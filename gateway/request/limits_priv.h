/* limits_priv.h - what steps share of limits: whose windows, how far the decision is, and what is
 * said of it. Worker's thread. */
#ifndef GATEWAY_REQUEST_LIMITS_PRIV_H
#define GATEWAY_REQUEST_LIMITS_PRIV_H
#include "request/request.h"

/* go on | request_wake() will be called, then the same step again | skip to respond */
enum step { STEP_NEXT, STEP_WAIT, STEP_ANSWER, STEP_LOOKUP /* go back to the look-up */ };
typedef enum step stage_fn(struct request *r);

/* Whose windows a request is charged to: `client` (the tier, and the route's own when it is the
 * client's) is one decision; `route` is charged after it. */
struct policies {
    struct limit_policy client[2], route;
    uint32_t client_count;
    bool has_route, route_is_dry, shows_route, has_asked_route;
    struct hash128 holds[2]; /* limits of requests at a time */
    uint32_t most[2], holds_wanted;
};

/* How far the limit's decision is; with counters in memory it goes from the first to the last. */
enum limit_phase {
    LIMIT_NOT_ASKED,
    LIMIT_ASKS_CLIENT, /* waits for the store: the tier, and the route's own of a client */
    LIMIT_ASKS_ROUTE,  /* waits for the store: the route's own that others share */
    LIMIT_ASKS_HOLDS,  /* windows are decided, requests at a time may not be */
    LIMIT_DECIDED
};

/* limit_count.c */
void count_decision(struct request *r);
void count_block(struct request *r);
void count_dry_block(struct request *r, const struct limit_state *state);

/* stage_limit.c */
void limit_look(struct request *r); /* what is left, for an answer that is not charged */
/* The caller's tier, where a billing system or, before all, an operator set another. False: it is
 * being looked up, and request_wake() will be called. */
bool limit_find_tier(struct request *r);
/* What the upstream's answer says the request costs (limit.cost_header) is settled. */
void limit_settle_header(struct request *r, const struct http_fields *fields);
/* The request has ended: bodies are charged (limit.cost_per_kib), usage is counted, and what it
 * held is given back. */
void limit_finish(struct request *r, uint64_t bytes_in, uint64_t bytes_out);

/* holds.c */
/* Takes or begins to take what policies.holds name. The index of the limit that is full; -1: all
 * are held, or hold_call.is_waiting. */
int holds_take(struct request *r);
void holds_drop(struct request *r);           /* fine at any time */
void holds_join(struct request *r, int full); /* every answer names these limits too */
enum on_failure limit_on_failure(const struct request *r);

/* reply_limit.c */
bool reply_limit_fields(struct request *r);
enum step reply_limited(struct request *r);

#endif
