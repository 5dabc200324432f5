/* door.c - which of the two serves a request, and what both have in common.
 *
 * Plain HTTP/1.1 goes the short way (h1.c); https and HTTP/2 are libcurl's, but for a request to
 * change the protocol, of which libcurl only has the TLS (h1_secure.c). Callers see one kind of
 * exchange. What they ask in a turn is noted in one list and done when the turn's
 * hooks run, in the order of asking, so that nothing of a caller's is on the stack and a
 * request that was started in a turn leaves in it.
 *
 * Thread: the loop's own. */
#include "client/client_priv.h"
#include "client/h1_priv.h"

/* ---- what must not be sent --------------------------------------------- */

static bool is_target_text(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == 0x7f)
            return false;
    return text.len > 0;
}

const char *client_request_fault(const struct client_request *request)
{
    const struct http_fields *fields = request->fields;

    if (!http_is_token(request->method) || str_eq(request->method, STR("CONNECT")))
        return "request_method";
    if (!is_target_text(request->path) || !is_target_text(request->target->host) ||
        request->target->host.len > CLIENT_HOST_MOST)
        return "request_target";
    if (!http_is_field_value(request->host))
        return "request_host";
    if (request->body != CLIENT_BODY_NONE && str_eq(request->method, STR("HEAD")))
        return "head_with_body"; /* libcurl cannot send one, and it means nothing */
    if (request->body_length > INT64_MAX)
        return "request_length";
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];

        if ((field->id == HTTP_OTHER && !http_is_token(field->name)) ||
            !http_is_field_value(field->value))
            return "request_field";
    }
    return NULL;
}

bool client_field_is_framing(enum http_name id)
{
    return id == HTTP_HOST || id == HTTP_CONTENT_LENGTH || id == HTTP_TRANSFER_ENCODING ||
           id == HTTP_EXPECT;
}

/* ---- the door ---------------------------------------------------------- */

static bool goes_the_short_way(const struct client *client, const struct client_request *request)
{
    if (request->upgrades && !client->options.only_libcurl)
        return true;
    if (request->target->unix_path.len > 0)
        return true;
    return !request->target->is_https && !client->options.only_libcurl &&
           !(request->target->protocol == CLIENT_HTTP2 && client->speaks_http2);
}

struct client_exchange *client_start(struct client *client, const struct client_request *request,
                                     const struct client_handler *handler, void *arg)
{
    struct curl_exchange *exchange;

    if (goes_the_short_way(client, request))
        return h1_start(client, request, handler, arg);
    exchange = exchange_start(client, request, handler, arg);
    return exchange != NULL ? &exchange->base : NULL;
}

static struct curl_exchange *curl_of(struct client_exchange *exchange)
{
    return CONTAINER_OF(exchange, struct curl_exchange, base);
}

void client_resume_answer(struct client_exchange *exchange)
{
    if (exchange->is_h1)
        h1_resume_answer(exchange);
    else
        exchange_resume_answer(curl_of(exchange));
}

void client_resume_body(struct client_exchange *exchange)
{
    if (exchange->is_h1)
        h1_resume_body(exchange);
    else
        exchange_resume_body(curl_of(exchange));
}

void client_cancel(struct client_exchange **exchange)
{
    struct client_exchange *ended = *exchange;

    *exchange = NULL;
    if (ended == NULL)
        return;
    if (ended->is_h1)
        h1_cancel(ended);
    else
        exchange_cancel(curl_of(ended));
}

struct client_times client_exchange_times(const struct client_exchange *exchange)
{
    return exchange->times;
}

/* ---- later in the turn ------------------------------------------------- */

void client_defer(struct client_exchange *exchange)
{
    struct client *client = exchange->client;

    client_kick(client);
    if (exchange->is_deferred)
        return;
    exchange->is_deferred = true;
    exchange->next_deferred = NULL;
    *client->deferred_tail = exchange;
    client->deferred_tail = &exchange->next_deferred;
}

void client_catch_up(struct client *client)
{
    struct client_exchange *exchange = client->deferred;

    client->deferred = NULL;
    client->deferred_tail = &client->deferred;
    while (exchange != NULL) {
        struct client_exchange *next = exchange->next_deferred;

        exchange->is_deferred = false;
        if (exchange->is_h1)
            h1_catch_up(exchange);
        else
            exchange_catch_up(curl_of(exchange));
        exchange = next;
    }
}
