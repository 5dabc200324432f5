/* trailer.c - which trailer fields may be passed on (RFC 9110 §6.5.1).
 *
 * A trailer arrives when everything has been decided, so no field that decides
 * anything may come in one: framing, routing, identity, caching, content. Names the
 * gateway knows all do; of the others some families do too. Pure; any thread. */
#include "http/http_priv.h"
#include "http/message.h"

bool http_trailer_may_pass(struct str name)
{
    static const struct str families[] = {
        {"Content-", 8},         {"X-Forwarded-", 12}, {"X-RateLimit-", 12},  {"RateLimit-", 10},
        {"Access-Control-", 15}, {"Proxy", 5},         {"Sec-", 4},           {"If-", 3},
        {"Set-Cookie", 10},      {"Transfer-", 9},     {"X-HTTP-Method", 13}, {"Surrogate-", 10},
    };

    if (!http_is_token(name) || http_name_of(name) != HTTP_OTHER)
        return false;
    if (str_ieq(name, STR("Content-Digest")))
        return true; /* made to be a trailer (RFC 9530 §2) */
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '_')
            return false; /* read as '-' by some, see check.c */
    for (size_t i = 0; i < COUNT_OF(families); i++)
        if (http_starts_folded(name, families[i]))
            return false;
    return true;
}
