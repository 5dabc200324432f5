/* gzip.c - zlib. Windows of 32 KiB are all that gzip has; a body of several members
 * (RFC 1952 §2.2) is one stream to its reader, so a decoder goes on behind each.
 * The thread that owns the codec. */
#include "codec/codec_priv.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16, MEMORY = 8 };

static void *encoder_new(enum codec_effort effort)
{
    z_stream *z = calloc(1, sizeof(*z));

    if (z != NULL && deflateInit2(z, effort == CODEC_KEPT ? 6 : 4, Z_DEFLATED, GZIP_WINDOW, MEMORY,
                                  Z_DEFAULT_STRATEGY) != Z_OK) {
        free(z);
        z = NULL;
    }
    return z;
}

static void *decoder_new(void)
{
    z_stream *z = calloc(1, sizeof(*z));

    if (z != NULL && inflateInit2(z, GZIP_WINDOW) != Z_OK) {
        free(z);
        z = NULL;
    }
    return z;
}

static void encoder_free(void *state)
{
    (void)deflateEnd(state);
    free(state);
}

static void decoder_free(void *state)
{
    (void)inflateEnd(state);
    free(state);
}

static uInt at_most(size_t len)
{
    return len < INT_MAX ? (uInt)len : INT_MAX;
}

static void lend(z_stream *z, const struct codec_io *io)
{
    z->next_in = (Bytef *)(uintptr_t)io->in.ptr; /* zlib reads it only */
    z->avail_in = at_most(io->in.len);
    z->next_out = (Bytef *)io->out;
    z->avail_out = at_most(io->room);
}

static void take_back(const z_stream *z, struct codec_io *io)
{
    size_t used = io->in.len > 0 ? (size_t)((const char *)z->next_in - io->in.ptr) : 0;

    io->in = str_from(io->in, used);
    io->room -= (size_t)((char *)z->next_out - io->out);
    io->out = (char *)z->next_out;
}

static enum codec_result encode(void *state, struct codec_io *io, enum codec_step step)
{
    static const int flushes[] = {
        [CODEC_RUN] = Z_NO_FLUSH, [CODEC_FLUSH] = Z_SYNC_FLUSH, [CODEC_FINISH] = Z_FINISH};
    z_stream *z = state;
    int result;

    do {
        bool is_last = io->in.len <= INT_MAX;

        lend(z, io);
        result = deflate(z, is_last ? flushes[step] : Z_NO_FLUSH);
        take_back(z, io);
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return CODEC_BROKEN;
        if (io->room == 0 && result != Z_STREAM_END)
            return CODEC_FULL;
    } while (io->in.len > 0 || (step == CODEC_FINISH && result != Z_STREAM_END));
    return CODEC_DONE;
}

static enum codec_result decode(void *state, struct codec_io *io, bool *is_whole)
{
    z_stream *z = state;

    while (io->in.len > 0 || z->total_in > 0) {
        size_t before = io->in.len;
        int result;

        if (io->room == 0)
            return CODEC_FULL;
        if (before > 0)
            *is_whole = false;
        lend(z, io);
        result = inflate(z, Z_NO_FLUSH);
        take_back(z, io);
        if (result == Z_STREAM_END) {
            *is_whole = true;
            if (inflateReset(z) != Z_OK) /* total_in is 0 again */
                return CODEC_BROKEN;
        } else if (result == Z_BUF_ERROR || (result == Z_OK && io->in.len == 0 && io->room > 0)) {
            return io->room == 0 ? CODEC_FULL : CODEC_DONE;
        } else if (result != Z_OK) {
            return CODEC_BROKEN;
        }
    }
    return CODEC_DONE;
}

const struct codec_library codec_gzip = {encoder_new,  decoder_new, encoder_free,
                                         decoder_free, encode,      decode};
