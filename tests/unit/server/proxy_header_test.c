/* proxy_header_test.c - PROXY headers of both versions: who is believed to connect, what is left
 * for HTTP, and what is refused. */
#include "server/proxy_header.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define TCP4                                                                                       \
    "\xc0\x00\x02\x07\x0a\x00\x00\x01\x30\x39\x01\xbb" /* 192.0.2.7:12345 to 10.0.0.1:443 */
#define V6(last) "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0" last
#define TCP6     V6("\x01") V6("\x02") "\x30\x39\x01\xbb"
#define B(text)  text, sizeof(text) - 1
#define SIXTEEN  "0123456789abcdef"
#define UNIX_216                                                                                   \
    SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN        \
        SIXTEEN SIXTEEN "01234567"

static const struct {
    const char *name, *bytes;
    size_t len;
    enum proxy_state want;
    const char *address; /* NULL: the socket's own stands */
    size_t left;         /* for HTTP */
} cases[] = {
    {"nothing yet", B(""), PROXY_MORE, NULL, 0},
    {"v1 over IPv4", B("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\nGET"), PROXY_WHOLE, "192.0.2.7",
     3},
    {"v1 over IPv6", B("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), PROXY_WHOLE,
     "2001:db8::1", 0},
    {"v1 with a mapped address", B("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n"), PROXY_WHOLE,
     "192.0.2.7", 0},
    {"v1 unknown", B("PROXY UNKNOWN\r\nGET"), PROXY_WHOLE, NULL, 3},
    {"v1 unknown, with what is to be ignored", B("PROXY UNKNOWN ff:ff a b c d e f\r\n"),
     PROXY_WHOLE, NULL, 0},
    {"v1 half", B("PROXY TCP4 192.0.2.7"), PROXY_MORE, NULL, 0},
    {"v1 up to the CR", B("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r"), PROXY_MORE, NULL, 0},
    {"v1 port 0", B("PROXY TCP4 192.0.2.7 10.0.0.1 0 0\r\n"), PROXY_WHOLE, "192.0.2.7", 0},
    {"v1 without words", B("PROXY \r\n"), PROXY_WRONG, NULL, 0},
    {"v1 LF alone", B("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\n"), PROXY_WRONG, NULL, 0},
    {"v1 CR and something", B("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\rG"), PROXY_WRONG, NULL, 0},
    {"v1 two blanks", B("PROXY TCP4  192.0.2.7 10.0.0.1 12345 443\r\n"), PROXY_WRONG, NULL, 0},
    {"v1 a blank at the end", B("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443 \r\n"), PROXY_WRONG, NULL,
     0},
    {"v1 a word too many", B("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443 1\r\n"), PROXY_WRONG, NULL,
     0},
    {"v1 a word too few", B("PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n"), PROXY_WRONG, NULL, 0},
    {"v1 family and address differ", B("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), PROXY_WRONG,
     NULL, 0},
    {"v1 of no known family", B("PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n"), PROXY_WRONG, NULL, 0},
    {"v1 lower case", B("proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n"), PROXY_WRONG, NULL, 0},
    {"v1 address with a leading zero", B("PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n"), PROXY_WRONG,
     NULL, 0},
    {"v1 address with a NUL", B("PROXY TCP4 192.0.2.7\0 10.0.0.1 1 2\r\n"), PROXY_WRONG, NULL, 0},
    {"v1 bad destination", B("PROXY TCP4 192.0.2.7 here 1 2\r\n"), PROXY_WRONG, NULL, 0},
    {"v1 port too large", B("PROXY TCP4 192.0.2.7 10.0.0.1 65536 2\r\n"), PROXY_WRONG, NULL, 0},
    {"v1 port with a leading zero", B("PROXY TCP4 192.0.2.7 10.0.0.1 01 2\r\n"), PROXY_WRONG, NULL,
     0},
    {"v1 port with a sign", B("PROXY TCP4 192.0.2.7 10.0.0.1 +1 2\r\n"), PROXY_WRONG, NULL, 0},
    {"no header but a request", B("GET / HTTP/1.1\r\n"), PROXY_WRONG, NULL, 0},
    {"a request that begins like one", B("PUT / HTTP/1.1\r\n"), PROXY_WRONG, NULL, 0},
    {"a TLS handshake", B("\x16\x03\x01"), PROXY_WRONG, NULL, 0},

    {"v2 over IPv4", B(SIG "\x21\x11\0\x0c" TCP4 "GET"), PROXY_WHOLE, "192.0.2.7", 3},
    {"v2 over IPv6", B(SIG "\x21\x21\0\x24" TCP6), PROXY_WHOLE, "2001:db8::1", 0},
    {"v2 with values",
     B(SIG "\x21\x11\0\x13" TCP4 "\x04\0\x04"
           "junkGET"),
     PROXY_WHOLE, "192.0.2.7", 3},
    {"v2 local", B(SIG "\x20\0\0\0GET"), PROXY_WHOLE, NULL, 3},
    {"v2 local with addresses", B(SIG "\x20\x11\0\x0c" TCP4), PROXY_WHOLE, NULL, 0},
    {"v2 unspecified", B(SIG "\x21\0\0\x02xyGET"), PROXY_WHOLE, NULL, 3},
    {"v2 of a datagram", B(SIG "\x21\x12\0\x0c" TCP4), PROXY_WHOLE, NULL, 0},
    {"v2 of a unix socket", B(SIG "\x21\x31\0\xd8" UNIX_216), PROXY_WHOLE, NULL, 0},
    {"v2 half a signature", B("\r\n\r\n\0\r"), PROXY_MORE, NULL, 0},
    {"v2 signature alone", B(SIG), PROXY_MORE, NULL, 0},
    {"v2 without its addresses",
     B(SIG "\x21\x11\0\x0c"
           "\xc0\0"),
     PROXY_MORE, NULL, 0},
    {"v2 without its values", B(SIG "\x21\x11\0\x13" TCP4 "\x04"), PROXY_MORE, NULL, 0},
    {"v2 wrong signature", B("\r\n\r\n\0\r\nQUIX"), PROXY_WRONG, NULL, 0},
    {"empty lines", B("\r\n\r\nGET / HTTP/1.1\r\n"), PROXY_WRONG, NULL, 0},
    {"v2 of another version", B(SIG "\x31\x11\0\x0c" TCP4), PROXY_WRONG, NULL, 0},
    {"v2 unknown command", B(SIG "\x22"), PROXY_WRONG, NULL, 0},
    {"v2 unknown family", B(SIG "\x21\x41\0\x0c" TCP4), PROXY_WRONG, NULL, 0},
    {"v2 unknown transport", B(SIG "\x21\x13\0\x0c" TCP4), PROXY_WRONG, NULL, 0},
    {"v2 too short for its family", B(SIG "\x21\x21\0\x0c" TCP4), PROXY_WRONG, NULL, 0},
    {"v2 at the ceiling", B(SIG "\x21\x11\x0f\xf0"), PROXY_MORE, NULL, 0},
    {"v2 over the ceiling", B(SIG "\x21\x11\x0f\xf1"), PROXY_WRONG, NULL, 0},
    {"v2 local over the ceiling", B(SIG "\x20\0\xff\xff"), PROXY_WRONG, NULL, 0},
};

static void address_is(const char *name, const struct proxy_header *header, const char *want)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr mapped;
    bool is_v4;

    if (header->has_address != (want != NULL))
        fail_msg("%s: has_address is %d", name, header->has_address);
    if (want == NULL)
        return;
    memcpy(&mapped, header->address, sizeof(mapped));
    is_v4 = IN6_IS_ADDR_V4MAPPED(&mapped);
    inet_ntop(is_v4 ? AF_INET : AF_INET6, header->address + (is_v4 ? 12 : 0), text, sizeof(text));
    if (strcmp(text, want) != 0)
        fail_msg("%s: %s, want %s", name, text, want);
}

static void headers_of_every_form(void **state)
{
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        enum proxy_state got = proxy_header_read(str_at(cases[i].bytes, cases[i].len), &header);

        if (got != cases[i].want)
            fail_msg("%s: state %d, want %d", cases[i].name, (int)got, (int)cases[i].want);
        if (got != PROXY_WHOLE)
            continue;
        if (cases[i].len - header.length != cases[i].left)
            fail_msg("%s: length %zu", cases[i].name, header.length);
        address_is(cases[i].name, &header, cases[i].address);
    }
}

static void any_part_of_a_sound_header_waits_for_more(void **state)
{
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t whole = cases[i].len - cases[i].left;

        for (size_t len = 0; cases[i].want == PROXY_WHOLE && len < whole; len++)
            if (proxy_header_read(str_at(cases[i].bytes, len), &header) != PROXY_MORE)
                fail_msg("%s: its first %zu bytes", cases[i].name, len);
    }
}

static void a_line_ends_within_107_bytes(void **state)
{
    char line[160];
    struct proxy_header header;

    (void)state;
    for (size_t len = 100; len < 120; len++) {
        memset(line, 'x', sizeof(line));
        memcpy(line, "PROXY UNKNOWN ", 14);
        memcpy(line + len - 2, "\r\n", 2);
        assert_int_equal(proxy_header_read(str_at(line, len), &header),
                         len <= 107 ? PROXY_WHOLE : PROXY_WRONG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_of_every_form),
        cmocka_unit_test(any_part_of_a_sound_header_waits_for_more),
        cmocka_unit_test(a_line_ends_within_107_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
