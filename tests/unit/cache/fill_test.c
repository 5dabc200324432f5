/* fill_test.c - one writer and its readers on one loop: every way to keep the bytes,
 * wake-ups, pace, ends, and who may come and go when. */
#include "cache_fixture.h"

struct peer { /* a reader or a writer, as the test sees it */
    int calls;
    struct fill_reader *reader;
    struct fill *fill;
    struct loop *loop;
};

static void on_call(void *arg)
{
    ((struct peer *)arg)->calls++;
}

static void turn(struct world *world)
{
    loop_stop(world->loop);
    loop_run(world->loop);
}

static char byte_at(uint64_t offset)
{
    return (char)(offset * 31 + offset / 251);
}

static bool write_bytes(struct fill *fill, uint64_t offset, size_t len)
{
    char *bytes = malloc(len + 1);
    bool is_taken;

    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(offset + i);
    is_taken = fill_write(fill, str_at(bytes, len));
    free(bytes);
    return is_taken;
}

/* Reads what is there in pieces; the last result is returned, *offset moves on. */
static ptrdiff_t read_all(struct fill_reader *reader, uint64_t *offset, size_t piece)
{
    char *bytes = malloc(piece);
    ptrdiff_t got;

    while ((got = fill_read(reader, bytes, piece)) > 0)
        for (ptrdiff_t i = 0; i < got; i++, ++*offset)
            assert_int_equal(bytes[i], byte_at(*offset));
    free(bytes);
    return got;
}

/* A fill that has begun; length < 0: unknown. */
static struct fill *begun(struct world *world, struct peer *writer, int64_t length, bool is_stored,
                          struct peer *first)
{
    struct answer answer = {0};
    struct intent_parts p;
    struct fill *fill = fill_new(world->cache, world->loop, on_call, writer);
    struct fill_head head;

    intent_of(world, &answer, &p);
    head = (struct fill_head){200, &p.fields, length >= 0, length >= 0 ? (uint64_t)length : 0};
    if (first != NULL) {
        first->reader = fill_attach(fill, world->loop, on_call, first);
        assert_null(fill_reader_head(first->reader));
    }
    assert_true(fill_begin(fill, &head, is_stored ? &p.intent : NULL));
    assert_int_equal(fill_is_storing(fill), is_stored);
    return fill;
}

static const struct {
    const char *name;
    int64_t length;
    bool is_stored;
    uint64_t bytes;
    size_t written, read;
} bodies[] = {
    {"ring, empty", 0, false, 0, 1, 10},
    {"ring, a byte", 1, false, 1, 1, 10},
    {"ring, small", 1000, false, 1000, 1000, 4096},
    {"ring, unknown length", -1, false, 1000, 100, 4096},
    {"ring, large", 1000000, false, 1000000, 16384, 5000},
    {"ring, odd pieces", -1, false, 500000, 16381, 65536},
    {"ring, huge pieces", -1, false, 1000000, 200000, 65536},
    {"block", 100000, true, 100000, 16384, 1000},
    {"block, empty", 0, true, 0, 1, 10},
    {"chain", -1, true, 1000000, 16384, 50000},
    {"chain, empty", -1, true, 0, 1, 10},
    {"chain, small", -1, true, 100, 7, 10},
    {"chain, outgrows", -1, true, 3000000, 16000, 70000},
};

static void every_body_arrives_as_it_was_sent(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct world world = world_new(8 << 20, 2 << 20);
        struct peer writer = {0}, one = {0};
        struct fill *fill = begun(&world, &writer, bodies[i].length, bodies[i].is_stored, &one);
        uint64_t sent = 0, got = 0;
        ptrdiff_t last;
        bool is_stored;

        assert_int_equal(fill_reader_head(one.reader)->status, 200);
        while (sent < bodies[i].bytes) {
            size_t len = bodies[i].bytes - sent < bodies[i].written
                             ? (size_t)(bodies[i].bytes - sent)
                             : bodies[i].written;

            if (write_bytes(fill, sent, len))
                sent += len;
            else
                assert_int_equal(read_all(one.reader, &got, bodies[i].read), FILL_WAIT);
        }
        is_stored = fill_end(&fill);
        assert_null(fill);
        last = read_all(one.reader, &got, bodies[i].read);
        if (last != FILL_END || got != bodies[i].bytes ||
            is_stored != (bodies[i].is_stored && bodies[i].bytes <= 2 << 20))
            fail_msg("%s: %d after %d bytes, stored %d", bodies[i].name, (int)last, (int)got,
                     is_stored);
        fill_detach(&one.reader);
        turn(&world);
        if (!is_stored)
            assert_int_equal(counts_of(&world).memory_bytes, 0);
        world_free(&world);
    }
}

