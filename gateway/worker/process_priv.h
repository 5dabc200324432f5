/* process_priv.h - the process, as its files know it. */
#ifndef GATEWAY_PROCESS_PRIV_H
#define GATEWAY_PROCESS_PRIV_H
#include "admin/admin.h"
#include "bus/bus.h"
#include "worker/worker.h"

#include <limits.h>
#include <sys/types.h>

/* eviction.c: one server's eviction policy; of store.url and of roles that live elsewhere. */
enum { EVICTIONS = 4 };
struct eviction {
    struct gateway *g;
    enum store_role role;
    struct redis *own;         /* NULL: the bus', or it is over */
    bool is_checked, has_told; /* known; answered somehow */
};

struct gateway {
    const char *file;
    char program[PATH_MAX];     /* where the binary lies, for a successor */
    pid_t successor;            /* 0: none */
    struct inherited inherited; /* sockets that nobody has taken yet */
    int admin_fd;
    struct loop *loop;
    struct request_shared shared;
    struct server_counts *counts;
    struct request_rules *rules;
    struct server_tls *tls;
    struct request_context *context; /* of the admin listener */
    struct sheet *sheet;
    struct server *admin_server;
    struct admin *admin;
    uint16_t admin_port;
    bool has_admin_path; /* the admin listener's unix socket is ours, to be removed at the end */
    struct identify_fetcher *fetcher;
    struct identify_store *revoked; /* NULL: store.url is memory: */
    struct fleet *fleet;
    struct upstream_keeper *keeper;
    struct bus *bus;           /* NULL: store.url is memory: */
    struct cell *store_health; /* with a bus */
    struct eviction evictions[EVICTIONS];
    bool is_refused;      /* an eviction policy is not acceptable */
    uint64_t told_until;  /* events: violations.c */
    struct deadline wait; /* for revoked tokens, at the start */
    uint64_t wait_until_us;
    struct deadline sweep, drain;
    uint64_t stop_accepting_us, give_up_us; /* of the drain */
    uint64_t tell_until_us;                 /* usage and spans; 0: not begun */
    bool has_stopped_accepting, has_given_up, is_over;
};

bool evictions_begin(struct gateway *g, const struct config *config, struct fail *why);
void evictions_end(struct gateway *g);
bool evictions_told(const struct gateway *g);
void eviction_ask(struct eviction *eviction, struct redis *redis);

bool process_open_log(const struct config *config, struct fail *why);
/* Loads the file again and puts it in force, or refuses it whole. Faults are appended as a JSON
 * array to `out`, which may be NULL. */
bool process_reload(void *gateway, struct buf *out);

/* inherit.c, the rest: closes what no listener took. */
void inherit_read(struct inherited *inherited);
void inherit_close(struct inherited *inherited);
/* Starts `program` with the sockets; its pid, or -1 with the reason. */
pid_t inherit_pass_on(const char *program, const char *file, const int *fds, uint32_t count,
                      struct fail *why);

/* replace.c */
void replace_init(struct gateway *g);
void replace_on_signal(void *gateway, int signal);
void replace_on_child(void *gateway, int signal);
bool replace_is_done(const struct gateway *g); /* a successor lives: the sockets are its */
void replace_end_predecessor(void);

/* notify.c */
void notify_ready(void);
void notify_reloading(void); /* notify_ready() ends it */
void notify_stopping(void);

/* store.c: begins the bus where there is a store; before the fleet. */
bool store_begin(struct gateway *g, const struct config *config, struct fail *why);
/* Runs the loop until what must be known of the store is (revoked tokens; a policy that is to be
 * refused), or cannot be; five seconds at most. Before the fleet starts. */
void store_wait(struct gateway *g);
/* A purge as it came over the bus; text and host are borrowed from it. False: it is none. */
bool store_read_purge(struct str payload, struct purge *purge);
/* admin_hooks.share_purges, revoked_is_saved and store_why. */
bool store_share_purges(void *gateway, const struct purge *purges, uint32_t count,
                        void (*told)(void *arg, uint32_t known, uint32_t applied), void *told_arg);
bool store_when_revoked(void *gateway, void (*told)(void *arg, bool is_saved), void *told_arg);
const char *store_why(void *gateway);

/* violations.c: brings new ones to the store, where there is one; every now and then. */
void violations_tell(struct gateway *g);

/* seed.c: the secret of client hashes, from the store that gateways share. May take a second. */
void process_share_seed(struct gateway *g, const struct config *config);

#endif
