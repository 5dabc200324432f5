/* bus.h - what one gateway tells all others: small messages over one Redis stream.
 *
 * Every gateway reads the stream `<prefix>events`; one that was away reads on from where it
 * was, so nothing is missed. When its place is gone (trimmed, or the data was lost), or while it
 * has been cut off for longer than BUS_BLIND_MS, it says so, and its subscribers must then
 * believe nothing older. Each gateway tells how far it is in the hash `<prefix>gateways`: so a
 * message can be waited for, and how many gateways live is known.
 *
 * A kind of message is a word ("purge"); its payload is the subscriber's. The sender does
 * not get its own. Threads: the loop's, but for bus_publish() and bus_live(). */
#ifndef GATEWAY_BUS_H
#define GATEWAY_BUS_H
#include "base/base.h"
#include "loop/loop.h"
#include "redis/redis.h"

#define BUS_MAX_KINDS   8
#define BUS_MAX_PAYLOAD 8192
#define BUS_MAX_WAITING 4096 /* messages that wait for the store to come back */
#define BUS_BLIND_MS    30000
#define BUS_ACK_MS      250

struct bus;
struct bus_options {
    struct redis_url url;
    struct str prefix; /* copied */
    struct sheet *sheet;
    redis_change_fn *changed; /* of the store as this bus sees it; may be NULL */
    void *arg;
};
/* NULL: out of memory. Nothing waits for the store. */
struct bus *bus_new(struct loop *loop, const struct bus_options *options) MUST_USE;
void bus_free(struct bus **bus);

typedef void bus_fn(void *arg, struct str payload);
/* Messages may have been missed (is_lost), or are being missed now because the store is away, said
 * again each BUS_BLIND_MS. */
typedef void bus_gap_fn(void *arg, bool is_lost);
/* `kind` is static; at most BUS_MAX_KINDS. gap may be NULL. Before the loop runs. */
void bus_subscribe(struct bus *bus, const char *kind, bus_fn *fn, bus_gap_fn *gap, void *arg);

/* A place in the stream; a later message has a greater one. */
struct bus_place {
    uint64_t ms, number;
};
/* For who keeps account of places: told of every message, our own too. One of them; from the loop.
 * A newcomer is told of the last thousand messages, which no subscriber hears. */
enum bus_origin { BUS_OTHERS, BUS_OWN, BUS_PAST };
struct bus_follower {
    /* What stands behind `at` will come; the stream ends at `end` now. was_lost: what stood before
     * may have been missed. */
    void (*begins)(void *arg, const struct bus_place *at, const struct bus_place *end,
                   bool was_lost);
    /* OTHERS: before its subscriber hears of it */
    void (*comes)(void *arg, const struct bus_place *at, const char *kind, enum bus_origin origin,
                  struct str payload);
    void (*heard)(void *arg, const struct bus_place *at); /* all up to here came; each 2 s, too */
    void (*stops)(void *arg);                             /* until heard() nothing is known */
    void *arg;
};
/* Copied; before the loop runs. */
void bus_follow(struct bus *bus, const struct bus_follower *follower);

/* Any thread. The payload is copied; kind is static. While the store is away it waits its turn.
 * False: no memory, too long, or too many wait: it will not be sent. */
bool bus_publish(struct bus *bus, const char *kind, struct str payload);
/* `known` gateways live (this one included), `applied` of them have read the message. */
typedef void bus_told_fn(void *arg, uint32_t known, uint32_t applied);
/* The same from the loop's own thread; `told` once, when all have applied what was published until
 * now, or after BUS_ACK_MS with what is known then. False: no memory; never called. */
bool bus_wait(struct bus *bus, bus_told_fn *told, void *arg) MUST_USE;

/* Gateways that gave a sign of life within three seconds, this one included; at least 1. Any
 * thread. */
uint32_t bus_live(const struct bus *bus);
/* The client that the bus writes with: for single commands of the main thread. */
struct redis *bus_redis(struct bus *bus);

#endif
