/* server_priv.h - a connection, and what the files of this folder share. */
#ifndef GATEWAY_SERVER_PRIV_H
#define GATEWAY_SERVER_PRIV_H
#include "server/proxy_header.h"
#include "server/server.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <netinet/in.h>

#define SERVER_ANSWER_BYTES                                                                        \
    (16 * 1024) /* of a connection's memory: the answer's head, and what the library notes down */
#define SERVER_LEAST_POOL_BYTES (24 * 1024)
#define SERVER_SCRATCH_BYTES    (64 * 1024)
#define SERVER_BLOCK_BYTES      (32 * 1024) /* of a streamed answer */
#define SERVER_MAX_LISTENERS    16
#define SERVER_ACCEPT_BATCH     64
#define SERVER_STAND_ASKED      32      /* then suspending is cheaper */
#define SERVER_STAND_US         4000    /* and when nothing happens for so long */
#define SERVER_BUSY_RUNS        2       /* to send what was queued, and to end its request */
#define SERVER_GIVE_BACK_US     1000000 /* of silence, before idle memory goes back */
#define SERVER_ACCEPT_PAUSE_US  100000  /* without a free fd */
#define SERVER_LAST_BATCHES     64
#define SERVER_TUNNEL_BYTES     (16 * 1024) /* from the upstream, on their way to the client */
#define SERVER_LINGER_MS        2000
/* while draining, how long a new connection may take to ask */
#define SERVER_FIRST_REQUEST_US 1000000

/* What a connection waits for, and so which deadline runs. */
enum phase {
    PHASE_HEADER,
    PHASE_IDLE,
    PHASE_BODY,
    PHASE_THINK /* ours to answer: no deadline */,
    PHASE_WRITE,
    PHASE_LINGER /* a tunnel has ended: for the client's end */
};
enum stage {
    STAGE_NEW,
    STAGE_HEAD,
    STAGE_BODY,
    STAGE_FINAL,
    STAGE_QUEUED,
    STAGE_TUNNEL,
    STAGE_TUNNEL_END
};

struct listener {
    struct server *server;
    struct listen_config config;
    struct watch *watch;
    int fd;
    struct MHD_Daemon *daemon; /* shared by plain listeners */
    struct watch *epoll;       /* of a daemon of its own; NULL where shared */
};

struct connection {
    struct server *server;
    struct listener *listener;
    struct MHD_Connection *mhd;
    int fd;
    struct watch *watch;
    struct deadline deadline;
    uint64_t due_us; /* the deadline may fire earlier: it is moved lazily */
    enum phase phase;
    enum stage stage;
    struct request *request;
    const char *raw_target;
    const char *line; /* where the first request's line stood: the start of the library's memory */
    uint64_t request_started_us, bytes_in, bytes_out, received_mark, acked_mark;
    uint32_t served;
    bool has_given_back; /* its idle memory, since the last request */
    bool is_suspended, is_resuming, is_standing, is_cut, keeps_count;
    uint8_t asked;     /* while standing: how often */
    bool is_gone;      /* the client has closed, or half-closed: nothing is waited for any more */
    bool is_lost;      /* it did so while its request waited */
    bool raw_answered; /* we wrote the answer ourselves: what still comes is thrown away */
    bool is_short;     /* the upstream died within the body */
    uint64_t raw_mark;
    struct tunnel *tunnel;              /* after 101 */
    struct MHD_Response *response;      /* while it is queued or read */
    struct server_tls *tls;             /* of its handshake */
    gnutls_x509_trust_list_t client_ca; /* of that, where the listener asks for a certificate */
    gnutls_datum_t client_cert; /* what upstreams are told of it; owned, empty without one */
    uint8_t address[16];
    char peer[INET6_ADDRSTRLEN];
    struct connection *next_resume, *next, *previous; /* all of a server */
};

struct server {
    struct loop *loop;
    struct request_context *context;
    struct server_counts *counts;
    struct server_tls *tls;
    bool is_admin, is_aborting;
    struct listener listeners[SERVER_MAX_LISTENERS];
    uint32_t listener_count;
    struct MHD_Daemon *plain;
    struct watch *plain_epoll;
    struct turn_hook resume_hook, run_hook;
    struct connection *resumes, *connections, *adding;
    uint32_t standing;         /* connections that do */
    uint64_t ran_us;           /* when the daemons did */
    bool has_woken;            /* somebody, since then */
    bool stood_still;          /* nobody, for SERVER_STAND_US: who stands is suspended */
    uint32_t busy;             /* runs that the library may still need although nobody is woken */
    struct arrival *arrivals;  /* whose PROXY header has not come */
    uint32_t connection_count; /* with them */
    struct deadline accept_pause;
    int spare_fd; /* given up to answer when fds are short */
    struct cell *active;
    /* libmicrohttpd's memory of one connection: both heads must fit. It zeroes all of it, and half
     * of it once more, for each request, so it is no larger than the limits ask for. */
    size_t pool_bytes;
    char scratch[SERVER_SCRATCH_BYTES]; /* a field's name and value with NULs, for the library */
    char blank[SERVER_SCRATCH_BYTES];   /* a text of any length, by its end: response.c */
    char date[30];                      /* of date_s */
    int64_t date_s;
    struct connection **by_fd; /* for the certificate callback, which knows the fd alone */
    size_t by_fd_count;
};

