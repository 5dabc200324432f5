/* base_priv.h - what log.c and log_writer.c share.
 *
 * log.c makes lines and opens files, in the callers' threads; log_writer.c owns
 * the rings and the thread that writes them out. */
#ifndef GATEWAY_BASE_PRIV_H
#define GATEWAY_BASE_PRIV_H
#include "base/base.h"

enum log_stream { STREAM_ACCESS, STREAM_ERROR, STREAM_COUNT };

/* Starts the thread. False when it cannot. Nothing is written before
 * log_writer_set_fd(). */
bool log_writer_start(struct fail *why) MUST_USE;
/* The stream's new target; owned by the writer from here on; -1 for none. */
void log_writer_set_fd(enum log_stream stream, int fd);
/* Queues `line` and a newline. False when there is no writer. A line that finds no
 * room is dropped and counted, and that is true. */
bool log_writer_add(enum log_stream stream, struct str line);
/* Writes what is left, for a second at most, closes all and ends the thread. */
void log_writer_stop(void);
uint64_t log_writer_dropped(void);

#endif
