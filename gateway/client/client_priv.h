/* client_priv.h - what the files of client/ know of each other.
 *
 * door.c        which of the two serves a request; what both have in common
 * client.c      the multi handle, its timer, its turn: the only caller of what may call back
 * connection.c  libcurl's sockets on our loop, and which of them are idle
 * guard.c       looks at a connection before a request goes to it
 * exchange.c    start, resume, cancel; the exchange's life
 * transfer.c    libcurl's callbacks for head and body, and what the end of a transfer means
 * options.c     a request as options of an easy handle
 * answer.c      the lines of an answer's head, apart from libcurl
 * h1*.c         HTTP/1.1 without libcurl's reading and writing of it (h1_priv.h)
 *
 * Thread: one client belongs to one worker. */
#ifndef GATEWAY_CLIENT_PRIV_H
#define GATEWAY_CLIENT_PRIV_H
#include "client/answer_priv.h"
#include "client/client.h"

#include <curl/curl.h>

enum {
    CONNECTION_TEXT = 46, /* an IPv6 address */
    CONNECTION_BUCKETS = 1024,
    OPTIONS_URL_ROOM = 320 /* scheme, a name of 253, port */
};

enum connection_state {
    CONNECTION_OPENING, /* from socket() until the first request goes to it */
    CONNECTION_BUSY,
    CONNECTION_IDLE,
    CONNECTION_DIRTY,  /* idle, and spoke or closed unasked: never to be used again */
    CONNECTION_FOREIGN /* an fd of libcurl's own, not a connection: the resolver's */
};
/* An fd that libcurl has told us of. Lives until libcurl closes it. */
struct connection {
    struct client *client;
    struct watch *watch;            /* NULL until libcurl asks for one */
    struct curl_exchange *exchange; /* BUSY: whose, and by next_sharing of all that share it;
                                       OPENING: who opened it, NULL when that is gone */
    struct connection *next_opened; /* of that exchange */
    struct connection *next_in_bucket;
    struct connection *newer, *older; /* IDLE: in the order of use */
    uint64_t idle_since_us;
    int fd;
    bool is_http2; /* idle, it may be spoken to: settings, pings, a goodbye */
    enum connection_state state;
    uint16_t local_port, peer_port; /* 0 until the first request */
    char peer[CONNECTION_TEXT], local[CONNECTION_TEXT];
};

/* What both kinds of an exchange begin with; the pointer that callers hold. */
struct client_exchange {
    struct client *client;
    struct client_exchange *next_deferred;
    struct client_times times;
    bool is_h1;
    bool is_deferred;
};

enum exchange_state {
    EXCHANGE_NEW, /* waits to be given to libcurl */
    EXCHANGE_RUNNING,
    EXCHANGE_CANCELLED, /* silent; waits to be taken from libcurl */
    EXCHANGE_ENDED      /* done() was called or is being called */
};
struct curl_exchange {
    struct client_exchange base;
    struct curl_exchange *next;           /* in the free list */
    struct curl_exchange *after, *before; /* in the list of all */
    CURL *easy;
    const struct client_handler *handler;
    void *arg;
    /* Only a connection is wanted: called when it is there, and then it is the caller's until
     * exchange_cancel(). NULL: an exchange of HTTP. */
    void (*connected)(void *arg);
    enum exchange_state state;
    bool is_in_multi;
    bool wants_answer, wants_body; /* resumed, not yet told libcurl */
    bool is_https, is_plain_easy;  /* the easy handle holds the plain options only */
    int paused;                    /* CURLPAUSE_* that a callback asked for */
    uint32_t sends;                /* times libcurl was about to send this request */
    bool has_verdict;              /* decided here, whatever libcurl says */
    enum client_outcome outcome;
    const char *reason;
    struct connection *opened; /* not used by a request yet */
    struct connection *connection;
    struct curl_exchange *next_sharing; /* its connection */
    bool wants_http2;
    enum client_body body;
    bool ended_well;     /* libcurl said so */
    uint64_t body_left;  /* CLIENT_BODY_SIZED */
    struct arena *arena; /* the answer's */
    struct answer answer;
    char *block; /* the request's text and header list; kept for the next */
    size_t block_room;
    char url[OPTIONS_URL_ROOM]; /* as the easy handle has it */
    char error[CURL_ERROR_SIZE];
};

