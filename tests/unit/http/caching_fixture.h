/* caching_fixture.h - what the caching tests share: an arena, and header lists
 * written as text.
 *
 * A row of a table says "ETag: \"a\"\nAge: 5", one field a line, so that it reads
 * like the message it stands for. One thread; the arena lives as long as a test. */
#ifndef TEST_HTTP_CACHING_FIXTURE_H
#define TEST_HTTP_CACHING_FIXTURE_H
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NOW_S INT64_C(1800000000) /* Fri, 15 Jan 2027 08:00:00 GMT */

static struct arena *arena;

static inline int arena_setup(void **state)
{
    (void)state;
    arena = arena_new(16384, 1 << 20);
    return arena == NULL;
}

static inline int arena_teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* Lines "Name: value"; NULL and "" give an empty list. */
static inline struct http_fields fields_of(const char *text)
{
    struct http_fields fields;
    struct str rest = str_of(text), line;

    assert_true(http_fields_init(&fields, arena, 8));
    while (rest.len > 0 && str_split(&rest, '\n', &line)) {
        size_t colon = str_find(line, ':');
        assert_true(colon < line.len);
        assert_true(
            http_fields_add(&fields, str_at(line.ptr, colon), str_trim(str_from(line, colon + 1))));
    }
    return fields;
}

#endif
