/* faults_test.c - what is wrong with a text, and where.
 *
 * Each row is a text and all of its fault lines. "f" is the file's name. */
#include "config_fixture.h"

static const struct {
    const char *name, *text, *want;
} syntax[] = {
    {"nothing", "", "f:1:1: the file is empty, expected an object"},
    {"blanks and comments", " \n// x\n/* y */", "f:1:1: the file is empty, expected an object"},
    {"not an object", "\n [1]", "f:2:2: expected an object: the file starts with {"},
    {"byte order mark", "\xEF\xBB\xBF{}", "f:1:1: a byte order mark, expected plain UTF-8"},
    {"text behind", "{} x", "f:1:4: text after the end of the configuration"},
    {"second object", "{}\n{}", "f:2:1: text after the end of the configuration"},
    {"leading zero", "{\"a\": 01}", "f:1:7: a number with a leading zero"},
    {"negative leading zero", "{\"a\": -01}", "f:1:7: a number with a leading zero"},
    {"point without digits", "{\"a\": 1.}", "f:1:7: a number without digits after its point"},
    {"exponent without digits", "{\"a\": 1e}", "f:1:7: a number without digits in its exponent"},
    {"plus", "{\"a\": +1}",
     "f:1:7: expected a value: an object, a list, a string, a number, true, false or null"},
    {"not a number", "{\"a\": NaN}",
     "f:1:7: expected a value: an object, a list, a string, a number, true, false or null"},
    {"very long number",
     "{\"a\": 1111111111111111111111111111111111111111111111111111111111111111}",
     "f:1:7: a number of more than 48 characters"},
    {"raw tab in a string", "{\"a\": \"x\ty\"}",
     "f:1:9: a raw control character in a string, expected an escape"},
    {"line break in a string", "{\"a\": \"x\ny\"}", "f:1:7: a string without its closing quote"},
    {"escaped NUL", "{\"a\": \"x\\u0000\"}", "f:1:9: \\u0000 is not allowed in a string"},
    {"unknown escape", "{\"a\": \"\\x41\"}", "f:1:8: an unknown escape in a string"},
    {"short escape", "{\"a\": \"\\u12\"}", "f:1:8: \\u without four hexadecimal digits"},
    {"not UTF-8", "{\"a\": \"\xFF\"}", "f:1:8: a byte that is not UTF-8"},
    {"overlong UTF-8", "{\"a\": \"\xC0\x80\"}", "f:1:8: a byte that is not UTF-8"},
    {"not UTF-8 in a comment", "// \xE4\n{}", "f:1:4: a byte that is not UTF-8"},
    {"comma at the end", "{\"a\": 1,}", "f:1:9: a comma without a value behind it"},
    {"comma at the end of a list", "{\"a\": [1,]}", "f:1:10: a comma without a value behind it"},
    {"no comma", "{\"a\": 1 \"b\": 2}", "f:1:9: expected , or } after a value"},
    {"no colon", "{\"a\" 1}", "f:1:6: expected : after a name"},
    {"no quotes", "{a: 1}", "f:1:2: expected a name in double quotes"},
    {"ends early", "{\"a\": ", "f:1:7: the text ends too early, expected a value"},
    {"comment without end", "{ /* x }", "f:1:3: a comment without its end, expected */"},
    {"columns are characters", "{\"\xC3\xA4\xC3\xB6\": 01}", "f:1:8: a number with a leading zero"},
};

static void syntax_faults_end_the_reading(void **state)
{
    char joined[JOINED_BYTES];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(syntax); i++) {
        assert_null(load_text(syntax[i].text, NULL, joined));
        if (strcmp(joined, syntax[i].want) != 0)
            fail_msg("%s: got\n%s\nwant\n%s", syntax[i].name, joined, syntax[i].want);
    }
}

static void nul_bytes_and_depth(void **state)
{
    char joined[JOINED_BYTES], deep[256];

    (void)state;
    assert_null(load_bytes("{}\0{}", 5, NULL, joined));
    assert_string_equal(joined, "f:1:3: text after the end of the configuration");
    assert_null(load_bytes("{\"a\": \0}", 8, NULL, joined));
    assert_string_equal(joined, "f:1:7: a NUL byte");
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{\"a\":", 5);
    assert_null(load_bytes(deep, sizeof(deep), NULL, joined));
    assert_string_equal(joined, "f:1:37: nested deeper than 32");
}

