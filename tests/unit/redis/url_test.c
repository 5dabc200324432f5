/* url_test.c - places of a Redis as operators write them, and what is refused. */
#include "redis/redis_priv.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static const struct {
    const char *name, *url, *want; /* kind user:password@places/master/db, or the reason's part */
    bool ok;
} cases[] = {
    {"a host", "redis://cache", "0 :@cache:6379//0", true},
    {"port and database", "redis://cache:7000/3", "0 :@cache:7000//3", true},
    {"user and password", "redis://u:p%40ss@h", "0 u:p@ss@h:6379//0", true},
    {"a percent at the very end", "redis://:ab%41@h", "0 :abA@h:6379//0", true},
    {"password alone", "redis://:secret@h:1/0", "0 :secret@h:1//0", true},
    {"password without its colon", "redis://secret@h", "0 :secret@h:6379//0", true},
    {"an at sign in the password", "redis://:a@b@h", "0 :a@b@h:6379//0", true},
    {"IPv6", "redis://[::1]:7000/1", "0 :@::1:7000//1", true},
    {"IPv6 without a port", "redis://[fe80::2]", "0 :@fe80::2:6379//0", true},
    {"a unix socket", "redis:///run/redis.sock", "0 :@/run/redis.sock:0//0", true},
    {"a unix socket's database", "redis+unix:///s?db=4", "0 :@/s:0//4", true},
    {"Sentinels", "redis+sentinel://:pw@a,b:26380/main/2", "1 :pw@a:26379,b:26380/main/2", true},
    {"a Cluster", "redis+cluster://a:7000,[::1]:7001", "2 :@a:7000,::1:7001//0", true},
#if REDIS_HAS_TLS
    {"TLS", "rediss://h/2", "0 :@h:6379//2", true},
    {"TLS to Sentinels", "rediss+sentinel://h/m", "1 :@h:26379/m/0", true},
    {"TLS to a Cluster", "rediss+cluster://h", "2 :@h:6379//0", true},
    {"TLS without a host", "rediss:///run/redis.sock", "no TLS", false},
    {"TLS of another kind", "rediss+unix:///s", "no Redis URL", false},
#else
    {"TLS", "rediss://h", "hiredis does not have", false},
    {"TLS to a Cluster", "rediss+cluster://h", "hiredis does not have", false},
#endif
    {"another scheme", "http://h", "no Redis URL", false},
    {"no scheme", "localhost:6379", "no Redis URL", false},
    {"no host", "redis://", "host:port", false},
    {"an empty host", "redis://:6379", "host:port", false},
    {"port 0", "redis://h:0", "host:port", false},
    {"port too large", "redis://h:65536", "host:port", false},
    {"a port with a sign", "redis://h:+1", "host:port", false},
    {"several hosts", "redis://a,b", "several", false},
    {"a database that is no number", "redis://h/x", "database", false},
    {"a Cluster with a database", "redis+cluster://h/1", "database", false},
    {"no master", "redis+sentinel://h", "master", false},
    {"half an escape", "redis://:%4@h", "percent", false},
    {"NUL as an escape", "redis://:a%00@h", "percent", false},
    {"a user alone", "redis://u:@h", "without a password", false},
};

static void every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct redis_url url;
        struct fail why = {""};
        struct buf got = buf_new(4096);
        bool ok = redis_url_parse(str_of(cases[i].url), &url, &why);

        if (ok != cases[i].ok)
            fail_msg("%s: %s", cases[i].name, ok ? "taken" : why.text);
        if (!ok) {
            if (!str_has(str_of(why.text), str_of(cases[i].want)))
                fail_msg("%s: reason is %s", cases[i].name, why.text);
            continue;
        }
        buf_addf(&got, "%d %s:%s@", (int)url.kind, url.user, url.password);
        for (uint32_t k = 0; k < url.place_count; k++)
            buf_addf(&got, "%s%s:%u", k > 0 ? "," : "", url.places[k].host,
                     (unsigned)url.places[k].port);
        buf_addf(&got, "/%s/%u", url.master, (unsigned)url.database);
        if (!str_eq(buf_str(&got), str_of(cases[i].want)))
            fail_msg("%s: got %.*s", cases[i].name, STR_ARG(buf_str(&got)));
        buf_free(&got);
    }
}

static void no_reason_and_no_print_holds_the_password(void **state)
{
    static const char *const urls[][2] = {
        {"redis://u:hunter2@h:x/1", "redis://***@h:x/1"},
        {"redis://hunter2@h,b", "redis://***@h,b"},
        {"rediss://:hunter2@h", "rediss://***@h"},
        {"redis://:hun@ter2@h/x", "redis://***@h/x"},
        {"redis://h/1", "redis://h/1"},
        {"memory:", "memory:"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        struct redis_url url;
        struct fail why = {""};
        struct buf out = buf_new(1024);

        (void)!redis_url_parse(str_of(urls[i][0]), &url, &why);
        assert_false(str_has(str_of(why.text), STR("ter2")));
        assert_true(store_url_write_masked(str_of(urls[i][0]), &out));
        if (!str_eq(buf_str(&out), str_of(urls[i][1])))
            fail_msg("%s: %.*s", urls[i][0], STR_ARG(buf_str(&out)));
        buf_free(&out);
    }
}

/* From the Cluster specification, and the answers of a server 7.0. */
static void slots_of_keys(void **state)
{
    static const struct {
        const char *key;
        uint32_t slot;
    } keys[] = {
        {"123456789", 12739},
        {"foo", 12182},
        {"{user1000}.following", 3443},
        {"{user1000}.x", 3443},
        {"user1000", 3443},
        {"foo{}{bar}", 8363},
        {"foo{{bar}}zap", 4015},
        {"foo{bar}{zap}", 5061},
        {"bar", 5061},
        {"{bar", 4015},
        {"", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (redis_slot(str_of(keys[i].key)) != keys[i].slot)
            fail_msg("%s: %u", keys[i].key, (unsigned)redis_slot(str_of(keys[i].key)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form),
        cmocka_unit_test(no_reason_and_no_print_holds_the_password),
        cmocka_unit_test(slots_of_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
