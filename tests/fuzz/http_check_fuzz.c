/* http_check_fuzz.c - the validator against a slow second reading of the same head.
 *
 * Held: a sound head has no control byte, one Host at most, one framing field at most
 * under any reading of '_' and '.', a plain target; what is learned lies within the
 * input; a refused head leaves all but version and persistence alone. */
#include "http/http.h"

#include "message_input.h"

static const struct http_limits limits = {
    .max_headers = 100, .max_header_bytes = 32768, .max_uri_bytes = 8192};

/* Is the name this one when every mark is read as '-'? */
static bool reads_as(struct str name, const char *lower)
{
    if (name.len != strlen(lower))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);
        bool is_plain = (c >= 'a' && c <= 'z') || ascii_is_digit(c);

        if ((is_plain ? c : '-') != lower[i])
            return false;
    }
    return true;
}

static void check_sound(const struct http_request_head *head,
                        const struct http_request_facts *facts)
{
    uint32_t lengths = 0, codings = 0, hosts = 0;
    struct str host;
    uint16_t port;

    CHECK(is_clean(head->method) && is_clean(head->target) && is_clean(head->version));
    CHECK(str_find(head->target, ' ') == head->target.len && head->target.len > 0);
    for (uint32_t i = 0; i < head->fields.count; i++) {
        const struct http_field *field = &head->fields.at[i];

        CHECK(http_is_token(field->name) && is_clean(field->value));
        lengths += reads_as(field->name, "content-length");
        codings += reads_as(field->name, "transfer-encoding");
        hosts += reads_as(field->name, "host");
        if (reads_as(field->name, "content-length")) {
            CHECK(field->value.len > 0);
            for (size_t j = 0; j < field->value.len; j++)
                CHECK(ascii_is_digit(field->value.ptr[j]));
        }
        if (reads_as(field->name, "transfer-encoding"))
            CHECK(str_ieq(field->value, STR("chunked")));
    }
    CHECK(lengths + codings <= 1 && hosts <= 1 && facts->is_chunked == (codings == 1));
    CHECK(codings == 0 || facts->version == HTTP_1_1);
    CHECK(hosts == 1 || facts->version == HTTP_1_0);
    CHECK(facts->content_length <= INT64_MAX);
    CHECK(facts->origin_form.len > 0 &&
          (facts->origin_form.ptr[0] == '/' || str_eq(facts->origin_form, STR("*"))));
    if (facts->host.ptr != NULL)
        CHECK(http_parse_authority(facts->authority, &host, &port) && str_eq(host, facts->host) &&
              port == facts->port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = message_begin(data, size);
    struct http_request_facts facts = {.port = 4711, .content_length = 4712};
    struct http_request_head head;
    enum http_refusal refusal;

    message_head(&head, input);
    refusal = http_check_request(&head, &limits, &facts);
    CHECK(refusal < HTTP_REFUSALS);
    if (refusal == HTTP_SOUND)
        check_sound(&head, &facts);
    else
        CHECK(facts.port == 4711 && facts.content_length == 4712 && facts.host.ptr == NULL);
    message_end(input);
    return 0;
}
