/* identify_test.c - who asks: keys in header and query, addresses behind proxies, the hashes
 * under which they are counted.
 *
 * The configuration is made by hand; the digests are those of "alpha", "old" and "narrow". */
#include "identify/identify_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const int64_t NOW_S = 1800000000;
static const struct hash_key seed = {{1, 2}};

struct fixture {
    struct config config;
    struct tier_config tiers[2];
    struct api_key_config keys[4];
    char digests[4][65];
    struct str scopes[1];
    struct cidr proxies[2];
    struct arena *arena;
    struct identify *identify;
};

static void add_key(struct fixture *f, const char *secret, const char *id, const char *tier)
{
    uint32_t i = f->config.identity.api_key.key_count++;

    hash_sha256_hex(str_of(secret), f->digests[i]);
    f->keys[i] = (struct api_key_config){
        .sha256_hex = str_of(f->digests[i]),
        .id = str_of(id),
        .tier = str_of(tier),
        .expires_s = INT64_MAX,
    };
}

static void setup(struct fixture *f)
{
    struct identity_config *identity = &f->config.identity;

    memset(f, 0, sizeof(*f));
    f->tiers[0].name = STR("free");
    f->tiers[1].name = STR("premium");
    f->config.tiers = f->tiers;
    f->config.tier_count = 2;
    f->config.limits.default_tier = STR("free");
    identity->sources[0] = SOURCE_API_KEY;
    identity->sources[1] = SOURCE_IP;
    identity->source_count = 2;
    identity->ip.ipv4_prefix = 32;
    identity->ip.ipv6_prefix = 64;
    identity->api_key.header = STR("X-API-Key");
    identity->api_key.query = STR("api_key");
    identity->api_key.keys = f->keys;
    add_key(f, "alpha", "acme", "premium");
    add_key(f, "old", "gone", "premium");
    f->keys[1].expires_s = NOW_S;
    add_key(f, "narrow", "reader", "free");
    f->scopes[0] = STR("products");
    f->keys[2].scopes = (struct str_list){f->scopes, 1};
    add_key(f, "a+b/c=", "base64", "premium");
    assert_true(cidr_parse(STR("10.0.0.0/8"), &f->proxies[0]));
    assert_true(cidr_parse(STR("fd00::/8"), &f->proxies[1]));
    f->config.server.trusted_proxies = (struct cidr_list){f->proxies, 2};
    f->arena = arena_new(4096, 1 << 20);
    assert_non_null(f->arena);
}

static void start(struct fixture *f)
{
    struct fail why = {""};

    f->identify = identify_new(&f->config, &seed, NULL, &why);
    if (f->identify == NULL)
        fail_msg("%s", why.text);
}

static void teardown(struct fixture *f)
{
    identify_free(&f->identify);
    arena_free(&f->arena);
}

/* "Name: value" lines. */
static struct http_fields fields_of(struct arena *arena, const char *lines)
{
    struct http_fields fields;
    struct str rest = str_of(lines), line;

    assert_true(http_fields_init(&fields, arena, 8));
    while (rest.len > 0 && str_split(&rest, '\n', &line)) {
        size_t colon = str_find(line, ':');

        assert_true(
            http_fields_add(&fields, str_at(line.ptr, colon), str_trim(str_from(line, colon + 1))));
    }
    return fields;
}

