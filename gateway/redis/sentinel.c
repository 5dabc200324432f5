/* sentinel.c - who is the master, asked of the Sentinels.
 *
 * One of them is asked each second, and at once when the master is lost or turns out to be a
 * replica; when it does not know or is away, the next one is. A poll instead of their
 * "+switch-master" messages: a subscription that died unseen would leave us with the old
 * master, a poll that died is seen at its deadline. The old master's answers are not used
 * further than one poll either.
 *
 * One thread: the loop's. */
#include "redis/redis_priv.h"

#include <stdlib.h>

#define POLL_US     1000000
#define HURRY_US    100000
#define PATIENCE_US 500000

static void ask_at(struct redis *redis, uint64_t in_us)
{
    (void)!deadline_set(redis->loop, &redis->sentinel->timer, loop_now_us(redis->loop) + in_us);
}

static void ask_the_next(struct redis *redis)
{
    struct sentinel *sentinel = redis->sentinel;
    const struct redis_url *url = &redis->options.url;

    if (url->place_count == 1)
        return;
    sentinel->place = (sentinel->place + 1) % url->place_count;
    link_retarget(&sentinel->link, &url->places[sentinel->place]);
}

static bool read_master(const struct redis_reply *reply, struct redis_place *place)
{
    const struct redis_reply *host = redis_item(reply, 0), *port = redis_item(reply, 1);
    uint64_t number;

    if (host == NULL || port == NULL || host->form != REDIS_STRING || port->form != REDIS_STRING ||
        host->text.len == 0 || host->text.len > REDIS_MAX_HOST_BYTES ||
        !str_to_u64(port->text, &number) || number == 0 || number > UINT16_MAX)
        return false;
    *place = (struct redis_place){.port = (uint16_t)number};
    memcpy(place->host, host->text.ptr, host->text.len);
    return true;
}

static void on_master(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct redis *redis = arg;
    struct redis_link *master = &redis->links[0];
    struct redis_place place;

    if (outcome != REDIS_OK || !read_master(reply, &place)) {
        ask_the_next(redis);
        ask_at(redis, HURRY_US);
        return;
    }
    if (master->redis == NULL)
        link_open(redis, master, &place, LINK_DATA);
    else if (!place_eq(&master->place, &place))
        link_retarget(master, &place);
    else
        link_try_now(master);
    ask_at(redis, link_takes(master) ? POLL_US : HURRY_US * 2);
}

static void ask(void *arg)
{
    struct redis *redis = arg;
    struct redis_link *link = &redis->sentinel->link;
    const char *words[] = {"SENTINEL", "get-master-addr-by-name", redis->options.url.master, NULL};

    if (link->state == LINK_UP &&
        call_internal(link, words, loop_now_us(redis->loop) + PATIENCE_US, on_master, redis))
        return;
    if (link->state == LINK_DOWN)
        ask_the_next(redis);
    ask_at(redis, HURRY_US);
}

bool sentinel_start(struct redis *redis)
{
    struct sentinel *sentinel = calloc(1, sizeof(*sentinel));

    if (sentinel == NULL)
        return false;
    redis->sentinel = sentinel;
    sentinel->timer = (struct deadline){.fn = ask, .arg = redis};
    link_open(redis, &sentinel->link, &redis->options.url.places[0], LINK_SENTINEL);
    ask_at(redis, HURRY_US);
    return true;
}

void sentinel_stop(struct redis *redis)
{
    if (redis->sentinel == NULL)
        return;
    deadline_clear(redis->loop, &redis->sentinel->timer);
    link_silence(&redis->sentinel->link);
}

void sentinel_link_changed(struct redis *redis)
{
    bool is_lost = redis->links[0].redis == NULL || redis->links[0].state == LINK_DOWN;

    if (is_lost && redis->sentinel->link.state == LINK_UP)
        ask_at(redis, redis->links[0].failures > 1 ? HURRY_US : 0);
}
