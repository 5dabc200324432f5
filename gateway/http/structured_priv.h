/* structured_priv.h - structured fields (RFC 9651): dictionaries and lists, read strictly.
 *
 * Only what targeted cache fields and cache groups need: each member's key and bare item. Inner
 * lists and parameters are checked, so that an invalid field is told from a
 * valid one, and then passed over. No allocation; any thread. */
#ifndef GATEWAY_HTTP_STRUCTURED_PRIV_H
#define GATEWAY_HTTP_STRUCTURED_PRIV_H
#include "base/base.h"

enum http_sf_kind {
    HTTP_SF_BOOLEAN,
    HTTP_SF_INTEGER,
    HTTP_SF_DECIMAL,
    HTTP_SF_STRING, /* text is what stands between the quotes, escapes as they came */
    HTTP_SF_TOKEN,
    HTTP_SF_BYTES,
    HTTP_SF_DATE,
    HTTP_SF_DISPLAY,
    HTTP_SF_INNER_LIST
};
struct http_sf_member {
    struct str key; /* borrowed */
    enum http_sf_kind kind;
    struct str text; /* of strings and tokens; borrowed */
    int64_t integer; /* of integers and dates */
    bool is_true;    /* of booleans; a key without a value is true */
};
typedef void http_sf_member_fn(void *arg, const struct http_sf_member *member);

/* Calls fn for each member in order, a repeated key each time (the last one counts,
 * §4.2.2). False when the text is no dictionary: forget then what fn was told. An empty text is one
 * without members. */
bool http_sf_dictionary(struct str text, http_sf_member_fn *fn, void *arg) MUST_USE;
/* The same of a list (§4.2.1); members have no key. */
bool http_sf_list(struct str text, http_sf_member_fn *fn, void *arg) MUST_USE;

#endif
