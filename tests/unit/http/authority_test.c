/* authority_test.c - Host and authority: what is accepted, and what is read in it. */
#include "message_fixture.h"

static const struct {
    const char *name, *text, *host; /* host NULL: refused */
    uint16_t port;
} cases[] = {
    {"name", "example.com", "example.com", 0},
    {"case is kept", "ExAmple.COM", "ExAmple.COM", 0},
    {"one label", "localhost", "localhost", 0},
    {"underscore", "my_service", "my_service", 0},
    {"port", "a:8080", "a", 8080},
    {"port with zeros", "a:00080", "a", 80},
    {"largest port", "a:65535", "a", 65535},
    {"empty port", "a:", "a", 0},
    {"trailing dot", "a.b.", "a.b", 0},
    {"trailing dot and port", "a.b.:81", "a.b", 81},
    {"IPv4", "192.0.2.1", "192.0.2.1", 0},
    {"IPv4 and port", "192.0.2.1:80", "192.0.2.1", 80},
    {"IPv6", "[2001:db8::1]", "[2001:db8::1]", 0},
    {"IPv6 and port", "[::1]:8080", "[::1]", 8080},
    {"IPv6, unspecified", "[::]", "[::]", 0},
    {"IPv6 with IPv4 in it", "[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.1]", 1},
    {"IPv6, empty port", "[::1]:", "[::1]", 0},
    {"empty", "", NULL, 0},
    {"dot", ".", NULL, 0},
    {"two dots", "..", NULL, 0},
    {"two trailing dots", "a..", NULL, 0},
    {"leading dot", ".a", NULL, 0},
    {"empty label", "a..b", NULL, 0},
    {"only a port", ":80", NULL, 0},
    {"port 0", "a:0", NULL, 0},
    {"port 00000", "a:00000", NULL, 0},
    {"port 65536", "a:65536", NULL, 0},
    {"port 70000", "a:70000", NULL, 0},
    {"port of six digits", "a:000080", NULL, 0},
    {"port with a sign", "a:+80", NULL, 0},
    {"negative port", "a:-80", NULL, 0},
    {"port with a letter", "a:8o", NULL, 0},
    {"two ports", "a:80:80", NULL, 0},
    {"userinfo", "user@a", NULL, 0},
    {"userinfo with password", "user:pass@a", NULL, 0},
    {"path", "a/b", NULL, 0},
    {"slash", "a/", NULL, 0},
    {"backslash", "a\\b", NULL, 0},
    {"query", "a?b", NULL, 0},
    {"fragment", "a#b", NULL, 0},
    {"blank", "a b", NULL, 0},
    {"blank before", " a", NULL, 0},
    {"tab", "a\tb", NULL, 0},
    {"comma", "a,b", NULL, 0},
    {"semicolon", "a;b", NULL, 0},
    {"percent escape", "a%2eb", NULL, 0},
    {"quote", "a\"b", NULL, 0},
    {"angle", "a<b", NULL, 0},
    {"CTL", "a\x01", NULL, 0},
    {"CR", "a\rb", NULL, 0},
    {"DEL", "a\x7f", NULL, 0},
    {"raw UTF-8", "\xc3\xa4.de", NULL, 0},
    {"scheme", "http://a", NULL, 0},
    {"IPv6 without brackets", "2001:db8::1", NULL, 0},
    {"IPv6, open", "[::1", NULL, 0},
    {"IPv6, closed only", "::1]", NULL, 0},
    {"IPv6, empty", "[]", NULL, 0},
    {"IPv6, zone", "[fe80::1%25eth0]", NULL, 0},
    {"IPv6, two gaps", "[1::2::3]", NULL, 0},
    {"IPv6, nine groups", "[1:2:3:4:5:6:7:8:9]", NULL, 0},
    {"IPv6, letters", "[::g]", NULL, 0},
    {"IPv6, bytes behind", "[::1]a", NULL, 0},
    {"IPv6, dot behind", "[::1].", NULL, 0},
    {"IPv6, port 0", "[::1]:0", NULL, 0},
    {"IPv4 in brackets", "[192.0.2.1]", NULL, 0},
    {"IPvFuture", "[v1.a]", NULL, 0},
    {"two brackets", "[[::1]]", NULL, 0},
};

static void every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct str host = STR_NONE;
        uint16_t port = 0;
        bool is_good = http_parse_authority(str_of(cases[i].text), &host, &port);

        if (is_good != (cases[i].host != NULL))
            fail_msg("%s: %s", cases[i].name, is_good ? "accepted" : "refused");
        if (!is_good)
            continue;
        expect_str(cases[i].name, "host", host, cases[i].host);
        if (port != cases[i].port)
            fail_msg("%s: port %u", cases[i].name, port);
    }
}

static void long_names_and_hidden_bytes(void **state)
{
    char name[300];
    struct str host;
    uint16_t port;

    (void)state;
    memset(name, 'a', sizeof(name));
    assert_true(http_parse_authority(str_at(name, 255), &host, &port));
    assert_false(http_parse_authority(str_at(name, 256), &host, &port));
    assert_false(http_parse_authority(STR("a\0b"), &host, &port));
    assert_false(http_parse_authority(STR("[::1\0]"), &host, &port));
    assert_false(http_parse_authority(STR_NONE, &host, &port));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form),
        cmocka_unit_test(long_names_and_hidden_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
