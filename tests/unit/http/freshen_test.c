/* freshen_test.c - a stored answer's fields after a 304.
 *
 * Rows show all three lists as text, in their order. */
#include "caching_fixture.h"

static const struct {
    const char *name, *stored, *update, *want;
} rows[] = {
    {"nothing new", "A: 1\nB: 2\n", "", "A: 1\nB: 2\n"},
    {"replaced in its place", "A: 1\nB: 2\nC: 3\n", "B: 5\n", "A: 1\nB: 5\nC: 3\n"},
    {"another case of the name", "Test-Header: 1\n", "TEST-HEADER: 2\n", "TEST-HEADER: 2\n"},
    {"new ones at the end", "A: 1\n", "Z: 1\nY: 2\nZ: 3\n", "A: 1\nZ: 1\nY: 2\nZ: 3\n"},
    {"one line for two", "A: 1\nB: 2\nA: 3\n", "A: 4\n", "A: 4\nB: 2\n"},
    {"two lines for one", "A: 1\nB: 2\n", "A: 4\nA: 5\n", "A: 4\nA: 5\nB: 2\n"},
    {"the new lifetime", "Cache-Control: max-age=1\n", "Cache-Control: max-age=3600\n",
     "Cache-Control: max-age=3600\n"},
    {"a new validator", "ETag: \"a\"\n", "ETag: \"b\"\n", "ETag: \"b\"\n"},
    {"an empty value replaces", "A: 1\n", "A:\n", "A:\n"},
    {"what describes the body stays",
     "Content-Length: 36\nContent-Type: text/plain\nContent-Encoding: gzip\nContent-Range: x\n",
     "Content-Length: 10\nContent-Type: text/html\nContent-Encoding: br\nContent-Range: y\n",
     "Content-Length: 36\nContent-Type: text/plain\nContent-Encoding: gzip\nContent-Range: x\n"},
    {"what describes the body is not added", "A: 1\n",
     "Content-Length: 0\nContent-Type: text/html\nContent-Encoding: br\n", "A: 1\n"},
    {"other Content- fields are taken", "Content-Location: /a\nContent-MD5: x\n",
     "Content-Location: /b\nContent-MD5: y\nContent-Foo: z\n",
     "Content-Location: /b\nContent-MD5: y\nContent-Foo: z\n"},
    {"hop-by-hop is not added", "A: 1\n",
     "Connection: close\nKeep-Alive: x\nProxy-Authenticate: x\nProxy-Authorization: x\n"
     "Proxy-Authentication-Info: x\nProxy-Connection: x\nTE: x\nTrailer: x\nTransfer-Encoding: "
     "chunked\n"
     "Upgrade: x\n",
     "A: 1\n"},
    {"what Connection lists is not taken", "A: 1\nB: 2\n", "Connection: b, c\nB: 5\nC: 6\nA: 7\n",
     "A: 7\nB: 2\n"},
    {"Date and Age of the 304", "Date: x\nAge: 100\n", "Age: 5\nDate: y\n", "Date: y\nAge: 5\n"},
    {"a stored Age goes", "A: 1\nAge: 100\nDate: x\n", "Date: y\n", "A: 1\nDate: y\n"},
    {"a stored Date goes", "A: 1\nDate: x\n", "B: 2\n", "A: 1\nB: 2\n"},
    {"Set-Cookie", "Set-Cookie: a=b\n", "Set-Cookie: a=c\nSet-Cookie: d=e\n",
     "Set-Cookie: a=c\nSet-Cookie: d=e\n"},
    {"nothing stored", "", "A: 1\n", "A: 1\n"},
};

static void fields_after_a_304(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct http_fields stored = fields_of(rows[i].stored), update = fields_of(rows[i].update);
        struct http_fields got;
        struct buf text = buf_new(4096);
        assert_true(http_freshen(&stored, &update, arena, &got));
        for (uint32_t k = 0; k < got.count; k++)
            buf_addf(&text, "%.*s:%s%.*s\n", STR_ARG(got.at[k].name),
                     got.at[k].value.len > 0 ? " " : "", STR_ARG(got.at[k].value));
        if (!str_eq(buf_str(&text), str_of(rows[i].want)))
            fail_msg("%s: got\n%.*s", rows[i].name, STR_ARG(buf_str(&text)));
        buf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fields_after_a_304)};
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
