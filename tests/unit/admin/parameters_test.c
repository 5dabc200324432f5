/* parameters_test.c - what may be asked: paths, methods, parameters, bodies (faults A05, A06).
 *
 * A refusal names what is wrong; `want_text` is a part of it. */
#include "admin_fixture.h"

#define ENTRIES    "/system/cache/entries"
#define INVALIDATE "/system/cache/invalidate"

static const struct {
    const char *name;
    struct ask ask;
    int want;
    const char *want_text;
} rows[] = {
    {"unknown path", {.path = "/system/nothing"}, 404, "no such endpoint"},
    {"root", {.path = "/"}, 404, ""},
    {"a slash too many", {.path = "/system/cache/stats/"}, 404, ""},
    {"no user", {.method = "DELETE", .path = "/system/cache/user/"}, 404, ""},
    {"two segments", {.method = "DELETE", .path = "/system/cache/user/a/b"}, 404, ""},
    {"a bad segment", {.method = "DELETE", .path = "/system/cache/user/a%00"}, 400, "path"},
    {"wrong method", {.method = "POST", .path = ENTRIES}, 405, "GET, HEAD"},
    {"GET that would delete", {.path = "/system/cache/clear"}, 405, "DELETE"},
    {"HEAD that would delete", {.method = "HEAD", .path = "/system/cache/clear"}, 405, "DELETE"},
    {"preflight", {.method = "OPTIONS", .path = INVALIDATE}, 405, "POST"},
    {"HEAD like GET", {.method = "HEAD", .path = ENTRIES}, 200, NULL},
    {"unknown parameter", {.path = ENTRIES, .query = "patern=/a"}, 400, "patern"},
    {"a parameter where there is none", {.path = "/system/config", .query = "a=1"}, 400, "a: "},
    {"misspelt dry run",
     {.method = "DELETE", .path = "/system/cache/clear", .query = "dryrun=true"},
     400,
     "dryrun"},
    {"twice", {.path = ENTRIES, .query = "limit=1&limit=2"}, 400, "limit: given more"},
    {"twice, once encoded",
     {.path = ENTRIES, .query = "limit=1&l%69mit=2"},
     400,
     "limit: given more"},
    {"empty ones are nothing", {.path = ENTRIES, .query = "&&limit=1&"}, 200, NULL},
    {"limit 0",
     {.path = ENTRIES, .query = "limit=0"},
     400,
     "limit: must be a whole number from 1 to 1000"},
    {"limit too large", {.path = ENTRIES, .query = "limit=1001"}, 400, "limit"},
    {"the largest", {.path = ENTRIES, .query = "limit=1000"}, 200, NULL},
    {"a minus", {.path = ENTRIES, .query = "limit=-1"}, 400, "limit"},
    {"a plus", {.path = ENTRIES, .query = "limit=+1"}, 400, "limit"},
    {"a fraction", {.path = ENTRIES, .query = "limit=1.5"}, 400, "limit"},
    {"an exponent", {.path = ENTRIES, .query = "limit=1e999"}, 400, "limit"},
    {"more than 64 bits", {.path = ENTRIES, .query = "cursor=99999999999999999999"}, 400, "cursor"},
    {"2^53+1 is a number", {.path = ENTRIES, .query = "cursor=9007199254740993"}, 200, NULL},
    {"no number", {.path = ENTRIES, .query = "limit="}, 400, "limit"},
    {"no value", {.path = ENTRIES, .query = "limit"}, 400, "limit"},
    {"half an escape", {.path = ENTRIES, .query = "pattern=%4"}, 400, "pattern"},
    {"no hex", {.path = ENTRIES, .query = "pattern=%zz"}, 400, "pattern"},
    {"NUL", {.path = ENTRIES, .query = "pattern=a%00b"}, 400, "pattern"},
    {"a newline in a name", {.path = ENTRIES, .query = "a%0ab=1"}, 400, "a parameter"},
    {"empty pattern", {.path = ENTRIES, .query = "pattern="}, 400, "pattern"},
    {"bad host", {.path = ENTRIES, .query = "host=a%20b"}, 400, "host"},
    {"no boolean",
     {.method = "DELETE", .path = "/system/cache/clear", .query = "dry_run=yes"},
     400,
     "dry_run"},
    {"none of three", {.method = "POST", .path = INVALIDATE}, 400, "exactly one"},
    {"two of three",
     {.method = "POST", .path = INVALIDATE, .query = "tag=a&url=/a"},
     400,
     "exactly one"},
    {"empty tag", {.method = "POST", .path = INVALIDATE, .query = "tag="}, 400, "tag"},
    {"a URL without a path",
     {.method = "POST", .path = INVALIDATE, .query = "url=a.example"},
     400,
     "url"},
    {"soft elsewhere", {.path = "/system/cache/entries", .query = "soft=true"}, 400, "soft"},
    {"no endpoint pattern",
     {.method = "DELETE", .path = "/system/cache/endpoint"},
     400,
     "endpoint_pattern"},
    {"no URL to explain", {.path = "/system/cache/entry"}, 400, "url"},
    {"a URL above the root", {.path = "/system/cache/entry", .query = "url=/../a"}, 400, "url"},
    {"nothing to explain", {.path = "/system/cache/entry", .query = "url=/nowhere"}, 404, ""},
    {"no such client",
     {.path = "/system/rate-limit/status", .query = "client=ip:nonsense"},
     400,
     "client"},
    {"nobody", {.path = "/system/rate-limit/status", .query = "client="}, 400, "client"},
    {"a body",
     {.method = "POST", .path = INVALIDATE, .query = "tag=a", .body = "{\"tag\":\"b\"}"},
     400,
     "body"},
    {"no JSON", {.method = "POST", .path = "/system/config/reload", .body = "{{"}, 400, "body"},
    {"an empty object",
     {.method = "POST", .path = INVALIDATE, .query = "tag=a", .body = "\r\n {} \n"},
     200,
     NULL},
    {"a probe's own parameter", {.path = "/ready", .query = "verbose&x=%zz"}, 200, NULL},
};

static void every_row(void **state)
{
    struct world *world = world_new(OPEN_CONFIG);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct request_system q = question(world, &rows[i].ask);

        if (q.status != rows[i].want)
            fail_msg("%s: status %d, want %d: %.*s", rows[i].name, q.status, rows[i].want,
                     STR_ARG(q.answer));
        if (rows[i].want_text != NULL && strstr(q.answer.ptr, rows[i].want_text) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].name, q.answer.ptr,
                     rows[i].want_text);
        if ((q.status == 405) != (q.allow.ptr != NULL))
            fail_msg("%s: Allow belongs to 405", rows[i].name);
    }
    world_free(world);
}

static void a_refused_deletion_deletes_nothing(void **state)
{
    struct world *world = world_new(OPEN_CONFIG);
    struct ask misspelt = {
        .method = "DELETE", .path = "/system/cache/clear", .query = "dry-run=true"};
    struct cache_counts counts;

    (void)state;
    store(world, &(struct stored){.target = "/products/1"});
    assert_int_equal(question(world, &misspelt).status, 400);
    cache_counts(world->shared.cache, &counts);
    assert_int_equal(counts.entries, 1);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(a_refused_deletion_deletes_nothing),
    };
    return cmocka_run_group_tests(tests, logs_off, logs_end);
}
