/* check_test.c - the validator: every row of the fault catalogue that a parsed head can
 * show, by its number there (R, S, H), and what is learned from a sound head. */
#include "message_fixture.h"

static const struct http_limits limits = {
    .max_headers = 100, .max_header_bytes = 32768, .max_uri_bytes = 8192};

/* Checks a head given as text; the version is "HTTP/1.1" when NULL. */
static enum http_refusal check(const char *method, const char *target, const char *version,
                               const char *fields, struct http_request_facts *facts)
{
    struct http_request_head head = {.method = str_of(method),
                                     .target = str_of(target),
                                     .version = str_of(version != NULL ? version : "HTTP/1.1")};

    arena_reset(test_arena);
    fields_of(&head.fields, test_arena, fields);
    return http_check_request(&head, &limits, facts);
}

static void expect_refusal(const char *name, enum http_refusal got, enum http_refusal want)
{
    if (got != want)
        fail_msg("%s: got %s, want %s", name, http_refusal_text(got).slug,
                 http_refusal_text(want).slug);
}

#define H "Host: a\n"

/* ---- the request line ---- */

static const struct {
    const char *name, *method, *target, *version;
    enum http_refusal want;
} lines[] = {
    {"plain", "GET", "/", NULL, HTTP_SOUND},
    {"R01 blank in method", "GE T", "/", NULL, HTTP_BAD_METHOD},
    {"R01 brace in method", "GET{", "/", NULL, HTTP_BAD_METHOD},
    {"R01 colon in method", "GET:", "/", NULL, HTTP_BAD_METHOD},
    {"R01 CTL in method", "GET\x01", "/", NULL, HTTP_BAD_METHOD},
    {"R01 UTF-8 in method", "G\xc3\x8bT", "/", NULL, HTTP_BAD_METHOD},
    {"R01 empty method", "", "/", NULL, HTTP_BAD_METHOD},
    {"R02 unknown method", "BREW", "/", NULL, HTTP_SOUND},
    {"R02 lower case is another method", "get", "/", NULL, HTTP_SOUND},
    {"R02 odd token", "M-SEARCH!", "/", NULL, HTTP_SOUND},
    {"R03 32 bytes", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF", "/", NULL, HTTP_SOUND},
    {"R03 33 bytes", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", "/", NULL, HTTP_BAD_METHOD},
    {"R04 CONNECT", "CONNECT", "a:443", NULL, HTTP_CONNECT_REFUSED},
    {"R04 CONNECT with a path", "CONNECT", "/", NULL, HTTP_CONNECT_REFUSED},
    {"R05 TRACE", "TRACE", "/", NULL, HTTP_TRACE_REFUSED},
    {"R06 blank", "GET", "/a b", NULL, HTTP_BAD_TARGET},
    {"R06 tab", "GET", "/a\tb", NULL, HTTP_BAD_TARGET},
    {"R06 CTL", "GET", "/a\x01", NULL, HTTP_BAD_TARGET},
    {"R06 CR", "GET", "/a\rb", NULL, HTTP_BAD_TARGET},
    {"R06 LF", "GET", "/a\nb", NULL, HTTP_BAD_TARGET},
    {"R06 DEL", "GET", "/a\x7f", NULL, HTTP_BAD_TARGET},
    {"R06 quote", "GET", "/a\"", NULL, HTTP_BAD_TARGET},
    {"R06 less", "GET", "/a<", NULL, HTTP_BAD_TARGET},
    {"R06 greater", "GET", "/a>", NULL, HTTP_BAD_TARGET},
    {"R06 backslash", "GET", "/a\\b", NULL, HTTP_BAD_TARGET},
    {"R06 caret", "GET", "/a^", NULL, HTTP_BAD_TARGET},
    {"R06 open brace", "GET", "/a{", NULL, HTTP_BAD_TARGET},
    {"R06 close brace", "GET", "/a}", NULL, HTTP_BAD_TARGET},
    {"R06 backquote", "GET", "/a`", NULL, HTTP_BAD_TARGET},
    {"R06 bar", "GET", "/a|b", NULL, HTTP_BAD_TARGET},
    {"R06 bar in the query", "GET", "/?a|b", NULL, HTTP_BAD_TARGET},
    {"R08 raw UTF-8", "GET", "/\xc3\xa4", NULL, HTTP_BAD_TARGET},
    {"R08 byte 0x80", "GET", "/?\x80", NULL, HTTP_BAD_TARGET},
    {"R09 fragment", "GET", "/a#b", NULL, HTTP_BAD_TARGET},
    {"R10 no slash", "GET", "x", NULL, HTTP_BAD_TARGET},
    {"R10 at sign first", "GET", "@evil/", NULL, HTTP_BAD_TARGET},
    {"R10 query first", "GET", "?x", NULL, HTTP_BAD_TARGET},
    {"R10 dots first", "GET", "../x", NULL, HTTP_BAD_TARGET},
    {"R10 authority form", "GET", "a:80", NULL, HTTP_BAD_TARGET},
    {"R12 star with OPTIONS", "OPTIONS", "*", NULL, HTTP_SOUND},
    {"R12 star with GET", "GET", "*", NULL, HTTP_BAD_TARGET},
    {"R12 star and more", "OPTIONS", "*x", NULL, HTTP_BAD_TARGET},
    {"R13 empty", "GET", "", NULL, HTTP_BAD_TARGET},
    {"R14 percent at the end", "GET", "/a%", NULL, HTTP_BAD_ESCAPE},
    {"R14 one digit", "GET", "/a%2", NULL, HTTP_BAD_ESCAPE},
    {"R14 no digits", "GET", "/a%zz", NULL, HTTP_BAD_ESCAPE},
    {"R14 second not a digit", "GET", "/a%2g", NULL, HTTP_BAD_ESCAPE},
    {"R14 in the query", "GET", "/?a=%u002f", NULL, HTTP_BAD_ESCAPE},
    {"R14 good ones", "GET", "/%41%2f%C3%a4?%25", NULL, HTTP_SOUND},
    {"all that may stand", "GET", "/-._~!$&'()*+,;=:@/[]?a=/?:@&b", NULL, HTTP_SOUND},
    {"two slashes are a path", "GET", "//evil/x", NULL, HTTP_SOUND},
    {"R16 lower-case version", "GET", "/", "http/1.1", HTTP_BAD_VERSION},
    {"R16 HTTP/1.10", "GET", "/", "HTTP/1.10", HTTP_BAD_VERSION},
    {"R16 HTTP/01.1", "GET", "/", "HTTP/01.1", HTTP_BAD_VERSION},
    {"R16 none", "GET", "/", "", HTTP_BAD_VERSION},
    {"R17 HTTP/1.2", "GET", "/", "HTTP/1.2", HTTP_BAD_VERSION},
    {"R17 HTTP/1.9", "GET", "/", "HTTP/1.9", HTTP_BAD_VERSION},
    {"R18 HTTP/2.0", "GET", "/", "HTTP/2.0", HTTP_BAD_VERSION},
    {"HTTP/1.0", "GET", "/", "HTTP/1.0", HTTP_SOUND},
};

static void request_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct http_request_facts facts;

        expect_refusal(lines[i].name,
                       check(lines[i].method, lines[i].target, lines[i].version, H, &facts),
                       lines[i].want);
    }
}

