/* password.c - is this the password that a line of an htpasswd file stands for?
 *
 * bcrypt and the sha-crypt kinds are libcrypt's; {SHA} and Apache's apr1 are made here. All of it
 * is slow on purpose, so it runs on a thread of the pool, never on a loop. Pure functions; any
 * thread. */
#include "identify/identify_priv.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <stdlib.h>

enum { MD5_BYTES = 16, SHA1_BYTES = 20, APR1_SALT_MOST = 8, APR1_ROUNDS = 1000 };

static bool is_apr1(struct str hash)
{
    return str_starts(hash, STR("$apr1$"));
}

static bool is_sha(struct str hash)
{
    return str_starts(hash, STR("{SHA}"));
}

bool password_hash_is_known(struct str hash)
{
    static const char *const of_libcrypt[] = {"$2a$", "$2b$", "$2y$", "$5$", "$6$", "$1$", "$y$"};

    for (size_t i = 0; i < COUNT_OF(of_libcrypt); i++)
        if (str_starts(hash, str_of(of_libcrypt[i])))
            return true;
    return is_apr1(hash) || is_sha(hash);
}

static bool is_same(struct str a, const char *b)
{
    return a.len == strlen(b) && bytes_equal_constant_time(a.ptr, b, a.len);
}

/* ---- {SHA}: base64 of one SHA-1 ---- */

static bool is_right_sha(struct str hash, struct str password)
{
    unsigned char digest[SHA1_BYTES], text[32];

    if (EVP_Digest(password.ptr, password.len, digest, NULL, EVP_sha1(), NULL) != 1)
        return false;
    (void)EVP_EncodeBlock(text, digest, SHA1_BYTES);
    return is_same(str_from(hash, 5), (const char *)text);
}

/* ---- apr1: md5-crypt with another magic (Poul-Henning Kamp's scheme) ---- */

static void add(EVP_MD_CTX *md5, struct str text)
{
    (void)EVP_DigestUpdate(md5, text.ptr, text.len);
}

static void begin(EVP_MD_CTX *md5)
{
    (void)EVP_DigestInit_ex(md5, EVP_md5(), NULL);
}

static struct str finish(EVP_MD_CTX *md5, unsigned char digest[MD5_BYTES])
{
    (void)EVP_DigestFinal_ex(md5, digest, NULL);
    return str_at((const char *)digest, MD5_BYTES);
}

static void apr1_digest(EVP_MD_CTX *md5, struct str password, struct str salt,
                        unsigned char digest[MD5_BYTES])
{
    struct str now;

    begin(md5);
    add(md5, password);
    add(md5, salt);
    add(md5, password);
    now = finish(md5, digest);
    begin(md5);
    add(md5, password);
    add(md5, STR("$apr1$"));
    add(md5, salt);
    for (size_t left = password.len; left > 0; left -= left < MD5_BYTES ? left : MD5_BYTES)
        add(md5, str_at(now.ptr, left < MD5_BYTES ? left : MD5_BYTES));
    for (size_t bits = password.len; bits > 0; bits >>= 1)
        add(md5, (bits & 1) != 0 ? str_at("", 1) : str_at(password.ptr, 1));
    now = finish(md5, digest);
    for (int i = 0; i < APR1_ROUNDS; i++) {
        begin(md5);
        add(md5, i % 2 != 0 ? password : now);
        if (i % 3 != 0)
            add(md5, salt);
        if (i % 7 != 0)
            add(md5, password);
        add(md5, i % 2 != 0 ? now : password);
        now = finish(md5, digest);
    }
}

static char *put_letters(char *to, uint32_t bits, int count)
{
    static const char letters[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    for (; count > 0; count--, bits >>= 6)
        *to++ = letters[bits & 63];
    return to;
}

static bool is_right_apr1(struct str hash, struct str password)
{
    struct str rest = str_from(hash, 6), salt = str_at(rest.ptr, str_find(rest, '$'));
    EVP_MD_CTX *md5 = EVP_MD_CTX_new();
    unsigned char d[MD5_BYTES];
    char text[23], *to = text;

    if (md5 == NULL || salt.len == 0 || salt.len > APR1_SALT_MOST) {
        EVP_MD_CTX_free(md5);
        return false;
    }
    apr1_digest(md5, password, salt, d);
    EVP_MD_CTX_free(md5);
    for (int i = 0; i < 4; i++)
        to = put_letters(to, (uint32_t)d[i] << 16 | (uint32_t)d[i + 6] << 8 | d[i + 12], 4);
    to = put_letters(to, (uint32_t)d[4] << 16 | (uint32_t)d[10] << 8 | d[5], 4);
    to = put_letters(to, d[11], 2);
    *to = '\0';
    return is_same(str_from(rest, salt.len + 1), text);
}

/* ---- libcrypt's ---- */

static bool is_right_crypt(struct str hash, struct str password)
{
    struct crypt_data *data = calloc(1, sizeof(*data));
    const char *made = data != NULL ? crypt_r(password.ptr, hash.ptr, data) : NULL;
    bool is_right = made != NULL && made[0] == '$' && is_same(hash, made);

    if (data != NULL)
        explicit_bzero(data, sizeof(*data));
    free(data);
    return is_right;
}

bool password_is_right(struct str hash, struct str password)
{
    if (is_sha(hash))
        return is_right_sha(hash, password);
    return is_apr1(hash) ? is_right_apr1(hash, password) : is_right_crypt(hash, password);
}
