/* options.c - a request as options of an easy handle.
 *
 * Everything libcurl would do by itself is switched off; it is told a connection (the
 * URL, without a path), a method, a target and a header list, and sends those bytes. It
 * does not look into them: a line break would be a second request, so nothing with a
 * control byte gets past here.
 *
 * The header list is ours: libcurl only reads it. Nodes and text lie in one block that
 * the exchange keeps, so a request costs no allocation for its fields. A handle that
 * served plain HTTP keeps its options for the next plain request; one for https starts
 * from nothing, because the default CA file cannot be asked back otherwise.
 *
 * Thread: the loop's own. */
#include "client/client_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    RECEIVE_BYTES = 32768,
    DNS_CACHE_S = 30,
    CA_CACHE_S = 300,
    MOST_FIXED_FIELDS = 3,
    CONNECT_TO_NODES = 1
};

/* A setting that fails is out of memory or a libcurl too old to be built with. */
#define SET(easy, option, value)                                                                   \
    do {                                                                                           \
        if (curl_easy_setopt((easy), (option), (value)) != CURLE_OK)                               \
            return false;                                                                          \
    } while (0)

/* ---- the block: nodes, then text --------------------------------------- */

struct block {
    struct curl_slist *node;  /* the next free one */
    struct curl_slist *first; /* of the list; NULL: empty */
    char *text;
};

static char *add_text(struct block *block, struct str text)
{
    char *copy = block->text;

    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    block->text += text.len + 1;
    return copy;
}

/* "Name: value"; an empty value is written "Name;", as libcurl wants it. */
static void add_field(struct block *block, struct str name, struct str value)
{
    struct curl_slist *node = block->node++;
    char *to = block->text;

    node->data = to;
    node->next = NULL;
    memcpy(to, name.ptr, name.len);
    to += name.len;
    if (value.len == 0) {
        *to++ = ';';
    } else {
        *to++ = ':';
        *to++ = ' ';
        memcpy(to, value.ptr, value.len);
        to += value.len;
    }
    *to++ = '\0';
    block->text = to;
    if (block->first == NULL)
        block->first = node;
    else
        (node - 1)->next = node;
}

/* "Name:" keeps libcurl from adding a field of its own. */
static void add_silence(struct block *block, struct str name)
{
    struct curl_slist *node = block->node;

    add_field(block, name, STR_NONE);
    node->data[name.len] = ':';
}

static size_t block_bytes(const struct client_request *request)
{
    const struct http_fields *fields = request->fields;
    size_t bytes = request->method.len + request->path.len + request->host.len + 64;

    bytes += (fields->count + MOST_FIXED_FIELDS + CONNECT_TO_NODES) * sizeof(struct curl_slist);
    bytes += request->target->address.len + 16;
    for (uint32_t i = 0; i < fields->count; i++)
        bytes += fields->at[i].name.len + fields->at[i].value.len + 3;
    return bytes;
}

static bool block_begin(struct curl_exchange *exchange, const struct client_request *request,
                        struct block *block)
{
    size_t bytes = block_bytes(request);

    if (bytes > exchange->block_room) {
        char *larger = malloc(bytes);

        if (larger == NULL)
            return false;
        free(exchange->block);
        exchange->block = larger;
        exchange->block_room = bytes;
    }
    block->first = NULL;
    block->node = (struct curl_slist *)(void *)exchange->block;
    block->text =
        exchange->block +
        (request->fields->count + MOST_FIXED_FIELDS + CONNECT_TO_NODES) * sizeof(struct curl_slist);
    return true;
}

static struct curl_slist *write_fields(struct block *block, const struct client_request *request)
{
    const struct http_fields *fields = request->fields;
    bool has_accept = false;

    add_field(block, STR("Host"), request->host);
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];

        if (client_field_is_framing(
                field->id)) /* ours to write: two of them would be a smuggled request */
            continue;
        has_accept = has_accept || field->id == HTTP_ACCEPT;
        add_field(block, field->name, field->value);
    }
    if (!has_accept)
        add_silence(block, STR("Accept"));
    add_silence(block, STR("Expect"));
    return block->first;
}

/* "::ADDRESS:PORT": whatever the URL says, connect there. A kept connection serves only requests
 * that would have gone to the same address (libcurl compares them). NULL: look the name up. */
