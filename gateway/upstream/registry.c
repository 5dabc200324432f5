/* registry.c - what the process knows of each target.
 *
 * Keyed by the upstream's name and the target's URL, so a reload that changes neither
 * keeps counts and ejections. States are never removed before the process ends: workers
 * hold pointers to them without counting, and a state is some hundred bytes.
 *
 * Threads: any. The lists are under a lock that requests do not take: a worker resolves an
 * upstream once a snapshot (pool.c). */
#include "upstream/upstream_priv.h"

#include <stdlib.h>

struct upstreams *upstreams_new(void)
{
    struct upstreams *upstreams = calloc(1, sizeof(*upstreams));

    if (upstreams == NULL)
        return NULL;
    if (pthread_mutex_init(&upstreams->lock, NULL) != 0) {
        free(upstreams);
        return NULL;
    }
    return upstreams;
}

static void group_free(struct group *group)
{
    for (uint32_t i = 0; i < group->count; i++)
        free(group->targets[i]);
    free(group->targets);
    free(group);
}

void upstreams_free(struct upstreams **upstreams)
{
    struct upstreams *dying = *upstreams;

    *upstreams = NULL;
    if (dying == NULL)
        return;
    while (dying->groups != NULL) {
        struct group *group = dying->groups;

        dying->groups = group->next;
        group_free(group);
    }
    pthread_mutex_destroy(&dying->lock);
    free(dying);
}

/* ---- under the lock ---------------------------------------------------- */

/* Memory for a struct with its text behind it. */
static void *with_text(size_t size, struct str text, struct str *copy)
{
    char *memory = calloc(1, size + text.len + 1);

    if (memory == NULL)
        return NULL;
    memcpy(memory + size, text.ptr, text.len);
    *copy = str_at(memory + size, text.len);
    return memory;
}

static struct group *find_group(const struct upstreams *upstreams, struct str name)
{
    struct group *group = upstreams->groups;

    while (group != NULL && !str_eq(group->name, name))
        group = group->next;
    return group;
}

static struct group *need_group(struct upstreams *upstreams, struct str name)
{
    struct group *group = find_group(upstreams, name);
    struct str copy;

    if (group != NULL)
        return group;
    group = with_text(sizeof(*group), name, &copy);
    if (group == NULL)
        return NULL;
    group->name = copy;
    group->next = upstreams->groups;
    upstreams->groups = group;
    return group;
}

static struct target *find_target(const struct group *group, struct str url)
{
    for (uint32_t i = 0; i < group->count; i++)
        if (str_eq(group->targets[i]->url, url))
            return group->targets[i];
    return NULL;
}

static struct target *need_target(struct group *group, struct str url)
{
    struct target *target = find_target(group, url), **larger;
    struct str copy;

    if (target != NULL)
        return target;
    larger = realloc(group->targets, (group->count + 1) * sizeof(struct target *));
    if (larger == NULL)
        return NULL;
    group->targets = larger;
    target = with_text(sizeof(*target), url, &copy);
    if (target == NULL)
        return NULL;
    target->url = copy;
    group->targets[group->count++] = target;
    return target;
}

static bool resolve(struct upstreams *upstreams, const struct upstream_config *upstream,
                    struct group **group, struct target **targets)
{
    *group = need_group(upstreams, upstream->name);
    if (*group == NULL)
        return false;
    for (uint32_t i = 0; i < upstream->target_count; i++) {
        struct target *target = need_target(*group, upstream->targets[i].url);

        if (target == NULL)
            return false;
        if (targets != NULL)
            targets[i] = target;
    }
    return true;
}

/* ---- for the other files and rooms ------------------------------------- */

bool registry_resolve(struct upstreams *upstreams, const struct upstream_config *upstream,
                      struct group **group, struct target **targets)
{
    bool is_whole;

    pthread_mutex_lock(&upstreams->lock);
    is_whole = resolve(upstreams, upstream, group, targets);
    pthread_mutex_unlock(&upstreams->lock);
    return is_whole;
}

bool upstreams_adopt(struct upstreams *upstreams, const struct config *config)
{
    struct group *group;

    for (uint32_t i = 0; i < config->upstream_count; i++)
        if (!registry_resolve(upstreams, &config->upstreams[i], &group, NULL))
            return false;
    return true;
}

static struct target *look_up(struct upstreams *upstreams, const struct upstream_config *upstream,
                              uint32_t index)
{
    struct group *group;
    struct target *target = NULL;

    pthread_mutex_lock(&upstreams->lock);
    group = find_group(upstreams, upstream->name);
    if (group != NULL)
        target = find_target(group, upstream->targets[index].url);
    pthread_mutex_unlock(&upstreams->lock);
    return target;
}

static bool has_target(struct upstreams *upstreams, const struct upstream_config *upstream,
                       uint64_t now_us)
{
    for (uint32_t i = 0; i < upstream->target_count; i++) {
        const struct target *target = look_up(upstreams, upstream, i);

        if (target == NULL ||
            (!target_is_ejected(target, now_us) && !target_is_failing(target, now_us)))
            return true;
    }
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

bool upstreams_status(struct upstreams *upstreams, const struct upstream_config *upstream,
                      uint32_t index, uint64_t now_us, struct target_status *status)
{
    const struct target *target;

    if (index >= upstream->target_count)
        return false;
    *status = (struct target_status){.url = upstream->targets[index].url,
                                     .weight = upstream->targets[index].weight};
    target = look_up(upstreams, upstream, index);
    if (target == NULL) /* not adopted yet: nothing is known of it */
        return true;
    status->in_flight = atomic_load(&target->in_flight);
    status->requests = atomic_load(&target->requests);
    status->failures = atomic_load(&target->failures);
    status->consecutive_failures = atomic_load(&target->consecutive);
    status->latency_s = (double)atomic_load(&target->latency_us) / 1e6;
    if (target_is_ejected(target, now_us)) {
        status->state = TARGET_EJECTED;
        status->ejected_until_us = atomic_load(&target->ejected_until_us);
    } else if (target_is_failing(target, now_us)) {
        status->state = TARGET_FAILING;
    }
    return true;
}
