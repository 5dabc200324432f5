/* http_form_fuzz.c - a Content-Type, a line's end, and the form that it announces.
 *
 * Held: it ends; parts are slices of the body, in order and apart; no content holds the
 * boundary. */
#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body = str_at((const char *)data, size), type;
    struct http_form form;
    struct http_form_part part;
    const char *at;

    type = str_at(body.ptr, str_find(body, '\n'));
    body = str_from(body, type.len + 1);
    if (!http_form_begin(&form, type, body))
        return 0;
    at = body.ptr;
    for (uint32_t i = 0; http_form_next(&form, &part) == HTTP_FORM_PART; i++) {
        CHECK(i < HTTP_FORM_MOST_PARTS);
        CHECK(part.whole.ptr > at && part.content.ptr >= part.whole.ptr + 4);
        CHECK(part.content.ptr + part.content.len == part.whole.ptr + part.whole.len);
        CHECK(part.name.ptr > part.whole.ptr && part.name.ptr + part.name.len < part.content.ptr);
        CHECK(!str_has(part.content, str_at(form.delimiter, form.delimiter_len)));
        at = part.whole.ptr + part.whole.len;
        CHECK(at < body.ptr + body.len);
    }
    return 0;
}