#define UP "\"upstreams\": {\"a\": {\"targets\": [\"http://127.0.0.1:1\"]}}"

static const struct {
    const char *name, *text, *want;
} faults[] = {
    {"unknown section", "{\n  \"sever\": {}\n}",
     "f:2:3: sever: is not a known setting, expected perhaps \"server\""},
    {"unknown key", "{\"limits\": {\"enable\": true}}",
     "f:1:13: limits.enable: is not a known setting, expected perhaps \"enabled\""},
    {"names have their case", "{\"limits\": {\"Enabled\": true}}",
     "f:1:13: limits.Enabled: is not a known setting, expected perhaps \"enabled\""},
    {"twice", "{\"log\": {\"level\": \"info\",\n\"level\": \"warn\"}}",
     "f:2:1: log.level: stands here a second time, expected each name once"},
    {"section twice", "{\"log\": {}, \"log\": {}}",
     "f:1:13: log: stands here a second time, expected each name once"},
    {"wrong type", "{\"limits\": {\"enabled\": \"true\"}}",
     "f:1:24: limits.enabled: is \"true\", expected true or false"},
    {"null", "{\"limits\": {\"enabled\": null}}",
     "f:1:24: limits.enabled: is null, expected true or false"},
    {"not a section", "{\"limits\": []}", "f:1:12: limits: is a list, expected an object"},
    {"not whole", "{\"server\": {\"max_headers\": 1.5}}",
     "f:1:28: server.max_headers: is 1.5, expected a whole number"},
    {"negative", "{\"server\": {\"max_headers\": -1}}",
     "f:1:28: server.max_headers: is -1, expected a whole number"},
    {"over a double", "{\"limits\": {\"retry_jitter\": 1e400}}",
     "f:1:29: limits.retry_jitter: is a number too large to hold, expected a number such as 0.2"},
    {"too large", "{\"server\": {\"max_headers\": 1e6}}",
     "f:1:28: server.max_headers: is 1000000, expected 1 to 1000"},
    {"share over one", "{\"limits\": {\"retry_jitter\": 1.5}}",
     "f:1:29: limits.retry_jitter: is 1.5, expected 0 to 1"},
    {"timeout of zero", "{\"server\": {\"idle_timeout\": 0}}",
     "f:1:29: server.idle_timeout: is 0s, expected 10ms to 1h"},
    {"no unit of ours", "{\"server\": {\"idle_timeout\": \"5min\"}}",
     "f:1:29: server.idle_timeout: is \"5min\", expected a duration such as \"250ms\", \"5s\", "
     "\"5m\", \"1h\" or a number "
     "of seconds"},
    {"decimal size", "{\"cache\": {\"memory\": \"10MB\"}}",
     "f:1:22: cache.memory: is \"10MB\", expected a size such as \"64KiB\", \"10MiB\", \"1GiB\" or "
     "a number of bytes"},
    {"head over the pool", "{\"server\": {\"max_header_bytes\": \"64KiB\"}}",
     "f:1:33: server.max_header_bytes: is 64KiB, expected 1KiB to 40KiB"},
    {"uri over the head", "{\"server\": {\"max_header_bytes\": \"4KiB\"}}",
     "f:1:12: server.max_uri_bytes: is 8192, expected at most server.max_header_bytes, which is "
     "4096"},
    {"no such word", "{\"limits\": {\"reset\": \"unix\"}}",
     "f:1:22: limits.reset: is \"unix\", expected \"epoch\" or \"delta\""},
    {"control character by escape", "{\"log\": {\"access\": \"/a\\nb\"}}",
     "f:1:20: log.access: holds a control character, expected printable text"},
    {"listener by name", "{\"server\": {\"listen\": [\"example.org:80\"]}}",
     "f:1:24: server.listen[0]: is \"example.org:80\", expected ADDRESS:PORT, [V6]:PORT or "
     "unix:/path"},
    {"no listener", "{\"server\": {\"listen\": []}}",
     "f:1:23: server.listen: is an empty list, expected at least one"},
    {"port too large", "{\"server\": {\"listen\": [\"127.0.0.1:65536\"]}}",
     "f:1:24: server.listen[0]: is \"127.0.0.1:65536\", expected ADDRESS:PORT, [V6]:PORT or "
     "unix:/path"},
    {"listener twice", "{\"server\": {\"listen\": [\"127.0.0.1:80\", \"127.0.0.1:80\"]}}",
     "f:1:40: server.listen[1]: is the same as server.listen[0], expected another"},
    {"listener of admin", "{\"server\": {\"listen\": [\"127.0.0.1:8081\"]}}",
     "f:1:24: server.listen[0]: is the same as admin.listen, expected another"},
    {"certificate missing",
     "{\"server\": {\"listen\": [{\"address\": \"127.0.0.1:80\", \"tls\": [\"main\"]}]}}",
     "f:1:24: server.listen[0]: names the certificate \"main\", which is not in server.tls"},
    {"half a certificate", "{\"server\": {\"tls\": {\"main\": {\"cert\": \"a\"}}}}",
     "f:1:29: server.tls.main.key: is missing, expected PEM file with the private key"},
    {"block", "{\"server\": {\"trusted_proxies\": [\"10.0.0.0/33\"]}}",
     "f:1:33: server.trusted_proxies[0]: is \"10.0.0.0/33\", expected an address or a block such "
     "as \"10.0.0.0/8\""},
    {"open admin", "{\"admin\": {\"listen\": \"0.0.0.0:1\"}}",
     "f:1:11: admin.token: is empty while admin.listen is \"0.0.0.0\", expected a token or a "
     "loopback address"},
    {"thresholds",
     "{\"health\": {\"loop_lag\": {\"critical\": \"50ms\"}, \"memory\": {\"warning\": 0.99}, "
     "\"memory_full_in\": {\"warning\": \"1m\"}, \"open_fds\": {\"warning\": 2}}}",
     "f:1:25: health.loop_lag.warning: comes after health.loop_lag.critical, expected to come "
     "before it\n"
     "f:1:57: health.memory.warning: comes after health.memory.critical, expected to come before "
     "it\n"
     "f:1:94: health.memory_full_in.warning: comes after health.memory_full_in.critical, expected "
     "to come before it\n"
     "f:1:137: health.open_fds.warning: is 2, expected 0 to 1"},
    {"public admin", "{\"admin\": {\"public\": true}}",
     "f:1:22: admin.public: is true while admin.token is empty, expected a token"},
    {"store", "{\"store\": {\"url\": \"http://h\"}}",
     "f:1:19: store.url: is no store, expected \"memory:\", \"redis://host:6379/0\", "
     "\"redis+sentinel://h1,h2/master\" or \"redis+cluster://h1,h2\""},
    {"settings to come",
     "{\"store\": {\"roles\": {\"image\": {}}}, \"trcae\": {}, \"cache\": {\"wasm\": {}}, "
     "\"identity\": "
     "{\"ldap\": {}}}",
     "f:1:22: store.roles.image: is not a known setting, expected perhaps \"images\"\n"
     "f:1:37: trcae: is not a known setting, expected perhaps \"trace\"\n"
     "f:1:60: cache.wasm: is not a known setting, expected perhaps \"warm\"\n"
     "f:1:86: identity.ldap: is not a known setting, expected perhaps \"ip\""},
    {"a role without a store", "{\"store\": {\"roles\": {\"limit\": {\"url\": \"redis://h\"}}}}",
     "f:1:39: store.roles.limit.url: is of no use while store.url is memory:, expected redis:// "
     "there too"},
    {"source", "{\"identity\": {\"sources\": [\"ldap\"]}}",
     "f:1:27: identity.sources[0]: is \"ldap\", expected \"jwt\", \"api_key\", \"basic\" or "
     "\"ip\""},
    {"algorithm", "{\"identity\": {\"jwt\": {\"algorithms\": [\"none\"]}}}",
     "f:1:38: identity.jwt.algorithms[0]: is \"none\", expected one of HS256, HS384, HS512, RS256, "
     "RS384, RS512, PS256, ES256, ES384 and EdDSA"},
    {"source twice", "{\"identity\": {\"sources\": [\"ip\", \"ip\"]}}",
     "f:1:33: identity.sources[1]: \"ip\" stands twice in the list"},
    {"key in clear is not shown",
     "{\"identity\": {\"api_key\": {\"keys\": {\"hunter2\": {\"id\": \"a\"}}}}}",
     "f:1:47: identity.api_key.keys.***: has a name that is no digest, expected the SHA-256 of the "
     "key as 64 hexadecimal digits"},
    {"key to nothing",
     "{\"identity\": {\"api_key\": {\"keys\": "
     "{\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\": "
     "{\"id\": \"a\", \"tier\": \"gold\", \"scopes\": [\"x\"], \"expires\": "
     "\"2027-02-30T00:00:00Z\"}}}}}",
     "f:1:35: identity.api_key.keys: the key of \"a\" has the tier \"gold\", which is not in "
     "tiers\n"
     "f:1:35: identity.api_key.keys: the key of \"a\" has the scope \"x\", which is no route's "
     "name\n"
     "f:1:160: identity.api_key.keys.e3b0c442....expires: is \"2027-02-30T00:00:00Z\", expected a "
     "moment such as "
     "\"2027-01-01T00:00:00Z\" (RFC 3339)"},
    {"tier missing", "{\"limits\": {\"default_tier\": \"fre\"}}",
     "f:1:29: limits.default_tier: is \"fre\", which is not in tiers, expected perhaps \"free\""},
    {"report", "{\"limits\": {\"report\": \"minutes\"}}",
     "f:1:23: limits.report: is \"minutes\", which is no window's name, expected perhaps "
     "\"minute\""},
    {"burst alone", "{\"tiers\": {\"t\": {\"burst\": 5}}}",
     "f:1:27: tiers.t.burst: needs per_second, expected both or neither"},
    {"window without all", "{\"tiers\": {\"t\": {\"windows\": [{\"name\": \"w\"}]}}}",
     "f:1:30: tiers.t.windows[0].limit: is missing, expected requests per period\n"
     "f:1:30: tiers.t.windows[0].per: is missing, expected a duration such as \"10s\""},
    {"window of nothing",
     "{\"tiers\": {\"t\": {\"windows\": [{\"name\": \"w\", \"limit\": 0, \"per\": 1}]}}}",
     "f:1:53: tiers.t.windows[0].limit: is 0, expected 1 to 1000000000000"},
    {"window twice",
     "{\"tiers\": {\"t\": {\"per_minute\": 1, \"windows\": [{\"name\": \"minute\", \"limit\": 1, "
     "\"per\": 1}]}}}",
     "f:1:47: tiers.t.windows[0].name: is \"minute\", which this limit has already"},
    {"too many windows",
     "{\"tiers\": {\"t\": {\"per_second\": 1, \"per_minute\": 1, \"per_hour\": 1, \"per_day\": 1, "
     "\"per_month\": 1, \"windows\": "
     "[{\"name\": \"a\", \"limit\": 1, \"per\": 1}, {\"name\": \"b\", \"limit\": 1, \"per\": "
     "1}]}}}",
     "f:1:108: tiers.t.windows: has too many windows, expected at most 6 for one limit"},
    {"negative ttl", "{\"cache\": {\"negative_ttl\": {\"4040\": 1, \"404\": \"x\"}}}",
     "f:1:37: cache.negative_ttl.4040: is no status that can be kept, expected 200 to 599 but not "
     "206 or 304\n"
     "f:1:47: cache.negative_ttl.404: is \"x\", expected a duration such as \"250ms\", \"5s\", "
     "\"5m\", \"1h\" or a number of "
     "seconds"},
    {"target with a path", "{\"upstreams\": {\"a\": {\"targets\": [\"http://h/p\"]}}}",
     "f:1:34: upstreams.a.targets[0]: is no target: has a path or a query, expected scheme, host "
     "and port alone (a route's "
     "rewrite changes paths)"},
    {"target with a password", "{\"upstreams\": {\"a\": {\"targets\": [\"http://u:p@h\"]}}}",
     "f:1:34: upstreams.a.targets[0]: is no target: holds credentials, expected none in a target"},
    {"target without a host", "{\"upstreams\": {\"a\": {\"targets\": [\"http://:80\"]}}}",
     "f:1:34: upstreams.a.targets[0]: is no target: expected http://HOST[:PORT], "
     "https://HOST[:PORT] or unix:/path"},
    {"target with a bad port", "{\"upstreams\": {\"a\": {\"targets\": [\"http://h:0\"]}}}",
     "f:1:34: upstreams.a.targets[0]: is no target: has no sound port, expected 1 to 65535"},
    {"upstream without targets", "{\"upstreams\": {\"a\": {}}}",
     "f:1:21: upstreams.a.targets: is missing, expected a list such as "
     "[\"http://127.0.0.1:9001\"]"},
    {"route without anything", "{" UP ", \"routes\": [{}]}",
     "f:1:70: routes[0].match: is missing, expected an object such as { \"path\": \"/products/*\" "
     "}\n"
     "f:1:70: routes[0].upstream: is missing, expected the name of an upstream (or split, respond, "
     "redirect or job)"},
    {"a job without a store",
     "{\"routes\": [{\"match\": {\"path\": \"/{id}\"}, \"job\": {\"kind\": \"celery\"}}]}",
     "f:1:49: routes[0].job: is read from the store, but store.url is memory:, expected redis://"},
    {"certificates of clients without tls",
     "{\"server\": {\"listen\": [{\"address\": \"unix:/a\", \"client_auth\": \"required\"}]}}",
     "f:1:24: server.listen[0]: asks for client_auth without tls, expected tls"},
    {"upstream missing",
     "{" UP ", \"routes\": [{\"match\": {\"path\": \"/\"}, \"upstream\": \"b\"}]}",
     "f:1:107: routes[0].upstream: is \"b\", which is not in upstreams, expected perhaps \"a\""},
    {"no upstreams", "{\"routes\": [{\"match\": {\"path\": \"/\"}, \"upstream\": \"b\"}]}",
     "f:1:50: routes[0].upstream: is \"b\", but there are no upstreams: expected it in upstreams"},
    {"route names",
     "{" UP ", \"routes\": [{\"name\": \"x\", \"match\": {\"path\": \"/\"}, \"upstream\": \"a\"},\n"
     "{\"name\": \"x\", \"match\": {\"path\": \"/y\"}, \"upstream\": \"a\"}]}",
     "f:2:10: routes[1].name: is \"x\", which is the name of routes[0] too, expected another"},
    {"method",
     "{" UP
     ", \"routes\": [{\"match\": {\"path\": \"/\", \"methods\": [\"get\"]}, \"upstream\": \"a\"}]}",
     "f:1:106: routes[0].match.methods[0]: is \"get\", expected a method in capitals such as "
     "\"GET\", but not CONNECT"},
    {"override of nothing",
     "{" UP ", \"routes\": [{\"match\": {\"path\": \"/\"}, \"upstream\": \"a\", \"cache\": "
     "{\"ttl_override\": true}}]}",
     "f:1:121: routes[0].cache.ttl_override: is true without a ttl, expected both"},
    {"POST without its body",
     "{" UP ", \"routes\": [{\"match\": {\"path\": \"/\"}, \"upstream\": \"a\", \"cache\": "
     "{\"methods\": [\"POST\"]}}]}",
     "f:1:121: routes[0].cache.methods: has POST without a key made from the body, expected "
     "key.body or key.image"},
    {"a body of no method",
     "{" UP ", \"routes\": [{\"match\": {\"path\": \"/\"}, \"upstream\": \"a\", \"cache\": "
     "{\"key\": {\"body\": \"sha256\"}}}]}",
     "f:1:121: routes[0].cache.key: is made from the body, expected POST in the cache's methods"},
    {"free hits of a POST",
     "{" UP ", \"routes\": [{\"match\": {\"path\": \"/\"}, \"upstream\": \"a\", \"cache\": "
     "{\"methods\": [\"POST\"], \"key\": {\"body\": \"sha256\"}, \"count_hits\": false}}]}",
     "f:1:121: routes[0].cache.count_hits: is false beside POST, whose body is read after the "
     "limits, expected true"},
    {"two keys of one body",
     "{" UP ", \"routes\": [{\"match\": {\"path\": \"/\"}, \"upstream\": \"a\", \"cache\": "
     "{\"methods\": [\"POST\"], \"key\": {\"body\": \"sha256\", \"image\": \"phash\"}}}]}",
     "f:1:121: routes[0].cache.key: has body beside image, expected one of them"},
    {"a shadow of nothing",
     "{" UP ", \"routes\": [{\"match\": {\"path\": \"/\"}, \"upstream\": \"a\", \"cache\": "
     "{\"shadow\": true}}]}",
     "f:1:121: routes[0].cache.shadow: is true without POST in the cache's methods"},
    {"pictures too far apart",
     "{" UP ", \"routes\": [{\"match\": {\"path\": \"/\"}, \"upstream\": \"a\", \"cache\": "
     "{\"methods\": [\"POST\"], \"key\": {\"image\": \"phash\", \"distance\": 65}}}]}",
     "f:1:181: routes[0].cache.key.distance: is 65, expected 0 to 64"},
    {"a method that is never kept",
     "{" UP ", \"routes\": [{\"match\": {\"path\": \"/\"}, \"upstream\": \"a\", \"cache\": "
     "{\"methods\": [\"PUT\"]}}]}",
     "f:1:134: routes[0].cache.methods[0]: is \"PUT\", expected \"GET\", \"HEAD\" or \"POST\""},
    {"all at once, in the file's order",
     "{\"log\": {\"level\": 1},\n \"server\": {\"workers\": 0},\n \"x\": 1}",
     "f:1:19: log.level: is 1, expected \"debug\", \"info\", \"warn\" or \"error\"\n"
     "f:2:24: server.workers: is 0, expected 1 to 256\n"
     "f:3:2: x: is not a known setting, expected perhaps \"log\""},
};

