/* message_input.h - heads out of fuzzer bytes, for the message fuzzers.
 *
 * The first line is "METHOD TARGET VERSION", each further one a field. Only '\n' ends
 * a line, so that every other byte can get into names and values; the corpus stays
 * readable. Slices point into a copy of exactly the input's size. */
#ifndef FUZZ_MESSAGE_INPUT_H
#define FUZZ_MESSAGE_INPUT_H
#include "http/http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct arena *arena;

/* An empty arena and a copy of the input, the caller's to free with message_end(). */
static inline struct str message_begin(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);

    if (arena == NULL)
        arena = arena_new(65536, 64 << 20);
    CHECK(arena != NULL && copy != NULL);
    arena_reset(arena);
    if (size > 0)
        memcpy(copy, data, size);
    return str_at(copy, size);
}

static inline void message_end(struct str input)
{
    free((void *)(uintptr_t)input.ptr);
}

static inline void message_fields(struct http_fields *fields, struct str text)
{
    struct str line;

    CHECK(http_fields_init(fields, arena, 4));
    while (text.len > 0 && str_split(&text, '\n', &line)) {
        size_t colon = str_find(line, ':');

        CHECK(http_fields_add(fields, str_at(line.ptr, colon), str_from(line, colon + 1)));
    }
}

static inline void message_head(struct http_request_head *head, struct str text)
{
    struct str line = str_at(text.ptr, str_find(text, '\n'));
    size_t first = str_find(line, ' '), last = line.len;

    while (last > first + 1 && line.ptr[last - 1] != ' ')
        last--;
    head->method = str_at(line.ptr, first);
    head->version = str_from(line, last);
    head->target = last > first + 1 ? str_at(line.ptr + first + 1, last - first - 2) : STR_NONE;
    message_fields(&head->fields, str_from(text, line.len + 1));
}

/* What must never be in a head that is written to a wire. */
static inline bool is_clean(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

#endif