#define LONG_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
    const char *name, *fields, *query;
    enum auth_kind auth;
    const char *route;
    enum identify_result want;
    const char *want_reason, *want_caller; /* caller: name, or NULL for the address */
    bool want_seen;
} cases[] = {
    {"nothing", "", NULL, AUTH_NONE, "r", IDENTIFY_OK, NULL, NULL, false},
    {"nothing, but needed", "", NULL, AUTH_IDENTITY, "r", IDENTIFY_NEEDED, "needed", NULL, false},
    {"a key", "X-API-Key: alpha", NULL, AUTH_NONE, "r", IDENTIFY_OK, NULL, "key:acme", true},
    {"a key where it is needed", "x-api-KEY: alpha", NULL, AUTH_IDENTITY, "r", IDENTIFY_OK, NULL,
     "key:acme", true},
    {"not looked at", "X-API-Key: wrong", NULL, AUTH_OFF, "r", IDENTIFY_OK, NULL, NULL, false},
    {"case counts in keys", "X-API-Key: Alpha", NULL, AUTH_NONE, "r", IDENTIFY_INVALID,
     "key_unknown", NULL, true},
    {"unknown never falls through", "X-API-Key: wrong", NULL, AUTH_NONE, "r", IDENTIFY_INVALID,
     "key_unknown", NULL, true},
    {"the digest is no key",
     "X-API-Key: 8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8", NULL, AUTH_NONE,
     "r", IDENTIFY_INVALID, "key_unknown", NULL, true},
    {"expired at its second", "X-API-Key: old", NULL, AUTH_NONE, "r", IDENTIFY_INVALID,
     "key_expired", NULL, true},
    {"empty", "X-API-Key:", NULL, AUTH_NONE, "r", IDENTIFY_INVALID, "key_malformed", NULL, true},
    {"256 bytes are unknown", "X-API-Key: " LONG_64 LONG_64 LONG_64 LONG_64, NULL, AUTH_NONE, "r",
     IDENTIFY_INVALID, "key_unknown", NULL, true},
    {"257 are malformed", "X-API-Key: " LONG_64 LONG_64 LONG_64 LONG_64 "x", NULL, AUTH_NONE, "r",
     IDENTIFY_INVALID, "key_malformed", NULL, true},
    {"a control byte", "X-API-Key: al\tpha", NULL, AUTH_NONE, "r", IDENTIFY_INVALID,
     "key_malformed", NULL, true},
    {"two lines", "X-API-Key: alpha\nX-API-Key: alpha", NULL, AUTH_NONE, "r", IDENTIFY_INVALID,
     "key_duplicate", NULL, true},
    {"header and query", "X-API-Key: alpha", "api_key=alpha", AUTH_NONE, "r", IDENTIFY_INVALID,
     "key_duplicate", NULL, true},
    {"two in one line", "X-API-Key: alpha, alpha", NULL, AUTH_NONE, "r", IDENTIFY_INVALID,
     "key_unknown", NULL, true},
    {"scope", "X-API-Key: narrow", NULL, AUTH_NONE, "products", IDENTIFY_OK, NULL, "key:reader",
     true},
    {"out of scope", "X-API-Key: narrow", NULL, AUTH_NONE, "r", IDENTIFY_FORBIDDEN, "scope",
     "key:reader", true},
    {"scope without a route", "X-API-Key: narrow", NULL, AUTH_NONE, NULL, IDENTIFY_OK, NULL,
     "key:reader", true},
    {"in the query", "", "x=1&api_key=alpha&y", AUTH_NONE, "r", IDENTIFY_OK, NULL, "key:acme",
     true},
    {"encoded", "", "api%5Fkey=%61lpha", AUTH_NONE, "r", IDENTIFY_OK, NULL, "key:acme", true},
    {"plus is plus", "", "api_key=a+b/c=", AUTH_NONE, "r", IDENTIFY_OK, NULL, "key:base64", true},
    {"encoded base64", "", "api_key=a%2Bb%2Fc%3D", AUTH_NONE, "r", IDENTIFY_OK, NULL, "key:base64",
     true},
    {"twice in the query", "", "api_key=alpha&api%5fkey=alpha", AUTH_NONE, "r", IDENTIFY_INVALID,
     "key_duplicate", NULL, true},
    {"without a value", "", "api_key", AUTH_NONE, "r", IDENTIFY_INVALID, "key_malformed", NULL,
     true},
    {"a broken escape", "", "api_key=%6", AUTH_NONE, "r", IDENTIFY_INVALID, "key_malformed", NULL,
     true},
    {"a hidden control byte", "", "api_key=alpha%00", AUTH_NONE, "r", IDENTIFY_INVALID,
     "key_malformed", NULL, true},
    {"too long when decoded", "", "api_key=" LONG_64 LONG_64 LONG_64 LONG_64 "x", AUTH_NONE, "r",
     IDENTIFY_INVALID, "key_malformed", NULL, true},
    {"another name", "", "API_KEY=alpha&xapi_key=alpha", AUTH_NONE, "r", IDENTIFY_OK, NULL, NULL,
     false},
    {"an empty query", "", "", AUTH_NONE, "r", IDENTIFY_OK, NULL, NULL, false},
};

