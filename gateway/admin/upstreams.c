/* upstreams.c - every target as the workers see it now, and an operator's word on one.
 *
 * By name, with the targets in the order of the configuration, so that a target's number
 * is its place in the list; it may also be named by its host and port. The word (up, drain,
 * down) is kept with the target's state, so it outlives reloads, but not the process.
 * Main thread; the states are atomics. */
#include "admin/admin_priv.h"

const char *breaker_name(enum breaker_state state)
{
    switch (state) {
    case BREAKER_CLOSED:
        return "closed";
    case BREAKER_HALF_OPEN:
        return "half_open";
    case BREAKER_OPEN:
        return "open";
    }
    return "unknown";
}

/* What a target and one address of it have alike. */
static void write_state(struct buf *out, const struct target_status *status, uint64_t now_us)
{
    uint64_t left_us = status->ejected_until_us > now_us ? status->ejected_until_us - now_us : 0;

    buf_addf(out,
             "\"state\":\"%s\",\"weight\":%" PRIu32 ",\"backup\":%s,\"in_flight\":%" PRIu32
             ",\"requests\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"consecutive_failures\":%" PRIu32
             ",\"latency_seconds\":%.6f,\"ejected_for_seconds\":%.3f",
             target_state_name(status->state), status->weight, status->is_backup ? "true" : "false",
             status->in_flight, status->requests, status->failures, status->consecutive_failures,
             status->latency_s, (double)left_us / 1e6);
    if (left_us > 0)
        buf_addf(out, ",\"ejected_by\":\"%s\"", ejection_cause_name(status->ejected_by));
    if (status->state == TARGET_UP && status->share < 1)
        buf_addf(out, ",\"slow_start\":%.3f", status->share);
    if (status->success_rate >= 0)
        buf_addf(out, ",\"success_rate\":%.4f", status->success_rate);
}

static void write_target(const struct call *call, const struct upstream_config *upstream,
                         uint32_t index, const struct target_status *status)
{
    struct buf *out = &call->question->text;
    uint64_t now_us = loop_now_us(call->admin->loop);
    struct target_status at;

    buf_add_str(out, STR("{\"url\":"));
    buf_add_json(out, status->url);
    buf_add_char(out, ',');
    write_state(out, status, now_us);
    if (status->addresses > 0)
        buf_addf(out, ",\"addresses\":%" PRIu32 ",\"at\":[", status->addresses);
    for (uint32_t i = 0;
         upstreams_address_status(call->admin->shared->upstreams, upstream, index, i, now_us, &at);
         i++) {
        buf_addf(out, "%s{\"address\":\"%.*s\",", i > 0 ? "," : "", STR_ARG(at.address));
        write_state(out, &at, now_us);
        buf_add_char(out, '}');
    }
    buf_add_str(out, status->addresses > 0 ? STR("]}") : STR("}"));
}

static void write_whole(const struct call *call, const struct upstream_config *upstream,
                        struct buf *out)
{
    struct upstream_status status;

    upstreams_upstream_status(call->admin->shared->upstreams, upstream,
                              loop_now_us(call->admin->loop), &status);
    buf_addf(out,
             ",\"in_flight\":%" PRIu32 ",\"retrying\":%" PRIu32 ",\"queued\":%" PRIu32
             ",\"ejections\":%" PRIu64 ",\"hedges\":%" PRIu64,
             status.in_flight, status.retrying, status.queued,
             status.ejected[EJECTED_BY_FAILURES] + status.ejected[EJECTED_BY_SUCCESS_RATE],
             status.verdicts[VERDICT_HEDGE]);
    for (uint32_t i = 0; i < UPSTREAM_VERDICTS; i++)
        buf_addf(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : ",\"verdicts\":{",
                 upstream_verdict_name((enum upstream_verdict)i), status.verdicts[i]);
    buf_add_char(out, '}');
    if (upstream->adaptive)
        buf_addf(out, ",\"adaptive_limit\":%" PRIu32, status.limit);
    buf_addf(
        out, ",\"breaker\":{\"state\":\"%s\",\"opened\":%" PRIu64 ",\"open_for_seconds\":%.3f}",
        breaker_name(status.breaker), status.breaker_opened, (double)status.breaker_open_us / 1e6);
}

