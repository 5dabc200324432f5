/* limits.c - what a caller has left, and how to forget what it used.
 *
 * A client is named as the logs name it; who asks without a name asks for itself. Looking charges
 * nothing. Forgetting takes the counters of the tier and those of every route that
 * has a limit of its own for the client. Main thread. */
#include "admin/admin_priv.h"

#include <stdlib.h>

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

static void use_tier(const struct call *call, struct caller *caller, struct str name)
{
    const struct tier_config *tier = name.len > 0 ? config_tier(call->config, name) : NULL;

    if (tier != NULL)
        caller->tier = tier;
}

static void override_tier(const struct call *call, struct caller *caller)
{
    char name[LIMIT_TIER_MAX];

    if (limit_overridden(call->admin->shared->limiter, caller->hash, loop_now_us(call->admin->loop),
                         name))
        use_tier(call, caller, str_of(name));
}

/* ---- what the store says, which other gateways count in too ---- */

struct status {
    struct call *call;
    struct caller caller;
    struct limit_tier_ask tier;
    struct limit_call ask;
    struct limit_state state;
};

static void write_status(struct status *status)
{
    struct call *call = status->call;

    (void)request_write_limit_state(call->question->rules, &status->caller, &status->state,
                                    loop_wall_us(call->admin->loop), &call->question->text);
    answer_text(call, 200, STR("application/json"));
}

static void on_status(void *arg)
{
    struct status *status = arg;
    struct call *call = status->call;

    write_status(status);
    call_conclude(call);
}

/* The tier is known. True: the answer is written. */
static bool ask_windows(struct status *status)
{
    struct call *call = status->call;
    struct caller *caller = &status->caller;
    struct limit_time now = {loop_now_us(call->admin->loop), loop_wall_us(call->admin->loop)};

    use_tier(call, caller, status->tier.tier);
    override_tier(call, caller);
    status->ask = (struct limit_call){
        .policies = {{&caller->tier->windows, limit_key(caller->hash, LIMIT_TIER, STR_NONE),
                      caller->hash}},
        .policy_count = 1,
        .config = (struct config *)(uintptr_t)call->config, /* counted, not changed */
        .done = on_status,
        .arg = status,
        .state = &status->state,
    };
    if (!limit_store_take(call->admin->shared->store, &status->ask, now))
        return false;
    write_status(status);
    return true;
}

static void on_tier(void *arg)
{
    struct status *status = arg;

    if (ask_windows(status))
        call_conclude(status->call);
}

/* False: out of memory, nothing is asked. */
static bool ask_status(struct call *call, const struct caller *caller)
{
    struct status *status = arena_zero(call->question->arena, sizeof(*status));

    if (status == NULL)
        return false;
    status->call = call;
    status->caller = *caller;
    status->tier = (struct limit_tier_ask){.done = on_tier, .arg = status};
    call->is_pending =
        (caller->kind != CALLER_IP && !limit_store_tier(call->admin->shared->store, caller->hash,
                                                        caller->name, &status->tier)) ||
        !ask_windows(status);
    return true;
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
                       "client: must be user:ID, key:ID of a known key, ip:ADDRESS, or the bare id "
                       "of a key or of a user who was seen.");
        return;
    }
    if (call->admin->shared->store != NULL && ask_status(call, &caller))
        return;
    override_tier(call, &caller);
    /* over its ceiling: answer_text() says so */
    (void)request_write_limit_status(call->question->rules, call->admin->shared, &caller, now,
                                     &call->question->text);
    answer_text(call, 200, STR("application/json"));
}

/* The counters of one key, here and in the store. Was there something to forget? */
static bool forget(const struct call *call, struct hash128 client, struct hash128 key,
                   const struct window_set *windows)
{
    const struct request_shared *shared = call->admin->shared;
    struct limit_policy policy = {windows, key, client};
    bool had_some = limit_forget(shared->limiter, key);

    if (shared->store == NULL || windows->count == 0)
        return had_some;
    limit_store_forget(shared->store, &policy, 1);
    return true; /* the store is asked, and nobody waits for what it had */
}

void delete_rate_limit_client(struct call *call)
{
    struct caller caller;
    bool deleted = false;

    /* nobody of that name: nothing was counted either */
    if (named_caller(call, call->segment, &caller)) {
        for (uint32_t i = 0; i < call->config->tier_count; i++)
            deleted |= forget(call, caller.hash, limit_key(caller.hash, LIMIT_TIER, STR_NONE),
                              &call->config->tiers[i].windows);
        for (uint32_t i = 0; i < call->config->route_count; i++)
            deleted |=
                forget(call, caller.hash,
                       limit_key(caller.hash, LIMIT_ROUTE_OF_CLIENT, call->config->routes[i].name),
                       &call->config->routes[i].limit.windows);
        call->detail = arena_printf(call->question->arena, "client=%.*s deleted=%s",
                                    STR_ARG(caller.name), deleted ? "true" : "false");
    }
    buf_addf(&call->question->text, "{\"deleted\":%s}", deleted ? "true" : "false");
    answer_json(call, 200);
}

