/* redis_priv.h - the room's parts as they know each other.
 *
 *   redis.c     the client: takes commands, finds their connection, gives answers
 *   link.c      one connection: connects, greets, ends
 *   link_io.c   of one connection: writes once a turn, reads
 *   tls.c       of one connection: records around its bytes (the only file that knows OpenSSL)
 *   greet.c     of one connection: its first words
 *   health.c    of one connection: when to stop asking it, when to trust it again
 *   call.c      calls: pooled, with deadline, resendable
 *   answer.c    what an error reply means, and what is sent again
 *   sentinel.c  who is the master      cluster.c  which node has a slot
 *   reader.c    bytes to replies (the only file that includes hiredis)
 *   encode.c    words to bytes
 *
 * One thread: the loop's. */
#ifndef GATEWAY_REDIS_PRIV_H
#define GATEWAY_REDIS_PRIV_H
#include "redis/redis.h"

/* As the configuration promises: TLS where hiredis has it (Debian 13), although tls.c needs OpenSSL
 * alone. -DREDIS_HAS_TLS=1 has it elsewhere too. */
#ifndef REDIS_HAS_TLS
#if __has_include(<hiredis/hiredis_ssl.h>)
#define REDIS_HAS_TLS 1
#else
#define REDIS_HAS_TLS 0
#endif
#endif

#define REDIS_SLOTS       16384
#define REDIS_MAX_LINKS   64
#define REDIS_NO_LINK     UINT8_MAX
#define REDIS_MAX_TRIES   4 /* of one call: redirections and scripts sent again */
#define REDIS_KEPT_CALLS  256
#define REDIS_SMALL_COPY  16384
#define REDIS_MAX_ITEMS   (1 << 20)
#define REDIS_MAX_COMMAND (64 * 1024 * 1024)

/* ---- encode.c ---- */
bool encode_words(struct buf *out, const char *verb, const struct redis_command *command);
/* A command of constant words, ended by NULL. */
bool encode_text(struct buf *out, const char *const *words);

/* ---- reader.c ---- */
struct reader;
struct reader *reader_new(size_t max_reply_bytes) MUST_USE;
void reader_free(struct reader **reader);
enum reader_result { READER_REPLY, READER_MORE, READER_BROKEN };
/* False: no memory, or more than one reply may have. */
bool reader_feed(struct reader *reader, const char *bytes, size_t len) MUST_USE;
/* The next whole reply, borrowed until the next call. */
enum reader_result reader_next(struct reader *reader, const struct redis_reply **reply);
enum redis_outcome error_outcome(struct str text);
/* True: it was a message of a channel, and is dealt with. The client may be over then. */
bool message_take(const struct redis *redis, const struct redis_reply *reply);
/* "MOVED 3999 host:port" and "ASK …"; an empty host, or "?": the one that was asked. */
bool redirection_parse(struct str text, bool *is_ask, uint32_t *slot, struct redis_place *place);

/* ---- url.c ---- */
/* "host:port", "[v6]:port", "v6:port" as Redis writes it: the last colon counts. */
bool place_parse(struct str text, uint16_t default_port, struct redis_place *place);
bool place_eq(const struct redis_place *a, const struct redis_place *b);

/* ---- tls.c ---- */
enum { TLS_WHY_BYTES = 128 };
struct tls;       /* one connection's */
struct tls_files; /* what was read for it */
struct tls_files *tls_files_new(const struct redis_url *url, struct fail *why) MUST_USE;
void tls_files_free(struct tls_files **files);
/* `host` is what the certificate must be for. NULL: no memory. */
struct tls *tls_new(struct tls_files *files, const char *host) MUST_USE;
void tls_free(struct tls **tls);
enum tls_state { TLS_READY, TLS_WANTS_MORE, TLS_BROKEN };
bool tls_feed(struct tls *tls, const char *bytes, size_t len) MUST_USE; /* from the socket */
/* Goes on with the handshake; why is written when it is broken. */
enum tls_state tls_shake(struct tls *tls, char why[TLS_WHY_BYTES]);
/* Plain bytes out of what was fed: READY with *len of them. */
enum tls_state tls_open(struct tls *tls, char *to, size_t room, size_t *len,
                        char why[TLS_WHY_BYTES]);
