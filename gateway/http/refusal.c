/* refusal.c - why a request is refused: the slug of logs and metrics, the status,
 * and one sentence for the client.
 *
 * The sentences name the rule and never the bytes that broke it, so that nothing
 * of the request is reflected. Constant; any thread. */
#include "http/message.h"

static const struct http_refusal_text refusals[HTTP_REFUSALS] = {
    [HTTP_SOUND] = {"sound", 200, "The request is sound."},
    [HTTP_BAD_METHOD] = {"bad_method", 400, "The method is not a token of at most 32 bytes."},
    [HTTP_CONNECT_REFUSED] = {"connect_refused", 405, "CONNECT is not served here."},
    [HTTP_TRACE_REFUSED] = {"trace_refused", 405, "TRACE is not served here."},
    [HTTP_BAD_TARGET] = {"bad_target", 400, "The request target is malformed."},
    [HTTP_BAD_ESCAPE] = {"bad_escape", 400,
                         "A percent sign in the target is not followed by two hex digits."},
    [HTTP_URI_TOO_LONG] = {"uri_too_long", 414, "The request target is too long."},
    [HTTP_BAD_VERSION] = {"bad_version", 505, "Only HTTP/1.1 and HTTP/1.0 are spoken here."},
    [HTTP_BAD_HEADER_NAME] = {"bad_header_name", 400, "A header name is malformed."},
    [HTTP_BAD_HEADER_VALUE] = {"bad_header_value", 400,
                               "A header value holds a control character."},
    [HTTP_SUSPICIOUS_HEADER] = {"suspicious_header", 400,
                                "A header name resembles one that decides how requests are read."},
    [HTTP_TOO_MANY_HEADERS] = {"too_many_headers", 431, "The request has too many headers."},
    [HTTP_HEADERS_TOO_LARGE] = {"headers_too_large", 431, "The request headers are too large."},
    [HTTP_HIDDEN_BYTES] = {"hidden_bytes", 400,
                           "The request head holds a NUL, a folded line or a bare line feed."},
    [HTTP_TE_AND_CL] = {"te_and_cl", 400,
                        "Transfer-Encoding and Content-Length exclude each other."},
    [HTTP_MULTI_CL] = {"multi_cl", 400, "Content-Length is given more than once."},
    [HTTP_BAD_CL] = {"bad_cl", 400, "Content-Length is not a decimal number."},
    [HTTP_CL_TOO_LARGE] = {"cl_too_large", 413, "Content-Length is beyond every limit."},
    [HTTP_BAD_TE] = {"bad_te", 400, "The only Transfer-Encoding read here is chunked."},
    [HTTP_MULTI_TE] = {"multi_te", 400, "Transfer-Encoding is given more than once."},
    [HTTP_TE_HTTP10] = {"te_http10", 400, "HTTP/1.0 has no Transfer-Encoding."},
    [HTTP_BAD_HOST] = {"bad_host", 400, "The request needs exactly one well-formed Host."},
    [HTTP_AUTHORITY_MISMATCH] = {"authority_mismatch", 400,
                                 "The request target and Host name different hosts."},
    [HTTP_BAD_EXPECT] = {"bad_expect", 417, "The only expectation met here is 100-continue."},
    [HTTP_BODY_ON_HTTP10_GET] = {"body_on_get", 400,
                                 "An HTTP/1.0 GET, HEAD or DELETE must not have a body."},
    [HTTP_PATH_CONFUSION] = {"path_confusion", 400,
                             "The path leads above the root or hides a separator."},
};

struct http_refusal_text http_refusal_text(enum http_refusal refusal)
{
    CHECK(refusal < HTTP_REFUSALS);
    return refusals[refusal];
}
