/* redis.h - commands to a Redis, from one loop, each answered or given up in time.
 *
 * A client speaks to one place: a server, the master that Sentinels name, or a Cluster. It
 * connects by itself and again after a loss, with growing jittered pauses. While the place is
 * away redis_send() takes nothing and says so at once, so that the caller can do without:
 * there is no queue of hopes. All commands of a loop turn leave in one write.
 *
 * How to use it:
 *   one client for each worker and role, so that a megabyte of a cached body never stands in
 *   front of a limit's decision; blocking commands (XREAD BLOCK) need a client of their own;
 *   every key of one command or script carries the same {hash tag}, else a Cluster refuses it;
 *   a decision is one script through `script`, never several commands.
 *
 * RESP2 only: hiredis 0.14 ends a connection on any byte of RESP3.
 * Threads: a client belongs to its loop's thread. No call blocks; names are resolved off the
 * loop. Callbacks come from the loop, never from inside the call that asked. */
#ifndef GATEWAY_REDIS_H
#define GATEWAY_REDIS_H
#include "base/base.h"
#include "config/config.h"
#include "loop/loop.h"
#include "metrics/metrics.h"

/* ---- where ---- */
#define REDIS_MAX_PLACES     16
#define REDIS_MAX_HOST_BYTES 255
#define REDIS_MAX_FILE       255
enum redis_kind { REDIS_SERVER, REDIS_SENTINEL, REDIS_CLUSTER };
struct redis_place {
    char host[REDIS_MAX_HOST_BYTES + 1]; /* name, address without brackets, or the socket's path */
    uint16_t port;                       /* 0: a unix socket */
};
struct redis_url {
    enum redis_kind kind;
    struct redis_place places[REDIS_MAX_PLACES]; /* one server, Sentinels, or seeds */
    uint32_t place_count;
    char user[128], password[512]; /* empty: none; percent-decoded */
    char master[128];              /* of Sentinel */
    uint32_t database;
    bool is_tls;
    char ca[REDIS_MAX_FILE + 1], cert[REDIS_MAX_FILE + 1], key[REDIS_MAX_FILE + 1]; /* of TLS */
};
/* redis://[user:password@]host[:port][/db], redis:///path or redis+unix:///path[?db=N],
 * redis+sentinel://[user:password@]h1[:26379],h2/master[/db], redis+cluster://h1,h2[:6379]; with
 * TLS rediss://, rediss+sentinel:// and rediss+cluster://, which are refused where hiredis has no
 * TLS. Wants a whole URL; the reason never holds the password. */
bool redis_url_parse(struct str text, struct redis_url *url, struct fail *why) MUST_USE;
/* Where the configuration has what plays `role`, with the files of store.tls. "memory:" is no
 * place. */
bool redis_url_for(const struct config *config, enum store_role role, struct redis_url *url,
                   struct fail *why) MUST_USE;
/* Says what is wrong with store.url, store.tls and store.roles. Reads the files of TLS. */
void redis_check(const struct config *config, struct faults *faults);

/* ---- a client ---- */
struct redis;
/* The place became usable, or ceased to be, for the reason `why` (empty when usable). */
typedef void redis_change_fn(void *arg, bool is_up, struct str why);
/* A message of a channel. Both are borrowed until it returns. */
typedef void redis_message_fn(void *arg, struct str channel, struct str text);
struct redis_options {
    struct redis_url url;     /* copied */
    const char *name;         /* for CLIENT SETNAME: "gateway-limit"; no blanks; static */
    struct sheet *sheet;      /* of this thread, for store_… metrics; NULL: nothing is counted */
    uint32_t max_calls;       /* on their way at most; 0: 4096 */
    size_t max_out_bytes;     /* written but not yet sent, for each connection; 0: 4 MiB */
    size_t max_reply_bytes;   /* of one reply; more ends the connection; 0: 8 MiB */
    int64_t connect_ms;       /* for connecting and greeting; 0: 1000 */
    int64_t stall_ms;         /* a connection that owes a reply this long is ended; 0: 1000. More
                                 than the longest BLOCK. */
    redis_change_fn *changed; /* may be NULL */
    /* Of a Cluster: one of its nodes may be usable again, while others were all along; or NULL. */
    void (*node_back)(void *arg);
    /* Of a client that only ever sends SUBSCRIBE and UNSUBSCRIBE, one channel each (the
     * confirmation is the reply); channels are to be subscribed to again whenever the place became
     * usable. NULL: messages are a fault. */
    redis_message_fn *message;
    void *arg;
};
/* Begins to connect; reports through `changed`. NULL: out of memory. */
struct redis *redis_new(struct loop *loop, const struct redis_options *options) MUST_USE;
/* Ends it; calls on their way end unanswered and silent. Clears the pointer; NULL is fine. May be
 * called from a callback of this client. */
