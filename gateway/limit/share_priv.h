/* share_priv.h - what gateways share beside counters, as its files know it: share.c (begin, end,
 * tier overrides), usage_flush.c (usage out), usage_read.c (usage of all gateways in).
 *
 * The main thread's loop and nobody else's. */
#ifndef GATEWAY_LIMIT_SHARE_PRIV_H
#define GATEWAY_LIMIT_SHARE_PRIV_H
#include "limit/usage_priv.h"
#include "loop/loop.h"
#include "redis/redis.h"

enum {
    SHARE_KEY_MOST = 160,
    SHARE_NAME_DIGITS = 32,
    SHARE_OVERRIDES_WAIT = 1024, /* that the store has not got yet */
    SHARE_ROWS = 400,            /* of usage in one call */
    SHARE_READERS = 4,
    USAGE_PACKED_BYTES = 5 * 8
};
#define SHARE_WAIT_US  1000000 /* for one answer */
#define SHARE_EVERY_US 1000000 /* usage goes out */

struct share_override {
    struct hash128 client;
    uint64_t until_us; /* monotonic; UINT64_MAX: no end */
    char tier[LIMIT_TIER_MAX];
};
struct usage_reader;
struct limit_share {
    struct loop *loop;
    struct limiter *limiter;
    struct redis *redis;
    limit_news_fn *tell;
    void *tell_arg;

    /* overrides */
    struct redis_script put, get;
    char overrides_key[SHARE_KEY_MOST];
    struct share_override *waiting; /* owned; a ring */
    uint32_t first, waiting_count;
    bool is_putting, wants_all;
    struct deadline retry;

    /* usage out */
    struct redis_script add;
    char seq_key[SHARE_KEY_MOST], hours_key[SHARE_KEY_MOST], rows_key[SHARE_KEY_MOST];
    char hour_key[SHARE_KEY_MOST]; /* what an hour's number is put behind */
    struct deadline tick;
    struct usage_place place;
    struct buf text; /* words of the call under way, kept until it is known to be counted */
    struct {
        uint32_t at, len;
    } words[3 * SHARE_ROWS];
    uint32_t rows;
    uint64_t seq;
    bool is_adding, has_failed;

    /* usage in */
    struct usage_reader *readers;
    uint32_t reader_count;
};

/* 32 hex digits and a NUL; and back. */
void share_name_write(struct hash128 client, char text[SHARE_NAME_DIGITS + 1]);
bool share_name_read(struct str text, struct hash128 *client);

/* ---- usage_flush.c ---- */
void flush_init(struct limit_share *share);
/* Brings more, if it can be now; nothing while somebody reads. */
void flush_go(struct limit_share *share);
void flush_end(struct limit_share *share);

/* ---- usage_read.c ---- */
/* The flush before them is over: counted, or not. */
void readers_go(struct limit_share *share, bool is_counted);
void readers_end(struct limit_share *share);

#endif
