/* bus.c - begin, end, and messages on their way out.
 *
 * Messages of any thread go through a stack that the loop empties; from there one at a time
 * into the stream, so that they keep their order and one whose answer was lost is sent again (a
 * message may then stand there twice, so what it says must bear that). The stream is kept to
 * about 100,000 messages by the server.
 *
 * Threads: bus_publish() and bus_live() any, the rest the loop's. */
#include "bus/bus_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define ADD_US 1000000

static void on_added(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct bus *bus = arg;
    struct message *sent = bus->first;
    struct bus_place place;

    bus->adding = NULL;
    if (outcome == REDIS_LATE || outcome == REDIS_LOST || outcome == REDIS_NOT_READY ||
        outcome == REDIS_READONLY)
        return; /* again, with the next beat or when the store is back */
    if (outcome == REDIS_OK && place_read(reply->text, &place))
        bus->newest = place;
    else
        log_line(LOG_WARN, "store: a message to the other gateways was refused: %s",
                 redis_outcome_word(outcome));
    bus->first = sent->next;
    if (bus->first == NULL)
        bus->last = NULL;
    free(sent);
    atomic_fetch_sub(&bus->waiting, 1);
    bus_add_next(bus);
    if (bus->first == NULL)
        beat_now(bus);
}

void bus_add_next(struct bus *bus)
{
    struct message *message = bus->first;

    if (message == NULL || bus->adding != NULL)
        return;
    struct str words[] = {STR("XADD"),   str_of(bus->stream),
                          STR("MAXLEN"), STR("~"),
                          STR("100000"), STR("*"),
                          STR("o"),      str_of(bus->own),
                          STR("k"),      str_of(message->kind),
                          STR("p"),      str_at(message->payload, message->len)};
    struct redis_command command = {.words = words,
                                    .count = COUNT_OF(words),
                                    .key = str_of(bus->stream),
                                    .deadline_us = loop_now_us(bus->loop) + ADD_US,
                                    .fn = on_added,
                                    .arg = bus};
    bus->adding = redis_send(bus->writer, &command);
}

static void take_inbox(void *arg)
{
    struct bus *bus = arg;
    struct message *newest, *oldest = NULL;

    atomic_store(&bus->is_posted, false);
    newest = atomic_exchange(&bus->inbox, NULL);
    while (newest != NULL) {
        struct message *older = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = older;
    }
    while (oldest != NULL) {
        struct message *message = oldest;

        oldest = message->next;
        message->next = NULL;
        if (bus->last == NULL)
            bus->first = message;
        else
            bus->last->next = message;
        bus->last = message;
    }
    bus_add_next(bus);
}

bool bus_publish(struct bus *bus, const char *kind, struct str payload)
{
    struct message *message, *newest;

    if (payload.len > BUS_MAX_PAYLOAD)
        return false;
    if (atomic_fetch_add(&bus->waiting, 1) >= BUS_MAX_WAITING ||
        (message = malloc(sizeof(*message) + payload.len)) == NULL) {
        atomic_fetch_sub(&bus->waiting, 1);
        return false;
    }
    message->kind = kind;
    message->len = payload.len;
    if (payload.len > 0)
        memcpy(message->payload, payload.ptr, payload.len);
    newest = atomic_load(&bus->inbox);
    do {
        message->next = newest;
    } while (!atomic_compare_exchange_weak(&bus->inbox, &newest, message));
    if (!atomic_exchange(&bus->is_posted, true))
        loop_post(bus->loop, &bus->post);
    return true;
}

void bus_subscribe(struct bus *bus, const char *kind, bus_fn *fn, bus_gap_fn *gap, void *arg)
{
    CHECK(bus->kind_count < BUS_MAX_KINDS);
    bus->kinds[bus->kind_count].kind = kind;
    bus->kinds[bus->kind_count].fn = fn;
    bus->kinds[bus->kind_count].gap = gap;
    bus->kinds[bus->kind_count++].arg = arg;
}

void bus_follow(struct bus *bus, const struct bus_follower *follower)
{
    bus->follower = *follower;
}

uint32_t bus_live(const struct bus *bus)
{
    return atomic_load_explicit(&bus->live, memory_order_relaxed);
}

struct redis *bus_redis(struct bus *bus)
{
    return bus->writer;
}

static void on_writer(void *arg, bool is_up, struct str why)
{
    struct bus *bus = arg;

    if (is_up) {
        bus_add_next(bus);
        beat_now(bus);
    }
    if (bus->changed != NULL)
        bus->changed(bus->changed_arg, is_up, why);
}

static void on_reader(void *arg, bool is_up, struct str why)
{
    struct bus *bus = arg;

    (void)why;
    if (is_up)
        read_on(bus);
    else
        read_lost(bus);
}

struct bus *bus_new(struct loop *loop, const struct bus_options *options)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    struct redis_options redis = {.url = options->url, .sheet = options->sheet, .arg = bus};

    if (bus == NULL)
        return NULL;
    bus->loop = loop;
    bus->changed = options->changed;
    bus->changed_arg = options->arg;
    bus->post = (struct post){take_inbox, bus, NULL};
    bus->live = 1;
    (void)hex_write(bus->own, random_u64(), 16);
    /* one hash tag: a script touches the hash alone, but an operator may want them together */
    snprintf(bus->stream, sizeof(bus->stream), "%.*s{events}", STR_ARG(options->prefix));
    snprintf(bus->hash, sizeof(bus->hash), "%.*s{events}:gateways", STR_ARG(options->prefix));
    redis.name = "gateway-main";
    redis.changed = on_writer;
    bus->writer = redis_new(loop, &redis);
    redis.name = "gateway-events";
    redis.changed = on_reader;
    redis.sheet = NULL; /* its commands wait on purpose: their times would say nothing */
    redis.stall_ms = 10000;
    bus->reader = redis_new(loop, &redis);
    if (bus->writer == NULL || bus->reader == NULL) {
        bus_free(&bus);
        return NULL;
    }
    read_lost(bus);
    beat_begin(bus);
    return bus;
}

static void free_messages(struct message *message)
{
    while (message != NULL) {
        struct message *next = message->next;

        free(message);
        message = next;
    }
}

void bus_free(struct bus **bus)
{
    struct bus *old = *bus;

    *bus = NULL;
    if (old == NULL)
        return;
    redis_free(&old->reader);
    redis_free(&old->writer);
    deadline_clear(old->loop, &old->blind);
    beat_end(old);
    free_messages(atomic_load(&old->inbox));
    free_messages(old->first);
    free(old);
}
