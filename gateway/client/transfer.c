/* transfer.c - libcurl's callbacks for head and body, and what the end of a transfer means.
 *
 * The callbacks run inside libcurl. A handler may do anything in them, also cancel: that
 * is only noted, and here answered by making libcurl give up. libcurl's result codes say
 * what it noticed; the outcome says what the caller must know: was anything sent, was
 * anything answered, was it whole.
 *
 * Thread: the loop's own. */
#include "client/client_priv.h"

#include <errno.h>

static bool goes_on(const struct curl_exchange *exchange)
{
    return exchange->state == EXCHANGE_RUNNING && !exchange->has_verdict;
}

static uint64_t now_us(const struct curl_exchange *exchange)
{
    return loop_now_us(exchange->base.client->loop);
}

/* ---- callbacks --------------------------------------------------------- */

/* An answer that refuses the body ends the sending, but libcurl does not take a transfer
 * for done while its sending is paused: let it look again. */
static void stop_waiting_for_body(struct curl_exchange *exchange)
{
    if ((exchange->paused & CURLPAUSE_SEND) != 0)
        exchange_resume_body(exchange);
}

static void take_line(struct curl_exchange *exchange, struct str line)
{
    struct answer *answer = &exchange->answer;
    const struct client_handler *handler = exchange->handler;

    switch (answer_line(answer, line)) {
    case ANSWER_MORE:
        return;
    case ANSWER_INTERIM:
        if (handler->interim != NULL)
            handler->interim(exchange->arg, answer->status, &answer->fields);
        return;
    case ANSWER_HEAD:
        handler->head(exchange->arg, answer->status, &answer->fields, &answer->facts);
        if (goes_on(exchange))
            stop_waiting_for_body(exchange);
        return;
    case ANSWER_NONSENSE:
        exchange_judge(exchange, CLIENT_PROTOCOL, answer->reason);
        return;
    case ANSWER_TOO_LARGE:
        exchange_judge(exchange, CLIENT_HEADER_LIMIT, answer->reason);
        return;
    case ANSWER_NO_MEMORY:
        exchange_judge(exchange, CLIENT_NO_MEMORY, "memory");
        return;
    }
}

size_t transfer_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct curl_exchange *exchange = arg;

    if (!goes_on(exchange))
        return 0;
    if (exchange->base.times.first_byte_us == 0)
        exchange->base.times.first_byte_us = now_us(exchange);
    exchange->base.client->has_called_back = true;
    take_line(exchange, str_at(bytes, size * count));
    return goes_on(exchange) ? size * count : 0;
}

size_t transfer_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct curl_exchange *exchange = arg;
    bool is_taken;

    if (!goes_on(exchange))
        return 0;
    if (exchange->answer.place != ANSWER_AT_BODY) {
        exchange_judge(exchange, CLIENT_PROTOCOL, "body_without_head");
        return 0;
    }
    exchange->base.client->has_called_back = true;
    is_taken = exchange->handler->body(exchange->arg, str_at(bytes, size * count));
    if (!goes_on(exchange))
        return 0;
    if (is_taken)
        return size * count;
    exchange->paused |= CURLPAUSE_RECV;
    return CURL_WRITEFUNC_PAUSE; /* libcurl keeps the bytes */
}

static size_t give_up(struct curl_exchange *exchange, const char *reason)
{
    exchange_judge(exchange, CLIENT_BODY_ABORTED, reason);
    return CURL_READFUNC_ABORT;
}

size_t transfer_read(char *to, size_t size, size_t count, void *arg)
{
    struct curl_exchange *exchange = arg;
    bool is_sized = exchange->body == CLIENT_BODY_SIZED;
    size_t room = size * count;
    ptrdiff_t got;

    if (!goes_on(exchange))
        return CURL_READFUNC_ABORT;
    if (is_sized && room > exchange->body_left) /* libcurl would send more than announced */
        room = (size_t)exchange->body_left;
    if (room == 0)
        return 0;
    exchange->base.client->has_called_back = true;
    got = exchange->handler->read(exchange->arg, to, room);
    if (!goes_on(exchange))
        return CURL_READFUNC_ABORT;
    exchange->base.times.sent_us = now_us(exchange);
    if (got == CLIENT_READ_WAIT) {
        exchange->paused |= CURLPAUSE_SEND;
        return CURL_READFUNC_PAUSE;
    }
    if (got == CLIENT_READ_END) /* an early end of a sized body would hang in libcurl */
        return is_sized ? give_up(exchange, "short_request_body") : 0;
    if (got < 0)
        return give_up(exchange, "request_body");
    CHECK((size_t)got <= room);
    if (is_sized)
        exchange->body_left -= (uint64_t)got;
    return (size_t)got;
}

