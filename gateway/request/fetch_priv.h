/* fetch_priv.h - what a request holds of its look-up, its fetch and its body.
 *
 * The parts of struct request (request_priv.h) that belong to the steps between the limit and the
 * answer. One worker's thread. */
#ifndef GATEWAY_REQUEST_FETCH_PRIV_H
#define GATEWAY_REQUEST_FETCH_PRIV_H
#include "request/request.h"

enum cache_status {
    CACHE_OFF,
    CACHE_HIT,
    CACHE_MISS,
    CACHE_EXPIRED,
    CACHE_REVALIDATED,
    CACHE_STALE,
    CACHE_UPDATING,
    CACHE_BYPASS,
    CACHE_STATUSES
};

/* What the second level of the cache has said; OVER: it was heard, and is not asked again. */
enum second { SECOND_NOT_ASKED, SECOND_ASKED, SECOND_FOUND, SECOND_NOTHING, SECOND_OVER };

/* The exchange with the upstream; outlives the client when others wait for it. */
struct fetch {
    struct upstream_exchange *exchange;
    struct fill *fill;
    struct flight *lead;
    enum second second;
    struct level_read *read;   /* the second level is being asked */
    struct level_lease *lease; /* other gateways wait for this fetch */
    struct cache_place place;  /* of the purges that were applied when it began: has_place */
    uint64_t started_us, stamp;
    uint32_t purges; /* made by this request */
    int64_t sent_wall_s;
    bool is_on, is_done, has_place; /* started; ended; place is known */
    bool starts_over;               /* it is to be sent once more, for the whole */
    bool is_refresh;  /* of an entry that was served meanwhile: without a client from the start */
    bool is_answered; /* the client's answer is known (head, entry or error) */
    struct str target_name;
    uint32_t attempts;
    uint64_t first_byte_us;
    enum upstream_kind kind;
    uint32_t retry_after_s;
    const char *reason;
};

/* One try of an exchange: tries.c */
enum { REQUEST_TRIES = 8 /* more are left out */ };
struct request_try {
    uint64_t span;                 /* of a traced request */
    uint64_t started_us, ended_us; /* ended 0: it has not, or was given up */
    const struct target_config *target;
    uint32_t number;
    enum upstream_kind kind;
    int status;
};

/* What is known of the cache's part. */
struct lookup {
    enum cache_status status;
    bool is_keyed;     /* key is built: the answer may be stored */
    bool is_alone;     /* never collapse */
    bool is_posted;    /* a POST's answer, which a GET may have */
    bool is_by_body;   /* a POST's answer, kept for the same body */
    bool is_near;      /* the entry is of a picture like it, */
    uint32_t distance; /* so many bits away */
    const char *match; /* X-Cache-Match: what of the body was the same; NULL: nothing to say */
    bool vary_missed, collapsed, stored, is_following;
    bool validates; /* the fetch carries the entry's validators: a 304 speaks of the entry */
    struct cache_key key;
    struct cache_entry *entry; /* held; to validate, or served */
    struct cache_entry *part;  /* held; to complete, or to join with what comes */
    bool completes;            /* the rest of part is asked for */
    bool joins;                /* the part that comes is put to it */
    struct cache_key part_key;
    struct http_verdict part_verdict;
    uint64_t part_response_us;
    struct http_cache_control wants;
    const char *fwd, *detail;
    int fwd_status;
    uint32_t tries;
    struct flight_wait wait;
    enum flight_outcome outcome;
};

/* The answer's content coding, where it is ours to choose: reply_coding.c. */
struct coding {
    bool is_negotiated; /* the answer depends on Accept-Encoding */
    bool is_wanted;     /* it is sent coded */
    enum codec_kind kind;
    struct str whole;    /* the coded body, when it is all there */
    struct codec *codec; /* a stream's; NULL: none */
    char *input;
    struct str in; /* not yet taken */
    enum codec_step step;
    bool is_dirty, is_over; /* bytes may be inside; the end is out */
};

struct body_buffer {
    char *bytes; /* ring of REQUEST_BODY_ROOM, made at first use */
    size_t start, len;
    uint64_t received;
    bool ended, reader_waits, writer_waits, discards;
};

#endif
