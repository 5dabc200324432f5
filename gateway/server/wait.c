/* wait.c - requests that wait: standing for a moment, suspended for longer.
 *
 * A suspended connection costs three system calls: libmicrohttpd takes it out of its epoll set,
 * tries a read that finds nothing when it is resumed, and puts it back. One that returns from
 * its final call without an answer and without being suspended stays in the library's ready
 * list, and the handler is asked again in each run: some two hundred instructions. So a request
 * stands at first, and is suspended when it was asked often enough to have cost as much, or
 * when nothing has happened for some milliseconds. Nothing of the connection is read meanwhile; a
 * client that leaves is heard by our watch as ever, and by the library's own epoll.
 *
 * While somebody stands the library asks to be run again at once. That is heeded for the runs that
 * its own work needs (an answer is sent in the run after it was queued, and ends in the next);
 * after them the loop waits for its events, but never longer than standing lasts.
 *
 * Resumes of a turn are collected and done in one hook. Owner's thread. */
#include "server/server_priv.h"

bool connection_waits(const struct connection *c)
{
    return c->is_standing || (c->is_suspended && !c->is_resuming);
}

void connection_suspend(struct connection *c)
{
    c->is_suspended = true;
    MHD_suspend_connection(c->mhd);
    if (c->is_gone || c->is_cut)
        connection_resume(c);
}

/* ---- standing ---- */

static void stand_no_more(struct connection *c)
{
    if (c->is_standing)
        c->server->standing--;
    c->is_standing = false;
}

void connection_stand(struct connection *c)
{
    if (c->listener->daemon != c->server->plain) {
        connection_suspend(c);
        return;
    }
    c->is_standing = true;
    c->asked = 0;
    c->server->standing++;
}

void connection_stand_on(struct connection *c)
{
    if (++c->asked < SERVER_STAND_ASKED && !c->server->stood_still)
        return;
    stand_no_more(c);
    connection_suspend(c);
}

void wait_not(struct server *server)
{
    server->busy = SERVER_BUSY_RUNS;
}

uint64_t wait_standing_us(struct server *server)
{
    if (server->standing == 0 || server->busy > 0) {
        server->busy -= server->busy > 0;
        return 0;
    }
    return SERVER_STAND_US;
}

/* ---- the end of waiting ---- */

void connection_resume(struct connection *c)
{
    if (!connection_waits(c))
        return;
    loop_wait_at_most(c->server->loop, 0);
    c->server->has_woken = true;
    if (c->is_standing) {
        stand_no_more(c); /* it will be asked, and then it runs */
        return;
    }
    c->is_resuming = true;
    c->next_resume = c->server->resumes;
    c->server->resumes = c;
}

void wait_do_resumes(void *arg)
{
    struct server *server = arg;
    struct connection *c = server->resumes;
    uint64_t now_us = loop_now_us(server->loop);

    server->stood_still = !server->has_woken && now_us - server->ran_us >= SERVER_STAND_US;
    server->ran_us = now_us;
    server->has_woken = false;
    server->resumes = NULL;
    while (c != NULL) {
        struct connection *next = c->next_resume;

        c->is_resuming = false;
        if (c->stage == STAGE_TUNNEL && !c->is_cut && !c->is_lost) {
            tunnel_resume(c);
        } else {
            c->is_suspended = false;
            MHD_resume_connection(c->mhd);
        }
        c = next;
    }
}

void connection_forget_wait(struct connection *c)
{
    stand_no_more(c);
    for (struct connection **at = &c->server->resumes; c->is_resuming && *at != NULL;
         at = &(*at)->next_resume)
        if (*at == c) {
            *at = c->next_resume;
            c->is_resuming = false;
            break;
        }
}
