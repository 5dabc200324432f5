/* forward.c - what goes on to the next hop, in both directions (RFC 9110 §7.6, RFC 7239).
 *
 * One table says of each known name what happens to it; one pass copies what stays.
 * Names and values stay borrowed; what is written anew (X-Forwarded-For, Forwarded,
 * Via, traceparent) is put together in one piece of arena memory. This runs for
 * every proxied request and answer, so there is no formatting here. Any thread. */
#include "http/http_priv.h"
#include "http/message.h"

enum rule {
    DROP_REQUEST = 1,
    DROP_ANSWER = 2,
    DROP = DROP_REQUEST | DROP_ANSWER,
    PROTECTED = 4 /* stays although Connection names it: identity, framing, routing, caching */
};
static const uint8_t rules[HTTP_NAMES] = {
    /* hop by hop */
    [HTTP_CONNECTION] = DROP,
    [HTTP_KEEP_ALIVE] = DROP,
    [HTTP_PROXY_CONNECTION] = DROP,
    [HTTP_PROXY_AUTHENTICATE] = DROP,
    [HTTP_PROXY_AUTHORIZATION] = DROP,
    [HTTP_TE] = DROP,
    [HTTP_TRAILER] = DROP,
    [HTTP_TRANSFER_ENCODING] = DROP,
    [HTTP_UPGRADE] = DROP,
    [HTTP_HTTP2_SETTINGS] = DROP,
    /* of a request: written by the client room, met here, or written anew below */
    [HTTP_HOST] = DROP_REQUEST | PROTECTED,
    [HTTP_CONTENT_LENGTH] = DROP_REQUEST | PROTECTED,
    [HTTP_EXPECT] = DROP_REQUEST,
    [HTTP_X_ORIGINAL_URL] = DROP_REQUEST,
    [HTTP_X_REWRITE_URL] = DROP_REQUEST,
    [HTTP_X_FORWARDED_FOR] = DROP_REQUEST | PROTECTED,
    [HTTP_X_FORWARDED_HOST] = DROP_REQUEST | PROTECTED,
    [HTTP_X_FORWARDED_PROTO] = DROP_REQUEST | PROTECTED,
    [HTTP_FORWARDED] = DROP_REQUEST | PROTECTED,
    [HTTP_TRACEPARENT] = DROP_REQUEST | PROTECTED,
    /* the gateway's own in both directions */
    [HTTP_VIA] = DROP | PROTECTED,
    [HTTP_X_REQUEST_ID] = DROP | PROTECTED,
    [HTTP_X_GATEWAY_EXPLAIN] = DROP,
    [HTTP_X_RATELIMIT_LIMIT] = DROP,
    [HTTP_X_RATELIMIT_REMAINING] = DROP,
    [HTTP_X_RATELIMIT_RESET] = DROP,
    /* the gateway's own in answers */
    [HTTP_RATELIMIT] = DROP_ANSWER,
    [HTTP_RATELIMIT_POLICY] = DROP_ANSWER,
    [HTTP_X_CACHE_STATUS] = DROP_ANSWER,
    /* meant for the end of the chain, whatever Connection says */
    [HTTP_AGE] = PROTECTED,
    [HTTP_AUTHORIZATION] = PROTECTED,
    [HTTP_CLIENT_CERT] = PROTECTED,
    [HTTP_CACHE_CONTROL] = PROTECTED,
    [HTTP_CDN_CACHE_CONTROL] = PROTECTED,
    [HTTP_CONTENT_ENCODING] = PROTECTED,
    [HTTP_CONTENT_LANGUAGE] = PROTECTED,
    [HTTP_CONTENT_LOCATION] = PROTECTED,
    [HTTP_CONTENT_RANGE] = PROTECTED,
    [HTTP_CONTENT_TYPE] = PROTECTED,
    [HTTP_COOKIE] = PROTECTED,
    [HTTP_DATE] = PROTECTED,
    [HTTP_ETAG] = PROTECTED,
    [HTTP_EXPIRES] = PROTECTED,
    [HTTP_IDEMPOTENCY_KEY] = PROTECTED,
    [HTTP_IF_MATCH] = PROTECTED,
    [HTTP_IF_MODIFIED_SINCE] = PROTECTED,
    [HTTP_IF_NONE_MATCH] = PROTECTED,
    [HTTP_IF_RANGE] = PROTECTED,
    [HTTP_IF_UNMODIFIED_SINCE] = PROTECTED,
    [HTTP_LAST_MODIFIED] = PROTECTED,
    [HTTP_LOCATION] = PROTECTED,
    [HTTP_ORIGIN] = PROTECTED,
    [HTTP_PRAGMA] = PROTECTED,
    [HTTP_RANGE] = PROTECTED,
    [HTTP_REFERER] = PROTECTED,
    [HTTP_RETRY_AFTER] = PROTECTED,
    [HTTP_SEC_FETCH_SITE] = PROTECTED,
    [HTTP_SET_COOKIE] = PROTECTED,
    [HTTP_TRACESTATE] = PROTECTED,
    [HTTP_VARY] = PROTECTED,
    [HTTP_WWW_AUTHENTICATE] = PROTECTED,
    [HTTP_X_API_KEY] = PROTECTED,
};

