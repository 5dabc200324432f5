/* cores.c - how many cores may this process use?
 *
 * The machine's count is wrong in a container: the scheduler's affinity and the CPU
 * quota of every control group above us (cgroup v2) bound it. Half a core more than one
 * is two threads: a quota is rounded up, because idle threads cost nothing and a missing
 * one costs the half.
 *
 * Blocks on small files below /proc and /sys; on the thread that loads. */
#include "config/config_priv.h"

#include <sched.h>
#include <stdlib.h>

enum { MAX_FILE = 4096, MAX_DEPTH = 64 };

static uint32_t cores_by_affinity(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1; /* more than CPU_SETSIZE cores: nobody asked for them */
    int count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}

/* "50000 100000" or "max 100000" in `path`; UINT32_MAX without a quota. */
static uint32_t cores_by_quota(const char *path)
{
    uint32_t cores = UINT32_MAX;
    size_t len;
    char *text = file_read(path, MAX_FILE, &len, NULL);

    if (text != NULL) {
        struct str rest = str_at(text, len), quota, period;
        uint64_t used, of;
        if (str_split(&rest, ' ', &quota) && str_split(&rest, '\n', &period) &&
            str_to_u64(quota, &used) && str_to_u64(period, &of) && of > 0 &&
            used / of < UINT32_MAX - 1)
            cores = (uint32_t)((used + of - 1) / of);
    }
    free(text);
    return cores > 0 ? cores : 1;
}

/* The control group of this process, "/a/b"; empty when there is none of version 2. */
static struct str own_group(struct str text)
{
    struct str line;

    while (str_split(&text, '\n', &line)) {
        if (str_starts(line, STR("0::/")))
            return str_from(line, 3);
    }
    return STR_NONE;
}

uint32_t cores_usable(void)
{
    uint32_t cores = cores_by_affinity();
    size_t len = 0;
    char *text = file_read("/proc/self/cgroup", MAX_FILE, &len, NULL);
    struct str group = own_group(text != NULL ? str_at(text, len) : STR_NONE);

    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        struct buf path = buf_new(2 * MAX_FILE);
        uint32_t quota = UINT32_MAX;
        if (buf_addf(&path, "/sys/fs/cgroup%.*s/cpu.max", STR_ARG(group)) &&
            buf_add_char(&path, '\0'))
            quota = cores_by_quota(path.ptr);
        buf_free(&path);
        cores = quota < cores ? quota : cores;
        if (group.len == 0)
            break;
        while (group.len > 0 && group.ptr[group.len - 1] != '/')
            group.len--;
        if (group.len > 0)
            group.len--;
    }
    free(text);
    return cores;
}