static void check_case(struct fixture *f, size_t i)
{
    struct http_fields fields = fields_of(f->arena, cases[i].fields);
    struct route_config route = {.name = str_of(cases[i].route), .auth = cases[i].auth};
    struct identify_question question = {
        .fields = &fields,
        .query = str_of(cases[i].query),
        .peer = STR("192.0.2.1"),
        .route = cases[i].route != NULL ? &route : NULL,
        .wall_s = NOW_S,
    };
    struct identify_answer answer;

    enum identify_result got = identify_ask(f->identify, &question, f->arena, &answer);
    if (got != cases[i].want)
        fail_msg("%s: got %d", cases[i].name, (int)got);
    if (!str_eq(str_of(answer.reason), str_of(cases[i].want_reason)))
        fail_msg("%s: reason %s", cases[i].name, answer.reason);
    if (answer.credential_seen != cases[i].want_seen)
        fail_msg("%s: seen %d", cases[i].name, answer.credential_seen);
    if (cases[i].want_caller == NULL && answer.caller.kind != CALLER_IP)
        fail_msg("%s: is %.*s", cases[i].name, STR_ARG(answer.caller.name));
    if (cases[i].want_caller == NULL && !str_eq(answer.caller.tier->name, STR("free")))
        fail_msg("%s: an address has the default tier", cases[i].name);
    if (cases[i].want_caller != NULL && !str_eq(answer.caller.name, str_of(cases[i].want_caller)))
        fail_msg("%s: is %.*s", cases[i].name, STR_ARG(answer.caller.name));
    assert_true(str_eq(answer.address, STR("192.0.2.1")));
}

static void credentials_of_every_form(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    start(&f);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_case(&f, i);
    teardown(&f);
}

static const struct {
    const char *name, *peer, *fields, *want;
    bool is_trusted;
} addresses[] = {
    {"the peer", "192.0.2.1", "", "192.0.2.1", false},
    {"a stranger speaks for nobody", "192.0.2.1", "X-Forwarded-For: 203.0.113.9", "192.0.2.1",
     false},
    {"a trusted one does", "10.1.2.3", "X-Forwarded-For: 203.0.113.9", "203.0.113.9", true},
    {"only its right end", "10.1.2.3", "X-Forwarded-For: 1.1.1.1, 203.0.113.9", "203.0.113.9",
     true},
    {"past trusted ones", "10.1.2.3", "X-Forwarded-For: 203.0.113.9, 10.9.9.9", "203.0.113.9",
     true},
    {"trusted over IPv6", "fd00::1", "Forwarded: for=\"[2001:db8::7]\"", "2001:db8::7", true},
    {"trusted, mapped", "::ffff:10.1.2.3", "X-Forwarded-For: 203.0.113.9", "203.0.113.9", true},
    {"mapped is plain", "::ffff:192.0.2.1", "", "192.0.2.1", false},
    {"mapped behind a proxy", "10.1.2.3", "X-Forwarded-For: ::FFFF:192.0.2.1", "192.0.2.1", true},
    {"nonsense is the peer", "10.1.2.3", "X-Forwarded-For: me", "10.1.2.3", true},
    {"a unix socket", "unix", "X-Forwarded-For: 203.0.113.9", "unix", false},
    {"a unix socket without a name", "", "", "unix", false},
};

static void addresses_of_every_form(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    start(&f);
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        struct http_fields fields = fields_of(f.arena, addresses[i].fields);
        struct identify_question question = {.fields = &fields, .peer = str_of(addresses[i].peer)};
        struct identify_answer answer;

        assert_int_equal(identify_ask(f.identify, &question, f.arena, &answer), IDENTIFY_OK);
        if (!str_eq(answer.address, str_of(addresses[i].want)))
            fail_msg("%s: %.*s", addresses[i].name, STR_ARG(answer.address));
        if (answer.peer_is_trusted != addresses[i].is_trusted)
            fail_msg("%s: trusted %d", addresses[i].name, answer.peer_is_trusted);
        assert_true(str_eq(answer.caller.id, answer.address));
        assert_true(
            str_eq(answer.caller.name, identify_hide_address(f.identify, answer.address, f.arena)));
    }
    teardown(&f);
}

