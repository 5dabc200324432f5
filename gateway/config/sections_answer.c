/* sections_answer.c - what a route does besides passing a request to its upstream.
 *
 * Rows as in sections_server.c: header fields set, added and removed, CORS, a service
 * that is asked first, a second upstream that gets a copy, upstreams by weight, and
 * answers without an upstream. Fields that frame a message, or that the gateway itself
 * vouches for, are not for a configuration to write.
 *
 * Constant tables. */
#include "config/sections_priv.h"

#define R struct route_config

/* ---- headers ---- */

static bool is_among(struct str name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_ieq(name, str_of(names[i])))
            return true;
    return false;
}

/* Of the connection, or of the message's frame. */
static bool is_of_the_frame(struct str name)
{
    static const char *const names[] = {
        "Connection", "Content-Length", "Content-Encoding", "Content-Range",
        "Expect",     "Keep-Alive",     "Proxy-Connection", "TE",
        "Trailer",    "Upgrade",        "Transfer-Encoding"};

    return is_among(name, names, COUNT_OF(names));
}

static bool starts_folded(struct str text, struct str prefix)
{
    return text.len >= prefix.len && str_ieq(str_at(text.ptr, prefix.len), prefix);
}

static bool may_change_in_request(struct str name)
{
    static const char *const names[] = {
        "Host",          "Forwarded",      "Via",           "X-Request-Id",     "Range", "If-Range",
        "If-None-Match", "X-Original-URL", "X-Rewrite-URL", "If-Modified-Since"};

    return is_token(name) && !is_of_the_frame(name) && !is_among(name, names, COUNT_OF(names)) &&
           !starts_folded(name, STR("X-Forwarded-")) && !starts_folded(name, STR("X-RateLimit-"));
}

static bool may_change_in_answer(struct str name)
{
    static const char *const names[] = {"Age",          "Cache-Status", "Content-Type",
                                        "Date",         "Via",          "X-Cache-Status",
                                        "X-Request-Id", "Retry-After",  "WWW-Authenticate"};

    return is_token(name) && !is_of_the_frame(name) && !is_among(name, names, COUNT_OF(names)) &&
           !starts_folded(name, STR("X-RateLimit-")) && !starts_folded(name, STR("RateLimit"));
}

static bool may_be_said(struct str name)
{
    static const char *const more[] = {"Content-Type", "WWW-Authenticate", "Retry-After"};

    return may_change_in_answer(name) || is_among(name, more, COUNT_OF(more));
}

static const struct text_rule request_name_rule = {
    "a header name, but none that frames a request or that the gateway writes (Host, "
    "X-Forwarded-*, Via, X-Request-Id …)",
    may_change_in_request};
static const struct text_rule answer_name_rule = {
    "a header name, but none that frames an answer or that the gateway writes (Content-*, Age, "
    "Via, X-RateLimit-* …)",
    may_change_in_answer};
static const struct text_rule own_name_rule = {
    "a header name, but none that frames an answer or that the gateway writes", may_be_said};

bool edits_are_set(const struct header_edits *edits)
{
    return edits->set.count + edits->add.count + edits->remove.count > 0;
}

static bool request_headers_are_set(const void *base)
{
    return edits_are_set(&((const R *)base)->headers.request);
}

static bool answer_headers_are_set(const void *base)
{
    return edits_are_set(&((const R *)base)->headers.response);
}

static bool headers_are_set(const void *base)
{
    return request_headers_are_set(base) || answer_headers_are_set(base);
}

/* NOLINTBEGIN(bugprone-macro-parentheses): a member's name stands where it cannot have any */
#define EDIT_FIELDS(rule, member)                                                                  \
    FIELD_WITH(rule, "set", kind_pairs, R, member.set, NULL, 0, 0,                                 \
               "fields that replace others of their name"),                                        \
        FIELD_WITH(rule, "add", kind_pairs, R, member.add, NULL, 0, 0,                             \
                   "fields that stand beside others of their name"),                               \
        FIELD_WITH(rule, "remove", kind_texts, R, member.remove, "", 0, 0,                         \
                   "names of fields that go no further")
