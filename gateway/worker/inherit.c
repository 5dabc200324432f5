/* inherit.c - listening sockets that come from somebody else, and go to a successor.
 *
 * A service manager passes them as LISTEN_FDS (sd_listen_fds), a gateway that is replaced by a
 * new binary as GATEWAY_SOCKETS. Passing the sockets themselves, and not opening new ones
 * beside them, is what loses no connection: those who wait in a socket's queue wait on. A
 * socket is matched to a listener of the configuration by its address. Main thread. */
#include "worker/process_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_PASSED_FD 3 /* sd_listen_fds(3) */

static void add_fd(struct inherited *inherited, uint64_t fd)
{
    int flags = fd < INT32_MAX ? fcntl((int)fd, F_GETFL) : -1;

    if (flags < 0 || inherited->count == INHERITED_MOST)
        return;
    (void)fcntl((int)fd, F_SETFL, flags | O_NONBLOCK);
    (void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    inherited->fds[inherited->count++] = (int)fd;
}

static bool number_of(const char *name, uint64_t *number)
{
    const char *text = getenv(name);

    return text != NULL && str_to_u64(str_of(text), number);
}

void inherit_read(struct inherited *inherited)
{
    struct str rest = str_of(getenv("GATEWAY_SOCKETS")), text;
    uint64_t number, count;

    inherited->count = 0;
    if (number_of("LISTEN_PID", &number) && number == (uint64_t)getpid() &&
        number_of("LISTEN_FDS", &count))
        for (uint64_t i = 0; i < count; i++)
            add_fd(inherited, FIRST_PASSED_FD + i);
    inherited->is_ours = rest.len > 0;
    while (rest.len > 0 && str_split(&rest, ',', &text))
        if (str_to_u64(text, &number))
            add_fd(inherited, number);
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    (void)unsetenv("GATEWAY_SOCKETS");
}

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un path;
};

static uint16_t port_of(const union any_address *address)
{
    return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
}

static bool same_host(const union any_address *address, const struct listen_config *listen)
{
    struct addrinfo hints = {.ai_family = address->any.sa_family, .ai_flags = AI_PASSIVE},
                    *found = NULL;
    bool same = false;

    if (getaddrinfo(listen->address.ptr, NULL, &hints, &found) != 0)
        return false;
    if (address->any.sa_family == AF_INET)
        same = memcmp(&((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr,
                      &address->v4.sin_addr, sizeof(address->v4.sin_addr)) == 0;
    else
        same = memcmp(&((struct sockaddr_in6 *)(void *)found->ai_addr)->sin6_addr,
                      &address->v6.sin6_addr, sizeof(address->v6.sin6_addr)) == 0;
    freeaddrinfo(found);
    return same;
}

static bool fits(int fd, const struct listen_config *listen, uint16_t port, uint16_t *real)
{
    union any_address address = {.any = {0}};
    socklen_t size = sizeof(address);

    if (getsockname(fd, &address.any, &size) != 0)
        return false;
    *real = 0;
    if (address.any.sa_family == AF_UNIX)
        return listen->is_unix && str_eq(str_of(address.path.sun_path), listen->address);
    if (listen->is_unix || (address.any.sa_family != AF_INET && address.any.sa_family != AF_INET6))
        return false;
    *real = port_of(&address);
    return (port == 0 || port == *real) && same_host(&address, listen);
}

int inherit_take(struct inherited *inherited, const struct listen_config *listen, uint16_t port,
                 uint16_t *real)
{
    uint16_t wanted = port != 0 ? port : listen->port;

    for (uint32_t i = 0; inherited != NULL && i < inherited->count; i++) {
        int fd = inherited->fds[i];

        if (!fits(fd, listen, wanted, real) ||
            (!listen->is_unix && wanted == 0 && !inherited->is_ours))
            continue;
        inherited->count--; /* in order: a predecessor's come listener by listener */
        memmove(&inherited->fds[i], &inherited->fds[i + 1],
                (inherited->count - i) * sizeof(inherited->fds[0]));
        return fd;
    }
    return -1;
}

void inherit_close(struct inherited *inherited)
{
    while (inherited->count > 0) {
        int fd = inherited->fds[--inherited->count];

        log_line(LOG_WARN, "socket %d was passed, and no listener has its address: closed", fd);
        close(fd);
    }
}

/* ---- the other way ---- */

/* "KEY=…" of ours replace those of the environment. NULL: out of memory. */
static char **environment_with(const char *sockets, const char *predecessor)
{
    size_t count = 0, kept = 0;
    char **all;

    while (environ[count] != NULL)
        count++;
    all = calloc(count + 3, sizeof(*all));
    if (all == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (!str_starts(str_of(environ[i]), STR("GATEWAY_SOCKETS=")) &&
            !str_starts(str_of(environ[i]), STR("GATEWAY_PREDECESSOR=")))
            all[kept++] = environ[i];
    all[kept++] = (char *)(uintptr_t)sockets;
    all[kept++] = (char *)(uintptr_t)predecessor;
    return all;
}

pid_t inherit_pass_on(const char *program, const char *file, const int *fds, uint32_t count,
                      struct fail *why)
{
    char *words[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "-c", (char *)(uintptr_t)file,
                     NULL};
    struct buf sockets = buf_new(INHERITED_MOST * 12);
    posix_spawn_file_actions_t actions;
    struct fail predecessor;
    char **environment = NULL;
    int error = ENOMEM;
    pid_t pid = -1;

    if (file == NULL)
        words[1] = NULL;
    CHECK(posix_spawn_file_actions_init(&actions) == 0);
    buf_add_str(&sockets, STR("GATEWAY_SOCKETS="));
    for (uint32_t i = 0; i < count; i++) {
        buf_addf(&sockets, "%s%d", i > 0 ? "," : "", fds[i]);
        /* onto itself: stays open over exec (POSIX.1-2024; glibc 2.29) */
        CHECK(posix_spawn_file_actions_adddup2(&actions, fds[i], fds[i]) == 0);
    }
    fail_set(&predecessor, "GATEWAY_PREDECESSOR=%ld", (long)getpid());
    if (buf_add_char(&sockets, '\0'))
        environment = environment_with(sockets.ptr, predecessor.text);
    if (environment != NULL)
        error = posix_spawn(&pid, program, &actions, NULL, words, environment);
    if (error != 0) {
        fail_set(why, "%s: %s", program, strerror(error));
        pid = -1;
    }
    free(environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    buf_free(&sockets);
    return pid;
}
