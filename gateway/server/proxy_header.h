/* proxy_header.h - who a load balancer says is connecting: the PROXY protocol's header.
 *
 * Both versions of the haproxy.org specification: a line of text (v1), or a binary block with
 * values behind the addresses (v2), which are skipped. A pure function of the bytes that have come
 * so far: it never reads behind them, and refuses at the first byte that cannot be right. */
#ifndef GATEWAY_SERVER_PROXY_HEADER_H
#define GATEWAY_SERVER_PROXY_HEADER_H
#include "base/base.h"

/* With its values. Balancers send at most a few hundred bytes; v2 could announce 64 KiB. */
#define PROXY_HEADER_BYTES 4096

enum proxy_state { PROXY_MORE, PROXY_WRONG, PROXY_WHOLE };
struct proxy_header {
    size_t length;       /* of the header: what follows is the client's */
    bool has_address;    /* false for LOCAL, UNKNOWN and what is not TCP: the socket's own stands */
    uint8_t address[16]; /* the client's; IPv4 as IPv4-mapped */
};

/* PROXY_MORE: all of `bytes` belongs to a header that is not whole yet; never said of
 * PROXY_HEADER_BYTES or more. PROXY_WHOLE: `out` is filled. Any thread. */
enum proxy_state proxy_header_read(struct str bytes, struct proxy_header *out) MUST_USE;

#endif
