/* exchange.c - libmicrohttpd's callbacks, in the order in which they come (library-facts §7).
 *
 * URI: a request is born, with the raw target. First call: the head is validated; a request
 * with a body is walked on here, because no answer can be queued once body bytes have
 * come. Body calls: bytes move to the request, and the connection sleeps while it is full.
 * Final call: a request without a body is walked on here, because an answer queued earlier
 * would close the connection. Completed: the request is finished, exactly once.
 * Owner's thread. */
#include "server/server_priv.h"

#include <string.h>

#define DISCARD_BYTES                                                                              \
    (256 * 1024) /* of a refused body, so that the client reads our answer before it sees a reset  \
                  */
#define RAW_BYTES (16 * 1024) /* of a body that a socket's buffer takes whole */

static struct connection *connection_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

void exchange_connection(void *arg, struct MHD_Connection *mhd, void **state,
                         enum MHD_ConnectionNotificationCode code)
{
    struct server *server = arg;
    struct connection *c;

    switch (code) {
    case MHD_CONNECTION_NOTIFY_STARTED:
        c = server->adding;
        CHECK(c != NULL); /* connections come from accept.c only */
        server->adding = NULL;
        *state = c;
        connection_started(c, mhd);
        break;
    case MHD_CONNECTION_NOTIFY_CLOSED:
        c = *state;
        *state = NULL;
        if (c != NULL)
            connection_free(c);
        break;
    }
}

static void wake(void *arg)
{
    connection_resume(arg);
}

static bool interim(void *arg, int status, const struct http_fields *fields)
{
    struct connection *c = arg;

    return connection_waits(c) && !c->is_gone && c->stage == STAGE_FINAL &&
           response_interim(c, status, fields);
}

static const struct request_io io = {wake, interim};

/* We need no arguments from the library, and it spends the connection's memory on each of them,
 * until it closes without a word: an empty query has none. The line is its own read buffer, so it
 * may be written to. */
static void hide_query(const char *uri)
{
    char *mark = strchr(uri, '?');

    if (mark != NULL)
        mark[1] = '\0';
}

void *exchange_uri(void *arg, const char *uri, struct MHD_Connection *mhd)
{
    struct server *server = arg;
    struct connection *c = connection_of(mhd);

    c->stage = STAGE_NEW;
    c->raw_target = uri;
    c->request_started_us = loop_now_us(server->loop);
    c->bytes_in = c->bytes_out = 0;
    connection_phase(c, PHASE_HEADER);
    c->request = request_new(server->context, &io, c);
    if (c->request != NULL) { /* a copy: the library cuts it at '?' and unescapes it in place */
        request_head(c->request)->target = arena_copy(request_arena(c->request), str_of(uri));
        hide_query(uri);
    }
    return c;
}

static enum MHD_Result suspend(struct connection *c, enum phase phase)
{
    if (c->is_gone) /* what can be answered at once is sent to a half-closed client, no more */
        return MHD_NO;
    connection_phase(c, phase);
    connection_suspend(c);
    return MHD_YES;
}

/* The library asks again in each turn, for as long as we let it. */
static enum MHD_Result stand(struct connection *c)
{
    if (c->is_gone)
        return MHD_NO;
    connection_phase(c, PHASE_THINK);
    connection_stand(c);
    return MHD_YES;
}

static enum MHD_Result queue(struct connection *c)
{
    if (request_answer(c->request)->body == REQUEST_BODY_TUNNEL)
        return tunnel_start(c);
    c->stage = STAGE_QUEUED;
    connection_phase(c, PHASE_WRITE);
    wait_not(c->server);
    return response_queue(c);
}

/* ---- first call ---- */

/* An answer before the body: the library would close at once, and the reset that the rest of the
 * body meets can overtake the answer. A small one we write ourselves, and go on taking the body. */
static enum MHD_Result answer_early(struct connection *c)
{
    const struct request_answer *answer = request_answer(c->request);

    if (!request_body_is_coming(c->request) || answer->body != REQUEST_BODY_MEMORY ||
        answer->bytes.len > RAW_BYTES)
        return queue(c);
    c->stage = STAGE_BODY;
    response_raw(c);
    c->raw_mark = c->bytes_in;
    connection_phase(c, PHASE_HEADER); /* not for ever */
    return MHD_YES;
}

static enum MHD_Result walk_head(struct connection *c)
{
    switch (request_run(c->request)) {
    case REQUEST_WAITS:
        return suspend(c, PHASE_THINK);
    case REQUEST_WANTS_BODY:
        c->stage = STAGE_BODY;
        connection_phase(c, PHASE_BODY);
        return MHD_YES;
    case REQUEST_ANSWERS:
    case REQUEST_GOES_ON:
        break;
    }
    return answer_early(c);
}

