/* codec_test.c - what goes in comes out, in whatever pieces, and never more than allowed. */
#include "codec/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TEXT_BYTES = 300000 };
static char text[TEXT_BYTES];

static int fill_text(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        text[i] = "etaoin shrdlu\n{}"[(seed >> 60) & 15];
    }
    return 0;
}

/* Feeds `in` in pieces and takes what comes in pieces; `flush` lets out after each piece. */
static enum codec_result pump(struct codec *codec, struct str in, size_t piece, bool flush,
                              struct buf *out)
{
    enum codec_result result = CODEC_DONE;
    size_t at = 0;

    while (at < in.len || result == CODEC_DONE) {
        size_t len = in.len - at < piece ? in.len - at : piece;
        bool is_last = at + len == in.len;
        struct codec_io io = {.in = str_at(in.ptr + at, len)};
        char room[777];

        at += len;
        do {
            io.out = room;
            io.room = sizeof(room);
            result = codec_run(codec, &io,
                               is_last ? CODEC_FINISH
                               : flush ? CODEC_FLUSH
                                       : CODEC_RUN);
            assert_true(buf_add(out, room, sizeof(room) - io.room));
        } while (result == CODEC_FULL);
        if (is_last || result != CODEC_DONE)
            return result;
        assert_int_equal(io.in.len, 0);
    }
    return result;
}

static const struct {
    const char *name;
    size_t len, piece;
    bool flush;
} rows[] = {
    {"nothing", 0, 100, false},       {"one byte", 1, 1, false},
    {"at once", 50000, 50000, false}, {"byte by byte", 3000, 1, false},
    {"pieces", 300000, 4096, false},  {"flushed pieces", 20000, 500, true},
};

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    for (enum codec_kind kind = 0; kind < CODEC_KINDS; kind++) {
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            struct codec *encoder = codec_encoder_new(kind, i % 2 ? CODEC_KEPT : CODEC_SENT_ONCE);
            struct codec *decoder = codec_decoder_new(kind, rows[i].len, 1000);
            struct buf packed = buf_new(1 << 20), plain = buf_new(1 << 20);
            struct str in = str_at(text, rows[i].len);

            if (pump(encoder, in, rows[i].piece, rows[i].flush, &packed) != CODEC_DONE ||
                pump(decoder, buf_str(&packed), rows[i].piece, false, &plain) != CODEC_DONE ||
                plain.len != in.len ||
                memcmp(plain.ptr != NULL ? plain.ptr : "", text, in.len) != 0)
                fail_msg("%s, %s", codec_name(kind).ptr, rows[i].name);
            if (in.len >= 50000 && packed.len > in.len * 7 / 10)
                fail_msg("%s, %s: %zu of %zu", codec_name(kind).ptr, rows[i].name, packed.len,
                         in.len);
            buf_free(&packed);
            buf_free(&plain);
            codec_free(&encoder);
            codec_free(&decoder);
        }
    }
}

/* After a flush the reader has all that was written. */
static void a_flush_lets_out_everything(void **state)
{
    (void)state;
    for (enum codec_kind kind = 0; kind < CODEC_KINDS; kind++) {
        struct codec *encoder = codec_encoder_new(kind, CODEC_SENT_ONCE);
        struct codec *decoder = codec_decoder_new(kind, 1000, 0);
        char packed[2000], plain[2000];

        for (int i = 0; i < 5; i++) {
            struct codec_io in = {str_at(text + i * 100, 100), packed, sizeof(packed)};
            assert_int_equal(codec_run(encoder, &in, CODEC_FLUSH), CODEC_DONE);
            struct codec_io out = {str_at(packed, sizeof(packed) - in.room), plain, sizeof(plain)};
            assert_int_equal(codec_run(decoder, &out, CODEC_RUN), CODEC_DONE);
            assert_int_equal(sizeof(plain) - out.room, 100);
            assert_memory_equal(plain, text + i * 100, 100);
        }
        codec_free(&encoder);
        codec_free(&decoder);
    }
}

