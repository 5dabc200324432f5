/* coding_test.c - Accept-Encoding against what we offer: zstd, br, gzip. */
#include "caching_fixture.h"

enum { ZSTD, BR, GZIP, IDENTITY = HTTP_CODING_IDENTITY, NONE = HTTP_CODING_NONE };

static const struct {
    const char *name, *request;
    int want;
} rows[] = {
    {"no field", "", IDENTITY},
    {"empty field", "Accept-Encoding:", IDENTITY},
    {"one", "Accept-Encoding: gzip", GZIP},
    {"in capitals", "Accept-Encoding: GZIP", GZIP},
    {"the old name", "Accept-Encoding: x-gzip", GZIP},
    {"ours first", "Accept-Encoding: gzip, deflate, br, zstd", ZSTD},
    {"two lines", "Accept-Encoding: gzip\nAccept-Encoding: br", BR},
    {"by weight", "Accept-Encoding: br;q=0.5, gzip;q=0.8", GZIP},
    {"blanks", "Accept-Encoding: br ; q=0.5 , gzip ; q=0.8", GZIP},
    {"thousandths", "Accept-Encoding: br;q=0.501, gzip;q=0.5", BR},
    {"refused", "Accept-Encoding: gzip;q=0", IDENTITY},
    {"anything", "Accept-Encoding: *", ZSTD},
    {"anything but", "Accept-Encoding: zstd;q=0, *", BR},
    {"star stands for the unnamed", "Accept-Encoding: gzip;q=0.2, *;q=0.1", GZIP},
    {"unknown", "Accept-Encoding: deflate, compress", IDENTITY},
    {"identity rather", "Accept-Encoding: identity, gzip;q=0.5", IDENTITY},
    {"identity as gladly", "Accept-Encoding: identity, gzip", GZIP},
    {"identity alone", "Accept-Encoding: identity", IDENTITY},
    {"nothing fits", "Accept-Encoding: identity;q=0", NONE},
    {"nothing fits, by star", "Accept-Encoding: deflate, *;q=0", NONE},
    {"identity in spite of star", "Accept-Encoding: identity;q=0.1, *;q=0", IDENTITY},
    {"no identity, but ours", "Accept-Encoding: gzip, identity;q=0", GZIP},
    {"a weight above 1 is none", "Accept-Encoding: gzip;q=1.5", IDENTITY},
    {"a word for a weight is none", "Accept-Encoding: gzip;q=x, br", BR},
    {"another parameter is none", "Accept-Encoding: gzip;x=1", IDENTITY},
    {"named twice: the first", "Accept-Encoding: gzip;q=0, gzip", IDENTITY},
    {"commas only", "Accept-Encoding: ,,,", IDENTITY},
};

static void the_best_that_is_accepted(void **state)
{
    static const struct str offered[] = {{"zstd", 4}, {"br", 2}, {"gzip", 4}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct http_fields request = fields_of(rows[i].request);
        int got = http_choose_coding(&request, offered, COUNT_OF(offered));

        if (got != rows[i].want)
            fail_msg("%s: got %d, want %d", rows[i].name, got, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_best_that_is_accepted)};
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
