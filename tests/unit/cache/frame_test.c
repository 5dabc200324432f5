/* frame_test.c - entries as bytes: there and back, and what is refused. */
#include "cache/frame_priv.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena *arena;
static struct http_field one_field[] = {{{"ETag", 4}, {"\"a\"", 3}, HTTP_ETAG}};
static struct str one_tag[] = {{"shop", 4}};

static struct frame sample(void)
{
    return (struct frame){.status = 200,
                          .must_revalidate = true,
                          .source = HTTP_LIFETIME_MAX_AGE,
                          .created_us = INT64_C(1700000000000000),
                          .initial_age_s = 5,
                          .lifetime_s = 60,
                          .stale_while_revalidate_s = 7,
                          .stale_if_error_s = 8,
                          .stale_if_unreachable_s = 9,
                          .date_s = -1,
                          .fetch_us = 1234,
                          .place = {1700000000001, 3},
                          .key = STR("p0host/path"),
                          .vary_names = STR("accept"),
                          .vary_key = STR("text/html"),
                          .fields = {one_field, 1, 1, NULL},
                          .tags = {one_tag, 1},
                          .body = STR("hello"),
                          .body_bytes = 5,
                          .nonce = 42};
}

static void there_and_back(void **state)
{
    struct frame frame = sample(), got;
    struct buf out = buf_new(FRAME_MAX_BYTES);

    (void)state;
    assert_true(frame_write(&frame, &out));
    assert_int_equal(frame_read(buf_str(&out), arena, &got), FRAME_SOUND);
    assert_false(got.is_rule);
    assert_true(got.must_revalidate && !got.always_revalidate);
    assert_int_equal(got.status, 200);
    assert_int_equal(got.source, HTTP_LIFETIME_MAX_AGE);
    assert_int_equal(got.created_us, frame.created_us);
    assert_int_equal(got.initial_age_s, 5);
    assert_int_equal(got.lifetime_s, 60);
    assert_int_equal(got.stale_while_revalidate_s, 7);
    assert_int_equal(got.stale_if_error_s, 8);
    assert_int_equal(got.stale_if_unreachable_s, 9);
    assert_int_equal(got.date_s, -1);
    assert_int_equal(got.fetch_us, 1234);
    assert_int_equal(got.place.ms, frame.place.ms);
    assert_int_equal(got.place.number, 3);
    assert_int_equal(got.nonce, 42);
    assert_true(str_eq(got.key, frame.key) && str_eq(got.body, frame.body));
    assert_true(str_eq(got.vary_names, frame.vary_names) && str_eq(got.vary_key, frame.vary_key));
    assert_int_equal(got.fields.count, 1);
    assert_int_equal(got.fields.at[0].id, HTTP_ETAG);
    assert_true(str_eq(got.fields.at[0].value, STR("\"a\"")));
    assert_int_equal(got.tags.count, 1);
    assert_true(str_eq(got.tags.at[0], STR("shop")));
    buf_free(&out);
}

static void every_bit_and_every_length_counts(void **state)
{
    struct frame frame = sample(), got;
    struct buf out = buf_new(FRAME_MAX_BYTES);

    (void)state;
    assert_true(frame_write(&frame, &out));
    for (size_t i = 0; i < out.len * 8; i++) {
        out.ptr[i / 8] = (char)(out.ptr[i / 8] ^ (1 << (i % 8)));
        if (frame_read(buf_str(&out), arena, &got) == FRAME_SOUND)
            fail_msg("bit %zu is not looked at", i);
        out.ptr[i / 8] = (char)(out.ptr[i / 8] ^ (1 << (i % 8)));
    }
    for (size_t len = 0; len < out.len; len++)
        assert_int_not_equal(frame_read(str_at(out.ptr, len), arena, &got), FRAME_SOUND);
    buf_free(&out);
}

static void put_sum(struct buf *out)
{
    uint64_t sum = frame_sum(buf_str(out));

    for (int i = 0; i < 8; i++)
        out->ptr[FRAME_SUM_AT + i] = (char)(sum >> (8 * i) & 0xff);
}

