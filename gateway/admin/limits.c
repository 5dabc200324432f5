/* limits.c - what a caller has left, and how to forget what it used.
 *
 * A client is named as the logs name it; who asks without a name asks for itself. Looking charges
 * nothing. Forgetting takes the counters of the tier and those of every route that
 * has a limit of its own for the client. Main thread. */
#include "admin/admin_priv.h"

/* False: answered. */
static bool own_caller(struct call *call, struct caller *caller)
{
    const struct request_system *q = call->question;
    struct identify_question question = {
        .fields = q->fields,
        .query = q->query,
        .peer = q->peer,
        .route = NULL,
        .wall_s = loop_wall_us(call->admin->loop) / 1000000,
    };
    struct identify_answer answer;

    if (identify_ask(request_rules_identify(q->rules), &question, q->arena, &answer) !=
        IDENTIFY_OK) {
        answer_refusal(call, 401, "The credential is not valid.");
        return false;
    }
    *caller = answer.caller;
    return true;
}

static bool named_caller(struct call *call, struct str name, struct caller *caller)
{
    return name.len > 0 && identify_by_name(request_rules_identify(call->question->rules), name,
                                            call->question->arena, caller);
}

void get_rate_limit_status(struct call *call)
{
    struct limit_time now = {loop_now_us(call->admin->loop), loop_wall_us(call->admin->loop)};
    struct str name = parameter(call, "client");
    struct caller caller;

    if (name.ptr == NULL) {
        if (!own_caller(call, &caller))
            return;
    } else if (!named_caller(call, name, &caller)) {
        answer_refusal(call, 400,
                       "client: must be key:ID of a known key, ip:ADDRESS, or a key's bare id.");
        return;
    }
    /* over its ceiling: answer_text() says so */
    (void)request_write_limit_status(call->question->rules, call->admin->shared, &caller, now,
                                     &call->question->text);
    answer_text(call, 200, STR("application/json"));
}

void delete_rate_limit_client(struct call *call)
{
    struct limiter *limiter = call->admin->shared->limiter;
    struct caller caller;
    bool deleted = false;

    /* nobody of that name: nothing was counted either */
    if (named_caller(call, call->segment, &caller)) {
        deleted = limit_forget(limiter, limit_key(caller.hash, 0, STR_NONE));
        for (uint32_t i = 0; i < call->config->route_count; i++)
            if (limit_forget(limiter, limit_key(caller.hash, 1, call->config->routes[i].name)))
                deleted = true;
        call->detail = arena_printf(call->question->arena, "client=%.*s deleted=%s",
                                    STR_ARG(caller.name), deleted ? "true" : "false");
    }
    buf_addf(&call->question->text, "{\"deleted\":%s}", deleted ? "true" : "false");
    answer_json(call, 200);
}
