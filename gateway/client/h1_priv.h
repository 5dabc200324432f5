/* h1_priv.h - plain HTTP/1.1 without libcurl: what the files of it know of each other.
 *
 * h1.c          an exchange's life: started, resumed, cancelled, over
 * h1_read.c     bytes of the answer to the handler, and what the connection's end means
 * h1_write.c    the request's text; its bytes to the socket
 * h1_connect.c  a connection: kept, taken, opened, closed
 * h1_secure.c   the same over TLS, which is libcurl's: for what follows 101 from an https target
 * h1_name.c     addresses of a host: numeric, a socket's path, or looked up
 * h1_parse.c    the parser, pure
 *
 * A connection belongs to the worker and is known to the loop once, for its whole life: taken
 * and given back it costs no system call, and whatever comes on it while it lies idle is heard.
 *
 * Thread: the loop's own. */
#ifndef GATEWAY_CLIENT_H1_PRIV_H
#define GATEWAY_CLIENT_H1_PRIV_H
#include "client/client_priv.h"
#include "client/h1_parse.h"

#include <sys/uio.h>

enum {
    H1_PIECE_READ_BYTES = 65536, /* of a body, at once */
    H1_IN_BYTES = 65536 + 16384, /* so that a head and such a body come together */
    H1_PIECE_BYTES = 16384,      /* of a request's body, sent at once */
    H1_FRAME_BYTES = 16,         /* a chunk's size line and its end */
    H1_MOST_ADDRESSES = 8,       /* of a name */
    H1_KEPT_BYTES = 4096,        /* of a spare exchange's buffers */
    H1_MOST_SPARES = 256
};

struct h1_host {
    struct client *client;
    struct h1_host *next;
    struct str key;                        /* owned: port and host, or path */
    struct h1_connection *newest, *oldest; /* idle */
    uint32_t idle, connections, exchanges; /* exchanges that point here */
    uint64_t used_us;
    struct socket_address addresses[H1_MOST_ADDRESSES];
    uint32_t address_count;
    bool is_name;                /* else the addresses are right for ever */
    uint64_t fresh_until_us;     /* past it they are looked up again, and used meanwhile */
    struct resolution *query;    /* it is being looked up */
    struct h1_exchange *waiting; /* for the addresses */
};

struct h1_connection {
    struct h1_host *host;
    struct h1_exchange *exchange; /* NULL: idle */
    struct h1_connection *newer, *older;
    struct watch *watch;
    struct h1_secure *secure; /* the exchange's; the fd is libcurl's to close then. NULL: plain */
    uint64_t idle_since_us;
    int fd;
    bool is_used; /* it has carried a request */
};

enum h1_state {
    H1_NEW, /* waits for the turn's hooks */
    H1_RESOLVING,
    H1_CONNECTING,
    H1_RUNNING,
    H1_CANCELLED, /* silent; waits for the turn's hooks */
    H1_ENDED      /* done() was called or is being called */
};
struct h1_exchange {
    struct client_exchange base;
    struct h1_exchange *after, *before; /* in the list of all; after: of spare ones too */
    struct h1_exchange *next_waiting;
    const struct client_handler *handler;
    void *arg;
    enum h1_state state;
    struct h1_host *host;
    struct h1_connection *connection;
    struct h1_secure *secure; /* of an https target; NULL: plain */
    struct deadline connect_by;
    uint64_t connect_until_us;
    uint32_t next_address, keepalive;
    bool may_reuse;
    bool wants_answer, wants_body; /* resumed, not yet acted upon */

    const char *fault; /* it must not be sent */
    enum client_body body;
    uint64_t body_left;  /* CLIENT_BODY_SIZED */
    bool body_has_ended; /* all of it was read from the handler, or nobody wants it */
    bool body_waits;     /* for client_resume_body() */
    bool stops_sending;  /* the answer came first, or the socket takes no more */
    bool is_tunnel;      /* after 101: bytes both ways, to the end */
    bool has_shut;       /* our side of it has ended */
    bool has_sent;       /* a byte of it left on the present connection */
    char *out;           /* the head, then what the socket did not take */
    size_t out_at, out_len, out_room;

    struct h1_parser parser;
    bool answer_waits; /* for client_resume_answer() */
    bool answer_is_whole, has_surplus;
    char *held; /* an unfinished section, or what the handler did not take */
    size_t held_at, held_len, held_room;
    size_t held_body; /* of it: already counted as body */
};

