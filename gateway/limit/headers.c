/* headers.c - what an answer says about the windows: X-RateLimit-*, Retry-After and
 * the two fields of draft-ietf-httpapi-ratelimit-headers.
 *
 * The draft's fields are structured-field lists of strings with parameters: names
 * are written as sf-strings, with their quotes and backslashes escaped, and numbers stay
 * within the fifteen digits of sf-integers; a client ignores a malformed field whole. Every
 * window is listed, so that a client may pace itself by the one that is nearest to its end.
 * Pure functions; any thread. */
#include "limit/limit.h"

#include <math.h>

static const uint64_t US_PER_S = 1000000;
static const uint64_t SF_MOST = UINT64_C(999999999999999);
static const int64_t SUSTAINED_MS = 60000;

static uint64_t seconds_up(uint64_t us)
{
    return us / US_PER_S + (us % US_PER_S != 0);
}

static const struct limit_window *with_least_left(const struct limit_state *state, struct str name)
{
    const struct limit_window *best = NULL;

    for (uint32_t i = 0; i < state->count; i++) {
        const struct limit_window *it = &state->windows[i];

        if (str_eq(it->window->name, name) && (best == NULL || it->remaining < best->remaining))
            best = it;
    }
    return best;
}

/* Is `a` the better one to show: of the sustained ones the shortest, else the longest; of two
 * alike the one with less left. */
static bool is_preferred(const struct limit_window *a, const struct limit_window *b)
{
    int64_t a_ms = a->window->period_ms, b_ms = b->window->period_ms;

    if (a_ms == b_ms)
        return a->remaining < b->remaining;
    if (a_ms >= SUSTAINED_MS && b_ms >= SUSTAINED_MS)
        return a_ms < b_ms;
    return a_ms > b_ms;
}

const struct limit_window *limit_reported(const struct limit_state *state, struct str report)
{
    if (state->count == 0)
        return NULL;
    if (!state->allowed)
        return &state->windows[state->worst];
    const struct limit_window *best = with_least_left(state, report);
    if (best != NULL)
        return best;
    best = &state->windows[0];
    for (uint32_t i = 1; i < state->count; i++) {
        if (is_preferred(&state->windows[i], best))
            best = &state->windows[i];
    }
    return best;
}

uint64_t limit_retry_after_s(const struct limit_state *state, double jitter, double draw)
{
    uint64_t wait_s = 1;

    if (!state->allowed && state->count > 0)
        wait_s = seconds_up(state->windows[state->worst].retry_us);
    wait_s = wait_s > 0 ? wait_s : 1;
    if (jitter > 0 && draw > 0)
        wait_s += (uint64_t)ceil((double)wait_s * jitter * draw);
    return wait_s;
}

/* What one window takes at most: each byte of its name may be escaped; then three numbers. */
static size_t member_bytes(struct str name)
{
    return 2 * name.len + 3 * U64_DIGITS +
           sizeof(", \"\";q=;w=;gw-burst=;qu=\"concurrent-requests\"");
}

static char *put(char *to, struct str text)
{
    memcpy(to, text.ptr, text.len);
    return to + text.len;
}

static char *put_name(char *to, struct str name, bool is_first)
{
    if (!is_first)
        to = put(to, STR(", "));
    *to++ = '"';
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (c == '"' || c == '\\')
            *to++ = '\\';
        *to++ = (char)(c < 0x20 || c > 0x7e ? '?' : c); /* sf-strings are printable ASCII */
    }
    *to++ = '"';
    return to;
}

static char *put_number(char *to, struct str parameter, uint64_t value)
{
    to = put(to, parameter);
    return to + u64_write(to, value < SF_MOST ? value : SF_MOST);
}

bool limit_write_policy(struct buf *out, const struct limit_state *state)
{
    for (uint32_t i = 0; i < state->count; i++) {
        const struct window_config *window = state->windows[i].window;
        struct str name = limit_period_name(window);
        uint64_t period_s = seconds_up((uint64_t)window->period_ms * 1000);
        char *to;

        if (!buf_reserve(out, member_bytes(name)))
            return false;
        to = put_name(out->ptr + out->len, name, i == 0);
        to = put_number(to, STR(";q="),
                        window->period_ms > 0 ? window->limit : state->windows[i].limit);
        if (window->period_ms == 0) /* requests at a time */
            to = put(to, STR(";qu=\"concurrent-requests\""));
        else
            to = put_number(to, STR(";w="), period_s > 0 ? period_s : 1);
        if (window->kind == WINDOW_BUCKET)
            to = put_number(to, STR(";gw-burst="),
                            window->burst > 0 ? window->burst : window->limit);
        out->len = (size_t)(to - out->ptr);
    }
    return true;
}

/* t says when there is more: with nothing left that is when the next request is allowed, which in a
 * sliding window comes after its end. */
bool limit_write_ratelimit(struct buf *out, const struct limit_state *state)
{
    for (uint32_t i = 0; i < state->count; i++) {
        const struct limit_window *it = &state->windows[i];
        struct str name = limit_period_name(it->window);
        uint64_t more_us = it->remaining == 0 ? it->next_us : it->reset_us;
        char *to;

        if (it->refuses)
            more_us = it->retry_us;
        if (!buf_reserve(out, member_bytes(name)))
            return false;
        to = put_name(out->ptr + out->len, name, i == 0);
        to = put_number(to, STR(";r="), it->remaining);
        if (it->window->period_ms > 0) /* when a request at a time ends, nobody knows */
            to = put_number(to, STR(";t="), seconds_up(more_us));
        out->len = (size_t)(to - out->ptr);
    }
    return true;
}

struct str limit_period_name(const struct window_config *window)
{
    return window->name.len > 0 ? window->name : STR("window");
}
