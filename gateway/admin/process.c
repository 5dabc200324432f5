/* process.c - what the kernel says of this process: memory and file descriptors.
 *
 * Read from /proc when somebody asks, at most once a scrape; these files are made in memory,
 * so reading them does not block. What cannot be read is 0, never a guess. Main thread. */
#include "admin/admin_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

enum { MOST_FDS_COUNTED = 1 << 20 };

/* The file's beginning; empty when it cannot be read. */
static struct str read_small(const char *path, char *to, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        return STR_NONE;
    got = read(fd, to, room);
    close(fd);
    return got > 0 ? str_at(to, (size_t)got) : STR_NONE;
}

/* The next number of a line of them; 0 when there is none ("max"). */
static uint64_t next_number(struct str *rest)
{
    struct str text;
    uint64_t number = 0;

    if (!str_split(rest, ' ', &text))
        return 0;
    while (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    return str_to_u64(text, &number) ? number : 0;
}

static uint64_t memory_limit(void)
{
    static const char *const paths[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t limit = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    char text[64];

    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct str rest = read_small(paths[i], text, sizeof(text));
        uint64_t of_group = next_number(&rest);

        if (of_group > 0 && (limit == 0 || of_group < limit))
            limit = of_group;
    }
    return limit;
}

void process_memory_read(struct process_memory *memory)
{
    char text[256];
    struct str rest = read_small("/proc/self/statm", text, sizeof(text));
    long page_bytes = sysconf(_SC_PAGESIZE);

    memory->vms_bytes = next_number(&rest) * (uint64_t)page_bytes;
    memory->rss_bytes = next_number(&rest) * (uint64_t)page_bytes;
    memory->limit_bytes = memory_limit();
}

uint64_t process_open_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;
    uint64_t count = 0;

    if (directory == NULL)
        return 0;
    while (count < MOST_FDS_COUNTED && (entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            count++;
    closedir(directory);
    return count > 0 ? count - 1 : 0; /* the directory's own */
}