static void on_step(void *arg) /* a callback of the loop: head, body and end at once */
{
    struct peer *writer = arg;

    assert_true(fill_write(writer->fill, STR("hello ")));
    assert_true(fill_write(writer->fill, STR("world")));
    fill_end(&writer->fill);
}

static void one_wake_a_burst_in_the_same_turn(void **state)
{
    struct world world = world_new(8 << 20, 2 << 20);
    struct peer writer = {0}, one = {0};
    struct post step = {.fn = on_step, .arg = &writer};
    struct str body;
    char bytes[8];

    (void)state;
    writer.fill = begun(&world, &writer, 11, false, &one);
    assert_int_equal(one.calls, 0); /* never from inside */
    turn(&world);
    assert_int_equal(one.calls, 1);
    assert_int_equal(fill_read(one.reader, bytes, 8), FILL_WAIT);
    loop_post(world.loop, &step);
    turn(&world);
    assert_int_equal(one.calls, 2);
    assert_true(fill_reader_whole(one.reader, &body));
    assert_true(str_eq(body, STR("hello world")));
    turn(&world);
    assert_int_equal(one.calls, 2);
    fill_detach(&one.reader);
    world_free(&world);
}

static void leaving_is_silent_with_a_wake_on_its_way(void **state)
{
    struct world world = world_new(8 << 20, 2 << 20);
    struct peer writer = {0}, one = {0}, two = {0};
    struct fill *fill = begun(&world, &writer, -1, true, &one);

    (void)state;
    two.reader = fill_attach(fill, world.loop, on_call, &two);
    assert_int_equal(fill_readers(fill), 2);
    fill_detach(&one.reader);
    assert_null(one.reader);
    turn(&world);
    assert_int_equal(one.calls, 0);
    assert_int_equal(two.calls, 1);
    assert_int_equal(writer.calls, 0);
    fill_detach(&two.reader);
    turn(&world);
    assert_int_equal(writer.calls, 1); /* the last has left */
    assert_int_equal(fill_readers(fill), 0);
    fill_detach(&two.reader); /* NULL is fine */
    fill_fail(&fill);
    turn(&world);
    assert_int_equal(counts_of(&world).memory_bytes, 0);
    world_free(&world);
}

static void no_room_after_the_end(void **state)
{
    struct world world = world_new(8 << 20, 2 << 20);
    struct peer writer = {0}, one = {0};
    struct fill *fill = begun(&world, &writer, -1, false, &one);

    (void)state;
    fill_detach(&one.reader); /* room() is on its way */
    fill_fail(&fill);
    turn(&world);
    assert_int_equal(writer.calls, 0);
    world_free(&world);
}

static void a_full_ring_says_when_there_is_room(void **state)
{
    struct world world = world_new(8 << 20, 2 << 20);
    struct peer writer = {0}, one = {0}, late = {0};
    struct fill *fill = begun(&world, &writer, -1, false, &one);
    uint64_t sent = 0, got = 0;
    char bytes[1000];

    (void)state;
    assert_null(fill_attach(fill, world.loop, on_call, &late)); /* a ring has one reader */
    while (write_bytes(fill, sent, 10000))
        sent += 10000;
    assert_int_equal(sent, 60000);
    assert_int_equal(fill_read(one.reader, bytes, 1000), 1000);
    got = 1000;
    turn(&world);
    assert_int_equal(writer.calls, 0); /* not for crumbs */
    assert_int_equal(read_all(one.reader, &got, 7777), FILL_WAIT);
    turn(&world);
    assert_int_equal(writer.calls, 1);
    assert_true(write_bytes(fill, sent, 10000));
    fill_fail(&fill);
    assert_int_equal(read_all(one.reader, &got, 7777), FILL_ERROR); /* after what had come */
    assert_int_equal(got, 70000);
    fill_detach(&one.reader);
    turn(&world);
    world_free(&world);
}

static void who_comes_late_reads_from_the_start(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        struct world world = world_new(8 << 20, 2 << 20);
        struct peer writer = {0}, one = {0}, late = {0};
        struct fill *fill = begun(&world, &writer, known ? 300000 : -1, true, &one);
        uint64_t first = 0, second = 0;
        struct cache_entry *entry;

        assert_true(write_bytes(fill, 0, 200000));
        assert_int_equal(read_all(one.reader, &first, 9000), FILL_WAIT);
        late.reader = fill_attach(fill, world.loop, on_call, &late);
        assert_non_null(late.reader);
        assert_int_equal(read_all(late.reader, &second, 70000), FILL_WAIT);
        assert_int_equal(second, 200000);
        assert_true(write_bytes(fill, 200000, 100000));
        assert_true(counts_of(&world).memory_bytes > 300000);
        assert_true(fill_end(&fill));
        assert_int_equal(read_all(one.reader, &first, 9000), FILL_END);
        assert_int_equal(read_all(late.reader, &second, 9000), FILL_END);
        assert_int_equal(first, 300000);
        assert_int_equal(second, 300000);
        fill_detach(&one.reader);
        fill_detach(&late.reader);
        turn(&world);
        entry = find(&world, &(struct answer){0}, NULL);
        assert_int_equal(cache_entry_meta(entry).body.len, 300000);
        for (size_t i = 0; i < 300000; i++)
            assert_int_equal(cache_entry_meta(entry).body.ptr[i], byte_at(i));
        assert_true(counts_of(&world).memory_bytes < 310000);
        cache_entry_release(&entry);
        world_free(&world);
    }
}

