/* hash.c - SipHash, SHA-256 and a comparison that tells nothing.
 *
 * SipHash-2-4 (Aumasson and Bernstein, 2012) is keyed: whoever does not know
 * the key cannot choose paths or header values that collide. 64 bits place a
 * key in a table, 128 bits stand for the key itself. SHA-256 is libcrypto's;
 * its description is fetched once, because a look-up by name costs more than
 * hashing an API key.
 *
 * Pure functions; any thread. */
#include "base/base.h"

#include <endian.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotated(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotated(s->v1, 13) ^ s->v0;
    s->v0 = rotated(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotated(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotated(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotated(s->v1, 17) ^ s->v2;
    s->v2 = rotated(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static inline uint64_t sip_result(struct sip *s)
{
    for (int i = 0; i < 4; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* The state after all bytes; `tweak` is what sets the 128-bit form apart. */
static inline struct sip sip_absorb(const struct hash_key *key, struct str bytes, uint64_t tweak)
{
    struct sip s = {
        .v0 = key->k[0] ^ 0x736f6d6570736575U,
        .v1 = key->k[1] ^ 0x646f72616e646f6dU ^ tweak,
        .v2 = key->k[0] ^ 0x6c7967656e657261U,
        .v3 = key->k[1] ^ 0x7465646279746573U,
    };
    uint64_t word;
    size_t whole = bytes.len & ~(size_t)7;

    for (size_t i = 0; i < whole; i += 8) {
        memcpy(&word, bytes.ptr + i, 8);
        sip_word(&s, le64toh(word));
    }
    word = 0;
    if (bytes.len > whole)
        memcpy(&word, bytes.ptr + whole, bytes.len - whole);
    sip_word(&s, le64toh(word) | (uint64_t)bytes.len << 56);
    return s;
}

uint64_t hash_sip64(const struct hash_key *key, struct str bytes)
{
    struct sip s = sip_absorb(key, bytes, 0);

    s.v2 ^= 0xff;
    return sip_result(&s);
}

struct hash128 hash_sip128(const struct hash_key *key, struct str bytes)
{
    struct sip s = sip_absorb(key, bytes, 0xee);
    struct hash128 result;

    s.v2 ^= 0xee;
    result.lo = sip_result(&s);
    s.v1 ^= 0xdd;
    result.hi = sip_result(&s);
    return result;
}

static const EVP_MD *sha256;

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    CHECK(sha256 != NULL);
}

static void digest_hex(struct str bytes, const EVP_MD *kind, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    int ok = EVP_Digest(bytes.len > 0 ? bytes.ptr : "", bytes.len, digest, &len, kind, NULL);

    CHECK(ok == 1);
    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[2 * (size_t)len] = '\0';
}

void hash_sha256_hex(struct str bytes, char hex[65])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, fetch_sha256);
    digest_hex(bytes, sha256, hex);
}

void hash_sha1_hex(struct str bytes, char hex[41])
{
    digest_hex(bytes, EVP_sha1(), hex);
}

bool bytes_equal_constant_time(const void *a, const void *b, size_t len)
{
    return len == 0 || CRYPTO_memcmp(a, b, len) == 0;
}
