/* log_writer.c - one thread that writes what all others have to say.
 *
 * Each stream is a ring of bytes; adding a line takes one lock for the length
 * of a memcpy. The writer takes whole stretches out of the ring and writes them
 * without the lock: adders only ever write in front of what it reads. After a
 * write it gathers for a few milliseconds before it looks again, so a busy
 * gateway makes one system call for hundreds of lines, and adders wake it only
 * when it sleeps for good or its ring is half full.
 *
 * Targets are non-blocking where possible: a full pipe leaves the lines in the
 * ring, and a full ring drops new ones. An error (disk full, no reader) drops
 * what was being written. Every line lost is counted. */
#include "base/base_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    RING_BYTES = 1 << 20,
    GATHER_US = 5000,  /* between two rounds of writing */
    RETRY_US = 20000,  /* when the only lines left are for a target that is full */
    CLOSE_US = 800000, /* for the last lines; the second that log_close() may take holds more */
    PROMISED_BYTES = PIPE_BUF /* what poll() promises that a pipe takes at once */
};

struct stream {
    char *ring;
    uint64_t head, tail; /* bytes ever added, and ever taken out; head - tail are in the ring */
    int fd;              /* the writer's; -1: drop everything silently */
    int next_fd;         /* NO_CHANGE, or what becomes fd */
    bool is_torn;        /* a line was cut by an error: a newline must come first */
    bool is_stuck;       /* the target takes nothing now */
};

enum { NO_CHANGE = -2 };

enum sleep { AWAKE, GATHERING, IDLE };

struct writer {
    pthread_t thread;
    pthread_cond_t wake;
    struct stream streams[STREAM_COUNT];
    enum sleep sleep;
    bool is_closing;
    uint64_t close_by_us; /* monotonic; when is_closing */
};

/* Guards `writer`, what it points to except for what is the thread's own, and the count. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct writer *writer;
static uint64_t dropped;

static void writer_free(struct writer *w)
{
    for (int i = 0; i < STREAM_COUNT; i++) {
        struct stream *stream = &w->streams[i];
        free(stream->ring);
        if (stream->fd >= 0)
            close(stream->fd);
        if (stream->next_fd >= 0)
            close(stream->next_fd);
    }
    pthread_cond_destroy(&w->wake);
    free(w);
}

/* Bytes in one piece that wait from `tail` on; at most up to the ring's end. */
static size_t stretch(const struct stream *stream)
{
    uint64_t waiting = stream->head - stream->tail;
    uint64_t to_end = RING_BYTES - stream->tail % RING_BYTES;

    return (size_t)(waiting < to_end ? waiting : to_end);
}

static uint64_t count_lines(const char *bytes, size_t len)
{
    uint64_t lines = 0;

    for (size_t i = 0; i < len; i++)
        lines += bytes[i] == '\n';
    return lines;
}

/* Gives up what waits. Called with the lock held. */
static void drop_waiting(struct stream *stream)
{
    while (stream->head != stream->tail) {
        size_t len = stretch(stream);
        dropped += count_lines(stream->ring + stream->tail % RING_BYTES, len);
        stream->tail += len;
    }
}

/* Has the target got the beginning of a line only? Called with the lock held. */
static bool is_mid_line(const struct stream *stream)
{
    return stream->tail > 0 && stream->ring[(stream->tail - 1) % RING_BYTES] != '\n';
}

