/* collect_priv.h - bodies that make keys: taken whole, and the pictures in them. */
#ifndef GATEWAY_COLLECT_PRIV_H
#define GATEWAY_COLLECT_PRIV_H
#include "request/request.h"

#define REQUEST_COLLECTED (64u << 20) /* of bodies collected for their keys, each worker */
#define PICTURES_AT_ONCE  2           /* decoded, in the process */
#define PICTURES_MOST     34          /* these, and those that wait for a place */

enum collect_phase {
    COLLECT_NOT,
    COLLECT_TAKES,  /* it comes in */
    COLLECT_WORKS,  /* a thread of the pool reads it */
    COLLECT_WHOLE,  /* it is here, and the key's part is known */
    COLLECT_SPILLED /* too long, or too many at a time: what has come goes first, then the rest */
};

/* A request's place among those that wait for one picture; its own while it waits. */
struct picture_wait {
    struct picture_job *job; /* NULL: it does not wait */
    struct picture_wait *next, **back;
    struct request *request;
};
enum picture_state { PICTURE_NOT_ASKED, PICTURE_ASKED, PICTURE_TOLD };

struct collected {
    enum collect_phase phase;
    struct buf bytes;
    size_t sent, charged;
    struct collect_work *work; /* has the bytes while it is under way */
    struct str key_head;       /* of the key, in the arena: all but the digest */
    char digest[65];           /* SHA-256 of the bytes or the picture, in hex; the key's end */
    struct str key;            /* for cache_key_parts.body; arena */
    struct str picture;        /* in the bytes; ptr NULL: none */
    bool is_alone;             /* nothing else is in the body */
    enum picture_state state;
    struct picture_wait wait;
    enum image_result result;  /* where TOLD */
    struct image_hash hash;    /* of IMAGE_HASHED */
    enum picture_state shared; /* what the store of images has */
    struct picture_read *read; /* it is being asked */
    struct hash128 scope;      /* where it belongs */
    bool is_shared;            /* it had the answer, which is in memory now */
};

/* ---- stage_collect.c ---- */
/* Is this a POST whose answer is kept by its body? */
bool collect_is_for(const struct request *r);
/* Takes bytes of the body; false: they belong in the ring from now on. */
bool collect_take(struct request *r, struct str bytes);
/* What has been collected, once more from the beginning, for the upstream. */
size_t collect_read(struct request *r, char *to, size_t room);
void collect_cancel(struct request *r);  /* the client has left; fine at any time */
void collect_release(struct request *r); /* the memory */

/* ---- picture_part.c ---- */
struct picture_place {
    struct str picture; /* in the body */
    bool is_alone;      /* it is the body, or the only part of a form */
    char others[65];    /* the digest of the form's other parts and of its name, no boundary */
};
/* The one picture of a body of this Content-Type. False: none, or more than one. Pure; any
 * thread. */
bool picture_find(struct str body, struct str type, struct picture_place *place);

/* ---- picture.c ---- */
struct picture_memory;
/* One worker's. */
struct pictures {
    struct picture_job *first, **last; /* in the order in which they came; last NULL: none ever */
    struct picture_memory *memory;     /* what was looked at lately; owned */
    struct picture_store *store;       /* where answers are, too; NULL: nowhere */
    struct deadline again;
};
/* Asks what the collected picture looks like: its state is TOLD now, or will be when the request is
 * woken. False: too many at a time. */
bool picture_ask(struct request *r) MUST_USE;
void picture_cancel(struct request *r); /* fine at any time */
void pictures_end(struct request_context *context);

/* ---- picture_shared.c: answers that other programs have, too ---- */
/* scope: the request's key without the picture. True: it is asked, the walk waits. */
bool picture_shared_ask(struct request *r, const struct cache_key *scope);
/* The answer was stored in memory; entry: it. */
void picture_shared_put(struct request *r, const struct cache_key *scope,
                        const struct cache_entry *entry);

#endif
