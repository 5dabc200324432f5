/* caching_priv.h - what the caching files of this room share among themselves:
 * the two readings of a field that must be the same wherever they are used.
 *
 * Kept apart from the door, because a number of seconds or "the only line" mean
 * nothing to a caller outside. Any thread; no allocation. */
#ifndef GATEWAY_HTTP_CACHING_PRIV_H
#define GATEWAY_HTTP_CACHING_PRIV_H
#include "http/caching.h"

enum {
    HTTP_SECONDS_ABSENT = -1,  /* the directive was not there */
    HTTP_SECONDS_UNUSABLE = -2 /* it was, but not as a number: read in the strictest way */
};

/* delta-seconds (RFC 9111 §1.2.2): digits only, leading zeros are fine, saturates at
 * HTTP_FOREVER_S; HTTP_SECONDS_UNUSABLE for everything else. */
int64_t http_delta_seconds(struct str text);

/* The value when there is exactly one line of the name; STR_NONE for none or several. */
struct str http_only_line(const struct http_fields *fields, enum http_name id);

/* qvalue (RFC 9110 §12.4.2): 0 or 1, and up to three digits that do not pass 1. In thousandths. */
bool http_qvalue(struct str text, unsigned *weight);

#endif
