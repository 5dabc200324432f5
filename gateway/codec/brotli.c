/* brotli.c - libbrotli, at qualities that cost about what gzip does (5 kept, 3 sent
 * once): from 9 on it is forty times as slow. A window of 256 KiB keeps an encoder
 * below 1 MiB. A decoder allocates as large a window as the stream says, at most 16
 * MiB, but only as far as bytes really come. The thread that owns the codec. */
#include "codec/codec_priv.h"

#include <brotli/decode.h>
#include <brotli/encode.h>

enum { WINDOW_BITS = 18 };

static void *encoder_new(enum codec_effort effort)
{
    BrotliEncoderState *state = BrotliEncoderCreateInstance(NULL, NULL, NULL);

    if (state != NULL) {
        (void)BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, effort == CODEC_KEPT ? 5 : 3);
        (void)BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, WINDOW_BITS);
    }
    return state;
}

static void *decoder_new(void)
{
    return BrotliDecoderCreateInstance(NULL, NULL, NULL);
}

static void encoder_free(void *state)
{
    BrotliEncoderDestroyInstance(state);
}

static void decoder_free(void *state)
{
    BrotliDecoderDestroyInstance(state);
}

static enum codec_result encode(void *state, struct codec_io *io, enum codec_step step)
{
    static const BrotliEncoderOperation operations[] = {
        [CODEC_RUN] = BROTLI_OPERATION_PROCESS,
        [CODEC_FLUSH] = BROTLI_OPERATION_FLUSH,
        [CODEC_FINISH] = BROTLI_OPERATION_FINISH,
    };
    const uint8_t *in = (const uint8_t *)io->in.ptr;
    uint8_t *out = (uint8_t *)io->out;

    for (;;) {
        if (!BrotliEncoderCompressStream(state, operations[step], &io->in.len, &in, &io->room, &out,
                                         NULL))
            return CODEC_BROKEN;
        io->in.ptr = (const char *)in;
        io->out = (char *)out;
        if (step == CODEC_FINISH ? BrotliEncoderIsFinished(state)
                                 : io->in.len == 0 && !BrotliEncoderHasMoreOutput(state))
            return CODEC_DONE;
        if (io->room == 0)
            return CODEC_FULL;
    }
}

static enum codec_result decode(void *state, struct codec_io *io, bool *is_whole)
{
    const uint8_t *in = (const uint8_t *)io->in.ptr;
    uint8_t *out = (uint8_t *)io->out;
    BrotliDecoderResult result;

    if (*is_whole) /* one stream, and nothing behind it */
        return io->in.len == 0 ? CODEC_DONE : CODEC_BROKEN;
    result = BrotliDecoderDecompressStream(state, &io->in.len, &in, &io->room, &out, NULL);
    io->in.ptr = (const char *)in;
    io->out = (char *)out;
    *is_whole = result == BROTLI_DECODER_RESULT_SUCCESS;
    if (*is_whole)
        return io->in.len == 0 ? CODEC_DONE : CODEC_BROKEN;
    if (result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT)
        return CODEC_FULL;
    return result == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT ? CODEC_DONE : CODEC_BROKEN;
}

const struct codec_library codec_brotli = {encoder_new,  decoder_new, encoder_free,
                                           decoder_free, encode,      decode};
