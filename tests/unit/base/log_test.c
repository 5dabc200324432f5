/* log_test.c - the logs: what lines look like, and that nothing makes their
 * writers wait: not a full pipe, not a reader that left, not a full disk.
 *
 * Nobody sleeps here: log_close() ends when all is written, and a pipe is
 * read until what the test waits for has come. */
#include "base/base.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/gateway-log-test-XXXXXX";
static char access_path[64], error_path[64], fifo_path[64];

static int make_folder(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_DFL); /* the writer must stand without anybody ignoring it */
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(access_path, sizeof(access_path), "%s/access", folder);
    snprintf(error_path, sizeof(error_path), "%s/error", folder);
    snprintf(fifo_path, sizeof(fifo_path), "%s/fifo", folder);
    return mkfifo(fifo_path, 0600);
}

static int remove_files(void **state)
{
    (void)state;
    unlink(access_path);
    unlink(error_path);
    return 0;
}

static int remove_folder(void **state)
{
    remove_files(state);
    unlink(fifo_path);
    return rmdir(folder);
}

static void open_log(const char *access, const char *error, bool json)
{
    struct log_options options = {access, error, json, LOG_INFO};
    struct fail why = {""};

    if (!log_open(&options, &why))
        fail_msg("%s", why.text);
}

static char *text_of(const char *path)
{
    struct fail why = {""};
    size_t len;
    char *text = file_read(path, 64 << 20, &len, &why);

    if (text == NULL)
        fail_msg("%s", why.text);
    return text;
}

static void error_lines_as_json(void **state)
{
    (void)state;
    open_log("off", error_path, true);
    assert_false(log_access_is_on());
    log_line(LOG_DEBUG, "below the level");
    log_line(LOG_WARN, "a \"%s\"\n", "quote");
    log_access(STR("nobody wants it"));
    log_close();
    char *text = text_of(error_path);
    assert_memory_equal(text, "{\"time\":\"20", 11);
    const char *rest = strstr(text, "Z\",");
    assert_non_null(rest);
    assert_int_equal(rest - text, strlen("{\"time\":\"2024-01-01T00:00:00.000"));
    assert_string_equal(rest, "Z\",\"level\":\"warn\",\"message\":\"a \\\"quote\\\"\\n\"}\n");
    free(text);
}

static void error_lines_as_text_stay_one_line(void **state)
{
    (void)state;
    open_log("off", error_path, false);
    log_line(LOG_ERROR, "first\r\nfaked %c[2J line", 27);
    log_close();
    char *text = text_of(error_path);
    assert_non_null(strstr(text, "Z error first  faked  [2J line\n"));
    assert_null(strchr(text, 27));
    free(text);
}

static void a_long_message_is_cut(void **state)
{
    (void)state;
    open_log("off", error_path, true);
    log_line(LOG_ERROR, "%0100000d", 1);
    log_close();
    char *text = text_of(error_path);
    size_t len = strlen(text);
    assert_true(len > 4000 && len < 5000);
    assert_string_equal(text + len - 3, "\"}\n");
    free(text);
}

enum { THREADS = 4, LINES = 20000 };

static void *write_lines(void *arg)
{
    const char *name = arg;
    char line[200];

    for (int i = 0; i < LINES; i++) {
        int len = snprintf(line, sizeof(line), "%s %d %0*d", name, i, i % 100 + 1, 0);
        log_access(str_at(line, (size_t)len));
    }
    return NULL;
}

/* Each line is whole, in its thread's order; written plus dropped is all. */
static void lines_of_many_threads_stay_whole(void **state)
{
    static char names[THREADS][2] = {"a", "b", "c", "d"};
    pthread_t threads[THREADS];
    int last[THREADS] = {-1, -1, -1, -1};
    uint64_t lines = 0, before = log_dropped();

    (void)state;
    open_log(access_path, "off", true);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_close();
    char *text = text_of(access_path);
    struct str rest = str_of(text), line;
    while (str_split(&rest, '\n', &line) && line.len > 0) {
        char name, zeros[128];
        int number;
        assert_int_equal(sscanf(line.ptr, "%c %d %127[0]", &name, &number, zeros), 3);
        assert_int_equal(strlen(zeros), number % 100 + 1);
        assert_true(number > last[name - 'a']);
        last[name - 'a'] = number;
        lines++;
    }
    assert_int_equal(lines + (log_dropped() - before), THREADS * LINES);
    free(text);
}

static void a_full_pipe_drops_and_counts(void **state)
{
    int reader = open(fifo_path, O_RDONLY | O_NONBLOCK);
    uint64_t before = log_dropped(), read_lines = 0;
    char line[1000], chunk[65536];
    ssize_t got;

    (void)state;
    assert_true(reader >= 0);
    memset(line, 'x', sizeof(line));
    open_log(fifo_path, "off", true);
    uint64_t start_us = clock_mono_us();
    for (int i = 0; i < 5000; i++) /* five times the ring, and nobody reads */
        log_access(str_at(line, sizeof(line)));
    assert_true(clock_mono_us() - start_us < 1000000);
    assert_true(log_dropped() - before > 3000);
    start_us = clock_mono_us();
    log_close();
    assert_true(clock_mono_us() - start_us < 1500000);
    while ((got = read(reader, chunk, sizeof(chunk))) > 0) {
        for (ssize_t i = 0; i < got; i++)
            read_lines += chunk[i] == '\n';
    }
    close(reader);
    assert_true(read_lines > 0); /* what the pipe holds */
    assert_int_equal(read_lines + (log_dropped() - before), 5000);
}