/* NOLINTEND(bugprone-macro-parentheses) */
static const struct field request_header_fields[] = {
    EDIT_FIELDS(request_name_rule, headers.request)};
static const struct field answer_header_fields[] = {
    EDIT_FIELDS(answer_name_rule, headers.response)};
static const struct section request_headers = {SECTION(request_header_fields, 0),
                                               .is_set = request_headers_are_set};
static const struct section answer_headers = {SECTION(answer_header_fields, 0),
                                              .is_set = answer_headers_are_set};
static const struct field headers_fields[] = {
    FIELD_NESTED("request", request_headers, "of what is sent upstream"),
    FIELD_NESTED("response", answer_headers,
                 "of every answer of this route, after the cache: entries stay the origin's"),
};
const struct section headers_section = {SECTION(headers_fields, 0), .is_set = headers_are_set};

/* ---- cors ---- */

static bool is_origin(struct str text)
{
    struct str rest;

    if (str_eq(text, STR("*")) || str_eq(text, STR("null")))
        return true;
    if (!str_starts(text, STR("http://")) && !str_starts(text, STR("https://")) &&
        !str_has(text, STR("://")))
        return false;
    rest = str_from(text, str_find(text, ':') + 3);
    return rest.len > 0 && str_find(rest, '/') == rest.len && str_find(rest, ' ') == rest.len;
}

static bool is_any_method(struct str text)
{
    return is_token(text);
}

static const struct text_rule origin_rule = {
    "\"*\" or an origin such as \"https://app.example.com\" or \"https://*.example.com\"",
    is_origin};
static const struct text_rule cors_token_rule = {"a name of letters, digits and -", is_any_method};

static const struct field cors_fields[] = {
    FIELD_WITH(origin_rule, "origins", kind_texts, R, cors.origins, "", 0, 0,
               "whose pages may read answers: origins, with * for any part, or *"),
    FIELD_WITH(cors_token_rule, "methods", kind_texts, R, cors.methods, "", 0, 0,
               "they may use; empty: those of the route"),
    FIELD_WITH(cors_token_rule, "headers", kind_texts, R, cors.headers, "", 0, 0,
               "they may send; empty: those that they ask for"),
    FIELD("credentials", kind_bool, R, cors.credentials, "false", 0, 0,
          "true: with cookies and Authorization; not with the origin *"),
    FIELD("max_age", kind_duration, R, cors.max_age_ms, "10m", 0, DAYS(1),
          "how long a browser remembers"),
};

static void cors_finish(struct reader *reader, const struct node *node, void *base)
{
    R *route = base;

    for (uint32_t i = 0; i < route->cors.origins.count; i++)
        if (route->cors.credentials && str_eq(route->cors.origins.at[i], STR("*")))
            reader_fault_in(reader, node, "credentials",
                            "is true with the origin *, expected origins by name: any page could "
                            "act for whoever looks at it");
}

static bool cors_is_set(const void *base)
{
    return ((const R *)base)->cors.origins.count > 0;
}

const struct section cors_section = {SECTION(cors_fields, 0), .finish = cors_finish,
                                     .is_set = cors_is_set};

/* ---- split, authorize, mirror ---- */

static const struct field split_fields[] = {
    {.name = "upstream",
     .kind = &kind_reference,
     .is_required = true,
     .offset = offsetof(struct split_config, upstream),
     .width = sizeof(void *),
     .about = "a name of upstreams"},
    FIELD("weight", kind_count, struct split_config, weight, "1", 0, 1000000,
          "share of the requests, against the others"),
};
static const struct section split_section = {SECTION(split_fields, sizeof(struct split_config))};
const struct collection split_list = {.section = &split_section,
                                      .count_offset = offsetof(R, split_count),
                                      .name_offset = offsetof(struct split_config, name)};

static const struct field authorize_fields[] = {
    FIELD("url", kind_service, R, authorize.service, "", 0, 0,
          "asked with GET before the request goes on: 2xx lets it, 401 and 403 are the answer"),
    FIELD("timeout", kind_duration, R, authorize.timeout_ms, "500ms", 1, MINUTES(1),
          "later, or any other answer: 503"),
    FIELD_WITH(
        cors_token_rule, "forward", kind_texts, R, authorize.forward, "", 0, 0,
        "header fields that it is told beside Authorization and Cookie, and those of its yes that "
        "take the client's place upstream"),
};

