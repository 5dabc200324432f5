/* forward_test.c - what reaches the next hop. Expectations are whole heads, so that
 * nothing slips through unseen; the line of a started traceparent is cut off first. */
#include "message_fixture.h"

#define TP  "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n"
#define END TP "X-Request-Id: id\n"
/* what a plain HTTP request of 192.0.2.1 to host "a" gets */
#define OWN                                                                                        \
    "X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: a\n"                   \
    "Forwarded: for=192.0.2.1;host=a;proto=http\nVia: 1.1 gateway\n" END

static const struct http_peer stranger = {
    .address = {"192.0.2.1", 9}, .socket = {"192.0.2.1", 9}, .host = {"a", 1}};
static const struct http_peer proxy = {
    .address = {"192.0.2.1", 9}, .socket = {"10.0.0.1", 8}, .is_trusted = true, .host = {"a", 1}};
static const struct http_peer ipv6 = {.address = {"2001:db8::1", 11},
                                      .socket = {"2001:db8::1", 11},
                                      .is_tls = true,
                                      .host = {"[::1]:8443", 10}};
static const struct http_peer local = {.address = {"unix", 4}, .socket = {"unix", 4}};
static const struct http_peer local_proxy = {
    .address = {"2001:db8::7", 11}, .socket = {"unix", 4}, .is_trusted = true, .host = {"a", 1}};

