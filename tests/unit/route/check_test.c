/* check_test.c - what the route room says of whole configurations.
 *
 * Each row is a file as an operator writes it; it is loaded, judged by route_check() alone,
 * and the faults are compared with the one that is wanted, or with none. */
#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUTES(...)                                                                                \
    "{\"upstreams\": {\"u\": {\"targets\": [\"http://127.0.0.1:1\"]}}, \"routes\": [" __VA_ARGS__  \
    "]}"
#define ROUTE(name, match, more)                                                                   \
    "{\"name\": \"" name "\", \"upstream\": \"u\", \"match\": {" match "}" more "}"

static const struct {
    const char *name, *json;
    const char *want; /* part of the only fault; NULL: none */
} cases[] = {

    {"none", "{}", NULL},
    {"sound",
     ROUTES(ROUTE("a", "\"path\": \"/a/*\"", "") "," ROUTE("b", "\"path\": \"/b/{x}\"", "")), NULL},
    {"a star in the middle", ROUTES(ROUTE("a", "\"path\": \"/a/*/b\"", "")),
     "routes[0].match.path"},
    {"a name twice", ROUTES(ROUTE("a", "\"path\": \"/{a}/{a}\"", "")), "twice"},
    {"two alike",
     ROUTES(ROUTE("a", "\"path\": \"/a/{x}\"", "") "," ROUTE("b", "\"path\": \"/a/{y}\"", "")),
     "routes[1].match"},
    {"alike but for the host",
     ROUTES(ROUTE("a", "\"path\": \"/a\"", "") "," ROUTE("b", "\"path\": \"/a\", \"host\": \"h\"",
                                                         "")),
     NULL},
    {"alike but for the methods",
     ROUTES(ROUTE("a", "\"path\": \"/a\", \"methods\": [\"GET\"]",
                  "") "," ROUTE("b", "\"path\": \"/a\", \"methods\": [\"HEAD\", \"PUT\"]", "")),
     NULL},
    {"one method alike",
     ROUTES(ROUTE("a", "\"path\": \"/a\", \"methods\": [\"GET\"]",
                  "") "," ROUTE("b", "\"path\": \"/a\", \"methods\": [\"PUT\", \"GET\"]", "")),
     "routes[0] (a)"},
    {"hosts in another case",
     ROUTES(ROUTE("a", "\"path\": \"/a\", \"host\": \"H\"",
                  "") "," ROUTE("b", "\"path\": \"/a\", \"host\": \"h\"", "")),
     "routes[1].match"},
    {"a template", ROUTES(ROUTE("a", "\"path\": \"/a/{x}/*\"", ", \"rewrite\": \"/{*}?x={x}\"")),
     NULL},
    {"a template with a stranger",
     ROUTES(ROUTE("a", "\"path\": \"/a/{x}\"", ", \"rewrite\": \"/{y}\"")), "routes[0].rewrite"},
    {"a malformed exemption", "{\"limits\": {\"exempt\": [\"/a*b\"]}}", "limits.exempt"},
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
        route_check(config, faults);
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
    return cmocka_run_group_tests_name("route/check", tests, NULL, NULL);
}