/* ---- what Connection names ---- */

#define LISTED_MAX 16

struct listed {
    bool is_any;
    bool ids[HTTP_NAMES];
    struct str others[LISTED_MAX];
    uint32_t count;
};

static void list_name(struct listed *listed, struct str name)
{
    enum http_name id = http_name_of(name);

    if (id != HTTP_OTHER) {
        listed->ids[id] = (rules[id] & PROTECTED) == 0;
    } else if (!str_ieq(name, STR("close"))) {
        if (listed->count < LISTED_MAX)
            listed->others[listed->count] = name;
        listed->count++;
    }
}

static void read_connection(const struct http_fields *in, struct listed *listed)
{
    listed->is_any = false;
    for (uint32_t i = 0; i < in->count; i++) {
        struct str rest = in->at[i].value, name;

        if (in->at[i].id != HTTP_CONNECTION || str_ieq(rest, STR("keep-alive")) ||
            str_ieq(rest, STR("close")))
            continue;
        if (!listed->is_any)
            *listed = (struct listed){.is_any = true};
        while (http_list_next(&rest, &name))
            list_name(listed, name);
    }
}

/* A list of more names than we keep is no honest list: all fields without an id go, which is
 * safe and takes bounded time. */
static bool is_listed(const struct listed *listed, const struct http_field *field)
{
    if (!listed->is_any)
        return false;
    if (field->id != HTTP_OTHER)
        return listed->ids[field->id];
    if (listed->count > LISTED_MAX)
        return true;
    for (uint32_t i = 0; i < listed->count; i++)
        if (str_ieq(listed->others[i], field->name))
            return true;
    return false;
}

/* ---- fields without an id ---- */

/* "Proxy" becomes HTTP_PROXY in CGI programs, which then trust it; the method overrides would
 * make an upstream act on another method than the one that was routed and cached. */
static bool is_unwanted_request_name(struct str name, bool is_trusted)
{
    switch (name.len > 4 ? ascii_lower(name.ptr[0]) : '\0') {
    case 'p':
        return http_starts_folded(name, STR("Proxy-")) || str_ieq(name, STR("Proxy"));
    case 'x':
        return http_starts_folded(name, STR("X-RateLimit-")) ||
               (!is_trusted && http_starts_folded(name, STR("X-Forwarded-"))) ||
               str_ieq(name, STR("X-HTTP-Method-Override")) ||
               str_ieq(name, STR("X-HTTP-Method")) || str_ieq(name, STR("X-Method-Override"));
    default:
        return false;
    }
}

static bool is_unwanted_answer_name(struct str name)
{
    return http_starts_folded(name, STR("X-RateLimit-")) ||
           http_starts_folded(name, STR("RateLimit-"));
}

/* ---- what is written anew ---- */

static char *put(char *end, struct str s)
{
    if (s.len > 0)
        memcpy(end, s.ptr, s.len);
    return end + s.len;
}

/* A text address, or "unknown" for a unix socket's peer (RFC 7239 §6.2). */
static struct str node_of(struct str address)
{
    bool has_marks = str_find(address, ':') < address.len || str_find(address, '.') < address.len;

