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

static bool write_name(struct buf *out, struct str name, bool is_first)
{
    bool ok = (is_first || buf_add(out, ", ", 2)) && buf_add_char(out, '"');

    for (size_t i = 0; i < name.len && ok; i++) {
        char c = name.ptr[i];

        if (c == '"' || c == '\\')
            ok = buf_add_char(out, '\\');
        if (c < 0x20 || c > 0x7e) /* sf-strings are printable ASCII */
            c = '?';
        ok = ok && buf_add_char(out, c);
    }
    return ok && buf_add_char(out, '"');
}

static bool write_number(struct buf *out, const char *parameter, uint64_t value)
{
    return buf_add_str(out, str_of(parameter)) &&
           buf_add_u64(out, value < SF_MOST ? value : SF_MOST);
}

bool limit_write_policy(struct buf *out, const struct limit_state *state)
{
    bool ok = true;

    for (uint32_t i = 0; i < state->count && ok; i++) {
        const struct window_config *window = state->windows[i].window;
        uint64_t period_s = seconds_up((uint64_t)window->period_ms * 1000);

        ok = write_name(out, limit_period_name(window), i == 0) &&
             write_number(out, ";q=", window->limit) &&
             write_number(out, ";w=", period_s > 0 ? period_s : 1);
        if (ok && window->kind == WINDOW_BUCKET)
            ok = write_number(out, ";gw-burst=", window->burst > 0 ? window->burst : window->limit);
    }
    return ok;
}

/* t says when there is more: with nothing left that is when the next request is allowed, which in a
 * sliding window comes after its end. */
bool limit_write_ratelimit(struct buf *out, const struct limit_state *state)
{
    bool ok = true;

    for (uint32_t i = 0; i < state->count && ok; i++) {
        const struct limit_window *it = &state->windows[i];
        uint64_t more_us = it->remaining == 0 ? it->next_us : it->reset_us;

        if (it->refuses)
            more_us = it->retry_us;
        ok = write_name(out, limit_period_name(it->window), i == 0) &&
             write_number(out, ";r=", it->remaining) &&
             write_number(out, ";t=", seconds_up(more_us));
    }
    return ok;
}

struct str limit_period_name(const struct window_config *window)
{
    return window->name.len > 0 ? window->name : STR("window");
}