/* ---- fields ---- */

static const struct {
    const char *name, *method, *version, *fields;
    enum http_refusal want;
} heads[] = {
    {"R24 blank in a name", "GET", NULL, H "X A: 1\n", HTTP_BAD_HEADER_NAME},
    {"R24 parenthesis", "GET", NULL, H "(x): 1\n", HTTP_BAD_HEADER_NAME},
    {"R24 quote", "GET", NULL, H "x\": 1\n", HTTP_BAD_HEADER_NAME},
    {"R24 byte 0x80", "GET", NULL, H "x\x80: 1\n", HTTP_BAD_HEADER_NAME},
    {"R24 empty", "GET", NULL, H ": 1\n", HTTP_BAD_HEADER_NAME},
    {"R24 CR in a name", "GET", NULL, H "x\ry: 1\n", HTTP_BAD_HEADER_NAME},
    {"odd but a token", "GET", NULL, H "x!#$%&'*+.^`|~: 1\n", HTTP_SOUND},
    {"R25 harmless underscore", "GET", NULL, H "x_custom: 1\n", HTTP_SOUND},
    {"R25 Authorization", "GET", NULL, H "X_API_Key: 1\n", HTTP_SUSPICIOUS_HEADER},
    {"R25 X_Forwarded_For", "GET", NULL, H "x_forwarded-for: 1\n", HTTP_SUSPICIOUS_HEADER},
    {"R26 CTL", "GET", NULL, H "X: a\x01z\n", HTTP_BAD_HEADER_VALUE},
    {"R26 DEL", "GET", NULL, H "X: a\x7f\n", HTTP_BAD_HEADER_VALUE},
    {"R26 bare CR", "GET", NULL, H "X: a\rb\n", HTTP_BAD_HEADER_VALUE},
    {"R26 CR at the end", "GET", NULL, H "X: a\r\n", HTTP_BAD_HEADER_VALUE},
    {"R26 CTL in a known name's value", "GET", NULL, H "Accept: \x1f\n", HTTP_BAD_HEADER_VALUE},
    {"R26 CTL in the second word", "GET", NULL,
     H "X: 12345678\x02"
       "2345678\n",
     HTTP_BAD_HEADER_VALUE},
    {"R26 CTL after a tab", "GET", NULL,
     H "X: 1\t345\x03"
       "78\n",
     HTTP_BAD_HEADER_VALUE},
    {"R26 vtab", "GET", NULL, H "X: a\vb\n", HTTP_BAD_HEADER_VALUE},
    {"tab inside", "GET", NULL, H "X: a\tb and more than eight\n", HTTP_SOUND},
    {"R27 obs-text", "GET", NULL, H "X: \x80\xff\xc3\xa4 12345678\x80\xfe\n", HTTP_SOUND},
    {"empty value", "GET", NULL, H "X:\n", HTTP_SOUND},

    {"S01 CL then TE", "POST", NULL, H "Content-Length: 3\nTransfer-Encoding: chunked\n",
     HTTP_TE_AND_CL},
    {"S01 TE then CL", "POST", NULL, H "transfer-encoding: chunked\ncontent-length: 0\n",
     HTTP_TE_AND_CL},
    {"S02 two CL", "POST", NULL, H "Content-Length: 3\nContent-Length: 4\n", HTTP_MULTI_CL},
    {"S03 two equal CL", "POST", NULL, H "Content-Length: 3\nContent-Length: 3\n", HTTP_MULTI_CL},
    {"S03 CL list", "POST", NULL, H "Content-Length: 3, 3\n", HTTP_MULTI_CL},
    {"S04 plus", "POST", NULL, H "Content-Length: +3\n", HTTP_BAD_CL},
    {"S04 minus", "POST", NULL, H "Content-Length: -3\n", HTTP_BAD_CL},
    {"S04 hex", "POST", NULL, H "Content-Length: 0x3\n", HTTP_BAD_CL},
    {"S04 underscore", "POST", NULL, H "Content-Length: 3_0\n", HTTP_BAD_CL},
    {"S04 fraction", "POST", NULL, H "Content-Length: 3.0\n", HTTP_BAD_CL},
    {"S04 two numbers", "POST", NULL, H "Content-Length: 3 3\n", HTTP_BAD_CL},
    {"S04 empty", "POST", NULL, H "Content-Length:\n", HTTP_BAD_CL},
    {"S04 blank", "POST", NULL, H "Content-Length:  \n", HTTP_BAD_CL},
    {"S04 vtab", "POST", NULL, H "Content-Length: 3\v\n", HTTP_BAD_HEADER_VALUE},
    {"S04 quoted", "POST", NULL, H "Content-Length: \"3\"\n", HTTP_BAD_CL},
    {"S04 full-width digit", "POST", NULL, H "Content-Length: \xef\xbc\x93\n", HTTP_BAD_CL},
    {"S04 parameter", "POST", NULL, H "Content-Length: 3;x\n", HTTP_BAD_CL},
    {"S06 2^63-1", "POST", NULL, H "Content-Length: 9223372036854775807\n", HTTP_SOUND},
    {"S06 2^63", "POST", NULL, H "Content-Length: 9223372036854775808\n", HTTP_CL_TOO_LARGE},
    {"S06 2^64-1", "POST", NULL, H "Content-Length: 18446744073709551615\n", HTTP_CL_TOO_LARGE},
    {"S06 2^64", "POST", NULL, H "Content-Length: 18446744073709551616\n", HTTP_CL_TOO_LARGE},
    {"S06 10^40", "POST", NULL, H "Content-Length: 10000000000000000000000000000000000000000\n",
     HTTP_CL_TOO_LARGE},
    {"S07 trailing blanks", "POST", NULL, H "Content-Length: 3 \t\n", HTTP_SOUND},
    {"S08 chunked", "POST", NULL, H "Transfer-Encoding: chunked\n", HTTP_SOUND},
    {"S08 any case, blank behind", "POST", NULL, H "Transfer-Encoding: cHuNkEd \n", HTTP_SOUND},
    {"S08 identity", "POST", NULL, H "Transfer-Encoding: identity\n", HTTP_BAD_TE},
    {"S08 gzip", "POST", NULL, H "Transfer-Encoding: gzip\n", HTTP_BAD_TE},
    {"S08 gzip, chunked", "POST", NULL, H "Transfer-Encoding: gzip, chunked\n", HTTP_BAD_TE},
    {"S08 chunked, gzip", "POST", NULL, H "Transfer-Encoding: chunked, gzip\n", HTTP_BAD_TE},
    {"S08 chunked, chunked", "POST", NULL, H "Transfer-Encoding: chunked, chunked\n", HTTP_BAD_TE},
    {"S08 xchunked", "POST", NULL, H "Transfer-Encoding: xchunked\n", HTTP_BAD_TE},
    {"S08 chunkedx", "POST", NULL, H "Transfer-Encoding: chunkedx\n", HTTP_BAD_TE},
    {"S08 comma first", "POST", NULL, H "Transfer-Encoding: ,chunked\n", HTTP_BAD_TE},
    {"S08 comma last", "POST", NULL, H "Transfer-Encoding: chunked,\n", HTTP_BAD_TE},
    {"S08 empty", "POST", NULL, H "Transfer-Encoding:\n", HTTP_BAD_TE},
    {"S09 chunked and identity", "POST", NULL,
     H "Transfer-Encoding: chunked\nTransfer-Encoding: identity\n", HTTP_MULTI_TE},
    {"S09 twice chunked", "POST", NULL,
     H "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n", HTTP_MULTI_TE},
    {"S10 parameter", "POST", NULL, H "Transfer-Encoding: chunked;x=y\n", HTTP_BAD_TE},
    {"S10 quoted", "POST", NULL, H "Transfer-Encoding: \"chunked\"\n", HTTP_BAD_TE},
    {"S10 vtab", "POST", NULL, H "Transfer-Encoding: chunked\v\n", HTTP_BAD_HEADER_VALUE},
    {"S10 0x85", "POST", NULL, H "Transfer-Encoding: chunked\x85\n", HTTP_BAD_TE},
    {"S10 0xa0", "POST", NULL,
     H "Transfer-Encoding: \xa0"
       "chunked\n",
     HTTP_BAD_TE},
    {"S11 TE on 1.0", "POST", "HTTP/1.0", H "Transfer-Encoding: chunked\n", HTTP_TE_HTTP10},
    {"S12 blank before the colon", "POST", NULL, H "Transfer-Encoding : chunked\n",
     HTTP_BAD_HEADER_NAME},
    {"S12 the same for CL", "POST", NULL, H "Content-Length : 3\n", HTTP_BAD_HEADER_NAME},
    {"S12 tab", "POST", NULL, H "Content-Length\t: 3\n", HTTP_BAD_HEADER_NAME},
    {"S13 blank first", "POST", NULL, " Transfer-Encoding: chunked\n" H, HTTP_BAD_HEADER_NAME},
    {"S14 fold in a name", "POST", NULL, H "X\r: a\n", HTTP_BAD_HEADER_NAME},
    {"S15 Transfer_Encoding", "POST", NULL, H "Transfer_Encoding: chunked\n",
     HTTP_SUSPICIOUS_HEADER},
    {"S15 Content_Length", "POST", NULL, H "content_length: 3\n", HTTP_SUSPICIOUS_HEADER},
    {"S15 Content-Length-X", "POST", NULL, H "Content-Length-X: 3\n", HTTP_SUSPICIOUS_HEADER},
    {"S15 Content_Length_X", "POST", NULL, H "Content_Length_X: 3\n", HTTP_SUSPICIOUS_HEADER},
    {"S15 dot", "POST", NULL, H "Content.Length: 3\n", HTTP_SUSPICIOUS_HEADER},
    {"S15 bar", "POST", NULL, H "Transfer|Encoding: 3\n", HTTP_SUSPICIOUS_HEADER},
    {"S15 mark behind", "POST", NULL, H "Transfer-Encoding~: 3\n", HTTP_SUSPICIOUS_HEADER},
    {"S15 another name with length in it", "POST", NULL, H "X-Content-Length: 3\n", HTTP_SOUND},
    {"S15 Unicode hyphen", "POST", NULL, H "Content\xe2\x80\x90Length: 3\n", HTTP_BAD_HEADER_NAME},
    {"S16 CR in a value", "POST", NULL, H "X: a\rTransfer-Encoding: chunked\n",
     HTTP_BAD_HEADER_VALUE},

    {"R40 body on GET", "GET", NULL, H "Content-Length: 3\n", HTTP_SOUND},
    {"R40 body on HEAD", "HEAD", NULL, H "Transfer-Encoding: chunked\n", HTTP_SOUND},
    {"R40 GET with a body on 1.0", "GET", "HTTP/1.0", H "Content-Length: 3\n",
     HTTP_BODY_ON_HTTP10_GET},
    {"R40 HEAD with a body on 1.0", "HEAD", "HTTP/1.0", H "Content-Length: 3\n",
     HTTP_BODY_ON_HTTP10_GET},
    {"R40 DELETE with a body on 1.0", "DELETE", "HTTP/1.0", H "Content-Length: 3\n",
     HTTP_BODY_ON_HTTP10_GET},
    {"R40 empty body on 1.0", "GET", "HTTP/1.0", H "Content-Length: 0\n", HTTP_SOUND},
    {"R40 POST with a body on 1.0", "POST", "HTTP/1.0", H "Content-Length: 3\n", HTTP_SOUND},
    {"R46 Expect other", "POST", NULL, H "Expect: 200-ok\n", HTTP_BAD_EXPECT},
    {"R46 Expect empty", "POST", NULL, H "Expect:\n", HTTP_BAD_EXPECT},
    {"R46 Expect with more", "POST", NULL, H "Expect: 100-continue, x\n", HTTP_BAD_EXPECT},
    {"R46 two Expect", "POST", NULL, H "Expect: 100-continue\nExpect: x\n", HTTP_BAD_EXPECT},
    {"R45 any case", "POST", NULL, H "Expect: 100-CONTINUE\n", HTTP_SOUND},
    {"R47 Expect on 1.0", "POST", "HTTP/1.0", H "Expect: x\n", HTTP_SOUND},

    {"H06 two Hosts", "GET", NULL, "Host: a\nHost: b\n", HTTP_BAD_HOST},
    {"H06 two equal Hosts", "GET", NULL, "Host: a\nHost: a\n", HTTP_BAD_HOST},
    {"H06 two Hosts on 1.0", "GET", "HTTP/1.0", "Host: a\nhost: a\n", HTTP_BAD_HOST},
    {"H07 userinfo", "GET", NULL, "Host: u@a\n", HTTP_BAD_HOST},
    {"H07 path", "GET", NULL, "Host: a/b\n", HTTP_BAD_HOST},
    {"H07 blank", "GET", NULL, "Host: a b\n", HTTP_BAD_HOST},
    {"H07 CTL", "GET", NULL, "Host: a\x01\n", HTTP_BAD_HEADER_VALUE},
    {"H07 comma", "GET", NULL, "Host: a,b\n", HTTP_BAD_HOST},
    {"H07 port 0", "GET", NULL, "Host: a:0\n", HTTP_BAD_HOST},
    {"H07 port 70000", "GET", NULL, "Host: a:70000\n", HTTP_BAD_HOST},
    {"H07 bad IPv6", "GET", NULL, "Host: [::1\n", HTTP_BAD_HOST},
    {"H07 bare IPv6", "GET", NULL, "Host: ::1\n", HTTP_BAD_HOST},
    {"H07 two trailing dots", "GET", NULL, "Host: a..\n", HTTP_BAD_HOST},
    {"H07 trailing dot, upper case", "GET", NULL, "Host: ExAmple.\n", HTTP_SOUND},
    {"H07 raw UTF-8", "GET", NULL, "Host: \xc3\xa4\n", HTTP_BAD_HOST},
    {"H09 empty on 1.1", "GET", NULL, "Host:\n", HTTP_BAD_HOST},
    {"H09 none on 1.1", "GET", NULL, "X: a\n", HTTP_BAD_HOST},
    {"H09 none on 1.0", "GET", "HTTP/1.0", "X: a\n", HTTP_SOUND},
    {"H09 empty on 1.0", "GET", "HTTP/1.0", "Host:\n", HTTP_BAD_HOST},
    {"H09 only a look-alike", "GET", NULL, "Host_: a\n", HTTP_BAD_HOST},
};