static void a_bomb_is_stopped(void **state)
{
    static const struct {
        const char *name;
        uint64_t max_bytes;
        uint32_t max_ratio;
        enum codec_result want;
    } limits[] = {
        {"by size", 100000, 0, CODEC_TOO_LARGE},
        {"by one byte", 4999999, 0, CODEC_TOO_LARGE},
        {"by ratio", UINT64_MAX, 20, CODEC_TOO_LARGE},
        {"just fits", 5000000, 1 << 20, CODEC_DONE},
    };
    struct str zeros = {calloc(1, 5000000), 5000000};

    (void)state;
    for (enum codec_kind kind = 0; kind < CODEC_KINDS; kind++) {
        struct buf packed = buf_new(1 << 20);

        assert_true(codec_pack(kind, CODEC_KEPT, zeros, &packed));
        for (size_t i = 0; i < COUNT_OF(limits); i++) {
            struct codec *decoder =
                codec_decoder_new(kind, limits[i].max_bytes, limits[i].max_ratio);
            struct buf plain = buf_new(5000000);

            if (pump(decoder, buf_str(&packed), 300, false, &plain) != limits[i].want ||
                plain.len > limits[i].max_bytes)
                fail_msg("%s, %s: %zu", codec_name(kind).ptr, limits[i].name, plain.len);
            buf_free(&plain);
            codec_free(&decoder);
        }
        buf_free(&packed);
    }
    free((void *)(uintptr_t)zeros.ptr);
}

static void what_is_cut_or_wrong_is_broken(void **state)
{
    (void)state;
    for (enum codec_kind kind = 0; kind < CODEC_KINDS; kind++) {
        struct buf packed = buf_new(1 << 20), plain = buf_new(1 << 20);

        assert_true(codec_pack(kind, CODEC_KEPT, str_at(text, 20000), &packed));
        for (int i = 0; i < 3; i++) {
            struct codec *decoder = codec_decoder_new(kind, 1 << 20, 0);
            size_t len = i == 0 ? packed.len - 1 : packed.len;

            buf_clear(&plain);
            if (i == 1)
                assert_true(buf_add(&packed, "\xff\xfe\xfd\xfc\xfb", 5)), len += 5;
            if (i == 2)
                memset(packed.ptr, 0xff, 6);
            if (pump(decoder, str_at(packed.ptr, len), 1000, false, &plain) != CODEC_BROKEN)
                fail_msg("%s, %d", codec_name(kind).ptr, i);
            codec_free(&decoder);
        }
        buf_free(&packed);
        buf_free(&plain);
    }
}

static void members_and_frames_follow_each_other(void **state)
{
    (void)state;
    for (enum codec_kind kind = 0; kind < CODEC_KINDS; kind++) {
        struct buf packed = buf_new(1 << 20), plain = buf_new(1 << 20);
        struct codec *decoder = codec_decoder_new(kind, 1 << 20, 0);

        assert_true(codec_pack(kind, CODEC_KEPT, str_at(text, 2000), &packed));
        assert_true(codec_pack(kind, CODEC_KEPT, str_at(text + 2000, 1000), &packed));
        if (kind == CODEC_BROTLI) { /* has no such thing */
            assert_int_equal(pump(decoder, buf_str(&packed), 100, false, &plain), CODEC_BROKEN);
        } else {
            assert_int_equal(pump(decoder, buf_str(&packed), 100, false, &plain), CODEC_DONE);
            assert_int_equal(plain.len, 3000);
            assert_memory_equal(plain.ptr, text, 3000);
        }
        codec_free(&decoder);
        buf_free(&packed);
        buf_free(&plain);
    }
}

static void packing_keeps_below_the_ceiling(void **state)
{
    (void)state;
    for (enum codec_kind kind = 0; kind < CODEC_KINDS; kind++) {
        struct buf out = buf_new(200000);

        assert_true(codec_pack(kind, CODEC_KEPT, str_at(text, sizeof(text)), &out));
        buf_free(&out);
        out = buf_new(1000);
        assert_false(codec_pack(kind, CODEC_KEPT, str_at(text, sizeof(text)), &out));
        buf_free(&out);
    }
}

static void names_are_known_in_any_case(void **state)
{
    enum codec_kind kind;

    (void)state;
    for (enum codec_kind k = 0; k < CODEC_KINDS; k++) {
        assert_true(codec_of(codec_name(k), &kind));
        assert_int_equal(kind, k);
    }
    assert_true(codec_of(STR("GZip"), &kind));
    assert_false(codec_of(STR("deflate"), &kind));
    assert_false(codec_of(STR(""), &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(a_flush_lets_out_everything),
        cmocka_unit_test(a_bomb_is_stopped),
        cmocka_unit_test(what_is_cut_or_wrong_is_broken),
        cmocka_unit_test(members_and_frames_follow_each_other),
        cmocka_unit_test(packing_keeps_below_the_ceiling),
        cmocka_unit_test(names_are_known_in_any_case),
    };
    return cmocka_run_group_tests(tests, fill_text, NULL);
}