static const struct {
    const char *name, *a, *b;
    bool is_one_client;
    uint32_t ipv4_prefix, ipv6_prefix;
} pairs[] = {
    {"another address", "192.0.2.1", "192.0.2.2", false, 32, 64},
    {"one block", "192.0.2.1", "192.0.2.254", true, 24, 64},
    {"another block", "192.0.2.1", "192.0.3.1", false, 24, 64},
    {"mapped", "192.0.2.1", "::ffff:192.0.2.1", true, 32, 64},
    {"mapped is no IPv6 block", "192.0.2.1", "::ffff:192.0.2.2", false, 32, 64},
    {"one /64", "2001:db8::1", "2001:db8::ffff:0:1", true, 32, 64},
    {"another /64", "2001:db8:0:1::1", "2001:db8:0:2::1", false, 32, 64},
    {"other spelling", "2001:db8::1", "2001:0DB8:0:0::0001", true, 32, 128},
    {"whole addresses", "2001:db8::1", "2001:db8::2", false, 32, 128},
    {"a prefix within a byte", "2001:db8:0:30::1", "2001:db8:0:3f::1", true, 32, 60},
    {"unix is nobody else", "unix", "0.0.0.0", false, 32, 64},
    {"unix is unix", "unix", "", true, 32, 64},
};

static void a_block_is_one_client(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct fixture f;
        struct caller a, b;

        setup(&f);
        f.config.identity.ip.ipv4_prefix = pairs[i].ipv4_prefix;
        f.config.identity.ip.ipv6_prefix = pairs[i].ipv6_prefix;
        start(&f);
        address_caller(f.identify, str_of(pairs[i].a), f.arena, &a);
        address_caller(f.identify, str_of(pairs[i].b), f.arena, &b);
        if ((a.hash.lo == b.hash.lo && a.hash.hi == b.hash.hi) != pairs[i].is_one_client)
            fail_msg("%s", pairs[i].name);
        teardown(&f);
    }
}

static struct hash128 hash_under(const char *secret, const struct hash_key *own_seed)
{
    struct fixture f;
    struct caller caller;

    setup(&f);
    f.config.identity.hash_secret = str_of(secret);
    f.identify = identify_new(&f.config, own_seed, NULL, NULL);
    assert_non_null(f.identify);
    assert_true(identify_by_name(f.identify, STR("ip:192.0.2.1"), f.arena, &caller));
    teardown(&f);
    return caller.hash;
}

static void hashes_depend_on_the_secret(void **state)
{
    static const struct hash_key other = {{8, 9}};

    (void)state;
    assert_true(hash_under("s", &seed).lo == hash_under("s", &other).lo);
    assert_true(hash_under("s", &seed).lo != hash_under("t", &seed).lo);
    assert_true(hash_under("", &seed).lo == hash_under("", &seed).lo);
    assert_true(hash_under("", &seed).lo != hash_under("", &other).lo);
}

static const struct {
    const char *name, *want; /* NULL: no such caller; "ip": an address */
} names[] = {
    {"key:acme", "key:acme"},
    {"acme", "key:acme"},
    {"key:alpha", NULL},
    {"nobody", NULL},
    {"user:acme", "user:acme"},
    {"user:", NULL},
    {"ip:192.0.2.1", "ip"},
    {"ip:unix", "ip"},
    {"ip:2001:db8::1", "ip"},
    {"ip:acme", NULL},
    {"", NULL},
    {"ip:", NULL},
    {"key:", NULL},
};

static void callers_by_name(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    start(&f);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct caller caller;
        bool is_known = identify_by_name(f.identify, str_of(names[i].name), f.arena, &caller);

        if (is_known != (names[i].want != NULL))
            fail_msg("\"%s\": %d", names[i].name, is_known);
        if (is_known && !str_starts(caller.name, str_of(names[i].want)))
            fail_msg("\"%s\": %.*s", names[i].name, STR_ARG(caller.name));
    }
    teardown(&f);
}

static void the_same_caller_by_name_and_by_request(void **state)
{
    struct fixture f;
    struct caller by_name;
    struct identify_answer answer;

    (void)state;
    setup(&f);
    start(&f);
    struct http_fields fields = fields_of(f.arena, "X-API-Key: alpha");
    struct identify_question question = {.fields = &fields, .peer = STR("192.0.2.1")};
    assert_int_equal(identify_ask(f.identify, &question, f.arena, &answer), IDENTIFY_OK);
    assert_true(identify_by_name(f.identify, STR("key:acme"), f.arena, &by_name));
    assert_true(answer.caller.hash.lo == by_name.hash.lo);
    assert_ptr_equal(answer.caller.tier, &f.tiers[1]);
    assert_ptr_equal(answer.caller.key, &f.keys[0]);
    teardown(&f);
}