static const struct {
    const char *name;
    const struct http_peer *peer;
    const char *in, *want;
} requests[] = {
    {"nothing but our own", &stranger, TP, OWN},
    {"order, case and duplicates", &stranger, "aCCept: x\nX-A: 1\nX-B: 2\nX-A: 3\n" TP,
     "aCCept: x\nX-A: 1\nX-B: 2\nX-A: 3\n" OWN},
    {"Host and framing are the client room's", &stranger,
     "Host: a\nContent-Length: 007\nTransfer-Encoding: chunked\n" TP, OWN},
    {"H05 hop by hop", &stranger,
     "Connection: keep-alive\nKeep-Alive: 5\nProxy-Connection: x\nProxy-Authorization: x\n"
     "Proxy-Authenticate: x\nTE: trailers\nTrailer: X\nUpgrade: h2c\nHTTP2-Settings: x\n"
     "Expect: 100-continue\nProxy: evil\nproxy-other: x\n" TP,
     OWN},
    {"H04 listed", &stranger,
     "Connection: X-User-Id, close, Authorization\nX-User-Id: 1\nAuthorization: b\n"
     "x-user-id: 2\nX-Other: 3\n" TP,
     "Authorization: b\nX-Other: 3\n" OWN},
    {"H04 protected stay", &stranger,
     "Connection: cookie, x-api-key, content-type, cache-control, traceparent, "
     "x-forwarded-for, via, x-request-id, host, accept\nCookie: c\nX-API-Key: k\n"
     "Content-Type: t\nCache-Control: no-cache\nAccept: a\n" TP,
     "Cookie: c\nX-API-Key: k\nContent-Type: t\nCache-Control: no-cache\n" OWN},
    {"H04 second line", &stranger, "Connection: close\nConnection: x-a\nX-A: 1\n" TP, OWN},
    {"H04 list after its fields", &stranger, "X-A: 1\nConnection: x-a\n" TP, OWN},
    {"H04 too many listed", &stranger,
     "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\nX-A: 1\nAccept: x\n" TP, "Accept: x\n" OWN},
    {"H10 rewriting fields", &stranger,
     "X-Original-URL: /a\nX-Rewrite-URL: /b\nX-HTTP-Method-Override: DELETE\nx-http-method: PUT\n"
     "X-Method-Override: PUT\n" TP,
     OWN},
    {"H03 rate limits", &stranger,
     "X-RateLimit-Limit: 1\nX-RateLimit-Remaining: 1\nX-RateLimit-Reset: 1\n"
     "x-ratelimit-other: 1\n" TP,
     OWN},
    {"H11 spoofed", &stranger,
     "X-Forwarded-For: 1.1.1.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil\n"
     "X-Forwarded-Port: 1\nX-Forwarded-Prefix: /x\nForwarded: for=1.1.1.1\n" TP,
     OWN},
    {"H02 request id", &stranger, "X-Request-Id: mine\nx-request-id: again\n" TP, OWN},
    {"Via is continued", &stranger, "Via: 1.0 fred\nvia: 1.1 bob (x)\n" TP,
     "X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: a\n"
     "Forwarded: for=192.0.2.1;host=a;proto=http\n"
     "Via: 1.0 fred, 1.1 bob (x), 1.1 gateway\n" END},
    {"trusted peer, appended", &proxy,
     "X-Forwarded-For: 9.9.9.9\nX-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: https\n"
     "X-Forwarded-Host: shop.example\nX-Forwarded-Port: 443\n"
     "Forwarded: for=192.0.2.1;proto=https\n" TP,
     "X-Forwarded-Port: 443\nX-Forwarded-For: 9.9.9.9, 192.0.2.1, 10.0.0.1\n"
     "X-Forwarded-Proto: https\nX-Forwarded-Host: shop.example\n"
     "Forwarded: for=192.0.2.1;proto=https, for=10.0.0.1;host=a;proto=http\n"
     "Via: 1.1 gateway\n" END},
    {"trusted peer, one of the two", &proxy, "X-Forwarded-For: 192.0.2.1\n" TP,
     "X-Forwarded-For: 192.0.2.1, 10.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: a\n"
     "Forwarded: for=192.0.2.1, for=10.0.0.1;host=a;proto=http\nVia: 1.1 gateway\n" END},
    {"trusted peer, the other one", &proxy, "Forwarded: for=192.0.2.1\n" TP,
     "X-Forwarded-For: 192.0.2.1, 10.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: a\n"
     "Forwarded: for=192.0.2.1, for=10.0.0.1;host=a;proto=http\nVia: 1.1 gateway\n" END},
    {"trusted peer, open quote", &proxy, "Forwarded: for=\"a\nX-Forwarded-For: x\n" TP,
     "X-Forwarded-For: x, 10.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: a\n"
     "Forwarded: for=192.0.2.1, for=10.0.0.1;host=a;proto=http\nVia: 1.1 gateway\n" END},
    {"trusted peer, nonsense proto", &proxy, "X-Forwarded-Proto: a b\n" TP,
     "X-Forwarded-For: 192.0.2.1, 10.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: a\n"
     "Forwarded: for=192.0.2.1, for=10.0.0.1;host=a;proto=http\nVia: 1.1 gateway\n" END},
    {"trusted peer, list of protos", &proxy, "X-Forwarded-Proto: https, http\n" TP,
     "X-Forwarded-For: 192.0.2.1, 10.0.0.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: a\n"
     "Forwarded: for=192.0.2.1, for=10.0.0.1;host=a;proto=http\nVia: 1.1 gateway\n" END},
    {"IPv6 over TLS", &ipv6, TP,
     "X-Forwarded-For: 2001:db8::1\nX-Forwarded-Proto: https\nX-Forwarded-Host: [::1]:8443\n"
     "Forwarded: for=\"[2001:db8::1]\";host=\"[::1]:8443\";proto=https\nVia: 1.1 gateway\n" END},
    {"unix socket, no Host", &local, TP,
     "X-Forwarded-For: unknown\nX-Forwarded-Proto: http\n"
     "Forwarded: for=unknown;proto=http\nVia: 1.1 gateway\n" END},
    {"trusted unix socket", &local_proxy, "X-Forwarded-For: 2001:db8::7\n" TP,
     "X-Forwarded-For: 2001:db8::7, unknown\nX-Forwarded-Proto: http\nX-Forwarded-Host: a\n"
     "Forwarded: for=\"[2001:db8::7]\", for=unknown;host=a;proto=http\nVia: 1.1 gateway\n" END},
    {"tracestate with its parent", &stranger, "tracestate: a=b\n" TP, "tracestate: a=b\n" OWN},
};

static void requests_to_upstreams(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        struct http_fields in, out;

        arena_reset(test_arena);
        fields_of(&in, test_arena, requests[i].in);
        assert_true(
            http_forward_request(&in, requests[i].peer, STR("id"), HTTP_1_1, test_arena, &out));
        expect_str(requests[i].name, "head", str_of(text_of(&out, test_arena)), requests[i].want);
    }
}

