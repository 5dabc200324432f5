/* check.c - is this request one that every server would read the same way?
 *
 * libmicrohttpd lets much pass that a proxy must not: two lengths, a length beside
 * chunks, names that are no tokens, targets of any bytes. What this file calls sound
 * has one reading, so that no upstream can be made to see another request than the
 * one that was limited, identified and logged (RFC 9112 §11.2). Pure and without
 * allocation; any thread. */
#include "http/http_priv.h"
#include "http/message.h"

#define METHOD_MAX_BYTES 32

/* ---- the request line ---- */

static enum http_refusal check_method(struct str method)
{
    if (method.len > METHOD_MAX_BYTES || !http_is_token(method))
        return HTTP_BAD_METHOD;
    if (str_eq(method, STR("CONNECT")))
        return HTTP_CONNECT_REFUSED;
    if (str_eq(method, STR("TRACE")))
        return HTTP_TRACE_REFUSED;
    return HTTP_SOUND;
}

static bool parse_version(struct str text, enum http_version *version)
{
    *version = HTTP_1_1;
    if (text.len != 8 || memcmp(text.ptr, "HTTP/1.", 7) != 0)
        return false;
    if (text.ptr[7] == '0')
        *version = HTTP_1_0;
    return text.ptr[7] == '0' || text.ptr[7] == '1';
}

static enum http_refusal check_target_bytes(struct str target)
{
    if (target.len == 0)
        return HTTP_BAD_TARGET;
    for (size_t i = 0; i < target.len; i++) {
        if (!http_byte_is(target.ptr[i], HTTP_BYTE_TARGET))
            return HTTP_BAD_TARGET;
        if (target.ptr[i] == '%' && (target.len - i < 3 || ascii_hex_value(target.ptr[i + 1]) < 0 ||
                                     ascii_hex_value(target.ptr[i + 2]) < 0))
            return HTTP_BAD_ESCAPE;
    }
    return HTTP_SOUND;
}

/* What an absolute-form target says of the host; all zero for the other forms. */
struct absolute_form {
    struct str authority, host;
    uint16_t port, default_port;
};

/* An empty path means "/", and "*" for OPTIONS (RFC 9112 §3.2.4). "http://host?query" would
 * need a "/" in the middle of borrowed bytes; clients must send it (§3.2.1) and do. */
static enum http_refusal split_absolute(struct str method, struct str target,
                                        struct absolute_form *absolute, struct str *origin_form)
{
    struct str rest;
    size_t end = 0;

    if (http_starts_folded(target, STR("http://"))) {
        rest = str_from(target, 7);
        absolute->default_port = 80;
    } else if (http_starts_folded(target, STR("https://"))) {
        rest = str_from(target, 8);
        absolute->default_port = 443;
    } else {
        return HTTP_BAD_TARGET;
    }
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    absolute->authority = str_at(rest.ptr, end);
    if (!http_parse_authority(absolute->authority, &absolute->host, &absolute->port))
        return HTTP_BAD_TARGET;
    if (end == rest.len)
        *origin_form = str_eq(method, STR("OPTIONS")) ? STR("*") : STR("/");
    else if (rest.ptr[end] == '/')
        *origin_form = str_from(rest, end);
    else
        return HTTP_BAD_TARGET;
    return HTTP_SOUND;
}

static enum http_refusal check_target(const struct http_request_head *head, size_t max_bytes,
                                      struct absolute_form *absolute, struct str *origin_form)
{
    struct str target = head->target;
    enum http_refusal refusal;

    if (target.len > max_bytes)
        return HTTP_URI_TOO_LONG;
    refusal = check_target_bytes(target);
    if (refusal != HTTP_SOUND)
        return refusal;
    *origin_form = target;
    if (target.ptr[0] == '/')
        return HTTP_SOUND;
    if (target.len == 1 && target.ptr[0] == '*')
        return str_eq(head->method, STR("OPTIONS")) ? HTTP_SOUND : HTTP_BAD_TARGET;
    return split_absolute(head->method, target, absolute, origin_form);
}

/* ---- the fields ---- */

/* Names whose look-alikes are dangerous: some servers read '_' and other marks as '-' (CGI and
 * WSGI do), so that a look-alike would be framing, routing or identity behind us. */