static void fields_and_framing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        struct http_request_facts facts;

        expect_refusal(heads[i].name,
                       check(heads[i].method, "/", heads[i].version, heads[i].fields, &facts),
                       heads[i].want);
    }
}

/* ---- absolute form, and what is learned ---- */

static const struct {
    const char *name, *method, *target, *version, *fields;
    enum http_refusal want;
    const char *host, *authority, *origin_form;
    uint16_t port;
} targets[] = {
    {"origin form", "GET", "/x?y", NULL, "Host: A.b.:81\n", HTTP_SOUND, "A.b", "A.b.:81", "/x?y",
     81},
    {"IPv6", "GET", "/", NULL, "Host: [::1]:81\n", HTTP_SOUND, "[::1]", "[::1]:81", "/", 81},
    {"no Host on 1.0", "GET", "/", "HTTP/1.0", "", HTTP_SOUND, NULL, NULL, "/", 0},
    {"star", "OPTIONS", "*", NULL, H, HTTP_SOUND, "a", "a", "*", 0},
    {"R11 the same", "GET", "http://a/x?y", NULL, H, HTTP_SOUND, "a", "a", "/x?y", 0},
    {"R11 any case", "GET", "HTTP://A/x", NULL, H, HTTP_SOUND, "A", "A", "/x", 0},
    {"R11 default port", "GET", "http://a:80/", NULL, H, HTTP_SOUND, "a", "a:80", "/", 80},
    {"R11 default port in Host", "GET", "http://a/", NULL, "Host: a:80\n", HTTP_SOUND, "a", "a",
     "/", 0},
    {"R11 https", "GET", "https://a/", NULL, "Host: a:443\n", HTTP_SOUND, "a", "a", "/", 0},
    {"R11 trailing dot", "GET", "http://a./", NULL, H, HTTP_SOUND, "a", "a.", "/", 0},
    {"R11 no path", "GET", "http://a", NULL, H, HTTP_SOUND, "a", "a", "/", 0},
    {"R11 OPTIONS without path", "OPTIONS", "http://a", NULL, H, HTTP_SOUND, "a", "a", "*", 0},
    {"R11 OPTIONS with path", "OPTIONS", "http://a/", NULL, H, HTTP_SOUND, "a", "a", "/", 0},
    {"R11 1.0 without Host", "GET", "http://b:8/x", "HTTP/1.0", "", HTTP_SOUND, "b", "b:8", "/x",
     8},
    {"R11 query without path", "GET", "http://a?x", NULL, H, HTTP_BAD_TARGET, 0, 0, 0, 0},
    {"R11 another host", "GET", "http://b/", NULL, H, HTTP_AUTHORITY_MISMATCH, 0, 0, 0, 0},
    {"R11 another port", "GET", "http://a:81/", NULL, H, HTTP_AUTHORITY_MISMATCH, 0, 0, 0, 0},
    {"R11 https against 80", "GET", "https://a/", NULL, "Host: a:80\n", HTTP_AUTHORITY_MISMATCH, 0,
     0, 0, 0},
    {"R11 no Host on 1.1", "GET", "http://a/", NULL, "", HTTP_BAD_HOST, 0, 0, 0, 0},
    {"R11 ftp", "GET", "ftp://a/", NULL, H, HTTP_BAD_TARGET, 0, 0, 0, 0},
    {"R11 no scheme", "GET", "://a/", NULL, H, HTTP_BAD_TARGET, 0, 0, 0, 0},
    {"R11 one slash", "GET", "http:/a/", NULL, H, HTTP_BAD_TARGET, 0, 0, 0, 0},
    {"R11 empty authority", "GET", "http:///x", NULL, H, HTTP_BAD_TARGET, 0, 0, 0, 0},
    {"R11 userinfo", "GET", "http://a@a/", NULL, H, HTTP_BAD_TARGET, 0, 0, 0, 0},
    {"R11 port 0", "GET", "http://a:0/", NULL, H, HTTP_BAD_TARGET, 0, 0, 0, 0},
};

