/* usage_flush.c - what is new of usage goes to the store, each second and at the end.
 *
 * One hash for an hour, a field for client and route, its value five packed numbers and the
 * client's name. Calls carry hundreds of rows and a number that grows: the server adds a call
 * once, however often it is sent, so that one whose answer was lost is sent again without fear.
 * A row counts as sent when it is taken into a call; the call is kept until the server has it. A
 * crash loses what came since the last call, a clean stop nothing.
 *
 * Bounded there too: rows of an hour, past which new clients are counted as "other"; rows of all
 * hours, and two months, past which the oldest hours go. Keys have no time to live, so that an
 * eviction policy for volatile keys does not find bills. The main thread. */
#include "limit/share_priv.h"

enum { TEXT_MOST = 1 << 20, ROW_MOST = 2048 };

/* KEYS: sent, hours, rows, the hours' beginning. ARGV: number, most rows of an hour, most of all,
 * hours kept; then hour, field, value for each row. */
/* clang-format off */
static const char source[] =
"local unpack, pack, call = struct.unpack, struct.pack, redis.call\n"
"if tonumber(call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return 0 end\n"
"local most, all, keep = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])\n"
"local new, newest = 0, 0\n"
"for i = 5, #ARGV, 3 do\n"
"  local hour, field, more = ARGV[i], ARGV[i + 1], ARGV[i + 2]\n"
"  local key = KEYS[4] .. hour\n"
"  local old = call('HGET', key, field)\n"
"  if not old then\n"
"    local count = call('HLEN', key)\n"
"    if count == 0 then call('ZADD', KEYS[2], hour, hour) end\n"
"    if count >= most then\n"
"      field = string.rep('0', 32) .. string.sub(field, 33)\n"
"      more = string.sub(more, 1, 40) .. 'other'\n"
"      old = call('HGET', key, field)\n"
"    end\n"
"    if not old then new = new + 1 end\n"
"  end\n"
"  if old and #old >= 40 then\n"
"    local a, b, c, d, e = unpack('<ddddd', old)\n"
"    local f, g, h, k, l = unpack('<ddddd', more)\n"
"    more = pack('<ddddd', a + f, b + g, c + h, d + k, e + l) .. string.sub(more, 41)\n"
"  end\n"
"  call('HSET', key, field, more)\n"
"  newest = math.max(newest, tonumber(hour))\n"
"end\n"
"local rows = call('INCRBY', KEYS[3], new)\n"
"while true do\n"
"  local oldest = call('ZRANGE', KEYS[2], 0, 0)[1]\n"
"  if not oldest or tonumber(oldest) >= newest or (rows <= all and tonumber(oldest) >= newest - keep) then break end\n"
"  rows = call('DECRBY', KEYS[3], call('HLEN', KEYS[4] .. oldest))\n"
"  call('UNLINK', KEYS[4] .. oldest)\n"
"  call('ZREM', KEYS[2], oldest)\n"
"end\n"
"call('SET', KEYS[1], ARGV[1], 'EX', 86400)\n"
"return 1\n";
/* clang-format on */

static bool add_word(struct limit_share *share, uint32_t *at, struct str a, struct str b)
{
    share->words[*at].at = (uint32_t)share->text.len;
    share->words[(*at)++].len = (uint32_t)(a.len + b.len);
    return buf_add_str(&share->text, a) && buf_add_str(&share->text, b);
}

