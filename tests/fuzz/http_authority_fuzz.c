/* http_authority_fuzz.c - Host and authority.
 *
 * Held: what is accepted holds only bytes of names and addresses; host and port written
 * again are read the same; the host lies at the input's start. */
#include "http/http.h"

#include "message_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = message_begin(data, size), host, host_again;
    uint16_t port, port_again;

    if (http_parse_authority(input, &host, &port)) {
        struct str again;

        CHECK(host.ptr == input.ptr && host.len > 0 && host.len <= input.len);
        for (size_t i = 0; i < host.len; i++) {
            char c = ascii_lower(host.ptr[i]);

            CHECK((c >= 'a' && c <= 'z') || ascii_is_digit(c) || c == '.' || c == '-' || c == '_' ||
                  (host.ptr[0] == '[' && (c == ':' || c == '[' || c == ']')));
        }
        CHECK(host.ptr[host.len - 1] != '.');
        again = port == 0 ? host : arena_printf(arena, "%.*s:%u", STR_ARG(host), port);
        CHECK(http_parse_authority(again, &host_again, &port_again));
        CHECK(str_eq(host, host_again) && port == port_again);
    }
    message_end(input);
    return 0;
}
