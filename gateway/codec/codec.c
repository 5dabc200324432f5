/* codec.c - one stream, whatever library it is of, and the ceilings that all have.
 *
 * The ceilings of a decoder are held before its library is asked: it never gets more
 * room than may still come out, and one byte to notice that more would. */
#include "codec/codec_priv.h"

#include <stdlib.h>

enum { FREE_OF_RATIO = 64 * 1024, PACK_STEP = 64 * 1024 };

struct codec {
    const struct codec_library *library;
    void *state;
    bool is_decoder, is_whole;
    uint64_t taken, given, max_bytes;
    uint32_t max_ratio;
};

static const struct codec_library *const libraries[CODEC_KINDS] = {
    [CODEC_ZSTD] = &codec_zstd, [CODEC_BROTLI] = &codec_brotli, [CODEC_GZIP] = &codec_gzip};

struct str codec_name(enum codec_kind kind)
{
    switch (kind) {
    case CODEC_ZSTD:
        return STR("zstd");
    case CODEC_BROTLI:
        return STR("br");
    case CODEC_GZIP:
        return STR("gzip");
    case CODEC_KINDS:
        break;
    }
    return STR_NONE;
}

bool codec_of(struct str name, enum codec_kind *kind)
{
    for (enum codec_kind k = 0; k < CODEC_KINDS; k++) {
        if (str_ieq(name, codec_name(k))) {
            *kind = k;
            return true;
        }
    }
    return false;
}

/* ---- life ---- */

static struct codec *codec_new(enum codec_kind kind, bool is_decoder, enum codec_effort effort)
{
    struct codec *codec = calloc(1, sizeof(*codec));

    if (codec == NULL)
        return NULL;
    codec->library = libraries[kind];
    codec->is_decoder = is_decoder;
    codec->state = is_decoder ? codec->library->decoder_new() : codec->library->encoder_new(effort);
    if (codec->state == NULL) {
        free(codec);
        return NULL;
    }
    return codec;
}

struct codec *codec_encoder_new(enum codec_kind kind, enum codec_effort effort)
{
    return codec_new(kind, false, effort);
}

struct codec *codec_decoder_new(enum codec_kind kind, uint64_t max_bytes, uint32_t max_ratio)
{
    struct codec *codec = codec_new(kind, true, CODEC_SENT_ONCE);

    if (codec != NULL) {
        codec->max_bytes = max_bytes;
        codec->max_ratio = max_ratio;
    }
    return codec;
}

void codec_free(struct codec **codec)
{
    struct codec *dying = *codec;

    *codec = NULL;
    if (dying == NULL)
        return;
    if (dying->is_decoder)
        dying->library->decoder_free(dying->state);
    else
        dying->library->encoder_free(dying->state);
    free(dying);
}

/* ---- running ---- */

/* How much may come out once `taken` bytes have gone in. */
static uint64_t ceiling(const struct codec *codec, uint64_t taken)
{
    uint64_t by_ratio = FREE_OF_RATIO; /* it never falls, because `taken` does not */

    if (codec->max_ratio > 0 && taken > FREE_OF_RATIO / codec->max_ratio)
        by_ratio = taken > UINT64_MAX / codec->max_ratio ? UINT64_MAX : taken * codec->max_ratio;
    return by_ratio < codec->max_bytes ? by_ratio : codec->max_bytes;
}

/* At a ceiling the library gets one byte of room that is nobody's: it wants none at the end. */
static enum codec_result decode(struct codec *codec, struct codec_io *io, enum codec_step step)
{
    uint64_t left = ceiling(codec, codec->taken + io->in.len) - codec->given;
    bool is_at_ceiling = left == 0;
    size_t room = left < io->room ? (size_t)left : io->room;
    char beyond;
    struct codec_io part = {io->in, is_at_ceiling ? &beyond : io->out, is_at_ceiling ? 1 : room};
    enum codec_result result = codec->library->decode(codec->state, &part, &codec->is_whole);

    codec->taken += io->in.len - part.in.len;
    io->in = part.in;
    if (is_at_ceiling) {
        if (part.room == 0)
            return CODEC_TOO_LARGE;
    } else {
        codec->given += room - part.room;
        io->room -= room - part.room;
        io->out = part.out;
    }
    if (result == CODEC_DONE && step == CODEC_FINISH && !codec->is_whole)
        return CODEC_BROKEN;
    return result;
}

enum codec_result codec_run(struct codec *codec, struct codec_io *io, enum codec_step step)
{
    if (io->room == 0)
        return CODEC_FULL;
    return codec->is_decoder ? decode(codec, io, step)
                             : codec->library->encode(codec->state, io, step);
}

bool codec_pack(enum codec_kind kind, enum codec_effort effort, struct str in, struct buf *out)
{
    struct codec *codec = codec_encoder_new(kind, effort);
    struct codec_io io = {.in = in};
    enum codec_result result = CODEC_FULL;

    while (codec != NULL && result == CODEC_FULL) {
        size_t left = out->max - out->len, room = left < PACK_STEP ? left : PACK_STEP;

        if (room == 0 || !buf_reserve(out, room))
            break;
        io.out = out->ptr + out->len;
        io.room = room;
        result = codec_run(codec, &io, CODEC_FINISH);
        out->len += room - io.room;
    }
    codec_free(&codec);
    return result == CODEC_DONE;
}
