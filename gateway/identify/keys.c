/* keys.c - a set of public keys as an authorization server publishes it (RFC 7517, RFC 8037).
 *
 * A key becomes an OpenSSL key once, when the set comes; requests only look it up. A key that we
 * have no use for (encryption, symmetric, another curve, a weak modulus) is passed over: servers
 * publish more than one kind. What fetches or names other keys (x5u, x5c, jku) is never looked at.
 *
 * A set is immutable and counted: any thread. */
#include "identify/identify_priv.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    KEYS_MOST = JSON_MEMBERS_MOST,
    RSA_LEAST_BITS = 2048,
    RSA_MOST_BITS = 8192, /* a larger one costs milliseconds a token */
};

struct jwt_keys {
    _Atomic uint32_t references;
    struct arena *arena;
    struct str url;
    struct jwt_key keys[KEYS_MOST];
    uint32_t count;
};

static struct str text_of(const struct json_object *object, struct str name)
{
    const struct json_value *value = json_get(object, name);

    return value != NULL && value->kind == JSON_STRING ? value->text : STR_NONE;
}

/* ---- from numbers to OpenSSL ---- */

static EVP_PKEY *from_parameters(const char *type, OSSL_PARAM *parameters)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (context == NULL || parameters == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    return key;
}

static EVP_PKEY *rsa_key(const struct json_object *jwk, struct arena *arena)
{
    struct str n = STR_NONE, e = STR_NONE;
    OSSL_PARAM_BLD *build = NULL;
    OSSL_PARAM *parameters = NULL;
    BIGNUM *modulus = NULL, *exponent = NULL;
    EVP_PKEY *key = NULL;

    if (!base64url_take(text_of(jwk, STR("n")), arena, &n) ||
        !base64url_take(text_of(jwk, STR("e")), arena, &e) || n.len > RSA_MOST_BITS / 8 ||
        e.len > 8)
        return NULL;
    modulus = BN_bin2bn((const unsigned char *)n.ptr, (int)n.len, NULL);
    exponent = BN_bin2bn((const unsigned char *)e.ptr, (int)e.len, NULL);
    build = OSSL_PARAM_BLD_new();
    if (modulus == NULL || exponent == NULL || build == NULL)
        goto done;
    /* e = 1 would make every text its own signature */
    if (BN_num_bits(modulus) < RSA_LEAST_BITS || !BN_is_odd(modulus) || !BN_is_odd(exponent) ||
        BN_is_one(exponent))
        goto done;
    if (OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        parameters = OSSL_PARAM_BLD_to_param(build);
    key = from_parameters("RSA", parameters);
done:
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *ec_key(const struct json_object *jwk, const char *curve, size_t side)
{
    unsigned char point[1 + 2 * 48] = {4}; /* uncompressed */
    size_t x_len, y_len;
    OSSL_PARAM parameters[3];
    EVP_PKEY *key;

    if (!base64url_decode(text_of(jwk, STR("x")), (char *)point + 1, side, &x_len) ||
        !base64url_decode(text_of(jwk, STR("y")), (char *)point + 1 + side, side, &y_len) ||
        x_len != side || y_len != side)
        return NULL;
    parameters[0] =
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)curve, 0);
    parameters[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * side);
    parameters[2] = OSSL_PARAM_construct_end();
    key = from_parameters("EC", parameters); /* judges that the point is on the curve */
    return key;
}

static EVP_PKEY *ed25519_key(const struct json_object *jwk)
{
    unsigned char bytes[32];
    size_t len;

    if (!base64url_decode(text_of(jwk, STR("x")), (char *)bytes, sizeof(bytes), &len) ||
        len != sizeof(bytes))
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, sizeof(bytes));
}

/* NULL: not one of ours. */
static EVP_PKEY *key_of(const struct json_object *jwk, struct arena *arena, enum jwt_key_type *type)
{
    struct str kty = text_of(jwk, STR("kty")), curve = text_of(jwk, STR("crv"));

    if (str_eq(kty, STR("RSA"))) {
        *type = JWT_KEY_RSA;
        return rsa_key(jwk, arena);
    }
    if (str_eq(kty, STR("EC")) && str_eq(curve, STR("P-256"))) {
        *type = JWT_KEY_P256;
        return ec_key(jwk, "P-256", 32);
    }
    if (str_eq(kty, STR("EC")) && str_eq(curve, STR("P-384"))) {
        *type = JWT_KEY_P384;
        return ec_key(jwk, "P-384", 48);
    }
    *type = JWT_KEY_ED25519;
    return str_eq(kty, STR("OKP")) && str_eq(curve, STR("Ed25519")) ? ed25519_key(jwk) : NULL;
}

