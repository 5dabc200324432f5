/* share.c - what gateways share beside counters, and of it the tier overrides.
 *
 * An override is in force here at once; then it is written to a hash in the store, its end by the
 * server's clock, and the other gateways are told the client's name by whoever owns us, so that
 * they read the one field anew. A newcomer, and one that missed something, reads all of them.
 * While the store is away they wait in a bounded ring and are written first when it is back: an
 * operator's last word wins. The main thread. */
#include "limit/share_priv.h"

#include <stdlib.h>

/* clang-format off */
/* Field: the client; value: its end in ms since 1970 by this clock (0: none), a blank, the tier. */
static const char put_source[] =
"local key, client, ms, tier = KEYS[1], ARGV[1], ARGV[2], ARGV[3]\n"
"if tier == '' then redis.call('HDEL', key, client) return 1 end\n"
"local t = redis.call('TIME')\n"
"local till = ms == '0' and '0' or string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) + ms)\n"
"redis.call('HSET', key, client, till .. ' ' .. tier)\n"
"return 1\n";
/* One client or, without an argument, all: client, ms left (0: no end), tier ('': none), ... */
static const char get_source[] =
"local key, out, all = KEYS[1], {}, nil\n"
"local t = redis.call('TIME')\n"
"local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
"if ARGV[1] then all = {ARGV[1], redis.call('HGET', key, ARGV[1])} else all = redis.call('HGETALL', key) end\n"
"for i = 1, #all, 2 do\n"
"  local till, tier = string.match(all[i + 1] or '', '^(%d+) (.+)$')\n"
"  local left = till and tonumber(till) > 0 and tonumber(till) - now or 0\n"
"  if left < 0 or (till and tonumber(till) > 0 and left == 0) then redis.call('HDEL', key, all[i]) tier = nil end\n"
"  if tier or ARGV[1] then\n"
"    out[#out + 1] = all[i]\n"
"    out[#out + 1] = string.format('%.0f', left)\n"
"    out[#out + 1] = tier or ''\n"
"  end\n"
"end\n"
"return out\n";
/* clang-format on */

void share_name_write(struct hash128 client, char text[SHARE_NAME_DIGITS + 1])
{
    *hex_write(hex_write(text, client.lo, 16), client.hi, 16) = '\0';
}

bool share_name_read(struct str text, struct hash128 *client)
{
    *client = (struct hash128){0, 0};
    if (text.len < SHARE_NAME_DIGITS)
        return false;
    for (int i = 0; i < SHARE_NAME_DIGITS; i++) {
        int digit = ascii_hex_value(text.ptr[i]);
        uint64_t *half = i < SHARE_NAME_DIGITS / 2 ? &client->lo : &client->hi;

        if (digit < 0)
            return false;
        *half = *half << 4 | (uint64_t)digit;
    }
    return true;
}

static bool ask(struct limit_share *share, const struct redis_script *script,
                const struct str *words, size_t count, redis_reply_fn *fn)
{
    struct redis_command command = {.words = words,
                                    .count = count,
                                    .script = script,
                                    .key = words[1],
                                    .deadline_us = loop_now_us(share->loop) + SHARE_WAIT_US,
                                    .fn = fn,
                                    .arg = share};

    return redis_send(share->redis, &command) != NULL;
}

/* ---- in ---- */

/* client, ms left, tier. A reply is input: what is none of ours is passed over. */
static void take(struct limit_share *share, const struct redis_reply *name,
                 const struct redis_reply *left, const struct redis_reply *tier)
{
    uint64_t now_us = loop_now_us(share->loop), ms;
    struct hash128 client;

    if (!share_name_read(name->text, &client) || !str_to_u64(left->text, &ms) ||
        tier->text.len >= LIMIT_TIER_MAX)
        return;
    if (!limit_override(share->limiter, client, tier->text,
                        ms == 0 || ms > UINT64_MAX / 2000 ? UINT64_MAX : now_us + ms * 1000,
                        now_us))
        log_line(LOG_ERROR, "limits: there are too many overrides: one of the store's is left out");
}

static void take_all(struct limit_share *share, const struct redis_reply *reply)
{
    for (size_t i = 0; reply->form == REDIS_ARRAY && i + 2 < reply->count; i += 3)
        take(share, reply->items[i], reply->items[i + 1], reply->items[i + 2]);
}

static void try_later(struct limit_share *share)
{
    CHECK(deadline_set(share->loop, &share->retry, loop_now_us(share->loop) + SHARE_WAIT_US));
}

static void on_one(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct limit_share *share = arg;

    if (outcome == REDIS_OK) {
        take_all(share, reply);
        return;
    }
    share->wants_all = true;
    try_later(share);
}

static void on_all(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct limit_share *share = arg;

    if (outcome != REDIS_OK) {
        share->wants_all = true;
        try_later(share);
        return;
    }
    if (share->waiting_count > 0) { /* what came meanwhile is newer than this */
        share->wants_all = true;
        return;
    }
    overrides_begin_round(share->limiter);
    take_all(share, reply);
    overrides_end_round(share->limiter);
}

/* ---- out ---- */

static void go_on(struct limit_share *share);

static void on_put(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct limit_share *share = arg;
    struct share_override *done = &share->waiting[share->first];
    char name[SHARE_NAME_DIGITS + 1];

    (void)reply;
    share->is_putting = false;
    if (outcome != REDIS_OK) {
        try_later(share); /* to write it twice is no harm */
        return;
    }
    share_name_write(done->client, name);
    share->first = (share->first + 1) % SHARE_OVERRIDES_WAIT;
    share->waiting_count--;
    if (share->tell != NULL)
        share->tell(share->tell_arg, str_of(name));
    go_on(share);
}