/* connection.c */
struct connection *connection_new(struct server *server, struct listener *listener, int fd);
/* Whose address it is: for limits, logs and upstreams. Not of use for a unix socket. */
void connection_set_socket(struct connection *c, const struct sockaddr *address);
void connection_set_address(struct connection *c, const uint8_t address[16]);
void connection_started(struct connection *c, struct MHD_Connection *mhd);
void connection_free(struct connection *c);
bool connection_index(struct connection *c); /* a TLS listener's: findable by its fd */
void connection_phase(struct connection *c, enum phase phase);
struct request_arrival connection_arrival(const struct connection *c);
bool connection_has_unread(const struct connection *c); /* bytes that wait in the socket */
void connection_cut(struct connection *c);              /* no byte more in either direction */

/* wait.c: a request that waits for its upstream, the store or its reader */
/* Only from the library's callbacks. The callback is called again after connection_resume(). */
void connection_suspend(struct connection *c);
/* The same for the final call alone: short waits cost less, because the library goes on asking,
 * and connection_stand_on() is the answer to it; longer ones are suspended by that. */
void connection_stand(struct connection *c);
void connection_stand_on(struct connection *c);
bool connection_waits(const struct connection *c); /* one of both, and is not yet resumed */
void connection_resume(struct connection *c); /* in this turn, or the next; fine when it runs */
void connection_forget_wait(struct connection *c); /* its request, or itself, ends */
void wait_do_resumes(void *server);                /* the turn's hook */
/* How long the loop may wait although the plain daemon asks to be run again at once. */
uint64_t wait_standing_us(struct server *server);
void wait_not(struct server *server); /* the library is about to do more by itself */

/* idle.c */
void idle_give_back(const struct connection *c);

/* accept.c */
/* most_per_ip: 0 for no such limit. */
bool counts_take(struct server_counts *counts, uint32_t most, uint32_t most_per_ip,
                 const uint8_t address[16], const char **why);
bool counts_take_address(struct server_counts *counts, uint32_t most_per_ip,
                         const uint8_t address[16]); /* of one that is counted already */
void counts_give(struct server_counts *counts, const uint8_t address[16], bool per_ip);
void listener_ready(void *arg, int fd, int ready);
bool listener_accept(struct listener *listener); /* a batch; true: there may be more */
void accept_resume(void *arg);
/* Counts c for its address and hands it to the library; both are closed when it may not stay. */
void accept_hand_over(struct connection *c, const struct sockaddr *address, socklen_t size);

/* proxy.c: connections that begin with a PROXY header */
/* Takes c, which is counted, and hands it over when its header has come, else closes it. */
void proxy_await(struct connection *c, const struct sockaddr_storage *address, socklen_t size);
void proxy_close_late(struct server *server, uint64_t since_us); /* that came before then */

/* exchange.c: libmicrohttpd's callbacks */
void *exchange_uri(void *server, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result exchange_handle(void *server, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **state);
void exchange_completed(void *server, struct MHD_Connection *mhd, void **state,
                        enum MHD_RequestTerminationCode code);
void exchange_connection(void *server, struct MHD_Connection *mhd, void **state,
                         enum MHD_ConnectionNotificationCode code);

/* head.c */
bool head_collect(struct connection *c, const char *method, const char *version, bool *hidden);

/* response.c */
enum MHD_Result response_queue(struct connection *c);
void response_raw(struct connection *c); /* the request's answer, written by ourselves; then the
                                            sending side is shut */
/* A 1xx on a suspended connection whose request is in; left out (false) when the client does not
 * read. */
bool response_interim(struct connection *c, int status, const struct http_fields *fields);
void raw_refusal(int fd, int status, const char *message);

/* The value's place behind the name in scratch; NULL when they do not fit. */
const char *scratch_field(struct server *server, const struct http_field *field);

/* tunnel.c: a connection that became another protocol's; suspended to its end */
enum MHD_Result tunnel_start(struct connection *c); /* inside the library's callback */
void tunnel_resume(struct connection *c);  /* in the resume hook: there is something to do */
void tunnel_goodbye(struct connection *c); /* the gateway ends: tell the client */
void tunnel_free(struct tunnel **tunnel);

/* tls.c */
int tls_retrieve(gnutls_session_t session, const gnutls_datum_t *names, int name_count,
                 const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                 gnutls_pcert_st **chain, unsigned int *chain_length, gnutls_privkey_t *key);
void tls_is_running(struct server *server);                      /* on this thread, from now on */
bool tls_try(const struct tls_config *config, struct fail *why); /* can this pair be loaded? */

struct connection *tls_connection(gnutls_session_t session); /* whose handshake runs; or NULL */

/* client_cert.c */
/* The authorities in a PEM file. False with the reason. */
bool client_ca_load(const char *path, gnutls_x509_trust_list_t *out, struct fail *why);
/* Makes this handshake ask for a certificate of these (borrowed until its end). */
void client_cert_ask(struct connection *c, gnutls_session_t session, gnutls_x509_trust_list_t ca);

/* server.c */
struct MHD_Daemon *daemon_start(struct server *server, bool tls, struct fail *why);

#endif
