/* codec_fuzz.c - bodies that claim to be zstd, br or gzip, and whether what we pack is one.
 *
 * The first byte chooses the coding, the ceiling and the size of the pieces. Held: no more
 * comes out than is allowed, and a packed input is read as itself. */
#include "codec/codec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(enum codec_kind kind, struct str in, size_t piece, uint64_t most)
{
    struct codec *codec = codec_decoder_new(kind, most, 100);
    enum codec_result result = CODEC_DONE;
    uint64_t given = 0;
    char out[512];

    CHECK(codec != NULL);
    while (in.len > 0 && result == CODEC_DONE) {
        struct codec_io io = {.in = str_at(in.ptr, in.len < piece ? in.len : piece)};

        in = str_from(in, io.in.len);
        do {
            io.out = out;
            io.room = sizeof(out);
            result = codec_run(codec, &io, in.len == 0 ? CODEC_FINISH : CODEC_RUN);
            given += sizeof(out) - io.room;
            CHECK(given <= most);
        } while (result == CODEC_FULL);
    }
    codec_free(&codec);
}

static void there_and_back(enum codec_kind kind, struct str in)
{
    struct buf packed = buf_new(in.len * 2 + 1000);
    struct codec *codec = codec_decoder_new(kind, in.len, 0);
    char *plain = malloc(in.len + 1);
    struct codec_io io = {.out = plain, .room = in.len + 1};

    CHECK(codec != NULL && plain != NULL && codec_pack(kind, CODEC_SENT_ONCE, in, &packed));
    io.in = buf_str(&packed);
    enum codec_result result = codec_run(codec, &io, CODEC_FINISH);
    while (result == CODEC_FULL && io.room > 0)
        result = codec_run(codec, &io, CODEC_FINISH);
    CHECK(result == CODEC_DONE && io.room == 1 &&
          (in.len == 0 || memcmp(plain, in.ptr, in.len) == 0));
    free(plain);
    codec_free(&codec);
    buf_free(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str in = str_at((const char *)data + 1, size - 1);
    enum codec_kind kind = (enum codec_kind)(data[0] % CODEC_KINDS);

    decode(kind, in, (data[0] >> 2 & 7) * 7 + 1, (data[0] & 0x80) != 0 ? 1000 : 1 << 20);
    there_and_back(kind, in);
    return 0;
}