static bool is_worth_faking(enum http_name id)
{
    switch ((int)id) {
    case HTTP_CONTENT_LENGTH:
    case HTTP_TRANSFER_ENCODING:
    case HTTP_TE:
    case HTTP_TRAILER:
    case HTTP_CONNECTION:
    case HTTP_UPGRADE:
    case HTTP_EXPECT:
    case HTTP_HOST:
    case HTTP_AUTHORIZATION:
    case HTTP_PROXY_AUTHORIZATION:
    case HTTP_PROXY_CONNECTION:
    case HTTP_KEEP_ALIVE:
    case HTTP_HTTP2_SETTINGS:
    case HTTP_COOKIE:
    case HTTP_FORWARDED:
    case HTTP_X_API_KEY:
    case HTTP_CLIENT_CERT:
    case HTTP_CLIENT_CERT_CHAIN:
    case HTTP_X_FORWARDED_FOR:
    case HTTP_X_FORWARDED_HOST:
    case HTTP_X_FORWARDED_PROTO:
    case HTTP_X_ORIGINAL_URL:
    case HTTP_X_REWRITE_URL:
    case HTTP_X_REQUEST_ID:
    case HTTP_X_RATELIMIT_LIMIT:
    case HTTP_X_RATELIMIT_REMAINING:
    case HTTP_X_RATELIMIT_RESET:
        return true;
    default:
        return false;
    }
}

/* Content_Length and its like, and Content-Length-X: anything that a careless reader
 * would take for framing or identity. */
static bool is_look_alike(struct str name, bool has_odd_byte)
{
    char plain[64];

    if (http_starts_folded(name, STR("Content-Length")) ||
        http_starts_folded(name, STR("Transfer-Encoding")))
        return true;
    if (!has_odd_byte || name.len > sizeof(plain))
        return false;
    for (size_t i = 0; i < name.len; i++)
        plain[i] = http_byte_is(name.ptr[i], HTTP_BYTE_ODD) ? '-' : name.ptr[i];
    if (is_worth_faking(http_name_of(str_at(plain, name.len))))
        return true;
    return is_look_alike(str_at(plain, name.len), false);
}

/* A name with an id is spelled like a known one and needs no look at its bytes. */
static enum http_refusal check_unknown_name(struct str name)
{
    bool has_odd_byte = false;

    if (name.len == 0)
        return HTTP_BAD_HEADER_NAME;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t classes = http_byte_classes[(unsigned char)name.ptr[i]];

        if ((classes & HTTP_BYTE_TOKEN) == 0)
            return HTTP_BAD_HEADER_NAME;
        has_odd_byte |= (classes & HTTP_BYTE_ODD) != 0;
    }
    return is_look_alike(name, has_odd_byte) ? HTTP_SUSPICIOUS_HEADER : HTTP_SOUND;
}

/* The fields that decide how the request is read, each with its number of lines. */
struct deciding {
    struct str content_length, transfer_encoding, host;
    uint32_t content_lengths, transfer_encodings, hosts;
    bool has_expect, has_bad_expect;
};

static void note_field(struct deciding *found, const struct http_field *field)
{
    switch ((int)field->id) {
    case HTTP_CONTENT_LENGTH:
        found->content_length = field->value;
        found->content_lengths++;
        break;
    case HTTP_TRANSFER_ENCODING:
        found->transfer_encoding = field->value;
        found->transfer_encodings++;
        break;
    case HTTP_HOST:
        found->host = field->value;
        found->hosts++;
        break;
    case HTTP_EXPECT:
        found->has_expect = true;
        found->has_bad_expect |= !str_ieq(field->value, STR("100-continue"));
        break;
    default:
        break;
    }
}

static enum http_refusal check_fields(const struct http_fields *fields,
                                      const struct http_limits *limits, struct deciding *found)
{
    size_t bytes = 0;

    if (fields->count > limits->max_headers)
        return HTTP_TOO_MANY_HEADERS;
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];

        bytes += field->name.len + field->value.len + sizeof(": \r\n") - 1;
        if (bytes > limits->max_header_bytes)
            return HTTP_HEADERS_TOO_LARGE;
        if (field->id == HTTP_OTHER) {
            enum http_refusal refusal = check_unknown_name(field->name);

            if (refusal != HTTP_SOUND)
                return refusal;
        }
        if (!http_is_field_value(field->value))
            return HTTP_BAD_HEADER_VALUE;
        note_field(found, field);
    }
    return HTTP_SOUND;
}

/* ---- what the fields decide ---- */

static enum http_refusal check_host(const struct deciding *found,
                                    const struct absolute_form *absolute,
                                    struct http_request_facts *facts)
{
    bool is_absolute = absolute->authority.len > 0;
    uint16_t port, ours;

