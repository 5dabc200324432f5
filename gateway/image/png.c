/* png.c - a PNG to rows, by libpng.
 *
 * Rows are shrunk as they come; only an interlaced picture has to be held whole, within the memory
 * bound. Chunks that are no picture are bounded and skipped. libpng says "error" by a
 * call that must not return: ours jumps back. A warning is an error, and so is a wrong checksum.
 * Transparency is not looked at, as Pillow's conversion to luma does not. */
#include "image/image_priv.h"

#include <setjmp.h>
#include <stdlib.h>

#include <png.h>

enum { CHUNK_BYTES = 1 << 20, CHUNKS = 128 };

struct png {
    png_structp png;
    png_infop info;
    jmp_buf back;
    enum image_result result;
    uint64_t until_us;
    struct str rest;
    size_t taken; /* bytes of memory that the library has asked for, in all */
    struct shrink *shrink;
    uint8_t *pixels; /* one row, or all; owned */
};

static _Noreturn void give_up(struct png *png, enum image_result result)
{
    png->result = result;
    longjmp(png->back, 1);
}

static _Noreturn void on_error(png_structp library, png_const_charp text)
{
    (void)text;
    give_up(png_get_error_ptr(library), IMAGE_BROKEN);
}

static void on_warning(png_structp library, png_const_charp text)
{
    (void)text;
    give_up(png_get_error_ptr(library), IMAGE_BROKEN);
}

static png_voidp on_malloc(png_structp library, png_alloc_size_t size)
{
    struct png *png = png_get_mem_ptr(library);

    if (size > IMAGE_MOST_MEMORY - png->taken)
        return NULL;
    png->taken += size;
    return malloc(size);
}

static void on_free(png_structp library, png_voidp memory)
{
    (void)library;
    free(memory);
}

static void check_time(struct png *png)
{
    if (clock_thread_cpu_us() > png->until_us)
        give_up(png, IMAGE_TOO_SLOW);
}

static void on_read(png_structp library, png_bytep to, size_t len)
{
    struct png *png = png_get_io_ptr(library);

    check_time(png);
    if (len > png->rest.len)
        give_up(png, IMAGE_BROKEN);
    memcpy(to, png->rest.ptr, len);
    png->rest = str_from(png->rest, len);
}

/* Any kind of PNG becomes eight-bit luma or RGB, perhaps with alpha. */
static void choose_form(struct png *png)
{
    png_byte kind = png_get_color_type(png->png, png->info);

    if (kind == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png->png);
    if (kind == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png->png, png->info) < 8)
        png_set_expand_gray_1_2_4_to_8(png->png);
    png_set_scale_16(png->png);
    png_set_strip_alpha(png->png);
}

static uint32_t begin(struct png *png, int passes)
{
    uint32_t width = png_get_image_width(png->png, png->info);
    uint32_t height = png_get_image_height(png->png, png->info);
    size_t row = png_get_rowbytes(png->png, png->info);
    size_t rows = passes > 1 ? height : 1;

    if (row > IMAGE_MOST_MEMORY / rows || !shrink_begin(png->shrink, width, height))
        give_up(png, IMAGE_TOO_BIG);
    png->pixels = calloc(rows, row);
    if (png->pixels == NULL)
        give_up(png, IMAGE_TOO_BIG);
    return png_get_channels(png->png, png->info);
}

static void read_rows(struct png *png, int passes, uint32_t channels)
{
    size_t row = passes > 1 ? png_get_rowbytes(png->png, png->info) : 0;

    for (int pass = 0; pass < passes; pass++) {
        for (uint32_t y = 0; y < png->shrink->height; y++) {
            uint8_t *to = png->pixels + y * row;

            if (y % 64 == 0)
                check_time(png);
            png_read_row(png->png, to, NULL);
            if (pass == passes - 1)
                shrink_row(png->shrink, to, channels);
        }
    }
}

static void decode(struct png *png)
{
    int passes;

    png_set_read_fn(png->png, png, on_read);
    png_set_user_limits(png->png, IMAGE_MOST_SIDE, IMAGE_MOST_SIDE);
    png_set_chunk_cache_max(png->png, CHUNKS);
    png_set_chunk_malloc_max(png->png, CHUNK_BYTES);
    png_set_crc_action(png->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(png->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png->png, png->info);
    if (!size_is_sane(png_get_image_width(png->png, png->info),
                      png_get_image_height(png->png, png->info)))
        give_up(png, IMAGE_TOO_BIG);
    choose_form(png);
    passes = png_set_interlace_handling(png->png);
    png_read_update_info(png->png, png->info);
    read_rows(png, passes, begin(png, passes));
    png_read_end(png->png, NULL);
    png->result = IMAGE_HASHED;
}

/* The header's size stands at a fixed place: a huge one is told from a broken file. */
static bool is_too_big(struct str bytes)
{
    uint32_t side[2] = {0, 0};

    if (bytes.len < 24)
        return false;
    for (size_t i = 0; i < 8; i++)
        side[i / 4] = side[i / 4] << 8 | (uint8_t)bytes.ptr[16 + i];
    return side[0] > 0 && side[1] > 0 && !size_is_sane(side[0], side[1]);
}

enum image_result png_shrink(struct str bytes, uint64_t until_us, struct shrink *shrink)
{
    struct png *png;
    enum image_result result;

    if (is_too_big(bytes))
        return IMAGE_TOO_BIG;
    png = calloc(1, sizeof(*png));
    if (png == NULL)
        return IMAGE_TOO_BIG;
    *png = (struct png){
        .result = IMAGE_TOO_BIG, .until_us = until_us, .rest = bytes, .shrink = shrink};
    if (setjmp(png->back) == 0) {
        png->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, png, on_error, on_warning, png,
                                            on_malloc, on_free);
        png->info = png->png != NULL ? png_create_info_struct(png->png) : NULL;
        if (png->info != NULL)
            decode(png);
    }
    if (png->png != NULL)
        png_destroy_read_struct(&png->png, &png->info, NULL);
    result = png->result;
    free(png->pixels);
    free(png);
    return result;
}