static void write_upstream(const struct call *call, const struct upstream_config *upstream,
                           struct buf *out)
{
    uint64_t now_us = loop_now_us(call->admin->loop);
    struct target_status status;

    buf_add_json(out, upstream->name);
    buf_addf(out, ":{\"required\":%s,\"healthy_targets\":%" PRIu32,
             upstream->required ? "true" : "false", healthy_targets(call->admin, upstream));
    write_whole(call, upstream, out);
    buf_add_str(out, STR(",\"targets\":["));
    for (uint32_t i = 0;
         upstreams_status(call->admin->shared->upstreams, upstream, i, now_us, &status); i++) {
        if (i > 0)
            buf_add_char(out, ',');
        write_target(call, upstream, i, &status);
    }
    buf_add_str(out, STR("]}"));
}

void get_upstreams(struct call *call)
{
    struct buf *out = &call->question->text;

    buf_add_str(out, STR("{\"upstreams\":{"));
    for (uint32_t i = 0; i < call->config->upstream_count; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        write_upstream(call, &call->config->upstreams[i], out);
    }
    buf_add_str(out, STR("}}"));
    answer_json(call, 200);
}

/* ---- PUT /system/upstreams/{name}/targets/{n} --------------------------- */

static const struct upstream_config *find_upstream(const struct call *call)
{
    for (uint32_t i = 0; i < call->config->upstream_count; i++)
        if (str_eq(call->config->upstreams[i].name, call->segment))
            return &call->config->upstreams[i];
    return NULL;
}

static bool is_named(const struct target_config *target, struct str name)
{
    size_t scheme = str_find(target->url, '/') + 2;
    struct fail with_port;

    fail_set(&with_port, "%.*s:%u", STR_ARG(target->host), (unsigned)target->port);
    return str_eq(name, target->url) ||
           (scheme < target->url.len && str_eq(name, str_from(target->url, scheme))) ||
           str_eq(name, str_of(with_port.text));
}

/* target_count: there is none. */
static uint32_t find_target(const struct upstream_config *upstream, struct str name)
{
    uint64_t number;

    if (str_to_u64(name, &number))
        return number < upstream->target_count ? (uint32_t)number : upstream->target_count;
    for (uint32_t i = 0; i < upstream->target_count; i++)
        if (is_named(&upstream->targets[i], name))
            return i;
    return upstream->target_count;
}

static bool read_state(struct call *call, enum target_state *state)
{
    static const enum target_state words[] = {TARGET_UP, TARGET_DRAINING, TARGET_DOWN};
    struct str text = body_member(call, "state");
    bool is_known = false;

    for (size_t i = 0; !is_known && i < COUNT_OF(words); i++) {
        is_known = str_eq(text, str_of(target_state_name(words[i])));
        *state = words[i];
    }
    if (!is_known)
        answer_refusal(call, 400, "body: must be {\"state\": \"up\"}, \"drain\" or \"down\".");
    return is_known;
}

void put_upstream_target(struct call *call)
{
    const struct upstream_config *upstream = find_upstream(call);
    uint64_t now_us = loop_now_us(call->admin->loop);
    struct target_status status;
    enum target_state state;
    uint32_t index;

    if (upstream == NULL) {
        answer_refusal(call, 404, "There is no upstream of that name.");
        return;
    }
    index = find_target(upstream, call->second_segment);
    if (index == upstream->target_count) {
        answer_refusal(call, 404,
                       "The upstream has no such target: it is named by its number, "
                       "from 0, or as host:port.");
        return;
    }
    if (!read_state(call, &state))
        return;
    if (!upstreams_set_target(call->admin->shared->upstreams, upstream, index, state) ||
        !upstreams_status(call->admin->shared->upstreams, upstream, index, now_us, &status)) {
        answer_refusal(call, 503, "The target is not there yet.");
        return;
    }
    call->detail = arena_printf(call->question->arena, "%.*s %.*s %s", STR_ARG(upstream->name),
                                STR_ARG(status.url), target_state_name(state));
    write_target(call, upstream, index, &status);
    answer_json(call, 200);
}
