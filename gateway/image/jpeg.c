/* jpeg.c - a JPEG to rows, by libjpeg-turbo.
 *
 * RGB where the file has colours, because Pillow turns that into luma and rounds its own way.
 * The library says "error" by a call that must not return: ours jumps back, with nothing on the
 * stack to release. A warning is an error. A progressive file may hold thousands of scans
 * that cost a pass over the picture each: they are counted, and the clock is looked at, from the
 * library's progress report. Memory is the library's own limit, without files behind it. */
#include "image/image_priv.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

struct jpeg {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    enum image_result result;
    uint64_t until_us;
    struct shrink *shrink;
    uint8_t *row; /* owned */
};

static void give_up(struct jpeg *jpeg, enum image_result result)
{
    jpeg->result = result;
    longjmp(jpeg->back, 1);
}

static void on_error(j_common_ptr info)
{
    struct jpeg *jpeg = info->client_data;

    give_up(jpeg, jpeg->result);
}

static void on_message(j_common_ptr info, int level)
{
    if (level < 0)
        give_up(info->client_data, IMAGE_BROKEN);
}

static void on_progress(j_common_ptr info)
{
    struct jpeg *jpeg = info->client_data;

    if (jpeg->info.input_scan_number > IMAGE_MOST_SCANS)
        give_up(jpeg, IMAGE_TOO_BIG);
    if (clock_thread_cpu_us() > jpeg->until_us)
        give_up(jpeg, IMAGE_TOO_SLOW);
}

static void set_up(struct jpeg *jpeg)
{
    jpeg->info.err = jpeg_std_error(&jpeg->errors);
    jpeg->errors.error_exit = on_error;
    jpeg->errors.emit_message = on_message;
    jpeg->info.client_data = jpeg;
    jpeg_create_decompress(&jpeg->info);
    jpeg->info.client_data = jpeg;
    jpeg->info.mem->max_memory_to_use = IMAGE_MOST_MEMORY;
    jpeg->progress.progress_monitor = on_progress;
    jpeg->info.progress = &jpeg->progress;
}

static void begin(struct jpeg *jpeg)
{
    struct jpeg_decompress_struct *info = &jpeg->info;

    if (!size_is_sane(info->image_width, info->image_height))
        give_up(jpeg, IMAGE_TOO_BIG);
    if (info->num_components != 1 && info->num_components != 3)
        give_up(jpeg, IMAGE_BROKEN); /* four are ink, which nobody sends to be looked at */
    info->out_color_space = info->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg->result = IMAGE_TOO_BIG; /* what fails from here to the first row is memory */
    (void)jpeg_start_decompress(info);
    jpeg->result = IMAGE_BROKEN;
    jpeg->row = malloc((size_t)info->output_width * (size_t)info->output_components);
    if (jpeg->row == NULL || !shrink_begin(jpeg->shrink, info->output_width, info->output_height))
        give_up(jpeg, IMAGE_TOO_BIG);
}

static void decode(struct jpeg *jpeg, struct str bytes)
{
    struct jpeg_decompress_struct *info = &jpeg->info;

    jpeg_mem_src(info, (const unsigned char *)bytes.ptr, bytes.len);
    (void)jpeg_read_header(info, TRUE);
    begin(jpeg);
    while (info->output_scanline < info->output_height) {
        JSAMPROW row = jpeg->row;

        (void)jpeg_read_scanlines(info, &row, 1);
        shrink_row(jpeg->shrink, jpeg->row, (uint32_t)info->output_components);
        if (info->output_scanline % 64 == 0)
            on_progress((j_common_ptr)info);
    }
    (void)jpeg_finish_decompress(info);
    jpeg->result = IMAGE_HASHED;
}

enum image_result jpeg_shrink(struct str bytes, uint64_t until_us, struct shrink *shrink)
{
    struct jpeg *jpeg = calloc(1, sizeof(*jpeg));
    enum image_result result;

    if (jpeg == NULL)
        return IMAGE_TOO_BIG;
    jpeg->result = IMAGE_BROKEN;
    jpeg->until_us = until_us;
    jpeg->shrink = shrink;
    if (setjmp(jpeg->back) == 0) {
        set_up(jpeg);
        decode(jpeg, bytes);
    }
    jpeg_destroy_decompress(&jpeg->info);
    result = jpeg->result;
    free(jpeg->row);
    free(jpeg);
    return result;
}
