/* caching_input.h - header lists out of fuzzer bytes, for the caching fuzzers.
 *
 * A line is one field; what is before ':' is its name. A line without ':' is a
 * value of the field that the fuzzer is about. The corpus stays readable that
 * way, and the fuzzer reaches values without having to guess names. */
#ifndef FUZZ_CACHING_INPUT_H
#define FUZZ_CACHING_INPUT_H
#include "http/http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct arena *arena;

/* Each run begins with an empty arena. */
static inline void input_begin(void)
{
    if (arena == NULL)
        arena = arena_new(65536, 8 << 20);
    CHECK(arena != NULL);
    arena_reset(arena);
}

/* A copy of its own size, so that reading past a slice is seen. */
static inline struct str input_copy(const uint8_t *data, size_t size)
{
    struct str copy = {malloc(size > 0 ? size : 1), size};

    CHECK(copy.ptr != NULL);
    if (size > 0)
        memcpy((char *)(uintptr_t)copy.ptr, data, size);
    return copy;
}

static inline void input_free(struct str copy)
{
    free((void *)(uintptr_t)copy.ptr);
}

static inline struct http_fields input_fields(struct str text, enum http_name about)
{
    struct http_fields fields;
    struct str rest = text, line;

    CHECK(http_fields_init(&fields, arena, 8));
    while (rest.len > 0 && str_split(&rest, '\n', &line)) {
        size_t colon = about == HTTP_OTHER ? str_find(line, ':') : line.len;
        if (colon < line.len)
            CHECK(http_fields_add(&fields, str_at(line.ptr, colon),
                                  str_trim(str_from(line, colon + 1))));
        else if (about != HTTP_OTHER)
            CHECK(http_fields_add_id(&fields, about, str_trim(line)));
    }
    return fields;
}

#endif
