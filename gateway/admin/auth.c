/* auth.c - may this caller ask that?
 *
 * With a token: a Bearer header, compared as digests in constant time, never a cookie or a
 * parameter, so that a browser cannot be made to send it. Without a token the listener is
 * loopback (config/ sees to it), and what can reach loopback from afar is a browser: by a form of
 * another site (an unsafe method with a foreign Origin) or by a name that was made to point at
 * 127.0.0.1 (a Host that is not ours). Guessing is bounded: after sixty wrong tokens
 * from one address in a minute nothing more is compared. Main thread. */
#include "admin/admin_priv.h"

/* ---- the token ---- */

static bool check_token(struct call *call)
{
    struct limit_time now = {loop_now_us(call->admin->loop), loop_wall_us(call->admin->loop)};
    struct str given = request_bearer(call->question->fields);

    if (given.len == 0) {
        answer_refusal(call, 401, "This needs \"Authorization: Bearer TOKEN\".");
        return false;
    }
    switch (request_judge_token(call->admin->shared, call->config, given, call->question->peer,
                                STR("admin token"), now)) {
    case TOKEN_RIGHT:
        return true;
    case TOKEN_WRONG:
        answer_refusal(call, 401, "The token is not valid.");
        break;
    case TOKEN_TOO_MANY:
        answer_refusal(call, 429, "Too many wrong tokens came from here; wait a minute.");
        break;
    }
    return false;
}

/* ---- without a token: browsers ---- */

static bool is_loopback(struct str host)
{
    static const uint8_t v4[13] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127};
    static const uint8_t v6[16] = {[15] = 1};
    const size_t tail = sizeof(".localhost") - 1;
    uint8_t address[16];

    if (str_ieq(host, STR("localhost")) ||
        (host.len > tail && str_ieq(str_from(host, host.len - tail), STR(".localhost"))))
        return true;
    if (host.len > 2 && host.ptr[0] == '[')
        host = str_at(host.ptr + 1, host.len - 2);
    return address_parse(host, address) &&
           (memcmp(address, v4, sizeof(v4)) == 0 || memcmp(address, v6, sizeof(v6)) == 0);
}

/* HTTP/1.0 without Host is no browser's. On a unix socket there are no browsers. */
static bool host_is_ours(const struct call *call)
{
    struct str value = http_fields_get(call->question->fields, HTTP_HOST), host;
    uint16_t port;

    if (value.ptr == NULL || call->config->admin.listen.is_unix)
        return true;
    return http_parse_authority(value, &host, &port) && is_loopback(host);
}

static bool origin_is_ours(struct str origin, struct str own)
{
    struct str host, own_host;
    uint16_t port = 0, own_port = 0, usual;

    if (str_starts(origin, STR("http://")))
        usual = 80;
    else if (str_starts(origin, STR("https://")))
        usual = 443;
    else
        return false; /* "null" too: a sandboxed frame, a file */
    origin = str_from(origin, str_find(origin, '/') + 2);
    return http_parse_authority(origin, &host, &port) &&
           http_parse_authority(own, &own_host, &own_port) && str_ieq(host, own_host) &&
           (port != 0 ? port : usual) == (own_port != 0 ? own_port : usual);
}

static bool comes_from_elsewhere(const struct http_fields *fields)
{
    struct str origin = http_fields_get(fields, HTTP_ORIGIN);
    struct str site = http_fields_get(fields, HTTP_SEC_FETCH_SITE);

    if (http_fields_count_of(fields, HTTP_ORIGIN) > 1 ||
        http_fields_count_of(fields, HTTP_SEC_FETCH_SITE) > 1)
        return true;
    if (site.ptr != NULL && !str_ieq(site, STR("same-origin")) && !str_ieq(site, STR("none")))
        return true;
    return origin.ptr != NULL && !origin_is_ours(origin, http_fields_get(fields, HTTP_HOST));
}

static bool check_browser(struct call *call)
{
    if (!host_is_ours(call)) {
        answer_refusal(call, 403, "Without a token only a loopback Host is answered.");
        return false;
    }
    if (!http_method_is_safe(call->question->method) &&
        comes_from_elsewhere(call->question->fields)) {
        answer_refusal(call, 403, "Without a token other sites may not change anything.");
        return false;
    }
    return true;
}

/* ---- door ---- */

static bool is_open(const struct call *call)
{
    if (call->endpoint == NULL || !routes_fits_method(call))
        return false;
    switch (call->endpoint->access) {
    case ACCESS_OPEN:
        return true;
    case ACCESS_METRICS:
        return call->config->admin.metrics_public;
    case ACCESS_TOKEN:
        break;
    }
    return false;
}

bool auth_check(struct call *call)
{
    struct str token = call->config->admin.token;

    if (call->question->is_public &&
        (token.len == 0 || !str_starts(call->question->path, STR("/system/")))) {
        call->endpoint = NULL; /* nothing is there */
        answer_refusal(call, 404, "No route matches this host and path.");
        return false;
    }
    if (is_open(call)) /* of those a public listener has the page alone */
        return true;
    return token.len > 0 ? check_token(call) : check_browser(call);
}
