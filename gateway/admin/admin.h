/* admin.h - what operators see and do: a question's path to its answer. No network.
 *
 * Runs on the main thread only; the server room brings questions from the admin listener, the
 * worker room those from public listeners. One row of the table in routes.c per endpoint
 * (contract §4). */
#ifndef GATEWAY_ADMIN_H
#define GATEWAY_ADMIN_H
#include "base/base.h"
#include "request/request.h"

struct admin;
struct admin_hooks {
    /* As SIGHUP: reloads; faults are appended to `out` as a JSON array of strings. True: the new
     * configuration is in force. */
    bool (*reload)(void *arg, struct buf *out);
    /* Load of the workers: utilization and lag in the last second; false past the last worker. */
    bool (*worker_load)(void *arg, uint32_t worker, double *utilization, double *lag_s);
    /* The question is answered: at once, or later for what takes long; the main thread. NULL: each
     * is answered before admin_answer() returns, whatever it takes. */
    void (*answered)(void *arg, struct request_system *question);
    /* Has a worker fetch them; false: it cannot. NULL: no. */
    bool (*warm)(void *arg, struct warming *warming);
    /* Where clients reach us: "http://0.0.0.0:8080 unix:/path". NULL: nowhere. */
    void (*write_urls)(void *arg, struct buf *out);
    /* Tells all other gateways of purges that were applied here; `told` comes later, once, with how
     * many gateways live and how many of them have applied them. False: there are no others, and
     * `told` never comes. NULL: the same. */
    bool (*share_purges)(void *arg, const struct purge *purges, uint32_t count,
                         void (*told)(void *arg, uint32_t known, uint32_t applied), void *told_arg);
    /* `told` later, once: what was revoked until now is in the store, or not yet. False: there is
     * no store for it, and `told` never comes. NULL: the same. */
    bool (*revoked_is_saved)(void *arg, void (*told)(void *arg, bool is_saved), void *told_arg);
    /* Why the store is away; "" while it is there; NULL: there is none but memory. May be NULL. */
    const char *(*store_why)(void *arg);
    void *arg;
};
/* `hooks` is copied. Registers a collector with shared->metrics: metrics_write() only while the
 * admin lives, and on its thread. */
struct admin *admin_new(struct request_shared *shared, struct loop *loop,
                        const struct admin_hooks *hooks) MUST_USE;
void admin_free(struct admin **admin);
/* Fills the answer of `question` (status, content_type, answer, allow, or a stream), and says so by
 * hooks.answered. question->rules is the snapshot in force. */
void admin_answer(struct admin *admin, struct request_system *question);
/* Begins to fetch cache.warm.urls; once the workers run, and again with a new configuration. With
 * before_ready the first time holds /ready back until it is over. */
void admin_warm(struct admin *admin, const struct config *config);
/* Samples what this gateway and its neighbours use from now on, as `config` says; again with a new
 * configuration. */
void admin_measure(struct admin *admin, const struct config *config);
/* Ends what is streamed to operators: the gateway drains. */
void admin_drain(struct admin *admin);
/* Counts one attempt to take a new configuration, whoever asked for it; `ok`: it is in force. */
void admin_count_reload(struct admin *admin, bool ok);

#endif
