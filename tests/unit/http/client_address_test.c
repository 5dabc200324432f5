/* client_address_test.c - who the client is behind proxies of which 10.x, fd00:: and
 * "unix" are trusted. */
#include "message_fixture.h"

static bool is_trusted(void *arg, struct str address)
{
    uint32_t *asked = arg;

    *asked += 1;
    return str_starts(address, STR("10.")) || str_starts(address, STR("fd00:")) ||
           str_eq(address, STR("unix"));
}

#define XFF "X-Forwarded-For: "
#define FWD "Forwarded: "

static const struct {
    const char *name, *peer, *fields, *want;
} cases[] = {
    {"nothing said", "10.0.0.1", "", "10.0.0.1"},
    {"H11 stranger", "192.0.2.1", XFF "1.1.1.1\n", "192.0.2.1"},
    {"H11 stranger with Forwarded", "192.0.2.1", FWD "for=1.1.1.1\n", "192.0.2.1"},
    {"one", "10.0.0.1", XFF "1.1.1.1\n", "1.1.1.1"},
    {"unix peer", "unix", XFF "1.1.1.1\n", "1.1.1.1"},
    {"right most", "10.0.0.1", XFF "9.9.9.9, 1.1.1.1\n", "1.1.1.1"},
    {"past trusted", "10.0.0.1", XFF "9.9.9.9, 1.1.1.1, 10.0.0.2,10.0.0.3\n", "1.1.1.1"},
    {"all trusted", "10.0.0.1", XFF "10.0.0.3, 10.0.0.2\n", "10.0.0.3"},
    {"two lines", "10.0.0.1", XFF "9.9.9.9\n" XFF "1.1.1.1, 10.0.0.2\n", "1.1.1.1"},
    {"second line all trusted", "10.0.0.1", XFF "1.1.1.1\n" XFF "10.0.0.2\n", "1.1.1.1"},
    {"empty members", "10.0.0.1", XFF "9.9.9.9, ,1.1.1.1 ,, \n", "1.1.1.1"},
    {"empty", "10.0.0.1", XFF "\n", "10.0.0.1"},
    {"garbage", "10.0.0.1", XFF "garbage\n", "10.0.0.1"},
    {"garbage behind", "10.0.0.1", XFF "1.1.1.1, garbage\n", "10.0.0.1"},
    {"garbage further left", "10.0.0.1", XFF "garbage, 1.1.1.1\n", "1.1.1.1"},
    {"garbage past trusted", "10.0.0.1", XFF "garbage, 10.0.0.2\n", "10.0.0.1"},
    {"unknown", "10.0.0.1", XFF "unknown\n", "10.0.0.1"},
    {"open quote of a stranger", "10.0.0.1", XFF "\", 1.1.1.1\n", "1.1.1.1"},
    {"quoted is nonsense here", "10.0.0.1", XFF "\"1.1.1.1\"\n", "10.0.0.1"},
    {"port", "10.0.0.1", XFF "1.1.1.1:4711\n", "1.1.1.1"},
    {"port 65535", "10.0.0.1", XFF "1.1.1.1:65535\n", "1.1.1.1"},
    {"port too large", "10.0.0.1", XFF "1.1.1.1:65536\n", "10.0.0.1"},
    {"port empty", "10.0.0.1", XFF "1.1.1.1:\n", "10.0.0.1"},
    {"port nonsense", "10.0.0.1", XFF "1.1.1.1:x\n", "10.0.0.1"},
    {"leading zeros", "10.0.0.1", XFF "01.1.1.1\n", "10.0.0.1"},
    {"three numbers", "10.0.0.1", XFF "1.1.1\n", "10.0.0.1"},
    {"number over 255", "10.0.0.1", XFF "1.1.1.256\n", "10.0.0.1"},
    {"CIDR", "10.0.0.1", XFF "1.1.1.1/32\n", "10.0.0.1"},
    {"IPv6", "10.0.0.1", XFF "2001:db8::1\n", "2001:db8::1"},
    {"IPv6 in brackets", "10.0.0.1", XFF "[2001:db8::1]\n", "2001:db8::1"},
    {"IPv6 with port", "10.0.0.1", XFF "[2001:db8::1]:443\n", "2001:db8::1"},
    {"IPv6 with zone", "10.0.0.1", XFF "fe80::1%eth0\n", "fe80::1"},
    {"IPv6 with zone in brackets", "10.0.0.1", XFF "[fe80::1%eth0]:1\n", "fe80::1"},
    {"IPv6 with an empty zone", "10.0.0.1", XFF "fe80::1%\n", "10.0.0.1"},
    {"IPv6 with a bad zone", "10.0.0.1", XFF "fe80::1%a/b\n", "10.0.0.1"},
    {"IPv6 open bracket", "10.0.0.1", XFF "[2001:db8::1\n", "10.0.0.1"},
    {"IPv6 bytes behind", "10.0.0.1", XFF "[2001:db8::1]x\n", "10.0.0.1"},
    {"IPv6 two gaps", "10.0.0.1", XFF "1::2::3\n", "10.0.0.1"},
    {"IPv6 empty brackets", "10.0.0.1", XFF "[]\n", "10.0.0.1"},
    {"IPv4 in brackets", "10.0.0.1", XFF "[1.1.1.1]\n", "10.0.0.1"},
    {"IPv6 proxies", "fd00::1", XFF "1.1.1.1, fd00::2, [fd00::3]:1\n", "1.1.1.1"},
    {"H13 both", "10.0.0.1", XFF "1.1.1.1\n" FWD "for=2.2.2.2\n", "1.1.1.1"},
    {"H13 both, other order", "10.0.0.1", FWD "for=2.2.2.2\n" XFF "1.1.1.1\n", "1.1.1.1"},
    {"Forwarded", "10.0.0.1", FWD "for=1.1.1.1\n", "1.1.1.1"},
    {"Forwarded, any case", "10.0.0.1", FWD "For=1.1.1.1;Proto=http\n", "1.1.1.1"},
    {"Forwarded, other order", "10.0.0.1", FWD "proto=http; for=1.1.1.1 ;by=x\n", "1.1.1.1"},
    {"Forwarded, quoted", "10.0.0.1", FWD "for=\"1.1.1.1:80\"\n", "1.1.1.1"},
    {"Forwarded, IPv6", "10.0.0.1", FWD "for=\"[2001:db8::1]\"\n", "2001:db8::1"},
    {"Forwarded, IPv6 and port", "10.0.0.1", FWD "for=\"[2001:db8::1]:47\"\n", "2001:db8::1"},
    {"Forwarded, obfuscated port", "10.0.0.1", FWD "for=\"1.1.1.1:_x\"\n", "1.1.1.1"},
    {"Forwarded, list", "10.0.0.1", FWD "for=9.9.9.9, for=1.1.1.1;proto=http, for=10.0.0.2\n",
     "1.1.1.1"},
    {"Forwarded, two lines", "10.0.0.1", FWD "for=1.1.1.1\n" FWD "for=10.0.0.2\n", "1.1.1.1"},
    {"Forwarded, comma in quotes", "10.0.0.1", FWD "for=1.1.1.1;host=\"a,b;for=3.3.3.3\"\n",
     "1.1.1.1"},
    {"Forwarded, escaped quote", "10.0.0.1", FWD "for=1.1.1.1;host=\"a\\\",b\"\n", "1.1.1.1"},
    {"Forwarded, stranger's open quote", "10.0.0.1", FWD "for=\", for=1.1.1.1\n", "1.1.1.1"},
    {"Forwarded, open quote at the end", "10.0.0.1", FWD "for=1.1.1.1, for=\"\n", "10.0.0.1"},
    {"Forwarded, obfuscated", "10.0.0.1", FWD "for=_hidden\n", "10.0.0.1"},
    {"Forwarded, unknown", "10.0.0.1", FWD "for=unknown\n", "10.0.0.1"},
    {"Forwarded, no for", "10.0.0.1", FWD "proto=https\n", "10.0.0.1"},
    {"Forwarded, two for", "10.0.0.1", FWD "for=1.1.1.1;for=2.2.2.2\n", "10.0.0.1"},
    {"Forwarded, empty", "10.0.0.1", FWD "for=\n", "10.0.0.1"},
    {"Forwarded, lone quote", "10.0.0.1", FWD "for=\"\n", "10.0.0.1"},
    {"Forwarded, semicolons", "10.0.0.1", FWD ";;for=1.1.1.1;;\n", "1.1.1.1"},
    {"Forwarded, blank round =", "10.0.0.1", FWD "for =1.1.1.1\n", "10.0.0.1"},
};

static void every_chain(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http_fields fields;
        uint32_t asked = 0;

        arena_reset(test_arena);
        fields_of(&fields, test_arena, cases[i].fields);
        expect_str(cases[i].name, "client",
                   http_client_address(&fields, str_of(cases[i].peer), is_trusted, &asked),
                   cases[i].want);
    }
}

static void fifty_members_are_read_and_no_more(void **state)
{
    static const char member[] = "10.0.0.1, ";
    struct buf text = buf_new(1 << 20);
    struct http_fields fields;
    uint32_t asked = 0;

    (void)state;
    buf_add_str(&text, STR("1.1.1.1, "));
    for (int i = 0; i < 60; i++)
        buf_add_str(&text, str_of(member));
    arena_reset(test_arena);
    assert_true(http_fields_init(&fields, test_arena, 1));
    assert_true(http_fields_add(&fields, STR("X-Forwarded-For"), buf_str(&text)));
    expect_str("60 proxies", "client",
               http_client_address(&fields, STR("10.0.0.9"), is_trusted, &asked), "10.0.0.1");
    assert_int_equal(asked, 51); /* and the peer */
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chain),
        cmocka_unit_test(fifty_members_are_read_and_no_more),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
