/* usage.c - what each client used, by route and hour: for bills.
 *
 * Rows are exact and whole: a request is counted once, when it has ended, with its bytes and
 * its cost. The number of rows is bounded; at the bound the rows of the oldest hour go, and when
 * every row is of this hour a new client's requests are counted under "other", so that the
 * sums stay true whatever the addresses of a flood.
 *
 * Any thread; USAGE_SHARDS locks, one held for a look-up. */
#include "limit/limit_priv.h"

#include <stdlib.h>

enum { HOUR_S = 3600, FIRST_ROWS = 64 };

struct usage_row {
    struct hash128 client;
    uint64_t route; /* hash of its name */
    uint32_t hour;  /* since 1970; 0: empty */
    uint32_t client_len;
    char *names; /* owned: the client's, then the route's, each with a NUL */
    struct limit_usage usage;
};

bool usage_init(struct limiter *limiter)
{
    limiter->usage = calloc(USAGE_SHARDS, sizeof(*limiter->usage));
    if (limiter->usage == NULL)
        return false;
    for (uint32_t i = 0; i < USAGE_SHARDS; i++)
        CHECK(pthread_mutex_init(&limiter->usage[i].lock, NULL) == 0);
    return true;
}

void usage_free(struct limiter *limiter)
{
    for (uint32_t i = 0; limiter->usage != NULL && i < USAGE_SHARDS; i++) {
        struct usage_shard *shard = &limiter->usage[i];

        for (uint32_t r = 0; r < shard->room; r++)
            free(shard->rows[r].names);
        free(shard->rows);
        pthread_mutex_destroy(&shard->lock);
    }
    free(limiter->usage);
}

static uint32_t home_of(const struct usage_row *row)
{
    return (uint32_t)((row->client.hi ^ row->route ^ row->hour) * UINT64_C(0x9e3779b97f4a7c15) >>
                      32);
}

static bool is_same(const struct usage_row *a, const struct usage_row *b)
{
    return a->hour == b->hour && a->client.lo == b->client.lo && a->client.hi == b->client.hi &&
           a->route == b->route;
}

/* The row, or the empty one where it belongs. There is always an empty one. */
static struct usage_row *find(struct usage_shard *shard, const struct usage_row *wanted)
{
    uint32_t mask = shard->room - 1, at = home_of(wanted) & mask;

    while (shard->rows[at].hour != 0 && !is_same(&shard->rows[at], wanted))
        at = (at + 1) & mask;
    return &shard->rows[at];
}

/* A new table of `room` rows; those of hours before `from` are dropped. */
static bool rebuild(struct usage_shard *shard, uint32_t room, uint32_t from)
{
    struct usage_shard next = {.rows = calloc(room, sizeof(*next.rows)), .room = room};

    if (next.rows == NULL)
        return false;
    for (uint32_t i = 0; i < shard->room; i++) {
        struct usage_row *row = &shard->rows[i];

        if (row->hour == 0)
            continue;
        if (row->hour < from) {
            free(row->names);
            continue;
        }
        *find(&next, row) = *row;
        next.count++;
    }
    free(shard->rows);
    shard->rows = next.rows;
    shard->room = room;
    shard->count = next.count;
    return true;
}

/* Makes room for one more row. False: none to be had. */
static bool make_room(struct usage_shard *shard, uint32_t hour)
{
    uint32_t oldest = hour;

    if (shard->room == 0)
        return rebuild(shard, FIRST_ROWS, 0);
    if (shard->count < LIMIT_USAGE_ROWS / USAGE_SHARDS)
        return shard->count < shard->room / 2 || rebuild(shard, shard->room * 2, 0);
    for (uint32_t i = 0; i < shard->room; i++)
        if (shard->rows[i].hour != 0 && shard->rows[i].hour < oldest)
            oldest = shard->rows[i].hour;
    return oldest < hour && rebuild(shard, shard->room, oldest + 1);
}

static bool name_row(struct usage_row *row, struct str client, struct str route)
{
    row->names = malloc(client.len + route.len + 2);
    if (row->names == NULL)
        return false;
    memcpy(row->names, client.ptr, client.len);
    row->names[client.len] = '\0';
    memcpy(row->names + client.len + 1, route.ptr, route.len);
    row->names[client.len + 1 + route.len] = '\0';
    row->client_len = (uint32_t)client.len;
    return true;
}

