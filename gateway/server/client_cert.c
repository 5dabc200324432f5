/* client_cert.c - certificates that clients show, on listeners that ask for them.
 *
 * libmicrohttpd's credentials are its own and live as long as its daemon, so neither its trust list
 * nor its way of asking would follow a reload. Each handshake is told by itself: ask, and verify by
 * the authorities of the snapshot under which the connection was accepted. What is shown must be
 * sound, whether or not it was required. Upstreams are told the leaf (RFC 9440), and nothing else.
 *
 * Owner's thread; trust lists are only read. */
#include "server/server_priv.h"

#include <gnutls/x509.h>
#include <stdlib.h>

enum { MOST_CHAIN = 8, MOST_LEAF_BYTES = 8192 };

bool client_ca_load(const char *path, gnutls_x509_trust_list_t *out, struct fail *why)
{
    int count;

    if (gnutls_x509_trust_list_init(out, 0) < 0)
        return fail_set(why, "out of memory");
    count = gnutls_x509_trust_list_add_trust_file(*out, path, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
    if (count > 0)
        return true;
    return fail_set(why, "cannot read authorities from %s: %s", path,
                    count < 0 ? gnutls_strerror(count) : "there is none");
}

/* As Client-Cert says it: bytes of RFC 8941, ":", base64, ":". */
static bool note(struct connection *c, const gnutls_datum_t *leaf)
{
    gnutls_datum_t text = {NULL, 0};
    bool ok = gnutls_base64_encode2(leaf, &text) >= 0;
    char *value = ok ? malloc(text.size + 2) : NULL;

    if (value != NULL) {
        value[0] = ':';
        memcpy(value + 1, text.data, text.size);
        value[text.size + 1] = ':';
        free(c->client_cert.data);
        c->client_cert = (gnutls_datum_t){(unsigned char *)value, text.size + 2};
    }
    gnutls_free(text.data);
    return value != NULL;
}

static bool is_sound(gnutls_x509_trust_list_t ca, const gnutls_datum_t *shown, unsigned int count)
{
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
    gnutls_x509_crt_t chain[MOST_CHAIN];
    unsigned int made = 0, status = GNUTLS_CERT_INVALID;
    bool ok = count <= MOST_CHAIN && shown[0].size <= MOST_LEAF_BYTES;

    while (ok && made < count) {
        ok = gnutls_x509_crt_init(&chain[made]) >= 0;
        if (!ok)
            break;
        ok = gnutls_x509_crt_import(chain[made], &shown[made], GNUTLS_X509_FMT_DER) >= 0;
        made++;
    }
    ok = ok &&
         gnutls_x509_trust_list_verify_crt2(ca, chain, made, &purpose, 1, 0, &status, NULL) >= 0 &&
         status == 0;
    while (made > 0)
        gnutls_x509_crt_deinit(chain[--made]);
    return ok;
}

static int on_shown(gnutls_session_t session)
{
    struct connection *c = tls_connection(session);
    unsigned int count = 0;
    const gnutls_datum_t *shown = gnutls_certificate_get_peers(session, &count);

    if (c == NULL)
        return GNUTLS_E_CERTIFICATE_ERROR;
    if (shown == NULL || count == 0) {
        if (c->listener->config.client_auth != CLIENT_AUTH_REQUIRED)
            return 0;
    } else if (c->client_ca != NULL && is_sound(c->client_ca, shown, count) && note(c, &shown[0])) {
        return 0;
    }
    request_count_rejected(c->server->context, "client_certificate");
    return GNUTLS_E_CERTIFICATE_ERROR;
}

void client_cert_ask(struct connection *c, gnutls_session_t session, gnutls_x509_trust_list_t ca)
{
    c->client_ca = ca;
    gnutls_session_set_verify_function(session, on_shown);
    gnutls_certificate_server_set_request(
        session, c->listener->config.client_auth == CLIENT_AUTH_REQUIRED ? GNUTLS_CERT_REQUIRE
                                                                         : GNUTLS_CERT_REQUEST);
}
