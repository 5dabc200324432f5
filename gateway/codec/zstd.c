/* zstd.c - libzstd at level 3, which packs like gzip 6 in a third of the time. A
 * window of 256 KiB keeps an encoder small; a decoder takes windows up to the 8 MiB
 * that RFC 9659 lets a sender use. Several frames are one body (RFC 8878 §3).
 * The thread that owns the codec. */
#include "codec/codec_priv.h"

#include <zstd.h>

enum { WINDOW_LOG = 18, MOST_WINDOW_LOG = 23 };

static void *encoder_new(enum codec_effort effort)
{
    ZSTD_CCtx *state = ZSTD_createCCtx();

    if (state != NULL) {
        (void)ZSTD_CCtx_setParameter(state, ZSTD_c_compressionLevel, effort == CODEC_KEPT ? 3 : 1);
        (void)ZSTD_CCtx_setParameter(state, ZSTD_c_windowLog, WINDOW_LOG);
    }
    return state;
}

static void *decoder_new(void)
{
    ZSTD_DCtx *state = ZSTD_createDCtx();

    if (state != NULL)
        (void)ZSTD_DCtx_setParameter(state, ZSTD_d_windowLogMax, MOST_WINDOW_LOG);
    return state;
}

static void encoder_free(void *state)
{
    (void)ZSTD_freeCCtx(state);
}

static void decoder_free(void *state)
{
    (void)ZSTD_freeDCtx(state);
}

static void take_back(struct codec_io *io, size_t used, size_t written)
{
    io->in = str_from(io->in, used);
    io->out += written;
    io->room -= written;
}

static enum codec_result encode(void *state, struct codec_io *io, enum codec_step step)
{
    static const ZSTD_EndDirective directives[] = {
        [CODEC_RUN] = ZSTD_e_continue, [CODEC_FLUSH] = ZSTD_e_flush, [CODEC_FINISH] = ZSTD_e_end};

    for (;;) {
        ZSTD_inBuffer in = {io->in.ptr, io->in.len, 0};
        ZSTD_outBuffer out = {io->out, io->room, 0};
        size_t left = ZSTD_compressStream2(state, &out, &in, directives[step]);

        take_back(io, in.pos, out.pos);
        if (ZSTD_isError(left))
            return CODEC_BROKEN;
        if (io->in.len == 0 && (step == CODEC_RUN || left == 0))
            return CODEC_DONE;
        if (io->room == 0)
            return CODEC_FULL;
    }
}

static enum codec_result decode(void *state, struct codec_io *io, bool *is_whole)
{
    for (;;) {
        ZSTD_inBuffer in = {io->in.ptr, io->in.len, 0};
        ZSTD_outBuffer out = {io->out, io->room, 0};
        size_t left;

        if (in.size == 0 && *is_whole)
            return CODEC_DONE;
        left = ZSTD_decompressStream(state, &out, &in);
        take_back(io, in.pos, out.pos);
        if (ZSTD_isError(left))
            return CODEC_BROKEN;
        *is_whole = left == 0;
        if (io->room == 0 && !*is_whole)
            return CODEC_FULL;
        if (io->in.len == 0)
            return CODEC_DONE;
    }
}

const struct codec_library codec_zstd = {encoder_new,  decoder_new, encoder_free,
                                         decoder_free, encode,      decode};