void redis_free(struct redis **redis);
bool redis_is_up(const struct redis *redis);
/* It was tried and cannot be reached; false too while that is not known yet, and while a server
 * that is there still loads its data. */
bool redis_is_away(const struct redis *redis);
/* Why it is away, for people, without secrets; "" while it is up. */
const char *redis_why(const struct redis *redis);
/* Calls on their way now. */
uint32_t redis_queue(const struct redis *redis);

/* ---- commands ---- */
enum redis_outcome {
    REDIS_OK,         /* the reply is there, and is no error */
    REDIS_LATE,       /* the deadline passed; it may have been executed, or may still be */
    REDIS_LOST,       /* the connection ended first; it may have been executed */
    REDIS_NOT_READY,  /* LOADING, BUSY, MASTERDOWN, CLUSTERDOWN, TRYAGAIN: not executed */
    REDIS_READONLY,   /* a replica: not executed; the master is being looked for */
    REDIS_NO_MEMORY,  /* OOM: not executed */
    REDIS_DENIED,     /* NOAUTH, WRONGPASS, NOPERM: not executed */
    REDIS_WRONG_TYPE, /* something else is under that key */
    REDIS_REFUSED,    /* any other error reply; a script may have failed half way */
    REDIS_OUTCOMES
};
const char *redis_outcome_word(enum redis_outcome outcome); /* "ok", "late": labels, log lines */

enum redis_form { REDIS_NIL, REDIS_INTEGER, REDIS_STRING, REDIS_STATUS, REDIS_FAULT, REDIS_ARRAY };
struct redis_reply {
    enum redis_form form;
    int64_t integer;
    struct str text;            /* STRING, STATUS, FAULT: any bytes */
    struct redis_reply **items; /* ARRAY: count of them, none NULL */
    size_t count;
};
/* Item `index` when the reply is an array that has it, else NULL. Replies are input: look at
 * `form` before believing. */
const struct redis_reply *redis_item(const struct redis_reply *reply, size_t index);

/* reply is borrowed until the function returns; NULL for LATE and LOST. */
typedef void redis_reply_fn(void *arg, enum redis_outcome outcome, const struct redis_reply *reply);
/* A reply that came after LATE was said or the call was cancelled, or NULL and LOST when none comes
 * any more; note is a copy of the command's. Once, unless the client ends first. `arg` is the
 * command's late_arg, which must live as long as the client. */
#define REDIS_NOTE_BYTES 32
typedef void redis_late_fn(void *arg, const uint8_t note[REDIS_NOTE_BYTES],
                           enum redis_outcome outcome, const struct redis_reply *reply);

/* Lua source by its SHA-1. Make it once, share it between clients and threads, never change it. */
struct redis_script {
    struct str source; /* borrowed for ever */
    char sha1[41];
};
void redis_script_init(struct redis_script *script, struct str source);

#define REDIS_MAX_ARGS 4096
struct redis_command {
    /* Words, copied. With `script`: number of keys, keys, arguments. */
    const struct str *words;
    size_t count;                      /* 1..REDIS_MAX_ARGS */
    const struct redis_script *script; /* sent by hash; by source once where it is unknown */
    struct str key;                    /* decides the node of a Cluster; STR_NONE: any node */
    uint64_t deadline_us;              /* loop_now_us() scale; 0: none but stall_ms */
    redis_reply_fn *fn;                /* once, unless cancelled; NULL: nobody asks */
    void *arg;
    redis_late_fn *late; /* may be NULL */
    void *late_arg;
    uint8_t note[REDIS_NOTE_BYTES];
};
struct redis_call;
/* Sends it at the end of this turn. The call lives until fn was called. NULL, and no callback
 * at all, when it cannot be sent now: the place is away, too much is on its way, or no memory. */
struct redis_call *redis_send(struct redis *redis, const struct redis_command *command);
/* Ends *call unanswered and clears the pointer; the command itself goes on. NULL is fine. */
void redis_cancel(struct redis_call **call);

/* The hash slot of a key, 0..16383: CRC16 of what stands between the first { and the next },
 * if that is not empty, else of all. */
uint32_t redis_slot(struct str key);

#endif
