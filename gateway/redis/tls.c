/* tls.c - one connection's TLS: plain bytes to records and back, without a socket.
 *
 * hiredis' own TLS wants a connection of hiredis', and those block while a name is looked up; so
 * OpenSSL is driven here, through memory: what came is fed in, what is to go is taken out, and
 * link_io.c sends and receives as without TLS. The server's certificate is always verified: by the
 * authorities of store.tls.ca or the system's, and by the name or address that was connected to.
 * Files are read when a client is made; a client's connections share them and resume sessions.
 *
 * One thread: the loop's. */
#include "redis/redis_priv.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct tls {
    SSL *ssl;
    BIO *in, *out; /* the SSL's own */
};

/* The reason that OpenSSL gives last, in its words. */
static void say_error(struct fail *why, const char *what, const char *file)
{
    unsigned long error = ERR_peek_last_error();
    const char *reason = error != 0 ? ERR_reason_error_string(error) : NULL;

    ERR_clear_error();
    fail_set(why, "%s %s: %s", what, file, reason != NULL ? reason : "cannot be used");
}

static bool read_files(SSL_CTX *context, const struct redis_url *url, struct fail *why)
{
    if (url->ca[0] == '\0' ? SSL_CTX_set_default_verify_paths(context) != 1
                           : SSL_CTX_load_verify_file(context, url->ca) != 1) {
        say_error(why, "the authorities of", url->ca[0] != '\0' ? url->ca : "this system");
        return false;
    }
    if (url->cert[0] == '\0')
        return true;
    if (SSL_CTX_use_certificate_chain_file(context, url->cert) != 1) {
        say_error(why, "the certificate of", url->cert);
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(context, url->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        say_error(why, "the private key of", url->key);
        return false;
    }
    return true;
}

struct tls_files *tls_files_new(const struct redis_url *url, struct fail *why)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    ERR_clear_error();
    if (context == NULL) {
        fail_set(why, "out of memory");
        return NULL;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        !read_files(context, url, why)) {
        SSL_CTX_free(context);
        if (why->text[0] == '\0')
            fail_set(why, "out of memory");
        return NULL;
    }
    return (struct tls_files *)context;
}

void tls_files_free(struct tls_files **files)
{
    SSL_CTX_free((SSL_CTX *)*files);
    *files = NULL;
}

/* An address must stand in the certificate as one; only names are told to the server. */
static bool expect(SSL *ssl, const char *host)
{
    struct in6_addr any;

    if (inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct tls *tls_new(struct tls_files *files, const char *host)
{
    struct tls *tls = calloc(1, sizeof(*tls));

    if (tls == NULL)
        return NULL;
    tls->ssl = SSL_new((SSL_CTX *)files);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL || !expect(tls->ssl, host)) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        SSL_free(tls->ssl);
        free(tls);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_connect_state(tls->ssl);
    return tls;
}

void tls_free(struct tls **tls)
{
    struct tls *old = *tls;

    *tls = NULL;
    if (old == NULL)
        return;
    SSL_free(old->ssl);
    free(old);
}

bool tls_feed(struct tls *tls, const char *bytes, size_t len)
{
    return BIO_write(tls->in, bytes, (int)len) == (int)len;
}

static void say_refusal(const struct tls *tls, char why[TLS_WHY_BYTES])
{
    long verdict = SSL_get_verify_result(tls->ssl);
    unsigned long error = ERR_peek_last_error();
    const char *reason = error != 0 ? ERR_reason_error_string(error) : NULL;

    if (verdict != X509_V_OK)
        reason = X509_verify_cert_error_string(verdict);
    snprintf(why, TLS_WHY_BYTES, "TLS: %s", reason != NULL ? reason : "it speaks no TLS");
    ERR_clear_error();
}

enum tls_state tls_shake(struct tls *tls, char why[TLS_WHY_BYTES])
{
    int status;

    ERR_clear_error();
    status = SSL_do_handshake(tls->ssl);
    if (status == 1)
        return TLS_READY;
    if (SSL_get_error(tls->ssl, status) == SSL_ERROR_WANT_READ)
        return TLS_WANTS_MORE;
    say_refusal(tls, why);
    return TLS_BROKEN;
}

bool tls_seal(struct tls *tls, struct str plain)
{
    ERR_clear_error();
    /* into memory: whole or not at all */
    return plain.len == 0 || SSL_write(tls->ssl, plain.ptr, (int)plain.len) == (int)plain.len;
}

struct str tls_sealed(struct tls *tls)
{
    char *bytes;
    long len = BIO_get_mem_data(tls->out, &bytes);

    return str_at(bytes, len > 0 ? (size_t)len : 0);
}

void tls_sent(struct tls *tls, size_t len)
{
    char gone[4096];

    while (len > 0) {
        int got = BIO_read(tls->out, gone, (int)(len < sizeof(gone) ? len : sizeof(gone)));

        CHECK(got > 0);
        len -= (size_t)got;
    }
}

enum tls_state tls_open(struct tls *tls, char *to, size_t room, size_t *len,
                        char why[TLS_WHY_BYTES])
{
    int got;

    *len = 0;
    ERR_clear_error();
    got = SSL_read(tls->ssl, to, (int)room);
    if (got > 0) {
        *len = (size_t)got;
        return TLS_READY;
    }
    switch (SSL_get_error(tls->ssl, got)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANTS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        snprintf(why, TLS_WHY_BYTES, "it closed the connection");
        return TLS_BROKEN;
    default:
        say_refusal(tls, why);
        return TLS_BROKEN;
    }
}
