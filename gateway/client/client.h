/* client.h - one HTTP exchange as a client, streaming both ways.
 *
 * Two ways behind one interface. Plain HTTP/1.1 is ours: kept connections that the loop
 * watches once, and a strict parser. https and HTTP/2 are libcurl's multi_socket interface on
 * our loop, with nothing of libcurl's own habits: no proxies from the environment, no
 * redirects, no decoding, no Expect, no cookies, no silent second sending. One client a
 * worker; kept connections are its own. Every callback comes from the loop's turn, never from
 * inside a call of ours into this room. */
#ifndef GATEWAY_CLIENT_H
#define GATEWAY_CLIENT_H
#include "base/base.h"
#include "http/http.h"
#include "loop/loop.h"

struct client;
struct client_options {
    uint32_t keepalive;      /* idle connections kept, all targets together */
    int64_t idle_timeout_ms; /* kept no longer than this */
    uint32_t max_headers;    /* of an answer */
    size_t max_header_bytes;
    bool only_libcurl; /* everything its way: to compare the two */
};
/* The process must ignore SIGPIPE: libcurl's TLS library writes without MSG_NOSIGNAL. */
struct client *client_new(struct loop *loop, const struct client_options *options,
                          struct fail *why) MUST_USE;
void client_free(struct client **client); /* ends every exchange, unanswered */

enum { CLIENT_HOST_MOST = 253, CLIENT_UNIX_MOST = 107 };
enum client_protocol { CLIENT_AUTO, CLIENT_HTTP1, CLIENT_HTTP2 };
/* Where to. Borrowed until the exchange is done; its text too. */
struct client_target {
    bool is_https;
    struct str host; /* name or address, for the URL, SNI and verification; IPv6 in brackets */
    uint16_t port;
    struct str tls_ca; /* PEM file; empty: the system's */
    bool tls_verify;
    struct str unix_path; /* a socket in place of host and port; empty: none. Not for https */
    enum client_protocol protocol; /* HTTP2: where it is spoken, else HTTP/1.1. AUTO is HTTP/1.1 */
    uint32_t keepalive;            /* idle connections kept to a plain target; 0: none */
    struct str tls_cert, tls_key;  /* PEM files of our own certificate; empty: none */
    struct str address; /* https: where to connect in place of looking host up; empty: look it up.
                           IPv6 in brackets */
};
enum client_body { CLIENT_BODY_NONE, CLIENT_BODY_SIZED, CLIENT_BODY_CHUNKED };
struct client_request {
    const struct client_target *target;
    struct str method, path;          /* path: origin-form, checked by the caller */
    struct str host;                  /* the Host field's value */
    const struct http_fields *fields; /* without Host, Content-Length, Transfer-Encoding; copied */
    enum client_body body;
    uint64_t body_length; /* CLIENT_BODY_SIZED */
    int64_t connect_timeout_ms;
    bool may_reuse; /* false: a fresh connection */
    bool upgrades;  /* 101 is an answer: what follows are bytes of another protocol, both ways */
};
enum client_outcome {
    CLIENT_OK,              /* the answer is whole */
    CLIENT_CONNECT_FAILED,  /* refused, unreachable: nothing was sent */
    CLIENT_CONNECT_TIMEOUT, /* nothing was sent */
    CLIENT_DNS_FAILED,      /* nothing was sent */
    CLIENT_TLS_FAILED,      /* handshake or verification: nothing was sent */
    CLIENT_STALE,           /* the kept connection was dead or poisoned: nothing was sent */
    CLIENT_NO_PORTS,        /* no fd, no local port: nothing was sent */
    CLIENT_EMPTY,           /* closed before any byte of an answer (the request was sent) */
    CLIENT_RESET,           /* lost within the head */
    CLIENT_TRUNCATED,       /* lost within the body */
    CLIENT_PROTOCOL,        /* nonsense: see `reason` */
    CLIENT_HEADER_LIMIT,
    CLIENT_BODY_ABORTED, /* our own body callback gave up */
    CLIENT_NO_MEMORY
};
enum { CLIENT_READ_WAIT = 0, CLIENT_READ_END = -1, CLIENT_READ_ABORT = -2 };
struct client_handler {
    /* A 1xx came (not 101, which is a protocol error). Fields live during the call. May be NULL. */
    void (*interim)(void *arg, int status, const struct http_fields *fields);
    /* The final head, whole and checked (http_check_answer). Fields live during the call. */
    void (*head)(void *arg, int status, const struct http_fields *fields,
                 const struct http_answer_facts *facts);
    /* Bytes of the body. False: not taken; the same bytes come again after client_resume_answer().
     */
    bool (*body)(void *arg, struct str bytes);
    /* Trailers, filtered by http_trailer_may_pass. May be NULL. */
    void (*trailers)(void *arg, const struct http_fields *fields);
    /* Fill `room` bytes with the request's body: their count, or CLIENT_READ_*. After WAIT call
     * client_resume_body(). */
    ptrdiff_t (*read)(void *arg, char *to, size_t room);
    /* The end, once, and nothing after it; the exchange is freed when this returns. reason: static
     * slug. */
    void (*done)(void *arg, enum client_outcome outcome, const char *reason);
    /* Where the next bytes of the body may be written at once, *room of them; placed() follows in
     * the same call. NULL: not there; with *room 0 nothing can be taken at all now, and
     * client_resume_answer() follows; else body() is called. May be NULL, both or neither. */
    char *(*place)(void *arg, size_t *room);
    void (*placed)(void *arg, size_t len);
};
struct client_exchange;
/* Starts. `handler` is borrowed (static). NULL: out of memory, and no callback comes. */
struct client_exchange *client_start(struct client *client, const struct client_request *request,
                                     const struct client_handler *handler, void *arg) MUST_USE;
/* There is room for the answer again / there are bytes of the body again. From any place of the
 * loop's thread: what they cause happens later in the turn. */
void client_resume_answer(struct client_exchange *exchange);
void client_resume_body(struct client_exchange *exchange);
/* Ends it without a callback and clears the pointer; drops the connection unless the answer was
 * whole. NULL is fine. */
void client_cancel(struct client_exchange **exchange);

/* Files of authorities may be others from now on: the next handshake reads them again. (Our own
 * certificates are read for each.) */
void client_forget_authorities(struct client *client);

struct client_times {
    uint64_t connected_us, sent_us, first_byte_us; /* loop_now_us() scale; 0: not yet. connected:
                                                      the request went to a connection */
    bool is_reused;
};
struct client_times client_exchange_times(const struct client_exchange *exchange);
struct client_counts {
    uint32_t active, idle; /* connections */
};
struct client_counts client_counts(const struct client *client);
const char *client_library_version(void);
/* HTTP/2 needs libcurl 8: before it, its multi_socket interface lets requests that share a
 * connection hang. To an https target by ALPN, to a plain one outright (RFC 9113 §3.3). */
bool client_speaks_http2(void);

#endif
