/* stage_identify.c - the step that asks who it is, and what a refusal says.
 *
 * A bad credential is charged to its address, so the refusal waits until the limit has been asked.
 * A token of an unknown signer makes the request wait once while the keys are fetched, a password
 * while it is judged; what is not known after that is refused. Worker's thread. */
#include "request/request_priv.h"

static struct str method_name(enum identify_method method)
{
    switch (method) {
    case METHOD_JWT:
        return STR("jwt");
    case METHOD_API_KEY:
        return STR("api_key");
    case METHOD_BASIC:
        return STR("basic");
    case METHOD_NONE:
    case IDENTIFY_METHODS:
        break;
    }
    return STR("none");
}

static void count_refusal(struct request *r)
{
    struct str values[] = {method_name(r->who.method),
                           r->who.reason != NULL ? str_of(r->who.reason) : STR("refused")};

    count_series(r->context, M_AUTH, COUNT_OF(values), values);
}

/* The usual case: its cell is kept. */
static void count_success(struct request *r)
{
    struct cell **cell = &r->context->auth_ok[r->who.method];

    if (*cell == NULL) {
        struct str values[] = {method_name(r->who.method), STR("ok")};

        *cell = metrics_series(r->context->sheet, M_AUTH, COUNT_OF(values), values);
    }
    cell_add(*cell, 1);
}

/* A hidden key leaves the target before the cache's key is made from it: it is no part of what the
 * upstream is asked, and entries are listed by their keys. False: out of memory. */
static bool hide_in_target(struct request *r)
{
    struct http_target target = http_split_target(r->upstream_target);
    struct http_fields none = {NULL, 0, 0, NULL};
    struct str query = target.query;

    if (!r->config->identity.api_key.hide || !r->who.credential_seen)
        return true;
    if (!identify_hide_credential(request_rules_identify(r->crules->rules), &none, &query,
                                  r->arena))
        return false;
    if (query.ptr != target.query.ptr)
        r->upstream_target = query.len > 0 ? arena_printf(r->arena, "%.*s?%.*s",
                                                          STR_ARG(target.path), STR_ARG(query))
                                           : target.path;
    return r->upstream_target.ptr != NULL;
}

static void on_known(void *arg)
{
    request_wake(arg);
}

static enum step wait_for_identity(struct request *r)
{
    r->has_waited_for_identity = true;
    r->identity_wait = (struct identify_wait){.fn = on_known, .arg = r};
    identify_wait(r->context->memory, &r->who, &r->identity_wait);
    return STEP_WAIT;
}

enum step stage_identify(struct request *r)
{
    struct identify_question question = {
        .fields = &r->head.fields,
        .query = r->target.query,
        .peer = r->arrival.peer,
        .route = r->route,
        .wall_s = loop_wall_us(r->context->loop) / 1000000,
        .now_us = loop_now_us(r->context->loop),
        .memory = r->context->memory,
        .may_wait = !r->has_waited_for_identity,
    };

    if (r->identity_wait.memory != NULL || r->tier_ask.is_waiting)
        return STEP_WAIT; /* woken by something else */
    r->identity =
        identify_ask(request_rules_identify(r->crules->rules), &question, r->arena, &r->who);
    r->is_known = true;
    if (!route_address_may(r))
        return reply_problem(r, 403, "address_denied", "The route does not serve this address.",
                             STR_NONE);
    if (r->context->store == NULL && r->config->limits.enabled)
        limit_hint(r->context->shared->limiter, r->who.caller.hash);
    if (!limit_find_tier(r))
        return STEP_WAIT;
    switch (r->identity) {
    case IDENTIFY_OK:
        if (r->who.credential_seen)
            count_success(r);
        if (!hide_in_target(r))
            return reply_out_of_memory(r);
        break;
    case IDENTIFY_NEEDED:
    case IDENTIFY_INVALID:
    case IDENTIFY_FORBIDDEN:
    case IDENTIFY_BUSY:
        count_refusal(r);
        break;
    case IDENTIFY_WAITS:
        return wait_for_identity(r);
    }
    return STEP_NEXT;
}

enum step refuse_credential(struct request *r)
{
    const struct identify *identify = request_rules_identify(r->crules->rules);
    const char *message = "The credential is not valid.";
    struct str challenge = identify_challenge(identify, &r->who, r->arena);
    enum step step;

    if (r->identity == IDENTIFY_NEEDED)
        message = "This route needs a credential.";
    else if (r->who.reason != NULL && strcmp(r->who.reason, "jwt_revoked") == 0)
        message = "Token has been revoked";
    step = reply_problem(r, 401, r->who.reason, message, STR_NONE);
    return challenge.ptr != NULL && reply_field(r, HTTP_WWW_AUTHENTICATE, challenge)
               ? step
               : reply_out_of_memory(r);
}

enum step refuse_identity(struct request *r)
{
    switch (r->identity) {
    case IDENTIFY_OK:
    case IDENTIFY_WAITS: /* never ends the step */
        return STEP_NEXT;
    case IDENTIFY_FORBIDDEN:
        return reply_problem(r, 403, r->who.reason, "This credential may not use the route.",
                             STR_NONE);
    case IDENTIFY_BUSY:
        (void)reply_problem(r, 503, r->who.reason, "Too many passwords are being judged.",
                            STR_NONE);
        return reply_field(r, HTTP_RETRY_AFTER, STR("1")) ? STEP_ANSWER : reply_out_of_memory(r);
    case IDENTIFY_NEEDED:
    case IDENTIFY_INVALID:
        break;
    }
    return refuse_credential(r);
}
