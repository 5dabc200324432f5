/* proxy_header_fuzz.c - a PROXY header is read the same however its bytes arrive.
 *
 * Held: each shorter part of a whole header asks for more and nothing else does so for ever; what
 * is refused stays refused when more comes; nothing behind the header changes what was read. */
#include "server/proxy_header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole, part;
    enum proxy_state state;
    char *bytes = malloc(size > 0 ? size : 1); /* exactly: a read behind it is seen */

    CHECK(bytes != NULL);
    if (size > 0)
        memcpy(bytes, data, size);
    state = proxy_header_read(str_at(bytes, size), &whole);
    CHECK(state != PROXY_MORE || size < PROXY_HEADER_BYTES);
    CHECK(state != PROXY_WHOLE || (whole.length <= size && whole.length <= PROXY_HEADER_BYTES));
    for (size_t len = 0, wrong = 0; len <= size && len < 300; len++) {
        enum proxy_state now = proxy_header_read(str_at(bytes, len), &part);

        if (state == PROXY_WHOLE)
            CHECK(now == (len < whole.length ? PROXY_MORE : PROXY_WHOLE));
        if (now == PROXY_WHOLE)
            CHECK(state == PROXY_WHOLE && part.length == whole.length &&
                  part.has_address == whole.has_address &&
                  memcmp(part.address, whole.address, 16) == 0);
        CHECK(wrong == 0 || now == PROXY_WRONG);
        wrong += now == PROXY_WRONG;
        CHECK(state == PROXY_WRONG || now != PROXY_WRONG);
    }
    free(bytes);
    return 0;
}
