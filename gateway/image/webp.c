/* webp.c - a still WebP to rows, by libwebp.
 *
 * The library knows no callback while it decodes, so it is fed in pieces and the clock is looked
 * at in between; a lossless picture is held whole by it, which the memory bound must allow
 * for besides our own rows. Animations are refused: which of their pictures would it be? */
#include "image/image_priv.h"

#include <stdlib.h>

#include <webp/decode.h>

enum {
    PIECE = 16 * 1024,
    BYTES_A_PIXEL = 4 + 3 /* what the library may hold, and what it gives */
};

static enum image_result result_of(VP8StatusCode status)
{
    return status == VP8_STATUS_OUT_OF_MEMORY ? IMAGE_TOO_BIG : IMAGE_BROKEN;
}

static enum image_result feed(WebPIDecoder *decoder, struct str bytes, uint64_t until_us)
{
    VP8StatusCode status = VP8_STATUS_SUSPENDED;

    for (size_t have = 0; status == VP8_STATUS_SUSPENDED && have < bytes.len;) {
        have = bytes.len - have < PIECE ? bytes.len : have + PIECE;
        status = WebPIUpdate(decoder, (const uint8_t *)bytes.ptr, have);
        if (clock_thread_cpu_us() > until_us)
            return IMAGE_TOO_SLOW;
    }
    return status == VP8_STATUS_OK ? IMAGE_HASHED : result_of(status);
}

static bool take_rows(const WebPDecBuffer *output, struct shrink *shrink)
{
    const struct WebPRGBABuffer *rgb = &output->u.RGBA;

    if (!shrink_begin(shrink, (uint32_t)output->width, (uint32_t)output->height))
        return false;
    for (uint32_t y = 0; y < shrink->height; y++)
        shrink_row(shrink, rgb->rgba + (size_t)y * (size_t)rgb->stride, 3);
    return true;
}

enum image_result webp_shrink(struct str bytes, uint64_t until_us, struct shrink *shrink)
{
    WebPDecoderConfig config;
    WebPIDecoder *decoder;
    enum image_result result;
    VP8StatusCode status;

    if (!WebPInitDecoderConfig(&config))
        return IMAGE_BROKEN;
    status = WebPGetFeatures((const uint8_t *)bytes.ptr, bytes.len, &config.input);
    if (status != VP8_STATUS_OK || config.input.has_animation)
        return result_of(status);
    if (!size_is_sane((uint32_t)config.input.width, (uint32_t)config.input.height) ||
        (uint64_t)config.input.width * (uint64_t)config.input.height >
            IMAGE_MOST_MEMORY / BYTES_A_PIXEL)
        return IMAGE_TOO_BIG;
    config.output.colorspace = MODE_RGB;
    decoder = WebPIDecode(NULL, 0, &config);
    if (decoder == NULL)
        return IMAGE_TOO_BIG;
    result = feed(decoder, bytes, until_us);
    if (result == IMAGE_HASHED && !take_rows(&config.output, shrink))
        result = IMAGE_TOO_BIG;
    WebPIDelete(decoder);
    WebPFreeDecBuffer(&config.output);
    return result;
}
