/* hold_link.c - requests at a time in Redis: a lease for each gateway's worker, which dies with it.
 *
 * A key's record is a hash: a field for each holder with how many it has and until when that may be
 * believed, by the server's clock. Who asks says first how many it holds, as a whole number and not
 * as a difference, so that a lost answer, a flushed or another server is mended by the next word.
 * For that, one question for a key is on its way at a time; who comes meanwhile goes with the next.
 * Every two seconds what is held is told anew, and after six without a word it is nobody's:
 * a gateway that was killed holds nothing longer than that. What was given back is told at the end
 * of the turn, and nobody waits for the answer.
 *
 * One worker's thread. */
#include "limit/hold_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define RENEW_US 2000000
#define LEASE_MS "6000"

/* clang-format off */
/* KEYS: records. ARGV: the holder, the lease in ms, and for each key: held, wanted, the limit.
 * Reply: for each key how many were granted, and how many there are now. */
static const char source[] =
"local t = redis.call('TIME')\n"
"local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
"local me, lease, out = ARGV[1], tonumber(ARGV[2]), {}\n"
"for k = 1, #KEYS do\n"
"  local key, others = KEYS[k], 0\n"
"  local mine, want, most = tonumber(ARGV[3 * k]), tonumber(ARGV[3 * k + 1]), tonumber(ARGV[3 * k + 2])\n"
"  local all = redis.pcall('HGETALL', key)\n"
"  if all.err then redis.call('DEL', key) all = {} end\n"
"  for i = 1, #all, 2 do\n"
"    if all[i] ~= me then\n"
"      local count, till = string.match(all[i + 1], '^(%d+) (%d+)$')\n"
"      local left = till and till - now or 0\n"
"      if left > 0 and left <= 2 * lease then others = others + count else redis.call('HDEL', key, all[i]) end\n"
"    end\n"
"  end\n"
"  local granted = math.max(0, math.min(want, most - mine - others))\n"
"  mine = mine + granted\n"
"  if mine > 0 then\n"
"    redis.call('HSET', key, me, string.format('%d %.0f', mine, now + lease))\n"
"    redis.call('PEXPIRE', key, lease)\n"
"  else redis.call('HDEL', key, me) end\n"
"  out[2 * k - 1], out[2 * k] = granted, others + mine\n"
"end\n"
"return out\n";
/* clang-format on */

enum { NAME_BYTES = 64 + 48, NUMBERS = 3 };

/* Keys of one command. */
struct message {
    struct held_key *at[HOLD_ASKS_MOST];
    uint32_t count;
};

static void flush(void *arg);

void holds_ask_soon(struct limit_holds *holds, struct held_key *key)
{
    if (key->is_in_turn || key->is_asked)
        return; /* after the answer */
    key->is_in_turn = true;
    key->next_in_turn = holds->turn;
    holds->turn = key;
    if (holds->is_flush_asked)
        return;
    holds->is_flush_asked = true;
    holds->flush = (struct turn_end){.fn = flush, .arg = holds};
    loop_at_turn_end(holds->store->loop, &holds->flush);
}

/* ---- answers ---- */

static void unlink_ask(struct hold_ask *ask)
{
    *ask->back = ask->next;
    if (ask->next != NULL)
        ask->next->back = ask->back;
    ask->holds->ask_count--;
    free(ask);
}

static void go_on(struct limit_holds *holds, struct held_key *key)
{
    if (key->waits != NULL || key->is_changed)
        holds_ask_soon(holds, key);
    else
        held_release(holds, key);
}

/* Nobody answered in time, or at all: whoever waits goes on without. */
static void answer_none(struct hold_ask *ask, bool is_late)
{
    for (uint32_t i = 0; i < ask->count; i++) {
        struct held_key *key = ask->at[i];

        held_answer(ask->holds, key, false, 0, 0);
        if (!is_late)
            continue;
        key->is_late = true;
        key->asked = key->waits; /* their question would come after it */
        key->waits = key->waits_last = NULL;
        held_answer(ask->holds, key, false, 0, 0);
    }
}

