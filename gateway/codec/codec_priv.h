/* codec_priv.h - what one library gives: a state and four functions.
 *
 * Each library says in another way how far it came; behind this table they all say it
 * as codec_run() does. A codec has the state of one of them, in one direction. */
#ifndef GATEWAY_CODEC_PRIV_H
#define GATEWAY_CODEC_PRIV_H
#include "codec/codec.h"

struct codec_library {
    void *(*encoder_new)(enum codec_effort effort); /* NULL: no memory */
    void *(*decoder_new)(void);
    void (*encoder_free)(void *state);
    void (*decoder_free)(void *state);
    enum codec_result (*encode)(void *state, struct codec_io *io, enum codec_step step);
    /* DONE: all input is taken; *is_whole: it ended exactly at the end of a stream */
    enum codec_result (*decode)(void *state, struct codec_io *io, bool *is_whole);
};
extern const struct codec_library codec_zstd, codec_brotli, codec_gzip;

#endif
