/* cells_priv.h - the metric cells that a worker has at hand for each route.
 *
 * A look-up by labels hashes their texts; what every request counts is found once and kept here.
 * A snapshot's cells go with its last request (context.c). Worker's thread. */
#ifndef GATEWAY_REQUEST_CELLS_PRIV_H
#define GATEWAY_REQUEST_CELLS_PRIV_H
#include "request/fetch_priv.h"

enum method_label {
    LABEL_GET,
    LABEL_HEAD,
    LABEL_POST,
    LABEL_PUT,
    LABEL_PATCH,
    LABEL_DELETE,
    LABEL_OPTIONS,
    LABEL_OTHER,
    METHOD_LABELS
};
#define STATUS_CELLS 500 /* 100..599 */

/* Tries of one target that went well; the rest is rare and looked up by its names. */
#define TRIED_CELLS 8
struct tried_cell {
    const char *target; /* its URL in the snapshot, by its place in memory */
    struct cell *cell;
};

/* One worker's metric cells of one route, found once and kept. */
struct route_cells {
    struct str name;
    struct cell **requests[METHOD_LABELS]; /* [status - 100], made at first use */
    struct cell *duration, *bytes, *upstream_duration;
    struct cell *cache[CACHE_STATUSES];
    struct cell **limit_hits;   /* [caller kind * tiers + tier] */
    struct cell **limit_blocks; /* [that * LIMIT_MAX_WINDOWS + window] */
    struct tried_cell tried[TRIED_CELLS];
    struct advise_cells *seen; /* NULL: not cached, or not observed */
    struct str *policies; /* RateLimit-Policy, owned: [tier * 2 + 1 with the route's windows] */
};

#endif
