/* bus_priv.h - the bus, as its files know it: bus.c (begin, end, publish), read.c (the stream in),
 * beat.c (signs of life, who has applied what). The loop's thread. */
#ifndef GATEWAY_BUS_PRIV_H
#define GATEWAY_BUS_PRIV_H
#include "bus/bus.h"

#include <stdatomic.h>

/* From "ms-number". */
bool place_read(struct str text, struct bus_place *place);
static inline bool place_reached(struct bus_place have, struct bus_place want)
{
    return have.ms > want.ms || (have.ms == want.ms && have.number >= want.number);
}

struct message {
    struct message *next;
    const char *kind;
    size_t len;
    char payload[];
};
struct waiter {
    struct waiter *next;
    bus_told_fn *told;
    void *arg;
    uint64_t until_us;
};
struct bus {
    struct loop *loop;
    struct redis *reader, *writer; /* the reader's commands block */
    char own[17];                  /* this gateway's id: random, hex */
    char stream[96], hash[96];
    redis_change_fn *changed;
    void *changed_arg;
    struct {
        const char *kind;
        bus_fn *fn;
        bus_gap_fn *gap;
        void *arg;
    } kinds[BUS_MAX_KINDS];
    uint32_t kind_count;
    struct bus_follower follower; /* its functions NULL: none */

    /* published by any thread, newest first; taken by the loop */
    struct message *_Atomic inbox;
    _Atomic uint32_t waiting;
    struct post post;
    _Atomic bool is_posted;
    struct message *first, *last; /* not yet in the stream, in order */
    struct redis_call *adding;
    struct bus_place newest; /* of ours in the stream */

    /* read.c */
    struct bus_place read;
    bool has_read, is_checked;   /* checked: `read` is still in the stream */
    struct bus_place past_until; /* what stands up to here was there before us */
    bool was_lost;               /* what stood in the stream before may have been missed */
    struct redis_call *reading;
    struct deadline blind;
    uint64_t blind_since_us;

    /* beat.c */
    struct deadline beat;
    struct redis_call *beating;
    struct waiter *waiters;
    _Atomic uint32_t live;
    bool beats_again;
};
void bus_add_next(struct bus *bus);
void read_on(struct bus *bus); /* begins or goes on to read; the reader is up */
void read_lost(struct bus *bus);
void beat_now(struct bus *bus);
void beat_begin(struct bus *bus);
void beat_end(struct bus *bus);

#endif
