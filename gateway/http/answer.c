/* answer.c - is an upstream's answer sound, and what do statuses and methods say?
 *
 * Client libraries repair doubtful framing each in its own way; we refuse it with
 * 502, so that what the cache stores and the client reads is what was meant
 * (RFC 9112 §6.3). Pure; any thread. */
#include "http/http_priv.h"
#include "http/message.h"

/* Reads the answer's framing fields; NULL, or the reason to refuse. */
static const char *check_answer_length(const struct http_fields *fields,
                                       struct http_answer_facts *facts)
{
    uint32_t lengths = http_fields_count_of(fields, HTTP_CONTENT_LENGTH);
    uint32_t codings = http_fields_count_of(fields, HTTP_TRANSFER_ENCODING);

    if (lengths > 0 && codings > 0)
        return "te_and_cl";
    if (lengths > 1)
        return "multi_cl";
    if (codings > 1 ||
        (codings == 1 && !str_ieq(http_fields_get(fields, HTTP_TRANSFER_ENCODING), STR("chunked"))))
        return "bad_te";
    facts->is_chunked = codings == 1;
    if (lengths == 0)
        return NULL;
    if (!str_to_u64(http_fields_get(fields, HTTP_CONTENT_LENGTH), &facts->content_length) ||
        facts->content_length > INT64_MAX)
        return "bad_cl";
    facts->has_length = true;
    return NULL;
}

static const char *check_answer_fields(const struct http_fields *fields,
                                       const struct http_answer_limits *limits)
{
    size_t bytes = 0;

    if (fields->count > limits->max_headers)
        return "too_many_headers";
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];

        bytes += field->name.len + field->value.len + sizeof(": \r\n") - 1;
        if (bytes > limits->max_header_bytes)
            return "headers_too_large";
        if (field->id == HTTP_OTHER && !http_is_token(field->name))
            return "bad_header_name";
        if (!http_is_field_value(field->value))
            return "bad_header_value";
    }
    return NULL;
}

bool http_check_answer(int status, const struct http_fields *fields,
                       const struct http_answer_limits *limits, struct http_answer_facts *facts,
                       const char **reason)
{
    *facts = (struct http_answer_facts){.has_length = false};
    if (status < 200 || status > 999) /* 1xx are no answers, and 101 was not asked for */
        *reason = "bad_status";
    else if ((*reason = check_answer_fields(fields, limits)) == NULL)
        *reason = check_answer_length(fields, facts);
    return *reason == NULL;
}

bool http_answer_has_body(struct str method, int status)
{
    return status >= 200 && status != 204 && status != 304 && !str_eq(method, STR("HEAD"));
}

static bool is_one_of(struct str method, const struct str *methods, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(method, methods[i]))
            return true;
    return false;
}

bool http_method_is_safe(struct str method)
{
    static const struct str safe[] = {
        {"GET", 3},      {"HEAD", 4},   {"OPTIONS", 7}, {"TRACE", 5},
        {"PROPFIND", 8}, {"REPORT", 6}, {"SEARCH", 6},  {"QUERY", 5},
    };
    return is_one_of(method, safe, COUNT_OF(safe));
}

bool http_method_is_idempotent(struct str method)
{
    static const struct str idempotent[] = {
        {"GET", 3}, {"HEAD", 4}, {"OPTIONS", 7}, {"PUT", 3}, {"DELETE", 6},
    };
    return is_one_of(method, idempotent, COUNT_OF(idempotent));
}

/* The IANA registry of status codes. */
static const char *const reasons[512] = {
    [100] = "Continue",
    [101] = "Switching Protocols",
    [102] = "Processing",
    [103] = "Early Hints",
    [200] = "OK",
    [201] = "Created",
    [202] = "Accepted",
    [203] = "Non-Authoritative Information",
    [204] = "No Content",
    [205] = "Reset Content",
    [206] = "Partial Content",
    [207] = "Multi-Status",
    [208] = "Already Reported",
    [226] = "IM Used",
    [300] = "Multiple Choices",
    [301] = "Moved Permanently",
    [302] = "Found",
    [303] = "See Other",
    [304] = "Not Modified",
    [305] = "Use Proxy",
    [307] = "Temporary Redirect",
    [308] = "Permanent Redirect",
    [400] = "Bad Request",
    [401] = "Unauthorized",
    [402] = "Payment Required",
    [403] = "Forbidden",
    [404] = "Not Found",
    [405] = "Method Not Allowed",
    [406] = "Not Acceptable",
    [407] = "Proxy Authentication Required",
    [408] = "Request Timeout",
    [409] = "Conflict",
    [410] = "Gone",
    [411] = "Length Required",
    [412] = "Precondition Failed",
    [413] = "Content Too Large",
    [414] = "URI Too Long",
    [415] = "Unsupported Media Type",
    [416] = "Range Not Satisfiable",
    [417] = "Expectation Failed",
    [421] = "Misdirected Request",
    [422] = "Unprocessable Content",
    [423] = "Locked",
    [424] = "Failed Dependency",
    [425] = "Too Early",
    [426] = "Upgrade Required",
    [428] = "Precondition Required",
    [429] = "Too Many Requests",
    [431] = "Request Header Fields Too Large",
    [451] = "Unavailable For Legal Reasons",
    [500] = "Internal Server Error",
    [501] = "Not Implemented",
    [502] = "Bad Gateway",
    [503] = "Service Unavailable",
    [504] = "Gateway Timeout",
    [505] = "HTTP Version Not Supported",
    [506] = "Variant Also Negotiates",
    [507] = "Insufficient Storage",
    [508] = "Loop Detected",
    [511] = "Network Authentication Required",
};

const char *http_reason(int status)
{
    if (status < 0 || status >= (int)COUNT_OF(reasons) || reasons[status] == NULL)
        return "Unknown";
    return reasons[status];
}