/* Until now its keys were kept. */
static void end_ask(struct hold_ask *ask)
{
    struct limit_holds *holds = ask->holds;

    for (uint32_t i = 0; i < ask->count; i++) {
        ask->at[i]->is_asked = ask->at[i]->is_late = false;
        go_on(holds, ask->at[i]);
    }
    unlink_ask(ask);
}

static uint32_t number_of(const struct redis_reply *reply, size_t index)
{
    const struct redis_reply *item = redis_item(reply, index);

    return item->integer < 0 || item->integer > UINT32_MAX ? 0 : (uint32_t)item->integer;
}

static bool is_sound(const struct redis_reply *reply, uint32_t count)
{
    if (reply->form != REDIS_ARRAY || reply->count != 2 * (size_t)count)
        return false;
    for (size_t i = 0; i < reply->count; i++)
        if (redis_item(reply, i)->form != REDIS_INTEGER)
            return false;
    return true;
}

static void on_reply(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct hold_ask *ask = arg;

    if (outcome == REDIS_LATE) {
        answer_none(ask, true);
        return; /* until its answer comes, or will not come */
    }
    if (outcome != REDIS_OK || !is_sound(reply, ask->count)) {
        answer_none(ask, false);
        end_ask(ask);
        return;
    }
    for (uint32_t i = 0; i < ask->count; i++)
        held_answer(ask->holds, ask->at[i], true, number_of(reply, 2 * i),
                    number_of(reply, 2 * i + 1));
    end_ask(ask);
}

/* What it granted nobody has: is_changed stands since it was late, and the next word mends it. */
static void on_late(void *arg, const uint8_t note[REDIS_NOTE_BYTES], enum redis_outcome outcome,
                    const struct redis_reply *reply)
{
    struct hold_ask *ask;

    (void)arg, (void)outcome, (void)reply;
    memcpy(&ask, note, sizeof(ask));
    end_ask(ask);
}

/* ---- questions ---- */

static uint32_t wanted(const struct held_key *key)
{
    uint32_t count = 0;

    for (const struct limit_hold_part *part = key->waits; part != NULL; part = part->next)
        count++;
    return count;
}

static struct str write_number(char to[U64_DIGITS], uint64_t value)
{
    return str_at(to, u64_write(to, value));
}

static bool send_words(struct limit_holds *holds, const struct message *message,
                       struct redis_command *command)
{
    char names[HOLD_ASKS_MOST][NAME_BYTES], numbers[HOLD_ASKS_MOST][NUMBERS][U64_DIGITS];
    char count[U64_DIGITS];
    struct str words[1 + 2 + HOLD_ASKS_MOST * (1 + NUMBERS)];
    struct str *rest = words + 1 + message->count;

    words[0] = write_number(count, message->count);
    *rest++ = str_of(holds->id);
    *rest++ = STR(LEASE_MS);
    for (uint32_t i = 0; i < message->count; i++) {
        const struct held_key *key = message->at[i];
        const struct limit_hold_part *first = key->waits;
        int len = snprintf(names[i], NAME_BYTES, "%.*sheld:{%016" PRIx64 "%016" PRIx64 "}",
                           STR_ARG(holds->store->prefix), key->key.hi, key->key.lo);

        words[1 + i] = str_at(names[i], (size_t)len);
        *rest++ = write_number(numbers[i][0], key->held);
        *rest++ = write_number(numbers[i][1], wanted(key));
        *rest++ = write_number(numbers[i][2],
                               first != NULL ? first->call->most[first - first->call->parts] : 0);
    }
    command->words = words;
    command->count = (size_t)(rest - words);
    command->key = words[1];
    command->script = &holds->script;
    return redis_send(holds->store->redis, command) != NULL;
}

/* The server hears of them when it is back, if anything is held then. */
static void could_not(struct limit_holds *holds, struct held_key *key)
{
    key->is_changed = key->held > 0;
    held_release(holds, key);
}

static void tell(struct limit_holds *holds, struct message *message)
{
    struct redis_command command = {.fn = NULL};
    bool ok = message->count > 0 && send_words(holds, message, &command);

    for (uint32_t i = 0; i < message->count; i++) {
        struct held_key *key = message->at[i];

        key->is_in_turn = false;
        key->is_changed = !ok;
        if (ok)
            held_release(holds, key);
        else
            could_not(holds, key);
    }
    message->count = 0;
}

