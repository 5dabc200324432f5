/* file.c - a whole file in memory, or the reason why not.
 *
 * For configuration, keys and certificates, at start and reload. It reads
 * until the end instead of trusting the size: pipes (`--config <(…)`) and
 * files under /proc have none. The ceiling holds whatever the size says.
 *
 * Blocks on the disk: main thread, or work off the loop; but for file_peek(). */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 16384 };

/* Everything from `fd`, with a NUL that is not counted in text->len. */
static bool read_all(int fd, size_t max_bytes, struct buf *text, const char *path, struct fail *why)
{
    char chunk[CHUNK];
    ssize_t got;

    while ((got = read(fd, chunk, sizeof(chunk))) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_set(why, "%s: cannot be read: %s", path, strerror(errno));
        if ((size_t)got > max_bytes - text->len)
            return fail_set(why, "%s: larger than %zu bytes", path, max_bytes);
        if (!buf_add(text, chunk, (size_t)got))
            return fail_set(why, "%s: out of memory", path);
    }
    if (!buf_add_char(text, '\0'))
        return fail_set(why, "%s: out of memory", path);
    text->len--;
    return true;
}

char *file_read(const char *path, size_t max_bytes, size_t *len, struct fail *why)
{
    struct buf text = buf_new(max_bytes < SIZE_MAX ? max_bytes + 1 : max_bytes);
    struct stat status;
    char *result = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        fail_set(why, "%s: cannot be opened: %s", path, strerror(errno));
        goto done;
    }
    if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        fail_set(why, "%s: is a directory, not a file", path);
        goto done;
    }
    if (!read_all(fd, max_bytes, &text, path, why))
        goto done;
    if (len != NULL)
        *len = text.len;
    result = text.ptr; /* the caller's now */
    text.ptr = NULL;
done:
    if (fd >= 0)
        close(fd);
    buf_free(&text);
    return result;
}

struct str file_peek(const char *path, char *to, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        return STR_NONE;
    got = read(fd, to, room);
    close(fd);
    return got > 0 ? str_at(to, (size_t)got) : STR_NONE;
}
