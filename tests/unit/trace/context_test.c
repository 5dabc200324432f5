/* context_test.c - which trace a request is of: a caller's goes on with the caller's decision, a
 * new one is sampled by its id. */
#include "trace/trace.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define CALLER "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"

static const struct {
    const char *name, *traceparent;
    bool is_sampled;
} callers[] = {
    {"it samples", CALLER "01", true},
    {"it does not", CALLER "00", false},
    {"other flags are not ours", CALLER "fe", false},
    {"they may stand beside", CALLER "03", true},
};

static void a_caller_decides_for_its_trace(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(callers); i++) {
        struct trace_context never = trace_begin(str_of(callers[i].traceparent), 0);
        struct trace_context always = trace_begin(str_of(callers[i].traceparent), 1);
        char text[TRACE_PARENT_LEN];

        if (never.is_sampled != callers[i].is_sampled || always.is_sampled != callers[i].is_sampled)
            fail_msg("%s", callers[i].name);
        assert_int_equal(never.high, 0x0af7651916cd43dd);
        assert_int_equal(never.low, 0x8448eb211c80319c);
        assert_int_equal(never.parent, 0xb7ad6b7169203331);
        trace_write_parent(text, &never, 0x00f067aa0ba902b7);
        assert_memory_equal(text, "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-0", 54);
        assert_int_equal(text[54], callers[i].is_sampled ? '1' : '0');
    }
}

static const struct {
    const char *name;
    double share;
    uint32_t least, most; /* of 10,000; six standard deviations */
} shares[] = {
    {"none", 0, 0, 0},
    {"one in a hundred", 0.01, 40, 160},
    {"half", 0.5, 4700, 5300},
    {"all", 1, 10000, 10000},
};

static void a_trace_that_begins_here_is_sampled_by_its_share(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shares); i++) {
        uint32_t sampled = 0;

        for (int n = 0; n < 10000; n++) {
            struct trace_context context = trace_begin(STR_NONE, shares[i].share);

            assert_int_equal(context.parent, 0);
            assert_int_not_equal(context.low, 0);
            sampled += context.is_sampled;
        }
        if (sampled < shares[i].least || sampled > shares[i].most)
            fail_msg("%s: %u", shares[i].name, sampled);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_caller_decides_for_its_trace),
        cmocka_unit_test(a_trace_that_begins_here_is_sampled_by_its_share),
    };

    return cmocka_run_group_tests_name("trace: context", tests, NULL, NULL);
}
