/* read.c - the stream in: from where we were, blocking, each message to its subscriber.
 *
 * After every reconnect the message that we read last is looked for. If it is gone, the stream
 * was trimmed past us or its data was lost in a failover: what stood between is unknown, the
 * subscribers are told, and reading goes on from the stream's end.
 *
 * One thread: the loop's. */
#include "bus/bus_priv.h"

#include <stdio.h>

enum { BLOCK_MS = 2000, READ_MS = 8000 };

bool place_read(struct str text, struct bus_place *place)
{
    size_t dash = str_find(text, '-');

    return dash < text.len && str_to_u64(str_at(text.ptr, dash), &place->ms) &&
           str_to_u64(str_from(text, dash + 1), &place->number);
}

static void say_gap(struct bus *bus, bool is_lost)
{
    for (uint32_t i = 0; i < bus->kind_count; i++)
        if (bus->kinds[i].gap != NULL)
            bus->kinds[i].gap(bus->kinds[i].arg, is_lost);
}

static void say_heard(struct bus *bus)
{
    if (bus->follower.heard != NULL)
        bus->follower.heard(bus->follower.arg, &bus->read);
}

static void on_blind(void *arg)
{
    struct bus *bus = arg;

    say_gap(bus, false);
    (void)!deadline_set(bus->loop, &bus->blind,
                        loop_now_us(bus->loop) + (uint64_t)BUS_BLIND_MS * 1000);
}

void read_lost(struct bus *bus)
{
    bus->is_checked = false;
    if (bus->follower.stops != NULL)
        bus->follower.stops(bus->follower.arg);
    redis_cancel(&bus->reading); /* a late reply would begin a second chain of reads */
    if (deadline_is_set(&bus->blind))
        return;
    bus->blind = (struct deadline){.fn = on_blind, .arg = bus};
    (void)!deadline_set(bus->loop, &bus->blind,
                        loop_now_us(bus->loop) + (uint64_t)BUS_BLIND_MS * 1000);
}

static void send_words(struct bus *bus, const struct str *words, size_t count, redis_reply_fn *fn)
{
    struct redis_command command = {.words = words,
                                    .count = count,
                                    .key = str_of(bus->stream),
                                    .deadline_us = loop_now_us(bus->loop) + READ_MS * 1000,
                                    .fn = fn,
                                    .arg = bus};

    bus->reading = redis_send(bus->reader, &command);
}

static const char *known_kind(const struct bus *bus, struct str kind)
{
    for (uint32_t i = 0; i < bus->kind_count; i++)
        if (str_eq(kind, str_of(bus->kinds[i].kind)))
            return bus->kinds[i].kind;
    return "";
}

static void deliver(struct bus *bus, const struct bus_place *at, const struct redis_reply *fields)
{
    enum bus_origin whose = BUS_OTHERS;

    struct str origin = STR_NONE, kind = STR_NONE, payload = STR_NONE;

    for (size_t i = 0; fields != NULL && i + 1 < fields->count; i += 2) {
        struct str name = redis_item(fields, i)->text, value = redis_item(fields, i + 1)->text;

        if (str_eq(name, STR("o")))
            origin = value;
        else if (str_eq(name, STR("k")))
            kind = value;
        else if (str_eq(name, STR("p")))
            payload = value;
    }
    if (str_eq(origin, str_of(bus->own)))
        whose = BUS_OWN;
    else if (place_reached(bus->past_until, *at))
        whose = BUS_PAST;
    if (bus->follower.comes != NULL)
        bus->follower.comes(bus->follower.arg, at, known_kind(bus, kind), whose, payload);
    if (whose != BUS_OTHERS)
        return;
    for (uint32_t i = 0; i < bus->kind_count; i++)
        if (str_eq(kind, str_of(bus->kinds[i].kind)))
            bus->kinds[i].fn(bus->kinds[i].arg, payload);
}

/* Rows of [id, [field, value, …]]. */
static uint32_t take_rows(struct bus *bus, const struct redis_reply *rows)
{
    uint32_t taken = 0;

    for (size_t i = 0; rows != NULL && rows->form == REDIS_ARRAY && i < rows->count; i++) {
        const struct redis_reply *row = rows->items[i], *id = redis_item(row, 0);
        const struct redis_reply *fields = redis_item(row, 1);
        struct bus_place place;

        if (id == NULL || !place_read(id->text, &place))
            continue;
        if (fields != NULL && fields->form == REDIS_ARRAY)
            deliver(bus, &place, fields);
        bus->read = place;
        taken++;
    }
    return taken;
}

static void on_rows(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct bus *bus = arg;

    bus->reading = NULL;
    if (outcome == REDIS_OK && take_rows(bus, redis_item(redis_item(reply, 0), 1)) > 0)
        beat_now(bus);
    if (outcome == REDIS_OK) {
        say_heard(bus);
        read_on(bus);
    }
    /* else: the next beat tries again */
}

/* The stream's last messages, newest first: [[id, …], …], or nothing. A newcomer reads them,
 * because what it finds in the store may be older than they are; who has lost some begins at the
 * end. */
static void on_end(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct bus *bus = arg;
    struct bus_place end = {0, 0};
    size_t first = outcome == REDIS_OK && reply->count > 0 && !bus->was_lost ? reply->count - 1 : 0;
    const struct redis_reply *newest = redis_item(redis_item(reply, 0), 0);
    const struct redis_reply *oldest = redis_item(redis_item(reply, first), 0);

    bus->reading = NULL;
    if (outcome != REDIS_OK)
        return;
    bus->read = (struct bus_place){0, 0};
    if (newest != NULL)
        (void)place_read(newest->text, &end);
    if (oldest != NULL)
        (void)place_read(oldest->text, &bus->read);
    bus->past_until = end;
    bus->has_read = bus->is_checked = true;
    if (bus->follower.begins != NULL)
        bus->follower.begins(bus->follower.arg, &bus->read, &end, bus->was_lost);
    say_heard(bus);
    bus->was_lost = false;
    read_on(bus);
}

static void on_looked(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct bus *bus = arg;

    bus->reading = NULL;
    if (outcome != REDIS_OK)
        return;
    if (reply->count == 0) {
        log_line(LOG_WARN, "store: messages of other gateways were lost while it was away");
        say_gap(bus, true);
        bus->has_read = false;
        bus->was_lost = true;
    } else {
        say_heard(bus);
    }
    bus->is_checked = true;
    read_on(bus);
}

void read_on(struct bus *bus)
{
    char at[48];
    struct str place, stream = str_of(bus->stream);

    if (bus->reading != NULL || !redis_is_up(bus->reader))
        return;
    snprintf(at, sizeof(at), "%" PRIu64 "-%" PRIu64, bus->read.ms, bus->read.number);
    place = str_of(at);
    deadline_clear(bus->loop, &bus->blind);
    if (!bus->has_read) {
        struct str words[] = {STR("XREVRANGE"), stream,
                              STR("+"),         STR("-"),
                              STR("COUNT"),     bus->was_lost ? STR("1") : STR("1000")};

        send_words(bus, words, COUNT_OF(words), on_end);
    } else if (!bus->is_checked && bus->read.ms != 0) {
        struct str words[] = {STR("XRANGE"), stream, place, place};

        send_words(bus, words, COUNT_OF(words), on_looked);
    } else {
        struct str words[] = {STR("XREAD"), STR("COUNT"),   STR("500"), STR("BLOCK"),
                              STR("2000"),  STR("STREAMS"), stream,     place};

        _Static_assert(BLOCK_MS == 2000, "stands in the command too");
        send_words(bus, words, COUNT_OF(words), on_rows);
    }
}