/* ---- the end ----------------------------------------------------------- */

static bool has_head(const struct curl_exchange *exchange)
{
    return exchange->answer.place == ANSWER_AT_BODY || exchange->answer.place == ANSWER_AT_TRAILERS;
}

static enum client_outcome judge_loss(const struct curl_exchange *exchange)
{
    if (has_head(exchange))
        return CLIENT_TRUNCATED;
    return exchange->base.times.first_byte_us == 0 ? CLIENT_EMPTY : CLIENT_RESET;
}

static void end_connect_failed(struct curl_exchange *exchange)
{
    long number = 0;

    (void)curl_easy_getinfo(exchange->easy, CURLINFO_OS_ERRNO, &number);
    if (number == EADDRNOTAVAIL)
        exchange_finish(exchange, CLIENT_NO_PORTS, "no_local_port");
    else
        exchange_finish(exchange, CLIENT_CONNECT_FAILED, "connect_failed");
}

/* The connection was there and is lost, or what came on it cannot be read. */
static void end_receiving(struct curl_exchange *exchange)
{
    enum client_outcome outcome = judge_loss(exchange);

    if (strstr(exchange->error, "chunk") != NULL) /* no result code of its own */
        exchange_finish(exchange, CLIENT_PROTOCOL, "bad_chunk");
    else if (outcome == CLIENT_TRUNCATED)
        exchange_finish(exchange, outcome, "cut_in_body");
    else if (outcome == CLIENT_RESET)
        exchange_finish(exchange, outcome, "cut_in_head");
    else
        exchange_finish(exchange, outcome, "closed_before_answer");
}

static bool is_tls_code(CURLcode code)
{
    return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
           code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
           code == CURLE_SSL_CIPHER || code == CURLE_SSL_ISSUER_ERROR ||
           code == CURLE_SSL_CRL_BADFILE || code == CURLE_SSL_INVALIDCERTSTATUS;
}

static bool is_size_code(CURLcode code)
{
#if LIBCURL_VERSION_NUM >= 0x080600
    return code == CURLE_TOO_LARGE;
#else
    (void)code;
    return false; /* said as lack of memory */
#endif
}

static void end_without_memory(struct curl_exchange *exchange)
{
    /* 7.88 calls one line of 100 kB the same */
    if (exchange->sends > 0 && !has_head(exchange))
        exchange_finish(exchange, CLIENT_HEADER_LIMIT, "headers_too_large");
    else
        exchange_finish(exchange, CLIENT_NO_MEMORY, "memory");
}

static void end_by_code(struct curl_exchange *exchange, CURLcode code)
{
    if (code == CURLE_COULDNT_RESOLVE_HOST)
        exchange_finish(exchange, CLIENT_DNS_FAILED, "dns_failed");
    else if (code == CURLE_COULDNT_CONNECT)
        end_connect_failed(exchange);
    else if (code == CURLE_OPERATION_TIMEDOUT && exchange->sends == 0)
        exchange_finish(exchange, CLIENT_CONNECT_TIMEOUT, "connect_timeout");
    else if (is_tls_code(code) && exchange->sends == 0)
        exchange_finish(exchange, CLIENT_TLS_FAILED, "tls_failed");
    else if (code == CURLE_OUT_OF_MEMORY)
        end_without_memory(exchange);
    else if (is_size_code(code))
        exchange_finish(exchange, CLIENT_HEADER_LIMIT, "headers_too_large");
    else if (code == CURLE_UPLOAD_FAILED && exchange->base.times.is_reused)
        /* chunked on a connection that spoke HTTP/1.0; a fresh one may know better */
        exchange_finish(exchange, CLIENT_STALE, "http10_connection");
    else if (code == CURLE_UNSUPPORTED_PROTOCOL)
        exchange_finish(exchange, CLIENT_PROTOCOL, "not_http");
    else if (code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_BAD_CONTENT_ENCODING)
        exchange_finish(exchange, CLIENT_PROTOCOL, "weird_reply");
    else if (exchange->sends == 0)
        exchange_finish(exchange, CLIENT_CONNECT_FAILED, "connect_failed");
    else
        end_receiving(exchange);
}

void transfer_end(struct curl_exchange *exchange, CURLcode code)
{
    if (exchange->state != EXCHANGE_RUNNING)
        return;
    exchange->ended_well = code == CURLE_OK;
    if (exchange->has_verdict)
        exchange_finish(exchange, exchange->outcome, exchange->reason);
    else if (code == CURLE_OK && exchange->connected != NULL)
        exchange->connected(exchange->arg); /* it stays in the multi handle, and so connected */
    else if (code == CURLE_OK && has_head(exchange))
        exchange_finish(exchange, CLIENT_OK, "ok");
    else
        end_by_code(exchange, code);
}
