/* pulse.c - how many gateways share the store: each says every two seconds that it lives.
 *
 * A sorted set by the server's clock; who was silent for seven seconds is dropped by whoever
 * comes next, and the set itself dies when nobody comes. The last number known is what a
 * gateway's share is reckoned by when the server is away. One worker's thread; one for a
 * process. */
#include "limit/link_priv.h"

#include <stdatomic.h>

enum { EVERY_US = 2000000 };

/* clang-format off */
static const char source[] =
"local t = redis.call('TIME')\n"
"local now = tonumber(t[1])\n"
"redis.call('ZADD', KEYS[1], now, ARGV[1])\n"
"redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 7)\n"
"redis.call('EXPIRE', KEYS[1], 20)\n"
"return redis.call('ZCARD', KEYS[1])\n";
/* clang-format on */

static void on_count(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct limit_store *store = arg;

    if (outcome == REDIS_OK && reply->form == REDIS_INTEGER && reply->integer > 0 &&
        reply->integer < UINT32_MAX)
        atomic_store_explicit(&store->limiter->live_gateways, (uint32_t)reply->integer,
                              memory_order_relaxed);
}

static void beat(void *arg)
{
    struct limit_store *store = arg;

    pulse_now(store);
    CHECK(deadline_set(store->loop, &store->pulse, loop_now_us(store->loop) + EVERY_US));
}

void pulse_now(struct limit_store *store)
{
    char key[PACKED_KEY_BYTES];
    struct str words[3] = {STR("1"), STR_NONE, str_of(store->id)};
    struct redis_command command = {.words = words,
                                    .count = COUNT_OF(words),
                                    .script = &store->pulse_script,
                                    .deadline_us = loop_now_us(store->loop) + EVERY_US,
                                    .fn = on_count,
                                    .arg = store};

    memcpy(key, store->prefix.ptr, store->prefix.len);
    memcpy(key + store->prefix.len, "gateways", sizeof("gateways"));
    words[1] = str_of(key);
    command.key = words[1];
    (void)redis_send(store->redis, &command); /* away: the last number stays */
}

void pulse_init(struct limit_store *store)
{
    redis_script_init(&store->pulse_script, str_of(source));
    store->pulse = (struct deadline){.fn = beat, .arg = store};
    *hex_write(store->id, random_u64(), 16) = '\0';
    if (store->has_pulse)
        CHECK(deadline_set(store->loop, &store->pulse, loop_now_us(store->loop) + EVERY_US));
}

void pulse_stop(struct limit_store *store)
{
    deadline_clear(store->loop, &store->pulse);
}
