/* cluster.c - which node has a slot.
 *
 * The map comes from CLUSTER SLOTS (Redis 3 to 8 and Valkey know it), asked of any node that
 * answers: at the start, each ten seconds, and, at most once in 200 ms, whenever a reply or a
 * lost node says that it is out of date. Each master has a connection of its own. A MOVED
 * corrects its slot at once, so that a resharding costs each moved slot one extra trip.
 *
 * One thread: the loop's. */
#include "redis/redis_priv.h"

#include <stdlib.h>

#define POLL_US     10000000
#define AGAIN_US    200000
#define PATIENCE_US 1000000

static void ask_at(struct redis *redis, uint64_t in_us)
{
    (void)!deadline_set(redis->loop, &redis->cluster->timer, loop_now_us(redis->loop) + in_us);
}

static struct redis_link *any_link(struct redis *redis)
{
    uint32_t from = (uint32_t)(random_u64() % redis->link_count);

    for (uint32_t i = 0; i < redis->link_count; i++) {
        struct redis_link *link = &redis->links[(from + i) % redis->link_count];

        if (link->is_open && link_takes(link))
            return link;
    }
    return NULL;
}

struct redis_link *cluster_link_for(struct redis *redis, struct str key)
{
    uint8_t number;

    if (key.len == 0)
        return any_link(redis);
    number = redis->cluster->slots[redis_slot(key)];
    if (number != REDIS_NO_LINK)
        return &redis->links[number];
    cluster_ask_soon(redis); /* nobody's now; not for long, perhaps */
    return NULL;
}

struct redis_link *cluster_link_at(struct redis *redis, const struct redis_place *place)
{
    struct redis_link *spare = NULL;

    for (uint32_t i = 0; i < redis->link_count; i++) {
        struct redis_link *link = &redis->links[i];

        if (link->is_open && place_eq(&link->place, place))
            return link;
        if (!link->is_open && link->state == LINK_DOWN && link->doom == NULL && spare == NULL)
            spare = link;
    }
    if (spare == NULL)
        return NULL;
    if (spare->redis != NULL)
        link_release(spare);
    link_open(redis, spare, place, LINK_DATA);
    return spare;
}

/* ---- the map ---- */

static bool read_node(const struct redis_reply *node, const struct redis_place *asked,
                      struct redis_place *place)
{
    const struct redis_reply *host = redis_item(node, 0), *port = redis_item(node, 1);

    if (host == NULL || port == NULL || port->form != REDIS_INTEGER || port->integer <= 0 ||
        port->integer > UINT16_MAX)
        return false;
    *place = (struct redis_place){.port = (uint16_t)port->integer};
    if (host->form == REDIS_STRING && host->text.len > 0 && !str_eq(host->text, STR("?"))) {
        if (host->text.len > REDIS_MAX_HOST_BYTES)
            return false;
        memcpy(place->host, host->text.ptr, host->text.len);
    } else {
        memcpy(place->host, asked->host, sizeof(place->host)); /* it does not know its address */
    }
    return true;
}

bool cluster_read_slots(const struct redis_reply *reply, const struct redis_place *asked,
                        slot_range_fn *range, void *arg)
{
    if (reply == NULL || reply->form != REDIS_ARRAY || reply->count > REDIS_SLOTS)
        return false;
    for (size_t i = 0; i < reply->count; i++) {
        const struct redis_reply *row = reply->items[i];
        const struct redis_reply *first = redis_item(row, 0), *last = redis_item(row, 1);
        struct redis_place place;

        if (first == NULL || last == NULL || first->form != REDIS_INTEGER ||
            last->form != REDIS_INTEGER || first->integer < 0 || last->integer < first->integer ||
            last->integer >= REDIS_SLOTS || !read_node(redis_item(row, 2), asked, &place))
            return false;
        range(arg, (uint32_t)first->integer, (uint32_t)last->integer, &place);
    }
    return true;
}

static void count_range(void *arg, uint32_t first, uint32_t last, const struct redis_place *place)
{
    (void)place;
    *(uint32_t *)arg += last - first + 1;
}

static void take_range(void *arg, uint32_t first, uint32_t last, const struct redis_place *place)
{
    struct redis *redis = arg;
    struct redis_link *link = cluster_link_at(redis, place);

    if (link == NULL)
        return;
    link->is_seen = true;
    for (uint32_t slot = first; slot <= last; slot++)
        redis->cluster->slots[slot] = (uint8_t)(link - redis->links);
}

static bool is_seed(const struct redis *redis, const struct redis_link *link)
{
    for (uint32_t i = 0; i < redis->options.url.place_count; i++)
        if (place_eq(&redis->options.url.places[i], &link->place))
            return true;
    return false;
}

static void close_unseen(struct redis *redis)
{
    for (uint32_t i = 0; i < redis->link_count; i++) {
        struct redis_link *link = &redis->links[i];

        if (!link->is_open || link->is_seen || is_seed(redis, link))
            continue;
        link->is_open = false;
        link_doom(link, "it is no master of the Cluster any more");
    }
}

static void on_slots(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct redis_link *asked = arg;
    struct redis *redis = asked->redis;
    struct cluster *cluster = redis->cluster;
    struct redis_place place = asked->place;
    uint32_t covered = 0;

    cluster->is_asking = false;
    if (outcome != REDIS_OK || !cluster_read_slots(reply, &place, count_range, &covered) ||
        covered == 0) {
        ask_at(redis, AGAIN_US);
        return;
    }
    for (uint32_t i = 0; i < redis->link_count; i++)
        redis->links[i].is_seen = false;
    memset(cluster->slots, REDIS_NO_LINK, sizeof(cluster->slots));
    (void)cluster_read_slots(reply, &place, take_range, redis);
    close_unseen(redis);
    cluster->has_map = true;
    ask_at(redis, POLL_US);
    redis_link_changed(asked);
}

static void ask(void *arg)
{
    static const char *const words[] = {"CLUSTER", "SLOTS", NULL};
    struct redis *redis = arg;
    struct redis_link *link = any_link(redis);
    uint64_t now_us = loop_now_us(redis->loop);

    if (redis->cluster->is_asking)
        return;
    redis->cluster->asked_us = now_us;
    redis->cluster->is_asking =
        link != NULL && call_internal(link, words, now_us + PATIENCE_US, on_slots, link);
    if (!redis->cluster->is_asking)
        ask_at(redis, AGAIN_US);
}

void cluster_ask_soon(struct redis *redis)
{
    struct cluster *cluster = redis->cluster;
    uint64_t now_us = loop_now_us(redis->loop), due_us = cluster->asked_us + AGAIN_US;

    if (!cluster->is_asking)
        ask_at(redis, due_us > now_us ? due_us - now_us : 0);
}

void cluster_link_changed(struct redis *redis, struct redis_link *link)
{
    if (!redis->cluster->has_map || (link->is_open && link->state == LINK_DOWN))
        cluster_ask_soon(redis);
}

bool cluster_start(struct redis *redis)
{
    struct cluster *cluster = calloc(1, sizeof(*cluster));

    if (cluster == NULL)
        return false;
    redis->cluster = cluster;
    memset(cluster->slots, REDIS_NO_LINK, sizeof(cluster->slots));
    cluster->timer = (struct deadline){.fn = ask, .arg = redis};
    for (uint32_t i = 0; i < redis->options.url.place_count; i++)
        (void)cluster_link_at(redis, &redis->options.url.places[i]);
    return true;
}

void cluster_stop(struct redis *redis)
{
    if (redis->cluster != NULL)
        deadline_clear(redis->loop, &redis->cluster->timer);
}