    if (found->hosts > 1 || (found->hosts == 0 && facts->version == HTTP_1_1))
        return HTTP_BAD_HOST;
    if (found->hosts == 1) {
        facts->authority = found->host;
        if (!http_parse_authority(found->host, &facts->host, &facts->port))
            return HTTP_BAD_HOST;
    }
    if (!is_absolute)
        return HTTP_SOUND;
    port = facts->port != 0 ? facts->port : absolute->default_port;
    ours = absolute->port != 0 ? absolute->port : absolute->default_port;
    if (found->hosts == 1 && (port != ours || !str_ieq(facts->host, absolute->host)))
        return HTTP_AUTHORITY_MISMATCH;
    facts->authority = absolute->authority;
    facts->host = absolute->host;
    facts->port = absolute->port;
    return HTTP_SOUND;
}

/* Digits only; INT64_MAX at most, because a length is an off_t to those behind us. */
static enum http_refusal parse_length(struct str text, uint64_t *length)
{
    if (text.len == 0)
        return HTTP_BAD_CL;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ',')
            return HTTP_MULTI_CL;
        if (!ascii_is_digit(text.ptr[i]))
            return HTTP_BAD_CL;
    }
    if (!str_to_u64(text, length) || *length > INT64_MAX)
        return HTTP_CL_TOO_LARGE;
    return HTTP_SOUND;
}

static enum http_refusal check_framing(struct str method, const struct deciding *found,
                                       struct http_request_facts *facts)
{
    enum http_refusal refusal;

    if (found->content_lengths > 1)
        return HTTP_MULTI_CL;
    if (found->transfer_encodings > 1)
        return HTTP_MULTI_TE;
    if (found->content_lengths == 1 && found->transfer_encodings == 1)
        return HTTP_TE_AND_CL;
    if (found->transfer_encodings == 1) {
        if (facts->version == HTTP_1_0)
            return HTTP_TE_HTTP10;
        if (!str_ieq(found->transfer_encoding, STR("chunked")))
            return HTTP_BAD_TE;
        facts->is_chunked = facts->has_body = true;
    }
    if (found->content_lengths == 1) {
        refusal = parse_length(found->content_length, &facts->content_length);
        if (refusal != HTTP_SOUND)
            return refusal;
        facts->has_body = facts->content_length > 0;
    }
    if (facts->has_body && facts->version == HTTP_1_0 &&
        (str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) ||
         str_eq(method, STR("DELETE"))))
        return HTTP_BODY_ON_HTTP10_GET;
    return HTTP_SOUND;
}

/* RFC 9112 §9.3: close wins; HTTP/1.0 must ask to be kept. */
static bool is_kept_alive(const struct http_fields *fields, enum http_version version)
{
    bool asks_keep = false;

    for (uint32_t i = 0; i < fields->count; i++) {
        struct str rest = fields->at[i].value, member;

        if (fields->at[i].id != HTTP_CONNECTION)
            continue;
        while (http_list_next(&rest, &member)) {
            if (str_ieq(member, STR("close")))
                return false;
            asks_keep |= str_ieq(member, STR("keep-alive"));
        }
    }
    return asks_keep || version == HTTP_1_1;
}

static enum http_refusal check_all(const struct http_request_head *head,
                                   const struct http_limits *limits,
                                   struct http_request_facts *facts)
{
    struct absolute_form absolute = {.port = 0};
    struct deciding found = {.hosts = 0};
    enum http_refusal refusal = check_method(head->method);

    if (refusal == HTTP_SOUND)
        refusal = check_target(head, limits->max_uri_bytes, &absolute, &facts->origin_form);
    if (refusal == HTTP_SOUND)
        refusal = check_fields(&head->fields, limits, &found);
    if (refusal == HTTP_SOUND)
        refusal = check_host(&found, &absolute, facts);
    if (refusal == HTTP_SOUND)
        refusal = check_framing(head->method, &found, facts);
    if (refusal == HTTP_SOUND && facts->version == HTTP_1_1 && found.has_expect) {
        if (found.has_bad_expect)
            return HTTP_BAD_EXPECT;
        facts->expects_continue = facts->has_body;
    }
    return refusal;
}

enum http_refusal http_check_request(const struct http_request_head *head,
                                     const struct http_limits *limits,
                                     struct http_request_facts *facts)
{
    struct http_request_facts draft = {.host = STR_NONE};
    bool is_known = parse_version(head->version, &draft.version);
    enum http_refusal refusal;

    facts->version = draft.version;
    facts->keep_alive = draft.keep_alive = is_known && is_kept_alive(&head->fields, draft.version);
    if (!is_known)
        return HTTP_BAD_VERSION;
    refusal = check_all(head, limits, &draft);
    if (refusal == HTTP_SOUND)
        *facts = draft;
    return refusal;
}