/* The pipe takes half a line; the other half must not open the new file. */
static void a_new_target_starts_with_a_whole_line(void **state)
{
    int reader = open(fifo_path, O_RDONLY | O_NONBLOCK), waiting = 0;
    uint64_t before = log_dropped(), lines = 0, give_up_us = clock_mono_us() + 10000000;
    char line[1000], chunk[65536];

    (void)state;
    memset(line, 'x', sizeof(line));
    open_log(fifo_path, "off", true);
    for (int i = 0; i < 200; i++)
        log_access(str_at(line, sizeof(line)));
    while (waiting < 65536 && clock_mono_us() < give_up_us)
        assert_int_equal(ioctl(reader, FIONREAD, &waiting), 0);
    assert_int_equal(waiting, 65536);
    open_log(access_path, "off", true);
    log_close();
    ssize_t got = read(reader, chunk, sizeof(chunk));
    for (ssize_t i = 0; i < got; i++)
        lines += chunk[i] == '\n';
    close(reader);
    char *text = text_of(access_path);
    struct str rest = str_of(text), part;
    while (str_split(&rest, '\n', &part) && part.len > 0) {
        assert_int_equal(part.len, sizeof(line));
        lines++;
    }
    assert_int_equal(log_dropped() - before, 1);
    assert_int_equal(lines, 199);
    free(text);
}

static void a_reader_that_left_drops_and_counts(void **state)
{
    int reader = open(fifo_path, O_RDONLY | O_NONBLOCK);
    uint64_t before = log_dropped();

    (void)state;
    open_log(fifo_path, error_path, false);
    close(reader);
    log_access(STR("nobody hears this"));
    log_line(LOG_WARN, "the other log goes on");
    log_close();
    assert_int_equal(log_dropped() - before, 1);
    char *text = text_of(error_path);
    assert_non_null(strstr(text, "goes on\n"));
    free(text);
}

static void a_full_disk_drops_and_counts(void **state)
{
    uint64_t before = log_dropped();

    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    open_log("/dev/full", "off", true);
    log_access(STR("one"));
    log_access(STR("two"));
    log_close();
    assert_int_equal(log_dropped() - before, 2);
}

static void reopening_after_a_rotation(void **state)
{
    char old_path[80];

    (void)state;
    snprintf(old_path, sizeof(old_path), "%s/access.1", folder);
    open_log(access_path, error_path, false);
    assert_int_equal(rename(access_path, old_path), 0);
    log_reopen();
    log_access(STR("after")); /* an open that returned holds for every later line */
    log_close();
    char *text = text_of(access_path);
    assert_string_equal(text, "after\n");
    free(text);
    assert_int_equal(unlink(old_path), 0);
}

static void a_failed_reopen_keeps_the_old_file(void **state)
{
    char moved[80];

    (void)state;
    snprintf(moved, sizeof(moved), "%s/moved", folder);
    open_log(access_path, error_path, false);
    assert_int_equal(rename(access_path, moved), 0);
    assert_int_equal(mkdir(access_path, 0700), 0); /* in the way, for root too */
    log_reopen();
    log_access(STR("still here"));
    log_close();
    char *text = text_of(moved);
    assert_string_equal(text, "still here\n");
    free(text);
    text = text_of(error_path);
    assert_non_null(strstr(text, "stays in use"));
    free(text);
    assert_int_equal(rmdir(access_path), 0);
    assert_int_equal(unlink(moved), 0);
}

static void options_that_cannot_be_had_change_nothing(void **state)
{
    struct log_options bad = {"/nonexistent/access", error_path, true, LOG_DEBUG};
    struct fail why = {""};

    (void)state;
    open_log(access_path, "off", true);
    assert_false(log_open(&bad, &why));
    assert_non_null(strstr(why.text, "/nonexistent/access"));
    log_access(STR("as before"));
    log_close();
    char *text = text_of(access_path);
    assert_string_equal(text, "as before\n");
    free(text);
}

static void without_a_log_lines_go_to_stderr(void **state)
{
    int saved = dup(STDERR_FILENO);
    int fd = open(error_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    (void)state;
    dup2(fd, STDERR_FILENO);
    log_line(LOG_ERROR, "cannot start");
    dup2(saved, STDERR_FILENO);
    close(fd);
    close(saved);
    char *text = text_of(error_path);
    assert_non_null(strstr(text, "cannot start"));
    free(text);
    log_close(); /* never opened: nothing to do */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(error_lines_as_json, remove_files),
        cmocka_unit_test_teardown(error_lines_as_text_stay_one_line, remove_files),
        cmocka_unit_test_teardown(a_long_message_is_cut, remove_files),
        cmocka_unit_test_teardown(lines_of_many_threads_stay_whole, remove_files),
        cmocka_unit_test_teardown(a_full_pipe_drops_and_counts, remove_files),
        cmocka_unit_test_teardown(a_new_target_starts_with_a_whole_line, remove_files),
        cmocka_unit_test_teardown(a_reader_that_left_drops_and_counts, remove_files),
        cmocka_unit_test_teardown(a_full_disk_drops_and_counts, remove_files),
        cmocka_unit_test_teardown(reopening_after_a_rotation, remove_files),
        cmocka_unit_test_teardown(a_failed_reopen_keeps_the_old_file, remove_files),
        cmocka_unit_test_teardown(options_that_cannot_be_had_change_nothing, remove_files),
        cmocka_unit_test_teardown(without_a_log_lines_go_to_stderr, remove_files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
