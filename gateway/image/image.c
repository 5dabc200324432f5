/* image.c - which decoder is it for, and the way from its rows to the hash.
 *
 * What the first bytes say counts; a Content-Type is a client's claim. Any thread. */
#include "image/image_priv.h"

typedef enum image_result decoder_fn(struct str bytes, uint64_t until_us, struct shrink *shrink);

static decoder_fn *decoder_of(struct str bytes)
{
    if (str_starts(bytes, STR("\xff\xd8\xff")))
        return jpeg_shrink;
    if (str_starts(bytes, STR("\x89PNG\r\n\x1a\n")))
        return png_shrink;
    if (bytes.len > 12 && str_starts(bytes, STR("RIFF")) &&
        str_starts(str_from(bytes, 8), STR("WEBP")))
        return webp_shrink;
    return NULL;
}

bool image_is_known(struct str bytes)
{
    return decoder_of(bytes) != NULL;
}

const char *image_result_name(enum image_result result)
{
    switch (result) {
    case IMAGE_HASHED:
        return "hashed";
    case IMAGE_UNKNOWN:
        return "unknown";
    case IMAGE_BROKEN:
        return "broken";
    case IMAGE_TOO_BIG:
        return "too_big";
    case IMAGE_TOO_SLOW:
        return "too_slow";
    case IMAGE_BLANK:
        return "blank";
    }
    return "";
}

enum image_result image_hash(struct str bytes, struct image_hash *hash)
{
    decoder_fn *decode = decoder_of(bytes);
    struct shrink shrink = {0};
    uint8_t small[SMALL * SMALL];
    enum image_result result = IMAGE_UNKNOWN;

    if (decode != NULL)
        result = decode(bytes, clock_thread_cpu_us() + IMAGE_MOST_MS * 1000, &shrink);
    if (result == IMAGE_HASHED)
        result = shrink_end(&shrink, small) ? phash(small, hash) : IMAGE_TOO_BIG;
    shrink_free(&shrink);
    return result;
}
