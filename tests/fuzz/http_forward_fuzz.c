/* http_forward_fuzz.c - a sound head forwarded is a sound head.
 *
 * Held for three kinds of peers: what goes on passes the validator again, holds no
 * hop-by-hop field and each of our own once; the next gateway, reading X-Forwarded-For or
 * Forwarded, finds the address that we saw. Answers keep no field of ours or of one hop. */
#include "http/http.h"

#include "message_input.h"

static const struct http_limits limits = {
    .max_headers = 100, .max_header_bytes = 32768, .max_uri_bytes = 8192};
static const struct http_limits roomy = {
    .max_headers = 120, .max_header_bytes = 100000, .max_uri_bytes = 8192}; /* ours are added */

static const struct http_peer peers[] = {
    {.address = {"192.0.2.1", 9}, .socket = {"192.0.2.1", 9}},
    {.address = {"192.0.2.1", 9}, .socket = {"2001:db8::1", 11}, .is_trusted = true},
    {.address = {"192.0.2.1", 9}, .socket = {"unix", 4}, .is_trusted = true, .is_tls = true},
};

static bool is_gateway(void *arg, struct str address)
{
    (void)arg;
    return str_eq(address, STR("10.9.9.9"));
}

static void check_no_hops(const struct http_fields *out)
{
    static const enum http_name gone[] = {
        HTTP_CONNECTION, HTTP_KEEP_ALIVE,        HTTP_PROXY_CONNECTION, HTTP_TE,
        HTTP_TRAILER,    HTTP_TRANSFER_ENCODING, HTTP_UPGRADE,          HTTP_X_RATELIMIT_LIMIT};

    for (size_t i = 0; i < COUNT_OF(gone); i++)
        CHECK(http_fields_count_of(out, gone[i]) == 0);
    CHECK(http_fields_count_of(out, HTTP_VIA) == 1);
    CHECK(str_ends(http_fields_get(out, HTTP_VIA), STR(" gateway")));
}

/* Does the next gateway see the address of the connection that we accepted? */
static void check_seen(const struct http_fields *out, struct str socket)
{
    struct str next = STR("10.9.9.9");
    struct str want = str_eq(socket, STR("unix")) ? next : socket;
    struct http_fields copy = *out;

    CHECK(str_eq(http_client_address(&copy, next, is_gateway, NULL), want));
    copy.at = arena_take(arena, copy.count * sizeof(*copy.at));
    CHECK(copy.at != NULL);
    memcpy(copy.at, out->at, copy.count * sizeof(*copy.at));
    CHECK(http_fields_remove(&copy, HTTP_X_FORWARDED_FOR) == 1);
    CHECK(str_eq(http_client_address(&copy, next, is_gateway, NULL), want));
}

static void check_peer(const struct http_request_head *head, struct http_peer peer,
                       const struct http_request_facts *facts)
{
    static const enum http_name own[] = {HTTP_X_FORWARDED_FOR, HTTP_X_FORWARDED_PROTO,
                                         HTTP_FORWARDED, HTTP_X_REQUEST_ID, HTTP_TRACEPARENT};
    struct http_request_head next = {
        .method = head->method, .target = facts->origin_form, .version = STR("HTTP/1.1")};
    struct http_request_facts next_facts;

    peer.host = facts->authority;
    CHECK(
        http_forward_request(&head->fields, &peer, STR("id"), facts->version, arena, &next.fields));
    check_no_hops(&next.fields);
    for (size_t i = 0; i < COUNT_OF(own); i++)
        CHECK(http_fields_count_of(&next.fields, own[i]) == 1);
    CHECK(http_fields_count_of(&next.fields, HTTP_HOST) == 0);
    CHECK(http_fields_count_of(&next.fields, HTTP_AUTHORIZATION) ==
          http_fields_count_of(&head->fields, HTTP_AUTHORIZATION));
    CHECK(http_fields_count_of(&next.fields, HTTP_COOKIE) ==
          http_fields_count_of(&head->fields, HTTP_COOKIE));
    check_seen(&next.fields, peer.socket);
    CHECK(http_fields_add(&next.fields, STR("Host"), STR("a")));
    CHECK(http_check_request(&next, &roomy, &next_facts) == HTTP_SOUND);
    CHECK(!next_facts.has_body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_answer_limits answer_limits = {.max_headers = 100,
                                                            .max_header_bytes = 32768};
    struct str input = message_begin(data, size);
    struct http_request_facts facts;
    struct http_answer_facts answer_facts;
    struct http_request_head head;
    struct http_fields out;
    const char *reason;

    message_head(&head, input);
    if (http_check_request(&head, &limits, &facts) == HTTP_SOUND)
        for (size_t i = 0; i < COUNT_OF(peers); i++)
            check_peer(&head, peers[i], &facts);
    if (http_check_answer(200, &head.fields, &answer_limits, &answer_facts, &reason)) {
        CHECK(http_forward_answer(&head.fields, arena, &out));
        check_no_hops(&out);
        CHECK(http_fields_count_of(&out, HTTP_SET_COOKIE) ==
              http_fields_count_of(&head.fields, HTTP_SET_COOKIE));
        for (uint32_t i = 0; i < out.count; i++)
            CHECK(http_is_token(out.at[i].name) && is_clean(out.at[i].value));
    }
    message_end(input);
    return 0;
}
