/* packed.c - decisions and records as bytes, the way the script reads and writes them.
 *
 * Numbers are IEEE doubles where they may pass 32 bits: whole ones are exact to 2^53, which is the
 * year 2255 in microseconds. What comes from a server is input: every number is looked at before
 * it becomes an integer. Little-endian, as are the machines that we run on; the static
 * assertion says so. Pure functions; any thread. */
#include "limit/store_priv.h"

#include <math.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed records are copied as they are");

static const double WHOLE_MOST = 9007199254740992.0; /* 2^53 */

/* ---- keys ---- */

static char *put_base64(char *to, uint64_t value)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    for (int i = 0; i < 11; i++, value >>= 6)
        *to++ = digits[value & 63];
    return to;
}

/* Which windows a record of this policy holds; a limit may change without it. */
static uint16_t shape_of(const struct window_set *set)
{
    uint64_t h = set->count;

    for (uint32_t i = 0; i < set->count; i++) {
        const struct window_config *window = &set->at[i];

        h = (h ^ (uint64_t)window->kind ^ (uint64_t)window->period_ms << 3) *
            UINT64_C(0x9e3779b97f4a7c15);
        for (size_t c = 0; c < window->name.len; c++)
            h = (h ^ (uint8_t)window->name.ptr[c]) * UINT64_C(0x100000001b3);
        h ^= h >> 29;
    }
    return (uint16_t)(h ^ h >> 32);
}

size_t packed_key(const struct limit_policy *policy, struct str prefix, char to[PACKED_KEY_BYTES])
{
    static const struct str role = {"limit:{", 7};
    char *at = to;

    CHECK(prefix.len + 64 < PACKED_KEY_BYTES);
    memcpy(at, prefix.ptr, prefix.len);
    at += prefix.len;
    memcpy(at, role.ptr, role.len);
    at = put_base64(at + role.len, policy->home.lo);
    at = put_base64(at, policy->home.hi);
    *at++ = '}';
    if (policy->key.lo != policy->home.lo || policy->key.hi != policy->home.hi) {
        *at++ = ':';
        at = put_base64(at, policy->key.lo);
    }
    *at++ = '.';
    return (size_t)(hex_write(at, shape_of(policy->windows), 4) - to);
}

/* ---- what is asked ---- */

static uint8_t *put_double(uint8_t *to, uint64_t value)
{
    double number = (double)value;

    memcpy(to, &number, sizeof(number));
    return to + sizeof(number);
}

static uint8_t *put_window(uint8_t *to, const struct window_config *window, int64_t wall_us)
{
    struct calendar_span now, before, after;
    uint64_t limit = window_capacity(window);

    *to++ = (uint8_t)(window->kind + 1);
    switch (window->kind) {
    case WINDOW_BUCKET:
        to = put_double(to, window_interval_ns(window));
        return put_double(to, limit * window_interval_ns(window));
    case WINDOW_SLIDING:
        to = put_double(to, limit);
        return put_double(to, (uint64_t)window->period_ms * 1000);
    case WINDOW_FIXED:
        to = put_double(to, limit);
        return put_double(to, (uint64_t)window->period_ms * 1000);
    case WINDOW_STRICT:
        to = put_double(to, limit);
        return put_double(to, window_slice_us(window));
    case WINDOW_CALENDAR:
        break;
    }
    now = calendar_span(window->period_ms, wall_us);
    before = calendar_span(window->period_ms, (int64_t)now.start_us - 1);
    after = calendar_span(window->period_ms, (int64_t)now.end_us);
    to = put_double(to, limit);
    to = put_double(to, before.start_us);
    to = put_double(to, now.start_us);
    to = put_double(to, now.end_us);
    return put_double(to, after.end_us);
}

size_t packed_ask(enum packed_op op, uint32_t want, uint64_t cost,
                  const struct limit_policy *policies, uint32_t policy_count, int64_t wall_us,
                  uint8_t to[PACKED_ASK_BYTES])
{
    uint8_t *at = to;

    CHECK(want <= PACKED_MOST_WANT);
    *at++ = (uint8_t)op;
    *at++ = (uint8_t)(want & 255);
    *at++ = (uint8_t)(want >> 8);
    at = put_double(at, cost);
    *at++ = (uint8_t)policy_count;
    for (uint32_t p = 0; p < policy_count; p++) {
        *at++ = (uint8_t)policies[p].windows->count;
        for (uint32_t i = 0; i < policies[p].windows->count; i++)
            at = put_window(at, &policies[p].windows->at[i], wall_us);
    }
    return (size_t)(at - to);
}

/* ---- what comes back ---- */

/* A whole number that fits; false: it is none. */
static bool read_whole(const uint8_t *from, uint64_t *value)
{
    double number;

    memcpy(&number, from, sizeof(number));
    if (!(number >= 0) || number > WHOLE_MOST || number != floor(number))
        return false;
    *value = (uint64_t)number;
    return true;
}

static uint32_t read_u32(const uint8_t *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof(value));
    return value;
}

uint32_t packed_record_bytes(enum window_kind kind)
{
    switch (kind) {
    case WINDOW_BUCKET:
        return 8 + 2;
    case WINDOW_SLIDING:
        return 8 + 4 + 4;
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        return 8 + 8;
    case WINDOW_STRICT:
        return 8 + 4 * (STRICT_SLICES + 1);
    }
    return 0;
}

bool packed_record_read(const uint8_t *from, const struct window_config *window,
                        union window_record *record)
{
    uint64_t at;

    memset(record, 0, sizeof(*record));
    if (!read_whole(from, &at))
        return false;
    from += sizeof(double);
    switch (window->kind) {
    case WINDOW_BUCKET:
        record->bucket.tat_ns = at * 1000 + ((uint64_t)from[0] | (uint64_t)from[1] << 8);
        return true;
    case WINDOW_SLIDING:
        record->sliding.start_us = at;
        record->sliding.current = read_u32(from);
        record->sliding.previous = read_u32(from + 4);
        return true;
    case WINDOW_FIXED:
    case WINDOW_CALENDAR:
        record->fixed.start_us = at;
        return read_whole(from, &record->fixed.count);
    case WINDOW_STRICT:
        record->strict.index = (uint32_t)at;
        for (uint32_t i = 0; i <= STRICT_SLICES; i++)
            record->strict.counts[i] = read_u32(from + 4 * i);
        return true;
    }
    return false;
}

bool packed_answer_read(struct str text, const struct window_config *const *windows, uint32_t count,
                        struct packed_answer *answer)
{
    const uint8_t *from = (const uint8_t *)text.ptr;
    size_t left = text.len;
    uint64_t now_us;

    if (left < 10 || !read_whole(from, &now_us) || now_us == 0)
        return false;
    answer->now = (struct limit_time){now_us, (int64_t)now_us};
    answer->granted = (uint32_t)(from[8] | from[9] << 8);
    from += 10;
    left -= 10;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bytes = packed_record_bytes(windows[i]->kind);

        if (left < bytes || !packed_record_read(from, windows[i], &answer->records[i]))
            return false;
        from += bytes;
        left -= bytes;
    }
    return left == 0;
}