static void past_the_largest_object_it_is_paced_by_the_slowest(void **state)
{
    struct world world = world_new(8 << 20, 500000);
    struct peer writer = {0}, fast = {0}, slow = {0}, late = {0};
    struct fill *fill = begun(&world, &writer, -1, true, &fast);
    uint64_t sent = 0, fast_got = 0, slow_got = 0;

    (void)state;
    slow.reader = fill_attach(fill, world.loop, on_call, &slow);
    while (write_bytes(fill, sent, 50000)) {
        sent += 50000;
        assert_int_equal(read_all(fast.reader, &fast_got, 50000), FILL_WAIT);
    }
    assert_int_equal(sent, 500000); /* all that might have been stored, and no more */
    assert_false(fill_is_storing(fill));
    assert_null(fill_attach(fill, world.loop, on_call, &late));
    assert_int_equal(read_all(slow.reader, &slow_got, 10000), FILL_WAIT);
    turn(&world);
    assert_int_equal(writer.calls, 1);
    assert_true(counts_of(&world).memory_bytes < 300000); /* freed behind them */
    while (write_bytes(fill, sent, 50000))
        sent += 50000;
    assert_true(sent <= 500000 + 65536 + 50000);
    fill_detach(&slow.reader);
    while (sent < 1000000) {
        assert_int_equal(read_all(fast.reader, &fast_got, 50000), FILL_WAIT);
        assert_true(write_bytes(fill, sent, 50000));
        sent += 50000;
    }
    assert_false(fill_end(&fill));
    assert_int_equal(read_all(fast.reader, &fast_got, 50000), FILL_END);
    assert_int_equal(fast_got, sent);
    fill_detach(&fast.reader);
    turn(&world);
    assert_int_equal(counts_of(&world).entries, 0);
    assert_int_equal(counts_of(&world).memory_bytes, 0);
    world_free(&world);
}

static void without_budget_it_goes_on_unstored(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        struct world world = world_new(100000, 2 << 20);
        struct peer writer = {0}, one = {0};
        struct answer answer = {0};
        struct intent_parts p;
        struct fill_head head;
        struct fill *fill = fill_new(world.cache, world.loop, on_call, &writer);
        uint64_t got = 0, sent = 0;

        intent_of(&world, &answer, &p);
        head = (struct fill_head){200, &p.fields, known != 0, 400000};
        one.reader = fill_attach(fill, world.loop, on_call, &one);
        assert_true(fill_begin(fill, &head, &p.intent));
        for (; sent < 400000; sent += 20000) {
            assert_true(write_bytes(fill, sent, 20000));
            assert_int_equal(read_all(one.reader, &got, 10000), FILL_WAIT);
            assert_true(counts_of(&world).memory_bytes <= 100000);
        }
        assert_false(fill_end(&fill));
        assert_int_equal(read_all(one.reader, &got, 10000), FILL_END);
        assert_int_equal(got, 400000);
        fill_detach(&one.reader);
        turn(&world);
        assert_int_equal(counts_of(&world).memory_bytes, 0);
        world_free(&world);
    }
}

static void what_is_not_whole_is_not_stored(void **state)
{
    struct world world = world_new(8 << 20, 2 << 20);
    struct peer writer = {0}, one = {0};
    struct fill *fill;
    uint64_t got = 0;

    (void)state;
    fill = begun(&world, &writer, 1000, true, &one); /* shorter than announced */
    assert_true(write_bytes(fill, 0, 500));
    assert_false(fill_end(&fill));
    assert_int_equal(read_all(one.reader, &got, 100), FILL_ERROR);
    assert_int_equal(got, 500);
    fill_detach(&one.reader);
    fill = begun(&world, &writer, 1000, true, NULL); /* longer */
    assert_true(write_bytes(fill, 0, 1500));
    assert_false(fill_end(&fill));
    fill = begun(&world, &writer, 1000, true, NULL); /* cut */
    assert_true(write_bytes(fill, 0, 1000));
    fill_fail(&fill);
    fill = begun(&world, &writer, 1000, true, NULL); /* purged meanwhile */
    assert_true(write_bytes(fill, 0, 1000));
    invalidate_url(world.cache, STR("example.com"), STR("/a"));
    assert_false(fill_end(&fill));
    turn(&world);
    assert_int_equal(counts_of(&world).entries, 0);
    assert_int_equal(counts_of(&world).memory_bytes, 0);
    world_free(&world);
}

