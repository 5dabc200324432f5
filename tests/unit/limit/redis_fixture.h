/* redis_fixture.h - a real redis-server of the test's own, and a few blocking commands to it.
 *
 * On a unix socket in a directory of its own, without persistence, ended by its pid.
 * Header only, because a unit test is one file. */
#ifndef LIMIT_REDIS_FIXTURE_H
#define LIMIT_REDIS_FIXTURE_H
#include "base/base.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct server {
    char dir[64], path[96];
    pid_t pid;
    int fd;
    char in[65536]; /* what came and was not read yet */
    size_t start, end;
};

/* REDIS_SERVER names another: another version, Valkey. */
static inline const char *server_program(void)
{
    const char *named = getenv("REDIS_SERVER");

    return named != NULL ? named : "/usr/bin/redis-server";
}

static inline bool server_is_installed(void)
{
    return access(server_program(), X_OK) == 0;
}

static inline void server_spawn(struct server *server)
{
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
    if (freopen("/dev/null", "w", stdout) == NULL)
        _exit(127);
    execl(server_program(), "redis-server", "--port", "0", "--unixsocket", server->path, "--save",
          "", "--appendonly", "no", "--dir", server->dir, (char *)NULL);
    _exit(127);
}

static inline void server_connect(struct server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->path);
    server->start = server->end = 0;
    server->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    for (int tries = 0; tries < 1000; tries++) {
        if (connect(server->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
            return;
        usleep(10000);
    }
    fail_msg("redis-server did not come up");
}

static inline void server_start(struct server *server)
{
    *server = (struct server){.dir = "/tmp/limit_redis_XXXXXX", .fd = -1};
    assert_non_null(mkdtemp(server->dir));
    snprintf(server->path, sizeof(server->path), "%s/socket", server->dir);
    server_spawn(server);
    server_connect(server);
}

static inline void server_kill(struct server *server)
{
    close(server->fd);
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    unlink(server->path);
}

static inline void server_stop(struct server *server)
{
    server_kill(server);
    rmdir(server->dir);
}

/* ---- RESP2, blocking ---- */

static inline char server_byte(struct server *server)
{
    if (server->start == server->end) {
        ssize_t got = read(server->fd, server->in, sizeof(server->in));

        assert_true(got > 0);
        server->start = 0;
        server->end = (size_t)got;
    }
    return server->in[server->start++];
}

static inline int64_t server_number(struct server *server)
{
    int64_t value = 0, sign = 1;
    char c = server_byte(server);

    if (c == '-') {
        sign = -1;
        c = server_byte(server);
    }
    for (; c >= '0' && c <= '9'; c = server_byte(server))
        value = value * 10 + (c - '0');
    assert_int_equal(c, '\r');
    assert_int_equal(server_byte(server), '\n');
    return sign * value;
}

/* The next string of the reply: into `out`; elements of arrays are read one by one. An error
 * fails the test. Returns the type's byte; '*' leaves the count in *number. */
static inline char server_reply(struct server *server, struct buf *out, int64_t *number)
{
    char type = server_byte(server);

    buf_clear(out);
    if (type == '-' || type == '+') {
        for (char c = server_byte(server); c != '\n'; c = server_byte(server))
            buf_add_char(out, c);
        if (type == '-')
            fail_msg("redis: %.*s", STR_ARG(buf_str(out)));
        return type;
    }
    *number = server_number(server);
    if (type == '$' && *number >= 0) {
        for (int64_t i = 0; i < *number; i++)
            buf_add_char(out, server_byte(server));
        (void)server_byte(server);
        (void)server_byte(server);
    }
    return type;
}

static inline void server_send(struct server *server, const struct str *words, size_t count)
{
    struct buf out = buf_new(1 << 20);

    buf_addf(&out, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++) {
        buf_addf(&out, "$%zu\r\n", words[i].len);
        buf_add_str(&out, words[i]);
        buf_add_str(&out, STR("\r\n"));
    }
    assert_int_equal(write(server->fd, out.ptr, out.len), out.len);
    buf_free(&out);
}

#endif
