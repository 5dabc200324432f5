/* events_test.c - what the ring keeps, in which order, what it leaves out and says so, and
 * that many threads may add while one reads. */
#include "events/events.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define WALL_US UINT64_C(1700000000123456)

static void rows_come_in_order_and_the_oldest_go_first(void **state)
{
    struct events *events = events_new(4, WALL_US);
    struct event_row row;
    uint64_t after = 0;

    (void)state;
    assert_false(events_read(events, &after, &row));
    assert_int_equal(events_newest(events), WALL_US);
    for (int i = 0; i < 6; i++)
        events_addf(events, EVENT_RELOAD, 1500000, "\"n\":%d", i);
    for (int i = 2; i < 6; i++) {
        char want[64];

        assert_true(events_read(events, &after, &row));
        snprintf(want, sizeof(want), "{\"time\":1.500,\"n\":%d}", i);
        assert_int_equal(row.id, WALL_US + 1 + (uint64_t)i);
        assert_true(str_eq(str_at(row.text, row.len), str_of(want)));
    }
    assert_false(events_read(events, &after, &row));
    after = WALL_US + 4; /* somebody who comes back */
    assert_true(events_read(events, &after, &row));
    assert_int_equal(row.id, WALL_US + 5);
    after = WALL_US + 1000; /* ids of another clock: nothing, until they are passed */
    assert_false(events_read(events, &after, &row));
    events_free(&events);
}

static void a_flood_is_counted_in_the_next_row(void **state)
{
    struct events *events = events_new(64, WALL_US);
    struct event_row row;
    uint64_t after = WALL_US;
    int let_in = 0;

    (void)state;
    for (int i = 0; i < 100; i++)
        if (events_wants(events, EVENT_LIMIT, 5000000 + (uint64_t)i)) {
            events_addf(events, EVENT_LIMIT, 0, "\"n\":%d", i);
            let_in++;
        }
    assert_true(let_in > 0 && let_in < 100);
    assert_true(events_wants(events, EVENT_RELOAD, 5000000)); /* others are not held up */
    assert_true(events_wants(events, EVENT_LIMIT, 6000000));
    events_addf(events, EVENT_LIMIT, 0, "\"n\":100");
    while (events_read(events, &after, &row))
        continue;
    assert_int_equal(after, WALL_US + (uint64_t)let_in + 1);
    row.text[row.len] = '\0';
    assert_non_null(strstr(row.text, "\"suppressed\":"));
    assert_int_equal(atoll(strstr(row.text, "\"suppressed\":") + 13), 100 - let_in);
    assert_int_equal(events_lost(events), 100 - let_in);
    events_free(&events);
}

static void a_row_too_long_is_left_out(void **state)
{
    struct events *events = events_new(4, WALL_US);
    struct event_row row;
    uint64_t after = 0;
    char text[EVENT_BYTES + 100];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    events_addf(events, EVENT_STORE, 0, "\"t\":\"%s\"", text);
    events_add(events, EVENT_STORE, 0, str_of(text));
    assert_false(events_read(events, &after, &row));
    assert_int_equal(events_lost(events), 2);
    events_add(events, EVENT_STORE, 0, STR(""));
    assert_true(events_read(events, &after, &row));
    assert_true(str_eq(str_at(row.text, row.len), STR("{\"time\":0.000,\"suppressed\":2}")));
    events_free(&events);
}

static void without_a_ring_nothing_is_wanted(void **state)
{
    struct events *none = NULL;

    (void)state;
    assert_false(events_wants(none, EVENT_LIMIT, 1));
    events_add(none, EVENT_LIMIT, 1, STR("\"a\":1"));
    events_free(&none);
}

/* ---- threads ---- */

enum { WRITERS = 3, EACH = 20000 };

struct listening {
    struct events *events;
    struct loop *loop;
    uint64_t after, seen, gaps, wakes;
};

static void *write_many(void *arg)
{
    struct events *events = arg;

    for (int i = 0; i < EACH; i++)
        events_addf(events, EVENT_TARGET, i, "\"n\":%d,\"text\":\"abcdefghijklmnopqrstuvwxyz\"", i);
    return NULL;
}

static void on_rows(void *arg)
{
    struct listening *l = arg;
    struct event_row row;

    l->wakes++;
    for (uint64_t before = l->after; events_read(l->events, &l->after, &row); before = l->after) {
        assert_true(row.id > before);
        assert_true(row.text[0] == '{' && row.text[row.len - 1] == '}');
        l->gaps += row.id - before - 1;
        l->seen++;
    }
    if (l->seen + l->gaps == WRITERS * EACH)
        loop_stop(l->loop);
}

static void many_add_while_one_reads(void **state)
{
    struct fail why = {""};
    struct listening l = {.events = events_new(256, WALL_US), .loop = loop_new(&why)};
    pthread_t threads[WRITERS];

    (void)state;
    l.after = WALL_US;
    events_listen(l.events, l.loop, on_rows, &l);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, l.events), 0);
    loop_run(l.loop);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(l.seen + l.gaps, WRITERS * EACH);
    assert_true(l.wakes <= l.seen);
    events_listen(l.events, NULL, NULL, NULL);
    l.wakes = 0;
    events_addf(l.events, EVENT_TARGET, 0, "\"n\":0");
    assert_int_equal(l.wakes, 0);
    loop_free(&l.loop);
    events_free(&l.events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_in_order_and_the_oldest_go_first),
        cmocka_unit_test(a_flood_is_counted_in_the_next_row),
        cmocka_unit_test(a_row_too_long_is_left_out),
        cmocka_unit_test(without_a_ring_nothing_is_wanted),
        cmocka_unit_test(many_add_while_one_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