/* A shard is locked. */
static bool take_row(void *arg, const struct usage_row *row, const struct limit_usage *news)
{
    struct limit_share *share = arg;
    double numbers[5] = {(double)news->requests, (double)news->refused, (double)news->bytes_in,
                         (double)news->bytes_out, (double)news->cost};
    struct str route = str_of(row->names + row->client_len + 1);
    char hour[U64_DIGITS], name[SHARE_NAME_DIGITS + 1];
    uint32_t at = share->rows * 3;

    _Static_assert(sizeof(numbers) == USAGE_PACKED_BYTES, "little-endian doubles");
    if (share->rows == SHARE_ROWS || share->text.len + ROW_MOST > TEXT_MOST)
        return false;
    share_name_write(row->client, name);
    if (!add_word(share, &at, str_at(hour, u64_write(hour, row->hour)), STR("")) ||
        !add_word(share, &at, str_of(name), route) ||
        !add_word(share, &at, str_at((const char *)numbers, sizeof(numbers)),
                  str_at(row->names, row->client_len)))
        return false;
    share->rows++;
    return true;
}

static void fill(struct limit_share *share)
{
    buf_clear(&share->text);
    share->rows = 0;
    share->seq++;
    usage_take(share->limiter, &share->place, take_row, share);
}

static void on_added(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct limit_share *share = arg;

    (void)reply;
    share->is_adding = false;
    if (outcome != REDIS_OK) { /* sent again at the next tick, under the same number */
        if (!share->has_failed)
            log_line(LOG_WARN, "limits: usage waits for the store (%s)",
                     redis_outcome_word(outcome));
        share->has_failed = true;
        readers_go(share, false);
        return;
    }
    share->has_failed = false;
    share->rows = 0;
    if (share->readers != NULL)
        readers_go(share, true);
    else if (share->place.shard != 0 || share->place.row != 0)
        flush_go(share);
}

static void send_batch(struct limit_share *share)
{
    char number[U64_DIGITS], most[U64_DIGITS], all[U64_DIGITS];
    struct str words[9 + 3 * SHARE_ROWS] = {STR("4"),
                                            str_of(share->seq_key),
                                            str_of(share->hours_key),
                                            str_of(share->rows_key),
                                            str_of(share->hour_key),
                                            str_at(number, u64_write(number, share->seq)),
                                            str_at(most, u64_write(most, LIMIT_USAGE_ROWS)),
                                            str_at(all, u64_write(all, LIMIT_USAGE_STORE_ROWS)),
                                            STR("1488")};
    struct redis_command command = {.words = words,
                                    .count = 9 + 3 * (size_t)share->rows,
                                    .script = &share->add,
                                    .key = words[1],
                                    .deadline_us = loop_now_us(share->loop) + SHARE_WAIT_US,
                                    .fn = on_added,
                                    .arg = share};

    for (uint32_t i = 0; i < 3 * share->rows; i++)
        words[9 + i] = str_at(share->text.ptr + share->words[i].at, share->words[i].len);
    share->is_adding = redis_send(share->redis, &command) != NULL;
}

void flush_go(struct limit_share *share)
{
    if (share->is_adding || share->readers != NULL || !redis_is_up(share->redis))
        return;
    if (share->rows == 0)
        fill(share);
    if (share->rows > 0)
        send_batch(share);
}

bool limit_share_is_flushed(struct limit_share *share)
{
    flush_go(share);
    return !share->is_adding &&
           (!redis_is_up(share->redis) || (share->rows == 0 && !usage_has_news(share->limiter)));
}

static void on_tick(void *arg)
{
    struct limit_share *share = arg;

    flush_go(share);
    CHECK(deadline_set(share->loop, &share->tick, loop_now_us(share->loop) + SHARE_EVERY_US));
}

void flush_init(struct limit_share *share)
{
    redis_script_init(&share->add, str_of(source));
    share->text = buf_new(TEXT_MOST);
    share->tick = (struct deadline){.fn = on_tick, .arg = share};
    CHECK(deadline_set(share->loop, &share->tick, loop_now_us(share->loop) + SHARE_EVERY_US));
}

void flush_end(struct limit_share *share)
{
    deadline_clear(share->loop, &share->tick);
    if (share->rows > 0 || usage_has_news(share->limiter))
        log_line(LOG_WARN, "limits: the store was away: the latest usage is not in it");
    buf_free(&share->text);
}
