/* hash_test.c - SipHash and SHA-256 against published results.
 *
 * The SipHash rows are the reference implementation's vectors: the key is
 * 00 01 … 0f, the input the first n of 00 01 02 …, the result in the order of
 * its bytes. The SHA-256 rows are from FIPS 180-4's examples. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const struct {
    size_t len;
    const char *want64, *want128;
} vectors[] = {
    {0, "310e0edd47db6f72", "a3817f04ba25a8e66df67214c7550293"},
    {1, "fd67dc93c539f874", "da87c1d86b99af44347659119b22fc45"},
    {2, "5a4fa9d909806c0d", "8177228da4a45dc7fca38bdef60affe4"},
    {3, "2d7efbd796666785", "9c70b60c5267a94e5f33b6b02985ed51"},
    {7, "37d1018bf50002ab", "a1f1ebbed8dbc153c0b84aa61ff08239"},
    {8, "6224939a79f5f593", "3b62a9ba6258f5610f83e264f31497b4"},
    {9, "b0e4a90bdf82009e", "264499060ad9baabc47f8b02bb6d71ed"},
    {15, "e545be4961ca29a1", "5493e99933b0a8117e08ec0f97cfc3d9"},
    {16, "db9bc2577fcc2a3f", "6ee2a4ca67b054bbfd3315bf85230577"},
    {63, "724506eb4c328a95", "5150d1772f50834a503e069a973fbd7c"},
};

static void write_bytes(char *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        snprintf(out + 2 * i, 3, "%02x", (unsigned)(value >> (8 * i) & 0xff));
}

static void siphash_gives_the_published_results(void **state)
{
    struct hash_key key = {{0x0706050403020100U, 0x0f0e0d0c0b0a0908U}};
    char input[64], got[33];

    (void)state;
    for (size_t i = 0; i < sizeof(input); i++)
        input[i] = (char)i;
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        struct str bytes = str_at(input, vectors[i].len);
        write_bytes(got, hash_sip64(&key, bytes));
        assert_string_equal(got, vectors[i].want64);
        struct hash128 wide = hash_sip128(&key, bytes);
        write_bytes(got, wide.lo);
        write_bytes(got + 16, wide.hi);
        assert_string_equal(got, vectors[i].want128);
    }
    assert_int_equal(hash_sip64(&key, STR_NONE), hash_sip64(&key, STR("")));
}

static void sha256_gives_the_published_results(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[65];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        hash_sha256_hex(str_of(cases[i].text), hex);
        assert_string_equal(hex, cases[i].want);
    }
    hash_sha256_hex(STR_NONE, hex);
    assert_string_equal(hex, cases[0].want);
}

static void comparison_in_constant_time(void **state)
{
    (void)state;
    assert_true(bytes_equal_constant_time("abc", "abc", 3));
    assert_false(bytes_equal_constant_time("abc", "abd", 3));
    assert_false(bytes_equal_constant_time("xbc", "abc", 3));
    assert_true(bytes_equal_constant_time(NULL, NULL, 0));
}

/* The examples of FIPS 180. */
static void sha1(void **state)
{
    char hex[41];

    (void)state;
    hash_sha1_hex(STR("abc"), hex);
    assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
    hash_sha1_hex(STR_NONE, hex);
    assert_string_equal(hex, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha1),
        cmocka_unit_test(siphash_gives_the_published_results),
        cmocka_unit_test(sha256_gives_the_published_results),
        cmocka_unit_test(comparison_in_constant_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
