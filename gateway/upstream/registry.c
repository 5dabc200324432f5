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

static void target_free(struct target *target)
{
    while (target->next_address != NULL) {
        struct target *address = target->next_address;

        target->next_address = address->next_address;
        free(address);
    }
    free(target->addresses);
    free(target);
}

static void group_free(struct group *group)
{
    for (uint32_t i = 0; i < group->count; i++)
        target_free(group->targets[i]);
    free(group->targets);
    free(group);
}

void upstreams_tell(struct upstreams *upstreams, struct events *events)
{
    upstreams->events = events;
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

struct group *registry_group(const struct upstreams *upstreams, struct str name)
{
    struct group *group = upstreams->groups;

    while (group != NULL && !str_eq(group->name, name))
        group = group->next;
    return group;
}

static struct group *need_group(struct upstreams *upstreams, struct str name)
{
    struct group *group = registry_group(upstreams, name);
    struct str copy;

    if (group != NULL)
        return group;
    group = with_text(sizeof(*group), name, &copy);
    if (group == NULL)
        return NULL;
    group->name = copy;
    group->next = upstreams->groups;
    group->breaker.events = upstreams->events;
    upstreams->groups = group;
    return group;
}

struct target *registry_named(const struct group *group, struct str url)
{
    for (uint32_t i = 0; i < group->count; i++)
        if (str_eq(group->targets[i]->url, url))
            return group->targets[i];
    return NULL;
}

static struct target *need_target(struct group *group, struct str url, uint64_t since_us)
{
    struct target *target = registry_named(group, url), **larger;
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
    target->address = STR("");
    target->named = target;
    atomic_init(&target->since_us, since_us);
    group->targets[group->count++] = target;
    return target;
}

/* Counts, where `members` is NULL. */
static bool gather(struct group *group, const struct upstream_config *upstream, uint64_t since_us,
                   uint32_t *count, struct members *members)
{
    *count = 0;
    for (uint32_t i = 0; i < upstream->target_count; i++) {
        struct target *named = need_target(group, upstream->targets[i].url, since_us);
        uint32_t own = named == NULL || named->address_count == 0 ? 1 : named->address_count;

        if (named == NULL)
            return false;
        for (uint32_t j = 0; members != NULL && j < own; j++) {
            members->targets[*count + j] = named->address_count == 0 ? named : named->addresses[j];
            members->origins[*count + j] = i;
        }
        *count += own;
    }
    return true;
}

static bool resolve(struct upstreams *upstreams, const struct upstream_config *upstream,
                    struct members *members)
{
    bool is_new = registry_group(upstreams, upstream->name) == NULL;
    struct group *group = need_group(upstreams, upstream->name);
    uint32_t count;

    *members = (struct members){.group = group};
    /* what comes to a group that was there is fresh, and may be slow to start */
    if (group == NULL || !gather(group, upstream, is_new ? 0 : clock_mono_us(), &count, NULL))
        return false;
    members->generation = atomic_load(&group->generation);
    members->targets = calloc(count > 0 ? count : 1, sizeof(struct target *));
    members->origins = calloc(count > 0 ? count : 1, sizeof(uint32_t));
    if (members->targets == NULL || members->origins == NULL)
        return false;
    return gather(group, upstream, 0, &members->count, members);
}

/* ---- for the other files and rooms ------------------------------------- */

void members_clear(struct members *members)
{
    free(members->targets);
    free(members->origins);
    *members = (struct members){0};
}

bool registry_resolve(struct upstreams *upstreams, const struct upstream_config *upstream,
                      struct members *members)
{
    bool is_whole;

    pthread_mutex_lock(&upstreams->lock);
    is_whole = resolve(upstreams, upstream, members);
    pthread_mutex_unlock(&upstreams->lock);
    if (!is_whole)
        members_clear(members);
    return is_whole;
}

bool target_is_usable(const struct target *target)
{
    return atomic_load_explicit(&target->named->word, memory_order_relaxed) == TARGET_UP &&
           !atomic_load_explicit(&target->is_unhealthy, memory_order_relaxed);
}

void target_set_healthy(struct target *target, bool is_healthy, uint64_t now_us)
{
    if (is_healthy) {
        atomic_store(&target->since_us, now_us);
        atomic_store(&target->consecutive, 0);
        atomic_store(&target->peak_us, 0);
        atomic_store(&target->failing_until_us, 0);
        atomic_store(&target->trial, TRIAL_NONE);
    }
    atomic_store(&target->is_unhealthy, !is_healthy);
}

/* Once for each snapshot: the operator asked for what cannot be had. */
static void tell_protocol(const struct upstream_config *upstream)
{
    if (upstream->protocol == PROTOCOL_HTTP2 && !client_speaks_http2())
        log_line(LOG_WARN, "upstream \"%.*s\": HTTP/2 is not spoken with %s; HTTP/1.1 is",
                 STR_ARG(upstream->name), client_library_version());
}

bool upstreams_adopt(struct upstreams *upstreams, const struct config *config)
{
    struct members members;

    for (uint32_t i = 0; i < config->upstream_count; i++) {
        if (!registry_resolve(upstreams, &config->upstreams[i], &members))
            return false;
        members_clear(&members);
        tell_protocol(&config->upstreams[i]);
    }
    return true;
}

/* ---- addresses of a name ------------------------------------------------ */

static struct target *need_address(struct target *named, struct str address, uint64_t since_us)
{
    struct target *target = named->next_address;
    struct str copy;

    while (target != NULL && !str_eq(target->address, address))
        target = target->next_address;
    if (target != NULL)
        return target;
    target = with_text(sizeof(*target), address, &copy);
    if (target == NULL)
        return NULL;
    target->url = named->url;
    target->address = copy;
    target->named = named;
    atomic_init(&target->since_us, since_us);
    target->next_address = named->next_address;
    named->next_address = target;
    return target;
}

static bool is_same(const struct target *named, struct target *const *addresses, uint32_t count)
{
    if (named->address_count != count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (named->addresses[i] != addresses[i])
            return false;
    return true;
}

static bool set_addresses(struct group *group, struct target *named, const struct str *addresses,
                          uint32_t count, bool *has_changed)
{
    struct target **list = calloc(count, sizeof(struct target *));
    uint64_t since_us = named->address_count == 0 ? 0 : clock_mono_us(); /* the first are not new */

    if (list == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        list[i] = need_address(named, addresses[i], since_us);
        if (list[i] == NULL) {
            free(list);
            return false;
        }
    }
    if (is_same(named, list, count)) {
        free(list);
        return true;
    }
    free(named->addresses);
    named->addresses = list;
    named->address_count = count;
    atomic_fetch_add(&group->generation, 1);
    *has_changed = true;
    return true;
}

bool registry_set_addresses(struct upstreams *upstreams, const struct upstream_config *upstream,
                            uint32_t origin, const struct str *addresses, uint32_t count,
                            bool *has_changed)
{
    struct group *group;
    struct target *named;
    bool is_set = false;

    pthread_mutex_lock(&upstreams->lock);
    group = need_group(upstreams, upstream->name);
    named = group == NULL ? NULL : need_target(group, upstream->targets[origin].url, 0);
    if (named != NULL)
        is_set = set_addresses(group, named, addresses, count, has_changed);
    pthread_mutex_unlock(&upstreams->lock);
    return is_set;
}