static bool put_next(struct limit_share *share)
{
    const struct share_override *next = &share->waiting[share->first];
    uint64_t now_us = loop_now_us(share->loop);
    char name[SHARE_NAME_DIGITS + 1], ms[U64_DIGITS];
    struct str words[] = {STR("1"), str_of(share->overrides_key), STR_NONE, STR("0"),
                          str_of(next->tier)};

    share_name_write(next->client, name);
    words[2] = str_of(name);
    if (next->until_us <= now_us)
        words[4] = STR("");
    else if (next->until_us != UINT64_MAX)
        words[3] = str_at(ms, u64_write(ms, (next->until_us - now_us + 999) / 1000));
    return ask(share, &share->put, words, COUNT_OF(words), on_put);
}

/* First what waits here, then what is there. */
static void go_on(struct limit_share *share)
{
    struct str words[] = {STR("1"), str_of(share->overrides_key)};

    if (share->is_putting || !redis_is_up(share->redis))
        return;
    if (share->waiting_count > 0) {
        share->is_putting = put_next(share);
        if (!share->is_putting)
            try_later(share);
        return;
    }
    if (!share->wants_all)
        return;
    share->wants_all = !ask(share, &share->get, words, COUNT_OF(words), on_all);
    if (share->wants_all)
        try_later(share);
}

static void on_retry(void *arg)
{
    go_on(arg);
}

bool limit_share_override(struct limit_share *share, struct hash128 client, struct str tier,
                          uint64_t until_us, uint64_t now_us)
{
    struct share_override *last;

    if (!limit_override(share->limiter, client, tier, until_us, now_us))
        return false;
    if (share->waiting_count == SHARE_OVERRIDES_WAIT) {
        log_line(LOG_ERROR, "limits: an override is this gateway's alone: too many wait");
        return true;
    }
    last = &share->waiting[(share->first + share->waiting_count++) % SHARE_OVERRIDES_WAIT];
    last->client = client;
    last->until_us = until_us;
    memcpy(last->tier, tier.ptr, tier.len);
    last->tier[tier.len] = '\0';
    go_on(share);
    return true;
}

void limit_share_tell(struct limit_share *share, limit_news_fn *tell, void *arg)
{
    share->tell = tell;
    share->tell_arg = arg;
}

void limit_share_hear(struct limit_share *share, struct str news)
{
    struct str words[] = {STR("1"), str_of(share->overrides_key), news};

    if (news.len == SHARE_NAME_DIGITS && share->waiting_count == 0 &&
        ask(share, &share->get, words, COUNT_OF(words), on_one))
        return;
    share->wants_all = true;
    go_on(share);
}

/* ---- life ---- */

static void on_change(void *arg, bool is_up, struct str why)
{
    struct limit_share *share = arg;

    (void)why; /* said by the counters' own client */
    if (!is_up)
        return;
    share->wants_all = true;
    go_on(share);
    flush_go(share);
}

static void name_key(char key[SHARE_KEY_MOST], struct str prefix, const char *rest)
{
    memcpy(key, prefix.ptr, prefix.len);
    memcpy(key + prefix.len, rest, strlen(rest) + 1);
}

static void name_keys(struct limit_share *share, struct str prefix)
{
    char *end;

    name_key(share->overrides_key, prefix, "overrides:{tiers}");
    name_key(share->hours_key, prefix, "usage:{all}:hours");
    name_key(share->rows_key, prefix, "usage:{all}:rows");
    name_key(share->hour_key, prefix, "usage:{all}:hour:");
    name_key(share->seq_key, prefix, "usage:{all}:sent:");
    end = hex_write(share->seq_key + strlen(share->seq_key), random_u64(), 16);
    *end = '\0';
}

struct limit_share *limit_share_new(struct loop *loop, struct limiter *limiter,
                                    const struct config *config, struct sheet *sheet,
                                    struct fail *why)
{
    struct limit_share *share = calloc(1, sizeof(*share));
    struct redis_options options = {
        .name = "gateway-usage", .sheet = sheet, .changed = on_change, .arg = share};

    if (share == NULL || !redis_url_for(config, STORE_USAGE, &options.url, why) ||
        config->store.prefix.len > SHARE_KEY_MOST / 2)
        goto failed;
    share->loop = loop;
    share->limiter = limiter;
    share->retry = (struct deadline){.fn = on_retry, .arg = share};
    redis_script_init(&share->put, str_of(put_source));
    redis_script_init(&share->get, str_of(get_source));
    name_keys(share, config->store.prefix);
    share->waiting = calloc(SHARE_OVERRIDES_WAIT, sizeof(*share->waiting));
    flush_init(share);
    share->redis = redis_new(loop, &options);
    if (share->waiting != NULL && share->redis != NULL)
        return share;
    limit_share_free(&share);
failed:
    free(share);
    fail_set(why, "%s", why->text[0] != '\0' ? why->text : "out of memory");
    return NULL;
}

void limit_share_free(struct limit_share **share)
{
    struct limit_share *old = *share;

    *share = NULL;
    if (old == NULL)
        return;
    redis_free(&old->redis);
    deadline_clear(old->loop, &old->retry);
    flush_end(old);
    readers_end(old);
    free(old->waiting);
    free(old);
}
