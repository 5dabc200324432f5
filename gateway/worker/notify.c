/* notify.c - tells the service manager how the process is (the sd_notify protocol).
 *
 * One datagram to the socket that NOTIFY_SOCKET names; without it nothing is said. Written
 * here because the protocol is these lines, and the library that has it brings a dozen others.
 * Main thread. */
#include "worker/process_priv.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void tell(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = path != NULL ? strlen(path) : 0;
    int fd;

    if (len < 2 || len >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') /* an abstract one */
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    close(fd);
}

void notify_ready(void)
{
    struct fail text;

    fail_set(&text, "READY=1\nMAINPID=%ld", (long)getpid());
    tell(text.text);
}

void notify_reloading(void)
{
    struct timespec now;
    struct fail text;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    fail_set(&text, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    tell(text.text);
}

void notify_stopping(void)
{
    tell("STOPPING=1");
}
