/* upstreams.c - GET /system/upstreams: every target as the workers see it now.
 *
 * By name, with the targets in the order of the configuration, so that a target's number
 * is its place in the list. Main thread; the states are atomics. */
#include "admin/admin_priv.h"

static const char *state_name(enum target_state state)
{
    switch (state) {
    case TARGET_UP:
        return "up";
    case TARGET_FAILING:
        return "failing";
    case TARGET_EJECTED:
        break;
    }
    return "ejected";
}

static void write_target(struct buf *out, const struct target_status *status, uint64_t now_us)
{
    uint64_t left_us = status->ejected_until_us > now_us ? status->ejected_until_us - now_us : 0;

    buf_add_str(out, STR("{\"url\":"));
    buf_add_json(out, status->url);
    buf_addf(out,
             ",\"state\":\"%s\",\"weight\":%" PRIu32 ",\"in_flight\":%" PRIu32
             ",\"requests\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"consecutive_failures\":%" PRIu32
             ",\"latency_seconds\":%.6f,\"ejected_for_seconds\":%.3f}",
             state_name(status->state), status->weight, status->in_flight, status->requests,
             status->failures, status->consecutive_failures, status->latency_s,
             (double)left_us / 1e6);
}

static void write_upstream(const struct call *call, const struct upstream_config *upstream,
                           struct buf *out)
{
    uint64_t now_us = loop_now_us(call->admin->loop);
    struct target_status status;

    buf_add_json(out, upstream->name);
    buf_addf(out, ":{\"required\":%s,\"healthy_targets\":%" PRIu32 ",\"targets\":[",
             upstream->required ? "true" : "false", healthy_targets(call->admin, upstream));
    for (uint32_t i = 0;
         upstreams_status(call->admin->shared->upstreams, upstream, i, now_us, &status); i++) {
        if (i > 0)
            buf_add_char(out, ',');
        write_target(out, &status, now_us);
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