/* One byte changed, the checksum made right again. */
static const struct {
    const char *name;
    size_t at;
    int byte;
    enum frame_fault want;
} refused[] = {
    {"another magic", 0, 'X', FRAME_DAMAGED},
    {"a later version", 4, 2, FRAME_OTHER_VERSION},
    {"a kind that nobody knows", 6, 3, FRAME_DAMAGED},
    {"status 100", 16, 100, FRAME_DAMAGED},
    {"a source that nobody knows", 21, 77, FRAME_DAMAGED},
    {"a body longer than what is there", 104, 6, FRAME_DAMAGED},
    {"a body of 16 MiB in chunks", 107, 1, FRAME_DAMAGED},
    {"a key longer than all", 123, 0x7f, FRAME_DAMAGED},
    {"more fields than there are", 132, 2, FRAME_DAMAGED},
    {"a million fields", 134, 0x10, FRAME_DAMAGED},
    {"fewer tags than there are", 140, 0, FRAME_DAMAGED},
    {"a shorter body", 148, 4, FRAME_DAMAGED},
    {"a name with a blank", 152 + 11 + 6 + 9 + 8, ' ', FRAME_DAMAGED},
    {"a value that ends the line", 152 + 11 + 6 + 9 + 8 + 5, '\n', FRAME_DAMAGED},
};

static void what_no_writer_sends_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct frame frame = sample(), got;
        struct buf out = buf_new(FRAME_MAX_BYTES);
        enum frame_fault fault;

        assert_true(frame_write(&frame, &out));
        out.ptr[refused[i].at] = (char)refused[i].byte;
        put_sum(&out);
        fault = frame_read(buf_str(&out), arena, &got);
        if (fault != refused[i].want)
            fail_msg("%s: got %d", refused[i].name, (int)fault);
        buf_free(&out);
    }
}

static void a_chunk_belongs_to_its_frame_and_place(void **state)
{
    static char bytes[FRAME_CHUNK];
    struct frame frame = {.body_bytes = FRAME_CHUNK + 10, .nonce = 7};
    struct buf out = buf_new(FRAME_MAX_BYTES);
    struct str piece;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(frame_chunks(&frame), 2);
    assert_true(frame_write_chunk(7, 1, str_at(bytes, 10), &out));
    assert_true(frame_read_chunk(buf_str(&out), &frame, 1, &piece));
    assert_true(str_eq(piece, str_at(bytes, 10)));
    assert_false(frame_read_chunk(buf_str(&out), &frame, 0, &piece));
    assert_false(frame_read_chunk(buf_str(&out), &frame, 2, &piece));
    assert_false(frame_read_chunk(str_at(out.ptr, out.len - 1), &frame, 1, &piece));
    frame.nonce = 8;
    assert_false(frame_read_chunk(buf_str(&out), &frame, 1, &piece));
    frame.nonce = 7;
    out.ptr[out.len - 1] = 'y';
    assert_false(frame_read_chunk(buf_str(&out), &frame, 1, &piece));
    buf_free(&out);
}

static void more_than_a_frame_holds_is_not_written(void **state)
{
    struct frame frame = sample();
    struct buf out = buf_new(FRAME_MAX_BYTES), small = buf_new(100);

    (void)state;
    assert_false(frame_write(&frame, &small));
    frame.body_bytes = FRAME_MAX_BODY + 1;
    assert_false(frame_write(&frame, &out));
    buf_free(&out);
    buf_free(&small);
}

static int begin(void **state)
{
    (void)state;
    arena = arena_new(4096, 1 << 24);
    return arena == NULL;
}

static int end(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(every_bit_and_every_length_counts),
        cmocka_unit_test(what_no_writer_sends_is_refused),
        cmocka_unit_test(a_chunk_belongs_to_its_frame_and_place),
        cmocka_unit_test(more_than_a_frame_holds_is_not_written),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
