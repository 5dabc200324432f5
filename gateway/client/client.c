/* client.c - libcurl's multi handle as a guest of our loop.
 *
 * libcurl is entered from three places: a ready fd, its timer, and once more at the end
 * of a turn in which something was started or resumed, so that a request leaves in the
 * turn that made it. Nothing of libcurl's that can call back is called from anywhere
 * else: callbacks run inside libcurl, and it refuses, or worse, to be entered twice.
 * Starts, resumes and cancels are therefore noted and caught up with later.
 *
 * CURLMOPT_MAXCONNECTS counts connections in use too, and a busy worker would close one
 * connection with every answer: it is kept at the idle ones wanted plus those in use.
 *
 * Thread: the loop's own. */
#include "client/client_priv.h"
#include "client/h1_priv.h"

#include <stdlib.h>

enum { SWEEP_EVERY_US = 1000000 };

static void drive(struct client *client, curl_socket_t fd, int mask)
{
    int running;

    (void)curl_multi_socket_action(client->multi, fd, mask, &running);
    client->has_ends = true;
}

void client_drive_fd(struct client *client, int fd, int ready)
{
    int mask = 0;

    if ((ready & WATCH_READ) != 0)
        mask |= CURL_CSELECT_IN;
    if ((ready & WATCH_WRITE) != 0)
        mask |= CURL_CSELECT_OUT;
    drive(client, fd, mask);
}

/* ---- libcurl's one timer ----------------------------------------------- */

static void on_timer(void *arg)
{
    struct client *client = arg;

    client->is_timer_due = true; /* TURN_CLIENT follows in this turn */
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct client *client = arg;

    (void)multi;
    client->is_timer_due = false;
    if (timeout_ms < 0) {
        deadline_clear(client->loop, &client->timer);
        return 0;
    }
    if (timeout_ms > 0 && deadline_set(client->loop, &client->timer,
                                       loop_now_us(client->loop) + (uint64_t)timeout_ms * 1000))
        return 0;
    deadline_clear(client->loop, &client->timer);
    client->is_timer_due = true;
    client_kick(client);
    return 0;
}

/* ---- the turn ---------------------------------------------------------- */

static void keep_pool_size(struct client *client)
{
    long want = (long)client->options.keepalive + (long)client->running;

    if (want == client->pool_size)
        return;
    if (want < 1)
        want = 1; /* 0 means libcurl's own guess */
    if (curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, want) == CURLM_OK)
        client->pool_size = want;
}

static void take_ends(struct client *client)
{
    CURLMsg *message;
    int left;

    if (!client->has_ends)
        return;
    client->has_ends = false;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct curl_exchange *exchange = NULL;
        CURLcode code = message->data.result; /* `message` dies with the removal */

        if (message->msg != CURLMSG_DONE)
            continue;
        CHECK(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&exchange) ==
              CURLE_OK);
        transfer_end(exchange, code);
    }
}

static void run_timer(struct client *client)
{
    if (!client->is_timer_due)
        return;
    client->is_timer_due = false;
    drive(client, CURL_SOCKET_TIMEOUT, 0);
}

static void on_turn_client(void *arg)
{
    struct client *client = arg;

    run_timer(client);
    take_ends(client);
}

static void on_turn_deferred(void *arg)
{
    struct client *client = arg;

    if (client->deferred == NULL && !client->is_timer_due)
        return;
    client_catch_up(client);
    run_timer(client);
    take_ends(client);
}

/* The same once more after the hooks, for what the other rooms asked in theirs. What this
 * in turn asks for waits for the next turn, so that a turn ends. */
static void on_turn_end(void *arg)
{
    struct client *client = arg;

    client->is_kicked = false;
    deadline_clear(client->loop, &client->wake);
    client->is_kicking = true;
    client->has_called_back = false;
    keep_pool_size(client);
    client_catch_up(client);
    run_timer(client);
    take_ends(client);
    keep_pool_size(client);
    client->is_kicking = false;
    if (client->has_called_back || client->deferred != NULL || client->is_timer_due)
        loop_wait_at_most(client->loop, 0);
}

void client_kick(struct client *client)
{
    if (client->is_kicked || client->is_kicking)
        return;
    client->is_kicked = true;
    loop_at_turn_end(client->loop, &client->kick);
    if (!deadline_set(client->loop, &client->wake, loop_now_us(client->loop)))
        loop_wait_at_most(client->loop, 0);
}

