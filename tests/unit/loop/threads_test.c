/* threads_test.c - what other threads may do to a loop: post, stop, work; and signals.
 *
 * Run under SAN=thread as well: the items are plain memory, handed over by the post
 * alone, so a missing barrier shows as a race. */
#include "loop_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { THREADS = 4, POSTS = 20000 };

struct poster;
struct message {
    struct post post;
    struct poster *from;
    int number;
};
struct poster {
    struct loop *loop;
    struct message *messages;
    int got; /* written on the loop's thread only */
    int *total;
};

static void on_message(void *arg)
{
    struct message *message = arg;
    struct poster *from = message->from;

    assert_int_equal(message->number, from->got);
    from->got++;
    if (++*from->total == THREADS * POSTS)
        loop_stop(from->loop);
}

static void *post_all(void *arg)
{
    struct poster *poster = arg;

    for (int i = 0; i < POSTS; i++) {
        struct message *message = &poster->messages[i];

        message->post.fn = on_message;
        message->post.arg = message;
        message->from = poster;
        message->number = i;
        loop_post(poster->loop, &message->post);
    }
    return NULL;
}

static void posts_of_four_threads_keep_their_order(void **state)
{
    struct loop *loop = new_loop();
    struct poster posters[THREADS];
    pthread_t threads[THREADS];
    int total = 0;

    (void)state;
    for (int t = 0; t < THREADS; t++) {
        posters[t] = (struct poster){.loop = loop, .total = &total};
        posters[t].messages = calloc(POSTS, sizeof(struct message));
        assert_non_null(posters[t].messages);
        assert_int_equal(pthread_create(&threads[t], NULL, post_all, &posters[t]), 0);
    }
    run_loop(loop);
    for (int t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_join(threads[t], NULL), 0);
        assert_int_equal(posters[t].got, POSTS);
        free(posters[t].messages);
    }
    assert_int_equal(total, THREADS * POSTS);
    loop_free(&loop);
}

struct again {
    struct post post;
    struct loop *loop;
    int left;
};

static void post_again(void *arg)
{
    struct again *again = arg;

    if (--again->left == 0)
        loop_stop(again->loop);
    else
        loop_post(again->loop, &again->post);
}

static void an_item_may_be_posted_again_by_its_callback(void **state)
{
    struct loop *loop = new_loop();
    struct again again = {.loop = loop, .left = 100};

    (void)state;
    again.post = (struct post){.fn = post_again, .arg = &again};
    loop_post(loop, &again.post);
    run_loop(loop);
    assert_int_equal(again.left, 0);
    loop_free(&loop);
}

static void *stop_from_outside(void *arg)
{
    loop_stop(arg);
    return NULL;
}

static void stopped_by_another_thread_and_run_again(void **state)
{
    struct loop *loop = new_loop();

    (void)state;
    for (int round = 0; round < 20; round++) {
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, stop_from_outside, loop), 0);
        run_loop(loop);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    loop_free(&loop);
}

struct job {
    struct loop *loop;
    pthread_t worked_on;
    int input, output;
    int *left;
};

static void work(void *arg)
{
    struct job *job = arg;

    job->worked_on = pthread_self();
    job->output = job->input * 2;
}

static void done(void *arg)
{
    struct job *job = arg;

    assert_false(pthread_equal(job->worked_on, pthread_self()));
    if (--*job->left == 0)
        loop_stop(job->loop);
}

static void work_runs_elsewhere_and_is_done_here(void **state)
{
    struct loop *loop = new_loop();
    struct job jobs[50];
    int left = (int)COUNT_OF(jobs);

    (void)state;
    for (int i = 0; i < (int)COUNT_OF(jobs); i++) {
        jobs[i] = (struct job){.loop = loop, .input = i, .left = &left};
        assert_true(loop_work(loop, work, done, &jobs[i]));
    }
    assert_int_equal(loop_work_pending(), COUNT_OF(jobs));
    run_loop(loop);
    assert_int_equal(loop_work_pending(), 0);
    for (int i = 0; i < (int)COUNT_OF(jobs); i++)
        assert_int_equal(jobs[i].output, i * 2);
    loop_free(&loop);
}

static void work_on_its_way_is_done_when_the_loop_is_freed(void **state)
{
    struct loop *loop = new_loop();
    int left = 2; /* one more than there are: nothing stops the loop */
    struct job job = {.loop = loop, .input = 21, .left = &left};

    (void)state;
    assert_true(loop_work(loop, work, done, &job));
    loop_free(&loop);
    assert_int_equal(job.output, 42);
    assert_int_equal(left, 1);
}

static void on_usr1(void *arg, int number)
{
    assert_int_equal(number, SIGUSR1);
    loop_stop(arg);
}

static void a_signal_is_a_callback(void **state)
{
    struct loop *loop = new_loop();

    (void)state;
    assert_true(loop_on_signal(loop, SIGUSR1, on_usr1, loop));
    assert_false(loop_on_signal(loop, SIGKILL, on_usr1, loop));
    assert_int_equal(raise(SIGUSR1), 0);
    run_loop(loop);
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_of_four_threads_keep_their_order),
        cmocka_unit_test(an_item_may_be_posted_again_by_its_callback),
        cmocka_unit_test(stopped_by_another_thread_and_run_again),
        cmocka_unit_test(work_runs_elsewhere_and_is_done_here),
        cmocka_unit_test(work_on_its_way_is_done_when_the_loop_is_freed),
        cmocka_unit_test(a_signal_is_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
