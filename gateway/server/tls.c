/* tls.c - certificates by SNI, and libmicrohttpd's daemons.
 *
 * A snapshot's certificates are one counted object; a connection holds the one it was accepted
 * under, so a reload changes new handshakes only. The library's certificate callback has no
 * argument of ours: it finds the connection by its fd, in the server that is running on
 * this thread. Owner's thread, but for the counting. */
#include "server/server_priv.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_CHAIN 8

struct certificate {
    struct str name; /* of server.tls; borrowed from the snapshot */
    gnutls_pcert_st chain[MAX_CHAIN];
    unsigned int chain_length;
    gnutls_privkey_t key;
    gnutls_x509_crt_t leaf;             /* to ask which names it is for */
    gnutls_x509_trust_list_t client_ca; /* NULL: none */
};
struct server_tls {
    _Atomic uint32_t references;
    struct config *config; /* held: the names live there */
    struct certificate *certificates;
    uint32_t count;
};

static _Thread_local struct server *running;

static bool load(struct certificate *certificate, const struct tls_config *config, struct fail *why)
{
    gnutls_datum_t key = {NULL, 0}, pem = {NULL, 0};
    unsigned int length = MAX_CHAIN;
    int error = 0;
    bool ok = false;

    certificate->name = config->name;
    if ((error = gnutls_load_file(config->cert.ptr, &pem)) < 0 ||
        (error = gnutls_pcert_list_import_x509_raw(certificate->chain, &length, &pem,
                                                   GNUTLS_X509_FMT_PEM, 0)) < 0) {
        fail_set(why, "cannot read a certificate from %s: %s", config->cert.ptr,
                 gnutls_strerror(error));
        goto done;
    }
    certificate->chain_length = length;
    if ((error = gnutls_load_file(config->key.ptr, &key)) < 0 ||
        (error = gnutls_privkey_init(&certificate->key)) < 0 ||
        (error = gnutls_privkey_import_x509_raw(certificate->key, &key, GNUTLS_X509_FMT_PEM, NULL,
                                                0)) < 0) {
        fail_set(why, "cannot read a private key from %s: %s", config->key.ptr,
                 gnutls_strerror(error));
        goto done;
    }
    if ((error = gnutls_x509_crt_init(&certificate->leaf)) < 0 ||
        (error = gnutls_x509_crt_import(certificate->leaf, &pem, GNUTLS_X509_FMT_PEM)) < 0) {
        fail_set(why, "cannot read a certificate from %s: %s", config->cert.ptr,
                 gnutls_strerror(error));
        goto done;
    }
    ok = config->client_ca.len == 0 ||
         client_ca_load(config->client_ca.ptr, &certificate->client_ca, why);
done:
    gnutls_free(pem.data);
    gnutls_free(key.data);
    return ok;
}

/* The key must be the certificate's: compare their public key ids. */
static bool key_fits(const struct certificate *certificate, const struct tls_config *config,
                     struct fail *why)
{
    unsigned char of_key[64], of_cert[64];
    size_t key_size = sizeof(of_key), cert_size = sizeof(of_cert);
    gnutls_pubkey_t public_key = NULL;
    bool ok = gnutls_pubkey_init(&public_key) >= 0 &&
              gnutls_pubkey_import_privkey(public_key, certificate->key, 0, 0) >= 0 &&
              gnutls_pubkey_get_key_id(public_key, 0, of_key, &key_size) >= 0 &&
              gnutls_x509_crt_get_key_id(certificate->leaf, 0, of_cert, &cert_size) >= 0 &&
              key_size == cert_size && memcmp(of_key, of_cert, key_size) == 0;

    gnutls_pubkey_deinit(public_key);
    return ok || fail_set(why, "the key %s does not belong to the certificate %s", config->key.ptr,
                          config->cert.ptr);
}

static void unload(struct certificate *certificate)
{
    for (unsigned int i = 0; i < certificate->chain_length; i++)
        gnutls_pcert_deinit(&certificate->chain[i]);
    gnutls_privkey_deinit(certificate->key);
    gnutls_x509_crt_deinit(certificate->leaf);
    if (certificate->client_ca != NULL)
        gnutls_x509_trust_list_deinit(certificate->client_ca, 1);
}

bool tls_try(const struct tls_config *config, struct fail *why)
{
    struct certificate certificate = {.chain_length = 0};
    bool ok = load(&certificate, config, why) && key_fits(&certificate, config, why);

    unload(&certificate);
    return ok;
}

struct server_tls *server_tls_new(const struct config *config, struct fail *why)
{
    struct server_tls *tls = calloc(1, sizeof(*tls));

    if (tls == NULL)
        goto no_memory;
    atomic_init(&tls->references, 1);
    tls->config = config_hold(
        (struct config *)(uintptr_t)config); /* counting changes nothing a reader sees */
    tls->certificates = calloc(config->server.tls_count + 1, sizeof(*tls->certificates));
    if (tls->certificates == NULL)
        goto no_memory;
    for (uint32_t i = 0; i < config->server.tls_count; i++) {
        tls->count++;
        if (!load(&tls->certificates[i], &config->server.tls[i], why) ||
            !key_fits(&tls->certificates[i], &config->server.tls[i], why)) {
            server_tls_release(&tls);
            return NULL;
        }
    }
    return tls;
no_memory:
    fail_set(why, "out of memory");
    server_tls_release(&tls);
    return NULL;
}