static struct curl_slist *write_connect_to(struct block *block, const struct client_target *target)
{
    struct curl_slist *node = block->node;
    char *to = block->text;

    if (target->address.len == 0)
        return NULL;
    block->node++;
    node->data = to;
    node->next = NULL;
    memcpy(to, "::", 2);
    memcpy(to + 2, target->address.ptr, target->address.len);
    to += 2 + target->address.len;
    *to++ = ':';
    to += u64_write(to, target->port);
    *to++ = '\0';
    block->text = to;
    return node;
}

/* ---- options ----------------------------------------------------------- */

static bool set_callbacks(struct curl_exchange *exchange)
{
    CURL *easy = exchange->easy;

    SET(easy, CURLOPT_PRIVATE, exchange);
    SET(easy, CURLOPT_ERRORBUFFER, exchange->error);
    SET(easy, CURLOPT_HEADERFUNCTION, transfer_header);
    SET(easy, CURLOPT_HEADERDATA, exchange);
    SET(easy, CURLOPT_WRITEFUNCTION, transfer_body);
    SET(easy, CURLOPT_WRITEDATA, exchange);
    SET(easy, CURLOPT_READFUNCTION, transfer_read);
    SET(easy, CURLOPT_READDATA, exchange);
    SET(easy, CURLOPT_OPENSOCKETFUNCTION, connection_open);
    SET(easy, CURLOPT_OPENSOCKETDATA, exchange);
    SET(easy, CURLOPT_CLOSESOCKETFUNCTION, connection_close);
    SET(easy, CURLOPT_CLOSESOCKETDATA, exchange->base.client); /* outlives the exchange */
    SET(easy, CURLOPT_PREREQFUNCTION, connection_guard);
    SET(easy, CURLOPT_PREREQDATA, exchange);
    return true;
}