/* ---- a set ---- */

/* "use" and "key_ops", where they stand, must be those of verifying (RFC 7517 §4.2, §4.3). */
static bool may_verify(const struct json_object *jwk, struct arena *arena)
{
    const struct json_value *use = json_get(jwk, STR("use")), *ops = json_get(jwk, STR("key_ops"));
    struct json_list list;

    if (use != NULL && (use->kind != JSON_STRING || !str_eq(use->text, STR("sig"))))
        return false;
    if (ops == NULL)
        return true;
    if (ops->kind != JSON_LIST || !json_read_list(ops->text, arena, &list))
        return false;
    for (uint32_t i = 0; i < list.count; i++)
        if (list.values[i].kind == JSON_STRING && str_eq(list.values[i].text, STR("verify")))
            return true;
    return false;
}

/* Takes one key of the set, or passes it over. False: out of memory. */
static bool add_key(struct jwt_keys *set, struct str text, struct arena *scratch)
{
    struct json_object jwk;
    struct jwt_key *key = &set->keys[set->count];

    if (!json_read_object(text, scratch, &jwk) || !may_verify(&jwk, scratch))
        return true;
    key->key = key_of(&jwk, scratch, &key->type);
    if (key->key == NULL)
        return true;
    set->count++;
    key->id = arena_copy(set->arena, text_of(&jwk, STR("kid")));
    key->algorithm = arena_copy(set->arena, text_of(&jwk, STR("alg")));
    return key->id.ptr != NULL && key->algorithm.ptr != NULL;
}

static bool read_set(struct jwt_keys *set, struct str text, struct arena *scratch, struct fail *why)
{
    struct json_object object;
    struct json_list list;
    const struct json_value *keys;

    if (!json_read_object(text, scratch, &object))
        return fail_set(why, "no sound JSON object");
    keys = json_get(&object, STR("keys"));
    if (keys == NULL || keys->kind != JSON_LIST)
        return fail_set(why, "no list \"keys\"");
    if (!json_read_list(keys->text, scratch, &list))
        return fail_set(why, "more than %d keys", KEYS_MOST);
    for (uint32_t i = 0; i < list.count; i++)
        if (list.values[i].kind == JSON_OBJECT && !add_key(set, list.values[i].text, scratch))
            return fail_set(why, "out of memory");
    return set->count > 0 || fail_set(why, "no key that can verify a token");
}

struct jwt_keys *jwt_keys_read(struct str text, struct str url, struct fail *why)
{
    struct arena *scratch = arena_new(16 * 1024, 4 * 1024 * 1024);
    struct jwt_keys *set = calloc(1, sizeof(*set)), *result = NULL;

    if (set != NULL)
        atomic_init(&set->references, 1);
    if (scratch == NULL || set == NULL || (set->arena = arena_new(1024, 1024 * 1024)) == NULL ||
        (set->url = arena_copy(set->arena, url)).ptr == NULL) {
        fail_set(why, "out of memory");
        goto done;
    }
    if (!read_set(set, text, scratch, why))
        goto done;
    result = set;
    set = NULL;
done:
    ERR_clear_error(); /* what OpenSSL thought of keys that were passed over */
    jwt_keys_release(&set);
    arena_free(&scratch);
    return result;
}

struct jwt_keys *jwt_keys_hold(struct jwt_keys *set)
{
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

void jwt_keys_release(struct jwt_keys **set)
{
    struct jwt_keys *old = *set;

    *set = NULL;
    if (old == NULL || atomic_fetch_sub_explicit(&old->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < old->count; i++)
        EVP_PKEY_free(old->keys[i].key);
    arena_free(&old->arena);
    free(old);
}

struct str jwt_keys_url(const struct jwt_keys *set)
{
    return set->url;
}

uint32_t jwt_keys_count(const struct jwt_keys *set)
{
    return set->count;
}

const struct jwt_key *jwt_keys_at(const struct jwt_keys *set, uint32_t index)
{
    return index < set->count ? &set->keys[index] : NULL;
}
