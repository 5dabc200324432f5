/* log.c - lines for the logs: what they look like and where they go.
 *
 * A line is made in the thread that has something to say and handed to the
 * writer (log_writer.c), so that a slow disk or a full pipe never holds up a
 * request. Before the writer starts and after it ended, error lines go straight
 * to stderr: nobody waits then, and a reason not to start must be seen.
 *
 * Any thread, but log_open(), log_reopen() and log_close() are the main
 * thread's. The state here is the process's one log, hence global. */
#include "base/base_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, MESSAGE_BYTES = 4096, LINE_BYTES = 32768 };

static struct {
    char paths[STREAM_COUNT][PATH_BYTES]; /* the main thread's; empty: not open */
    atomic_bool is_on[STREAM_COUNT];
    atomic_bool is_json;
    atomic_int level;
} logs = {.level = LOG_INFO};

/* A copy of stdout or stderr that can be set non-blocking without changing it for
 * the other programs of the terminal: opened anew where the kernel lets us (not
 * for sockets, nor when it belongs to another user), else a plain duplicate. */
static int open_inherited(int fd)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int opened = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return opened >= 0 ? opened : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* True with *fd -1 for "off". */
static bool open_path(const char *path, int *fd, struct fail *why)
{
    *fd = -1;
    if (strcmp(path, "off") == 0)
        return true;
    if (strlen(path) >= PATH_BYTES)
        return fail_set(why, "log: a path of more than %d bytes", PATH_BYTES - 1);
    if (strcmp(path, "stdout") == 0)
        *fd = open_inherited(STDOUT_FILENO);
    else if (strcmp(path, "stderr") == 0)
        *fd = open_inherited(STDERR_FILENO);
    else
        *fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
    if (*fd < 0)
        return fail_set(why, "log: cannot open %s: %s", path, strerror(errno));
    return true;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void use_path(enum log_stream stream, const char *path, int fd)
{
    memcpy(logs.paths[stream], path, strlen(path) + 1);
    log_writer_set_fd(stream, fd);
    atomic_store(&logs.is_on[stream], fd >= 0);
}

bool log_open(const struct log_options *options, struct fail *why)
{
    const char *access_path = options->access_path != NULL ? options->access_path : "off";
    const char *error_path = options->error_path != NULL ? options->error_path : "stderr";
    int access_fd = -1, error_fd = -1;

    if (!open_path(access_path, &access_fd, why) || !open_path(error_path, &error_fd, why) ||
        !log_writer_start(why)) {
        close_fd(access_fd);
        close_fd(error_fd);
        return false;
    }
    use_path(STREAM_ACCESS, access_path, access_fd);
    use_path(STREAM_ERROR, error_path, error_fd);
    atomic_store(&logs.is_json, options->json);
    atomic_store(&logs.level, (int)options->level);
    return true;
}

void log_reopen(void)
{
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        struct fail why = {""};
        int fd;
        if (!atomic_load(&logs.is_on[stream]))
            continue;
        if (open_path(logs.paths[stream], &fd, &why))
            log_writer_set_fd((enum log_stream)stream, fd);
        else
            log_line(LOG_ERROR, "%s; the file open so far stays in use", why.text);
    }
}

void log_close(void)
{
    atomic_store(&logs.is_on[STREAM_ACCESS], false);
    log_writer_stop();
    atomic_store(&logs.is_on[STREAM_ERROR], false);
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return "debug";
    case LOG_INFO:
        return "info";
    case LOG_WARN:
        return "warn";
    case LOG_ERROR:
        return "error";
    }
    return "error";
}

/* RFC 3339, UTC, milliseconds. */
static void write_time(char out[32])
{
    int64_t now_us = clock_wall_us();
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm utc;
    char date[24];

    gmtime_r(&seconds, &utc);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out, 32, "%s.%03dZ", date, (int)(now_us / 1000 % 1000));
}

/* What came from outside must not start a line of its own, nor move a cursor. */
static void blank_controls(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F)
            text[i] = ' ';
    }
}

static void make_line(struct buf *line, enum log_level level, char *message, size_t len)
{
    char now[32];

    write_time(now);
    if (atomic_load(&logs.is_json)) {
        buf_addf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", now, level_name(level));
        buf_add_json(line, str_at(message, len));
        buf_add_char(line, '}');
    } else {
        blank_controls(message, len);
        buf_addf(line, "%s %-5s ", now, level_name(level));
        buf_add(line, message, len);
    }
}

void log_line(enum log_level level, const char *format, ...)
{
    char message[MESSAGE_BYTES];
    struct buf line = buf_new(LINE_BYTES); /* each byte may become six in JSON */
    va_list args;

    if ((int)level < atomic_load_explicit(&logs.level, memory_order_relaxed))
        return;
    va_start(args, format);
    int length = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (length < 0)
        return;
    size_t len = (size_t)length < sizeof(message) ? (size_t)length : sizeof(message) - 1;
    make_line(&line, level, message, len);
    if (!line.is_broken && !log_writer_add(STREAM_ERROR, buf_str(&line))) {
        buf_add_char(&line, '\n');
        if (write(STDERR_FILENO, line.ptr, line.len) < 0)
            buf_clear(&line); /* nobody left to tell */
    }
    buf_free(&line);
}

void log_access(struct str line)
{
    if (log_access_is_on())
        (void)!log_writer_add(STREAM_ACCESS, line);
}

bool log_access_is_on(void)
{
    return atomic_load_explicit(&logs.is_on[STREAM_ACCESS], memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return log_writer_dropped();
}