static bool set_habits(struct curl_exchange *exchange)
{
    CURL *easy = exchange->easy;
    int64_t age_s = exchange->base.client->options.idle_timeout_ms / 1000;

    SET(easy, CURLOPT_NOSIGNAL, 1L);
    SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(easy, CURLOPT_PROXY, "");
    SET(easy, CURLOPT_PATH_AS_IS, 1L);
    SET(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    SET(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BYTES);
    SET(easy, CURLOPT_DNS_CACHE_TIMEOUT, (long)DNS_CACHE_S);
    SET(easy, CURLOPT_MAXAGE_CONN, age_s < 1 ? 1L : (long)age_s);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* without it an exchange that ends while its name is looked up waits for the look-up */
    SET(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    return true;
}

/* Requests that come while the first connection is made wait for it, to share it. */
static bool set_version(const struct curl_exchange *exchange, const struct client_target *target)
{
    long version =
        target->is_https ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;

    SET(exchange->easy, CURLOPT_HTTP_VERSION,
        exchange->wants_http2 ? version : (long)CURL_HTTP_VERSION_1_1);
    SET(exchange->easy, CURLOPT_PIPEWAIT, exchange->wants_http2 ? 1L : 0L);
    return true;
}

/* Copied by libcurl. A connection made with one certificate serves no other (it compares them). */
static bool set_file(CURL *easy, CURLoption option, struct str path)
{
    char text[4096];

    if (path.len == 0)
        return true;
    if (path.len >= sizeof(text))
        return false;
    memcpy(text, path.ptr, path.len);
    text[path.len] = '\0';
    SET(easy, option, text);
    return true;
}

/* libcurl keeps what it has read for this long, so that what was read before they were last
 * forgotten is too old. */
static long authorities_age_s(const struct client *client)
{
    uint64_t age_s = (loop_now_us(client->loop) - client->authorities_since_us) / 1000000;

    return age_s < CA_CACHE_S ? (long)age_s : (long)CA_CACHE_S;
}

static bool set_tls(struct curl_exchange *exchange, const struct client_target *target)
{
    CURL *easy = exchange->easy;
    char ca[4096];

    if (!set_file(easy, CURLOPT_SSLCERT, target->tls_cert) ||
        !set_file(easy, CURLOPT_SSLKEY, target->tls_key))
        return false;
    SET(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(easy, CURLOPT_SSL_VERIFYPEER, target->tls_verify ? 1L : 0L);
    SET(easy, CURLOPT_SSL_VERIFYHOST, target->tls_verify ? 2L : 0L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* reading a bundle takes 20 ms */
    SET(easy, CURLOPT_CA_CACHE_TIMEOUT, authorities_age_s(exchange->base.client));
#endif
    if (target->tls_ca.len == 0)
        return true;
    if (target->tls_ca.len >= sizeof(ca))
        return false;
    memcpy(ca, target->tls_ca.ptr, target->tls_ca.len);
    ca[target->tls_ca.len] = '\0';
    SET(easy, CURLOPT_CAINFO, ca);
    SET(easy, CURLOPT_CAPATH, NULL); /* else the system's authorities would be believed too */
    return true;
}

static bool set_connection(struct curl_exchange *exchange, const struct client_request *request)
{
    const struct client_target *target = request->target;
    char url[OPTIONS_URL_ROOM];

    if (target->is_https || !exchange->is_plain_easy) {
        curl_easy_reset(exchange->easy);
        exchange->url[0] = '\0';
        exchange->is_plain_easy = false;
        if (!set_callbacks(exchange) || !set_habits(exchange))
            return false;
        if (target->is_https && !set_tls(exchange, target))
            return false;
        exchange->is_plain_easy = !target->is_https;
    }
    if (!set_version(exchange, target))
        return false;
    snprintf(url, sizeof(url), "%s://%.*s:%u/", target->is_https ? "https" : "http",
             STR_ARG(target->host), (unsigned)target->port);
    if (strcmp(url, exchange->url) == 0)
        return true;
    SET(exchange->easy, CURLOPT_URL, url); /* copied, and parsed again, hence the comparison */
    memcpy(exchange->url, url, sizeof(url));
    return true;
}

static bool set_method(CURL *easy, const struct client_request *request, const char *method)
{
    bool is_head = str_eq(request->method, STR("HEAD"));
    bool is_plain_get = request->body == CLIENT_BODY_NONE && str_eq(request->method, STR("GET"));

    SET(easy, CURLOPT_HTTPGET, 1L); /* takes back what an earlier request set */
    SET(easy, CURLOPT_CUSTOMREQUEST, is_head || is_plain_get ? NULL : method);
    if (is_head)
        SET(easy, CURLOPT_NOBODY, 1L);
    if (request->body == CLIENT_BODY_NONE)
        return true;
    SET(easy, CURLOPT_UPLOAD, 1L);
    SET(easy, CURLOPT_INFILESIZE_LARGE,
        request->body == CLIENT_BODY_SIZED ? (curl_off_t)request->body_length : (curl_off_t)-1);
    return true;
}

/* A fresh connection, with all of its TLS, and not a byte of HTTP on it. */
static bool set_connect_only(struct curl_exchange *exchange)
{
    SET(exchange->easy, CURLOPT_CONNECT_ONLY, 1L);
    SET(exchange->easy, CURLOPT_PREREQFUNCTION, NULL); /* there is no request to look at */
    SET(exchange->easy, CURLOPT_FRESH_CONNECT, 1L);
    exchange->is_plain_easy = false; /* not as the next request wants it */
    return true;
}

bool options_apply(struct curl_exchange *exchange, const struct client_request *request)
{
    CURL *easy = exchange->easy;
    const char *fault = client_request_fault(request);
    struct block block;

    if (fault != NULL) {
        exchange_judge(exchange, CLIENT_PROTOCOL, fault);
        return true;
    }
    if (!block_begin(exchange, request, &block) || !set_connection(exchange, request))
        return false;
    SET(easy, CURLOPT_CONNECT_TO, write_connect_to(&block, request->target));
    SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_timeout_ms);
    if (exchange->connected != NULL)
        return set_connect_only(exchange);
    SET(easy, CURLOPT_HTTPHEADER, write_fields(&block, request));
    SET(easy, CURLOPT_REQUEST_TARGET, add_text(&block, request->path));
    SET(easy, CURLOPT_FRESH_CONNECT, request->may_reuse ? 0L : 1L);
    return set_method(easy, request, add_text(&block, request->method));
}
