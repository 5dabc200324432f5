/* jwt_fuzz.c - tokens and key sets, as they come from strangers.
 *
 * The first byte chooses what the rest is. Held: an object that was read holds each name once and
 * only UTF-8 without NUL; what base64url reads has one spelling; claims that were read name a user;
 * no text makes a key of a refused one. */
#include "identify/identify_priv.h"

#include "message_input.h"

static void try_object(struct str text)
{
    struct json_object object;

    if (!json_read_object(text, arena, &object))
        return;
    CHECK(object.count <= JSON_MEMBERS_MOST);
    for (uint32_t i = 0; i < object.count; i++) {
        const struct json_value *value = &object.members[i].value;

        CHECK(json_get(&object, object.members[i].name) == value);
        CHECK(memchr(object.members[i].name.ptr, '\0', object.members[i].name.len) == NULL);
        if (value->kind == JSON_STRING && value->text.len > 0)
            CHECK(memchr(value->text.ptr, '\0', value->text.len) == NULL);
    }
}

static void try_token(struct str text)
{
    static struct str names[] = {{"HS256", 5}, {"RS256", 5}, {"ES256", 5}, {"EdDSA", 5}};
    const struct identity_config config = {.jwt = {.algorithms = {names, 4},
                                                   .audience = {"api", 3},
                                                   .user_claim = {"sub", 3},
                                                   .tier_claim = {"tier", 4}}};
    struct jwt_claims claims;
    struct jwt jwt;

    if (jwt_read(text, &config, arena, &jwt) != NULL)
        return;
    CHECK(jwt.algorithm != NULL && jwt.signed_.ptr == text.ptr && jwt.signed_.len < text.len);
    CHECK(!jwt_verify_secret(jwt.algorithm, STR("a secret that nobody can guess"), jwt.signed_,
                             jwt.signature));
    if (jwt_read_claims(&jwt, &config, arena, &claims) != NULL)
        return;
    CHECK(claims.user.len > 0 && claims.user.len <= JWT_USER_MOST);
    CHECK(claims.until_s >= claims.exp_s || claims.exp_s == INT64_MAX);
}

static void try_keys(struct str text)
{
    struct jwt_keys *keys = jwt_keys_read(text, STR("u"), NULL);

    if (keys != NULL)
        CHECK(jwt_keys_count(keys) > 0 && jwt_keys_at(keys, 0)->key != NULL);
    jwt_keys_release(&keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = message_begin(data, size), text = str_from(input, 1), payload;

    if (input.len > 0 && input.ptr[0] == 'o')
        try_object(text);
    else if (input.len > 0 && input.ptr[0] == 'k')
        try_keys(text);
    else if (input.len > 0 && input.ptr[0] == 'p' && text.len < 4096) {
        struct jwt jwt = {.payload = text};
        struct identity_config config = {.jwt = {.user_claim = {"sub", 3}, .tier_claim = {"t", 1}}};
        struct jwt_claims claims;

        if (jwt_read_claims(&jwt, &config, arena, &claims) == NULL)
            CHECK(claims.user.len > 0);
    } else {
        (void)base64url_take(text, arena, &payload);
        try_token(text);
    }
    message_end(input);
    return 0;
}
