/* store.c - decisions in Redis: gathered during a turn, sent together, answered or done without.
 *
 * Decisions of one turn leave in one write; those on the same counters become one question with
 * `want` grants, answered in the order of asking; where the server is no Cluster, many questions
 * share one call. A refusal is remembered for a moment (deny.c), so that a caller who hammers
 * costs the server little. Every answer's records are copied to the memory store: when the
 * server is away or late, decisions go on from there, each at the cost of as many as there are
 * gateways, so that all of them together admit what was left. What was admitted meanwhile is
 * charged to the server when it is back. A late answer still refreshes the copy.
 *
 * The client of redis/ has the deadline, the breaker and the way back; here nothing waits by
 * itself. One worker's thread. */
#include "limit/link_priv.h"

#include <stdlib.h>

static const struct str memory_url = {"memory:", 7};

/* ---- batches ---- */

static struct limit_batch *batch_new(struct limit_store *store, struct config *config)
{
    struct limit_batch *batch = store->spare;

    if (batch != NULL) {
        store->spare = batch->next;
    } else {
        if (store->batch_count == STORE_MAX_BATCHES)
            return NULL;
        batch = calloc(1, sizeof(*batch));
        if (batch == NULL)
            return NULL;
        batch->slot = store->batch_count;
        store->batches[store->batch_count++] = batch;
    }
    batch->store = store;
    batch->config = config_hold(config);
    batch->next = NULL;
    batch->count = 0;
    batch->is_late = false;
    batch->generation++;
    return batch;
}

void batch_free(struct limit_batch *batch)
{
    struct limit_store *store = batch->store;

    config_release(&batch->config);
    batch->is_late = false;
    batch->generation++;
    batch->next = store->spare;
    store->spare = batch;
}

static bool same_question(const struct limit_group *group, const struct limit_call *call,
                          enum packed_op op, uint64_t cost)
{
    if (group->policies[0].key.lo != call->policies[0].key.lo) /* all but one of a turn's */
        return false;
    if (group->op != op || group->cost != cost || group->policy_count != call->policy_count)
        return false;
    for (uint32_t i = 0; i < call->policy_count; i++)
        if (group->policies[i].windows != call->policies[i].windows ||
            group->policies[i].key.lo != call->policies[i].key.lo ||
            group->policies[i].key.hi != call->policies[i].key.hi)
            return false;
    return true;
}

/* The question that this one can join in this turn; NULL: none. */
static struct limit_group *find_group(struct limit_store *store, const struct limit_call *call,
                                      enum packed_op op, uint64_t cost)
{
    for (struct limit_batch *batch = store->turn; batch != NULL; batch = batch->next) {
        for (uint32_t i = 0; i < batch->count && batch->config == call->config; i++)
            if (batch->groups[i].want < PACKED_MOST_WANT &&
                same_question(&batch->groups[i], call, op, cost))
                return &batch->groups[i];
    }
    return NULL;
}

static void flush(void *arg);

static struct limit_group *add_group(struct limit_store *store, const struct limit_call *call,
                                     enum packed_op op, uint64_t cost)
{
    struct limit_batch *batch = store->turn;
    struct limit_group *group;

    if (batch == NULL || batch->count == store->groups_most || batch->config != call->config) {
        batch = batch_new(store, call->config);
        if (batch == NULL)
            return NULL;
        batch->next = store->turn;
        store->turn = batch;
    }
    if (!store->is_flush_asked) {
        store->is_flush_asked = true;
        store->flush = (struct turn_end){.fn = flush, .arg = store};
        loop_at_turn_end(store->loop, &store->flush);
    }
    group = &batch->groups[batch->count++];
    *group = (struct limit_group){
        .op = op, .cost = cost, .policy_count = call->policy_count, .config = batch->config};
    memcpy(group->policies, call->policies, sizeof(group->policies));
    return group;
}

/* ---- sending ---- */

static bool send_batch(struct limit_store *store, struct limit_batch *batch)
{
    char keys[STORE_MOST_GROUPS * 2][PACKED_KEY_BYTES], number[U64_DIGITS];
    uint8_t asks[STORE_MOST_GROUPS][PACKED_ASK_BYTES];
    struct str words[1 + STORE_MOST_GROUPS * 3];
    int64_t wall_us = loop_wall_us(store->loop);
    uint32_t key_count = 0;
    struct redis_command command = {.words = words,
                                    .script = &store->script,
                                    .deadline_us = loop_now_us(store->loop) +
                                                   (uint64_t)store->deadline_ms * 1000,
                                    .fn = batch_on_reply,
                                    .arg = batch,
                                    .late = batch_on_late,
                                    .late_arg = store};

    for (uint32_t i = 0; i < batch->count; i++) {
        struct limit_group *group = &batch->groups[i];

        for (uint32_t p = 0; p < group->policy_count; p++, key_count++)
            words[1 + key_count] = str_at(
                keys[key_count], packed_key(&group->policies[p], store->prefix, keys[key_count]));
    }
    words[0] = str_at(number, u64_write(number, key_count));
    for (uint32_t i = 0; i < batch->count; i++) {
        struct limit_group *group = &batch->groups[i];
        size_t len = packed_ask(group->op, group->want + lease_wish(store, group), group->cost,
                                group->policies, group->policy_count, wall_us, asks[i]);

        words[1 + key_count + i] = str_at((const char *)asks[i], len);
    }
    command.count = 1 + key_count + batch->count;
    command.key = words[1];
    memcpy(command.note, &batch->slot, sizeof(batch->slot));
    memcpy(command.note + sizeof(batch->slot), &batch->generation, sizeof(batch->generation));
    return redis_send(store->redis, &command) != NULL;
}

