/* anomaly.c - /anomaly/: a backend that leaks, spins, stalls or hammers its disk, to see who
 * notices.
 *
 * What happens is real: pages are touched, the processor is burnt, the whole program stands still
 * (one thread, so everybody waits), bytes reach the disk. Each has a ceiling, so that a demo
 * cannot take the machine with it. */
#include "origin.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MOST_LEAKED  ((uint64_t)1 << 30)
#define MOST_WRITTEN ((uint64_t)1 << 28)
#define MOST_MS      10000

static struct piece {
    struct piece *next;
} * leaked;
static uint64_t leaked_bytes;

/* bytes=0 gives everything back. */
static const char *leak(uint64_t bytes)
{
    struct piece *piece;

    if (bytes == 0) {
        for (struct piece *next; leaked != NULL; leaked = next) {
            next = leaked->next;
            free(leaked);
        }
        leaked_bytes = 0;
        return NULL;
    }
    if (bytes < sizeof(*piece) || bytes > MOST_LEAKED - leaked_bytes)
        return "bytes is 0, or at least 8, and 1 GiB in all";
    piece = malloc(bytes);
    if (piece == NULL)
        return "there is no more memory";
    memset(piece, 'x', bytes); /* pages that nobody touched would cost nothing */
    piece->next = leaked;
    leaked = piece;
    leaked_bytes += bytes;
    return NULL;
}

/* Of the processor's time, however long that takes. */
static const char *spin(uint64_t ms)
{
    clock_t until = clock() + (clock_t)(ms * (CLOCKS_PER_SEC / 1000));

    if (ms > MOST_MS)
        return "ms is at most 10000";
    while (clock() < until)
        continue;
    return NULL;
}

static const char *stall(uint64_t ms)
{
    struct timespec wait = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    if (ms > MOST_MS)
        return "ms is at most 10000";
    nanosleep(&wait, NULL);
    return NULL;
}

static const char *write_out(uint64_t bytes)
{
    char path[] = "/tmp/origin-anomaly-XXXXXX";
    const char *fault = NULL;
    int fd;

    if (bytes > MOST_WRITTEN)
        return "bytes is at most 256 MiB";
    fd = mkstemp(path);
    if (fd < 0)
        return "there is no place for a file";
    (void)unlink(path);
    for (uint64_t done = 0; done < bytes && fault == NULL; done += sizeof(filler))
        if (write(fd, filler, sizeof(filler)) != (ssize_t)sizeof(filler))
            fault = "the disk is full";
    (void)fsync(fd);
    close(fd);
    return fault;
}

static const struct {
    const char *path, *amount;
    const char *(*act)(uint64_t amount);
} anomalies[] = {
    {"leak", "bytes", leak},
    {"spin", "ms", spin},
    {"stall", "ms", stall},
    {"write", "bytes", write_out},
};

void show_anomaly(struct conn *conn, struct slice rest)
{
    static struct text body;
    const char *fault;
    size_t i = 0;

    while (i < COUNT_OF(anomalies) && !slice_is(rest, anomalies[i].path))
        i++;
    if (i == COUNT_OF(anomalies)) {
        answer_fault(conn, 404, "expected /anomaly/leak, /spin, /stall or /write");
        return;
    }
    fault = anomalies[i].act(query_number(conn->head.query, anomalies[i].amount, 0));
    if (fault != NULL) {
        answer_fault(conn, 400, fault);
        return;
    }
    body.len = 0;
    text_addf(&body, "{\"anomaly\":\"%s\",\"leaked_bytes\":%llu}\n", anomalies[i].path,
              (unsigned long long)leaked_bytes);
    answer_json(conn, 200, &body);
}
