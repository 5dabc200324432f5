/* context.c - which trace a request belongs to (W3C Trace Context, level 1).
 *
 * A caller that sends a sound traceparent has decided already whether its trace is sampled: we do
 * as it says, so that a trace is whole or not there. A trace that begins here is sampled by its
 * own id, so that every gateway with the same share decides alike. Any thread. */
#include "trace/trace_priv.h"

static uint64_t hex_at(const char *from, size_t digits)
{
    uint64_t value = 0;

    for (size_t i = 0; i < digits; i++)
        value = value << 4 | (uint64_t)ascii_hex_value(from[i]);
    return value;
}

/* The low 56 bits are the random ones in every implementation. */
static bool is_chosen(uint64_t low, double share)
{
    static const double most = 0x1p56;

    return (double)(low & ((UINT64_C(1) << 56) - 1)) < share * most;
}

uint64_t trace_new_span(void)
{
    uint64_t id = random_u64();

    return id != 0 ? id : 1;
}

struct trace_context trace_begin(struct str traceparent, double share)
{
    struct trace_context context;

    if (traceparent.len == TRACE_PARENT_LEN)
        return (struct trace_context){.high = hex_at(traceparent.ptr + 3, 16),
                                      .low = hex_at(traceparent.ptr + 19, 16),
                                      .parent = hex_at(traceparent.ptr + 36, 16),
                                      .is_sampled = (hex_at(traceparent.ptr + 53, 2) & 1) != 0};
    context = (struct trace_context){.high = random_u64(), .low = trace_new_span()};
    context.is_sampled = is_chosen(context.low, share);
    return context;
}

void trace_write_parent(char to[TRACE_PARENT_LEN], const struct trace_context *context,
                        uint64_t span)
{
    to[0] = to[1] = '0'; /* the version */
    to[2] = to[35] = to[52] = '-';
    (void)hex_write(hex_write(to + 3, context->high, 16), context->low, 16);
    (void)hex_write(to + 36, span, 16);
    to[53] = '0';
    to[54] = context->is_sampled ? '1' : '0';
}
