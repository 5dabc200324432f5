/* server.h - libmicrohttpd on our loop: listeners, connections, one request after another.
 *
 * A server belongs to one thread: a worker's, or the main thread's for the admin listener.
 * It accepts by itself, hands sockets to a daemon (one for plain listeners, one for each TLS
 * listener), and drives a request (request/) with what the daemon says. Deadlines and
 * the watch for clients that leave are our own (library-facts: B1, B9). Nothing blocks. */
#ifndef GATEWAY_SERVER_H
#define GATEWAY_SERVER_H
#include "base/base.h"
#include "config/config.h"
#include "loop/loop.h"
#include "request/request.h"

/* ---- the whole process ---- */
struct server_counts; /* connections of all servers and addresses; any thread */
struct server_counts *server_counts_new(void) MUST_USE;
void server_counts_free(struct server_counts **counts);
uint64_t server_counts_connections(const struct server_counts *counts);

/* Certificates of a snapshot's server.tls, chosen by SNI. Counted; immutable. */
struct server_tls;
struct server_tls *server_tls_new(const struct config *config, struct fail *why) MUST_USE;
struct server_tls *server_tls_hold(struct server_tls *tls);
void server_tls_release(struct server_tls **tls);
/* Writes when each certificate ends to the sheet's gauges; those of `before` (NULL: none) that are
 * no more become 0. One sheet only, on its thread. */
void server_tls_tell(const struct server_tls *tls, const struct server_tls *before,
                     struct sheet *sheet);

/* ---- listening sockets ---- */
struct server_socket {
    int fd;
    uint16_t port; /* the real one */
};
/* Opens a non-blocking listening socket. share: several sockets of this process may listen on the
 * address (SO_REUSEPORT); the first one is opened with `probe`, which fails when another process
 * listens there. A stale unix socket's path is removed. port: 0 for the configured one, else
 * instead of it. False with the reason. */
bool server_socket_open(const struct listen_config *listen, uint16_t port, bool probe,
                        struct server_socket *out, struct fail *why) MUST_USE;

/* ---- one thread's server ---- */
struct server;
struct server *server_new(struct loop *loop, struct request_context *context,
                          struct server_counts *counts, bool is_admin, struct fail *why) MUST_USE;
/* Takes the certificates of a new snapshot (held): for new handshakes only. NULL: none. */
void server_use_tls(struct server *server, struct server_tls *tls);
/* Serves a listening socket (owned from now on). listen: copied. */
bool server_add(struct server *server, int fd, const struct listen_config *listen,
                struct fail *why) MUST_USE;
/* Takes what waits in the queues, then closes the listening sockets. Connections stay. */
void server_stop_accepting(struct server *server);
/* Ends kept connections that carry no request. */
void server_close_idle(struct server *server);
/* The largest server.max_header_bytes that its connections have memory for. It follows from the
 * snapshot in use when the server was made; a reload cannot change it. */
size_t server_most_header_bytes(const struct server *server);
uint32_t server_connections(const struct server *server);
/* Ends everything that is left: requests are cut, connections closed within the next turns. */
void server_abort(struct server *server);
void server_free(struct server **server); /* when server_connections() is 0 */
/* The library's version, and what it lacks on this machine ("" if nothing). */
const char *server_library_version(void);
const char *server_library_lacks(void);

/* Judges listeners and certificates. */
void server_check(const struct config *config, struct faults *faults);

#endif
