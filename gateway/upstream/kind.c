/* kind.c - how a try ended, in the words of logs, metrics and answers.
 *
 * The client room says what happened on the wire; a kind adds the deadlines of this room
 * and is what people see. Any thread. */
#include "upstream/upstream_priv.h"

const char *upstream_kind_name(enum upstream_kind kind)
{
    switch (kind) {
    case UPSTREAM_OK:
        return "ok";
    case UPSTREAM_CONNECT:
        return "connect";
    case UPSTREAM_DNS:
        return "dns";
    case UPSTREAM_TLS:
        return "tls";
    case UPSTREAM_CONNECT_TIMEOUT:
    case UPSTREAM_FIRST_BYTE_TIMEOUT:
    case UPSTREAM_TOTAL_TIMEOUT:
    case UPSTREAM_IDLE_TIMEOUT:
        return "timeout";
    case UPSTREAM_RESET:
        return "reset";
    case UPSTREAM_EMPTY:
        return "empty";
    case UPSTREAM_PROTOCOL:
        return "protocol";
    case UPSTREAM_HEADER_LIMIT:
        return "header_limit";
    case UPSTREAM_TRUNCATED:
        return "truncated";
    case UPSTREAM_NO_TARGET:
        return "no_target";
    case UPSTREAM_NO_PORTS:
        return "ports";
    case UPSTREAM_NO_MEMORY:
        return "memory";
    case UPSTREAM_BODY_ABORTED:
        return "aborted";
    case UPSTREAM_BREAKER:
        return "breaker";
    case UPSTREAM_OVERLOAD:
        return "overload";
    case UPSTREAM_SHED:
        return "shed";
    }
    return "unknown";
}

int upstream_kind_status(enum upstream_kind kind)
{
    switch (kind) {
    case UPSTREAM_CONNECT_TIMEOUT:
    case UPSTREAM_FIRST_BYTE_TIMEOUT:
    case UPSTREAM_TOTAL_TIMEOUT:
    case UPSTREAM_IDLE_TIMEOUT:
        return 504;
    case UPSTREAM_NO_TARGET:
    case UPSTREAM_NO_PORTS:
    case UPSTREAM_NO_MEMORY:
    case UPSTREAM_BREAKER:
    case UPSTREAM_OVERLOAD:
    case UPSTREAM_SHED:
        return 503;
    case UPSTREAM_OK:
    case UPSTREAM_CONNECT:
    case UPSTREAM_DNS:
    case UPSTREAM_TLS:
    case UPSTREAM_RESET:
    case UPSTREAM_EMPTY:
    case UPSTREAM_PROTOCOL:
    case UPSTREAM_HEADER_LIMIT:
    case UPSTREAM_TRUNCATED:
    case UPSTREAM_BODY_ABORTED:
        return 502;
    }
    return 502;
}

enum upstream_kind kind_of_outcome(enum client_outcome outcome)
{
    switch (outcome) {
    case CLIENT_OK:
        return UPSTREAM_OK;
    case CLIENT_CONNECT_FAILED:
    case CLIENT_STALE: /* even on a fresh connection: there is none to be had */
        return UPSTREAM_CONNECT;
    case CLIENT_CONNECT_TIMEOUT:
        return UPSTREAM_CONNECT_TIMEOUT;
    case CLIENT_DNS_FAILED:
        return UPSTREAM_DNS;
    case CLIENT_TLS_FAILED:
        return UPSTREAM_TLS;
    case CLIENT_NO_PORTS:
        return UPSTREAM_NO_PORTS;
    case CLIENT_EMPTY:
        return UPSTREAM_EMPTY;
    case CLIENT_RESET:
        return UPSTREAM_RESET;
    case CLIENT_TRUNCATED:
        return UPSTREAM_TRUNCATED;
    case CLIENT_PROTOCOL:
        return UPSTREAM_PROTOCOL;
    case CLIENT_HEADER_LIMIT:
        return UPSTREAM_HEADER_LIMIT;
    case CLIENT_BODY_ABORTED:
        return UPSTREAM_BODY_ABORTED;
    case CLIENT_NO_MEMORY:
        return UPSTREAM_NO_MEMORY;
    }
    return UPSTREAM_PROTOCOL;
}

bool kind_is_unsent(enum upstream_kind kind)
{
    return kind == UPSTREAM_CONNECT || kind == UPSTREAM_DNS || kind == UPSTREAM_TLS ||
           kind == UPSTREAM_CONNECT_TIMEOUT;
}

bool kind_is_targets_fault(enum upstream_kind kind)
{
    switch (kind) {
    case UPSTREAM_CONNECT:
    case UPSTREAM_DNS:
    case UPSTREAM_TLS:
    case UPSTREAM_CONNECT_TIMEOUT:
    case UPSTREAM_FIRST_BYTE_TIMEOUT:
    case UPSTREAM_TOTAL_TIMEOUT:
    case UPSTREAM_IDLE_TIMEOUT:
    case UPSTREAM_RESET:
    case UPSTREAM_EMPTY:
    case UPSTREAM_PROTOCOL:
    case UPSTREAM_HEADER_LIMIT:
    case UPSTREAM_TRUNCATED:
        return true;
    case UPSTREAM_OK:
    case UPSTREAM_NO_TARGET:
    case UPSTREAM_NO_PORTS:
    case UPSTREAM_NO_MEMORY:
    case UPSTREAM_BODY_ABORTED:
    case UPSTREAM_BREAKER:
    case UPSTREAM_OVERLOAD:
    case UPSTREAM_SHED:
        return false;
    }
    return false;
}
