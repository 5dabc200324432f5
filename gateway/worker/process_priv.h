/* process_priv.h - the process, as its two files know it. */
#ifndef GATEWAY_PROCESS_PRIV_H
#define GATEWAY_PROCESS_PRIV_H
#include "admin/admin.h"
#include "worker/worker.h"

struct gateway {
    const char *file;
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
    struct fleet *fleet;
    struct deadline sweep, drain;
    uint64_t stop_accepting_us, give_up_us; /* of the drain */
    bool has_stopped_accepting, has_given_up;
};

bool process_open_log(const struct config *config, struct fail *why);
/* Loads the file again and puts it in force, or refuses it whole. Faults are appended as a JSON
 * array to `out`, which may be NULL. */
bool process_reload(void *gateway, struct buf *out);

#endif