static bool authorize_is_set(const void *base)
{
    return ((const R *)base)->authorize.service.url.len > 0;
}

const struct section authorize_section = {SECTION(authorize_fields, 0), .is_set = authorize_is_set};

static const struct field mirror_fields[] = {
    FIELD("upstream", kind_reference, R, mirror.upstream, "", 0, 0,
          "gets copies of requests; what it answers is thrown away"),
    FIELD("share", kind_share, R, mirror.share, "0", 0, 1,
          "of the requests that go upstream; bodies over 64KiB are not copied"),
};

static bool mirror_is_set(const void *base)
{
    return ((const R *)base)->mirror.upstream != NULL;
}

const struct section mirror_section = {SECTION(mirror_fields, 0), .is_set = mirror_is_set};

/* ---- instead of an upstream ---- */

static bool is_short_text(struct str text)
{
    return text.len <= 16384;
}

static const struct text_rule body_rule = {"text of at most 16 KiB", is_short_text};

static const struct field respond_fields[] = {
    FIELD("status", kind_count, R, respond.status, "200", 200, 599, "of the answer"),
    FIELD_WITH(body_rule, "body", kind_lines, R, respond.body, "", 0, 0,
               "text; {host}, {uri} and the path's {name} are filled in"),
    FIELD_WITH(own_name_rule, "headers", kind_pairs, R, respond.headers, NULL, 0, 0,
               "of the answer; Content-Type is text/plain where none is given"),
};

static void respond_finish(struct reader *reader, const struct node *node, void *base)
{
    (void)reader;
    (void)node;
    ((R *)base)->respond.is_on = true;
}

static bool respond_is_set(const void *base)
{
    return ((const R *)base)->respond.is_on;
}

const struct section respond_section = {SECTION(respond_fields, 0), .finish = respond_finish,
                                        .is_set = respond_is_set};

static bool is_key_prefix(struct str text)
{
    return text.len <= 64;
}

static const struct text_rule job_prefix_rule = {"text of at most 64 bytes", is_key_prefix};
static const struct words job_kinds = {{"progress", "celery", NULL}};
static const struct field job_fields[] = {
    FIELD_WITH(job_kinds, "kind", kind_choice, R, job.kind, "progress", 0, 0,
               "progress: job:{id}:progress; celery: celery-task-meta-{id}; the id is the path's "
               "last {name}"),
    FIELD_WITH(job_prefix_rule, "prefix", kind_text, R, job.prefix, "", 0, 0,
               "what stands before the key, as Celery's global_keyprefix"),
};

static void job_finish(struct reader *reader, const struct node *node, void *base)
{
    (void)reader;
    (void)node;
    ((R *)base)->job.is_on = true;
}

static bool job_is_set(const void *base)
{
    return ((const R *)base)->job.is_on;
}

const struct section job_section = {SECTION(job_fields, 0), .finish = job_finish,
                                    .is_set = job_is_set};

static const struct field redirect_fields[] = {
    FIELD("to", kind_text, R, redirect.to, "", 0, 0,
          "where to: {host}, {uri} (path and query) and the path's {name} are filled in"),
    FIELD("status", kind_count, R, redirect.status, "308", 301, 308, "301, 302, 303, 307 or 308"),
};

static void redirect_finish(struct reader *reader, const struct node *node, void *base)
{
    const R *route = base;

    if (route->redirect.to.len == 0)
        reader_fault_in(reader, node, "to",
                        "is missing, expected a place such as \"https://{host}{uri}\"");
    if (route->redirect.status > 303 && route->redirect.status < 307)
        reader_fault_in(reader, node, "status",
                        "is %" PRIu32 ", expected 301, 302, 303, 307 or 308",
                        route->redirect.status);
}

static bool redirect_is_set(const void *base)
{
    return ((const R *)base)->redirect.to.len > 0;
}

const struct section redirect_section = {SECTION(redirect_fields, 0), .finish = redirect_finish,
                                         .is_set = redirect_is_set};
