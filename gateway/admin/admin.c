/* admin.c - one question from its arrival to its answer, its count and its audit line.
 *
 * The order is: is it known, may they, is the method right, are the parameters sound, then
 * the endpoint's function. Without the token nobody learns which paths exist. Writes and refusals
 * leave one line in the error log; it names the endpoint by its pattern in the table, because the
 * path itself may hold an address, and the caller by the hash that other logs use.
 * Main thread. */
#include "admin/admin_priv.h"

#include <stdio.h>
#include <stdlib.h>

static void mark_reload(struct admin *admin)
{
    int64_t now_s = clock_wall_us() / 1000000;

    cell_gauge_set(metrics_cell(admin->sheet, M_CONFIG_LAST_RELOAD), (double)now_s);
}

static void reloads_init(struct admin *admin)
{
    static const struct str outcomes[] = {{"failure", 7}, {"success", 7}};

    for (size_t i = 0; i < COUNT_OF(outcomes); i++) /* there from the start, so that rates work */
        cell_add(metrics_series(admin->sheet, M_CONFIG_RELOADS, 1, &outcomes[i]), 0);
    mark_reload(admin);
}

struct admin *admin_new(struct request_shared *shared, struct loop *loop,
                        const struct admin_hooks *hooks)
{
    struct admin *admin = calloc(1, sizeof(*admin));

    if (admin == NULL)
        return NULL;
    admin->shared = shared;
    admin->loop = loop;
    admin->hooks = *hooks;
    admin->sheet = metrics_sheet(shared->metrics);
    if (admin->sheet == NULL || !growth_start(admin)) {
        free(admin);
        return NULL;
    }
    reloads_init(admin);
    metrics_collector(shared->metrics, metrics_collect, admin);
    return admin;
}

void admin_free(struct admin **admin)
{
    if (*admin != NULL) {
        growth_stop(*admin);
        resources_end(*admin);
        streams_end(*admin);
        warm_end(*admin);
    }
    free(*admin);
    *admin = NULL;
}

void admin_count_reload(struct admin *admin, bool ok)
{
    struct str outcome = ok ? STR("success") : STR("failure");

    cell_add(metrics_series(admin->sheet, M_CONFIG_RELOADS, 1, &outcome), 1);
    events_addf(admin->shared->events, EVENT_RELOAD, loop_wall_us(admin->loop),
                "\"outcome\":\"%s\"", outcome.ptr);
    if (ok)
        mark_reload(admin);
}

/* ---- answers ---- */

void answer_refusal(struct call *call, int status, const char *format, ...)
{
    struct fail text;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text.text, sizeof(text.text), format, args);
    va_end(args);
    call->question->status = status;
    call->question->content_type = STR_NONE;
    call->question->answer = arena_copy(call->question->arena, str_of(text.text));
    if (call->question->answer.ptr == NULL)
        call->question->answer = STR("out of memory");
}

void answer_text(struct call *call, int status, struct str content_type)
{
    if (call->question->text.is_broken) {
        buf_free(&call->question->text);
        answer_refusal(call, 503, "The answer needs more memory than there is.");
        return;
    }
    call->question->status = status;
    call->question->content_type = content_type;
    call->question->answer = buf_str(&call->question->text);
}

void answer_json(struct call *call, int status)
{
    buf_add_char(&call->question->text, '\n');
    answer_text(call, status, STR("application/json"));
}

/* ---- the walk ---- */

static void walk(struct call *call)
{
    routes_find_endpoint(call);
    if (!auth_check(call))
        return;
    if (call->endpoint == NULL) {
        answer_refusal(call, 404, "There is no such endpoint.");
        return;
    }
    if (!routes_fits_method(call)) {
        call->question->allow = routes_allowed(call);
        answer_refusal(call, 405, "This endpoint answers %s.", call->question->allow.ptr);
        return;
    }
    if (routes_read_segment(call) && parameters_read(call) && members_read(call))
        call->endpoint->fn(call);
}

static const char *result_of(int status)
{
    if (status < 400)
        return "ok";
    if (status == 401 || status == 403 || status == 429)
        return "refused";
    return status < 500 ? "invalid" : "error";
}

static bool is_write(const struct call *call)
{
    return call->endpoint != NULL && call->endpoint->access == ACCESS_TOKEN &&
           !http_method_is_safe(call->question->method);
}

static void audit(const struct call *call)
{
    const struct request_system *q = call->question;
    const char *result = result_of(q->status);
    bool is_refused = strcmp(result, "refused") == 0;
    struct str peer =
        q->peer.len > 0 ? identify_hide_address(request_rules_identify(q->rules), q->peer, q->arena)
                        : STR("unix");

    if (!is_refused && !is_write(call))
        return;
    log_line(is_refused ? LOG_WARN : LOG_INFO,
             "admin: op=%s method=%.*s path=%s peer=%.*s status=%d result=%s request_id=%.*s%s%.*s",
             call->endpoint != NULL ? call->endpoint->op : "none", STR_ARG(q->method),
             call->endpoint != NULL ? call->endpoint->path : "unknown", STR_ARG(peer), q->status,
             result, STR_ARG(q->request_id), call->detail.len > 0 ? " " : "",
             STR_ARG(call->detail));
}

/* What the answer says must be known: the rest of the request is not ours any more after it. */
void call_conclude(struct call *call)
{
    struct request_system *q = call->question;
    struct admin *admin = call->admin;
    struct str labels[2];

    CHECK(q->status != 0);
    labels[0] = str_of(call->endpoint != NULL ? call->endpoint->op : "none");
    labels[1] = str_of(result_of(q->status));
    cell_add(metrics_series(admin->sheet, M_ADMIN_REQUESTS, COUNT_OF(labels), labels), 1);
    audit(call);
    if (admin->hooks.answered != NULL)
        admin->hooks.answered(admin->hooks.arg, q);
}

void admin_work(struct admin *admin, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    if (admin->hooks.answered != NULL && loop_work(admin->loop, work, done, arg))
        return;
    work(arg);
    done(arg);
}

void admin_answer(struct admin *admin, struct request_system *question)
{
    struct call now = {.admin = admin, .question = question}, *call;

    call = arena_zero(question->arena, sizeof(*call)); /* it may outlive this call */
    if (call == NULL) {
        answer_refusal(&now, 503, "out of memory");
        call_conclude(&now);
        return;
    }
    *call = now;
    call->config = request_rules_config(question->rules);
    admin->rules = question->rules;
    walk(call);
    admin->rules = NULL;
    if (!call->is_pending)
        call_conclude(call);
}

void admin_warm(struct admin *admin, const struct config *config)
{
    warm_configured(admin, config);
}

void admin_drain(struct admin *admin)
{
    streams_end(admin);
}
