/* listen.c - listening sockets, and what --check says of listeners and certificates.
 *
 * TCP sockets share their address among the workers by SO_REUSEPORT; the first one is probed
 * without it, so that a second gateway does not steal half of the first one's clients.
 * Main thread. */
#include "server/server_priv.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

static int open_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static bool bind_tcp(const struct addrinfo *info, bool share, int *fd)
{
    int on = 1;

    *fd = open_socket(info->ai_family);
    if (*fd < 0)
        return false;
    (void)setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        (void)setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if ((share && setsockopt(*fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        bind(*fd, info->ai_addr, info->ai_addrlen) != 0 || listen(*fd, BACKLOG) != 0) {
        int error = errno;

        close(*fd);
        errno = error;
        return false;
    }
    return true;
}

static uint16_t port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.v6 = {0}};
    socklen_t size = sizeof(address);

    if (getsockname(fd, &address.any, &size) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static bool open_tcp(const struct listen_config *listen, uint16_t port, bool probe,
                     struct server_socket *out, struct fail *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *found = NULL;
    struct fail text;
    int error, fd;
    bool ok = false;

    fail_set(&text, "%u", port != 0 ? port : listen->port);
    error = getaddrinfo(listen->address.ptr, text.text, &hints, &found);
    if (error != 0)
        return fail_set(why, "%s: %s", listen->address.ptr, gai_strerror(error));
    if (probe && listen->port != 0) {
        if (!bind_tcp(found, false, &fd)) {
            fail_set(why, "%s:%s: %s", listen->address.ptr, text.text, strerror(errno));
            goto done;
        }
        close(fd);
    }
    if (!bind_tcp(found, true, &out->fd)) {
        fail_set(why, "%s:%s: %s", listen->address.ptr, text.text, strerror(errno));
        goto done;
    }
    out->port = port_of(out->fd);
    ok = true;
done:
    freeaddrinfo(found);
    return ok;
}

/* A path that nobody listens on any more is a left-over of a process that was killed. */
static void remove_stale(const struct sockaddr_un *address)
{
    int fd = open_socket(AF_UNIX);

    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
        errno == ECONNREFUSED)
        (void)unlink(address->sun_path);
    close(fd);
}

static bool open_unix(const struct listen_config *config, struct server_socket *out,
                      struct fail *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (config->address.len >= sizeof(address.sun_path))
        return fail_set(why, "unix:%s: the path is longer than %zu bytes", config->address.ptr,
                        sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, config->address.ptr, config->address.len);
    remove_stale(&address);
    out->port = 0;
    out->fd = open_socket(AF_UNIX);
    if (out->fd < 0 || bind(out->fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(out->fd, BACKLOG) != 0) {
        fail_set(why, "unix:%s: %s", config->address.ptr, strerror(errno));
        if (out->fd >= 0)
            close(out->fd);
        return false;
    }
    return true;
}

bool server_socket_open(const struct listen_config *listen, uint16_t port, bool probe,
                        struct server_socket *out, struct fail *why)
{
    return listen->is_unix ? open_unix(listen, out, why) : open_tcp(listen, port, probe, out, why);
}

void server_check(const struct config *config, struct faults *faults)
{
    for (uint32_t i = 0; i < config->server.listen_count; i++) {
        const struct listen_config *listen = &config->server.listen[i];
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
        struct fail path;
        int error;

        fail_set(&path, "server.listen[%u]", i);
        if (listen->is_unix)
            continue;
        error = getaddrinfo(listen->address.ptr, NULL, &hints, &found);
        if (error != 0)
            faults_add(faults, config, path.text, "%s: %s, expected an address of this machine",
                       listen->address.ptr, gai_strerror(error));
        else
            freeaddrinfo(found);
    }
    for (uint32_t i = 0; i < config->server.tls_count; i++) {
        struct tls_config one = config->server.tls[i];
        struct fail path, why;

        fail_set(&path, "server.tls.%s", one.name.ptr);
        if (!tls_try(&one, &why))
            faults_add(faults, config, path.text, "%s", why.text);
    }
}