static void targets_and_hosts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct http_request_facts facts;
        const char *name = targets[i].name;

        expect_refusal(name,
                       check(targets[i].method, targets[i].target, targets[i].version,
                             targets[i].fields, &facts),
                       targets[i].want);
        if (targets[i].want != HTTP_SOUND)
            continue;
        expect_str(name, "host", facts.host, targets[i].host);
        expect_str(name, "authority", facts.authority, targets[i].authority);
        expect_str(name, "origin form", facts.origin_form, targets[i].origin_form);
        if (facts.port != targets[i].port)
            fail_msg("%s: port %u", name, facts.port);
    }
}

static const struct {
    const char *name, *version, *fields;
    bool has_body, is_chunked, expects_continue, keep_alive;
    uint64_t length;
} learned[] = {
    {"no body", NULL, H, false, false, false, true, 0},
    {"empty body", NULL, H "Content-Length: 0\n", false, false, false, true, 0},
    {"length", NULL, H "Content-Length: 42\n", true, false, false, true, 42},
    {"S05 leading zeros", NULL, H "Content-Length: 00000000000000000000000042\n", true, false,
     false, true, 42},
    {"S07 blanks", NULL, H "Content-Length: \t42 \n", true, false, false, true, 42},
    {"chunked", NULL, H "Transfer-Encoding: chunked\n", true, true, false, true, 0},
    {"R45 expects", NULL, H "Content-Length: 1\nExpect: 100-continue\n", true, false, true, true,
     1},
    {"expects with nothing to send", NULL, H "Expect: 100-continue\n", false, false, false, true,
     0},
    {"R47 expects on 1.0", "HTTP/1.0", H "Content-Length: 1\nExpect: 100-continue\n", true, false,
     false, false, 1},
    {"R39 close", NULL, H "Connection: close\n", false, false, false, false, 0},
    {"R39 close in a list", NULL, H "Connection: x, Close\n", false, false, false, false, 0},
    {"R39 close in the second line", NULL, H "Connection: x\nConnection: close\n", false, false,
     false, false, 0},
    {"R39 close wins", "HTTP/1.0", H "Connection: keep-alive, close\n", false, false, false, false,
     0},
    {"R39 1.0", "HTTP/1.0", H, false, false, false, false, 0},
    {"R39 1.0 kept", "HTTP/1.0", H "Connection: Keep-Alive\n", false, false, false, true, 0},
};

