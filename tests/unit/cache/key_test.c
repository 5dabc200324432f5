/* key_test.c - keys: different inputs never meet, the same ones always do, and the
 * route's query rules shape them. */
#include "cache_fixture.h"

struct key_input {
    const char *name, *host, *target, *path, *user, *key_header;
    uint16_t port;
    bool is_tls;
};

static struct cache_key built(const struct world *world, const struct key_input *input,
                              const struct route_config *route)
{
    struct http_fields request =
        fields_with(world->arena, input->key_header != NULL ? "X-Key" : NULL, input->key_header);
    struct cache_key_parts parts = {
        .is_tls = input->is_tls,
        .host = str_of(input->host),
        .port = input->port,
        .target = str_of(input->target),
        .path = input->path != NULL ? str_of(input->path)
                                    : http_split_target(str_of(input->target)).path,
        .user = str_of(input->user != NULL ? input->user : ""),
        .route = route,
        .request = &request,
    };
    struct cache_key key;

    assert_true(cache_key_build(world->cache, &parts, world->arena, &key));
    return key;
}

static const struct key_input different[] = {
    {"plain", "a.example", "/p", NULL, NULL, NULL, 0, false},
    {"https", "a.example", "/p", NULL, NULL, NULL, 0, true},
    {"port", "a.example", "/p", NULL, NULL, NULL, 8080, false},
    {"empty query", "a.example", "/p?", NULL, NULL, NULL, 0, false},
    {"query", "a.example", "/p?a", NULL, NULL, NULL, 0, false},
    {"query with value", "a.example", "/p?a=", NULL, NULL, NULL, 0, false},
    {"other order", "a.example", "/p?b&a", NULL, NULL, NULL, 0, false},
    {"order", "a.example", "/p?a&b", NULL, NULL, NULL, 0, false},
    {"host takes from path", "a.example/p", "/", NULL, NULL, NULL, 0, false},
    {"user", "a.example", "/p", NULL, "key:x", NULL, 0, false},
    {"user in target", "a.example", "/pkey:x", NULL, NULL, NULL, 0, false},
    {"target in user", "a.example", "/", NULL, "pkey:x", NULL, 0, false},
    {"header absent in list", "b.example", "/p", NULL, NULL, NULL, 0, false},
    {"case of path", "a.example", "/P", NULL, NULL, NULL, 0, false},
    {"encoded path", "a.example", "/%70", "/p", NULL, NULL, 0, false},
};

static void different_inputs_have_different_keys(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    size_t count = COUNT_OF(different);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            struct cache_key a = built(&world, &different[i], NULL);
            struct cache_key b = built(&world, &different[j], NULL);
            bool is_same = str_eq(a.text, b.text);

            if (is_same != (i == j) ||
                is_same != (a.hash.lo == b.hash.lo && a.hash.hi == b.hash.hi))
                fail_msg("%s against %s", different[i].name, different[j].name);
        }
    }
    world_free(&world);
}

static void same_host_in_any_case_and_with_its_dot(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct key_input lower = {.host = "a.example", .target = "/p?q"};
    struct key_input upper = {.host = "A.Example.", .target = "/p?q"};
    struct cache_key a = built(&world, &lower, NULL), b = built(&world, &upper, NULL);

    (void)state;
    assert_true(str_eq(a.text, b.text));
    assert_true(str_eq(a.host, STR("a.example")));
    assert_true(str_eq(a.url, STR("a.example/p?q")));
    assert_true(str_eq(a.path, STR("/p")) && str_eq(a.query, STR("q")));
    world_free(&world);
}

static void header_values_absent_empty_and_present_differ(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct str names[] = {STR("X-Key")};
    struct route_config route = {.cache.key_headers = {names, 1}};
    struct key_input inputs[] = {
        {.host = "a", .target = "/"},
        {.host = "a", .target = "/", .key_header = ""},
        {.host = "a", .target = "/", .key_header = "x"},
    };
    struct cache_key keys[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        keys[i] = built(&world, &inputs[i], &route);
    assert_false(str_eq(keys[0].text, keys[1].text));
    assert_false(str_eq(keys[1].text, keys[2].text));
    assert_false(str_eq(keys[0].text, keys[2].text));
    world_free(&world);
}

static const struct {
    const char *name;
    enum key_query rule;
    const char *listed, *ignored, *target, *want; /* want NULL: no query */
} rules[] = {
    {"all", KEY_QUERY_ALL, NULL, NULL, "/?b=1&a=2", "b=1&a=2"},
    {"sorted", KEY_QUERY_SORTED, NULL, NULL, "/?b=1&a=2&b=0", "a=2&b=1&b=0"},
    {"sorted by name alone", KEY_QUERY_SORTED, NULL, NULL, "/?ab=1&a=2&a", "a=2&a&ab=1"},
    {"none", KEY_QUERY_NONE, NULL, NULL, "/?b=1", NULL},
    {"listed", KEY_QUERY_LISTED, "id", NULL, "/?x=1&id=2&y", "id=2"},
    {"listed, encoded", KEY_QUERY_LISTED, "id", NULL, "/?i%64=2", "i%64=2"},
    {"listed, none there", KEY_QUERY_LISTED, "id", NULL, "/?x=1", NULL},
    {"ignored", KEY_QUERY_ALL, NULL, "utm_*", "/?utm_a=1&x=2&utm_b", "x=2"},
    {"ignored, encoded", KEY_QUERY_ALL, NULL, "utm_*", "/?utm%5Fa=1&x=2", "x=2"},
    {"all ignored", KEY_QUERY_ALL, NULL, "utm_*", "/?utm_a=1", NULL},
    {"no query", KEY_QUERY_SORTED, NULL, NULL, "/", NULL},
    {"empty query", KEY_QUERY_SORTED, NULL, NULL, "/?", ""},
};

static void query_rules(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        struct str listed = str_of(rules[i].listed), ignored = str_of(rules[i].ignored);
        struct route_config route = {
            .cache.query = rules[i].rule,
            .cache.query_names = {&listed, rules[i].listed != NULL ? 1 : 0},
            .cache.query_ignore = {&ignored, rules[i].ignored != NULL ? 1 : 0},
        };
        struct key_input input = {.host = "a", .target = rules[i].target};
        struct cache_key key = built(&world, &input, &route);

        if ((key.query.ptr == NULL) != (rules[i].want == NULL) ||
            !str_eq(key.query, str_of(rules[i].want)))
            fail_msg("%s: got \"%.*s\"", rules[i].name, STR_ARG(key.query));
    }
    world_free(&world);
}

static void a_url_has_one_hash_for_all_hosts_users_and_schemes(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct key_input one = {.host = "a", .target = "/p?q"};
    struct key_input two = {.host = "b", .target = "/p?q", .user = "key:u", .is_tls = true};
    struct key_input other = {.host = "a", .target = "/p?"};

    (void)state;
    assert_true(built(&world, &one, NULL).url_hash == built(&world, &two, NULL).url_hash);
    assert_false(built(&world, &one, NULL).url_hash == built(&world, &other, NULL).url_hash);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(different_inputs_have_different_keys),
        cmocka_unit_test(same_host_in_any_case_and_with_its_dot),
        cmocka_unit_test(header_values_absent_empty_and_present_differ),
        cmocka_unit_test(query_rules),
        cmocka_unit_test(a_url_has_one_hash_for_all_hosts_users_and_schemes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