static void flush(void *arg)
{
    struct limit_store *store = arg;
    struct limit_batch *batch = store->turn;

    store->turn = NULL;
    store->is_flush_asked = false;
    while (batch != NULL) {
        struct limit_batch *next = batch->next;

        if (!send_batch(store, batch)) {
            for (uint32_t i = 0; i < batch->count; i++)
                group_without(store, &batch->groups[i], true);
            batch_free(batch);
        }
        batch = next;
    }
}

bool limit_store_take(struct limit_store *store, struct limit_call *call, struct limit_time now)
{
    struct limit_group *group;

    call->is_waiting = false;
    if (deny_answers(store, call, now) || lease_answers(store, call, now))
        return true;
    if (!redis_is_up(store->redis)) {
        decide_without(store, call, true);
        return true;
    }
    group = find_group(store, call, PACKED_TAKE, call->cost);
    if (group == NULL)
        group = add_group(store, call, PACKED_TAKE, call->cost);
    if (group == NULL) { /* too much is on its way */
        decide_without(store, call, true);
        return true;
    }
    call->next = NULL;
    call->group = group;
    call->is_waiting = true;
    if (group->first == NULL)
        group->first = call;
    else
        group->last->next = call;
    group->last = call;
    group->want++;
    return false;
}

/* What it asked for is taken all the same, as with a client that leaves a moment later. */
void limit_store_cancel(struct limit_call *call)
{
    struct limit_call **at, *last = NULL;

    if (!call->is_waiting)
        return;
    call->is_waiting = false;
    for (at = &call->group->first; *at != call; at = &(*at)->next)
        last = *at;
    *at = call->next;
    if (call->group->last == call)
        call->group->last = last;
}

void store_change(struct limit_store *store, const struct limit_call *call, enum packed_op op,
                  uint64_t cost)
{
    struct limit_group *group = NULL;
    struct limit_call owed = *call;

    if (redis_is_up(store->redis))
        group = add_group(store, call, op, cost);
    if (group != NULL) {
        group->want = 0;
        return;
    }
    owed.cost = cost;
    if (op == PACKED_CHARGE)
        debts_add(store, &owed);
}

void limit_store_charge(struct limit_store *store, const struct limit_call *call, uint64_t cost,
                        struct limit_time now)
{
    limit_charge(store->limiter, call->policies, call->policy_count, cost, now);
    store_change(store, call, PACKED_CHARGE, cost);
}

void limit_store_give_back(struct limit_store *store, const struct limit_call *call, uint64_t cost,
                           struct limit_time now)
{
    limit_give_back(store->limiter, call->policies, call->policy_count, cost, now);
    store_change(store, call, PACKED_GIVE_BACK, cost);
}

void limit_store_forget(struct limit_store *store, const struct limit_policy *policies,
                        uint32_t count)
{
    char key[PACKED_KEY_BYTES];

    for (uint32_t i = 0; i < count; i++) {
        struct str name = str_at(key, packed_key(&policies[i], store->prefix, key));
        struct str words[] = {STR("DEL"), name};
        struct redis_command command = {.words = words, .count = 2, .key = name};

        (void)limit_forget(store->limiter, policies[i].key);
        (void)redis_send(store->redis, &command); /* away: its counters fade by themselves */
    }
}

/* ---- life ---- */

static void on_node_back(void *arg)
{
    struct limit_store *store = arg;

    debts_pay(store); /* before anybody asks it */
    if (store->holds != NULL)
        shared_holds_tell(store->holds);
}

static void on_change(void *arg, bool is_up, struct str why)
{
    struct limit_store *store = arg;

    (void)why; /* said once for the process, by who watches the store */
    if (is_up)
        on_node_back(store);
}

struct limit_store *limit_store_new(struct loop *loop, struct limiter *limiter,
                                    const struct config *config, struct sheet *sheet,
                                    struct fail *why)
{
    struct limit_store *store = calloc(1, sizeof(*store));
    struct redis_options options = {.name = "gateway-limit",
                                    .sheet = sheet,
                                    .changed = on_change,
                                    .node_back = on_node_back,
                                    .arg = store};

    CHECK(!str_eq(store_url(config, STORE_LIMIT), memory_url));
    if (store == NULL || !redis_url_for(config, STORE_LIMIT, &options.url, why))
        goto failed;
    store->loop = loop;
    store->limiter = limiter;
    store->sheet = sheet;
    store->groups_most = options.url.kind == REDIS_CLUSTER ? 1 : STORE_MOST_GROUPS;
    store->fallbacks = metrics_cell(sheet, M_STORE_FALLBACKS);
    store->prefix_len = config->store.prefix.len;
    memcpy(store->prefix_text, config->store.prefix.ptr, store->prefix_len);
    store->prefix = str_at(store->prefix_text, store->prefix_len);
    limit_store_use(store, config);
    redis_script_init(&store->script, str_of(limit_script_source));
    store->redis = redis_new(loop, &options);
    if (store->redis != NULL)
        return store;
failed:
    fail_set(why, "%s", why->text[0] != '\0' ? why->text : "out of memory");
    if (store != NULL)
        tiers_free(&store->tiers);
    free(store);
    return NULL;
}

void limit_store_use(struct limit_store *store, const struct config *config)
{
    store->deadline_ms = config->limits.deadline_ms;
    store->has_leases = !config->limits.leases_off;
    tiers_use(store, config);
}

void limit_store_free(struct limit_store **store)
{
    struct limit_store *old = *store;

    *store = NULL;
    if (old == NULL)
        return;
    redis_free(&old->redis);
    tiers_free(&old->tiers);
    shared_holds_free(&old->holds);
    debts_drop(old);
    for (uint32_t i = 0; i < old->batch_count; i++) {
        config_release(&old->batches[i]->config);
        free(old->batches[i]);
    }
    free(old);
}