static void what_is_learned(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(learned); i++) {
        struct http_request_facts facts;

        expect_refusal(learned[i].name,
                       check("POST", "/", learned[i].version, learned[i].fields, &facts),
                       HTTP_SOUND);
        if (facts.has_body != learned[i].has_body || facts.is_chunked != learned[i].is_chunked ||
            facts.expects_continue != learned[i].expects_continue ||
            facts.keep_alive != learned[i].keep_alive || facts.content_length != learned[i].length)
            fail_msg("%s: body %d, chunked %d, expects %d, keep %d, length %" PRIu64,
                     learned[i].name, facts.has_body, facts.is_chunked, facts.expects_continue,
                     facts.keep_alive, facts.content_length);
    }
}

static void a_refused_head_tells_version_and_persistence_only(void **state)
{
    struct http_request_facts facts = {.port = 7, .has_body = true};

    (void)state;
    assert_int_equal(check("GET", "/", "HTTP/1.0", "Host: a b\nConnection: keep-alive\n", &facts),
                     HTTP_BAD_HOST);
    assert_int_equal(facts.version, HTTP_1_0);
    assert_true(facts.keep_alive);
    assert_int_equal(facts.port, 7);
    assert_true(facts.has_body);
    assert_int_equal(check("GET", "/", "HTTP/1.2", H, &facts), HTTP_BAD_VERSION);
    assert_false(facts.keep_alive);
}

