/* main.c - options, the listening socket and the loop of the sample backend.
 *
 *   origin [--port N | --listen 127.0.0.1:N] [--port-file FILE] [--record FILE]
 *
 * Port 0 takes a free one. Once it accepts, one line on stderr names the address; the port file,
 * if asked for, holds the bare number. It listens on loopback only: much of what it does on
 * purpose would be a hole elsewhere. */
#include "origin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_A_TURN 256

struct options {
    uint16_t port;
    const char *port_file, *record;
};

static bool read_port(const char *words, uint16_t *port)
{
    const char *colon = strrchr(words, ':');
    struct slice digits;
    uint64_t number;

    if (colon != NULL && strncmp(words, "127.0.0.1:", 10) != 0)
        return false;
    words = colon == NULL ? words : colon + 1;
    digits = (struct slice){words, strlen(words)};
    if (!slice_number(digits, &number) || number > UINT16_MAX)
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool read_options(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 >= argc)
            return false;
        if (strcmp(argv[i], "--port-file") == 0)
            options->port_file = argv[i + 1];
        else if (strcmp(argv[i], "--record") == 0)
            options->record = argv[i + 1];
        else if ((strcmp(argv[i], "--port") != 0 && strcmp(argv[i], "--listen") != 0) ||
                 !read_port(argv[i + 1], &options->port))
            return false;
    }
    return true;
}

static int listen_on(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof address;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return -1;
    *port = ntohs(address.sin_port);
    return fd;
}

static bool announce(const struct options *options)
{
    FILE *file;

    if (options->port_file != NULL) {
        file = fopen(options->port_file, "w");
        if (file == NULL)
            return false;
        (void)fprintf(file, "%u\n", options->port);
        if (fclose(file) != 0)
            return false;
    }
    (void)fprintf(stderr, "origin: ready on http://127.0.0.1:%u\n", options->port);
    return true;
}

static void accept_all(int epoll, int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0)
            conn_accept(epoll, fd);
        else if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

static _Noreturn void serve(int epoll, int listener)
{
    struct epoll_event events[EVENTS_A_TURN];

    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS_A_TURN, conn_timers());

        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == NULL)
                accept_all(epoll, listener);
            else
                conn_ready(events[i].data.ptr, events[i].events);
        }
    }
}

int main(int argc, char **argv)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    struct options options = {.port = 9001};
    struct rlimit files;
    int epoll, listener;

    if (!read_options(argc, argv, &options)) {
        (void)fputs("usage: origin [--port N | --listen 127.0.0.1:N] [--port-file FILE] "
                    "[--record FILE]\n",
                    stderr);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    filler_fill();
    listener = listen_on(&options.port);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0 || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) {
        (void)fprintf(stderr, "origin: cannot listen on port %u: %s\n", options.port,
                      strerror(errno));
        return 3;
    }
    if ((options.record != NULL && !record_open(options.record)) || !announce(&options)) {
        (void)fprintf(stderr, "origin: cannot write a file: %s\n", strerror(errno));
        return 1;
    }
    serve(epoll, listener);
}
