/* process.c - what the kernel says of this process: memory and file descriptors.
 *
 * Read from /proc when somebody asks, at most once a scrape; these files are made in memory,
 * so reading them does not block. What cannot be read is 0, never a guess. Main thread. */
#include "admin/admin_priv.h"

#include <dirent.h>
#include <malloc.h>
#include <unistd.h>

enum { MOST_FDS_COUNTED = 1 << 20 };

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
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t whole = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    uint64_t given = advise_memory_limit();

    return given > 0 && (whole == 0 || given < whole) ? given : whole;
}

void process_memory_read(struct process_memory *memory)
{
    char text[256];
    struct str rest = file_peek("/proc/self/statm", text, sizeof(text));
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

struct allocator_memory process_allocator_read(void)
{
    struct mallinfo2 info = mallinfo2();

    return (struct allocator_memory){info.uordblks, info.fordblks, info.hblkhd};
}
