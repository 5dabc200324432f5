/* metrics_fixture.h - what the tests of metrics/ share: a scrape as text. */
#ifndef METRICS_FIXTURE_H
#define METRICS_FIXTURE_H
#include "metrics/metrics.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define SCRAPE_MOST ((size_t)64 * 1024 * 1024)

/* NUL-terminated; the caller's to free. */
static inline char *scrape(struct metrics *metrics)
{
    struct buf out = buf_new(SCRAPE_MOST);

    assert_true(metrics_write(metrics, &out));
    assert_true(buf_add_char(&out, '\0'));
    return out.ptr;
}

/* Fails unless `line` is a whole line of `text`. */
static inline void assert_line(const char *text, const char *line)
{
    size_t len = strlen(line);

    for (const char *at = strstr(text, line); at != NULL; at = strstr(at + 1, line))
        if ((at == text || at[-1] == '\n') && at[len] == '\n')
            return;
    fail_msg("no line \"%s\"", line);
}

static inline void assert_no_text(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("there is \"%s\"", part);
}

#endif
