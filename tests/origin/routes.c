/* routes.c - which path is whose, and how often each was asked for.
 *
 * Prefixes end in "/" and hand on what follows; the busiest come first, because the table is
 * walked. Counts are kept for the path, and for the whole target where it has a query; the
 * table of counts is bounded, what comes after it is full is not counted. */
#include "origin.h"

#include <stdlib.h>

static const struct {
    const char *path;
    path_fn *show;
} routes[] = {
    {"/bytes/", show_bytes},
    {"/chunked/", show_chunked},
    {"/echo", show_echo},
    {"/echo/", show_echo},
    {"/headers", show_headers},
    {"/health", show_health},
    {"/canary", show_canary},
    {"/count/", show_count},
    {"/count", show_count},
    {"/cache", show_cache},
    {"/cache/", show_cache},
    {"/products", show_products},
    {"/products/", show_products},
    {"/categories", show_categories},
    {"/accounts", show_accounts},
    {"/accounts/", show_accounts},
    {"/profiles/", show_profiles},
    {"/transactions", show_transactions},
    {"/models", show_models},
    {"/changing/", show_changing},
    {"/analytics/summary", show_analytics},
    {"/analyze", show_analyze},
    {"/jobs", show_jobs},
    {"/status/", show_job_status},
    {"/events", show_events},
    {"/slow", show_slow},
    {"/slow-body", show_slow_body},
    {"/status-code/", show_status_code},
    {"/set-cookie", show_set_cookie},
    {"/private", show_private},
    {"/upload", show_upload},
    {"/broken/", show_broken},
    {"/anomaly/", show_anomaly},
};

/* ---- counts ---- */

#define COUNT_SLOTS 65536 /* a power of two */

static struct {
    char *key; /* owned */
    size_t len;
    uint64_t hash, count;
} counts[COUNT_SLOTS];
static size_t count_used;

static size_t count_slot(struct slice target, uint64_t hash)
{
    size_t slot = hash & (COUNT_SLOTS - 1);

    while (counts[slot].key != NULL &&
           (counts[slot].hash != hash || counts[slot].len != target.len ||
            memcmp(counts[slot].key, target.ptr, target.len) != 0))
        slot = (slot + 1) & (COUNT_SLOTS - 1);
    return slot;
}

void count_one(struct slice target)
{
    uint64_t hash = fnv1a64(FNV_START, target.ptr, target.len);
    size_t slot = count_slot(target, hash);

    if (counts[slot].key == NULL) {
        if (count_used >= COUNT_SLOTS / 2)
            return;
        counts[slot].key = malloc(target.len + 1);
        if (counts[slot].key == NULL)
            abort();
        memcpy(counts[slot].key, target.ptr, target.len);
        counts[slot].len = target.len;
        counts[slot].hash = hash;
        count_used++;
    }
    counts[slot].count++;
}

uint64_t count_of(struct slice target)
{
    return counts[count_slot(target, fnv1a64(FNV_START, target.ptr, target.len))].count;
}

void count_reset(void)
{
    for (size_t i = 0; i < COUNT_SLOTS; i++)
        free(counts[i].key);
    memset(counts, 0, sizeof counts);
    count_used = 0;
}

/* ---- dispatch ---- */

bool route_is_early(const struct head *head)
{
    return slice_is(head->path, "/broken/early-413");
}

static bool fits(struct slice path, const char *pattern, struct slice *rest)
{
    size_t len = strlen(pattern);
    bool is_prefix = pattern[len - 1] == '/';

    if (!slice_starts(path, pattern) || (!is_prefix && path.len != len))
        return false;
    *rest = (struct slice){path.ptr + len, path.len - len};
    return true;
}

void route_answer(struct conn *conn)
{
    struct slice path = conn->head.path, rest;

    if (!slice_starts(path, "/count")) {
        count_one(path);
        if (path.len != conn->head.target.len)
            count_one(conn->head.target);
    }
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (fits(path, routes[i].path, &rest)) {
            routes[i].show(conn, rest);
            return;
        }
    }
    if (slice_is(path, "/"))
        answer(conn, 200, "application/json",
               SLICE("{\"service\":\"origin\",\"status\":\"ok\"}\n"));
    else
        answer_fault(conn, 404, "There is nothing at this path.");
}