/* ---- another tier for a while ---- */

/* What of "ttl" is meant: until which monotonic moment. False: answered. */
static bool read_ttl(struct call *call, uint64_t now_us, uint64_t *until_us)
{
    static const int64_t MOST_MS = INT64_C(366) * 86400 * 1000;
    struct str text = body_member(call, "ttl");
    int64_t ms;

    *until_us = UINT64_MAX;
    if (text.ptr == NULL)
        return true;
    if (!duration_parse(text, &ms) || ms < 0 || ms > MOST_MS) {
        answer_refusal(call, 400, "ttl: must be a duration such as \"1h\", at most 366 days.");
        return false;
    }
    *until_us = now_us + (uint64_t)ms * 1000;
    return true;
}

static bool override_for_all(const struct request_shared *shared, struct hash128 client,
                             struct str tier, uint64_t until_us, uint64_t now_us)
{
    return shared->share != NULL
               ? limit_share_override(shared->share, client, tier, until_us, now_us)
               : limit_override(shared->limiter, client, tier, until_us, now_us);
}

void put_rate_limit_client(struct call *call)
{
    uint64_t now_us = loop_now_us(call->admin->loop), until_us;
    struct str tier = body_member(call, "tier");
    struct buf *text = &call->question->text;
    struct caller caller;

    if (!named_caller(call, call->segment, &caller)) {
        answer_refusal(call, 404, "There is no client of that name.");
        return;
    }
    if (tier.ptr == NULL || config_tier(call->config, tier) == NULL) {
        answer_refusal(call, 400, "tier: must be the name of a tier.");
        return;
    }
    if (!read_ttl(call, now_us, &until_us))
        return;
    if (until_us == now_us)
        tier = STR("");
    if (!override_for_all(call->admin->shared, caller.hash, tier, until_us, now_us)) {
        answer_refusal(call, 503, "There are too many overrides; wait until some end.");
        return;
    }
    override_tier(call, &caller);
    call->detail = arena_printf(call->question->arena, "client=%.*s tier=%.*s",
                                STR_ARG(caller.name), STR_ARG(caller.tier->name));
    buf_add_str(text, STR("{\"client\":"));
    buf_add_json(text, caller.name);
    buf_add_str(text, STR(",\"tier\":"));
    buf_add_json(text, caller.tier->name);
    if (tier.len > 0 && until_us != UINT64_MAX)
        buf_addf(text, ",\"expires\":%" PRIu64,
                 (uint64_t)loop_wall_us(call->admin->loop) / 1000000 +
                     (until_us - now_us + 999999) / 1000000);
    buf_add_char(text, '}');
    answer_json(call, 200);
}

/* ---- who is refused and served most ---- */

static bool read_by(struct call *call, enum limit_top_by *by)
{
    struct str text = parameter(call, "by");

    *by = LIMIT_TOP_REFUSED;
    if (text.ptr == NULL || str_eq(text, STR("refused")))
        return true;
    *by = LIMIT_TOP_SERVED;
    if (str_eq(text, STR("served")))
        return true;
    answer_refusal(call, 400, "by: must be refused or served.");
    return false;
}

void get_rate_limit_top(struct call *call)
{
    struct buf *text = &call->question->text;
    struct limit_top_row *rows;
    enum limit_top_by by;
    uint64_t most = 100;
    uint32_t count;

    if (!read_by(call, &by) || !parameter_number(call, "limit", 1, LIMIT_TOP_MOST, &most))
        return;
    rows = calloc(most, sizeof(*rows));
    if (rows == NULL) {
        answer_refusal(call, 503, "Out of memory.");
        return;
    }
    count = limit_top_list(call->admin->shared->limiter, by, rows, (uint32_t)most);
    buf_addf(text, "{\"by\":\"%s\",\"items\":[", by == LIMIT_TOP_SERVED ? "served" : "refused");
    for (uint32_t i = 0; i < count; i++) {
        buf_add_str(text, i > 0 ? STR(",{\"client\":") : STR("{\"client\":"));
        buf_add_json(text, str_of(rows[i].name));
        buf_addf(text, ",\"count\":%" PRIu64 ",\"error\":%" PRIu64 "}", rows[i].count,
                 rows[i].error);
    }
    free(rows);
    buf_add_str(text, STR("]}"));
    answer_json(call, 200);
}
