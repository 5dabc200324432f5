/* idle.c - gives back the memory of connections that stand idle.
 *
 * libmicrohttpd clears a connection's whole pool after each request, so all of its pages stay
 * resident while the client does nothing: tens of KiB for each kept connection. A second
 * into the silence the pages that hold nothing but zeros are handed to the kernel, which
 * gives zeros again when they are next touched: the content is the same whatever the library
 * holds there, so nothing is assumed of it. The range stays inside the pool: it starts behind the
 * page of the request line, which stands at the pool's start, and leaves the last page alone.
 * Owner's thread. */
#include "server/server_priv.h"

#include <sys/mman.h>
#include <unistd.h>

static bool is_zero(const char *page, size_t size)
{
    const uint64_t *words = (const uint64_t *)(const void *)page;

    for (size_t i = 0; i < size / sizeof(*words); i++)
        if (words[i] != 0)
            return false;
    return true;
}

void idle_give_back(const struct connection *c)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = c->server->pool_bytes / page;
    uintptr_t start = (uintptr_t)c->line & ~(uintptr_t)(page - 1);
    char *first = NULL;

    if (c->line == NULL || pages < 3)
        return;
    for (size_t i = 1; i + 1 < pages; i++) {
        char *at = (char *)start + i * page;

        if (is_zero(at, page)) {
            first = first != NULL ? first : at;
            continue;
        }
        if (first != NULL)
            (void)madvise(first, (size_t)(at - first), MADV_DONTNEED);
        first = NULL;
    }
    if (first != NULL)
        (void)madvise(first, (size_t)((char *)start + (pages - 1) * page - first), MADV_DONTNEED);
}
