/* window_priv.h - small arithmetic that the kinds of windows share, and the strict kind, which has
 * a file of its own. Pure; any thread. */
#ifndef GATEWAY_LIMIT_WINDOW_PRIV_H
#define GATEWAY_LIMIT_WINDOW_PRIV_H
#include "limit/limit_priv.h"

enum { US_PER_MS = 1000, NS_PER_US = 1000 };

static inline uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* A charge that nobody was asked for may pass any limit: it stays at the most that fits. */
static inline uint32_t plus32(uint32_t a, uint64_t b)
{
    return (uint32_t)smaller(a + smaller(b, UINT32_MAX), UINT32_MAX);
}

static inline uint64_t period_us(const struct window_config *window)
{
    return window->period_ms > 0 ? (uint64_t)window->period_ms * US_PER_MS : 1;
}

/* Sliding and strict windows count in 32 bits; limit_check() refuses more. */
static inline uint64_t limit_of(const struct window_config *window)
{
    return smaller(window->limit, UINT32_MAX);
}

static inline uint64_t now_ns(struct limit_time now)
{
    return now.mono_us * NS_PER_US;
}

/* ---- window_strict.c: as the functions of the same names for all kinds, in limit_priv.h ---- */
void strict_roll(const struct window_config *window, union window_record *record,
                 struct limit_time now);
/* What the newest `slices` of a record count. */
uint64_t strict_used(const union window_record *record, uint32_t slices);
uint64_t strict_wait_us(const struct window_config *window, const union window_record *record,
                        uint64_t cost, struct limit_time now);
uint64_t strict_idle_us(const struct window_config *window, const union window_record *record,
                        struct limit_time now);

#endif