struct server_tls *server_tls_hold(struct server_tls *tls)
{
    if (tls != NULL)
        atomic_fetch_add_explicit(&tls->references, 1, memory_order_relaxed);
    return tls;
}

void server_tls_release(struct server_tls **tls)
{
    struct server_tls *old = *tls;

    *tls = NULL;
    if (old == NULL || atomic_fetch_sub_explicit(&old->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; old->certificates != NULL && i < old->count; i++)
        unload(&old->certificates[i]);
    free(old->certificates);
    config_release(&old->config);
    free(old);
}

void server_tls_tell(const struct server_tls *tls, const struct server_tls *before,
                     struct sheet *sheet)
{
    for (uint32_t i = 0; before != NULL && i < before->count; i++)
        cell_gauge_set(
            metrics_series(sheet, M_CERTIFICATE_EXPIRY, 1, &before->certificates[i].name), 0);
    for (uint32_t i = 0; i < tls->count; i++) {
        time_t ends = gnutls_x509_crt_get_expiration_time(tls->certificates[i].leaf);

        cell_gauge_set(metrics_series(sheet, M_CERTIFICATE_EXPIRY, 1, &tls->certificates[i].name),
                       (double)ends);
    }
}

/* ---- choosing ---- */

static struct certificate *by_name(struct server_tls *tls, struct str name)
{
    for (uint32_t i = 0; i < tls->count; i++)
        if (str_eq(tls->certificates[i].name, name))
            return &tls->certificates[i];
    return NULL;
}

/* The listener's certificate for the name the client asked for; without a match, or a name, its
 * first. */
static struct certificate *choose(const struct connection *c, gnutls_session_t session)
{
    const struct str_list *names = &c->listener->config.tls;
    char asked[256];
    size_t size = sizeof(asked) - 1;
    unsigned int type;
    bool has_name =
        gnutls_server_name_get(session, asked, &size, &type, 0) == 0 && type == GNUTLS_NAME_DNS;

    asked[has_name ? size : 0] = '\0';
    for (uint32_t i = 0; has_name && i < names->count; i++) {
        struct certificate *certificate = by_name(c->tls, names->at[i]);

        if (certificate != NULL && gnutls_x509_crt_check_hostname(certificate->leaf, asked))
            return certificate;
    }
    return names->count > 0 ? by_name(c->tls, names->at[0]) : NULL;
}

void tls_is_running(struct server *server)
{
    running = server;
}

struct connection *tls_connection(gnutls_session_t session)
{
    int fd = gnutls_transport_get_int(session);

    return running != NULL && fd >= 0 && (size_t)fd < running->by_fd_count ? running->by_fd[fd]
                                                                           : NULL;
}

int tls_retrieve(gnutls_session_t session, const gnutls_datum_t *names, int name_count,
                 const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                 gnutls_pcert_st **chain, unsigned int *chain_length, gnutls_privkey_t *key)
{
    struct connection *c = tls_connection(session);
    struct certificate *certificate;

    (void)names;
    (void)name_count;
    (void)algorithms;
    (void)algorithm_count;
    if (c == NULL || c->tls == NULL || (certificate = choose(c, session)) == NULL)
        return -1;
    if (c->listener->config.client_auth != CLIENT_AUTH_NONE)
        client_cert_ask(c, session, certificate->client_ca);
    *chain = certificate->chain;
    *chain_length = certificate->chain_length;
    *key = certificate->key;
    return 0;
}

/* ---- daemons ---- */

static size_t leave_escaped(void *arg, struct MHD_Connection *mhd, char *text)
{
    (void)arg;
    (void)mhd;
    return strlen(text); /* the raw target is all we use */
}

static void on_log(void *arg, const char *format, va_list arguments) PRINTF_LIKE(2, 0);
static void on_log(void *arg, const char *format, va_list arguments)
{
    char text[256];

    (void)arg;
    vsnprintf(text, sizeof(text), format, arguments);
    log_line(LOG_DEBUG, "libmicrohttpd: %.*s", (int)strcspn(text, "\n"), text);
}

struct MHD_Daemon *daemon_start(struct server *server, bool tls, struct fail *why)
{
    unsigned int flags =
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem more[4];
    size_t count = 0;
    struct MHD_Daemon *daemon;

#if MHD_VERSION >= 0x01000000
    flags |= MHD_USE_NO_THREAD_SAFETY;
    more[count++] = (struct MHD_OptionItem){MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1, NULL};
#endif
    if (tls) {
        flags |= MHD_USE_TLS;
        more[count++] = (struct MHD_OptionItem){
            MHD_OPTION_HTTPS_PRIORITIES, 0,
            (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"};
    }
    more[count] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, exchange_handle, server, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, server->pool_bytes, MHD_OPTION_CONNECTION_LIMIT,
        1000000U, MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_URI_LOG_CALLBACK, exchange_uri,
        server, MHD_OPTION_NOTIFY_COMPLETED, exchange_completed, server,
        MHD_OPTION_NOTIFY_CONNECTION, exchange_connection, server, MHD_OPTION_UNESCAPE_CALLBACK,
        leave_escaped, NULL, MHD_OPTION_ARRAY, more,
        tls ? MHD_OPTION_HTTPS_CERT_CALLBACK : MHD_OPTION_END, tls_retrieve, MHD_OPTION_END);
    if (daemon == NULL)
        fail_set(why, "libmicrohttpd could not start");
    return daemon;
}
