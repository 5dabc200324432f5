/* beat.c - signs of life, and who has applied what.
 *
 * Each second, and at once after a message was read, one script writes how far we are into a hash
 * and answers how far the others are. Times are the server's, so that no two gateways' clocks
 * are compared. Whoever gave no sign for three seconds is not counted; after a minute the
 * field is dropped. Waiters ask again each ten milliseconds until all have applied.
 *
 * One thread: the loop's. */
#include "bus/bus_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define BEAT_US  1000000
#define HURRY_US 10000
#define REPLY_US 500000

static const char source[] =
    "local t=redis.call('TIME')\n"
    "local now=t[1]*1000+math.floor(t[2]/1000)\n"
    "redis.call('HSET',KEYS[1],ARGV[1],string.format('%.0f %s',now,ARGV[2]))\n"
    "local all,live=redis.call('HGETALL',KEYS[1]),{}\n"
    "for i=1,#all,2 do\n"
    " local at,place=string.match(all[i+1],'^(%d+) (%d+%-%d+)$')\n"
    " if not at or now-tonumber(at)>60000 then redis.call('HDEL',KEYS[1],all[i])\n"
    " elseif now-tonumber(at)<=3000 then live[#live+1]=place end\n"
    "end\n"
    "return live\n";

static const struct redis_script *script(void)
{
    static struct redis_script made; /* the main thread's, which makes the only bus */

    if (made.source.ptr == NULL)
        redis_script_init(&made, str_at(source, sizeof(source) - 1));
    return &made;
}

/* Answers the waiters whose time is up, or all when everybody has applied. */
static void tell(struct bus *bus, uint32_t known, uint32_t applied, bool is_known)
{
    struct waiter **at = &bus->waiters, *told = NULL;
    uint64_t now_us = loop_now_us(bus->loop);
    bool is_all = is_known && atomic_load(&bus->waiting) == 0 && applied == known;

    while (*at != NULL) {
        struct waiter *waiter = *at;

        if (!is_all && now_us < waiter->until_us) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->next = told;
        told = waiter;
    }
    while (told != NULL) {
        struct waiter *waiter = told;

        told = waiter->next;
        waiter->told(waiter->arg, known, applied > 0 ? applied : 1);
        free(waiter);
    }
}

static void on_beat(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct bus *bus = arg;
    uint32_t known = 0, applied = 0;

    bus->beating = NULL;
    if (outcome != REDIS_OK || reply->form != REDIS_ARRAY) {
        tell(bus, bus_live(bus), 1, false);
        return;
    }
    for (size_t i = 0; i < reply->count; i++) {
        struct bus_place place;

        if (!place_read(reply->items[i]->text, &place))
            continue;
        known++;
        applied += place_reached(place, bus->newest);
    }
    atomic_store_explicit(&bus->live, known > 0 ? known : 1, memory_order_relaxed);
    tell(bus, known, applied, true);
    if (bus->beats_again)
        beat_now(bus);
}

void beat_now(struct bus *bus)
{
    char at[48];

    bus->beats_again = bus->beating != NULL;
    if (bus->beating != NULL)
        return;
    snprintf(at, sizeof(at), "%" PRIu64 "-%" PRIu64, bus->read.ms, bus->read.number);
    struct str words[] = {STR("1"), str_of(bus->hash), str_of(bus->own), str_of(at)};
    struct redis_command command = {.words = words,
                                    .count = COUNT_OF(words),
                                    .script = script(),
                                    .key = str_of(bus->hash),
                                    .deadline_us = loop_now_us(bus->loop) + REPLY_US,
                                    .fn = on_beat,
                                    .arg = bus};
    bus->beating = redis_send(bus->writer, &command);
}

static void on_time(void *arg)
{
    struct bus *bus = arg;
    uint64_t now_us = loop_now_us(bus->loop);

    bus_add_next(bus);
    read_on(bus);
    beat_now(bus);
    if (bus->beating == NULL)
        tell(bus, bus_live(bus), 1, false);
    (void)!deadline_set(bus->loop, &bus->beat, now_us + (bus->waiters ? HURRY_US : BEAT_US));
}

bool bus_wait(struct bus *bus, bus_told_fn *told, void *arg)
{
    struct waiter *waiter = malloc(sizeof(*waiter));
    uint64_t now_us = loop_now_us(bus->loop);

    if (waiter == NULL)
        return false;
    *waiter = (struct waiter){bus->waiters, told, arg, now_us + (uint64_t)BUS_ACK_MS * 1000};
    bus->waiters = waiter;
    (void)!deadline_set(bus->loop, &bus->beat, now_us + HURRY_US);
    return true;
}

void beat_begin(struct bus *bus)
{
    bus->beat = (struct deadline){.fn = on_time, .arg = bus};
    (void)!deadline_set(bus->loop, &bus->beat, loop_now_us(bus->loop) + BEAT_US);
}

void beat_end(struct bus *bus)
{
    deadline_clear(bus->loop, &bus->beat);
    while (bus->waiters != NULL) {
        struct waiter *waiter = bus->waiters;

        bus->waiters = waiter->next;
        free(waiter);
    }
}
