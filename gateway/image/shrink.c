/* shrink.c - any picture to 64 x 64 luma, row by row.
 *
 * Lanczos with three lobes, widened by the scale (so it averages when it shrinks), first along the
 * rows, then along the columns, with 22-bit fixed-point weights and an 8-bit result between the
 * two: the arithmetic of Pillow, because a hash that shall have the same bits needs the same
 * roundings. Luma is ITU-R 601 in 16-bit fixed point, as there. Any thread. */
#include "image/image_priv.h"

#include <math.h>
#include <stdlib.h>

enum { PRECISION = 22, LOBES = 3 };

static double lobe(double x)
{
    if (x == 0)
        return 1;
    x *= M_PI;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -LOBES && x < LOBES ? lobe(x) * lobe(x / LOBES) : 0;
}

/* Weights of the samples round the middle of result `i`, their sum 1. */
static void weigh(struct weights *weights, uint32_t i, uint32_t from, double scale)
{
    double wide = scale < 1 ? 1 : scale, support = LOBES * wide, middle = (i + 0.5) * scale;
    double first = floor(middle - support + 0.5), end = floor(middle + support + 0.5), sum = 0;
    int32_t *to = weights->at + (size_t)i * weights->most;

    first = first < 0 ? 0 : first;
    end = end > from ? from : end;
    weights->span[i].first = (uint32_t)first;
    weights->span[i].count = (uint32_t)(end - first);
    for (uint32_t x = 0; x < weights->span[i].count; x++)
        sum += lanczos((x + first - middle + 0.5) / wide);
    for (uint32_t x = 0; x < weights->span[i].count; x++) {
        double weight = lanczos((x + first - middle + 0.5) / wide) / sum * (1 << PRECISION);

        to[x] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
}

static bool weights_make(struct weights *weights, uint32_t from)
{
    double scale = (double)from / SMALL;

    weights->most = (uint32_t)ceil(LOBES * (scale < 1 ? 1 : scale)) * 2 + 1;
    weights->at = calloc((size_t)weights->most * SMALL, sizeof(*weights->at));
    for (uint32_t i = 0; i < SMALL && weights->at != NULL; i++)
        weigh(weights, i, from, scale);
    return weights->at != NULL;
}

static uint8_t rounded(int64_t sum)
{
    int64_t value = (sum + (1 << (PRECISION - 1))) >> PRECISION;

    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static uint8_t weighed(const struct weights *weights, uint32_t i, const uint8_t *samples,
                       size_t step)
{
    const int32_t *weight = weights->at + (size_t)i * weights->most;
    const uint8_t *from = samples + weights->span[i].first * step;
    int64_t sum = 0;

    for (uint32_t x = 0; x < weights->span[i].count; x++)
        sum += (int64_t)weight[x] * from[x * step];
    return rounded(sum);
}

bool size_is_sane(uint32_t width, uint32_t height)
{
    return width > 0 && height > 0 && width <= IMAGE_MOST_SIDE && height <= IMAGE_MOST_SIDE &&
           (uint64_t)width * height <= IMAGE_MOST_PIXELS;
}

bool shrink_begin(struct shrink *shrink, uint32_t width, uint32_t height)
{
    CHECK(size_is_sane(width, height));
    shrink->width = width;
    shrink->height = height;
    shrink->luma = malloc(width);
    shrink->narrow = malloc((size_t)height * SMALL);
    return shrink->luma != NULL && shrink->narrow != NULL && weights_make(&shrink->across, width);
}

void shrink_row(struct shrink *shrink, const uint8_t *row, uint32_t channels)
{
    uint8_t *to = shrink->narrow + (size_t)shrink->row * SMALL;
    const uint8_t *luma = row;

    CHECK(shrink->row < shrink->height);
    if (channels > 1) {
        for (uint32_t x = 0; x < shrink->width; x++, row += channels)
            shrink->luma[x] =
                (uint8_t)((row[0] * 19595u + row[1] * 38470u + row[2] * 7471u + 0x8000u) >> 16);
        luma = shrink->luma;
    }
    for (uint32_t i = 0; i < SMALL; i++)
        to[i] = weighed(&shrink->across, i, luma, 1);
    shrink->row++;
}

bool shrink_end(struct shrink *shrink, uint8_t small[SMALL * SMALL])
{
    struct weights down = {0};

    if (shrink->row != shrink->height || !weights_make(&down, shrink->height))
        return false;
    for (uint32_t y = 0; y < SMALL; y++)
        for (uint32_t x = 0; x < SMALL; x++)
            small[y * SMALL + x] = weighed(&down, y, shrink->narrow + x, SMALL);
    free(down.at);
    return true;
}

void shrink_free(struct shrink *shrink)
{
    free(shrink->across.at);
    free(shrink->luma);
    free(shrink->narrow);
    *shrink = (struct shrink){0};
}
