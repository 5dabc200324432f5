/* server_fixture.h - a scripted Redis on a unix socket, on the test's own loop.
 *
 * It answers the greeting by itself, and then each command with the next line of the script.
 * A line is sent as it stands; NULL says nothing, "CLOSE" ends the connection. */
#ifndef SERVER_FIXTURE_H
#define SERVER_FIXTURE_H
#include "redis/redis_priv.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct scripted {
    struct loop *loop;
    char path[64];
    int listener, fd;
    struct watch *accept, *read;
    const char *const *lines; /* ended by "END" */
    size_t next;
    uint32_t connections, commands, chunks;
    struct buf seen;
};

/* One command's end in RESP: counts "*N" headers, which no word of these tests starts with. */
static inline uint32_t count_commands(const char *bytes, size_t len)
{
    uint32_t count = 0;

    for (size_t i = 0; i < len; i++)
        count += bytes[i] == '*' && (i == 0 || bytes[i - 1] == '\n');
    return count;
}

static inline void scripted_say(struct scripted *server, const char *line)
{
    if (line != NULL && strcmp(line, "CLOSE") == 0) {
        watch_stop(&server->read);
        close(server->fd);
        server->fd = -1;
    } else if (line != NULL && server->fd >= 0) {
        assert_int_equal(write(server->fd, line, strlen(line)), strlen(line));
    }
}

static inline void scripted_read(void *arg, int fd, int ready)
{
    struct scripted *server = arg;
    char bytes[65536];
    ssize_t got = read(fd, bytes, sizeof(bytes));
    uint32_t commands;

    (void)ready;
    if (got <= 0) {
        scripted_say(server, "CLOSE");
        return;
    }
    server->chunks++;
    buf_add(&server->seen, bytes, (size_t)got);
    commands = count_commands(bytes, (size_t)got);
    if (str_has(str_at(bytes, (size_t)got), STR("\r\nPING\r\n"))) {
        scripted_say(server, "+PONG\r\n");
        commands--;
    }
    server->commands += commands;
    while (commands-- > 0 && server->fd >= 0) {
        const char *line = server->lines[server->next];

        if (line != NULL && strcmp(line, "END") == 0)
            continue;
        server->next++;
        scripted_say(server, line);
    }
}

static inline void scripted_accept(void *arg, int fd, int ready)
{
    struct scripted *server = arg;

    (void)ready;
    watch_stop(&server->read);
    if (server->fd >= 0)
        close(server->fd);
    server->fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
    assert_true(server->fd >= 0);
    server->connections++;
    server->read = watch_start(server->loop, server->fd, WATCH_READ, scripted_read, server);
    assert_non_null(server->read);
}

static inline void scripted_start(struct scripted *server, struct loop *loop,
                                  const char *const *lines)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *server = (struct scripted){.loop = loop, .fd = -1, .lines = lines, .seen = buf_new(1 << 20)};
    snprintf(server->path, sizeof(server->path), "/tmp/redis_test.%d.sock", (int)getpid());
    (void)unlink(server->path);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->path);
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->listener, 16), 0);
    server->accept = watch_start(loop, server->listener, WATCH_READ, scripted_accept, server);
    assert_non_null(server->accept);
}

static inline void scripted_stop(struct scripted *server)
{
    watch_stop(&server->accept);
    watch_stop(&server->read);
    close(server->listener);
    if (server->fd >= 0)
        close(server->fd);
    (void)unlink(server->path);
    buf_free(&server->seen);
}

/* ---- what calls brought ---- */

struct answer {
    struct loop *loop;
    int count;
    enum redis_outcome outcome;
    enum redis_form form;
    int64_t integer;
    char text[256];
    bool stops; /* the loop, when it comes */
};

static inline void take_answer(void *arg, enum redis_outcome outcome,
                               const struct redis_reply *reply)
{
    struct answer *answer = arg;

    answer->count++;
    answer->outcome = outcome;
    if (reply != NULL) {
        answer->form = reply->form;
        answer->integer = reply->integer;
        snprintf(answer->text, sizeof(answer->text), "%.*s", STR_ARG(reply->text));
    }
    if (answer->stops)
        loop_stop(answer->loop);
}

static inline void fail_stuck(void *arg)
{
    (void)arg;
    fail_msg("the loop waits for something that does not come");
}

static inline void run_loop(struct loop *loop)
{
    struct deadline stuck = {.fn = fail_stuck};

    assert_true(deadline_set(loop, &stuck, loop_now_us(loop) + UINT64_C(30000000)));
    loop_wait_at_most(loop, 0); /* what was asked outside of a turn leaves at the end of one */
    loop_run(loop);
    deadline_clear(loop, &stuck);
}

static inline void stop_on_up(void *arg, bool is_up, struct str why)
{
    (void)why;
    if (is_up)
        loop_stop(arg);
}

static inline void stop_on_down(void *arg, bool is_up, struct str why)
{
    (void)why;
    if (!is_up)
        loop_stop(arg);
}

static inline struct redis *connect_to(struct loop *loop, const char *url_text,
                                       const struct redis_options *base)
{
    struct redis_options options = *base;
    struct fail why = {""};
    struct redis *redis;

    assert_true(redis_url_parse(str_of(url_text), &options.url, &why));
    if (options.changed == NULL) {
        options.changed = stop_on_up;
        options.arg = loop;
    }
    redis = redis_new(loop, &options);
    assert_non_null(redis);
    run_loop(loop);
    assert_true(redis_is_up(redis));
    return redis;
}

static inline struct redis_call *ask(struct redis *redis, const char *word, uint64_t deadline_us,
                                     struct answer *answer)
{
    struct str words[] = {STR("GET"), str_of(word)};
    struct redis_command command = {.words = words,
                                    .count = 2,
                                    .key = words[1],
                                    .deadline_us = deadline_us,
                                    .fn = take_answer,
                                    .arg = answer};

    return redis_send(redis, &command);
}

#endif