static void add(struct limit_usage *to, const struct limit_usage *more)
{
    to->requests += more->requests;
    to->refused += more->refused;
    to->bytes_in += more->bytes_in;
    to->bytes_out += more->bytes_out;
    to->cost += more->cost;
}

/* False: the shard is full. */
static bool add_to(struct usage_shard *shard, struct usage_row *wanted, struct str client,
                   struct str route, const struct limit_usage *more, bool is_forced)
{
    struct usage_row *row;

    if (!make_room(shard, wanted->hour) &&
        (shard->room == 0 || (!is_forced && find(shard, wanted)->hour == 0)))
        return false;
    row = find(shard, wanted);
    if (row->hour == 0) {
        if (shard->count + 1 >= shard->room || !name_row(wanted, client, route))
            return false;
        *row = *wanted;
        shard->count++;
    }
    add(&row->usage, more);
    return true;
}

void limit_usage_add(struct limiter *limiter, struct hash128 client, struct str name,
                     struct str route, int64_t wall_us, const struct limit_usage *more)
{
    struct usage_row wanted = {.client = client,
                               .route = hash_sip64(&limiter->seed, route),
                               .hour = (uint32_t)(wall_us / 1000000 / HOUR_S)};
    struct usage_shard *shard = &limiter->usage[client.lo % USAGE_SHARDS];

    pthread_mutex_lock(&shard->lock);
    if (!add_to(shard, &wanted, name, route, more, false)) {
        wanted.client = (struct hash128){0, 0};
        if (!add_to(shard, &wanted, STR("other"), route, more, true))
            shard->lost++; /* no memory for one row: said in the counts */
    }
    pthread_mutex_unlock(&shard->lock);
}

/* ---- reading ---- */

static bool fits(const struct usage_row *row, const struct limit_usage_filter *filter)
{
    int64_t hour_s = (int64_t)row->hour * HOUR_S;

    if (row->hour == 0 || hour_s < filter->from_s || hour_s >= filter->to_s)
        return false;
    return !filter->has_client ||
           (row->client.lo == filter->client.lo && row->client.hi == filter->client.hi);
}

static int by_hour(const void *a, const void *b)
{
    const struct usage_row *one = a, *other = b;
    int names;

    if (one->hour != other->hour)
        return one->hour < other->hour ? -1 : 1;
    names = strcmp(one->names, other->names);
    return names != 0
               ? names
               : strcmp(one->names + one->client_len + 1, other->names + other->client_len + 1);
}

struct gathered {
    struct usage_row *rows; /* owned, with their names */
    size_t count, room;
};

static bool gather_shard(struct gathered *all, const struct usage_shard *shard,
                         const struct limit_usage_filter *filter)
{
    for (uint32_t i = 0; i < shard->room; i++) {
        const struct usage_row *row = &shard->rows[i];
        size_t names;

        if (!fits(row, filter))
            continue;
        if (all->count == all->room) {
            size_t room = all->room > 0 ? all->room * 2 : 64;
            struct usage_row *rows = realloc(all->rows, room * sizeof(*rows));

            if (rows == NULL)
                return false;
            all->rows = rows;
            all->room = room;
        }
        names = row->client_len + 1 + strlen(row->names + row->client_len + 1) + 1;
        all->rows[all->count] = *row;
        all->rows[all->count].names = malloc(names);
        if (all->rows[all->count].names == NULL)
            return false;
        memcpy(all->rows[all->count++].names, row->names, names);
    }
    return true;
}

bool limit_usage_each(struct limiter *limiter, const struct limit_usage_filter *filter,
                      limit_usage_fn *fn, void *arg)
{
    struct gathered all = {NULL, 0, 0};
    bool ok = true, goes_on = true;

    for (uint32_t i = 0; i < USAGE_SHARDS && ok; i++) {
        pthread_mutex_lock(&limiter->usage[i].lock);
        ok = gather_shard(&all, &limiter->usage[i], filter);
        pthread_mutex_unlock(&limiter->usage[i].lock);
    }
    if (ok && all.count > 0)
        qsort(all.rows, all.count, sizeof(*all.rows), by_hour);
    for (size_t i = 0; i < all.count; i++) {
        const struct usage_row *row = &all.rows[i];
        struct limit_usage_row shown = {str_at(row->names, row->client_len),
                                        str_of(row->names + row->client_len + 1),
                                        (int64_t)row->hour * HOUR_S, row->usage};

        goes_on = goes_on && ok && fn(arg, &shown);
        free(all.rows[i].names);
    }
    free(all.rows);
    return ok;
}