struct h1 {
    struct map *hosts;            /* by key */
    struct h1_host *first, *last; /* all; the one that was asked for last */
    struct h1_exchange *all, *spare;
    uint32_t spares;
    uint32_t idle, busy;       /* connections */
    struct http_field *fields; /* of the answer being read */
    char in[H1_IN_BYTES];
    char piece[H1_FRAME_BYTES + H1_PIECE_BYTES];
};

/* h1.c */
struct h1 *h1_new(struct client *client);
void h1_free(struct h1 **h1);
struct client_exchange *h1_start(struct client *client, const struct client_request *request,
                                 const struct client_handler *handler, void *arg) MUST_USE;
void h1_resume_answer(struct client_exchange *exchange);
void h1_resume_body(struct client_exchange *exchange);
void h1_cancel(struct client_exchange *exchange);
void h1_catch_up(struct client_exchange *exchange);
struct client_counts h1_counts(const struct client *client);
/* Over: gives the connection back or closes it, then calls done(). */
void h1_finish(struct h1_exchange *exchange, enum client_outcome outcome, const char *reason);
static inline bool h1_goes_on(const struct h1_exchange *exchange)
{
    return exchange->state == H1_RUNNING;
}
static inline uint64_t h1_now_us(const struct h1_exchange *exchange)
{
    return loop_now_us(exchange->base.client->loop);
}

/* h1_read.c. All may end the exchange, and then it is not to be touched. */
void h1_read(struct h1_exchange *exchange);
void h1_read_on(struct h1_exchange *exchange); /* the handler has room again */
/* The answer is whole and the request is sent, or nobody will. */
void h1_read_is_over(struct h1_exchange *exchange);

/* h1_write.c */
/* The request's head into exchange->out. False: out of memory. */
bool h1_write_head(struct h1_exchange *exchange, const struct client_request *request) MUST_USE;
enum h1_sent { H1_SENT_OK, H1_SENT_NOTHING /* the kept connection was dead */, H1_SENT_OVER };
/* Sends what there is. OVER: the exchange has ended, or is about to. */
enum h1_sent h1_write(struct h1_exchange *exchange);
void h1_watch(struct h1_exchange *exchange); /* for what it waits for now */
/* No byte of the request is needed any more. */
void h1_stop_sending(struct h1_exchange *exchange);

/* h1_secure.c */
/* Will have libcurl connect, in this turn. False: out of memory. */
bool h1_secure_begin(struct h1_exchange *exchange, const struct client_request *request) MUST_USE;
void h1_secure_end(struct h1_secure **secure); /* closes its connection too */
/* As recv() and send() would on a socket that never blocks. */
ssize_t h1_secure_receive(struct h1_secure *secure, char *to, size_t room);
ssize_t h1_secure_send(struct h1_secure *secure, const struct iovec parts[2]);
bool h1_secure_has_unsent(const struct h1_secure *secure);
/* What was sent and has not left. False: it never will. */
bool h1_secure_flush(struct h1_secure *secure) MUST_USE;
/* h1_read() and h1_read_on(), until the handler has no room or nothing more is there: the socket
 * does not show what TLS has read from it. */
void h1_secure_read(struct h1_exchange *exchange);
void h1_secure_read_on(struct h1_exchange *exchange);
static inline ssize_t h1_receive(const struct h1_exchange *exchange, char *to, size_t room)
{
    if (exchange->secure != NULL)
        return h1_secure_receive(exchange->secure, to, room);
    return recv(exchange->connection->fd, to, room, MSG_DONTWAIT);
}

/* h1_connect.c */
/* The exchange's own connection is there, over TLS. */
void h1_connect_is_secure(struct h1_exchange *exchange, int fd);
void h1_connect(struct h1_exchange *exchange); /* takes a kept connection, or opens one */
void h1_connect_by_name(struct h1_exchange *exchange, bool is_known); /* the look-up has ended */
void h1_connection_release(struct h1_exchange *exchange, bool keeps);
void h1_host_close_idle(struct h1_host *host, uint64_t before_us); /* idle since before */
void h1_sweep(struct client *client);
bool h1_needs_sweep(const struct client *client);

/* h1_name.c */
/* Made if need be. NULL: out of memory, or no such path. */
struct h1_host *h1_host_of(struct client *client, const struct client_target *target) MUST_USE;
/* Looks it up if it is a name and it is time. False: out of memory, or too many at once. */
bool h1_host_look_up(struct h1_host *host) MUST_USE;
void h1_host_free(struct h1_host *host); /* has no connection and no exchange */

#endif
