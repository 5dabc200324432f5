/* http_path_fuzz.c - normal paths: doing it twice equals once, and nothing climbs.
 *
 * Held: the normal path starts with '/', has no empty and no dot segment, no NUL, no
 * escape of an unreserved octet and none in lower case; it is never longer. */
#include "http/http.h"

#include "message_input.h"

static void check_segments(struct str path)
{
    struct str rest = str_from(path, 1), segment;

    while (rest.len > 0 && str_split(&rest, '/', &segment))
        CHECK(segment.len > 0 && !str_eq(segment, STR(".")) && !str_eq(segment, STR("..")));
}

static void check_escapes(struct str path)
{
    for (size_t i = 0; i < path.len; i++) {
        char byte;

        CHECK(path.ptr[i] != '\0');
        if (path.ptr[i] != '%')
            continue;
        CHECK(path.len - i >= 3);
        for (size_t j = i + 1; j <= i + 2; j++)
            CHECK(ascii_hex_value(path.ptr[j]) >= 0 && !(path.ptr[j] >= 'a'));
        byte = (char)(ascii_hex_value(path.ptr[i + 1]) << 4 | ascii_hex_value(path.ptr[i + 2]));
        CHECK(byte != '\0' && !ascii_is_digit(byte) && !(byte >= 'A' && byte <= 'Z') &&
              !(byte >= 'a' && byte <= 'z') && byte != '-' && byte != '.' && byte != '_' &&
              byte != '~');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = message_begin(data, size), normal, again;
    struct http_target target = http_split_target(input);

    CHECK(target.path.len + target.query.len + (target.query.ptr != NULL) == input.len);
    if (http_normalize_path(arena, target.path, &normal) == HTTP_SOUND &&
        !str_eq(normal, STR("*"))) {
        CHECK(normal.len >= 1 && normal.len <= target.path.len && normal.ptr[0] == '/');
        check_segments(normal);
        check_escapes(normal);
        CHECK(http_normalize_path(arena, normal, &again) == HTTP_SOUND && str_eq(normal, again));
        if (str_has(normal, STR("%2F")) || str_has(normal, STR("/..;")))
            CHECK(http_path_is_ambiguous(normal));
    }
    message_end(input);
    return 0;
}