static const struct {
    const char *name, *in;
} started[] = {
    {"none", ""},
    {"not valid", "traceparent: 00-abc\n"},
    {"two", TP TP},
    {"with a state", "traceparent: x\ntracestate: a=b\n"},
};

static void a_trace_is_started(void **state)
{
    struct str before = STR_NONE;

    (void)state;
    arena_reset(test_arena);
    for (size_t i = 0; i < COUNT_OF(started); i++) {
        struct http_fields in, out;
        struct str parent;

        fields_of(&in, test_arena, started[i].in);
        assert_true(http_forward_request(&in, &stranger, STR("id"), HTTP_1_0, test_arena, &out));
        parent = http_fields_get(&out, HTTP_TRACEPARENT);
        if (!http_traceparent_is_valid(parent) || str_eq(parent, before) ||
            http_fields_count_of(&out, HTTP_TRACEPARENT) != 1 ||
            http_fields_count_of(&out, HTTP_TRACESTATE) != 0)
            fail_msg("%s: %.*s", started[i].name, STR_ARG(parent));
        expect_str(started[i].name, "Via", http_fields_get(&out, HTTP_VIA), "1.0 gateway");
        before = parent;
    }
}

#define VIA "Via: 1.1 gateway\n"
static const struct {
    const char *name, *in, *want;
} answers[] = {
    {"empty", "", VIA},
    {"order and duplicates", "Set-Cookie: a\nX: 1\nset-cookie: b\nSet-Cookie: a\n",
     "Set-Cookie: a\nX: 1\nset-cookie: b\nSet-Cookie: a\n" VIA},
    {"length stays", "Content-Length: 5\nServer: s\nDate: d\n",
     "Content-Length: 5\nServer: s\nDate: d\n" VIA},
    {"hop by hop",
     "Connection: close\nKeep-Alive: x\nTransfer-Encoding: chunked\nTrailer: x\nUpgrade: x\n"
     "Proxy-Authenticate: x\nProxy-Connection: x\nTE: x\n",
     VIA},
    {"H16 listed", "Connection: X-Secret, close\nX-Secret: 1\nX-Public: 2\n", "X-Public: 2\n" VIA},
    {"H16 protected stay",
     "Connection: vary, cache-control, set-cookie, server\nVary: a\n"
     "Cache-Control: private\nSet-Cookie: c\nServer: s\n",
     "Vary: a\nCache-Control: private\nSet-Cookie: c\n" VIA},
    {"H17 the gateway's own",
     "X-RateLimit-Limit: 1\nX-RateLimit-Other: 1\nRateLimit: 1\nRateLimit-Policy: 1\n"
     "RateLimit-Reset: 1\nX-Cache-Status: HIT\nX-Request-Id: x\n",
     VIA},
    {"Via is continued", "Via: 1.1 a\nX: 1\nVia: 1.0 b\n",
     "X: 1\nVia: 1.1 a, 1.0 b, 1.1 gateway\n"},
    {"empty Via", "Via:\n", VIA},
};

static void answers_to_clients(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        struct http_fields in, out;

        arena_reset(test_arena);
        fields_of(&in, test_arena, answers[i].in);
        assert_true(http_forward_answer(&in, test_arena, &out));
        expect_str(answers[i].name, "head", str_of(text_of(&out, test_arena)), answers[i].want);
    }
}

static void no_memory_is_told(void **state)
{
    char long_value[4000];
    struct http_fields in, out;

    (void)state;
    arena_reset(test_arena);
    memset(long_value, 'a', sizeof(long_value));
    assert_true(http_fields_init(&in, test_arena, 4));
    assert_true(http_fields_add(&in, STR("Via"), str_at(long_value, sizeof(long_value))));
    assert_true(http_fields_add(&in, STR("Via"), str_at(long_value, sizeof(long_value))));
    for (size_t size = 16; size < 4096; size += 16) {
        struct arena *small = arena_new(size, size);

        if (small == NULL)
            continue;
        assert_false(http_forward_request(&in, &proxy, STR("id"), HTTP_1_1, small, &out));
        arena_reset(small);
        assert_false(http_forward_answer(&in, small, &out));
        arena_free(&small);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_to_upstreams),
        cmocka_unit_test(a_trace_is_started),
        cmocka_unit_test(answers_to_clients),
        cmocka_unit_test(no_memory_is_told),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
