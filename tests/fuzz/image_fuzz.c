/* image_fuzz.c - bytes that claim to be a JPEG, a PNG or a WebP.
 *
 * Held: no fault of memory, and the same bytes have the same hash. */
#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_at((const char *)data, size);
    struct image_hash first, second;

    if (image_hash(bytes, &first) == IMAGE_HASHED && image_hash(bytes, &second) == IMAGE_HASHED)
        CHECK(image_distance(&first, &second) == 0);
    return 0;
}
