/* jwt_test.c - what tokens are made of: base64url, JSON, headers, claims, key sets.
 *
 * Signatures of other parties are judged in tests/node/tokens.test.mjs, with another library. */
#include "identify/identify_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct arena *arena;

static int make_arena(void **state)
{
    (void)state;
    arena = arena_new(16 * 1024, 1 << 20);
    return arena == NULL;
}

static int drop_arena(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static const struct {
    const char *name, *text, *want; /* want NULL: refused */
} encoded[] = {
    {"nothing", "", ""},
    {"one byte", "YQ", "a"},
    {"two bytes", "YWI", "ab"},
    {"three bytes", "YWJj", "abc"},
    {"both of its own letters", "_-8", "\xff\xef"},
    {"one letter is no byte", "Y", NULL},
    {"padding", "YQ==", NULL},
    {"the other alphabet", "/+8", NULL},
    {"bits behind the end", "YR", NULL},
    {"two bits behind the end", "YWJ", NULL},
    {"a blank", "YW I", NULL},
    {"a line end", "YWI\n", NULL},
    {"a dot", "YW.I", NULL},
};

static void base64url_has_one_spelling(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(encoded); i++) {
        struct str got = STR_NONE;
        bool is_read = base64url_take(str_of(encoded[i].text), arena, &got);

        if (is_read != (encoded[i].want != NULL))
            fail_msg("%s: %d", encoded[i].name, is_read);
        if (is_read && !str_eq(got, str_of(encoded[i].want)))
            fail_msg("%s: %.*s", encoded[i].name, STR_ARG(got));
    }
}

static const struct {
    const char *name, *text;
    const char *want; /* the value of "a", or NULL: refused */
} objects[] = {
    {"text", "{\"a\":\"b\"}", "b"},
    {"blanks", " { \"a\"\t:\r\n\"b\" } ", "b"},
    {"a number", "{\"a\":-1.5e+3}", "-1.5e+3"},
    {"words", "{\"b\":null,\"a\":true,\"c\":false}", "true"},
    {"nested", "{\"a\":[1,{\"b\":[]},\"]\"]}", "[1,{\"b\":[]},\"]\"]"},
    {"escapes", "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "\"\\/\b\f\n\r\t"},
    {"a code", "{\"a\":\"\\u00e9\\u20AC\"}", "\xc3\xa9\xe2\x82\xac"},
    {"a pair", "{\"a\":\"\\ud83d\\ude00\"}", "\xf0\x9f\x98\x80"},
    {"an escaped name", "{\"\\u0061\":1}", "1"},
    {"UTF-8", "{\"a\":\"\xc3\xa9\xf0\x9f\x98\x80\"}", "\xc3\xa9\xf0\x9f\x98\x80"},
    {"nothing", "", NULL},
    {"a list", "[\"a\"]", NULL},
    {"text alone", "\"a\"", NULL},
    {"twice", "{\"a\":1,\"a\":2}", NULL},
    {"twice, once escaped", "{\"a\":1,\"\\u0061\":2}", NULL},
    {"twice, the same", "{\"b\":1,\"a\":1,\"b\":1}", NULL},
    {"behind the end", "{\"a\":1}{", NULL},
    {"a comma too much", "{\"a\":1,}", NULL},
    {"no end", "{\"a\":1", NULL},
    {"no end of text", "{\"a\":\"b", NULL},
    {"an escape at the end", "{\"a\":\"b\\", NULL},
    {"an unknown escape", "{\"a\":\"\\x\"}", NULL},
    {"NUL", "{\"a\":\"\\u0000\"}", NULL},
    {"a control byte", "{\"a\":\"\x01\"}", NULL},
    {"a line end in text", "{\"a\":\"\n\"}", NULL},
    {"half a pair", "{\"a\":\"\\ud83d\"}", NULL},
    {"the other half", "{\"a\":\"\\ude00\"}", NULL},
    {"half a pair and a letter", "{\"a\":\"\\ud83d\\u0061\"}", NULL},
    {"a short code", "{\"a\":\"\\u12\"}", NULL},
    {"not UTF-8", "{\"a\":\"\xff\"}", NULL},
    {"too long UTF-8", "{\"a\":\"\xc0\xaf\"}", NULL},
    {"a surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", NULL},
    {"cut UTF-8", "{\"a\":\"\xe2\x82\"}", NULL},
    {"beyond the last code", "{\"a\":\"\xf4\x90\x80\x80\"}", NULL},
    {"a leading zero", "{\"a\":01}", NULL},
    {"a plus", "{\"a\":+1}", NULL},
    {"a dot without digits", "{\"a\":1.}", NULL},
    {"an exponent without digits", "{\"a\":1e}", NULL},
    {"hexadecimal", "{\"a\":0x1}", NULL},
    {"not a number", "{\"a\":NaN}", NULL},
    {"a word in capitals", "{\"a\":True}", NULL},
    {"a comment", "{/**/\"a\":1}", NULL},
    {"a mark", "\xef\xbb\xbf{\"a\":1}", NULL},
    {"names without quotes", "{a:1}", NULL},
    {"other quotes", "{'a':1}", NULL},
    {"brackets crossed", "{\"a\":[}]", NULL},
    {"deep", "{\"a\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}", NULL},
};