static void faults_come_with_their_place(void **state)
{
    char joined[JOINED_BYTES];
    size_t failed = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        struct config *config = load_text(faults[i].text, NULL, joined);
        if (config != NULL || strcmp(joined, faults[i].want) != 0) {
            print_error("%s: got\n%s\nwant\n%s\n", faults[i].name, joined, faults[i].want);
            failed++;
        }
        config_release(&config);
    }
    assert_int_equal(failed, 0);
}

static void a_hundred_are_listed(void **state)
{
    struct buf text = buf_new(100000);
    char joined[JOINED_BYTES];

    (void)state;
    buf_add_char(&text, '{');
    for (int i = 0; i < 300; i++)
        buf_addf(&text, "%s\"x%d\": 1", i > 0 ? ", " : "", i);
    buf_add_char(&text, '}');
    assert_null(load_bytes(text.ptr, text.len, NULL, joined));
    assert_non_null(strstr(joined, "f: more faults than these 100, the others are not listed"));
    assert_null(strstr(joined, "x100"));
    buf_free(&text);
}

static void other_rooms_find_places_too(void **state)
{
    struct faults *found = faults_new();
    struct config *config =
        load_text("{\"server\": {\"tls\": {\"a.b\": {\"cert\": \"c\",\n \"key\": \"k\"}}},\n" UP
                  ", \"routes\": [\n"
                  "{\"match\": {\"path\": \"/x\"}, \"upstream\": \"a\"}]}",
                  NULL, NULL);

    (void)state;
    faults_add(found, config, "server.tls.a.b.key", "cannot be read: %s", "gone");
    faults_add(found, config, "routes[0].match.path", "is unsound");
    faults_add(found, config, "routes[0].rewrite", "names {id}");
    faults_add(found, config, "log.access", "cannot be opened");
    assert_string_equal(faults_text(found, 0).ptr,
                        "f:2:9: server.tls.a.b.key: cannot be read: gone");
    assert_string_equal(faults_text(found, 1).ptr, "f:4:20: routes[0].match.path: is unsound");
    assert_string_equal(faults_text(found, 2).ptr, "f:4:1: routes[0].rewrite: names {id}");
    assert_string_equal(faults_text(found, 3).ptr, "f: log.access: cannot be opened");
    assert_int_equal(faults_count(found), 4);
    assert_null(faults_text(found, 4).ptr);
    config_release(&config);
    faults_free(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(syntax_faults_end_the_reading), cmocka_unit_test(nul_bytes_and_depth),
        cmocka_unit_test(faults_come_with_their_place),  cmocka_unit_test(a_hundred_are_listed),
        cmocka_unit_test(other_rooms_find_places_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
