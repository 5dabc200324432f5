/* file_test.c - whole files, reasons, and the place where bugs stop us. */
#include "base/base.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/gateway-file-test-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, "hello\n", 6) != 6)
        return -1;
    return close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void whole_file_with_a_nul(void **state)
{
    struct fail why = {""};
    size_t len = 0;

    (void)state;
    char *text = file_read(path, 6, &len, &why); /* its size is the ceiling */
    assert_non_null(text);
    assert_string_equal(text, "hello\n");
    assert_int_equal(len, 6);
    assert_string_equal(why.text, "");
    free(text);
}

static void every_refusal_has_its_reason(void **state)
{
    struct fail why = {""};
    size_t len = 0;

    (void)state;
    assert_null(file_read(path, 5, &len, &why));
    assert_non_null(strstr(why.text, "larger than 5 bytes"));
    assert_null(file_read("/tmp", 100, &len, &why));
    assert_non_null(strstr(why.text, "/tmp: is a directory"));
    assert_null(file_read("/nonexistent/file", 100, &len, &why));
    assert_non_null(strstr(why.text, "No such file"));
    assert_null(file_read("/dev/zero", 100000, &len, &why)); /* no end: the ceiling holds */
    assert_non_null(strstr(why.text, "larger than"));
}

static void files_without_a_size_are_read(void **state)
{
    struct fail why = {""};
    size_t len = 0;

    (void)state;
    char *text = file_read("/proc/self/status", 1 << 20, &len, &why);
    assert_non_null(text);
    assert_int_equal(len, strlen(text));
    assert_true(len > 0);
    free(text);
    text = file_read("/dev/null", 10, &len, &why);
    assert_non_null(text);
    assert_string_equal(text, "");
    assert_int_equal(len, 0);
    free(text);
}

static void reasons_are_cut_and_wrapped(void **state)
{
    struct fail why = {""};

    (void)state;
    assert_false(fail_set(&why, "%s", "inner"));
    assert_false(fail_set(&why, "outer: %s", why.text));
    assert_string_equal(why.text, "outer: inner");
    assert_false(fail_set(&why, "%0600d", 1));
    assert_int_equal(strlen(why.text), sizeof(why.text) - 1);
    assert_false(fail_set(NULL, "nobody %s", "reads"));
}

static void a_bug_names_itself_and_aborts(void **state)
{
    int ends[2], status = 0;
    char text[200] = "";

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        CHECK(1 + 1 == 3);
        _exit(0);
    }
    close(ends[1]);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "file_test.c"));
    assert_non_null(strstr(text, "1 + 1 == 3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_file_with_a_nul),
        cmocka_unit_test(every_refusal_has_its_reason),
        cmocka_unit_test(files_without_a_size_are_read),
        cmocka_unit_test(reasons_are_cut_and_wrapped),
        cmocka_unit_test(a_bug_names_itself_and_aborts),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
