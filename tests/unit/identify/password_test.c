/* password_test.c - htpasswd files and the forms of their hashes.
 *
 * The hashes were made with openssl passwd -apr1 and libcrypt, for passwords like "pw-apr". */
#include "identify/identify_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define SHA    "{SHA}G5zynyVKZeHPqXetqic75L7ZkrM="
#define APR1   "$apr1$abcdefgh$UmX3MIjl/nWEFj4bHb1Ai0"
#define BCRYPT "$2b$05$abcdefghijklmnopqrstuuWO6wgCXOFg4HA3pV5PveJRnwns3PxbO"
#define SHA256 "$5$saltsalt$Uxh5yliMixy53.X/YG2qLkzbgMQOHICDxOj3UryS9b8"

static const struct {
    const char *name, *hash, *password;
    bool want;
} passwords[] = {
    {"SHA", SHA, "pw-sha", true},
    {"SHA, wrong", SHA, "pw-shA", false},
    {"apr1", APR1, "pw-apr", true},
    {"apr1, wrong", APR1, "pw-apr ", false},
    {"apr1, empty", "$apr1$x$tMwYqBfQwi3FYAr0aJc8M/", "", true},
    {"apr1, not empty", "$apr1$x$tMwYqBfQwi3FYAr0aJc8M/", "x", false},
    {"apr1 without a salt", "$apr1$$tMwYqBfQwi3FYAr0aJc8M/", "", false},
    {"apr1 without a digest", "$apr1$x", "", false},
    {"bcrypt", BCRYPT, "pw-bc", true},
    {"bcrypt, wrong", BCRYPT, "pw-b", false},
    {"bcrypt, cut", "$2b$05$abc", "pw-bc", false},
    {"sha256-crypt", SHA256, "pw-s5", true},
    {"sha256-crypt, wrong", SHA256, "", false},
    {"nothing", "", "", false},
};

static void passwords_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(passwords); i++)
        if (password_is_right(str_of(passwords[i].hash), str_of(passwords[i].password)) !=
            passwords[i].want)
            fail_msg("%s", passwords[i].name);
}

static const struct {
    const char *name, *text;
    const char *want; /* part of the fault; NULL: sound, with ada */
} files[] = {
    {"one", "ada:" SHA "\n", NULL},
    {"no line end", "ada:" SHA, NULL},
    {"as Windows has it", "\r\nada:" APR1 "\r\n", NULL},
    {"remarks", "# users\n\n ada:" BCRYPT ":Ada\nbob:" SHA256 "\n", NULL},
    {"DES", "ada:abJnggxhB/yWI\n", "line 1: the hash of \"ada\" has a form that is not known"},
    {"in clear", "bob:" SHA "\nada:secret\n", "line 2: the hash of \"ada\""},
    {"twice", "ada:" SHA "\nada:" SHA "\n", "line 2: \"ada\" stands there twice"},
    {"no colon", "ada\n", "line 1: expected NAME:HASH"},
    {"no name", ":" SHA "\n", "line 1: expected NAME:HASH"},
};

static void files_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[] = "/tmp/gateway-htpasswd-XXXXXX";
        int fd = mkstemp(path);
        struct fail why = {""};

        assert_true(fd >= 0);
        assert_int_equal(write(fd, files[i].text, strlen(files[i].text)),
                         (ssize_t)strlen(files[i].text));
        close(fd);
        struct htpasswd *file = htpasswd_read(path, &why);
        unlink(path);
        if ((file == NULL) != (files[i].want != NULL) ||
            !str_has(str_of(why.text), str_of(files[i].want)))
            fail_msg("%s: %s", files[i].name, why.text);
        if (file != NULL) {
            assert_non_null(htpasswd_hash(file, STR("ada")));
            assert_null(htpasswd_hash(file, STR("eve")));
            assert_non_null(htpasswd_any(file));
        }
        htpasswd_free(&file);
    }
    struct fail why = {""};
    assert_null(htpasswd_read("/nowhere/htpasswd", &why));
    assert_true(str_has(str_of(why.text), STR("/nowhere/htpasswd")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passwords_of_every_form),
        cmocka_unit_test(files_of_every_form),
    };
    return cmocka_run_group_tests_name("identify/password", tests, NULL, NULL);
}
