/* status.c - what people see of upstreams and their targets, and what operators set.
 *
 * A name that was resolved to several addresses is shown as one target: its counts are
 * sums, and its state is that of the best of them, since one that stands is enough.
 *
 * Threads: any; under the registry's lock, because a name's addresses may change. */
#include "upstream/upstream_priv.h"

const char *target_state_name(enum target_state state)
{
    switch (state) {
    case TARGET_UP:
        return "up";
    case TARGET_FAILING:
        return "failing";
    case TARGET_EJECTED:
        return "ejected";
    case TARGET_UNHEALTHY:
        return "unhealthy";
    case TARGET_DRAINING:
        return "drain";
    case TARGET_DOWN:
        return "down";
    }
    return "unknown";
}

void target_tell(const struct upstreams *upstreams, struct str upstream,
                 const struct target *target, const char *state, const char *cause, int64_t for_ms)
{
    struct buf members = buf_new(EVENT_BYTES);

    buf_addf(&members, "\"state\":\"%s\",\"upstream\":", state);
    buf_add_json(&members, upstream);
    buf_add_str(&members, STR(",\"target\":"));
    buf_add_json(&members, target->url);
    if (target->address.len > 0) {
        buf_add_str(&members, STR(",\"address\":"));
        buf_add_json(&members, target->address);
    }
    if (cause != NULL)
        buf_addf(&members, ",\"cause\":\"%s\"", cause);
    if (for_ms > 0)
        buf_addf(&members, ",\"for_ms\":%" PRId64, for_ms);
    if (!members.is_broken)
        events_add(upstreams->events, EVENT_TARGET, clock_wall_us(), buf_str(&members));
    buf_free(&members);
}

void target_tell_return(const struct upstreams *upstreams, const struct upstream_config *config,
                        const struct target *target, const char *cause)
{
    target_tell(upstreams, config->name, target, target_state_name(TARGET_UP), cause, 0);
    if (config->slow_start_ms > 0)
        target_tell(upstreams, config->name, target, "slow_start", cause, config->slow_start_ms);
}

static enum target_state state_of(const struct target *target, uint64_t now_us)
{
    enum target_state word = (enum target_state)atomic_load(&target->named->word);

    if (word != TARGET_UP)
        return word;
    if (atomic_load(&target->is_unhealthy))
        return TARGET_UNHEALTHY;
    if (target_is_ejected(target, now_us))
        return TARGET_EJECTED;
    return target_is_failing(target, now_us) ? TARGET_FAILING : TARGET_UP;
}

static void add(struct target_status *status, const struct target *target,
                const struct upstream_config *upstream, uint64_t now_us)
{
    enum target_state state = state_of(target, now_us);
    uint32_t in_a_row = atomic_load(&target->consecutive);
    double latency_s = (double)atomic_load(&target->latency_us) / 1e6;
    uint32_t success_ppm = atomic_load(&target->success_ppm);
    double rate = (double)(success_ppm - 1) / 1e6, share = target_share(target, upstream, now_us);

    status->in_flight += atomic_load(&target->in_flight);
    status->requests += atomic_load(&target->requests);
    status->failures += atomic_load(&target->failures);
    if (in_a_row > status->consecutive_failures)
        status->consecutive_failures = in_a_row;
    if (latency_s > status->latency_s)
        status->latency_s = latency_s;
    if (share > status->share)
        status->share = share;
    if (success_ppm > 0 && (status->success_rate < 0 || rate < status->success_rate))
        status->success_rate = rate; /* of several addresses the worst */
    if (state >= status->state)
        return;
    status->state = state;
    status->ejected_until_us = state == TARGET_EJECTED ? atomic_load(&target->ejected_until_us) : 0;
    status->ejected_by = (enum ejection_cause)atomic_load(&target->ejected_by);
}

static void read_target(struct target_status *status, const struct target *named,
                        const struct upstream_config *upstream, uint64_t now_us)
{
    status->state = TARGET_DOWN;
    status->share = 0;
    for (uint32_t i = 0; i < named->address_count; i++)
        add(status, named->addresses[i], upstream, now_us);
    if (named->address_count == 0) {
        add(status, named, upstream, now_us);
        return;
    }
    status->addresses = named->address_count;
    status->in_flight += atomic_load(&named->in_flight); /* from before it was resolved */
    status->requests += atomic_load(&named->requests);
    status->failures += atomic_load(&named->failures);
}

static struct target *find(struct upstreams *upstreams, const struct upstream_config *upstream,
                           uint32_t index)
{
    const struct group *group = registry_group(upstreams, upstream->name);

    return group == NULL ? NULL : registry_named(group, upstream->targets[index].url);
}

