/* seed.c - the secret under which clients are hashed, the same for all gateways of a store.
 *
 * Without identity.hash_secret the first gateway makes one and leaves it in the store, and every
 * other reads it there, before anybody is served: two gateways that hash a client differently
 * would each give it a limit of its own. A store that is away at the start must not stop
 * us; then it is made from the store's URL, which all gateways know, and a warning says so.
 * Main thread, before the workers start. */
#include "redis/redis.h"
#include "worker/process_priv.h"

struct asking {
    struct loop *loop;
    struct hash_key *seed;
    bool has_seed;
    struct deadline end;
};

static void on_end(void *arg)
{
    struct asking *asking = arg;

    loop_stop(asking->loop);
}

static void on_seed(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct asking *asking = arg;

    if (outcome == REDIS_OK && reply->form == REDIS_STRING &&
        reply->text.len == sizeof(*asking->seed)) {
        memcpy(asking->seed, reply->text.ptr, sizeof(*asking->seed));
        asking->has_seed = true;
    }
    loop_stop(asking->loop);
}

static void ask(struct redis *redis, const struct config *config, struct asking *asking)
{
    char key[128];
    struct str name = config->store.prefix;

    CHECK(name.len + sizeof("secret") < sizeof(key));
    memcpy(key, name.ptr, name.len);
    memcpy(key + name.len, "secret", sizeof("secret"));
    name = str_of(key);
    struct str set[] = {STR("SET"), name, str_at((const char *)asking->seed, sizeof(*asking->seed)),
                        STR("NX")};
    struct str get[] = {STR("GET"), name};
    struct redis_command make = {.words = set, .count = COUNT_OF(set), .key = name};
    struct redis_command read = {
        .words = get, .count = COUNT_OF(get), .key = name, .fn = on_seed, .arg = asking};

    if (redis_send(redis, &make) == NULL || redis_send(redis, &read) == NULL)
        loop_stop(asking->loop);
}

struct way {
    struct redis *redis;
    const struct config *config;
    struct asking *asking;
};

static void on_change(void *arg, bool is_up, struct str why)
{
    struct way *way = arg;

    (void)why;
    if (is_up)
        ask(way->redis, way->config, way->asking);
}

void process_share_seed(struct gateway *g, const struct config *config)
{
    static const uint64_t PATIENCE_US = 1000000;
    struct asking asking = {.loop = g->loop, .seed = &g->shared.seed};
    struct way way = {.config = config, .asking = &asking};
    struct redis_options options = {.name = "gateway-start", .changed = on_change, .arg = &way};
    struct fail why = {""};

    if (str_eq(config->store.url, STR("memory:")) || config->identity.hash_secret.len > 0)
        return;
    asking.end = (struct deadline){.fn = on_end, .arg = &asking};
    if (redis_url_for(config, STORE_MAIN, &options.url, &why))
        way.redis = redis_new(g->loop, &options);
    if (way.redis != NULL && deadline_set(g->loop, &asking.end, clock_mono_us() + PATIENCE_US))
        loop_run(g->loop);
    deadline_clear(g->loop, &asking.end);
    redis_free(&way.redis);
    if (asking.has_seed)
        return;
    struct hash128 made = hash_sip128(&(struct hash_key){{0, 0}}, config->store.url);
    g->shared.seed = (struct hash_key){{made.lo, made.hi}};
    log_line(LOG_WARN, "identity.hash_secret is empty and the store is away: clients are hashed "
                       "under a secret made from store.url until the next start");
}
