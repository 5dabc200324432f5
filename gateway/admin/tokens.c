/* tokens.c - POST /system/tokens/revoke: a token is refused from now on.
 *
 * It is named by its text, or by its jti with the end until which that must be remembered. The
 * text is written nowhere: not in the answer, not in the audit line. Where gateways share a store
 * the answer waits until it stands there, because only then it outlives us. Main thread. */
#include "admin/admin_priv.h"

enum { ID_MOST = 255 };

/* False: answered. */
static bool read_token(struct call *call, struct identify_token *token)
{
    const struct identify *identify = request_rules_identify(call->question->rules);
    struct str text = body_member(call, "token"), id = body_member(call, "jti");
    struct str end = body_member(call, "exp");
    uint64_t exp_s;

    if ((text.ptr != NULL) == (id.ptr != NULL) || (end.ptr != NULL) != (id.ptr != NULL)) {
        answer_refusal(call, 400, "body: must be {\"token\": …} or {\"jti\": …, \"exp\": …}.");
        return false;
    }
    if (text.ptr != NULL) {
        if (identify_token_of(identify, text, call->question->arena, token))
            return true;
        answer_refusal(call, 400, "body: token: must be a JSON web token.");
        return false;
    }
    if (id.len == 0 || id.len > ID_MOST) {
        answer_refusal(call, 400, "body: jti: must be 1 to %d bytes.", ID_MOST);
        return false;
    }
    if (!str_to_u64(end, &exp_s) || exp_s > (UINT64_C(1) << 53)) {
        answer_refusal(call, 400, "body: exp: must be whole seconds since 1970.");
        return false;
    }
    *token = identify_token_of_id(identify, id, (int64_t)exp_s);
    return true;
}

static void on_saved(void *arg, bool is_saved)
{
    struct call *call = arg;

    buf_addf(&call->question->text, ",\"stored\":%s}", is_saved ? "true" : "false");
    answer_json(call, 200);
    call_conclude(call);
}

void post_tokens_revoke(struct call *call)
{
    const struct admin_hooks *hooks = &call->admin->hooks;
    int64_t now_s = loop_wall_us(call->admin->loop) / 1000000;
    struct buf *text = &call->question->text;
    struct identify_token token;

    if (!call->config->identity.revocation) {
        answer_refusal(call, 409, "identity.revocation is false: nothing would be refused.");
        return;
    }
    if (!read_token(call, &token))
        return;
    if (identify_revoke(call->admin->shared->identify, &token, now_s) == REVOKE_FULL) {
        answer_refusal(call, 503, "The set of revoked tokens is full: it is not revoked.");
        return;
    }
    buf_addf(text, "{\"revoked\":true");
    if (token.until_s < INT64_MAX)
        buf_addf(text, ",\"until\":%" PRId64, token.until_s);
    if (hooks->revoked_is_saved != NULL && hooks->answered != NULL)
        call->is_pending = hooks->revoked_is_saved(hooks->arg, on_saved, call);
    if (call->is_pending)
        return;
    buf_add_char(text, '}');
    answer_json(call, 200);
}