static void json_is_read_strictly(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        struct json_object object;
        bool is_read = json_read_object(str_of(objects[i].text), arena, &object);
        const struct json_value *value = is_read ? json_get(&object, STR("a")) : NULL;

        if (is_read != (objects[i].want != NULL))
            fail_msg("%s: %d", objects[i].name, is_read);
        if (value != NULL && !str_eq(value->text, str_of(objects[i].want)))
            fail_msg("%s: %.*s", objects[i].name, STR_ARG(value->text));
    }
}

static void more_members_than_a_token_has_are_refused(void **state)
{
    struct buf text = buf_new(1 << 16);
    struct json_object object;
    struct json_list list;

    (void)state;
    for (int n = JSON_MEMBERS_MOST; n <= JSON_MEMBERS_MOST + 1; n++) {
        buf_clear(&text);
        for (int i = 0; i < n; i++)
            buf_addf(&text, "%c\"%d\":1", i == 0 ? '{' : ',', i);
        buf_add_char(&text, '}');
        assert_int_equal(json_read_object(buf_str(&text), arena, &object), n == JSON_MEMBERS_MOST);
        buf_clear(&text);
        for (int i = 0; i < n; i++)
            buf_addf(&text, "%c%d", i == 0 ? '[' : ',', i);
        buf_add_char(&text, ']');
        assert_int_equal(json_read_list(buf_str(&text), arena, &list), n == JSON_MEMBERS_MOST);
    }
    buf_free(&text);
}

static const struct {
    const char *text;
    int64_t want; /* -1: refused */
} moments[] = {
    {"0", 0},
    {"1800000000", 1800000000},
    {"9007199254740992", INT64_C(9007199254740992)},
    {"-1", -1},
    {"1.5", -1},
    {"1e9", -1},
    {"9007199254740993", -1},
    {"99999999999999999999", -1},
};

static void moments_are_whole_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(moments); i++) {
        struct json_value value = {JSON_NUMBER, str_of(moments[i].text)};
        int64_t got = -1;

        if (!json_to_whole(&value, &got))
            got = -1;
        if (got != moments[i].want)
            fail_msg("%s: %" PRId64, moments[i].text, got);
    }
    struct json_value text = {JSON_STRING, STR("5")};
    int64_t number;
    assert_false(json_to_whole(&text, &number));
}

/* ---- tokens ---- */

static struct str algorithm_names[] = {{"HS256", 5}, {"RS256", 5}};
static const struct identity_config rules = {
    .jwt = {.algorithms = {algorithm_names, 2},
            .user_claim = {"sub", 3},
            .tier_claim = {"tier", 4},
            .leeway_ms = 10000},
};

static struct str encode(struct str text)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *to = arena_take(arena, text.len * 2 + 4);
    size_t len = 0;
    uint32_t bits = 0;
    int held = 0;

    assert_non_null(to);
    for (size_t i = 0; i < text.len; i++) {
        bits = bits << 8 | (unsigned char)text.ptr[i];
        for (held += 8; held >= 6; held -= 6)
            to[len++] = letters[bits >> (held - 6) & 63];
    }
    if (held > 0)
        to[len++] = letters[bits << (6 - held) & 63];
    return str_at(to, len);
}

