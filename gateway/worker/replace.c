/* replace.c - a new binary takes over without a lost connection (SIGUSR2).
 *
 * The program is started again from its path, with our listening sockets. Once it is ready it
 * ends us with SIGTERM: we stop accepting at once, because it accepts from the same queues,
 * and drain. If it does not become ready, we go on as if nothing had been. Counters and
 * entries in memory stay behind; those in a store are shared anyway. Main thread. */
#include "worker/process_priv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

void replace_init(struct gateway *g)
{
    ssize_t len = readlink("/proc/self/exe", g->program, sizeof(g->program) - 1);

    g->program[len > 0 ? len : 0] = '\0'; /* now: after an upgrade the link says "(deleted)" */
}

void replace_on_signal(void *arg, int signal)
{
    struct gateway *g = arg;
    int fds[INHERITED_MOST];
    uint32_t count;
    struct fail why;

    (void)signal;
    if (g->shared.is_draining || g->successor > 0) {
        log_line(LOG_WARN, "not replaced: %s",
                 g->shared.is_draining ? "draining" : "a successor is starting already");
        return;
    }
    fds[0] = g->admin_fd; /* in the order in which they are taken: ports may be 0 */
    count = 1 + fleet_sockets(g->fleet, fds + 1, INHERITED_MOST - 1);
    g->successor = inherit_pass_on(g->program, g->file, fds, count, &why);
    if (g->successor > 0)
        log_line(LOG_INFO, "replacement: process %ld starts", (long)g->successor);
    else
        log_line(LOG_ERROR, "replacement: %s", why.text);
}

void replace_on_child(void *arg, int signal)
{
    struct gateway *g = arg;
    int status;

    (void)signal;
    if (g->successor <= 0 || waitpid(g->successor, &status, WNOHANG) != g->successor)
        return;
    if (!g->shared.is_draining)
        log_line(LOG_ERROR, "replacement: process %ld ended with status %d; going on",
                 (long)g->successor, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    g->successor = 0;
}

bool replace_is_done(const struct gateway *g)
{
    return g->successor > 0;
}

void replace_end_predecessor(void)
{
    const char *text = getenv("GATEWAY_PREDECESSOR");
    uint64_t pid;

    if (text != NULL && str_to_u64(str_of(text), &pid) && pid == (uint64_t)getppid())
        (void)kill((pid_t)pid, SIGTERM);
    (void)unsetenv("GATEWAY_PREDECESSOR");
}
