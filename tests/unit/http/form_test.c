/* form_test.c - multipart/form-data: its parts, and what is refused because it could be two forms.
 */
#include "message_fixture.h"

#define TYPE "multipart/form-data; boundary=xyz"
#define A    "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
#define B                                                                                          \
    "--xyz\r\nContent-Type: image/png\r\nContent-Disposition: form-data; name=b; "                 \
    "filename=\"x;=.png\"\r\n\r\n\r\n"
#define END               "--xyz--\r\n"
#define PART(disposition) "--xyz\r\n" disposition "\r\n\r\n1\r\n" END

/* The parts as "name=content;" and how it ended. */
static const struct {
    const char *name, *type, *body, *want;
} rows[] = {
    {"one part", TYPE, A END, "a=1; end"},
    {"two parts, one empty", TYPE, A B END, "a=1; b=; end"},
    {"no CRLF at the end", TYPE, A "--xyz--", "a=1; end"},
    {"a quoted boundary", "Multipart/Form-Data ; charset=utf-8; Boundary=\"xyz\"", A END,
     "a=1; end"},
    {"content that looks like a boundary", TYPE,
     "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx--xyz\r\n--xy\r\n" END,
     "a=x--xyz\r\n--xy; end"},
    {"a name with an escaped quote", TYPE, PART("Content-Disposition: form-data; name=\"a\\\"b\""),
     "a\\\"b=1; end"},
    {"another type", "multipart/mixed; boundary=xyz", A END, "none"},
    {"no boundary", "multipart/form-data", A END, "none"},
    {"an empty one", "multipart/form-data; boundary=\"\"", A END, "none"},
    {"two boundaries", TYPE "; boundary=abc", A END, "none"},
    {"a boundary that is never closed", "multipart/form-data; boundary=\"xyz", A END, "none"},
    {"a boundary with a bad byte", "multipart/form-data; boundary=\"x\ty\"", A END, "none"},
    {"a boundary of 71 bytes",
     "multipart/form-data; boundary="
     "12345678901234567890123456789012345678901234567890123456789012345678901",
     A END, "none"},
    {"a preamble", TYPE, "hello\r\n" A END, "none"},
    {"an empty body", TYPE, "", "none"},
    {"no part", TYPE, END, "broken"},
    {"no end", TYPE, A, "broken"},
    {"cut in a head", TYPE, A "--xyz\r\nContent-Disp", "a=1; broken"},
    {"an epilogue", TYPE, A END "x", "a=1; broken"},
    {"blanks behind a boundary", TYPE, A "--xyz \r\n", "a=1; broken"},
    {"a boundary that goes on", TYPE, A "--xyzz\r\n", "a=1; broken"},
    {"a bare LF", TYPE, "--xyz\nContent-Disposition: form-data; name=a\n\n1\r\n" END, "broken"},
    {"a boundary for a blank line", TYPE, "--xyz\r\nContent-Disposition: form-data; name=a\r\n" END,
     "broken"},
    {"no disposition", TYPE, PART("Content-Type: text/plain"), "broken"},
    {"two dispositions", TYPE,
     PART("Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b"),
     "broken"},
    {"two names", TYPE, PART("Content-Disposition: form-data; name=a; name=b"), "broken"},
    {"no name", TYPE, PART("Content-Disposition: form-data; filename=a"), "broken"},
    {"an attachment", TYPE, PART("Content-Disposition: attachment; name=a"), "broken"},
    {"a continued line", TYPE, PART("Content-Disposition: form-data;\r\n name=a"), "broken"},
    {"a blank in a field's name", TYPE, PART("Content-Disposition : form-data; name=a"), "broken"},
};

static void forms_are_read_as_one_or_not_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf got = buf_new(4096);
        struct http_form form;
        struct http_form_part part;
        enum http_form_step step = HTTP_FORM_PART;

        if (!http_form_begin(&form, str_of(rows[i].type), str_of(rows[i].body)))
            buf_add_str(&got, STR("none"));
        else
            while ((step = http_form_next(&form, &part)) == HTTP_FORM_PART)
                buf_addf(&got, "%.*s=%.*s; ", STR_ARG(part.name), STR_ARG(part.content));
        if (step != HTTP_FORM_PART)
            buf_add_str(&got, step == HTTP_FORM_END ? STR("end") : STR("broken"));
        if (!str_eq(buf_str(&got), str_of(rows[i].want)))
            fail_msg("%s: got %.*s, want %s", rows[i].name, STR_ARG(buf_str(&got)), rows[i].want);
        buf_free(&got);
    }
}

/* As many parts, and heads as long, as the ceilings allow, and one more. */
static void it_is_bounded(void **state)
{
    struct buf body = buf_new(1 << 20);
    struct http_form form;
    struct http_form_part part;
    char blanks[HTTP_FORM_MOST_HEAD];

    (void)state;
    for (uint32_t i = 0; i <= HTTP_FORM_MOST_PARTS; i++)
        buf_add_str(&body, STR(A));
    buf_add_str(&body, STR(END));
    assert_true(http_form_begin(&form, STR(TYPE), buf_str(&body)));
    for (uint32_t i = 0; i < HTTP_FORM_MOST_PARTS; i++)
        assert_int_equal(http_form_next(&form, &part), HTTP_FORM_PART);
    assert_int_equal(http_form_next(&form, &part), HTTP_FORM_BROKEN);
    memset(blanks, ' ', sizeof(blanks));
    buf_clear(&body);
    buf_addf(&body, "--xyz\r\nContent-Disposition: form-data;%.*sname=a\r\n\r\n1\r\n" END,
             (int)sizeof(blanks), blanks);
    assert_true(http_form_begin(&form, STR(TYPE), buf_str(&body)));
    assert_int_equal(http_form_next(&form, &part), HTTP_FORM_BROKEN);
    buf_free(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_are_read_as_one_or_not_at_all),
        cmocka_unit_test(it_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