    return has_marks && http_bytes_are(address, HTTP_BYTE_ADDRESS) ? address : STR("unknown");
}

static char *put_for(char *end, struct str address)
{
    struct str node = node_of(address);

    end = put(end, STR("for="));
    if (str_find(node, ':') == node.len)
        return put(end, node);
    return put(put(put(end, STR("\"[")), node), STR("]\""));
}

/* Would what is appended to this list be read as a new member? */
static bool is_closed(struct str list)
{
    bool is_quoted = false;

    for (size_t i = 0; i < list.len; i++) {
        if (list.ptr[i] == '"')
            is_quoted = !is_quoted;
        else if (is_quoted && list.ptr[i] == '\\')
            i++;
    }
    return !is_quoted;
}

/* What came with the request and is continued, not copied. */
struct chain {
    struct str forwarded_for, forwarded, via; /* joined; empty: start anew */
    struct str client;                        /* named first in a new list behind a trusted peer */
    struct str proto, host;
};

static bool read_chain(const struct http_fields *in, const struct http_peer *peer,
                       struct arena *arena, struct chain *chain)
{
    static const enum http_name names[] = {HTTP_VIA, HTTP_X_FORWARDED_FOR, HTTP_FORWARDED};
    struct str *const values[] = {&chain->via, &chain->forwarded_for, &chain->forwarded};
    struct str told, first;

    *chain = (struct chain){.proto = peer->is_tls ? STR("https") : STR("http"), .host = peer->host};
    for (size_t i = 0; i < (peer->is_trusted ? COUNT_OF(names) : 1); i++) {
        *values[i] = http_fields_joined(in, arena, names[i]);
        if (values[i]->ptr == NULL && http_fields_count_of(in, names[i]) > 0)
            return false;
    }
    if (!peer->is_trusted)
        return true;
    if (!is_closed(chain->forwarded))
        chain->forwarded = STR_NONE;
    if (!str_eq(peer->address, peer->socket))
        chain->client = peer->address;
    told = http_fields_get(in, HTTP_X_FORWARDED_PROTO);
    if (http_list_next(&told, &first) && http_is_token(first))
        chain->proto = first; /* the client's own; later members are the proxies' */
    told = http_fields_get(in, HTTP_X_FORWARDED_HOST);
    if (told.len > 0)
        chain->host = told;
    return true;
}

static char *put_forwarded_for(char *end, const struct chain *chain, const struct http_peer *peer)
{
    struct str before = chain->forwarded_for;

    if (before.len == 0 && chain->client.len > 0)
        before = node_of(chain->client);
    if (before.len > 0)
        end = put(put(end, before), STR(", "));
    return put(end, node_of(peer->socket));
}

/* Our own element: for, host and proto of the connection that we accepted. */
static char *put_forwarded(char *end, const struct chain *chain, const struct http_peer *peer)
{
    if (chain->forwarded.len > 0)
        end = put(put(end, chain->forwarded), STR(", "));
    else if (chain->client.len > 0)
        end = put(put_for(end, chain->client), STR(", "));
    end = put_for(end, peer->socket);
    if (http_is_token(peer->host))
        end = put(put(end, STR(";host=")), peer->host);
    else if (peer->host.len > 0 && http_bytes_are(peer->host, HTTP_BYTE_TARGET))
        end = put(put(put(end, STR(";host=\"")), peer->host), STR("\""));
    return put(end, peer->is_tls ? STR(";proto=https") : STR(";proto=http"));
}

static char *put_traceparent(char *end)
{
    uint64_t high = random_u64(), low = random_u64(), span = random_u64();

    end = hex_write(hex_write(put(end, STR("00-")), high, 16), low | (low == 0), 16);
    end = hex_write(put(end, STR("-")), span | (span == 0), 16);
    return put(end, STR("-00")); /* not sampled: where traces are on, the caller says which */
}

static char *put_via(char *end, struct str before, enum http_version version)
{
    if (before.len > 0)
        end = put(put(end, before), STR(", "));
    return put(end, version == HTTP_1_0 ? STR("1.0 gateway") : STR("1.1 gateway"));
}

/* The one valid traceparent of the request, or STR_NONE. */
static struct str passed_traceparent(const struct http_fields *in)
{
    struct str value = http_fields_get(in, HTTP_TRACEPARENT);

