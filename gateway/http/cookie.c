/* cookie.c - one cookie of a request (RFC 6265 §4.2.1).
 *
 * Pairs are cut at semicolons and nothing else is read into them: quotes belong to
 * the value. The first of a name counts. Any thread. */
#include "http/message.h"

struct str http_cookie(const struct http_fields *fields, struct str name)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        struct str rest = fields->at[i].value;

        if (fields->at[i].id != HTTP_COOKIE)
            continue;
        while (rest.len > 0) {
            size_t end = str_find(rest, ';');
            struct str pair = str_trim(str_at(rest.ptr, end));

            if (pair.len > name.len && str_starts(pair, name) && pair.ptr[name.len] == '=')
                return str_from(pair, name.len + 1);
            rest = str_from(rest, end < rest.len ? end + 1 : rest.len);
        }
    }
    return STR_NONE;
}
