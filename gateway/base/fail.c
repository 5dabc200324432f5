/* fail.c - a reason that a person will read.
 *
 * The text is made aside first, so that a caller may wrap the reason it was
 * handed: fail_set(why, "%s: %s", path, why->text). A text that is too long is
 * cut: half a reason is better than none, and no reason may cost memory.
 *
 * Any thread; nothing is shared. */
#include "base/base.h"

#include <stdio.h>

bool fail_set(struct fail *why, const char *format, ...)
{
    char text[sizeof(why->text)];
    va_list args;

    if (why == NULL)
        return false;
    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (length < 0)
        text[0] = '\0';
    memcpy(why->text, text, strlen(text) + 1);
    return false;
}
