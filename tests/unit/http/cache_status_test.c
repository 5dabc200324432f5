/* cache_status_test.c - Cache-Status as text: one row for each way to an answer. */
#include "caching_fixture.h"

static const struct {
    const char *name;
    struct http_cache_status status;
    const char *want;
} rows[] = {
    {"nothing known", {0}, "gateway"},
    {"hit", {.hit = true, .has_ttl = true, .ttl_s = 37}, "gateway; hit; ttl=37"},
    {"stale hit", {.hit = true, .has_ttl = true, .ttl_s = -412}, "gateway; hit; ttl=-412"},
    {"hit with a detail", {.hit = true, .detail = "memory"}, "gateway; hit; detail=memory"},
    {"a hit was not forwarded",
     {.hit = true, .fwd = "stale", .fwd_status = 200, .stored = true},
     "gateway; hit"},
    {"miss",
     {.fwd = "uri-miss", .fwd_status = 200, .stored = true},
     "gateway; fwd=uri-miss; fwd-status=200; stored"},
    {"miss with a ttl",
     {.fwd = "vary-miss", .has_ttl = true, .ttl_s = 60, .stored = true},
     "gateway; fwd=vary-miss; ttl=60; stored"},
    {"collapsed", {.fwd = "uri-miss", .collapsed = true}, "gateway; fwd=uri-miss; collapsed"},
    {"not stored",
     {.fwd = "uri-miss", .fwd_status = 200, .detail = "set-cookie"},
     "gateway; fwd=uri-miss; fwd-status=200; detail=set-cookie"},
    {"bypass", {.fwd = "bypass"}, "gateway; fwd=bypass"},
    {"a detail that is no token",
     {.hit = true, .detail = "two words"},
     "gateway; hit; detail=\"two words\""},
    {"a detail that begins with a digit",
     {.hit = true, .detail = "5xx"},
     "gateway; hit; detail=\"5xx\""},
    {"a detail to escape",
     {.hit = true, .detail = "a\"b\\c\n\xc3"},
     "gateway; hit; detail=\"a\\\"b\\\\c\?\?\""},
    {"an empty detail", {.hit = true, .detail = ""}, "gateway; hit; detail=\"\""},
};

static void statuses_as_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf out = buf_new(256);
        assert_true(http_cache_status_write(&out, &rows[i].status));
        if (!str_eq(buf_str(&out), str_of(rows[i].want)))
            fail_msg("%s: got '%.*s'", rows[i].name, STR_ARG(buf_str(&out)));
        buf_free(&out);
    }
}

static void a_full_buffer_fails(void **state)
{
    struct buf out = buf_new(10);

    (void)state;
    assert_false(http_cache_status_write(&out, &rows[1].status));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_as_text),
        cmocka_unit_test(a_full_buffer_fails),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