static struct hold_ask *ask_new(struct limit_holds *holds, const struct message *message)
{
    struct hold_ask *ask = holds->ask_count < HOLD_ASKS_ON_WAY ? calloc(1, sizeof(*ask)) : NULL;

    if (ask == NULL)
        return NULL;
    ask->holds = holds;
    ask->count = message->count;
    memcpy(ask->at, message->at, sizeof(ask->at));
    ask->next = holds->asks;
    ask->back = &holds->asks;
    if (ask->next != NULL)
        ask->next->back = &ask->next;
    holds->asks = ask;
    holds->ask_count++;
    return ask;
}

static uint64_t first_asked_us(const struct message *message)
{
    uint64_t first = UINT64_MAX;

    for (uint32_t i = 0; i < message->count; i++)
        if (message->at[i]->waits->asked_us < first)
            first = message->at[i]->waits->asked_us;
    return first;
}

static void ask(struct limit_holds *holds, struct message *message)
{
    struct hold_ask *ask = message->count > 0 ? ask_new(holds, message) : NULL;
    struct redis_command command = {.fn = on_reply, .arg = ask, .late = on_late, .late_arg = holds};
    bool ok = false;

    if (ask != NULL) {
        memcpy(command.note, &ask, sizeof(ask));
        command.deadline_us = first_asked_us(message) + (uint64_t)holds->store->deadline_ms * 1000;
        ok = send_words(holds, message, &command);
    }
    for (uint32_t i = 0; i < message->count; i++) {
        struct held_key *key = message->at[i];

        key->is_in_turn = key->is_changed = false;
        key->is_asked = true;
        key->asked = key->waits;
        key->waits = key->waits_last = NULL;
        if (ok)
            continue;
        held_answer(holds, key, false, 0, 0);
        key->is_asked = false;
        if (key->waits != NULL)
            holds_ask_soon(holds, key);
        else
            could_not(holds, key);
    }
    if (ask != NULL && !ok)
        unlink_ask(ask);
    message->count = 0;
}

static void flush(void *arg)
{
    struct limit_holds *holds = arg;
    struct held_key *key = holds->turn, *next;
    uint32_t most =
        holds->store->groups_most < HOLD_ASKS_MOST ? holds->store->groups_most : HOLD_ASKS_MOST;
    struct message asks = {.count = 0}, tells = {.count = 0};

    holds->turn = NULL;
    holds->is_flush_asked = false;
    for (; key != NULL; key = next) {
        struct message *message = key->waits != NULL ? &asks : &tells;

        next = key->next_in_turn;
        message->at[message->count++] = key;
        if (asks.count == most)
            ask(holds, &asks);
        if (tells.count == most)
            tell(holds, &tells);
    }
    ask(holds, &asks);
    tell(holds, &tells);
}

/* ---- time ---- */

void shared_holds_tell(struct limit_holds *holds)
{
    for (struct held_key *key = holds->all; key != NULL; key = key->next) {
        if (key->held == 0)
            continue;
        key->is_changed = true;
        holds_ask_soon(holds, key);
    }
}

static void on_renew(void *arg)
{
    struct limit_holds *holds = arg;

    shared_holds_tell(holds);
    CHECK(deadline_set(holds->store->loop, &holds->renew,
                       loop_now_us(holds->store->loop) + RENEW_US));
}

void holds_link_init(struct limit_holds *holds)
{
    redis_script_init(&holds->script, str_of(source));
    *hex_write(holds->id, random_u64(), 16) = '\0';
    holds->renew = (struct deadline){.fn = on_renew, .arg = holds};
    on_renew(holds);
}

void holds_link_end(struct limit_holds *holds)
{
    struct hold_ask *ask, *next;

    deadline_clear(holds->store->loop, &holds->renew);
    for (ask = holds->asks; ask != NULL; ask = next) {
        next = ask->next;
        free(ask);
    }
}
