/* check_test.c - what the identify room says of whole configurations.
 *
 * Each row is a file as an operator writes it; it is loaded, judged by identify_check() alone,
 * and the faults are compared with the one that is wanted, or with none. */
#include "identify/identify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define KEYS(keys)    "{\"identity\": {\"api_key\": {\"keys\": {" keys "}}}}"
#define JWT(settings) "{\"identity\": {\"jwt\": {" settings "}}}"
#define LONG          "0123456789abcdef0123456789abcdef"
#define OTHER         "9ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"
#define DIGEST        "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"

static const struct {
    const char *name, *json;
    const char *want; /* part of the only fault; NULL: none */
} cases[] = {

    {"none", "{}", NULL},
    {"sound", KEYS("\"" DIGEST "\": {\"id\": \"acme\"}"), NULL},
    {"two keys of one holder",
     KEYS("\"" DIGEST "\": {\"id\": \"acme\"}, \"" OTHER "\": {\"id\": \"acme\"}"), NULL},
    {"in two tiers",
     KEYS("\"" DIGEST "\": {\"id\": \"acme\"}, \"" OTHER
          "\": {\"id\": \"acme\", \"tier\": \"premium\"}"),
     "acme"},
    {"a good secret", JWT("\"secret\": \"" LONG "\""), NULL},
    {"a secret that is guessed", JWT("\"secret\": \"12345\""), "has 5 bytes, expected at least 6"},
    {"public keys without a place to fetch them",
     JWT("\"secret\": \"" LONG "\", \"algorithms\": [\"HS256\", \"RS256\"]"),
     "has RS256, but nothing to verify it with, expected identity.jwt.jwks_url"},
    {"a secret without an algorithm",
     JWT("\"secret\": \"" LONG "\", \"jwks_url\": \"http://a/k\", \"algorithms\": [\"ES256\"]"),
     "identity.jwt.secret: is set, but no algorithm uses it"},
    {"both, each with its own",
     JWT("\"secret\": \"" LONG "\", \"jwks_url\": \"http://a/k\", \"algorithms\": [\"ES256\", "
         "\"HS256\"]"),
     NULL},
    {"no scheme", JWT("\"jwks_url\": \"a/k\", \"algorithms\": [\"ES256\"]"),
     "expected http://HOST[:PORT]/PATH"},
    {"a user in the URL", JWT("\"jwks_url\": \"http://u@a/k\", \"algorithms\": [\"ES256\"]"),
     "expected http://HOST[:PORT]/PATH"},
    {"needed, but nothing to verify with", JWT("\"required\": true"), "identity.jwt.required"},
    {"no algorithm", JWT("\"secret\": \"" LONG "\", \"algorithms\": []"), "is empty"},
};

static struct config *load(const char *name, const char *json)
{
    char path[] = "/tmp/gateway-check-XXXXXX";
    char *env[] = {NULL};
    int fd = mkstemp(path);
    struct faults *faults = faults_new();

    assert_true(fd >= 0);
    assert_int_equal(write(fd, json, strlen(json)), (ssize_t)strlen(json));
    close(fd);
    struct config *config = config_load(path, env, faults);
    unlink(path);
    if (config == NULL)
        fail_msg("%s: %.*s", name, STR_ARG(faults_text(faults, 0)));
    faults_free(&faults);
    return config;
}

static void faults_of_every_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config *config = load(cases[i].name, cases[i].json);
        struct faults *faults = faults_new();

        assert_non_null(faults);
        identify_check(config, faults);
        if (faults_count(faults) != (cases[i].want != NULL))
            fail_msg("%s: %u faults", cases[i].name, faults_count(faults));
        if (cases[i].want != NULL && !str_has(faults_text(faults, 0), str_of(cases[i].want)))
            fail_msg("%s: %.*s", cases[i].name, STR_ARG(faults_text(faults, 0)));
        faults_free(&faults);
        config_release(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(faults_of_every_file)};
    return cmocka_run_group_tests_name("identify/check", tests, NULL, NULL);
}
