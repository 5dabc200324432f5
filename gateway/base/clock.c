/* clock.c - what time it is, in microseconds.
 *
 * Two clocks, because they answer two questions: durations and deadlines come
 * from the monotonic one, which nobody can set; dates in headers and logs come
 * from the wall clock, which may jump. Both are read through the vDSO, without
 * a system call; the CPU clock of a thread is not.
 *
 * Any thread. */
#include "base/base.h"

#include <time.h>

static int64_t read_us(clockid_t clock)
{
    struct timespec now;

    CHECK(clock_gettime(clock, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

uint64_t clock_mono_us(void)
{
    return (uint64_t)read_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

uint64_t clock_thread_cpu_us(void)
{
    return (uint64_t)read_us(CLOCK_THREAD_CPUTIME_ID);
}
