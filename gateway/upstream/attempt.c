/* attempt.c - where a try goes, and what the target is told: the address, Host, how long we wait.
 *
 * Thread: the worker's; target_for_client() the main thread's too, whose checks go to the same
 * place. */
#include "upstream/upstream_priv.h"

struct str attempt_host(const struct upstream_exchange *exchange,
                        const struct target_config *target)
{
    char *authority, *end;

    switch (exchange->upstream->host) {
    case HOST_NAME:
        return exchange->upstream->host_name;
    case HOST_CLIENT:
        if (exchange->client_host.len > 0)
            return exchange->client_host;
        break; /* HTTP/1.0 without Host */
    case HOST_TARGET:
        break;
    }
    if (target->port == (target->is_https ? 443 : 80))
        return target->host;
    authority = arena_take(exchange->arena, target->host.len + 1 + U64_DIGITS);
    if (authority == NULL)
        return target->host;
    memcpy(authority, target->host.ptr, target->host.len);
    end = authority + target->host.len;
    *end++ = ':';
    end += u64_write(end, target->port);
    return str_at(authority, (size_t)(end - authority));
}

/* How long this try's answer is waited for, as the target is told: until the deadline of the try
 * or of the whole, whichever comes first. */
void attempt_tell_deadline(struct upstream_exchange *exchange, uint64_t now)
{
    uint64_t left_ms = (uint64_t)exchange->upstream->first_byte_timeout_ms;
    struct http_field *field = &exchange->fields.at[exchange->fields.count - 1];
    char *end = exchange->deadline_text + sizeof(exchange->deadline_text), *at = end;

    if (exchange->total_at_us != UINT64_MAX) {
        uint64_t total_ms = exchange->total_at_us > now ? (exchange->total_at_us - now) / 1000 : 0;

        left_ms = total_ms < left_ms ? total_ms : left_ms;
    }
    do {
        *--at = (char)('0' + left_ms % 10);
        left_ms /= 10;
    } while (left_ms > 0);
    field->value = str_at(at, (size_t)(end - at));
}

/* An address that was looked up takes the name's place; TLS needs the name too. */
struct client_target target_for_client(const struct upstream_config *upstream, uint32_t origin,
                                       const struct target *target)
{
    const struct target_config *config = &upstream->targets[origin];
    bool is_by_address = target->address.len > 0 && !config->is_https;

    return (struct client_target){
        .is_https = config->is_https,
        .host = is_by_address ? target->address : config->host,
        .address = config->is_https ? target->address : STR_NONE,
        .port = config->port,
        .tls_ca = upstream->tls.ca,
        .tls_verify = upstream->tls.verify,
        .tls_cert = upstream->tls.cert,
        .tls_key = upstream->tls.key,
        .unix_path = config->unix_path,
        .protocol = upstream->protocol == PROTOCOL_HTTP2 ? CLIENT_HTTP2 : CLIENT_HTTP1,
        .keepalive = upstream->keepalive,
    };
}
