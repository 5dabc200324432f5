/* board.c - what any worker has read of a key, for all of them.
 *
 * However many workers watch a job, one of them reads it each period: whoever comes first after
 * the period claims it, the others find here what it read. A claim whose reader says nothing (its
 * connection is gone, or its worker ends) lapses. Notes live while a worker watches their key.
 * Values are copied in and out under one lock, which nobody holds across anything else.
 * Any thread. */
#include "jobs/jobs_priv.h"

#include <pthread.h>
#include <stdlib.h>

struct board_note {
    struct str key; /* owned */
    uint32_t holders;
    enum job_state state;
    struct buf value;
    uint64_t version;
    uint64_t sent_us, asked_us; /* of what was read; of the claim, 0: none */
};
struct job_board {
    pthread_mutex_t lock;
    struct map *by_key;
};

struct job_board *job_board_new(void)
{
    struct job_board *board = calloc(1, sizeof(*board));

    if (board == NULL)
        return NULL;
    board->by_key = map_new();
    if (board->by_key == NULL) {
        free(board);
        return NULL;
    }
    CHECK(pthread_mutex_init(&board->lock, NULL) == 0);
    return board;
}

void job_board_free(struct job_board **board)
{
    struct job_board *old = *board;

    *board = NULL;
    if (old == NULL)
        return;
    CHECK(map_count(old->by_key) == 0);
    map_free(&old->by_key);
    pthread_mutex_destroy(&old->lock);
    free(old);
}

static struct board_note *note_new(struct job_board *board, struct str key)
{
    struct board_note *note = calloc(1, sizeof(*note) + key.len);

    if (note == NULL)
        return NULL;
    memcpy(note + 1, key.ptr, key.len);
    note->key = str_at((char *)(note + 1), key.len);
    note->value = buf_new(JOBS_MAX_VALUE);
    if (map_put(board->by_key, note->key, note))
        return note;
    free(note);
    return NULL;
}

struct board_note *board_hold(struct job_board *board, struct str key)
{
    struct board_note *note;

    pthread_mutex_lock(&board->lock);
    note = map_get(board->by_key, key);
    if (note == NULL)
        note = note_new(board, key);
    if (note != NULL)
        note->holders++;
    pthread_mutex_unlock(&board->lock);
    return note;
}

void board_release(struct job_board *board, struct board_note **note)
{
    struct board_note *old = *note;

    *note = NULL;
    if (old == NULL)
        return;
    pthread_mutex_lock(&board->lock);
    if (--old->holders > 0) {
        pthread_mutex_unlock(&board->lock);
        return;
    }
    map_remove(board->by_key, old->key);
    pthread_mutex_unlock(&board->lock);
    buf_free(&old->value);
    free(old);
}

enum board_say board_look(struct job_board *board, struct board_note *note, uint64_t now_us,
                          uint64_t fresh_us, struct board_view *view)
{
    enum board_say say = BOARD_READ_IT;

    pthread_mutex_lock(&board->lock);
    if (note->sent_us > 0 && note->sent_us + fresh_us > now_us) {
        say = BOARD_KNOWN;
        view->state = note->state;
        view->sent_us = note->sent_us;
        view->is_news = note->version != view->version;
        buf_clear(view->value);
        if (view->is_news && !buf_add_str(view->value, buf_str(&note->value)))
            view->state = JOB_AWAY;
        view->version = note->version;
    } else if (note->asked_us > 0 && note->asked_us + BOARD_CLAIM_US > now_us) {
        say = BOARD_BEING_READ;
    } else {
        note->asked_us = now_us;
    }
    pthread_mutex_unlock(&board->lock);
    return say;
}

void board_tell(struct job_board *board, struct board_note *note, uint64_t sent_us,
                enum job_state state, struct str value)
{
    pthread_mutex_lock(&board->lock);
    note->asked_us = 0;
    if (state != JOB_AWAY && sent_us >= note->sent_us) {
        note->sent_us = sent_us;
        if (state != note->state || !str_eq(value, buf_str(&note->value)))
            note->version++;
        note->state = state;
        buf_clear(&note->value);
        if (!buf_add_str(&note->value, value))
            note->sent_us = 0; /* too long, or no memory: each reads for itself */
    }
    pthread_mutex_unlock(&board->lock);
}