bool tls_seal(struct tls *tls, struct str plain) MUST_USE;
struct str tls_sealed(struct tls *tls); /* for the socket, borrowed until the next call */
void tls_sent(struct tls *tls, size_t len);

/* ---- link.c ---- */
enum link_role { LINK_DATA, LINK_SENTINEL };
enum { LINK_ADDRESSES = 8 };
enum link_state {
    LINK_DOWN,
    LINK_RESOLVING,
    LINK_CONNECTING,
    LINK_SECURING, /* TLS' handshake */
    LINK_GREETING,
    LINK_UP
};
struct redis_link {
    struct redis *redis;
    enum link_role role;
    struct redis_place place;
    enum link_state state;
    bool is_open; /* in use; a closed one keeps its number for the next */
    bool is_seen; /* by the newest map of the Cluster */
    int fd;
    struct watch *watch;
    struct resolution *resolution;
    struct socket_address addresses[LINK_ADDRESSES];
    uint32_t address_count, address; /* address: the one that is tried next */
    struct reader *reader;
    struct tls *tls; /* NULL: none */
    struct buf out;  /* goes out at the end of the turn */
    struct buf held; /* commands that wait for the greeting's end */
    struct redis_call *first, *last, *held_first, *held_last; /* in the order of their replies */
    uint32_t greetings;                 /* replies of the greeting still to come */
    const struct redis_script *sourced; /* the last whose source was sent */
    bool is_flush_asked;
    struct turn_end flush;
    struct deadline timer; /* DOWN: try again; connecting: give up; UP: stall or probe */
    uint32_t failures;     /* in a row: the pause grows with them */
    char why[160];
    const char *doom; /* why it is to be dropped, as soon as nothing of it is in use */
    /* health.c */
    uint32_t misses, probes_passed, trips, asked, missed; /* the last two since span_began_us */
    bool is_tripped, is_probing;
    uint64_t span_began_us, probe_at_us, probe_span_us;
};
/* Opens a link (zeroed, or released before) and begins to connect. */
void link_open(struct redis *redis, struct redis_link *link, const struct redis_place *place,
               enum link_role role);
/* Silent and without a socket; its memory stays until link_release(). */
void link_silence(struct redis_link *link);
void link_release(struct redis_link *link);
/* Ends the connection as soon as nothing of it is in use: all its calls are LOST. It tries again
 * after a pause, unless it is no longer open. `why` is static. */
void link_doom(struct redis_link *link, const char *why);
void link_end(struct redis_link *link);    /* at once: no callback of it may be on the stack */
void link_secure(struct redis_link *link); /* goes on with TLS, then greets */
void link_retarget(struct redis_link *link, const struct redis_place *place);
void link_try_now(struct redis_link *link);
/* The timer; without memory the next event finds what is due. */
void link_arm(struct redis_link *link, uint64_t at_us);
void link_say_why(struct redis_link *link, const char *format, ...) PRINTF_LIKE(2, 3);
/* Looks at the connection at `at_us` at the latest. */
void link_wake(struct redis_link *link, uint64_t at_us);

/* ---- link_io.c ---- */
void link_ask_flush(struct redis_link *link); /* sends `out` at the end of the turn */
void link_read(struct redis_link *link);
/* May a new command use it? */
bool link_takes(const struct redis_link *link);
/* Appends `bytes` and the call that waits for their reply. False: over the ceiling. */
bool link_write(struct redis_link *link, struct redis_call *call, struct str bytes) MUST_USE;

/* ---- greet.c ---- */
bool greeting_write(struct redis_link *link); /* into `out`; false: no memory */
void greeting_take(struct redis_link *link, const struct redis_reply *reply);

