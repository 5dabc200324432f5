/* violations.c - refusals by limits, in a stream of the store, for who watches them elsewhere.
 *
 * The stream is `<prefix>violations`, its field `event` is the row that /system/events tells of a
 * limit_violation. Rows come from the ring of events, so an attack is bounded there already, by a
 * rate; the stream is kept to about MOST entries. While the store is away the ring waits; what it
 * overwrites meanwhile is not told, nor what was sent and lost on its way. Main thread. */
#include "redis/redis.h"
#include "worker/process_priv.h"

enum { AT_ONCE = 64 }; /* rows, each time */
#define MOST "10000"

void violations_tell(struct gateway *g)
{
    const struct str prefix = request_rules_config(g->rules)->store.prefix;
    struct event_row row;
    char key[128];

    if (g->bus == NULL || !redis_is_up(bus_redis(g->bus)))
        return;
    CHECK(prefix.len + sizeof("violations") <= sizeof(key));
    memcpy(key, prefix.ptr, prefix.len);
    memcpy(key + prefix.len, "violations", sizeof("violations"));
    for (int i = 0; i < AT_ONCE && events_read(g->shared.events, &g->told_until, &row); i++) {
        struct str words[] = {STR("XADD"), str_of(key), STR("MAXLEN"), STR("~"),
                              STR(MOST),   STR("*"),    STR("event"),  str_at(row.text, row.len)};
        struct redis_command command = {.words = words, .count = COUNT_OF(words), .key = words[1]};

        if (row.kind == EVENT_LIMIT)
            (void)redis_send(bus_redis(g->bus), &command);
    }
}
