/* random.c - random numbers of two kinds, and the identifiers made of them.
 *
 * random_u64() is xoshiro256** (Blackman and Vigna, 2018), seeded from the
 * kernel once a thread: no lock and no system call, good for jitter, sampling
 * and request ids. What must stay secret (hash keys, tokens) comes from the
 * kernel each time, by random_secret().
 *
 * Any thread; the state is the thread's own. */
#include "base/base.h"

#include <errno.h>
#include <sys/random.h>

void random_secret(void *bytes, size_t len)
{
    char *at = bytes;

    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        CHECK(got > 0);
        at += got;
        len -= (size_t)got;
    }
}

static inline uint64_t rotated(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

uint64_t random_u64(void)
{
    static _Thread_local uint64_t s[4];

    while ((s[0] | s[1] | s[2] | s[3]) == 0) /* all zero: not seeded yet, and never valid */
        random_secret(s, sizeof(s));
    uint64_t result = rotated(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotated(s[3], 45);
    return result;
}

/* RFC 9562, section 6.2, method 3: the twelve bits behind the milliseconds hold
 * the fraction of one, so ids of one millisecond still sort by time. */
void uuid7_write(char out[37], int64_t wall_us)
{
    uint64_t us = wall_us > 0 ? (uint64_t)wall_us : 0;
    uint64_t ms = us / 1000;
    uint64_t fraction = us % 1000 * 4096 / 1000;
    uint64_t noise = random_u64();
    char digits[32];

    (void)hex_write(hex_write(digits, ms << 16 | 0x7000 | fraction, 16),
                    UINT64_C(1) << 63 | (noise & UINT64_MAX >> 2), 16);
    memcpy(out, "........-....-....-....-............", 37);
    memcpy(out, digits, 8);
    memcpy(out + 9, digits + 8, 4);
    memcpy(out + 14, digits + 12, 4);
    memcpy(out + 19, digits + 16, 4);
    memcpy(out + 24, digits + 20, 12);
}
