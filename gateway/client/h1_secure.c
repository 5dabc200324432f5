/* h1_secure.c - what changes its protocol with an https target: libcurl's TLS, our HTTP.
 *
 * libcurl knows no upgrade, but it lends a connection that it made (CURLOPT_CONNECT_ONLY): it
 * looks the name up, connects, shows our certificate and verifies theirs as for any request, and
 * then only encrypts. Head, answer and the bytes after 101 are h1's as on a plain socket. The
 * easy handle stays in the multi handle to the end, because the connection goes when it does.
 *
 * TLS must repeat an unfinished write from the same place, so what is sent is copied here and is
 * taken for sent; nothing more is taken until it has left. What TLS has read the socket does not
 * show any more, so it is read until there is nothing, or no room.
 *
 * Thread: the loop's own; never inside libcurl. */
#include "client/h1_priv.h"

#include <errno.h>
#include <stdlib.h>

struct h1_secure {
    struct curl_exchange *curl; /* holds the connection; NULL: it came to nothing */
    bool is_dry;                /* the last reading found nothing */
    char *out;                  /* owned; NULL: all has left */
    size_t out_at, out_len;
};

/* ---- the connection ------------------------------------------------------ */

static void on_connected(void *arg)
{
    struct h1_exchange *exchange = arg;
    curl_socket_t fd = CURL_SOCKET_BAD;

    if (exchange->state != H1_CONNECTING)
        return; /* cancelled in this turn */
    if (curl_easy_getinfo(exchange->secure->curl->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
        fd == CURL_SOCKET_BAD) {
        h1_finish(exchange, CLIENT_CONNECT_FAILED, "connect_failed");
        return;
    }
    connection_unwatch(exchange->base.client, fd);
    h1_connect_is_secure(exchange, fd);
}

static void on_failed(void *arg, enum client_outcome outcome, const char *reason)
{
    struct h1_exchange *exchange = arg;

    exchange->secure->curl = NULL;
    if (exchange->state != H1_CANCELLED)
        h1_finish(exchange, outcome, reason);
}

static const struct client_handler handler = {.done = on_failed};

bool h1_secure_begin(struct h1_exchange *exchange, const struct client_request *request)
{
    struct h1_secure *secure = calloc(1, sizeof(*secure));

    if (secure == NULL)
        return false;
    secure->curl =
        exchange_connect(exchange->base.client, request, &handler, on_connected, exchange);
    if (secure->curl == NULL) {
        free(secure);
        return false;
    }
    exchange->secure = secure;
    exchange->keepalive = 0; /* it serves this one alone */
    return true;
}

void h1_secure_end(struct h1_secure **secure)
{
    struct h1_secure *old = *secure;

    *secure = NULL;
    if (old == NULL)
        return;
    if (old->curl != NULL)
        exchange_cancel(old->curl);
    free(old->out);
    free(old);
}

/* ---- bytes --------------------------------------------------------------- */

ssize_t h1_secure_receive(struct h1_secure *secure, char *to, size_t room)
{
    size_t got = 0;
    CURLcode code = curl_easy_recv(secure->curl->easy, to, room, &got);

    secure->is_dry = code != CURLE_OK || got == 0;
    if (code == CURLE_OK)
        return (ssize_t)got;
    errno = code == CURLE_AGAIN ? EAGAIN : ECONNRESET;
    return -1;
}

bool h1_secure_has_unsent(const struct h1_secure *secure)
{
    return secure->out != NULL;
}

bool h1_secure_flush(struct h1_secure *secure)
{
    while (secure->out != NULL) {
        size_t sent = 0;
        CURLcode code = curl_easy_send(secure->curl->easy, secure->out + secure->out_at,
                                       secure->out_len - secure->out_at, &sent);

        if (code == CURLE_AGAIN)
            return true;
        secure->out_at += sent;
        if (code == CURLE_OK && secure->out_at < secure->out_len)
            continue;
        free(secure->out);
        secure->out = NULL;
        if (code != CURLE_OK)
            return false;
    }
    return true;
}

ssize_t h1_secure_send(struct h1_secure *secure, const struct iovec parts[2])
{
    size_t len = 0;

    if (secure->out != NULL) {
        errno = EAGAIN;
        return -1;
    }
    secure->out = malloc(H1_PIECE_BYTES);
    if (secure->out == NULL) {
        errno = ENOMEM;
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        size_t part = parts[i].iov_len;

        if (part > H1_PIECE_BYTES - len)
            part = H1_PIECE_BYTES - len;
        if (part > 0)
            memcpy(secure->out + len, parts[i].iov_base, part);
        len += part;
    }
    secure->out_at = 0;
    secure->out_len = len;
    if (h1_secure_flush(secure))
        return (ssize_t)len;
    errno = ECONNRESET;
    return -1;
}

/* ---- until there is nothing ---------------------------------------------- */

static bool may_have_more(const struct h1_exchange *exchange)
{
    return h1_goes_on(exchange) && exchange->secure != NULL && exchange->connection != NULL &&
           !exchange->answer_waits && !exchange->secure->is_dry;
}

/* Noted for this turn, an exchange is not given back before the list is walked: it may be looked
 * at after what ends it. */
static void hold(struct h1_exchange *exchange)
{
    client_defer(&exchange->base);
}

void h1_secure_read(struct h1_exchange *exchange)
{
    hold(exchange);
    do
        h1_read(exchange);
    while (may_have_more(exchange));
}

void h1_secure_read_on(struct h1_exchange *exchange)
{
    hold(exchange);
    exchange->secure->is_dry = false;
    h1_read_on(exchange);
    while (may_have_more(exchange))
        h1_read(exchange);
}