/* ---- health.c ---- */
/* A call was not answered within span_us, or was. */
void health_missed(struct redis_link *link, uint64_t span_us);
void health_answered(struct redis_link *link);
void health_reset(struct redis_link *link);
void health_look(struct redis_link *link, uint64_t now_us); /* probes, when it is time */
/* When to look again; UINT64_MAX: no need. */
uint64_t health_next_us(const struct redis_link *link);

/* ---- call.c ---- */
struct redis_call {
    struct redis_call *next;
    struct redis *redis;
    struct redis_link *link; /* NULL: not on a connection */
    redis_reply_fn *fn;
    void *arg;
    redis_late_fn *late;
    void *late_arg;
    uint8_t note[REDIS_NOTE_BYTES];
    struct deadline deadline;
    uint64_t sent_us;
    const struct redis_script *script;
    struct buf copy;    /* the bytes sent, while they may be needed again */
    bool is_waited_for; /* fn is still to be called, or the deadline to be counted */
    bool is_internal;   /* ours: not counted */
    bool is_counted;    /* in the queue's gauge */
    bool is_asking;     /* an ASK has sent it where it is: each try follows an ASKING */
    uint8_t tries;
};
struct redis_call *call_new(struct redis *redis) MUST_USE;
void call_recycle(struct redis_call *call);
/* Ends a call that has left its connection's list. */
void call_end(struct redis_call *call, enum redis_outcome outcome, const struct redis_reply *reply);
/* A command of our own on a connection: words ended by NULL. */
bool call_internal(struct redis_link *link, const char *const *words, uint64_t deadline_us,
                   redis_reply_fn *fn, void *arg);

/* ---- answer.c ---- */
void answer_call(struct redis_link *link, struct redis_call *call, const struct redis_reply *reply);

/* ---- sentinel.c, cluster.c ---- */
struct sentinel {
    struct redis_link link;
    uint32_t place; /* the one that is asked */
    struct deadline timer;
};
struct cluster {
    uint8_t slots[REDIS_SLOTS]; /* number of the link, or REDIS_NO_LINK */
    bool has_map, is_asking;
    uint64_t asked_us;
    struct deadline timer;
};
bool sentinel_start(struct redis *redis) MUST_USE;
void sentinel_stop(struct redis *redis);
void sentinel_link_changed(struct redis *redis);
bool cluster_start(struct redis *redis) MUST_USE;
void cluster_stop(struct redis *redis);
void cluster_link_changed(struct redis *redis, struct redis_link *link);
void cluster_ask_soon(struct redis *redis);
struct redis_link *cluster_link_for(struct redis *redis, struct str key);
/* The link of a redirection, made if need be; NULL: no room. */
struct redis_link *cluster_link_at(struct redis *redis, const struct redis_place *place);
/* Reads the reply of CLUSTER SLOTS: calls `range` for each. False: it is none. */
typedef void slot_range_fn(void *arg, uint32_t first, uint32_t last,
                           const struct redis_place *place);
bool cluster_read_slots(const struct redis_reply *reply, const struct redis_place *asked,
                        slot_range_fn *range, void *arg);

/* ---- redis.c ---- */
struct redis {
    struct loop *loop;
    struct redis_options options;
    struct redis_link *links; /* REDIS_MAX_LINKS of a Cluster, else one */
    uint32_t link_count;
    struct sentinel *sentinel;
    struct cluster *cluster;
    struct tls_files *tls_files; /* NULL: no TLS */
    struct redis_call *spare;
    uint32_t spare_count, calls, counted; /* the last in the gauge */
    bool is_up, is_away, is_ended;
    char why[160];
    struct turn_end end;
    struct cell *queue_cell, *duration_cell, *away_cell, *away_kind_cell;
    struct cell *outcome_cells[REDIS_OUTCOMES], *kind_cells[REDIS_OUTCOMES];
};
void redis_link_changed(struct redis_link *link);

#endif