static void a_fill_may_fail_before_it_begins(void **state)
{
    struct world world = world_new(8 << 20, 2 << 20);
    struct peer writer = {0}, one = {0};
    struct fill *fill = fill_new(world.cache, world.loop, on_call, &writer);
    char bytes[10];

    (void)state;
    one.reader = fill_attach(fill, world.loop, on_call, &one);
    assert_int_equal(fill_read(one.reader, bytes, 10), FILL_WAIT);
    fill_fail(&fill);
    turn(&world);
    assert_int_equal(one.calls, 1);
    assert_null(fill_reader_head(one.reader));
    assert_int_equal(fill_read(one.reader, bytes, 10), FILL_ERROR);
    fill_detach(&one.reader);
    fill_fail(&fill); /* NULL is fine */
    world_free(&world);
}

static void trailers_come_with_the_end(void **state)
{
    struct world world = world_new(8 << 20, 2 << 20);
    struct peer writer = {0}, one = {0};
    struct fill *fill = begun(&world, &writer, -1, false, &one);
    struct http_fields trailers = fields_with(world.arena, "Digest", "x");
    char bytes[10];

    (void)state;
    fill_trailers(fill, &trailers);
    assert_null(fill_reader_trailers(one.reader));
    fill_end(&fill);
    assert_int_equal(fill_read(one.reader, bytes, 10), FILL_END);
    assert_true(
        str_eq(http_fields_find(fill_reader_trailers(one.reader), STR("digest")), STR("x")));
    fill_detach(&one.reader);
    turn(&world);
    world_free(&world);
}

static void followers_compare_their_vary_values(void **state)
{
    struct world world = world_new(8 << 20, 2 << 20);
    struct answer answer = {.vary = "X-Kind", .header = "X-Kind", .value = "1"};
    struct http_fields same = fields_with(world.arena, "X-Kind", "1");
    struct http_fields other = fields_with(world.arena, "X-Kind", "2");
    struct peer one = {0};
    struct intent_parts p;
    struct fill *fill = fill_new(world.cache, world.loop, on_call, &one);

    (void)state;
    intent_of(&world, &answer, &p);
    assert_true(fill_begin(fill, &(struct fill_head){200, &p.fields, true, 1}, &p.intent));
    one.reader = fill_attach(fill, world.loop, on_call, &one);
    assert_true(fill_reader_fits(one.reader, &same, false, world.arena));
    assert_false(fill_reader_fits(one.reader, &other, false, world.arena));
    fill_detach(&one.reader);
    fill_fail(&fill);
    turn(&world);
    world_free(&world);
}

static void large_heads_are_kept_too(void **state)
{
    struct world world = world_new(8 << 20, 2 << 20);
    struct peer one = {0};
    struct fill *fill = fill_new(world.cache, world.loop, on_call, &one);
    struct http_fields fields = fields_with(world.arena, NULL, NULL);
    char value[3000];

    (void)state;
    memset(value, 'v', sizeof(value));
    assert_true(http_fields_add(&fields, STR("X-Large"), str_at(value, sizeof(value))));
    assert_true(http_fields_add(&fields, STR("X-Empty"), STR("")));
    one.reader = fill_attach(fill, world.loop, on_call, &one);
    assert_true(fill_begin(fill, &(struct fill_head){404, &fields, false, 0}, NULL));
    value[0] = 'w'; /* it was copied */
    assert_int_equal(fill_reader_head(one.reader)->fields->count, 2);
    assert_int_equal(http_fields_find(fill_reader_head(one.reader)->fields, STR("x-large")).ptr[0],
                     'v');
    fill_end(&fill);
    fill_detach(&one.reader);
    turn(&world);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_body_arrives_as_it_was_sent),
        cmocka_unit_test(one_wake_a_burst_in_the_same_turn),
        cmocka_unit_test(leaving_is_silent_with_a_wake_on_its_way),
        cmocka_unit_test(no_room_after_the_end),
        cmocka_unit_test(a_full_ring_says_when_there_is_room),
        cmocka_unit_test(who_comes_late_reads_from_the_start),
        cmocka_unit_test(past_the_largest_object_it_is_paced_by_the_slowest),
        cmocka_unit_test(without_budget_it_goes_on_unstored),
        cmocka_unit_test(what_is_not_whole_is_not_stored),
        cmocka_unit_test(a_fill_may_fail_before_it_begins),
        cmocka_unit_test(trailers_come_with_the_end),
        cmocka_unit_test(followers_compare_their_vary_values),
        cmocka_unit_test(large_heads_are_kept_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
