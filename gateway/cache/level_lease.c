/* level_lease.c - one fetch of a key for all gateways.
 *
 * The script gives the frame, or else the lease to the first who asks. The holder renews it while
 * it lives, and when the frame is there takes it away by its token, so that a holder who was
 * slow never takes away another's. Where the answer may not be shared "-" stands in its place for a
 * while: nobody then waits for anybody. One worker's thread. */
#include "cache/level_priv.h"

#include <stdio.h>
#include <stdlib.h>

static const char ask_source[] =
    "local v=redis.call('GET',KEYS[1])\n"
    "if v and ARGV[3]=='0' then return {3,v} end\n"
    "local l=redis.call('GET',KEYS[2])\n"
    "if not l then redis.call('SET',KEYS[2],ARGV[1],'PX',ARGV[2]) return {1,v} end\n"
    "if l=='-' then return {2,v} end\n"
    "return {0,v}\n";
static const char renew_source[] =
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end\n"
    "return 0\n";
static const char end_source[] = "if redis.call('GET',KEYS[1])~=ARGV[1] then return 0 end\n"
                                 "if ARGV[2]=='0' then return redis.call('DEL',KEYS[1]) end\n"
                                 "redis.call('SET',KEYS[1],'-','PX',ARGV[2])\n"
                                 "return 1\n";

void leases_init(struct cache_level *level)
{
    struct redis_script *scripts = level->scripts;

    redis_script_init(&scripts[SCRIPT_ASK], str_at(ask_source, sizeof(ask_source) - 1));
    redis_script_init(&scripts[SCRIPT_RENEW], str_at(renew_source, sizeof(renew_source) - 1));
    redis_script_init(&scripts[SCRIPT_END], str_at(end_source, sizeof(end_source) - 1));
}

struct redis_call *lease_ask(struct cache_level *level, const struct level_name *name,
                             const char token[17], bool is_forced, redis_reply_fn *fn, void *arg)
{
    struct level_name lease = {""};
    char life[24];

    level_name_lease(name, &lease);
    snprintf(life, sizeof(life), "%d", LEVEL_LEASE_MS);
    struct str words[] = {STR("2"),      str_of(name->text), str_of(lease.text),
                          str_of(token), str_of(life),       is_forced ? STR("1") : STR("0")};
    struct redis_command command = {.words = words,
                                    .count = COUNT_OF(words),
                                    .script = &level->scripts[SCRIPT_ASK],
                                    .key = str_of(name->text),
                                    .deadline_us = loop_now_us(level->loop) +
                                                   (uint64_t)level->timeout_ms * 1000,
                                    .fn = fn,
                                    .arg = arg};
    return redis_send(level->redis, &command);
}

static void send_script(struct cache_level *level, int which, const struct level_name *name,
                        const char *token, int life_ms)
{
    char life[24];

    snprintf(life, sizeof(life), "%d", life_ms);
    struct str words[] = {STR("1"), str_of(name->text), str_of(token), str_of(life)};
    struct redis_command command = {.words = words,
                                    .count = COUNT_OF(words),
                                    .script = &level->scripts[which],
                                    .key = str_of(name->text),
                                    .deadline_us =
                                        loop_now_us(level->loop) + (uint64_t)LEVEL_WRITE_MS * 1000};

    (void)redis_send(level->redis, &command); /* lost: it ends by itself */
}

void lease_drop(struct cache_level *level, const struct level_name *base, const char token[17])
{
    struct level_name name = {""};

    level_name_lease(base, &name);
    send_script(level, SCRIPT_END, &name, token, 0);
}

static void on_renewal(void *arg)
{
    struct level_lease *lease = arg;
    struct cache_level *level = lease->level;

    send_script(level, SCRIPT_RENEW, &lease->name, lease->token, LEVEL_LEASE_MS);
    (void)!deadline_set(level->loop, &lease->renewal,
                        loop_now_us(level->loop) + (uint64_t)LEVEL_RENEW_MS * 1000);
}

struct level_lease *lease_new(struct cache_level *level, const struct level_name *base,
                              const char token[17])
{
    struct level_lease *lease = calloc(1, sizeof(*lease));

    if (lease == NULL) {
        lease_drop(level, base, token);
        return NULL;
    }
    lease->level = level;
    level_name_lease(base, &lease->name);
    memcpy(lease->token, token, sizeof(lease->token));
    lease->renewal = (struct deadline){.fn = on_renewal, .arg = lease};
    (void)!deadline_set(level->loop, &lease->renewal,
                        loop_now_us(level->loop) + (uint64_t)LEVEL_RENEW_MS * 1000);
    lease->next = level->leases;
    lease->back = &level->leases;
    if (lease->next != NULL)
        lease->next->back = &lease->next;
    level->leases = lease;
    return lease;
}

/* The level forgets it; the holder's pointer stays good. */
static void leave(struct level_lease *lease)
{
    deadline_clear(lease->level->loop, &lease->renewal);
    *lease->back = lease->next;
    if (lease->next != NULL)
        lease->next->back = lease->back;
    lease->level = NULL;
}

void level_lease_end(struct level_lease **lease, bool set_aside)
{
    struct level_lease *old = *lease;

    *lease = NULL;
    if (old == NULL)
        return;
    if (old->level != NULL) {
        send_script(old->level, SCRIPT_END, &old->name, old->token, set_aside ? LEVEL_ASIDE_MS : 0);
        leave(old);
    }
    free(old);
}

void leases_end(struct cache_level *level)
{
    for (struct level_lease *lease = level->leases, *next; lease != NULL; lease = next) {
        next = lease->next;
        leave(lease);
    }
}
