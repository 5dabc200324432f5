/* usage_priv.h - rows of usage, as the files know them that count (usage.c), list (usage_list.c),
 * and share them through the store (usage_flush.c, usage_read.c).
 *
 * A row is counted in place by any worker; the main thread takes what is new in it, and lists
 * rows of this gateway beside those of the store. */
#ifndef GATEWAY_LIMIT_USAGE_PRIV_H
#define GATEWAY_LIMIT_USAGE_PRIV_H
#include "limit/limit_priv.h"

enum { USAGE_HOUR_S = 3600 };

struct usage_row {
    struct hash128 client;
    uint64_t route; /* hash of its name */
    uint32_t hour;  /* since 1970; 0: empty */
    uint32_t client_len;
    char *names; /* owned: the client's, then the route's, each with a NUL */
    struct limit_usage usage, sent;
};

/* ---- usage.c ---- */
void usage_add(struct limit_usage *to, const struct limit_usage *more);
/* Grew since it was sent. */
struct limit_usage usage_news_of(const struct usage_row *row);
/* Called with the row's lock held: be quick. False: enough, this row stays as it is. */
typedef bool usage_take_fn(void *arg, const struct usage_row *row, const struct limit_usage *news);
struct usage_place {
    uint32_t shard, row;
};
/* Takes what is new of each row, and counts it as sent. Where `take` had enough, *place says where
 * to go on; after the last row it is back at 0, 0. */
void usage_take(struct limiter *limiter, struct usage_place *place, usage_take_fn *take, void *arg);
bool usage_has_news(struct limiter *limiter);

/* ---- usage_list.c ---- */
struct usage_item {
    struct hash128 client;
    uint32_t hour, client_len;
    bool is_ours; /* all of these are added up; of the store's the largest counts */
    char *names;  /* owned */
    struct limit_usage usage;
};
struct usage_list {
    struct usage_item *items; /* owned */
    size_t count, room;
};
enum { USAGE_LIST_MOST = 500000 };
/* Copies names. False: out of memory, or too many. */
bool usage_list_add(struct usage_list *list, const struct usage_item *item) MUST_USE;
/* The limiter's own rows that fit: whole, or what was not sent of them. */
bool usage_list_gather(struct usage_list *list, struct limiter *limiter,
                       const struct limit_usage_filter *filter, bool only_news) MUST_USE;
/* By hour, client and route; items of the same three are one row. */
void usage_list_each(struct usage_list *list, limit_usage_fn *fn, void *arg);
void usage_list_free(struct usage_list *list);

#endif
