/* growth_test.c - the slope of memory through samples: exact on a line, calm about a spike. */
#include "admin/admin_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

static void slopes_of_every_kind(void **state)
{
    static const struct {
        const char *name;
        int samples;
        int64_t each_kib;   /* growth a sample */
        int spike_at;       /* 1-based; 0: none */
        double least, most; /* KiB a second */
    } cases[] = {
        {"no sample", 0, 0, 0, 0, 0},
        {"three are too few", 3, 1000, 0, 0, 0},
        {"flat", 30, 0, 0, 0, 0},
        {"15 KiB a sample is 1 KiB a second", 30, 15, 0, 0.999, 1.001},
        {"the window moves on", 200, 15, 0, 0.999, 1.001},
        {"shrinking", 60, -30, 0, -2.001, -1.999},
        {"a spike in the middle is no slope", 59, 0, 30, -0.001, 0.001},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct growth growth = {.count = 0};
        double rate;

        for (int n = 1; n <= cases[i].samples; n++)
            growth_add(&growth, (uint64_t)(1024 * (int64_t)MIB + n * cases[i].each_kib * 1024 +
                                           (n == cases[i].spike_at ? 64 * MIB : 0)));
        rate = growth_rate(&growth) / 1024;
        if (rate < cases[i].least || rate > cases[i].most)
            fail_msg("%s: got %f KiB a second", cases[i].name, rate);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(slopes_of_every_kind)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