bool upstreams_status(struct upstreams *upstreams, const struct upstream_config *upstream,
                      uint32_t index, uint64_t now_us, struct target_status *status)
{
    const struct target *named;

    if (index >= upstream->target_count)
        return false;
    *status = (struct target_status){.url = upstream->targets[index].url,
                                     .weight = upstream->targets[index].weight,
                                     .is_backup = upstream->targets[index].is_backup,
                                     .share = 1,
                                     .success_rate = -1};
    pthread_mutex_lock(&upstreams->lock);
    named = find(upstreams, upstream, index);
    if (named != NULL) /* else it is not adopted yet: nothing is known of it */
        read_target(status, named, upstream, now_us);
    pthread_mutex_unlock(&upstreams->lock);
    return true;
}

bool upstreams_address_status(struct upstreams *upstreams, const struct upstream_config *upstream,
                              uint32_t target, uint32_t nth, uint64_t now_us,
                              struct target_status *status)
{
    const struct target *named;
    bool is_there;

    if (!upstreams_status(upstreams, upstream, target, now_us, status))
        return false;
    pthread_mutex_lock(&upstreams->lock);
    named = find(upstreams, upstream, target);
    is_there = named != NULL && nth < named->address_count;
    if (is_there) {
        *status = (struct target_status){.url = status->url,
                                         .address = named->addresses[nth]->address,
                                         .weight = status->weight,
                                         .is_backup = status->is_backup,
                                         .state = TARGET_DOWN,
                                         .success_rate = -1};
        add(status, named->addresses[nth], upstream, now_us);
    }
    pthread_mutex_unlock(&upstreams->lock);
    return is_there;
}

static void bring_up_one(struct target *target)
{
    target_set_healthy(target, true, clock_mono_us());
    atomic_store(&target->ejected_until_us, 0);
}

/* An operator's word is stronger than what was seen before it. */
static void bring_up(struct target *named)
{
    bring_up_one(named);
    for (uint32_t i = 0; i < named->address_count; i++)
        bring_up_one(named->addresses[i]);
}

bool upstreams_set_target(struct upstreams *upstreams, const struct upstream_config *upstream,
                          uint32_t index, enum target_state state)
{
    struct target *named;

    if (index >= upstream->target_count)
        return false;
    pthread_mutex_lock(&upstreams->lock);
    named = find(upstreams, upstream, index);
    if (named != NULL && atomic_exchange(&named->word, state) != (unsigned)state) {
        if (state == TARGET_UP) {
            bring_up(named);
            target_tell_return(upstreams, upstream, named, "operator");
        } else {
            target_tell(upstreams, upstream->name, named, target_state_name(state), "operator", 0);
        }
    }
    pthread_mutex_unlock(&upstreams->lock);
    return named != NULL;
}

void upstreams_upstream_status(struct upstreams *upstreams, const struct upstream_config *upstream,
                               uint64_t now_us, struct upstream_status *status)
{
    const struct group *group;
    uint64_t until_us;

    *status = (struct upstream_status){.breaker = BREAKER_CLOSED};
    pthread_mutex_lock(&upstreams->lock);
    group = registry_group(upstreams, upstream->name);
    pthread_mutex_unlock(&upstreams->lock);
    if (group == NULL)
        return;
    status->breaker = breaker_state(&group->breaker, now_us);
    until_us = atomic_load(&group->breaker.until_us);
    if (status->breaker == BREAKER_OPEN && until_us > now_us)
        status->breaker_open_us = until_us - now_us;
    status->breaker_opened = atomic_load(&group->breaker.opened);
    status->in_flight = atomic_load(&group->in_flight);
    status->retrying = atomic_load(&group->retrying);
    status->queued = atomic_load(&group->queued);
    status->limit = upstream->adaptive ? atomic_load(&group->adaptive.limit) : 0;
    for (uint32_t i = 0; i < EJECTION_CAUSES; i++)
        status->ejected[i] = atomic_load(&group->ejected[i]);
    status->checks_good = atomic_load(&group->checks_good);
    status->checks_bad = atomic_load(&group->checks_bad);
    for (uint32_t i = 0; i < UPSTREAM_VERDICTS; i++)
        status->verdicts[i] = atomic_load(&group->verdicts[i].count);
}

static bool has_target(struct upstreams *upstreams, const struct upstream_config *upstream,
                       uint64_t now_us)
{
    struct target_status status;

    for (uint32_t i = 0; upstreams_status(upstreams, upstream, i, now_us, &status); i++)
        if (status.state == TARGET_UP)
            return true;
    return false;
}

bool upstreams_are_ready(struct upstreams *upstreams, const struct config *config, uint64_t now_us,
                         struct str *name)
{
    for (uint32_t i = 0; i < config->upstream_count; i++) {
        const struct upstream_config *upstream = &config->upstreams[i];

        if (!upstream->required || has_target(upstreams, upstream, now_us))
            continue;
        if (name != NULL)
            *name = upstream->name;
        return false;
    }
    return true;
}
