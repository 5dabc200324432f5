/* environment_test.c - ${NAME} in strings, and variables that win over the file.
 *
 * Each row has a text, an environment, and what the printed configuration must hold,
 * or, where it begins with "!", the fault. */
#include "config_fixture.h"

#define MAX_ENV 6
#define UP      "\"upstreams\": {\"a\": {\"targets\": [\"http://127.0.0.1:1\"]}}"
#define ROUTE                                                                                      \
    "{" UP ", \"routes\": [{\"name\": \"product-list\", \"match\": {\"path\": \"/p\"}, "           \
    "\"upstream\": \"a\", \"cache\": {}}]}"

static const struct {
    const char *name, *text;
    const char *env[MAX_ENV + 1];
    const char *want;
} cases[] = {
    {"inside a string",
     "{\"log\": {\"access\": \"/${A}/${B}.log\"}}",
     {"A=x", "B=y"},
     "\"access\": \"/x/y.log\", // from B"},
    {"default", "{\"log\": {\"access\": \"${A:-off}\"}}", {NULL}, "\"access\": \"off\",\n"},
    {"default of an empty one",
     "{\"log\": {\"access\": \"${A:-off}\"}}",
     {"A="},
     "\"access\": \"off\",\n"},
    {"set wins over the default",
     "{\"log\": {\"access\": \"${A:-off}\"}}",
     {"A=stderr"},
     "\"access\": \"stderr\", // from A"},
    {"empty default", "{\"admin\": {\"token\": \"${A:-}\"}}", {NULL}, "\"token\": \"\",\n"},
    {"not looked through again",
     "{\"log\": {\"access\": \"/${A}\"}}",
     {"A=${B}", "B=x"},
     "\"/${B}\""},
    {"a lone dollar", "{\"log\": {\"access\": \"/$A$\"}}", {"A=x"}, "\"/$A$\""},
    {"a name is not a prefix",
     "{\"log\": {\"access\": \"${AB:-off}\"}}",
     {"A=x", "ABC=y"},
     "\"access\": \"off\""},
    {"whole number",
     "{\"server\": {\"max_headers\": \"${A}\"}}",
     {"A=64"},
     "\"max_headers\": 64, // from A"},
    {"whole number by default",
     "{\"server\": {\"max_headers\": \"${A:-65}\"}}",
     {NULL},
     "\"max_headers\": 65,\n"},
    {"truth", "{\"limits\": {\"dry_run\": \"${A}\"}}", {"A=1"}, "\"dry_run\": true, // from A"},
    {"untruth",
     "{\"limits\": {\"enabled\": \"${A}\"}}",
     {"A=false"},
     "\"enabled\": false, // from A"},
    {"duration",
     "{\"cache\": {\"default_ttl\": \"${A}\"}}",
     {"A=90"},
     "\"default_ttl\": \"90s\", // from A"},
    {"share",
     "{\"limits\": {\"retry_jitter\": \"${A}\"}}",
     {"A=0.25"},
     "\"retry_jitter\": 0.25, // from A"},
    {"list",
     "{\"server\": {\"trusted_proxies\": \"${A}\"}}",
     {"A=10.0.0.0/8, ::1"},
     "[\"10.0.0.0/8\", \"::1/128\"] // from A"},
    {"part of a list",
     "{\"server\": {\"trusted_proxies\": [\"::1\", \"${A}\"]}}",
     {"A=10.0.0.0/8"},
     "[\"::1/128\", \"10.0.0.0/8\"] // from A"},
    {"part of a number",
     "{\"server\": {\"max_headers\": \"6${A}\"}}",
     {"A=4"},
     "!is \"6${A}\", expected a whole number"},
    {"not a number",
     "{\"server\": {\"max_headers\": \"${A}\"}}",
     {"A=x"},
     "!f:1:28: server.max_headers: is set by a variable to something else, expected a whole "
     "number"},
    {"unset",
     "{\"log\": {\"access\": \"${NOPE}\"}}",
     {NULL},
     "!f:1:20: log.access: the environment variable NOPE is not set, expected it or "
     "${NOPE:-default}"},
    {"no end", "{\"log\": {\"access\": \"${A\"}}", {"A=x"}, "!holds ${ without its closing brace"},
    {"no name",
     "{\"log\": {\"access\": \"${}\"}}",
     {NULL},
     "!holds \"${}\", expected ${NAME} or ${NAME:-default}"},
    {"no form of ours",
     "{\"log\": {\"access\": \"${A-x}\"}}",
     {NULL},
     "!holds \"${A-x}\", expected ${NAME} or ${NAME:-default}"},
    {"line break", "{\"log\": {\"access\": \"${A}\"}}", {"A=/x\ny"}, "!holds a control character"},
    {"not UTF-8", "{\"log\": {\"access\": \"${A}\"}}", {"A=/\xFF"}, "!the value of A is not UTF-8"},

    {"cache off",
     "{\"cache\": {\"enabled\": true}}",
     {"CACHE_ENABLED=0"},
     "\"enabled\": false, // from CACHE_ENABLED"},
    {"limits off",
     "{}",
     {"RATE_LIMIT_ENABLED=false"},
     "\"enabled\": false, // from RATE_LIMIT_ENABLED"},
    {"an empty one is none", "{}", {"CACHE_ENABLED="}, "\"enabled\": true,\n"},
    {"not a truth",
     "{}",
     {"CACHE_ENABLED=on"},
     "!environment: CACHE_ENABLED: is \"on\", expected true or false"},
    {"ttl", "{}", {"CACHE_TTL_DEFAULT=60"}, "\"default_ttl\": \"1m\", // from CACHE_TTL_DEFAULT"},
    {"ttl, older name",
     "{}",
     {"REDIS_CACHE_TTL=61"},
     "\"default_ttl\": \"61s\", // from REDIS_CACHE_TTL"},
    {"ttl, both",
     "{}",
     {"CACHE_TTL_DEFAULT=60", "REDIS_CACHE_TTL=61"},
     "\"default_ttl\": \"1m\", // from CACHE_TTL_DEFAULT"},
    {"ttl of a route",
     ROUTE,
     {"CACHE_TTL_PRODUCT_LIST=7"},
     "\"ttl\": \"7s\", // from CACHE_TTL_PRODUCT_LIST"},
    {"ttl of no route", ROUTE, {"CACHE_TTL_PRODUCT=7"}, "\"routes\""},
    {"a minute, and no second",
     "{}",
     {"RATE_LIMIT_PER_MINUTE=7"},
     "\"free\": {\n      \"per_minute\": 7, // from RATE_LIMIT_PER_MINUTE\n      \"per_hour\": "
     "1000\n"},
    {"another default tier",
     "{\"limits\": {\"default_tier\": \"premium\"}}",
     {"RATE_LIMIT_PER_HOUR=8"},
     "\"per_minute\": 500,\n      \"per_hour\": 8 // from RATE_LIMIT_PER_HOUR"},
    {"burst",
     "{}",
     {"RATE_LIMIT_BURST=3"},
     "\"windows\": [{\"name\": \"burst\", \"limit\": 3, \"kind\": \"sliding\", \"per\": \"10s\"}] "
     "// from RATE_LIMIT_BURST"},
    {"calls",
     "{}",
     {"RATE_LIMIT_CALLS=5", "RATE_LIMIT_PERIOD=10"},
     "\"free\": { // from RATE_LIMIT_CALLS\n      \"windows\": [{\"name\": \"calls\", \"limit\": "
     "5, \"kind\": \"sliding\", \"per\": "
     "\"10s\"}]\n"},
    {"calls a minute",
     "{}",
     {"RATE_LIMIT_CALLS=5", "RATE_LIMIT_BURST=9"},
     "\"free\": { // from RATE_LIMIT_CALLS\n      \"per_minute\": 5\n    }"},
    {"calls alone",
     "{}",
     {"RATE_LIMIT_PERIOD=10"},
     "!environment: RATE_LIMIT_PERIOD: is set without RATE_LIMIT_CALLS, expected both"},
    {"no calls",
     "{}",
     {"RATE_LIMIT_CALLS=0"},
     "!environment: RATE_LIMIT_CALLS: is 0, expected 1 to 1000000000000"},
    {"listeners",
     "{}",
     {"GATEWAY_LISTEN=127.0.0.1:1,[::1]:2"},
     "\"listen\": [ // from GATEWAY_LISTEN\n      \"127.0.0.1:1\",\n      \"[::1]:2\"\n"},
    {"bad listener",
     "{}",
     {"GATEWAY_LISTEN=8080"},
     "!environment: GATEWAY_LISTEN: is \"8080\", expected ADDRESS:PORT"},
    {"admin needs a token",
     "{}",
     {"GATEWAY_ADMIN_LISTEN=0.0.0.0:1"},
     "!f: admin.token: is empty while admin.listen is \"0.0.0.0\""},
    {"admin with one",
     "{}",
     {"GATEWAY_ADMIN_LISTEN=0.0.0.0:1", "GATEWAY_ADMIN_TOKEN=sesame"},
     "\"listen\": \"0.0.0.0:1\", // from GATEWAY_ADMIN_LISTEN\n    \"token\": \"***\", // from "
     "GATEWAY_ADMIN_TOKEN\n"},
    {"hash secret",
     "{}",
     {"GATEWAY_HASH_SECRET=sesame"},
     "\"hash_secret\": \"***\", // from GATEWAY_HASH_SECRET"},
    {"one upstream",
     "{}",
     {"GATEWAY_UPSTREAM=http://app:8000"},
     "\"default\": {\n      \"targets\": [ // from GATEWAY_UPSTREAM\n        "
     "\"http://app:8000\"\n"},
    {"its route",
     "{}",
     {"GATEWAY_UPSTREAM=http://app:8000"},
     "\"upstream\": \"default\", // from GATEWAY_UPSTREAM"},
    {"beside the file's", ROUTE, {"GATEWAY_UPSTREAM=http://app:8000"}, "\"path\": \"/*\""},
    {"in place of the file's",
     "{\"upstreams\": {\"default\": {\"targets\": [\"http://old\"], \"keepalive\": 3}}}",
     {"GATEWAY_UPSTREAM=http://app:8000"},
     "\"http://app:8000\"\n      ],\n      \"required\": true,\n      \"host\": \"client\""},
    {"the file's route refers to it",
     "{\"routes\": [{\"match\": {\"path\": \"/a\"}, \"upstream\": \"default\"}]}",
     {"GATEWAY_UPSTREAM=http://app:8000"},
     "\"name\": \"/a\""},
    {"bad upstream",
     "{}",
     {"GATEWAY_UPSTREAM=app:8000"},
     "!environment: GATEWAY_UPSTREAM: is no target"},
    {"no redis", "{}", {"REDIS_ENABLED=false", "REDIS_URL=redis://h"}, "\"url\": \"memory:\""},
    {"redis wanted", "{}", {"REDIS_ENABLED=true"}, "\"url\": \"redis://127.0.0.1:6379/0\""},
    {"redis named",
     "{}",
     {"REDIS_URL=redis://u:secret@h/2", "REDIS_HOST=other"},
     "\"url\": \"redis://***@h/2\", // from REDIS_URL"},
    {"redis in parts",
     "{}",
     {"REDIS_HOST=::1", "REDIS_PORT=7000", "REDIS_DB=3", "REDIS_PASSWORD=a@b/c"},
     "\"url\": \"redis://***@[::1]:7000/3\", // from REDIS_HOST"},
    {"another store", "{}", {"REDIS_URL=http://h"}, "!environment: REDIS_URL: is no store"},
};

static void the_environment_is_merged(void **state)
{
    char joined[JOINED_BYTES];
    size_t failed = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bool wants_fault = cases[i].want[0] == '!';
        struct buf out = buf_new(1024 * 1024);
        struct config *config =
            load_text(cases[i].text, (char *const *)(uintptr_t)cases[i].env, joined);
        if (config != NULL)
            print_config(config, &out, false);
        const char *got = config != NULL ? out.ptr : joined;
        if ((config == NULL) != wants_fault || strstr(got, cases[i].want + wants_fault) == NULL) {
            print_error("%s: got\n%s\nwant\n%s\n", cases[i].name, got, cases[i].want);
            failed++;
        }
        buf_free(&out);
        config_release(&config);
    }
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_environment_is_merged)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
