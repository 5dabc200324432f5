/* message_fixture.h - heads for the tests of the http room, written as text.
 *
 * A row gives its fields as "Name: value\nName: value\n"; only '\n' ends a line, so
 * that a value can hold any other byte. Everything lives in one arena, which the
 * next head takes over. */
#ifndef MESSAGE_FIXTURE_H
#define MESSAGE_FIXTURE_H
#include "http/http.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena *test_arena;

static inline int arena_setup(void **state)
{
    (void)state;
    test_arena = arena_new(16384, 1 << 24);
    return test_arena == NULL;
}

static inline int arena_teardown(void **state)
{
    (void)state;
    arena_free(&test_arena);
    return 0;
}

/* Adds the fields of `text` (borrowed). A line without a colon is a name with an empty value. */
static inline void fields_of(struct http_fields *fields, struct arena *arena, const char *text)
{
    struct str rest = str_of(text), line;

    if (!http_fields_init(fields, arena, 4))
        fail_msg("no memory");
    while (rest.len > 0 && str_split(&rest, '\n', &line)) {
        size_t colon = str_find(line, ':');

        if (!http_fields_add(fields, str_at(line.ptr, colon), str_from(line, colon + 1)))
            fail_msg("no memory");
    }
}

/* The fields as text again, one line each; in the arena, NUL-terminated. */
static inline const char *text_of(const struct http_fields *fields, struct arena *arena)
{
    char *text = arena_take(arena, http_fields_bytes(fields) + 1), *end = text;

    if (text == NULL)
        fail_msg("no memory");
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];

        memcpy(end, field->name.ptr, field->name.len);
        end += field->name.len;
        *end++ = ':';
        *end++ = ' ';
        if (field->value.len > 0)
            memcpy(end, field->value.ptr, field->value.len);
        end += field->value.len;
        *end++ = '\n';
    }
    *end = '\0';
    return text;
}

static inline void expect_str(const char *name, const char *what, struct str got, const char *want)
{
    if (want == NULL ? got.ptr != NULL : !str_eq(got, str_of(want)) || got.ptr == NULL)
        fail_msg("%s: %s is \"%.*s\", want \"%s\"", name, what, STR_ARG(got),
                 want == NULL ? "(none)" : want);
}

#endif