struct client {
    struct loop *loop;
    struct client_options options;
    CURLM *multi;
    struct deadline timer, sweep, wake;
    bool is_timer_due, has_ends; /* libcurl wants a call now; some transfer may have ended */
    bool has_called_back;        /* since the turn's hooks ran */
    struct turn_hook at_client, at_deferred;
    struct turn_end kick;
    bool is_kicked, is_kicking;
    struct curl_exchange *all, *spare;
    struct client_exchange *deferred, **deferred_tail;
    struct h1 *h1; /* what h1*.c keep */
    uint32_t spares, running;
    bool speaks_http2;
    uint64_t authorities_since_us; /* none that was read before is believed; 0: any */
    long pool_size;                /* as libcurl was told */
    struct connection **by_fd;
    size_t fd_room;
    struct connection *buckets[CONNECTION_BUCKETS];
    struct connection *oldest, *newest;
    uint32_t idle, busy; /* connections */
};

/* door.c */
/* What was asked is done when the turn's hooks run. */
void client_defer(struct client_exchange *exchange);
void client_catch_up(struct client *client);
/* Why it must not be sent: a static slug; NULL: it may. */
const char *client_request_fault(const struct client_request *request);
/* Is it written by the client room itself, whatever the list says? */
bool client_field_is_framing(enum http_name id);

/* client.c */
void client_kick(struct client *client); /* something waits to be told to libcurl */
void client_drive_fd(struct client *client, int fd, int ready);
void client_sweep_soon(struct client *client); /* something is idle */

/* connection.c */
int connection_watch(CURL *easy, curl_socket_t fd, int what, void *client, void *unused);
curl_socket_t connection_open(void *exchange, curlsocktype purpose, struct curl_sockaddr *address);
int connection_close(void *client, curl_socket_t fd);
/* libcurl has done with it for now, and somebody else watches the fd. */
void connection_unwatch(struct client *client, curl_socket_t fd);
void connection_enter_bucket(struct connection *connection); /* its ends are known now */
void connection_leave_opened(struct connection *connection); /* no effect on others */
void connection_take(struct connection *connection, struct curl_exchange *exchange);
/* The exchange is over: what it held is idle, or about to be closed by libcurl. */
void connection_release(struct curl_exchange *exchange);
void connection_sweep(struct client *client); /* shuts what was idle for too long */
void connection_free_all(struct client *client);

/* guard.c: CURLOPT_PREREQFUNCTION, the last look before the request is sent. */
int connection_guard(void *exchange, char *peer, char *local, int peer_port, int local_port);

/* exchange.c */
struct curl_exchange *exchange_start(struct client *client, const struct client_request *request,
                                     const struct client_handler *handler, void *arg) MUST_USE;
/* As exchange_start(), for a connection alone: no callback but connected() or, before it, done().
 * What is sent and received then is the caller's, by curl_easy_send() and curl_easy_recv(). */
struct curl_exchange *exchange_connect(struct client *client, const struct client_request *request,
                                       const struct client_handler *handler,
                                       void (*connected)(void *arg), void *arg) MUST_USE;
void exchange_resume_answer(struct curl_exchange *exchange);
void exchange_resume_body(struct curl_exchange *exchange);
void exchange_cancel(struct curl_exchange *exchange);
/* Tells libcurl what was deferred. */
void exchange_catch_up(struct curl_exchange *exchange);
/* Ends it: last callbacks, then it is spare. */
void exchange_finish(struct curl_exchange *exchange, enum client_outcome outcome,
                     const char *reason);
void exchange_free(struct curl_exchange *exchange);
/* The first verdict stays. */
void exchange_judge(struct curl_exchange *exchange, enum client_outcome outcome,
                    const char *reason);

/* options.c: false: out of memory. A request that must not be sent has its verdict then. */
bool options_apply(struct curl_exchange *exchange, const struct client_request *request) MUST_USE;

/* transfer.c */
size_t transfer_header(char *bytes, size_t size, size_t count, void *exchange);
size_t transfer_body(char *bytes, size_t size, size_t count, void *exchange);
size_t transfer_read(char *to, size_t size, size_t count, void *exchange);
void transfer_end(struct curl_exchange *exchange, CURLcode code);

#endif