static const struct {
    const char *name, *header, *want; /* NULL: read */
} headers[] = {
    {"usual", "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", NULL},
    {"with a key's id", "{\"alg\":\"RS256\",\"kid\":\"1\"}", NULL},
    {"none", "{\"alg\":\"none\"}", "jwt_alg"},
    {"None", "{\"alg\":\"None\"}", "jwt_alg"},
    {"no algorithm", "{}", "jwt_alg"},
    {"an algorithm that is a number", "{\"alg\":256}", "jwt_alg"},
    {"an algorithm in another case", "{\"alg\":\"hs256\"}", "jwt_alg"},
    {"an algorithm with a blank", "{\"alg\":\"HS256 \"}", "jwt_alg"},
    {"an algorithm that is not configured", "{\"alg\":\"HS512\"}", "jwt_alg"},
    {"two algorithms", "{\"alg\":\"HS256\",\"alg\":\"none\"}", "jwt_malformed"},
    {"crit", "{\"alg\":\"HS256\",\"crit\":[]}", "jwt_crit"},
    {"b64", "{\"alg\":\"HS256\",\"b64\":true}", "jwt_crit"},
    {"a key's id that is a number", "{\"alg\":\"RS256\",\"kid\":1}", "jwt_kid"},
    {"a list", "[]", "jwt_malformed"},
    {"nothing", "", "jwt_malformed"},
};

static void headers_are_believed_for_little(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        struct str token =
            arena_printf(arena, "%.*s.e30.AA", STR_ARG(encode(str_of(headers[i].header))));
        struct jwt jwt;
        const char *got = jwt_read(token, &rules, arena, &jwt);

        if (!str_eq(str_of(got), str_of(headers[i].want)))
            fail_msg("%s: %s", headers[i].name, got);
    }
}

static const char *const not_tokens[] = {
    "",      ".",        "..",          "e30",       "e30.e30",         "eyJhbGciOiJIUzI1NiJ9.e30",
    "a.b.c", "e30.e30.", "e30.e30.A.A", "e30.e30.=", "e30.e30.A A.A.A", " e30.e30.AA",
};

static void what_is_no_token_is_malformed(void **state)
{
    struct jwt jwt;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(not_tokens); i++)
        if (jwt_read(str_of(not_tokens[i]), &rules, arena, &jwt) == NULL)
            fail_msg("%s was read", not_tokens[i]);
    char *huge = arena_zero(arena, JWT_BYTES_MOST + 1);
    assert_non_null(huge);
    assert_string_equal(jwt_read(str_at(huge, JWT_BYTES_MOST + 1), &rules, arena, &jwt),
                        "jwt_oversize");
}

static const struct {
    const char *name, *payload, *want;
    int64_t now_s;
} times[] = {
    {"within", "{\"sub\":\"a\",\"nbf\":100,\"exp\":200}", NULL, 150},
    {"a little early", "{\"sub\":\"a\",\"nbf\":100,\"exp\":200}", NULL, 90},
    {"early", "{\"sub\":\"a\",\"nbf\":100,\"exp\":200}", "jwt_early", 89},
    {"a little late", "{\"sub\":\"a\",\"nbf\":100,\"exp\":200}", NULL, 209},
    {"late", "{\"sub\":\"a\",\"nbf\":100,\"exp\":200}", "jwt_expired", 210},
    {"made in the future", "{\"sub\":\"a\",\"iat\":100}", "jwt_early", 89},
    {"without an end", "{\"sub\":\"a\"}", NULL, INT64_C(4000000000)},
};

static void times_have_a_leeway(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        struct jwt jwt = {.payload = str_of(times[i].payload)};
        struct jwt_claims claims;
        const char *got = jwt_read_claims(&jwt, &rules, arena, &claims);

        assert_null(got);
        got = jwt_judge_time(claims.from_s, claims.until_s, times[i].now_s);
        if (!str_eq(str_of(got), str_of(times[i].want)))
            fail_msg("%s: %s", times[i].name, got);
    }
}

/* ---- signatures and key sets ---- */