static const struct {
    const char *name;
    enum identity_source sources[2];
    uint32_t count;
    enum identify_result want;
} orders[] = {
    {"key first", {SOURCE_API_KEY, SOURCE_IP}, 2, IDENTIFY_INVALID},
    {"address first", {SOURCE_IP, SOURCE_API_KEY}, 2, IDENTIFY_OK},
    {"address alone", {SOURCE_IP}, 1, IDENTIFY_OK},
    {"key alone", {SOURCE_API_KEY}, 1, IDENTIFY_INVALID},
};

static void sources_in_their_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(orders); i++) {
        struct fixture f;
        struct identify_answer answer;

        setup(&f);
        memcpy(f.config.identity.sources, orders[i].sources, sizeof(orders[i].sources));
        f.config.identity.source_count = orders[i].count;
        start(&f);
        struct http_fields fields = fields_of(f.arena, "X-API-Key: wrong");
        struct identify_question question = {.fields = &fields, .peer = STR("192.0.2.1")};
        if (identify_ask(f.identify, &question, f.arena, &answer) != orders[i].want)
            fail_msg("%s", orders[i].name);
        teardown(&f);
    }
}

static void another_header_and_no_query(void **state)
{
    struct fixture f;
    struct identify_answer answer;

    (void)state;
    setup(&f);
    f.config.identity.api_key.header = STR("X-Partner");
    f.config.identity.api_key.query = STR_NONE;
    start(&f);
    struct http_fields fields = fields_of(f.arena, "X-API-Key: wrong\nx-partner: alpha");
    struct identify_question question = {
        .fields = &fields, .query = STR("api_key=alpha&=alpha"), .peer = STR("192.0.2.1")};
    assert_int_equal(identify_ask(f.identify, &question, f.arena, &answer), IDENTIFY_OK);
    assert_true(str_eq(answer.caller.name, STR("key:acme")));
    assert_true(identify_hide_credential(f.identify, &fields, &question.query, f.arena));
    assert_int_equal(fields.count, 1);
    assert_true(str_eq(question.query, STR("api_key=alpha&=alpha")));
    teardown(&f);
}

static const struct {
    const char *query, *want;
} hidden[] = {
    {"a=1&api_key=x&b=2", "a=1&b=2"}, {"api_key=x", ""},      {"a=1", "a=1"},
    {"a&&b&api_key=", "a&&b"},        {"api%5Fkey=x&a", "a"}, {"", ""},
};

static void credentials_are_taken_out(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    start(&f);
    for (size_t i = 0; i < COUNT_OF(hidden); i++) {
        struct http_fields fields = fields_of(f.arena, "A: b\nX-API-Key: k\nC: d\nx-api-key: l");
        struct str query = str_of(hidden[i].query);

        assert_true(identify_hide_credential(f.identify, &fields, &query, f.arena));
        assert_int_equal(fields.count, 2);
        if (!str_eq(query, str_of(hidden[i].want)))
            fail_msg("%s: %.*s", hidden[i].query, STR_ARG(query));
    }
    teardown(&f);
}

static void a_tier_that_is_missing_is_told(void **state)
{
    struct fixture f;
    struct fail why = {""};

    (void)state;
    setup(&f);
    f.keys[3].tier = STR("gold");
    assert_null(identify_new(&f.config, &seed, NULL, &why));
    assert_true(str_has(str_of(why.text), STR("gold")));
    f.config.limits.default_tier = STR("none");
    assert_null(identify_new(&f.config, &seed, NULL, &why));
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credentials_of_every_form),
        cmocka_unit_test(addresses_of_every_form),
        cmocka_unit_test(a_block_is_one_client),
        cmocka_unit_test(hashes_depend_on_the_secret),
        cmocka_unit_test(callers_by_name),
        cmocka_unit_test(the_same_caller_by_name_and_by_request),
        cmocka_unit_test(sources_in_their_order),
        cmocka_unit_test(another_header_and_no_query),
        cmocka_unit_test(credentials_are_taken_out),
        cmocka_unit_test(a_tier_that_is_missing_is_told),
    };
    return cmocka_run_group_tests_name("identify/identify", tests, NULL, NULL);
}
