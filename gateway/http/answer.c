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
#define REASONS(X)                                                                                 \
    X(100, "Continue")                                                                             \
    X(101, "Switching Protocols")                                                                  \
    X(102, "Processing") X(103, "Early Hints") X(200, "OK") X(201, "Created") X(202, "Accepted")   \
        X(203, "Non-Authoritative Information") X(204, "No Content") X(205, "Reset Content") X(    \
            206, "Partial Content") X(207, "Multi-Status") X(208, "Already Reported")              \
            X(226, "IM Used") X(300, "Multiple Choices") X(301, "Moved Permanently") X(            \
                302, "Found") X(303, "See Other") X(304, "Not Modified") X(305, "Use Proxy")       \
                X(307, "Temporary Redirect") X(308, "Permanent Redirect") X(400, "Bad Request") X( \
                    401, "Unauthorized") X(402, "Payment Required") X(403, "Forbidden")            \
                    X(404, "Not Found") X(405, "Method Not Allowed") X(406, "Not Acceptable") X(   \
                        407, "Proxy Authentication Required") X(408, "Request Timeout")            \
                        X(409, "Conflict") X(410, "Gone") X(411, "Length Required") X(             \
                            412, "Precondition Failed") X(413, "Content Too Large")                \
                            X(414, "URI Too Long") X(415, "Unsupported Media Type") X(             \
                                416, "Range Not Satisfiable") X(417, "Expectation Failed")         \
                                X(421, "Misdirected Request") X(422, "Unprocessable Content") X(   \
                                    423, "Locked") X(424, "Failed Dependency") X(425, "Too Early") \
                                    X(426, "Upgrade Required") X(428, "Precondition Required") X(  \
                                        429, "Too Many Requests")                                  \
                                        X(431, "Request Header Fields Too Large") X(               \
                                            451, "Unavailable For Legal Reasons")                  \
                                            X(500, "Internal Server Error") X(                     \
                                                501, "Not Implemented") X(502, "Bad Gateway")      \
                                                X(503,                                             \
                                                  "Service Unavailable") X(504, "Gateway Timeout") \
                                                    X(505, "HTTP Version Not Supported")           \
                                                        X(506, "Variant Also Negotiates")          \
                                                            X(507, "Insufficient Storage")         \
                                                                X(508, "Loop Detected")            \
                                                                    X(511,                         \
                                                                      "Network Authentication "    \
                                                                      "Required")

const char *http_reason(int status)
{
    switch (status) {
#define X(code, phrase)                                                                            \
    case code:                                                                                     \
        return phrase;
        REASONS(X)
#undef X
    default:
        return "Unknown";
    }
}
