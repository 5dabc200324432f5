/* codec.h - content codings (RFC 9110 §8.4.1): zstd (RFC 8878), br (RFC 7932), gzip.
 *
 * Streaming in both directions, in the caller's buffers, with the state of each stream
 * bounded: an encoder keeps to windows that fit hundreds of them, a decoder has a
 * ceiling for what comes out and for the ratio to what went in, so that a small body
 * cannot become a large one. A codec belongs to one thread at a time; nothing blocks,
 * but packing is work: about 5 ns a byte (zstd) to 30 (gzip). */
#ifndef GATEWAY_CODEC_H
#define GATEWAY_CODEC_H
#include "base/base.h"

enum codec_kind { CODEC_ZSTD, CODEC_BROTLI, CODEC_GZIP, CODEC_KINDS };
struct str codec_name(enum codec_kind kind); /* "zstd", "br", "gzip": static */
/* The kind of that name, in any case; false: none of ours. */
bool codec_of(struct str name, enum codec_kind *kind);

/* How hard an encoder works: for bytes that are sent once, or kept and sent often. */
enum codec_effort { CODEC_SENT_ONCE, CODEC_KEPT };
enum codec_step {
    CODEC_RUN,   /* take what is given; output may stay inside */
    CODEC_FLUSH, /* encoders: and let out all that was taken so far */
    CODEC_FINISH /* no more will come */
};
enum codec_result {
    CODEC_DONE,     /* all of `in` is taken, and the step is complete */
    CODEC_FULL,     /* `out` is full: call again with room for the rest of it */
    CODEC_BROKEN,   /* decoders: not such a stream, cut off, or bytes behind it; or no memory */
    CODEC_TOO_LARGE /* decoders: past max_bytes or max_ratio */
};
struct codec_io {
    struct str in; /* what is left of it after the call */
    char *out;     /* moves on with what was written */
    size_t room;
};

struct codec;
/* NULL: out of memory. At most about 1.2 MiB (zstd and br 600 KiB, gzip 270 KiB) each. */
struct codec *codec_encoder_new(enum codec_kind kind, enum codec_effort effort) MUST_USE;
/* max_bytes of output in all; max_ratio of output to input, which the first 64 KiB may pass.
 * Windows larger than 8 MiB are refused (RFC 9659). NULL: out of memory. */
struct codec *codec_decoder_new(enum codec_kind kind, uint64_t max_bytes,
                                uint32_t max_ratio) MUST_USE;
void codec_free(struct codec **codec); /* NULL is fine */
/* After CODEC_BROKEN, CODEC_TOO_LARGE or a complete CODEC_FINISH only codec_free() is left. */
enum codec_result codec_run(struct codec *codec, struct codec_io *io,
                            enum codec_step step) MUST_USE;

/* The whole of `in` at once, appended to `out`. False: it does not fit below out's ceiling (which
 * is how a caller says that less is not worth it), or no memory. */
bool codec_pack(enum codec_kind kind, enum codec_effort effort, struct str in,
                struct buf *out) MUST_USE;

#endif
