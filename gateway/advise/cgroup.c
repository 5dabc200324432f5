/* cgroup.c - what the kernel says this gateway uses and may use.
 *
 * cgroup version 2: cpu.stat, cpu.max, memory.current less what memory.stat calls inactive file
 * pages (the kernel drops those first; cAdvisor's working set is the same), memory.peak,
 * memory.max, memory.events. The root of a machine has no limits and counts everybody: there the
 * process itself is read. What cannot be read is 0, never a guess. Main thread. */
#include "advise/advise.h"

#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FILE_BYTES = 8192 };
#define ROOT "/sys/fs/cgroup"

static struct str read_in(const char *folder, const char *name, char *to, size_t room)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/%s", folder, name);

    return len > 0 && (size_t)len < sizeof(path) ? file_peek(path, to, room) : STR_NONE;
}

/* The word up to a blank or the line's end; 0 when it is no number ("max"). */
static uint64_t next_number(struct str *text)
{
    size_t end = 0;
    uint64_t number = 0;
    struct str word;

    while (end < text->len && text->ptr[end] != ' ' && text->ptr[end] != '\n')
        end++;
    word = str_at(text->ptr, end);
    *text = str_from(*text, end + 1);
    return str_to_u64(word, &number) ? number : 0;
}

/* "name number" lines. */
static uint64_t member(struct str text, struct str name)
{
    struct str line;

    while (str_split(&text, '\n', &line)) {
        struct str rest = str_from(line, name.len + 1);

        if (str_starts(line, name) && line.len > name.len && line.ptr[name.len] == ' ')
            return next_number(&rest);
    }
    return 0;
}

static uint64_t single(const char *folder, const char *name)
{
    char text[64];
    struct str rest = read_in(folder, name, text, sizeof(text));

    return next_number(&rest);
}

static void read_cpu(const char *folder, struct str stat, struct advise_reading *reading)
{
    char text[64];
    struct str max = read_in(folder, "cpu.max", text, sizeof(text));
    uint64_t quota = next_number(&max), period = next_number(&max);

    reading->cpu_s = (double)member(stat, STR("usage_usec")) / 1e6;
    reading->periods = member(stat, STR("nr_periods"));
    reading->throttled = member(stat, STR("nr_throttled"));
    if (quota > 0 && period > 0)
        reading->given.cpu_limit = (double)quota / (double)period;
}

static void read_memory(const char *folder, uint64_t current, struct advise_reading *reading)
{
    char text[FILE_BYTES];
    uint64_t inactive =
        member(read_in(folder, "memory.stat", text, sizeof(text)), STR("inactive_file"));

    reading->memory_bytes = current > inactive ? current - inactive : current;
    reading->memory_peak = single(folder, "memory.peak");
    reading->given.memory_limit = (double)single(folder, "memory.max");
    reading->given.memory_request = (double)single(folder, "memory.low");
    reading->oom_kills =
        member(read_in(folder, "memory.events", text, sizeof(text)), STR("oom_kill"));
}

bool advise_read_cgroup(const char *folder, struct advise_reading *reading)
{
    char text[FILE_BYTES];
    struct str stat = read_in(folder, "cpu.stat", text, sizeof(text));
    uint64_t current = single(folder, "memory.current");

    *reading = (struct advise_reading){.is_cgroup = true};
    if (stat.len == 0 || current == 0)
        return false;
    read_cpu(folder, stat, reading);
    read_memory(folder, current, reading);
    return true;
}

void advise_read_process(struct advise_reading *reading)
{
    char text[256];
    struct str rest = file_peek("/proc/self/statm", text, sizeof(text));
    long page_bytes = sysconf(_SC_PAGESIZE);
    struct rusage usage = {0};

    *reading = (struct advise_reading){.is_cgroup = false};
    (void)next_number(&rest); /* the address space */
    reading->memory_bytes = next_number(&rest) * (uint64_t)page_bytes;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return;
    reading->memory_peak = (uint64_t)usage.ru_maxrss * 1024;
    reading->cpu_s = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
                     (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

/* "0::/path" of version 2; in a container with a namespace of its own that is "/". */
static bool own_folder(char *to, size_t room)
{
    char text[PATH_MAX];
    struct str rest = file_peek("/proc/self/cgroup", text, sizeof(text)), line;

    while (str_split(&rest, '\n', &line))
        if (str_starts(line, STR("0::/")) && !str_has(line, STR("/.."))) {
            struct str path = str_from(line, 3);
            int len = snprintf(to, room, ROOT "%.*s", STR_ARG(path));

            return len > 0 && (size_t)len < room;
        }
    return false;
}

void advise_read_self(struct advise_reading *reading)
{
    char folder[PATH_MAX];

    if (own_folder(folder, sizeof(folder)) && advise_read_cgroup(folder, reading))
        return;
    if (!advise_read_cgroup(ROOT, reading)) /* mounted without a namespace */
        advise_read_process(reading);
}

uint64_t advise_memory_limit(void)
{
    uint64_t limit = single("/sys/fs/cgroup/memory", "memory.limit_in_bytes"); /* version 1 */
    char folder[PATH_MAX];

    if (!own_folder(folder, sizeof(folder)))
        return limit;
    for (char *end = folder + strlen(folder); end != NULL && end >= folder + strlen(ROOT);
         end = strrchr(folder, '/')) {
        uint64_t here;

        *end = '\0';
        here = single(folder, "memory.max");
        if (here > 0 && (limit == 0 || here < limit))
            limit = here;
    }
    return limit;
}
