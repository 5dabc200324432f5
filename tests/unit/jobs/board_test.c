/* board_test.c - what one worker read is there for the others; time is passed in. */
#include "jobs/jobs_priv.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PERIOD = 500000 };

static enum board_say look(struct job_board *board, struct board_note *note, uint64_t now_us,
                           struct board_view *view)
{
    return board_look(board, note, now_us, PERIOD, view);
}

static void one_reads_and_the_others_know(void **state)
{
    struct job_board *board = job_board_new();
    struct board_note *note = board_hold(board, STR("job:a:progress"));
    struct board_note *same = board_hold(board, STR("job:a:progress"));
    struct buf value = buf_new(JOBS_MAX_VALUE);
    struct board_view first = {.version = UINT64_MAX, .value = &value}, second = first;

    (void)state;
    assert_ptr_equal(note, same);
    assert_int_equal(look(board, note, 2000000, &first), BOARD_READ_IT);
    assert_int_equal(look(board, note, 2000001, &second), BOARD_BEING_READ);
    board_tell(board, note, 2000000, JOB_FOUND, STR("{}"));
    assert_int_equal(look(board, note, 2000100, &second), BOARD_KNOWN);
    assert_true(second.is_news);
    assert_int_equal(second.state, JOB_FOUND);
    assert_true(str_eq(buf_str(&value), STR("{}")));
    assert_int_equal(look(board, note, 2000200, &second), BOARD_KNOWN);
    assert_false(second.is_news); /* this one has it */
    assert_int_equal(look(board, note, 2000300, &first), BOARD_KNOWN);
    assert_true(first.is_news);
    assert_int_equal(look(board, note, 2000000 + PERIOD, &first), BOARD_READ_IT);
    board_tell(board, note, 2000000 + PERIOD, JOB_FOUND, STR("{}"));
    assert_int_equal(look(board, note, 2100000 + PERIOD, &first), BOARD_KNOWN);
    assert_false(first.is_news); /* it has not changed */
    board_release(board, &note);
    board_release(board, &same);
    assert_null(same);
    buf_free(&value);
    job_board_free(&board);
}

static void a_claim_is_given_up_or_lapses(void **state)
{
    struct job_board *board = job_board_new();
    struct board_note *note = board_hold(board, STR("k"));
    struct buf value = buf_new(JOBS_MAX_VALUE);
    struct board_view view = {.version = UINT64_MAX, .value = &value};

    (void)state;
    assert_int_equal(look(board, note, 5000000, &view), BOARD_READ_IT);
    assert_int_equal(look(board, note, 5000000 + BOARD_CLAIM_US - 1, &view), BOARD_BEING_READ);
    assert_int_equal(look(board, note, 5000000 + BOARD_CLAIM_US, &view), BOARD_READ_IT);
    board_tell(board, note, 0, JOB_AWAY, STR_NONE); /* the store is away for it */
    assert_int_equal(look(board, note, 5000001 + BOARD_CLAIM_US, &view), BOARD_READ_IT);
    board_tell(board, note, 7000000, JOB_ABSENT, STR_NONE);
    board_tell(board, note, 6000000, JOB_FOUND, STR("late")); /* an older reading comes later */
    assert_int_equal(look(board, note, 7000001, &view), BOARD_KNOWN);
    assert_int_equal(view.state, JOB_ABSENT);
    board_release(board, &note);
    buf_free(&value);
    job_board_free(&board);
}

struct reader {
    struct job_board *board;
    uint32_t reads, known;
};

static void *read_many(void *arg)
{
    struct reader *reader = arg;
    struct buf value = buf_new(JOBS_MAX_VALUE);
    struct board_view view = {.version = UINT64_MAX, .value = &value};

    for (uint64_t now_us = 1000000; now_us < 1200000; now_us += 10) {
        struct board_note *note = board_hold(reader->board, STR("crowd"));

        switch (board_look(reader->board, note, now_us, 5000, &view)) {
        case BOARD_READ_IT:
            board_tell(reader->board, note, now_us, JOB_FOUND, STR("{\"progress\":1}"));
            reader->reads++;
            break;
        case BOARD_KNOWN:
            assert_int_equal(view.state, JOB_FOUND);
            reader->known++;
            break;
        case BOARD_BEING_READ:
            break;
        }
        board_release(reader->board, &note);
    }
    buf_free(&value);
    return NULL;
}

static void threads_share_what_they_read(void **state)
{
    struct job_board *board = job_board_new();
    struct board_note *note = board_hold(board, STR("crowd")); /* else it goes with its last one */
    struct reader readers[4];
    pthread_t threads[COUNT_OF(readers)];
    uint32_t reads = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(readers); i++) {
        readers[i] = (struct reader){.board = board};
        assert_int_equal(pthread_create(&threads[i], NULL, read_many, &readers[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(readers); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        reads += readers[i].reads;
    }
    /* forty spans of 5 ms; each thread has a clock of its own, which may be behind */
    assert_in_range(reads, 40, 40 * COUNT_OF(readers));
    board_release(board, &note);
    job_board_free(&board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_reads_and_the_others_know),
        cmocka_unit_test(a_claim_is_given_up_or_lapses),
        cmocka_unit_test(threads_share_what_they_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
