/* page.c - GET /system/dashboard: the page that shows and does all of this in a browser.
 *
 * It is one document without an outside address, and it holds no data: what it shows it asks for
 * with the operator's token, so the page itself needs none. Its policy lets run exactly the script
 * and the style that were built in, by their hashes; nothing inline, no frame, no form, and
 * no other host. Sources: page/, made into C by page/embed.sh. Main thread. */
#include "admin/admin_priv.h"

static struct str text_of(const unsigned char *bytes, size_t len)
{
    return str_at((const char *)bytes, len);
}

static uint32_t hex_digit(char digit)
{
    return (uint32_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* 'sha256-…' for a policy: base64 of the 32 bytes, 43 digits and one "=". */
static void put_hash(struct buf *out, struct str text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char hex[65 + 2] = {0};

    hash_sha256_hex(text, hex);
    hex[64] = hex[65] = '0'; /* three hexadecimal digits are two of base64: the last has zeros */
    buf_add_str(out, STR("'sha256-"));
    for (size_t i = 0; i < 65; i += 3) {
        uint32_t bits = hex_digit(hex[i]) << 8 | hex_digit(hex[i + 1]) << 4;

        if (i + 2 < 64)
            bits |= hex_digit(hex[i + 2]);
        buf_add_char(out, digits[bits >> 6]);
        if (i < 63)
            buf_add_char(out, digits[bits & 63]);
    }
    buf_add_str(out, STR("='"));
}

static struct str policy(struct arena *arena)
{
    struct buf out = buf_new(1024);
    struct str text = STR_NONE;

    buf_add_str(&out, STR("default-src 'none'; script-src "));
    put_hash(&out, text_of(page_script, page_script_len));
    buf_add_str(&out, STR("; style-src "));
    put_hash(&out, text_of(page_style, page_style_len));
    buf_add_str(&out, STR("; connect-src 'self'; img-src data:; base-uri 'none'; "
                          "form-action 'none'; frame-ancestors 'none'"));
    if (!out.is_broken)
        text = arena_copy(arena, buf_str(&out));
    buf_free(&out);
    return text;
}

void get_dashboard(struct call *call)
{
    struct buf *out = &call->question->text;

    call->question->content_policy = policy(call->question->arena);
    if (call->question->content_policy.ptr == NULL) {
        answer_refusal(call, 503, "There is not enough memory for the page.");
        return;
    }
    buf_add_str(out, text_of(page_head, page_head_len));
    buf_add_str(out, STR("<style>"));
    buf_add_str(out, text_of(page_style, page_style_len));
    buf_add_str(out, STR("</style>\n"));
    buf_add_str(out, text_of(page_body, page_body_len));
    buf_add_str(out, STR("<script type=\"module\">"));
    buf_add_str(out, text_of(page_script, page_script_len));
    buf_add_str(out, STR("</script>\n"));
    buf_add_str(out, text_of(page_tail, page_tail_len));
    answer_text(call, 200, STR("text/html; charset=utf-8"));
}