/* One write that does not wait, as far as the target allows it. -1 with errno. */
static ssize_t write_some(int fd, const char *bytes, size_t len)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    ssize_t sent = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent >= 0 || errno != ENOTSOCK)
        return sent;
    if ((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0)
        return write(fd, bytes, len);
    if (poll(&ready, 1, 0) <= 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(fd, bytes, len < PROMISED_BYTES ? len : PROMISED_BYTES);
}

/* Writes one stretch. Called with the lock held, which it gives up meanwhile: only
 * this thread moves `tail`, and adders stay in front of `head`. */
static void write_stretch(struct stream *stream)
{
    size_t len = stretch(stream);
    const char *bytes = stream->ring + stream->tail % RING_BYTES;
    int fd = stream->fd;
    ssize_t sent = (ssize_t)len;

    pthread_mutex_unlock(&lock);
    if (fd >= 0 && stream->is_torn)
        stream->is_torn = (sent = write_some(fd, "\n", 1)) != 1;
    if (fd >= 0 && !stream->is_torn)
        sent = write_some(fd, bytes, len);
    int error = errno;
    pthread_mutex_lock(&lock);
    if (sent >= 0) {
        stream->tail += (uint64_t)sent;
        stream->is_stuck = sent == 0;
    } else if (error == EAGAIN) {
        stream->is_stuck = true;
    } else if (error != EINTR) {
        stream->is_torn = stream->is_torn || is_mid_line(stream);
        drop_waiting(stream);
    }
}

/* Called with the lock held. */
static void change_target(struct stream *stream)
{
    if (stream->next_fd == NO_CHANGE)
        return;
    if (is_mid_line(stream)) { /* its second half would make no sense in the new target */
        while (is_mid_line(stream) && stream->tail != stream->head)
            stream->tail++;
        dropped++;
    }
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = stream->next_fd;
    stream->next_fd = NO_CHANGE;
    stream->is_torn = false;
    stream->is_stuck = false;
}

/* Waits until woken or `us` have passed; 0: until woken. Called with the lock held. */
static void sleep_for(struct writer *w, enum sleep how, uint64_t us)
{
    struct timespec until;
    uint64_t until_us = clock_mono_us() + us;

    w->sleep = how;
    until.tv_sec = (time_t)(until_us / 1000000);
    until.tv_nsec = (long)(until_us % 1000000) * 1000;
    int status = 0;
    while (w->sleep != AWAKE && status == 0) {
        status = us == 0 ? pthread_cond_wait(&w->wake, &lock)
                         : pthread_cond_timedwait(&w->wake, &lock, &until);
    }
    w->sleep = AWAKE;
}

/* Writes what every stream has and its target takes. True when something is left to do. */
static bool write_round(struct writer *w)
{
    bool has_more = false;

    for (int i = 0; i < STREAM_COUNT; i++) {
        struct stream *stream = &w->streams[i];
        change_target(stream);
        stream->is_stuck = false;
        uint64_t until = stream->head; /* no further: the other stream waits */
        while (stream->tail < until && !stream->is_stuck)
            write_stretch(stream);
        has_more = has_more || stream->head != stream->tail || stream->next_fd != NO_CHANGE;
    }
    return has_more;
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;

    pthread_setname_np(pthread_self(), "gateway-log");
    pthread_mutex_lock(&lock);
    while (!w->is_closing) {
        bool has_more = write_round(w);
        bool is_stuck = w->streams[STREAM_ACCESS].is_stuck || w->streams[STREAM_ERROR].is_stuck;
        if (w->is_closing)
            break;
        if (is_stuck)
            sleep_for(w, GATHERING, RETRY_US);
        else if (!has_more)
            sleep_for(w, IDLE, 0);
        if (!w->is_closing)
            sleep_for(w, GATHERING, GATHER_US);
    }
    while (write_round(w) && clock_mono_us() < w->close_by_us) {
        w->sleep = GATHERING;
        pthread_mutex_unlock(&lock);
        poll(NULL, 0, 1);
        pthread_mutex_lock(&lock);
    }
    for (int i = 0; i < STREAM_COUNT; i++)
        drop_waiting(&w->streams[i]);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static struct writer *writer_new(void)
{
    struct writer *w = calloc(1, sizeof(*w));
    pthread_condattr_t attributes;

    if (w == NULL)
        return NULL;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    bool is_whole = true;
    for (int i = 0; i < STREAM_COUNT; i++) {
        w->streams[i] = (struct stream){.fd = -1, .next_fd = NO_CHANGE, .ring = malloc(RING_BYTES)};
        is_whole = is_whole && w->streams[i].ring != NULL;
    }
    if (!is_whole) {
        writer_free(w);
        return NULL;
    }
    return w;
}

bool log_writer_start(struct fail *why)
{
    sigset_t all, before;

    if (writer != NULL) /* only the main thread starts and stops it */
        return true;
    struct writer *w = writer_new();
    if (w == NULL)
        return fail_set(why, "log: out of memory");
    sigfillset(&all); /* signals are the main thread's; SIGPIPE must not kill us */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&w->thread, NULL, writer_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        writer_free(w);
        return fail_set(why, "log: cannot start its thread: %s", strerror(error));
    }
    pthread_mutex_lock(&lock);
    writer = w;
    pthread_mutex_unlock(&lock);
    return true;
}

/* Called with the lock held. */
static void wake(struct writer *w)
{
    w->sleep = AWAKE;
    pthread_cond_signal(&w->wake);
}

void log_writer_set_fd(enum log_stream stream, int fd)
{
    pthread_mutex_lock(&lock);
    struct stream *changed = &writer->streams[stream];
    if (changed->next_fd >= 0)
        close(changed->next_fd);
    changed->next_fd = fd;
    wake(writer);
    pthread_mutex_unlock(&lock);
}

/* Called with the lock held; there is room. */
static void copy_in(struct stream *stream, const char *bytes, size_t len)
{
    size_t at = (size_t)(stream->head % RING_BYTES);
    size_t to_end = RING_BYTES - at;
    size_t first = len < to_end ? len : to_end;

    memcpy(stream->ring + at, bytes, first);
    memcpy(stream->ring, bytes + first, len - first);
    stream->head += len;
}

bool log_writer_add(enum log_stream stream, struct str line)
{
    pthread_mutex_lock(&lock);
    struct writer *w = writer;
    if (w == NULL) {
        pthread_mutex_unlock(&lock);
        return false;
    }
    struct stream *to = &w->streams[stream];
    uint64_t used = to->head - to->tail;
    /* a newline, and one byte that stays: is_mid_line() looks at what was taken out last */
    if (line.len + 2 > RING_BYTES - used) {
        dropped++;
    } else {
        if (line.len > 0)
            copy_in(to, line.ptr, line.len);
        copy_in(to, "\n", 1);
        if (w->sleep == IDLE || (w->sleep == GATHERING && used > RING_BYTES / 2 && !to->is_stuck))
            wake(w);
    }
    pthread_mutex_unlock(&lock);
    return true;
}

void log_writer_stop(void)
{
    struct timespec until;

    pthread_mutex_lock(&lock);
    struct writer *w = writer;
    writer = NULL;
    if (w != NULL) {
        w->is_closing = true;
        w->close_by_us = clock_mono_us() + CLOSE_US;
        wake(w);
    }
    pthread_mutex_unlock(&lock);
    if (w == NULL)
        return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    if (pthread_timedjoin_np(w->thread, NULL, &until) == 0)
        writer_free(w);
    else
        pthread_detach(w->thread); /* stuck in the kernel: it and its memory end with us */
}

uint64_t log_writer_dropped(void)
{
    pthread_mutex_lock(&lock);
    uint64_t count = dropped;
    pthread_mutex_unlock(&lock);
    return count;
}
