/* coding.c - which content coding a client wants (RFC 9110 §12.5.3).
 *
 * Weights are compared, not sorted: for each coding that we offer the list is asked
 * once, and lists are short. "*" stands for what is not named, identity is acceptable
 * unless it is refused, and "x-gzip" is gzip (§8.4.1.3). Any thread; no allocation. */
#include "http/caching_priv.h"
#include "http/message.h"

enum { UNNAMED = -1, MOST_MEMBERS = 64 };

static bool is_name(struct str said, struct str coding)
{
    return str_ieq(said, coding) || (str_ieq(said, STR("x-gzip")) && str_ieq(coding, STR("gzip")));
}

/* Thousandths, or UNNAMED. A coding named twice counts as first named. */
static int weight_of(const struct http_fields *request, struct str coding)
{
    uint32_t read = 0;
    int of_star = UNNAMED;

    for (uint32_t i = 0; i < request->count; i++) {
        struct str rest = request->at[i].value, member;

        if (request->at[i].id != HTTP_ACCEPT_ENCODING)
            continue;
        while (read++ < MOST_MEMBERS && http_list_next(&rest, &member)) {
            size_t end = str_find(member, ';');
            struct str name = str_trim(str_at(member.ptr, end));
            struct str q = str_trim(str_from(member, end + 1));
            unsigned weight = 1000;

            if (end < member.len && (q.len < 2 || ascii_lower(q.ptr[0]) != 'q' || q.ptr[1] != '=' ||
                                     !http_qvalue(str_from(q, 2), &weight)))
                continue;
            if (is_name(name, coding))
                return (int)weight;
            if (str_eq(name, STR("*")) && of_star == UNNAMED)
                of_star = (int)weight;
        }
    }
    return of_star;
}

int http_choose_coding(const struct http_fields *request, const struct str *offered, uint32_t count)
{
    int best = 0, chosen = HTTP_CODING_IDENTITY, identity;

    if (http_fields_count_of(request, HTTP_ACCEPT_ENCODING) == 0)
        return HTTP_CODING_IDENTITY;
    for (uint32_t i = 0; i < count; i++) {
        int weight = weight_of(request, offered[i]);

        if (weight > best) {
            best = weight;
            chosen = (int)i;
        }
    }
    identity = weight_of(request, STR("identity"));
    if (chosen != HTTP_CODING_IDENTITY)
        return identity > best ? HTTP_CODING_IDENTITY : chosen;
    return identity == 0 ? HTTP_CODING_NONE : HTTP_CODING_IDENTITY;
}