/* RFC 7515, appendix A.1: its secret is not UTF-8, its header has a line end. */
static void the_example_of_the_standard_is_verified(void **state)
{
    static const char token[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog"
        "Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_"
        "wW1gFWFOEjXk";
    static const char secret[] =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4h"
        "cgUuTwjAzZr1Z9CAow";
    struct str key;
    struct jwt jwt;

    (void)state;
    assert_true(base64url_take(str_of(secret), arena, &key));
    assert_null(jwt_read(str_of(token), &rules, arena, &jwt));
    assert_true(jwt_verify_secret(jwt.algorithm, key, jwt.signed_, jwt.signature));
    assert_false(jwt_verify_secret(jwt.algorithm, STR("x"), jwt.signed_, jwt.signature));
    assert_false(jwt_verify_secret(jwt.algorithm, STR_NONE, jwt.signed_, jwt.signature));
    assert_false(
        jwt_verify_secret(jwt_algorithm_named(STR("RS256")), key, jwt.signed_, jwt.signature));
}

/* RFC 8037, appendix A.4. */
#define ED25519                                                                                    \
    "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""

static const struct {
    const char *name, *text;
    uint32_t want; /* keys; 0: refused */
} sets[] = {
    {"one", "{\"keys\":[{" ED25519 "}]}", 1},
    {"others are passed over",
     "{\"keys\":[1,\"x\",{},{\"kty\":\"oct\",\"k\":\"AA\"},{" ED25519 "}]}", 1},
    {"for signatures", "{\"keys\":[{" ED25519 ",\"use\":\"sig\",\"key_ops\":[\"verify\"]}]}", 1},
    {"for encryption", "{\"keys\":[{" ED25519 ",\"use\":\"enc\"}]}", 0},
    {"for signing only", "{\"keys\":[{" ED25519 ",\"key_ops\":[\"sign\"]}]}", 0},
    {"a member twice", "{\"keys\":[{" ED25519 ",\"kid\":\"a\",\"kid\":\"b\"}]}", 0},
    {"none", "{\"keys\":[]}", 0},
    {"no list", "{\"keys\":{}}", 0},
    {"no keys", "{}", 0},
    {"nothing", "", 0},
    {"a short key", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}", 0},
    {"an unknown curve",
     "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AA\",\"y\":\"AA\"}]}", 0},
    {"a point off its curve",
     "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
     "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\","
     "\"y\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\"}]}",
     0},
    {"no modulus", "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\"}]}", 0},
};

static void key_sets(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        struct fail why = {""};
        struct jwt_keys *keys = jwt_keys_read(str_of(sets[i].text), STR("u"), &why);
        uint32_t count = keys != NULL ? jwt_keys_count(keys) : 0;

        if (count != sets[i].want)
            fail_msg("%s: %u keys (%s)", sets[i].name, count, why.text);
        assert_true((keys != NULL) == (why.text[0] == '\0'));
        jwt_keys_release(&keys);
    }
}

static void the_other_example_of_a_standard_is_verified(void **state)
{
    static const char token[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_"
                                "MGCjP0JzlnLWG1PPOt7-09PGcv"
                                "Mg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    struct str names[] = {STR("EdDSA")};
    struct identity_config config = {.jwt = {.algorithms = {names, 1}}};
    struct jwt_keys *keys = jwt_keys_read(STR("{\"keys\":[{" ED25519 "}]}"), STR("u"), NULL);
    struct jwt jwt;

    (void)state;
    assert_non_null(keys);
    assert_null(jwt_read(str_of(token), &config, arena, &jwt));
    assert_true(jwt_verify_key(jwt.algorithm, jwt_keys_at(keys, 0), jwt.signed_, jwt.signature));
    assert_false(jwt_verify_key(jwt_algorithm_named(STR("RS256")), jwt_keys_at(keys, 0),
                                jwt.signed_, jwt.signature));
    assert_false(jwt_verify_key(jwt_algorithm_named(STR("HS256")), jwt_keys_at(keys, 0),
                                jwt.signed_, jwt.signature));
    assert_false(jwt_verify_key(jwt.algorithm, jwt_keys_at(keys, 0), jwt.signed_, STR("x")));
    assert_false(jwt_verify_key(jwt.algorithm, jwt_keys_at(keys, 0), jwt.signed_, STR_NONE));
    assert_null(jwt_keys_at(keys, 1));
    jwt_keys_release(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(base64url_has_one_spelling, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(json_is_read_strictly, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(more_members_than_a_token_has_are_refused, make_arena,
                                        drop_arena),
        cmocka_unit_test(moments_are_whole_numbers),
        cmocka_unit_test_setup_teardown(headers_are_believed_for_little, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(what_is_no_token_is_malformed, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(times_have_a_leeway, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(the_example_of_the_standard_is_verified, make_arena,
                                        drop_arena),
        cmocka_unit_test_setup_teardown(key_sets, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(the_other_example_of_a_standard_is_verified, make_arena,
                                        drop_arena),
    };
    return cmocka_run_group_tests_name("identify/jwt", tests, NULL, NULL);
}