static void limits_of_count_and_size(void **state)
{
    struct http_request_head head = {
        .method = STR("GET"), .target = STR("/abcdefg"), .version = STR("HTTP/1.1")};
    struct http_request_facts facts;
    struct http_limits exact = {.max_headers = 2, .max_header_bytes = 16, .max_uri_bytes = 8};
    struct http_limits fewer = exact, smaller = exact, shorter = exact;

    (void)state;
    arena_reset(test_arena);
    fields_of(&head.fields, test_arena, "Host: a\nX: 34\n"); /* 9 + 7 bytes */
    fewer.max_headers = 1;
    smaller.max_header_bytes = 15;
    shorter.max_uri_bytes = 7;
    expect_refusal("exact", http_check_request(&head, &exact, &facts), HTTP_SOUND);
    expect_refusal("R28", http_check_request(&head, &fewer, &facts), HTTP_TOO_MANY_HEADERS);
    expect_refusal("R29", http_check_request(&head, &smaller, &facts), HTTP_HEADERS_TOO_LARGE);
    expect_refusal("R15", http_check_request(&head, &shorter, &facts), HTTP_URI_TOO_LONG);
}

static void hidden_nul_bytes(void **state)
{
    struct http_request_head head = {
        .method = STR("GET"), .target = STR("/"), .version = STR("HTTP/1.1")};
    struct http_request_facts facts;

    (void)state;
    arena_reset(test_arena);
    fields_of(&head.fields, test_arena, H);
    head.target = STR("/a\0b");
    expect_refusal("R07", http_check_request(&head, &limits, &facts), HTTP_BAD_TARGET);
    head.target = STR("/");
    assert_true(http_fields_add(&head.fields, STR("X"), STR("a\0Transfer-Encoding: chunked")));
    expect_refusal("S17", http_check_request(&head, &limits, &facts), HTTP_BAD_HEADER_VALUE);
    head.fields.count = 1;
    assert_true(http_fields_add(&head.fields, STR("X\0"), STR("a")));
    expect_refusal("R24", http_check_request(&head, &limits, &facts), HTTP_BAD_HEADER_NAME);
    head.fields.count = 1;
    head.method = STR("GET\0");
    expect_refusal("R01", http_check_request(&head, &limits, &facts), HTTP_BAD_METHOD);
    head = (struct http_request_head){.method = STR_NONE};
    expect_refusal("nothing", http_check_request(&head, &limits, &facts), HTTP_BAD_VERSION);
}

static void every_refusal_has_its_words(void **state)
{
    (void)state;
    for (int i = HTTP_SOUND + 1; i < HTTP_REFUSALS; i++) {
        struct http_refusal_text text = http_refusal_text((enum http_refusal)i);

        if (text.slug == NULL || text.message == NULL || text.status < 400 || text.status > 505)
            fail_msg("refusal %d", i);
    }
    assert_int_equal(http_refusal_text(HTTP_CL_TOO_LARGE).status, 413);
    assert_int_equal(http_refusal_text(HTTP_BAD_VERSION).status, 505);
    assert_int_equal(http_refusal_text(HTTP_BAD_EXPECT).status, 417);
    assert_int_equal(http_refusal_text(HTTP_TRACE_REFUSED).status, 405);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_lines),
        cmocka_unit_test(fields_and_framing),
        cmocka_unit_test(targets_and_hosts),
        cmocka_unit_test(what_is_learned),
        cmocka_unit_test(a_refused_head_tells_version_and_persistence_only),
        cmocka_unit_test(limits_of_count_and_size),
        cmocka_unit_test(hidden_nul_bytes),
        cmocka_unit_test(every_refusal_has_its_words),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
