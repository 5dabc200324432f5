/* signature.c - is this the signature of these bytes? (RFC 7518 §3, RFC 8037 §3.1)
 *
 * An algorithm is bound to one type of key, so a public key can never be taken for a secret: the
 * secret comes from the configuration alone, public keys from the key set alone. ECDSA
 * signatures are the two numbers, each of its full width; DER, as OpenSSL wants it, is refused
 * from outside. Pure but for OpenSSL's own thread state; any thread. */
#include "identify/identify_priv.h"

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

static const struct jwt_algorithm algorithms[] = {
    {"HS256", JWT_KEY_SECRET, 256, false}, {"HS384", JWT_KEY_SECRET, 384, false},
    {"HS512", JWT_KEY_SECRET, 512, false}, {"RS256", JWT_KEY_RSA, 256, false},
    {"RS384", JWT_KEY_RSA, 384, false},    {"RS512", JWT_KEY_RSA, 512, false},
    {"PS256", JWT_KEY_RSA, 256, true},     {"ES256", JWT_KEY_P256, 256, false},
    {"ES384", JWT_KEY_P384, 384, false},   {"EdDSA", JWT_KEY_ED25519, 0, false},
};

const struct jwt_algorithm *jwt_algorithm_named(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(algorithms); i++)
        if (str_eq(str_of(algorithms[i].name), name))
            return &algorithms[i];
    return NULL;
}

static const EVP_MD *digest_of(const struct jwt_algorithm *algorithm)
{
    switch (algorithm->bits) {
    case 256:
        return EVP_sha256();
    case 384:
        return EVP_sha384();
    case 512:
        return EVP_sha512();
    default: /* EdDSA has its own */
        return NULL;
    }
}

bool jwt_verify_secret(const struct jwt_algorithm *algorithm, struct str secret, struct str signed_,
                       struct str signature)
{
    unsigned char want[EVP_MAX_MD_SIZE];
    unsigned int len = 0;

    if (algorithm->type != JWT_KEY_SECRET || secret.len == 0 ||
        signature.len != algorithm->bits / 8 ||
        HMAC(digest_of(algorithm), secret.ptr, (int)secret.len, (const unsigned char *)signed_.ptr,
             signed_.len, want, &len) == NULL)
        return false;
    return len == signature.len && bytes_equal_constant_time(want, signature.ptr, len);
}

/* r and s, as OpenSSL reads them. Returns the length, or 0: a number is zero or not of full width.
 */
static size_t ecdsa_der(struct str raw, size_t side, unsigned char der[ECDSA_DER_MOST])
{
    ECDSA_SIG *pair = NULL;
    BIGNUM *r = NULL, *s = NULL;
    size_t len = 0;

    if (raw.len != 2 * side)
        return 0;
    pair = ECDSA_SIG_new();
    r = BN_bin2bn((const unsigned char *)raw.ptr, (int)side, NULL);
    s = BN_bin2bn((const unsigned char *)raw.ptr + side, (int)side, NULL);
    if (pair != NULL && r != NULL && s != NULL && !BN_is_zero(r) && !BN_is_zero(s) &&
        ECDSA_SIG_set0(pair, r, s) == 1) {
        int size = i2d_ECDSA_SIG(pair, NULL);

        r = s = NULL; /* the pair's now */
        if (size > 0 && size <= ECDSA_DER_MOST) {
            unsigned char *end = der;

            len = (size_t)i2d_ECDSA_SIG(pair, &end);
        }
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    return len;
}

static bool verify(const struct jwt_algorithm *algorithm, EVP_PKEY *key, struct str signed_,
                   struct str signature)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_context = NULL;
    bool is_right =
        context != NULL &&
        EVP_DigestVerifyInit(context, &key_context, digest_of(algorithm), NULL, key) == 1 &&
        (!algorithm->is_pss ||
         (EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING) == 1 &&
          EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_DIGEST) == 1)) &&
        EVP_DigestVerify(context, (const unsigned char *)signature.ptr, signature.len,
                         (const unsigned char *)signed_.ptr, signed_.len) == 1;

    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return is_right;
}

bool jwt_verify_key(const struct jwt_algorithm *algorithm, const struct jwt_key *key,
                    struct str signed_, struct str signature)
{
    unsigned char der[ECDSA_DER_MOST];

    if (algorithm->type == JWT_KEY_SECRET || algorithm->type != key->type ||
        (key->algorithm.len > 0 && !str_eq(key->algorithm, str_of(algorithm->name))))
        return false;
    if (key->type == JWT_KEY_P256 || key->type == JWT_KEY_P384) {
        size_t side = key->type == JWT_KEY_P256 ? 32 : 48;

        signature = str_at((const char *)der, ecdsa_der(signature, side, der));
    }
    return signature.len > 0 && verify(algorithm, key->key, signed_, signature);
}
