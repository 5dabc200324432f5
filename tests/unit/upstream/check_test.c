/* check_test.c - faults of upstreams that only this room can see. */
#include "upstream/upstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

static const struct {
    const char *name;
    struct target_config targets[2];
    uint32_t count;
    const char *ca, *want; /* want: a part of the fault; NULL: none */
} rows[] = {
    {"good",
     {{.url = STR("http://a:1"), .is_https = false, .host = STR("a"), .port = 1, .weight = 1}},
     1,
     "",
     NULL},
    {"IPv6",
     {{.url = STR("http://[::1]:1"),
       .is_https = false,
       .host = STR("[::1]"),
       .port = 1,
       .weight = 1}},
     1,
     "",
     NULL},
    {"no host",
     {{.url = STR("http://:1"), .is_https = false, .host = STR(""), .port = 1, .weight = 1}},
     1,
     "",
     "no address"},
    {"no port",
     {{.url = STR("http://a"), .is_https = false, .host = STR("a"), .port = 0, .weight = 1}},
     1,
     "",
     "no address"},
    {"a blank",
     {{.url = STR("http://a b:1"), .is_https = false, .host = STR("a b"), .port = 1, .weight = 1}},
     1,
     "",
     "no address"},
    {"twice",
     {{.url = STR("http://a:1"), .is_https = false, .host = STR("a"), .port = 1, .weight = 1},
      {.url = STR("http://a:1"), .is_https = false, .host = STR("a"), .port = 1, .weight = 1}},
     2,
     "",
     "listed twice"},
    {"no such CA",
     {{.url = STR("https://a:1"), .is_https = true, .host = STR("a"), .port = 1, .weight = 1}},
     1,
     "/nonexistent/ca.pem",
     "cannot be read"},
    {"no certificate in it",
     {{.url = STR("https://a:1"), .is_https = true, .host = STR("a"), .port = 1, .weight = 1}},
     1,
     "/etc/hostname",
     "no certificate"},
};

/* faults_add() takes snapshots that were loaded, so one is, and its upstreams are put aside. */
static uint32_t faults_of(struct config *config, size_t row, struct faults *faults)
{
    struct target_config targets[2];
    struct upstream_config upstream = {
        .name = STR("u"), .targets = targets, .target_count = rows[row].count};
    struct upstream_config *upstreams = config->upstreams;
    uint32_t count = config->upstream_count;

    memcpy(targets, rows[row].targets, sizeof(targets));
    upstream.tls.ca = str_of(rows[row].ca);
    config->upstreams = &upstream;
    config->upstream_count = 1;
    upstream_check(config, faults);
    config->upstreams = upstreams;
    config->upstream_count = count;
    return faults_count(faults);
}

static void faults_of_every_kind(void **state)
{
    static char *no_environment[] = {NULL};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct faults *faults = faults_new();
        struct config *config;

        assert_non_null(faults);
        config = config_load(NULL, no_environment, faults);
        assert_non_null(config);
        if (faults_of(config, i, faults) != (rows[i].want == NULL ? 0U : 1U) ||
            (rows[i].want != NULL && !str_has(faults_text(faults, 0), str_of(rows[i].want))))
            fail_msg("%s: %" PRIu32 " faults: %.*s", rows[i].name, faults_count(faults),
                     STR_ARG(faults_text(faults, 0)));
        config_release(&config);
        faults_free(&faults);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(faults_of_every_kind)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
