/* phash.c - 256 bits of 64 x 64 luma samples: which low frequencies are stronger than their median.
 *
 * A DCT-II along columns and rows, of which only the 16 x 16 lowest are worked out; each gives
 * one bit. What hardly varies has noise for bits, or none at all, and is refused: all blank
 * pictures would be one picture. Any thread. */
#include "image/image_priv.h"

#include <math.h>
#include <stdlib.h>

enum {
    LOW = 16,
    BITS = LOW * LOW,
    LEAST_VARIANCE = 4 /* of 255 levels squared: what a blank page's JPEG noise has is below 1 */
};

uint32_t image_distance(const struct image_hash *a, const struct image_hash *b)
{
    uint32_t distance = 0;

    for (size_t i = 0; i < COUNT_OF(a->at); i++)
        distance += (uint32_t)__builtin_popcountll(a->at[i] ^ b->at[i]);
    return distance;
}

void image_hash_write(const struct image_hash *hash, char hex[IMAGE_HASH_DIGITS + 1])
{
    char *to = hex;

    for (size_t i = 0; i < COUNT_OF(hash->at); i++)
        to = hex_write(to, hash->at[i], 16);
    *to = '\0';
}

bool image_hash_read(struct str hex, struct image_hash *hash)
{
    static const char digits[] = "0123456789abcdef";

    *hash = (struct image_hash){{0}};
    for (size_t i = 0; i < hex.len && hex.len == IMAGE_HASH_DIGITS; i++) {
        size_t digit = str_find(str_at(digits, 16), hex.ptr[i]);

        if (digit == 16)
            return false;
        hash->at[i / 16] = hash->at[i / 16] << 4 | digit;
    }
    return hex.len == IMAGE_HASH_DIGITS;
}

static bool is_blank(const uint8_t *small)
{
    double sum = 0, squares = 0, count = SMALL * SMALL;

    for (size_t i = 0; i < SMALL * SMALL; i++) {
        sum += small[i];
        squares += (double)small[i] * small[i];
    }
    return squares / count - sum / count * (sum / count) < LEAST_VARIANCE;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static double median(const double *values)
{
    double sorted[BITS];

    memcpy(sorted, values, sizeof(sorted));
    qsort(sorted, BITS, sizeof(*sorted), by_value);
    return (sorted[BITS / 2 - 1] + sorted[BITS / 2]) / 2;
}

/* cos(pi k (2n + 1) / 128): the angle repeats after 256 steps of pi / 128. */
static void make_waves(double waves[LOW][SMALL])
{
    for (uint32_t k = 0; k < LOW; k++)
        for (uint32_t n = 0; n < SMALL; n++)
            waves[k][n] = 2 * cos(M_PI / (2 * SMALL) * (k * (2 * n + 1) % (4 * SMALL)));
}

static void low_frequencies(const uint8_t *small, double low[BITS])
{
    double waves[LOW][SMALL], half[LOW][SMALL];

    make_waves(waves);
    for (uint32_t k = 0; k < LOW; k++) {
        for (uint32_t x = 0; x < SMALL; x++) {
            half[k][x] = 0;
            for (uint32_t y = 0; y < SMALL; y++)
                half[k][x] += waves[k][y] * small[y * SMALL + x];
        }
    }
    for (uint32_t k = 0; k < LOW; k++) {
        for (uint32_t m = 0; m < LOW; m++) {
            double sum = 0;

            for (uint32_t x = 0; x < SMALL; x++)
                sum += waves[m][x] * half[k][x];
            low[k * LOW + m] = sum;
        }
    }
}

enum image_result phash(const uint8_t small[SMALL * SMALL], struct image_hash *hash)
{
    double low[BITS], middle;

    if (is_blank(small))
        return IMAGE_BLANK;
    low_frequencies(small, low);
    middle = median(low);
    *hash = (struct image_hash){{0}};
    for (uint32_t i = 0; i < BITS; i++)
        if (low[i] > middle)
            hash->at[i / 64] |= UINT64_C(1) << (63 - i % 64);
    return IMAGE_HASHED;
}