/* Asked for between two runs of the loop, the turn whose end is meant has not begun: this
 * deadline keeps the loop from waiting first. Within a turn it is cleared before it matters. */
static void on_wake(void *arg)
{
    (void)arg;
}

static void on_sweep(void *arg)
{
    struct client *client = arg;

    connection_sweep(client);
    h1_sweep(client);
    client_sweep_soon(client);
}

void client_sweep_soon(struct client *client)
{
    if ((client->idle == 0 && !h1_needs_sweep(client)) || deadline_is_set(&client->sweep))
        return;
    /* without memory for it the next connection that falls idle asks again */
    (void)!deadline_set(client->loop, &client->sweep, loop_now_us(client->loop) + SWEEP_EVERY_US);
}

/* ---- life -------------------------------------------------------------- */

static bool set_up_multi(struct client *client)
{
    CURLM *multi = client->multi;

    return curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, connection_watch) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_PIPELINING,
                             client->speaks_http2 ? CURLPIPE_MULTIPLEX : CURLPIPE_NOTHING) ==
               CURLM_OK;
}

struct client *client_new(struct loop *loop, const struct client_options *options, struct fail *why)
{
    struct client *client;

    if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK) { /* counted, and safe between threads */
        fail_set(why, "libcurl: cannot start");
        return NULL;
    }
    client = calloc(1, sizeof(*client));
    if (client == NULL) {
        curl_global_cleanup();
        fail_set(why, "out of memory");
        return NULL;
    }
    client->loop = loop;
    client->options = *options;
    client->speaks_http2 = client_speaks_http2();
    client->deferred_tail = &client->deferred;
    client->timer = (struct deadline){.fn = on_timer, .arg = client};
    client->wake = (struct deadline){.fn = on_wake};
    client->sweep = (struct deadline){.fn = on_sweep, .arg = client};
    client->at_client = (struct turn_hook){.fn = on_turn_client, .arg = client};
    client->at_deferred = (struct turn_hook){.fn = on_turn_deferred, .arg = client};
    client->kick = (struct turn_end){.fn = on_turn_end, .arg = client};
    turn_add(loop, TURN_CLIENT, &client->at_client);
    turn_add(loop, TURN_DEFERRED, &client->at_deferred);
    client->multi = curl_multi_init();
    client->h1 = h1_new(client);
    if (client->h1 == NULL || client->multi == NULL || !set_up_multi(client)) {
        client_free(&client);
        fail_set(why, "client: out of memory");
        return NULL;
    }
    keep_pool_size(client);
    return client;
}

/* The kick may be on its way to the end of the turn and must find its owner there. */
static void free_at_turn_end(void *arg)
{
    free(arg);
}

void client_free(struct client **client)
{
    struct client *dying = *client;

    *client = NULL;
    if (dying == NULL)
        return;
    h1_free(&dying->h1);
    while (dying->all != NULL)
        exchange_free(dying->all);
    while (dying->spare != NULL) {
        struct curl_exchange *spare = dying->spare;

        dying->spare = spare->next;
        exchange_free(spare);
    }
    if (dying->multi != NULL)
        (void)curl_multi_cleanup(dying->multi); /* closes what is idle: calls connection_close() */
    connection_free_all(dying);
    deadline_clear(dying->loop, &dying->timer);
    deadline_clear(dying->loop, &dying->sweep);
    deadline_clear(dying->loop, &dying->wake);
    turn_remove(dying->loop, TURN_CLIENT, &dying->at_client);
    turn_remove(dying->loop, TURN_DEFERRED, &dying->at_deferred);
    curl_global_cleanup();
    if (dying->is_kicked)
        dying->kick.fn = free_at_turn_end; /* a kicked client is in the list already */
    else
        free(dying);
}

struct client_counts client_counts(const struct client *client)
{
    struct client_counts counts = h1_counts(client);

    counts.active += client->busy;
    counts.idle += client->idle;
    return counts;
}

const char *client_library_version(void)
{
    return curl_version();
}

void client_forget_authorities(struct client *client)
{
    client->authorities_since_us = loop_now_us(client->loop);
}

bool client_speaks_http2(void)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

    return info->version_num >= 0x080000 && (info->features & CURL_VERSION_HTTP2) != 0;
}
