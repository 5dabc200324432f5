/* fetch_post.c - an answer to a POST that is what a GET would get (RFC 9110 §9.3.3).
 *
 * The origin says so itself: 200, an explicit lifetime, and a Content-Location that is the URL
 * the POST went to. Without all three nothing of a POST is ever kept. The POST purges that URL
 * first, like any unsafe request, so its own answer has to be stamped after that purge; it is
 * not kept when anybody else has purged anything meanwhile that could cover it.
 * Worker's thread. */
#include "request/request_priv.h"

/* Is it the very URL that the origin was asked for, absolute or by its path? */
static bool is_own_url(const struct request *r, struct str location)
{
    struct str rest = location, host;
    uint16_t port;
    size_t slash;

    if (str_starts(rest, STR("http://")) || str_starts(rest, STR("https://"))) {
        rest = str_from(rest, rest.ptr[4] == 's' ? 8 : 7);
        slash = str_find(rest, '/');
        if (!http_parse_authority(str_at(rest.ptr, slash), &host, &port) ||
            !str_ieq(host, r->facts.host))
            return false;
        rest = str_from(rest, slash);
    }
    return rest.len > 0 && rest.ptr[0] == '/' && str_eq(rest, r->upstream_target);
}

bool fetch_post_is_for_get(struct request *r, int status, const struct http_fields *fields)
{
    bool is_nobodys = r->route->cache.per_user == PER_USER_TRUE && r->who.caller.kind == CALLER_IP;

    if (status != 200 || !str_eq(r->head.method, STR("POST")) || !r->route->cache.is_on ||
        collect_is_for(r) || !r->config->cache.enabled || is_nobodys ||
        http_fields_count_of(fields, HTTP_CONTENT_LOCATION) != 1 ||
        !is_own_url(r, http_fields_get(fields, HTTP_CONTENT_LOCATION)))
        return false;
    r->fetch.purges = 0;
    if (!lookup_build_key(r, &r->cache.key) ||
        cache_is_purged_since(r->context->shared->cache, &r->cache.key, r->fetch.stamp))
        return false;
    r->fetch.stamp = cache_stamp(r->context->shared->cache);
    return true;
}

void fetch_post_take_place(struct request *r)
{
    uint64_t now = cache_stamp(r->context->shared->cache);

    if (now - r->fetch.stamp != r->fetch.purges)
        return; /* one of them was another's */
    r->fetch.stamp = now;
    r->cache.is_keyed = true;
    r->cache.is_posted = true;
}
