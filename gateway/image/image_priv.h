/* image_priv.h - what the decoders and the hash know of each other.
 *
 * A decoder hands rows over from top to bottom, in RGB or in luma; the shrinker makes 64 luma
 * samples of each at once, so that no picture is ever held whole by us. */
#ifndef GATEWAY_IMAGE_PRIV_H
#define GATEWAY_IMAGE_PRIV_H
#include "image/image.h"

enum { SMALL = 64 /* the side of what is hashed */ };

/* Coefficients of one direction: for each of the 64 results the first sample and its weights. */
struct weights {
    int32_t *at; /* SMALL * most; owned */
    uint32_t most;
    struct {
        uint32_t first, count;
    } span[SMALL];
};

/* From rows of any width to 64 x 64 luma; the same integers as Pillow's LANCZOS. */
struct shrink {
    uint32_t width, height, row; /* row: the next one */
    struct weights across;
    uint8_t *luma;   /* one row; owned */
    uint8_t *narrow; /* height rows of SMALL; owned */
};
bool shrink_begin(struct shrink *shrink, uint32_t width, uint32_t height) MUST_USE;
/* channels: 1 luma, 3 RGB, 4 RGB and alpha, which is not looked at. */
void shrink_row(struct shrink *shrink, const uint8_t *row, uint32_t channels);
bool shrink_end(struct shrink *shrink, uint8_t small[SMALL * SMALL]) MUST_USE;
void shrink_free(struct shrink *shrink); /* zeroed is fine */

/* The hash of 64 x 64 samples; IMAGE_HASHED or IMAGE_BLANK. */
enum image_result phash(const uint8_t small[SMALL * SMALL], struct image_hash *hash);

/* Each decodes into *shrink, which it begins itself. until_us: clock_thread_cpu_us() scale. */
enum image_result jpeg_shrink(struct str bytes, uint64_t until_us, struct shrink *shrink);
enum image_result png_shrink(struct str bytes, uint64_t until_us, struct shrink *shrink);
enum image_result webp_shrink(struct str bytes, uint64_t until_us, struct shrink *shrink);
bool size_is_sane(uint32_t width, uint32_t height);

#endif
