/* eviction.c - could the store drop what must not be dropped?
 *
 * A server whose eviction policy may take counters, revoked tokens or usage is warned about, or
 * the start is refused, as store.eviction_check says. store.url is asked over the bus'
 * connection whenever it comes up; where a role lives elsewhere, a connection of its own asks once
 * and ends. The cache's and the jobs' servers may evict. Main thread. */
#include "worker/process_priv.h"

#define PATIENCE_US 1000000

static bool could_evict(const struct redis_reply *policy, const struct redis_reply *memory)
{
    return policy != NULL && memory != NULL && !str_eq(policy->text, STR("noeviction")) &&
           !str_eq(memory->text, STR("0"));
}

static void tell(struct eviction *eviction, struct str policy)
{
    struct gateway *g = eviction->g;
    uint32_t check = request_rules_config(g->rules)->store.eviction_check;

    log_line(check == EVICTION_REFUSE ? LOG_ERROR : LOG_WARN,
             "store%s%s: its eviction policy is %.*s, so counters and revocations may be dropped: "
             "set maxmemory-policy noeviction (store.eviction_check)",
             eviction->role != STORE_MAIN ? " of " : "", store_role_name(eviction->role),
             STR_ARG(policy));
    if (check == EVICTION_REFUSE) {
        g->is_refused = g->is_over = true;
        loop_stop(g->loop);
    }
}

/* CONFIG GET maxmemory*: name, value, … A server that does not tell (ACL, hosted) is believed. */
static void on_policy(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct eviction *eviction = arg;
    const struct redis_reply *policy = NULL, *memory = NULL;

    for (size_t i = 0; outcome == REDIS_OK && i + 1 < reply->count; i += 2) {
        struct str name = redis_item(reply, i)->text;

        if (str_eq(name, STR("maxmemory-policy")))
            policy = redis_item(reply, i + 1);
        else if (str_eq(name, STR("maxmemory")))
            memory = redis_item(reply, i + 1);
    }
    eviction->is_checked = outcome == REDIS_OK;
    eviction->has_told = true;
    if (could_evict(policy, memory))
        tell(eviction, policy->text);
    if (eviction->is_checked)
        redis_free(&eviction->own);
}

void eviction_ask(struct eviction *eviction, struct redis *redis)
{
    struct str words[] = {STR("CONFIG"), STR("GET"), STR("maxmemory*")};
    struct redis_command command = {.words = words,
                                    .count = COUNT_OF(words),
                                    .deadline_us = loop_now_us(eviction->g->loop) + PATIENCE_US,
                                    .fn = on_policy,
                                    .arg = eviction};

    if (!eviction->is_checked &&
        request_rules_config(eviction->g->rules)->store.eviction_check != EVICTION_OFF)
        (void)redis_send(redis, &command);
}

static void on_change(void *arg, bool is_up, struct str why)
{
    struct eviction *eviction = arg;

    (void)why;
    if (is_up)
        eviction_ask(eviction, eviction->own);
}

bool evictions_begin(struct gateway *g, const struct config *config, struct fail *why)
{
    static const enum store_role roles[EVICTIONS] = {STORE_MAIN, STORE_LIMIT, STORE_REVOKED,
                                                     STORE_USAGE};

    for (int i = 0; i < EVICTIONS; i++) {
        struct eviction *eviction = &g->evictions[i];
        struct redis_options options = {
            .name = "gateway-check", .changed = on_change, .arg = eviction};

        *eviction = (struct eviction){.g = g, .role = roles[i]};
        if (i > 0 && str_eq(store_url(config, roles[i]), config->store.url)) {
            eviction->is_checked = eviction->has_told = true; /* with the first */
            continue;
        }
        if (i == 0 || config->store.eviction_check == EVICTION_OFF)
            continue;
        if (!redis_url_for(config, roles[i], &options.url, why))
            return false;
        eviction->own = redis_new(g->loop, &options);
        if (eviction->own == NULL)
            return fail_set(why, "out of memory");
    }
    return true;
}

bool evictions_told(const struct gateway *g)
{
    for (int i = 0; i < EVICTIONS; i++)
        if (!g->evictions[i].has_told)
            return false;
    return true;
}

void evictions_end(struct gateway *g)
{
    for (int i = 0; i < EVICTIONS; i++)
        redis_free(&g->evictions[i].own);
}