static enum MHD_Result first_call(struct connection *c, const char *method, const char *version)
{
    struct request_arrival arrival = connection_arrival(c);

    if (c->line == NULL)
        c->line = method;
    if (!head_collect(c, method, version, &arrival.has_hidden_bytes))
        return MHD_NO;
    if (request_check(c->request, &arrival) == REQUEST_ANSWERS)
        return queue(c);
    if (!request_has_body(c->request)) {
        c->stage = STAGE_FINAL;
        connection_phase(c, PHASE_THINK);
        return MHD_YES;
    }
    c->stage = STAGE_HEAD;
    return walk_head(c);
}

/* ---- body calls ---- */

static enum MHD_Result body_call(struct connection *c, const char *upload, size_t *upload_size)
{
    ptrdiff_t taken;

    if (c->raw_answered) {
        c->bytes_in += *upload_size;
        *upload_size = 0;
        return c->bytes_in - c->raw_mark > DISCARD_BYTES ? MHD_NO : MHD_YES;
    }
    taken = request_body(c->request, str_at(upload, *upload_size));
    if (taken == REQUEST_BODY_REFUSED) {
        response_raw(c);
        c->raw_mark = c->bytes_in;
        *upload_size = 0;
        connection_phase(c, PHASE_HEADER); /* not for ever */
        return MHD_YES;
    }
    c->bytes_in += (uint64_t)taken;
    *upload_size -= (size_t)taken;
    wait_not(c->server);
    if (*upload_size > 0)
        return suspend(c, PHASE_BODY);
    connection_phase(c, PHASE_BODY);
    return MHD_YES;
}

/* ---- final call ---- */

static enum MHD_Result final_call(struct connection *c)
{
    if (c->stage == STAGE_BODY) {
        if (c->raw_answered)
            return MHD_NO;
        c->stage = STAGE_FINAL;
        request_body_end(c->request);
    }
    if (c->is_standing) {
        connection_stand_on(c);
        return MHD_YES;
    }
    switch (request_run(c->request)) {
    case REQUEST_WAITS:
        return stand(c);
    case REQUEST_WANTS_BODY: /* the body is in */
    case REQUEST_GOES_ON:
        return MHD_NO;
    case REQUEST_ANSWERS:
        break;
    }
    return queue(c);
}

enum MHD_Result exchange_handle(void *arg, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **state)
{
    struct connection *c = *state;

    (void)arg;
    (void)url;
    (void)mhd;
    if (c == NULL || c->request == NULL || c->is_cut || c->is_lost)
        return MHD_NO;
    switch (c->stage) {
    case STAGE_NEW:
        return first_call(c, method, version);
    case STAGE_HEAD:
        return walk_head(c);
    case STAGE_BODY:
        return *upload_size > 0 ? body_call(c, upload, upload_size) : final_call(c);
    case STAGE_FINAL:
        return final_call(c);
    case STAGE_QUEUED:
    case STAGE_TUNNEL: /* woken to be cut */
    case STAGE_TUNNEL_END:
        break;
    }
    return MHD_NO;
}

/* ---- the end ---- */

static enum request_outcome outcome_of(const struct connection *c,
                                       enum MHD_RequestTerminationCode code)
{
    if (c->stage == STAGE_TUNNEL_END || c->raw_answered ||
        (code == MHD_REQUEST_TERMINATED_COMPLETED_OK && !c->is_short))
        return REQUEST_DONE;
    if (c->is_cut || c->is_short)
        return REQUEST_CUT;
    return REQUEST_CLIENT_LEFT;
}

void exchange_completed(void *arg, struct MHD_Connection *mhd, void **state,
                        enum MHD_RequestTerminationCode code)
{
    struct connection *c = *state;

    (void)arg;
    (void)mhd;
    *state = NULL;
    if (c == NULL)
        return;
    connection_forget_wait(c);
    wait_not(c->server);
    if (c->request != NULL && c->stage == STAGE_NEW && !c->is_cut && !c->is_gone &&
        code == MHD_REQUEST_TERMINATED_WITH_ERROR) {
        struct request_arrival arrival = connection_arrival(c);

        request_refused_by_library(c->request, &arrival);
        c->raw_answered = true;
    }
    request_finish(&c->request, outcome_of(c, code), c->bytes_in, c->bytes_out);
    tunnel_free(&c->tunnel);
    c->served++;
    c->raw_target = NULL;
    c->stage = STAGE_NEW;
    c->is_short = false;
    if (!c->raw_answered)
        connection_phase(c, PHASE_IDLE);
}
