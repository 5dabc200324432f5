/* client_answer_fuzz.c - whatever lines an upstream sends, a head that is let through is sound.
 *
 * Only '\n' ends a line, as libcurl cuts them. After a whole head every name is a token,
 * every value is free of control bytes, the limits hold, and the length is not ambiguous. */
#include "client/answer_priv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_answer_limits limits = {16, 2048};

static void check_fields(const struct answer *answer)
{
    CHECK(answer->fields.count <= limits.max_headers);
    for (uint32_t i = 0; i < answer->fields.count; i++) {
        CHECK(http_is_token(answer->fields.at[i].name));
        CHECK(http_is_field_value(answer->fields.at[i].value));
    }
}

static void check_head(const struct answer *answer)
{
    check_fields(answer);
    CHECK(answer->status >= 200 && answer->status <= 999);
    CHECK(!(answer->facts.has_length && answer->facts.is_chunked));
    CHECK(answer->bytes <= limits.max_header_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(512, answer_most_bytes(&limits));
    char *copy = malloc(size > 0 ? size : 1);
    struct str rest, line;
    struct answer answer;
    enum answer_step step = ANSWER_MORE;

    CHECK(arena != NULL && copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    rest = str_at(copy, size);
    answer_begin(&answer, arena, &limits);
    answer.may_be_http2 = size % 2 == 0;
    while (rest.len > 0 && step != ANSWER_NONSENSE && step != ANSWER_TOO_LARGE) {
        size_t len = str_find(rest, '\n');

        line = str_at(rest.ptr, len < rest.len ? len + 1 : len);
        rest = str_from(rest, line.len);
        step = answer_line(&answer, line);
        CHECK(step != ANSWER_NO_MEMORY); /* the arena has room for all that the limits allow */
        if (step == ANSWER_HEAD)
            check_head(&answer);
        if (step == ANSWER_MORE && answer.place == ANSWER_AT_TRAILERS)
            check_fields(&answer);
        if (step == ANSWER_NONSENSE || step == ANSWER_TOO_LARGE)
            CHECK(answer.reason != NULL);
    }
    free(copy);
    arena_free(&arena);
    return 0;
}
