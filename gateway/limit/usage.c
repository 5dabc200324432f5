/* usage.c - what each client used, by route and hour: for bills.
 *
 * Rows are exact and whole: a request is counted once, when it has ended, with its bytes and
 * its cost. The number of rows is bounded; at the bound the rows of the oldest hour go, and when
 * every row is of this hour a new client's requests are counted under "other", so that the
 * sums stay true whatever the addresses of a flood. Each row knows how much of it was sent to the
 * store already (usage_flush.c), so what is new since then can be taken without a second table.
 *
 * Any thread; USAGE_SHARDS locks, one held for a look-up. */
#include "limit/usage_priv.h"

#include <stdlib.h>

enum { FIRST_ROWS = 64 };

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

static void count_in(struct usage_shard *shard, const struct usage_row *row)
{
    if (shard->count++ == 0 || row->hour < shard->oldest)
        shard->oldest = row->hour;
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
        count_in(&next, row);
    }
    free(shard->rows);
    shard->rows = next.rows;
    shard->room = room;
    shard->count = next.count;
    shard->oldest = next.oldest;
    return true;
}

/* Makes room for one more row. False: none to be had. At the bound it is asked for every newcomer
 * of a flood, so it looks at no row then. */
static bool make_room(struct usage_shard *shard, uint32_t hour)
{
    if (shard->room == 0)
        return rebuild(shard, FIRST_ROWS, 0);
    if (shard->count < LIMIT_USAGE_ROWS / USAGE_SHARDS)
        return shard->count < shard->room / 2 || rebuild(shard, shard->room * 2, 0);
    return shard->oldest < hour && rebuild(shard, shard->room, shard->oldest + 1);
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

void usage_add(struct limit_usage *to, const struct limit_usage *more)
{
    to->requests += more->requests;
    to->refused += more->refused;
    to->bytes_in += more->bytes_in;
    to->bytes_out += more->bytes_out;
    to->cost += more->cost;
}

/* False: the shard is full. `is_forced`: one more row than the bound is taken. */
static bool add_to(struct usage_shard *shard, struct usage_row *wanted, struct str client,
                   struct str route, const struct limit_usage *more, bool is_forced)
{
    struct usage_row *row = shard->room > 0 ? find(shard, wanted) : NULL;

    if (row == NULL || row->hour == 0) {
        if (!make_room(shard, wanted->hour) && (!is_forced || shard->room == 0))
            return false;
        row = find(shard, wanted);
        if (shard->count + 1 >= shard->room || !name_row(wanted, client, route))
            return false;
        *row = *wanted;
        count_in(shard, row);
    }
    usage_add(&row->usage, more);
    shard->has_news = true;
    return true;
}

void limit_usage_add(struct limiter *limiter, struct hash128 client, struct str name,
                     struct str route, int64_t wall_us, const struct limit_usage *more)
{
    struct usage_row wanted = {.client = client,
                               .route = name_hash(0, route),
                               .hour = (uint32_t)(wall_us / 1000000 / USAGE_HOUR_S)};
    struct usage_shard *shard = &limiter->usage[client.lo % USAGE_SHARDS];

    pthread_mutex_lock(&shard->lock);
    if (!add_to(shard, &wanted, name, route, more, false)) {
        wanted.client = (struct hash128){0, 0};
        if (!add_to(shard, &wanted, STR("other"), route, more, true))
            shard->lost++; /* no memory for one row: said in the counts */
    }
    pthread_mutex_unlock(&shard->lock);
}

/* ---- what was not sent yet ---- */

struct limit_usage usage_news_of(const struct usage_row *row)
{
    return (struct limit_usage){
        .requests = row->usage.requests - row->sent.requests,
        .refused = row->usage.refused - row->sent.refused,
        .bytes_in = row->usage.bytes_in - row->sent.bytes_in,
        .bytes_out = row->usage.bytes_out - row->sent.bytes_out,
        .cost = row->usage.cost - row->sent.cost,
    };
}

/* From *at on; false: `take` has enough. */
static bool take_shard(struct usage_shard *shard, uint32_t *at, usage_take_fn *take, void *arg)
{
    bool is_whole = *at == 0; /* else rows may have moved behind us: another pass finds them */

    for (; shard->has_news && *at < shard->room; (*at)++) {
        struct usage_row *row = &shard->rows[*at];
        struct limit_usage news;

        if (row->hour == 0 || row->usage.requests == row->sent.requests)
            continue;
        news = usage_news_of(row);
        if (!take(arg, row, &news))
            return false;
        row->sent = row->usage;
    }
    shard->has_news = shard->has_news && !is_whole;
    *at = 0;
    return true;
}

void usage_take(struct limiter *limiter, struct usage_place *place, usage_take_fn *take, void *arg)
{
    bool goes_on = true;

    for (; place->shard < USAGE_SHARDS && goes_on; place->shard += goes_on) {
        struct usage_shard *shard = &limiter->usage[place->shard];

        pthread_mutex_lock(&shard->lock);
        goes_on = take_shard(shard, &place->row, take, arg);
        pthread_mutex_unlock(&shard->lock);
    }
    if (goes_on)
        *place = (struct usage_place){0, 0};
}

bool usage_has_news(struct limiter *limiter)
{
    bool has_some = false;

    for (uint32_t i = 0; i < USAGE_SHARDS && !has_some; i++) {
        pthread_mutex_lock(&limiter->usage[i].lock);
        has_some = limiter->usage[i].has_news;
        pthread_mutex_unlock(&limiter->usage[i].lock);
    }
    return has_some;
}
