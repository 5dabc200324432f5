/* freshness_part_test.c - a 206 is kept for a request with a Range, by its own explicit word. */
#include "caching_fixture.h"

static const struct {
    const char *answer, *why;
} cases[] = {
    {"Cache-Control: max-age=5", "stored"},
    {"Cache-Control: max-age=5, must-understand, no-store", "stored"},
    {"CDN-Cache-Control: max-age=5", "stored"},
    {"Expires: Sun, 06 Nov 2094 08:49:37 GMT", "stored"},
    {"Cache-Control: no-store", "no-store"},
    {"Cache-Control: private, max-age=5", "private"},
    {"ETag: \"a\"", "partial"},
    {"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "partial"},
    {"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\nCache-Control: public", "partial"},
    {"", "partial"},
};

static void parts_live_by_their_own_word(void **state)
{
    struct http_cache_policy policy = {.route_ttl_s = 60,
                                       .default_ttl_s = 60,
                                       .negative_ttl_s = -1,
                                       .heuristic = true,
                                       .stores_parts = true};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http_fields answer = fields_of(cases[i].answer);
        struct http_verdict verdict;

        http_judge_answer(STR("GET"), NULL, 206, &answer, NOW_S, NOW_S, &policy, arena, &verdict);
        if (strcmp(verdict.why, cases[i].why) != 0)
            fail_msg("%s: %s", cases[i].answer, verdict.why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts_live_by_their_own_word)};

    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
