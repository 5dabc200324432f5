/* check.c - where a bug stops us.
 *
 * Written with write(2) straight to stderr: the log's thread may be the one
 * that is broken, and stdio may hold a lock. Then abort(), for a core file and
 * for the supervisor that starts us again.
 *
 * Any thread. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void check_failed(const char *file, int line, const char *condition)
{
    char text[512];
    int length =
        snprintf(text, sizeof(text), "%s:%d: bug: CHECK(%s) failed\n", file, line, condition);
    size_t size = length < 0 ? 0 : (size_t)length;

    if (size >= sizeof(text))
        size = sizeof(text) - 1;
    if (write(STDERR_FILENO, text, size) < 0)
        abort(); /* nobody to tell; the core file will */
    abort();
}
