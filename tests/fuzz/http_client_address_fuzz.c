/* http_client_address_fuzz.c - what a stranger writes never decides who he is.
 *
 * The input is what a client sends: first as whole fields, then as the left part of the
 * lists to which a trusted proxy has appended his address. Held: the answer is the peer
 * or a clean address within the input; behind an honest proxy it is always what that
 * proxy wrote. */
#include "http/http.h"

#include "message_input.h"

#include <arpa/inet.h>

static bool is_trusted(void *arg, struct str address)
{
    (void)arg;
    return str_starts(address, STR("10.")) || str_starts(address, STR("fd"));
}

static void check_address(struct str address)
{
    char text[64];
    struct in6_addr parsed;

    CHECK(address.len > 0 && address.len < sizeof(text));
    memcpy(text, address.ptr, address.len);
    text[address.len] = '\0';
    CHECK(inet_pton(AF_INET, text, &parsed) == 1 || inet_pton(AF_INET6, text, &parsed) == 1);
}

/* The stranger's line, with what the proxy appended. */
static void check_appended(enum http_name id, struct str input, const char *appended)
{
    struct http_fields fields;
    struct str line = arena_printf(arena, "%.*s, %s", STR_ARG(input), appended);

    CHECK(http_fields_init(&fields, arena, 1) && http_fields_add_id(&fields, id, line));
    CHECK(
        str_eq(http_client_address(&fields, STR("10.0.0.1"), is_trusted, NULL), STR("192.0.2.7")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = message_begin(data, size), peer = STR("10.0.0.1"), address;
    struct http_fields fields;

    message_fields(&fields, input);
    address = http_client_address(&fields, peer, is_trusted, NULL);
    if (address.ptr != peer.ptr) {
        CHECK(address.ptr >= input.ptr && address.ptr + address.len <= input.ptr + input.len);
        check_address(address);
    }
    CHECK(http_client_address(&fields, STR("192.0.2.1"), is_trusted, NULL).len == 9);
    if (str_find(input, '\0') == input.len) {
        check_appended(HTTP_X_FORWARDED_FOR, input, "192.0.2.7");
        check_appended(HTTP_FORWARDED, input, "for=192.0.2.7;host=\"a:80\", for=\"[fd00::1]\"");
    }
    message_end(input);
    return 0;
}