    if (!http_traceparent_is_valid(value) || http_fields_count_of(in, HTTP_TRACEPARENT) != 1)
        return STR_NONE;
    return value;
}

#define FIXED_BYTES 256 /* of all literals, the traceparent and quotes below: at most 210 */

/* The bytes from *start to `end`; what is written next starts behind them. */
static struct str cut(char **start, char *end)
{
    struct str text = str_at(*start, (size_t)(end - *start));

    *start = end;
    return text;
}

static bool add_own(const struct chain *chain, const struct http_peer *peer,
                    enum http_version version, struct str traceparent, struct http_fields *out)
{
    struct str forwarded_for, forwarded, via;
    size_t room = FIXED_BYTES + chain->forwarded_for.len + chain->forwarded.len + chain->via.len +
                  2 * chain->client.len + 2 * peer->socket.len + peer->host.len;
    char *at = arena_take(out->arena, room);

    if (at == NULL)
        return false;
    forwarded_for = cut(&at, put_forwarded_for(at, chain, peer));
    forwarded = cut(&at, put_forwarded(at, chain, peer));
    via = cut(&at, put_via(at, chain->via, version));
    if (traceparent.len == 0)
        traceparent = cut(&at, put_traceparent(at));
    return http_fields_add_id(out, HTTP_X_FORWARDED_FOR, forwarded_for) &&
           http_fields_add_id(out, HTTP_X_FORWARDED_PROTO, chain->proto) &&
           (chain->host.len == 0 || http_fields_add_id(out, HTTP_X_FORWARDED_HOST, chain->host)) &&
           http_fields_add_id(out, HTTP_FORWARDED, forwarded) &&
           http_fields_add_id(out, HTTP_VIA, via) &&
           http_fields_add_id(out, HTTP_TRACEPARENT, traceparent);
}

/* ---- the two directions ---- */

bool http_forward_request(const struct http_fields *in, const struct http_peer *peer,
                          struct str request_id, enum http_version version, struct arena *arena,
                          struct http_fields *out)
{
    struct str traceparent = passed_traceparent(in);
    struct listed listed;
    struct chain chain;

    read_connection(in, &listed);
    if (!http_fields_init(out, arena, in->count + 8) || !read_chain(in, peer, arena, &chain))
        return false;
    for (uint32_t i = 0; i < in->count; i++) {
        const struct http_field *field = &in->at[i];

        if ((rules[field->id] & DROP_REQUEST) != 0 || is_listed(&listed, field))
            continue;
        if (field->id == HTTP_OTHER && is_unwanted_request_name(field->name, peer->is_trusted))
            continue;
        if (field->id == HTTP_TRACESTATE && traceparent.len == 0)
            continue; /* means nothing without its traceparent (W3C Trace Context §3.3) */
        out->at[out->count++] = *field; /* there is room for all of them */
    }
    if (peer->traceparent.len > 0)
        traceparent = peer->traceparent;
    return add_own(&chain, peer, version, traceparent, out) &&
           http_fields_add_id(out, HTTP_X_REQUEST_ID, request_id);
}

bool http_forward_answer(const struct http_fields *in, struct arena *arena, struct http_fields *out)
{
    struct str via = STR("1.1 gateway");
    struct listed listed;
    bool has_via = false;

    read_connection(in, &listed);
    if (!http_fields_init(out, arena, in->count + 4))
        return false;
    for (uint32_t i = 0; i < in->count; i++) {
        const struct http_field *field = &in->at[i];

        has_via |= field->id == HTTP_VIA;
        if ((rules[field->id] & DROP_ANSWER) != 0 || is_listed(&listed, field))
            continue;
        if (field->id == HTTP_OTHER && is_unwanted_answer_name(field->name))
            continue;
        out->at[out->count++] = *field;
    }
    if (has_via) {
        struct str before = http_fields_joined(in, arena, HTTP_VIA);
        char *start = arena_take(arena, before.len + 2 + via.len);

        if (before.ptr == NULL || start == NULL)
            return false;
        via = str_at(start, (size_t)(put_via(start, before, HTTP_1_1) - start));
    }
    return http_fields_add_id(out, HTTP_VIA, via);
}
